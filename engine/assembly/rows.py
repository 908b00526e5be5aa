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
from gemel.solvers.padded_rows import flat_size, split_flat
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
    each pair of components. The order of ``gather`` runs through the sums of all pairs of components.
    """

    gather: GatherSum
    width: int = eqx.field(static=True)

    @one_program
    def __call__(self, local: Sequence[Float[Array, "..."]]) -> Float[Array, " stored"]:
        """The stored values."""
        c = self.width
        sides = [values.reshape(values.shape[0] // c, c, -1, c, values.shape[2]) for values in local]
        flat = jnp.concatenate([jnp.transpose(side, (1, 3, 0, 2, 4)).reshape(c * c, -1) for side in sides], axis=1)
        return jax.vmap(self.gather.sums)(flat).reshape(-1)[self.gather.order]


class RowEntries(ElementSum):
    """The assembly of few matrices, or of such whose unknowns are no whole blocks."""

    entries: Entries
    size: int = eqx.field(static=True)

    def __call__(self, local: Sequence[Float[Array, "..."]]) -> Float[Array, " stored"]:
        """The stored values."""
        return self.entries.add(jnp.zeros(self.size), jnp.concatenate([values.reshape(-1) for values in local]))


class RowLayout(MatrixLayout):
    """Values in padded rows, as the products of a `SparseOperator` read them, for any mesh.

    Blocks have ``width`` unknowns, of which all pairs are stored where two blocks share an element.
    """

    pattern: SparsityPattern
    width: int = eqx.field(static=True)

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
            lambda: SparsityPattern.build(*_expanded(pairs, width), width),
            *(partial(_gather, pairs, *ends[i : i + 2]) for i, full in enumerate(whole) if full),
        )
        layout, ready = RowLayout(pattern, width), iter(gathers)
        return layout, [
            layout._matrix_sum(pairs, next(ready)) if full else layout._entries(pairs, dofs)
            for full, dofs in zip(whole, groups, strict=True)
        ]

    def _matrix_sum(self, pairs: Pairs, gather: GatherSum) -> RowMatrixSum:
        """The assembly of matrices of whole blocks, from the sums that make each pair of blocks."""
        c, stored = self.width, np.asarray(self.pattern.to_csr)
        total = sum(table.shape[1] for table in gather.tables) + 1
        order = np.full(self.shape, total - 1, dtype=np.int32)
        if c == 1:
            order[stored] = gather.order
        else:
            base, step = _first_entries(pairs, c)
            for i, j in np.ndindex(c, c):
                order[stored[base + i * step + j]] = gather.order + np.int32((i * c + j) * total)
        return on_device(RowMatrixSum(GatherSum(gather.tables, order), c))

    def _entries(self, pairs: Pairs, groups: Sequence[np.ndarray]) -> RowEntries:
        """The assembly of matrices entry by entry."""
        places = [self._places(pairs, np.asarray(dofs)) for dofs in groups]
        return RowEntries(Entries.plan(np.concatenate([np.zeros(0, np.int64), *places])), *self.shape)

    def _places(self, pairs: Pairs, dofs: np.ndarray) -> np.ndarray:
        """Where each entry of the element matrices ``(n_local, n_local, n_elements)`` stands in the stored values."""
        c, n_blocks = self.width, len(pairs.starts) - 1
        block, component = np.divmod(dofs.T.astype(np.int64), c)
        number = np.searchsorted(pairs.keys, block[:, None] * n_blocks + block)
        base, step = _first_entries(pairs, c)
        entry = base[number] + component[:, None] * step[number] + component
        return np.asarray(self.pattern.to_csr)[entry].ravel()

    @property
    def shape(self) -> tuple[int, ...]:
        """One axis, padding included."""
        return (flat_size(self.pattern.forward),)

    def graph(self) -> scipy.sparse.csr_array:
        """The sparsity of the blocks."""
        indptr, indices = np.asarray(self.pattern.indptr, np.int64), np.asarray(self.pattern.indices)
        matrix = scipy.sparse.csr_array((np.ones(len(indices), bool), indices, indptr), [self.pattern.n] * 2)
        return matrix if self.width == 1 else scipy.sparse.csr_array(matrix[:: self.width, :: self.width])

    def plan_vector(self, dofs: Sequence[np.ndarray]) -> RowVectorSum:
        """Plan the assembly of element vectors into a flat vector of unknowns."""
        blocks = [as_blocks(group, self.width) for group in dofs]
        if all(whole for _, whole in blocks):
            targets = np.concatenate([np.zeros(0, np.int64), *(rows.ravel() for rows, _ in blocks)])
            return RowVectorSum(GatherSum.plan(targets, self.pattern.n // self.width), self.width)
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
        operator = SparseOperator(self.pattern, split_flat(values, self.pattern.forward), symmetric)
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


def _expanded(pairs: Pairs, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Row pointers and columns of all unknowns, where blocks have ``width`` of them."""
    if width == 1:
        return pairs.starts, pairs.columns
    base, step = _first_entries(pairs, width)
    indices = np.empty(len(pairs.columns) * width**2, dtype=np.int32)
    for i, j in np.ndindex(width, width):
        indices[base + i * step + j] = pairs.columns * np.int32(width) + np.int32(j)
    lengths = np.repeat(np.diff(pairs.starts) * width, width)
    return np.concatenate([[0], np.cumsum(lengths)]), indices


def _first_entries(pairs: Pairs, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the first entry of each pair of blocks stands in compressed rows, and how far its next row is."""
    counts = np.diff(pairs.starts)
    step = np.repeat(counts * width, counts)
    start = np.repeat(pairs.starts[:-1], counts)
    return start * width**2 + (np.arange(len(start)) - start) * width, step
