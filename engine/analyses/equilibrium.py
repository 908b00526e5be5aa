"""Newton's method for the equilibrium of a discrete problem with prescribed values."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.problems import DiscreteProblem
from gemel.solvers import Backtracking, LinearSolver, Newton, NonlinearSolver, Solution


class EquilibriumNewton(NonlinearSolver):
    r"""Newton's method for a `DiscreteProblem`, from a predictor that spreads prescribed displacements.

    Moving supports alone would put the whole motion of a step into one layer of elements. The predictor instead
    solves the equations linearised where the step starts, $K(u_n)\,\Delta u = -r(u_n)$ with $\Delta u$ prescribed at
    the supports, and is taken where its residual is the smaller one. Converged where the residual falls below
    ``rtol`` times the norm of the sums of the magnitudes of element forces, which does not vanish where a body is
    in balance, or where a full step is shorter than ``xtol`` times the field. ``problem_of(args)`` gives the problem.
    """

    linear_solver: LinearSolver
    problem_of: Callable[[Any], DiscreteProblem] = eqx.field(static=True)
    rtol: float
    xtol: float
    max_steps: int = eqx.field(static=True)
    max_halvings: int = eqx.field(static=True)

    def compute(self, residual: Any, tangent: Any, u0: Float[Array, " n"], args: Any, state: Any) -> Solution[Array]:
        """Iterate from the better of the lifted ``u0`` and the predictor."""
        problem = self.problem_of(args)
        lifted = problem.constraint.lift(u0)
        predicted = self._predict(problem, u0, lifted, state)
        errors = [jnp.linalg.norm(residual(u, args)) for u in (lifted, predicted)]
        better = jnp.isfinite(errors[1]) & ~(errors[0] < errors[1])  # the other may be NaN, of inverted cells
        start = jnp.where(better, predicted, lifted)
        atol = self.rtol * force_scale(problem, start)
        newton = Newton(self.linear_solver, 0.0, 0.0, self.max_steps, Backtracking(self.max_halvings), self.xtol)
        newton = eqx.tree_at(lambda solver: solver.atol, newton, atol)
        return newton.compute(residual, tangent, start, args, state)

    def _predict(self, problem: DiscreteProblem, u: Array, lifted: Array, state: Any) -> Array:
        constraint = problem.constraint
        value, change = jax.jvp(problem.unconstrained, (u,), (lifted - u,))
        operator = constraint.operator(problem.layout, problem.matrix_values(u), 1.0, symmetric=problem.symmetric)
        state = self.linear_solver.init(operator) if state is None else self.linear_solver.update(state, operator)
        increment = self.linear_solver.compute(state, operator, -constraint.reduce(value + change)).value
        return constraint.lift(lifted + increment)


def force_scale(problem: DiscreteProblem, u: Float[Array, " n"]) -> Float[Array, ""]:
    """The norm of the assembled magnitudes of all element residuals at ``u``."""
    points = jnp.asarray(problem.space.mesh.points)
    total = jnp.zeros_like(u)
    for part, gather in zip(problem.contributions, problem.to_vector, strict=True):
        total = total + gather([jnp.abs(local) for local in part.residuals(u, points)])
    return jnp.linalg.norm(total)
