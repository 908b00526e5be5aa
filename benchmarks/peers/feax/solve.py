"""FEAX (GPL-3.0): one compiled JAX program for a solve, with its smoothed aggregation by pyamg and AMJax.

``AMGSolverOptions`` with its defaults: outside the program one matrix is assembled and the hierarchy is built from it
(the preconditioner's set-up), inside it conjugate gradients apply the operator without a matrix and the V-cycle in
JAX. A call is therefore the solve, with nothing to assemble apart, and it returns no count of iterations.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

import functools
from typing import Any

import feax
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import exact
from benchmarks.cases import RTOL
from benchmarks.measure import Stages, Timing, timed
from benchmarks.peers import Task
from benchmarks.peers.common import (
    VTK,
    Cube,
    Row,
    built,
    directional,
    gradient_row,
    load,
    relative_error,
    require,
    steady_row,
)

feax.enable_x64()

_SIDES = [(axis, end) for axis in range(3) for end in (0, 1) if (axis, end) != (0, 0)]
_NOTHING = Timing(0.0, 0.0, 0.0)


class Conduction(feax.Problem):
    """−∇·(k ∇u) = f with k at the quadrature points or one value for each cell."""

    def get_tensor_map(self) -> Any:
        return lambda slope, k: k * slope

    def get_mass_map(self) -> Any:
        return lambda u, x, k: -exact.source(jnp, x)[None]


class Block(feax.Problem):
    """−∇·σ = f with tractions on all sides but the clamped one."""

    def get_tensor_map(self) -> Any:
        e, nu = exact.YOUNGS_MODULUS, exact.POISSON_RATIO
        first, mu = e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))
        return lambda slope: first * jnp.trace(slope) * jnp.eye(3) + mu * (slope + slope.T)

    def get_mass_map(self) -> Any:
        return lambda u, x: -exact.body_force(jnp, x)

    def get_surface_maps(self) -> Any:
        return [functools.partial(_traction, np.eye(3)[axis] * (2 * end - 1)) for axis, end in _SIDES]


def _traction(normal: np.ndarray, u: Any, x: Any) -> Any:
    return -exact.stress(jnp, x) @ normal


def _on(axis: int, end: float) -> Any:
    """A function of a point."""

    def place(x: Any) -> Any:
        return jnp.isclose(x[axis], end, atol=1e-9)

    return place


def _surface(x: Any) -> Any:
    return jnp.any((x < 1e-9) | (x > 1 - 1e-9))


def problem(cube: Cube, vector: bool) -> tuple[Any, Any]:
    """The problem of a case with its boundary condition."""
    mesh = feax.Mesh(cube.points, cube.cells[:, VTK], ele_type="HEX8")
    if vector:
        body = Block(mesh, vec=3, dim=3, ele_type="HEX8", location_fns=[_on(a, float(e)) for a, e in _SIDES])
    else:
        body = Conduction(mesh, vec=1, dim=3, ele_type="HEX8")
    place = _on(0, 0.0) if vector else _surface
    clamp = feax.DCboundary.DirichletBCSpec(location=place, component="all", value=0.0)
    return body, feax.DCboundary.DirichletBCConfig([clamp]).create_bc(body)


def prepared(cube: Cube, task: Task) -> tuple[Any, ...]:
    """The problem, its boundary condition, its parameters and its arrays."""
    vector = task.case.vector
    body, boundary = problem(cube, vector)
    points = jnp.asarray(body.physical_quad_points)
    values = () if vector else (exact.conductivity(jnp, jnp.moveaxis(points, -1, 0)),)
    if task.case.name == "gradient":
        values = (jnp.asarray(cube.centre_conductivities()),)
    parameters = feax.TracedParams(volume_vars=values, surface_vars=[() for _ in _SIDES] if vector else [])
    return body, boundary, parameters, feax.TracedStructure.from_problem(body)


def run(task: Task) -> Row:
    """The row of one mesh."""
    stages = Stages()
    with stages("mesh"):
        cube = load(task.mesh)
    body, boundary, parameters, structure = built(lambda: prepared(cube, task), stages)
    start = feax.zero_like_initial_guess(body, boundary)
    given = {"linear": True, "traced_params": parameters, "traced_structure": structure}
    options = feax.AMGSolverOptions(solver="cg", tol=RTOL, atol=0.0)
    solver = built(lambda: feax.create_solver(body, boundary, options, **given), stages, "preconditioner")

    def call(parameters: Any, start: Any, structure: Any) -> Any:
        return solver(parameters, start, traced_structure=structure).dofs

    if task.case.name == "gradient":
        return _gradient(task, cube, body, call, (parameters, start, structure), stages)
    solve = jax.jit(call)
    u, solving = timed(lambda: solve(parameters, start, structure), task.repeat, jax.block_until_ready)
    residual = feax.assembler.create_res_bc_parametric(body)
    sizes = [float(jnp.linalg.norm(residual(v, parameters, boundary, structure))) for v in (u, start)]
    require(*sizes, task.code)
    row = steady_row(stages, u.size, _NOTHING, solving)
    return row | {"error": relative_error(cube, np.asarray(u), task.case)}


def _gradient(task: Task, cube: Cube, body: Any, call: Any, arguments: Any, stages: Stages) -> Row:
    """∫u² through the rule of the solver."""
    parameters, start, structure = arguments
    (at,) = parameters.volume_vars
    weights, shape = jnp.asarray(body.fes[0].JxW), jnp.asarray(body.fes[0].shape_vals)
    cells = jnp.asarray(cube.cells[:, VTK])

    def functional(values: Any, start: Any, structure: Any) -> tuple[Any, Any]:
        u = call(feax.TracedParams(volume_vars=(values,)), start, structure)
        return jnp.sum(weights * jnp.einsum("qa,ca->cq", shape, u[cells]) ** 2), u

    forward = jax.jit(functional)
    backward = jax.jit(jax.value_and_grad(functional, has_aux=True))
    rest = (start, structure)
    (value, u), forward_time = timed(lambda: forward(at, *rest), task.repeat, jax.block_until_ready)
    (_, slope), gradient_time = timed(lambda: backward(at, *rest), task.repeat, jax.block_until_ready)
    row = gradient_row(stages, cube, forward_time, gradient_time, functional=float(value))
    row |= directional(lambda k: float(forward(jnp.asarray(k), *rest)[0]), np.asarray(slope), np.asarray(at))
    return row | {"error": relative_error(cube, np.asarray(u), task.case)}
