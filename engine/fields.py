"""The mathematics of weak forms at one quadrature point: fields, gradients and products."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Jet(eqx.Module):
    r"""A field at one quadrature point: $u$ and $\nabla u$.

    ``value`` has the field's shape, ``()`` or ``(c,)``; ``grad`` has ``(dim,)`` or ``(c, dim)`` with
    ``grad[i, j]`` $= \partial u_i / \partial x_j$; leading axes run over points. The same pair holds
    what a residual is made of: a source that multiplies $v$ and a flux that multiplies $\nabla v$.
    """

    value: Float[Array, "..."]
    grad: Float[Array, "... dim"]


class Point(eqx.Module):
    """Where an integrand is evaluated: position ``x (dim,)`` in m, outward unit ``normal (dim,)`` (None in cells)."""

    x: Float[Array, "... dim"]
    normal: Any = None


def grad(u: Jet) -> Array:
    r"""$\nabla u$, shape ``(dim,)`` or ``(c, dim)``."""
    return u.grad


def sym_grad(u: Jet) -> Array:
    r"""$\varepsilon(u) = \tfrac12(\nabla u + \nabla u^\top)$, shape ``(dim, dim)``."""
    return 0.5 * (u.grad + u.grad.T)


def div(u: Jet) -> Array:
    r"""$\nabla\cdot u$, the trace of the gradient of a vector field."""
    return jnp.trace(u.grad)


def inner(a: Array, b: Array) -> Array:
    r"""The full contraction $a : b = \sum a_{i\dots}\, b_{i\dots}$."""
    return jnp.sum(a * b)
