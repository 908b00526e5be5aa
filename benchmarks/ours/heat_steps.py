"""Heat conduction over 100 time steps of BDF2, each by conjugate gradients with one multigrid hierarchy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import gemel as gm
from benchmarks import exact
from benchmarks.cases import RTOL, Case
from benchmarks.measure import Stages, timed
from benchmarks.ours.common import Row, assemble, cube, measured, motions, moving_sources, peak, set_up, solve
from gemel.engine.coefficients import drive

_STEPS, _STEP = 100, 0.02


def conduction(case: Case, n: int, stages: Stages) -> gm.Heat:
    """The problem on n³ blocks."""
    mesh = cube(case, n, stages)
    with stages("plan"):
        space = gm.FunctionSpace(mesh, case.element)
        conditions = [gm.Dirichlet("boundary", 0.0), *moving_sources()]
        conductivity = gm.Profile(lambda x: exact.conductivity(jnp, x))
        return jax.block_until_ready(gm.Heat(space, conductivity, 1.0, conditions))


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one size: a call takes all steps; ``warm_s`` is one steady solve with its own hierarchy ready."""
    heat, stages = set_up(conduction, case, n)
    space = heat.problem.space
    assert isinstance(space, gm.FunctionSpace)
    start = space.interpolate(lambda x: exact.scalar(jnp, x))
    solver = gm.CG(gm.Multigrid(), rtol=RTOL, atol=0.0, max_steps=200)
    transient = gm.Transient(heat, start, _STEP, linear_solver=solver, method=gm.BDF2())
    with stages("preconditioner"):
        state = jax.block_until_ready(transient.prepare())
    times = _STEP * np.arange(_STEPS + 1)
    inputs = motions(times)
    call = eqx.filter_jit(lambda transient, state: transient.solve(state, inputs, times, lambda t, u: t))
    solution, marching = timed(lambda: call(transient, state), repeat, jax.block_until_ready)
    memory = peak()
    _, last = solution.checked()
    operator, b = assemble(drive(heat.problem, {"swing": 1.0, "rate": 0.0}))
    steady = solver.init(operator)
    _, warm = timed(lambda: solve(operator, b, solver, steady), max(repeat, 5), jax.block_until_ready)
    truth = space.interpolate(lambda x: exact.transient_scalar(jnp, x, times[-1]))
    return {
        **measured(stages, marching),
        "unknowns": space.n_dofs,
        "steps": _STEPS,
        "iterations": int(solution.statistics["linear_steps"]),
        "forward_s": marching.best,
        "forward_median_s": marching.median,
        "warm_s": warm.best,
        "peak_mib": memory,
        "error": float(jnp.linalg.norm(last["u"] - truth) / jnp.linalg.norm(truth)),
    }
