"""Stopping a fit before it learns the noise: when data that it does not see are no longer fitted better.

Source: Prechelt, *Early Stopping - But When?*, in Neural Networks: Tricks of the Trade, 1998.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gemel.solvers.least_squares import FitState, LeastSquaresSolver, Residual
from gemel.solvers.solution import Code


class Watch(eqx.Module):
    """The memory of `EarlyStopping`: the state of the method inside, the best point by the held-out misfit, and how
    many steps ago it was.
    """

    inner: FitState
    z: Float[Array, " p"]
    cost: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    misfit: Float[Array, ""]
    since: Int[Array, ""]


class EarlyStopping(LeastSquaresSolver):
    r"""Steps of another method until the misfit of held-out data, $\tfrac12\|h(z)\|^2$, has not fallen for some steps.

    The state then is at the point where it was least, with the status ``SUCCESS``; where the method inside finishes
    before, it is there too, with the method's own status. Before, it is where the method is.

    Args:
        solver: the method inside, whose own limits hold too.
        held: the residual of the held-out data, ``held(z, args)``.
        args: its arguments.
        patience: how many steps to go on without a lower misfit.

    Raises:
        ValueError: for a patience less than one.
    """

    solver: LeastSquaresSolver
    held: Residual = eqx.field(static=True)
    args: Any
    patience: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"Early stopping needs a patience of at least one step, not {self.patience}.")

    def init(self, fn: Residual, z: Float[Array, " p"], args: Any) -> FitState:
        """Start the method inside, and look at the held-out data there."""
        inner = self.solver.init(fn, z, args)
        never = jnp.asarray(jnp.inf, z.dtype)
        watch = Watch(inner, z, inner.cost, inner.gradient_norm, never, jnp.asarray(0, jnp.int32))
        return _watched(self, inner, watch)

    def step(self, fn: Residual, state: FitState, args: Any) -> FitState:
        """One step of the method inside."""
        return _watched(self, self.solver.step(fn, state.memory.inner, args), state.memory)

    def under_limit(self, state: FitState) -> FitState:
        """As the method inside does with its own state."""
        inner = self.solver.under_limit(state.memory.inner)
        return _state(self, inner, eqx.tree_at(lambda watch: watch.inner, state.memory, inner))


@eqx.filter_jit
def _watched(stopping: EarlyStopping, inner: FitState, watch: Watch) -> FitState:
    misfit = 0.5 * jnp.sum(stopping.held(inner.z, stopping.args) ** 2)
    better = misfit < watch.misfit
    memory = Watch(
        inner,
        jnp.where(better, inner.z, watch.z),
        jnp.where(better, inner.cost, watch.cost),
        jnp.where(better, inner.gradient_norm, watch.gradient_norm),
        jnp.where(better, misfit, watch.misfit),
        jnp.where(better, 0, watch.since + 1).astype(jnp.int32),
    )
    return _state(stopping, inner, memory)


def _state(stopping: EarlyStopping, inner: FitState, memory: Watch) -> FitState:
    """Where the method inside is or, where it or the patience has ended, the best point."""
    tired = memory.since >= stopping.patience
    finished = inner.finished | tired
    code = jnp.where(inner.finished, inner.code, jnp.where(tired, Code.SUCCESS, Code.MAX_STEPS)).astype(jnp.int32)
    return FitState(
        jnp.where(finished, memory.z, inner.z),
        jnp.where(finished, memory.cost, inner.cost),
        jnp.where(finished, memory.gradient_norm, inner.gradient_norm),
        inner.step,
        finished,
        code,
        memory,
    )
