"""Whether to trust a calibrated twin: held-out data against naive guesses, bands, residuals, and a verdict in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest

from gemel.engine.calibration.fit import Fit
from gemel.engine.calibration.identifiability import identifiability
from gemel.engine.calibration.losses import Gaussian, Loss
from gemel.engine.forecasting import Forecast
from gemel.engine.images import image_by_pixel
from gemel.engine.noise import Noise, whitened
from gemel.engine.signals import Record, samples_of
from gemel.engine.simulation import simulate
from gemel.solvers.solution import Code

CLEARLY_BETTER = 0.25
"""A twin should be at least this share under the best naive guess."""

HONEST = (0.80, 0.97)
"""What a 90 % band should hold of samples that were not fitted."""

UNDETERMINED = 0.5
"""A parameter of which the data explain less than this share of the variance is that of the prior."""

FAR, _MANY_FAR = 6.0, 0.005
"""How many times its noise a sample lies off that is hardly normal, and the share of such samples that is said."""

_FEW = 5
"""Residuals of which the median says nothing."""

Part = Literal["fitted", "held out", "another record"]
Verdict = Literal["usable", "usable with care", "not determined", "not usable"]

_MEANING = {
    "usable": "The twin predicts what it has not seen, and says how sure it is.",
    "usable with care": "The twin predicts, but read the reasons below before relying on it.",
    "not determined": "The data does not determine this twin: its parameters are what was assumed before.",
    "not usable": "Do not predict with this twin.",
}


@dataclass(frozen=True)
class Score:
    """How a sensor does on one part of the data, in SI units.

    ``worth`` is how many independent samples they stand for, as noise and model error are correlated.

    ``coverage`` is the share of samples in the 90 % band, ``naive`` the root-mean-square errors of guesses that know
    the fitted part and the inputs (of single values, of the twin before its calibration), ``correlation`` that of
    neighbouring residuals (of their innovations where the sensor has a model error), ``spread`` their standard
    deviation by the median, which a few wrong samples do not change, and ``far`` the share of them beyond six times the
    noise.
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

    @property
    def label(self) -> str:
        """The sensor, and of several experiments which."""
        return f"{self.sensor} ({self.experiment})" if self.experiment else self.sensor

    @property
    def gain(self) -> float | None:
        """How far the twin is under the best naive guess, as a share of it; None where there is none."""
        best = min(self.naive.values(), default=0.0)
        return 1.0 - self.rmse / best if best > 0 else None


@dataclass(frozen=True)
class Judgement:
    """The scores, a verdict, and what speaks against the twin and for it, one sentence each."""

    verdict: Verdict
    against: tuple[str, ...]
    in_favour: tuple[str, ...]
    scores: tuple[Score, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of both kinds."""
        return (*self.against, *self.in_favour)

    @property
    def marked(self) -> tuple[str, ...]:
        """The reasons with "-" before those against the twin and "+" before those for it."""
        return (*(f"- {reason}" for reason in self.against), *(f"+ {reason}" for reason in self.in_favour))

    @property
    def meaning(self) -> str:
        """The verdict as a sentence."""
        return _MEANING[self.verdict]


def judge(
    fit: Fit,
    forecast: Forecast | Mapping[str, Forecast],
    record: Record | Mapping[str, Record],
    fitted: Record | Mapping[str, Record],
    sensors: Sequence[str] | None = None,
    unseen: tuple[Forecast, Record] | None = None,
    loss: Loss | None = None,
) -> Judgement:
    """Judge a fit by a free run over all of a record, and over another one that was not fitted.

    Args:
        fit: the calibration.
        forecast: a free run of its twin at the times of the record; of several experiments those by name, each of the
            twin in it.
        record: all that was measured, or that by experiment.
        fitted: the part of it that was fitted, or those.
        sensors: which readings were fitted, an image by its name; None for all.
        unseen: a free run at the times of another record, and that record.
        loss: what a residual cost in the fit; `Gaussian` by default.
    """
    given: tuple[Any, ...] = (forecast, record, fitted)
    runs, records, parts = ({"": one} if _alone(one) else dict(one) for one in given)
    sensors = None if sensors is None else fit.twin.each(sensors)
    scores: tuple[Score, ...] = ()
    for name, part in parts.items():
        found = _scores(fit, runs[name], records[name], part, sensors, experiment=name)
        scores += tuple(found if part.times is not None else _with_guesses_before(found, fit, records[name]))
    if unseen is not None:
        scores += tuple(_scores(fit, *unseen, next(iter(parts.values())), (), another=True))
    scores = pooled(scores, fit.twin.images)
    bad, care, good = _of_prediction(scores, timed=next(iter(parts.values())).times is not None)
    if fit.status.worst() != Code.SUCCESS:
        bad.insert(0, f"The calibration did not converge: {fit.message}")
    robust = not isinstance(loss, Gaussian | None)
    bad += _without_reading(runs, records)
    care += _of_residuals(fit, scores)
    (good if robust else care).extend(_of_far_samples(scores, robust))
    unknown = [name for name, share in fit.belief.scalars().determined().items() if float(share) < UNDETERMINED]
    if unknown:
        blind = [d for d in identifiability(fit.prior, fit.belief) if d.blind]
        words = "; ".join(d.words() for d in blind[-3:])
        care.append(
            f"The data do not determine {', '.join(unknown)}: more than half of what was uncertain before still is"
            + (f", most along {words} (in standard deviations of the prior)." if words else ".")
        )
    verdict: Verdict = "not usable" if bad else "usable with care" if care else "usable"
    if not bad and fit.belief.names and len(unknown) == len(fit.belief.names):
        verdict = "not determined"
    return Judgement(verdict, (*bad, *care), tuple(good), scores)


def _alone(given: Any) -> bool:
    return isinstance(given, Forecast | Record)


def pooled(scores: Sequence[Score], images: Mapping[str, Sequence[str]]) -> tuple[Score, ...]:
    """Scores with one for all pixels of an image in place of one for each: means weighted by samples.

    Of pixels with few samples each ``spread`` is that by the median over pixels.
    """
    image_of = image_by_pixel(images)
    groups: dict[tuple[str, Part, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((image_of.get(score.sensor, score.sensor), score.part, score.experiment), []).append(score)
    return tuple(group[0] if group[0].sensor == name else _pool(name, group) for (name, _, _), group in groups.items())


def _pool(name: str, group: Sequence[Score]) -> Score:
    counts = np.array([score.samples for score in group], dtype=float)

    def mean(values: Sequence[float]) -> float:
        return float(np.average(values, weights=counts))

    def root(values: Sequence[float]) -> float:
        return float(np.sqrt(mean(np.square(values).tolist())))

    few = len(group) > _FEW and counts.max() <= _FEW
    spreads = [score.spread for score in group]
    kinds = [kind for kind in group[0].naive if all(kind in score.naive for score in group)]
    return replace(
        group[0],
        sensor=name,
        samples=int(counts.sum()),
        rmse=root([score.rmse for score in group]),
        coverage=mean([score.coverage for score in group]),
        correlation=mean([score.correlation for score in group]),
        spread=1.4826 * float(np.median(spreads)) if few else root(spreads),
        far=mean([score.far for score in group]),
        worth=sum(score.worth for score in group),
        naive={kind: root([score.naive[kind] for score in group]) for kind in kinds},
    )


def _without_reading(runs: Mapping[str, Forecast], records: Mapping[str, Record]) -> list[str]:
    """Which sensors were measured where the twin reads nothing, such as a mode that it does not have."""
    found = []
    for experiment, record in records.items():
        for name, measured in record.readings.items():
            read = np.asarray(runs[experiment].run.readings[name])
            if np.any(np.isfinite(np.asarray(measured, dtype=float)) & ~np.isfinite(read)):
                found.append(f"The twin gives no reading of {name} where it was measured.")
    return found


def _scores(
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


def _with_guesses_before(scores: Sequence[Score], fit: Fit, record: Record) -> list[Score]:
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


def _of_prediction(scores: Sequence[Score], timed: bool) -> tuple[list[str], list[str], list[str]]:
    """What held-out samples say against the twin, for caution, and for it."""
    bad, care, good = [], [], []
    held = [score for score in scores if score.part != "fitted"]
    if not held:
        care.append("No data were held out: how well it predicts is not known.")
    for score in held:
        what = "another record" if score.part == "another record" else "held-out data"
        if score.gain is not None:
            kind = min(score.naive, key=lambda k: score.naive[k])
            if score.gain <= 0:  # of single values the guess is the twin itself before the fit, which says less
                lost = f"On {what} of {score.label} a naive guess ({kind}) is as good as the twin."
                (bad if timed else care).append(lost)
            elif score.gain < CLEARLY_BETTER:
                care.append(
                    f"On {what} of {score.label} the error is only {100 * score.gain:.0f} % under that of a "
                    f"naive guess ({kind})."
                )
            else:
                good.append(
                    f"On {what} of {score.label} the error is {100 * score.gain:.0f} % under that of the best "
                    f"naive guess ({kind})."
                )
        many = timed or score.samples > 1
        holds = f"The 90 % band of {score.label} holds {100 * score.coverage:.0f} % of the held-out samples"
        worth = f"{holds}, which are worth {score.worth:.1f} independent ones"
        if many and not _honest(score):
            much = "too narrow" if score.coverage < HONEST[0] else "wider than needed"
            care.append(f"{holds}: {much}.")
        elif many and score.coverage < HONEST[0]:
            care.append(f"{worth}: too few to tell whether it is too narrow.")
        elif many:
            plain = score.coverage <= HONEST[1] or score.worth >= score.samples - 0.5
            good.append(f"{holds}." if plain else f"{worth}.")
        elif score.coverage < 1:
            care.append(f"The held-out reading of {score.label} lies outside its 90 % band.")
        else:
            good.append(f"The held-out reading of {score.label} lies inside its 90 % band.")
    return bad, care, good


def _honest(score: Score) -> bool:
    """Whether a 90 % band holds about as many samples as it should, or they are too few to tell."""
    count = max(1, round(score.worth))
    inside = round(score.coverage * count)
    return HONEST[0] <= score.coverage <= HONEST[1] or bool(binomtest(inside, count, 0.9).pvalue > 0.05)


def _of_residuals(fit: Fit, scores: Sequence[Score]) -> list[str]:
    """What the residuals of the fitted samples say about noise and model."""
    care = []
    for score in scores:
        if score.part != "fitted":
            continue
        noise = fit.noise(score.sensor, score.experiment)
        ratio = score.spread / float(noise.spread)
        if ratio > 2:
            care.append(
                f"What is left of {score.label} after the fit is {ratio:.1f} times its noise: the model or the noise "
                "is wrong, and the intervals are too narrow."
            )
        limit = 2 / np.sqrt(score.samples)
        if noise.correlation_time == 0 and score.correlation > max(0.5, limit):
            told = "its model_error is not of this kind, and" if noise.error else "give it a model_error, or"
            care.append(
                f"What is left of {score.label} is no white noise (neighbours correlate by {score.correlation:.2f}): "
                f"{told} the intervals are too narrow."
            )
    return care


def _of_far_samples(scores: Sequence[Score], robust: bool) -> list[str]:
    """Which fitted samples are hardly those of normal noise, and what became of them."""
    if robust:
        advice = "the loss gives them little weight."
    else:
        advice = "if they are wrong, fit with the loss 'huber' or 'student-t'."
    return [
        f"{100 * score.far:.{0 if score.far >= 0.01 else 1}f} % of the fitted samples of {score.label} "
        f"lie more than {FAR:g} times its noise off: "
        f"{advice}"
        for score in scores
        if score.part == "fitted" and score.far > _MANY_FAR
    ]
