"""Modal analysis: natural frequencies and mode shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis, check_call
from gemel.engine.analyses.rigid_motions import check_held, tangent_at_rest
from gemel.engine.coefficients import drive, inputs_of
from gemel.engine.compiling import one_program
from gemel.engine.physics import Physics
from gemel.engine.sensors import FrequencySensor, Sensor
from gemel.engine.signals import Series, at_time
from gemel.engine.spaces import FunctionSpace
from gemel.solvers.eigen import ShiftInvert, eigen_solve
from gemel.solvers.implicit import stop_gradient
from gemel.solvers.solution import Solution

_AXES = {"x": 0, "y": 1, "z": 2}


class Modal(Analysis):
    r"""The lowest natural frequencies, $K\varphi = (2\pi f)^2 M\varphi$, with prescribed displacements held at zero.

    Args:
        physics: a physics with inertia.
        count: how many modes.
        rtol: the relative residual of a pair that counts as success.
        shift_frequency: Hz; the spectrum is shifted by $-(2\pi f_s)^2$, which a body that can move freely
            needs: choose about its first elastic frequency. 0 for a supported body.
        max_steps: limit of Lanczos restarts.

    Raises:
        ValueError: for a physics without inertia, or with a tangent or a mass that is not symmetric.
    """

    physics: Physics
    count: int = eqx.field(static=True)
    rtol: float = eqx.field(static=True, default=1e-6)
    shift_frequency: float = eqx.field(static=True, default=0.0)
    max_steps: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        if self.physics.inertia is None:
            raise ValueError("Modal analysis needs a density.")
        if not (self.physics.problem.symmetric and self.physics.inertia.symmetric):
            raise ValueError(
                "Modal analysis needs symmetric matrices, and a term of this physics is not: a WeakForm that is "
                "symmetric says so by symmetric=True; pressure that follows the surface has no modes of this kind."
            )
        constraint = self.physics.problem.constraint
        if not isinstance(constraint.free, Tracer) and not 1 <= self.count < constraint.n_free:
            raise ValueError(f"Modal analysis cannot find {self.count} modes: {constraint.n_free} unknowns are free.")

    def observe(self, sensors: Sequence[Sensor]) -> tuple[tuple[int, int | None], ...]:
        """For each sensor its mode and axis.

        Raises `ValueError` for a sensor that does not read frequencies, or a mode that is not computed.
        """
        chosen = []
        for sensor in sensors:
            if not isinstance(sensor, FrequencySensor):
                raise ValueError(f"Sensor '{sensor.name}' cannot read a modal analysis: use a frequency sensor.")
            if sensor.mode > self.count:
                raise ValueError(f"Sensor '{sensor.name}' reads mode {sensor.mode}: only {self.count} are computed.")
            axis = None if sensor.direction is None else _AXES[sensor.direction]
            if axis is not None and axis >= self.physics.problem.space.mesh.dim:
                raise ValueError(f"Sensor '{sensor.name}': the mesh has no direction '{sensor.direction}'.")
            chosen.append((sensor.mode, axis))
        return tuple(chosen)

    def prepare(self) -> None:
        """Nothing is set up ahead. Raises `ValueError` where nothing holds a body whose spectrum is not shifted."""
        if self.shift_frequency == 0:
            shift = ", or set shift_frequency to about its first elastic frequency"
            check_held(
                self.physics, tangent_at_rest(self.physics.problem), "prescribe displacements, add springs" + shift
            )

    def grid(self, times: np.ndarray | None) -> None:
        """None; raises `ValueError` where times are given."""
        if times is not None:
            raise ValueError("A modal analysis has no time: leave 'times' out.")

    def run(
        self, prepared: Any, observation: Any, inputs: Mapping[str, Series], grid: Any = None
    ) -> Solution[tuple[Array, Any]]:
        """The sensors' frequencies in Hz (NaN where too few modes move along an axis), and all pairs.

        Inputs are taken at time 0.
        """
        solution = self.solve(inputs)
        frequencies, modes = solution.value
        share = self.participation(modes)
        readings = [
            frequencies[mode - 1] if axis is None else _nth(frequencies, share[:, axis] > 0.5, mode)
            for mode, axis in observation
        ]
        value = (jnp.stack(readings) if readings else jnp.zeros(0), solution.value)
        return Solution(value, solution.status, solution.statistics)

    def solve(
        self, inputs: Mapping[str, Series] | None = None
    ) -> Solution[tuple[Float[Array, " count"], Float[Array, "n_dofs count"]]]:
        """Frequencies in Hz, ascending, and mode shapes with unit modal mass as columns; inputs not given are zero."""
        problem, inertia = self.physics.problem, self.physics.inertia
        assert inertia is not None
        problem = drive(problem, dict.fromkeys(inputs_of(problem), 0.0) | at_time(inputs, 0.0))
        zero = jnp.zeros(problem.space.n_dofs)
        stiffness = problem.tangent(zero)
        entries = inertia.matrix_values(zero)
        mass = inertia.constraint.operator(inertia.layout, entries, diagonal=0.0, symmetric=inertia.symmetric)
        shift = -((2 * np.pi * self.shift_frequency) ** 2)
        solver = ShiftInvert(k=self.count, shift=shift, rtol=self.rtol, max_steps=self.max_steps)
        solution = eigen_solve(stiffness, mass, solver)
        values, vectors = solution.value
        frequencies = jnp.sqrt(jnp.maximum(values, 1e-30)) / (2 * np.pi)
        vectors = jax.vmap(problem.constraint.extend, 1, 1)(vectors)
        return Solution((frequencies, vectors), solution.status, solution.statistics)

    @one_program
    def participation(self, modes: Float[Array, "n_dofs count"]) -> Float[Array, "count components"]:
        """The share of each mode's kinetic energy along each axis; rows sum to one."""
        inertia = self.physics.inertia
        assert inertia is not None
        entries = inertia.matrix_values(jnp.zeros(modes.shape[0]))
        mass = inertia.layout.operator(entries, symmetric=inertia.symmetric)
        moved = jnp.stack([mass.mv(mode) for mode in modes.T], axis=1)
        space = inertia.space
        if not isinstance(space, FunctionSpace):
            raise ValueError(
                "The directions of modes are known for one field of displacements, not for several fields."
            )
        energy = (modes * moved).reshape(space.n_nodes, -1, modes.shape[1]).sum(axis=0).T
        return energy / energy.sum(axis=1, keepdims=True)


def _nth(frequencies: Array, wanted: Array, n: int) -> Array:
    """The n-th frequency among the wanted ones, NaN where there are fewer."""
    hit = wanted & (jnp.cumsum(wanted) == n)
    return jnp.where(jnp.any(hit), frequencies[jnp.argmax(hit)], jnp.nan)


def modes(analysis: Modal) -> Solution[tuple[Array, Any]]:
    """Frequencies in Hz ``(count,)`` and mode shapes ``(count, n_nodes, *shape)`` with unit modal mass."""
    check_call("modes", (Modal,), analysis, complete=False)
    stop_gradient(analysis).prepare()
    return _modes(analysis)


@eqx.filter_jit
def _modes(analysis: Modal) -> Solution[tuple[Array, Any]]:
    solution = analysis.solve()
    frequencies, vectors = solution.value
    space = analysis.physics.problem.space
    shapes = jax.vmap(space.unflatten)(vectors.T)
    return Solution((frequencies, shapes), solution.status, solution.statistics)
