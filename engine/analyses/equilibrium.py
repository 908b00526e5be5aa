"""Newton's method for the equilibrium of a discrete problem with prescribed values."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.problems import DiscreteProblem
from gemel.solvers import (
    AssembledOperator,
    Backtracking,
    Code,
    LinearSolver,
    NonlinearSolver,
    Solution,
    Status,
)
from gemel.solvers.newton import step_code

_PATIENCE = 3
"""Full steps that a solve may take without a decrease: where yielding starts or ends, the residual has a kink."""

_ROUNDING = 16 * float(np.finfo(float).eps)
"""Of the size of a body: displacements are not known better where they enter as I + ∇u."""


class EquilibriumNewton(NonlinearSolver):
    r"""Newton's method for a `DiscreteProblem`, from a predictor that spreads prescribed displacements.

    Moving supports alone would put the whole motion of a step into one layer of elements. The predictor instead
    solves the equations linearised where the step starts, $K(u_n)\,\Delta u = -r(u_n)$ with $\Delta u$ prescribed at
    the supports, and is taken where its residual is the smaller one. Converged where the residual falls below
    ``rtol`` times the norm of the sums of the magnitudes of element forces, which does not vanish where a body is
    in balance, or where a full step is shorter than ``xtol`` times the field. Where these forces are rounding
    themselves, as without any load, what stagnates below the force that moves an unknown by a rounding of the size of
    the body counts as converged. ``problem_of(args)`` gives the problem, whose residual and tangent are solved with.

    All of it is one loop, the predictor its first round, so that the tangent, the linear solve and the element forces
    are compiled once each; loads that do not depend on the field are evaluated once.
    """

    linear_solver: LinearSolver
    problem_of: Callable[[Any], DiscreteProblem] = eqx.field(static=True)
    rtol: float
    xtol: float
    max_steps: int = eqx.field(static=True)
    max_halvings: int = eqx.field(static=True)

    def compute(self, residual: Any, tangent: Any, u0: Float[Array, " n"], args: Any, state: Any) -> Solution[Array]:
        """Iterate from the better of the lifted ``u0`` and the predictor. The statistics count the linear steps of the
        predictor too.
        """
        problem = self.problem_of(args)
        forces = _Forces.of(problem)
        if state is None:
            state = self.linear_solver.init(_tangent(problem, u0)[0])
        begun = self._begun(problem, forces, u0)
        end = jax.lax.while_loop(
            lambda now: self._goes_on(now), lambda now: self._advanced(problem, forces, state, now), begun
        )
        missed = (end.norm > end.target) & ~end.done & (end.code == Code.SUCCESS)
        code = jnp.where(missed, Code.MAX_STEPS, end.code)
        code = jnp.where(jnp.isfinite(end.norm), code, jnp.where(code == 0, Code.NOT_FINITE, code))
        rounded = (code == Code.STAGNATION) & (end.norm <= end.rounding)
        code = jnp.where(rounded, Code.SUCCESS, code).astype(jnp.int32)
        statistics = {"steps": jnp.maximum(end.step, 0), "linear_steps": end.linear_steps, "residual": end.norm}
        return Solution(end.u, Status(code), statistics)

    def _begun(self, problem: DiscreteProblem, forces: "_Forces", u0: Array) -> "_Iterate":
        """Before the predictor: at the supports' new places, linearised where the step starts."""
        lifted = problem.constraint.lift(u0)
        (before, r), (_, size) = jax.lax.map(lambda u: forces(u), jnp.stack([u0, lifted]))
        zero, nothing, no = jnp.zeros((), jnp.int32), jnp.zeros((), u0.dtype), jnp.zeros((), bool)
        norm, target = jnp.linalg.norm(r), self.rtol * size
        return _Iterate(lifted, r, norm, u0, before, zero - 1, zero, zero, no, zero, nothing, target, nothing)

    def _goes_on(self, now: "_Iterate") -> Array:
        """While the predictor or another step is due."""
        due = (now.norm > now.target) & (now.step < self.max_steps) & (now.code == Code.SUCCESS)
        return (now.step < 0) | (due & ~now.done)

    def _advanced(self, problem: DiscreteProblem, forces: "_Forces", state: Any, now: "_Iterate") -> "_Iterate":
        """After one linear solve: with the predictor, or with a step of Newton's method."""
        predicts, lift = now.step < 0, problem.constraint.lift
        operator, whole = _tangent(problem, now.at)
        moved = problem.constraint.reduce(whole.mv(now.u - now.at))
        linear = self.linear_solver.compute(self.linear_solver.update(state, operator), operator, -(now.before + moved))
        search = Backtracking(self.max_halvings, patience=_PATIENCE)
        norm = jnp.where(jnp.isfinite(now.norm), now.norm, jnp.inf)  # it may be NaN before the predictor
        most = jnp.where(predicts, 0, self.max_halvings)
        end = search.search(lambda u: forces(lift(u)), now.u, linear.value, norm, now.patience, most)
        stays = predicts & ~end.found
        u, r = (jnp.where(stays, old, new) for old, new in ((now.u, lift(end.u)), (now.r, end.r)))
        norm = jnp.linalg.norm(r)
        target = jnp.where(predicts & end.found, self.rtol * end.beside, now.target)
        first = jnp.where(predicts, norm, now.first)
        rounding = jnp.where(predicts, _rounding(problem, operator), now.rounding)
        short = jnp.linalg.norm(linear.value) <= self.xtol * jnp.linalg.norm(u)
        done = ~predicts & short & (self.xtol > 0) & linear.status.ok
        code = jnp.where(predicts, Code.SUCCESS, step_code(norm, first, target, end.found | done, linear))
        steps = now.linear_steps + linear.statistics["steps"]
        patience = jnp.where(predicts, _PATIENCE, end.patience)
        return _Iterate(
            u, r, norm, u, r, now.step + 1, steps, code.astype(jnp.int32), done, patience, first, target, rounding
        )


class _Iterate(NamedTuple):
    """Where the iteration stands: the field, its residual and the norm, where the next round is linearised and the
    residual there, how many rounds there were and linear steps in them, and what the rounds are judged by.
    """

    u: Array
    r: Array
    norm: Array
    at: Array
    before: Array
    step: Array
    linear_steps: Array
    code: Array
    done: Array
    patience: Array
    first: Array
    target: Array
    rounding: Array


class _Forces(eqx.Module):
    """The residual of a problem at a field that meets its constraints, and the norm of the assembled magnitudes of all
    element residuals.
    """

    problem: DiscreteProblem
    live: tuple[bool, ...] = eqx.field(static=True)
    dead: tuple[Array, Array]

    @staticmethod
    def of(problem: DiscreteProblem) -> "_Forces":
        """With the loads that do not depend on the field evaluated."""
        live = tuple(part.has_tangent for part in problem.contributions)
        nowhere = jnp.zeros(problem.space.n_dofs)
        return _Forces(problem, live, _summed(problem, nowhere, tuple(not each for each in live)))

    def __call__(self, u: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, ""]]:
        total, size = (a + b for a, b in zip(_summed(self.problem, u, self.live), self.dead, strict=True))
        return self.problem.constraint.reduce(total), jnp.linalg.norm(size)


def _summed(problem: DiscreteProblem, u: Array, chosen: tuple[bool, ...]) -> tuple[Array, Array]:
    """The element residuals of some contributions and their magnitudes, assembled."""
    points = jnp.asarray(problem.space.mesh.points)
    total, size = jnp.zeros_like(u), jnp.zeros_like(u)
    for part, gather, counts in zip(problem.contributions, problem.to_vector, chosen, strict=True):
        if counts:
            local = part.residuals(u, points)
            total, size = total + gather(local), size + gather([jnp.abs(each) for each in local])
    return total, size


def _tangent(problem: DiscreteProblem, u: Array) -> tuple[AssembledOperator, AssembledOperator]:
    """The tangent at ``u``, and what it is before constraints."""
    layout, symmetric = problem.layout, problem.symmetric
    values = problem.matrix_values(u, symmetric)
    constrained = problem.constraint.operator(layout, values, 1.0, symmetric=symmetric)
    return constrained, layout.operator(values, symmetric=symmetric)


def _rounding(problem: DiscreteProblem, operator: AssembledOperator) -> Array:
    """The size of the residual that rounding of a displacement makes."""
    size = jnp.linalg.norm(jnp.ptp(jnp.asarray(problem.space.mesh.points), axis=0))
    return _ROUNDING * size * jnp.linalg.norm(operator.diagonal())
