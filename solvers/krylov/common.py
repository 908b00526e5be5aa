"""What Krylov methods share: the loop, its limits, and the judgement of the result by its true residual."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.linear_solver import LinearSolver, Preconditioner, inverse_size, reached
from gemel.solvers.operators import LinearOperator, transposed
from gemel.solvers.solution import Code, Solution, Status

_SLACK = 2.0
"""The true residual may miss the target of the recurrence by this factor."""


class Progress(NamedTuple):
    """Where an iteration stands: x, its residual r by recurrence and ‖r‖₂, the steps taken, why it must end (a
    `Code`, ``SUCCESS`` while it may go on), and what the method itself carries.
    """

    x: Array
    r: Array
    norm: Array
    steps: Array
    halt: Array
    own: Any


class KrylovSolver(LinearSolver):
    """A Krylov method as a state machine: `start`, then `advance` while `running`, then `judge`.

    It works on the right-hand side and the guess times `inverse_size` of the former, so that no norm leaves the range
    of floating point.

    Stops where ‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol). Where the residual of the recurrence met that and the true one
    misses twice of it, and what rounding leaves, the method starts again from what it has, as long as that still halves
    the true residual. A method that cannot go on returns its guess where that is better: without a solution some run
    far away. The status is judged by the true residual (and what `reached` makes of its rounding): ``SUCCESS`` (within
    twice the target, or where rounding lets no solver come closer), ``MAX_STEPS``, ``NOT_FINITE``, ``STAGNATION`` (a
    singular system without a solution, or a preconditioner that loses too much), or ``BREAKDOWN`` (each method says of
    what).
    """

    preconditioner: eqx.AbstractVar[Preconditioner]
    rtol: eqx.AbstractVar[float]
    atol: eqx.AbstractVar[float]
    max_steps: eqx.AbstractVar[int]

    @abc.abstractmethod
    def begin(self, state: Any, operator: LinearOperator, r: Float[Array, " n"]) -> Any:
        """Return what the method carries, for an iteration that starts with the residual r."""

    @abc.abstractmethod
    def advance(self, state: Any, operator: LinearOperator, target: Float[Array, ""], now: Progress) -> Progress:
        """Take one step (of restarted methods: one cycle)."""

    def init(self, operator: LinearOperator) -> Any:
        """Set the preconditioner up."""
        return self.preconditioner.init(operator)

    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Let the preconditioner follow new values."""
        return self.preconditioner.update(state, operator)

    def target(self, b: Float[Array, " n"], scale: Float[Array, ""]) -> Float[Array, ""]:
        """The residual norm at which the iteration stops, of a right-hand side b that was scaled."""
        return jnp.maximum(self.rtol * jnp.linalg.norm(b), self.atol * scale)

    def start(self, state: Any, operator: LinearOperator, b: Array, x0: Array | None) -> Progress:
        """Return the iteration before its first step."""
        begun = self._resting(operator, b, x0)
        return begun._replace(own=self.begin(state, operator, begun.r))

    def running(self, target: Float[Array, ""], now: Progress) -> Array:
        """True while another step is due."""
        return (now.norm > target) & (now.steps < self.max_steps) & (now.halt == Code.SUCCESS)

    def judge(
        self, operator: LinearOperator, b: Array, target: Float[Array, ""], scale: Float[Array, ""], now: Progress
    ) -> Solution[Array]:
        """Return the result, no longer scaled, with the status that its true residual deserves."""
        r = b - operator.mv(now.x)
        return self._verdict(now, scale, jnp.linalg.norm(r), reached(operator, now.x, b, r, _SLACK * target))

    def compute(
        self,
        state: Any,
        operator: LinearOperator,
        b: Float[Array, " n"],
        x0: Float[Array, " n"] | None = None,
        transpose: bool = False,
    ) -> Solution[Array]:
        """Solve A x = b, or Aᵀ x = b with the preconditioner of A."""
        operator = transposed(operator) if transpose else operator
        scale = inverse_size(b)
        b, x0 = scale * b, None if x0 is None else scale * x0
        target = self.target(b, scale)

        def proceed(carry):
            now, before, first, met = carry
            drifted = ~met & (first | (now.norm < 0.5 * before))
            return drifted & (now.steps < self.max_steps) & (now.halt == Code.SUCCESS)

        def attempt(carry):
            begun, *_ = carry
            now = begun._replace(own=self.begin(state, operator, begun.r))
            now = jax.lax.while_loop(
                lambda now: self.running(target, now),
                lambda now: self.advance(state, operator, target, now),
                now,
            )
            r = b - operator.mv(now.x)
            norm = jnp.linalg.norm(r)
            # Not where it is not finite, which has to show, nor at the limit of steps: CG lowers the energy, not r.
            worse = (norm > begun.norm) & (now.halt != Code.SUCCESS)
            x, r, norm = (
                jnp.where(worse, old, new) for old, new in ((begun.x, now.x), (begun.r, r), (begun.norm, norm))
            )
            met = reached(operator, x, b, r, _SLACK * target)
            return Progress(x, r, norm, now.steps, now.halt, ()), begun.norm, jnp.zeros((), bool), met

        begun = self._resting(operator, b, x0)
        start = (begun, begun.norm, jnp.ones((), bool), begun.norm <= _SLACK * target)
        now, _, _, met = jax.lax.while_loop(proceed, attempt, start)
        return self._verdict(now, scale, now.norm, met)

    def _resting(self, operator: LinearOperator, b: Array, x0: Array | None) -> Progress:
        x = jnp.zeros_like(b) if x0 is None else x0
        r = b if x0 is None else b - operator.mv(x0)
        zero = jnp.zeros((), jnp.int32)
        return Progress(x, r, jnp.linalg.norm(r), zero, zero, ())

    def _verdict(self, now: Progress, scale: Array, residual: Array, met: Array) -> Solution[Array]:
        limited = jnp.where(now.steps >= self.max_steps, Code.MAX_STEPS, Code.STAGNATION)
        code = jnp.where(now.halt == Code.SUCCESS, limited, now.halt)
        code = jnp.where(met, Code.SUCCESS, code)
        code = jnp.where(jnp.isfinite(residual), code, Code.NOT_FINITE).astype(jnp.int32)
        return Solution(now.x / scale, Status(code), {"steps": now.steps, "residual": residual / scale})


def nonzero(number: Array) -> Array:
    """The number, or one where it is zero: what is safe to divide by."""
    return jnp.where(number == 0, 1.0, number)


def halted(*reasons: tuple[Array, Code]) -> Array:
    """The code of the first reason that holds, or ``SUCCESS``."""
    code = jnp.asarray(Code.SUCCESS, jnp.int32)
    for holds, reason in reversed(reasons):
        code = jnp.where(holds, jnp.asarray(reason, jnp.int32), code)
    return code


def restarted(operator: LinearOperator, now: Progress, change: Array, taken: Array) -> Progress:
    """Take the change of a whole cycle, which costs the true residual; none that does not reduce it, which ends it."""
    r = now.r - operator.mv(change)
    norm = jnp.linalg.norm(r)
    better = norm < (1 - 1e-6) * now.norm
    # A change that is not finite has to show, or the status would call it stagnation.
    taken_over = better | ~jnp.isfinite(norm)
    x, r, norm = (
        jnp.where(taken_over, new, old) for new, old in ((now.x + change, now.x), (r, now.r), (norm, now.norm))
    )
    return Progress(x, r, norm, now.steps + taken, halted((~better, Code.STAGNATION)), now.own)
