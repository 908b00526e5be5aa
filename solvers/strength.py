"""Which nodes of a matrix hold on to one another: where aggregates may form, and the matrix without the rest."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gemel.loops import compiled, in_parts, index
from gemel.solvers.block_rows import BlockRows, galerkin, pointers_of

_STRETCHED = 2.0
"""A node stands in stretched cells where its diagonal block is so much stiffer one way than another: well-shaped cells
give 1.0 to 1.9, cells of 10:1 give 3.4 (Poisson's ratio 0.3)."""

_FEW = 0.2
"""A smaller part of the nodes in stretched cells are edges and corners of a body: coarser levels do without them."""

_ALONG = 0.4
"""Nodes in stretched cells hold on to a smaller part of their neighbours, themselves counted: on lines and planes of
hexahedra and tetrahedra to 0.1 to 0.33, in well-shaped ones to 0.47 and more, however little they may be compressed."""

_MILD = 0.02
"""Blocks of other nodes count where their norm is above this part of those of the diagonal."""

_LEAST = 0.05
"""The least part of a diagonal that lumping may leave."""

_VALUE, _TRACE, _NORM = 0, 1, 2


def strong_entries(
    matrix: BlockRows, threshold: float, couplings: "Couplings | None" = None
) -> Bool[np.ndarray, " nnz"]:
    r"""Which entries (or blocks) of a sparse matrix join nodes that belong together; those of the diagonal do.

    Entries are strong where $s_{ij} > \theta \sqrt{m_i m_j}$, with $m_i = \max_j s_{ij}$ and $s_{ij} = -a_{ij}$ for
    $a_{ii} > 0$. The sign matters: across thin hexahedra $a_{ij} > 0$ is large and couples nothing. Of blocks $s_{ij}$
    is the norm; where one of the nodes stands in stretched cells it is the trace that ``couplings`` know.

    Args:
        matrix: square.
        threshold: $\theta$. Linear hexahedra couple along the thin side of a cell with $s = 1$, across corners with at
            most $1/\sqrt{8}$ of the largest, and cubes over corners with $1/2$: 0.4 tells them apart.
        couplings: of the nodes of blocks that are not single numbers; None where hardly any cell is stretched.
    """
    strong = _strong_by(matrix, threshold, _NORM if matrix.block[0] > 1 else _VALUE)
    if couplings is None:
        return strong
    return np.where(couplings.even_pairs(matrix), strong, _strong_by(couplings.along(matrix), threshold, _VALUE))


def strong_on_finest(matrix: BlockRows, threshold: float) -> tuple[Bool[np.ndarray, " nnz"], "Couplings | None"]:
    r"""`strong_entries` of the finest level, and what the coarser ones need to know of its stretched cells.

    Of blocks $s_{ij}$ is minus the trace, which of linear elasticity is $\int \nabla\varphi_i \cdot
    \nabla\varphi_j$ times a modulus. Between nodes in cells that are not stretched blocks are strong where
    $\lVert a_{ij} \rVert > 0.02 \sqrt{\lVert a_{ii} \rVert \lVert a_{jj} \rVert}$ as well, which makes larger
    aggregates.
    """
    if matrix.block[0] == 1:
        return strong_entries(matrix, threshold), None
    strong = _strong_by(matrix, threshold, _TRACE)
    own, held = np.zeros(matrix.rows), np.zeros((matrix.rows, *matrix.block))
    in_parts(matrix.rows, lambda *part: _own_blocks(*part, *matrix, held, own))
    stiffness = np.linalg.eigvalsh(held)
    even = stiffness[:, -1] <= _STRETCHED * stiffness[:, 0]
    in_parts(matrix.rows, lambda *part: _mild(*part, *matrix, own, even, strong))
    if even.mean() > 1.0 - _FEW or strong[np.repeat(~even, np.diff(matrix.indptr))].mean() > _ALONG:
        return strong, None
    traces = np.trace(matrix.data, axis1=1, axis2=2).reshape(-1, 1, 1)
    return strong, Couplings(matrix._replace(data=traces), even)


class Couplings(NamedTuple):
    """How nodes hold on to one another where cells are stretched: the traces of blocks between nodes, summed over
    aggregates on coarser levels, and which nodes stand in ``even`` cells alone.

    Blocks of coarser levels do not tell: rotations have units of their own, and what is large across thin cells, of
    the wrong sign, couples nothing.
    """

    traces: BlockRows
    even: Bool[np.ndarray, " nodes"]

    def coarser(self, owner: Int[np.ndarray, " nodes"], count: int) -> "Couplings":
        """Those of aggregates, from the aggregate of every node, -1 for none."""
        kept = owner >= 0
        ones = np.ones((int(kept.sum()), 1, 1))
        joins = BlockRows(pointers_of(kept.astype(np.int32)), owner[kept], ones, count)
        even = np.ones(count, bool)
        even[owner[kept & ~self.even]] = False
        return Couplings(galerkin(self.traces, joins), even)

    def even_pairs(self, matrix: BlockRows) -> Bool[np.ndarray, " nnz"]:
        """Which entries of a matrix join nodes in even cells."""
        return np.repeat(self.even, np.diff(matrix.indptr)) & self.even[matrix.indices]

    def along(self, matrix: BlockRows) -> BlockRows:
        """The traces where a matrix has entries."""
        found = np.zeros((len(matrix.indices), 1, 1))
        in_parts(matrix.rows, lambda *part: _look_up(*part, *matrix[:2], *self.traces, found))
        return matrix._replace(data=found)


def _strong_by(matrix: BlockRows, threshold: float, measure: int) -> Bool[np.ndarray, " nnz"]:
    (root, sign), strong = np.empty((2, matrix.rows)), np.empty(len(matrix.indices), bool)
    in_parts(matrix.rows, lambda *part: _largest(*part, *matrix, measure, root, sign))
    in_parts(matrix.rows, lambda *part: _strong(*part, *matrix, measure, threshold, root, sign, strong))
    return strong


class Filtered(NamedTuple):
    """A matrix without its weak entries. For them ``lumped`` blocks are added to the diagonal."""

    matrix: BlockRows
    strong: Bool[np.ndarray, " nnz"]
    lumped: Float[np.ndarray, "rows height width"]

    @staticmethod
    def of(
        matrix: BlockRows, strong: Bool[np.ndarray, " nnz"], modes: Float[np.ndarray, "nodes block k"] | None = None
    ) -> "Filtered":
        """Drop what is not strong; entries of the diagonal must be. Products with constants stay what they were; where
        blocks have room for them, as on coarser levels, those with all ``modes``.
        """
        if modes is not None and modes.shape[1] == modes.shape[2] > 1:
            weak = matrix._replace(data=np.where(strong[:, None, None], 0.0, matrix.data))
            pushed = (weak.to_scipy() @ modes.reshape(-1, modes.shape[2])).reshape(modes.shape)
            return Filtered(matrix, strong, pushed @ np.linalg.pinv(modes))
        lumped = np.zeros((matrix.rows, *matrix.block))
        in_parts(matrix.rows, lambda *part: _lump(*part, *matrix, strong, lumped))
        return Filtered(matrix, strong, lumped)

    def mv(self, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The product with a vector."""
        y = np.empty_like(x)
        in_parts(self.matrix.rows, lambda *part: _product(*part, *self.matrix, self.strong, self.lumped, x, y))
        return y

    def diagonal(self) -> Float[np.ndarray, " n"]:
        """The diagonal; that of the whole matrix where lumping left nothing of it."""
        whole = self.matrix.diagonal()
        lumped = whole + np.diagonal(self.lumped, axis1=1, axis2=2).ravel()
        return np.where(lumped * np.sign(whole) > _LEAST * np.abs(whole), lumped, whole)


def graph_of(
    matrix: BlockRows, strong: Bool[np.ndarray, " nnz"]
) -> tuple[Int[np.ndarray, " rows_and_one"], Int[np.ndarray, " edges"]]:
    """The strong entries as a graph of nodes, in the format of CSR."""
    lengths = np.empty(matrix.rows, np.int32)
    in_parts(matrix.rows, lambda *part: _count_strong(*part, matrix.indptr, strong, lengths))
    indptr = pointers_of(lengths)
    indices = np.empty(indptr[-1], np.int32)
    in_parts(matrix.rows, lambda *part: _gather_strong(*part, *matrix[:2], strong, indptr, indices))
    return indptr, indices


@compiled
def _coupling(data, e, size, measure):
    """The value, the trace or minus the norm of an entry of ``size`` by ``size`` numbers."""
    if measure == _VALUE:
        return data[index(e)]
    first, total = e * size * size, 0.0
    if measure == _TRACE:
        for a in range(size):
            total += data[index(first + a * (size + 1))]
        return total
    for k in range(size * size):
        total += data[index(first + k)] ** 2
    return -np.sqrt(total)


@compiled
def _largest(first, last, indptr, indices, data, columns, measure, root, sign):
    """The root of the largest s_ij of every row, and the sign of its diagonal entry."""
    size, data = data.shape[1], data.reshape(-1)
    for i in range(first, last):
        lowest, highest, own = 0.0, 0.0, 0.0
        for e in range(indptr[i], indptr[i + 1]):
            coupling = _coupling(data, e, size, measure)
            if indices[index(e)] == i:
                own = coupling
            else:
                lowest, highest = min(lowest, coupling), max(highest, coupling)
        upside = own >= 0 or measure == _NORM
        sign[i] = 1.0 if upside else -1.0
        root[i] = np.sqrt(-lowest if upside else highest)


@compiled
def _strong(first, last, indptr, indices, data, columns, measure, threshold, root, sign, strong):
    size, data = data.shape[1], data.reshape(-1)
    for i in range(first, last):
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[index(e)]
            coupling = max(0.0, -sign[i] * _coupling(data, e, size, measure))
            strong[index(e)] = i == j or coupling > threshold * root[i] * root[index(j)]


@compiled
def _own_blocks(first, last, indptr, indices, data, columns, held, own):
    size, flat = data.shape[1], data.reshape(-1)
    for i in range(first, last):
        for e in range(indptr[i], indptr[i + 1]):
            if indices[index(e)] == i:
                held[i] = data[e]
                own[i] = -_coupling(flat, e, size, _NORM)


@compiled
def _mild(first, last, indptr, indices, data, columns, own, even, strong):
    size, flat = data.shape[1], data.reshape(-1)
    for i in range(first, last):
        if even[i]:
            for e in range(indptr[i], indptr[i + 1]):
                j = index(indices[index(e)])
                if even[j] and -_coupling(flat, e, size, _NORM) > _MILD * np.sqrt(own[i] * own[j]):
                    strong[index(e)] = True


@compiled
def _look_up(first, last, indptr, indices, other_indptr, other_indices, other_data, other_columns, found):
    known = np.zeros(other_columns)
    for i in range(first, last):
        for e in range(other_indptr[i], other_indptr[i + 1]):
            known[index(other_indices[index(e)])] = other_data[index(e), 0, 0]
        for e in range(indptr[i], indptr[i + 1]):
            found[index(e), 0, 0] = known[index(indices[index(e)])]
        for e in range(other_indptr[i], other_indptr[i + 1]):
            known[index(other_indices[index(e)])] = 0.0


@compiled
def _count_strong(first, last, indptr, strong, lengths):
    for i in range(first, last):
        length = 0
        for e in range(indptr[i], indptr[i + 1]):
            length += strong[index(e)]
        lengths[i] = length


@compiled
def _gather_strong(first, last, indptr, indices, strong, new_indptr, new_indices):
    for i in range(first, last):
        at = new_indptr[i]
        for e in range(indptr[i], indptr[i + 1]):
            if strong[index(e)]:
                new_indices[index(at)] = indices[index(e)]
                at += 1


@compiled
def _lump(first, last, indptr, indices, data, columns, strong, lumped):
    size = data.shape[1] * data.shape[2]
    data, lumped = data.reshape(-1), lumped.reshape(-1)
    for i in range(first, last):
        for e in range(indptr[i], indptr[i + 1]):
            if not strong[index(e)]:
                for k in range(size):
                    lumped[index(i * size + k)] += data[index(e * size + k)]


@compiled
def _product(first, last, indptr, indices, data, columns, strong, lumped, x, y):
    size = data.shape[1]
    data, lumped = data.reshape(-1), lumped.reshape(-1)
    for i in range(first, last):
        if size == 1:
            total = lumped[i] * x[i]
            for e in range(indptr[i], indptr[i + 1]):
                if strong[index(e)]:
                    total += data[index(e)] * x[index(indices[index(e)])]
            y[i] = total
            continue
        for a in range(size):
            total = 0.0
            for b in range(size):
                total += lumped[(i * size + a) * size + b] * x[i * size + b]
            for e in range(indptr[i], indptr[i + 1]):
                if strong[index(e)]:
                    j = indices[index(e)]
                    for b in range(size):
                        total += data[index((e * size + a) * size + b)] * x[index(j * size + b)]
            y[i * size + a] = total
