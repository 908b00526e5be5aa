r"""Transient analysis of first order in time: $M\dot u + r(t, u) = 0$."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis
from gemel.engine.analyses.content import ContentSystem
from gemel.engine.analyses.loads import Loads
from gemel.engine.analyses.steps import check_increasing, check_step, equal_steps, marching_solver
from gemel.engine.boundarysensors import BodyObservation, rates
from gemel.engine.coefficients import drive, inputs_of, undriven
from gemel.engine.compiling import sharing
from gemel.engine.initial import check_initial, initial_field
from gemel.engine.lawinputs import asked_by_body, over_time
from gemel.engine.physics import Physics
from gemel.engine.problems import DiscreteProblem
from gemel.engine.sensors import Sensor
from gemel.engine.signals import Series, at_time, interval_means
from gemel.engine.spaces import MixedSpace
from gemel.solvers import (
    BDF2,
    SDIRK2,
    SDIRK4,
    AssembledOperator,
    Backtracking,
    CrankNicolson,
    ErrorControl,
    FirstOrderSystem,
    ImplicitEuler,
    LinearOperator,
    LinearSolver,
    Newton,
    Solution,
    SparseDirect,
    integrate,
    integrate_adaptive,
    linear_combination,
)

_HALVINGS = 12

Method = SDIRK2 | SDIRK4 | ImplicitEuler | CrankNicolson | BDF2


class Transient(Analysis):
    r"""The history of a field from a given start, with a fixed step, or with steps that an error control chooses.

    Args:
        physics: a physics with inertia, such as `Heat` with a capacity or an enthalpy.
        initial: the field at the start in SI: a number, parameter, `Profile`, or nodal values; on a mixed space a
            mapping from fields to those. The state of an earlier run continues it; that of a `BDF2` remembers the
            step before too.
        step: time step in s. Held inputs enter by their mean over each step (over the halves of the two steps that
            meet at a time, for `BDF2` and `CrankNicolson`). Sensors are read at every step and interpolated linearly
            in between.
        rtol: relative tolerance of the linear solves, and of Newton's method where the problem is nonlinear.
        max_steps: limit of iterations of one linear solve.
        linear_solver: replaces conjugate gradients (GMRES where the tangent or the capacity is not symmetric) with
            Jacobi's preconditioner, which suits steps short enough that the mass dominates; for long steps on fine
            meshes give ``CG(Multigrid(), ...)``. On a mixed space it replaces the sparse direct solver.
        newton_steps: limit of Newton steps.
        method: `SDIRK2` (L-stable, order 2), `ImplicitEuler`, `CrankNicolson`, `BDF2` or `SDIRK4`; where it has no
            solver it takes that of the analysis.
        control: chooses the steps between the requested times, for `SDIRK4`; ``step`` then only weighs the rows of
            prescribed unknowns. Inputs are taken at the times of the stages. None for equal steps.

    Raises:
        ValueError: for a physics without inertia, a capacity that follows an input, a step that is not positive, or
            a control for a method that does not estimate its error.
    """

    physics: Physics
    initial: Any
    step: float = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    linear_solver: LinearSolver
    newton_steps: int = eqx.field(static=True)
    method: Method
    control: ErrorControl | None

    def __init__(
        self,
        physics: Physics,
        initial: Any,
        step: float,
        rtol: float = 1e-9,
        max_steps: int = 2000,
        linear_solver: LinearSolver | None = None,
        newton_steps: int = 20,
        method: Method | None = None,
        control: ErrorControl | None = None,
    ) -> None:
        if physics.inertia is None:
            raise ValueError("A transient analysis needs a capacity.")
        if inputs_of(physics.inertia.contributions):
            raise ValueError("The capacity of a transient analysis must not follow an input.")
        check_step(step)
        check_initial(initial)
        self.method, self.control = SDIRK2() if method is None else method, control
        if control is not None and not isinstance(self.method, SDIRK4):
            raise ValueError(f"An error control needs the method SDIRK4, not {type(self.method).__name__}.")
        self.physics, self.initial, self.step, self.rtol = physics, initial, float(step), rtol
        self.linear_solver = linear_solver or _default_solver(physics, rtol, max_steps)
        self.newton_steps = newton_steps

    def observe(self, sensors: Sequence[Sensor]) -> BodyObservation:
        """What the sensors read.

        Raises `ValueError` for one that reads neither fields nor boundaries, or prescribed values between steps that a
        control chooses.
        """
        observation = BodyObservation.of(self.physics.problem, sensors)
        if self.control is not None and observation.boundary is not None and observation.boundary.any_held:
            raise ValueError(
                "What goes through facets of prescribed values needs rates over equal steps: leave the control of the "
                "analysis out, or read facets with a convection or a flux."
            )
        return observation

    def prepare(self) -> Any:
        """The state of the linear solver at the bound parameters, with inputs at zero."""
        return self.linear_solver.init(_stage_operator(self))

    def grid(self, times: np.ndarray | None) -> np.ndarray:
        """Equal steps from the first time past the last one; the times themselves where a control chooses the steps.

        Raises `ValueError` for times that do not fit.
        """
        if self.control is not None:
            return check_increasing(times, "A transient analysis")
        return equal_steps(times, self.step, "A transient analysis")

    def run(
        self, prepared: Any, observation: BodyObservation, inputs: Mapping[str, Series], grid: Any
    ) -> Solution[tuple[Array, Any]]:
        """The raw readings at every step, ``(m, n_sensors)``, and the state at the last one: the flat field, or what
        a `BDF2` remembers of it.
        """
        problem, boundary = self.physics.problem, observation.boundary
        inertia: Any = self.physics.inertia
        seen = self._all_seen(inputs, jnp.asarray(grid))

        def keep(t: Array, u: Array) -> tuple[Array, Array, dict[str, Array]]:
            now = _driven(problem, seen, t)
            asked = {**asked_by_body(inertia, u), **asked_by_body(now, u)}
            contents = jnp.zeros(0) if boundary is None else boundary.content(inertia, u)
            return observation.read(now, u), contents, asked

        solution = self.solve(prepared, inputs, grid, keep)
        (readings, contents, asked), state = solution.value
        if boundary is not None:
            fields = readings.shape[-1] - contents.shape[-1]
            added = jnp.pad(rates(contents, jnp.asarray(grid)), ((0, 0), (fields, 0)))
            readings = readings + added[:, observation.order]
        return Solution((readings, state), solution.status, {**solution.statistics, **over_time(asked)})

    def solve(
        self, prepared: Any, inputs: Mapping[str, Series], grid: Float[Array | np.ndarray, " m"], keep: Any
    ) -> Solution[Any]:
        """``keep(t, u)`` at every time of ``grid``, stacked, and the state at the last one.

        The times of ``grid`` are equally spaced where no control chooses the steps.
        """
        grid, problem = jnp.asarray(grid), self.physics.problem
        integrator, system = self._integrator(), self._system()
        seen = self._all_seen(inputs, grid)
        args = (problem, self.physics.inertia, seen, self._scale())
        start, memory = self.start(inputs, grid[0]), self._memory()

        def complete(t: Array, u: Array) -> Array:
            return _driven(problem, seen, t).constraint.complete(u)

        def read(t: Array, u: Array) -> Any:
            return keep(t, complete(t, u))

        if self.control is not None:
            free = integrate_adaptive(system, start, grid, args, integrator, self.control, state=prepared, save=read)
            saved, _, last = free.value
            return Solution((saved, complete(grid[-1], integrator.output(last))), free.status, free.statistics)
        solution = integrate(
            system, start, grid, args, integrator, 1, prepared, read, uniform=True, memory=memory, remember=True
        )
        saved, last = solution.value
        state = _remembered(last) if isinstance(self.method, BDF2) else complete(grid[-1], integrator.output(last))
        return Solution((saved, state), solution.status, solution.statistics)

    def start(self, inputs: Mapping[str, Series], t: Array) -> Float[Array, " n_dofs"]:
        """The field at the start, with the prescribed values of that time."""
        problem = self.physics.problem
        given = self.initial["u"] if _is_memory(self.initial) else self.initial
        return _driven(problem, inputs, t).constraint.lift(initial_field(problem.space, given))

    def _memory(self) -> Any:
        """What a `BDF2` remembers of an earlier run; None where there is none."""
        if not (_is_memory(self.initial) and isinstance(self.method, BDF2)):
            return None
        return self.method.recall(*(jnp.asarray(self.initial[name], float) for name in _MEMORY))

    def _integrator(self) -> Method:
        if self.method.solver is not None:
            return self.method
        solver: Any = self.linear_solver
        if not self._linear:
            xtol = min(self.rtol, 1e-8)
            solver = Newton(solver, self.rtol, 0.0, self.newton_steps, Backtracking(_HALVINGS), xtol)
        return dataclasses.replace(self.method, solver=solver)

    def _all_seen(self, inputs: Mapping[str, Series], grid: Array) -> dict[str, Series]:
        """The signals as the method should see them: those that move prescribed values as they are."""
        moving = inputs_of(self.physics.problem.constraint)
        return {name: series if name in moving else self._seen(series, grid) for name, series in inputs.items()}

    def _seen(self, series: Series, grid: Array) -> Series:
        """A signal as the method should see it."""
        if self.control is not None or not series.hold:
            return series
        return (_node_means if isinstance(self.method, BDF2 | CrankNicolson) else _step_means)(series, grid)

    @property
    def _linear(self) -> bool:
        """Whether one operator serves all steps: linear in the field, and no input in the tangent."""
        problem, inertia = self.physics.problem, self.physics.inertia
        assert inertia is not None
        return problem.linear and problem.steady_tangent and inertia.linear

    def _system(self) -> "_System | ContentSystem":
        """The semi-discrete problem, by whether its content is linear in the field."""
        inertia = self.physics.inertia
        assert inertia is not None
        return _System(linear=self._linear) if inertia.linear else ContentSystem()

    def _scale(self) -> Array:
        """The weight of the rows of prescribed unknowns: as heavy as the others, so that tolerances mean both."""
        inertia = self.physics.inertia
        assert inertia is not None
        return jnp.mean(_whole_mass(inertia).diagonal()) / self.step


def _default_solver(physics: Physics, rtol: float, max_steps: int) -> LinearSolver:
    if isinstance(physics.problem.space, MixedSpace):
        return SparseDirect(rtol=max(rtol, 1e-8))
    return marching_solver(physics, rtol, max_steps)


class _System(FirstOrderSystem):
    """The semi-discrete problem; ``args`` are the spatial problem, the inertia problem, the inputs and a scale."""

    linear: bool = eqx.field(static=True)

    def mass(self, args: Any) -> AssembledOperator:
        """The mass matrix without the rows and columns of prescribed unknowns."""
        _, inertia, _, _ = args
        values = _mass_values(inertia)
        return inertia.constraint.operator(inertia.layout, values, diagonal=0.0, symmetric=inertia.symmetric)

    def residual(self, t: Array, u: Array, args: Any) -> Array:
        r"""$r(t, u)$, with $M \dot g$ for prescribed values $g(t)$ that move."""
        problem, inertia, inputs, scale = args
        residual = _driven(problem, inputs, t).residual(u, scale)
        if not inputs_of(problem.constraint):
            return residual
        zero = jnp.zeros_like(u)
        _, rate = jax.jvp(lambda s: _driven(problem, inputs, s).constraint.lift(zero), (t,), (jnp.ones_like(t),))
        return residual + problem.constraint.reduce(_whole_mass(inertia).mv(rate))

    def tangent(self, t: Array, u: Array, args: Any) -> AssembledOperator:
        """The tangent of the spatial problem."""
        problem, _, inputs, scale = args
        return _driven(problem, inputs, t).tangent(u, scale)

    def resting(self, args: Any) -> Loads | None:
        """The loads; None where prescribed values move."""
        problem, _, _, scale = args
        return None if inputs_of(problem.constraint) else Loads.of(problem, scale)

    def load(self, t: Array, zero: Array, resting: Loads | None, args: Any) -> Array:
        """The residual at zero."""
        problem, _, inputs, _ = args
        return self.residual(t, zero, args) if resting is None else resting.at(problem, inputs, t)


@sharing
def _stage_operator(analysis: Transient) -> LinearOperator:
    """About the operator of a step, with inputs at zero: enough for a preconditioner."""
    problem, inertia = analysis.physics.problem, analysis.physics.inertia
    args = (undriven(problem), inertia, {}, analysis._scale())
    system = analysis._system()
    start = args[0].constraint.lift(jnp.zeros(problem.space.n_dofs))
    tangent = system.tangent(jnp.zeros(()), start, args)
    weight = analysis.method.implicit_weight * analysis.step
    return linear_combination(1.0, system.mass(args), weight, tangent)


def _step_means(series: Series, grid: Array) -> Series:
    """A held input as its mean over each step, so that what it brings is conserved however short its pulses are.

    The means start a little after their step does: a stage at the end of a step then still sees its own.
    """
    return Series(grid[:-1] + 1e-6 * (grid[1] - grid[0]), interval_means(series, grid), hold=True)


def _node_means(series: Series, grid: Array) -> Series:
    """A held input as its mean over the halves of the two steps that meet at each time, for methods that take loads
    at the ends of steps.
    """
    ends = jnp.concatenate([grid[:1], 0.5 * (grid[:-1] + grid[1:]), grid[-1:]])
    return Series(grid, interval_means(series, ends), hold=False)


_MEMORY = ("u", "before", "dt", "known")


def _is_memory(initial: Any) -> bool:
    """True for the state of a run with `BDF2`."""
    return isinstance(initial, Mapping) and set(initial) == set(_MEMORY)


def _remembered(memory: Any) -> dict[str, Array]:
    return {name: getattr(memory, name) for name in _MEMORY}


def _whole_mass(inertia: DiscreteProblem) -> AssembledOperator:
    return inertia.layout.operator(_mass_values(inertia), symmetric=inertia.symmetric)


def _mass_values(inertia: DiscreteProblem) -> Array:
    return inertia.matrix_values(jnp.zeros(inertia.space.n_dofs), inertia.symmetric)


def _driven(problem: DiscreteProblem, inputs: Mapping[str, Series], t: Any) -> DiscreteProblem:
    return drive(problem, at_time(inputs, t))
