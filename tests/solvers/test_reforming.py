"""Multigrid whose coarse matrices follow the values of the operator, with the prolongations kept."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from gemel.solvers import (
    AMG,
    CG,
    Lattice,
    LinearOperator,
    Multigrid,
    SparseOperator,
    StencilOperator,
    linear_solve,
    solve_scenarios,
    stack_operators,
)
from gemel.solvers.multigrid import Hierarchy

SIDE = 24


def conductors(k: np.ndarray, block: int = 1) -> sp.csr_array:
    """Conduction between the corners of a square of cells of conductivity k, held along one side."""
    n = k.shape[0] + 1
    across = np.kron(np.eye(2), [[2.0, -2.0], [-2.0, 2.0]]) + np.kron([[0, 1], [1, 0]], [[1.0, -1.0], [-1.0, 1.0]])
    element = (across + across.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)) / 6
    corner = np.add.outer(np.arange(n - 1) * n, np.arange(n - 1))
    nodes = np.stack([corner, corner + 1, corner + n, corner + n + 1], -1).reshape(-1, 4)
    rows, columns = np.repeat(nodes, 4, 1).ravel(), np.tile(nodes, 4).ravel()
    matrix = sp.csr_array(((k.reshape(-1, 1) * element.ravel()).ravel(), (rows, columns)), shape=(n * n, n * n))
    matrix = matrix + sp.diags_array(np.where(np.arange(n * n) < n, k.mean(), 0.0))
    return sp.csr_array(sp.kron(matrix, np.eye(block) + 0.2)) if block > 1 else sp.csr_array(matrix)


def contrast() -> np.ndarray:
    """A conductivity that is a thousand times larger in one part."""
    x, y = np.indices((SIDE, SIDE)) / SIDE
    return np.where((x > 0.4) & (y < 0.6), 7e3, 7.0)


def pair(kind: str, block: int = 1) -> tuple[LinearOperator, LinearOperator]:
    """An operator, and one of the same structure with other values."""
    symmetric = kind != "unsymmetric"
    matrices = [conductors(k, block) for k in (np.ones((SIDE, SIDE)), contrast())]
    if not symmetric:
        drift = sp.diags_array(np.linspace(0.0, 0.3, (SIDE + 1) ** 2 * block))
        matrices = [sp.csr_array(m + drift @ m) for m in matrices]
    if kind == "lattice":
        lattice = Lattice((SIDE + 1,) * 2, block, (1.0, 1.0))
        indptr, columns, places = lattice.entries(symmetric=True)
        rows = np.repeat(np.arange(lattice.n), np.diff(indptr))
        values = np.zeros((2, np.prod(lattice.half)))
        for k, matrix in enumerate(matrices):
            values[k, places] = matrix.toarray()[rows, columns]
        one, other = (StencilOperator(lattice, jnp.asarray(v.reshape(lattice.half)), True) for v in values)
        return one, other
    one, other = (SparseOperator.from_scipy(m, symmetric) for m in matrices)
    return one, other


def amg(block: int, **options) -> AMG:
    return AMG(block=block, coarse=20 * block, reform=True, **options)


def columns_of(product, n: int) -> np.ndarray:
    return np.asarray(jax.vmap(product, 1, 1)(jnp.eye(n)))


@pytest.mark.parametrize(
    ("kind", "block"),
    [
        ("rows", 1),
        pytest.param("rows", 2, marks=pytest.mark.slow),
        ("unsymmetric", 1),
        pytest.param("lattice", 2, marks=pytest.mark.slow),
    ],
)
def test_coarse_matrices_are_galerkins_of_the_new_values(kind: str, block: int):
    one, other = pair(kind, block)
    solver = amg(block)
    state: Hierarchy = eqx.filter_jit(solver.update)(solver.init(one), other)
    assert len(state.levels) >= 2
    expected = columns_of(other.mv, other.n) / float(state.size)
    for level in state.levels:
        assert np.abs(columns_of(level.matrix.mv, len(expected)) - expected).max() < 1e-12 * np.abs(expected).max()
        np.testing.assert_allclose(level.inverse_diagonal, 1 / np.diagonal(expected), rtol=1e-10)
        largest = np.abs(np.linalg.eigvals(expected / np.diagonal(expected)[:, None])).max()
        assert 0.9 * largest < level.largest < 1.01 * largest
        restriction = columns_of(level.restriction.mv, len(expected))
        expected = restriction @ expected @ restriction.T
    np.testing.assert_allclose(state.coarse_inverse @ expected, np.eye(len(expected)), atol=1e-7)


def steps(solver: CG, first: LinearOperator, then: LinearOperator) -> int:
    solve = eqx.filter_jit(lambda operator, b, state: linear_solve(operator, b, solver, state))
    solution = solve(then, jnp.ones(then.n), solver.init(first))
    solution.checked()
    return int(solution.statistics["steps"])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "block"), [("rows", 2), ("lattice", 1)])
def test_a_jump_that_was_not_there_costs_few_steps(kind: str, block: int):
    one, other = pair(kind, block)
    algebraic = amg(block, dtype="float32")
    both = (dataclasses.replace(algebraic, reform=reform) for reform in (False, True))
    if kind == "lattice":
        both = (Multigrid(each, coarse=100) for each in both)
    kept, reformed = (CG(each, 1e-8, 0.0, 500) for each in both)
    anew = steps(kept, other, other)
    assert steps(reformed, one, other) <= anew + 12
    assert steps(kept, one, other) > anew + 24


@pytest.mark.slow
def test_each_system_of_many_has_its_own_levels():
    one, other = pair("rows")
    solver = CG(amg(1), 1e-8, 0.0, 500)
    state, b = solver.init(one), jnp.ones((3, one.n))
    many = eqx.filter_jit(lambda stack, b, state: solve_scenarios(stack, b, solver, state))
    solution = many(stack_operators([one, other, other]), b, state)
    solution.checked()
    alone = [steps(solver, one, operator) for operator in (one, other)]
    np.testing.assert_array_equal(solution.statistics["steps"], [*alone, alone[1]])
