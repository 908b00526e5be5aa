"""Grids of equal steps for analyses in time."""

import math

import numpy as np


def check_step(step: float) -> None:
    """Raise `ValueError` for a step that is not positive."""
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"The time step must be positive, not {step} s.")


def check_increasing(times: np.ndarray | None, what: str) -> np.ndarray:
    """The times as an array. Raises `ValueError` for fewer than two, or times that do not increase."""
    if times is None or np.ndim(times) != 1 or len(times) < 2:
        raise ValueError(f"{what} needs 'times': at least two, in s.")
    if not np.all(np.isfinite(times)) or not np.all(np.diff(times) > 0):
        raise ValueError(f"The times of {what[0].lower() + what[1:]} must increase.")
    return np.asarray(times, dtype=float)


def equal_steps(times: np.ndarray | None, step: float, what: str) -> np.ndarray:
    """Equal steps from the first time past the last one. Raises `ValueError` as `check_increasing`."""
    times = check_increasing(times, what)
    count = max(1, math.ceil((times[-1] - times[0]) / step - 1e-9))
    return times[0] + step * np.arange(count + 1)
