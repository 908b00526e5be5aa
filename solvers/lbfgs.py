r"""Limited-memory BFGS on $\tfrac12\|r\|^2$ with optax: an adjoint solve a trial point, for thousands of unknowns.

Source: Nocedal, Wright, *Numerical Optimization*, 2nd ed., 2006, algorithms 7.4 and 7.5; line search: algorithms 3.5
and 3.6.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from gemel.solvers.least_squares import FitState, LeastSquaresSolver, Residual, cost_and_gradient
from gemel.solvers.solution import Code


class LBFGS(LeastSquaresSolver):
    """Limited-memory BFGS with a line search for the strong Wolfe conditions.

    A trial point whose residual is not finite counts as a step too long. The gradient at a point is kept from the line
    search to the next step, so ``args`` must not change between steps: batches are for `GradientDescent`.

    Args:
        gtol: finished where the largest entry of the gradient is at most gtol.
        ftol: finished where a step lowers the cost by less than ftol of it; ``STAGNATION`` where it does not at all.
        max_steps: limit of steps.
        history: how many moves are remembered.
        max_trials: limit of trial points in a step.

    Raises:
        ValueError: for a history or a limit of trials less than one.
    """

    gtol: float
    ftol: float
    max_steps: int = eqx.field(static=True)
    history: int = eqx.field(static=True, default=20)
    max_trials: int = eqx.field(static=True, default=30)

    def __check_init__(self) -> None:
        if self.history < 1 or self.max_trials < 1:
            raise ValueError(
                f"L-BFGS needs a history and trials of at least one, not {self.history} and {self.max_trials}."
            )

    def init(self, fn: Residual, z: Float[Array, " p"], args: Any) -> FitState:
        """Evaluate the cost and its gradient at the start."""
        return _start(self, fn, z, args)

    def step(self, fn: Residual, state: FitState, args: Any) -> FitState:
        """Search along one quasi-Newton direction."""
        return _step(self, fn, state, args)


def _optimiser(solver: LBFGS) -> Any:
    search = optax.scale_by_zoom_linesearch(solver.max_trials, initial_guess_strategy="one")
    return optax.lbfgs(memory_size=solver.history, linesearch=search)


@eqx.filter_jit
def _start(solver: LBFGS, fn: Residual, z: Array, args: Any) -> FitState:
    cost, gradient = cost_and_gradient(fn, z, args)
    size = jnp.max(jnp.abs(gradient), initial=0.0)
    good = jnp.isfinite(cost) & jnp.all(jnp.isfinite(gradient))
    code = jnp.where(good, Code.SUCCESS, Code.NOT_FINITE).astype(jnp.int32)
    memory = (gradient, _optimiser(solver).init(z))
    return FitState(z, cost, size, jnp.asarray(0, jnp.int32), (size <= solver.gtol) | ~good, code, memory)


@eqx.filter_jit
def _step(solver: LBFGS, fn: Residual, state: FitState, args: Any) -> FitState:
    def value(z: Array) -> Array:
        return 0.5 * jnp.sum(fn(z, args) ** 2)

    gradient, memory = state.memory
    updates, memory = _optimiser(solver).update(
        gradient, memory, state.z, value=state.cost, grad=gradient, value_fn=value
    )
    z = jnp.asarray(optax.apply_updates(state.z, updates))
    cost, gradient = memory[-1].value, memory[-1].grad
    moved = cost < state.cost
    size = jnp.max(jnp.abs(gradient), initial=0.0)
    count = state.step + 1
    converged = moved & ((size <= solver.gtol) | (state.cost - cost <= solver.ftol * state.cost))
    code = jnp.where(converged, Code.SUCCESS, jnp.where(moved, Code.MAX_STEPS, Code.STAGNATION)).astype(jnp.int32)
    finished = converged | ~moved | (count >= solver.max_steps)
    return FitState(z, cost, size, count, finished, code, (gradient, memory))
