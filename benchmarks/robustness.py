"""Iterations of the default solvers on problems that are hard for multigrid: ``python -m benchmarks.robustness``.

Jumps and anisotropy of the conductivity, near-incompressibility, slender cells; on boxes of hexahedra (geometric
multigrid), on the same cells in random order, and on tetrahedra (both smoothed aggregation). One side is held, a load
acts in the volume, and the solve is to a relative residual of 1e-8 within 300 iterations. What fails stands there.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import gemel as gm
from benchmarks.ours.common import assemble, shuffled, solve
from gemel.engine.analyses.elliptic import elliptic_solver
from gemel.engine.physics import Physics
from gemel.meshes import Mesh
from gemel.solvers import LinearSolver, StencilOperator

RTOL, LIMIT = 1e-8, 300
JUMP = 1e6
MANY = 60
"""More iterations than this are marked."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is solved: its name, the physics on a mesh, and the lengths of the sides over the number of cells."""

    name: str
    physics: Callable[[Mesh], Physics]
    size: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Row:
    """One solve."""

    problem: str
    mesh: str
    n: int
    unknowns: int
    method: str
    iterations: int
    status: str
    residual: float


def _heat(conductivity: Callable[[jax.Array], jax.Array]) -> Callable[[Mesh], Physics]:
    def physics(mesh: Mesh) -> Physics:
        space = gm.FunctionSpace(mesh, "P1" if mesh.blocks[0].cell_type == "tetrahedron" else "Q1")
        conditions = [gm.Dirichlet("left", 0.0), gm.HeatSource("all", gm.Profile(lambda x: 1 + x[0] * x[1]))]
        return gm.Heat(space, gm.Profile(conductivity), conditions=conditions)

    return physics


def _solid(poisson: float) -> Callable[[Mesh], Physics]:
    def physics(mesh: Mesh) -> Physics:
        space = gm.FunctionSpace(mesh, "P1" if mesh.blocks[0].cell_type == "tetrahedron" else "Q1", (3,))
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
    Problem("jumps of 1e6, checkerboard", _heat(_checkerboard)),
    Problem("jumps of 1e6, random blocks", _heat(_random)),
    Problem("jump of 1e6, stiff inclusion", _heat(_inclusion(JUMP))),
    Problem("jump of 1e-6, soft inclusion", _heat(_inclusion(1 / JUMP))),
    Problem("anisotropy 100:1, along the axes", _heat(_anisotropic(0.0))),
    Problem("anisotropy 100:1, rotated", _heat(_anisotropic(np.pi / 5))),
    Problem("Poisson, cells 100:1", _heat(lambda x: jnp.ones(())), (1.0, 1.0, 0.01)),
    Problem("elasticity, nu = 0.3", _solid(0.3)),
    Problem("elasticity, nu = 0.499", _solid(0.499)),
    Problem("elasticity, cells 10:1", _solid(0.3), (1.0, 1.0, 0.1)),
    Problem("elasticity, cells 100:1", _solid(0.3), (1.0, 1.0, 0.01)),
)

MESHES = ("box", "shuffled", "tetrahedra")


def mesh_of(kind: str, n: int, size: tuple[float, float, float]) -> Mesh:
    """n³ hexahedra in order, the same in none, or six times as many tetrahedra in none."""
    mesh = gm.box(n, n, n, size=size, cell="tetrahedron" if kind == "tetrahedra" else "hexahedron")
    if kind == "box":
        return mesh
    return shuffled(mesh).tag_facets("left", lambda x: x[:, 0] < 1e-9)


def measure(problem: Problem, kind: str, n: int, solver: LinearSolver | None = None) -> Row:
    """Assemble and solve; the default solver of a steady analysis where none is given."""
    physics = problem.physics(mesh_of(kind, n, problem.size))
    operator, b = assemble(physics.problem)
    chosen = elliptic_solver(physics, RTOL, LIMIT) if solver is None else solver
    solution = solve(operator, b, chosen, chosen.init(operator))
    method = "geometric" if isinstance(operator, StencilOperator) else "aggregation"
    steps = int(solution.statistics["steps"])
    residual = float(solution.statistics["residual"] / jnp.linalg.norm(b))
    return Row(problem.name, kind, n, operator.n, method, steps, solution.status.worst().name, residual)


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown; what needs more than 60 iterations or fails is marked."""
    lines = ["| problem | mesh | n | unknowns | multigrid | iterations | status | relative residual | |"]
    lines.append("|" + "---|" * 9)
    for row in rows:
        mark = "fails" if row.status != "SUCCESS" else "many" if row.iterations > MANY else ""
        lines.append(
            f"| {row.problem} | {row.mesh} | {row.n} | {row.unknowns:,} | {row.method} | {row.iterations} | "
            f"{row.status} | {row.residual:.1e} | {mark} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("--size", type=int, action="append", help="cells along each side (default: 16 and 32)")
    parser.add_argument("--mesh", choices=MESHES, action="append", help="default: all")
    parser.add_argument("--problem", action="append", help="a part of the name; default: all")
    given = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    header = table([]).splitlines()
    print("\n".join(header), flush=True)
    for problem in PROBLEMS:
        if given.problem and not any(part in problem.name for part in given.problem):
            continue
        for kind in given.mesh or MESHES:
            for n in given.size or (16, 32):
                print(table([measure(problem, kind, n)]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
