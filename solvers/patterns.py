"""Walks through the pattern of a sparse matrix on the host: its order, its diagonal, its mirror image."""

import numpy as np
from jaxtyping import Int

from gemel.loops import compiled, in_parts, index
from gemel.solvers.padded_rows import Layout

Places = tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]


@compiled
def unsorted_row(first, last, indptr, indices):
    """A row in a range whose columns do not rise; -1 where there is none."""
    for i in range(first, last):
        for e in range(indptr[i] + 1, indptr[i + 1]):
            if indices[e] <= indices[e - 1]:
                return i
    return -1


@compiled
def first_from(indptr, indices, row, column):
    """The first entry of a row at a column or after it, by bisection; where the next row begins if there is none."""
    low, high = indptr[row], indptr[row + 1]
    while low < high:
        middle = (low + high) >> 1
        if indices[index(middle)] < column:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def find_column(indptr, indices, row, column):
    """The entry at a row and a column; -1 where there is none."""
    at = first_from(indptr, indices, row, column)
    return at if at < indptr[row + 1] and indices[index(at)] == column else -1


@compiled
def place_entries(dofs, width, size, starts, columns, slot, between, places):
    """Where each entry of the element matrices ``(n_local, n_local, n_elements)`` stands in the stored values."""
    for e in range(dofs.shape[0]):
        for a in range(dofs.shape[1]):
            i, row = divmod(dofs[e, a], width)
            for b in range(dofs.shape[1]):
                j, column = divmod(dofs[e, b], width)
                k = find_column(starts, columns, i, j) - starts[i]
                places[a, b, e] = slot[i] + k * between[i] + (row * width + column) * size


def mirror_slots(
    indptr: Int[np.ndarray, " pointers"], indices: Int[np.ndarray, " blocks"], places: Places, slots: int
) -> Int[np.ndarray, " slots"] | None:
    """For every slot of an entry (i, j) that of (j, i), ``slots`` for padding; None where one is missing.

    ``places`` are the slots of every row's first entry and how far its next ones are apart.
    """
    found = np.full(slots, slots, np.int32)
    pairs = in_parts(len(indptr) - 1, lambda *part: _mirror(*part, indptr, indices, *places, found))
    return found if min(pairs) >= 0 and sum(pairs) == len(indices) else None


@compiled
def _mirror(first, last, indptr, indices, place, apart, found):
    """How many entries were found their mirror image; -1 where one has none.

    Where rows are walked through in order, those above the diagonal meet the entries of column j below it from the
    first one on: no search is needed but for where a stretch of rows begins.
    """
    following, count = np.full(len(indptr) - 1, -1, np.int32), 0
    for i in range(first, last):
        for k in range(indptr[i + 1] - indptr[i]):
            j = index(indices[index(indptr[i] + k)])
            here = place[i] + k * apart[i]
            if j == i:
                found[index(here)] = here
                count += 1
            if j <= i:
                continue
            at = following[j]
            if at < 0:
                at = first_from(indptr, indices, j, first)
            if at == indptr[j + 1] or indices[index(at)] != i:
                return -1
            there = place[j] + (at - indptr[j]) * apart[j]
            found[index(here)], found[index(there)] = there, here
            following[j] = at + 1
            count += 2
    return count


def slots_of_entries(
    indptr: Int[np.ndarray, " pointers"], first: Int[np.ndarray, " rows"], apart: Int[np.ndarray, " rows"]
) -> Int[np.ndarray, " blocks"]:
    """The slot of every entry."""
    found = np.empty(indptr[-1], np.int32)
    in_parts(len(first), lambda *part: _slots(*part, indptr, first, apart, found))
    return found


@compiled
def _slots(first, last, indptr, place, apart, found):
    for i in range(first, last):
        for e in range(indptr[i], indptr[i + 1]):
            found[index(e)] = place[i] + (e - indptr[i]) * apart[i]


def diagonal_slots(
    indptr: Int[np.ndarray, " pointers"], indices: Int[np.ndarray, " blocks"], places: Places
) -> Int[np.ndarray, " rows"]:
    """The slot of the diagonal entry of every row; -1 where it has none."""
    found = np.empty(len(indptr) - 1, np.int32)
    in_parts(len(found), lambda *part: _diagonal(*part, indptr, indices, *places, found))
    return found


@compiled
def _diagonal(first, last, indptr, indices, place, apart, found):
    for i in range(first, last):
        e = find_column(indptr, indices, i, i)
        found[i] = -1 if e < 0 else place[i] + (e - indptr[i]) * apart[i]


def transposed_pattern(
    indptr: Int[np.ndarray, " pointers"], indices: Int[np.ndarray, " blocks"]
) -> tuple[Int[np.ndarray, " pointers"], Int[np.ndarray, " blocks"]]:
    """Pointers and indices of the transpose of a square pattern."""
    pointers, rows, _ = transposed_entries(indptr, indices, len(indptr) - 1)
    return pointers, rows


@compiled
def transposed_entries(indptr, indices, columns):
    """Pointers and indices of the transposed pattern, and which entry each of its entries was."""
    pointers = np.zeros(columns + 2, np.int32)
    for j in indices:
        pointers[j + 2] += 1
    for j in range(columns):
        pointers[j + 2] += pointers[j + 1]
    rows, entries = np.empty(len(indices), np.int32), np.empty(len(indices), np.int32)
    for i in range(len(indptr) - 1):
        for e in range(indptr[i], indptr[i + 1]):
            place = pointers[indices[e] + 1]
            rows[place], entries[place] = i, e
            pointers[indices[e] + 1] = place + 1
    return pointers[:-1], rows, entries


def exchanged_slots(
    forward: Layout, backward: Layout, indptr: Int[np.ndarray, " pointers"], indices: Int[np.ndarray, " blocks"]
) -> tuple[Int[np.ndarray, " backward"], Int[np.ndarray, " forward"]]:
    """For every slot in the layout of a transpose that in the layout of the matrix, and the other way round; padding
    points one past the end.
    """
    sizes = forward.rows.slots, backward.rows.slots
    to_backward, to_forward = np.full(sizes[1], sizes[0], np.int32), np.full(sizes[0], sizes[1], np.int32)
    _exchange(indptr, indices, *forward.rows.places(), *backward.rows.places(), to_backward, to_forward)
    return to_backward, to_forward


@compiled
def _exchange(indptr, indices, place, apart, back_place, back_apart, to_backward, to_forward):
    following = np.zeros(len(back_place), np.int32)
    for i in range(len(indptr) - 1):
        for k in range(indptr[i + 1] - indptr[i]):
            j = indices[indptr[i] + k]
            here, there = place[i] + k * apart[i], back_place[j] + following[j] * back_apart[j]
            following[j] += 1
            to_backward[there], to_forward[here] = here, there
