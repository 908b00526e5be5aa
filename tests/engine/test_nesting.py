"""Spaces that hold coarser ones, and multigrid through them."""

import itertools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import gemel as gm
from gemel.engine.nesting import lower_degrees
from gemel.solvers import AMG, CG, LinearSolver, Multigrid, Prolongation
from gemel.solvers.block_rows import BlockRows
from gemel.solvers.nesting import nested_levels


def some_mesh(cell: str, n: int = 2) -> gm.Mesh:
    if cell in ("triangle", "quadrilateral"):
        return gm.rectangle(n, n + 1, size=(1.0, 1.3), cell=cell)
    if cell == "prism":
        return gm.extrude(gm.rectangle(n, n, size=(1.0, 1.3), cell="triangle"), n, 0.7)
    return gm.box(n, n, n + 1, size=(1.0, 1.3, 0.7), cell=cell)


def polynomial(x, degree: int):
    return (1 + x[0] - 2 * x[1] + 0.5 * x[-1]) ** degree


@pytest.mark.parametrize("cell", ["triangle", "quadrilateral", "tetrahedron", "hexahedron", "prism"])
@pytest.mark.parametrize(("low", "high"), [(1, 2), (1, 3), (2, 4)])
def test_a_lower_degree_reads_exactly_in_a_higher_one(cell: str, low: int, high: int):
    mesh = some_mesh(cell)
    letter = "Q" if cell in ("quadrilateral", "hexahedron") else "P"
    coarse, fine = gm.FunctionSpace(mesh, f"{letter}{low}"), gm.FunctionSpace(mesh, f"{letter}{high}")
    matrix = gm.prolongation(coarse, fine).matrix()
    values = coarse.interpolate(lambda x: polynomial(x, low))
    np.testing.assert_allclose(matrix @ values, fine.interpolate(lambda x: polynomial(x, low)), atol=1e-12)


@pytest.mark.parametrize("cell", ["triangle", "quadrilateral", "tetrahedron", "hexahedron", "prism"])
def test_a_coarser_mesh_reads_exactly_in_a_refined_one(cell: str):
    mesh = some_mesh(cell)
    letter = "Q" if cell in ("quadrilateral", "hexahedron") else "P"
    refinement = gm.refine(mesh)
    coarse, fine = gm.FunctionSpace(mesh, f"{letter}1"), gm.FunctionSpace(refinement.mesh, f"{letter}1")
    matrix = gm.prolongation(coarse, fine).matrix()
    assert abs(matrix - refinement.prolongation).max() < 1e-12


@pytest.mark.parametrize(("degree", "through"), [(2, (1,)), (3, (1,)), (4, (2, 1)), (5, (1,))])
def test_degrees_go_down_to_one(degree: int, through: tuple[int, ...]):
    space = gm.FunctionSpace(gm.rectangle(2, 2), f"Q{degree}")
    sizes = [gm.FunctionSpace(space.mesh, f"Q{k}").n_nodes for k in (degree, *through)]
    assert [each.matrix().shape for each in lower_degrees(space)] == list(itertools.pairwise(sizes))


def held_body(n: int, degree: int) -> tuple[gm.FunctionSpace, gm.Elasticity]:
    space = gm.FunctionSpace(gm.box(n, n, n, cell="tetrahedron"), f"P{degree}", (3,))
    conditions = [gm.Dirichlet("left"), gm.BodyForce("all", jnp.array([0.1, 0.2, -1.0]))]
    return space, gm.Elasticity(space, 2.0, 0.3, conditions=conditions)


@pytest.mark.slow
def test_the_product_of_galerkin_is_the_operator_of_the_coarser_space():
    (_, linear), (space, quadratic) = (held_body(3, degree) for degree in (1, 2))
    coarse, fine = (body.problem.tangent(jnp.zeros(body.problem.space.n_dofs)) for body in (linear, quadratic))
    modes = np.ones((fine.n, 1))
    (level,), found, kept = nested_levels(BlockRows.of(fine.to_scipy(), (3, 3)), modes, lower_degrees(space), 10)
    assert level.prolongation is not None
    assert level.prolongation.shape == (fine.n, coarse.n)
    assert abs(found.to_scipy() - coarse.to_scipy()).max() < 1e-12  # a one at prescribed unknowns, in both
    np.testing.assert_array_equal(kept, np.ones((coarse.n, 1)))


@pytest.mark.slow
def test_p_multigrid_takes_fewer_steps_than_aggregation_of_quadratic_elements():
    space, body = held_body(6, 2)
    modes = body.near_nullspace()
    assert modes is not None
    held, steps = modes * np.asarray(body.problem.constraint.free)[:, None], []
    for nested in (lower_degrees(space), ()):
        solver = CG(AMG(near_nullspace=held, nested=nested, block=3), 1e-8, 0.0, 100)
        solution = gm.solve(gm.Steady(body, linear_solver=solver))
        solution.checked()
        steps.append(int(solution.statistics["steps"]))
    assert steps[0] < 0.7 * steps[1]  # 17 and 32


def test_a_refined_mesh_is_solved_through_the_meshes_it_came_from():
    meshes = [gm.box(2, 2, 2, cell="tetrahedron")]
    for _ in range(2):
        meshes.append(gm.refine(meshes[-1]).mesh)
    fine, *coarser = (gm.FunctionSpace(mesh, "P1") for mesh in reversed(meshes))
    plate = gm.Heat(fine, 1.0, conditions=[gm.Dirichlet("left", 0.0), gm.HeatSource("all", 1.0)])
    solver = gm.elliptic_solver(plate, 1e-10, coarser=coarser)
    assert len(nested_in(solver)) == 2
    solution = gm.solve(gm.Steady(plate, linear_solver=solver))
    np.testing.assert_allclose(solution.checked(), gm.solve(gm.Steady(plate)).checked(), atol=1e-8)
    assert int(solution.statistics["steps"]) <= 12


@pytest.mark.slow
def test_levels_of_lower_degree_follow_a_conductivity_that_changes():
    space = gm.FunctionSpace(gm.box(5, 5, 5, cell="tetrahedron"), "P2")
    conditions = [gm.Dirichlet("left", 0.0), gm.HeatSource("all", 1.0)]
    one = gm.Heat(space, gm.Profile(lambda x: 1.0 + 0.0 * x[0]), conditions=conditions)
    jump = gm.Profile(lambda x: jnp.where((x[0] > 0.4) & (x[1] < 0.6), 1e3, 1.0))
    other, steps = gm.Heat(space, jump, conditions=conditions), []
    for reform in (False, True):
        solver = gm.elliptic_solver(one, 1e-8, reform=reform)
        prepared = gm.Steady(one, linear_solver=solver).prepare()
        solution = eqx.filter_jit(gm.Steady(other, linear_solver=solver).solve)(prepared)
        solution.checked()
        steps.append(int(solution.statistics["steps"]))
    assert steps[1] < 0.4 * steps[0]


def nested_in(solver: LinearSolver) -> tuple[Prolongation, ...]:
    assert isinstance(solver, CG)
    assert isinstance(solver.preconditioner, Multigrid)
    return solver.preconditioner.algebraic.nested


def test_what_does_not_nest_is_named():
    mesh, other = gm.rectangle(2, 2), gm.rectangle(3, 3, size=(2.0, 2.0))
    coarse = gm.FunctionSpace(mesh, "Q1")
    with pytest.raises(ValueError, match="are no nodes of the finer one"):
        gm.prolongation(gm.FunctionSpace(mesh, "Q2"), coarse)
    with pytest.raises(ValueError, match="outside"):
        gm.prolongation(coarse, gm.FunctionSpace(other, "Q1"))
    with pytest.raises(ValueError, match="2 nodes of the coarser space"):
        Prolongation.of(np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]))
    space = gm.FunctionSpace(gm.rectangle(4, 4), "Q1")
    nested = (gm.prolongation(coarse, space),)
    with pytest.raises(ValueError, match="has 25 rows, and its level 9 nodes"):
        nested_levels(BlockRows.of(scipy.sparse.eye_array(9)), np.ones((9, 1)), nested, 1)
    tied = gm.Heat(space, 1.0, conditions=[gm.Periodic("left", "right")])
    with pytest.raises(ValueError, match="unknowns without ties"):
        gm.elliptic_solver(tied, coarser=[coarse])
    assert nested_in(gm.elliptic_solver(tied)) == ()
