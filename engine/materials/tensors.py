"""Algebra of tensors at one point, ``(3, 3)``, with derivatives that exist at zero."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Tensor = Float[Array, "3 3"]
Scalar = Float[Array, ""]


def symmetric(a: Tensor) -> Tensor:
    r"""$\tfrac12(a + a^\top)$."""
    return 0.5 * (a + a.T)


def deviator(a: Tensor) -> Tensor:
    r"""$a - \tfrac13 \mathrm{tr}(a)\, I$."""
    return a - jnp.trace(a) / 3 * jnp.eye(3, dtype=a.dtype)


def norm(a: Array) -> Scalar:
    r"""$\sqrt{a : a}$; at zero the derivative is taken as zero, so that an unloaded point gives no NaN."""
    square = jnp.sum(a * a)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def von_mises(stress: Tensor) -> Scalar:
    r"""The equivalent stress $\sqrt{\tfrac32\, s : s}$, $s$ the deviator, in the unit of ``stress``.

    Source: von Mises, *Mechanik der festen Körper im plastisch-deformablen Zustand*, 1913.
    """
    return jnp.sqrt(1.5) * norm(deviator(stress))


def determinant(a: Tensor) -> Scalar:
    r"""$\det a$ by cofactors: cheap in a batch, and smooth."""
    return jnp.dot(a[0], jnp.cross(a[1], a[2]))


def inverse(a: Tensor) -> Tensor:
    r"""$a^{-1}$ by cofactors."""
    cofactors = jnp.stack([jnp.cross(a[1], a[2]), jnp.cross(a[2], a[0]), jnp.cross(a[0], a[1])], axis=1)
    return cofactors / determinant(a)
