"""From element arrays to global vectors and matrices, by gathers instead of scatters."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.compiling import one_program
from gemel.solvers.placing import on_device
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

    Unknowns come in blocks of ``width`` (the components at a node); the sparsity is that of the blocks.
    """

    pattern: SparsityPattern
    rows: np.ndarray | Array
    columns: np.ndarray | Array
    keys: np.ndarray | Array
    width: int = eqx.field(static=True)
    n_blocks: int = eqx.field(static=True)

    @staticmethod
    def of(n_dofs: int, width: int, couplings: Sequence[np.ndarray]) -> "MatrixLayout":
        """Collect the pairs of blocks of all elements, given by their unknowns ``(n_elements, n_local)``."""
        n_blocks = n_dofs // width
        diagonal = np.arange(n_blocks, dtype=np.int64) * (n_blocks + 1)
        pairs = [sorted_unique(_pair_keys(_blocks(dofs, width)[0], n_blocks)) for dofs in _distinct(couplings)]
        keys = sorted_unique(np.concatenate([diagonal, *pairs]))
        rows, columns = np.divmod(keys, n_blocks)
        per_row = np.bincount(rows, minlength=n_blocks)
        starts = np.repeat(np.concatenate([[0], np.cumsum(per_row)])[:-1] * width, width)
        widths = np.repeat(per_row * width, width)
        indptr = np.concatenate([[0], np.cumsum(widths)])
        expanded = (columns[:, None] * width + np.arange(width)).astype(np.int32).ravel()
        indices = expanded[np.repeat(starts - indptr[:-1], widths) + np.arange(indptr[-1])]
        pattern = SparsityPattern.build(indptr, indices)
        all_rows = np.repeat(np.arange(n_dofs, dtype=np.int32), widths)
        return MatrixLayout(pattern, on_device(all_rows), on_device(indices), keys, width, n_blocks)

    def positions(self, dofs: np.ndarray) -> np.ndarray:
        """Where each entry of the element matrices ``(n_elements, n_local, n_local)`` stands in the CSR values."""
        blocks, whole = _blocks(dofs, self.width)
        c = self.width
        pair = np.searchsorted(self.keys, _pair_keys(blocks, self.n_blocks)).reshape(*blocks.shape, blocks.shape[1])
        bounds = np.searchsorted(self.keys, np.arange(self.n_blocks + 1, dtype=np.int64) * self.n_blocks)
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
        empty = np.zeros(0, dtype=np.int64)
        positions = np.concatenate([empty, *(self.positions(group) for group in dofs)])
        return GatherSum.plan(positions, len(self.keys) * self.width**2)

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


def _pair_keys(blocks: np.ndarray, n_blocks: int) -> np.ndarray:
    return (blocks[:, :, None] * n_blocks + blocks[:, None, :]).ravel()
