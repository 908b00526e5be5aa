r"""Profiles: the misfit along one parameter, all others fitted again at each of its values.

$$ \Delta(v) = 2\,\bigl(\min_{z:\, z_k = v} \Phi(z) - \Phi(z_{fit})\bigr) $$

is at most 3.84 in 95 % of repetitions at the true value where the data are many (Wilks), whatever the shape of $\Phi$:
intervals from profiles hold where those from a covariance do not. The prior counts as a datum: far enough out it ends
every interval, so that for each end it is kept how much of $\Delta$ is the data's. A profile whose data part stays flat
shows a parameter that nothing determines.
Source: Raue et al., *Structural and practical identifiability*, Bioinformatics 25, 2009.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.fit import DEFAULT_SOLVER, NEGLIGIBLE, Fit
from gemel.engine.calibration.problem import CalibrationProblem, cheaper_mode, data_residual, misfit, prior_residual
from gemel.engine.priors import QUANTILE_95
from gemel.names import listed
from gemel.solvers.least_squares import LeastSquaresSolver
from gemel.solvers.linearising import Regularised
from gemel.solvers.solution import Code

LIMIT_95 = 3.841458820694124
"""The 95 % quantile of a χ² variable with one degree of freedom."""

_FURTHER = (4 / 3, 2.0, 3.0, 4.0)
"""Where an end is looked for that was not found within the width, in widths."""


_OFF = 0.1
"""An end further from that of the normal posterior than by this share is looked at once more: there its curve bends."""


@dataclass(frozen=True)
class LikelihoodProfile:
    """The profile of one parameter.

    Attributes:
        name: of the parameter.
        values: in SI units, in increasing order of the standardised coordinate, that of the fit among them.
        excess: $\\Delta$ there.
        interval: where it is at most 3.84; an end is None where it never gets there, as far as ``deviations`` reach.
        deviations: how far the values are from the fit in standard deviations $s$ of its posterior; where that is
            normal, the excess is their square.
        ends: those of the interval, likewise in $s$.
        data: the part of the excess that is the data's and not the prior's.
        shares: how much of the excess at each end is the data's, from 0 to 1.
        failed: whether the search to either side ended where the model cannot be run.
        unconverged: at how many values the fit of the others met no tolerance: there the excess may be less.
    """

    name: str
    values: np.ndarray
    excess: np.ndarray
    interval: tuple[float | None, float | None]
    deviations: np.ndarray
    ends: tuple[float | None, float | None]
    data: np.ndarray
    shares: tuple[float | None, float | None]
    failed: tuple[bool, bool] = (False, False)
    unconverged: int = 0

    @property
    def gain(self) -> float:
        """By how much the misfit is less at one of the values than at the fit; 0 where it is nowhere, by more than
        what a converged fit may leave.
        """
        gain = -0.5 * float(np.min(self.excess))
        return gain if gain > NEGLIGIBLE else 0.0

    def agrees_with_laplace(self, tolerance: float = 0.25) -> bool:
        """Whether both ends are those of the fit's normal posterior, within a share of half its interval."""
        return all(end is not None and abs(abs(end) / QUANTILE_95 - 1.0) <= tolerance for end in self.ends)


def profile_likelihood(
    problem: CalibrationProblem,
    fit: Fit,
    name: str,
    points: int = 6,
    width: float = 3.0,
    solver: LeastSquaresSolver = DEFAULT_SOLVER,
    on_point: Callable[[float], None] | None = None,
) -> LikelihoodProfile:
    """The profile of a parameter around a fit.

    Args:
        problem: what was fitted; its twin has the belief before the data.
        fit: where its misfit is least.
        name: of the parameter; of an experiment's own one ``name[experiment]``.
        points: how many values to either side.
        width: how far to go, in standard deviations of the fit's posterior. A side on which the excess stays below 3.84
            is followed up to four times as far in wider steps.
        solver: fits the other parameters again, from where they were at the neighbouring value, moved as the posterior
            says that they hang together.
        on_point: called with each deviation at which they were fitted.

    Raises:
        ValueError: for a name that the twin does not have, a parameter of several numbers, or no points.
    """
    check_profiled(problem, name)
    if name not in fit.belief.names:
        raise ValueError(f"Unknown parameter '{name}': the fit has {listed(name, fit.belief.names)}")
    if points < 1 or not width > 0:
        raise ValueError(f"A profile needs points to either side and a positive width, not {points} and {width}.")
    along = _Along.of(problem, fit, name, solver)
    (below, fails_below), (above, fails_above) = (_side(along, sign, points, width, on_point) for sign in (-1.0, 1.0))
    deviations, excess, data, converged = map(np.asarray, zip(*reversed(below), *above[1:], strict=True))
    (low, low_share), (high, high_share) = _crossing(below), _crossing(above)
    return LikelihoodProfile(
        name,
        np.asarray([along.value(one) for one in deviations]),
        excess,
        (along.value(low), along.value(high)),
        deviations,
        (low, high),
        data,
        (low_share, high_share),
        (fails_below, fails_above),
        int(np.sum(~converged)),
    )


def check_profiled(problem: CalibrationProblem, name: str) -> None:
    """Raise `ValueError` for a name that a problem does not have, or that of a parameter of several numbers."""
    belief = problem.belief
    scalars = belief.scalars().names
    if name in scalars:
        return
    known = f"the twin has {listed(name, scalars, 'none of one number')}"
    if name in belief.names:
        size = next(parameter.size for parameter in belief.parameters if parameter.name == name)
        raise ValueError(f"A profile is along one number, and '{name}' is {size}: {known}")
    raise ValueError(f"Unknown parameter '{name}': {known}")


class _Point(NamedTuple):
    """A value in standard deviations from the fit, the excess there, the part of it that is the data's, and whether the
    fit of the others met a tolerance.
    """

    deviation: float
    excess: float
    data: float
    converged: bool = True


class _Along(NamedTuple):
    """A coordinate ``k`` of a problem that is followed from its fit on; ``slope`` is how the others go with it."""

    problem: CalibrationProblem
    solver: LeastSquaresSolver
    prior: Any
    k: int
    mean: Array
    spread: float
    slope: Array
    least: tuple[float, float]

    @staticmethod
    def of(problem: CalibrationProblem, fit: Fit, name: str, solver: LeastSquaresSolver) -> "_Along":
        belief = fit.belief
        k = belief.labels.index(name)
        prior = belief.parameters[belief.names.index(name)].prior
        column = jnp.delete(belief.covariance[:, k], k)
        spread, mean = jnp.sqrt(belief.covariance[k, k]), belief.mean
        least = float(_misfit(mean, problem)), float(_prior(mean, problem))
        return _Along(problem, solver, prior, k, mean, float(spread), column / spread, least)

    def value(self, deviation: float | None) -> Any:
        """The parameter in SI units; None stays None."""
        return None if deviation is None else float(self.prior.value(self.mean[self.k] + deviation * self.spread))

    def at(self, deviation: float, rest: Array) -> tuple[_Point, Array]:
        """The least misfit with the coordinate held, from ``rest`` on, and where the others are then."""
        held, converged = self.mean[self.k] + deviation * self.spread, True
        args = (self.problem, jnp.asarray(self.k), held)
        if len(rest):
            solution = self.solver.solve(_held, rest, args)
            rest, converged = solution.value, solution.status.worst() in (Code.SUCCESS, Code.STAGNATION)
            cost = float(solution.statistics["cost"])
        else:
            cost = float(_misfit(held[None], self.problem))
        excess = 2.0 * (cost - self.least[0])
        data = excess - 2.0 * (float(_prior(_whole(rest, args)[0], self.problem)) - self.least[1])
        return _Point(deviation, excess, data, converged), rest


def _side(
    along: _Along, sign: float, points: int, width: float, on_point: Callable[[float], None] | None
) -> tuple[list[_Point], bool]:
    """The points from the fit to one side, up to the width, and from there on until the limit is passed; and whether
    the model cannot be run further on.
    """
    found, rests = [_Point(0.0, 0.0, 0.0)], [jnp.delete(along.mean, along.k)]

    def look(distance: float, after: int) -> bool:
        """Fit the others at a distance, from where they were at a point before; false where the model cannot be run."""
        start = rests[after] + along.slope * (sign * distance - found[after].deviation)
        point, rest = along.at(sign * distance, start)
        if on_point:
            on_point(point.deviation)
        if not np.isfinite(point.excess):
            return False
        found.insert(after + 1, point)
        rests.insert(after + 1, rest)
        return True

    near = [width * step / points for step in range(1, points + 1)]
    for distance in (*near, *(width * factor for factor in _FURTHER)):
        crossed = any(point.excess > LIMIT_95 for point in found)
        if crossed and distance > near[-1]:
            break
        if not look(distance, len(found) - 1):
            return found, not crossed
    end, _ = _crossing(found)
    if end is not None and abs(abs(end) / QUANTILE_95 - 1.0) > _OFF:
        before = sum(abs(point.deviation) < abs(end) for point in found) - 1
        look(abs(end), before)
    return found, False


@eqx.filter_jit
def _prior(z: Float[Array, " p"], problem: CalibrationProblem) -> Array:
    return 0.5 * jnp.sum(prior_residual(z, problem) ** 2)


_misfit = eqx.filter_jit(misfit)


def _whole(rest: Array, args: tuple[CalibrationProblem, Array, Array]) -> tuple[Array, CalibrationProblem]:
    """All coordinates, with number ``k`` at a value, and the problem."""
    problem, k, at = args
    if not len(rest):
        return at[None], problem
    places = jnp.arange(len(rest) + 1)
    return jnp.where(places == k, at, rest[jnp.minimum(places - (places > k), len(rest) - 1)]), problem


def _held_data(rest: Array, args: tuple[CalibrationProblem, Array, Array]) -> Array:
    return data_residual(*_whole(rest, args))


def _held_prior(rest: Array, args: tuple[CalibrationProblem, Array, Array]) -> Array:
    return prior_residual(*_whole(rest, args))


_held = Regularised(_held_data, _held_prior, mode=lambda args: cheaper_mode(args[0]))
"""The residual with coordinate ``k`` at a value."""


def _crossing(points: list[_Point]) -> tuple[float | None, float | None]:
    """Where a curve that starts at zero first exceeds the limit, linear in its root, and the share of it there that is
    the data's; None where it does not.
    """
    above = [j for j, point in enumerate(points) if point.excess > LIMIT_95]
    if not above:
        return None, None
    one, two = points[above[0] - 1], points[above[0]]
    low, high = np.sqrt(max(one.excess, 0.0)), np.sqrt(two.excess)
    part = float((np.sqrt(LIMIT_95) - low) / (high - low))
    share = (one.data + part * (two.data - one.data)) / (one.excess + part * (two.excess - one.excess))
    return one.deviation + part * (two.deviation - one.deviation), float(np.clip(share, 0.0, 1.0))
