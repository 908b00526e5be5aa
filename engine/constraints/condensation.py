r"""The matrix $T^\top K T$ of a problem with ties, as a weighted gather of the entries of $K$ planned once."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gemel.engine.assembly import GatherSum, RowLayout
from gemel.engine.constraints.elimination import Dependence
from gemel.solvers.placing import on_device
from gemel.solvers.sparse import SparseOperator, SparsityPattern

_WIDTH = 32
"""Longest sum that is unrolled; longer ones (all of a surface to one reference point) become a tree."""


class TreeSum(eqx.Module):
    r"""The linear map $y_i = \sum_{k\,:\,t_k = i} x_k$ as `GatherSum` does it, for sums of any length."""

    stages: tuple[GatherSum, ...]

    @staticmethod
    def plan(targets: np.ndarray, size: int) -> "TreeSum":
        """Plan the map for ``targets (m,)`` into ``size`` rows."""
        targets = np.asarray(targets)
        stages: list[GatherSum] = []
        while len(targets) and np.bincount(targets).max() > _WIDTH:
            order = np.argsort(targets, kind="stable")
            ordered = targets[order]
            first = np.searchsorted(ordered, ordered)
            starts = (np.arange(len(targets)) - first) % _WIDTH == 0
            into = np.empty(len(targets), dtype=np.int64)
            into[order] = np.cumsum(starts) - 1
            stages.append(GatherSum.plan(into, int(starts.sum())))
            targets = ordered[starts]
        return TreeSum((*stages, GatherSum.plan(targets, size)))

    def __call__(self, x: Array) -> Array:
        """Sum ``x (m,)`` into ``(size,)``."""
        for stage in self.stages:
            x = stage(x)
        return x


class Condensation(eqx.Module):
    """The plan: entries between free unknowns are copied, those of tied ones weighted and added.

    ``left`` and ``right`` say which weights of the ties multiply an added entry; the last of the weights is one.
    """

    pattern: SparsityPattern
    copied: Int[Array, " nnz"]
    added: Int[Array, " extra"]
    left: Int[Array, " extra"]
    right: Int[Array, " extra"]
    total: TreeSum
    places: Int[Array, " places"]
    idle: Int[Array, " dependent"]

    @staticmethod
    def plan(layout: RowLayout, free: np.ndarray, dependence: Dependence) -> "Condensation":
        """Plan the condensation of matrices of ``layout``; ``free (n_dofs,)`` is false at dependent unknowns."""
        n = len(free)
        rows, columns, stored = layout.pattern.entries()
        both = np.flatnonzero(free[rows] & free[columns])
        entry, left_to, right_to, left, right = _expansion(rows, columns, free, dependence)
        plain, summed = rows[both] * n + columns[both], left_to * n + right_to
        diagonal = np.arange(n, dtype=np.int64) * (n + 1)
        targets = _sorted_unique(summed)
        keys = _sorted_unique(np.concatenate([plain, targets, diagonal]))
        indptr = np.searchsorted(keys, np.arange(n + 1, dtype=np.int64) * n)
        copied = np.full(len(keys), math.prod(layout.shape))
        copied[np.searchsorted(keys, plain)] = stored[both]
        return Condensation(
            pattern=SparsityPattern.build(indptr, keys % n),
            copied=on_device(np.asarray(copied, np.int32)),
            added=on_device(np.asarray(stored[entry], np.int32)),
            left=on_device(np.asarray(left, np.int32)),
            right=on_device(np.asarray(right, np.int32)),
            total=TreeSum.plan(np.searchsorted(targets, summed), len(targets)),
            places=on_device(np.asarray(np.searchsorted(keys, targets), np.int32)),
            idle=on_device(np.asarray(np.searchsorted(keys, diagonal[~free]), np.int32)),
        )

    def operator(
        self, values: Float[Array, "c c slots"], weights: Float[Array, " w"], diagonal: Any, symmetric: bool
    ) -> SparseOperator:
        """The operator from the layout's ``values`` and the ``weights`` of the ties' entries."""
        weights, values = jnp.concatenate([weights, jnp.ones(1, weights.dtype)]), values.reshape(-1)
        condensed = jnp.concatenate([values, jnp.zeros(1, values.dtype)])[self.copied]
        extra = self.total(values[self.added] * weights[self.left] * weights[self.right])
        condensed = condensed.at[self.places].add(extra, unique_indices=True)
        condensed = condensed.at[self.idle].set(diagonal, unique_indices=True)
        return self.pattern.operator(condensed, symmetric=symmetric)


def _expansion(
    rows: np.ndarray, columns: np.ndarray, free: np.ndarray, dependence: Dependence
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All products of entries that touch a tied unknown: entry, row and column it goes to, both weights' numbers."""
    n, one = len(free), len(dependence.weights)
    used = np.flatnonzero((dependence.columns < n) & free[np.minimum(dependence.columns, n - 1)])
    masters, numbers = dependence.columns[used], used
    count = free.astype(np.int64)
    start = np.zeros(n, dtype=np.int64)
    per_row = np.bincount(dependence.rows[used], minlength=len(dependence.tied))
    count[dependence.tied] = per_row
    start[dependence.tied] = np.cumsum(per_row) - per_row
    tied = np.zeros(n, dtype=bool)
    tied[dependence.tied] = True
    entry = np.flatnonzero((tied[rows] | tied[columns]) & (count[rows] > 0) & (count[columns] > 0))
    products = count[rows[entry]] * count[columns[entry]]
    entry = np.repeat(entry, products)
    first = np.repeat(np.cumsum(products) - products, products)
    along, across = np.divmod(np.arange(len(entry)) - first, count[columns[entry]])

    def side(unknowns: np.ndarray, rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not len(used):
            return unknowns, np.full(len(unknowns), one)
        place = np.minimum(start[unknowns] + rank, len(used) - 1)
        through = tied[unknowns]
        return np.where(through, masters[place], unknowns), np.where(through, numbers[place], one)

    left_to, left = side(rows[entry], along)
    right_to, right = side(columns[entry], across)
    return entry, left_to, right_to, left, right


def _sorted_unique(keys: np.ndarray) -> np.ndarray:
    """The distinct numbers in ascending order; numpy's ``unique`` hashes, ten times as long for millions."""
    keys = np.sort(keys)
    return keys[np.concatenate([np.ones(min(len(keys), 1), dtype=bool), keys[1:] != keys[:-1]])]
