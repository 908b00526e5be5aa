"""Observations: the maps from a field, a motion or a balance of forces to the raw readings of sensors."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.fieldsensors import IntegralSensor, SampledSensor, functionals
from gemel.engine.sensors import DerivedSensor, FieldSensor, LaggedSensor, MotionSensor, ResponseSensor, Sensor
from gemel.engine.spaces import FunctionSpace, Space, field_of
from gemel.solvers import Motion

_Row = tuple[np.ndarray, Any]


class Rows(eqx.Module):
    """Some rows of a sparse matrix, padded to one length: columns and weights ``(n, k)``."""

    columns: np.ndarray | Array
    weights: np.ndarray | Array

    @staticmethod
    def of(rows: Sequence[_Row]) -> "Rows":
        """Pad rows, each of columns and weights ``(k,)``."""
        width = max((len(columns) for columns, _ in rows), default=0)
        pads = [(0, width - len(columns)) for columns, _ in rows]
        table = np.zeros((len(rows), width), dtype=np.int32)
        for row, (columns, _) in zip(table, rows, strict=True):
            row[: len(columns)] = columns
        xp: Any = jnp if any(isinstance(weights, Tracer) for _, weights in rows) else np
        weights = [xp.pad(weights, pad) for (_, weights), pad in zip(rows, pads, strict=True)]
        return Rows(table, xp.stack(weights) if rows else np.zeros((0, 0)))

    def read(self, u: Float[Array, " m"]) -> Float[Array, " n"]:
        """The product with a vector."""
        return jnp.sum(u[self.columns] * self.weights, axis=1)


class SparseRows(eqx.Module):
    """Rows of a sparse matrix, those of about the same length together: ``order (n,)`` puts them back."""

    groups: tuple[Rows, ...]
    order: np.ndarray | Array

    @staticmethod
    def of(rows: Sequence[_Row]) -> "SparseRows":
        """Group rows, each of columns and weights ``(k,)``, by the number of bits of their length."""
        bits = np.array([len(columns).bit_length() for columns, _ in rows], dtype=int)
        members = [np.flatnonzero(bits == size) for size in np.unique(bits)]
        groups = tuple(Rows.of([rows[int(i)] for i in chosen]) for chosen in members)
        return SparseRows(groups, np.argsort(np.concatenate([np.zeros(0, int), *members])).astype(np.int32))

    def read(self, u: Float[Array, " m"]) -> Float[Array, " n"]:
        """The product with a vector."""
        return jnp.concatenate([jnp.zeros(0), *(group.read(u) for group in self.groups)])[self.order]


class FieldObservation(eqx.Module):
    """The linear map from a field to the raw readings of several sensors."""

    rows: SparseRows

    @staticmethod
    def of(space: Space, sensors: Sequence[Sensor]) -> "FieldObservation":
        """Collect the sensors' functionals. Raises `ValueError` for a sensor that does not read fields."""
        rows: list[_Row | None] = [None] * len(sensors)
        sampled: dict[str | None, list[int]] = {}
        for number, sensor in enumerate(sensors):
            if not isinstance(sensor, FieldSensor):
                raise ValueError(
                    f"Sensor '{sensor.name}' cannot read a field: use a point, strain, average or integral sensor, or "
                    "an image."
                )
            if isinstance(sensor, MotionSensor):
                raise ValueError(f"Sensor '{sensor.name}' reads a motion, which only a dynamic analysis has.")
            if isinstance(sensor, SampledSensor):
                sampled.setdefault(sensor.field, []).append(number)
            else:
                part, first = places_of(space, sensor)
                columns, weights = sensor.functional(part)
                rows[number] = (first + columns, weights)
        for numbers in sampled.values():
            mine: Any = [sensors[number] for number in numbers]
            part, first = places_of(space, mine[0])
            for number, (columns, weights) in zip(numbers, functionals(mine, part), strict=True):
                rows[number] = (first + columns, weights)
        return FieldObservation(SparseRows.of([row for row in rows if row is not None]))

    def read(self, u: Float[Array, " n"]) -> Float[Array, " n_sensors"]:
        """The raw readings of a flat field."""
        return self.rows.read(u)


def places_of(space: Space, sensor: Any) -> tuple[FunctionSpace, int]:
    """The space of the field that a sensor reads, and its first unknown. Raises `ValueError` for one without places."""
    part, first = field_of(space, sensor.field)
    if not isinstance(part, FunctionSpace):
        raise ValueError(f"Sensor '{sensor.name}' reads the field '{sensor.field}', which has no places.")
    return part, first


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
        readings = jnp.stack([self.places.read(part) for part in (motion.u, motion.v, motion.a)])
        return readings[np.array(self.derivatives), np.arange(len(self.derivatives))]


def finished(sensors: Sequence[Sensor], grid: Array | None, raw: Float[Array, "... n"]) -> Float[Array, "... n"]:
    """What sensors show, from raw readings at the times of ``grid``: weighted, behind their lag, with their offset
    and drift.

    Sensors that share these numbers, such as the pixels of an image, are worked on together.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    numbers: dict[tuple[Any, ...], tuple[Any, Any, Any, Any, str]] = {}
    for place, sensor in enumerate(sensors):
        found = _numbers(sensor)
        key = tuple(value if isinstance(value, float | int | str | None) else id(value) for value in found)
        groups.setdefault(key, []).append(place)
        numbers[key] = found
    for key, places in groups.items():
        weight, lag, offset, drift, quantity = numbers[key]
        if weight is lag is offset is drift is None:
            continue
        mine = raw[..., np.array(places)]
        mine = mine if weight is None else _weighted(mine, weight, quantity)
        mine = mine if grid is None or lag is None else lagged(grid, mine, lag)
        mine = mine if offset is None else mine + offset
        mine = mine if grid is None or drift is None else mine + (drift * grid)[:, None]
        raw = raw.at[..., np.array(places)].set(mine)
    return raw


def _weighted(raw: Array, weight: Any, quantity: str) -> Array:
    """A reading times a weight: of a complex amplitude its magnitude, or its phase, which a negative weight turns."""
    if quantity == "phase":
        return jnp.where(weight < 0, raw - jnp.pi * jnp.where(raw > 0, 1.0, -1.0), raw)
    return (jnp.abs(weight) if quantity == "amplitude" else weight) * raw


def _numbers(sensor: Sensor) -> tuple[Any, Any, Any, Any, str]:
    """The weight, lag, offset and drift of a sensor, None where it has none, and the quantity that it shows."""
    origin = sensor.sensor if isinstance(sensor, DerivedSensor) else sensor
    weight = origin.weight if isinstance(origin, IntegralSensor) else None
    quantity = sensor.quantity if isinstance(sensor, ResponseSensor) else ""
    if not isinstance(sensor, LaggedSensor):
        return weight, None, None, None, quantity
    return weight, sensor.lag, sensor.offset, sensor.drift, quantity


def lagged(times: Float[Array, " n"], raw: Float[Array, "n *s"], lag: Any) -> Float[Array, "n *s"]:
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
