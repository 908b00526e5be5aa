"""Conjugate gradients with the smoothed aggregation of pyamg, for the peers whose matrices scipy holds."""

from typing import Any

import numpy as np
import pyamg
import scipy.sparse

from benchmarks.cases import RTOL
from benchmarks.measure import Stages, Timing, timed
from benchmarks.peers.common import require

_COARSEST = 300


def hierarchy(matrix: Any, modes: np.ndarray | None) -> Any:
    """The levels with the defaults of pyamg; ``modes`` ``(n, k)`` are the near-kernel of elasticity."""
    fine = scipy.sparse.csr_matrix(matrix) if modes is None else scipy.sparse.csr_matrix(matrix).tobsr((3, 3))
    return pyamg.smoothed_aggregation_solver(fine, B=modes, max_coarse=_COARSEST)


def solve(matrix: Any, b: np.ndarray, modes: np.ndarray | None, repeat: int) -> tuple[np.ndarray, int, float, Timing]:
    """The solution, the iterations, the seconds of the set-up and those of the solve."""
    stages = Stages()
    with stages("preconditioner"):
        levels = hierarchy(matrix, modes)
    history: list[float] = []

    def iterate() -> np.ndarray:
        history.clear()
        return np.asarray(levels.solve(b, tol=RTOL, maxiter=500, accel="cg", residuals=history))

    u, timing = timed(iterate, repeat)
    require(float(np.linalg.norm(b - matrix @ u)), float(np.linalg.norm(b)), "pyamg")
    return u, len(history) - 1, stages.seconds["preconditioner"], timing


def rigid_body_modes(places: np.ndarray) -> np.ndarray:
    """Translations and rotations ``(n, 6)`` of unknowns at ``places`` ``(n, 3)``, interleaved by node."""
    x = places.T - 0.5
    component = np.arange(len(places)) % 3
    modes = np.zeros((len(places), 6))
    for i in range(3):
        modes[component == i, i] = 1.0
    for k, (i, j) in enumerate([(0, 1), (1, 2), (2, 0)], start=3):
        modes[component == i, k] = -x[j, component == i]
        modes[component == j, k] = x[i, component == j]
    return modes
