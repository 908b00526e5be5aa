"""A block clamped at one side, with the tractions and the body force of a known displacement."""

import jax
import jax.numpy as jnp

import gemel as gm
from benchmarks import exact
from benchmarks.cases import RTOL, Case
from benchmarks.measure import Stages
from benchmarks.ours.common import Row, boundary_value_problem, cube, relative_error, set_up

NORMALS = {
    "right": (1.0, 0.0, 0.0),
    "front": (0.0, -1.0, 0.0),
    "back": (0.0, 1.0, 0.0),
    "bottom": (0.0, 0.0, -1.0),
    "top": (0.0, 0.0, 1.0),
}


def _traction(side: str) -> gm.Term:
    normal = jnp.array(NORMALS[side])
    return gm.Traction(side, gm.Profile(lambda x: exact.stress(jnp, x) @ normal))


def block(case: Case, n: int, stages: Stages) -> gm.Elasticity:
    """The problem on n³ blocks."""
    mesh = cube(case, n, stages)
    with stages("plan"):
        mesh = gm.renumber(mesh).mesh if case.shuffled else mesh
        space = gm.FunctionSpace(mesh, case.element, (3,))
        force = gm.BodyForce("all", gm.Profile(lambda x: exact.body_force(jnp, x)))
        conditions = [gm.Dirichlet("left"), force, *(_traction(side) for side in NORMALS)]
        return jax.block_until_ready(
            gm.Elasticity(space, exact.YOUNGS_MODULUS, exact.POISSON_RATIO, conditions=conditions)
        )


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one size."""
    body, stages = set_up(block, case, n)
    u, row = boundary_value_problem(body, stages, RTOL, repeat)
    return row | {"error": relative_error(body.problem.space, u, lambda x: exact.displacement(jnp, x))}
