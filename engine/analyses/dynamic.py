r"""Dynamic analysis, of second order in time: $M\ddot u + C\dot u + r(t, u) = 0$."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis
from gemel.engine.analyses.motion import (
    StructuralSystem,
    Structure,
    check_structure,
    is_zero,
    mean_diagonal,
    structural_matrices,
)
from gemel.engine.analyses.steps import check_step, equal_steps, marching_solver
from gemel.engine.boundarysensors import BodyObservation, BoundaryObservation
from gemel.engine.coefficients import undriven
from gemel.engine.compiling import sharing
from gemel.engine.initial import check_initial, initial_field
from gemel.engine.physics import Physics
from gemel.engine.sensors import Sensor
from gemel.engine.signals import Series
from gemel.solvers import (
    CentralDifference,
    GeneralizedAlpha,
    LinearSolver,
    Motion,
    Newmark,
    Newton,
    Solution,
    integrate,
    stable_step,
)

Method = GeneralizedAlpha | Newmark | CentralDifference


class Dynamic(Analysis):
    r"""The motion of a structure from a given start, with a fixed step.

    Damping is $C = C_0 + \alpha M + \beta K$: the dampings of the physics and Rayleigh's two numbers, with $K$ the
    tangent at the initial displacement. A mode of circular frequency $\omega$ has the ratio of damping
    $\alpha/2\omega + \beta\omega/2$.

    Args:
        physics: a physics with a density.
        displacement: at the start, in m: a number, parameter, `Profile`, or nodal values; or the state of an earlier
            run (with its ``u``, ``v`` and ``a``), which is continued.
        velocity: at the start, in m/s, likewise; not for a continued run.
        step: time step in s. Inputs are taken at the times that the method asks for: between the ends of a step.
        method: `GeneralizedAlpha`, `Newmark`, or `CentralDifference` with a lumped mass (see `lumped_mass`); where it
            has no solver it takes that of the analysis.
        rayleigh: $\alpha$ in 1/s and $\beta$ in s; numbers or parameters.
        rtol: relative tolerance of the linear solves, and of Newton's method where the problem is nonlinear.
        max_steps: limit of iterations of one linear solve.
        linear_solver: replaces conjugate gradients (GMRES where the tangent, the mass or the damping is not symmetric)
            with Jacobi's preconditioner.
        newton_steps: limit of Newton steps.

    Inputs may drive loads and supports (give signals of supports with ``hold=False``); the start takes the prescribed
    displacements and velocities of that time. Sensors are read at every step and interpolated linearly in between.

    Raises:
        ValueError: for a physics without density, a mass or damping that depends on the field, a step that is not
            positive, or an explicit method with tied unknowns.
    """

    physics: Physics
    displacement: Any
    velocity: Any
    step: float = eqx.field(static=True)
    method: Method
    rayleigh: tuple[Any, Any]
    rtol: float = eqx.field(static=True)
    linear_solver: LinearSolver
    newton_steps: int = eqx.field(static=True)

    def __init__(
        self,
        physics: Physics,
        displacement: Any,
        velocity: Any,
        step: float,
        method: Method | None = None,
        rayleigh: tuple[Any, Any] = (0.0, 0.0),
        rtol: float = 1e-9,
        max_steps: int = 2000,
        linear_solver: LinearSolver | None = None,
        newton_steps: int = 20,
    ) -> None:
        check_structure(physics, "A dynamic analysis")
        check_step(step)
        check_initial(displacement, "The initial displacement")
        check_initial(velocity, "The initial velocity")
        self.method = GeneralizedAlpha(0.8) if method is None else method
        if isinstance(self.method, CentralDifference) and physics.problem.constraint.ties is not None:
            raise ValueError("CentralDifference cannot step tied unknowns: their mass is not diagonal.")
        self.physics, self.displacement, self.velocity = physics, displacement, velocity
        self.step, self.rayleigh, self.rtol = float(step), rayleigh, rtol
        self.linear_solver = linear_solver or marching_solver(physics, rtol, max_steps)
        self.newton_steps = newton_steps

    def observe(self, sensors: Sequence[Sensor]) -> BodyObservation:
        """What the sensors read. Raises `ValueError` for one that reads neither fields nor boundaries."""
        return BodyObservation.of(self.physics.problem, sensors, moving=True, damping=self.physics.damping)

    def prepare(self) -> Any:
        """The state of the linear solver at the bound parameters, with inputs at zero."""
        if isinstance(self.method, CentralDifference):
            return None
        structure, initial = _at_rest(self)
        system = StructuralSystem(linear=self._linear)
        return self._integrator().init(system, 0.0, initial, self.step, structure)

    def grid(self, times: np.ndarray | None) -> np.ndarray:
        """Equal steps from the first time past the last one. Raises `ValueError` for times that do not fit."""
        return equal_steps(times, self.step, "A dynamic analysis")

    def run(
        self, prepared: Any, observation: BodyObservation, inputs: Mapping[str, Series], grid: Any
    ) -> Solution[tuple[Array, Any]]:
        """The raw readings at every step, ``(m, n_sensors)``, and ``u``, ``v`` and ``a`` at the last one."""
        forces = self._forces(observation.boundary, inputs, jnp.asarray(grid))
        solution = self.solve(prepared, inputs, grid, lambda t, motion: observation.moving(motion, forces(t, motion)))
        readings, motion = solution.value
        state = {"u": motion.u, "v": motion.v, "a": motion.a}
        return Solution((readings, state), solution.status, solution.statistics)

    def _forces(
        self, boundary: BoundaryObservation | None, inputs: Mapping[str, Series], grid: Array
    ) -> Callable[[Array, Motion], Array | None]:
        """What the conditions on the facets of sensors put in; None where no sensor reads it."""
        if boundary is None:
            return lambda t, motion: None
        (reference, _), _ = self._start(self._integrator())
        structure = self._structure(inputs, grid[0], grid[-1], reference)
        return partial(self._forces_at, boundary, structure, reference)

    def _forces_at(
        self, boundary: BoundaryObservation, structure: Structure, reference: Array, t: Array, motion: Motion
    ) -> Float[Array, " n_sensors"]:
        """The same at one time, with the dampings of these conditions."""
        inertia = structure.mass.mv(motion.a)
        if structure.damping is not None:
            inertia = inertia + structure.damping.mv(motion.v)
        forces = boundary.read(structure.at(t), motion.u, inertia)
        if self.physics.damping is not None:
            forces = forces + boundary.damped(self.physics.damping, motion.v)
        if not is_zero(self.rayleigh[1]):
            rest, velocity = undriven(self.physics.problem), self.rayleigh[1] * motion.v
            forces = forces + jax.jvp(lambda u: boundary.pushed.read(rest, u), (reference,), (velocity,))[1]
        return forces

    def solve(
        self, prepared: Any, inputs: Mapping[str, Series], grid: Float[Array | np.ndarray, " m"], keep: Any
    ) -> Solution[tuple[Any, Motion]]:
        """``keep(t, motion)`` at every time of ``grid`` (equally spaced), stacked, and the `Motion` at the last one."""
        grid = jnp.asarray(grid)
        integrator, system = self._integrator(), StructuralSystem(linear=self._linear)
        start, memory = self._start(integrator)
        structure = self._structure(inputs, grid[0], grid[-1], start[0])
        return integrate(
            system,
            start,
            grid,
            structure,
            integrator,
            state=prepared,
            save=keep,
            uniform=True,
            final=True,
            memory=memory,
        )

    def stable_step(self, inputs: Mapping[str, Series] | None = None) -> Float[Array, ""]:
        """An estimate of the longest step, in s, that `CentralDifference` can take: `gemel.solvers.stable_step`."""
        zero, lumped = jnp.zeros(()), dataclasses.replace(self, method=CentralDifference())
        start, _ = lumped._start(CentralDifference())
        structure = lumped._structure(inputs or {}, zero, zero + self.step, start[0])
        return stable_step(StructuralSystem(linear=self._linear), zero, start[0], structure)

    def _start(self, integrator: Method) -> tuple[tuple[Array, Array], Any]:
        """The displacement and the velocity at the start, and the memory of a continued run."""
        space, given = self.physics.problem.space, self.displacement
        if isinstance(given, Mapping) and set(given) == {"u", "v", "a"}:
            u, v, a = (jnp.asarray(given[name], float) for name in ("u", "v", "a"))
            if not is_zero(self.velocity):
                raise ValueError("A continued run has its velocity already: leave 'velocity' at 0.")
            return (u, v), integrator.recall(Motion(u, v, a))
        return (initial_field(space, given), initial_field(space, self.velocity)), None

    def _structure(self, inputs: Mapping[str, Series], first: Array, last: Array, reference: Array) -> Structure:
        lumped = isinstance(self.method, CentralDifference)
        problem = self.physics.problem
        matrices = structural_matrices(self.physics, self.rayleigh, reference, lumped)
        scale = mean_diagonal(matrices[0]) / self.step**2
        return Structure(problem, *matrices, dict(inputs), scale, jnp.asarray(self.step), first, last)

    def _integrator(self) -> Method:
        if isinstance(self.method, CentralDifference) or self.method.solver is not None:
            return self.method
        solver: Any = self.linear_solver
        if not self._linear:
            xtol = min(self.rtol, 1e-8)
            solver = Newton(solver, self.rtol, atol=0.0, max_steps=self.newton_steps, xtol=xtol)
        return dataclasses.replace(self.method, solver=solver)

    @property
    def _linear(self) -> bool:
        """Whether one operator serves all steps: linear in the field, and no input in the tangent."""
        return self.physics.problem.linear and self.physics.problem.steady_tangent


@sharing
def _at_rest(analysis: Dynamic) -> tuple[Structure, tuple[Array, Array]]:
    """The structure with inputs at zero, at its initial displacement: enough for a preconditioner."""
    start, _ = analysis._start(analysis._integrator())
    zero = jnp.zeros(())
    structure = analysis._structure({}, zero, zero + analysis.step, start[0])
    problem = undriven(structure.problem)
    return dataclasses.replace(structure, problem=problem), (problem.constraint.lift(start[0]), start[1])
