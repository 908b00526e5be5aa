"""Sparse matrices of blocks on the host, against dense ones; aggregates and their tentative prolongation."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from gemel import loops
from gemel.solvers import aggregation, block_rows
from gemel.solvers.aggregation import smoothed_aggregation
from gemel.solvers.block_rows import BlockRows, galerkin, inverse_of, largest_eigenvalue


def ragged(rows: int, columns: int, block: tuple[int, int], seed: int) -> BlockRows:
    """A matrix with empty rows and one full row."""
    rng = np.random.default_rng(seed)
    blocks = rng.random((rows, columns)) < 0.15
    blocks[1], blocks[2] = True, False
    mask = np.kron(blocks, np.ones(block))
    return BlockRows.of(sp.csr_array(mask * rng.standard_normal(mask.shape)), block)


@pytest.mark.parametrize("block", [(1, 1), (2, 3), (3, 1)])
def test_products_and_transposes_are_those_of_dense_matrices(block: tuple[int, int]):
    a, b = ragged(17, 23, block, 0), ragged(23, 11, (block[1], 2), 1)
    x = np.random.default_rng(2).standard_normal(a.shape[1])
    np.testing.assert_allclose(a.mv(x), a.toarray() @ x)
    np.testing.assert_allclose((a @ b).toarray(), a.toarray() @ b.toarray(), atol=1e-14)
    np.testing.assert_array_equal(a.transpose().toarray(), a.toarray().T)
    np.testing.assert_array_equal(a.transpose().transpose().toarray(), a.toarray())


@pytest.mark.parametrize("block", [(1, 1), (2, 2)])
def test_sums_and_galerkins_products_are_those_of_dense_matrices(block: tuple[int, int], monkeypatch):
    """Formed whole, and for a few rows of the matrix at a time."""
    a, b, p = (
        ragged(23, 23, block, 0),
        ragged(23, 23, block, 1),
        ragged(23, 9, (block[1], 3), 2),
    )
    np.testing.assert_array_equal(a.plus(b).toarray(), a.toarray() + b.toarray())
    np.testing.assert_array_equal(a.part(4, 11).toarray(), a.toarray()[4 * block[0] : 11 * block[0]])
    expected = p.toarray().T @ a.toarray() @ p.toarray()
    for some in (2**26, a.data.nbytes // 5):
        monkeypatch.setattr(block_rows, "_AT_A_TIME", some)
        np.testing.assert_allclose(galerkin(a, p).toarray(), expected, atol=1e-13)


def test_products_much_longer_than_the_first_factor_find_room():
    rng = np.random.default_rng(0)
    few, many = sp.random_array((50, 40), density=0.05, rng=rng), sp.random_array((40, 3000), density=0.5, rng=rng)
    product = BlockRows.of(few) @ BlockRows.of(many)
    assert product.toarray() == pytest.approx(few.toarray() @ many.toarray(), abs=1e-14)


def test_the_diagonal_is_zero_where_none_is_stored():
    square = ragged(9, 9, (2, 2), 3)
    np.testing.assert_array_equal(square.diagonal(), np.diag(square.toarray()))
    assert (square.diagonal()[4:6] == 0).all()
    assert (inverse_of(square.diagonal())[4:6] == 1).all()


def test_lanczos_finds_the_largest_eigenvalue_from_below():
    rng = np.random.default_rng(4)
    factor = rng.standard_normal((60, 60))
    matrix = BlockRows.of(sp.csr_array(factor @ factor.T))
    scaled = matrix.toarray() / matrix.diagonal()[:, None]
    largest = np.linalg.eigvals(scaled).real.max()
    found = largest_eigenvalue(matrix.mv, inverse_of(matrix.diagonal()), 20)
    assert 0.999 * largest < found <= largest * (1 + 1e-12)
    assert largest_eigenvalue(BlockRows.of(sp.eye_array(5)).mv, np.ones(5)) == pytest.approx(1.0)


def line(n: int) -> sp.csr_array:
    return sp.csr_array(2 * sp.eye_array(n) - sp.eye_array(n, k=1) - sp.eye_array(n, k=-1))


@pytest.mark.parametrize("order", [None, "backward"])
def test_prolongations_hold_the_modes_and_coarse_matrices_are_galerkins(order: str | None):
    n = 120
    matrix = sp.kron(line(n), sp.csr_array([[1.1, 0.1], [0.1, 1.1]]))
    held = np.zeros(n, bool)
    held[0] = True
    x = np.linspace(0, 1, n)
    modes = np.kron(np.stack([np.ones(n), x], axis=1), np.eye(2))  # constants and slopes of two components
    near = None if order is None else np.arange(n)[::-1].astype(np.int32)
    levels = list(smoothed_aggregation(BlockRows.of(matrix, (2, 2)), modes, 0.4, 20, near))
    assert len(levels) > 2
    assert levels[-1].matrix.shape[0] <= 20
    for level, coarser in itertools.pairwise(levels):
        assert level.prolongation is not None
        p, a = level.prolongation.toarray(), level.matrix.toarray()
        np.testing.assert_allclose(coarser.matrix.toarray(), p.T @ a @ p, atol=1e-12)
    tentative, coarser = aggregation._tentative(np.arange(n, dtype=np.int32) // 3, n // 3, modes.reshape(n, 2, 4))
    blocks = np.einsum("nac,ncb->nab", tentative, np.repeat(coarser, 3, axis=0))
    np.testing.assert_allclose(blocks, modes.reshape(n, 2, 4), atol=1e-12)
    q = tentative.reshape(n // 3, 6, 4)
    np.testing.assert_allclose(np.einsum("gai,gaj->gij", q, q), np.broadcast_to(np.eye(4), (n // 3, 4, 4)), atol=1e-12)


def test_nodes_alone_and_modes_that_depend_on_others_stay_out():
    matrix = sp.block_diag([line(30), sp.eye_array(1)]).tocsr()
    modes = np.ones((31, 2))  # twice the same
    levels = list(smoothed_aggregation(BlockRows.of(matrix), modes, 0.4, 5))
    p = levels[0].prolongation
    assert p is not None
    assert (p.toarray()[-1] == 0).all()
    assert (p.data[:, 0, 1] == 0).all()
    assert (p.data[: p.indptr[-2], 0, 0] != 0).all()


def test_blocks_share_no_memory_with_the_matrix_they_come_from():
    matrix = sp.csr_array(np.array([[2.0, -1.0], [-1.0, 2.0]]))
    BlockRows.of(matrix).data[:] = 0.0
    np.testing.assert_array_equal(matrix.toarray(), [[2.0, -1.0], [-1.0, 2.0]])


def test_a_loop_is_compiled_where_no_cache_can_be_written(monkeypatch):
    whole = loops.numba.njit

    def njit(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return whole(**options)

    monkeypatch.setattr(loops.numba, "njit", njit)
    assert loops.compiled(lambda x: x + 1)(np.float64(2.0)) == 3.0
