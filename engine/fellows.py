r"""Sensors that part from others with which they go together: found without a model of the device.

Two sensors go together where, beside a trend, one explains at least 0.95 of the variance of the other. What is left of
the one by an offset, the other, the rate of the other (a lag) and the inputs is held against its own slow variation, as
in `gemel.engine.trends`, in units of the noise that its quickest changes show. Two places of one body part as well, but
not in a line that stands out from how they part otherwise: of 1200 simulated records of healthy sensors along rods that
were heated in many ways in air that wanders, with lags, gains and offsets of their own, a quarter of whose pairs went
together, three gave an alarm. A sensor without fellows is never suspected; of two alone it is not said which, and of
more only one that parts from most of the others while some of these agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gemel.engine.screening import outliers
from gemel.engine.trends import FEWEST, SLOW, candidates_over, cosines_over, strengths

_TOGETHER = 0.95
"""The share of the variance of a sensor, beside a trend, that a fellow explains."""
_FELLOWS = 5
"""With how many others, the nearest, a sensor is compared."""
_MATTERS = 3.0
"""How many times the noise a change is at least."""
_WIDTH = 11
"""Over how many samples the rate of a sensor is taken."""
_MOST = 4000
"""To how many samples a record is thinned: a drift needs no more."""


@dataclass(frozen=True)
class Parting:
    """One of ``sensors`` parts from ``fellows``, by ``change`` in SI units over the record, or at ``step`` in s."""

    sensors: tuple[str, ...]
    fellows: tuple[str, ...]
    change: float
    step: float | None


def partings(
    times: Float[np.ndarray, " n"],
    courses: Mapping[str, Float[np.ndarray, " n"]],
    inputs: Sequence[Float[np.ndarray, " n"]] = (),
) -> tuple[list[Parting], list[str]]:
    """The sensors that part from their fellows, and those that have none.

    Args:
        times: in s.
        courses: what sensors of one physical quantity read, NaN where they read nothing.
        inputs: what drives the device.
    """
    every = slice(None, None, -(-len(times) // _MOST))
    times, inputs = times[every], [each[every] for each in inputs]
    courses = {name: values[every] for name, values in courses.items()}
    tested: dict[tuple[str, str], tuple[float, float | None] | None] = {}
    for name, values in courses.items():
        near = {other: _together(times, values, courses[other]) for other in courses if other != name}
        for other in sorted(near, key=lambda each: -near[each])[:_FELLOWS]:
            if near[other] >= _TOGETHER:
                tested[name, other] = _parting(times, values, courses[other], inputs)
    return _named(tested), [name for name in courses if all(one != name for one, _ in tested)]


def _named(tested: Mapping[tuple[str, str], tuple[float, float | None] | None]) -> list[Parting]:
    """Whom the pairs that part speak against, those that part from most fellows first."""
    parted = {(a, b) for a, b in tested if tested[a, b] and tested.get((b, a), tested[a, b])}
    fellows = {name: [other for one, other in tested if one == name] for name, _ in tested}
    found, cleared = [], set(fellows)
    while True:
        counts = {name: [o for o in fellows[name] if o in cleared and (name, o) in parted] for name in cleared}
        worst = max(counts, key=lambda name: len(counts[name]), default=None)
        if worst is None or not counts[worst]:
            return found
        against, known = counts[worst], [other for other in fellows[worst] if other in cleared]
        agree = any(b in fellows[a] and (a, b) not in parted for a in against for b in against if a != b)
        change, step = tested[worst, against[0]] or (0.0, None)
        if agree and 2 * len(against) > len(known):
            found.append(Parting((worst,), tuple(against), change, step))
        elif len(fellows[worst]) == 1 == len(fellows[against[0]]):
            found.append(Parting((worst, against[0]), (), change, step))
        cleared.discard(worst)


def _both(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isfinite(one) & np.isfinite(other))


def _together(times: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """The share of the variance of one sensor, beside its trend, that another explains."""
    known = _both(one, other)
    if len(known) < FEWEST:
        return 0.0
    slow = np.column_stack([np.ones(len(known)), times[known]])
    pair = np.column_stack([one[known], other[known]])
    left = pair - slow @ np.linalg.lstsq(slow, pair, rcond=None)[0]
    power = np.sum(left**2, axis=0)
    return float((left[:, 0] @ left[:, 1]) ** 2 / np.prod(power)) if power.min() > 0 else 0.0


def _parting(
    times: np.ndarray, one: np.ndarray, other: np.ndarray, inputs: Sequence[np.ndarray]
) -> tuple[float, float | None] | None:
    """By how much one sensor parts from another, and when where it is a step; None where it does not."""
    known = _both(one, other)
    wrong = outliers(_left(times, one, other, inputs, known)[0])
    if len(known) - wrong.sum() >= FEWEST:
        known = known[~wrong]
    left, columns, fixed = _left(times, one, other, inputs, known)
    noise, candidates = _noise(left, one[known]), candidates_over(times[known])
    table = np.column_stack([columns, *(each.column for each in candidates)])
    gram = table.T @ table
    whole = np.diagonal(gram)[fixed + SLOW :]
    found = strengths(gram, table.T @ one[known] / noise, fixed, whole)
    excess, size = found.over(candidates), found.size
    excess[np.abs(size) < _MATTERS] = 0.0
    best = int(np.argmax(excess))
    return (float(size[best] * noise), candidates[best].step) if excess[best] >= 1.0 else None


def _left(
    times: np.ndarray, one: np.ndarray, other: np.ndarray, inputs: Sequence[np.ndarray], known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """What a fellow, its rate and the inputs leave of a sensor beside the cosines; with all their columns, and how many
    the first ones are.
    """
    at, fellow = times[known], other[known]
    smooth = np.convolve(np.pad(fellow, _WIDTH // 2, mode="edge"), np.full(_WIDTH, 1 / _WIDTH), mode="valid")
    fixed = [np.ones(len(at)), fellow, np.gradient(smooth, at), *(each[known] for each in inputs)]
    columns = np.column_stack([*fixed, cosines_over(at)])
    return one[known] - columns @ np.linalg.lstsq(columns, one[known], rcond=None)[0], columns, len(fixed)


def _noise(left: np.ndarray, values: np.ndarray) -> float:
    """The noise of one sample by what it differs from the mean of its neighbours, or a coarse sensor by its steps."""
    middle = left[1:-1] - 0.5 * (left[2:] + left[:-2])
    steps = np.abs(np.diff(values))
    quantum = float(np.min(steps[steps > 0], initial=np.inf))
    coarse = quantum / 12**0.5 if np.mean(steps == 0) > 0.05 and np.isfinite(quantum) else 0.0
    return max(1.4826 * float(np.median(np.abs(middle))) / 1.5**0.5, coarse, 1e-12 * float(np.ptp(values)) or 1e-300)
