"""Newmark's method."""

import equinox as eqx

from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver
from gemel.solvers.time.alpha import AlphaMethod, Coefficients


class Newmark(AlphaMethod):
    """Newmark's method: the balance holds at the end of each step (αₘ = α_f = 0 in `AlphaMethod`).

    β = ¼, γ = ½ is the average acceleration: order 2, unconditionally stable, conserving the energy of
    linear systems exactly. γ > ½ damps and is of order 1. 2β < γ is stable for short steps only, and is
    refused: `CentralDifference` is the method for those.

    Args:
        beta: β.
        gamma: γ.
        solver: a `LinearSolver` for linear systems, a `NonlinearSolver` for others.

    Raises:
        ValueError: for γ < ½ or 2β < γ.

    Newmark, *A method of computation for structural dynamics*, J. Eng. Mech. Div. ASCE 85 (1959).
    """

    beta: float = eqx.field(static=True, default=0.25)
    gamma: float = eqx.field(static=True, default=0.5)
    solver: LinearSolver | NonlinearSolver | None = None  # pyright: ignore[reportIncompatibleMethodOverride]

    def __check_init__(self):
        if not 2 * self.beta >= self.gamma >= 0.5:
            raise ValueError(f"Newmark beta = {self.beta}, gamma = {self.gamma}: 2 beta >= gamma >= 0.5 is needed.")

    @property
    def coefficients(self) -> Coefficients:
        """αₘ, α_f, β and γ."""
        return Coefficients(0.0, 0.0, self.beta, self.gamma)
