"""Linear solves that can be differentiated in everything inside the operator and in the right-hand side."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from gemel.solvers.implicit import implicit_solve, implicit_step, state_for, stop_gradient
from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Solution
from gemel.solvers.trail import Trail


class _Forward(eqx.Module):
    """The undifferentiated solve."""

    solver: LinearSolver
    state: Any
    x0: Array | None

    def __call__(self, residual: Any, tangent: Any, parameters: tuple[LinearOperator, Array]):
        operator, b = parameters
        solution = self.solver.compute(self.state, operator, b, self.x0)
        return solution.value, (solution.status, solution.statistics)


def linear_residual(x: Array, parameters: tuple[LinearOperator, Array]) -> Array:
    """A x − b."""
    operator, b = parameters
    return operator.mv(x) - b


def linear_tangent(x: Array, parameters: tuple[LinearOperator, Any]) -> LinearOperator:
    """A."""
    return parameters[0]


def linear_solve(
    operator: LinearOperator,
    b: Float[Array, " n"],
    solver: LinearSolver,
    state: Any = None,
    x0: Float[Array, " n"] | None = None,
) -> Solution[Array]:
    """Solve A x = b; differentiable in the leaves of A and in b, forward and reverse, to any order.

    The derivative is implicit: A dx = db − dA x, and with the cotangent x̄ in reverse mode Aᵀ b̄ = x̄, Ā =
    −b̄ xᵀ on the pattern of A. It uses the same solver and state. ``state`` comes from
    ``solver.init(operator)``, of this operator or of one with other values, and is refreshed by
    ``solver.update``; None sets it up here, which inside jit only solvers without a host set-up can do.
    ``x0`` is a guess and has no derivative.

    Returns x with shape (n,), the status, and the statistics of the solver.
    """
    return linear_step(operator, b, solver, state_for(solver, state, operator), x0, None)[0]


def linear_step(
    operator: LinearOperator,
    b: Float[Array, " n"],
    solver: LinearSolver,
    state: Any,
    x0: Float[Array, " n"] | None,
    trail: Trail | None,
) -> tuple[Solution[Array], Trail | None]:
    """Solve as `linear_solve`, with a state that already belongs to these values, one of many solves in a row: also
    returns the trail for the next one, see `implicit_step`.
    """
    aside = None if trail is None else trail.aside
    if trail is not None and aside is not None:
        b, trail = b + aside.pushes[0], trail.beside(None)
    forward = _Forward(solver, stop_gradient(state), stop_gradient(x0))
    value, (status, statistics), trail = implicit_step(
        forward, linear_residual, (operator, b), solver, state, linear_tangent, operator.symmetric, trail
    )
    if trail is not None and aside is not None:
        trail = trail.beside(aside.next(value))
    return Solution(value, status, statistics), trail


class _Step(eqx.Module):
    """One undifferentiated step to the root of an affine residual."""

    solver: LinearSolver
    state: Any
    start: Array
    there: Array | None

    def __call__(self, residual: Any, tangent: Any, parameters: tuple[LinearOperator, PyTree]):
        operator, args = parameters
        there = residual.of(self.start, args) if self.there is None else self.there
        solution = self.solver.compute(self.state, operator, -there, None)
        return self.start + solution.value, (solution.status, solution.statistics)


class _Affine(eqx.Module):
    """The residual with its tangent beside the parameters."""

    of: Callable[[Array, Any], Array]

    def __call__(self, u: Array, parameters: tuple[LinearOperator, PyTree]) -> Array:
        return self.of(u, parameters[1])


def affine_solve(
    residual: Callable[[Array, Any], Array],
    start: Float[Array, " n"],
    args: PyTree,
    operator: LinearOperator,
    solver: LinearSolver,
    state: Any,
    there: Float[Array, " n"] | None = None,
) -> Solution[Array]:
    """Find the root u of a residual that is affine in u and has ``operator`` as its tangent, by one linear solve.

    As `linear_solve` of ``operator`` with the residual at ``start`` on the right, but reverse mode goes through
    ``residual(u, args)`` instead of the entries of the matrix: it needs one product with its transposed derivative,
    where that of an assembly costs several assemblies. ``start`` has no derivative. All floating-point leaves of
    ``args`` and of ``residual`` do, to any order. ``there`` is the residual at ``start`` where it is known.
    """
    state = state_for(solver, state, operator)
    forward = _Step(solver, stop_gradient(state), stop_gradient(start), stop_gradient(there))
    value, (status, statistics) = implicit_solve(
        forward, _Affine(residual), (operator, args), solver, state, linear_tangent, operator.symmetric
    )
    return Solution(value, status, statistics)
