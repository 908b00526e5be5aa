"""Fits from many starting points, for misfits with several minima: in one batch where that pays.

A batch goes on until its slowest fit has ended, with all the others in tow, and is a program of its own. A GPU is
hardly busier with it than with one fit; a CPU is, and takes one after the other.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.fit import DEFAULT_SOLVER
from gemel.engine.calibration.problem import CalibrationProblem, residual
from gemel.solvers.least_squares import FitState, LeastSquaresSolver
from gemel.solvers.placing import short_loops_pay


@dataclass(frozen=True)
class Starts:
    """Where the fits ended: their points ``(n, p)`` and misfits ``(n,)``, NaN where one failed, and the best state."""

    z: np.ndarray
    costs: np.ndarray
    best: FitState

    def minima(self, tolerance: float = 1.0) -> int:
        """How many of the fits ended at a misfit within ``tolerance`` of the least: one where it was found by luck."""
        finite = self.costs[np.isfinite(self.costs)]
        return int(np.sum(finite <= finite.min() + tolerance))


def multistart(
    problem: CalibrationProblem,
    count: int = 16,
    seed: int = 0,
    solver: LeastSquaresSolver = DEFAULT_SOLVER,
    spread: float = 1.0,
) -> Starts:
    """Fit from the mean of the belief and from ``count - 1`` points drawn from it; on a GPU all at once by ``vmap``.

    Pass ``best`` to `calibrate` as ``state`` for the posterior there.

    Args:
        problem: what to fit.
        count: how many fits.
        seed: of the draws.
        solver: of each fit.
        spread: how much wider than the belief to draw.

    Raises:
        ValueError: for no fits, or where all of them fail.
    """
    if count < 1:
        raise ValueError(f"A multi-start needs at least one fit, not {count}.")
    belief = problem.belief
    factor = jnp.linalg.cholesky(belief.covariance)
    draws = jax.random.normal(jax.random.key(seed), (count - 1, len(belief.mean)))
    z = jnp.concatenate([belief.mean[None], belief.mean + spread * draws @ factor.T])
    states = _in_turn(solver, z, problem) if short_loops_pay() else _together(solver, z, problem)
    costs = np.where(np.isfinite(np.asarray(states.cost)), np.asarray(states.cost), np.nan)
    if np.isnan(costs).all():
        raise ValueError(f"None of {count} starting points of '{problem.twin.name}' can be run: narrow the priors.")
    best = jax.tree.map(lambda leaf: leaf[int(np.nanargmin(costs))], states)
    return Starts(np.asarray(states.z), costs, best)


def _in_turn(solver: LeastSquaresSolver, z: Float[Array, "n p"], problem: CalibrationProblem) -> FitState:
    """The ends of all fits, side by side, one fit after the other: the programs are those of `calibrate`."""
    ends = [solver.end(residual, solver.init(residual, start, problem), problem) for start in z]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *ends)


def _together(solver: LeastSquaresSolver, z: Float[Array, "n p"], problem: CalibrationProblem) -> FitState:
    """The same in one batch."""
    states = _begin(solver, z, problem)
    while not bool(jnp.all(states.finished)):
        states = _advance(solver, states, problem)
    return states


@eqx.filter_jit
def _begin(solver: LeastSquaresSolver, z: Float[Array, "n p"], problem: Any) -> Any:
    return jax.vmap(lambda start: solver.init(residual, start, problem))(z)


@eqx.filter_jit
def _advance(solver: LeastSquaresSolver, states: Any, problem: Any) -> Any:
    def one(state: FitState) -> FitState:
        moved = solver.step(residual, state, problem)
        return jax.tree.map(lambda old, new: jnp.where(state.finished, old, new), state, moved)

    return jax.vmap(one)(states)
