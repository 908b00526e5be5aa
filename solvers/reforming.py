"""Galerkin's products again, for other values of a matrix: on the device, with the prolongations kept."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Int
from pyamg.graph import vertex_coloring

from gemel.solvers.padded_rows import Layout, filled
from gemel.solvers.placing import on_device

_COLUMNS = 16
"""Vectors that are multiplied at a time; so many cost what five cost one by one."""

Product = Callable[[Array], Array]


class Probes(eqx.Module):
    """How a sparse matrix of known sparsity is read off its products with a few vectors.

    Nodes of one colour have no row in common: the product with the sum of their unit vectors shows the entries of each.
    ``colours (nodes,)`` is that of every node; for the padded rows of the matrix, bucket by bucket, ``columns`` has the
    colour of the column of every slot, one past the last for padding, and ``rows`` the node of every row. Each node has
    ``width`` unknowns.

    Source: Curtis, Powell, Reid, *On the estimation of sparse Jacobian matrices*, IMA J. Appl. Math. 13 (1974).
    """

    colours: Int[Array, " nodes"]
    columns: tuple[Int[Array, "_ _ _"], ...]
    rows: tuple[Int[Array, " _"], ...]
    count: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    @staticmethod
    def of(layout: Layout, indptr: np.ndarray, indices: np.ndarray) -> "Probes":
        """For a square matrix in the given layout, with the sparsity that it was made from; on the host."""
        n = len(indptr) - 1
        graph = scipy.sparse.csr_array((np.ones(len(indices), np.int32), indices, indptr), shape=(n, n))
        colours = vertex_coloring((graph.T @ graph).tocsr(), method="LDF")
        count = int(colours.max(initial=0)) + 1
        tables = filled(layout, indptr, colours[indices], np.int32, count)
        columns = tuple(table.reshape(c.shape) for table, c in zip(tables, layout.rows.columns, strict=True))
        rows = tuple(layout.buckets())
        return Probes(
            on_device(colours.astype(np.int32)), on_device(columns), on_device(rows), count, layout.rows.block[0]
        )

    def read(self, product: Product) -> tuple[tuple[Float[Array, "..."], ...], Float[Array, " n"]]:
        """The values of every bucket, and the diagonal, of the matrix whose product is given."""
        width, nodes = self.width, len(self.colours)

        def shown(colour: Array) -> Array:
            unit = (self.colours == colour)[None, :, None] * jnp.eye(width)[:, None]
            return jax.vmap(product)(unit.reshape(width, -1)).reshape(width, nodes, width)

        found = jax.lax.map(shown, jnp.arange(self.count), batch_size=max(1, _COLUMNS // width))
        blocks = jnp.moveaxis(jnp.pad(found, [(0, 1), (0, 0), (0, 0), (0, 0)]), 1, 3)  # colour, node, row, column
        values = (
            jnp.moveaxis(blocks[columns, rows], (3, 4), (0, 3))
            for columns, rows in zip(self.columns, self.rows, strict=True)
        )
        own = blocks[self.colours, jnp.arange(nodes)]
        return tuple(values), jnp.diagonal(own, axis1=1, axis2=2).reshape(-1)


def dense(product: Product, n: int) -> Float[Array, "n n"]:
    """The matrix of a product with vectors of length n."""
    return jax.lax.map(product, jnp.eye(n), batch_size=_COLUMNS).T


def pseudo_inverse(matrix: Float[Array, "n n"], symmetric: bool) -> Float[Array, "n n"]:
    """A generalised inverse, of the matrix with a unit diagonal: its small entries are no noise."""
    diagonal = jnp.abs(jnp.diagonal(matrix))
    root = 1.0 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    scaled = root[:, None] * matrix * root
    inverse = jnp.linalg.pinv(0.5 * (scaled + scaled.T), hermitian=True) if symmetric else jnp.linalg.pinv(scaled)
    return root[:, None] * inverse * root
