"""The rate of all members at once, with components first and members last, and its derivatives."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

Rate = Callable[[Any, Any, Any], Array]
"""``rate(t, y, p)`` of one member: t of shape (), y and the result of shape (n,), p without its members' axis."""


def slopes(rate: Rate, t: Float[Array, " L"], y: Float[Array, "n L"], p: PyTree) -> Float[Array, "n L"]:
    """Return f(t, y, p) of every member."""
    return jax.vmap(rate, in_axes=(0, -1, -1), out_axes=-1)(t, y, p)


def jacobians(
    rate: Rate, t: Float[Array, " L"], y: Float[Array, "n L"], p: PyTree
) -> tuple[Float[Array, "n n L"], Float[Array, "n L"]]:
    """Return ∂f/∂y, its rows first, and ∂f/∂t of every member, by forward-mode differentiation."""

    def both(t: Array, y: Array, p: PyTree) -> tuple[Array, Array]:
        basis, still = jnp.eye(y.shape[0], dtype=y.dtype), jnp.zeros_like(t)
        columns = jax.vmap(lambda e: jax.jvp(rate, (t, y, p), (still, e, _zeros(p)))[1])(basis)
        return columns.T, jax.jvp(rate, (t, y, p), (jnp.ones_like(t), jnp.zeros_like(y), _zeros(p)))[1]

    return jax.vmap(both, in_axes=(0, -1, -1), out_axes=-1)(t, y, p)


def _zeros(tree: PyTree) -> PyTree:
    return jax.tree.map(jnp.zeros_like, tree)
