"""Grids of time steps that land where something is known to switch."""

import itertools
import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float


def step_grid(start: float, stop: float, step: float, breakpoints: Iterable[float] = ()) -> Float[np.ndarray, " m"]:
    """Return increasing times from ``start`` to ``stop`` that contain every breakpoint between them, in s.

    Between two breakpoints the steps are equal and not longer than ``step``: no step goes across a known switch
    (a load that jumps, a contactor), where every method would lose its order. Breakpoints closer to each other
    than 1e-9 of ``step`` are one.

    Raises `ValueError` for a step that is not positive, or an end that is not after the start.
    """
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"The step must be positive, not {step:g} s.")
    if not start < stop:
        raise ValueError(f"A grid from {start:g} s to {stop:g} s is empty: the end must come after the start.")
    inside = sorted(float(t) for t in breakpoints if start < t < stop)
    ends = [start]
    for t in (*inside, stop):
        if t - ends[-1] > 1e-9 * step:
            ends.append(t)
    ends[-1] = stop
    pieces = [np.linspace(a, b, max(1, math.ceil((b - a) / step - 1e-9)) + 1)[:-1] for a, b in itertools.pairwise(ends)]
    return np.concatenate([*pieces, [stop]])
