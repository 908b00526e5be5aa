"""Deflation over a sequence of systems with a few small eigenvalues."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

from gemel.solvers import CG, Code, Deflation, Identity, Jacobi, SparseOperator, linear_solve

SIZE = 24
ISLANDS = 4


def conduction(jump: float, slope: float) -> sp.csr_array:
    """Finite volumes on a square, cold at its sides, with four islands 1, 3, 9 and 27 times ``jump`` as conductive.

    After scaling by the diagonal each island adds one eigenvalue of about one over that (Vuik, Segal, Meijerink,
    J. Comput. Phys. 152, 1999).
    """
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    inside = (np.abs((2 * x) % 1 - 0.5) < 0.2) & (np.abs((2 * y) % 1 - 0.5) < 0.2)
    k = np.where(inside, jump * 3.0 ** (np.floor(2 * x) + 2 * np.floor(2 * y)), 1.0) * (1 + slope * x)
    number = np.arange(SIZE**2).reshape(SIZE, SIZE)
    matrix = sp.lil_array((SIZE**2, SIZE**2))
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        for i, j, c in zip(*(part.ravel() for part in (number[a], number[b], 2 / (1 / k[a] + 1 / k[b]))), strict=True):
            matrix[i, j] = matrix[j, i] = -c
            matrix[i, i] += c
            matrix[j, j] += c
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        for i, c in zip(number[side], 2 * k[side], strict=True):
            matrix[i, i] += c
    return sp.csr_array(matrix)


STEPS = 160
SEQUENCE = [(1e4 * (1 + 0.2 * i), 0.1 * i) for i in range(4)]
LOAD = jnp.asarray(np.random.default_rng(0).random(SIZE**2))


@pytest.mark.slow
def test_iterations_fall_over_a_sequence():
    """The subspace of the first system serves all of them; plain CG pays for the islands each time."""
    operators = [SparseOperator.from_scipy(conduction(*case), True) for case in SEQUENCE]
    plain, deflated = CG(Jacobi(), 1e-8, 0.0, 1000), CG(Deflation(Jacobi(), ISLANDS, STEPS), 1e-8, 0.0, 1000)
    counts = []
    for solver in (plain, deflated):
        state = solver.init(operators[0])
        solve = jax.jit(lambda a, b, s, solver=solver: linear_solve(a, b, solver, s))
        for operator in operators:
            solution = solve(operator, LOAD, state)
            np.testing.assert_allclose(operator.to_scipy() @ np.asarray(solution.checked()), LOAD, atol=1e-6)
            counts.append(int(solution.statistics["steps"]))
    without, with_deflation = np.array(counts).reshape(2, -1)
    assert np.all(with_deflation < 0.45 * without), (without, with_deflation)
    assert with_deflation[-1] <= 1.2 * with_deflation[0]


@pytest.mark.slow
def test_the_subspace_is_that_of_the_small_eigenvalues():
    matrix = conduction(*SEQUENCE[0])
    state = Deflation(Jacobi(), ISLANDS, STEPS).init(SparseOperator.from_scipy(matrix, True))
    values, vectors = scipy.linalg.eigh(matrix.toarray(), np.diag(matrix.diagonal()), subset_by_index=[0, ISLANDS])
    assert values[ISLANDS] > 100 * values[ISLANDS - 1]
    angles = scipy.linalg.subspace_angles(np.asarray(state.w), vectors[:, :ISLANDS])
    assert np.max(angles) < 1e-3


def test_it_is_symmetric_and_solves_exactly_on_the_subspace():
    rng = np.random.default_rng(1)
    matrix = conduction(10.0, 0.3)
    operator = SparseOperator.from_scipy(matrix, True)
    w = rng.standard_normal((SIZE**2, 3))
    deflation = Deflation(Jacobi(), 3, 3)
    state = deflation.given(operator, jnp.asarray(np.column_stack([w, w[:, :1] - w[:, 1:2]])))  # one too many
    x, y = jnp.asarray(rng.standard_normal((2, SIZE**2)))
    forward, backward = jnp.vdot(y, deflation.apply(state, x)), jnp.vdot(x, deflation.apply(state, y))
    np.testing.assert_allclose(forward, backward, rtol=1e-9)
    inside = w @ np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(deflation.apply(state, jnp.asarray(matrix @ inside)), inside, rtol=1e-7, atol=1e-8)


@pytest.mark.slow
def test_gradients_pass_and_an_exhausted_space_does_no_harm():
    matrix = sp.csr_array(np.diag(np.repeat([1.0, 2.0, 3.0], 4)))
    operator = SparseOperator.from_scipy(matrix, True)
    solver = CG(Deflation(Identity(), 2, 8), 1e-12, 0.0, 20)
    state = solver.init(operator)
    b = jnp.linspace(1, 2, 12)

    def f(theta):
        solution = linear_solve(operator.scaled(theta), b, solver, state)
        return jnp.sum(solution.value), solution.status

    (value, status), slope = jax.jit(jax.value_and_grad(f, has_aux=True))(jnp.asarray(2.0))
    assert status.worst() == Code.SUCCESS
    np.testing.assert_allclose(slope, -value / 2.0, rtol=1e-9)


def test_more_vectors_than_steps_are_refused():
    with pytest.raises(ValueError, match="size <= steps"):
        Deflation(Jacobi(), 5, 4)
