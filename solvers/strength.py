"""Which nodes of a matrix hold on to one another: where aggregates may form, and the matrix without the rest."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

_STRETCHED = 2.0
"""A node stands in stretched cells where its diagonal block is so much stiffer one way than another: well-shaped cells
give 1.0 to 1.9, cells of 10:1 give 3.4 (Poisson's ratio 0.3)."""

_MILD = 0.02
"""Blocks of other nodes count where their norm is above this part of those of the diagonal."""

_PART = 8192
"""Rows that are looked at together."""

_LEAST = 0.05
"""The least part of a diagonal that lumping may leave."""


def strong_entries(matrix: Any, threshold: float, fine: bool) -> Bool[np.ndarray, " nnz"]:
    r"""Which entries (or blocks) of a sparse matrix join nodes that belong together; those of the diagonal do.

    Entries are strong where $s_{ij} > \theta \sqrt{m_i m_j}$, with $m_i = \max_j s_{ij}$ and $s_{ij} = -a_{ij}$ for
    $a_{ii} > 0$. The sign matters: across thin hexahedra $a_{ij} > 0$ is large and couples nothing. Of blocks on the
    finest level $s_{ij}$ is minus the trace, which of linear elasticity is $\int \nabla\varphi_i \cdot
    \nabla\varphi_j$ times a modulus; on coarser ones, whose unknowns have no direction, it is the norm. Between nodes
    in cells that are not stretched blocks are strong where $\lVert a_{ij} \rVert > 0.02
    \sqrt{\lVert a_{ii} \rVert \lVert a_{jj} \rVert}$, which makes larger aggregates.

    Args:
        matrix: square, in CSR or BSR format.
        threshold: $\theta$. Linear hexahedra couple along the thin side of a cell with $s = 1$, across corners with at
            most $1/\sqrt{8}$ of the largest, and cubes over corners with $1/2$: 0.4 tells them apart.
        fine: whether this is the finest level.
    """
    blocks = matrix.format == "bsr" and matrix.blocksize[0] > 1
    lengths = np.diff(matrix.indptr)
    coupling, diagonal = np.empty(len(matrix.indices)), np.empty(len(matrix.indices), bool)
    root = np.zeros(len(lengths))
    for rows, entries in _parts(matrix.indptr):
        here = np.repeat(np.arange(rows.start, rows.stop, dtype=matrix.indices.dtype), lengths[rows])
        own = diagonal[entries] = here == matrix.indices[entries]
        coupling[entries] = _coupling(matrix.data[entries], own, here - rows.start, blocks, fine)
        root[rows] = np.sqrt(_largest_of_rows(coupling[entries], matrix.indptr[rows.start : rows.stop + 1]))
    strong = diagonal.copy()
    for rows, entries in _parts(matrix.indptr):
        limit = np.repeat(threshold * root[rows], lengths[rows]) * root[matrix.indices[entries]]
        strong[entries] |= coupling[entries] > limit
    return strong | _mildly_strong(matrix, diagonal) if blocks and fine else strong


def graph_of(matrix: Any, strong: Bool[np.ndarray, " nnz"]) -> scipy.sparse.csr_array:
    """The strong entries as a graph of nodes."""
    n = len(matrix.indptr) - 1
    indptr = np.concatenate([[0], np.cumsum(strong)])[matrix.indptr].astype(matrix.indptr.dtype)
    return scipy.sparse.csr_array((np.ones(indptr[-1]), matrix.indices[strong], indptr), shape=(n, n))


def without_weak_entries(matrix: Any, strong: Bool[np.ndarray, " nnz"], graph: scipy.sparse.csr_array) -> Any:
    """The matrix with its weak entries added to the diagonal, so that constants keep their rows' sums; ``graph`` is
    that of the strong ones.
    """
    rows = _row_of_each(matrix)
    diagonal, weak = rows == matrix.indices, ~strong
    at = rows[weak]
    dropped = matrix.data[weak].reshape(len(at), int(np.prod(matrix.data.shape[1:])))
    lumped = np.stack([np.bincount(at, part, len(matrix.indptr) - 1) for part in dropped.T], axis=1)
    data = matrix.data[strong]
    data[diagonal[strong]] += lumped[rows[diagonal]].reshape(-1, *data.shape[1:])
    kind = scipy.sparse.bsr_array if matrix.format == "bsr" else scipy.sparse.csr_array
    return kind((data, graph.indices, graph.indptr), shape=matrix.shape)


def lumped_diagonal(filtered: Any, matrix: Any) -> Float[np.ndarray, " n"]:
    """The diagonal of a matrix without its weak entries; that of the whole one where lumping left nothing of it."""
    lumped, whole = filtered.diagonal(), matrix.diagonal()
    return np.where(lumped * np.sign(whole) > _LEAST * np.abs(whole), lumped, whole)


def _row_of_each(matrix: Any) -> Int[np.ndarray, " nnz"]:
    return np.repeat(np.arange(len(matrix.indptr) - 1, dtype=matrix.indices.dtype), np.diff(matrix.indptr))


def _parts(indptr: Int[np.ndarray, " rows"]) -> Iterator[tuple[slice, slice]]:
    """Rows and their entries, so many that what is computed of them stays in the cache."""
    n = len(indptr) - 1
    for first in range(0, n, _PART):
        last = min(first + _PART, n)
        yield slice(first, last), slice(int(indptr[first]), int(indptr[last]))


def _coupling(
    data: Float[np.ndarray, " nnz ..."],
    diagonal: Bool[np.ndarray, " nnz"],
    rows: Int[np.ndarray, " nnz"],
    blocks: bool,
    fine: bool,
) -> Float[np.ndarray, " nnz"]:
    """s_ij of entries (or blocks) of some rows, zero on the diagonal."""
    if blocks and not fine:
        coupling = _norms(data)
    else:
        entries = np.einsum("kii->k", data) if blocks else data.reshape(-1)
        negative = diagonal & (entries < 0)
        if negative.any():
            sign = np.ones(rows[-1] + 1)
            sign[rows[negative]] = -1.0
            entries = entries * sign[rows]
        coupling = np.maximum(-entries, 0.0)
    coupling[diagonal] = 0.0
    return coupling


def _norms(data: Float[np.ndarray, "nnz rows columns"]) -> Float[np.ndarray, " nnz"]:
    return np.sqrt(np.einsum("kij,kij->k", data, data))


def _largest_of_rows(values: Float[np.ndarray, " nnz"], indptr: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " n"]:
    """Of values that are not negative; zero for rows without any."""
    padded = np.append(values, 0.0)
    return np.where(np.diff(indptr) > 0, np.maximum.reduceat(padded, indptr[:-1] - indptr[0]), 0.0)


def _mildly_strong(matrix: Any, diagonal: Bool[np.ndarray, " nnz"]) -> Bool[np.ndarray, " nnz"]:
    """The blocks that count between nodes which do not stand in stretched cells."""
    rows, norms = _row_of_each(matrix), _norms(matrix.data)
    root = np.zeros(len(matrix.indptr) - 1)
    root[rows[diagonal]] = np.sqrt(norms[diagonal])
    stiffness = np.linalg.eigvalsh(matrix.data[diagonal])
    even = np.ones(len(root), bool)
    even[rows[diagonal]] = stiffness[:, -1] <= _STRETCHED * stiffness[:, 0]
    strong = norms > _MILD * root[rows] * root[matrix.indices]
    return strong & even[rows] & even[matrix.indices]
