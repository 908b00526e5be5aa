"""Steady heat conduction for 64 sets of conductivities in one call of `jax.vmap`, with one multigrid hierarchy.

Scenario i has the conductivities of the exact problem times cᵢ between ½ and 2 and the same source: its solution is the
exact one over cᵢ.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

import gemel as gm
from benchmarks import exact
from benchmarks.cases import RTOL, SCENARIOS, Case
from benchmarks.measure import timed
from benchmarks.ours.common import Row, measured, peak, relative_error, set_up
from benchmarks.ours.gradient import centre_values, with_conductivities
from benchmarks.ours.poisson import conduction


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of one size: a call assembles and solves all scenarios; ``one_s`` is one scenario alone."""
    heat, stages = set_up(conduction, case, n)
    at = centre_values(heat)
    steady = gm.Steady(with_conductivities(heat, at), rtol=RTOL)
    with stages("preconditioner"):
        state = jax.block_until_ready(steady.prepare())

    def field(values: jax.Array, steady: gm.Steady, state: Any) -> gm.Solution:
        return eqx.tree_at(lambda s: s.physics, steady, with_conductivities(steady.physics, values)).solve(state)

    factors = jnp.linspace(0.5, 2.0, SCENARIOS)
    one = eqx.filter_jit(field)
    batch = eqx.filter_jit(lambda values, steady, state: jax.vmap(lambda v: field(v, steady, state))(values))
    _, single = timed(lambda: one(at, steady, state), repeat, jax.block_until_ready)
    solution, many = timed(lambda: batch(factors[:, None] * at, steady, state), repeat, jax.block_until_ready)
    memory = peak()
    fields = solution.checked()
    space = heat.problem.space
    errors = [
        relative_error(space, fields[i], lambda x, c=factors[i]: exact.scalar(jnp, x) / c) for i in (0, SCENARIOS - 1)
    ]
    return {
        **measured(stages, many),
        "unknowns": space.n_dofs,
        "scenarios": SCENARIOS,
        "iterations": int(jnp.max(solution.statistics["steps"])),
        "forward_s": many.best,
        "forward_median_s": many.median,
        "one_s": single.best,
        "peak_mib": memory,
        "error": max(errors),
    }
