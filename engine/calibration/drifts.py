r"""Which sensors seem to drift, or to have been moved: what a fit leaves of them runs away, of others it does not.

With rows $r$ of the data at the minimum, their Jacobian $J$ and the posterior covariance $C$, the residuals have the
covariance $M = I - J C J^\top$ where the noise is as it is taken for. A drift adds a multiple of a column $d$ to the
rows of one sensor, of which the fit takes some up; Rao's score $d^\top r / \sqrt{d^\top M d}$ of it is standard normal
without one, and $-d^\top r / d^\top M d$ is how large a fit would find it, to first order. `gemel.engine.trends` holds
that against the slow variation of what is left, in the metric $M$; what follows an offset, the sensor's own course or
an input is none, but of a trend that does it is said that it may be one. The strongest is taken first, and the others
are looked for beside it, as the fit spreads the drift of one sensor over all. Other losses than least squares, and how
steps are looked for beside a model error, are in `gemel.engine.calibration.pseudovalues` and `gemel.engine.trends`.

A gain that is off is not looked for. Its score takes the sensor's own course for $d$, which what a model leaves that
errs follows as well: of 60 fits of three healthy sensors, of a device whose loss grows by 0.4 % a kelvin, which its
twin does not know, 24 named one of them by 4 %; and one that sits 3 % cooler looks as if it were off.

How large a drift of a sensor may be without being named follows from the same numbers, and so does how far it would
carry the parameters, $C J^\top d$ a unit of it: where they take up nearly all of $d$, the fit is as good as before.

Source: Rao, *Large sample tests of statistical hypotheses ...*, Proc. Camb. Phil. Soc. 44, 1948.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.problem import CalibrationProblem
from gemel.engine.calibration.remains import Remains, remains_of
from gemel.engine.datareport import duration, enumerated, labelled, unit_of_time
from gemel.engine.trends import EXPLAINED, TREND, eliminated, strengths
from gemel.engine.twin import Twin
from gemel.engine.units import difference_from_si, difference_in_words, difference_unit, written

_ALONG = 0.5
"""The share of a trend that a sensor's own level and the inputs have to explain for it to go along with them."""


_FEW, _MOST = 3.0, 10.0
"""From how many times the noise on a drift that passes unseen is worth a word, and up to how many it is looked at."""


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
        alone: whether this happens to less than half of the sensors and goes along with nothing; else it may as well
            be the model that strays, or another sensor.
        follows: what a trend goes along with, "the input 'power'" or "its own level", so that an error of the model
            leaves the same; "" for what nothing else explains.
    """

    sensor: str
    experiment: str
    unit: str
    change: float
    span: float
    step: float | None
    alone: bool = True
    follows: str = ""

    @property
    def course(self) -> str:
        """What is left of the sensor, in words."""
        name = labelled(self.sensor, self.experiment)
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
    found += [
        f"What is left of {drift.course}, along with {drift.follows}: this sensor or another drifts, or the model errs "
        f"with it; this record cannot tell, one in which {drift.follows} comes back to where it was would."
        for drift in drifts
        if drift.follows
    ]
    unclear = [drift.course for drift in drifts if not drift.alone and not drift.follows]
    if unclear:
        found.append(
            f"In what the fit leaves, {' and '.join(unclear)}: this sensor, another one or the model is wrong, and the "
            "sensors are too few to tell which; more of them, or one held against a reference, would."
        )
    return found


@dataclass(frozen=True)
class Unseen:
    """A drift that would not have been named, as the parameters take it up.

    Attributes:
        sensor: which.
        experiment: in which, "" for a single record.
        unit: the one that the sensor is shown in.
        change: over the fitted part of the record, in SI units: the largest that passes, or ten times the noise.
        parameter: the one that it moves most.
        shift: by how much, in its standard deviations.
    """

    sensor: str
    experiment: str
    unit: str
    change: float
    parameter: str
    shift: float

    @property
    def words(self) -> str:
        """The drift in words."""
        return f"of {labelled(self.sensor, self.experiment)} by {difference_in_words(self.change, self.unit)}"


def unseen_words(unseen: Sequence[Unseen]) -> list[str]:
    """A sentence on all of them, and what to try; none where there are none."""
    if not unseen:
        return []
    most = max(unseen, key=lambda one: one.shift)
    each = enumerated([one.words for one in unseen], "or")
    return [
        f"A drift {each} over the fitted record would pass unseen, and move {most.parameter} by up to {most.shift:.2g} "
        "of its standard deviations: hold the sensors against a reference, or give them a 'drift' to see what is then "
        "known."
    ]


@dataclass(frozen=True)
class _Found:
    """A candidate of a sensor: how strong it is in units of its limit, and how large in SI units."""

    rows: Remains
    place: int
    excess: float
    change: float


def find_drifts(
    problem: CalibrationProblem,
    z: Float[Array, " p"],
    residual: Float[Array, " m"],
    jacobian: Float[Array, "m p"],
    covariance: Float[Array, "p p"],
) -> tuple[tuple[Drift, ...], tuple[Unseen, ...]]:
    """The sensors of which the residuals run away, the strongest first; and drifts of the others that would have passed
    unseen, where they are several times the noise.

    Args:
        problem: what was fitted.
        z: where the fit ended.
        residual: all rows there, the prior's last.
        jacobian: their derivative.
        covariance: of the posterior.
    """
    values, slopes, spread = (np.asarray(each) for each in (residual, jacobian, covariance))
    left, rows, derivative = remains_of(problem, z, values, slopes)
    if not left:
        return (), ()
    if derivative is not slopes:
        inverse = np.linalg.inv(np.linalg.qr(derivative, mode="r"))
        spread = inverse @ inverse.T
    ahead = spread @ (derivative.T @ rows)
    found = _taken(left, [], spread, ahead)
    alone = 2 * len({one.rows.sensor for one in found}) < len({one.sensor for one in left})
    rest = [one for one in left if all(one is not other.rows for other in found)]
    trends = dict(pair for one in rest if (pair := _trend_of(one)) is not None)
    followers = _taken(list(trends), found, spread, ahead)[:1]  # of what is unclear one is enough
    named = [_told(one, problem.twin, alone) for one in found]
    named += [_told(one, problem.twin, False, trends[one.rows]) for one in followers]
    known = {(drift.sensor, drift.experiment) for drift in named}
    # a trend that goes along with something is looked for beside an offset alone: its rows come last, and count
    tried = {(one.sensor, one.experiment): one for one in (*rest, *trends)}
    unseen = (_unseen(one, problem, spread) for key, one in tried.items() if key not in known)
    return tuple(named), tuple(one for one in unseen if one is not None)


def _unseen(rows: Remains, problem: CalibrationProblem, spread: np.ndarray) -> Unseen | None:
    """The largest drift of a sensor that would not be named, up to `_MOST`; None where that is small, or moves no
    parameter by a standard deviation.
    """
    if not rows.may_trend:
        return None
    trend = rows.first
    table, _ = eliminated(rows.gram - rows.slopes.T @ spread @ rows.slopes, range(rows.fixed))
    left = table[trend, trend]
    told = left > EXPLAINED * rows.gram[trend, trend]
    change = min(_MOST * rows.least, TREND[0] / np.sqrt(left) if told else np.inf)
    if change < _FEW * rows.least:
        return None
    shift = np.abs(spread @ rows.slopes[:, trend]) * change / np.sqrt(np.diagonal(spread))
    most = int(np.argmax(shift))
    if shift[most] < 1.0:
        return None
    unit = problem.twin.sensor(rows.sensor).unit
    label = problem.belief.labels[most]
    return Unseen(rows.sensor, rows.experiment, unit, change, label, float(shift[most]))


def _trend_of(rows: Remains) -> tuple[Remains, str] | None:
    """The rows with a trend as their only candidate, of which nothing but an offset is taken out, and what the trend
    goes along with; None where a trend is no candidate, or goes along with nothing.
    """
    companion = _companion(rows) if rows.may_trend else ""
    if not companion:
        return None
    kept = np.r_[0, rows.fixed : rows.first + 1]
    gram, right, slopes = rows.gram[np.ix_(kept, kept)], rows.right[kept], rows.slopes[:, kept]
    plain = replace(rows, candidates=rows.candidates[:1], gram=gram, right=right, slopes=slopes, fixed=1, along=())
    return plain, companion


def _companion(rows: Remains) -> str:
    """Of the sensor's own level and the inputs, beside an offset, the one that explains most of a trend; "" where all
    of them together leave more than half of it.
    """
    trend, others = rows.first, slice(1, rows.fixed)
    beside, _ = eliminated(rows.gram, range(1))
    rest, _ = eliminated(beside, range(1, rows.fixed))
    if rest[trend, trend] > (1.0 - _ALONG) * beside[trend, trend]:
        return ""
    sizes = np.diagonal(beside)[others]
    known = sizes > 1e-9 * np.diagonal(rows.gram)[others]
    shares = np.where(known, beside[trend, others] ** 2 / np.where(known, sizes, 1.0), 0.0)
    return rows.along[int(np.argmax(shares))]


def _taken(rows: Sequence[Remains], known: Sequence[_Found], spread: np.ndarray, ahead: np.ndarray) -> list[_Found]:
    """What is found beside what is known, one after the other; ``ahead`` is one more step, which a fit at its limit has
    not made.
    """
    found: list[_Found] = []
    while True:
        left = [one for one in rows if all(one is not other.rows for other in found)]
        tried = (_strongest(one, [*known, *found], spread, ahead) for one in left)
        best = max(tried, key=lambda one: one.excess, default=None)
        if best is None or best.excess < 1.0:
            return found
        found.append(best)


def _told(one: _Found, twin: Twin, alone: bool, follows: str = "") -> Drift:
    rows, candidate = one.rows, one.rows.candidates[one.place]
    unit = twin.sensor(rows.sensor).unit
    return Drift(rows.sensor, rows.experiment, unit, one.change, rows.span, candidate.step, alone, follows)


def _strongest(rows: Remains, found: Sequence[_Found], spread: np.ndarray, ahead: np.ndarray) -> _Found:
    """The strongest candidate of a sensor beside those that were found of others."""
    places = [other.rows.first + other.place for other in found]
    slopes = np.column_stack([*(other.rows.slopes[:, k] for other, k in zip(found, places, strict=True)), rows.slopes])
    gram, count = -slopes.T @ spread @ slopes, len(found)
    right = -slopes.T @ ahead
    for i, (other, k) in enumerate(zip(found, places, strict=True)):
        gram[i, i] += other.rows.gram[k, k]
        right[i] += other.rows.right[k]
    gram[count:, count:] += rows.gram
    right[count:] += rows.right
    first, many = rows.first, len(rows.candidates)
    whole = np.diagonal(rows.gram)[first : first + many]
    has = np.array([one.pulse is not None for one in rows.candidates])
    beside = np.where(has, count + first + many + np.cumsum(has) - 1, -1)
    strength = strengths(gram, right, count + rows.fixed, whole, beside)
    excess, size = strength.over(rows.candidates), strength.size
    excess[np.abs(size) < rows.least] = 0.0
    best = int(np.argmax(excess))
    return _Found(rows, best, float(excess[best]), -float(size[best]))
