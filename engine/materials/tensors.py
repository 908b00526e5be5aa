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


def von_mises(stress: Float[Array, "*points 3 3"]) -> Float[Array, "*points"]:
    r"""The equivalent stress $\sqrt{\tfrac32\, s : s}$, $s$ the deviator, in the unit of ``stress``.

    Leading axes run over points. At zero the derivative is taken as zero.

    Source: von Mises, *Mechanik der festen Körper im plastisch-deformablen Zustand*, 1913.
    """
    mean = jnp.trace(stress, axis1=-2, axis2=-1)[..., None, None] / 3
    square = jnp.sum((stress - mean * jnp.eye(3)) ** 2, axis=(-2, -1))
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(1.5 * jnp.where(positive, square, 1.0)), 0.0)


def determinant(a: Tensor) -> Scalar:
    r"""$\det a$ by cofactors: cheap in a batch, and smooth."""
    return jnp.dot(a[0], jnp.cross(a[1], a[2]))


def cofactor(a: Tensor) -> Tensor:
    r"""$\mathrm{cof}\, a = \det(a)\, a^{-\top}$, the derivative of the determinant; it exists for a singular $a$."""
    return jnp.stack([jnp.cross(a[1], a[2]), jnp.cross(a[2], a[0]), jnp.cross(a[0], a[1])])


def inverse(a: Tensor) -> Tensor:
    r"""$a^{-1}$ by cofactors."""
    return cofactor(a).T / determinant(a)
