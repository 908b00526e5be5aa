"""Steady heat conduction with a variable conductivity and a known solution."""

import jax
import jax.numpy as jnp

import gemel as gm
from benchmarks import exact
from benchmarks.cases import RTOL, Case
from benchmarks.measure import Stages
from benchmarks.ours.common import Row, boundary_value_problem, cube, relative_error, set_up


def conduction(case: Case, n: int, stages: Stages) -> gm.Heat:
    """The problem on n³ blocks."""
    mesh = cube(case, n, stages)
    with stages("plan"):
        mesh = gm.renumber(mesh).mesh if case.shuffled else mesh
        space = gm.FunctionSpace(mesh, case.element)
        conductivity = gm.Profile(lambda x: exact.conductivity(jnp, x))
        load = gm.HeatSource("all", gm.Profile(lambda x: exact.source(jnp, x)))
        return jax.block_until_ready(gm.Heat(space, conductivity, conditions=[gm.Dirichlet("boundary", 0.0), load]))


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one size."""
    heat, stages = set_up(conduction, case, n)
    u, row = boundary_value_problem(heat, stages, RTOL, repeat)
    return row | {"error": relative_error(heat.problem.space, u, lambda x: exact.scalar(jnp, x))}
