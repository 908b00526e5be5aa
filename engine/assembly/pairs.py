"""All pairs of blocks that share an element: the sparsity of a matrix, and the sums that assemble it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Integer

from gemel.engine.assembly.gathers import GatherSum, Runs, Slots
from gemel.loops import compiled, in_parts, index, positions, require_32_bits


class Incidence(NamedTuple):
    """Groups of elements, flat, and the elements around every block.

    Element ``e`` has the blocks ``members[begins[e] : begins[e + 1]]``; block ``i`` stands at the ``places[starts[i] :
    starts[i + 1]]`` of ``members``, which belong to the elements ``owners`` of them. Entry ``(a, b)`` of the matrix of
    an element has the number ``first + (a n_local + b) apart`` among the entries of all matrices ``(n_local, n_local,
    n_elements)``, group after group.
    """

    members: Int[np.ndarray, " m"]
    begins: Int[np.ndarray, " elements_and_one"]
    first: Int[np.ndarray, " elements"]
    apart: Int[np.ndarray, " elements"]
    owners: Int[np.ndarray, " m"]
    starts: Int[np.ndarray, " blocks_and_one"]
    places: Int[np.ndarray, " m"]

    @staticmethod
    def of(n_blocks: int, groups: Sequence[np.ndarray]) -> "Incidence":
        """The incidence of groups given by their blocks ``(n_elements, n_local)``.

        Raises `ValueError` where there are too many entries.
        """
        shapes = [blocks.shape for blocks in groups]
        entries = [count * k * k for count, k in shapes]
        require_32_bits(sum(entries))
        bases = np.cumsum([0, *entries[:-1]]) if groups else []
        lengths = np.repeat([k for _, k in shapes], [count for count, _ in shapes]).astype(np.int32)
        none = np.zeros(0, np.int32)
        members = np.concatenate([none, *(np.asarray(blocks, np.int32).ravel() for blocks in groups)])
        first = [base + np.arange(count) for base, (count, _) in zip(bases, shapes, strict=True)]
        starts, places = positions(members, n_blocks)
        return Incidence(
            members,
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
            np.concatenate([none, *first]).astype(np.int32),
            np.concatenate([none, *(np.full(count, count) for count, _ in shapes)]).astype(np.int32),
            np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
            starts,
            places,
        )

    @property
    def n_blocks(self) -> int:
        """How many blocks."""
        return len(self.starts) - 1

    @property
    def n_entries(self) -> int:
        """How many entries all matrices have together."""
        return int(np.sum(np.diff(self.begins).astype(np.int64) ** 2))


class Pairs(NamedTuple):
    """The distinct pairs (row, column) of blocks in order: row ``i`` has ``columns[starts[i] : starts[i + 1]]``,
    ascending.
    """

    starts: Int[np.ndarray, " blocks_and_one"]
    columns: Int[np.ndarray, " pairs"]

    @staticmethod
    def of(around: Incidence) -> "Pairs":
        """The pairs within elements."""
        distinct = np.empty(around.n_blocks, np.int32)
        in_parts(around.n_blocks, lambda *part: _count_columns(*part, *around, distinct))
        starts = np.concatenate([[0], np.cumsum(distinct, dtype=np.int64)])
        require_32_bits(starts[-1], "pairs")
        starts = starts.astype(np.int32)
        columns = np.empty(starts[-1], np.int32)
        in_parts(around.n_blocks, lambda *part: _find_columns(*part, *around, starts, columns))
        return Pairs(starts, columns)

    def ranks(self, around: Incidence) -> Integer[np.ndarray, " entries"]:
        """The rank within its row of the pair of blocks of each entry of some elements, whose pairs are among these; in
        as few bytes as the longest row needs.
        """
        longest = int(np.diff(self.starts).max(initial=1))
        found = np.empty(around.n_entries, np.uint8 if longest <= 2**8 else np.int32)
        in_parts(around.n_blocks, lambda *part: _rank(*part, *around, *self, found))
        return found

    def sums(self, around: Incidence, slots: Slots, size: int) -> GatherSum:
        """The sums of the same entries into ``size`` slots."""
        counts = np.empty(len(self.columns), np.int32)
        in_parts(around.n_blocks, lambda *part: _count_terms(*part, *around, *self, counts))
        runs = Runs.of(self.starts, counts, slots, size, around.n_entries)
        in_parts(around.n_blocks, lambda *part: _fill(*part, *around, *self, counts, *slots, *runs))
        return runs.gather()


@compiled
def _count_columns(first, last, members, begins, numbers, apart, owners, starts, places, distinct):
    seen = np.full(len(starts), -1, np.int32)
    for i in range(first, last):
        count = 0
        for p in range(starts[i], starts[i + 1]):
            e = index(owners[index(places[index(p)])])
            for m in range(begins[e], begins[e + 1]):
                j = index(members[index(m)])
                if seen[j] != i:
                    seen[j] = i
                    count += 1
        distinct[i] = count


@compiled
def _find_columns(first, last, members, begins, numbers, apart, owners, starts, places, rows, columns):
    seen = np.full(len(starts), -1, np.int32)
    for i in range(first, last):
        end = rows[i]
        for p in range(starts[i], starts[i + 1]):
            e = index(owners[index(places[index(p)])])
            for m in range(begins[e], begins[e + 1]):
                j = members[index(m)]
                if seen[index(j)] != i:
                    seen[index(j)] = i
                    at = end
                    while at > rows[i] and columns[index(at - 1)] > j:
                        columns[index(at)] = columns[index(at - 1)]
                        at -= 1
                    columns[index(at)] = j
                    end += 1


@compiled
def _rank(first, last, members, begins, numbers, apart, owners, starts, places, rows, columns, found):
    own = np.empty(len(starts), np.int32)
    for i in range(first, last):
        for q in range(rows[i], rows[i + 1]):
            own[index(columns[index(q)])] = q - rows[i]
        for p in range(starts[i], starts[i + 1]):
            place = places[index(p)]
            e = index(owners[index(place)])
            n_local = begins[e + 1] - begins[e]
            number, m = numbers[e] + (place - begins[e]) * n_local * apart[e], begins[e]
            for _ in range(n_local):
                found[index(number)] = own[index(members[index(m)])]
                number += apart[e]
                m += 1


@compiled
def _count_terms(first, last, members, begins, numbers, apart, owners, starts, places, rows, columns, counts):
    pair = np.empty(len(starts), np.int32)
    for i in range(first, last):
        for q in range(rows[i], rows[i + 1]):
            pair[index(columns[index(q)])] = q
            counts[index(q)] = 0
        for p in range(starts[i], starts[i + 1]):
            e = index(owners[index(places[index(p)])])
            for m in range(begins[e], begins[e + 1]):
                counts[index(pair[index(members[index(m)])])] += 1


@compiled
def _fill(
    first, last, members, begins, numbers, apart, owners, starts, places, rows, columns, counts, slot, between, bucket,
    before, offsets, order, terms,
):  # fmt: skip
    pair = np.empty(len(starts), np.int32)
    for i in range(first, last):
        length = rows[i + 1] - rows[i]
        at, step = np.empty(length, np.int32), np.empty(length, np.int32)
        for q in range(length):
            pair[index(columns[index(rows[i] + q)])] = q
            b = index(bucket[index(counts[index(rows[i] + q)])])
            at[q] = offsets[b] + order[index(slot[i] + q * between[i])] - before[b]
            step[q] = before[b + 1] - before[b]
        for p in range(starts[i], starts[i + 1]):
            place = places[index(p)]
            e = index(owners[index(place)])
            n_local = begins[e + 1] - begins[e]
            number, m = numbers[e] + (place - begins[e]) * n_local * apart[e], begins[e]
            for _ in range(n_local):
                q = index(pair[index(members[index(m)])])
                terms[index(at[q])] = number
                at[q] += step[q]
                number += apart[e]
                m += 1
