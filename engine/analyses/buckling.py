"""Linear buckling: the factors by which loads may grow before a structure becomes unstable."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis, check_call
from gemel.engine.coefficients import drive
from gemel.engine.physics import Physics
from gemel.engine.physics.frame import Frame, stress_stiffness
from gemel.engine.sensors import OutputSensor, Sensor
from gemel.engine.signals import Series, at_time
from gemel.solvers import SparseDirect
from gemel.solvers.eigen import eigen_solve
from gemel.solvers.linear import linear_solve
from gemel.solvers.mass_invert import MassInvert
from gemel.solvers.solution import Solution, Status

_OUTPUT = "load_factor_"
_ROUNDING = 1e-8
"""Less than this fraction of stress stiffness over elastic stiffness is zero: mode shapes exceed it by far."""


class Buckling(Analysis):
    r"""The lowest positive load factors, $K\varphi = \lambda\,(-K_g(u))\,\varphi$, with $K u = f$ the loads given.

    All loads grow together, prescribed motions and temperatures too; the displacements before buckling do not change
    the geometry (linear buckling). Factors of modes that need the loads reversed are not found: a factor is infinite
    where there are fewer modes. In a `Frame`, $K_g$ is the stress stiffness of the axial forces, and members need
    several intervals each for modes between their ends. In a body, $K$ is the tangent at rest and $K_g$ its
    derivative along $u$, by automatic differentiation, so that its physics must be geometrically nonlinear, with a
    finite-strain material. Not for shallow arches and imperfect shells, which a load path answers.

    Sensors are `OutputSensor` with output "load_factor_1" for the lowest, "load_factor_2" and so on.

    Args:
        physics: a frame, or a nonlinear physics with a symmetric tangent, under its loads.
        count: how many factors.
        rtol: the relative residual of a pair that counts as success.
        max_steps: limit of Lanczos restarts.

    Raises:
        ValueError: for a count that the structure does not allow, a linear physics that is no frame, or a tangent
            that is not symmetric.

    Source: Przemieniecki, *Theory of Matrix Structural Analysis*, 1968, chapter 15; Bathe, *Finite Element
    Procedures*, 2nd ed., 2014, section 6.8.2.
    """

    physics: Physics
    count: int = eqx.field(static=True)
    rtol: float = eqx.field(static=True, default=1e-6)
    max_steps: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        problem = self.physics.problem
        if problem.linear and not isinstance(self.physics, Frame):
            raise ValueError("A buckling analysis needs a frame or geometric nonlinearity: this one is linear.")
        if not problem.symmetric:
            raise ValueError("A buckling analysis needs a symmetric tangent.")
        constraint = problem.constraint
        if not isinstance(constraint.free, Tracer) and not 1 <= self.count < constraint.n_free:
            raise ValueError(f"Buckling cannot find {self.count} modes: {constraint.n_free} unknowns are free.")

    def observe(self, sensors: Sequence[Sensor]) -> tuple[int, ...]:
        """For each sensor the number of its factor. Raises `ValueError` for one that reads something else."""
        outputs = [f"{_OUTPUT}{k + 1}" for k in range(self.count)]
        for sensor in sensors:
            if not isinstance(sensor, OutputSensor) or sensor.output not in outputs:
                raise ValueError(f"Sensor '{sensor.name}' cannot read buckling: its outputs are {', '.join(outputs)}.")
        return tuple(outputs.index(sensor.output) for sensor in sensors if isinstance(sensor, OutputSensor))

    def prepare(self) -> None:
        """Nothing is set up ahead."""

    def grid(self, times: np.ndarray | None) -> None:
        """None; raises `ValueError` where times are given."""
        if times is not None:
            raise ValueError("A buckling analysis has no time: leave 'times' out.")

    def run(
        self, prepared: Any, observation: tuple[int, ...], inputs: Mapping[str, Series], grid: Any = None
    ) -> Solution[tuple[Array, Any]]:
        """The sensors' factors, and all pairs; inputs are taken at time 0."""
        solution = self.solve(at_time(inputs, 0.0))
        factors, _ = solution.value
        readings = factors[np.array(observation, dtype=int)]
        return Solution((readings, solution.value), solution.status, solution.statistics)

    def solve(
        self, signals: Mapping[str, Any] | None = None
    ) -> Solution[tuple[Float[Array, " count"], Float[Array, "n_dofs count"]]]:
        r"""Load factors, ascending, and mode shapes with $\varphi^\top K \varphi = 1$ as columns."""
        physics = drive(self.physics, signals or {})
        problem, zero = physics.problem, jnp.zeros(self.physics.problem.space.n_dofs)
        constraint, layout, values = problem.constraint, problem.layout, problem.matrix_values(zero)
        elastic, support = constraint.operator(layout, values, 1.0, symmetric=True), constraint.lift(zero)
        load = constraint.reduce(-problem.unconstrained(zero) - layout.operator(values, symmetric=True).mv(support))
        # The state before buckling must be accurate, not its residual small: slender members leave one of 1e-8.
        before = linear_solve(elastic, load, SparseDirect(1e-7))
        stress = _stress_stiffness(physics, constraint.extend(before.value) + support)
        stressed = constraint.operator(layout, stress, diagonal=0.0, symmetric=True)
        solution = eigen_solve(stressed, elastic, MassInvert(self.count, self.rtol, self.max_steps))
        values, vectors = solution.value
        unstable = values < -_ROUNDING * jnp.max(jnp.abs(stressed.diagonal())) / jnp.max(elastic.diagonal())
        factors = jnp.where(unstable, -1.0 / jnp.where(unstable, values, -1.0), jnp.inf)
        shapes = jax.vmap(constraint.extend, 1, 1)(vectors)
        status = Status.combine(before.status, solution.status)
        return Solution((factors, shapes), status, solution.statistics)


def _stress_stiffness(physics: Physics, u: Array) -> Float[Array, "..."]:
    """The values of the stress stiffness in the linear state ``u``."""
    if isinstance(physics, Frame):
        return stress_stiffness(physics, u)
    return jax.jvp(physics.problem.matrix_values, (jnp.zeros_like(u),), (u,))[1]


@eqx.filter_jit
def buckle(analysis: Buckling, inputs: Mapping[str, Series] | None = None) -> Solution[tuple[Array, Any]]:
    """Load factors ``(count,)``, ascending, and mode shapes ``(count, n_nodes, *shape)``; inputs at time 0."""
    check_call("buckle", (Buckling,), analysis, inputs)
    solution = analysis.solve(at_time(inputs, 0.0))
    factors, vectors = solution.value
    shapes = jax.vmap(analysis.physics.problem.space.unflatten)(vectors.T)
    return Solution((factors, shapes), solution.status, solution.statistics)
