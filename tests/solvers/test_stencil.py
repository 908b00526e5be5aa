"""Operators on lattices: products, transposes, derivatives; and geometric multigrid on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gemel.solvers import (
    AMG,
    CG,
    GMRES,
    Lattice,
    Multigrid,
    SparseOperator,
    StencilOperator,
    linear_combination,
)
from gemel.solvers.geometric import Level, _form, _form_on_host, _free, _galerkin, _prolong, _restrict, _size
from gemel.solvers.stencil import _OnLattice

LARGE = Lattice((5, 5, 7), 1, (1.0,) * 3)
LATTICES = [Lattice((3, 4, 5), 1, (1.0, 1.0, 1.0)), Lattice((4, 3), 2, (1.0, 1.0)), Lattice((3, 3, 4), 3, (1.0,) * 3)]


def random_operator(lattice, seed=0, symmetric=False, shift=0.0):
    """With zeros where an offset leads outside; ``shift`` is added where a component meets itself."""
    values = np.random.default_rng(seed).standard_normal(lattice.shape)
    values[:, range(lattice.components), range(lattice.components)] += shift
    flipped = StencilOperator(lattice, jnp.asarray(values), False).transpose()
    back = flipped.transpose()
    return StencilOperator.of(lattice, back.values + flipped.values, True) if symmetric else back


SYMMETRIC = pytest.mark.parametrize("symmetric", [False, True])


@SYMMETRIC
@pytest.mark.parametrize("lattice", LATTICES, ids=str)
@pytest.mark.fast(
    "Lattice(nodes=(3, 4, 5), components=1, spacing=(1.0, 1.0, 1.0))-True",
    "Lattice(nodes=(4, 3), components=2, spacing=(1.0, 1.0))-False",
)
def test_products_transposes_and_derivatives_are_those_of_the_matrix(lattice, symmetric):
    operator = random_operator(lattice, symmetric=symmetric)
    matrix = operator.to_scipy().toarray()
    rng = np.random.default_rng(1)
    x, y = (jnp.asarray(rng.standard_normal(operator.n)) for _ in range(2))
    np.testing.assert_allclose(operator.mv(x), matrix @ x, atol=1e-12)
    np.testing.assert_allclose(operator.rmv(x), matrix.T @ x, atol=1e-12)
    np.testing.assert_allclose(operator.transpose().to_scipy().toarray(), matrix.T)
    np.testing.assert_allclose(operator.diagonal(), np.diag(matrix))
    np.testing.assert_allclose(operator.scaled(2.0).to_scipy().toarray(), 2 * matrix)
    both = jax.vmap(operator.mv)(jnp.stack([x, y]))
    np.testing.assert_allclose(both, jnp.stack([matrix @ x, matrix @ y]), atol=1e-12)
    np.testing.assert_allclose(jax.vjp(operator.mv, x)[1](y)[0], matrix.T @ y, atol=1e-12)
    np.testing.assert_allclose(jax.linear_transpose(operator.mv, x)(y)[0], matrix.T @ y, atol=1e-12)
    change = random_operator(lattice, 2, symmetric)
    _, slope = jax.jvp(lambda v: StencilOperator(lattice, v, symmetric).mv(x), (operator.values,), (change.values,))
    np.testing.assert_allclose(slope, change.mv(x), atol=1e-12)
    rate = jax.grad(lambda v: jnp.vdot(y, StencilOperator(lattice, v, symmetric).mv(x)))(operator.values)
    np.testing.assert_allclose(jnp.vdot(rate, change.values), y @ change.mv(x), rtol=1e-12)


@SYMMETRIC
def test_products_part_by_part_are_those_of_the_matrix(symmetric):
    """More nodes with two components than a part has."""
    operator = random_operator(Lattice((130, 131), 2, (1.0, 1.0)), symmetric=symmetric)
    x = np.random.default_rng(1).standard_normal(operator.n)
    np.testing.assert_allclose(operator.mv(jnp.asarray(x)), operator.to_scipy() @ x, atol=1e-12)


@SYMMETRIC
@pytest.mark.parametrize("lattice", LATTICES, ids=str)
def test_products_without_loops_are_the_same(lattice, symmetric):
    """A GPU is given them as one sum."""
    operator = random_operator(lattice, symmetric=symmetric)
    storage, x = (
        _OnLattice(lattice=lattice, symmetric=symmetric),
        jnp.asarray(np.random.default_rng(1).standard_normal((2, operator.n))),
    )
    np.testing.assert_allclose(storage.apply((operator.values,), x[0], at_once=True), operator.mv(x[0]), atol=1e-12)
    both = storage.apply_columns((operator.values,), x, at_once=True)
    np.testing.assert_allclose(both, jax.vmap(operator.mv)(x), atol=1e-12)


@SYMMETRIC
def test_combinations_stay_on_their_lattice(symmetric):
    first, second = random_operator(LATTICES[1]), random_operator(LATTICES[1], 1, symmetric)
    both = linear_combination(2.0, first, -3.0, second)
    assert isinstance(both, StencilOperator)
    a, b = first.to_scipy().toarray(), second.to_scipy().toarray()
    np.testing.assert_allclose(both.to_scipy().toarray(), 2 * a - 3 * b)


@SYMMETRIC
@pytest.mark.parametrize("lattice", LATTICES, ids=str)
def test_a_restriction_keeps_what_couples_free_unknowns(lattice, symmetric):
    operator = random_operator(lattice, symmetric=symmetric)
    free = np.random.default_rng(3).random(operator.n) > 0.3
    expected = operator.to_scipy().toarray() * np.outer(free, free) + np.diag(np.where(free, 0.0, 7.0))
    np.testing.assert_array_equal(operator.restricted(jnp.asarray(free), 7.0).to_scipy().toarray(), expected)


def diffusion(nodes, spacing=None, conductivity=None, fixed=True):
    """Cell-wise conductivities between nodes of a lattice, seven-point, prescribed at the first plane."""
    d = len(nodes)
    spacing = (1.0,) * d if spacing is None else spacing
    k = np.ones(nodes) if conductivity is None else conductivity
    values = np.zeros((3,) * d + nodes)
    for axis in range(d):
        here, there = [slice(None)] * d, [slice(None)] * d
        here[axis], there[axis] = slice(0, -1), slice(1, None)
        flow = 2 / (1 / k[tuple(here)] + 1 / k[tuple(there)]) / spacing[axis] ** 2
        for side, place in ((2, here), (0, there)):
            offset = [1] * d
            offset[axis] = side
            values[(*offset, *place)] -= flow
            values[(1,) * d + tuple(place)] += flow
    lattice = Lattice(nodes, 1, spacing)
    operator = StencilOperator.of(lattice, jnp.asarray(values.reshape(lattice.shape)), True)
    free = np.arange(lattice.n) >= np.prod(nodes[1:])
    return operator.restricted(jnp.asarray(free), 1.0) if fixed else operator


def steps_of(operator, preconditioner, rtol=1e-8):
    solver = CG(preconditioner, rtol, 0.0, 200)
    b = operator.mv(jnp.asarray(np.random.default_rng(0).standard_normal(operator.n)))
    solution = solver.compute(solver.init(operator), operator, b)
    assert bool(solution.status.ok)
    assert float(jnp.linalg.norm(operator.mv(solution.value) - b)) <= 2 * rtol * float(jnp.linalg.norm(b))
    return int(solution.statistics["steps"])


@SYMMETRIC
@pytest.mark.parametrize(
    "lattice",
    [
        pytest.param(LARGE, marks=pytest.mark.slow),
        pytest.param(Lattice((5, 9), 2, (1.0, 1.0)), marks=pytest.mark.slow),
        Lattice((6, 9), 2, (1.0, 1.0)),
    ],
    ids=str,
)
def test_coarse_operators_are_galerkins(lattice, symmetric):
    """Against P as a matrix; restriction is its transpose, and prescribed unknowns stay apart."""
    free = (np.random.default_rng(4).random((lattice.components, *lattice.nodes)) > 0.2).astype(float)
    operator = random_operator(lattice, symmetric=symmetric).restricted(lattice.join(jnp.asarray(free)) > 0, 1.0)
    matrix = operator.to_scipy().toarray()
    level = Level(operator, 1 / operator.diagonal(), jnp.ones(()), jnp.asarray(free), tuple(range(len(lattice.nodes))))
    coarse = _galerkin(operator, jnp.asarray(free), level.axes)
    prolongation = np.asarray(jax.vmap(lambda x: _prolong(level, x), 1, 1)(jnp.eye(coarse.n)))
    restriction = np.asarray(jax.vmap(lambda x: _restrict(level, x), 1, 1)(jnp.eye(operator.n)))
    np.testing.assert_allclose(restriction, prolongation.T)
    alone = np.flatnonzero(~prolongation.any(axis=0))
    expected = prolongation.T @ matrix @ prolongation
    expected[alone, alone] = 1.0
    np.testing.assert_allclose(coarse.to_scipy().toarray(), expected, atol=1e-12)


@pytest.mark.slow
def test_steps_do_not_grow_with_the_lattice():
    counts = [steps_of(diffusion((n + 1,) * 3), Multigrid(coarse=130)) for n in (8, 16, 25, 27, 31, 32)]
    assert max(counts) <= counts[0] + 1
    assert max(counts) <= 8


@pytest.mark.slow
@pytest.mark.parametrize("degree", [1, 3])
def test_smoothers_of_any_degree(degree):
    assert steps_of(diffusion((33, 33)), Multigrid(degree=degree, coarse=90, dtype="float64")) <= 12


@pytest.mark.slow
def test_slender_cells_are_coarsened_along_their_short_sides_first():
    assert steps_of(diffusion((17, 65), (16.0, 1.0)), Multigrid(coarse=40)) <= 12


@pytest.mark.slow
def test_a_lattice_that_does_not_halve_goes_on_algebraically():
    """Of six cells by 100 two by 25 are left."""
    operator = diffusion((7, 101))
    assert steps_of(operator, Multigrid(coarse=70)) <= 14

    @jax.jit
    def inside(values):
        return Multigrid(coarse=70).init(StencilOperator(operator.lattice, values, True)).coarse

    with pytest.raises(ValueError, match="coarsest lattice has 78 unknowns"):
        inside(operator.values)


@pytest.mark.slow
def test_levels_are_formed_inside_jit():
    operator = diffusion((17, 17))

    def solve(values, b):
        solver = CG(Multigrid(coarse=30), 1e-10, 0.0, 50)
        here = StencilOperator(operator.lattice, values, True)
        return solver.compute(solver.init(here), here, b).value

    b = jnp.ones(operator.n)
    np.testing.assert_allclose(operator.mv(jax.jit(solve)(operator.values, b)), b, atol=1e-7)


@pytest.mark.slow
def test_strong_contrasts_cost_few_steps():
    """A conductivity of 1 or 10⁶ in blocks that the coarse lattices do not see."""
    nodes = (33, 33)
    dark = np.add.reduce(np.indices(nodes) // 5 % 2) == 1
    operator = diffusion(nodes, conductivity=np.where(dark, 1e6, 1.0))
    assert steps_of(operator, Multigrid(coarse=60)) <= 40


@pytest.mark.slow
def test_a_body_without_support_and_one_that_is_not_symmetric():
    free = diffusion((17, 17), fixed=False)
    assert steps_of(free, Multigrid(coarse=30), 1e-7) <= 16
    drift = np.array(diffusion((17, 17)).whole())
    drift[5] += 0.3 * (drift[5] != 0)
    skew = StencilOperator(free.lattice, jnp.asarray(drift), False)
    solver = GMRES(Multigrid(coarse=30), 1e-9, 0.0, 100, 50)
    b = jnp.ones(skew.n)
    for flipped, product in ((False, skew.mv), (True, skew.rmv)):
        solution = solver.compute(solver.init(skew), skew, b, transpose=flipped)
        assert bool(solution.status.ok)
        np.testing.assert_allclose(product(solution.value), b, atol=1e-6)


def test_other_operators_are_left_to_the_algebraic_method():
    matrix = diffusion((9, 9)).to_scipy()
    operator = SparseOperator.from_scipy(matrix, True)
    assert steps_of(operator, Multigrid(AMG(coarse=20))) <= 14


@pytest.mark.parametrize("size", [pytest.param(size, marks=pytest.mark.slow) for size in (1e-30, 1e-13, 1e25)])
def test_steps_do_not_depend_on_units(size):
    """Of the operator, beside ones on prescribed unknowns, and of the right-hand side, in single precision."""
    one = diffusion((33, 17))
    fixed = 1.0 - _free(one)
    values = size * one.values
    values = values.at[0, 0, 0].set(jnp.where(fixed[0] > 0, 1.0, values[0, 0, 0]))
    operator = StencilOperator(one.lattice, values, True)
    free = one.lattice.join(1 - fixed)
    for b in (free, 1e-36 * free):
        solver = CG(Multigrid(coarse=30), 1e-8, 0.0, 100)
        solution = solver.compute(solver.init(operator), operator, b)
        assert bool(solution.status.ok)
        assert int(solution.statistics["steps"]) <= 9


def test_a_smoother_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Multigrid(degree=0)


@pytest.mark.parametrize(
    ("symmetric", "components"),
    [(True, 1), *(pytest.param(*rest, marks=pytest.mark.slow) for rest in [(False, 1), (True, 2), (False, 2)])],
)
def test_levels_on_the_host_are_those_of_the_device(symmetric: bool, components: int):
    lattice = Lattice((9, 8, 18), components, (1.0, 1.0, 1.0))
    rng, operator = np.random.default_rng(5), random_operator(lattice, 5, symmetric, 30.0)
    operator = operator.restricted(jnp.asarray(rng.random(lattice.n) > 0.1), 3.0)
    levels, last, size = _form_on_host(operator, 20, "float64")
    expected, end = _form(operator, _size(operator), 20, "float64")
    assert len(levels) == len(expected) == 2
    assert float(size) == pytest.approx(float(_size(operator)), rel=1e-14)
    for mine, theirs in zip(levels, expected, strict=True):
        assert mine.axes == theirs.axes
        np.testing.assert_allclose(mine.operator.values, theirs.operator.values, atol=1e-12)
        np.testing.assert_allclose(mine.inverse_diagonal, theirs.inverse_diagonal, rtol=1e-12)
        np.testing.assert_array_equal(mine.free, theirs.free)
        assert float(mine.largest) == pytest.approx(float(theirs.largest), rel=0.1)
    np.testing.assert_allclose(last.values, end.values, atol=1e-12)


def test_values_that_are_not_finite_are_refused():
    operator = random_operator(LATTICES[0])
    broken = StencilOperator(operator.lattice, operator.values.at[(0,) * operator.values.ndim].set(jnp.nan), True)
    with pytest.raises(ValueError, match="Multigrid: 1 entries of the matrix are not finite"):
        Multigrid().init(broken)
