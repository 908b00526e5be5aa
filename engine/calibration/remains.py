r"""What a fit leaves of its sensors, and the courses it may follow, in rows that are white where the noise is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.curvature import sensor_rows
from gemel.engine.calibration.problem import CalibrationProblem, Experiment
from gemel.engine.calibration.pseudovalues import Curve, as_pseudo_values, curve_of, unshaped
from gemel.engine.noise import Noise, differences, whitened
from gemel.engine.parameters import Multiple, Parameter, bind
from gemel.engine.sensors import LaggedSensor, Sensor
from gemel.engine.trends import FEWEST, SLOW, Candidate, candidates_over, cosines_over, steps_where


@dataclass(frozen=True, eq=False)
class Remains:
    """What is left of one sensor, or of an image, in one experiment.

    Attributes:
        sensor, experiment: whose.
        candidates: the courses that what is left may follow.
        least: the change that matters, in SI units.
        gram, right: of columns as `strengths` has them, as if nothing had been fitted.
        slopes: ``(p, m)`` the products of the Jacobian and the columns.
        fixed: how many columns come before the cosines; after them come the candidates, then their pulses.
        along: what the fixed columns after the first, the offset, are.
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
    along: tuple[str, ...]
    span: float

    @property
    def first(self) -> int:
        """The column of the first candidate."""
        return self.fixed + SLOW

    @property
    def may_trend(self) -> bool:
        """Whether a trend is a candidate, which then is the first."""
        return self.candidates[0].step is None


class _Records(NamedTuple):
    """An experiment on the host, with its inputs ``(k, n)`` at its times and the noises in it."""

    times: np.ndarray
    inputs: np.ndarray
    along: tuple[str, ...]
    data: np.ndarray
    shares: np.ndarray
    names: tuple[str, ...]
    sensors: Mapping[str, Sensor]
    noises: Mapping[str, Noise]


def remains_of(
    problem: CalibrationProblem, z: Float[Array, " p"], residual: np.ndarray, jacobian: np.ndarray
) -> tuple[list[Remains], np.ndarray, np.ndarray]:
    """What is left of each sensor that can drift and has enough samples, and the rows with their derivative.

    Args:
        problem: what was fitted.
        z: where the fit ended.
        residual: ``(m,)`` all rows there, the prior's last.
        jacobian: ``(m, p)`` their derivative.
    """
    curve = curve_of(problem.loss)
    rows, slopes = (residual, jacobian) if curve is None else (residual.copy(), jacobian.copy())
    sensors, point = {sensor.name: sensor for sensor in problem.twin.sensors}, np.asarray(z)
    found, first = [], 0
    for name, experiment in problem.experiments.items():
        count = 1 if experiment.times is None else len(experiment.times)
        places, first = sensor_rows(experiment.names, count, problem.floors, first)
        shares = np.asarray(experiment.shares).reshape(count, -1)
        groups = {} if experiment.times is None else problem.twin.grouped(experiment.names)
        told = {
            label: members
            for label, members in groups.items()
            if isinstance(sensors[members[0]], LaggedSensor)
            and _seen(experiment.names, shares, members).sum() >= FEWEST
        }
        if curve is not None:
            for sensor in set(places).difference(*told.values()):
                weights = shares[:, experiment.names.index(sensor)]
                as_pseudo_values(rows[places[sensor]], slopes[places[sensor]], weights, None, curve)
        if told:
            values = problem.twin.belief.values(jnp.asarray(point[np.asarray(experiment.places)]))
            records = _records(experiment, shares, sensors, values)
            for label, members in told.items():
                parts = {one: (rows[places[one]], slopes[places[one]]) for one in members}
                found.append(_remains(label, name, records, parts, curve))
    return found, rows, slopes


def _records(
    experiment: Experiment, shares: np.ndarray, sensors: Mapping[str, Sensor], values: Mapping[str, Any]
) -> _Records:
    times = np.asarray(experiment.times)
    inputs = [np.asarray(course) for course in _courses(tuple(experiment.inputs.values()), times)]
    table = np.stack(inputs) if inputs else np.zeros((0, len(times)))
    noises = {name: bind(sensors[name].noise, values) for name in experiment.names}
    along = ("its own level", *(f"the input '{name}'" for name in experiment.inputs))
    return _Records(times, table, along, np.asarray(experiment.data), shares, experiment.names, sensors, noises)


def _seen(names: Sequence[str], shares: np.ndarray, members: Sequence[str]) -> np.ndarray:
    """``(n,)`` at which times a sensor, or a pixel of an image, was read."""
    return np.any(shares[:, [names.index(member) for member in members]] > 0, axis=1)


def _remains(
    label: str,
    experiment: str,
    records: _Records,
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]],
    curve: Curve | None,
) -> Remains:
    """That of one sensor, or of the pixels of an image, with ``parts`` of the rows and their derivative by name, which
    become pseudo-values.
    """
    seen = _seen(records.names, records.shares, list(parts))
    times, inputs = records.times[seen], records.inputs[:, seen]
    first = next(iter(parts))
    sensor: Any = records.sensors[first]
    candidates = candidates_over(times)
    if isinstance(sensor.drift, Parameter | Multiple):
        candidates = candidates[1:]
    if sensor.noise.error is not None:
        candidates += steps_where(times, np.sum([rows[seen] for rows, _ in parts.values()], axis=0))
    pulses = [one.pulse for one in candidates if one.pulse is not None]
    slow = [*cosines_over(times).T, *(one.column for one in candidates), *pulses]
    fixed = 2 + len(inputs)
    gram, right, products = 0.0, 0.0, 0.0
    for member, (rows, slopes) in parts.items():
        place = records.names.index(member)
        weights = records.shares[:, place]
        noise = records.noises[member]
        q = unshaped(rows, weights, curve)[seen]
        course = records.data[seen, place] + _differences(noise, times, q, weights[seen])
        columns = np.stack([np.ones(len(times)), course, *inputs, *slow])
        white = _whitened(noise, times, columns, weights[seen])
        if curve is not None:
            basis = np.zeros((fixed + SLOW + 1, len(rows)))
            basis[:, seen] = white[: fixed + SLOW + 1]
            white = white * as_pseudo_values(rows, slopes, weights, basis, curve)
        gram = gram + white @ white.T
        right = right + white @ rows[seen]
        products = products + slopes[seen].T @ white.T
    error = records.noises[first].error
    least = float(np.hypot(records.noises[first].std, 0.0 if error is None else error.std))
    table, ahead, changes = (np.asarray(part) for part in (gram, right, products))
    span = float(times[-1] - times[0])
    return Remains(label, experiment, candidates, least, table, ahead, changes, fixed, records.along, span)


def _whitened(
    noise: Noise, times: np.ndarray, columns: Float[np.ndarray, "c n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "c n"]:
    """Courses of a reading as rows of the data are."""
    if noise.error is None:
        return columns * np.sqrt(weights) / float(noise.std)
    return np.sqrt(weights) * np.asarray(_innovations(_numbers(noise), times, columns, weights > 0))


def _differences(noise: Noise, times: np.ndarray, q: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What a reading of the twin is above the measured one, from the innovations in units of their deviations."""
    if noise.error is None:
        return float(noise.std) * q
    return np.asarray(_restored(_numbers(noise), times, q, weights > 0))


def _numbers(noise: Noise) -> Noise:
    """A noise of arrays, of which a compiled function does not depend."""
    return jax.tree.map(jnp.asarray, noise)


@eqx.filter_jit
def _courses(inputs: tuple[Any, ...], times: Any) -> list[Array]:
    return [series.at(times) for series in inputs]


@eqx.filter_jit
def _innovations(noise: Noise, times: Any, columns: Any, known: Any) -> Array:
    return jax.vmap(lambda column: whitened(noise, times, column, known))(jnp.asarray(columns))


@eqx.filter_jit
def _restored(noise: Noise, times: Any, q: Any, known: Any) -> Array:
    return differences(noise, times, jnp.asarray(q), known)
