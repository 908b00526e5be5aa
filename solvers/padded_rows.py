"""Where the entries of a sparse matrix lie for fast products: rows of like length together, neighbours near."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax.core import Tracer
from jaxtyping import Array, Int, Shaped
from scipy.sparse.csgraph import reverse_cuthill_mckee

from gemel.loops import compiled, in_parts, index
from gemel.solvers.placing import on_device

_CHUNK, _TERMS = 8, 9
"""Entries of a row, and numbers of a block row, that are summed at a time. With nine entries XLA's loop on the CPU is
three times as slow as with eight."""

_WORTH = 2**14
"""Padded numbers that cost a product less than another loop costs the compiler: 10 µs against 50 ms."""

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

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of every bucket."""
        return tuple(c.shape[2] for c in self.columns)

    def stored(self) -> Int[np.ndarray, " rows"]:
        """The rows in the order in which they are stored; on the host."""
        if self.order is None:
            return np.arange(sum(self.sizes), dtype=np.int32)
        return inverse_index(np.asarray(self.order), sum(self.sizes))

    def begins(self) -> tuple[int, ...]:
        """The first slot of every bucket; the entries of a row in it are as many slots apart as it has rows."""
        return tuple(np.cumsum([0, *(math.prod(c.shape) for c in self.columns[:-1])]).tolist())

    def places_in_order(self) -> Int[np.ndarray, "2 rows"]:
        """The slot of the first entry of every row, in the order in which they are stored, and how far its next ones
        are apart. Slots are numbered in the order of ``columns``, bucket after bucket.
        """
        apart, before = np.repeat(self.sizes, self.sizes), np.cumsum([0, *self.sizes[:-1]])
        first = np.repeat(np.array(self.begins()) - before, self.sizes) + np.arange(len(apart))
        return np.stack([first, apart]).astype(np.int32)

    def places(self) -> tuple[Any, Any]:
        """The same for the rows in their own order; on the host, where the tables are known."""
        first, apart = self.places_in_order()
        if self.order is None:
            return first, apart
        order = self.order if isinstance(self.order, Tracer) else np.asarray(self.order)
        xp = jnp if isinstance(order, Tracer) else np
        return xp.asarray(first)[order], xp.asarray(apart)[order]

    def arranged(self, x: Array) -> Array:
        """The entries (or rows) of x as ``columns`` number them."""
        return x if self.near is None else gather(x, self.near)


def _bucket_edges(lengths: np.ndarray, each: int, limit: int = 4) -> list[int]:
    """Return widths of at most ``limit`` buckets that minimise the stored entries of ``each`` numbers; a bucket counts
    like 2 % more of them, and as many as the compilation of its loop is worth.
    """
    counts = np.bincount(np.maximum(lengths, 1))
    widths = np.flatnonzero(counts)
    overhead = max(0.02 * float(np.sum(widths * counts[widths])), _WORTH / each)
    cut = _best_cuts(widths, np.concatenate([[0], np.cumsum(counts[widths])]), overhead, limit)
    return widths[cut].tolist()


@compiled
def _best_cuts(widths, below, overhead, limit):
    """The last width of each bucket, by dynamic programming over the number of buckets."""
    size = len(widths)
    best, cut = np.full((limit + 1, size + 1), np.inf), np.zeros((limit + 1, size + 1), np.int64)
    best[0, 0] = 0.0
    for b in range(1, limit + 1):
        for j in range(1, size + 1):
            for i in range(j):
                cost = best[b - 1, i] + widths[j - 1] * (below[j] - below[i]) + overhead
                if cost < best[b, j]:
                    best[b, j], cut[b, j] = cost, i
    b, j = np.argmin(best[:, size]), size
    last = np.empty(b, np.int64)
    while b > 0:
        last[b - 1] = j - 1
        j, b = cut[b, j], b - 1
    return last


class Layout(NamedTuple):
    """Padded rows, and on the host the rows of a CSR (or BSR) matrix in the order in which they are stored there."""

    rows: PaddedRows
    stored: Int[np.ndarray, " rows"]

    def buckets(self) -> list[Int[np.ndarray, " _"]]:
        """The rows of every bucket."""
        return np.split(self.stored, np.cumsum(self.rows.sizes)[:-1])


def build_rows(
    indptr: np.ndarray, indices: np.ndarray, near: np.ndarray | None = None, block: tuple[int, int] = (1, 1)
) -> Layout:
    """Lay out CSR rows, or BSR rows of blocks (height, width); on the host.

    ``near`` lists the rows of a square matrix such that neighbours follow one another, as `near_order` does it.
    Rows are stored in this order and read a vector in this order: what a product reads at a time is then little, and
    stays in the cache. Nothing else changes.
    """
    indptr, indices = np.asarray(indptr, np.int32), np.asarray(indices, np.int32)
    lengths = np.diff(indptr)
    edges = _bucket_edges(lengths, math.prod(block)) if len(lengths) else [1]
    bucket = np.searchsorted(edges, lengths)
    order = np.arange(len(lengths), dtype=np.int32) if near is None else np.asarray(near, np.int32)
    rank = np.zeros(0, np.int32) if near is None else inverse_index(near, len(near))
    stored = order if len(edges) == 1 else np.concatenate([order[bucket[order] == b] for b in range(len(edges))])
    columns, before = [], 0
    for edge, count in zip(edges, np.bincount(bucket, minlength=len(edges)).tolist(), strict=True):
        chunks = max(2, -(-edge // max(1, min(_CHUNK, _TERMS // block[1]))))
        rows, before = stored[before : before + count], before + count
        each = -(-edge // chunks)
        table = np.empty((chunks * each, count), np.int32)
        in_parts(count, lambda *part, r=rows, t=table: _place_columns(*part, r, indptr, indices, rank, t))
        columns.append(table.reshape(chunks, each, count))
    place = None if len(edges) == 1 and near is None else on_device(inverse_index(stored, len(stored)))
    tables, read = on_device(tuple(columns)), None if near is None else on_device(order)
    return Layout(PaddedRows(tables, place, read, block), stored)


@compiled
def _place_columns(first, last, stored, indptr, indices, rank, table):
    """Entry k of the p-th stored row goes to table[k, p]; padding repeats the first column of its row."""
    (length, rows), moved, table = table.shape, len(rank) > 0, table.reshape(-1)
    for p in range(first, last):
        begin, end = indptr[stored[p]], indptr[stored[p] + 1]
        own = indices[begin] if end > begin else 0
        for k in range(length):
            column = indices[index(begin + k)] if begin + k < end else own
            table[index(k * rows + p)] = rank[index(column)] if moved else column


@compiled
def _place_values(first, last, stored, indptr, data, empty, table):
    """The block k of the p-th stored row goes to table[:, k, :, p], padding is ``empty``."""
    (height, width), length, rows = data.shape[1:], table.shape[1], table.shape[3]
    data, table, size = data.reshape(-1), table.reshape(-1), height * width  # flat: three to eight times as fast
    for p in range(first, last):
        begin, end = indptr[stored[p]], indptr[stored[p] + 1]
        if size == 1:
            for k in range(length):
                table[index(k * rows + p)] = data[index(begin + k)] if begin + k < end else empty
            continue
        for k in range(length):
            for i in range(height):
                for j in range(width):
                    value = data[index((begin + k) * size + i * width + j)] if begin + k < end else empty
                    table[index(((i * length + k) * width + j) * rows + p)] = value


@compiled
def _collect_values(first, last, stored, indptr, table, data):
    """The inverse of `_place_values`."""
    (height, width), length, rows = data.shape[1:], table.shape[1], table.shape[3]
    data, table, size = data.reshape(-1), table.reshape(-1), height * width
    for p in range(first, last):
        begin, end = indptr[stored[p]], indptr[stored[p] + 1]
        if size == 1:
            for k in range(end - begin):
                data[index(begin + k)] = table[index(k * rows + p)]
            continue
        for k in range(end - begin):
            for i in range(height):
                for j in range(width):
                    value = table[index(((i * length + k) * width + j) * rows + p)]
                    data[index((begin + k) * size + i * width + j)] = value


def filled(layout: Layout, indptr: np.ndarray, data: np.ndarray, dtype: Any, empty: int = 0) -> tuple[np.ndarray, ...]:
    """The values of every bucket from the data of a CSR ``(nnz,)`` or BSR matrix ``(nnz, height, width)``; on the
    host.
    """
    height, width = data.shape[1:] or (1, 1)
    indptr, data = np.asarray(indptr, np.int32), np.ascontiguousarray(data).reshape(-1, height, width)
    found = []
    for rows, columns in zip(layout.buckets(), layout.rows.columns, strict=True):
        chunks, each, count = columns.shape
        table = np.empty((height, chunks * each, width, count), dtype)
        pad = table.dtype.type(empty)
        in_parts(count, lambda *part, r=rows, t=table, e=pad: _place_values(*part, r, indptr, data, e, t))
        found.append(table.reshape(height, chunks, each, width, count))
    return tuple(found)


def collected(
    values: Sequence[np.ndarray], stored: np.ndarray, indptr: np.ndarray, block: tuple[int, int]
) -> Shaped[np.ndarray, "nnz height width"]:
    """The data of a CSR or BSR matrix from the values of every bucket, whose rows are ``stored`` in this order; on the
    host.
    """
    data, before = np.empty((indptr[-1], *block), values[0].dtype), 0
    for table in values:
        height, chunks, each, width, count = table.shape
        rows, flat = stored[before : before + count], table.reshape(height, chunks * each, width, count)
        in_parts(count, lambda *part, r=rows, t=flat: _collect_values(*part, r, indptr, t, data))
        before += len(rows)
    return data


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


def opposite(index: Int[Array, " m"], size: int) -> Int[Array, " size"]:
    """The same as `inverse_index` of distinct numbers, on the device."""
    numbers = jnp.arange(index.shape[0], dtype=jnp.int32)
    return jnp.full(size, index.shape[0], jnp.int32).at[index].set(numbers, unique_indices=True)


def split_slots(stored: Array, rows: PaddedRows) -> tuple[Array, ...]:
    """The values of every bucket from those of all slots ``(height, width, slots)``."""
    sizes = [math.prod(c.shape) for c in rows.columns]
    parts = jnp.split(stored, np.cumsum(sizes)[:-1].tolist(), axis=2)
    split = [p.reshape(*rows.block, *c.shape) for p, c in zip(parts, rows.columns, strict=True)]
    # Of a transpose XLA on CPU makes two copies, one after the other.
    return tuple(jnp.stack([p[:, j] for j in range(p.shape[1])], axis=3) for p in split)


def join_slots(values: Sequence[Any]) -> Any:
    """The inverse of `split_slots`, on the host where the values are there."""
    xp = np if isinstance(values[0], np.ndarray) else jnp
    parts = [xp.transpose(v, (0, 3, 1, 2, 4)) for v in values]
    return xp.concatenate([p.reshape(*p.shape[:2], -1) for p in parts], axis=2)


def gather(x: Array, index: Array) -> Array:
    """Return x[index] for an index that is known to lie inside."""
    return x.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)
