"""Alexander's method of order 2."""

import math

import numpy as np

from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver
from gemel.solvers.time.sdirk import SDIRK, Tableau

_GAMMA = 1.0 - 1.0 / math.sqrt(2.0)
_TABLEAU = Tableau(
    gamma=_GAMMA,
    nodes=np.array([_GAMMA, 1.0]),
    lower=np.array([[0.0, 0.0], [1.0 - _GAMMA, 0.0]]),
    error=None,
    ahead=np.array([_GAMMA / (1 - _GAMMA), (1 - _GAMMA) / _GAMMA]),
)


class SDIRK2(SDIRK):
    """Alexander's two-stage, L-stable, stiffly accurate method of order 2, γ = 1 − 1/√2.

    Stages at t + γΔt and t + Δt: M (Uᵢ − base) + γΔt r(tᵢ, Uᵢ) = 0 with base u, then u + (1 − γ)Δt U̇₁; u
    at t + Δt is U₂. A linear system costs one linear solve a stage with one operator M + γΔt K for both,
    started from an extrapolation of the earlier stages. ``solver`` is a `LinearSolver` for linear systems,
    a `NonlinearSolver` for others.

    Alexander, *Diagonally implicit Runge-Kutta methods for stiff O.D.E.'s*, SIAM J. Numer. Anal. 14 (1977).
    """

    solver: LinearSolver | NonlinearSolver | None = None

    @property
    def tableau(self) -> Tableau:
        """The numbers of the method."""
        return _TABLEAU
