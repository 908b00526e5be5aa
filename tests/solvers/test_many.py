"""Many systems at once: right-hand sides of one matrix, scenarios with a matrix each."""

import jax
import jax.numpy as jnp
import numpy as np
import pyamg
import pytest
import scipy.sparse as sp

from gemel.solvers import (
    AMG,
    CG,
    GMRES,
    MINRES,
    BiCGStab,
    Code,
    DenseOperator,
    Identity,
    Jacobi,
    KrylovSolver,
    Lattice,
    Multigrid,
    SparseOperator,
    StencilOperator,
    linear_solve,
    solve_columns,
    solve_scenarios,
    stack_operators,
)

N, K = 40, 11  # unknowns, right-hand sides
LAPLACE = sp.csr_array(2.2 * np.eye(N) - np.eye(N, k=1) - np.eye(N, k=-1))
WIND = sp.csr_array(LAPLACE + 0.4 * np.eye(N, k=1) - 0.4 * np.eye(N, k=-1))
RNG = np.random.default_rng(0)
# Columns that take very different numbers of steps: eigenvectors, zero, and random ones.
MODES = np.linalg.eigh(LAPLACE.toarray())[1]
COLUMNS = np.concatenate([MODES[:, :4], np.zeros((N, 1)), RNG.standard_normal((N, K - 5))], axis=1)
SOLVERS: dict[str, tuple[KrylovSolver, bool]] = {
    "cg": (CG(Jacobi(), 1e-11, 0.0, 200), True),
    "minres": (MINRES(Identity(), 1e-11, 0.0, 200), True),
    "amg": (CG(AMG(coarse=8), 1e-11, 0.0, 200), True),
    "gmres": (GMRES(Jacobi(), 1e-11, 0.0, 200, 20), False),
    "bicgstab": (BiCGStab(Jacobi(), 1e-11, 0.0, 200), False),
}


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("cg", 1),
        pytest.param("minres", 4, marks=pytest.mark.slow),
        pytest.param("amg", None, marks=pytest.mark.slow),
        pytest.param("gmres", 4, marks=pytest.mark.slow),
        pytest.param("bicgstab", 11, marks=pytest.mark.slow),
    ],
)
def test_columns_agree_with_single_solves(name: str, group: int | None):
    solver, symmetric = SOLVERS[name]
    matrix = LAPLACE if symmetric else WIND
    operator = SparseOperator.from_scipy(matrix, symmetric)
    state = solver.init(operator)
    solution = jax.jit(lambda b: solve_columns(operator, b, solver, state, group=group))(jnp.asarray(COLUMNS))
    assert np.all(np.asarray(solution.status.code) == Code.SUCCESS)
    np.testing.assert_allclose(matrix @ np.asarray(solution.value), COLUMNS, atol=1e-10)
    single = jax.jit(jax.vmap(lambda b: linear_solve(operator, b, solver, state)))
    steps = single(jnp.asarray(COLUMNS.T)).statistics["steps"]
    np.testing.assert_allclose(solution.statistics["steps"], steps, atol=1)  # done columns stay as they are


def scenarios(theta):
    """Nine matrices of one pattern, from well to badly conditioned."""
    base = SparseOperator.from_scipy(LAPLACE, True)
    diagonal = base.pattern.diagonal_index
    shifts = 10.0 ** np.linspace(-2, 1.5, 9)

    def build(shift):
        flat = jnp.concatenate([v.reshape(-1) for v in base.values])
        values = flat.at[diagonal].add(shift * theta * jnp.linspace(0.5, 1.5, N))
        return SparseOperator(base.pattern, (values.reshape(base.values[0].shape),), True)

    return [build(shift) for shift in shifts]


LOADS = jnp.asarray(RNG.standard_normal((9, N)))


@pytest.mark.parametrize(("group", "own"), [(1, True), (4, False), (9, True)])
def test_scenarios_agree_with_single_solves(group: int, own: bool):
    solver = CG(Jacobi(), 1e-11, 0.0, 200)
    operators = scenarios(1.0)
    stacked = stack_operators(operators)
    state = None if own else solver.init(operators[0])
    solution = jax.jit(lambda a, b: solve_scenarios(a, b, solver, state, group=group))(stacked, LOADS)
    assert np.all(np.asarray(solution.status.code) == Code.SUCCESS)
    for operator, x, b in zip(operators, solution.value, LOADS, strict=True):
        np.testing.assert_allclose(operator.to_scipy() @ np.asarray(x), b, atol=1e-9)
    steps = np.asarray(solution.statistics["steps"])
    assert steps[0] > 2 * steps[-1] > 0  # a fast system does not take the steps of a slow one


@pytest.mark.slow
@pytest.mark.parametrize("group", [1, 9])
def test_derivatives_by_taylor_remainder(group: int):
    solver = CG(Jacobi(), 1e-13, 0.0, 300)

    @jax.jit
    def f(theta):
        x = solve_scenarios(stack_operators(scenarios(theta)), LOADS * jnp.cos(theta), solver, group=group).value
        return jnp.sum(x**3)

    theta = jnp.asarray(0.7)
    value, slope = f(theta), jax.grad(f)(theta)
    np.testing.assert_allclose(jax.jvp(f, (theta,), (jnp.ones(()),))[1], slope, rtol=1e-8)
    errors = np.array([abs(f(theta + h) - value - h * slope) for h in (0.04, 0.02, 0.01)])
    assert np.all(np.abs(np.log2(errors[:-1] / errors[1:]) - 2) < 0.15)


@pytest.mark.slow
def test_gradient_of_columns_in_an_unsymmetric_matrix():
    matrix, b = jnp.asarray(WIND.toarray()), jnp.asarray(COLUMNS)
    solver = GMRES(Identity(), 1e-12, 0.0, 200, 40)

    def ours(m, b):
        return jnp.sum(solve_columns(DenseOperator(m, False), b, solver, group=K).value ** 2)

    expected = jax.grad(lambda m, b: jnp.sum(jnp.linalg.solve(m, b) ** 2), (0, 1))(matrix, b)
    for mine, exact in zip(jax.jit(jax.grad(ours, (0, 1)))(matrix, b), expected, strict=True):
        np.testing.assert_allclose(mine, exact, rtol=1e-7, atol=1e-8)


def test_each_system_has_its_status():
    matrices = [np.eye(N), -np.eye(N), np.nan * np.eye(N), LAPLACE.toarray()]
    stacked = stack_operators([DenseOperator(jnp.asarray(matrix), True) for matrix in matrices])
    b = jnp.ones((4, N))
    solution = solve_scenarios(stacked, b, CG(Identity(), 1e-12, 0.0, 3), group=4)
    codes = [Code(int(code)) for code in solution.status.code]
    assert codes == [Code.SUCCESS, Code.BREAKDOWN, Code.NOT_FINITE, Code.MAX_STEPS]
    np.testing.assert_allclose(solution.value[0], 1.0)
    gradient = jax.grad(lambda b: jnp.sum(solve_scenarios(stacked, b, CG(Identity(), 1e-12, 0.0, 3)).value))(b)
    assert bool(jnp.all(jnp.isnan(gradient)))


@pytest.mark.slow
def test_scenarios_on_a_lattice_with_their_own_multigrid():
    size = 17
    lattice = Lattice((size, size), 1, (1.0, 1.0))
    poisson = sp.csr_array(pyamg.gallery.poisson((size, size), format="csr"))
    indptr, indices, places = lattice.entries(symmetric=True)
    values = np.zeros(lattice.half).reshape(-1)
    values[places] = poisson.toarray()[np.repeat(np.arange(size**2), np.diff(indptr)), indices]
    factors = jnp.asarray([1.0, 10.0, 1e3])
    stacked = StencilOperator(lattice, factors.reshape(-1, *[1] * 5) * values.reshape(lattice.half), True)
    b = jnp.asarray(RNG.standard_normal((3, size**2)))
    solver = CG(Multigrid(coarse=40), 1e-9, 0.0, 30)
    solution = jax.jit(lambda a, b: solve_scenarios(a, b, solver, group=3))(stacked, b)
    assert solution.status.worst() == Code.SUCCESS
    exact = sp.linalg.spsolve(sp.csc_array(poisson), np.asarray(b).T).T / np.asarray(factors)[:, None]
    np.testing.assert_allclose(solution.value, exact, rtol=1e-6, atol=1e-8)


def test_what_does_not_fit_is_refused():
    operator, solver = SparseOperator.from_scipy(LAPLACE, True), CG(Jacobi(), 1e-8, 0.0, 10)
    with pytest.raises(ValueError, match="B has 3 rows"):
        solve_columns(operator, jnp.ones((3, 2)), solver)
    with pytest.raises(ValueError, match="leading axis of 5"):
        solve_scenarios(stack_operators(scenarios(1.0)), jnp.ones((5, N)), solver)
    with pytest.raises(ValueError, match="rows of 3"):
        solve_scenarios(stack_operators(scenarios(1.0)), jnp.ones((9, 3)), solver)
    with pytest.raises(ValueError, match="group = 0"):
        solve_columns(operator, jnp.ones((N, 2)), solver, group=0)
    with pytest.raises(ValueError, match="differ"):
        stack_operators([operator, DenseOperator(jnp.eye(N), True)])


def test_block_products_of_padded_rows():
    """Several bucket widths, derivatives in the block and in the values."""
    matrix = sp.random_array((70, 70), density=0.1, rng=RNG, format="csr") + sp.eye_array(70)
    operator = SparseOperator.from_scipy(matrix)
    block, weight = jnp.asarray(RNG.standard_normal((2, 5, 70)))
    np.testing.assert_allclose(jax.vmap(operator.mv)(block), np.asarray(block) @ matrix.T.toarray(), atol=1e-12)
    ours = jax.grad(lambda v, x: jnp.sum(weight * jax.vmap(operator.pattern.operator(v).mv)(x)), (0, 1))
    values, vectors = ours(operator.csr_values(), block)
    np.testing.assert_allclose(vectors, np.asarray(weight) @ matrix.toarray(), atol=1e-12)
    rows = np.repeat(np.arange(70), np.diff(np.asarray(operator.pattern.indptr)))
    expected = np.einsum("ke,ke->e", np.asarray(weight)[:, rows], np.asarray(block)[:, operator.pattern.indices()])
    np.testing.assert_allclose(values, expected, atol=1e-12)
