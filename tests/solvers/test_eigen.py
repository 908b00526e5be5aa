"""Eigenvalue solvers: a conformance suite, badly conditioned beams, derivatives, failures."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

import gemel as gm
from gemel.solvers import (
    AMG,
    LOBPCG,
    Code,
    DenseDirect,
    DiagonalOperator,
    EigenSolver,
    Jacobi,
    Multigrid,
    ShiftInvert,
    SparseOperator,
    eigen_solve,
)

N = 40
STIFFNESS = sp.csr_array(2 * np.eye(N) - np.eye(N, k=1) - np.eye(N, k=-1))
MASS = sp.csr_array(4 * np.eye(N) + np.eye(N, k=1) + np.eye(N, k=-1))
SOLVERS = {"shift-invert": ShiftInvert(3, 0.0, 1e-9, 500), "lobpcg": LOBPCG(3, Jacobi(), 1e-8, 0.0, 300)}


@pytest.mark.parametrize("name", SOLVERS)
def test_eigen_solver_conformance(name: str):
    solver: EigenSolver = SOLVERS[name]
    stiffness, mass = SparseOperator.from_scipy(STIFFNESS, True), SparseOperator.from_scipy(MASS, True)
    solution = jax.jit(lambda k, m: eigen_solve(k, m, solver))(stiffness, mass)
    values, vectors = solution.checked()
    expected = scipy.linalg.eigh(STIFFNESS.toarray(), MASS.toarray())[0][:3]
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    np.testing.assert_allclose(vectors.T @ (MASS @ vectors), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(STIFFNESS @ vectors, (MASS @ vectors) * values, atol=1e-8)
    assert np.all(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(3)] > 0)


def parametrised(solver: EigenSolver, theta):
    """Pairs of operators whose values depend smoothly and symmetrically on θ."""
    stiffness, mass = SparseOperator.from_scipy(STIFFNESS, True), SparseOperator.from_scipy(MASS, True)
    rows = np.repeat(np.arange(N), np.diff(STIFFNESS.indptr))
    shape = jnp.asarray(np.sin((rows + STIFFNESS.indices) / 7.0))
    k = stiffness.pattern.operator(stiffness.csr_values() * (1 + 0.3 * jnp.sin(theta * shape)), True)
    m = mass.pattern.operator(mass.csr_values() * (1 + 0.1 * theta * shape), True)
    return eigen_solve(k, m, solver).value


WEIGHT = jnp.asarray(np.random.default_rng(0).standard_normal(N))
OBJECTIVES = {
    "values": lambda pairs: jnp.sum(pairs[0] ** 0.5),
    "vectors": lambda pairs: jnp.vdot(WEIGHT, pairs[1][:, 1]) + jnp.sum(pairs[1][:, 2] ** 3),
}


@pytest.mark.parametrize("solver", [s if s != "lobpcg" else pytest.param(s, marks=pytest.mark.slow) for s in SOLVERS])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_by_taylor_remainder(solver: str, objective: str):
    def f(theta):
        return OBJECTIVES[objective](parametrised(SOLVERS[solver], theta))

    @jax.jit
    def both(theta):
        value, slope = jax.value_and_grad(f)(theta)
        return value, slope, jax.jvp(f, (theta,), (jnp.ones(()),))[1]

    theta = jnp.asarray(0.5)
    value, slope, forward = both(theta)
    np.testing.assert_allclose(forward, slope, rtol=1e-7)
    sizes = np.array([0.08, 0.04, 0.02])
    errors = [abs(jax.jit(f)(theta + h) - value - h * slope) for h in sizes]
    assert np.all(np.abs(np.log2(np.array(errors[:-1]) / np.array(errors[1:])) - 2) < 0.15)


@pytest.mark.slow
def test_second_derivative_of_a_vector():
    def f(theta):
        return OBJECTIVES["vectors"](parametrised(SOLVERS["shift-invert"], theta))

    slopes = jax.jit(jax.vmap(jax.grad(f)))(jnp.array([0.5 + 1e-4, 0.5 - 1e-4]))
    second = jax.jit(jax.grad(jax.grad(f)))(jnp.asarray(0.5))
    np.testing.assert_allclose(second, (slopes[0] - slopes[1]) / 2e-4, rtol=1e-5)


@pytest.mark.slow
def test_sum_over_a_cluster_is_differentiable():
    base = SparseOperator.from_scipy(sp.block_diag([STIFFNESS[:20, :20]] * 2, format="csr"), True)
    tilt = jnp.linspace(1, 2, 40)
    solver = ShiftInvert(2, 0.0, 1e-9, 500)

    def f(theta):
        return jnp.sum(eigen_solve(base, DiagonalOperator(1 + theta * tilt), solver).value[0])

    theta = jnp.asarray(0.0)
    near = [f(theta + h) for h in (1e-4, -1e-4)]
    np.testing.assert_allclose(jax.grad(f)(theta), (near[0] - near[1]) / 2e-4, rtol=1e-6)


SYMMETRIC_IN_A_PAIR = {
    "sum of eigenvalues": lambda pairs: jnp.sum(pairs[0][:2] ** 2),
    "projection on its span": lambda pairs: jnp.sum((WEIGHT @ pairs[1][:, :2]) ** 2),
    "a simple one beside it": lambda pairs: pairs[0][2] + jnp.vdot(WEIGHT, pairs[1][:, 2]) ** 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("objective", SYMMETRIC_IN_A_PAIR)
def test_taylor_remainders_at_a_repeated_eigenvalue(objective: str):
    """Two equal chains and a third: the lowest eigenvalue is double at θ = 0, and splits beside it."""
    chains = [STIFFNESS[:15, :15], STIFFNESS[:15, :15], 1.2 * STIFFNESS[:10, :10]]
    base = SparseOperator.from_scipy(sp.block_diag(chains, format="csr"), True)
    rows = np.repeat(np.arange(N), np.diff(np.asarray(base.pattern.indptr)))
    shape = jnp.asarray(np.sin((rows + np.asarray(base.pattern.indices())) / 7.0))
    tilt = jnp.linspace(1, 2, N)

    @jax.jit
    def f(theta):
        stiffness = base.pattern.operator(base.csr_values() * (1 + 0.3 * jnp.sin(theta * shape)), True)
        pairs = eigen_solve(stiffness, DiagonalOperator(1 + theta * tilt), ShiftInvert(3, 0.0, 1e-9, 500)).value
        return SYMMETRIC_IN_A_PAIR[objective](pairs)

    theta = jnp.asarray(0.0)
    value, slope = jax.jit(jax.value_and_grad(f))(theta)
    np.testing.assert_allclose(jax.jvp(f, (theta,), (jnp.ones(()),))[1], slope, rtol=1e-7)
    errors = np.array([abs(f(theta + h) - value - h * slope) for h in (0.02, 0.01, 0.005)])
    assert np.all(np.abs(np.log2(errors[:-1] / errors[1:]) - 2) < 0.15)


@pytest.mark.slow
def test_a_sum_in_which_vectors_of_a_repeated_eigenvalue_meet_it_and_no_second_derivatives():
    """The derivative of the modal flexibility against differences of dense pairs, and what has no second derivative."""
    chain = STIFFNESS[:5, :5].toarray()
    base = np.asarray(scipy.linalg.block_diag(chain, chain, 0.8 * chain[:2, :2]))
    change = np.random.default_rng(0).standard_normal((12, 12))
    change, tilt, weight = change + change.T, np.linspace(0, 1, 12), np.asarray(WEIGHT[:12])
    pattern = SparseOperator.from_scipy(sp.csr_array(np.ones((12, 12))), True).pattern

    def solved(theta):
        stiffness = pattern.operator(jnp.ravel(base + theta * jnp.asarray(change)), True)
        mass = DiagonalOperator(1 + theta * jnp.asarray(tilt))
        return eigen_solve(stiffness, mass, ShiftInvert(3, 0.0, 1e-9, 500), linear_solver=DenseDirect(1e-4)).value

    def flexibility(theta: jax.Array):
        values, vectors = solved(theta)
        return jnp.sum((weight @ vectors) ** 2 / values)

    def exact(theta: Any) -> Any:
        values, vectors = scipy.linalg.eigh(base + theta * change, np.diag(1 + theta * tilt), subset_by_index=[0, 2])
        return np.sum((weight @ vectors) ** 2 / values)

    zero = jnp.zeros(())
    value, slope = jax.jit(jax.value_and_grad(flexibility))(zero)
    assert value == pytest.approx(exact(0.0), rel=1e-8)
    assert flexibility(zero) == pytest.approx(exact(0.0), rel=1e-12)
    assert float(slope) == pytest.approx((exact(1e-5) - exact(-1e-5)) / 2e-5, rel=1e-5)
    assert jax.jit(lambda t: jax.jvp(flexibility, (t,), (jnp.ones(()),))[1])(zero) == pytest.approx(
        float(slope), rel=1e-6
    )
    assert abs(jax.jit(jax.grad(lambda t: solved(t)[1][0, 0]))(zero)) > 1e5  # one vector of the two has no derivative

    def second(theta, k):
        return jax.jvp(jax.grad(lambda theta: jnp.sum(solved(theta)[0][k] ** 2)), (theta,), (1.0,))[1]

    near = [
        scipy.linalg.eigvalsh(base + t * change, np.diag(1 + t * tilt))[2] ** 2 for t in np.array([1e-3, 0.0, -1e-3])
    ]
    second = jax.jit(second)
    assert np.isnan(second(0.0, jnp.array([0, 1])))
    assert second(0.0, jnp.array([2, 2])) == pytest.approx(2e6 * (near[0] - 2 * near[1] + near[2]), rel=1e-3)


def beam(elements: int) -> tuple[sp.csr_array, sp.csr_array]:
    """Stiffness and consistent mass of a clamped beam of unit length, EI and mass, from cubic elements."""
    h = 1.0 / elements
    scale = np.diag([1.0, h, 1.0, h])
    k = np.array([[12, 6, -12, 6], [6, 4, -6, 2], [-12, -6, 12, -6], [6, 2, -6, 4]])
    m = np.array([[156, 22, 54, -13], [22, 4, 13, -3], [54, 13, 156, -22], [-13, -3, -22, 4]])
    k, m = scale @ k @ scale, scale @ m @ scale
    stiffness, mass = np.zeros((2, 2 * elements + 2, 2 * elements + 2))
    for i in range(elements):
        d = slice(2 * i, 2 * i + 4)
        stiffness[d, d] += k / h**3
        mass[d, d] += m * h / 420
    return sp.csr_array(stiffness[2:, 2:]), sp.csr_array(mass[2:, 2:])


def test_thin_beam_keeps_its_digits():
    # (βL)⁴ of a clamped-free beam: Blevins, Formulas for Natural Frequency and Mode Shape (1979), table 8-1.
    exact = np.array([1.875104068711961, 4.694091132974175]) ** 4
    stiffness, mass = beam(200)
    assert np.linalg.cond(stiffness.toarray()) > 1e10
    operators = SparseOperator.from_scipy(stiffness, True), SparseOperator.from_scipy(mass, True)
    values, _ = eigen_solve(*operators, ShiftInvert(2, 0.0, 1e-6, 500)).checked()
    np.testing.assert_allclose(values, exact, rtol=1e-9)


FREE = STIFFNESS - sp.csr_array(np.diag(np.r_[1.0, np.zeros(N - 2), 1.0]))


@pytest.mark.parametrize("solver", [ShiftInvert(3, -0.01, 1e-9, 500), LOBPCG(3, Jacobi(), 1e-9, 1e-10, 300)])
def test_rigid_body_mode(solver: EigenSolver):
    operator = SparseOperator.from_scipy(FREE, True)
    values, vectors = eigen_solve(operator, DiagonalOperator(jnp.ones(N)), solver).checked()
    np.testing.assert_allclose(values, 2 - 2 * np.cos(np.pi * np.arange(3) / N), atol=1e-12)
    np.testing.assert_allclose(vectors[:, 0], 1 / np.sqrt(N), rtol=1e-7)


@pytest.mark.parametrize("n", [30, 100])  # dense, and by Lanczos
def test_shifts_inside_the_spectrum(n: int):
    """The eigenvalues of a chain, 2 - 2 cos(kπ / (n + 1)), nearest to a shift; also where every third node has no mass,
    and the shifted matrix is indefinite.
    """
    chain = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    exact = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    heavy = np.arange(n) % 3 != 0
    held = chain[np.ix_(~heavy, heavy)]
    condensed = chain[np.ix_(heavy, heavy)] - held.T @ np.linalg.solve(chain[np.ix_(~heavy, ~heavy)], held)
    cases = [
        (chain, np.ones(n), 0.5, exact),
        (chain - 0.1 * np.eye(n), np.ones(n), 0.0, exact - 0.1),
        (chain, 1.0 * heavy, 0.5, np.linalg.eigvalsh(condensed)),
    ]
    for matrix, mass, shift, expected in cases:
        operators = SparseOperator.from_scipy(sp.csr_array(matrix), True), DiagonalOperator(jnp.asarray(mass))
        values, vectors = eigen_solve(*operators, ShiftInvert(3, shift, 1e-9, 500)).checked()
        np.testing.assert_allclose(values, np.sort(expected[np.argsort(np.abs(expected - shift))[:3]]), atol=1e-12)
        np.testing.assert_allclose(vectors.T @ (mass[:, None] * vectors), np.eye(3), atol=1e-9)
    indefinite = DiagonalOperator(jnp.where(jnp.arange(n) < 20, 1.0, -1.0))
    solution = eigen_solve(SparseOperator.from_scipy(sp.csr_array(chain), True), indefinite, SOLVERS["shift-invert"])
    assert solution.status.worst() == Code.BREAKDOWN


def test_failures_have_a_status():
    stiffness, mass = SparseOperator.from_scipy(STIFFNESS, True), DiagonalOperator(jnp.ones(N))
    nan = stiffness.scaled(jnp.nan)

    def code(operator, solver):
        return eigen_solve(operator, mass, solver).status.worst()

    assert code(nan, SOLVERS["shift-invert"]) == Code.NOT_FINITE
    assert code(nan, SOLVERS["lobpcg"]) == Code.NOT_FINITE
    assert code(stiffness, LOBPCG(3, Jacobi(), 1e-10, 0.0, 2)) == Code.MAX_STEPS
    singular = SparseOperator.from_scipy(sp.csr_array(np.diag(np.r_[0.0, np.ones(N - 1)])), True)
    assert code(singular, SOLVERS["shift-invert"]) == Code.BREAKDOWN
    with pytest.raises(ValueError, match="allows fewer"):
        eigen_solve(DiagonalOperator(jnp.ones(3)), DiagonalOperator(jnp.ones(3)), SOLVERS["shift-invert"])
    with pytest.raises(ValueError, match="use ShiftInvert"):
        eigen_solve(DiagonalOperator(jnp.ones(9)), DiagonalOperator(jnp.ones(9)), SOLVERS["lobpcg"])


@pytest.mark.slow
def test_vectors_with_a_dense_bordered_solve():
    def f(theta):
        stiffness = SparseOperator.from_scipy(STIFFNESS, True)
        mass = DiagonalOperator(1 + theta * jnp.linspace(0, 1, N))
        return eigen_solve(stiffness, mass, SOLVERS["lobpcg"], linear_solver=DenseDirect(1e-6)).value[1][3, 0]

    theta = jnp.asarray(0.2)
    near = [f(theta + h) for h in (1e-4, -1e-4)]
    np.testing.assert_allclose(jax.jit(jax.grad(f))(theta), (near[0] - near[1]) / 2e-4, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["box", "tetrahedra"])
def test_lowest_modes_of_a_clamped_block_with_multigrid(kind: str):
    """About 18,000 unknowns: LOBPCG with `Multigrid` or `AMG` against shift-and-invert."""
    mesh = gm.box(24, 14, 14, size=(1.0, 0.6, 0.55), cell="hexahedron" if kind == "box" else "tetrahedron")
    space = gm.FunctionSpace(mesh, "Q1" if kind == "box" else "P1", (3,))
    block = gm.Elasticity(space, 1.0, 0.3, density=1.0, conditions=[gm.Dirichlet("left")])
    problem, inertia = block.problem, block.inertia
    assert inertia is not None
    zero = jnp.zeros(space.n_dofs)
    stiffness = eqx.filter_jit(lambda p: p.tangent(zero))(problem)
    mass = eqx.filter_jit(lambda p: p.tangent(zero, 0.0))(inertia)
    modes = block.near_nullspace() * np.asarray(problem.constraint.free)[:, None]
    solver = LOBPCG(6, Multigrid(AMG(near_nullspace=modes, block=3), dtype="float64"), 1e-6, 0.0, 60)
    solution = eqx.filter_jit(eigen_solve)(stiffness, mass, solver, solver.init(stiffness, mass))
    values, vectors = solution.checked()
    exact, shapes = eigen_solve(stiffness, mass, ShiftInvert(6, 0.0, 1e-8, 500)).checked()
    np.testing.assert_allclose(values, exact, rtol=1e-9)
    overlap = shapes.T @ jax.vmap(mass.mv, 1, 1)(vectors)
    np.testing.assert_allclose(np.linalg.svd(overlap)[1], 1.0, atol=1e-8)
    assert int(solution.statistics["steps"]) <= 25
