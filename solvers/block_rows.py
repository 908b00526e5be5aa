"""Sparse matrices of small dense blocks on the host: what the set-up of multigrid computes with."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
from jaxtyping import Float, Int
from scipy.linalg import lapack

from gemel.loops import at_once, compiled, in_parts, index, one_thread, require_32_bits
from gemel.solvers.patterns import transposed_entries

_AT_A_TIME = 2**26
"""Bytes of a matrix whose product is formed at a time."""

_SINGULAR = 1e-9
"""Pivots of a matrix with a unit diagonal below this are taken for rounding."""


class BlockRows(NamedTuple):
    """A sparse matrix in BSR format: row ``i`` has the blocks ``data[e] (height, width)`` at the columns ``indices[e]``
    for ``e`` from ``indptr[i]`` to ``indptr[i + 1]``; plain CSR where blocks are single numbers. ``columns`` counts
    those of blocks. Columns need not be in order.
    """

    indptr: Int[np.ndarray, " rows_and_one"]
    indices: Int[np.ndarray, " nnz"]
    data: Float[np.ndarray, "nnz height width"]
    columns: int

    @staticmethod
    def of(matrix: Any, block: tuple[int, int] = (1, 1)) -> "BlockRows":
        """From a sparse matrix of scipy, in blocks of that size and memory of its own."""
        if block == (1, 1):
            found: Any = scipy.sparse.csr_array(matrix, copy=True)
        elif matrix.format == "bsr" and matrix.blocksize == block:
            found = matrix.copy()
        else:
            found = matrix.tobsr(block, copy=True)
        found.sum_duplicates()
        data = np.ascontiguousarray(found.data, np.float64).reshape(-1, *block)
        return BlockRows(
            found.indptr.astype(np.int32), found.indices.astype(np.int32), data, found.shape[1] // block[1]
        )

    @property
    def rows(self) -> int:
        """Rows of blocks."""
        return len(self.indptr) - 1

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of a block."""
        return self.data.shape[1], self.data.shape[2]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of numbers."""
        return self.rows * self.block[0], self.columns * self.block[1]

    def to_scipy(self) -> Any:
        """The matrix in scipy's CSR or BSR format."""
        if self.block == (1, 1):
            return scipy.sparse.csr_array((self.data.ravel(), self.indices, self.indptr), shape=self.shape)
        return scipy.sparse.bsr_array((self.data, self.indices, self.indptr), shape=self.shape)

    def toarray(self) -> Float[np.ndarray, "n m"]:
        """The dense matrix."""
        return self.to_scipy().toarray()

    def diagonal(self) -> Float[np.ndarray, " n"]:
        """The diagonal of a square matrix."""
        found = np.zeros(self.shape[0])
        in_parts(self.rows, lambda *part: _diagonal(*part, *self, found))
        return found

    def transpose(self) -> "BlockRows":
        """The transpose."""
        pointers, rows, entries = transposed_entries(self.indptr, self.indices, self.columns)
        data = np.empty((len(rows), *self.block[::-1]), self.data.dtype)
        in_parts(len(rows), lambda *part: _turn(*part, self.data, entries, data), 2**16)
        return BlockRows(pointers, rows, data, self.rows)

    def mv(self, x: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
        """The product with a vector."""
        y = np.empty(self.shape[0])
        in_parts(self.rows, lambda *part: _product(*part, *self, x, y))
        return y

    def __matmul__(self, other: "BlockRows") -> "BlockRows":
        """The product with another sparse matrix. Gustavson, ACM Trans. Math. Softw. 4 (1978)."""
        lengths = np.empty(self.rows, np.int32)
        parts = in_parts(self.rows, lambda *part: _multiply(*part, *self, *other, lengths))
        indptr = pointers_of(lengths, self.block[0] * other.block[1])
        indices, data = (_joined(each) for each in zip(*parts, strict=True))
        return BlockRows(indptr, indices, data.reshape(-1, self.block[0], other.block[1]), other.columns)

    def part(self, first: int, last: int) -> "BlockRows":
        """The rows from ``first`` to before ``last``; their numbers are not copied."""
        begin, end = self.indptr[first], self.indptr[last]
        pointers = self.indptr[first : last + 1] - begin
        return BlockRows(pointers, self.indices[begin:end], self.data[begin:end], self.columns)

    def plus(self, other: "BlockRows") -> "BlockRows":
        """The sum with a matrix of the same shape and blocks."""
        lengths = np.empty(self.rows, np.int32)
        in_parts(self.rows, lambda *part: _count_sum(*part, *self[:2], *other[:2], self.columns, lengths))
        indptr = pointers_of(lengths, self.block[0] * self.block[1])
        indices, data = np.empty(indptr[-1], np.int32), np.empty((indptr[-1], *self.block))
        in_parts(self.rows, lambda *part: _add(*part, *self, *other, indptr, indices, data))
        return BlockRows(indptr, indices, data, self.columns)


def galerkin(matrix: BlockRows, prolongation: BlockRows) -> BlockRows:
    """PᵀAP, for some rows of A at a time: AP as a whole needs as much memory as A."""
    count = max(1, -(-matrix.data.nbytes // _AT_A_TIME))
    edges, total = [matrix.rows * k // count for k in range(count + 1)], None
    for rows in itertools.pairwise(edges):
        some = prolongation.part(*rows).transpose() @ (matrix.part(*rows) @ prolongation)
        total = some if total is None else total.plus(some)
    assert total is not None
    return total


def pointers_of(lengths: Int[np.ndarray, " rows"], numbers: int = 1) -> Int[np.ndarray, " rows_and_one"]:
    """The row pointers of rows of these lengths, of blocks of so many numbers."""
    pointers = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    require_32_bits(pointers[-1] * numbers)
    return pointers.astype(np.int32)


def largest_eigenvalue(
    product: Callable[[np.ndarray], np.ndarray], inverse_diagonal: Float[np.ndarray, " n"], steps: int = 8
) -> float:
    """The largest eigenvalue of D⁻¹A, from below, by Lanczos on D^-½ A D^-½ from a fixed start; ``product`` returns
    memory of its own.
    """
    root = np.sqrt(np.abs(inverse_diagonal))
    number = root.dtype.type
    v = np.random.default_rng(0).standard_normal(len(root)).astype(root.dtype)
    v /= np.sqrt(_dot(v, v))
    before, scaled, beta = np.zeros_like(v), root * v, number(0.0)
    alphas, betas = [], []
    for _ in range(min(steps, len(v))):
        w = product(scaled)
        in_parts(len(v), lambda *part, w=w, u=before, b=beta: _weigh(*part, root, w, u, b))
        alpha = number(_dot(v, w))
        in_parts(len(v), lambda *part, w=w, v=v, a=alpha: _subtract(*part, w, a, v))
        alphas.append(alpha)
        beta = number(np.sqrt(_dot(w, w)))
        if beta <= 4096 * np.finfo(root.dtype).eps * abs(alpha):
            break
        betas.append(beta)
        before, v = v, w
        in_parts(len(v), lambda *part, v=v, b=beta: _normalise(*part, v, b, root, scaled))
    return float(scipy.linalg.eigvalsh_tridiagonal(alphas, betas[: len(alphas) - 1])[-1])


def _dot(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """The scalar product, without BLAS: its threads go on waiting on the cores that the products need."""
    return float(np.einsum("i,i", a, b))


@compiled
def _weigh(first, last, root, w, before, beta):
    for i in range(first, last):
        w[i] = root[i] * w[i] - beta * before[i]


@compiled
def _subtract(first, last, w, alpha, v):
    for i in range(first, last):
        w[i] -= alpha * v[i]


@compiled
def _normalise(first, last, v, beta, root, scaled):
    for i in range(first, last):
        v[i] /= beta
        scaled[i] = root[i] * v[i]


def inverse_of(diagonal: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The inverse of a diagonal, one where it is zero."""
    return 1.0 / np.where(diagonal == 0, 1.0, diagonal)


def generalised_inverse(matrix: Float[np.ndarray, "n n"], symmetric: bool) -> Float[np.ndarray, "n n"]:
    """A generalised inverse, of the matrix with a unit diagonal: its small entries are no noise.

    By Cholesky's factors where they exist and show no singularity, which takes a tenth of the time.
    """
    with one_thread():
        return _generalised_inverse(matrix, symmetric)


def _generalised_inverse(matrix: np.ndarray, symmetric: bool) -> np.ndarray:
    root = np.sqrt(np.abs(inverse_of(matrix.diagonal())))
    if not symmetric:
        return root[:, None] * scipy.linalg.pinv(root[:, None] * matrix * root) * root
    scaled = _scaled(matrix, root)
    factor, failed = lapack.dpotrf(scaled, lower=1, overwrite_a=1)  # pyright: ignore[reportAttributeAccessIssue]
    if failed or (np.diagonal(factor) ** 2 < _SINGULAR).any():
        whole = root[:, None] * matrix * root
        return root[:, None] * np.asarray(scipy.linalg.pinvh(0.5 * (whole + whole.T))) * root
    lower, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)  # pyright: ignore[reportAttributeAccessIssue]
    return _unscaled(lower.T, root)


def _scaled(matrix: np.ndarray, root: np.ndarray) -> np.ndarray:
    """root A root, symmetric, in the order of columns: new memory is dear, so LAPACK then works in place."""
    scaled = np.multiply(matrix, root, order="C")
    scaled *= root[:, None]
    return scaled.T


def _unscaled(upper: np.ndarray, root: np.ndarray) -> np.ndarray:
    """root A root of a symmetric A, of which the upper triangle is given in the order of rows; in its place."""
    _mirror(upper)
    upper *= root
    upper *= root[:, None]
    return upper


@compiled
def _mirror(upper):
    for i in range(len(upper)):
        for j in range(i):
            upper[i, j] = upper[j, i]


@compiled
def _diagonal(first, last, indptr, indices, data, columns, found):
    size = data.shape[1]
    for i in range(first, last):
        for e in range(indptr[i], indptr[i + 1]):
            if indices[index(e)] == i:
                for a in range(size):
                    found[i * size + a] = data[e, a, a]
                break


@compiled
def _turn(first, last, data, entries, turned):
    for e in range(first, last):
        for a in range(data.shape[1]):
            for b in range(data.shape[2]):
                turned[e, b, a] = data[entries[e], a, b]


@compiled
def _product(first, last, indptr, indices, data, columns, x, y):
    height, width = data.shape[1:]
    data = data.reshape(-1)
    for i in range(first, last):
        for a in range(height):
            total = 0.0
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[index(e)]
                if width == 1:
                    total += data[index(e * height + a)] * x[index(j)]
                else:
                    for b in range(width):
                        total += data[index((e * height + a) * width + b)] * x[index(j * width + b)]
            y[i * height + a] = total


@compiled
def _multiply(
    first, last, indptr, indices, data, columns, other_indptr, other_indices, other_data, other_columns, lengths
):  # fmt: skip
    """Columns and numbers of some rows, and their ``lengths``, in one pass: into memory that grows where it must, of
    which no more is ever touched than is filled.
    """
    height, inner, width = data.shape[1], data.shape[2], other_data.shape[2]
    size, numbers = height * width, height * inner * width == 1
    data, other_data = data.reshape(-1), other_data.reshape(-1)
    new_indices = np.empty(max(1, indptr[last] - indptr[first]), np.int32)
    new_data = np.empty(len(new_indices) * size, data.dtype)
    place, end = np.full(other_columns, -1, np.int32), 0
    for i in range(first, last):
        begin, most = end, end
        for e in range(indptr[i], indptr[i + 1]):
            row = index(indices[index(e)])
            most += other_indptr[row + 1] - other_indptr[row]
        if most > len(new_indices):
            new_indices = _with_room(new_indices, end, 2 * most)
            new_data = _with_room(new_data, end * size, 2 * most * size)
        for e in range(indptr[i], indptr[i + 1]):
            row = index(indices[index(e)])
            for f in range(other_indptr[row], other_indptr[row + 1]):
                j = index(other_indices[index(f)])
                at = place[j]
                if at < begin:
                    at = place[j] = end
                    new_indices[index(at)] = j
                    new_data[at * size : (at + 1) * size] = 0.0
                    end += 1
                if numbers:
                    new_data[index(at)] += data[index(e)] * other_data[index(f)]
                else:
                    for a in range(height):
                        for c in range(inner):
                            factor = data[index((e * height + a) * inner + c)]
                            for b in range(width):
                                term = factor * other_data[index((f * inner + c) * width + b)]
                                new_data[index((at * height + a) * width + b)] += term
        lengths[i] = end - begin
    return new_indices[:end], new_data[: end * size]


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays one after the other, each copied by a thread of its own: touching new memory takes longest."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([len(part) for part in parts]).tolist()
    whole = np.empty(ends[-1], parts[0].dtype)
    at_once(*(lambda p=p, e=e: np.copyto(whole[e - len(p) : e], p) for p, e in zip(parts, ends, strict=True)))
    return whole


@compiled
def _with_room(values, used, size):
    """The first ``used`` numbers of an array in a larger one."""
    larger = np.empty(size, values.dtype)
    larger[:used] = values[:used]
    return larger


@compiled
def _count_sum(first, last, indptr, indices, other_indptr, other_indices, columns, lengths):
    seen = np.full(columns, -1, np.int32)
    for i in range(first, last):
        for e in range(indptr[i], indptr[i + 1]):
            seen[index(indices[index(e)])] = i
        length = indptr[i + 1] - indptr[i]
        for e in range(other_indptr[i], other_indptr[i + 1]):
            length += seen[index(other_indices[index(e)])] != i
        lengths[i] = length


@compiled
def _add(
    first, last, indptr, indices, data, columns, other_indptr, other_indices, other_data, other_columns, new_indptr,
    new_indices, new_data,
):  # fmt: skip
    place = np.full(columns, -1, np.int32)
    for i in range(first, last):
        at = new_indptr[i]
        for e in range(indptr[i], indptr[i + 1]):
            place[index(indices[index(e)])] = at
            new_indices[index(at)] = indices[index(e)]
            new_data[index(at)] = data[index(e)]
            at += 1
        for e in range(other_indptr[i], other_indptr[i + 1]):
            there = place[index(other_indices[index(e)])]
            if there < new_indptr[i]:
                new_indices[index(at)] = other_indices[index(e)]
                new_data[index(at)] = other_data[index(e)]
                at += 1
            else:
                new_data[index(there)] += other_data[index(e)]
