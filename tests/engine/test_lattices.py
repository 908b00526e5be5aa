"""Large boxes are solved on their lattice, with the same answers and gradients as without it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.csgraph

import gemel as gm
from gemel.engine.assembly import LatticeLayout, RowLayout, lattice_of
from gemel.engine.chunks import Chunks
from gemel.solvers import Lattice, SparseOperator, StencilOperator


def heat(mesh, k, conditions=()):
    space = gm.FunctionSpace(mesh, "Q1")
    source = gm.HeatSource("all", gm.Profile(lambda x: 1.0 + x[0] * x[1]))
    return gm.Heat(
        space, k, conditions=[gm.Dirichlet("left", 2.0), gm.Convection("top", 3.0, 1.0), source, *conditions]
    )


def box(cell="hexahedron"):
    return gm.box(16, 16, 18, size=(1.0, 1.0, 2.0), cell=cell)


def tangent_of(physics):
    return physics.problem.tangent(jnp.zeros(physics.problem.space.n_dofs))


@pytest.mark.slow
def test_a_large_box_is_a_lattice_and_others_are_not():
    mesh = box()
    found = lattice_of(gm.FunctionSpace(mesh, "Q1", (3,)))
    assert found is not None
    assert (found.nodes, found.components, found.spacing) == ((19, 17, 17), 3, (2.0, 1.0, 1.0))
    for other, element in (
        (mesh, "Q2"),
        (mesh, "DQ1"),
        (box("tetrahedron"), "P1"),
        (dataclasses.replace(mesh, shape=None), "Q1"),
        (gm.box(3, 3, 3), "Q1"),
    ):
        assert lattice_of(gm.FunctionSpace(other, element)) is None
    assert isinstance(tangent_of(heat(mesh, 1.0)), StencilOperator)
    tied = heat(mesh, 1.0, [gm.Periodic("front", "back")])
    assert isinstance(tangent_of(tied), SparseOperator)


def cell_dofs(lattice):
    """The unknowns of all cells, corner by corner."""
    corners = np.ravel_multi_index(np.transpose(lattice.corners), lattice.nodes)
    first = np.arange(lattice.n_nodes).reshape(lattice.nodes)[(slice(-1),) * len(lattice.nodes)].ravel()
    nodes = first[:, None] + corners
    return (nodes[:, :, None] * lattice.components + np.arange(lattice.components)).reshape(len(nodes), -1)


@pytest.mark.parametrize("lattice", [Lattice((4, 5), 2, (1.0, 1.0)), Lattice((3, 4, 5), 1, (1.0,) * 3)], ids=str)
@pytest.mark.parametrize("kind", ["all", "permuted", "some", "few", "facets", "single unknowns", "twice"])
@pytest.mark.fast(
    "few-Lattice(nodes=(4, 5), components=2, spacing=(1.0, 1.0))",
    "single unknowns-Lattice(nodes=(4, 5), components=2, spacing=(1.0, 1.0))",
    "all-Lattice(nodes=(3, 4, 5), components=1, spacing=(1.0, 1.0, 1.0))",
    "facets-Lattice(nodes=(3, 4, 5), components=1, spacing=(1.0, 1.0, 1.0))",
    "twice-Lattice(nodes=(3, 4, 5), components=1, spacing=(1.0, 1.0, 1.0))",
)
def test_assembly_on_a_lattice_is_that_of_any_mesh(lattice, kind):
    cells = cell_dofs(lattice)
    rng = np.random.default_rng(0)
    chosen = {
        "all": cells,
        "permuted": rng.permutation(cells),
        "some": cells[::2],
        "few": cells[5:6],
        "facets": cells[:, : cells.shape[1] // 2],
        "single unknowns": cells[:, :3],
        "twice": np.concatenate([cells, cells[:2]]),
    }[kind]
    groups = [chosen, cells[3:4]]
    found = LatticeLayout.plan(lattice, [groups])
    assert found is not None
    (mine, (mine_sum,)), (other, (other_sum,)) = found, RowLayout.plan(lattice.n, lattice.components, [groups])
    matrices = [jnp.asarray(rng.standard_normal((dofs.shape[1], *dofs.T.shape))) for dofs in groups]
    vectors = [matrix[0].T for matrix in matrices]
    np.testing.assert_allclose(mine.plan_vector(groups)(vectors), other.plan_vector(groups)(vectors), atol=1e-12)
    free = jnp.asarray(rng.random(lattice.n) > 0.2)
    for restriction in (None, free):
        here, there = (
            layout.operator(add([[Chunks.made(m)] for m in matrices]), restriction, 3.0, symmetric=False).to_scipy()
            for layout, add in ((mine, mine_sum), (other, other_sum))
        )
        np.testing.assert_allclose(here.toarray(), there.toarray(), atol=1e-12)
    even = [Chunks.made(m + jnp.swapaxes(m, 0, 1)) for m in matrices]
    half, whole = (mine_sum([[one] for one in even], None, symmetric) for symmetric in (True, False))
    assert half.shape == lattice.half
    assert whole.shape == lattice.shape
    here, there = (mine.operator(values, free, 3.0, symmetric=True).to_scipy() for values in (half, whole))
    np.testing.assert_allclose(here.toarray(), there.toarray(), atol=1e-12)
    there = other.operator(other_sum([[one] for one in even]), free, 3.0, symmetric=True).to_scipy()
    np.testing.assert_allclose(here.toarray(), there.toarray(), atol=1e-12)
    parts = [scipy.sparse.csgraph.connected_components(layout.graph(), directed=False) for layout in (mine, other)]
    assert parts[0][0] == parts[1][0]
    np.testing.assert_array_equal(parts[0][1], parts[1][1])


def test_elements_that_leave_the_neighbourhood_are_no_lattice():
    """A bar along three nodes, one around the end of a line, and a lattice of too many values."""
    lattice = Lattice((4, 5), 1, (1.0, 1.0))
    assert LatticeLayout.plan(lattice, [[np.array([[0, 1]])]]) is not None
    for bar in ([0, 2], [4, 5], [0, 10]):
        assert LatticeLayout.plan(lattice, [[cell_dofs(lattice)], [np.array([bar])]]) is None
    assert LatticeLayout.plan(Lattice((500, 500, 500), 1, (1.0,) * 3), []) is None


@pytest.mark.slow
def test_answers_and_gradients_are_those_of_the_plain_mesh():
    def mean(k, shape):
        steady = gm.Steady(heat(dataclasses.replace(box(), shape=shape), k), rtol=1e-12)
        return jnp.mean(gm.solve(steady).value ** 2)

    (value, rate), (plain, slope) = (jax.value_and_grad(mean)(1.5, shape) for shape in ((16, 16, 18), None))
    assert float(value) == pytest.approx(float(plain), rel=1e-10)
    assert float(rate) == pytest.approx(float(slope), rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("cells", [16, 17, 18])
def test_bodies_of_any_number_of_cells_take_few_steps(cells):
    """Halved to the end, never, and once: where the algebraic method takes over, it knows the rigid motions."""
    space = gm.FunctionSpace(gm.box(cells, cells, cells), "Q1", (3,))
    pull = gm.Traction("right", np.array([1.0, 0.2, 0.0]))
    steady = gm.Steady(gm.Elasticity(space, 1e3, 0.3, conditions=[gm.Dirichlet("left"), pull]), rtol=1e-8)
    solution = steady.solve(steady.prepare())
    assert bool(solution.status.ok)
    assert int(solution.statistics["steps"]) <= 16


@pytest.mark.slow
def test_a_body_on_a_lattice_moves_as_on_the_plain_mesh():
    """Static, and its natural frequencies."""

    def answers(shape):
        space = gm.FunctionSpace(dataclasses.replace(box(), shape=shape), "Q1", (3,))
        body = gm.Elasticity(space, 1e3, 0.3, 1.0, [gm.Dirichlet("bottom"), gm.Traction("top", np.array([1.0, 0, 0]))])
        u = gm.solve(gm.Steady(body, rtol=1e-12)).checked()
        return u, gm.modes(gm.Modal(body, 2)).checked()[0]

    (u, f), (v, g) = answers((16, 16, 18)), answers(None)
    np.testing.assert_allclose(u, v, atol=1e-9 * float(jnp.abs(v).max()))
    np.testing.assert_allclose(f, g, rtol=1e-8)
