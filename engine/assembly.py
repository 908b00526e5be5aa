"""From element arrays to global vectors and matrices, by gathers instead of scatters."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float

from gemel.engine.compiling import one_program
from gemel.solvers.placing import on_device
from gemel.solvers.sparse import SparseOperator, SparsityPattern

_CACHED_PAIRS = 2**19
"""How many pairs of blocks are looked up at a time."""


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
        return on_device(GatherSum(tuple(tables), order))

    @one_program
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


class VectorPlan(eqx.Module):
    """The assembly of element vectors whose entries come in groups of ``width`` neighbouring unknowns."""

    gather: GatherSum
    width: int = eqx.field(static=True)

    def __call__(self, local: Sequence[Float[Array, "_ _"]]) -> Float[Array, " n"]:
        """Sum element vectors, one array ``(n_elements, n_local)`` for each group of elements."""
        flat = jnp.concatenate([values.reshape(-1) for values in local])
        return self.gather(flat.reshape(-1, self.width)).reshape(-1)


class MatrixLayout(eqx.Module):
    """The sparsity of the operators of a problem: all pairs of unknowns that share an element.

    Unknowns come in blocks of ``width`` (the components at a node); the sparsity is that of the blocks: in row ``i``
    the blocks ``neighbours[starts[i] : starts[i + 1]]``, ascending.
    """

    pattern: SparsityPattern
    rows: np.ndarray | Array
    columns: np.ndarray | Array
    starts: np.ndarray | Array
    neighbours: np.ndarray | Array
    width: int = eqx.field(static=True)
    n_blocks: int = eqx.field(static=True)

    @staticmethod
    def of(n_dofs: int, width: int, couplings: Sequence[np.ndarray]) -> "MatrixLayout":
        """Collect the pairs of blocks of all elements, given by their unknowns ``(n_elements, n_local)``."""
        n_blocks = n_dofs // width
        block_starts, columns = _neighbours(n_blocks, [_blocks(dofs, width)[0] for dofs in _distinct(couplings)])
        per_row = np.diff(block_starts)
        starts = np.repeat(np.concatenate([[0], np.cumsum(per_row)])[:-1] * width, width)
        widths = np.repeat(per_row * width, width)
        indptr = np.concatenate([[0], np.cumsum(widths)])
        expanded = (columns[:, None] * width + np.arange(width)).astype(np.int32).ravel()
        indices = expanded[np.repeat(starts - indptr[:-1], widths) + np.arange(indptr[-1])]
        pattern = SparsityPattern.build(indptr, indices)
        all_rows = np.repeat(np.arange(n_dofs, dtype=np.int32), widths)
        return MatrixLayout(pattern, on_device(all_rows), on_device(indices), block_starts, columns, width, n_blocks)

    def positions(self, dofs: np.ndarray) -> np.ndarray:
        """Where each entry of the element matrices ``(n_elements, n_local, n_local)`` stands in the CSR values."""
        blocks, whole = _blocks(dofs, self.width)
        c = self.width
        bounds = np.asarray(self.starts)
        pair = _find_pairs(bounds, np.asarray(self.neighbours), blocks)
        if c == 1:
            return pair.reshape(-1)
        start = bounds[blocks][:, :, None]
        width = (bounds[blocks + 1] - bounds[blocks])[:, :, None]
        base = start * c * c + (pair - start) * c
        if whole:
            i, j = np.arange(c)[:, None, None], np.arange(c)[None, None, :]
            entries = base[:, :, None, :, None] + i * (width * c)[:, :, None, :, None] + j
        else:
            component = np.asarray(dofs) % c
            entries = base + component[:, :, None] * (width * c) + component[:, None, :]
        return entries.reshape(-1)

    def plan_matrix(self, dofs: Sequence[np.ndarray]) -> GatherSum:
        """Plan the assembly of element matrices into CSR values, for groups of elements with these unknowns."""
        parts = [self.positions(group) for group in dofs] or [np.zeros(0, dtype=np.int64)]
        positions = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return GatherSum.plan(positions, len(self.neighbours) * self.width**2)

    def plan_vector(self, dofs: Sequence[np.ndarray]) -> VectorPlan:
        """Plan the assembly of element vectors into a flat vector of unknowns."""
        blocks = [_blocks(group, self.width) for group in dofs]
        if all(whole for _, whole in blocks):
            targets = np.concatenate([np.zeros(0, np.int64), *(rows.ravel() for rows, _ in blocks)])
            return VectorPlan(GatherSum.plan(targets, self.n_blocks), self.width)
        targets = np.concatenate([np.asarray(group).ravel() for group in dofs])
        return VectorPlan(GatherSum.plan(targets, self.n_blocks * self.width), 1)

    def operator(
        self,
        values: Array,
        free: Array | np.ndarray | None = None,
        diagonal: Any = 1.0,
        *,
        symmetric: bool,
    ) -> SparseOperator:
        """The sparse operator with the given CSR values.

        ``symmetric`` promises that they are those of a symmetric matrix: products with the transpose, and so
        derivatives in reverse mode, are wrong where it does not hold.
        Where ``free`` is given, the rows and columns of the other unknowns are replaced by ``diagonal`` on
        the diagonal: the restriction to the free unknowns at full size.
        """
        if free is not None:
            free = jnp.asarray(free)
            kept = free[self.rows] & free[self.columns]
            values = jnp.where(kept, values, jnp.where(self.rows == self.columns, diagonal, 0.0))
        return self.pattern.operator(values, symmetric=symmetric)


def sorted_unique(keys: np.ndarray) -> np.ndarray:
    """The distinct numbers in ascending order; numpy's ``unique`` hashes, ten times as long for millions."""
    keys = np.sort(keys)
    return keys[np.concatenate([np.ones(min(len(keys), 1), dtype=bool), keys[1:] != keys[:-1]])]


def _blocks(dofs: np.ndarray, width: int) -> tuple[np.ndarray, bool]:
    """The blocks of each element, and whether its unknowns are whole blocks in order (then one entry a block)."""
    dofs = np.asarray(dofs, dtype=np.int64)
    if dofs.shape[1] % width == 0:
        blocks = dofs[:, ::width] // width
        expanded = (blocks[:, :, None] * width + np.arange(width)).reshape(dofs.shape)
        if np.array_equal(expanded, dofs):
            return blocks, True
    return dofs // width, False


def _distinct(couplings: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The couplings without arrays that occur twice, such as those of stiffness and mass on the same cells."""
    distinct: list[np.ndarray] = []
    for dofs in couplings:
        if not any(dofs.shape == other.shape and np.array_equal(dofs, other) for other in distinct):
            distinct.append(dofs)
    return distinct


def _neighbours(n_blocks: int, couplings: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    r"""The blocks that share an element with each block, and itself: row pointers and ascending columns.

    The sparsity of $C^\top C$ for the incidence $C$ of elements and blocks: six times as fast as sorting all pairs.
    """
    elements = [np.arange(n_blocks)[:, None], *couplings]
    counts = np.concatenate([np.full(len(blocks), blocks.shape[1]) for blocks in elements])
    members = np.concatenate([blocks.ravel() for blocks in elements])
    starts = np.concatenate([[0], np.cumsum(counts)])
    incidence = scipy.sparse.csr_array(
        (np.ones(len(members), dtype=bool), members, starts), shape=(len(counts), n_blocks)
    )
    shared = scipy.sparse.csr_array(incidence.T @ incidence)
    shared.sort_indices()
    return shared.indptr.astype(np.int64), shared.indices.astype(np.int64)


def _find_pairs(starts: np.ndarray, neighbours: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Where each pair of blocks of an element stands among the ``neighbours``, ``(n_elements, n_local, n_local)``.

    A search by halving inside each row, for elements that fit into cache together.
    """
    n, k = blocks.shape
    found = np.empty((n, k, k), dtype=np.int64)
    starts, neighbours = starts.astype(np.int32), neighbours.astype(np.int32)  # halves the traffic
    longest = int(np.diff(starts).max(initial=1))
    chunk = max(1, _CACHED_PAIRS // max(k * k, 1))
    for first in range(0, n, chunk):
        rows = blocks[first : first + chunk]
        place = np.broadcast_to(starts[rows][:, :, None], (len(rows), k, k)).copy()
        last, column = starts[rows + 1][:, :, None] - 1, rows[:, None, :]
        step = 1 << (longest.bit_length() - 1)
        while step:
            probe = np.minimum(place + np.int32(step), last)
            np.copyto(place, probe, where=neighbours[probe] <= column)
            step >>= 1
        found[first : first + chunk] = place
    return found
