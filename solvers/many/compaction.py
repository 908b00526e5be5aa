"""The loop over a group of systems, in which those that are done make room."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gemel.solvers.krylov import KrylovSolver
from gemel.solvers.linear_solver import inverse_size
from gemel.solvers.many.stacked import float_axis, take
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Solution

_SHRINK = 4
"""Systems are put together anew when one in so many is left."""


class Systems(eqx.Module):
    """A group of systems: their operators and states, and what solves them."""

    solver: KrylovSolver
    operator: LinearOperator
    shared: Any
    own: Any
    varied: bool = eqx.field(static=True)

    def each(self, function: Any, *batch: Any, axis: str | None = None) -> Any:
        """``function`` of each operator, its state, and its part of the batch."""
        lane = float_axis if self.varied else None
        axes = (lane, lane, *(0 for _ in batch))

        def call(operator: LinearOperator, own: Any, *parts: Any) -> Any:
            adapts = self.varied and self.shared is not None
            return function(operator, self.solver.update(self.shared, operator) if adapts else own, *parts)

        return eqx.filter_vmap(call, in_axes=axes, axis_name=axis)(self.operator, self.own, *batch)

    def one(self, b: Array, x0: Array) -> Solution[Array]:
        """Solve a group of one."""
        operator, own = (take(tree, 0) if self.varied else tree for tree in (self.operator, self.own))
        state = self.solver.update(self.shared, operator) if self.varied and self.shared is not None else own
        return jax.tree.map(lambda leaf: leaf[None], self.solver.compute(state, operator, b[0], x0[0]))

    def solve(self, b: Array, x0: Array) -> Solution[Array]:
        """Solve all, in ever smaller arrays."""
        scale = jax.vmap(inverse_size)(b)
        b, x0 = scale[:, None] * b, scale[:, None] * x0
        target = jax.vmap(self.solver.target)(b, scale)
        now = self.each(lambda a, state, b, x: self.solver.start(state, a, b, x), b, x0)
        width = b.shape[0]
        now = self._advance(target, now, width // _SHRINK)
        while (width := width // _SHRINK) > 0:
            going = jax.vmap(self.solver.running)(target, now)
            chosen = jnp.argsort(~going, stable=True)[:width]
            few_targets, few_now = _get((target, now), chosen)
            operator, own = take((self.operator, self.own), chosen) if self.varied else (self.operator, self.own)
            left = Systems(self.solver, operator, self.shared, own, self.varied)
            few_now = left._advance(few_targets, few_now, width // _SHRINK)
            now = _put(now, few_now, chosen)
        return self.each(lambda a, _, *known: self.solver.judge(a, *known), b, target, scale, now)

    def _advance(self, targets: Array, now: Any, few: int) -> Any:
        """Advance until at most ``few`` go on; those that are done stay as they are."""

        def loop(operator: LinearOperator, state: Any, target: Array, now: Any) -> Any:
            def proceed(now: Any) -> Array:
                return jax.lax.psum(self.solver.running(target, now).astype(jnp.int32), "systems") > few

            def advance(now: Any) -> Any:
                going = self.solver.running(target, now)
                new = self.solver.advance(state, operator, target, now)
                return jax.tree.map(lambda new, old: jnp.where(going, new, old), new, now)

            return jax.lax.while_loop(proceed, advance, now)

        return self.each(loop, targets, now, axis="systems")


def _get(tree: Any, index: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


def _put(tree: Any, parts: Any, index: Array) -> Any:
    return jax.tree.map(lambda leaf, part: leaf.at[index].set(part), tree, parts)
