"""Where the entries of a sparse matrix lie for fast products: rows of like length together, neighbours near."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Int
from scipy.sparse.csgraph import reverse_cuthill_mckee

from gemel.solvers.placing import on_device

_CHUNK, _TERMS = 8, 9
"""Entries of a row, and numbers of a block row, that are summed at a time. With nine entries XLA's loop on the CPU is
three times as slow as with eight."""

_WORTH = 2**14
"""Padded numbers that cost a product less than another loop costs the compiler: 10 µs against 50 ms."""

_AT_ONCE = 2**13
"""Rows that are laid out at a time, so that their entries stay in the cache."""

_STRETCHES, _LONGEST = 16, 256
"""Stretches of rows that are looked at, and the most rows of one."""

_SCATTERED = 0.65
"""Distinct columns of a stretch for each entry: 0.8 to 1 where nodes have random numbers, 0.1 to 0.5 elsewhere."""

_IN_CACHE = 2**14
"""Unknowns of which a vector stays in the cache next to a core."""


class PaddedRows(eqx.Module):
    """Where the entries of a sparse matrix lie: buckets of rows of similar length, each padded to one width.

    An entry is a dense ``block`` of (height, width) numbers, (1, 1) for a plain matrix; rows and columns count blocks.
    ``columns[b]`` has shape (chunks, entries per chunk, rows in b); a padded entry repeats a column of its
    own row. The values of a bucket have shape (height, chunks, entries per chunk, width, rows in b).
    ``order`` (rows,) restores the natural order from the concatenated buckets; None where there
    is one bucket. Columns number the blocks of ``x[near]``, or of x itself where ``near`` is None.
    """

    columns: tuple[Int[Array, "_ _ _"], ...]
    order: Int[Array, " rows"] | None
    near: Int[Array, " columns"] | None = None
    block: tuple[int, int] = eqx.field(static=True, default=(1, 1))

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the values of every bucket."""
        height, width = self.block
        return tuple((height, *c.shape[:2], width, c.shape[2]) for c in self.columns)

    @property
    def slots(self) -> int:
        """Number of stored blocks, padding included."""
        return sum(math.prod(c.shape) for c in self.columns)

    def arranged(self, x: Array) -> Array:
        """The entries (or rows) of x as ``columns`` number them."""
        return x if self.near is None else gather(x, self.near)


class Structure(eqx.Module):
    """A matrix' rows, the rows of its transpose, and how values move between the two.

    ``to_backward`` holds, for every entry of the flattened backward layout, the flat position in the
    forward layout, and ``to_forward`` the inverse; padding points one past the end. Both are None where no
    transpose was asked for.
    """

    forward: PaddedRows
    backward: PaddedRows | None
    to_backward: Int[Array, " backward"] | None
    to_forward: Int[Array, " forward"] | None
    symmetric: bool = eqx.field(static=True)

    def transpose(self) -> "Structure":
        """Return the structure of the transposed matrix."""
        if self.backward is None:
            raise ValueError("These padded rows were built without their transpose.")
        return Structure(self.backward, self.forward, self.to_forward, self.to_backward, self.symmetric)


def _bucket_edges(lengths: np.ndarray, each: int, limit: int = 4) -> list[int]:
    """Return widths of at most ``limit`` buckets that minimise the stored entries of ``each`` numbers; a bucket counts
    like 2 % more of them, and as many as the compilation of its loop is worth.
    """
    widths, counts = np.unique(np.maximum(lengths, 1), return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    overhead = max(0.02 * float(np.sum(widths * counts)), _WORTH / each)
    best = [[np.inf] * (len(widths) + 1) for _ in range(limit + 1)]
    cut = [[0] * (len(widths) + 1) for _ in range(limit + 1)]
    best[0][0] = 0.0
    for b in range(1, limit + 1):
        for j in range(1, len(widths) + 1):
            costs = [best[b - 1][i] + widths[j - 1] * (below[j] - below[i]) + overhead for i in range(j)]
            cut[b][j] = int(np.argmin(costs))
            best[b][j] = float(costs[cut[b][j]])
    b = int(np.argmin([best[b][len(widths)] for b in range(limit + 1)]))
    j, edges = len(widths), []
    while b > 0:
        edges.append(int(widths[j - 1]))
        j, b = cut[b][j], b - 1
    return edges[::-1]


class Layout(NamedTuple):
    """Padded rows, the slot there of every CSR entry (or BSR block), and the entry in every slot.

    Slots are numbered bucket after bucket, in the order of ``columns``; padding points one past the last entry.
    """

    rows: PaddedRows
    position: Int[np.ndarray, " nnz"]
    source: Int[np.ndarray, " slots"]


def build_rows(
    indptr: np.ndarray, indices: np.ndarray, near: np.ndarray | None = None, block: tuple[int, int] = (1, 1)
) -> Layout:
    """Lay out CSR rows, or BSR rows of blocks (height, width); on the host.

    ``near`` lists the rows of a square matrix such that neighbours follow one another, as `near_order` does it.
    Rows are stored in this order and read a vector in this order: what a product reads at a time is then little, and
    stays in the cache. Nothing else changes.
    """
    lengths = np.diff(indptr)
    edges = _bucket_edges(lengths, math.prod(block)) if len(lengths) else [1]
    bucket = np.searchsorted(edges, np.maximum(lengths, 1))
    own = np.zeros(len(lengths), np.int32)
    own[lengths > 0] = indices[indptr[:-1][lengths > 0]]
    if near is not None:
        rank = inverse_index(near, len(near))
        bucket, own, indices = bucket[near], rank[own], rank[indices]
    position, place = np.empty(len(indices), np.int32), np.empty(len(lengths), np.int32)
    columns, sources, offset, before = [], [], 0, 0
    for b, edge in enumerate(edges):
        rows = np.flatnonzero(bucket == b)
        rows = rows if near is None else near[rows]
        chunks = max(2, -(-edge // max(1, min(_CHUNK, _TERMS // block[1]))))
        width = -(-edge // chunks)
        shape = (chunks * width, len(rows))
        table, source = np.empty(shape, np.int32), np.empty(shape, np.int32)
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            mine = rows[part]
            first, length = indptr[mine].astype(np.int32), lengths[mine]
            shortest, flat = length.min(), np.arange(start, start + len(mine), dtype=np.int32) + np.int32(offset)
            for slot in range(shape[0]):
                entries, places = first + np.int32(slot), flat + np.int32(slot * len(rows))
                if slot < shortest:
                    table[slot, part], source[slot, part] = indices[entries], entries
                    position[entries] = places
                else:
                    inside = slot < length
                    table[slot, part], source[slot, part] = own[mine], len(indices)
                    table[slot, part][inside], source[slot, part][inside] = indices[entries[inside]], entries[inside]
                    position[entries[inside]] = places[inside]
        columns.append(on_device(table.reshape(chunks, width, len(rows))))
        sources.append(source.ravel())
        place[rows] = np.arange(before, before + len(rows))
        before += len(rows)
        offset += table.size
    ordered = len(edges) > 1 or near is not None
    order, arranged = on_device(place) if ordered else None, None if near is None else on_device(near)
    return Layout(PaddedRows(tuple(columns), order, arranged, block), position, np.concatenate(sources))


def near_order(indptr: np.ndarray, indices: np.ndarray, least: int = _IN_CACHE) -> Int[np.ndarray, " n"] | None:
    """An order of the rows of a square pattern in which neighbours follow one another: reverse Cuthill-McKee, which
    means symmetric patterns; of another one it is some order. None where neighbours are near already, or fewer than
    ``least`` rows.

    Source: Cuthill, McKee, Proc. 24th Nat. Conf. ACM (1969).
    """
    n = len(indptr) - 1
    if n < least or not len(indices):
        return None
    if not _scattered(indptr, indices):
        return None
    graph = scipy.sparse.csr_array((np.ones(len(indices), np.int8), indices, indptr), shape=(n, n))
    return np.asarray(reverse_cuthill_mckee(graph, symmetric_mode=True), np.int32)


def _scattered(indptr: np.ndarray, indices: np.ndarray) -> bool:
    """Whether rows that follow one another have hardly a column in common."""
    n = len(indptr) - 1
    length = min(max(n // 64, 16), _LONGEST)
    distinct = entries = 0
    for first in np.linspace(0, max(n - length, 0), _STRETCHES).astype(int):
        read = indices[indptr[first] : indptr[min(first + length, n)]]
        distinct, entries = distinct + len(np.unique(read)), entries + len(read)
    return distinct > _SCATTERED * entries


def inverse_index(index: Int[np.ndarray, " m"], size: int) -> Int[np.ndarray, " size"]:
    """Return p with p[index[i]] = i and len(index) where nothing points; ``size`` marks padding."""
    inverse = np.full(size + 1, len(index), np.int32)
    inverse[index] = np.arange(len(index), dtype=np.int32)
    return inverse[:size]


def split_slots(stored: Array, rows: PaddedRows) -> tuple[Array, ...]:
    """The values of every bucket from those of all slots ``(height, width, slots)``."""
    sizes = [math.prod(c.shape) for c in rows.columns]
    parts = jnp.split(stored, np.cumsum(sizes)[:-1].tolist(), axis=2)
    split = [p.reshape(*rows.block, *c.shape) for p, c in zip(parts, rows.columns, strict=True)]
    return tuple(jnp.transpose(p, (0, 2, 3, 1, 4)) for p in split)


def join_slots(values: Sequence[Any]) -> Any:
    """The inverse of `split_slots`, on the host where the values are there."""
    xp = np if isinstance(values[0], np.ndarray) else jnp
    parts = [xp.transpose(v, (0, 3, 1, 2, 4)) for v in values]
    return xp.concatenate([p.reshape(*p.shape[:2], -1) for p in parts], axis=2)


def filled(layout: Layout, data: Float[np.ndarray, "nnz ..."], dtype: Any) -> tuple[np.ndarray, ...]:
    """The values of every bucket from the data of a CSR or BSR matrix; on the host."""
    rows, found, offset = layout.rows, [], 0
    height, width = rows.block
    data = data.reshape(len(data), height, width)
    for columns, shape in zip(rows.columns, rows.shapes, strict=True):
        slots, count = math.prod(columns.shape[:2]), columns.shape[2]
        table = np.empty((height, slots, width, count), dtype)
        for slot, source in enumerate(layout.source[offset : offset + slots * count].reshape(slots, count)):
            for start in range(0, count, _AT_ONCE):
                part = source[start : start + _AT_ONCE]
                empty = part == len(data)
                taken = data[np.where(empty, 0, part)] if len(data) else np.zeros((len(part), height, width))
                taken[empty] = 0
                table[:, slot, :, start : start + _AT_ONCE] = np.moveaxis(taken, 0, 2)
        found.append(table.reshape(shape))
        offset += slots * count
    return tuple(found)


def gather(x: Array, index: Array) -> Array:
    """Return x[index] for an index that is known to lie inside."""
    return x.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)
