r"""The gradient of $\int u^2$ in the conductivities of all cells, beside the forward solve."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import gemel as gm
from benchmarks import exact
from benchmarks.cases import RTOL, Case
from benchmarks.measure import timed
from benchmarks.ours.common import Row, forward_and_gradient, measured, peak, relative_error, set_up
from benchmarks.ours.poisson import conduction
from gemel.engine.coefficients import PerCell


def with_conductivities(heat: gm.Physics, values: jax.Array) -> gm.Physics:
    """The same problem with one conductivity for each cell."""
    return eqx.tree_at(lambda h: h.problem.contributions[0].form.coefficient, heat, PerCell(values))


def centre_values(heat: gm.Physics) -> jax.Array:
    """The conductivity at the middle of each cell."""
    mesh = heat.problem.space.mesh
    centres = np.asarray(mesh.points)[np.asarray(mesh.cells)].mean(axis=1)
    return jnp.asarray(exact.conductivity(np, centres.T))


def directional(functional: Any, gradient: jax.Array, at: jax.Array) -> Row:
    """The gradient along a random direction, and its relative difference from central differences."""
    direction = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, at.shape))
    step = 1e-3
    slope = (functional(at + step * direction) - functional(at - step * direction)) / (2 * step)
    along = gradient @ direction
    return {"slope": float(along), "gradient_error": float(abs(along - slope) / abs(slope))}


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one size: each call assembles, solves, and integrates the functional."""
    heat, stages = set_up(conduction, case, n)
    at = centre_values(heat)
    space = heat.problem.space
    steady = gm.Steady(with_conductivities(heat, at), rtol=RTOL)
    with stages("preconditioner"):
        state = jax.block_until_ready(steady.prepare())

    def functional(values: jax.Array, steady: gm.Steady, state: Any) -> tuple[jax.Array, gm.Solution]:
        moved = eqx.tree_at(lambda s: s.physics, steady, with_conductivities(steady.physics, values))
        solution = moved.solve(state)
        return gm.integrate(space, lambda u, p: u.value**2, solution.value), solution

    forward = eqx.filter_jit(functional)
    backward = eqx.filter_jit(eqx.filter_value_and_grad(functional, has_aux=True))
    (value, solution), forward_time = timed(lambda: forward(at, steady, state), repeat, jax.block_until_ready)
    (_, slope), gradient_time = timed(lambda: backward(at, steady, state), repeat, jax.block_until_ready)
    u = solution.checked()
    return {
        **measured(stages, forward_time, gradient_time),
        "unknowns": space.n_dofs,
        "parameters": at.size,
        "iterations": int(solution.statistics["steps"]),
        **forward_and_gradient(forward_time, gradient_time),
        "peak_mib": peak(),
        "error": relative_error(space, u, lambda x: exact.scalar(jnp, x)),
        "functional": float(value),
        **directional(lambda k: forward(k, steady, state)[0], slope, at),
    }
