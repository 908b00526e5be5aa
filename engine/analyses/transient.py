r"""Transient analysis of first order in time: $M\dot u + r(t, u) = 0$."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis
from gemel.engine.coefficients import drive, inputs_of
from gemel.engine.initial import initial_field
from gemel.engine.physics import Physics
from gemel.engine.problems import DiscreteProblem
from gemel.engine.sensors import FieldObservation, Sensor
from gemel.engine.signals import Series, interval_means
from gemel.solvers import (
    CG,
    GMRES,
    SDIRK2,
    FirstOrderSystem,
    Jacobi,
    LinearOperator,
    LinearSolver,
    Newton,
    Solution,
    SparseOperator,
    integrate,
    linear_combination,
)


class Transient(Analysis):
    r"""The history of a field from a given start, by Alexander's SDIRK2 (L-stable, order 2) with a fixed step.

    Args:
        physics: a physics with inertia (`Heat` with a capacity that does not depend on temperature).
        initial: the field at the start in SI: a number, parameter, `Profile`, or nodal values; on a mixed space a
            mapping from fields to those.
        step: time step in s. Held inputs enter by their mean over each step.
            Sensors are read at every step and interpolated linearly in between.
        rtol: relative tolerance of the linear solves, and of Newton's method where the problem is nonlinear.
        max_steps: limit of iterations of one linear solve.
        linear_solver: replaces conjugate gradients (GMRES where the tangent is not symmetric) with Jacobi's
            preconditioner, which suits steps short
            enough that the mass dominates; for long steps on fine meshes give ``CG(AMG(), ...)``.
        newton_steps: limit of Newton steps.

    Raises:
        ValueError: for a physics without inertia, a capacity that depends on the field, or a step that is
            not positive.
    """

    physics: Physics
    initial: Any
    step: float = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    linear_solver: LinearSolver
    newton_steps: int = eqx.field(static=True)

    def __init__(
        self,
        physics: Physics,
        initial: Any,
        step: float,
        rtol: float = 1e-9,
        max_steps: int = 2000,
        linear_solver: LinearSolver | None = None,
        newton_steps: int = 20,
    ) -> None:
        if physics.inertia is None:
            raise ValueError("A transient analysis needs a capacity.")
        if inputs_of(physics.inertia.contributions):
            raise ValueError("The capacity of a transient analysis must not follow an input.")
        if not physics.inertia.linear:
            raise ValueError("The capacity of a transient analysis must not depend on the field.")
        if not (math.isfinite(step) and step > 0):
            raise ValueError(f"The time step must be positive, not {step} s.")
        self.physics, self.initial, self.step, self.rtol = physics, initial, float(step), rtol
        krylov = CG if physics.problem.symmetric else functools.partial(GMRES, restart=50)
        self.linear_solver = linear_solver or krylov(Jacobi(), rtol=rtol, atol=0.0, max_steps=max_steps)
        self.newton_steps = newton_steps

    def observe(self, sensors: Sequence[Sensor]) -> FieldObservation:
        """The functionals of the sensors. Raises `ValueError` for one that does not read fields."""
        return FieldObservation.of(self.physics.problem.space, sensors)

    def prepare(self) -> Any:
        """The state of the linear solver at the bound parameters, with inputs at zero."""
        return self.linear_solver.init(_stage_operator(self))

    def grid(self, times: np.ndarray | None) -> np.ndarray:
        """Equal steps from the first time past the last one. Raises `ValueError` for times that do not fit."""
        if times is None or np.ndim(times) != 1 or len(times) < 2:
            raise ValueError("A transient analysis needs 'times': at least two, in s.")
        if not np.all(np.isfinite(times)) or not np.all(np.diff(times) > 0):
            raise ValueError("The times of a transient analysis must increase.")
        count = max(1, math.ceil((times[-1] - times[0]) / self.step - 1e-9))
        return times[0] + self.step * np.arange(count + 1)

    def run(
        self, prepared: Any, observation: FieldObservation, inputs: Mapping[str, Series], grid: Any
    ) -> Solution[tuple[Array, Any]]:
        """The raw readings at every step, ``(m, n_sensors)``, and the flat field at the last one."""
        return self.solve(prepared, inputs, grid, lambda t, u: observation.read(u))

    def solve(
        self, prepared: Any, inputs: Mapping[str, Series], grid: Float[Array | np.ndarray, " m"], keep: Any
    ) -> Solution[Any]:
        """``keep(t, u)`` at every time of ``grid`` (equally spaced), stacked, and the flat field at the last one."""
        system = _System(linear=self._linear)
        grid = jnp.asarray(grid)
        moving = inputs_of(self.physics.problem.constraint)
        means = {name: series if name in moving else _step_means(series, grid) for name, series in inputs.items()}
        args = (self.physics.problem, self.physics.inertia, means, self._scale())
        start = self.start(inputs, grid[0])
        integrator = self._integrator()

        def complete(t: Array, u: Array) -> Array:
            return _driven(self.physics.problem, means, t).constraint.complete(u)

        def read(t: Array, u: Array) -> Any:
            return keep(t, complete(t, u))

        solution = integrate(system, start, grid, args, integrator, 1, prepared, read, uniform=True, final=True)
        saved, last = solution.value
        return Solution((saved, complete(grid[-1], last)), solution.status, solution.statistics)

    def start(self, inputs: Mapping[str, Series], t: Array) -> Float[Array, " n_dofs"]:
        """The field at the start, with the prescribed values of that time."""
        problem = self.physics.problem
        return _driven(problem, inputs, t).constraint.lift(initial_field(problem.space, self.initial))

    def _integrator(self) -> SDIRK2:
        if self._linear:
            return SDIRK2(self.linear_solver)
        xtol = min(self.rtol, 1e-8)
        return SDIRK2(Newton(self.linear_solver, self.rtol, atol=0.0, max_steps=self.newton_steps, xtol=xtol))

    @property
    def _linear(self) -> bool:
        """Whether one operator serves all steps: linear in the field, and no input in the tangent."""
        return self.physics.problem.linear and self.physics.problem.steady_tangent

    def _scale(self) -> Array:
        """The weight of the rows of prescribed unknowns: as heavy as the others, so that tolerances mean both."""
        inertia = self.physics.inertia
        assert inertia is not None
        return jnp.mean(inertia.layout.operator(_mass_values(inertia)).diagonal()) / self.step


class _System(FirstOrderSystem):
    """The semi-discrete problem; ``args`` are the spatial problem, the inertia problem, the inputs and a scale."""

    linear: bool = eqx.field(static=True)

    def mass(self, args: Any) -> SparseOperator:
        """The mass matrix without the rows and columns of prescribed unknowns."""
        _, inertia, _, _ = args
        return inertia.constraint.operator(inertia.layout, _mass_values(inertia), diagonal=0.0)

    def residual(self, t: Array, u: Array, args: Any) -> Array:
        r"""$r(t, u)$, with $M \dot g$ for prescribed values $g(t)$ that move."""
        problem, inertia, inputs, scale = args
        residual = _driven(problem, inputs, t).residual(u, scale)
        if not inputs_of(problem.constraint):
            return residual
        zero = jnp.zeros_like(u)
        _, rate = jax.jvp(lambda s: _driven(problem, inputs, s).constraint.lift(zero), (t,), (jnp.ones_like(t),))
        mass = inertia.layout.operator(_mass_values(inertia))
        return residual + problem.constraint.reduce(mass.mv(rate))

    def tangent(self, t: Array, u: Array, args: Any) -> SparseOperator:
        """The tangent of the spatial problem."""
        problem, _, inputs, scale = args
        return _driven(problem, inputs, t).tangent(u, scale)


@eqx.filter_jit
def _stage_operator(analysis: Transient) -> LinearOperator:
    """About the operator of a step, with inputs at zero: enough for a preconditioner."""
    problem, inertia = analysis.physics.problem, analysis.physics.inertia
    args = (drive(problem, dict.fromkeys(inputs_of(problem), 0.0)), inertia, {}, analysis._scale())
    system = _System(linear=problem.linear)
    start = args[0].constraint.lift(jnp.zeros(problem.space.n_dofs))
    tangent = system.tangent(jnp.zeros(()), start, args)
    return linear_combination(1.0, system.mass(args), 0.3 * analysis.step, tangent)


def _step_means(series: Series, grid: Array) -> Series:
    """A held input as its mean over each step, so that what it brings is conserved however short its pulses are.

    The means start a little after their step does: a stage at the end of a step then still sees its own.
    """
    if not series.hold:
        return series
    return Series(grid[:-1] + 1e-6 * (grid[1] - grid[0]), interval_means(series, grid), hold=True)


def _mass_values(inertia: DiscreteProblem) -> Array:
    return inertia.matrix_values(jnp.zeros(inertia.space.n_dofs))


def _driven(problem: DiscreteProblem, inputs: Mapping[str, Series], t: Any) -> DiscreteProblem:
    return drive(problem, {name: series.at(t) for name, series in inputs.items()})
