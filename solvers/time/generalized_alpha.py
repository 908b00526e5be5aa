"""The generalised-α method of Chung and Hulbert."""

import equinox as eqx

from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver
from gemel.solvers.time.alpha import AlphaMethod, Coefficients


class GeneralizedAlpha(AlphaMethod):
    """The generalised-α method: order 2, unconditionally stable for linear systems, with numerical damping of
    high frequencies set by one number.

    ρ∞ in [0, 1] is the factor by which one step shrinks what is much faster than Δt: 1 keeps all energy, 0
    removes such motions in one step. αₘ = (2ρ∞ − 1)/(ρ∞ + 1), α_f = ρ∞/(ρ∞ + 1), γ = ½ − αₘ + α_f,
    β = ¼ (1 − αₘ + α_f)². The balance that each step solves is in `AlphaMethod`.

    Args:
        rho_inf: ρ∞.
        solver: a `LinearSolver` for linear systems, a `NonlinearSolver` for others.

    Raises:
        ValueError: for ρ∞ outside [0, 1].

    Chung, Hulbert, *A time integration algorithm for structural dynamics with improved numerical dissipation:
    the generalized-α method*, J. Appl. Mech. 60 (1993).
    """

    rho_inf: float = eqx.field(static=True)
    solver: LinearSolver | NonlinearSolver | None = None  # pyright: ignore[reportIncompatibleMethodOverride]

    def __check_init__(self):
        if not 0 <= self.rho_inf <= 1:
            raise ValueError(f"GeneralizedAlpha rho_inf = {self.rho_inf}: allowed are numbers from 0 to 1.")

    @property
    def coefficients(self) -> Coefficients:
        """αₘ, α_f, β and γ."""
        rho = self.rho_inf
        alpha_m, alpha_f = (2 * rho - 1) / (rho + 1), rho / (rho + 1)
        return Coefficients(alpha_m, alpha_f, 0.25 * (1 - alpha_m + alpha_f) ** 2, 0.5 - alpha_m + alpha_f)
