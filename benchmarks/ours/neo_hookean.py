"""A rubber block under the tractions and the body force of a known large displacement, in one step of loading."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

import gemel as gm
from benchmarks import exact
from benchmarks.cases import RTOL, Case
from benchmarks.measure import Stages, timed
from benchmarks.ours.common import Row, copy_bandwidth, cube, measured, peak, relative_error, set_up
from benchmarks.ours.elasticity import NORMALS
from gemel.engine.materials import tensors


def piola(x: jax.Array) -> jax.Array:
    r"""$P = \mu (F - F^{-T}) + \lambda \ln J\, F^{-T}$ of the exact displacement at ``x`` ``(3,)``."""
    e, nu = exact.YOUNGS_MODULUS, exact.POISSON_RATIO
    first, mu = e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))
    gradient = jnp.eye(3) + jax.jacfwd(lambda x: exact.large_displacement(jnp, x))(x)
    inverse = tensors.inverse(gradient).T  # closed, as UFL's: numpy's are factorisations, which take long to compile
    return mu * (gradient - inverse) + first * jnp.log(tensors.determinant(gradient)) * inverse


def force(x: jax.Array) -> jax.Array:
    r"""$f = -\nabla\cdot P$ at ``x`` ``(3,)``."""
    return -jnp.einsum("ijj->i", jax.jacfwd(piola)(x))


def block(case: Case, n: int, stages: Stages) -> gm.Hyperelasticity:
    """The problem on n³ blocks; the loads are per area and volume of the reference."""
    mesh = cube(case, n, stages)
    with stages("plan"):
        space = gm.FunctionSpace(mesh, case.element, (3,))
        pulls = [_traction(side) for side in NORMALS]
        conditions = [gm.Dirichlet("left"), gm.BodyForce("all", gm.Profile(force)), *pulls]
        material = gm.NeoHookean.from_young(exact.YOUNGS_MODULUS, exact.POISSON_RATIO)
        return jax.block_until_ready(gm.Hyperelasticity(space, material, conditions=conditions))


def _traction(side: str) -> gm.Term:
    normal = jnp.array(NORMALS[side])
    return gm.Traction(side, gm.Profile(lambda x: piola(x) @ normal))


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one size: a call is all of Newton's method, with its assemblies and linear solves."""
    body, stages = set_up(block, case, n)
    steady = gm.Steady(body, rtol=RTOL)
    with stages("preconditioner"):
        state = jax.block_until_ready(steady.prepare())
    call = eqx.filter_jit(lambda steady, state: steady.solve(state))
    solution, solving = timed(lambda: call(steady, state), repeat, jax.block_until_ready)
    u: Any = solution.checked()
    row = {
        **measured(stages, solving),
        "unknowns": body.problem.space.n_dofs,
        "solve_s": solving.best,
        "solve_median_s": solving.median,
        "newton_steps": int(solution.statistics["steps"]),
        "iterations": int(solution.statistics["linear_steps"]),
        "copy_gb_s": copy_bandwidth(),
        "peak_mib": peak(),
    }
    return row | {"error": relative_error(body.problem.space, u, lambda x: exact.large_displacement(jnp, x))}
