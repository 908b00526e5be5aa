r"""Whether what is left of a regression runs away in time: a trend, or a step at a time that is not known.

What is left, $r$, is regressed on what else explains it, then on a candidate $d$ (the time, or a step), then on the
first $K$ cosines over the record, each made orthogonal to those before it. With noise of unit variance the coefficients
$c_d$ and $c_1 \dots c_K$ are independent standard normal numbers; errors that hang together make all of them larger,
the more so the slower the cosine. So the candidate is held against the slow variation that is there anyway:

$$ T = |c_d| \Big/ \sqrt{\max\Big(1,\; \tfrac1K \sum_k c_k^2,\; \tfrac13 \sum_{k \le 3} c_k^2\Big)} . $$

Without the maximum it is Student's t of $K$ degrees of freedom where the spectrum is flat up to $K$ half waves a
record: Sun, *Robust trend inference with series variance estimator and testing-optimal smoothing parameter*, J.
Econometrics 164, 2011. Nothing says that it is flat, so that the limits of $T$ are taken from what is worst, a random
walk: of 2000 such records of 200 samples 3 % are taken for a trend and 1 % for a step; of errors that last a third of
the record 0.7 % and 1 %, a tenth 0 and 0.1 %, of white noise none.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SLOW = 8
"""How many cosines a candidate is held against."""
_SLOWEST = 3
TREND, STEP = 9.0, 8.5
"""What $T$ is at least where there is a trend or a step."""
FEWEST = 40
"""Samples below which nothing is said."""
_PARTS = 24
"""At how many places a step is looked for."""
_EXPLAINED = 1e-2
"""The share of a candidate that must be left by what else explains it."""


@dataclass(frozen=True)
class Candidate:
    """A course that what is left may follow.

    Attributes:
        step: where a step is, in s; None for a trend.
        column: ``(n,)`` it, which grows by one over the record.
    """

    step: float | None
    column: Float[np.ndarray, " n"]

    @property
    def limit(self) -> float:
        """What its $T$ is at least where it is there."""
        return TREND if self.step is None else STEP


def candidates_over(times: Float[np.ndarray, " n"]) -> list[Candidate]:
    """A trend, and steps that leave a tenth of the samples on either side."""
    share = (times - times[0]) / (times[-1] - times[0])
    places = np.unique(np.linspace(0.1 * len(times), 0.9 * len(times), _PARTS).astype(int))
    steps = [Candidate(float(times[i]), (times >= times[i]).astype(float)) for i in places]
    return [Candidate(None, share), *steps]


def cosines_over(times: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """The slow courses that a candidate is held against."""
    share = (times - times[0]) / (times[-1] - times[0])
    return np.cos(np.pi * np.outer(share, np.arange(1, SLOW + 1)))


def strengths(
    gram: Float[np.ndarray, "m m"], right: Float[np.ndarray, " m"], fixed: int, whole: Float[np.ndarray, " c"]
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """$T$ of each candidate, and how far what is left follows it.

    Args:
        gram: products of the columns with each other: ``fixed`` of what else explains what is left, then the cosines,
            then the candidates.
        right: their products with what is left, where noise has unit variance.
        fixed: how many columns come first.
        whole: ``(c,)`` the squares of the candidates before anything was taken out of them.

    Returns:
        ``(c,)`` each; zero for candidates that are explained by the columns before.
    """
    table, _ = _eliminated(np.column_stack([gram, right]), range(fixed))
    slow = np.arange(fixed, fixed + SLOW)
    found, sizes = [], []
    for place, size in zip(range(fixed + SLOW, len(gram)), whole, strict=True):
        pivot = table[place, place]
        if pivot <= _EXPLAINED * size:
            found.append(0.0)
            sizes.append(0.0)
            continue
        chosen = np.array([place, *slow])
        part = np.column_stack([table[np.ix_(chosen, chosen)], table[chosen, -1]])
        _, squares = _eliminated(part, range(len(chosen)))
        waves = squares[1:]
        floor = max(1.0, _mean(waves), _mean(waves[:_SLOWEST]))
        found.append(float(np.sqrt(squares[0] / floor)))
        sizes.append(float(table[place, -1] / pivot))
    return np.array(found), np.array(sizes)


def _mean(squares: np.ndarray) -> float:
    known = squares[np.isfinite(squares)]
    return float(known.mean()) if len(known) else 0.0


def _eliminated(table: np.ndarray, columns: range) -> tuple[np.ndarray, np.ndarray]:
    """A Gram matrix with its right side after columns are taken out one by one, and the square of the coefficient of
    each; NaN for one that those before explain, which is passed over.
    """
    table, sizes = table.copy(), np.diagonal(table).copy()
    squares = np.full(len(columns), np.nan)
    for place, j in enumerate(columns):
        if table[j, j] <= 1e-9 * sizes[j]:
            continue
        squares[place] = table[j, -1] ** 2 / table[j, j]
        table = table - np.outer(table[:, j] / table[j, j], table[j])
    return table, squares
