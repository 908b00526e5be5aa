r"""The gradient of 100 time steps of BDF2, $\sum_n \bar u(t_n)^2$ in all cells' conductivities, with one hierarchy."""

import jax
import jax.numpy as jnp
import numpy as np

import gemel as gm
from benchmarks import exact
from benchmarks.cases import RTOL, Case
from benchmarks.measure import Stages
from benchmarks.ours.common import Row, cube, moving_sources, set_up
from benchmarks.ours.gradient import centre_values, with_conductivities
from benchmarks.ours.transient import history_and_gradient

_STEPS, _STEP = 100, 0.02


def conduction(case: Case, n: int, stages: Stages) -> gm.Transient:
    """The problem on n³ blocks."""
    mesh = cube(case, n, stages)
    with stages("plan"):
        space = gm.FunctionSpace(mesh, case.element)
        heat = gm.Heat(space, 1.0, 1.0, [gm.Dirichlet("boundary", 0.0), *moving_sources()])
        body = jax.block_until_ready(with_conductivities(heat, centre_values(heat)))
    start = space.interpolate(lambda x: exact.scalar(jnp, x))
    solver = gm.CG(gm.Multigrid(), rtol=RTOL, atol=0.0, max_steps=200)
    return gm.Transient(body, start, _STEP, linear_solver=solver, method=gm.BDF2())


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one size: a call assembles once and takes all steps."""
    transient, stages = set_up(conduction, case, n)
    return history_and_gradient(transient, stages, _STEP * np.arange(_STEPS + 1), repeat)
