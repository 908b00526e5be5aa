"""Singly diagonally implicit Runge-Kutta methods: one body for every tableau."""

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
from gemel.solvers.time.stages import Prepared, linear_solver_of, prepare_stages, solve_stage
from gemel.solvers.time.systems import System


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


def prepare_sdirk(
    tableau: Tableau, assembled: Any, state: Any, dt: Array, solver: LinearSolver | NonlinearSolver
) -> Prepared:
    """Return M + γΔt K with the state of its solver."""
    return prepare_stages(assembled, state, tableau.gamma * dt, solver)


def sdirk_step(
    tableau: Tableau,
    solver: LinearSolver | NonlinearSolver,
    system: System,
    prepared: Prepared,
    memory: Memory,
    t: Array,
    dt: Array,
    args: PyTree,
) -> tuple[Memory, Status, Array]:
    """Advance one step, all stages by one body.

    Stage i at tᵢ = t + cᵢΔt: M (Uᵢ − base) + γΔt r(tᵢ, Uᵢ) = 0 with base u + Δt Σⱼ aᵢⱼ U̇ⱼ, j < i. Its slope
    U̇ᵢ = (Uᵢ − base)/(γΔt) needs no inverse of M.
    """
    u, dtype = memory.u, memory.u.dtype
    stages = len(tableau.nodes)

    def stage(carry, coefficients):
        _, slopes, older, last, code, count = carry
        i, node, behind, ahead = coefficients
        base = u + dt * (behind @ slopes)
        weight = ahead * memory.known if system.linear else 0.0
        guess = base + tableau.gamma * dt * (last + weight * (last - older))
        solution, taken = solve_stage(system, solver, prepared, base, 0.0, t + node * dt, guess, args)
        slope = (solution.value - base) / (tableau.gamma * dt)
        code = jnp.where(code == Code.SUCCESS, solution.status.code, code)
        slopes = jax.lax.dynamic_update_index_in_dim(slopes, slope, i, 0)
        return (solution.value, slopes, last, slope, code, count + taken), None

    none = jnp.zeros((), jnp.int32)
    coefficients = (
        jnp.arange(stages),
        jnp.asarray(tableau.nodes, dtype),
        jnp.asarray(tableau.lower, dtype),
        jnp.asarray(tableau.ahead, dtype),
    )
    carry = (u, jnp.zeros((stages, *u.shape), dtype), memory.older, memory.last, none, none)
    (u, slopes, older, last, code, count), _ = jax.lax.scan(stage, carry, coefficients)
    error = memory.error if tableau.error is None else dt * (jnp.asarray(tableau.error, dtype) @ slopes)
    return Memory(u, older, last, jnp.ones_like(memory.known), error), Status(code), count


def filtered_error(
    tableau: Tableau,
    solver: LinearSolver | NonlinearSolver,
    system: System,
    prepared: Prepared,
    memory: Memory,
    t: Array,
    dt: Array,
    args: PyTree,
) -> Float[Array, " n"]:
    """Return (M + γΔt K)⁻¹ M e for the difference e of the two methods.

    In stiff components e is of the size of what the step has damped already, and algebraic rows have no error of
    their own: both leave the estimate in this way, while it stays e as Δt tends to zero. Shampine's remedy, as in
    Hairer, Wanner, *Solving Ordinary Differential Equations II*, 2nd ed., Springer (1996), IV.8.
    """
    linear, operator, state = linear_solver_of(solver), prepared.operator, prepared.state
    if operator is None:
        tangent = system.tangent(t, memory.u, args)
        operator = linear_combination(1.0, prepared.mass, tableau.gamma * dt, tangent)
        state = linear.init(operator) if state is None else linear.update(state, operator)
    return linear.compute(state, operator, prepared.mass.mv(memory.error)).value
