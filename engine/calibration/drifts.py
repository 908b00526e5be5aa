r"""Which sensors seem to drift, or to have been moved: what a fit leaves of them runs away, of others it does not.

With rows $r$ of the data at the minimum, their Jacobian $J$ and the posterior covariance $C$, the residuals have the
covariance $M = I - J C J^\top$ where the noise is as it is taken for. A drift adds a multiple of a column $d$ to the
rows of one sensor, of which the fit takes some up; Rao's score $d^\top r / \sqrt{d^\top M d}$ of it is standard normal
without one, and $-d^\top r / d^\top M d$ is how large a fit would find it, to first order. `gemel.engine.trends` holds
that against the slow variation of what is left, in the metric $M$; what follows an offset, the sensor's own course (a
gain, a model whose errors grow with the level) or an input is none. The strongest is taken first, and the others are
looked for beside it, as the fit spreads the drift of one sensor over all.
Source: Rao, *Large sample tests of statistical hypotheses ...*, Proc. Camb. Phil. Soc. 44, 1948.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.problem import CalibrationProblem, Experiment
from gemel.engine.datareport import duration, unit_of_time
from gemel.engine.losses import Gaussian, Loss
from gemel.engine.noise import Noise, whitened
from gemel.engine.parameters import Multiple, Parameter, bind
from gemel.engine.sensors import LaggedSensor
from gemel.engine.trends import FEWEST, SLOW, Candidate, candidates_over, cosines_over, strengths
from gemel.engine.twin import Twin
from gemel.engine.units import difference_from_si, difference_in_words, difference_unit, written


@dataclass(frozen=True)
class Drift:
    """What a fit leaves of a sensor, or of all pixels of an image, runs away.

    Attributes:
        sensor: which.
        experiment: in which, "" for a single record.
        unit: the one that the sensor is shown in.
        change: over the fitted part of the record, or at the step, in SI units.
        span: how long that part is, in s.
        step: when the step is, in s; None for a trend.
        alone: whether this happens to at most half of the sensors; of more, it may as well be the model that strays.
    """

    sensor: str
    experiment: str
    unit: str
    change: float
    span: float
    step: float | None
    alone: bool = True

    @property
    def course(self) -> str:
        """What is left of the sensor, in words."""
        name = f"{self.sensor} ({self.experiment})" if self.experiment else self.sensor
        amount = difference_in_words(self.change, self.unit, "+.3g")
        if self.step is not None:
            return f"{name} steps by {amount} at {duration(self.step)}"
        each, seconds = unit_of_time(self.span, 2.0)
        pace = difference_from_si(self.change, self.unit) * seconds / self.span
        rate = f"{pace:+.3g} {written(difference_unit(self.unit)) or '1'}/{each}"
        return f"{name} trends by {amount} over the fitted {duration(self.span)} ({rate})"


def drift_words(drifts: Sequence[Drift]) -> list[str]:
    """A sentence for each sensor that is suspected, with what to try, and one for all others together."""
    found = []
    for drift in drifts:
        if drift.alone and drift.step is None:
            found.append(
                f"What is left of {drift.course}: a sensor that drifts would explain it; give it 'drift', a parameter, "
                "to let the fit find it."
            )
        elif drift.alone:
            found.append(
                f"What is left of {drift.course}: a sensor that was moved or adjusted would explain it; fit what came "
                "before and after as two experiments with its offset among their 'own' parameters."
            )
    unclear = [drift.course for drift in drifts if not drift.alone]
    if unclear:
        found.append(
            f"In what the fit leaves, {' and '.join(unclear)}: the model or the sensor is wrong, which more sensors "
            "would tell."
        )
    return found


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of one sensor, or of an image, in one experiment.

    Attributes:
        sensor, experiment: whose.
        candidates: the courses that what is left may follow.
        least: the change that matters, in SI units.
        gram, right: of columns as `strengths` has them, as if nothing had been fitted.
        slopes: ``(p, m)`` the products of the Jacobian and the columns.
        fixed: how many columns come before the cosines.
        span: the time from the first row to the last, in s.
    """

    sensor: str
    experiment: str
    candidates: list[Candidate]
    least: float
    gram: np.ndarray
    right: np.ndarray
    slopes: np.ndarray
    fixed: int
    span: float


@dataclass(frozen=True)
class _Found:
    """A candidate of a sensor: how strong it is in units of its limit, and how large in SI units."""

    rows: _Rows
    place: int
    excess: float
    change: float


def find_drifts(
    problem: CalibrationProblem,
    z: Float[Array, " p"],
    residual: Float[Array, " m"],
    jacobian: Float[Array, "m p"],
    covariance: Float[Array, "p p"],
) -> tuple[Drift, ...]:
    """The sensors of which the residuals run away, the strongest first.

    Args:
        problem: what was fitted.
        z: where the fit ended.
        residual: all rows there, the prior's last.
        jacobian: their derivative.
        covariance: of the posterior.
    """
    values, slopes, spread = (np.asarray(each) for each in (residual, jacobian, covariance))
    rows, first = [], 0
    for name, experiment in problem.experiments.items():
        count = 1 if experiment.times is None else len(experiment.times)
        sizes = [count * (3 if sensor in problem.floors else 1) for sensor in experiment.names]
        starts = (first + np.cumsum([0, *sizes])).tolist()
        first = starts[-1]
        if experiment.times is not None:
            parts = {sensor: slice(at, at + count) for sensor, at in zip(experiment.names, starts, strict=False)}
            own = problem.twin.belief.values(z[np.asarray(experiment.places)])
            rows += [
                _rows_of(label, name, problem, own, {one: (values[parts[one]], slopes[parts[one]]) for one in members})
                for label, members in problem.twin.grouped(experiment.names).items()
                if _is_told(problem, experiment, members)
            ]
    return _told(_taken(rows, spread, spread @ (slopes.T @ values)), problem.twin)


def _is_told(problem: CalibrationProblem, experiment: Experiment, members: Sequence[str]) -> bool:
    """Whether a sensor is one that can drift, with enough samples."""
    seen = _seen(experiment, members)
    return isinstance(problem.twin.sensor(members[0]), LaggedSensor) and int(seen.sum()) >= FEWEST


def _seen(experiment: Experiment, members: Sequence[str]) -> np.ndarray:
    """``(n,)`` at which times a sensor, or a pixel of an image, was read."""
    columns = [experiment.names.index(member) for member in members]
    return np.any(np.asarray(experiment.shares)[:, columns] > 0, axis=1)


def _rows_of(
    label: str,
    name: str,
    problem: CalibrationProblem,
    values: Mapping[str, Any],
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> _Rows:
    """Those of one sensor, or of the pixels of an image, with ``parts`` of the residual and its derivative by name."""
    experiment, seen = problem.experiments[name], _seen(problem.experiments[name], list(parts))
    times = np.asarray(experiment.times)[seen]
    sensor: Any = problem.twin.sensor(next(iter(parts)))
    candidates = candidates_over(times)
    if isinstance(sensor.drift, Parameter | Multiple):
        candidates = candidates[1:]
    inputs = [np.asarray(series.at(times)) for series in experiment.inputs.values()]
    slow = [*cosines_over(times).T, *(one.column for one in candidates)]
    gram, right, slopes = 0.0, 0.0, 0.0
    for member, (residual, slope) in parts.items():
        place = experiment.names.index(member)
        weights = np.asarray(experiment.shares)[seen, place]
        noise: Noise = bind(problem.twin.sensor(member).noise, values)
        error, counts = _unshaped(residual[seen], weights, problem.loss)
        course = np.asarray(experiment.data)[seen, place]
        if noise.error is None:
            course = course + float(noise.std) * error
        columns = np.stack([np.ones(len(times)), course, *inputs, *slow])
        white = _whitened(noise, times, columns, weights) * counts
        gram = gram + white @ white.T
        right = right + white @ residual[seen]
        slopes = slopes + slope[seen].T @ white.T
    least = float(bind(sensor.noise, values).spread)
    table, products, changes = (np.asarray(part) for part in (gram, right, slopes))
    span = float(times[-1] - times[0])
    return _Rows(label, name, candidates, least, table, products, changes, 2 + len(inputs), span)


def _unshaped(rows: np.ndarray, weights: np.ndarray, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
    """Innovations in units of their standard deviations from rows of a loss, and how much of each the loss counts."""
    shaped = np.divide(rows, np.sqrt(weights), out=np.zeros_like(rows), where=weights > 0)
    if isinstance(loss, Gaussian):
        return shaped, np.ones_like(shaped)
    grid = jnp.concatenate([jnp.linspace(0.0, 20.0, 4001), jnp.geomspace(20.1, 1e6, 2000)])
    sizes = np.interp(np.abs(shaped), loss.shaped(grid), grid)
    return np.sign(shaped) * sizes, np.asarray(jax.vmap(jax.grad(loss.shaped))(jnp.asarray(sizes)))


def _whitened(
    noise: Noise, times: np.ndarray, columns: Float[np.ndarray, "c n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "c n"]:
    """Courses of a reading as rows of the data are."""
    if noise.error is None:
        return columns * np.sqrt(weights) / float(noise.std)
    numbers = jax.tree.map(jnp.asarray, noise)
    return np.sqrt(weights) * np.asarray(_innovations(numbers, times, columns, weights > 0))


@eqx.filter_jit
def _innovations(noise: Noise, times: Any, columns: Any, known: Any) -> Array:
    return jax.vmap(lambda column: whitened(noise, times, column, known))(jnp.asarray(columns))


def _taken(rows: Sequence[_Rows], spread: np.ndarray, ahead: np.ndarray) -> tuple[list[_Found], int]:
    """What was found, one after the other, and of how many sensors it might have been.

    ``ahead`` is one more step, which a fit at its limit has not made.
    """
    found: list[_Found] = []
    while True:
        left = [one for one in rows if all(one is not other.rows for other in found)]
        best = max((_strongest(one, found, spread, ahead) for one in left), key=lambda one: one.excess, default=None)
        if best is None or best.excess < 1.0:
            return found, len({one.sensor for one in rows})
        found.append(best)


def _told(taken: tuple[list[_Found], int], twin: Twin) -> tuple[Drift, ...]:
    found, several = taken
    alone = 2 * len({one.rows.sensor for one in found}) <= several
    return tuple(
        Drift(rows.sensor, rows.experiment, twin.sensor(rows.sensor).unit, one.change, rows.span, candidate.step, alone)
        for one in found
        for rows, candidate in [(one.rows, one.rows.candidates[one.place])]
    )


def _strongest(rows: _Rows, found: Sequence[_Found], spread: np.ndarray, ahead: np.ndarray) -> _Found:
    """The strongest candidate of a sensor beside those that were found of others."""
    places = [other.rows.fixed + SLOW + other.place for other in found]
    slopes = np.column_stack([*(other.rows.slopes[:, k] for other, k in zip(found, places, strict=True)), rows.slopes])
    gram, count = -slopes.T @ spread @ slopes, len(found)
    right = -slopes.T @ ahead
    for i, (other, k) in enumerate(zip(found, places, strict=True)):
        gram[i, i] += other.rows.gram[k, k]
        right[i] += other.rows.right[k]
    gram[count:, count:] += rows.gram
    right[count:] += rows.right
    whole = np.diagonal(rows.gram)[rows.fixed + SLOW :]
    strength, size = strengths(gram, right, count + rows.fixed, whole)
    excess = strength / [one.limit for one in rows.candidates]
    excess[np.abs(size) < rows.least] = 0.0
    best = int(np.argmax(excess))
    return _Found(rows, best, float(excess[best]), -float(size[best]))
