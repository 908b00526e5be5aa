"""Steps of the default solvers on problems that are hard for multigrid.

Jumps and anisotropy of the conductivity, near-incompressibility, slender cells; on boxes of hexahedra (geometric
multigrid), on the same cells in random order, and on tetrahedra (both smoothed aggregation). One side is held, a load
acts in the volume, and the solve is to a relative residual of 1e-8 within 300 steps. What fails stands there.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import gemel as gm
from benchmarks.cases import RTOL, Case
from benchmarks.ours.common import Row, assemble, peak, shuffled, solve
from gemel.engine.analyses.elliptic import elliptic_solver
from gemel.engine.physics import Physics
from gemel.meshes import Mesh

LIMIT = 300
JUMP = 1e6


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is solved: its name, the physics on a mesh with an element, and the sides over the number of cells."""

    name: str
    physics: Callable[[Mesh, str], Physics]
    size: tuple[float, float, float] = (1.0, 1.0, 1.0)


def _heat(conductivity: Callable[[jax.Array], jax.Array]) -> Callable[[Mesh, str], Physics]:
    def physics(mesh: Mesh, element: str) -> Physics:
        space = gm.FunctionSpace(mesh, element)
        conditions = [gm.Dirichlet("left", 0.0), gm.HeatSource("all", gm.Profile(lambda x: 1 + x[0] * x[1]))]
        return gm.Heat(space, gm.Profile(conductivity), conditions=conditions)

    return physics


def _solid(poisson: float) -> Callable[[Mesh, str], Physics]:
    def physics(mesh: Mesh, element: str) -> Physics:
        space = gm.FunctionSpace(mesh, element, (3,))
        conditions = [gm.Dirichlet("left"), gm.BodyForce("all", jnp.array([0.1, 0.2, -1.0]))]
        return gm.Elasticity(space, 1.0, poisson, conditions=conditions)

    return physics


def _checkerboard(x: jax.Array) -> jax.Array:
    """Blocks of an eighth of the side in turns."""
    return jnp.where(jnp.sum(jnp.floor(8 * x)) % 2 == 0, 1.0, JUMP)


def _inclusion(factor: float) -> Callable[[jax.Array], jax.Array]:
    """A ball off the centre, whose surface follows no grid line."""
    return lambda x: jnp.where(jnp.sum((x - jnp.array([0.45, 0.52, 0.55])) ** 2) < 0.3**2, factor, 1.0)


def _random(x: jax.Array) -> jax.Array:
    """Blocks of a sixteenth of the side, log-uniform over six decades."""
    numbers = jnp.asarray(10.0 ** np.random.default_rng(0).uniform(0, 6, (16, 16, 16)))
    i, j, k = jnp.clip(jnp.floor(16 * x).astype(int), 0, 15)
    return numbers[i, j, k]


def _anisotropic(turn: float) -> Callable[[jax.Array], jax.Array]:
    """A hundredth along z, in axes that are turned about (1, 1, 0) by an angle."""
    axis = np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
    cross = np.cross(np.eye(3), axis)
    rotation = np.eye(3) + np.sin(turn) * cross + (1 - np.cos(turn)) * cross @ cross
    tensor = jnp.asarray(rotation @ np.diag([1.0, 1.0, 0.01]) @ rotation.T)
    return lambda x: tensor


PROBLEMS = (
    Problem("Poisson", _heat(lambda x: jnp.ones(()))),
    Problem("conductivities that jump by 1e6, checkerboard", _heat(_checkerboard)),
    Problem("conductivities that jump by 1e6, random blocks", _heat(_random)),
    Problem("stiff inclusion, 1e6", _heat(_inclusion(JUMP))),
    Problem("soft inclusion, 1e-6", _heat(_inclusion(1 / JUMP))),
    Problem("conductivity 100:1, along the axes", _heat(_anisotropic(0.0))),
    Problem("conductivity 100:1, turned by 36°", _heat(_anisotropic(np.pi / 5))),
    Problem("Poisson, cells 100:1", _heat(lambda x: jnp.ones(())), (1.0, 1.0, 0.01)),
    Problem("elasticity", _solid(0.3)),
    Problem("elasticity, Poisson's ratio 0.499", _solid(0.499)),
    Problem("elasticity, cells 10:1", _solid(0.3), (1.0, 1.0, 0.1)),
    Problem("elasticity, cells 100:1", _solid(0.3), (1.0, 1.0, 0.01)),
)


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one kind of mesh: steps, status and relative residual of every problem. Nothing is timed."""
    found = {problem.name: _solve(problem, case, n) for problem in PROBLEMS}
    return {"problems": found, "peak_mib": peak()}


def _mesh(case: Case, n: int, size: tuple[float, float, float]) -> Mesh:
    """n³ hexahedra in order or in none, or six times as many tetrahedra in none."""
    mesh = gm.box(n, n, n, size=size, cell=case.cell)
    if not case.shuffled:
        return mesh
    return shuffled(mesh).tag_facets("left", lambda x: x[:, 0] < 1e-9)


def _solve(problem: Problem, case: Case, n: int) -> Row:
    physics = problem.physics(_mesh(case, n, problem.size), case.element)
    operator, b = assemble(physics.problem)
    chosen = elliptic_solver(physics, RTOL, LIMIT)
    solution = solve(operator, b, chosen, chosen.init(operator))
    residual = float(solution.statistics["residual"] / jnp.linalg.norm(b))
    steps, status = int(solution.statistics["steps"]), solution.status.worst().name
    return {"unknowns": operator.n, "iterations": steps, "status": status, "residual": residual}
