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
from gemel.solvers.sparse import AssembledOperator, SparsityPattern
from gemel.solvers.stencil import Lattice, StencilMap


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
        if max(len(targets), size) >= 2**31:
            raise ValueError(f"{max(len(targets), size)} entries are too many to number with 32 bits: split the mesh.")
        by_target, starts = _sorted_by(targets, size)
        counts, starts = np.diff(starts), starts[:-1]
        widths = _bucket_widths(counts)
        tables: list[np.ndarray] = []
        order = np.zeros(size, dtype=np.int32)
        offset, lower = 0, 0
        for width in widths:
            rows = np.flatnonzero((counts > lower) & (counts <= width))
            lower = width
            slots = np.arange(width, dtype=np.int32)[:, None]
            table = by_target[np.minimum(starts[rows] + slots, len(by_target) - 1)]
            tables.append(np.where(slots < counts[rows], table, np.int32(len(targets))))
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


def _sorted_by(targets: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of ``targets`` in the order of what they point to, and where each of ``size`` runs starts.

    A counting sort, as the conversion of a sparse matrix of one row does it: ten times as fast as ``argsort``.
    """
    numbers = np.arange(len(targets), dtype=np.int32)
    row = scipy.sparse.csr_array((numbers, targets.astype(np.int32), [0, len(targets)]), shape=(1, size))
    column = row.tocsc()
    return column.data, column.indptr


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


class MatrixPlan(eqx.Module):
    """The assembly of the element matrices of several contributions; those on the same elements are added first.

    ``which`` says for each contribution which of the ``gathers`` is its own; None where it has no tangent.
    """

    gathers: tuple[GatherSum, ...]
    which: tuple[int | None, ...] = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __call__(self, parts: Sequence[Sequence[Float[Array, "_ _ _"]] | None]) -> Float[Array, " nnz"]:
        """The CSR values: for each contribution an array ``(n_elements, n_local, n_local)`` a group of elements, or
        None where it adds nothing. Raises `ValueError` for one of a contribution that has no gather.
        """
        if any(part is not None and own is None for part, own in zip(parts, self.which, strict=True)):
            raise ValueError(
                "A load that was planned without a tangent now depends on the field: build the physics with it."
            )
        total = jnp.zeros(self.size)
        for number, gather in enumerate(self.gathers):
            mine = [part for part, own in zip(parts, self.which, strict=True) if own == number and part is not None]
            if mine:
                groups = [functools.reduce(operator.add, same) for same in zip(*mine, strict=True)]
                total = total + gather(jnp.concatenate([values.reshape(-1) for values in groups]))
        return total


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
    stencil: StencilMap | None = None

    @staticmethod
    def of(n_dofs: int, width: int, couplings: Sequence[np.ndarray], lattice: Lattice | None = None) -> "MatrixLayout":
        """Collect the pairs of blocks of all elements, given by their unknowns ``(n_elements, n_local)``.

        Where the blocks are the nodes of a ``lattice`` and couple with their neighbours there alone, operators are
        stored on it.
        """
        n_blocks = n_dofs // width
        block_starts, columns = _neighbours(n_blocks, [_blocks(dofs, width)[0] for dofs in couplings])
        if width == 1:
            indptr, indices = block_starts, columns
        else:
            per_row = np.diff(block_starts)
            starts = np.repeat(block_starts[:-1] * width, width)
            widths = np.repeat(per_row * width, width)
            indptr = np.concatenate([[0], np.cumsum(widths)])
            expanded = (columns[:, None] * np.int32(width) + np.arange(width, dtype=np.int32)).ravel()
            indices = expanded[np.repeat(starts - indptr[:-1], widths) + np.arange(indptr[-1])]
        pattern = SparsityPattern.build(indptr, indices)
        rows = np.repeat(np.arange(n_dofs, dtype=np.int32), np.diff(indptr))
        stencil = None if lattice is None else on_device(StencilMap.build(lattice, block_starts, columns))
        return MatrixLayout(
            pattern, on_device(rows), on_device(indices), block_starts, columns, width, n_blocks, stencil
        )

    def positions(self, dofs: np.ndarray) -> np.ndarray:
        """Where each entry of the element matrices ``(n_elements, n_local, n_local)`` stands in the CSR values."""
        blocks, whole = _blocks(dofs, self.width)
        c = self.width
        bounds = np.asarray(self.starts)
        pair = _find_pairs(bounds, np.asarray(self.neighbours), blocks)
        if c == 1:
            return pair.reshape(-1)
        bounds = bounds.astype(np.int64)
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
    ) -> AssembledOperator:
        """The operator with the given CSR values.

        ``symmetric`` promises that they are those of a symmetric matrix: products with the transpose, and so
        derivatives in reverse mode, are wrong where it does not hold.
        Where ``free`` is given, the rows and columns of the other unknowns are replaced by ``diagonal`` on
        the diagonal: the restriction to the free unknowns at full size.
        """
        if free is not None:
            free = jnp.asarray(free)
            kept = free[self.rows] & free[self.columns]
            values = jnp.where(kept, values, jnp.where(self.rows == self.columns, diagonal, 0.0))
        return (self.stencil or self.pattern).operator(values, symmetric=symmetric)


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
    return shared.indptr.astype(np.int64), shared.indices.astype(np.int32)


def _find_pairs(starts: np.ndarray, neighbours: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Where each pair of blocks of an element stands among the ``neighbours``, ``(n_elements, n_local, n_local)``.

    Each pair is looked up once; where its mirror image stands, the transposed pattern says.
    """
    n_blocks, (n, k) = len(starts) - 1, blocks.shape
    numbers = np.arange(len(neighbours), dtype=np.int32)
    pattern = scipy.sparse.csr_array((numbers, neighbours, starts), shape=(n_blocks, n_blocks))
    mirror = pattern.tocsc().data
    diagonal = pattern.diagonal()
    found = np.empty((k, k, n), dtype=np.int32)
    members = np.ascontiguousarray(blocks.T)
    for i in range(k):
        found[i, i] = diagonal[members[i]]
        for j in range(i + 1, k):
            found[i, j] = pattern[members[i], members[j]]
            found[j, i] = mirror[found[i, j]]
    return np.moveaxis(found, -1, 0)
