"""Eigenvalues that are the same: which, and what of their derivatives exists."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_CLOSE, _CLOSE_TO_ZERO = 1e-7, 1e-10
"""Eigenvalues that agree to the first relative to themselves, or to the second relative to the largest one, are taken
as one repeated eigenvalue.
"""


def groups_of(values: Float[Array, " k"]) -> Float[Array, "k k"]:
    """One where two eigenvalues are the same, else zero."""
    size = jnp.abs(jax.lax.stop_gradient(values))
    gap = jnp.abs(jax.lax.stop_gradient(values)[:, None] - jax.lax.stop_gradient(values))
    same = gap <= _CLOSE * jnp.maximum(size[:, None], size) + _CLOSE_TO_ZERO * jnp.max(size)
    return same.astype(values.dtype)


def taken_apart(
    values: Float[Array, " k"], groups: Float[Array, "k k"]
) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Eigenvalues of which repeated ones, of the `groups_of` them, but those about zero, are taken apart by the root of
    the precision, relative to themselves; and for two vectors of such a group one over the distance of their
    eigenvalues, else zero.
    """
    split = jnp.finfo(values.dtype).eps ** 0.5
    size, order = jnp.abs(values), jnp.arange(len(values))
    far = size > _CLOSE_TO_ZERO / _CLOSE * jnp.max(size)
    same = groups * (far[:, None] & far)
    after = jnp.sign(order[:, None] - order)
    apart = values + 0.5 * split * size * jnp.sum(same * after, axis=1)
    gaps = apart - apart[:, None]
    turning = (same > 0) & (after != 0)
    return apart, jnp.where(turning, 1.0 / jnp.where(turning, gaps, 1.0), 0.0)


def first_order(
    rates: Float[Array, "*n k"], mark: Float[Array, " k"], repeated: Bool[Array, " k"]
) -> Float[Array, "*n k"]:
    """The rates, linear in them; their derivative by ``mark`` is NaN where they are those of a repeated eigenvalue."""

    def same(_, given: Array) -> Array:
        return given

    # As a solve with the identity, because what a tangent goes through must be linear in both directions. Where a rate,
    # or in reverse mode a cotangent, is zero so is the derivative: second derivatives of the other pairs remain.
    return jax.lax.custom_linear_solve(lambda x: _marked(x, mark, repeated), rates, same, same, symmetric=True)


@jax.custom_jvp
def _marked(x: Array, mark: Array, repeated: Array) -> Array:
    return x


@_marked.defjvp
def _marked_jvp(primals, tangents):
    x, _, repeated = primals
    return x, tangents[0] + jnp.where(repeated & (x != 0), jnp.nan, 0.0) * tangents[1]
