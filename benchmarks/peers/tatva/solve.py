"""tatva (LGPL-3.0): an energy in JAX, its Hessian by coloured differentiation, and pyamg for the linear system.

The matrix is differentiated ten colours at a time on the pattern of the free unknowns, as its pages on sparse
differentiation show; its solvers are scipy's, to which conjugate gradients with pyamg belong. It has no rule for the
derivative of a solve: the gradient is the adjoint written with `jax.vjp`, with the hierarchy of the starting point.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from pyamg.krylov import cg

from benchmarks import exact
from benchmarks.cases import RTOL
from benchmarks.measure import Stages, timed
from benchmarks.peers import Task, amg
from benchmarks.peers.common import (
    FACES,
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

jax.config.update("jax_enable_x64", True)

from tatva import Mesh, Operator, sparse  # noqa: E402
from tatva.element import Hexahedron8, Quad4  # noqa: E402
from tatva.lifter import Fixed, Lifter  # noqa: E402

_COLOURS = 10


class Model:
    """The energy of a case on the free unknowns, with its gradient and its Hessian."""

    def __init__(self, cube: Cube, vector: bool) -> None:
        self.cube, self.components = cube, 3 if vector else 1
        nodes = cube.clamped() if vector else cube.boundary()
        fixed = (nodes[:, None] * self.components + np.arange(self.components)).ravel()
        self.volume = Operator(Mesh(jnp.asarray(cube.points), jnp.asarray(cube.cells[:, VTK])), Hexahedron8())
        self.sides = _sides(cube) if vector else []
        self.lifter = Lifter(len(cube.points) * self.components, Fixed(jnp.asarray(fixed)))
        self.x = jnp.moveaxis(self.volume.eval(jnp.asarray(cube.points)), -1, 0)
        pattern = self.lifter.adapt_sparsity(sparse.pattern_from_mesh(self.volume.mesh, self.components))
        coloured = sparse.ColoredMatrix.from_csr(pattern)
        self.residual = jax.jit(jax.grad(self._block if vector else self._conduction))
        self.hessian = jax.jit(sparse.jacfwd(self.residual, coloured, color_batch_size=_COLOURS))

    def conductivity(self) -> Any:
        """The exact conductivity at the quadrature points, ``(cells, 8)``."""
        return exact.conductivity(jnp, self.x)

    def full(self, free: Any) -> Any:
        """All values at the nodes, ``(nodes, components)``."""
        return self.lifter.lift_from_zeros(free).reshape(-1, self.components)

    def _conduction(self, free: Any, k: Any) -> Any:
        u = self.full(free)[:, 0]
        slope = self.volume.grad(u)
        density = 0.5 * k * jnp.sum(slope**2, axis=-1) - exact.source(jnp, self.x) * self.volume.eval(u)
        return self.volume.integrate(density)

    def _block(self, free: Any, k: Any) -> Any:
        u = self.full(free)
        e, nu = exact.YOUNGS_MODULUS, exact.POISSON_RATIO
        first, mu = e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))
        slope = self.volume.grad(u)
        strain = (slope + jnp.swapaxes(slope, -1, -2)) / 2
        stored = first / 2 * jnp.trace(strain, axis1=-2, axis2=-1) ** 2 + mu * jnp.sum(strain**2, axis=(-2, -1))
        force = jnp.moveaxis(exact.body_force(jnp, self.x), 0, -1)
        total = self.volume.integrate(stored - jnp.sum(force * self.volume.eval(u), axis=-1))
        for side, normal in self.sides:
            x = jnp.moveaxis(side.eval(jnp.asarray(self.cube.points)), -1, 0)
            traction = jnp.einsum("ij...,j->...i", exact.stress(jnp, x), normal)
            total -= side.integrate(jnp.sum(traction * side.eval(u), axis=-1))
        return total


def _sides(cube: Cube) -> list[tuple[Any, np.ndarray]]:
    """Operators on the five loaded sides, each in the two coordinates of its plane, with the outward normals."""
    sides = []
    for (axis, end), vertices in FACES.items():
        if (axis, end) == (0, 0):
            continue
        on = np.all(np.isclose(cube.points[cube.cells[:, vertices], axis], end, atol=1e-9), axis=1)
        faces = cube.cells[on][:, vertices][:, [0, 1, 3, 2]]
        plane = np.delete(cube.points, axis, axis=1)
        mesh = Mesh(jnp.asarray(plane), jnp.asarray(faces))
        sides.append((Operator(mesh, Quad4()), np.eye(3)[axis] * (2 * end - 1)))
    return sides


def run(task: Task) -> Row:
    """The row of one mesh."""
    stages = Stages()
    with stages("mesh"):
        cube = load(task.mesh)
    model = built(lambda: Model(cube, task.case.vector), stages)
    if task.case.name == "gradient":
        return _gradient(task, model, stages)
    zero, k = jnp.zeros(model.lifter.size_reduced), model.conductivity()

    def assemble() -> tuple[Any, np.ndarray]:
        return model.hessian(zero, k).to_csr(), -np.asarray(model.residual(zero, k))

    (matrix, b), assembly = timed(assemble, task.repeat)
    places = np.repeat(cube.points, model.components, axis=0)[np.asarray(model.lifter.free_dofs)]
    modes = amg.rigid_body_modes(places) if task.case.vector else None
    u, iterations, stages.seconds["preconditioner"], solving = amg.solve(matrix, b, modes, task.repeat)
    row = steady_row(stages, model.lifter.size, assembly, solving, nonzeros=int(matrix.nnz), iterations=iterations)
    return row | {"error": relative_error(cube, np.asarray(model.full(jnp.asarray(u))), task.case)}


def _gradient(task: Task, model: Model, stages: Stages) -> Row:
    """∫u² and its adjoint by hand; the preconditioner is made once."""
    at = jnp.asarray(model.cube.centre_conductivities())
    zero = jnp.zeros(model.lifter.size_reduced)
    with stages("preconditioner"):
        levels = amg.hierarchy(model.hessian(zero, at[:, None]).to_csr(), None).aspreconditioner()
    integral = jax.jit(lambda u: model.volume.integrate(model.volume.eval(model.full(u)[:, 0]) ** 2))
    pull = jax.jit(lambda u, k, v: jax.vjp(lambda k: model.residual(u, k[:, None]), k)[1](v)[0])

    def invert(matrix: Any, b: np.ndarray) -> Any:
        u, _ = cg(matrix, b, tol=RTOL, M=levels, maxiter=500)
        require(float(np.linalg.norm(b - matrix @ u)), float(np.linalg.norm(b)), task.code)
        return jnp.asarray(u)

    def forward(values: Any) -> tuple[Any, Any, Any]:
        matrix = model.hessian(zero, values[:, None]).to_csr()
        u = invert(matrix, -np.asarray(model.residual(zero, values[:, None])))
        return integral(u), u, matrix

    def backward(values: Any) -> tuple[Any, Any]:
        value, u, matrix = forward(values)
        adjoint = invert(matrix, np.asarray(jax.grad(integral)(u)))
        return value, -pull(u, values, adjoint)

    (value, u, _), forward_time = timed(lambda: forward(at), task.repeat)
    (_, slope), gradient_time = timed(lambda: backward(at), task.repeat, jax.block_until_ready)
    row = gradient_row(stages, model.cube, forward_time, gradient_time, functional=float(value))
    row |= directional(lambda k: float(forward(jnp.asarray(k))[0]), np.asarray(slope), np.asarray(at))
    return row | {"error": relative_error(model.cube, np.asarray(model.full(u)), task.case)}
