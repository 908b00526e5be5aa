"""How a calibrated twin does on each sensor: errors, bands and residuals, beside naive guesses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from gemel.engine.calibration.fit import Fit
from gemel.engine.datareport import labelled
from gemel.engine.forecasting import Forecast
from gemel.engine.images import image_by_pixel
from gemel.engine.noise import Noise, whitened
from gemel.engine.signals import Record, samples_of
from gemel.engine.simulation import simulate

FAR = 6.0
"""How many times its noise a sample lies off that is hardly normal."""

_FEW = 5
"""Residuals of which the median says nothing."""

Part = Literal["fitted", "held out", "another record"]


@dataclass(frozen=True)
class Score:
    """How a sensor does on one part of the data, in SI units.

    ``worth`` is how many independent samples they stand for, as noise and model error are correlated.

    ``coverage`` is the share of samples in the 90 % band, ``naive`` the root-mean-square errors of guesses that know
    the fitted part and the inputs (of single values, of the twin before its calibration), ``correlation`` that of
    neighbouring residuals (of their innovations where the sensor has a model error), ``spread`` their standard
    deviation by the median, which a few wrong samples do not change, ``far`` the share of them beyond six times the
    noise, and ``bias`` their mean: how much too high the twin reads.
    """

    sensor: str
    part: Part
    samples: int
    rmse: float
    coverage: float
    correlation: float
    spread: float
    far: float
    worth: float
    naive: dict[str, float] = field(default_factory=dict)
    experiment: str = ""
    bias: float = 0.0

    @property
    def label(self) -> str:
        """The sensor, and of several experiments which."""
        return labelled(self.sensor, self.experiment)

    @property
    def one_sided(self) -> bool:
        """Whether the error is mostly its mean, and that no chance."""
        return abs(self.bias) > max(0.5, 3.0 / max(self.worth, 1.0) ** 0.5) * self.rmse

    @property
    def gain(self) -> float | None:
        """How far the twin is under the best naive guess, as a share of it; None where there is none."""
        best = min(self.naive.values(), default=0.0)
        return 1.0 - self.rmse / best if best > 0 else None


def pooled(scores: Sequence[Score], images: Mapping[str, Sequence[str]]) -> tuple[Score, ...]:
    """Scores with one for all pixels of an image in place of one for each: means weighted by samples.

    Of pixels with few samples each ``spread`` is that by the median over pixels, and ``naive`` is of those pixels that
    had samples to guess from.
    """
    image_of = image_by_pixel(images)
    groups: dict[tuple[str, Part, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((image_of.get(score.sensor, score.sensor), score.part, score.experiment), []).append(score)
    return tuple(group[0] if group[0].sensor == name else _pool(name, group) for (name, _, _), group in groups.items())


def _pool(name: str, group: Sequence[Score]) -> Score:
    counts = np.array([score.samples for score in group], dtype=float)

    def mean(values: Sequence[float], of: Sequence[Score] = group) -> float:
        return float(np.average(values, weights=[score.samples for score in of]))

    def root(values: Sequence[float], of: Sequence[Score] = group) -> float:
        return float(np.sqrt(mean(np.square(values).tolist(), of)))

    few = len(group) > _FEW and counts.max() <= _FEW
    spreads = [score.spread for score in group]
    guessed = [score for score in group if score.naive]
    kinds = [kind for kind in (guessed[0].naive if guessed else ()) if all(kind in score.naive for score in guessed)]
    return replace(
        group[0],
        sensor=name,
        samples=int(counts.sum()),
        rmse=root([score.rmse for score in group]),
        coverage=mean([score.coverage for score in group]),
        correlation=mean([score.correlation for score in group]),
        spread=1.4826 * float(np.median(spreads)) if few else root(spreads),
        far=mean([score.far for score in group]),
        bias=mean([score.bias for score in group]),
        worth=sum(score.worth for score in group),
        naive={kind: root([score.naive[kind] for score in guessed], guessed) for kind in kinds},
    )


def scores_of(
    fit: Fit,
    forecast: Forecast,
    record: Record,
    fitted: Record,
    sensors: Sequence[str] | None,
    another: bool = False,
    experiment: str = "",
) -> list[Score]:
    """The scores on the parts of a record; ``another`` one, of which nothing was fitted, is one part."""
    found = []
    noises = (fit.twin_in(experiment) if experiment in fit.places else fit.twin).noises()
    for name, values in record.readings.items():
        measured = np.atleast_1d(np.asarray(values, dtype=float))
        read = np.atleast_1d(np.asarray(forecast.run.readings[name]))
        known = np.isfinite(measured) & np.isfinite(read)
        used = samples_of(record, fitted) & (sensors is None or name in sensors) & (not another)
        low, high = (np.atleast_1d(np.asarray(side)) for side in forecast.band(name, 0.9))
        error = read - measured
        inside, noise = (measured >= low) & (measured <= high), noises[name]
        rest: Part = "another record" if another else "held out"
        parts: tuple[tuple[Part, np.ndarray], ...] = (("fitted", used & known), (rest, ~used & known))
        for part, chosen in parts:
            if not chosen.any():
                continue
            rmse = float(np.sqrt(np.mean(error[chosen] ** 2)))
            few = chosen.sum() <= _FEW
            found.append(
                Score(
                    name,
                    part,
                    samples=int(chosen.sum()),
                    rmse=rmse,
                    coverage=float(inside[chosen].mean()),
                    correlation=_of_neighbours(noise, record.times, error, chosen),
                    spread=rmse if few else 1.4826 * float(np.median(np.abs(error[chosen]))),
                    far=float(np.mean(np.abs(error[chosen]) > FAR * float(noise.spread))),
                    worth=1.0 if record.times is None else noise.worth(np.asarray(record.times, dtype=float)[chosen]),
                    naive={} if part == "fitted" else _naive(name, record, fitted, chosen, another),
                    experiment=experiment,
                    bias=float(np.mean(error[chosen])),
                )
            )
    return found


def _naive(name: str, record: Record, fitted: Record, chosen: np.ndarray, another: bool) -> dict[str, float]:
    """Errors of guesses: the last value fitted (of another record its first one), the mean of the fitted ones, and a
    line through them in the inputs, or in time where there are none.
    """
    if record.times is None or fitted.times is None or name not in fitted.readings:
        return {}
    seen = np.asarray(fitted.readings[name], dtype=float)
    known = np.isfinite(seen)
    if known.sum() < 2 or set(record.inputs) != set(fitted.inputs):
        return {}
    measured = np.asarray(record.readings[name], dtype=float)
    line, *_ = np.linalg.lstsq(_table(fitted)[known], seen[known], rcond=None)
    last = measured[np.isfinite(measured)][0] if another else seen[known][-1]
    guesses = {
        "first value" if another else "last value": np.full_like(measured, last),
        "mean": np.full_like(measured, seen[known].mean()),
        "linear": _table(record) @ line,
    }
    return {kind: float(np.sqrt(np.mean((guess - measured)[chosen] ** 2))) for kind, guess in guesses.items()}


def with_guesses_before(scores: Sequence[Score], fit: Fit, record: Record) -> list[Score]:
    """Scores of single values with two guesses for those held out: the twin before the calibration, and that times
    the one number that brings it nearest, as a share of them, to the fitted readings of the same unit.
    """
    twin = fit.twin_before()
    before = {name: float(value) for name, value in simulate(twin, record.inputs).readings.items()}
    measured = {name: float(np.asarray(value)) for name, value in record.readings.items()}
    units = {sensor.name: sensor.unit for sensor in twin.sensors}
    seen = [score.sensor for score in scores if score.part == "fitted" and measured[score.sensor] != 0]
    found = []
    for score in scores:
        name = score.sensor
        if score.part != "held out" or not np.isfinite(before[name]):
            found.append(score)
            continue
        guesses = {"before calibration": before[name]}
        peers = [peer for peer in seen if units[peer] == units[name] and np.isfinite(before[peer])]
        shares = np.asarray([before[peer] / measured[peer] for peer in peers])
        if np.any(shares):
            guesses["before, scaled"] = before[name] * float(shares.sum() / (shares**2).sum())
        errors = {kind: abs(guess - measured[name]) for kind, guess in guesses.items()}
        found.append(replace(score, naive=errors))
    return found


def _table(record: Record) -> np.ndarray:
    """Ones and the inputs, or the times where there are none, at the times of a record."""
    times = np.asarray(record.times)
    columns = [np.asarray(record.inputs[name].at(times)) for name in sorted(record.inputs)] or [times]
    return np.stack([np.ones_like(times), *columns], axis=1)


def _of_neighbours(noise: Noise, times: Any, error: np.ndarray, chosen: np.ndarray) -> float:
    """The correlation of neighbouring residuals, or of their innovations beside a model error."""
    if chosen.sum() <= 3:
        return 0.0
    if noise.error is not None:
        error = np.asarray(whitened(noise, times, jnp.asarray(error), chosen))
    return float(correlations(error[chosen], 1)[0])


def correlations(error: np.ndarray, count: int) -> np.ndarray:
    """The correlation of residuals 1 to ``count`` places apart, about their mean; zero where all are alike."""
    error = error - error.mean() if len(error) else error
    power = float(error @ error) or 1.0
    return np.asarray([float(error[lag:] @ error[:-lag]) / power for lag in range(1, count + 1)])
