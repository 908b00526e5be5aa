"""Whether to trust a calibrated twin: a verdict in words from its scores, and the reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gemel.engine.calibration.drifts import drift_words, unseen_words
from gemel.engine.calibration.fit import Fit
from gemel.engine.calibration.identifiability import identifiability
from gemel.engine.calibration.scores import FAR, Score, pooled, scores_of, with_guesses_before
from gemel.engine.extrapolation import Extrapolation, extrapolations
from gemel.engine.forecasting import Forecast
from gemel.engine.losses import Gaussian
from gemel.engine.signals import Record
from gemel.engine.twin import Twin
from gemel.engine.units import difference_in_words
from gemel.solvers.solution import Code

CLEARLY_BETTER = 0.25
"""A twin should be at least this share under the best naive guess."""

HONEST = (0.80, 0.97)
"""What a 90 % band should hold of samples that were not fitted."""

_HOLLOW = 0.5
"""A 90 % band that holds less of them says nothing of how sure the twin is."""

UNDETERMINED = 0.5
"""A parameter of which the data explain less than this share of the variance is that of the prior."""

_MANY_FAR = 0.005
"""The share of samples beyond `FAR` that is said, ..."""
_BY_FAR = 1.5
"""... and fewer where they make the error so many times what it is by the median."""

Verdict = Literal["usable", "usable with care", "not determined", "not usable"]

_MEANING = {
    "usable": "The twin predicts what it has not seen, and says how sure it is.",
    "usable with care": "The twin predicts, but read the reasons below before relying on it.",
    "not determined": "The data does not determine this twin: its parameters are what was assumed before.",
    "not usable": "Do not predict with this twin.",
}


@dataclass(frozen=True)
class Judgement:
    """The scores, a verdict, and what speaks against the twin and for it, and what the data leave open, one sentence
    each.
    """

    verdict: Verdict
    against: tuple[str, ...]
    in_favour: tuple[str, ...]
    scores: tuple[Score, ...]
    open: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of both kinds."""
        return (*self.against, *self.in_favour)

    @property
    def marked(self) -> tuple[str, ...]:
        """The reasons with "-" before those against the twin and "+" before those for it, and with "?" what is open."""
        kinds = {"-": self.against, "+": self.in_favour, "?": self.open}
        return tuple(f"{mark} {reason}" for mark, reasons in kinds.items() for reason in reasons)

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
    """
    given: tuple[Any, ...] = (forecast, record, fitted)
    runs, records, parts = ({"": one} if _alone(one) else dict(one) for one in given)
    sensors = None if sensors is None else fit.twin.each(sensors)
    scores: tuple[Score, ...] = ()
    for name, part in parts.items():
        found = scores_of(fit, runs[name], records[name], part, sensors, experiment=name)
        scores += tuple(found if part.times is not None else with_guesses_before(found, fit, records[name]))
    if unseen is not None:
        scores += tuple(scores_of(fit, *unseen, next(iter(parts.values())), (), another=True))
    scores = pooled(scores, fit.twin.images)
    robust = not isinstance(fit.twin.loss, Gaussian)
    bad, care, good = _of_prediction(fit.twin, scores, next(iter(parts.values())).times is not None, robust)
    if fit.converged and fit.status.worst() != Code.SUCCESS:
        good.insert(0, f"The calibration need not go on: {fit.message}")
    care += _of_laws(fit, [*runs.values(), *(() if unseen is None else unseen[:1])])
    bad += _without_reading(runs, records)
    if fit.converged:
        first = drift_words(fit.drifts)
        care += _of_residuals(fit, scores)
        (good if robust else care).extend(_of_far_samples(scores, robust))
    else:  # what it leaves of the samples says nothing of them
        first = [f"The calibration did not converge: {fit.message}"]
    unknown = [name for name, share in fit.belief.scalars().determined().items() if float(share) < UNDETERMINED]
    if unknown:
        blind = [d for d in identifiability(fit.prior, fit.belief) if d.blind]
        words = "; ".join(d.words() for d in blind[-3:])
        care.append(
            f"The data do not determine {', '.join(unknown)}: more than half of what was uncertain before still is"
            + (f", most along {words} (in standard deviations of the prior)." if words else ".")
        )
    if first and (bad or care):
        first.append("Mend that first: what follows may come from it.")
    if not fit.converged or bad:
        verdict: Verdict = "not usable"
    else:
        verdict = "usable with care" if care or first else "usable"
    if verdict != "not usable" and fit.belief.names and len(unknown) == len(fit.belief.names):
        verdict = "not determined"
    open_ = unseen_words(fit.unseen) if fit.converged else []
    return Judgement(verdict, (*first, *bad, *care), tuple(good), scores, tuple(open_))


def _alone(given: Any) -> bool:
    return isinstance(given, Forecast | Record)


def _without_reading(runs: Mapping[str, Forecast], records: Mapping[str, Record]) -> list[str]:
    """Which sensors were measured where the twin reads nothing, such as a mode that it does not have."""
    found = []
    for experiment, record in records.items():
        for name, measured in record.readings.items():
            read = np.asarray(runs[experiment].run.readings[name])
            if np.any(np.isfinite(np.asarray(measured, dtype=float)) & ~np.isfinite(read)):
                found.append(f"The twin gives no reading of {name} where it was measured.")
    return found


def _of_prediction(
    twin: Twin, scores: Sequence[Score], timed: bool, robust: bool
) -> tuple[list[str], list[str], list[str]]:
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
        for all_said, said in zip((bad, care, good), _of_band(twin, score, timed, robust), strict=True):
            all_said += said
    return bad, care, good


def _of_band(twin: Twin, score: Score, timed: bool, robust: bool) -> tuple[list[str], list[str], list[str]]:
    """What the 90 % band of one sensor says: against the twin, for caution, and for it."""
    if not timed and score.samples == 1:
        if score.coverage < 1:
            return [], [f"The held-out reading of {score.label} lies outside its 90 % band."], []
        return [], [], [f"The held-out reading of {score.label} lies inside its 90 % band."]
    holds = f"The 90 % band of {score.label} holds {100 * score.coverage:.0f} % of the held-out samples"
    worth = f"{holds}, which are worth {score.worth:.1f} independent ones"
    aside = ""
    if score.one_sided:
        off = difference_in_words(abs(score.bias), twin.sensor(score.sensor).unit)
        aside = f"; on average the twin reads {off} too {'high' if score.bias > 0 else 'low'}"
    if _honest(score):
        if score.coverage < HONEST[0]:
            return [], [f"{worth}: too few to tell whether it is too narrow."], []
        plain = score.coverage <= HONEST[1] or score.worth >= score.samples - 0.5
        return [], [], [f"{holds}." if plain else f"{worth}."]
    if score.coverage < _HOLLOW:
        return [f"{holds}: how sure it says to be means nothing{aside}."], [], []
    wide = "wider than needed" + (", as the loss allows for samples that are far off" if robust else "")
    return [], [f"{holds}: {f'too narrow{aside}' if score.coverage < HONEST[0] else wide}."], []


def _of_laws(fit: Fit, runs: Sequence[Forecast]) -> list[str]:
    """Where forecasts of what was not fitted rest on laws beyond the data that shaped them: nowhere else does a run go
    beyond the ranges of the fitted part of its record.
    """
    worst: dict[tuple[str, str], Extrapolation] = {}
    for one in (one for run in runs for one in extrapolations(fit.twin, run.run, fit.ranges) if one.fitted):
        known = worst.setdefault((one.term, one.input), one)
        worst[one.term, one.input] = max(known, one, key=lambda each: each.distance)
    return [
        f"On data that were not fitted, the neural term '{one.term}' is asked with {one.input} up to {one.far} beyond "
        "the data of the fit: there the forecast rests on a law that no data have shaped."
        for one in worst.values()
    ]


def _honest(score: Score) -> bool:
    """Whether a 90 % band holds about as many samples as it should, or they are too few to tell."""
    from scipy.stats import binomtest  # half a second, for those who only simulate

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
                f"What is left of {score.label} after the fit is by the median {ratio:.1f} times its noise: the model "
                "or the noise is wrong, and the intervals are too narrow."
            )
        limit = 2 / np.sqrt(score.samples)
        if noise.correlation_time == 0 and score.correlation > max(0.5, limit):
            told = "its model_error is not of this kind, and" if noise.error else "give it a model_error, or"
            care.append(
                f"What is left of {score.label} is no white noise (neighbours correlate by {score.correlation:.2f}): "
                f"{told} the intervals are too narrow."
            )
    return care


def _matter(score: Score) -> bool:
    return score.far > _MANY_FAR or (score.far > 0 and score.rmse > _BY_FAR * score.spread)


def _of_far_samples(scores: Sequence[Score], robust: bool) -> list[str]:
    """Which fitted samples are hardly those of normal noise, and what became of them."""
    if robust:
        advice = "the loss gives them little weight."
    else:
        advice = "if they are wrong, leave them out or fit with the loss 'student-t', which gives them little weight."
    return [
        f"{100 * score.far:.{0 if score.far >= 0.01 else 1}f} % of the fitted samples of {score.label} "
        f"lie more than {FAR:g} times its noise off: "
        f"{advice}"
        for score in scores
        if score.part == "fitted" and _matter(score)
    ]
