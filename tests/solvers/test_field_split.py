"""Block preconditioners: algebra on small blocks, and Stokes' equations."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from gemel.solvers import (
    FGMRES,
    GMRES,
    MINRES,
    Code,
    DenseDirect,
    DenseOperator,
    DiagonalOperator,
    FieldSplit,
    Identity,
    InnerSolve,
    Jacobi,
    SparseOperator,
    linear_solve,
)

RNG = np.random.default_rng(0)
SIZES = (7, 4, 5)
N = sum(SIZES)
MATRIX = sp.csr_array(np.where(RNG.random((N, N)) < 0.6, RNG.standard_normal((N, N)), 0.0) + 6 * np.eye(N))
BOUNDS = np.cumsum((0, *SIZES))
EXACT = tuple(InnerSolve(DenseDirect(1e-8)) for _ in SIZES)


def block(matrix, i, j):
    return matrix[BOUNDS[i] : BOUNDS[i + 1], BOUNDS[j] : BOUNDS[j + 1]]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["diagonal", "lower", "upper"])
def test_exact_parts_give_the_inverse_of_that_part_of_the_matrix(form: Literal["diagonal", "lower", "upper"]):
    """Also after an update, which gathers the blocks from new values inside jit."""
    split = FieldSplit(SIZES, EXACT, form)
    keep = {"diagonal": lambda i, j: i == j, "lower": lambda i, j: j <= i, "upper": lambda i, j: j >= i}[form]
    operator = SparseOperator.from_scipy(MATRIX)
    state = split.init(operator)
    r = jnp.asarray(RNG.standard_normal(N))
    factor = 1.0 + 0.3 * np.cos(np.arange(MATRIX.nnz))

    @jax.jit
    def both(values):
        new = operator.pattern.operator(values)
        return split.apply(state, r), split.apply(split.update(state, new), r)

    scaled = sp.csr_array((MATRIX.data * factor, MATRIX.indices, MATRIX.indptr), shape=MATRIX.shape)
    for result, matrix in zip(both(jnp.asarray(scaled.data)), (MATRIX, scaled), strict=True):
        dense = matrix.toarray()
        mask = np.block([[np.full(block(dense, i, j).shape, keep(i, j)) for j in range(3)] for i in range(3)])
        np.testing.assert_allclose(result, np.linalg.solve(np.where(mask, dense, 0.0), r), rtol=1e-10)


@pytest.mark.slow
def test_gmres_with_gauss_seidel_blocks_and_its_gradient():
    operator = SparseOperator.from_scipy(MATRIX)
    solver = GMRES(FieldSplit(SIZES, (Jacobi(),) * 3, "lower"), 1e-12, 0.0, 200, 20)
    state = solver.init(operator)
    b = jnp.asarray(RNG.standard_normal(N))

    def ours(values):
        return jnp.sum(linear_solve(operator.pattern.operator(values), b, solver, state).value ** 2)

    def dense(values):
        rows = np.repeat(np.arange(N), np.diff(MATRIX.indptr))
        return jnp.sum(jnp.linalg.solve(jnp.zeros((N, N)).at[rows, MATRIX.indices].set(values), b) ** 2)

    values = operator.csr_values()
    np.testing.assert_allclose(jax.jit(jax.grad(ours))(values), jax.grad(dense)(values), rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_the_schur_complement_is_exact_for_a_saddle_point():
    """With A and S exact, diag(A, S) has three and the triangle two distinct eigenvalues (Murphy, Golub, Wathen,
    SIAM J. Sci. Comput. 21, 2000): so many steps.
    """
    a = 4 * np.eye(12) - np.eye(12, k=1) - np.eye(12, k=-1)
    coupling = RNG.standard_normal((5, 12))
    schur = coupling @ np.linalg.solve(a, coupling.T)
    saddle = sp.csr_array(np.block([[a, coupling.T], [coupling, np.zeros((5, 5))]]))
    operator, b = SparseOperator.from_scipy(saddle, True), jnp.asarray(RNG.standard_normal(17))
    exact = EXACT[:2]
    diagonal = FieldSplit((12, 5), exact, operators=(None, DenseOperator(jnp.asarray(schur), True)))
    lower = FieldSplit((12, 5), exact, "lower", (None, DenseOperator(jnp.asarray(-schur), True)))
    for solver, steps in ((MINRES(diagonal, 1e-10, 0.0, 20), 3), (GMRES(lower, 1e-10, 0.0, 20, 10), 2)):
        solution = linear_solve(operator, b, solver)
        assert solution.status.worst() == Code.SUCCESS
        assert int(solution.statistics["steps"]) == steps
        np.testing.assert_allclose(saddle @ np.asarray(solution.value), b, atol=1e-8)


def test_what_does_not_fit_is_refused():
    operator = SparseOperator.from_scipy(MATRIX)
    with pytest.raises((ValueError, TypeError), match="full"):
        FieldSplit(SIZES, EXACT, "full")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="one for each field"):
        FieldSplit(SIZES, EXACT[:2])
    with pytest.raises(ValueError, match="for a field of 7"):
        FieldSplit(SIZES, EXACT, operators=(DiagonalOperator(jnp.ones(3)), None, None))
    with pytest.raises(ValueError, match="do not make up 16"):
        FieldSplit((7, 4), (Jacobi(), Jacobi())).init(operator)
    with pytest.raises(ValueError, match="not DiagonalOperator"):
        FieldSplit((3,), (Jacobi(),)).init(DiagonalOperator(jnp.ones(3)))
    with pytest.raises(ValueError, match="outside jit"):
        jax.jit(lambda a: FieldSplit(SIZES, EXACT).init(a).parts)(operator)
    empty = SparseOperator.from_scipy(sp.csr_array(([1.0, 1.0, 1.0], [0, 1, 0], [0, 2, 3]), shape=(2, 2)))
    with pytest.raises(ValueError, match="Field 1 has no entries"):
        FieldSplit((1, 1), (Jacobi(), Jacobi())).init(empty)


@pytest.mark.slow
def test_flexible_gmres_with_an_inner_iteration_on_a_block():
    operator, b = SparseOperator.from_scipy(MATRIX), jnp.asarray(RNG.standard_normal(N))
    inner = InnerSolve(GMRES(Jacobi(), 1e-2, 0.0, 10, 10))
    solution = linear_solve(
        operator, b, FGMRES(FieldSplit(SIZES, (inner, Jacobi(), Identity()), "upper"), 1e-10, 0.0, 80, 40)
    )
    np.testing.assert_allclose(MATRIX @ np.asarray(solution.checked()), b, atol=1e-8)
