"""What analyses in time share: grids of equal steps, and the solver of a step."""

import math

import numpy as np

from gemel.engine.physics import Physics
from gemel.solvers import CG, GMRES, Jacobi, LinearSolver


def check_step(step: float) -> None:
    """Raise `ValueError` for a step that is not positive."""
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"The time step must be positive, not {step} s.")


def check_increasing(times: np.ndarray | None, what: str) -> np.ndarray:
    """The times as an array. Raises `ValueError` for fewer than two, or times that do not increase."""
    if times is None or np.ndim(times) != 1 or len(times) < 2:
        raise ValueError(f"{what} needs 'times': at least two, in s.")
    if not np.all(np.isfinite(times)):
        raise ValueError(f"The times of {what[0].lower() + what[1:]} must be finite.")
    if not np.all(np.diff(times) > 0):
        raise ValueError(f"The times of {what[0].lower() + what[1:]} must increase.")
    return np.asarray(times, dtype=float)


def equal_steps(times: np.ndarray | None, step: float, what: str) -> np.ndarray:
    """Equal steps from the first time past the last one. Raises `ValueError` as `check_increasing`."""
    times = check_increasing(times, what)
    count = max(1, math.ceil((times[-1] - times[0]) / step - 1e-9))
    return times[0] + step * np.arange(count + 1)


def marching_solver(physics: Physics, rtol: float, max_steps: int) -> LinearSolver:
    """Conjugate gradients, or GMRES where a matrix of the physics is not symmetric, with Jacobi's preconditioner."""
    parts = (physics.problem, physics.inertia, physics.damping)
    if all(part is None or part.symmetric for part in parts):
        return CG(Jacobi(), rtol=rtol, atol=0.0, max_steps=max_steps)
    return GMRES(Jacobi(), rtol=rtol, atol=0.0, max_steps=max_steps, restart=50)
