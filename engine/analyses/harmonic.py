r"""Harmonic response: $(K + i\omega C + i\eta K - \omega^2 M)\,\hat u = \hat f$ at given frequencies."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from gemel.engine.analyses.analysis import Analysis, check_call
from gemel.engine.analyses.motion import check_structure, is_zero, structural_matrices
from gemel.engine.coefficients import drive
from gemel.engine.observations import FieldObservation
from gemel.engine.physics import Physics
from gemel.engine.sensors import ResponseSensor, Sensor
from gemel.engine.signals import Series, at_time
from gemel.solvers import (
    HarmonicDirect,
    HarmonicOperator,
    LinearOperator,
    LinearSolver,
    Solution,
    Status,
    linear_combination,
    linear_solve,
)


class Harmonic(Analysis):
    r"""The steady vibration $u(t) = \mathrm{Re}(\hat u e^{i\omega t})$ of a linear structure under loads and prescribed
    displacements of amplitude $\hat f$ and $\hat g$, all in phase.

    Loads and prescribed displacements are those of the physics; inputs are amplitudes, taken at time 0. Damping is
    $C = C_0 + \alpha M + \beta K$ as in `Dynamic`, and the structural damping $\eta$, whose forces follow the
    displacement instead of the velocity.

    Args:
        physics: a linear physics with a density.
        frequencies: in Hz, ``(n,)``.
        rayleigh: $\alpha$ in 1/s and $\beta$ in s; numbers or parameters.
        structural: $\eta$, dimensionless; a number or parameter.
        linear_solver: solves the complex systems; sparse LU on the host when None.

    Raises:
        ValueError: for a physics without density, or one that is not linear, or no frequency.
    """

    physics: Physics
    frequencies: Float[Array, " n"] | np.ndarray = eqx.field(converter=lambda f: np.atleast_1d(np.asarray(f, float)))
    rayleigh: tuple[Any, Any] = (0.0, 0.0)
    structural: Any = 0.0
    linear_solver: LinearSolver = eqx.field(default_factory=lambda: HarmonicDirect(1e-6))

    def __check_init__(self) -> None:
        check_structure(self.physics, "A harmonic analysis")
        if not self.physics.problem.linear:
            raise ValueError("A harmonic analysis needs a linear problem: no coefficient may depend on the field.")
        if not np.size(self.frequencies):
            raise ValueError("A harmonic analysis needs at least one frequency in Hz.")

    def observe(self, sensors: Sequence[Sensor]) -> tuple[FieldObservation, tuple[tuple[int, str], ...]]:
        """The functionals of the sensors, and for each its frequency and quantity.

        Raises `ValueError` for a sensor that is no `ResponseSensor`, or whose frequency is not computed.
        """
        places, chosen = [], []
        for sensor in sensors:
            if not isinstance(sensor, ResponseSensor):
                raise ValueError(f"Sensor '{sensor.name}' cannot read a harmonic analysis: use a response sensor.")
            near = np.abs(np.asarray(self.frequencies) - sensor.frequency)
            if near.min() > 1e-9 * max(abs(sensor.frequency), 1e-300):
                raise ValueError(f"Sensor '{sensor.name}' reads {sensor.frequency:g} Hz, which is not computed.")
            places.append(sensor.sensor)
            chosen.append((int(near.argmin()), sensor.quantity))
        return FieldObservation.of(self.physics.problem.space, places), tuple(chosen)

    def prepare(self) -> None:
        """Nothing is set up ahead."""

    def grid(self, times: np.ndarray | None) -> None:
        """None; raises `ValueError` where times are given."""
        if times is not None:
            raise ValueError("A harmonic analysis has no time: leave 'times' out.")

    def run(
        self, prepared: Any, observation: Any, inputs: Mapping[str, Series], grid: Any = None
    ) -> Solution[tuple[Array, Any]]:
        """The sensors' readings, and the complex amplitudes as ``real`` and ``imaginary``, ``(n, n_dofs)``."""
        places, chosen = observation
        solution = self.solve(inputs)
        u = solution.value
        readings = []
        for i, (row, quantity) in enumerate(chosen):
            real, imaginary = places.read(u[row].real)[i], places.read(u[row].imag)[i]
            readings.append(_QUANTITIES[quantity](real, imaginary))
        value = (jnp.stack(readings) if readings else jnp.zeros(0), {"real": u.real, "imaginary": u.imag})
        return Solution(value, solution.status, solution.statistics)

    def solve(self, inputs: Mapping[str, Series] | None = None) -> Solution[Complex[Array, "n n_dofs"]]:
        """The complex amplitudes of the displacement at each frequency, flat."""
        problem = drive(self.physics.problem, at_time(inputs, 0.0))
        zero, constraint = jnp.zeros(problem.space.n_dofs), problem.constraint
        mass, damping, free_mass, free_damping = structural_matrices(self.physics, self.rayleigh, zero, False)
        stiffness = problem.layout.operator(problem.matrix_values(zero), symmetric=problem.symmetric)
        free_stiffness, support = problem.tangent(zero), constraint.lift(zero)
        force = -problem.unconstrained(zero)

        def at(omega: Array) -> tuple[Array, Any]:
            real, imaginary = _parts(omega, stiffness, mass, damping, self.structural)
            f = constraint.reduce(force - real.mv(support))
            g = constraint.reduce(-imaginary.mv(support))
            operator = HarmonicOperator(*_parts(omega, free_stiffness, free_mass, free_damping, self.structural))
            found = linear_solve(operator, jnp.concatenate([f, -g]), self.linear_solver)
            x, y = jnp.split(found.value, 2)
            return constraint.extend(x) + support + 1j * constraint.extend(y), found.status

        u, status = jax.lax.map(at, 2 * jnp.pi * jnp.asarray(self.frequencies))
        code = status.code[jnp.argmax(status.code != 0)]
        return Solution(u, Status(code), {"steps": jnp.asarray(u.shape[0], jnp.int32)})


_QUANTITIES = {
    "amplitude": lambda x, y: jnp.hypot(x, y),
    "phase": lambda x, y: jnp.arctan2(y, x),
    "real": lambda x, y: x,
    "imaginary": lambda x, y: y,
}


def _parts(
    omega: Array, stiffness: LinearOperator, mass: LinearOperator, damping: LinearOperator | None, structural: Any
) -> tuple[LinearOperator, LinearOperator]:
    """K − ω²M and ωC + ηK."""
    real = linear_combination(1.0, stiffness, -(omega**2), mass)
    if damping is None:
        return real, linear_combination(0.0 if is_zero(structural) else structural, stiffness, 0.0, mass)
    return real, linear_combination(omega, damping, structural, stiffness)


def response(
    analysis: Harmonic, inputs: Mapping[str, Series] | None = None
) -> Solution[tuple[Array, Complex[Array, "n n_nodes *shape"]]]:
    """Solve a harmonic analysis: frequencies in Hz ``(n,)`` and complex nodal amplitudes ``(n, n_nodes, *shape)``."""
    check_call("response", (Harmonic,), analysis, inputs)
    solution = _response(analysis, dict(inputs or {}))
    nodal: Any = jax.vmap(analysis.physics.problem.space.unflatten)
    amplitudes = jax.tree.map(lambda x, y: x + 1j * y, nodal(solution.value.real), nodal(solution.value.imag))
    return Solution((jnp.asarray(analysis.frequencies), amplitudes), solution.status, solution.statistics)


@eqx.filter_jit
def _response(analysis: Harmonic, inputs: dict[str, Series]) -> Solution[Array]:
    return analysis.solve(inputs)
