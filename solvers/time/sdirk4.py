"""The method of order 4 of Hairer and Wanner, with an embedded one of order 3."""

import numpy as np
from jaxtyping import Array, Float, PyTree

from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver
from gemel.solvers.time.integrator import EmbeddedIntegrator
from gemel.solvers.time.sdirk import SDIRK, Memory, Tableau, filtered_error
from gemel.solvers.time.stages import Prepared
from gemel.solvers.time.systems import System

_WEIGHTS = np.array([25 / 24, -49 / 48, 125 / 16, -85 / 12, 1 / 4])
_EMBEDDED = np.array([59 / 48, -17 / 96, 225 / 32, -85 / 12, 0.0])
_TABLEAU = Tableau(
    gamma=0.25,
    nodes=np.array([1 / 4, 3 / 4, 11 / 20, 1 / 2, 1.0]),
    lower=np.array(
        [
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [1 / 2, 0.0, 0.0, 0.0, 0.0],
            [17 / 50, -1 / 25, 0.0, 0.0, 0.0],
            [371 / 1360, -137 / 2720, 15 / 544, 0.0, 0.0],
            [*_WEIGHTS[:4], 0.0],
        ]
    ),
    error=_WEIGHTS - _EMBEDDED,
    ahead=np.zeros(5),
)


class SDIRK4(SDIRK, EmbeddedIntegrator):
    """The five-stage, L-stable, stiffly accurate method of order 4, γ = 1/4, with an embedded method of order 3.

    Alone it steps as it is told; with an `ErrorControl`, `integrate_adaptive` chooses its steps. The estimate is
    (M + γΔt K)⁻¹ M e with e = Δt Σ (bᵢ − b̂ᵢ) U̇ᵢ. ``solver`` is a `LinearSolver` for linear systems, a
    `NonlinearSolver` for others; its tolerance must lie well below that of the error control.

    Hairer, Wanner, *Solving Ordinary Differential Equations II*, 2nd ed., Springer (1996), table IV.6.5.
    """

    solver: LinearSolver | NonlinearSolver | None = None

    @property
    def tableau(self) -> Tableau:
        """The numbers of the method."""
        return _TABLEAU

    @property
    def error_order(self) -> int:
        """4: the embedded method is of order 3."""
        return 4

    def error(
        self, system: System, prepared: Prepared, memory: Memory, t: Array, dt: Array, args: PyTree
    ) -> Float[Array, " n"]:
        """Return (M + γΔt K)⁻¹ M e, e the difference of the two methods."""
        return filtered_error(_TABLEAU, self.solver, system, prepared, memory, t, dt, args)
