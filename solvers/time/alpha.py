"""The generalised-α family for M ü + C u̇ + r(t, u) = 0: one body for Newmark's and its successors' methods."""

import abc
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from gemel.solvers.implicit import state_for
from gemel.solvers.linear import linear_solve, linear_step
from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver, nonlinear_step
from gemel.solvers.operators import DiagonalOperator, LinearOperator
from gemel.solvers.solution import Solution, Status
from gemel.solvers.sparse import linear_combination
from gemel.solvers.time.integrator import TimeIntegrator
from gemel.solvers.time.stages import check_solver, first_trail, linear_solver_of
from gemel.solvers.time.systems import Motion, SecondOrderSystem, System
from gemel.solvers.trail import Trail


class Coefficients(NamedTuple):
    """αₘ, α_f, β and γ of the method."""

    alpha_m: float
    alpha_f: float
    beta: float
    gamma: float


class _States(NamedTuple):
    """The states of the linear solver: of the operator of a step, and of the mass matrix."""

    step: Any
    mass: Any


class _Prepared(eqx.Module):
    mass: LinearOperator
    damping: LinearOperator | None
    operator: LinearOperator | None
    state: Any


class _Step(eqx.Module):
    """The residual of one step in the displacement at its end, times βΔt², and its tangent."""

    system: System
    numbers: Coefficients = eqx.field(static=True)

    def residual(self, u: Array, parameters: Any) -> Array:
        mass, damping, motion, t, dt, args = parameters
        beta = self.numbers.beta * dt**2
        a = (u - _predicted(self.numbers, motion, dt).u) / beta
        return beta * balance(self.numbers, self.system, mass, damping, motion, a, t, dt, args)

    def tangent(self, u: Array, parameters: Any) -> LinearOperator:
        mass, damping, motion, t, dt, args = parameters
        at = motion.u + (1 - self.numbers.alpha_f) * (u - motion.u)
        stiffness = self.system.tangent(t + (1 - self.numbers.alpha_f) * dt, at, args)
        return step_operator(self.numbers, mass, damping, stiffness, dt)


def _predicted(numbers: Coefficients, motion: Motion, dt: Array) -> Motion:
    """The end of a step with zero acceleration there."""
    u = motion.u + dt * motion.v + dt**2 * (0.5 - numbers.beta) * motion.a
    v = motion.v + dt * (1 - numbers.gamma) * motion.a
    return Motion(u, v, jnp.zeros_like(u))


def corrected(numbers: Coefficients, motion: Motion, a: Float[Array, " n"], dt: Array) -> Motion:
    """The end of a step with acceleration a there, by Newmark's formulas."""
    start = _predicted(numbers, motion, dt)
    return Motion(start.u + numbers.beta * dt**2 * a, start.v + numbers.gamma * dt * a, a)


def balance(
    numbers: Coefficients,
    system: System,
    mass: LinearOperator,
    damping: LinearOperator | None,
    motion: Motion,
    a: Float[Array, " n"],
    t: Array,
    dt: Array,
    args: PyTree,
) -> Float[Array, " n"]:
    """The forces M a + C v + r(t, u) at the generalised mid-points of a step that ends with acceleration a."""
    end = corrected(numbers, motion, a, dt)
    late, early = 1 - numbers.alpha_f, numbers.alpha_f
    force = mass.mv((1 - numbers.alpha_m) * a + numbers.alpha_m * motion.a)
    if damping is not None:
        force = force + damping.mv(late * end.v + early * motion.v)
    return force + system.residual(t + late * dt, late * end.u + early * motion.u, args)


def step_operator(
    numbers: Coefficients, mass: LinearOperator, damping: LinearOperator | None, stiffness: LinearOperator, dt: Any
) -> LinearOperator:
    """(1 − αₘ) M + (1 − α_f) γΔt C + (1 − α_f) βΔt² K, the derivative of the forces in the acceleration."""
    late = 1 - numbers.alpha_f
    operator = linear_combination(1 - numbers.alpha_m, mass, late * numbers.beta * dt**2, stiffness)
    if damping is None:
        return operator
    return linear_combination(1.0, operator, late * numbers.gamma * dt, damping)


def filled_mass(mass: LinearOperator) -> LinearOperator:
    """M with ones on the diagonal of its empty rows, so that it has an inverse."""
    return linear_combination(1.0, mass, 1.0, DiagonalOperator(jnp.where(mass.diagonal() != 0, 0.0, 1.0)))


def second_order(method: TimeIntegrator, system: System) -> SecondOrderSystem:
    """Return the system, or raise `ValueError` for one of first order."""
    if not isinstance(system, SecondOrderSystem):
        raise ValueError(f"{type(method).__name__} integrates a SecondOrderSystem, not a {type(system).__name__}.")
    return system


class AlphaMethod(TimeIntegrator):
    """What the methods of the generalised-α family share.

    A step from (u₀, v₀, a₀) finds the acceleration a₁ at its end from the balance at generalised mid-points,
    M [(1 − αₘ) a₁ + αₘ a₀] + C [(1 − α_f) v₁ + α_f v₀] + r(t_f, (1 − α_f) u₁ + α_f u₀) = 0 with
    t_f = t₁ − α_f Δt, u₁ = u₀ + Δt v₀ + Δt² [(½ − β) a₀ + β a₁] and v₁ = v₀ + Δt [(1 − γ) a₀ + γ a₁].
    The first acceleration is that of the balance at the start: M a₀ = −C v₀ − r(t₀, u₀). Prescribed unknowns
    take their motion at t₁ from ``system.prescribe``. The memory is the `Motion`.

    Linear systems cost one solve a step for a₁, others Newton's method in u₁. ``solver`` is a
    `LinearSolver` for linear systems, a `NonlinearSolver` for others; its linear solver also finds the
    first acceleration.
    """

    if TYPE_CHECKING:
        # For type checkers a property: an abstract variable would take the first place in every constructor.
        @property
        def solver(self) -> LinearSolver | NonlinearSolver | None:
            """What solves the steps."""
            ...
    else:
        solver: eqx.AbstractVar[LinearSolver | NonlinearSolver | None]

    @property
    @abc.abstractmethod
    def coefficients(self) -> Coefficients:
        """αₘ, α_f, β and γ."""

    def init(self, system: System, t: Array | float, initial: PyTree, dt: Array | float, args: PyTree) -> Any:
        """Set the linear solver up for the operator of a step and for the mass matrix."""
        system = second_order(self, system)
        linear, mass = linear_solver_of(self.solver), system.mass(args)
        stiffness = system.tangent(jnp.asarray(t), initial[0], args)
        operator = step_operator(self.coefficients, mass, system.damping(args), stiffness, dt)
        return _States(linear.init(operator), linear.init(filled_mass(mass)))

    def assemble(self, system: System, t: Array, initial: PyTree, args: PyTree) -> Any:
        """Return (M, C, K), with None for K where the system is not linear."""
        system = second_order(self, system)
        check_solver(self, self.solver, system)
        stiffness = system.tangent(t, initial[0], args) if system.linear else None
        return system.mass(args), system.damping(args), stiffness

    def prepare(self, assembled: Any, state: Any, memory: Any, dt: Array) -> _Prepared:
        """Return M, C, the operator of a step where there is a K, and the state of the linear solver for it."""
        mass, damping, stiffness = assembled
        state = None if state is None else state.step
        if stiffness is None:
            return _Prepared(mass, damping, None, state)
        operator = step_operator(self.coefficients, mass, damping, stiffness, dt)
        state = state_for(linear_solver_of(self.solver), state, operator)
        return _Prepared(mass, damping, operator, state)

    def start(
        self, system: System, assembled: Any, state: Any, t: Array, initial: PyTree, args: PyTree
    ) -> tuple[Motion, Status]:
        """Return the motion with the acceleration of the balance at the start."""
        linear = linear_solver_of(self.solver)
        return balanced_start(second_order(self, system), assembled, linear, state and state.mass, t, initial, args)

    def shared_operator(self, prepared: _Prepared) -> LinearOperator | None:
        """Return the operator of a step; None where the system is not linear."""
        return prepared.operator

    def with_operator(self, prepared: _Prepared, operator: LinearOperator) -> _Prepared:
        """Return the same, with this operator."""
        return replace(prepared, operator=operator)

    def trail(self, memory: Motion) -> Trail | None:
        """Return an empty trail for iterative solvers."""
        return first_trail(self.solver, memory.u)

    def resume(self, system: System, assembled: Any, t: Array, memory: Motion, args: PyTree) -> Motion:
        """Return the memory as it is."""
        return memory

    def step(
        self,
        system: System,
        prepared: _Prepared,
        memory: Motion,
        t: Array,
        dt: Array,
        args: PyTree,
        trail: Trail | None,
    ) -> tuple[Motion, Status, Array, Trail | None]:
        """Advance one step."""
        numbers = self.coefficients
        mass, damping = prepared.mass, prepared.damping
        if prepared.operator is not None:
            load = -balance(numbers, system, mass, damping, memory, jnp.zeros_like(memory.a), t, dt, args)
            linear = linear_solver_of(self.solver)
            solution, trail = linear_step(prepared.operator, load, linear, prepared.state, memory.a, trail)
            a, count = solution.value, solution.statistics["steps"]
        else:
            solution, trail = self._newton(system, prepared, memory, t, dt, args, trail)
            a = (solution.value - _predicted(numbers, memory, dt).u) / (numbers.beta * dt**2)
            count = solution.statistics["linear_steps"]
        end = second_order(self, system).prescribe(t + dt, corrected(numbers, memory, a, dt), args)
        return end, solution.status, count, trail

    def _newton(
        self,
        system: System,
        prepared: _Prepared,
        memory: Motion,
        t: Array,
        dt: Array,
        args: PyTree,
        trail: Trail | None,
    ) -> tuple[Solution[Array], Trail | None]:
        assert isinstance(self.solver, NonlinearSolver)
        step = _Step(system, self.coefficients)
        parameters = (prepared.mass, prepared.damping, memory, t, dt, args)
        guess = memory.u + dt * memory.v + 0.5 * dt**2 * memory.a
        symmetric = prepared.mass.symmetric
        return nonlinear_step(
            step.residual, guess, parameters, self.solver, step.tangent, prepared.state, symmetric, trail
        )

    def recall(self, motion: Motion) -> Motion:
        """Return the memory of a run that came to this motion."""
        return motion

    def output(self, memory: Motion) -> Motion:
        """Return the motion."""
        return memory

    def verdict(self, system: System, prepared: Any, memory: Any, t: Array, dt: Array, args: PyTree) -> Status:
        """Success: the steps have been judged by their solver."""
        return Status(jnp.zeros((), jnp.int32))


def balanced_start(
    system: SecondOrderSystem,
    assembled: Any,
    solver: LinearSolver,
    state: Any,
    t: Array,
    initial: tuple[Float[Array, " n"], Float[Array, " n"]],
    args: PyTree,
) -> tuple[Motion, Status]:
    """Return the motion at the start, its acceleration from M a = −C v − r(t, u)."""
    mass, damping, _ = assembled
    u, v = initial
    motion = system.prescribe(t, Motion(u, v, jnp.zeros_like(u)), args)
    force = system.residual(t, motion.u, args)
    if damping is not None:
        force = force + damping.mv(motion.v)
    inertia = filled_mass(mass)
    load = jnp.where(mass.diagonal() != 0, -force, 0.0)
    found = linear_solve(inertia, load, solver, state)
    return system.prescribe(t, Motion(motion.u, motion.v, found.value), args), found.status
