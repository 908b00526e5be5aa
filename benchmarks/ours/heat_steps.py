"""Heat conduction over 100 time steps of SDIRK2, each stage by conjugate gradients with one multigrid hierarchy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import gemel as gm
from benchmarks import exact
from benchmarks.cases import RTOL, Case
from benchmarks.measure import Stages, timed
from benchmarks.ours.common import Row, cube, peak

_STEPS, _STEP = 100, 0.02


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one size: a call takes all steps, two linear solves each."""
    stages = Stages()
    mesh = cube(case, n, stages)
    with stages("plan"):
        space = gm.FunctionSpace(mesh, case.element)
        source = gm.Profile(lambda x, t: exact.transient_source(jnp, x, t), (gm.Input("time"),))
        conditions = [gm.Dirichlet("boundary", 0.0), gm.HeatSource("all", source)]
        conductivity = gm.Profile(lambda x: exact.conductivity(jnp, x))
        heat = jax.block_until_ready(gm.Heat(space, conductivity, 1.0, conditions))
    start = space.interpolate(lambda x: exact.scalar(jnp, x))
    solver = gm.CG(gm.Multigrid(), rtol=RTOL, atol=0.0, max_steps=200)
    transient = gm.Transient(heat, start, _STEP, linear_solver=solver)
    with stages("preconditioner"):
        state = jax.block_until_ready(transient.prepare())
    times = _STEP * np.arange(_STEPS + 1)
    inputs = {"time": gm.Series(times[[0, -1]], times[[0, -1]], hold=False)}
    call = eqx.filter_jit(lambda transient, state: transient.solve(state, inputs, times, lambda t, u: t))
    solution, marching = timed(lambda: call(transient, state), repeat, jax.block_until_ready)
    memory = peak()
    _, last = solution.checked()
    truth = space.interpolate(lambda x: exact.transient_scalar(jnp, x, times[-1]))
    return {
        **{f"{name}_s": seconds for name, seconds in stages.seconds.items()},
        "unknowns": space.n_dofs,
        "steps": _STEPS,
        "compile_s": marching.compile,
        "forward_s": marching.best,
        "forward_median_s": marching.median,
        "peak_mib": memory,
        "error": float(jnp.linalg.norm(last - truth) / jnp.linalg.norm(truth)),
    }
