"""Alexander's method of order 2."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver
from gemel.solvers.solution import Status
from gemel.solvers.time.sdirk import Memory, Tableau, first_memory, prepare_sdirk, sdirk_step
from gemel.solvers.time.stages import Prepared, StageMethod
from gemel.solvers.time.systems import System

_GAMMA = 1.0 - 1.0 / math.sqrt(2.0)
_TABLEAU = Tableau(
    gamma=_GAMMA,
    nodes=np.array([_GAMMA, 1.0]),
    lower=np.array([[0.0, 0.0], [1.0 - _GAMMA, 0.0]]),
    error=None,
    ahead=np.array([_GAMMA / (1 - _GAMMA), (1 - _GAMMA) / _GAMMA]),
)


class SDIRK2(StageMethod):
    """Alexander's two-stage, L-stable, stiffly accurate method of order 2, γ = 1 − 1/√2.

    Stages at t + γΔt and t + Δt: M (Uᵢ − base) + γΔt r(tᵢ, Uᵢ) = 0 with base u, then u + (1 − γ)Δt U̇₁; u
    at t + Δt is U₂. A linear system costs one linear solve a stage with one operator M + γΔt K for both,
    started from an extrapolation of the earlier stages. ``solver`` is a `LinearSolver` for linear systems,
    a `NonlinearSolver` for others.

    Alexander, *Diagonally implicit Runge-Kutta methods for stiff O.D.E.'s*, SIAM J. Numer. Anal. 14 (1977).
    """

    solver: LinearSolver | NonlinearSolver | None = None

    @property
    def implicit_weight(self) -> float:
        """γ = 1 − 1/√2."""
        return _GAMMA

    def prepare(self, assembled: Any, state: Any, memory: Any, dt: Array) -> Prepared:
        """Return M, the operator M + γΔt K where there is a K, and the state of the linear solver for it."""
        return prepare_sdirk(_TABLEAU, assembled, state, dt, self.solver)

    def start(
        self, system: System, assembled: Any, state: Any, t: Array, initial: Float[Array, " n"], args: PyTree
    ) -> tuple[Memory, Status]:
        """Return u and no slopes yet."""
        return first_memory(initial, False), Status(jnp.zeros((), jnp.int32))

    def step(
        self, system: System, prepared: Prepared, memory: Memory, t: Array, dt: Array, args: PyTree
    ) -> tuple[Memory, Status, Array]:
        """Advance by two stages."""
        return sdirk_step(_TABLEAU, self.solver, system, prepared, memory, t, dt, args)

    def output(self, memory: Memory) -> Float[Array, " n"]:
        """Return u."""
        return memory.u
