"""Linear solvers: a conformance suite, multigrid, derivatives, failures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyamg
import pytest
import scipy.sparse as sp

from gemel.solvers import (
    AMG,
    CG,
    FGMRES,
    GMRES,
    MINRES,
    BiCGStab,
    Code,
    DenseDirect,
    DiagonalOperator,
    FunctionOperator,
    Identity,
    Jacobi,
    LinearSolver,
    SolveError,
    SparseDirect,
    SparseOperator,
    affine_solve,
    cudss,
    linear_solve,
)

N = 24
SYMMETRIC = sp.csr_array(2.5 * np.eye(N) - np.eye(N, k=1) - np.eye(N, k=-1))
IDENTITY = sp.csr_array((np.eye(N)[SYMMETRIC.nonzero()], SYMMETRIC.indices, SYMMETRIC.indptr), shape=(N, N))
"""On the pattern of the matrix above, with explicit zeros."""
UNSYMMETRIC = sp.csr_array(2.5 * np.eye(N) - 0.7 * np.eye(N, k=1) - 1.5 * np.eye(N, k=-1))
SOLVERS = {
    "cg": CG(Jacobi(), 1e-13, 0.0, 200),
    "cg-identity": CG(Identity(), 1e-13, 0.0, 200),
    "cg-amg": CG(AMG(coarse=8), 1e-13, 0.0, 200),
    "minres": MINRES(Jacobi(), 1e-13, 0.0, 200),
    "gmres": GMRES(Jacobi(), 1e-13, 0.0, 400, 15),
    "fgmres": FGMRES(Jacobi(), 1e-13, 0.0, 400, 15),
    "bicgstab": BiCGStab(Jacobi(), 1e-13, 0.0, 200),
    "dense": DenseDirect(1e-10),
    "sparse": SparseDirect(1e-10),
}
UNSYMMETRIC_SOLVERS = ("gmres", "fgmres", "bicgstab", "dense", "sparse")
CASES = [(name, True) for name in SOLVERS if name != "fgmres"] + [(name, False) for name in UNSYMMETRIC_SOLVERS]
FAST = [("cg", True), ("sparse", True), ("sparse", False)]


@pytest.mark.parametrize(
    ("name", "symmetric"), [pytest.param(*case, marks=[] if case in FAST else pytest.mark.slow) for case in CASES]
)
def test_linear_solver_conformance(name: str, symmetric: bool):
    solver: LinearSolver = SOLVERS[name]
    base = SparseOperator.from_scipy(SYMMETRIC if symmetric else UNSYMMETRIC, symmetric)
    state = solver.init(base)
    b, weight = jnp.asarray(np.random.default_rng(0).standard_normal((2, N)))
    shape = jnp.linspace(0.5, 1.5, N)
    rows = np.repeat(np.arange(N), np.diff(np.asarray(base.pattern.indptr)))
    scale = shape[rows] * shape[np.asarray(base.pattern.indices())]

    def operator(theta):
        return base.pattern.operator(base.csr_values() * (1 + theta * scale), symmetric)

    def objective(theta, b):
        return jnp.vdot(weight, linear_solve(operator(theta), b, solver, state).value)

    def reference(theta, b):
        dense = jnp.asarray(base.to_scipy().toarray()) * (1 + theta * jnp.outer(shape, shape))
        return jnp.vdot(weight, jnp.linalg.solve(dense, b))

    many = jnp.array([0.0, 0.2])

    @jax.jit
    def everything(theta):
        solution = linear_solve(operator(theta), b, solver, state)
        transposed = solver.compute(solver.update(state, operator(theta)), operator(theta), b, transpose=True)
        reverse = jax.grad(objective, (0, 1))(theta, b)
        forward = jax.jvp(lambda s: objective(s, b), (theta,), (jnp.ones(()),))[1]
        return solution, transposed.value, reverse, forward, jax.vmap(jax.grad(objective), (0, None))(many, b)

    theta = jnp.asarray(0.1)
    solution, transposed, reverse, forward, batched = everything(theta)
    matrix = operator(theta).to_scipy()
    expected = jax.jit(jax.grad(reference, (0, 1)))(theta, b)
    assert solution.status.worst() == Code.SUCCESS
    np.testing.assert_allclose(matrix @ solution.checked(), b, atol=1e-11)
    np.testing.assert_allclose(matrix.T @ transposed, b, atol=1e-11)
    np.testing.assert_allclose(reverse[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(reverse[1], expected[1], rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(forward, expected[0], rtol=1e-9)
    np.testing.assert_allclose(batched, jax.vmap(jax.grad(reference), (0, None))(many, b), rtol=1e-8)


@pytest.mark.slow
def test_second_derivative_of_a_solve():
    base = SparseOperator.from_scipy(SYMMETRIC, True)
    b = jnp.asarray(np.random.default_rng(0).standard_normal(N))

    def padded(theta):
        operator = base.scaled(1 + theta**2)
        return jnp.sum(linear_solve(operator, b, SOLVERS["cg"]).value ** 3)

    def dense(theta):
        return jnp.sum(jnp.linalg.solve((1 + theta**2) * jnp.asarray(SYMMETRIC.toarray()), b) ** 3)

    theta = jnp.asarray(0.4)
    np.testing.assert_allclose(jax.grad(jax.grad(padded))(theta), jax.grad(jax.grad(dense))(theta), rtol=1e-9)


@pytest.mark.slow
def test_an_affine_residual_is_solved_and_differentiated_twice():
    """Gradient and Hessian go through the residual and through the matrix that is its tangent."""
    base, solver = SparseOperator.from_scipy(SYMMETRIC, True), SOLVERS["cg"]
    identity = SparseOperator.from_scipy(IDENTITY).csr_values()
    load, start = jnp.cos(jnp.arange(N)), jnp.ones(N)

    def residual(u, theta):
        return (1 + theta[0] ** 2) * (base.mv(u) - theta[1] * load) + theta[2] * u

    def objective(theta):
        operator = base.pattern.operator((1 + theta[0] ** 2) * base.csr_values() + theta[2] * identity, True)
        return jnp.sum(affine_solve(residual, start, theta, operator, solver, None).value ** 3)

    def reference(theta):
        scale, dense = 1 + theta[0] ** 2, jnp.asarray(SYMMETRIC.toarray())
        return jnp.sum(jnp.linalg.solve(scale * dense + theta[2] * jnp.eye(N), scale * theta[1] * load) ** 3)

    theta = jnp.array([0.4, 1.3, 0.7])
    np.testing.assert_allclose(objective(theta), reference(theta), rtol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.grad(objective))(theta), jax.grad(reference)(theta), rtol=1e-8)
    np.testing.assert_allclose(jax.jit(jax.hessian(objective))(theta), jax.hessian(reference)(theta), rtol=1e-7)


def steps_of(solver: CG, operator: SparseOperator) -> int:
    n = operator.n
    b = jnp.asarray(np.random.default_rng(1).random(n))
    state = solver.init(operator)
    solution = eqx.filter_jit(lambda op, b, s: solver.compute(s, op, b))(operator, b, state)
    assert solution.status.worst() == Code.SUCCESS
    return int(solution.statistics["steps"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "amg",
    [AMG(coarse=20), AMG("ruge_stuben", coarse=20), AMG(coarse=20, dtype="float32")],
    ids=["sa", "rs", "f32"],
)
def test_multigrid_is_mesh_independent_for_poisson(amg: AMG):
    solver = CG(amg, 1e-8, 0.0, 60)
    counts = []
    for size in (16, 48):
        matrix = pyamg.gallery.poisson((size, size), format="csr")
        counts.append(steps_of(solver, SparseOperator.from_scipy(matrix, True)))
    assert counts[-1] <= 10
    assert counts[-1] - counts[0] <= 4


@pytest.mark.slow
@pytest.mark.parametrize("block", [1, 2])
def test_multigrid_does_not_depend_on_the_order_of_nodes(block: int):
    """Aggregates form along near unknowns, whatever their numbers, and the answer comes in the order of the matrix."""
    grid = pyamg.gallery.poisson((40, 40), format="csr")
    nodes = np.random.default_rng(0).permutation(1600)
    order = (nodes[:, None] * block + np.arange(block)).ravel()
    matrix = sp.csr_array(sp.kron(grid, np.eye(block) + 0.2))
    scattered = sp.csr_array(matrix[order][:, order])
    solver = CG(AMG(block=block, coarse=20), 1e-10, 0.0, 60)
    counts = [steps_of(solver, SparseOperator.from_scipy(m, True)) for m in (matrix, scattered)]
    assert abs(counts[1] - counts[0]) <= 1
    operator = SparseOperator.from_scipy(scattered, True)
    b = scattered @ np.cos(np.arange(len(order)))
    solution = linear_solve(operator, jnp.asarray(b), solver, solver.init(operator))
    np.testing.assert_allclose(solution.checked(), np.cos(np.arange(len(order))), atol=1e-7)


@pytest.mark.slow
def test_several_candidates_for_single_unknowns():
    """More near-nullspace vectors than unknowns a node: coarse levels have blocks where the finest has none."""
    matrix = pyamg.gallery.poisson((40, 40), format="csr")
    x, y = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-1, 1, 40)] * 2))
    modes = np.stack([np.ones(1600), x, y], axis=1)
    solver = CG(AMG(near_nullspace=modes, coarse=20), 1e-8, 0.0, 60)
    assert steps_of(solver, SparseOperator.from_scipy(matrix, True)) <= 20


@pytest.mark.slow
def test_multigrid_is_mesh_independent_for_elasticity():
    counts = []
    for size in (20, 40):
        matrix, modes = pyamg.gallery.linear_elasticity((size, size))
        solver = CG(AMG(near_nullspace=modes, block=2, coarse=100), 1e-8, 0.0, 60)
        counts.append(steps_of(solver, SparseOperator.from_scipy(matrix, True)))
    assert counts[-1] <= 14
    assert counts[-1] - counts[0] <= 6


@pytest.mark.slow
def test_v_cycle_is_symmetric_positive():
    operator = SparseOperator.from_scipy(pyamg.gallery.poisson((8, 8), format="csr"), True)
    amg = AMG(coarse=10, dtype="float64")
    state = amg.init(operator)
    cycle = np.asarray(jax.vmap(lambda r: amg.apply(state, r))(jnp.eye(64)))
    np.testing.assert_allclose(cycle, cycle.T, atol=1e-12)
    assert np.linalg.eigvalsh(cycle)[0] > 0


def test_failures_have_a_status():
    b = jnp.ones(N)
    spd = SparseOperator.from_scipy(SYMMETRIC, True)
    broken = SparseOperator.from_scipy(SYMMETRIC * np.nan, True)
    singular = SparseOperator.from_scipy(sp.csr_array(sp.diags_array(np.r_[0.0, np.ones(N - 1)])), True)
    negative = spd.scaled(-1.0)

    def code(operator, solver):
        return linear_solve(operator, b, solver).status.worst()

    assert code(spd, CG(Jacobi(), 1e-12, 0.0, 2)) == Code.MAX_STEPS
    assert code(spd, GMRES(Jacobi(), 1e-12, 0.0, 2, 2)) == Code.MAX_STEPS
    assert code(negative, CG(Identity(), 1e-12, 0.0, 50)) == Code.BREAKDOWN
    for solver in (CG(Identity(), 1e-12, 0.0, 50), GMRES(Identity(), 1e-12, 0.0, 50, 10), DenseDirect(1e-8)):
        assert code(broken, solver) == Code.NOT_FINITE
        assert code(singular, solver) != Code.SUCCESS
    assert code(broken, SparseDirect(1e-8, "superlu")) == Code.NOT_FINITE
    assert code(singular, SparseDirect(1e-8, "superlu")) == Code.NOT_FINITE
    with pytest.raises(SolveError, match="limit of iterations"):
        linear_solve(spd, b, CG(Jacobi(), 1e-12, 0.0, 2)).checked()


def test_a_library_for_sparse_direct_solves_is_named():
    with pytest.raises(ValueError, match="'pardiso': use 'auto', 'superlu' or 'cudss'"):
        SparseDirect(1e-8, "pardiso")
    if not cudss.available():
        with pytest.raises(ValueError, match=r"pip install 'gemel\[cuda,cudss\]'"):
            SparseDirect(1e-8, "cudss")


@pytest.mark.skipif(not cudss.available(), reason="needs a GPU and nvmath-python with cuDSS")
def test_cudss_solves_transposes_and_says_what_it_cannot_solve():
    operator, b = SparseOperator.from_scipy(UNSYMMETRIC, False), jnp.asarray(np.random.default_rng(3).normal(size=N))
    solver = SparseDirect(1e-10, "cudss")
    np.testing.assert_allclose(UNSYMMETRIC @ solver.compute(None, operator, b).checked(), b, atol=1e-10)
    np.testing.assert_allclose(
        UNSYMMETRIC.T @ solver.compute(None, operator, b, transpose=True).checked(), b, atol=1e-10
    )
    singular = SparseOperator.from_scipy(sp.csr_array(sp.diags_array(np.r_[0.0, np.ones(N - 1)])), True)
    assert solver.compute(None, singular, b).status.worst() != Code.SUCCESS


def test_failed_adjoint_gives_nan_not_a_wrong_gradient():
    spd = SparseOperator.from_scipy(SYMMETRIC, True)
    solver = CG(Jacobi(), 1e-12, 0.0, 2)
    gradient = jax.grad(lambda b: jnp.sum(linear_solve(spd, b, solver).value))(jnp.linspace(0, 1, N))
    assert bool(jnp.all(jnp.isnan(gradient)))


def test_zero_right_hand_side_and_exact_guess():
    spd = SparseOperator.from_scipy(SYMMETRIC, True)
    solution = linear_solve(spd, jnp.zeros(N), SOLVERS["cg"])
    assert solution.status.worst() == Code.SUCCESS
    np.testing.assert_array_equal(solution.value, 0.0)
    x = jnp.linspace(0, 1, N)
    again = linear_solve(spd, spd.mv(x), SOLVERS["cg"], x0=x)
    assert int(again.statistics["steps"]) == 0


def test_amg_takes_a_matrix_of_whole_numbers():
    whole = SparseOperator.from_scipy(sp.csr_array(np.array([[2, -1], [-1, 2]])), True)
    np.testing.assert_allclose(3 * AMG().init(whole).coarse_inverse, [[4, 2], [2, 4]])  # over the mean diagonal


def test_amg_refuses_what_it_cannot_do():
    operator = SparseOperator.from_scipy(SYMMETRIC, True)
    with pytest.raises(ValueError, match="outside jit"):
        jax.jit(lambda v: AMG().init(operator.pattern.operator(v)).coarse_inverse)(operator.csr_values())
    with pytest.raises(ValueError, match="near_nullspace has 5 rows"):
        AMG(near_nullspace=np.ones((5, 1))).init(operator)
    bad = operator.pattern.operator(operator.csr_values().at[3].set(jnp.nan))
    with pytest.raises(ValueError, match="AMG: 1 entries of the matrix are not finite"):
        AMG().init(bad)
    with pytest.raises(ValueError, match="AMG block 7"):
        AMG(block=7).init(operator)


@pytest.mark.slow
def test_matrix_free_operator_through_gmres():
    matrix = jnp.asarray(UNSYMMETRIC.toarray())
    b = jnp.linspace(0, 1, N)

    def solve(m):
        operator = FunctionOperator(lambda a, x: a @ x, N, False, m)
        return linear_solve(operator, b, GMRES(Identity(), 1e-13, 0.0, 200, 24)).value

    np.testing.assert_allclose(solve(matrix), np.linalg.solve(matrix, b), rtol=1e-10)
    expected = jax.grad(lambda m: jnp.sum(jnp.linalg.solve(m, b)))(matrix)
    np.testing.assert_allclose(jax.grad(lambda m: jnp.sum(solve(m)))(matrix), expected, rtol=1e-8, atol=1e-10)


def test_diagonal_operator_is_solved_exactly():
    d = jnp.linspace(1, 2, N)
    np.testing.assert_allclose(linear_solve(DiagonalOperator(d), d, DenseDirect(1e-12)).value, 1.0, rtol=1e-14)


@pytest.mark.parametrize("solver", [CG(AMG(coarse=8), 1e-8, 0.0, 100), SparseDirect(1e-8), DenseDirect(1e-8)])
def test_residuals_that_no_solver_can_reach_are_no_failure(solver: LinearSolver):
    """Stiff links among soft ones that carry a load: rounding leaves 1e-8 to 1e-6 of it."""
    n = 200
    stiff = np.where((np.arange(n + 1) > 60) & (np.arange(n + 1) < 140), 1e7, 1.0)
    links = np.diff(np.eye(n + 2), axis=0)[:, 1:-1]
    matrix = sp.csr_array(links.T @ (stiff[:, None] * links))
    operator = SparseOperator.from_scipy(matrix, symmetric=True)
    b = jnp.asarray(np.random.default_rng(0).standard_normal(n))
    solution = linear_solve(operator, b, solver, state=solver.init(operator))
    relative = float(solution.statistics["residual"] / jnp.linalg.norm(b))
    assert 2e-8 < relative < 2e-6
    assert solution.status.worst() == Code.SUCCESS


@pytest.mark.parametrize("solver", [CG(AMG(coarse=800), 1e-8, 0.0, 100), SparseDirect(1e-8), DenseDirect(1e-8)])
def test_what_rounding_leaves_of_a_slender_body_is_no_failure_where_its_work_is_right(solver: LinearSolver):
    """A cantilever of 800 springs against bending, whose deflections carry residuals of 1e-6 and errors of 1e-8."""
    n = 800
    bend = np.diff(np.eye(n + 2), 2, axis=0)[:, 2:]
    operator = SparseOperator.from_scipy(sp.csr_array(bend.T @ bend), symmetric=True)
    b = np.ones(n)
    solution = linear_solve(operator, jnp.asarray(b), solver, state=solver.init(operator))
    assert float(solution.statistics["residual"]) > 200e-8 * np.linalg.norm(b)
    assert solution.status.worst() == Code.SUCCESS
    i = np.arange(1, n + 1)
    moment = (n - i + 1) * (n - i + 2) / 2  # the curvature at node i - 1, from the loads beyond it
    exact = np.cumsum(np.cumsum(moment))
    np.testing.assert_allclose(solution.value, exact, rtol=1e-6)
    twisted = SparseOperator.from_scipy(sp.csr_array(bend.T @ bend), symmetric=False)
    assert DenseDirect(1e-8).compute(DenseDirect(1e-8).init(twisted), twisted, jnp.asarray(b)).status.worst() == (
        Code.STAGNATION
    )
