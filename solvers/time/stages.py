"""Implicit stages M (U − base) + w r(t, U) + load = 0, which all implicit methods of first order are made of."""

import abc
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from gemel.solvers.implicit import state_for
from gemel.solvers.krylov.common import KrylovSolver
from gemel.solvers.linear import linear_step
from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver, nonlinear_step
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Solution, Status
from gemel.solvers.sparse import linear_combination
from gemel.solvers.time.integrator import TimeIntegrator
from gemel.solvers.time.systems import FirstOrderSystem, StoringSystem, System
from gemel.solvers.trail import Trail

_FOLLOWED = 4
"""Solutions that a trail keeps; with eight the steps of conjugate gradients fall by a seventh at most."""


class Prepared(eqx.Module):
    """M, the operator M + w K of all stages where there is a K, the state of its linear solver, w, and what of the
    load rests; ``variable`` where the weight follows the steps. ``held`` takes the operator's place in the solves.
    """

    mass: LinearOperator
    operator: LinearOperator | None
    state: Any
    weight: Array
    resting: Any
    variable: bool = eqx.field(static=True, default=False)
    held: LinearOperator | None = None


class _Stage(eqx.Module):
    """The residual of a stage and its tangent M + w ∂r/∂u."""

    system: System

    def residual(self, u: Array, parameters: Any) -> Array:
        mass, base, load, t, weight, args = parameters
        complete = self.system.complete(t, u, args) if isinstance(self.system, StoringSystem) else u
        gain = stored(self.system, mass, complete, base, args)
        return gain + weight * self.system.residual(t, u, args) + load

    def tangent(self, u: Array, parameters: Any) -> LinearOperator:
        mass, _, _, t, weight, args = parameters
        capacity = mass
        if isinstance(self.system, StoringSystem):
            capacity = self.system.capacity(self.system.complete(t, u, args), args)
        return linear_combination(1.0, capacity, weight, self.system.tangent(t, u, args))


def stored(
    system: System, mass: LinearOperator, u: Float[Array, " n"], base: Float[Array, " n"], args: PyTree
) -> Float[Array, " n"]:
    """Return what u holds more than ``base``: M (u − base), or m(u) − m(base)."""
    if isinstance(system, StoringSystem):
        return system.content(u, args) - system.content(base, args)
    return mass.mv(u - base)


def linear_solver_of(solver: LinearSolver | NonlinearSolver | None) -> LinearSolver:
    """Return the linear solver itself, or that of a nonlinear solver."""
    if solver is None:
        raise ValueError("The time integrator has no solver: give it a LinearSolver, or a Newton.")
    return solver.linear_solver if isinstance(solver, NonlinearSolver) else solver


def first_trail(
    solver: LinearSolver | NonlinearSolver | None, like: Float[Array, " n"], solves: int = 1
) -> Trail | None:
    """Return an empty trail for iterative solvers; None for others, which have no use for a start."""
    return Trail.none(_FOLLOWED, like, solves) if isinstance(linear_solver_of(solver), KrylovSolver) else None


def check_solver(method: TimeIntegrator, solver: LinearSolver | NonlinearSolver | None, system: System) -> None:
    """Raise `ValueError` for no solver, or a linear one where the system needs Newton's method."""
    linear_solver_of(solver)
    if not system.linear and not isinstance(solver, NonlinearSolver):
        name = type(method).__name__
        raise ValueError(f"{name} was given a linear solver for a nonlinear system: give it a Newton.")


class StageMethod(TimeIntegrator):
    """What implicit methods of first order share: set-up and solution of stages with one weight w = γΔt.

    ``solver`` is a `LinearSolver` for linear systems, a `NonlinearSolver` for
    others; None where whoever uses the method gives it one.
    """

    solver: eqx.AbstractVar[LinearSolver | NonlinearSolver | None]

    @property
    @abc.abstractmethod
    def implicit_weight(self) -> float:
        """γ."""

    @property
    @abc.abstractmethod
    def stages(self) -> int:
        """The stages of a step."""

    def init(
        self,
        system: System,
        t: Array | float,
        initial: Float[Array, " n"],
        dt: Array | float,
        args: PyTree,
    ) -> Any:
        """Set the linear solver up for M + γΔt ∂r/∂u at (t, u)."""
        tangent = system.tangent(jnp.asarray(t), initial, args)
        operator = linear_combination(1.0, system.mass(args), self.implicit_weight * dt, tangent)
        return linear_solver_of(self.solver).init(operator)

    def assemble(self, system: System, t: Array, initial: Float[Array, " n"], args: PyTree) -> Any:
        """Return (M, K, what of the load rests), with None for the last two where the system is not linear."""
        if not isinstance(system, FirstOrderSystem | StoringSystem):
            raise ValueError(f"{type(self).__name__} integrates a FirstOrderSystem, not a {type(system).__name__}.")
        check_solver(self, self.solver, system)
        mass = system.mass(args)
        return (mass, system.tangent(t, initial, args), system.resting(args)) if system.linear else (mass, None, None)

    def shared_operator(self, prepared: Prepared) -> LinearOperator | None:
        """Return M + w K; None where the system is not linear."""
        return prepared.operator

    def with_operator(self, prepared: Prepared, operator: LinearOperator) -> Prepared:
        """Return the same, with this operator in the solves."""
        return replace(prepared, held=operator)

    def trail(self, memory: Any) -> Trail | None:
        """Return an empty trail for iterative solvers."""
        return first_trail(self.solver, self.output(memory), self.stages)

    def verdict(self, system: System, prepared: Any, memory: Any, t: Array, dt: Array, args: PyTree) -> Status:
        """Success: the stages have been judged by their solver."""
        return Status(jnp.zeros((), jnp.int32))


def prepare_stages(
    assembled: Any,
    state: Any,
    weight: Array,
    solver: LinearSolver | NonlinearSolver | None,
    variable: bool = False,
) -> Prepared:
    """Return what all stages of one weight share."""
    mass, tangent, resting = assembled
    if tangent is None:
        return Prepared(mass, None, state, weight, None, variable)
    operator = linear_combination(1.0, mass, weight, tangent)
    state = state_for(linear_solver_of(solver), state, operator)
    return Prepared(mass, operator, state, weight, resting, variable)


def solve_stage(
    system: System,
    solver: LinearSolver | NonlinearSolver | None,
    prepared: Prepared,
    base: Float[Array, " n"],
    load: Float[Array, " n"] | float,
    t: Array,
    guess: Float[Array, " n"],
    args: PyTree,
    trail: Trail | None,
) -> tuple[Solution[Array], Array, Trail | None]:
    """Solve M (U − base) + w r(t, U) + load = 0 for U. Returns it, the number of linear iterations, and the trail."""
    mass, weight = prepared.mass, prepared.weight
    if prepared.operator is not None:
        rhs = mass.mv(base) - weight * system.load(t, jnp.zeros_like(base), prepared.resting, args) - load
        linear = linear_solver_of(solver)
        operator = prepared.operator if prepared.held is None else prepared.held
        solution, trail = linear_step(operator, rhs, linear, prepared.state, guess, trail)
        return solution, solution.statistics["steps"], trail
    assert isinstance(solver, NonlinearSolver)
    stage = _Stage(system)
    parameters = (mass, base, jnp.broadcast_to(load, base.shape), t, weight, args)
    solution, trail = nonlinear_step(
        stage.residual, guess, parameters, solver, stage.tangent, prepared.state, mass.symmetric, trail
    )
    return solution, solution.statistics["linear_steps"], trail


def first_rate(system: System, assembled: Any, t: Array, u: Float[Array, " n"], args: PyTree) -> Float[Array, " n"]:
    """Return `explicit_rate` before there is a step: K u + r(t, 0) of a linear system."""
    mass, tangent, resting = assembled
    if tangent is None:
        rate = system.residual(t, u, args)
    else:
        rate = tangent.mv(u) + system.load(t, jnp.zeros_like(u), resting, args)
    return jnp.where(mass.diagonal() != 0, rate, 0.0)


def explicit_rate(
    system: System, prepared: Prepared, t: Array, u: Float[Array, " n"], args: PyTree
) -> Float[Array, " n"]:
    """Return r(t, u) in the rows that have mass, zero in the algebraic ones: M u̇ = −r, for methods that use u̇.

    Of a linear system it takes two products: K u = ((M + w K) u − M u) / w.
    """
    mass, operator = prepared.mass, prepared.operator
    if operator is None:
        rate = system.residual(t, u, args)
    else:
        load = system.load(t, jnp.zeros_like(u), prepared.resting, args)
        rate = (operator.mv(u) - mass.mv(u)) / prepared.weight + load
    return jnp.where(mass.diagonal() != 0, rate, 0.0)
