r"""Heat conduction over 200 time steps, and the gradient of $\sum_n \bar u(t_n)^2$ in all cells' conductivities."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import gemel as gm
from benchmarks import exact
from benchmarks.cases import RTOL, STEP, STEPS, Case
from benchmarks.measure import Stages, timed
from benchmarks.ours.common import Row, forward_and_gradient, measured, motions, moving_sources, peak, set_up
from benchmarks.ours.gradient import centre_values, directional, with_conductivities


def cooling(case: Case, n: int, stages: Stages) -> gm.Transient:
    """The problem on n³ blocks."""
    with stages("mesh"):
        mesh = gm.box(n, n, n, cell=case.cell)
    with stages("plan"):
        space = gm.FunctionSpace(mesh, case.element)
        conditions = [gm.Dirichlet("boundary", 0.0), *moving_sources()]
        heat = gm.Heat(space, 1.0, 1.0, conditions)
        body = jax.block_until_ready(with_conductivities(heat, centre_values(heat)))
    return gm.Transient(body, space.interpolate(lambda x: exact.scalar(jnp, x)), STEP, rtol=RTOL)


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one size: a call assembles once and takes all steps."""
    transient, stages = set_up(cooling, case, n)
    return history_and_gradient(transient, stages, STEP * np.arange(STEPS + 1), repeat)


def history_and_gradient(transient: gm.Transient, stages: Stages, times: np.ndarray, repeat: int) -> Row:
    """The row of a march with a conductivity for each cell, and of its gradient."""
    space = transient.physics.problem.space
    assert isinstance(space, gm.FunctionSpace)
    at = centre_values(transient.physics)
    with stages("preconditioner"):
        state = jax.block_until_ready(transient.prepare())
    inputs = motions(times)
    weights = jax.grad(lambda u: gm.integrate(space, lambda u, p: u.value, u))(space.zeros())

    def history(values: jax.Array, transient: gm.Transient, state: Any, keep: Any) -> gm.Solution:
        moved = eqx.tree_at(lambda t: t.physics, transient, with_conductivities(transient.physics, values))
        return moved.solve(state, inputs, times, keep)

    def functional(values: jax.Array, transient: gm.Transient, state: Any) -> tuple[jax.Array, gm.Solution]:
        solution = history(values, transient, state, lambda t, u: weights @ u)
        readings, _ = solution.value
        return jnp.sum(readings**2), solution

    forward = eqx.filter_jit(functional)
    backward = eqx.filter_jit(eqx.filter_value_and_grad(functional, has_aux=True))
    (_, solution), forward_time = timed(lambda: forward(at, transient, state), repeat, jax.block_until_ready)
    (_, slope), gradient_time = timed(lambda: backward(at, transient, state), repeat, jax.block_until_ready)
    memory = peak()
    _, last = solution.checked()
    last = last["u"] if isinstance(transient.method, gm.BDF2) else last
    truth = space.interpolate(lambda x: exact.transient_scalar(jnp, x, times[-1]))
    return {
        **measured(stages, forward_time, gradient_time),
        "unknowns": space.n_dofs,
        "parameters": at.size,
        "steps": len(times) - 1,
        "iterations": int(solution.statistics["linear_steps"]),
        **forward_and_gradient(forward_time, gradient_time),
        "peak_mib": memory,
        "error": float(jnp.linalg.norm(last - truth) / jnp.linalg.norm(truth)),
        **directional(lambda k: forward(k, transient, state)[0], slope, at),
    }
