"""Matrices in rows: the sparsity of any mesh, and the gathers that assemble into it."""

import functools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Int, Integer

from gemel.engine.assembly.gathers import Entries, GatherSum, Slots
from gemel.engine.assembly.layout import ElementSum, MatrixLayout, MatrixSum, as_blocks, together
from gemel.engine.assembly.pairs import Incidence, Pairs
from gemel.engine.chunks import Chunks
from gemel.engine.compiling import one_program
from gemel.solvers.padded_rows import split_slots
from gemel.solvers.patterns import place_entries
from gemel.solvers.placing import on_device, short_loops_pay
from gemel.solvers.sparse import SparseOperator, SparsityPattern

_FEW = 8
"""Element matrices with fewer than this part of all entries are added one by one."""


class RowVectorSum(ElementSum):
    """The assembly of element vectors whose entries come in groups of ``width`` with neighbouring places."""

    gather: GatherSum
    width: int = eqx.field(static=True)

    def __call__(self, local: Sequence[Float[Array, "..."]]) -> Float[Array, " n"]:
        """The flat vector."""
        flat = jnp.concatenate([values.reshape(-1) for values in local])
        return self.gather(flat.reshape(-1, self.width)).reshape(-1)


class Places(eqx.Module):
    """Where the blocks of the matrices of some elements are stored: entry ``ranks (n_local, n_local, n_elements)`` of
    the row whose first block has the slot ``starts (n_local, n_elements)``. Where rows are short a rank takes one byte.
    """

    starts: Int[np.ndarray | Array, "n_local n_elements"]
    ranks: Integer[np.ndarray | Array, "n_local n_local n_elements"]

    def slots(self, buckets: Sequence[tuple[int, int]], first: Any, count: int) -> Int[Array, "n_local n_local _"]:
        """The slots of ``count`` elements from the one with number ``first`` on; ``buckets`` are those of the rows,
        each the slot where it begins and how far the entries of its rows are apart.
        """
        starts, ranks = (jax.lax.dynamic_slice_in_dim(part, first, count, -1) for part in (self.starts, self.ranks))
        apart = jnp.full_like(starts, buckets[0][1])
        for begin, step in buckets[1:]:
            apart = jnp.where(starts >= begin, step, apart)
        return starts[:, None] + apart[:, None] * ranks.astype(starts.dtype)


class RowMatrixSum(MatrixSum):
    """The assembly of the matrices of elements whose unknowns are whole blocks, of each group of elements to its
    ``places``.

    Elements are added some at a time, as their matrices are computed: together those need two to three times the memory
    of the sums. On a CPU this also is the fastest way: 3 ns a number, in the order of elements.
    """

    places: tuple[Places, ...]
    shape: tuple[int, ...] = eqx.field(static=True)
    buckets: tuple[tuple[int, int], ...] = eqx.field(static=True)

    def __call__(
        self, groups: Sequence[Sequence[Chunks]], total: Array | None = None, symmetric: bool = False
    ) -> Float[Array, "c c slots"]:
        """The stored values."""
        total = jnp.zeros(self.shape) if total is None else total
        for places, contributions in zip(self.places, groups, strict=True):
            for chunks in contributions:
                total = chunks.folded(total, functools.partial(self._add, jax.tree.map(jnp.asarray, places)))
        return total

    def _add(self, places: Places, total: Array, values: Array, first: Any) -> Array:
        """``total`` with the matrices of some elements, from the one with number ``first`` on."""
        k, c, n = places.starts.shape[0], self.shape[0], values.shape[-1]
        slots = places.slots(self.buckets, first, n).reshape(-1)
        blocks = jnp.transpose(values.reshape(k, c, k, c, n), (1, 3, 0, 2, 4)).reshape(c, c, -1)
        return total.at[:, :, slots].add(blocks, mode="promise_in_bounds", wrap_negative_indices=False)


class GatheredMatrixSum(MatrixSum):
    """The same by gathers, which a GPU needs: all matrices at a time, and the same sums of pairs of blocks for each
    pair of components. The order of ``gather`` is that of the slots that the blocks are stored in.
    """

    gather: GatherSum
    width: int = eqx.field(static=True)

    def __call__(
        self, groups: Sequence[Sequence[Chunks]], total: Array | None = None, symmetric: bool = False
    ) -> Float[Array, "c c slots"]:
        """The stored values."""
        values = self._sum(together(groups))
        return values if total is None else total + values

    @one_program
    def _sum(self, local: Sequence[Float[Array, "..."]]) -> Float[Array, "c c slots"]:
        c = self.width
        sides = [values.reshape(values.shape[0] // c, c, -1, c, values.shape[2]) for values in local]
        flat = jnp.concatenate([jnp.transpose(side, (1, 3, 0, 2, 4)).reshape(c * c, -1) for side in sides], axis=1)
        return jax.vmap(self.gather)(flat).reshape(c, c, -1)


class RowEntries(MatrixSum):
    """The assembly of few matrices, or of such whose unknowns are no whole blocks."""

    entries: Entries
    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(
        self, groups: Sequence[Sequence[Chunks]], total: Array | None = None, symmetric: bool = False
    ) -> Float[Array, "c c slots"]:
        """The stored values."""
        total = jnp.zeros(self.shape) if total is None else total
        return self.entries.add(total, jnp.concatenate([values.reshape(-1) for values in together(groups)]))


class RowLayout(MatrixLayout):
    """Values in padded rows, as the products of a `SparseOperator` read them, for any mesh.

    Blocks have ``width`` unknowns, of which all pairs are stored where two blocks share an element.
    """

    pattern: SparsityPattern

    @staticmethod
    def plan(n_dofs: int, width: int, groups: Sequence[Sequence[np.ndarray]]) -> "tuple[RowLayout, list[MatrixSum]]":
        """The layout, and the assembly of the matrices of each list of groups of elements, given by their unknowns
        ``(n_elements, n_local)``.
        """
        n_blocks = n_dofs // width
        blocks = [[as_blocks(np.asarray(dofs), width) for dofs in mine] for mine in groups]
        members = [members for mine in blocks for members, _ in mine]
        around = Incidence.of(n_blocks, [*members, *_alone(n_blocks, members)])
        pairs = Pairs.of(around)
        layout = RowLayout(SparsityPattern.build(pairs.starts, pairs.columns, width))
        slots = layout.pattern.forward.places()
        found: list[MatrixSum] = []
        for mine, dofs in zip(blocks, groups, strict=True):
            own = around if len(mine) == len(members) else Incidence.of(n_blocks, [blocks for blocks, _ in mine])
            if _FEW * own.n_entries >= around.n_entries and all(full for _, full in mine):
                found.append(layout._blocks(pairs, own, slots, [blocks for blocks, _ in mine]))
            else:
                found.append(layout._entries(pairs, slots, dofs))
        return layout, found

    def _blocks(self, pairs: Pairs, around: Incidence, slots: Slots, groups: Sequence[np.ndarray]) -> MatrixSum:
        """The assembly of matrices of whole blocks, of groups of elements given by those ``(n_elements, n_local)``."""
        rows = self.pattern.forward
        if not short_loops_pay():
            return GatheredMatrixSum(pairs.sums(around, slots, rows.slots), self.pattern.width)
        ranks, begin, places = pairs.ranks(around), 0, []
        for blocks in groups:
            count, k = blocks.shape
            mine = ranks[begin : begin + count * k * k].reshape(k, k, count)
            places.append(Places(slots[0][blocks.T], mine))
            begin += count * k * k
        return RowMatrixSum(tuple(on_device(places)), self.shape, tuple(zip(rows.begins(), rows.sizes, strict=True)))

    def _entries(self, pairs: Pairs, slots: Slots, groups: Sequence[np.ndarray]) -> RowEntries:
        """The assembly of matrices entry by entry."""
        places = [np.zeros(0, np.int64)]
        for dofs in groups:
            mine = np.empty((dofs.shape[1], *dofs.shape[::-1]), np.int64)
            place_entries(np.asarray(dofs, np.int32), *self.pattern.stored[1:], *pairs, *slots, mine)
            places.append(mine.ravel())
        return RowEntries(Entries.plan(np.concatenate(places)), self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Row and column within a block, and the slots of the blocks."""
        return self.pattern.stored

    def graph(self) -> scipy.sparse.csr_array:
        """The sparsity of the blocks."""
        indptr, indices = np.asarray(self.pattern.indptr, np.int64), self.pattern.indices()
        return scipy.sparse.csr_array((np.ones(len(indices), bool), indices, indptr), [len(indptr) - 1] * 2)

    def plan_vector(self, dofs: Sequence[np.ndarray]) -> RowVectorSum:
        """Plan the assembly of element vectors into a flat vector of unknowns."""
        width = self.pattern.width
        blocks = [as_blocks(group, width) for group in dofs]
        if all(whole for _, whole in blocks):
            targets = np.concatenate([np.zeros(0, np.int64), *(rows.ravel() for rows, _ in blocks)])
            return RowVectorSum(GatherSum.plan(targets, self.pattern.n // width), width)
        targets = np.concatenate([np.asarray(group).ravel() for group in dofs])
        return RowVectorSum(GatherSum.plan(targets, self.pattern.n), 1)

    def operator(
        self,
        values: Float[Array, "..."],
        free: Array | np.ndarray | None = None,
        diagonal: Any = 1.0,
        *,
        symmetric: bool,
    ) -> SparseOperator:
        """The operator with the given values; ``free`` and ``diagonal`` as in `MatrixLayout`."""
        pattern = self.pattern
        found = (
            split_slots(values, pattern.forward)
            if free is None
            else pattern.restricted(values, jnp.asarray(free), diagonal)
        )
        return SparseOperator(pattern, found, symmetric)


def _alone(n_blocks: int, members: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A group of elements of one block each for those in no other, whose diagonal is stored too; none where all are."""
    used = np.zeros(n_blocks, dtype=bool)
    for blocks in members:
        used[blocks] = True
    return [] if used.all() else [np.flatnonzero(~used)[:, None]]
