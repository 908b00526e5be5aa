"""Singly diagonally implicit Runge-Kutta methods: one body for every tableau."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver
from gemel.solvers.solution import Code, Status
from gemel.solvers.sparse import linear_combination
from gemel.solvers.time.stages import Prepared, StageMethod, linear_solver_of, prepare_stages, solve_stage, stored
from gemel.solvers.time.systems import StoringSystem, System
from gemel.solvers.trail import Trail


class Tableau(eqx.Module):
    """The numbers of a stiffly accurate SDIRK method with s stages: the last stage is the step.

    Args:
        gamma: the diagonal of A.
        nodes: c, shape (s,).
        lower: A below its diagonal, shape (s, s).
        error: b − b̂ of the embedded method, shape (s,), or None.
        ahead: how far, in units of the distance between the two stages before it, the slope of a stage is
            extrapolated from theirs to start its solve; shape (s,), zeros take the last slope as it is.
    """

    gamma: float
    nodes: np.ndarray
    lower: np.ndarray
    error: np.ndarray | None
    ahead: np.ndarray


class Memory(eqx.Module):
    """u, the slopes of the last two stages, whether those exist (0 or 1), and the difference of the embedded method."""

    u: Float[Array, " n"]
    older: Float[Array, " n"]
    last: Float[Array, " n"]
    known: Float[Array, ""]
    error: Float[Array, "_"]


def first_memory(u: Float[Array, " n"], estimates: bool) -> Memory:
    """Return the memory before the first step; a method without estimate keeps an empty one."""
    zero = jnp.zeros_like(u)
    return Memory(u, zero, zero, jnp.zeros((), u.dtype), zero if estimates else zero[:0])


class SDIRK(StageMethod):
    """A method given by its tableau."""

    @property
    @abc.abstractmethod
    def tableau(self) -> Tableau:
        """The numbers of the method."""

    @property
    def implicit_weight(self) -> float:
        """γ."""
        return self.tableau.gamma

    @property
    def stages(self) -> int:
        """Those of the tableau."""
        return len(self.tableau.nodes)

    def prepare(self, assembled: Any, state: Any, memory: Any, dt: Array) -> Prepared:
        """Return M, the operator M + γΔt K where there is a K, and the state of the linear solver for it."""
        return prepare_stages(assembled, state, self.tableau.gamma * dt, self.solver)

    def start(
        self, system: System, assembled: Any, state: Any, t: Array, initial: Float[Array, " n"], args: PyTree
    ) -> tuple[Memory, Status]:
        """Return u and no slopes yet."""
        return first_memory(initial, self.tableau.error is not None), Status(jnp.zeros((), jnp.int32))

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
        """Advance by all stages."""
        return sdirk_step(self.tableau, self.solver, system, prepared, memory, t, dt, args, trail)

    def output(self, memory: Memory) -> Float[Array, " n"]:
        """Return u."""
        return memory.u


def sdirk_step(
    tableau: Tableau,
    solver: LinearSolver | NonlinearSolver | None,
    system: System,
    prepared: Prepared,
    memory: Memory,
    t: Array,
    dt: Array,
    args: PyTree,
    trail: Trail | None,
) -> tuple[Memory, Status, Array, Trail | None]:
    """Advance one step, all stages by one body.

    Stage i at tᵢ = t + cᵢΔt: M (Uᵢ − base) + γΔt r(tᵢ, Uᵢ) = 0 with base u + Δt Σⱼ aᵢⱼ U̇ⱼ, j < i. Its slope
    U̇ᵢ = (Uᵢ − base)/(γΔt) needs no inverse of M. Where the content is not linear in u, the slopes are those
    of the content: m(Uᵢ) − m(u) − Δt Σⱼ aᵢⱼ ṁⱼ + γΔt r(tᵢ, Uᵢ) = 0.
    """
    storing = isinstance(system, StoringSystem)
    u, dtype = memory.u, memory.u.dtype
    stages = len(tableau.nodes)

    def stage(carry, coefficients):
        current, slopes, older, last, code, count, trail = carry
        i, node, behind, ahead = coefficients
        before = dt * (behind @ slopes)
        base, load = (u, -before) if storing else (u + before, jnp.zeros_like(u))
        weight = ahead * memory.known if system.linear else 0.0
        guess = current if storing else base + tableau.gamma * dt * (last + weight * (last - older))
        solution, taken, trail = solve_stage(system, solver, prepared, base, load, t + node * dt, guess, args, trail)
        gain = stored(system, prepared.mass, solution.value, u, args) - before if storing else solution.value - base
        slope = gain / (tableau.gamma * dt)
        code = jnp.where(code == Code.SUCCESS, solution.status.code, code)
        slopes = jax.lax.dynamic_update_index_in_dim(slopes, slope, i, 0)
        return (solution.value, slopes, last, slope, code, count + taken, trail), None

    none = jnp.zeros((), jnp.int32)
    coefficients = (
        jnp.arange(stages),
        jnp.asarray(tableau.nodes, dtype),
        jnp.asarray(tableau.lower, dtype),
        jnp.asarray(tableau.ahead, dtype),
    )
    carry = (u, jnp.zeros((stages, *u.shape), dtype), memory.older, memory.last, none, none, trail)
    (u, slopes, older, last, code, count, trail), _ = jax.lax.scan(stage, carry, coefficients)
    error = memory.error if tableau.error is None else dt * (jnp.asarray(tableau.error, dtype) @ slopes)
    return Memory(u, older, last, jnp.ones_like(memory.known), error), Status(code), count, trail


def filtered_error(
    tableau: Tableau,
    solver: LinearSolver | NonlinearSolver | None,
    system: System,
    prepared: Prepared,
    memory: Memory,
    t: Array,
    dt: Array,
    args: PyTree,
) -> Float[Array, " n"]:
    """Return (M + γΔt K)⁻¹ M e for the difference e of the two methods (M e itself where contents are compared).

    In stiff components e is of the size of what the step has damped already, and algebraic rows have no error of
    their own: both leave the estimate in this way, while it stays e as Δt tends to zero. Shampine's remedy, as in
    Hairer, Wanner, *Solving Ordinary Differential Equations II*, 2nd ed., Springer (1996), IV.8.
    """
    linear, operator, state = linear_solver_of(solver), prepared.operator, prepared.state
    storing = isinstance(system, StoringSystem)
    if operator is None:
        capacity = system.capacity(memory.u, args) if storing else prepared.mass
        operator = linear_combination(1.0, capacity, tableau.gamma * dt, system.tangent(t, memory.u, args))
        state = linear.init(operator) if state is None else linear.update(state, operator)
    difference = memory.error if storing else prepared.mass.mv(memory.error)
    return linear.compute(state, operator, difference).value
