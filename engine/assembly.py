"""From element arrays to global vectors and matrices, by gathers instead of scatters."""

import functools
import operator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine.domains import Domain
from gemel.engine.spaces import FunctionSpace
from gemel.solvers.sparse import SparseOperator, SparsityPattern


class GatherSum(eqx.Module):
    r"""The linear map $y_i = \sum_{k\,:\,t_k = i} x_k$, planned once on the host.

    Rows of the map are sorted by their number of terms into buckets of equal, padded width, so that the
    sum is a few unrolled gathers: deterministic, and without the scatter that costs five times as much
    on a CPU.
    """

    tables: tuple[np.ndarray | Array, ...]
    order: np.ndarray | Array

    @staticmethod
    def plan(targets: np.ndarray, size: int) -> "GatherSum":
        """Plan the map for ``targets (m,)`` into ``size`` rows."""
        targets = np.asarray(targets).ravel()
        counts = np.bincount(targets, minlength=size)
        by_target = np.argsort(targets, kind="stable").astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        widths = _bucket_widths(counts)
        tables: list[np.ndarray] = []
        order = np.zeros(size, dtype=np.int32)
        offset, lower = 0, 0
        for width in widths:
            rows = np.flatnonzero((counts > lower) & (counts <= width))
            lower = width
            slots = np.arange(width)[:, None]
            inside = slots < counts[rows]
            place = np.minimum(starts[rows] + slots, len(by_target) - 1)
            tables.append(np.where(inside, by_target[place], len(targets)).astype(np.int32))
            order[rows] = offset + np.arange(len(rows), dtype=np.int32)
            offset += len(rows)
        order[counts == 0] = offset
        return GatherSum(tuple(map(jnp.asarray, tables)), jnp.asarray(order))

    def __call__(self, x: Array) -> Array:
        """Sum ``x (m, ...)`` into ``(size, ...)``."""
        padded = jnp.concatenate([x, jnp.zeros_like(x[:1])])
        sums = [functools.reduce(operator.add, [padded[row] for row in table]) for table in self.tables]
        return jnp.concatenate([*sums, jnp.zeros_like(x[:1])])[self.order]


def _bucket_widths(counts: np.ndarray) -> list[int]:
    """Powers of two up to the largest count; the last one is the largest count itself."""
    largest = int(counts.max(initial=0))
    widths = [width for width in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if width < largest]
    return [*widths, largest] if largest else []


class MatrixLayout(eqx.Module):
    """The sparsity of the operators on a space: all pairs of unknowns that share a cell."""

    pattern: SparsityPattern
    rows: np.ndarray | Array
    columns: np.ndarray | Array
    keys: np.ndarray | Array
    n_components: int = eqx.field(static=True)
    n_nodes: int = eqx.field(static=True)

    @staticmethod
    def of(space: FunctionSpace) -> "MatrixLayout":
        """Collect the pairs of nodes of every cell and expand them by components."""
        cells = np.asarray(space.cell_nodes, dtype=np.int64)
        keys = np.unique(_node_keys(cells, space.n_nodes))
        rows, columns = np.divmod(keys, space.n_nodes)
        c = space.n_components
        per_row = np.bincount(rows, minlength=space.n_nodes)
        starts = np.concatenate([[0], np.cumsum(per_row)])
        widths = np.repeat(per_row * c, c)
        indptr = np.concatenate([[0], np.cumsum(widths)])
        node_columns = (columns[:, None] * c + np.arange(c)).astype(np.int32)
        blocks = (
            [
                np.broadcast_to(node_columns[starts[n] : starts[n + 1]].ravel(), (c, per_row[n] * c)).ravel()
                for n in range(space.n_nodes)
            ]
            if c > 1
            else [columns.astype(np.int32)]
        )
        indices = np.concatenate(blocks)
        pattern = SparsityPattern.build(indptr, indices)
        all_rows = np.repeat(np.arange(space.n_dofs, dtype=np.int32), widths)
        return MatrixLayout(pattern, jnp.asarray(all_rows), jnp.asarray(indices), keys, c, space.n_nodes)

    def positions(self, domain: Domain) -> np.ndarray:
        """Where each entry of the element matrices ``(n, a, i, b, j)`` stands in the CSR values."""
        nodes = np.asarray(domain.nodes, dtype=np.int64)
        c = self.n_components
        pair = np.searchsorted(self.keys, _node_keys(nodes, self.n_nodes)).reshape(len(nodes), *(2 * nodes.shape[1:]))
        row_starts = np.searchsorted(self.keys, np.arange(self.n_nodes, dtype=np.int64) * self.n_nodes)
        widths = np.diff(np.append(row_starts, len(self.keys)))
        start, width = row_starts[nodes], widths[nodes]
        base = start[:, :, None] * c * c + (pair - start[:, :, None]) * c
        i, j = np.arange(c)[:, None, None], np.arange(c)[None, None, :]
        positions = base[:, :, None, :, None] + i * (width * c)[:, :, None, None, None] + j
        return positions.reshape(-1)

    def plan(self, domain: Domain) -> GatherSum:
        """Plan the assembly of a domain's element matrices into CSR values."""
        return GatherSum.plan(self.positions(domain), len(self.keys) * self.n_components**2)

    def operator(
        self,
        values: Array,
        free: Array | np.ndarray | None = None,
        diagonal: Any = 1.0,
        symmetric: bool = True,
    ) -> SparseOperator:
        """The sparse operator with the given CSR values, which ``symmetric`` promises to be symmetric.

        Where ``free`` is given, the rows and columns of the other unknowns are replaced by ``diagonal`` on
        the diagonal: the restriction to the free unknowns at full size.
        """
        if free is not None:
            free = jnp.asarray(free)
            kept = free[self.rows] & free[self.columns]
            values = jnp.where(kept, values, jnp.where(self.rows == self.columns, diagonal, 0.0))
        return self.pattern.operator(values, symmetric=symmetric)


def _node_keys(nodes: np.ndarray, n_nodes: int) -> np.ndarray:
    return (nodes[:, :, None] * n_nodes + nodes[:, None, :]).ravel()
