"""Sparse matrices on a fixed pattern: built once, applied by gathers, differentiable in their values."""

import hashlib

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from gemel.loops import in_parts, require_32_bits
from gemel.solvers.bilinear import product
from gemel.solvers.operators import LinearOperator, SumOperator
from gemel.solvers.padded_product import Structure, between, move, move_values
from gemel.solvers.padded_rows import (
    PaddedRows,
    build_rows,
    collected,
    join_slots,
    near_order,
    opposite,
    split_slots,
)
from gemel.solvers.patterns import (
    diagonal_slots,
    exchanged_slots,
    mirror_slots,
    slots_of_entries,
    transposed_pattern,
    unsorted_row,
)
from gemel.solvers.placing import on_device
from gemel.solvers.stencil import StencilOperator


def _fingerprint(*tables: np.ndarray) -> str:
    """A name for tables of numbers, different where any number is."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(np.ascontiguousarray(table).data)
    return digest.hexdigest()[:24]


class SparsityPattern(eqx.Module):
    """The places of the nonzeros of an n × n matrix, with the layout for fast products.

    Unknowns may come in nodes of ``width``, whose entries are dense blocks: rows and columns of the pattern are then
    those of the nodes, as in BSR format, and tables take a ninth of the memory for the three displacements of a solid.
    ``indptr`` are its row pointers, ``count`` says how many entries (blocks) it has. Values are stored as ``forward``
    says, and those of the transpose as ``backward`` does.

    Build it once on the host with `SparsityPattern.build`; it is shared by every matrix of the same problem.
    Entries of a row are sorted by column and unique.
    """

    indptr: Int[Array, " pointers"]
    forward: PaddedRows
    backward: PaddedRows
    to_backward: Int[Array, " _"]
    to_forward: Int[Array, " _"]
    diagonal_index: Int[Array, " n"]
    count: int = eqx.field(static=True)
    fingerprint: str = eqx.field(static=True)

    @property
    def width(self) -> int:
        """Unknowns of a node."""
        return self.forward.block[0]

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.indptr.shape[0] - 1

    @property
    def n(self) -> int:
        """Number of rows and columns."""
        return self.nodes * self.width

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return self.count * self.width**2

    @property
    def stored(self) -> tuple[int, int, int]:
        """The shape of all stored values: row and column within a block, and the slots of the blocks."""
        return (self.width, self.width, self.forward.slots)

    @staticmethod
    def build(indptr: np.ndarray, indices: np.ndarray, width: int = 1) -> "SparsityPattern":
        """Build the pattern of a square matrix from the row pointers (nodes + 1,) and sorted column indices (blocks,)
        of its nodes of ``width`` unknowns each; of a plain CSR matrix where the width is 1.

        Where rows that follow one another lie far apart in the graph, as in a mesh of nodes in no order, products take
        them in another order.

        Raises `ValueError` where row pointers do not rise to the number of entries, rows are unsorted, hold a column
        twice, or columns lie outside the matrix, and where there are too many entries.
        """
        require_32_bits(len(indices) * width**2)
        indptr, indices = np.asarray(indptr, np.int32), np.asarray(indices)
        n = len(indptr) - 1
        if indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
            raise ValueError(f"Row pointers must rise from 0 to the number of column indices, {len(indices)}.")
        if len(indices) and (indices.min() < 0 or indices.max() >= n):
            raise ValueError(f"Column indices run from {indices.min()} to {indices.max()}; allowed are 0 to {n - 1}.")
        indices = np.asarray(indices, np.int32)
        bad = max(in_parts(n, lambda first, last: unsorted_row(first, last, indptr, indices)), default=-1)
        if bad >= 0:
            raise ValueError(f"Row {bad} of the pattern is not sorted or holds a column twice.")
        block = (width, width)
        layout = build_rows(indptr, indices, near_order(indptr, indices), block)
        forward, places = layout.rows, layout.rows.places()
        require_32_bits(forward.slots * width**2)
        to_backward = mirror_slots(indptr, indices, places, forward.slots)
        if to_backward is None:
            pointers, columns = transposed_pattern(indptr, indices)
            other = build_rows(pointers, columns, None, block)
            backward = other.rows
            to_backward, to_forward = exchanged_slots(layout, other, indptr, indices)
        else:
            backward, to_forward = forward, to_backward  # the mirror image of a mirror image
        own = diagonal_slots(indptr, indices, places)
        within = np.arange(width, dtype=np.int32) * np.int32((width + 1) * forward.slots)
        on_diagonal = np.where(own[:, None] < 0, forward.slots * width**2, own[:, None] + within).astype(np.int32)
        tables = on_device((indptr, to_backward, on_diagonal.ravel()))
        there = tables[1] if to_forward is to_backward else on_device(to_forward)
        name = _fingerprint(np.array([width]), indptr, indices)
        return SparsityPattern(
            tables[0], forward, backward, tables[1], there, tables[2], count=len(indices), fingerprint=name
        )

    def structure(self, symmetric: bool = False) -> Structure:
        """Where products and transposes find the values."""
        return Structure(self.forward, self.backward, self.to_backward, self.to_forward, symmetric)

    def restricted(
        self, stored: Array, free: Bool[Array, " n"], diagonal: Float[Array, ""] | float
    ) -> tuple[Array, ...]:
        """The values in the padded layout from all stored ones ``(width, width, slots)``, with the rows and columns
        that are not free replaced by ``diagonal`` on the diagonal, which must be stored.
        """
        flat, place = stored.reshape(-1), self.diagonal_index
        flat = flat.at[place].set(jnp.where(free, flat[place], diagonal), unique_indices=True)
        values = split_slots(flat.reshape(stored.shape), self.forward)
        kept = between(free, self.forward)
        return tuple(jnp.where(k, v, 0.0) for k, v in zip(kept, values, strict=True))

    def slots(self) -> Int[Array | np.ndarray, " blocks"]:
        """The slot of every entry in CSR order; on the host, where the tables are known."""
        first, apart = self.forward.places()
        if not isinstance(self.indptr, Tracer):
            return slots_of_entries(np.asarray(self.indptr), first, apart)
        row = jnp.repeat(jnp.arange(self.nodes), jnp.diff(self.indptr), total_repeat_length=self.count)
        within = jnp.arange(self.count, dtype=jnp.int32) - self.indptr[row]
        return jnp.asarray(first)[row] + within * jnp.asarray(apart)[row]

    def indices(self) -> Int[np.ndarray, " blocks"]:
        """The column of every entry in CSR order; on the host."""
        rows, tables = self.forward, [np.asarray(table)[None, :, :, None] for table in self.forward.columns]
        columns = collected(tables, rows.stored(), np.asarray(self.indptr), (1, 1)).ravel()
        return columns if rows.near is None else np.asarray(rows.near)[columns]

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column and place among the flat `stored` values of every entry; on the host."""
        c, size = self.width, self.forward.slots
        within = np.arange(c)
        node = np.repeat(np.arange(self.nodes), np.diff(np.asarray(self.indptr)))
        shape = (c, c, len(node))
        rows = np.broadcast_to(node * c + within[:, None, None], shape)
        columns = np.broadcast_to(self.indices().astype(np.int64) * c + within[:, None], shape)
        places = np.asarray(self.slots(), np.int64) + (within[:, None] * c + within)[:, :, None] * size
        return rows.ravel(), columns.ravel(), places.ravel()

    def operator(self, csr_values: Float[Array, "blocks ..."], symmetric: bool = False) -> "SparseOperator":
        """Return the matrix with these values in CSR order, ``(nnz,)``, or in BSR order, ``(blocks, width, width)``,
        where nodes have several unknowns: one gather, once per assembly.

        ``symmetric`` promises that the values are those of a symmetric matrix.
        """
        c, count = self.width, self.count
        wanted = (count,) if c == 1 else (count, c, c)
        if csr_values.shape != wanted:
            raise ValueError(f"Values have shape {csr_values.shape}; the pattern needs {wanted}.")
        slots = jnp.asarray(self.slots())
        moved = move(csr_values.reshape(count, c, c), opposite(slots, self.forward.slots), slots)
        return SparseOperator(self, split_slots(jnp.transpose(moved, (1, 2, 0)), self.forward), symmetric)

    def transpose(self) -> "SparsityPattern":
        """Return the pattern of the transposed matrix (host only, rebuilt)."""
        pointers, columns = transposed_pattern(np.asarray(self.indptr), self.indices())
        return SparsityPattern.build(pointers, columns, self.width)


class SparseOperator(LinearOperator):
    """A sparse matrix: a `SparsityPattern` and its values in the padded layout, one array per bucket of rows, as
    `PaddedRows` describes them.

    Made by `SparsityPattern.operator` or `SparseOperator.from_scipy`. Products are differentiable in the
    values and in the vector, forward and reverse, to any order, and work under ``vmap`` over values,
    vectors or both.
    """

    pattern: SparsityPattern
    values: tuple[Float[Array, "_ _ _ _ _"], ...]
    symmetric: bool = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.pattern.n

    @staticmethod
    def from_scipy(matrix: scipy.sparse.sparray | scipy.sparse.spmatrix, symmetric: bool = False) -> "SparseOperator":
        """Build pattern and values from a square scipy matrix."""
        csr = scipy.sparse.csr_array(matrix)
        shape: tuple[int, ...] = tuple(getattr(matrix, "shape", ()))
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"A matrix of shape {shape} is not square.")
        csr.sum_duplicates()
        csr.sort_indices()
        values = csr.data if np.issubdtype(csr.data.dtype, np.inexact) else csr.data.astype(float)
        return SparsityPattern.build(csr.indptr, csr.indices).operator(jnp.asarray(values), symmetric)

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return A x."""
        return product(self.pattern.structure(self.symmetric), self.values, x)

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return Aᵀ x. Moves the values each time: for many products take `transpose` first."""
        return self.mv(x) if self.symmetric else self.transpose().mv(x)

    def transpose(self) -> LinearOperator:
        """Return Aᵀ, with its values moved to its own rows."""
        if self.symmetric:
            return self
        return _FlippedOperator(self.pattern, move_values(self.values, self.pattern.structure(self.symmetric)))

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal, zero where it is not stored."""
        flat = jnp.concatenate([join_slots(self.values).reshape(-1), jnp.zeros(1, self.values[0].dtype)])
        return flat[self.pattern.diagonal_index]

    def csr_values(self) -> Float[Array, "blocks ..."]:
        """Return the values in CSR or BSR order, as `SparsityPattern.operator` takes them."""
        p, slots = self.pattern, jnp.asarray(self.pattern.slots())
        blocks = move(jnp.transpose(join_slots(self.values), (2, 0, 1)), slots, opposite(slots, p.forward.slots))
        return blocks.reshape(-1) if p.width == 1 else blocks

    def scaled(self, factor: Float[Array, ""] | float) -> "SparseOperator":
        """Return factor · A."""
        return SparseOperator(self.pattern, tuple(factor * v for v in self.values), self.symmetric)

    def restricted(self, free: Bool[Array, " n"], diagonal: Float[Array, ""] | float) -> "SparseOperator":
        """Return the matrix with the rows and columns that are not free replaced by ``diagonal`` on the diagonal,
        which must be stored.
        """
        return SparseOperator(
            self.pattern, self.pattern.restricted(join_slots(self.values), free, diagonal), self.symmetric
        )

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the matrix on the host. Uses numpy alone, so that it may run inside a host callback."""
        return scipy.sparse.csr_array(self.to_blocks().tocsr())

    def to_blocks(self) -> scipy.sparse.bsr_array:
        """Return the matrix on the host with one dense block for each pair of nodes."""
        p = self.pattern
        values = [np.asarray(v) for v in self.values]
        return _in_blocks(p, collected(values, p.forward.stored(), np.asarray(p.indptr), p.forward.block))


def _in_blocks(pattern: SparsityPattern, blocks: Float[np.ndarray, "blocks width width"]) -> scipy.sparse.bsr_array:
    """The matrix with these blocks in the order of the pattern; on the host."""
    parts = (blocks, pattern.indices(), np.asarray(pattern.indptr))
    return scipy.sparse.bsr_array(parts, shape=(pattern.n, pattern.n))


class _FlippedOperator(LinearOperator):
    """The transpose of a `SparseOperator`: the same pattern read backward, values in the backward layout."""

    pattern: SparsityPattern
    values: tuple[Float[Array, "_ _ _ _ _"], ...]
    symmetric: bool = eqx.field(static=True, default=False)  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.pattern.n

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the product."""
        return product(self.pattern.structure().flipped(), self.values, x)

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the transposed product."""
        return self.transpose().mv(x)

    def transpose(self) -> LinearOperator:
        """Return the original matrix."""
        return SparseOperator(self.pattern, move_values(self.values, self.pattern.structure().flipped()), False)

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal."""
        return self.transpose().diagonal()

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the matrix on the host."""
        p = self.pattern
        slots = np.asarray(p.to_forward)[p.slots()]
        blocks = join_slots([np.asarray(v) for v in self.values])[:, :, slots]
        return scipy.sparse.csr_array(_in_blocks(p, np.transpose(blocks, (2, 1, 0))).T.tocsr())


AssembledOperator = SparseOperator | StencilOperator
"""A matrix with stored values: in padded rows, or on a lattice."""


def linear_combination(
    a: Float[Array, ""] | float, first: LinearOperator, b: Float[Array, ""] | float, second: LinearOperator
) -> LinearOperator:
    """Return a A + b B: one matrix where both share a pattern or a lattice, else a `SumOperator`."""
    symmetric = first.symmetric and second.symmetric
    if isinstance(first, StencilOperator) and isinstance(second, StencilOperator) and first.lattice == second.lattice:
        values, others = (one.values if symmetric else one.whole() for one in (first, second))
        return StencilOperator(first.lattice, a * values + b * others, symmetric)
    if (
        isinstance(first, SparseOperator)
        and isinstance(second, SparseOperator)
        and first.pattern.fingerprint == second.pattern.fingerprint
    ):
        values = tuple(a * v + b * w for v, w in zip(first.values, second.values, strict=True))
        return SparseOperator(first.pattern, values, symmetric)
    return SumOperator(a, first, b, second)
