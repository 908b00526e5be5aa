"""Implicit Euler, Crank-Nicolson and the θ-methods between them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver
from gemel.solvers.solution import Status
from gemel.solvers.time.stages import Prepared, StageMethod, explicit_rate, prepare_stages, solve_stage
from gemel.solvers.time.systems import System
from gemel.solvers.trail import Trail


class Memory(eqx.Module):
    """u and its mean slope over the last step, which starts the next solve."""

    u: Float[Array, " n"]
    slope: Float[Array, " n"]


class ImplicitEuler(StageMethod):
    """The L-stable method of order 1: M (u₁ − u₀) + Δt r(t₁, u₁) = 0.

    ``solver`` is a `LinearSolver` for linear systems, a `NonlinearSolver` for others.
    """

    solver: LinearSolver | NonlinearSolver | None = None

    @property
    def implicit_weight(self) -> float:
        """1."""
        return 1.0

    @property
    def stages(self) -> int:
        """One."""
        return 1

    def prepare(self, assembled: Any, state: Any, memory: Any, dt: Array) -> Prepared:
        """Return M, the operator M + Δt K where there is a K, and the state of the linear solver for it."""
        return prepare_stages(assembled, state, dt, self.solver)

    def start(
        self, system: System, assembled: Any, state: Any, t: Array, initial: Float[Array, " n"], args: PyTree
    ) -> tuple[Memory, Status]:
        """Return u and no slope yet."""
        return Memory(initial, jnp.zeros_like(initial)), Status(jnp.zeros((), jnp.int32))

    def resume(self, system: System, assembled: Any, t: Array, memory: Memory, args: PyTree) -> Memory:
        """Return the memory as it is."""
        return memory

    def step(
        self,
        system: System,
        prepared: Prepared,
        memory: Memory,
        t: Array,
        dt: Array,
        args: PyTree,
        trail: Trail | None,
    ) -> tuple[Memory, Status, Array, Trail | None]:
        """Advance by one stage."""
        guess = memory.u + dt * memory.slope
        solution, count, trail = solve_stage(system, self.solver, prepared, memory.u, 0.0, t + dt, guess, args, trail)
        return Memory(solution.value, (solution.value - memory.u) / dt), solution.status, count, trail

    def output(self, memory: Memory) -> Float[Array, " n"]:
        """Return u."""
        return memory.u


class CrankNicolson(StageMethod):
    """The θ-method M (u₁ − u₀) + Δt [θ r(t₁, u₁) + (1 − θ) r(t₀, u₀)] = 0; θ = ½ is of order 2 and A-stable.

    It is not L-stable: fast components, such as those of a start that does not fit the boundary values, decay
    slowly by changing sign at every step, faster for θ a little above ½, at the price of order 1. Algebraic
    rows are r(t₁, u₁) = 0. ``solver`` is a `LinearSolver` for linear systems, a `NonlinearSolver` for
    others. Raises `ValueError` for θ outside [½, 1].

    Crank, Nicolson, *A practical method for numerical evaluation of solutions of partial differential
    equations of the heat-conduction type*, Proc. Camb. Phil. Soc. 43 (1947).
    """

    solver: LinearSolver | NonlinearSolver | None = None
    theta: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        if not 0.5 <= self.theta <= 1:
            raise ValueError(f"CrankNicolson theta = {self.theta}: allowed are numbers from 0.5 to 1.")

    @property
    def implicit_weight(self) -> float:
        """θ."""
        return self.theta

    @property
    def stages(self) -> int:
        """One."""
        return 1

    def prepare(self, assembled: Any, state: Any, memory: Any, dt: Array) -> Prepared:
        """Return M, the operator M + θΔt K where there is a K, and the state of the linear solver for it."""
        return prepare_stages(assembled, state, self.theta * dt, self.solver)

    def start(
        self, system: System, assembled: Any, state: Any, t: Array, initial: Float[Array, " n"], args: PyTree
    ) -> tuple[Memory, Status]:
        """Return u and no slope yet."""
        return Memory(initial, jnp.zeros_like(initial)), Status(jnp.zeros((), jnp.int32))

    def resume(self, system: System, assembled: Any, t: Array, memory: Memory, args: PyTree) -> Memory:
        """Return the memory as it is."""
        return memory

    def step(
        self,
        system: System,
        prepared: Prepared,
        memory: Memory,
        t: Array,
        dt: Array,
        args: PyTree,
        trail: Trail | None,
    ) -> tuple[Memory, Status, Array, Trail | None]:
        """Advance by one stage."""
        load = (1 - self.theta) * dt * explicit_rate(system, prepared, t, memory.u, args)
        guess = memory.u + dt * memory.slope
        solution, count, trail = solve_stage(system, self.solver, prepared, memory.u, load, t + dt, guess, args, trail)
        return Memory(solution.value, (solution.value - memory.u) / dt), solution.status, count, trail

    def output(self, memory: Memory) -> Float[Array, " n"]:
        """Return u."""
        return memory.u
