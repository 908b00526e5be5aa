"""Stokes' equations with Taylor-Hood elements, solved by MINRES and GMRES with block preconditioners."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.physics.elasticity import known_places, rigid_body_modes
from gemel.engine.physics.integrands import Reaction
from gemel.engine.problems import DiscreteProblem
from gemel.solvers import AMG, GMRES, MINRES, FieldSplit, Jacobi, KrylovSolver, SparseDirect, linear_solve

VISCOSITY = 0.01


def stokes(u, v, point):
    viscous = 2 * VISCOSITY * gm.inner(gm.sym_grad(u["u"]), gm.sym_grad(v["u"]))
    force = jnp.array([jnp.sin(3 * point.x[1]), point.x[0]])
    return viscous - u["p"].value * gm.div(v["u"]) - v["p"].value * gm.div(u["u"]) - gm.inner(force, v["u"].value)


def channel(cell: str, n: int):
    """Flow through a square from an inlet with a profile to an open end: the system, and the pressure mass matrix."""
    mesh = gm.rectangle(n, n, cell=cell)
    letter = "Q" if cell == "quadrilateral" else "P"
    pressures = gm.FunctionSpace(mesh, f"{letter}1")
    velocities = gm.FunctionSpace(mesh, f"{letter}2", (2,))
    space = gm.MixedSpace({"u": velocities, "p": pressures})
    inflow = gm.Profile(lambda x: jnp.array([x[1] * (1 - x[1]), 0.0]))
    walls = [gm.Dirichlet(side, 0.0, field="u") for side in ("bottom", "top")]
    form = gm.WeakForm(stokes, affine=True, symmetric=True)
    physics = gm.Formulation(space, [gm.Term(form)], [gm.Dirichlet("left", inflow, field="u"), *walls])
    mass = DiscreteProblem.of(pressures, [gm.Term(Reaction(1 / VISCOSITY))])

    @eqx.filter_jit
    def system(problem, mass):
        start = problem.constraint.lift(jnp.zeros(problem.space.n_dofs))
        return problem.tangent(start), -problem.residual(start), mass.tangent(jnp.zeros(mass.space.n_dofs))

    free = np.asarray(physics.problem.constraint.free)[: velocities.n_dofs]
    modes = rigid_body_modes(known_places(velocities)) * free[:, None]  # what costs no dissipation
    return (*system(physics.problem, mass), modes)


def solver_for(method: str, operator, mass, modes) -> KrylovSolver:
    sizes = (len(modes), mass.n)
    assert sum(sizes) == operator.n
    parts = (AMG(near_nullspace=modes, block=2, coarse=100), Jacobi())
    if method == "minres":
        return MINRES(FieldSplit(sizes, parts, "diagonal", (None, mass)), 1e-8, 0.0, 300)
    return GMRES(FieldSplit(sizes, parts, "upper", (None, mass.scaled(-1.0))), 1e-8, 0.0, 300, 60)


def iterations(method: str, cell: str, n: int) -> int:
    operator, b, mass, modes = channel(cell, n)
    solver = solver_for(method, operator, mass, modes)
    solution = eqx.filter_jit(linear_solve)(operator, b, solver, solver.init(operator))
    exact = linear_solve(operator, b, SparseDirect(1e-9)).checked()
    velocity, pressure = np.split(np.asarray(solution.checked() - exact), [len(modes)])
    scales = np.split(np.asarray(exact), [len(modes)])
    assert np.linalg.norm(velocity) < 1e-5 * np.linalg.norm(scales[0])
    assert np.linalg.norm(pressure) < 1e-5 * np.linalg.norm(scales[1])
    return int(solution.statistics["steps"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["minres", "gmres"])
def test_iterations_level_off(method: str):
    """From a coarse mesh on they grow a little, as the inf-sup constant settles; see the finer ones below."""
    counts = [iterations(method, "quadrilateral", n) for n in (8, 16)]
    assert counts[1] <= 1.25 * counts[0]
    assert counts[1] <= (110 if method == "minres" else 55)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["minres", "gmres"])
@pytest.mark.parametrize("cell", ["quadrilateral", "triangle"])
def test_iterations_do_not_grow_with_the_mesh(method: str, cell: str):
    counts = [iterations(method, cell, n) for n in (16, 32)]
    assert counts[1] <= 1.15 * counts[0]


@pytest.mark.slow
def test_gradient_of_a_flow_by_taylor_remainder():
    operator, b, mass, modes = channel("quadrilateral", 4)
    solver = solver_for("gmres", operator, mass, modes)
    state = solver.init(operator)
    shape = 1 + 0.3 * jnp.cos(jnp.arange(operator.pattern.nnz))
    shape = jnp.asarray(operator.pattern.operator(shape).csr_values())

    @jax.jit
    def f(theta):
        dense = operator.pattern.operator(operator.csr_values() * (1 + theta * shape), False)
        tight = eqx.tree_at(lambda s: s.rtol, solver, 1e-12)
        return jnp.sum(linear_solve(dense, b, tight, state).value ** 2)

    theta = jnp.asarray(0.05)
    value, slope = f(theta), jax.jit(jax.grad(f))(theta)
    errors = np.array([abs(f(theta + h) - value - h * slope) for h in (2e-3, 1e-3, 5e-4)])
    assert np.all(np.abs(np.log2(errors[:-1] / errors[1:]) - 2) < 0.2)
