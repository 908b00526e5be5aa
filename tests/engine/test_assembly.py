"""Element matrices are summed as they are computed: what comes out, its derivatives, and that they are not kept."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine import chunks as chunking
from gemel.engine.assembly import RowLayout, rows
from gemel.engine.chunks import Chunks
from gemel.engine.coefficients import PerCell
from gemel.engine.problems import DiscreteProblem


def random_groups(rng, n_nodes, width):
    """Elements of four and of two nodes with ``width`` unknowns each, and a matrix for each of them."""
    nodes = [np.stack([rng.permutation(n_nodes)[:k] for _ in range(count)]) for k, count in ((4, 70), (2, 31))]
    dofs = [(mine[:, :, None] * width + np.arange(width)).reshape(len(mine), -1) for mine in nodes]
    return dofs, [rng.standard_normal((mine.shape[1], *mine.T.shape)) for mine in dofs]


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("gathered", [False, True], ids=["added", "gathered"])
def test_sums_of_matrices_are_those_of_a_dense_sum(width, gathered, monkeypatch):
    """Also of two contributions, and on top of a matrix that is there; both ways, the one for a GPU too."""
    monkeypatch.setattr(rows, "short_loops_pay", lambda: not gathered)
    rng = np.random.default_rng(0)
    n = 25 * width
    dofs, matrices = random_groups(rng, 25, width)
    layout, (assemble,) = RowLayout.plan(n, width, [dofs])
    assert type(assemble).__name__ == ("GatheredMatrixSum" if gathered else "RowMatrixSum")
    expected = np.zeros((n, n))
    for mine, local in zip(dofs, matrices, strict=True):
        np.add.at(expected, (mine[:, :, None], mine[:, None, :]), np.moveaxis(local, -1, 0))
    made = [Chunks.made(jnp.asarray(local)) for local in matrices]
    once = assemble([(chunks,) for chunks in made])
    np.testing.assert_allclose(layout.operator(once, symmetric=False).to_scipy().toarray(), expected, atol=1e-12)
    thrice = assemble([(chunks, chunks) for chunks in made], once)
    np.testing.assert_allclose(layout.operator(thrice, symmetric=False).to_scipy().toarray(), 3 * expected, atol=1e-12)


@pytest.mark.parametrize("cell", ["quadrilateral", "tetrahedron", "hexahedron"])
@pytest.mark.parametrize("vector", [False, True], ids=["scalar", "vector"])
@pytest.mark.fast("vector-tetrahedron")
def test_half_of_a_symmetric_element_matrix_is_that_half_of_the_whole(cell, vector):
    mesh = gm.rectangle(2, 3) if cell == "quadrilateral" else gm.box(1, 2, 2, cell=cell)
    rng = np.random.default_rng(2)
    mesh = dataclasses.replace(mesh, points=mesh.points + 0.05 * rng.random(mesh.points.shape), shape=None)
    space = gm.FunctionSpace(mesh, "P1" if cell == "tetrahedron" else "Q1", (mesh.dim,) if vector else ())
    root = rng.standard_normal((mesh.dim, mesh.dim))
    kinematics: Any = {"kinematics": "plane strain"} if mesh.dim == 2 else {}
    problem = gm.Elasticity(space, 2.0, 0.3, **kinematics) if vector else gm.Heat(space, jnp.asarray(root @ root.T))
    (chunks,) = problem.problem.contributions[0].tangents(jnp.zeros(space.n_dofs), jnp.asarray(mesh.points))
    assert chunks.half is not None
    width = space.n_components
    half = chunks.blocks(width, symmetric=True).joined()
    np.testing.assert_allclose(half, chunks._replace(half=None).blocks(width, symmetric=True).joined(), atol=1e-13)
    size = len(chunks.joined()) // width
    assert half.shape[:3] == (size * (size + 1) // 2, width, width)


def in_no_order(n: int, shape: tuple[int, ...] = ()) -> gm.FunctionSpace:
    return gm.FunctionSpace(dataclasses.replace(gm.box(n, n, n), shape=None), "Q1", shape)


def on_a_lattice() -> gm.FunctionSpace:
    """91 planes of 63 cells, of which four fit into a chunk and three are left over."""
    return gm.FunctionSpace(gm.box(7, 9, 91), "Q1")


PLACES = pytest.mark.parametrize(
    "place", [lambda: in_no_order(20), pytest.param(on_a_lattice, marks=pytest.mark.slow)], ids=["no order", "lattice"]
)


@pytest.fixture
def short_chunks(monkeypatch):
    """Chunks of 256 elements, so that a small problem needs a loop of them and a rest."""
    monkeypatch.setattr(chunking, "_BYTES", 1)


def conduction(space: gm.FunctionSpace) -> tuple[DiscreteProblem, jax.Array]:
    heat = gm.Heat(space, PerCell(jnp.ones(space.mesh.n_cells)), conditions=[gm.Dirichlet("left")])
    k = jnp.asarray(np.random.default_rng(1).uniform(0.5, 2.0, space.mesh.n_cells))
    return heat.problem, k


def values(problem: DiscreteProblem, k: jax.Array, symmetric: bool = False) -> Any:
    other = eqx.tree_at(lambda p: p.contributions[0].form.coefficient, problem, PerCell(k))
    return other.matrix_values(jnp.zeros(other.space.n_dofs), symmetric)


@pytest.mark.parametrize("place", [lambda: in_no_order(11), on_a_lattice], ids=["no order", "lattice"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_chunks_of_elements_add_up_to_the_matrix_of_all(place, symmetric, short_chunks, monkeypatch):
    problem, k = conduction(place())
    assert problem.space.mesh.n_cells > 4 * 256
    some = values(problem, k, symmetric)
    monkeypatch.setattr(chunking, "_BYTES", 2**30)
    np.testing.assert_allclose(some, values(problem, k, symmetric), rtol=1e-13, atol=1e-13)


@PLACES
def test_the_derivative_of_a_matrix_in_chunks(place, short_chunks):
    """Remainders of Taylor series are of second order; reverse and forward mode agree."""
    problem, k = conduction(place())
    rng = np.random.default_rng(2)
    weights = jnp.asarray(rng.standard_normal(problem.layout.shape))
    direction = jnp.asarray(rng.standard_normal(k.shape))
    energy = jax.jit(lambda k: jnp.sum(weights * values(problem, k) ** 2))
    gradient = jax.grad(energy)(k)
    _, along = jax.jvp(energy, (k,), (direction,))
    assert float(gradient @ direction) == pytest.approx(float(along), rel=1e-11)
    steps = 1e-2 * 0.5 ** np.arange(4)
    rest = [abs(float(energy(k + h * direction) - energy(k) - h * along)) for h in steps]
    np.testing.assert_allclose(np.diff(np.log2(rest)), -2.0, atol=0.05)


@PLACES
@pytest.mark.parametrize("derivative", [False, True])
def test_element_matrices_are_not_kept(place, derivative, short_chunks):
    """Neither while a matrix is formed, nor by its derivative in reverse mode."""
    problem, k = conduction(place())
    call = jax.jit(lambda k: jnp.sum(values(problem, k) ** 2))
    program = (jax.jit(jax.grad(call)) if derivative else call).lower(k).compile()
    memory = program.memory_analysis()
    assert memory is not None
    stored = 8 * int(np.prod(problem.layout.shape))
    matrices = 8 * 64 * problem.space.mesh.n_cells
    assert memory.temp_size_in_bytes < (3 if derivative else 1) * stored + matrices / 4


def test_forms_on_the_same_points_are_summed_together():
    """Each alone gives the same, also where some are left out, and totals are over the domain of each."""
    mesh = gm.rectangle(3, 3).tag_cells("half", lambda x: x[:, 0] < 0.5)
    space = gm.FunctionSpace(mesh, "Q1")
    conditions = [
        gm.HeatSource("all", gm.Profile(lambda x: x[0])),
        gm.Power("half", 3.0),
        gm.Power("all", 2.0),
        gm.Convection("top", 3.0, 1.0),
        gm.Flux("top", 4.0),
    ]
    problem = gm.Heat(space, gm.Profile(lambda x: 1 + x[1]), conditions=conditions).problem
    assert problem.beside == (0, 0, 2, 0, 4, 4)
    parts: tuple[Any, ...] = problem.contributions
    first, third = (parts[k].domains[0].corners for k in (0, 3))
    assert first is third
    u = jnp.asarray(np.random.default_rng(3).standard_normal(space.n_dofs))
    count = len(problem.contributions)
    alone = [problem.unconstrained(u, tuple(k == j for k in range(count))) for j in range(count)]
    np.testing.assert_allclose(problem.unconstrained(u), sum(alone), atol=1e-13)
    assert [float(jnp.sum(each)) for each in (alone[2], alone[3])] == pytest.approx([-3.0, -2.0])
    some = (False, True, True, True, False, True)
    np.testing.assert_allclose(problem.unconstrained(u, some), sum(alone[k] for k in (1, 2, 3, 5)), atol=1e-13)


def test_cells_that_are_written_to_later_do_not_change_a_problem():
    """Also where their memory is aligned such that JAX takes it as it is."""
    made = gm.rectangle(4, 3)
    table = np.asarray(made.blocks[0].cells)
    memory = np.zeros(table.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    cells = memory[start : start + table.nbytes].view(np.int32).reshape(table.shape)
    cells[:] = table
    mesh = gm.Mesh(made.points, (gm.CellBlock("quadrilateral", cells),))
    problem = gm.Heat(gm.FunctionSpace(mesh, "Q1"), conductivity=1.0).problem
    u = jnp.arange(20.0) ** 2
    before = problem.unconstrained(u)
    cells[:] = 0
    np.testing.assert_array_equal(problem.unconstrained(u), before)
