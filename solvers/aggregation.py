"""Smoothed aggregation: the levels of a multigrid hierarchy from a matrix and its near-nullspace; on the host."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gemel.loops import compiled, in_parts, index
from gemel.solvers.block_rows import BlockRows, galerkin, inverse_of, largest_eigenvalue, pointers_of
from gemel.solvers.padded_rows import near_order
from gemel.solvers.patterns import transposed_entries
from gemel.solvers.strength import Filtered, graph_of, strong_entries, strong_on_finest

_MOST_LEVELS = 20

_ANY_ORDER = 1000
"""With fewer nodes than this the order in which aggregates form makes no difference."""

_NEARLY_ALL = 0.9
"""Where a larger part of a level is strong, its weak entries cannot fill the coarser ones."""

_DEPENDENT = 1e-10
"""A mode that orthogonalisation within an aggregate leaves less of than this is one of the others there."""


class HostLevel(NamedTuple):
    """A level's matrix, the inverse of its diagonal, the largest eigenvalue of their product, and the prolongation
    from the next coarser level (None on the coarsest, where neither of the numbers is needed).
    """

    matrix: BlockRows
    inverse_diagonal: Float[np.ndarray, " n"]
    largest: float
    prolongation: BlockRows | None


def smoothed_aggregation(
    matrix: BlockRows,
    modes: Float[np.ndarray, "n k"],
    strength: float,
    coarse: int,
    near: Int[np.ndarray | Array, " nodes"] | None = None,
) -> Iterator[HostLevel]:
    r"""Levels from fine to coarse, with $P = (I - \tfrac{4}{3\lambda} D^{-1} A)\, T$ and $A_c = P^\top A P$; one after
    the other, so that the matrices of all need not be kept.

    The tentative $T$ carries the near-nullspace over from one level to the next, aggregate by aggregate;
    $\lambda$ is the largest eigenvalue of $D^{-1} A$. On the finest level, and between nodes in stretched cells on the
    others, $A$ stands in $P$ without its weak entries, which would fill the coarser ones.

    Args:
        matrix: symmetric, with a block for each pair of nodes.
        modes: the near-nullspace.
        strength: threshold of strong connections, see `strong_entries`.
        coarse: largest size of the coarsest level.
        near: an order of the nodes in which neighbours follow one another; one is looked for where it is None.
            Aggregates are formed and numbered along it.

    Source: Vaněk, Mandel, Brezina, Computing 56 (1996).
    """
    number, fine, couplings = 0, matrix, None
    del matrix
    candidates = np.ascontiguousarray(modes, np.float64).reshape(fine.rows, fine.block[0], -1)
    if near is None:
        near = near_order(fine.indptr, fine.indices, least=_ANY_ORDER)
    while fine.shape[0] > coarse and number < _MOST_LEVELS - 1:
        order = np.arange(fine.rows, dtype=np.int32) if number or near is None else np.array(near, np.int32)
        if number:
            strong = strong_entries(fine, strength, couplings)
        else:
            strong, couplings = strong_on_finest(fine, strength)
        owner = _aggregates(*graph_of(fine, strong), order)
        count = int(owner.max(initial=0)) + 1  # one, of no node, where no two nodes hold on to one another
        if number:
            strong |= True if couplings is None else couplings.even_pairs(fine)
        couplings = None if couplings is None else couplings.coarser(owner, count)
        prolongation, inverse, largest, candidates = _prolongation(fine, candidates, strong, owner, count)
        made = [HostLevel(fine, inverse, largest, prolongation)]
        fine, number = galerkin(fine, prolongation), number + 1
        del prolongation, strong
        yield made.pop()
    yield HostLevel(fine, np.ones(0), 0.0, None)


def _prolongation(
    fine: BlockRows,
    candidates: Float[np.ndarray, "nodes block k"],
    strong: Bool[np.ndarray, " nnz"],
    owner: Int[np.ndarray, " nodes"],
    count: int,
) -> tuple[BlockRows, Float[np.ndarray, " n"], float, Float[np.ndarray, "aggregates k k"]]:
    """That to a level, smoothed by the strong entries where the others are many, the inverse of its diagonal, the
    largest eigenvalue of both, and the coarser near-nullspace.
    """
    tentative, coarser = _tentative(owner, count, candidates)
    inverse = inverse_of(fine.diagonal())
    largest = largest_eigenvalue(fine.mv, inverse)
    lumped, smoothing = inverse, largest
    if np.count_nonzero(strong) > _NEARLY_ALL * len(strong):
        joined = Filtered.of(fine, np.ones(len(strong), bool))
    else:
        joined = Filtered.of(fine, strong, candidates)
        lumped = inverse_of(joined.diagonal())
        smoothing = largest_eigenvalue(joined.mv, lumped, 6)
    prolongation = _smoothed(joined, owner, count, tentative, 4.0 / (3.0 * smoothing) * lumped)
    return prolongation, inverse, largest, coarser


def constants(n: int, block: int) -> Float[np.ndarray, "n block"]:
    """The constants of each component, the near-nullspace where no other is known."""
    return np.kron(np.ones((n // block, 1)), np.eye(block))


@compiled
def _aggregates(indptr, indices, order):
    """The aggregate of every node, -1 for a node without neighbours: first whole neighbourhoods of nodes that touch no
    aggregate yet, then those left beside one join it, then what still is left forms aggregates of its own.
    """
    n = len(indptr) - 1
    owner, count = np.full(n, -1, np.int32), 0
    for i in order:
        free, alone = owner[i] < 0, True
        for e in range(indptr[i], indptr[i + 1]):
            alone = alone and indices[e] == i
            free = free and owner[indices[e]] < 0
        if free and not alone:
            for e in range(indptr[i], indptr[i + 1]):
                owner[indices[e]] = count
            owner[i] = count
            count += 1
    core = owner.copy()
    for i in order:
        if owner[i] < 0:
            for e in range(indptr[i], indptr[i + 1]):
                if core[indices[e]] >= 0:
                    owner[i] = core[indices[e]]
                    break
    for i in order:
        if owner[i] < 0:
            alone = True
            for e in range(indptr[i], indptr[i + 1]):
                if indices[e] != i:
                    alone = False
                    if owner[indices[e]] < 0:
                        owner[indices[e]] = count
            if not alone:
                owner[i] = count
                count += 1
    return owner


def _tentative(
    owner: Int[np.ndarray, " nodes"], count: int, candidates: Float[np.ndarray, "nodes block k"]
) -> tuple[Float[np.ndarray, "nodes block k"], Float[np.ndarray, "aggregates k k"]]:
    """The block of T in the row of every node, and the near-nullspace of the coarser level: Q and R of the candidates
    of each aggregate.
    """
    starts, members, _ = transposed_entries(pointers_of((owner >= 0).astype(np.int32)), owner[owner >= 0], count)
    tentative, coarser = np.zeros_like(candidates), np.zeros((count, candidates.shape[2], candidates.shape[2]))
    in_parts(count, lambda *part: _orthogonalise(*part, starts, members, candidates, tentative, coarser), 256)
    return tentative, coarser


@compiled
def _orthogonalise(first, last, starts, members, candidates, q, r):
    """Gram and Schmidt, twice, within each aggregate; a mode that depends on those before it gets a zero column."""
    block, k = candidates.shape[1:]
    for aggregate in range(first, last):
        mine = members[starts[aggregate] : starts[aggregate + 1]]
        for mode in range(k):
            size = 0.0
            for i in mine:
                for a in range(block):
                    q[i, a, mode] = candidates[i, a, mode]
                    size += q[i, a, mode] ** 2
            for _ in range(2):
                for other in range(mode):
                    dot = 0.0
                    for i in mine:
                        for a in range(block):
                            dot += q[i, a, other] * q[i, a, mode]
                    r[aggregate, other, mode] += dot
                    for i in mine:
                        for a in range(block):
                            q[i, a, mode] -= dot * q[i, a, other]
            rest = 0.0
            for i in mine:
                for a in range(block):
                    rest += q[i, a, mode] ** 2
            kept = rest > 0.0 and rest > _DEPENDENT**2 * size
            r[aggregate, mode, mode] = np.sqrt(rest) if kept else 0.0
            factor = 1.0 / np.sqrt(rest) if kept else 0.0
            for i in mine:
                for a in range(block):
                    q[i, a, mode] *= factor


def _smoothed(
    joined: Filtered,
    owner: Int[np.ndarray, " nodes"],
    count: int,
    tentative: Float[np.ndarray, "nodes block k"],
    damping: Float[np.ndarray, " n"],
) -> BlockRows:
    """T − ω D⁻¹ A T from the block of T in the row of every node, with ω D⁻¹ as ``damping``."""
    matrix, lengths = joined.matrix, np.empty(joined.matrix.rows, np.int32)
    in_parts(matrix.rows, lambda *part: _count(*part, *matrix[:2], joined.strong, owner, count, lengths))
    indptr = pointers_of(lengths)
    indices, data = np.empty(indptr[-1], np.int32), np.zeros((indptr[-1], *tentative.shape[1:]))
    in_parts(
        matrix.rows,
        lambda *part: _smooth(
            *part, *matrix[:3], joined.strong, joined.lumped, owner, count, tentative, damping, indptr, indices, data
        ),
    )
    return BlockRows(indptr, indices, data, count)


@compiled
def _count(first, last, indptr, indices, strong, owner, count, lengths):
    seen = np.full(count, -1, np.int32)
    for i in range(first, last):
        length = 0
        if owner[i] >= 0:
            seen[owner[i]] = i
            length = 1
        for e in range(indptr[i], indptr[i + 1]):
            aggregate = owner[index(indices[index(e)])]
            if strong[index(e)] and aggregate >= 0 and seen[index(aggregate)] != i:
                seen[index(aggregate)] = i
                length += 1
        lengths[i] = length


@compiled
def _smooth(
    first, last, indptr, indices, data, strong, lumped, owner, count, tentative, damping, new_indptr, new_indices,
    new_data,
):  # fmt: skip
    size, k = tentative.shape[1:]
    data, tentative, new_data = data.reshape(-1), tentative.reshape(-1), new_data.reshape(-1)
    place = np.full(count, -1, np.int32)
    for i in range(first, last):
        end = new_indptr[i]
        if owner[i] >= 0:
            place[owner[i]] = end
            new_indices[end] = owner[i]
            new_data[end * size * k : (end + 1) * size * k] = tentative[i * size * k : (i + 1) * size * k]
            end += 1
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[index(e)]
            aggregate = owner[index(j)]
            if not strong[index(e)] or aggregate < 0:
                continue
            at = place[index(aggregate)]
            if at < new_indptr[i]:
                at = place[index(aggregate)] = end
                new_indices[index(at)] = aggregate
                end += 1
            if size * k == 1:
                entry = data[index(e)] + (lumped[i, 0, 0] if i == j else 0.0)
                new_data[index(at)] -= damping[i] * entry * tentative[index(j)]
                continue
            for a in range(size):
                for c in range(size):
                    entry = data[index((e * size + a) * size + c)]
                    if i == j:
                        entry += lumped[i, a, c]
                    factor = damping[index(i * size + a)] * entry
                    for b in range(k):
                        term = factor * tentative[index((j * size + c) * k + b)]
                        new_data[index((at * size + a) * k + b)] -= term
