"""Levels of a multigrid hierarchy from functions that are nested in one another: lower degrees, coarser meshes."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
import scipy.sparse
from jaxtyping import Array, Bool, Float, Int

from gemel.solvers.aggregation import HostLevel
from gemel.solvers.block_rows import BlockRows, galerkin, inverse_of, largest_eigenvalue


class Prolongation(eqx.Module):
    r"""How functions of a coarser space read in a finer one that holds them: $U_i = \sum_j w_{ij} V_j$ for nodes.

    A matrix ``(n_fine, n_coarse)`` in compressed rows. Each node of the coarser space is one of the finer space too:
    its row there has a single weight, which is one.
    """

    indptr: Int[np.ndarray | Array, " rows_and_one"]
    indices: Int[np.ndarray | Array, " nnz"]
    weights: Float[np.ndarray | Array, " nnz"]
    columns: int = eqx.field(static=True)

    @staticmethod
    def of(matrix: Any) -> "Prolongation":
        """From a sparse matrix of scipy.

        Raises:
            ValueError: for a column without a row that is one at it and zero elsewhere.
        """
        rows = scipy.sparse.csr_array(matrix)
        rows.sum_duplicates()
        rows.eliminate_zeros()
        prolongation = Prolongation(rows.indptr, rows.indices, rows.data, matrix.shape[1])
        prolongation.injection()  # which says what is wrong
        return prolongation

    def matrix(self) -> scipy.sparse.csr_array:
        """The weights in scipy's format."""
        parts = (np.asarray(self.weights), np.asarray(self.indices), np.asarray(self.indptr))
        return scipy.sparse.csr_array(parts, shape=(len(parts[2]) - 1, self.columns))

    def injection(self) -> Int[np.ndarray, " columns"]:
        """For each node of the coarser space the same one of the finer space."""
        indptr = np.asarray(self.indptr)
        alone = np.flatnonzero(np.diff(indptr) == 1)
        entries = indptr[alone]
        exact = np.isclose(np.asarray(self.weights)[entries], 1.0)
        same = np.full(self.columns, -1)
        same[np.asarray(self.indices)[entries[exact]]] = alone[exact]
        missing = int((same < 0).sum())
        if missing:
            raise ValueError(f"Prolongation: {missing} nodes of the coarser space are no nodes of the finer one.")
        return same


def nested_levels(
    matrix: BlockRows, modes: Float[np.ndarray, "n k"], given: Sequence[Prolongation], coarse: int
) -> tuple[list[HostLevel], BlockRows, Float[np.ndarray, "m k"]]:
    r"""The levels above the coarsest given space; that one's matrix, by $P^\top A P$, and the near-nullspace there.

    Unknowns that couple with no other (prescribed ones) stay out of the prolongations, and have a one on the diagonals
    of coarser matrices.

    Args:
        matrix: symmetric, with a block for each pair of nodes.
        modes: the near-nullspace.
        given: from the finest space down.
        coarse: a level with no more unknowns than this is the last.

    Raises:
        ValueError: for a prolongation that does not fit the size of the level above it.
    """
    levels, fine, block = [], matrix, matrix.block[0]
    free = _coupled(fine)
    for each in given:
        if fine.shape[0] <= coarse:
            break
        plain = each.matrix()
        rows = len(plain.indptr) - 1
        if rows != fine.rows:
            raise ValueError(f"AMG: a nested prolongation has {rows} rows, and its level {fine.rows} nodes.")
        kept = (each.injection()[:, None] * block + np.arange(block)).ravel()
        prolongation = _between(plain, free, free[kept], block)
        inverse = inverse_of(fine.diagonal())
        levels.append(HostLevel(fine, inverse, largest_eigenvalue(fine.mv, inverse), prolongation))
        fine = galerkin(fine, prolongation)
        free, modes = free[kept], modes[kept]
        fine = _held(fine, ~free)
    return levels, fine, modes


def _coupled(matrix: BlockRows) -> Bool[np.ndarray, " n"]:
    """The unknowns whose rows have more than a diagonal entry."""
    magnitude = matrix._replace(data=np.abs(matrix.data))
    return magnitude.mv(np.ones(matrix.shape[1])) > magnitude.diagonal()


def _held(matrix: BlockRows, held: Bool[np.ndarray, " n"]) -> BlockRows:
    """The matrix with one on the diagonal of the unknowns that are held, whose rows and columns are empty."""
    block = matrix.block[0]
    ones = scipy.sparse.diags_array(held.astype(float)).tobsr((block, block))
    return BlockRows.of(matrix.to_scipy() + ones.asformat(matrix.to_scipy().format), matrix.block)


def _between(
    plain: scipy.sparse.csr_array, free: Bool[np.ndarray, " n"], kept: Bool[np.ndarray, " m"], block: int
) -> BlockRows:
    """The prolongation of each component, between free unknowns alone."""
    rows = np.repeat(np.arange(len(plain.indptr) - 1), np.diff(plain.indptr))
    both = free.reshape(-1, block)[rows] & kept.reshape(-1, block)[plain.indices]
    data = np.zeros((plain.nnz, block, block))
    data[:, np.arange(block), np.arange(block)] = plain.data[:, None] * both
    return BlockRows(plain.indptr.astype(np.int32), plain.indices.astype(np.int32), data, len(kept) // block)
