"""JAX-FEM (GPL-3.0): kernels of the weak form in JAX, assembly through scipy, solves through PETSc.

The linear solver is the ``petsc_solver`` of its documentation: for elasticity with the default ``bcgsl`` and ``ilu``,
for a scalar field with ``cg`` and ``hypre`` and the options that FEniCSx has for BoomerAMG. (Its matrix has neither
blocks nor rigid-body modes, and BoomerAMG took 27 times longer than ILU on 15,000 displacements.) PETSc sets the
preconditioner up inside every solve, so both count as the solve. The conductivity at the quadrature points is an
internal variable, as in its examples, and is evaluated with the plan. It runs on the CPU, with the last JAX that works
beside the numpy of Debian's petsc4py.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

import functools
import logging
from typing import Any

import jax
import jax.numpy as jnp
import jax_fem
import numpy as np
from jax.flatten_util import ravel_pytree
from jax_fem import solver as jf
from jax_fem.generate_mesh import Mesh
from jax_fem.problem import Problem
from petsc4py import PETSc

from benchmarks import exact
from benchmarks.cases import RTOL
from benchmarks.measure import Stages, Timing, timed
from benchmarks.peers import BOOMERAMG, Task
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

jax_fem.logger.setLevel(logging.WARNING)

_SCALAR = {"ksp_type": "cg", "pc_type": "hypre"}
_VECTOR = {"ksp_type": "bcgsl", "pc_type": "ilu"}
_LINEAR = {"petsc_solver": _SCALAR}
_NEWTON = {"rel_tol": 1.1 * RTOL, "tol": 1e-14}
_OPTIONS = {"ksp_rtol": RTOL, "ksp_atol": 1e-50, "ksp_max_it": 5000}
_OF_SCALAR = {**BOOMERAMG, "ksp_norm_type": "unpreconditioned"}


class Conduction(Problem):
    """−∇·(k ∇u) = f; k at the quadrature points, or one value for each cell through `set_params`."""

    def custom_init(self) -> None:
        points = jnp.asarray(self.physical_quad_points)
        self.internal_vars = [exact.conductivity(jnp, jnp.moveaxis(points, -1, 0))]

    def get_tensor_map(self) -> Any:
        return lambda slope, k: k * slope

    def get_mass_map(self) -> Any:
        return lambda u, x, k: -exact.source(jnp, x)[None]

    def set_params(self, params: Any) -> None:
        self.internal_vars = [jnp.broadcast_to(params[:, None], (len(params), self.fes[0].num_quads))]


class Block(Problem):
    """−∇·σ = f with tractions on all sides but the clamped one."""

    def get_tensor_map(self) -> Any:
        e, nu = exact.YOUNGS_MODULUS, exact.POISSON_RATIO
        first, mu = e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))
        return lambda slope: first * jnp.trace(slope) * jnp.eye(3) + mu * (slope + slope.T)

    def get_mass_map(self) -> Any:
        return lambda u, x: -exact.body_force(jnp, x)

    def get_surface_maps(self) -> Any:
        return [functools.partial(_traction, normal) for normal, _ in _SIDES]


def _traction(normal: np.ndarray, u: Any, x: Any) -> Any:
    return -exact.stress(jnp, x) @ normal


def _on(axis: int, end: float) -> Any:
    """A function of a point; JAX-FEM looks at its signature."""

    def place(x: Any) -> Any:
        return jnp.isclose(x[axis], end, atol=1e-9)

    return place


def _surface(x: Any) -> Any:
    return jnp.any((x < 1e-9) | (x > 1 - 1e-9))


_SIDES = [
    (np.eye(3)[axis] * (2 * end - 1), _on(axis, float(end))) for axis, end in ((0, 1), (1, 0), (1, 1), (2, 0), (2, 1))
]


def _zero(x: Any) -> float:
    return 0.0


def problem(cube: Cube, vector: bool) -> Problem:
    """The problem of a case on its mesh."""
    mesh = Mesh(cube.points, cube.cells[:, VTK], ele_type="HEX8")
    if not vector:
        return Conduction(mesh, vec=1, dim=3, ele_type="HEX8", dirichlet_bc_info=[[_surface], [0], [_zero]])
    clamp = [[_on(0, 0.0)] * 3, [0, 1, 2], [_zero] * 3]
    return Block(
        mesh, vec=3, dim=3, ele_type="HEX8", dirichlet_bc_info=clamp, location_fns=[place for _, place in _SIDES]
    )


def run(task: Task) -> Row:
    """The row of one mesh."""
    chosen = _VECTOR if task.case.vector else _SCALAR
    for name, value in (_OPTIONS | ({} if task.case.vector else _OF_SCALAR)).items():
        PETSc.Options().setValue(name, value)
    stages = Stages()
    with stages("mesh"):
        cube = load(task.mesh)
    body = built(lambda: problem(cube, task.case.vector), stages)
    if task.case.name == "gradient":
        return _gradient(task, cube, body, stages)
    (matrix, b), assembly = timed(lambda: _system(body), task.repeat)
    u, solving = timed(lambda: jf.linear_solver(matrix, b, None, {"petsc_solver": chosen}), task.repeat)
    residual = matrix.createVecLeft()
    matrix.mult(PETSc.Vec().createWithArray(np.array(u)), residual)
    require(float(np.linalg.norm(np.asarray(b) - residual.getArray())), float(np.linalg.norm(b)), task.code)
    row = steady_row(stages, len(b), assembly, _without_warm_up(solving), nonzeros=int(matrix.getInfo()["nz_used"]))
    return row | {"iterations": _iterations(matrix, b, chosen), "error": relative_error(cube, np.asarray(u), task.case)}


def _without_warm_up(timing: Timing) -> Timing:
    """Nothing is compiled in a solve of PETSc: its first call is slower for other reasons."""
    return Timing(timing.best, timing.best, timing.median)


def _system(body: Problem) -> tuple[Any, Any]:
    """The matrix and the right-hand side, as one step of JAX-FEM's Newton solver forms them."""
    start = jnp.zeros(body.num_total_dofs_all_vars)
    residual = ravel_pytree(body.newton_update(body.unflatten_fn_sol_list(start)))[0]
    b = -jf.apply_bc_vec(residual, start, body)
    return jf.get_A(body), jax.block_until_ready(b)


def _iterations(matrix: Any, b: Any, chosen: dict[str, str]) -> int:
    """What the same solver needs, counted apart because JAX-FEM does not return it."""
    ksp = PETSc.KSP().create()
    ksp.setOperators(matrix)
    ksp.setFromOptions()
    ksp.setType(chosen["ksp_type"])
    ksp.pc.setType(chosen["pc_type"])
    ksp.solve(PETSc.Vec().createWithArray(np.array(b)), matrix.createVecRight())
    return int(ksp.getIterationNumber())


def _gradient(task: Task, cube: Cube, body: Problem, stages: Stages) -> Row:
    """∫u² through `ad_wrapper`; each forward call also assembles once more to test its Newton residual."""
    predict = jf.ad_wrapper(body, {**_LINEAR, **_NEWTON}, dict(_LINEAR))
    at = jnp.asarray(cube.centre_conductivities())
    weights = jnp.asarray(body.fes[0].JxW)

    def functional(values: Any) -> tuple[Any, Any]:
        (u,) = predict(values)
        return jnp.sum(weights * body.fes[0].convert_from_dof_to_quad(u)[..., 0] ** 2), u

    (value, u), forward = timed(lambda: functional(at), task.repeat, jax.block_until_ready)
    backward = jax.value_and_grad(functional, has_aux=True)
    (_, slope), gradient = timed(lambda: backward(at), task.repeat, jax.block_until_ready)
    row = gradient_row(stages, cube, forward, gradient, functional=float(value))
    row |= directional(lambda k: float(functional(jnp.asarray(k))[0]), np.asarray(slope), np.asarray(at))
    return row | {"error": relative_error(cube, np.asarray(u), task.case)}
