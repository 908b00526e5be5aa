"""Sums of entries that go to the same place, by gathers instead of scatters."""

import functools
import operator
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from gemel.engine.compiling import one_program
from gemel.loops import compiled, in_parts, index, positions, require_32_bits
from gemel.solvers.placing import on_device


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
        require_32_bits(max(len(targets), size))
        starts, sources = positions(targets.astype(np.int32, copy=False), size)
        counts, rows = np.diff(starts), np.arange(size + 1, dtype=np.int32)
        runs = Runs.of(rows, counts, (rows, np.ones_like(rows)), size, len(targets))
        in_parts(size, lambda *part: _fill(*part, starts, sources, *runs))
        return runs.gather()

    @one_program
    def __call__(self, x: Array) -> Array:
        """Sum ``x (m, ...)`` into ``(size, ...)``."""
        return self.sums(x)[self.order]

    def sums(self, x: Array) -> Array:
        """The sums of all runs, bucket after bucket, and a zero at the end."""
        sums = [functools.reduce(operator.add, [_taken(x, row) for row in table]) for table in self.tables]
        return jnp.concatenate([*sums, jnp.zeros_like(x[:1])])


def _taken(x: Array, index: Array) -> Array:
    """The rows of ``x``, zero where the index is one past the end."""
    return x.at[index].get(mode="fill", fill_value=0, wrap_negative_indices=False)


Slots = tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]
"""For every row of a sparse table the slot of its first entry, and how far its next ones are apart."""


class Runs(NamedTuple):
    """The tables of a `GatherSum` to be filled, on the host.

    A sum of so many terms as ``bucket`` is asked for is in that bucket, zero where it has none. The sums of bucket
    ``b`` are the numbers from ``before[b]``; their terms are in ``terms`` from ``offsets[b]``, the first ones of all
    sums, then the second ones: as many of them as there are sums are apart. ``order`` has the number of the sum in
    every slot.
    """

    bucket: Int[np.ndarray, " counts"]
    before: Int[np.ndarray, " buckets_and_two"]
    offsets: Int[np.ndarray, " buckets_and_two"]
    order: Int[np.ndarray, " slots"]
    terms: Int[np.ndarray, " terms"]

    @staticmethod
    def of(
        starts: Int[np.ndarray, " rows_and_one"], counts: Int[np.ndarray, " sums"], slots: Slots, size: int, terms: int
    ) -> "Runs":
        """Those of sums of ``counts`` of the ``terms`` each, which stand in rows from ``starts``, in ``size`` slots."""
        largest = int(counts.max(initial=0))
        widths = [0, *(width for width in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if width < largest)]
        widths = np.asarray([*widths, largest] if largest else widths)
        bucket = np.searchsorted(widths, np.arange(largest + 1)).astype(np.int32)
        order = np.empty(size, np.int32)
        rows = _number(starts, counts, bucket, *slots, order, np.zeros(len(widths), np.int32))
        rows[0] = 0
        before, offsets = (np.concatenate([[0], np.cumsum(n, dtype=np.int64)]) for n in (rows, rows * widths))
        require_32_bits(offsets[-1])
        empty = np.full(offsets[-1], terms, np.int32)
        return Runs(bucket, before.astype(np.int32), offsets.astype(np.int32), order, empty)

    def gather(self) -> "GatherSum":
        """The map, when the terms of every sum are filled; other places are one past the last term."""
        tables = []
        for b in range(1, len(self.before) - 1):
            count = self.before[b + 1] - self.before[b]
            if count:
                tables.append(self.terms[self.offsets[b] : self.offsets[b + 1]].reshape(-1, count))
        return on_device(GatherSum(tuple(tables), self.order))


@compiled
def _number(starts, counts, bucket, slot, between, order, rows):
    """Number the sums bucket by bucket, and count them."""
    for count in counts:
        rows[index(bucket[index(count)])] += 1
    following = (np.cumsum(rows) - rows - rows[0]).astype(np.int32)
    following[0] = len(counts) - rows[0]
    order[:] = following[0]
    for i in range(len(starts) - 1):
        for q in range(starts[i], starts[i + 1]):
            b = index(bucket[index(counts[index(q)])])
            order[index(slot[i] + (q - starts[i]) * between[i])] = following[b]
            if b > 0:
                following[b] += 1
    return rows


@compiled
def _fill(first, last, starts, sources, bucket, before, offsets, order, terms):
    for i in range(first, last):
        b = bucket[starts[i + 1] - starts[i]]
        for k in range(starts[i + 1] - starts[i]):
            place = offsets[b] + order[i] - before[b] + k * (before[b + 1] - before[b])
            terms[index(place)] = sources[index(starts[i] + k)]


class Entries(eqx.Module):
    """A few entries of a large array: where they go, each place once, and the sums of those that share one."""

    places: np.ndarray | Array
    gather: GatherSum

    @staticmethod
    def plan(targets: np.ndarray) -> "Entries":
        """Plan the addition of entries to these places."""
        places, own = np.unique(np.asarray(targets).ravel(), return_inverse=True)
        return Entries(on_device(places.astype(np.int32)), GatherSum.plan(own, len(places)))

    def add(self, total: Array, values: Array, left_out: int = 0) -> Array:
        """``total`` with the entries added, of a large array without its first so many numbers."""
        sums, flat = self.gather(values.reshape(-1)), total.reshape(-1)
        places = flat.at[self.places - left_out]
        flat = places.add(sums, mode="drop", unique_indices=True, indices_are_sorted=True, wrap_negative_indices=False)
        return flat.reshape(total.shape)
