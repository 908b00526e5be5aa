"""Smoothed aggregation: the levels of a multigrid hierarchy from a matrix and its near-nullspace; on the host."""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
from jaxtyping import Array, Float, Int
from pyamg.aggregation.aggregate import standard_aggregation
from pyamg.aggregation.tentative import fit_candidates

from gemel.solvers.padded_rows import inverse_index, near_order
from gemel.solvers.strength import graph_of, lumped_diagonal, strong_entries, without_weak_entries

_MOST_LEVELS = 20

_ANY_ORDER = 1000
"""With fewer nodes than this the order in which aggregates form makes no difference."""


_NEARLY_ALL = 0.9
"""Where a larger part of the finest level is strong, its weak entries cannot fill the coarser ones."""


class HostLevel(NamedTuple):
    """A level's matrix, the inverse of its diagonal, the largest eigenvalue of their product, and the prolongation
    from the next coarser level (None on the coarsest, where neither of the numbers is needed).
    """

    matrix: Any
    inverse_diagonal: Float[np.ndarray, " n"]
    largest: float
    prolongation: Any


def smoothed_aggregation(
    matrix: Any,
    modes: Float[np.ndarray, "n k"] | None,
    block: int,
    strength: float,
    coarse: int,
    near: Int[np.ndarray | Array, " n"] | None = None,
) -> list[HostLevel]:
    r"""Levels from fine to coarse, with $P = (I - \tfrac{4}{3\lambda} D^{-1} A)\, T$ and $A_c = P^\top A P$.

    The tentative $T$ carries the near-nullspace over from one level to the next, aggregate by aggregate;
    $\lambda$ is the largest eigenvalue of $D^{-1} A$. On the finest level $A$ stands in $P$ without its weak entries,
    which would fill the coarser ones where cells are thin.

    Args:
        matrix: symmetric, sparse.
        modes: the near-nullspace; the constants of each component when None.
        block: unknowns per node, interleaved.
        strength: threshold of strong connections, see `strong_entries`.
        coarse: largest size of the coarsest level.
        near: an order of the nodes in which neighbours follow one another; one is looked for where it is None.
            Aggregates are formed and numbered along it; levels come in the order of ``matrix`` all the same.

    Source: Vaněk, Mandel, Brezina, Computing 56 (1996).
    """
    candidates = constants(matrix.shape[0], block) if modes is None else modes
    fine = in_blocks(matrix, block)
    if near is None:
        near = near_order(fine.indptr, fine.indices, least=_ANY_ORDER)
        if near is None:
            return _levels(fine, candidates, strength, coarse)
    return _along(np.asarray(near), fine, candidates, strength, coarse)


def _along(
    nodes: Int[np.ndarray, " nodes"],
    fine: Any,
    candidates: Float[np.ndarray, "n k"],
    strength: float,
    coarse: int,
) -> list[HostLevel]:
    """The levels of the matrix with its nodes in another order, the first one back in its own."""
    block = fine.shape[0] // len(nodes)
    order = (nodes[:, None] * block + np.arange(block)).ravel()
    first, *others = _levels(_permuted(fine, nodes), candidates[order], strength, coarse)
    if first.prolongation is None:
        return [HostLevel(fine, *first[1:])]
    inverse_diagonal = first.inverse_diagonal[inverse_index(order, len(order))]
    prolongation = _rows_of(first.prolongation, inverse_index(nodes, len(nodes)))
    return [HostLevel(fine, inverse_diagonal, first.largest, prolongation), *others]


def _permuted(matrix: Any, order: Int[np.ndarray, " nodes"]) -> Any:
    """The matrix, in CSR or BSR format, with its nodes in another order."""
    rows = _rows_of(matrix, order)
    moved = type(matrix)((rows.data, inverse_index(order, len(order))[rows.indices], rows.indptr), matrix.shape)
    moved.sort_indices()
    return moved


def _rows_of(matrix: Any, order: Int[np.ndarray, " nodes"]) -> Any:
    """The rows (of blocks) of a matrix in another order."""
    lengths = np.diff(matrix.indptr)[order]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(matrix.indptr.dtype)
    entries = np.arange(indptr[-1]) + np.repeat(matrix.indptr[order] - indptr[:-1], lengths)
    return type(matrix)((matrix.data[entries], matrix.indices[entries], indptr), matrix.shape)


def _levels(fine: Any, candidates: Float[np.ndarray, "n k"], strength: float, coarse: int) -> list[HostLevel]:
    levels = []
    while fine.shape[0] > coarse and len(levels) < _MOST_LEVELS - 1:
        strong = strong_entries(fine, strength, fine=not levels)
        graph = graph_of(fine, strong)
        aggregates, _ = standard_aggregation(graph)
        tentative, candidates = fit_candidates(aggregates, candidates)
        tentative = tentative.asformat(fine.format)
        inverse = inverse_of(fine.diagonal())
        largest = largest_eigenvalue(fine, inverse)
        if levels or strong.mean() > _NEARLY_ALL:
            prolongation = _smoothed(tentative, fine, inverse, largest)
        else:
            joined = without_weak_entries(fine, strong, graph)
            lumped = inverse_of(lumped_diagonal(joined, fine))
            prolongation = _smoothed(tentative, joined, lumped, largest_eigenvalue(joined, lumped, 8))
        levels.append(HostLevel(fine, inverse, largest, prolongation))
        coarser = prolongation.T.asformat(prolongation.format) @ (fine @ prolongation)
        fine = in_blocks(coarser, candidates.shape[1])
    return [*levels, HostLevel(fine, np.ones(0), 0.0, None)]


def _smoothed(tentative: Any, matrix: Any, inverse_diagonal: Float[np.ndarray, " n"], largest: float) -> Any:
    return tentative - _scaled(matrix @ tentative, 4.0 / (3.0 * largest) * inverse_diagonal)


def constants(n: int, block: int) -> Float[np.ndarray, "n block"]:
    """The constants of each component, the near-nullspace where no other is known."""
    return np.kron(np.ones((n // block, 1)), np.eye(block))


def in_blocks(matrix: Any, size: int) -> Any:
    """The matrix in CSR format, or in BSR with square blocks of a size."""
    if size == 1:
        return scipy.sparse.csr_matrix(matrix)
    return scipy.sparse.bsr_matrix(matrix if matrix.format == "bsr" else matrix.tobsr((size, size)))


def inverse_of(diagonal: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The inverse of a diagonal, one where it is zero."""
    return 1.0 / np.where(diagonal == 0, 1.0, diagonal)


def largest_eigenvalue(matrix: Any, inverse_diagonal: Float[np.ndarray, " n"], steps: int = 15) -> float:
    """Return the largest eigenvalue of D⁻¹A, from below, by Lanczos on D^-½ A D^-½ from a fixed start."""
    root = np.sqrt(np.abs(inverse_diagonal))
    v = np.random.default_rng(0).standard_normal(len(root))
    v /= np.linalg.norm(v)
    before, beta = np.zeros_like(v), 0.0
    alphas, betas = [], []
    for _ in range(min(steps, len(v))):
        w = root * (matrix @ (root * v)) - beta * before
        alpha = float(v @ w)
        w -= alpha * v
        alphas.append(alpha)
        beta = float(np.linalg.norm(w))
        if beta <= 1e-12 * abs(alpha):
            break
        betas.append(beta)
        before, v = v, w / beta
    return float(scipy.linalg.eigvalsh_tridiagonal(alphas, betas[: len(alphas) - 1])[-1])


def _scaled(matrix: Any, factors: Float[np.ndarray, " n"]) -> Any:
    """The rows of a matrix times a number each."""
    if matrix.format == "csr":
        matrix.data *= np.repeat(factors, np.diff(matrix.indptr))
        return matrix
    height = matrix.blocksize[0]
    matrix.data *= np.repeat(factors.reshape(-1, height), np.diff(matrix.indptr), axis=0)[:, :, None]
    return matrix
