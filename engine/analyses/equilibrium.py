"""Newton's method for the equilibrium of a discrete problem with prescribed values."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.problems import DiscreteProblem
from gemel.solvers import Backtracking, Code, LinearSolver, Newton, NonlinearSolver, Solution, Status

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
    the body counts as converged. ``problem_of(args)`` gives the problem.
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
        predicted, rounding = self._predict(problem, u0, lifted, state)
        errors = [jnp.linalg.norm(residual(u, args)) for u in (lifted, predicted)]
        better = jnp.isfinite(errors[1]) & ~(errors[0] < errors[1])  # the other may be NaN, of inverted cells
        start = jnp.where(better, predicted, lifted)
        atol = self.rtol * force_scale(problem, start)
        search = Backtracking(self.max_halvings, patience=_PATIENCE)
        newton = Newton(self.linear_solver, 0.0, 0.0, self.max_steps, search, self.xtol)
        newton = eqx.tree_at(lambda solver: solver.atol, newton, atol)
        found = newton.compute(residual, tangent, start, args, state)
        rounded = (found.status.code == Code.STAGNATION) & (found.statistics["residual"] <= rounding)
        return Solution(found.value, Status(jnp.where(rounded, Code.SUCCESS, found.status.code)), found.statistics)

    def _predict(self, problem: DiscreteProblem, u: Array, lifted: Array, state: Any) -> tuple[Array, Array]:
        """The predictor, and the size of the residual that rounding of a displacement makes."""
        constraint = problem.constraint
        value, change = jax.jvp(problem.unconstrained, (u,), (lifted - u,))
        operator = constraint.operator(
            problem.layout, problem.matrix_values(u, problem.symmetric), 1.0, symmetric=problem.symmetric
        )
        state = self.linear_solver.init(operator) if state is None else self.linear_solver.update(state, operator)
        increment = self.linear_solver.compute(state, operator, -constraint.reduce(value + change)).value
        size = jnp.linalg.norm(jnp.ptp(jnp.asarray(problem.space.mesh.points), axis=0))
        rounding = _ROUNDING * size * jnp.linalg.norm(operator.diagonal())
        return constraint.lift(lifted + increment), rounding


def force_scale(problem: DiscreteProblem, u: Float[Array, " n"]) -> Float[Array, ""]:
    """The norm of the assembled magnitudes of all element residuals at ``u``."""
    points = jnp.asarray(problem.space.mesh.points)
    total = jnp.zeros_like(u)
    for part, gather in zip(problem.contributions, problem.to_vector, strict=True):
        total = total + gather([jnp.abs(local) for local in part.residuals(u, points)])
    return jnp.linalg.norm(total)
