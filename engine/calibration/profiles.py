r"""Profiles: the misfit along one parameter, all others fitted again at each of its values.

$$ \Delta(v) = 2\,\bigl(\min_{z:\, z_k = v} \Phi(z) - \min_z \Phi(z)\bigr) $$

is at most 3.84 in 95 % of repetitions at the true value where the data are many (Wilks), whatever the shape of $\Phi$:
intervals from profiles hold where those from a covariance do not, and a profile that stays flat shows a parameter
that nothing determines. The prior counts as a datum.
Source: Raue et al., *Structural and practical identifiability*, Bioinformatics 25, 2009.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine.calibration.fit import DEFAULT_SOLVER, Fit
from gemel.engine.calibration.problem import CalibrationProblem, cheaper_mode, data_residual, misfit, prior_residual
from gemel.solvers.least_squares import LeastSquaresSolver
from gemel.solvers.linearising import Regularised

LIMIT_95 = 3.841458820694124
"""The 95 % quantile of a χ² variable with one degree of freedom."""


@dataclass(frozen=True)
class LikelihoodProfile:
    """The profile of one parameter: values in SI units in increasing order of the standardised coordinate, and
    ``excess`` $\\Delta$ there; ``interval`` is where it is at most 3.84, an end None where it never gets there.
    """

    name: str
    values: np.ndarray
    excess: np.ndarray
    interval: tuple[float | None, float | None]


def profile_likelihood(
    problem: CalibrationProblem,
    fit: Fit,
    name: str,
    points: int = 6,
    width: float = 3.0,
    solver: LeastSquaresSolver = DEFAULT_SOLVER,
) -> LikelihoodProfile:
    """The profile of a parameter around a fit.

    Args:
        problem: what was fitted; its twin has the belief before the data.
        fit: where its misfit is least.
        name: of the parameter; of an experiment's own one ``name[experiment]``.
        points: how many values to either side.
        width: how far to go, in standard deviations of the fit's posterior.
        solver: fits the other parameters again, from where they were at the neighbouring value.

    Raises:
        ValueError: for a name that the twin does not have, or no points.
    """
    belief = fit.belief
    names = belief.scalars().names
    if name not in names:
        raise ValueError(f"Unknown parameter '{name}': the twin has {', '.join(names)}.")
    if points < 1 or not width > 0:
        raise ValueError(f"A profile needs points to either side and a positive width, not {points} and {width}.")
    k = belief.labels.index(name)
    spread, least = float(jnp.sqrt(belief.covariance[k, k])), float(_misfit(belief.mean, problem))
    sides = []
    for sign in (-1.0, 1.0):
        rest, side = jnp.delete(belief.mean, k), []
        for step in range(1, points + 1):
            at = belief.mean[k] + sign * spread * width * step / points
            cost, rest = _least_beside(problem, solver, k, at, rest)
            side.append((float(at), 2.0 * (cost - least)))
        sides.append(side)
    pairs = [*reversed(sides[0]), (float(belief.mean[k]), 0.0), *sides[1]]
    z, excess = (np.asarray(column) for column in zip(*pairs, strict=True))
    prior = belief.parameters[belief.names.index(name)].prior
    values = np.asarray([float(prior.value(jnp.asarray(v))) for v in z])
    ends = (_crossing(z[points::-1], excess[points::-1]), _crossing(z[points:], excess[points:]))
    low, high = (None if end is None else float(prior.value(jnp.asarray(end))) for end in ends)
    return LikelihoodProfile(name, values, excess, (low, high))


def _least_beside(
    problem: CalibrationProblem, solver: LeastSquaresSolver, k: int, at: Array, rest: Array
) -> tuple[float, Array]:
    """The least misfit with one coordinate held, and where the others are then."""
    if not len(rest):
        return float(_misfit(jnp.asarray(at)[None], problem)), rest
    solution = solver.solve(_held, rest, (problem, k, at))
    return float(solution.statistics["cost"]), solution.value


_misfit = eqx.filter_jit(misfit)


def _whole(rest: Array, args: tuple[CalibrationProblem, int, Any]) -> tuple[Array, CalibrationProblem]:
    """All coordinates, with number ``k`` at a value, and the problem."""
    problem, k, at = args
    return jnp.concatenate([rest[:k], jnp.asarray(at)[None], rest[k:]]), problem


def _held_data(rest: Array, args: tuple[CalibrationProblem, int, Any]) -> Array:
    return data_residual(*_whole(rest, args))


def _held_prior(rest: Array, args: tuple[CalibrationProblem, int, Any]) -> Array:
    return prior_residual(*_whole(rest, args))


_held = Regularised(_held_data, _held_prior, mode=lambda args: cheaper_mode(args[0]))
"""The residual with coordinate ``k`` at a value."""


def _crossing(z: np.ndarray, excess: np.ndarray) -> float | None:
    """Where a curve that starts at zero first exceeds the limit, linear in its root; None where it does not."""
    above = np.flatnonzero(excess > LIMIT_95)
    if not len(above):
        return None
    j = int(above[0])
    low, high = np.sqrt(max(excess[j - 1], 0.0)), np.sqrt(excess[j])
    return float(z[j - 1] + (np.sqrt(LIMIT_95) - low) / (high - low) * (z[j] - z[j - 1]))
