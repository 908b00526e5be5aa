"""Sensors: what is measured on the device, in which unit, with which noise and lag."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.domains import domains
from gemel.engine.noise import Noise
from gemel.engine.spaces import FunctionSpace, Space, field_of
from gemel.meshes import MeshError
from gemel.solvers import Motion


def _floats(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


class Sensor(eqx.Module):
    """One reading of a device."""

    name: eqx.AbstractVar[str]
    noise: eqx.AbstractVar[Noise]
    unit: eqx.AbstractVar[str]


class FieldSensor(Sensor):
    """A sensor that reads a linear functional of a field on a mesh, behind a first-order lag, with an offset."""

    lag: eqx.AbstractVar[Any]
    offset: eqx.AbstractVar[Any]
    field: eqx.AbstractVar[str | None]

    @abstractmethod
    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """The unknowns ``(k,)`` and weights ``(k,)`` whose product is the reading.

        On the host, but for weights on a mesh whose points are traced.
        """


class PointSensor(FieldSensor):
    """Reads the field at one point.

    Args:
        name: its name.
        position: in m, inside the mesh.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
        component: which component of a vector field.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high (SI); a number or parameter; none when None.
        field: which field of a mixed space.
    """

    name: str = eqx.field(static=True)
    position: tuple[float, ...] = eqx.field(static=True, converter=_floats)
    noise: Noise = eqx.field(converter=lambda noise: noise if isinstance(noise, Noise) else Noise(noise))
    unit: str = eqx.field(static=True, default="")
    component: int = eqx.field(static=True, default=0)
    lag: Any = None
    offset: Any = None
    field: str | None = eqx.field(static=True, default=None)

    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """Evaluation at the point. Raises `ValueError` outside the mesh or for a component that is not there."""
        nodes, weights = _at_point(self, space, space.interpolation)
        return _unknowns(space, nodes[0], self), weights[0]


class StrainSensor(FieldSensor):
    r"""A strain gauge: reads $n \cdot \varepsilon\, n$ of a displacement $u$ at one point.

    $\varepsilon = \tfrac12(\nabla u + \nabla u^\top)$, also where the deformation is large.

    Args:
        name: its name.
        position: in m, inside the mesh; on a facet between cells one of them is read.
        direction: $n$, of any length.
        noise: standard deviation (of the strain) or a `Noise`.
        unit: the unit it is shown in.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high; a number or parameter; none when None.
        field: which field of a mixed space.

    Raises:
        ValueError: for a direction without length.
    """

    name: str = eqx.field(static=True)
    position: tuple[float, ...] = eqx.field(static=True, converter=_floats)
    direction: tuple[float, ...] = eqx.field(static=True, converter=_floats)
    noise: Noise = eqx.field(converter=lambda noise: noise if isinstance(noise, Noise) else Noise(noise))
    unit: str = eqx.field(static=True, default="")
    lag: Any = None
    offset: Any = None
    field: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        length = np.linalg.norm(self.direction)
        if not (np.isfinite(length) and length > 0):
            raise ValueError(f"Sensor '{self.name}': the direction {self.direction} has no length.")

    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """The derivative along the direction. Raises `ValueError` outside the mesh, or where the field is no vector."""
        dim = space.mesh.dim
        if space.mesh.cell_dim != dim:
            raise ValueError(
                f"Sensor '{self.name}' reads strains in solids, not on {space.mesh.cell_dim}-D cells in {dim}-D space."
            )
        if space.shape != (dim,) or len(self.direction) != dim:
            raise ValueError(
                f"Sensor '{self.name}' needs displacements and a direction of {dim} components on this mesh, not a "
                f"field of shape {space.shape} and {len(self.direction)} components."
            )
        direction = np.asarray(self.direction) / np.linalg.norm(self.direction)
        nodes, gradients = _at_point(self, space, space.gradient_rows)
        weights = (gradients[0] @ direction)[:, None] * direction
        return (nodes[0][:, None] * dim + np.arange(dim)).ravel(), weights.ravel()


class AverageSensor(FieldSensor):
    """Reads the mean of the field over cells, or over facets, called ``on``.

    Args:
        name: its name.
        on: a tag of cells, or of facets when ``facets`` is true.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
        facets: whether ``on`` names facets.
        component: which component of a vector field.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high (SI); a number or parameter; none when None.
        field: which field of a mixed space.
    """

    name: str = eqx.field(static=True)
    on: str = eqx.field(static=True)
    noise: Noise = eqx.field(converter=lambda noise: noise if isinstance(noise, Noise) else Noise(noise))
    unit: str = eqx.field(static=True, default="")
    facets: bool = eqx.field(static=True, default=False)
    component: int = eqx.field(static=True, default=0)
    lag: Any = None
    offset: Any = None
    field: str | None = eqx.field(static=True, default=None)

    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """The normalised integral. Raises `ValueError` for an unknown tag."""
        points, parts = jnp.asarray(space.mesh.points), domains(space, self.on, self.facets)
        owners = [np.asarray(domain.tables[0].nodes).ravel() for domain in parts]
        nodes, rows = np.unique(np.concatenate(owners), return_inverse=True)
        shares = jnp.concatenate([domain.loads(points).ravel() for domain in parts])
        if isinstance(shares, Tracer):
            weights = jnp.zeros(len(nodes)).at[rows].add(shares)
        else:
            weights = np.bincount(rows, np.asarray(shares))
        return _unknowns(space, nodes, self), weights / weights.sum()


class DerivedSensor(Sensor):
    """Reads something else where another sensor reads the displacement, under its name, noise and unit."""

    sensor: eqx.AbstractVar[FieldSensor]

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the sensor's."""
        return self.sensor.name

    @property
    def noise(self) -> Noise:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the sensor's."""
        return self.sensor.noise

    @property
    def unit(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the sensor's."""
        return self.sensor.unit


class MotionSensor(DerivedSensor, FieldSensor):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Reads the velocity or the acceleration where another sensor reads the displacement; for dynamic analyses.

    Args:
        sensor: the place and the component, with the name, the noise and the unit of this reading.
        derivative: 1 for the velocity, 2 for the acceleration.

    Raises:
        ValueError: for another derivative.
    """

    sensor: FieldSensor
    derivative: int = eqx.field(static=True)

    def __init__(self, sensor: FieldSensor, derivative: int) -> None:
        if derivative not in (1, 2):
            raise ValueError(
                f"Sensor '{sensor.name}': derivative {derivative} is neither 1 (velocity) nor 2 (acceleration)."
            )
        self.sensor, self.derivative = sensor, derivative

    @property
    def lag(self) -> Any:
        """As the sensor's."""
        return self.sensor.lag

    @property
    def offset(self) -> Any:
        """As the sensor's."""
        return self.sensor.offset

    @property
    def field(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the sensor's."""
        return self.sensor.field

    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """As the sensor's, to be applied to the velocity or the acceleration."""
        return self.sensor.functional(space)


class ResponseSensor(DerivedSensor):
    """Reads the complex amplitude of a vibration at one frequency; for harmonic analyses.

    Args:
        sensor: the place and the component, with the name, the noise and the unit of this reading.
        frequency: in Hz, one of those of the analysis.
        quantity: "amplitude", "phase" (in rad, ahead of the load), "real" or "imaginary".

    Raises:
        ValueError: for another quantity.
    """

    sensor: FieldSensor
    frequency: float = eqx.field(static=True)
    quantity: str = eqx.field(static=True)

    def __init__(self, sensor: FieldSensor, frequency: float, quantity: str = "amplitude") -> None:
        allowed = ("amplitude", "phase", "real", "imaginary")
        if quantity not in allowed:
            raise ValueError(f"Sensor '{sensor.name}': quantity '{quantity}' is not one of {', '.join(allowed)}.")
        self.sensor, self.frequency, self.quantity = sensor, float(frequency), quantity


class FrequencySensor(Sensor):
    """Reads a natural frequency in Hz.

    Args:
        name: its name.
        mode: 1 for the lowest.
        noise: standard deviation in Hz or a `Noise`.
        direction: count only modes that move mostly along this axis ("x", "y" or "z"): a beam's bending modes
            in one plane; all modes when None.
        unit: the unit it is shown in.
    """

    name: str = eqx.field(static=True)
    mode: int = eqx.field(static=True)
    noise: Noise = eqx.field(converter=lambda noise: noise if isinstance(noise, Noise) else Noise(noise))
    direction: str | None = eqx.field(static=True, default=None)
    unit: str = eqx.field(static=True, default="Hz")

    def __check_init__(self) -> None:
        if self.mode < 1:
            raise ValueError(f"Sensor '{self.name}': modes are counted from 1, not {self.mode}.")
        if self.direction not in (None, "x", "y", "z"):
            raise ValueError(f"Sensor '{self.name}': direction '{self.direction}' is not one of x, y, z.")


class OutputSensor(Sensor):
    """Reads a named output of an ODE model.

    Args:
        name: its name.
        output: the output's name.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
    """

    name: str = eqx.field(static=True)
    output: str = eqx.field(static=True)
    noise: Noise = eqx.field(converter=lambda noise: noise if isinstance(noise, Noise) else Noise(noise))
    unit: str = eqx.field(static=True, default="")


class FieldObservation(eqx.Module):
    """The linear map from a field to the raw readings of several sensors: padded rows of unknowns and weights."""

    unknowns: np.ndarray | Array
    weights: np.ndarray | Array

    @staticmethod
    def of(space: Space, sensors: Sequence[Sensor]) -> "FieldObservation":
        """Collect the sensors' functionals. Raises `ValueError` for a sensor that does not read fields."""
        rows = []
        for sensor in sensors:
            if not isinstance(sensor, FieldSensor):
                raise ValueError(f"Sensor '{sensor.name}' cannot read a field: use a point or an average sensor.")
            if isinstance(sensor, MotionSensor):
                raise ValueError(f"Sensor '{sensor.name}' reads a motion, which only a dynamic analysis has.")
            part, first = field_of(space, sensor.field)
            if not isinstance(part, FunctionSpace):
                raise ValueError(f"Sensor '{sensor.name}' reads the field '{sensor.field}', which has no places.")
            unknowns, weights = sensor.functional(part)
            rows.append((first + unknowns, weights))
        if not rows:
            return FieldObservation(np.zeros((0, 0), dtype=np.int32), np.zeros((0, 0)))
        width = max(len(unknowns) for unknowns, _ in rows)
        pads = [(0, width - len(unknowns)) for unknowns, _ in rows]
        unknowns = np.array([np.pad(places, pad) for (places, _), pad in zip(rows, pads, strict=True)], dtype=np.int32)
        xp: Any = jnp if any(isinstance(values, Tracer) for _, values in rows) else np
        weights = xp.stack([xp.pad(values, pad) for (_, values), pad in zip(rows, pads, strict=True)])
        return FieldObservation(unknowns, weights)

    def read(self, u: Float[Array, " n"]) -> Float[Array, " n_sensors"]:
        """The raw readings of a flat field."""
        return jnp.sum(u[self.unknowns] * self.weights, axis=1)


class MotionObservation(eqx.Module):
    """The linear maps from a displacement, velocity and acceleration to the raw readings of several sensors."""

    places: FieldObservation
    derivatives: tuple[int, ...] = eqx.field(static=True)

    @staticmethod
    def of(space: Space, sensors: Sequence[Sensor]) -> "MotionObservation":
        """Collect the sensors' functionals. Raises `ValueError` for a sensor that does not read fields."""
        plain = [sensor.sensor if isinstance(sensor, MotionSensor) else sensor for sensor in sensors]
        orders = tuple(sensor.derivative if isinstance(sensor, MotionSensor) else 0 for sensor in sensors)
        return MotionObservation(FieldObservation.of(space, plain), orders)

    def read(self, motion: Motion) -> Float[Array, " n_sensors"]:
        """The raw readings of a motion."""
        if not self.derivatives:
            return jnp.zeros(0)
        readings = [self.places.read(part) for part in (motion.u, motion.v, motion.a)]
        return jnp.stack([readings[order][i] for i, order in enumerate(self.derivatives)])


def lagged(times: Float[Array, " n"], raw: Float[Array, " n"], lag: Any) -> Float[Array, " n"]:
    r"""A first-order sensor, $\tau \dot y + y = x$, $y(t_0) = x(t_0)$: exact for $x$ linear between samples."""
    lag = jnp.maximum(jnp.asarray(lag), 1e-9)

    def step(y: Array, sample: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        span, before, after = sample
        decay = jnp.exp(-span / lag)
        slope = (after - before) / span
        y = after - slope * lag + (y - before + slope * lag) * decay
        return y, y

    _, rest = jax.lax.scan(step, raw[0], (jnp.diff(times), raw[:-1], raw[1:]))
    return jnp.concatenate([raw[:1], rest])


def _at_point(sensor: Any, space: FunctionSpace, rows: Callable[[np.ndarray], Any]) -> tuple[Any, Any]:
    """The nodes and weights of a sensor at one point. Raises `ValueError` where it does not lie in the mesh."""
    if len(sensor.position) != space.mesh.dim:
        raise ValueError(
            f"Sensor '{sensor.name}' has a position of {len(sensor.position)} coordinates on a {space.mesh.dim}-D mesh."
        )
    try:
        return rows(np.asarray(sensor.position, dtype=float)[None])
    except MeshError as error:
        raise ValueError(f"Sensor '{sensor.name}' at {sensor.position} m lies outside the mesh.") from error


def _unknowns(space: FunctionSpace, nodes: np.ndarray, sensor: Any) -> np.ndarray:
    if not 0 <= sensor.component < space.n_components:
        raise ValueError(
            f"Sensor '{sensor.name}' reads component {sensor.component}: the field has 0 to {space.n_components - 1}."
        )
    return nodes * space.n_components + sensor.component
