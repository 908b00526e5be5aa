"""Models of fields on a mesh: their properties, and what is asked of them."""

from collections.abc import Container, Iterator
from typing import Any

from gemel.engine.analyses import Dynamic, Modal, Steady, Transient
from gemel.engine.analyses.analysis import Analysis
from gemel.engine.coefficients import is_constant
from gemel.engine.materials.ranges import require_not_negative, require_poisson, require_positive
from gemel.engine.physics import Elasticity, Heat
from gemel.engine.spaces import FunctionSpace
from gemel.engine.twinfile.conditions import build_conditions
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.neural import Coefficients
from gemel.engine.twinfile.numbers import Numbers, with_place
from gemel.engine.twinfile.schema import Document, ElasticityTable, HeatTable
from gemel.engine.twinfile.sensortables import FrequencySensorTable, ModeSensorTable
from gemel.engine.twinfile.tables import Number
from gemel.engine.units import parse
from gemel.meshes import Mesh
from gemel.names import listed

FieldModel = HeatTable | ElasticityTable

_MATERIALS = {
    "heat": {"conductivity": "W/m/K", "capacity": "J/m^3/K"},
    "elasticity": {"youngs_modulus": "Pa", "poisson_ratio": "", "density": "kg/m^3"},
}

_RANGES = {
    "conductivity": require_positive,
    "capacity": require_not_negative,
    "youngs_modulus": require_positive,
    "poisson_ratio": require_poisson,
    "density": require_positive,
}
"""What a property may be; the physics checks it as well, but does not know where it is written."""


def build_field_analysis(document: Document, mesh: Mesh, coefficients: Coefficients, place: Place) -> Analysis:
    """The analysis that the tables ``model``, ``materials`` and ``conditions`` describe on a mesh."""
    model = document.model
    assert isinstance(model, FieldModel)
    check_keys(model, place / "model")
    shape = () if isinstance(model, HeatTable) else (mesh.dim,)
    space = with_place(place / "model" / "element", FunctionSpace, mesh, model.element, shape)
    for region in document.materials:
        with_place(place / "materials" / region, mesh.cells_of, region)
    materials = _materials(document, coefficients, place)
    conditions, masses = build_conditions(document.conditions, model.physics, mesh, coefficients, place)
    for key in needed_properties(model):
        require_property(key, materials, place / "materials")
    if isinstance(model, HeatTable):
        physics: Any = with_place(
            place,
            lambda: Heat(
                space,
                materials["conductivity"],
                materials.get("capacity"),
                conditions,
                masses,
                axisymmetric=model.axisymmetric,
            ),
        )
        return _heat_analysis(model, physics, coefficients.numbers, place / "model")
    physics = with_place(
        place,
        lambda: Elasticity(
            space,
            materials["youngs_modulus"],
            materials["poisson_ratio"],
            materials.get("density"),
            conditions,
            masses,
            model.kinematics,
        ),
    )
    return _elastic_analysis(model, physics, document, coefficients.numbers, place / "model")


_KEYS = {
    "steady": {"solver"},
    "transient": {"solver", "step", "initial"},
    "static": {"solver"},
    "modal": {"modes"},
    "dynamic": {"solver", "step", "damping_alpha", "damping_beta"},
}
"""Which keys of the model belong to which analysis."""

_NEEDED = {"transient": ("step", "initial"), "dynamic": ("step",)}


def check_keys(model: FieldModel, place: Place) -> None:
    """Raise where the model has a key of another analysis, or lacks one of its own."""
    all_keys: set[str] = set().union(*_KEYS.values())
    given = {key for key in all_keys & model.model_fields_set if getattr(model, key) is not None}
    article = "an" if model.analysis[0] in "aeiou" else "a"
    if foreign := sorted(given - _KEYS[model.analysis]):
        raise (place / foreign[0]).error(f"{article} {model.analysis} analysis takes no '{foreign[0]}'.")
    for key in _NEEDED.get(model.analysis, ()):
        if key not in given:
            raise place.error(f"{article} {model.analysis} analysis needs the key '{key}'.")


def read_step(model: FieldModel, place: Place) -> float:
    """The step in time in s, of an analysis that has one."""
    step = with_place(place / "step", parse, model.step, "s")
    with_place(place / "step", require_positive, "The time step", step)
    return step


def read_initial(model: HeatTable, numbers: Numbers, place: Place) -> Any:
    """The initial temperature in K, of an analysis that has one."""
    return numbers.optional(model.initial, "K", place / "initial")


def read_damping(model: ElasticityTable, numbers: Numbers, place: Place) -> tuple[Any, Any]:
    """Rayleigh's two coefficients, in 1/s and in s."""
    alpha = numbers.optional(model.damping_alpha, "1/s", place / "damping_alpha")
    beta = numbers.optional(model.damping_beta, "s", place / "damping_beta")
    return 0.0 if alpha is None else alpha, 0.0 if beta is None else beta


def _elastic_analysis(
    model: ElasticityTable, physics: Elasticity, document: Document, numbers: Numbers, place: Place
) -> Analysis:
    tolerance, steps = model.solver.tolerance, model.solver.max_steps
    if model.analysis == "static":
        return Steady(physics, rtol=tolerance, max_steps=steps)
    if model.analysis == "modal":
        return with_place(place / "modes", Modal, physics, model.modes or _modes_needed(document))
    step, rayleigh = read_step(model, place), read_damping(model, numbers, place)
    return with_place(
        place, lambda: Dynamic(physics, 0.0, 0.0, step, rayleigh=rayleigh, rtol=tolerance, max_steps=steps)
    )


def _heat_analysis(model: HeatTable, physics: Heat, numbers: Numbers, place: Place) -> Analysis:
    tolerance, steps = model.solver.tolerance, model.solver.max_steps
    if model.analysis == "steady":
        return Steady(physics, rtol=tolerance, max_steps=steps)
    step, initial = read_step(model, place), read_initial(model, numbers, place)
    return with_place(place, lambda: Transient(physics, initial, step, rtol=tolerance, max_steps=steps))


def _modes_needed(document: Document) -> int:
    """Enough modes for the sensors: all when they count all modes, a few more when they count one direction or look
    for a shape.
    """
    tables = [table for table in document.sensors.values() if isinstance(table, FrequencySensorTable)]
    shapes = sum(isinstance(table, ModeSensorTable) for table in document.sensors.values())
    needed = [table.mode if table.direction is None else 2 * table.mode + 2 for table in tables]
    if shapes:
        needed.append(2 * shapes + 2)
    return max(needed, default=6)


def properties(document: Document, place: Place) -> Iterator[tuple[str, str, Number, Place]]:
    """Every property that the file gives: its name, its region, what is written, and where."""
    for region, table in document.materials.items():
        for key in sorted(table.model_fields_set):
            yield key, region, getattr(table, key), place / "materials" / region / key


def read_property(key: str, value: Number, physics: str, coefficients: Coefficients, place: Place) -> Any:
    """One property of a region; of all but Poisson's ratio, which has an upper bound, also a law."""
    units = _MATERIALS[physics]
    if key not in units:
        raise place.error(f"'{key}' is not a property for {physics}: allowed are {listed(key, units)}")
    reader = coefficients.numbers if key == "poisson_ratio" else coefficients
    number = reader.read(value, units[key], place)
    if key == "capacity" and not is_constant(number):
        raise place.error("a capacity may depend on places and inputs, but not on the temperature.")
    with_place(place, _RANGES[key], f"The property '{key}'", number)
    return number


def _materials(document: Document, coefficients: Coefficients, place: Place) -> dict[str, Any]:
    """For each property a number, or a mapping from tags to numbers."""
    found: dict[str, dict[str, Any]] = {}
    for key, region, value, here in properties(document, place):
        number = read_property(key, value, document.model.physics, coefficients, here)
        found.setdefault(key, {})[region] = number
    return {key: values["all"] if set(values) == {"all"} else values for key, values in found.items()}


def needed_properties(model: FieldModel) -> list[str]:
    """The properties without which there is no such model."""
    if isinstance(model, HeatTable):
        return ["conductivity", *(["capacity"] if model.analysis == "transient" else [])]
    return ["youngs_modulus", "poisson_ratio", *(["density"] if model.analysis != "static" else [])]


def require_property(key: str, given: Container[str], place: Place) -> None:
    """Raise where a property is missing."""
    if key not in given:
        raise place.error(f"the property '{key}' is missing: give it in [materials.all].")
