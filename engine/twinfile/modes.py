"""Measured modes of a twin file: their sensors, and their shapes as readings."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gemel.engine.measuredmodes import MeasuredShape, ModeSensor
from gemel.engine.sensors import Noise, Sensor
from gemel.engine.signals import Record
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.numbers import with_place
from gemel.engine.twinfile.schema import Document
from gemel.engine.twinfile.sensortables import ModeSensorTable
from gemel.engine.units import parse


def build_mode_sensors(name: str, table: ModeSensorTable, noise: Noise, dim: int, place: Place) -> list[Sensor]:
    """The sensor of a measured mode's frequency and, with ``shape_noise``, one for each component of its shape."""
    shape = _measured_shape(table, dim, place)
    sensors: list[Sensor] = [ModeSensor(name=name, shape=shape, noise=noise, unit=table.unit)]
    return sensors if table.shape_noise is None else [*sensors, *shape.sensors(name, table.shape_noise)]


def _measured_shape(table: ModeSensorTable, dim: int, place: Place) -> MeasuredShape:
    points = []
    for i, point in enumerate(table.points):
        if len(point) != dim:
            raise (place / "points" / i).error(f"a point of this mesh has {dim} coordinates, not {len(point)}.")
        points.append([with_place(place / "points" / i / j, parse, length, "m") for j, length in enumerate(point)])
    for key, values in (("shape", table.shape), ("imaginary", table.imaginary)):
        if values is not None and len(values) != len(points):
            raise (place / key).error(f"{len(points)} numbers are needed, one for each point, not {len(values)}.")
    directions = table.directions
    if not isinstance(directions, str) and len(directions) == 1:
        directions = directions * len(points)
    values = np.asarray(table.shape) + 1j * np.asarray(table.imaginary or 0.0)
    return with_place(place, lambda: MeasuredShape(points, directions, values, table.least_mac, table.close))


def component_names(document: Document) -> list[str]:
    """The names of the readings of measured shapes, component by component."""
    return [one for name in document.sensors for one in components_of(document, name)]


def components_of(document: Document, name: str) -> list[str]:
    """Those of one sensor; none where it reads no shape."""
    table = document.sensors[name]
    shape = table.shape if isinstance(table, ModeSensorTable) and table.shape_noise is not None else []
    return [f"{name}.{i + 1}" for i in range(len(shape))]


def with_shapes(document: Document, record: Record) -> Record:
    """A record of single values with the shapes of the modes whose frequencies it has."""
    return replace(record, readings={**record.readings, **dict(_shape_readings(document, record))})


def _shape_readings(document: Document, record: Record) -> Iterator[tuple[str, float]]:
    for name, table in document.sensors.items():
        if isinstance(table, ModeSensorTable) and table.shape_noise is not None and name in record.readings:
            yield from _measured_shape(table, len(table.points[0]), Place("", "")).readings(name).items()
