"""All pairs of blocks that share an element, sorted: the sparsity of a matrix and the sums of its assembly at once."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from gemel.engine.assembly.gathers import sorted_by
from gemel.solvers.threads import at_once

_AT_ONCE = 2**17
"""About how many candidates are sorted at a time, to bound the memory."""


class Pairs(NamedTuple):
    """The distinct pairs (row, column) of blocks in order, and where each one comes from.

    Row ``i`` has the ``columns[starts[i] : starts[i + 1]]``, ascending. Pair ``p`` is the sum of the entries
    ``sources[begins[p] : begins[p] + counts[p]]`` of the matrices ``(n_local, n_local, n_elements)`` of all groups of
    elements, numbered flat and group after group.
    """

    starts: np.ndarray
    columns: np.ndarray
    sources: np.ndarray
    begins: np.ndarray
    counts: np.ndarray

    @staticmethod
    def of(n_blocks: int, groups: Sequence[np.ndarray]) -> "Pairs":
        """The pairs within elements, given for each group by their blocks ``(n_elements, n_local)``.

        Every block collects the blocks of the elements around it; those with equally many candidates are sorted
        together, row by row, in a fraction of the time that one sort of all pairs takes.
        """
        around = _around(n_blocks, groups)
        parts = at_once(*(partial(_sorted, rows, around) for alike in _alike(around) for rows in alike))
        distinct = np.zeros(n_blocks, dtype=np.int64)
        for part in parts:
            distinct[part.rows] = part.distinct
        starts = np.concatenate([[0], np.cumsum(distinct)])
        size = sum(len(part.sources) for part in parts)
        found = Pairs(starts, *(np.empty(count, np.int32) for count in (starts[-1], size, starts[-1], starts[-1])))
        offset = 0
        for part in parts:
            first = np.cumsum(part.distinct) - part.distinct
            places = np.repeat(starts[part.rows] - first, part.distinct) + np.arange(len(part.columns))
            found.columns[places], found.counts[places] = part.columns, part.counts
            found.begins[places] = part.begins + offset
            found.sources[offset : offset + len(part.sources)] = part.sources
            offset += len(part.sources)
        return found

    def within(self, first: int, end: int) -> "Pairs":
        """The same pairs with those sources alone that lie in a range, numbered from its start; some have none left."""
        if first == 0 and end == len(self.sources):
            return self
        mine = (self.sources >= first) & (self.sources < end)
        before = np.concatenate([[0], np.cumsum(mine, dtype=np.int32)])
        begins = before[self.begins]
        counts = before[self.begins + self.counts] - begins
        return Pairs(self.starts, self.columns, self.sources[mine] - np.int32(first), begins, counts)

    @property
    def keys(self) -> np.ndarray:
        """Numbers that order as the pairs do."""
        n = len(self.starts) - 1
        return np.repeat(np.arange(n) * n, np.diff(self.starts)) + self.columns


class _Part(NamedTuple):
    """The pairs of some rows: how many distinct columns each row has, these columns, and their runs of sources."""

    rows: np.ndarray
    distinct: np.ndarray
    columns: np.ndarray
    begins: np.ndarray
    counts: np.ndarray
    sources: np.ndarray


class _Around(NamedTuple):
    """The elements of one group around each block: ``elements[starts[i] : starts[i + 1]]``, the block their
    ``locals``-th one, and the number of the first entry of the group.
    """

    blocks: np.ndarray
    starts: np.ndarray
    elements: np.ndarray
    locals: np.ndarray
    base: int


def _around(n_blocks: int, groups: Sequence[np.ndarray]) -> list[_Around]:
    """Raises `ValueError` where there are too many entries."""
    base, found = 0, []
    for blocks in groups:
        count, k = blocks.shape
        members, starts = sorted_by(np.ascontiguousarray(blocks.T).ravel(), n_blocks)
        local, element = np.divmod(members, np.int32(max(count, 1)))
        found.append(_Around(np.ascontiguousarray(blocks, dtype=np.int32), starts, element, local, base))
        base += count * k * k
    if base >= 2**31:
        raise ValueError(f"{base} entries are too many to number with 32 bits: split the mesh.")
    return found


def _alike(around: Sequence[_Around]) -> Iterator[list[np.ndarray]]:
    """The blocks with as many elements of each group around them, few enough at a time."""
    kind = length = np.zeros(len(around[0].starts) - 1 if around else 0, dtype=np.int64)
    for group in around:
        valence = np.diff(group.starts)
        length = length + valence * group.blocks.shape[1]
        kind = np.unique(kind * (valence.max(initial=0) + 1) + valence, return_inverse=True)[1]
    for number in range(kind.max(initial=-1) + 1):
        rows = np.flatnonzero(kind == number)
        if length[rows[0]]:
            yield np.array_split(rows, -(-len(rows) * int(length[rows[0]]) // _AT_ONCE))


def _sorted(rows: np.ndarray, around: Sequence[_Around]) -> _Part:
    """Sort what stands around some blocks by column within each row, equal ones in their order."""
    columns, sources = [], []
    for group in around:
        count, k = group.blocks.shape
        valence = group.starts[rows[0] + 1] - group.starts[rows[0]]
        places = group.starts[rows, None] + np.arange(valence)
        element = group.elements[places]
        first = group.locals[places] * np.int32(k * count) + element + np.int32(group.base)
        columns.append(group.blocks[element].reshape(len(rows), valence * k))
        offsets = np.arange(k, dtype=np.int32) * np.int32(count)
        sources.append((first[:, :, None] + offsets).reshape(len(rows), valence * k))
    column, source = (np.concatenate(side, axis=1) if len(side) > 1 else side[0] for side in (columns, sources))
    bits = max(int(column.shape[1] - 1).bit_length(), 1)
    keys = column.astype(np.int64)
    keys <<= bits
    keys |= np.arange(column.shape[1])
    keys.sort(axis=1)
    slots = keys & ((1 << bits) - 1)
    keys >>= bits
    new = np.ones(keys.shape, dtype=bool)
    np.not_equal(keys[:, 1:], keys[:, :-1], out=new[:, 1:])
    begins = np.flatnonzero(new)
    ordered = np.take_along_axis(source, slots, axis=1).ravel()
    return _Part(rows, new.sum(axis=1), keys.ravel()[begins], begins, np.diff(begins, append=new.size), ordered)
