"""Structural elements: contributions given by a residual of a few unknowns instead of an integrand."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gemel.engine.chunks import Chunks
from gemel.engine.coefficients import ByTag, PerCell
from gemel.engine.problems import Contribution
from gemel.engine.tangents import Delegated, Differentiable


class ElementKernel(Differentiable):
    """The residual of one structural element: a truss, a beam, a spring between two nodes.

    Its numbers may be coefficients: parameters, inputs, values by tag or by element; the kernel is called with
    plain arrays in their place.
    """

    @abstractmethod
    def residual(self, u: Float[Array, " n_local"], x: Float[Array, "n_corners dim"]) -> Float[Array, " n_local"]:
        """The residual at the element's unknowns ``u``, with the coordinates of its corners in m."""


class ElementGroup(Delegated, Contribution):
    """Structural elements of one kind.

    Args:
        kernel: the residual of one element.
        unknowns: the unknowns of each element in the flat vector.
        corners: the numbers of each element's points in the mesh.
        cells: the cells they are, for values by tag; may be empty where there are none.
    """

    kernel: ElementKernel
    unknowns: Int[np.ndarray | Array, "n_elements n_local"]
    corners: Int[np.ndarray | Array, "n_elements n_corners"]
    cells: Int[np.ndarray | Array, " n"]

    def dofs(self) -> list[np.ndarray]:
        """One group."""
        return [np.asarray(self.unknowns, dtype=np.int64)]

    def residuals(self, u: Float[Array, " n"], points: Array) -> list[Array]:
        """The kernel's residuals."""
        return [self.each(lambda kernel, local, x: kernel.residual(local, x), u, points)]

    def tangents(self, u: Float[Array, " n"], points: Array) -> list[Chunks]:
        """The kernel's tangents, by forward-mode differentiation."""
        found = self.each(lambda kernel, local, x: jax.jacfwd(kernel.residual)(local, x), u, points)
        return [Chunks.made(jnp.moveaxis(found, 0, -1))]

    def each(self, function: Any, u: Float[Array, " n"], points: Array) -> Any:
        """``function(kernel, u_local, x)`` for every element, with plain numbers in its kernel; stacked."""
        kernel = jax.tree.map(
            lambda leaf: leaf.at(jnp.asarray(self.cells)) if isinstance(leaf, ByTag) else leaf,
            self.kernel,
            is_leaf=lambda leaf: isinstance(leaf, ByTag),
        )
        rows, shared = eqx.partition(kernel, _is_row, is_leaf=_is_row)

        def one(row: Any, unknowns: Any, corners: Any) -> Array:
            mine = jax.tree.map(lambda leaf: leaf.values if _is_row(leaf) else leaf, row, is_leaf=_is_row)
            return function(eqx.combine(mine, shared), u[unknowns], points[corners])

        return jax.vmap(one)(rows, self.unknowns, self.corners)

    @property
    def origin(self) -> Differentiable:
        """The kernel."""
        return self.kernel


def _is_row(leaf: Any) -> bool:
    return isinstance(leaf, PerCell)
