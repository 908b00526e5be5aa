"""Matrices in rows: the sparsity of any mesh, and the gathers that assemble into it."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float

from gemel.engine.assembly.gathers import GatherSum
from gemel.engine.assembly.layout import ElementSum, MatrixLayout, as_blocks
from gemel.solvers.padded import flat_size, split_flat
from gemel.solvers.sparse import SparseOperator, SparsityPattern


class GatheredSum(ElementSum):
    """The sum of entries that come in groups of ``width`` with neighbouring places."""

    gather: GatherSum
    width: int = eqx.field(static=True)

    def __call__(self, local: Sequence[Float[Array, "..."]]) -> Float[Array, " n"]:
        """Sum element arrays, one for each group of elements, into a flat one."""
        flat = jnp.concatenate([values.reshape(-1) for values in local])
        return self.gather(flat.reshape(-1, self.width)).reshape(-1)


class RowLayout(MatrixLayout):
    """Values in padded rows, as the products of a `SparseOperator` read them, for any mesh.

    Blocks have ``width`` unknowns, of which all pairs are stored where two blocks share an element.
    """

    pattern: SparsityPattern
    width: int = eqx.field(static=True)

    @staticmethod
    def of(n_dofs: int, width: int, couplings: Sequence[np.ndarray]) -> "RowLayout":
        """Collect the pairs of blocks of all elements, given by their unknowns ``(n_elements, n_local)``."""
        starts, neighbours = _neighbours(n_dofs // width, [as_blocks(dofs, width)[0] for dofs in couplings])
        if width == 1:
            return RowLayout(SparsityPattern.build(starts, neighbours), 1)
        widths = np.repeat(np.diff(starts) * width, width)
        indptr = np.concatenate([[0], np.cumsum(widths)])
        expanded = (neighbours[:, None] * np.int32(width) + np.arange(width, dtype=np.int32)).ravel()
        first = np.repeat(np.repeat(starts[:-1] * width, width) - indptr[:-1], widths)
        return RowLayout(SparsityPattern.build(indptr, expanded[first + np.arange(indptr[-1])]), width)

    @property
    def shape(self) -> tuple[int, ...]:
        """One axis, padding included."""
        return (flat_size(self.pattern.forward),)

    def blocks(self) -> tuple[np.ndarray, np.ndarray]:
        """The sparsity of the blocks, on the host: row pointers and ascending columns."""
        indptr, indices = np.asarray(self.pattern.indptr, np.int64), np.asarray(self.pattern.indices)
        if self.width == 1:
            return indptr, indices
        starts = indptr[:: self.width] // self.width**2
        counts = np.diff(starts)
        first = np.repeat(indptr[: -1 : self.width] - starts[:-1] * self.width, counts)
        return starts, indices[first + self.width * np.arange(starts[-1])] // self.width

    def graph(self) -> scipy.sparse.csr_array:
        """The sparsity of the blocks."""
        starts, neighbours = self.blocks()
        return scipy.sparse.csr_array((np.ones(len(neighbours), bool), neighbours, starts), [len(starts) - 1] * 2)

    def positions(self, dofs: np.ndarray) -> np.ndarray:
        """Where each entry of the element matrices ``(n_local, n_local, n_elements)`` stands in the stored values."""
        return np.asarray(self.pattern.to_csr)[self._entries(np.asarray(dofs))].reshape(-1)

    def _entries(self, dofs: np.ndarray) -> np.ndarray:
        """The same in the order of compressed rows."""
        bounds, neighbours = self.blocks()
        blocks, whole = as_blocks(dofs, self.width)
        c, pair = self.width, _find_pairs(bounds, neighbours, blocks)
        if c == 1:
            return pair
        start, width = bounds[blocks].T, (bounds[blocks + 1] - bounds[blocks]).T
        base = start[:, None] * c * c + (pair - start[:, None]) * c
        if whole:
            i, j = np.arange(c)[:, None, None, None], np.arange(c)[:, None]
            return base[:, None, :, None] + i * (width * c)[:, None, None, None] + j
        component = dofs.T % c
        return base + (component * width * c)[:, None] + component

    def plan_matrix(self, dofs: Sequence[np.ndarray]) -> GatheredSum:
        """Plan the assembly of element matrices into stored values, for groups of elements with these unknowns."""
        parts = [self.positions(group) for group in dofs] or [np.zeros(0, dtype=np.int64)]
        positions = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return GatheredSum(GatherSum.plan(positions, *self.shape), 1)

    def plan_vector(self, dofs: Sequence[np.ndarray]) -> GatheredSum:
        """Plan the assembly of element vectors into a flat vector of unknowns."""
        blocks = [as_blocks(group, self.width) for group in dofs]
        if all(whole for _, whole in blocks):
            targets = np.concatenate([np.zeros(0, np.int64), *(rows.ravel() for rows, _ in blocks)])
            return GatheredSum(GatherSum.plan(targets, self.pattern.n // self.width), self.width)
        targets = np.concatenate([np.asarray(group).ravel() for group in dofs])
        return GatheredSum(GatherSum.plan(targets, self.pattern.n), 1)

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


def sorted_unique(keys: np.ndarray) -> np.ndarray:
    """The distinct numbers in ascending order; numpy's ``unique`` hashes, ten times as long for millions."""
    keys = np.sort(keys)
    return keys[np.concatenate([np.ones(min(len(keys), 1), dtype=bool), keys[1:] != keys[:-1]])]


def _neighbours(n_blocks: int, couplings: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    r"""The blocks that share an element with each block, and itself: row pointers and ascending columns.

    The sparsity of $C^\top C$ for the incidence $C$ of elements and blocks: six times as fast as sorting all pairs.
    """
    elements = [np.arange(n_blocks)[:, None], *couplings]
    counts = np.concatenate([np.full(len(blocks), blocks.shape[1]) for blocks in elements])
    members = np.concatenate([blocks.ravel() for blocks in elements])
    starts = np.concatenate([[0], np.cumsum(counts)])
    incidence = scipy.sparse.csr_array(
        (np.ones(len(members), dtype=bool), members, starts), shape=(len(counts), n_blocks)
    )
    shared = scipy.sparse.csr_array(incidence.T @ incidence)
    shared.sort_indices()
    return shared.indptr.astype(np.int64), shared.indices.astype(np.int32)


def _find_pairs(starts: np.ndarray, neighbours: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Where each pair of blocks of an element stands among the ``neighbours``, ``(n_local, n_local, n_elements)``.

    Each pair is looked up once; where its mirror image stands, the transposed pattern says.
    """
    n_blocks, (n, k) = len(starts) - 1, blocks.shape
    numbers = np.arange(len(neighbours), dtype=np.int32)
    pattern = scipy.sparse.csr_array((numbers, neighbours, starts), shape=(n_blocks, n_blocks))
    mirror = pattern.tocsc().data
    diagonal = pattern.diagonal()
    found = np.empty((k, k, n), dtype=np.int32)
    members = np.ascontiguousarray(blocks.T)
    for i in range(k):
        found[i, i] = diagonal[members[i]]
        for j in range(i + 1, k):
            found[i, j] = pattern[members[i], members[j]]
            found[j, i] = mirror[found[i, j]]
    return found
