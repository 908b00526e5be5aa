"""Modal analysis: natural frequencies and mode shapes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis, check_call
from gemel.engine.analyses.pairing import Pair, ShapePlaces, nearest, pair
from gemel.engine.analyses.rigid_motions import check_held, tangent_at_rest
from gemel.engine.coefficients import drive, inputs_of
from gemel.engine.compiling import one_program
from gemel.engine.measuredmodes import AXES, MeasuredShape, ModeSensor, ShapeSensor
from gemel.engine.physics import Physics
from gemel.engine.problems import DiscreteProblem
from gemel.engine.sensors import FrequencySensor, Sensor
from gemel.engine.signals import Series, at_time
from gemel.engine.spaces import FunctionSpace
from gemel.solvers.eigen import ShiftInvert, eigen_solve
from gemel.solvers.implicit import stop_gradient
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Solution


class ByOrder(NamedTuple):
    """Reads a frequency by its number, from 1, among all modes or those along an axis."""

    mode: int
    axis: int | None


class ByShape(NamedTuple):
    """Reads the mode paired with a measured shape: its frequency, or its component at a point, from 0."""

    shape: int
    point: int | None


class ModalObservation(eqx.Module):
    """What each sensor reads, and the measured shapes with the name of the first sensor of each."""

    reads: tuple[ByOrder | ByShape, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    places: tuple[ShapePlaces, ...]


class _Pencil(NamedTuple):
    """A problem under its inputs, with its matrices at full size."""

    problem: DiscreteProblem
    stiffness: LinearOperator
    mass: LinearOperator


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

    def observe(self, sensors: Sequence[Sensor]) -> ModalObservation:
        """What each sensor reads.

        Raises `ValueError` for a sensor that reads no modes, a mode that is not computed, a measured point outside the
        mesh, or more measured shapes than modes.
        """
        reads: list[ByOrder | ByShape] = []
        shapes: list[MeasuredShape] = []
        names: list[str] = []
        for sensor in sensors:
            if isinstance(sensor, ModeSensor | ShapeSensor):
                if sensor.shape not in shapes:
                    shapes.append(sensor.shape)
                    names.append(sensor.name)
                point = sensor.point - 1 if isinstance(sensor, ShapeSensor) else None
                reads.append(ByShape(shapes.index(sensor.shape), point))
            elif isinstance(sensor, FrequencySensor):
                reads.append(self._by_order(sensor))
            else:
                raise ValueError(
                    f"Sensor '{sensor.name}' cannot read a modal analysis: use a frequency, mode or shape sensor."
                )
        if len(shapes) > self.count:
            raise ValueError(f"{len(shapes)} shapes are measured, and only {self.count} modes are computed.")
        space = self.physics.problem.space
        places = tuple(ShapePlaces.of(name, shape, space) for name, shape in zip(names, shapes, strict=True))
        return ModalObservation(tuple(reads), tuple(names), places)

    def _by_order(self, sensor: FrequencySensor) -> ByOrder:
        if sensor.mode > self.count:
            raise ValueError(f"Sensor '{sensor.name}' reads mode {sensor.mode}: only {self.count} are computed.")
        axis = None if sensor.direction is None else AXES[sensor.direction]
        if axis is not None and axis >= self.physics.problem.space.mesh.dim:
            raise ValueError(f"Sensor '{sensor.name}': the mesh has no direction '{sensor.direction}'.")
        return ByOrder(sensor.mode, axis)

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
        self, prepared: Any, observation: ModalObservation, inputs: Mapping[str, Series], grid: Any = None
    ) -> Solution[tuple[Array, Any]]:
        """What the sensors read, and all pairs.

        A frequency is NaN where too few modes move along an axis; what a sensor with a measured shape reads is NaN
        where no mode resembles the shape. The statistics ``mac.NAME`` and ``mode.NAME`` give the assurance and the
        number of the mode that a shape was paired with, by the name of the first sensor of the shape.
        Inputs are taken at time 0.
        """
        pencil = self._pencil(inputs)
        reduced = self._pairs(pencil)
        frequencies = reduced.value[0]
        vectors = _extended(pencil, reduced.value[1])
        found = pair(observation.places, stop_gradient(frequencies), stop_gradient(vectors))
        share = self._participation_where_read(observation, vectors)
        scaled = {
            i: nearest(observation.places[i].at(vectors), found[i].near, observation.places[i].parts)[1][:, 0]
            for i in {read.shape for read in observation.reads if isinstance(read, ByShape) and read.point is not None}
        }
        readings = []
        for read in observation.reads:
            if isinstance(read, ByShape):
                chosen, least = found[read.shape], observation.places[read.shape].least_mac
                if read.point is None:
                    value = _paired_frequency(pencil, reduced.value, chosen)
                else:
                    value = scaled[read.shape][read.point]
                readings.append(jnp.where(chosen.mac >= least, value, jnp.nan))
            elif read.axis is None:
                readings.append(frequencies[read.mode - 1])
            else:
                readings.append(_nth(frequencies, share[:, read.axis] > 0.5, read.mode))
        macs = {f"mac.{name}": chosen.mac for name, chosen in zip(observation.names, found, strict=True)}
        modes = {f"mode.{name}": chosen.mode + 1 for name, chosen in zip(observation.names, found, strict=True)}
        value = (jnp.stack(readings) if readings else jnp.zeros(0), (frequencies, vectors))
        return Solution(value, reduced.status, {**reduced.statistics, **macs, **modes})

    def _participation_where_read(self, observation: ModalObservation, vectors: Array) -> Array:
        """The participation where a sensor counts the modes along an axis, else nothing."""
        if any(isinstance(read, ByOrder) and read.axis is not None for read in observation.reads):
            return self.participation(vectors)
        return jnp.zeros((self.count, 0))

    def solve(
        self, inputs: Mapping[str, Series] | None = None
    ) -> Solution[tuple[Float[Array, " count"], Float[Array, "n_dofs count"]]]:
        """Frequencies in Hz, ascending, and mode shapes with unit modal mass as columns; inputs not given are zero."""
        pencil = self._pencil(inputs)
        solution = self._pairs(pencil)
        frequencies, vectors = solution.value
        return Solution((frequencies, _extended(pencil, vectors)), solution.status, solution.statistics)

    def _pencil(self, inputs: Mapping[str, Series] | None) -> _Pencil:
        problem, inertia = self.physics.problem, self.physics.inertia
        assert inertia is not None
        problem = drive(problem, dict.fromkeys(inputs_of(problem), 0.0) | at_time(inputs, 0.0))
        zero = jnp.zeros(problem.space.n_dofs)
        stiffness = problem.tangent(zero)
        entries = inertia.matrix_values(zero, inertia.symmetric)
        mass = inertia.constraint.operator(inertia.layout, entries, diagonal=0.0, symmetric=inertia.symmetric)
        return _Pencil(problem, stiffness, mass)

    def _pairs(self, pencil: _Pencil) -> Solution[tuple[Array, Array]]:
        """Frequencies in Hz and vectors with zeros at dependent unknowns."""
        shift = -((2 * np.pi * self.shift_frequency) ** 2)
        solver = ShiftInvert(k=self.count, shift=shift, rtol=self.rtol, max_steps=self.max_steps)
        solution = eigen_solve(pencil.stiffness, pencil.mass, solver)
        values, vectors = solution.value
        frequencies = jnp.sqrt(jnp.maximum(values, 1e-30)) / (2 * np.pi)
        return Solution((frequencies, vectors), solution.status, solution.statistics)

    @one_program
    def participation(self, modes: Float[Array, "n_dofs count"]) -> Float[Array, "count components"]:
        """The share of each mode's kinetic energy along each axis; rows sum to one."""
        inertia = self.physics.inertia
        assert inertia is not None
        entries = inertia.matrix_values(jnp.zeros(modes.shape[0]), inertia.symmetric)
        mass = inertia.layout.operator(entries, symmetric=inertia.symmetric)
        moved = jnp.stack([mass.mv(mode) for mode in modes.T], axis=1)
        space = inertia.space
        if not isinstance(space, FunctionSpace):
            raise ValueError(
                "The directions of modes are known for one field of displacements, not for several fields."
            )
        energy = (modes * moved).reshape(space.n_nodes, -1, modes.shape[1]).sum(axis=0).T
        return energy / energy.sum(axis=1, keepdims=True)


def _extended(pencil: _Pencil, vectors: Array) -> Array:
    return jax.vmap(pencil.problem.constraint.extend, 1, 1)(vectors)


def _paired_frequency(pencil: _Pencil, pairs: tuple[Array, Array], chosen: Pair) -> Array:
    r"""The frequency of a pair: of a mode of its own that mode's, of several close ones Rayleigh's quotient.

    With the weights $c_j$ of the modes, $\sum_j c_j^2 = 1$, it is $\lambda = \sum_j c_j^2 \lambda_j$, and
    $d\lambda = \sum_j c_j^2\,d\lambda_j + 2 \sum_{i<j} c_i c_j \varphi_i^\top (dK - \lambda\,dM) \varphi_j$: exact for
    modes of one repeated frequency, of which each has no rate of its own but the combination has, and for modes that
    are merely close up to a share as small as their distance.
    """
    frequencies, _ = pairs
    vectors = stop_gradient(pairs[1])
    squares = jnp.sum(chosen.weights**2 * frequencies**2)
    value = (2 * np.pi) ** 2 * stop_gradient(squares)

    def rest(vector: Array) -> Array:
        return vector @ pencil.stiffness.mv(vector) - value * (vector @ pencil.mass.mv(vector))

    cross = rest(vectors @ chosen.weights) - chosen.weights**2 @ jax.vmap(rest, 1)(vectors)
    return jnp.sqrt(jnp.maximum(squares + (cross - stop_gradient(cross)) / (2 * np.pi) ** 2, 1e-30))


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
