"""Strong connections, and smoothed aggregation where cells are thin."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from gemel.solvers import AMG, CG, SparseOperator, linear_solve
from gemel.solvers.aggregation import smoothed_aggregation
from gemel.solvers.block_rows import BlockRows
from gemel.solvers.strength import Filtered, graph_of, strong_on_finest

N = 12


def line(n: int, h: float) -> tuple[sp.csr_array, sp.csr_array]:
    """Stiffness and mass matrix of linear elements of length h."""
    beside = np.eye(n + 1, k=1) + np.eye(n + 1, k=-1)
    own = np.diag(beside.sum(axis=1))
    return sp.csr_array((own - beside) / h), sp.csr_array((2 * own + beside) * h / 6)


def poisson(n: int, thin: float) -> sp.csr_array:
    """Trilinear hexahedra of sides 1, 1 and ``thin``, held on the side x = 0."""
    (kx, mx), (kz, mz) = line(n, 1.0), line(n, thin)
    held, mass = kx[1:, 1:], mx[1:, 1:]
    whole = sp.kron(sp.kron(held, mx), mz) + sp.kron(sp.kron(mass, kx), mz) + sp.kron(sp.kron(mass, mx), kz)
    return sp.csr_array(whole)


def solid(n: int, thin: float) -> tuple[sp.csr_array, np.ndarray]:
    """Elasticity with both Lamé moduli one on the same hexahedra, and the rigid-body modes."""
    sides = (1.0, 1.0, thin)
    stiffness, mass = ([pair[k] for pair in (line(n, h) for h in sides)] for k in (0, 1))
    slope = 0.5 * (np.eye(n + 1, k=-1) - np.eye(n + 1, k=1))  # of the row's function, times the column's
    slope[0, 0], slope[n, n] = -0.5, 0.5
    slope = sp.csr_array(slope)

    def product(a: int, b: int) -> sp.csr_array:
        """The integral of the slopes along a and b."""
        parts = [stiffness[c] if a == b == c else slope if c == a else slope.T if c == b else mass[c] for c in range(3)]
        return sp.csr_array(sp.kron(sp.kron(parts[0].tocsr()[1:, 1:], parts[1]), parts[2]))

    laplace = product(0, 0) + product(1, 1) + product(2, 2)
    rows = [[product(a, b) + product(b, a) + (laplace if a == b else 0 * laplace) for b in range(3)] for a in range(3)]
    x, y, z = (h * part.ravel() for h, part in zip(sides, np.indices((n + 1,) * 3)[:, 1:], strict=True))
    o, i = np.zeros_like(x), np.ones_like(x)
    modes = [(i, o, o), (o, i, o), (o, o, i), (-y, x, o), (o, -z, y), (z, o, -x)]
    order = np.arange(3 * len(x)).reshape(3, -1).T.ravel()
    return sp.csr_array(sp.block_array(rows).tocsr()[order][:, order]), np.stack(
        [np.stack(m, 1).ravel() for m in modes], 1
    )


def steps_of(matrix: sp.csr_array, solver: CG) -> int:
    operator = SparseOperator.from_scipy(matrix, symmetric=True)
    b = jnp.asarray(np.random.default_rng(0).standard_normal(operator.n))
    solution = linear_solve(operator, b, solver, state=solver.init(operator))
    np.testing.assert_allclose(operator.mv(solution.value), b, atol=1e-6 * float(jnp.abs(b).max()))
    return int(solution.statistics["steps"])


def strong_graph(matrix: BlockRows) -> sp.csr_array:
    indptr, indices = graph_of(matrix, strong_on_finest(matrix, 0.4)[0])
    return sp.csr_array((np.ones(len(indices)), indices, indptr), shape=(matrix.rows, matrix.rows))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_only_the_thin_side_of_cells_is_strong(sign: float):
    rows, columns = strong_graph(BlockRows.of(poisson(6, 0.01) * sign)).nonzero()
    apart = rows != columns
    assert (np.abs(rows - columns)[apart] == 1).all()  # numbered along z first
    assert (rows[apart] // 7 == columns[apart] // 7).all()
    assert apart.sum() == 6 * 7 * 2 * 6  # both neighbours of every node along every line


def test_cubes_are_strong_across_edges_and_corners():
    middle = (2 * 7 + 3) * 7 + 3
    assert np.diff(strong_graph(BlockRows.of(poisson(6, 1.0))).indptr)[middle] == 21


def dense(filtered: Filtered) -> np.ndarray:
    return np.stack([filtered.mv(e) for e in np.eye(filtered.matrix.shape[0])], axis=1)


def test_dropping_weak_entries_keeps_sums_of_rows_and_symmetry():
    matrix = BlockRows.of(poisson(6, 0.01))
    strong = strong_on_finest(matrix, 0.4)[0]
    joined = Filtered.of(matrix, strong)
    assert strong.sum() < matrix.data.size / 5
    found = dense(joined)
    np.testing.assert_allclose(found.sum(axis=1), matrix.toarray().sum(axis=1), atol=1e-10)
    np.testing.assert_allclose(found - found.T, 0.0, atol=1e-10)
    np.testing.assert_allclose(joined.diagonal(), np.diag(found))
    assert (joined.diagonal() > 0).all()


def test_blocks_are_strong_by_norm_except_in_stretched_cells():
    even, stretched = np.diag([2.0, 3.0]), np.diag([2.0, 5.0])
    beside, across = -np.eye(2), np.array([[0.0, 0.1], [0.1, 0.0]])
    for own, strong in ((even, True), (stretched, False)):
        whole = np.block([[own, beside, across], [beside, own, across], [across, across, own]])
        near = strong_graph(BlockRows.of(sp.csr_array(whole), (2, 2))).toarray() > 0
        assert near[0, 1]
        assert near[0, 2] == strong


def test_blocks_without_weak_entries_keep_sums_of_rows():
    matrix = BlockRows.of(sp.csr_array(np.arange(1.0, 37.0).reshape(6, 6)), (2, 2))
    strong = np.eye(3, dtype=bool).ravel() | (np.arange(9) == 1)
    found, constant = dense(Filtered.of(matrix, strong)), np.tile(np.eye(2), (3, 1))
    np.testing.assert_allclose(found @ constant, matrix.toarray() @ constant)
    assert (found[:2, 4:] == 0).all()
    modes = np.random.default_rng(0).standard_normal((3, 2, 2))
    moved = dense(Filtered.of(matrix, strong, modes)) @ modes.reshape(6, 2)
    np.testing.assert_allclose(moved, matrix.toarray() @ modes.reshape(6, 2))


@pytest.mark.parametrize(("thin", "most"), [(1.0, 12), (0.1, 16), (0.01, 16)])
@pytest.mark.fast("1.0-12")
def test_thin_hexahedra_do_not_slow_aggregation_down(thin: float, most: int):
    """A threshold of 0.3, which joins lines of nodes at the sides, takes 140 steps on the thinnest cells."""
    assert steps_of(poisson(N, thin), CG(AMG(), 1e-8, 0.0, 200)) <= most


def test_a_matrix_without_strong_connections_is_smoothed():
    _, mass = line(400, 1.0)
    assert steps_of(mass, CG(AMG(coarse=20), 1e-8, 0.0, 60)) <= 20


@pytest.mark.slow
def test_elasticity_of_thin_hexahedra_is_coarsened_along_their_thin_sides_on_all_levels():
    """Norms of blocks, which join aggregates along the sides, take more than 300 steps and 93 blocks a row."""
    matrix, modes = solid(N, 0.01)
    operator = SparseOperator.from_scipy(matrix, symmetric=True)
    assert np.abs(matrix @ modes)[3 * (N + 1) ** 2 :].max() < 1e-10 * np.abs(matrix.data).max()
    levels = list(smoothed_aggregation(BlockRows.of(matrix, (3, 3)), modes, 0.4, 400))
    columns = [len(level.matrix.indices) / level.matrix.rows for level in levels]
    b = jnp.asarray(np.tile([0.0, 0.0, 1.0], operator.n // 3))
    solver = CG(AMG(near_nullspace=modes, block=3, coarse=400), 1e-6, 0.0, 300)
    solution = linear_solve(operator, b, solver, state=solver.init(operator))
    assert int(solution.statistics["steps"]) <= 60
    assert max(columns) <= 30
