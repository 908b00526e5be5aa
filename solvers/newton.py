"""Newton's method, and nonlinear solves that can be differentiated in their arguments."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from gemel.solvers.implicit import (
    Adjoint,
    Implicit,
    Unrolled,
    implicit_solve,
    implicit_step,
    matrix_free_tangent,
    stop_gradient,
)
from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Code, Solution, Status
from gemel.solvers.trail import Trail

Residual = Callable[[Array, Any], Array]
Tangent = Callable[[Array, Any], LinearOperator]


class NonlinearSolver(eqx.Module):
    """Finds u with r(u, args) = 0. ``compute`` is the bare method; `nonlinear_solve` adds the derivative."""

    linear_solver: eqx.AbstractVar[LinearSolver]

    @abc.abstractmethod
    def compute(
        self, residual: Residual, tangent: Tangent, u0: Float[Array, " n"], args: PyTree, state: Any
    ) -> Solution[Array]:
        """Solve from ``u0``; ``state`` belongs to the linear solver, None sets it up from the first tangent.

        Returns u, the status, and the statistics ``steps``, ``linear_steps`` and ``residual`` = ‖r(u)‖₂.
        """


class Backtracking(eqx.Module):
    """Halve the step until ‖r(u + α d)‖ ≤ (1 − ``decrease`` α) ‖r(u)‖, at most ``max_halvings`` times.

    Where no α does, the full step is taken all the same, ``patience`` times in a solve, as long as its residual is
    finite. A residual with kinks needs that: the tangent on one side of a kink (a point that is just at yield, taken
    as elastic) need not show a way down on the other side, while the full step leads to where the tangent is right.

    Chamberlain, Powell, Lemarechal, Pedersen, *The watchdog technique for forcing convergence in algorithms for
    constrained optimization*, Math. Program. Study 16 (1982).
    """

    max_halvings: int = eqx.field(static=True)
    decrease: float = 1e-4
    patience: int = eqx.field(static=True, default=0)

    def search(
        self,
        residual: Callable[[Array], tuple[Array, Any]],
        u: Array,
        d: Array,
        norm: Array,
        patience: Array,
        most: Any,
    ) -> "Searched":
        """Search along ``d`` from u, where ‖r(u)‖ is ``norm``; ``residual(u)`` gives r and whatever comes with it.

        At most ``most`` halvings. One loop for the full step as well, so that the residual is compiled once.
        """

        def good(alpha: Array, r: Array) -> Array:
            return jnp.linalg.norm(r) <= (1 - self.decrease * alpha) * norm

        def proceed(carry: Any) -> Array:
            alpha, (r, _), _, halvings = carry
            return (halvings < 0) | (~good(alpha, r) & (halvings < most))

        def halve(carry: Any) -> Any:
            alpha, _, full, halvings = carry
            alpha = jnp.where(halvings < 0, 1.0, alpha / 2)
            found = residual(u + alpha * d)
            full = jax.tree.map(lambda old, new: jnp.where(halvings < 0, new, old), full, found)
            return alpha, found, full, halvings + 1

        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(residual, u))
        start = (jnp.ones((), u.dtype), empty, empty, jnp.full((), -1, jnp.int32))
        alpha, (r, beside), full, _ = jax.lax.while_loop(proceed, halve, start)
        found = good(alpha, r)
        bold = ~found & (patience > 0) & jnp.all(jnp.isfinite(full[0]))
        alpha = jnp.where(bold, 1.0, alpha)
        r, beside = jax.tree.map(lambda full, last: jnp.where(bold, full, last), full, (r, beside))
        return Searched(u + alpha * d, r, beside, found | bold, patience - bold)


class Searched(NamedTuple):
    """Where a line search ends: the point, its residual with what comes with it, whether it is acceptable, and the
    patience that is left.
    """

    u: Array
    r: Array
    beside: Any
    found: Array
    patience: Array


class Newton(NonlinearSolver):
    """Newton's method: A(u) d = −r(u), u ← u + α d, with α = 1 or from a backtracking line search.

    Converged where ‖r‖₂ ≤ max(rtol ‖r(u₀)‖₂, atol), or where a full step is shorter than xtol ‖u‖₂ (0
    turns that off). A line search without decrease, its patience spent, is ``STAGNATION``; a residual 10⁸ times the
    first is ``DIVERGENCE``; a linear solve that breaks down passes its status on, while one that merely misses its
    tolerance gives an inexact step.

    Dennis, Schnabel, *Numerical Methods for Unconstrained Optimization and Nonlinear Equations*, SIAM (1996).
    """

    linear_solver: LinearSolver
    rtol: float
    atol: float
    max_steps: int = eqx.field(static=True)
    line_search: Backtracking | None = None
    xtol: float = 0.0

    def compute(
        self, residual: Residual, tangent: Tangent, u0: Float[Array, " n"], args: PyTree, state: Any
    ) -> Solution[Array]:
        """Iterate from ``u0``."""
        if state is None:
            state = self.linear_solver.init(tangent(u0, args))
        r0 = residual(u0, args)
        first = jnp.linalg.norm(r0)
        target = jnp.maximum(self.rtol * first, self.atol)

        def proceed(carry):
            _, _, norm, step, _, code, done, _ = carry
            return ~done & (norm > target) & (step < self.max_steps) & (code == Code.SUCCESS)

        def advance(carry):
            u, r, norm, step, linear_steps, _, _, patience = carry
            operator = tangent(u, args)
            linear = self.linear_solver.compute(self.linear_solver.update(state, operator), operator, -r)
            new_u, new_r, found, patience = self._move(residual, args, u, linear.value, norm, patience)
            new_norm = jnp.linalg.norm(new_r)
            short = jnp.linalg.norm(linear.value) <= self.xtol * jnp.linalg.norm(new_u)
            done = short & (self.xtol > 0) & linear.status.ok
            code = step_code(new_norm, first, target, found | done, linear)
            linear_steps += linear.statistics["steps"]
            return new_u, new_r, new_norm, step + 1, linear_steps, code, done, patience

        zero = jnp.zeros((), jnp.int32)
        patience = zero if self.line_search is None else zero + self.line_search.patience
        start = (u0, r0, first, zero, zero, zero, jnp.zeros((), bool), patience)
        u, _, norm, steps, linear_steps, code, done, _ = jax.lax.while_loop(proceed, advance, start)
        missed = (norm > target) & ~done & (code == Code.SUCCESS)
        code = jnp.where(missed, Code.MAX_STEPS, code)
        code = jnp.where(jnp.isfinite(norm), code, jnp.where(code == 0, Code.NOT_FINITE, code))
        statistics = {"steps": steps, "linear_steps": linear_steps, "residual": norm}
        return Solution(u, Status(code.astype(jnp.int32)), statistics)

    def _move(
        self, residual: Residual, args: Any, u: Array, d: Array, norm: Array, patience: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Return the new point, its residual, whether it is acceptable, and the patience that is left."""
        if self.line_search is None:
            return u + d, residual(u + d, args), jnp.ones((), bool), patience
        end = self.line_search.search(
            lambda u: (residual(u, args), ()), u, d, norm, patience, self.line_search.max_halvings
        )
        return end.u, end.r, end.found, end.patience


def step_code(norm: Array, first: Array, target: Array, accepted: Array, linear: Solution[Array]) -> Array:
    """The `Code` after one step: by the norm of its residual, that of the first one and the target, whether the step is
    acceptable, and how its linear solve ended.
    """
    code = jnp.where(accepted | (norm <= target), Code.SUCCESS, Code.STAGNATION)
    code = jnp.where(norm > 1e8 * first, Code.DIVERGENCE, code)
    code = jnp.where(jnp.isfinite(norm), code, Code.NOT_FINITE)
    lost = (linear.status.code == Code.BREAKDOWN) | (linear.status.code == Code.NOT_FINITE)
    return jnp.where(lost & ~(norm <= target), linear.status.code, code).astype(jnp.int32)


class _MatrixFree(eqx.Module):
    """The tangent of a residual by forward-mode differentiation."""

    residual: Residual
    symmetric: bool = eqx.field(static=True)

    def __call__(self, u: Array, args: Any) -> LinearOperator:
        return matrix_free_tangent(self.residual, u, args, self.symmetric)


class _Forward(eqx.Module):
    """The undifferentiated solve."""

    solver: NonlinearSolver
    state: Any
    u0: Array
    symmetric: bool = eqx.field(static=True)

    def __call__(self, residual: Residual, tangent: Tangent | None, parameters: Any):
        tangent = _MatrixFree(residual, self.symmetric) if tangent is None else tangent
        solution = self.solver.compute(residual, tangent, self.u0, parameters, self.state)
        return solution.value, (solution.status, solution.statistics)


def nonlinear_solve(
    residual: Residual,
    u0: Float[Array, " n"],
    args: PyTree,
    solver: NonlinearSolver,
    tangent: Tangent | None = None,
    state: Any = None,
    symmetric: bool = False,
    adjoint: Adjoint | None = None,
) -> Solution[Array]:
    """Find u with ``residual(u, args)`` = 0, differentiable in ``args``, forward and reverse, to any order.

    ``args`` is any pytree; the floating-point leaves of it, and of ``residual`` where that is a module or
    a bound method, carry derivatives. A plain function must not close over arrays that are differentiated:
    pass them in ``args``. ``tangent(u, args)`` gives ∂r/∂u as a `LinearOperator`; None applies it
    matrix-free, with ``symmetric`` saying what it is. ``state`` is of the linear solver
    (``solver.linear_solver.init(tangent(u0, args))``); None sets it up here. ``u0`` has no derivative.
    ``adjoint`` is `Implicit` (the default) or `Unrolled`.

    Returns u with shape (n,), the status and the statistics of the solver.
    """
    adjoint = Implicit() if adjoint is None else adjoint
    forward = _Forward(solver, stop_gradient(state), stop_gradient(u0), symmetric)
    if isinstance(adjoint, Unrolled):
        value, (status, statistics) = forward(residual, tangent, args)
    elif isinstance(adjoint, Implicit):
        same = adjoint.linear_solver is None
        linear_solver = solver.linear_solver if adjoint.linear_solver is None else adjoint.linear_solver
        value, (status, statistics) = implicit_solve(
            forward, residual, args, linear_solver, state if same else None, tangent, symmetric
        )
    else:
        raise ValueError(f"Adjoint {type(adjoint).__name__}: use Implicit or Unrolled.")
    return Solution(value, status, statistics)


def nonlinear_step(
    residual: Residual,
    u0: Float[Array, " n"],
    args: PyTree,
    solver: NonlinearSolver,
    tangent: Tangent,
    state: Any,
    symmetric: bool,
    trail: Trail | None,
) -> tuple[Solution[Array], Trail | None]:
    """Solve as `nonlinear_solve` by `Implicit`, one of many solves in a row: also returns the trail for the next one,
    see `implicit_step`.
    """
    forward = _Forward(solver, stop_gradient(state), stop_gradient(u0), symmetric)
    value, (status, statistics), trail = implicit_step(
        forward, residual, args, solver.linear_solver, state, tangent, symmetric, trail
    )
    return Solution(value, status, statistics), trail
