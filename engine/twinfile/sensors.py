"""From the tables of sensors in a twin file to sensors."""

from typing import Any

import numpy as np

from gemel.engine.boundarysensors import FluxSensor, ReactionSensor
from gemel.engine.fieldsensors import AverageSensor, IntegralSensor, PointSensor, StrainSensor
from gemel.engine.materials.ranges import require_not_negative
from gemel.engine.noise import ModelError, Noise
from gemel.engine.sensors import FrequencySensor, MotionSensor, OutputSensor, Sensor
from gemel.engine.twinfile.conditions import AXES
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.images import build_pixels
from gemel.engine.twinfile.modes import build_mode_sensors
from gemel.engine.twinfile.numbers import Numbers, lengths, with_place
from gemel.engine.twinfile.schema import ElasticityTable, HeatTable, NetworkTable
from gemel.engine.twinfile.sensortables import (
    FluxSensorTable,
    FrequencySensorTable,
    ImageSensorTable,
    IntegralSensorTable,
    ModeSensorTable,
    OutputSensorTable,
    PointSensorTable,
    ReactionSensorTable,
    SensorBase,
    StrainSensorTable,
)
from gemel.engine.units import check_unit, compatible, difference_unit, parse, quotient
from gemel.meshes import Mesh


def build_sensors(name: str, table: Any, model: Any, mesh: Mesh | None, numbers: Numbers, place: Place) -> list[Sensor]:
    """The sensors of a table: one, or several of a measured mode with its shape and of an image.

    ``mesh`` is that of a model of a field, None for others.
    """
    _check_kind(table, model, place / "kind")
    with_place(place / "unit", check_unit, table.unit)
    if (expected := _unit_read(table, model)) is not None and not compatible(table.unit, expected):
        given = f"in '{table.unit}'" if table.unit else "without a unit"
        raise (place / "unit").error(f"this sensor reads a quantity in {expected or 'no unit'}, not {given}.")
    noise = _build_noise(table, numbers, place)
    if isinstance(table, ModeSensorTable):
        assert mesh is not None
        return build_mode_sensors(name, table, noise, mesh.dim, place)
    if isinstance(table, FrequencySensorTable):
        if model.modes is not None and table.mode > model.modes:
            raise (place / "mode").error(f"there is no mode {table.mode}: 'modes' of [model] says {model.modes}.")
        return [
            with_place(
                place,
                lambda: FrequencySensor(
                    name=name, mode=table.mode, noise=noise, direction=table.direction, unit=table.unit
                ),
            )
        ]
    if isinstance(table, OutputSensorTable):
        return [OutputSensor(output=table.output, **_shared(name, table, noise, numbers, place))]
    assert mesh is not None
    shared = _shared(name, table, noise, numbers, place)
    return _field_sensors(table, model, mesh, numbers, shared, place)


def _shared(name: str, table: Any, noise: Noise, numbers: Numbers, place: Place) -> dict[str, Any]:
    """What all sensors but those of modes have."""
    rate = quotient(difference_unit(table.unit), "s")
    return {
        "name": name,
        "noise": noise,
        "unit": table.unit,
        "lag": numbers.noting(_lag, table.lag, numbers, place / "lag"),
        "offset": numbers.difference(table.offset, table.unit, place / "offset"),
        "drift": numbers.optional(table.drift, rate, place / "drift"),
    }


def _lag(value: Any, numbers: Numbers, place: Place) -> Any:
    lag = numbers.optional(value, "s", place)
    with_place(place, require_not_negative, "The lag of a sensor", lag)
    return lag


_OF_FIELDS = ("point", "average", "integral", "image")
_OF_BODIES = (*_OF_FIELDS, "strain", "reaction")
_KINDS: dict[str, tuple[str, ...] | dict[str, tuple[str, ...]]] = {
    "heat": (*_OF_FIELDS, "flux"),
    "elasticity": {"static": _OF_BODIES, "dynamic": _OF_BODIES, "modal": ("frequency", "mode")},
    "thermal-network": ("output",),
    "equivalent-circuit": ("output",),
}
_WITHOUT = {
    "mode": "only a modal analysis has modes",
    "frequency": "only a modal analysis has natural frequencies",
    "output": "only a network or a circuit has outputs",
    "strain": "only a static or dynamic analysis of elasticity has strains",
    "flux": "only a model of heat has fluxes, for a force use the kind 'reaction'",
    "reaction": "only a static or dynamic analysis of elasticity has reactions, for heat use the kind 'flux'",
}
"""Why a model has no sensor of a kind; of the other kinds it has no field to read."""


def kinds_of(physics: Any, analysis: Any) -> tuple[str, ...]:
    """The kinds of sensors that a model has, by its physics and its analysis as a file says them; none where these are
    not known.
    """
    kinds = _KINDS.get(physics, ()) if isinstance(physics, str) else ()
    if isinstance(kinds, dict):
        return kinds.get(analysis, ()) if isinstance(analysis, str) else ()
    return kinds


def _check_kind(table: Any, model: Any, place: Place) -> None:
    """Raise where the model has nothing of the kind that a sensor reads."""
    kinds = kinds_of(model.physics, getattr(model, "analysis", None))
    if table.kind not in kinds:
        what = f"a {model.analysis} analysis" if hasattr(model, "analysis") else f"the physics '{model.physics}'"
        why = _WITHOUT.get(table.kind, f"{what} has no field to read")
        raise place.error(f"{why}: choose {' or '.join(repr(kind) for kind in kinds)}.")


def _unit_read(table: Any, model: Any) -> str | None:
    """The SI unit of what a sensor reads; None for the outputs of a circuit, which differ, and weighted integrals."""
    if isinstance(table, OutputSensorTable):
        return "K" if isinstance(model, NetworkTable) else None
    if isinstance(table, FrequencySensorTable | ModeSensorTable):
        return "Hz"
    if isinstance(table, StrainSensorTable) or (isinstance(table, ImageSensorTable) and table.direction is not None):
        return ""
    if isinstance(table, FluxSensorTable):
        return "W"
    if isinstance(table, ReactionSensorTable):
        return "N"
    if isinstance(table, IntegralSensorTable):
        return None if table.weight is not None else _integral_unit(table, model)
    return _field_unit(table, model)


_FIELD_UNITS = {"field": "m", "velocity": "m/s", "acceleration": "m/s^2"}


def _field_unit(table: Any, model: Any) -> str:
    return "K" if isinstance(model, HeatTable) else _FIELD_UNITS[table.reads]


def _integral_unit(table: IntegralSensorTable, model: Any) -> str:
    """That of the field times an area or a volume; two dimensions are one metre deep."""
    return f"{_field_unit(table, model)}*m^{2 if table.facets else 3}"


def _build_noise(table: SensorBase, numbers: Numbers, place: Place) -> Noise:
    std = numbers.difference(table.noise, table.unit, place / "noise")
    if isinstance(std, float) and std <= 0:
        raise (place / "noise").error(f"the noise must be positive, not {table.noise}.")
    time, given = 0.0, table.model_error
    if table.correlation_time is not None:
        here = place / "correlation_time"
        time = with_place(here, parse, table.correlation_time, "s")
        with_place(here, require_not_negative, "The correlation time of a noise", time)
    if given is None:
        return with_place(place / "noise", Noise, std, time)
    here = place / "model_error"
    spread = numbers.difference(given.std, table.unit, here / "std")
    error = with_place(here, ModelError, spread, numbers.read(given.correlation_time, "s", here / "correlation_time"))
    return with_place(here, Noise, std, time, error)


def _field_sensors(
    table: Any, model: Any, mesh: Mesh, numbers: Numbers, shared: dict[str, Any], place: Place
) -> list[Sensor]:
    """A sensor of a field, or of its boundary, or the pixels of an image."""
    if isinstance(table, FluxSensorTable | ReactionSensorTable):
        return [_boundary_sensor(table, mesh, shared, place)]
    if isinstance(table, StrainSensorTable):
        position = _position(table, mesh, place)
        return [with_place(place, lambda: StrainSensor(position=position, direction=tuple(table.direction), **shared))]
    component: Any = "normal" if table.component == "normal" else _component(table, mesh, place)
    if isinstance(table, ImageSensorTable):
        sensors: list[Any] = build_pixels(table, shared, component, mesh.dim, place)
    elif isinstance(table, PointSensorTable):
        sensors = [PointSensor(position=_position(table, mesh, place), component=component, **shared)]
    else:
        with_place(place / "on", mesh.facets if table.facets else mesh.cells_of, table.on)
        kind: Any = AverageSensor
        if isinstance(table, IntegralSensorTable):
            kind, shared = IntegralSensor, {**shared, **_integral(table, model, numbers, place)}
        sensors = [with_place(place, lambda: kind(on=table.on, facets=table.facets, component=component, **shared))]
    if table.reads == "field":
        return list(sensors)
    if not isinstance(model, ElasticityTable) or model.analysis != "dynamic":
        raise (place / "reads").error(f"only a dynamic analysis has a {table.reads}.")
    return [MotionSensor(sensor, 1 if table.reads == "velocity" else 2) for sensor in sensors]


def _position(table: Any, mesh: Mesh, place: Place) -> tuple[float, ...]:
    position = lengths(table.position, place / "position")
    if len(position) != mesh.dim:
        raise (place / "position").error(f"a point of this mesh has {mesh.dim} coordinates, not {len(position)}.")
    low, high = np.asarray(mesh.bounding_box)
    slack = 1e-6 * float(np.max(high - low))
    if np.any(position < low - slack) or np.any(position > high + slack):
        ends = " to ".join(f"({', '.join(f'{x:.6g}' for x in end)}) m" for end in (low, high))
        raise (place / "position").error(f"the point lies outside the mesh, which reaches from {ends}.")
    return position


def _integral(table: IntegralSensorTable, model: Any, numbers: Numbers, place: Place) -> dict[str, Any]:
    """The weight of an integral, and whether it goes around an axis."""
    turned = model.axisymmetric if isinstance(model, HeatTable) else model.kinematics == "axisymmetric"
    weight = 1.0
    if table.weight is not None:
        unit = quotient(table.unit, _integral_unit(table, model))
        weight = numbers.read(table.weight, unit, place / "weight")
    return {"weight": weight, "axisymmetric": turned}


def _boundary_sensor(table: Any, mesh: Mesh, shared: dict[str, Any], place: Place) -> Sensor:
    with_place(place / "on", mesh.facets, table.on)
    if isinstance(table, FluxSensorTable):
        return FluxSensor(on=table.on, **shared)
    return ReactionSensor(on=table.on, component=_component(table, mesh, place), **shared)


def _component(table: Any, mesh: Mesh, place: Place) -> int:
    component = AXES[table.component]
    if component is not None and component >= mesh.dim:
        raise (place / "component").error(f"'{table.component}' does not exist on a {mesh.dim}-D mesh.")
    return component or 0
