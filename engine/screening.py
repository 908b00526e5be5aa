"""Samples that look wrong: outliers, suspects at the ends and stuck sensors, found without a model of the device."""

from collections.abc import Sequence

import numpy as np

_SHORTEST = 20
"""The fewest samples of a stretch in which a sensor is held to be stuck."""
_SHARE = 0.05
"""The least share of the samples of a record in such a stretch."""
_QUANTA = 5.0
"""How many steps of its resolution a sensor should have moved by before its silence means something."""


def outliers(values: np.ndarray, width: int = 11, limit: float = 6.0) -> np.ndarray:
    """Which samples lie far from the running median of their neighbours (Hampel's identifier).

    A sample is one where |v - m| > limit s, m the median of the ``width`` samples around it, s the greater of 1.4826
    times the median of |v - m| in that window and of the median size of the changes between neighbours, of those that
    are not zero: steps between the levels of a coarse sensor, or of one that is read more often than it is renewed,
    are no outliers. Samples at the ends, with fewer than half of ``width`` on one side, are not judged: there
    a spike cannot be told from a step; see `suspects`.

    Args:
        values: ``(n,)``; NaN marks missing samples, which are passed over.
        width: odd.
        limit: in standard deviations of normal noise.

    Returns:
        ``(n,)`` booleans, all False where fewer than ``width`` samples are there.

    Source: Hampel, "A general qualitative definition of robustness", Ann. Math. Stat. 42, 1971; Davies and Gather,
    "The identification of multiple outliers", JASA 88, 1993.
    """
    found = np.zeros(len(values), dtype=bool)
    places = np.flatnonzero(np.isfinite(values))
    known = values[places]
    if len(known) < width:
        return found
    windows = np.lib.stride_tricks.sliding_window_view(known, width)
    middle = np.median(windows, axis=1)
    spread = 1.4826 * np.median(np.abs(windows - middle[:, None]), axis=1)
    judged = slice(width // 2, width // 2 + len(windows))
    found[places[judged]] = np.abs(known[judged] - middle) > limit * np.maximum(spread, _change(known, 0.5))
    return found


def suspects(values: np.ndarray, width: int = 11, limit: float = 4.0) -> np.ndarray:
    """Which samples at the ends, where `outliers` judges none, lie far from those next to them: wrong or a step.

    Judged from inside outward, a sample is one where the change from the nearest sample that is no suspect, divided by
    the places between, is greater than ``limit`` times the changes between the ``width`` neighbours next to it and the
    median of those that are not zero, and than all changes between neighbours away from the ends. So a course that
    begins steeply passes, and so does a step like others of the record; outliers do not count.

    Args:
        values: ``(n,)``; NaN marks missing samples, which are passed over.
        width: odd, that of `outliers`.
        limit: in such changes.

    Returns:
        ``(n,)`` booleans, all False where fewer than one and a half ``width`` of samples are there.
    """
    found = np.zeros(len(values), dtype=bool)
    places = np.flatnonzero(np.isfinite(values) & ~outliers(values, width))
    known, half = values[places], width // 2
    if len(known) < half + width:
        return found
    for at, course in ((places, known), (places[::-1], known[::-1])):
        steps = np.abs(np.diff(course[half : max(len(course) - half, half + width)]))
        inner, greatest = half, float(steps.max())
        usual = max(float(steps[: width - 1].max()), _change(known, 0.5))
        for i in reversed(range(half)):
            change = float(abs(course[i] - course[inner])) / (inner - i)
            if change > max(limit * usual, greatest):
                found[at[i]] = True
            else:
                inner, usual = i, max(usual, change)
    return found


def _change(values: np.ndarray, quantile: float) -> float:
    """A quantile of the sizes of the changes between neighbours that are not zero; 0 where there is none."""
    steps = np.abs(np.diff(values))
    steps = steps[steps > 0]
    return float(np.quantile(steps, quantile)) if len(steps) else 0.0


def stuck(
    times: np.ndarray, values: np.ndarray, others: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[tuple[int, int]]:
    """Stretches in which a sensor repeats one value bit for bit while others move.

    A stretch has at least 20 samples and a twentieth of all, and ends with a jump, of more than twice the median change
    between neighbours, or with the record; a value that fills several such stretches is a level to which the device
    returns (no sun, no flow), and none of them counts. A sensor that otherwise hardly ever repeats a value is stuck
    where any other moves. One that rounds is stuck where the others move so far, as a share of their ranges, that it
    should have moved by five of its steps.

    Args:
        times: ``(n,)`` in s.
        values: ``(n,)``; NaN marks missing samples, which are passed over.
        others: times and values of the other sensors.

    Returns:
        The first and the last sample of each stretch, as positions in ``values``.
    """
    places = np.flatnonzero(np.isfinite(values))
    known = values[places]
    if len(known) < _SHORTEST:
        return []
    edges = np.concatenate([[0], np.flatnonzero(np.diff(known) != 0) + 1, [len(known)]])
    lengths = np.diff(edges)
    long = lengths >= max(_SHORTEST, _SHARE * len(known))
    rest = np.diff(known)[~np.repeat(long, lengths)[1:]]
    coarse = len(rest) == 0 or bool(np.mean(rest == 0) > 0.05)
    needed = _QUANTA * _change(known, 0.1) if coarse else 0.0
    levels, uses = np.unique(known[edges[:-1][long]], return_counts=True)
    jump = 2 * _change(known, 0.5)
    found = []
    for first, last in zip(edges[:-1][long].tolist(), (edges[1:][long] - 1).tolist(), strict=True):
        ends = last == len(known) - 1 or abs(known[last + 1] - known[last]) > jump
        if not ends or uses[levels == known[first]][0] > 1:
            continue
        moves = [_movement(t, v, *times[places[[first, last]]].tolist()) for t, v in others]
        moves = [share for share in moves if share is not None]
        share = (np.median(moves) if coarse else max(moves)) if moves else 0.0
        if share > 0 and share * np.ptp(known) >= needed:
            found.append((int(places[first]), int(places[last])))
    return found


def _movement(times: np.ndarray, values: np.ndarray, start: float, end: float) -> float | None:
    """The range of a sensor from ``start`` to ``end`` as a share of its whole range; None where it says nothing."""
    known = np.isfinite(values)
    inside = values[known & (times >= start) & (times <= end)]
    if len(inside) < 2:
        return None
    whole = float(np.ptp(values[known]))
    moved = float(np.ptp(inside))
    return moved / whole if moved > 2 * _change(values[known], 0.1) else 0.0
