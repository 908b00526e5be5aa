"""Matrices in rows: the sparsity of any mesh, and the gathers that assemble into it."""

from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float

from gemel.engine.assembly.gathers import Entries, GatherSum
from gemel.engine.assembly.layout import ElementSum, MatrixLayout, as_blocks
from gemel.engine.assembly.pairs import Pairs
from gemel.engine.compiling import one_program
from gemel.solvers.padded_rows import split_slots
from gemel.solvers.placing import on_device
from gemel.solvers.sparse import SparseOperator, SparsityPattern
from gemel.solvers.threads import at_once

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


class RowMatrixSum(ElementSum):
    """The assembly of the matrices of elements whose unknowns are whole blocks: the same sums of pairs of blocks for
    each pair of components. The order of ``gather`` is that of the slots that the blocks are stored in.
    """

    gather: GatherSum
    width: int = eqx.field(static=True)

    @one_program
    def __call__(self, local: Sequence[Float[Array, "..."]]) -> Float[Array, "c c slots"]:
        """The stored values."""
        c = self.width
        sides = [values.reshape(values.shape[0] // c, c, -1, c, values.shape[2]) for values in local]
        flat = jnp.concatenate([jnp.transpose(side, (1, 3, 0, 2, 4)).reshape(c * c, -1) for side in sides], axis=1)
        return jax.vmap(self.gather)(flat).reshape(c, c, -1)


class RowEntries(ElementSum):
    """The assembly of few matrices, or of such whose unknowns are no whole blocks."""

    entries: Entries
    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, local: Sequence[Float[Array, "..."]]) -> Float[Array, "c c slots"]:
        """The stored values."""
        return self.entries.add(jnp.zeros(self.shape), jnp.concatenate([values.reshape(-1) for values in local]))


class RowLayout(MatrixLayout):
    """Values in padded rows, as the products of a `SparseOperator` read them, for any mesh.

    Blocks have ``width`` unknowns, of which all pairs are stored where two blocks share an element.
    """

    pattern: SparsityPattern

    @staticmethod
    def plan(
        n_dofs: int, width: int, groups: Sequence[Sequence[np.ndarray]]
    ) -> "tuple[RowLayout, list[RowMatrixSum | RowEntries]]":
        """The layout, and the assembly of the matrices of each list of groups of elements, given by their unknowns
        ``(n_elements, n_local)``.
        """
        n_blocks = n_dofs // width
        blocks = [[as_blocks(np.asarray(dofs), width) for dofs in mine] for mine in groups]
        members = [members for mine in blocks for members, _ in mine]
        pairs = Pairs.of(n_blocks, [*members, *_alone(n_blocks, members)])
        ends = [0, *accumulate(sum(members.size * members.shape[1] for members, _ in mine) for mine in blocks)]
        whole = [
            _FEW * (end - first) >= len(pairs.sources) and all(full for _, full in mine)
            for mine, (first, end) in zip(blocks, pairwise(ends), strict=True)
        ]
        pattern, *gathers = at_once(
            lambda: SparsityPattern.build(pairs.starts, pairs.columns, width),
            *(partial(_gather, pairs, *ends[i : i + 2]) for i, full in enumerate(whole) if full),
        )
        layout, ready = RowLayout(pattern), iter(gathers)
        return layout, [
            layout._matrix_sum(next(ready)) if full else layout._entries(pairs, dofs)
            for full, dofs in zip(whole, groups, strict=True)
        ]

    def _matrix_sum(self, gather: GatherSum) -> RowMatrixSum:
        """The assembly of matrices of whole blocks, from the sums that make each pair of blocks."""
        order = np.full(self.pattern.forward.slots, sum(table.shape[1] for table in gather.tables), dtype=np.int32)
        order[np.asarray(self.pattern.to_csr)] = gather.order
        return on_device(RowMatrixSum(GatherSum(gather.tables, order), self.pattern.width))

    def _entries(self, pairs: Pairs, groups: Sequence[np.ndarray]) -> RowEntries:
        """The assembly of matrices entry by entry."""
        places = [self._places(pairs, np.asarray(dofs)) for dofs in groups]
        return RowEntries(Entries.plan(np.concatenate([np.zeros(0, np.int64), *places])), self.shape)

    def _places(self, pairs: Pairs, dofs: np.ndarray) -> np.ndarray:
        """Where each entry of the element matrices ``(n_local, n_local, n_elements)`` stands in the stored values."""
        c, n_blocks = self.pattern.width, len(pairs.starts) - 1
        block, component = np.divmod(dofs.T.astype(np.int64), c)
        number = np.searchsorted(pairs.keys, block[:, None] * n_blocks + block)
        within = component[:, None] * c + component
        return (np.asarray(self.pattern.to_csr)[number] + within * self.pattern.forward.slots).ravel()

    @property
    def shape(self) -> tuple[int, ...]:
        """Row and column within a block, and the slots of the blocks."""
        return self.pattern.stored

    def graph(self) -> scipy.sparse.csr_array:
        """The sparsity of the blocks."""
        indptr, indices = np.asarray(self.pattern.indptr, np.int64), np.asarray(self.pattern.indices)
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
        operator = SparseOperator(self.pattern, split_slots(values, self.pattern.forward), symmetric)
        return operator if free is None else operator.restricted(jnp.asarray(free), diagonal)


def _gather(pairs: Pairs, first: int, end: int) -> GatherSum:
    """The sums of the entries of some groups of elements for each pair of blocks."""
    mine = pairs.within(first, end)
    return GatherSum.of_runs(mine.sources, mine.begins, mine.counts)


def _alone(n_blocks: int, members: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A group of elements of one block each for those in no other, whose diagonal is stored too; none where all are."""
    used = np.zeros(n_blocks, dtype=bool)
    for blocks in members:
        used[blocks] = True
    return [] if used.all() else [np.flatnonzero(~used)[:, None]]
