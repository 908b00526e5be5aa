"""Gear's backward differentiation formula of order 2."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver
from gemel.solvers.solution import Status
from gemel.solvers.time.stages import Prepared, StageMethod, first_rate, prepare_stages, solve_stage, stored
from gemel.solvers.time.systems import StoringSystem, System
from gemel.solvers.trail import Trail

_WEIGHT = 2.0 / 3.0


class Memory(eqx.Module):
    """u, u one step before, the size of that step, and how many steps of it are known; ``earlier``, two and three
    steps before, starts the next solve where they are. ``rate`` is r(t, u) where the run began, for its first step.
    """

    u: Float[Array, " n"]
    before: Float[Array, " n"]
    dt: Float[Array, ""]
    known: Float[Array, ""]
    earlier: tuple[Float[Array, " n"], Float[Array, " n"]]
    rate: Float[Array, " n"]


class BDF2(StageMethod):
    """The L-stable two-step method of order 2, on variable steps with ω = Δt/Δt₋₁:
    M [(1 + 2ω) u₁ − (1 + ω)² u₀ + ω² u₋₁] + (1 + ω) Δt r(t₁, u₁) = 0.

    One solve a step, with the operator M + ⅔Δt K for equal steps. The first step is one of the θ-method
    with θ = ⅔, which has the same operator and whose error, made once, is of the order of the method. Where
    a run of equal steps is continued with another step it starts anew in this way. Zero-stable for
    ω < 1 + √2. ``solver`` is a `LinearSolver` for linear systems, a `NonlinearSolver` for others.

    Gear, *Numerical Initial Value Problems in Ordinary Differential Equations*, Prentice-Hall (1971);
    Grigorieff, *Stability of multistep-methods on variable grids*, Numer. Math. 42 (1983).
    """

    solver: LinearSolver | NonlinearSolver | None = None

    @property
    def implicit_weight(self) -> float:
        """⅔, that of equal steps."""
        return _WEIGHT

    @property
    def stages(self) -> int:
        """One."""
        return 1

    def prepare(self, assembled: Any, state: Any, memory: Memory | None, dt: Array) -> Prepared:
        """Return M, the operator M + wK where there is a K, and the state of the linear solver for it."""
        weight = _WEIGHT if memory is None else _weight(memory, dt)
        return prepare_stages(assembled, state, weight * dt, self.solver, memory is not None)

    def start(
        self, system: System, assembled: Any, state: Any, t: Array, initial: Float[Array, " n"], args: PyTree
    ) -> tuple[Memory, Status]:
        """Return u without a step before it."""
        none = jnp.zeros((), t.dtype)
        rate = first_rate(system, assembled, t, initial, args)
        memory = Memory(initial, initial, jnp.ones_like(none), none, (initial, initial), rate)
        return memory, Status(jnp.zeros((), jnp.int32))

    def resume(self, system: System, assembled: Any, t: Array, memory: Memory, args: PyTree) -> Memory:
        """Return the memory with the rate at t, which a run that goes on with another step needs."""
        rate = first_rate(system, assembled, t, memory.u, args)
        return Memory(memory.u, memory.before, memory.dt, memory.known, memory.earlier, rate)

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
        u = memory.u
        same = jnp.abs(memory.dt - dt) <= 1e-6 * jnp.abs(dt)
        known = (memory.known > 0) & (same | prepared.variable)
        ratio = dt / memory.dt if prepared.variable else jnp.ones_like(dt)
        past = ratio**2 / (1 + 2 * ratio)
        storing = isinstance(system, StoringSystem)
        base = u if storing else jnp.where(known, u + past * (u - memory.before), u)
        later = -past * stored(system, prepared.mass, u, memory.before, args) if storing else 0.0
        load = jnp.where(known, later, (1 - _WEIGHT) * dt * memory.rate)
        guess = u + jnp.minimum(memory.known, 1.0) * dt / memory.dt * (u - memory.before)
        second, third = memory.earlier
        bend = jnp.where((memory.known > 1) & same, 1.0, 0.0)
        twist = jnp.where((memory.known > 2) & same, 1.0, 0.0)
        guess = guess + bend * (u - 2 * memory.before + second) + twist * (u - 3 * memory.before + 3 * second - third)
        solution, count, trail = solve_stage(system, self.solver, prepared, base, load, t + dt, guess, args, trail)
        again = jnp.where(same, jnp.minimum(memory.known + 1, 3.0), 1.0)
        return Memory(solution.value, u, dt, again, (memory.before, second), memory.rate), solution.status, count, trail

    def recall(
        self, u: Float[Array, " n"], before: Float[Array, " n"], dt: Float[Array, ""], known: Float[Array, ""]
    ) -> Memory:
        """Return the memory of a run that came to u from ``before`` in a step of ``dt``; ``known`` is not zero."""
        return Memory(u, before, dt, jnp.minimum(known, 1.0), (before, before), jnp.zeros_like(u))

    def output(self, memory: Memory) -> Float[Array, " n"]:
        """Return u."""
        return memory.u


def _weight(memory: Memory, dt: Array) -> Array:
    """(1 + ω)/(1 + 2ω), or ⅔ for a first step."""
    ratio = dt / memory.dt
    return jnp.where(memory.known > 0, (1 + ratio) / (1 + 2 * ratio), _WEIGHT)
