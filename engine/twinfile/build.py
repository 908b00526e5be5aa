"""From the tables of a twin file to a twin."""

from pathlib import Path
from typing import Any

import numpy as np

from gemel.engine.analyses import Dynamic, Modal, Steady, Transient
from gemel.engine.analyses.analysis import Analysis
from gemel.engine.losses import LOSSES
from gemel.engine.materials.ranges import require_not_negative, require_poisson, require_positive
from gemel.engine.parameters import parameters_of
from gemel.engine.physics import Elasticity, Heat
from gemel.engine.spaces import FunctionSpace
from gemel.engine.twin import Twin
from gemel.engine.twinfile.circuit import build_circuit
from gemel.engine.twinfile.conditions import build_conditions
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.network import build_network
from gemel.engine.twinfile.neural import Coefficients
from gemel.engine.twinfile.numbers import Numbers, lengths, with_place
from gemel.engine.twinfile.schema import (
    CircuitTable,
    Document,
    ElasticityTable,
    HeatTable,
    MeshTable,
    NetworkTable,
    RegionTable,
)
from gemel.engine.twinfile.sensors import build_sensors
from gemel.engine.twinfile.sensortables import FrequencySensorTable, ModeSensorTable
from gemel.engine.units import parse
from gemel.meshes import Mesh, grid, read_mesh
from gemel.meshes import box as box_mesh
from gemel.meshes import rectangle as rectangle_mesh

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


def build_twin(document: Document, place: Place, folder: Path) -> Twin:
    """The twin that a document describes; every mistake is a `TwinFileError` with its place."""
    numbers = Numbers(document.parameters, document.inputs, place, document.neural)
    _refuse_foreign_tables(document, place)
    mesh = None
    if isinstance(document.model, CircuitTable):
        analysis = build_circuit(document.model, numbers, place / "model")
    elif isinstance(document.model, NetworkTable):
        analysis = build_network(document, Coefficients(document, numbers, 0, place), place)
    else:
        mesh = build_mesh(document.mesh, place / "mesh", folder)
        analysis = _build_field_analysis(document, mesh, Coefficients(document, numbers, mesh.dim, place), place)
    sensors = [
        sensor
        for name, table in document.sensors.items()
        for sensor in build_sensors(name, table, document.model, mesh, numbers, place / "sensors" / name)
    ]
    loss = LOSSES[document.calibration.loss]()
    twin = with_place(place / "sensors", Twin, document.name, analysis, sensors, document.description, loss)
    used = parameters_of((analysis, twin.sensors))
    for table, kind in (("parameters", "parameter"), ("neural", "neural term")):
        if unused := sorted(set(getattr(document, table)) - set(used)):
            raise (place / table / unused[0]).error(f"{kind} '{unused[0]}' is used nowhere: write '${unused[0]}'.")
    if unused := sorted(set(document.inputs) - {*twin.inputs}):
        raise (place / "inputs" / unused[0]).error(f"input '{unused[0]}' is used nowhere.")
    return twin


_FIELD_TABLES = ("mesh", "materials", "conditions")
_NETWORK_TABLES = ("nodes", "boundaries", "links", "heats")


def _refuse_foreign_tables(document: Document, place: Place) -> None:
    """Raise where the file has a table that belongs to another physics."""
    own = {CircuitTable: (), NetworkTable: _NETWORK_TABLES}.get(type(document.model), _FIELD_TABLES)
    for key in (*_FIELD_TABLES, *_NETWORK_TABLES):
        if getattr(document, key) and key not in own:
            raise (place / key).error(f"the physics '{document.model.physics}' takes no '{key}'.")


def build_mesh(table: MeshTable | None, place: Place, folder: Path) -> Mesh:
    """The mesh of a twin, with its named regions."""
    if table is None:
        raise place.error("the table [mesh] is missing: give 'file', 'box' or 'grid'.")
    sources = [key for key in ("file", "box", "grid") if getattr(table, key) is not None]
    if len(sources) != 1:
        raise place.error(f"give exactly one of 'file', 'box' and 'grid', not {' and '.join(sources) or 'none'}.")
    if table.file is not None:
        mesh = with_place(place / "file", read_mesh, folder / table.file)
    elif table.box is not None:
        mesh = _box(table.box, place / "box")
    else:
        lines = table.grid
        assert lines is not None
        axes = [lengths(axis, place / "grid" / key) for key, axis in lines if key != "cell" and axis is not None]
        mesh = with_place(place / "grid", lambda: grid(*map(np.asarray, axes), cell=lines.cell))
    for kind, tags in (("cell_tags", table.cell_tags), ("facet_tags", table.facet_tags)):
        for name, region in tags.items():
            mesh = _tag(mesh, kind, name, region, place / kind / name)
    return mesh


def _box(table: Any, place: Place) -> Mesh:
    size = lengths(table.size, place / "size")
    if len(table.cells) != len(size):
        raise (place / "cells").error(f"{len(size)} numbers are needed, one for each size, not {len(table.cells)}.")
    origin = lengths(table.origin, place / "origin") if table.origin else (0.0,) * len(size)
    make: Any = rectangle_mesh if len(size) == 2 else box_mesh
    cell = table.cell or ("quadrilateral" if len(size) == 2 else "hexahedron")
    return with_place(place, lambda: make(*table.cells, size=size, origin=origin, cell=cell))


def _tag(mesh: Mesh, kind: str, name: str, region: RegionTable, place: Place) -> Mesh:
    low, high = lengths(region.low, place / "low"), lengths(region.high, place / "high")
    if not len(low) == len(high) == mesh.dim:
        raise place.error(f"'low' and 'high' need {mesh.dim} coordinates each.")
    slack = 1e-9 * float(np.max(np.abs(np.asarray(mesh.bounding_box))))

    def inside(x: np.ndarray) -> np.ndarray:
        return np.all((x >= np.asarray(low) - slack) & (x <= np.asarray(high) + slack), axis=-1)

    of = np.concatenate([with_place(place / "of", mesh.cells_of, tag) for tag in region.of] or [np.zeros(0, int)])
    if kind == "cell_tags":
        found = with_place(place, mesh.tag_cells, name, inside).cell_tags[name]
        out = [with_place(place / "except", mesh.cells_of, tag) for tag in region.without]
        keep = ~np.isin(found, np.concatenate(out)) if out else np.ones(len(found), bool)
        owners, add = found, mesh.with_cell_tag
    else:
        found = with_place(place, mesh.tag_facets, name, inside).facet_tags[name]
        out = [with_place(place / "except", mesh.facets, tag) for tag in region.without]
        keep = ~(found[:, None] == np.concatenate(out)).all(axis=2).any(axis=1) if out else np.ones(len(found), bool)
        owners, add = found[:, 0], mesh.with_facet_tag
    chosen = found[keep & np.isin(owners, of)] if region.of else found[keep]
    if not len(chosen):
        raise place.error(f"no {kind[:-5]} of the mesh lies in the region '{name}'.")
    return with_place(place, add, name, chosen)


def _build_field_analysis(document: Document, mesh: Mesh, coefficients: Coefficients, place: Place) -> Analysis:
    model, numbers = document.model, coefficients.numbers
    assert isinstance(model, HeatTable | ElasticityTable)
    shape = () if isinstance(model, HeatTable) else (mesh.dim,)
    space = with_place(place / "model" / "element", FunctionSpace, mesh, model.element, shape)
    for region in document.materials:
        with_place(place / "materials" / region, mesh.cells_of, region)
    materials = _materials(document, model.physics, coefficients, place)
    conditions, masses = build_conditions(document.conditions, model.physics, mesh, coefficients, place)
    if isinstance(model, HeatTable):
        _require(materials, ["conductivity", *(["capacity"] if model.analysis == "transient" else [])], place)
        physics = with_place(
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
        return _heat_analysis(model, physics, numbers, place / "model")
    needed = ["youngs_modulus", "poisson_ratio", *(["density"] if model.analysis != "static" else [])]
    _require(materials, needed, place)
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
    return _elastic_analysis(model, physics, document, numbers, place / "model")


_ELASTIC_KEYS = {
    "static": {"solver"},
    "modal": {"modes"},
    "dynamic": {"solver", "step", "damping_alpha", "damping_beta"},
}
"""Which keys of the model belong to which analysis."""


def _elastic_analysis(
    model: ElasticityTable, physics: Elasticity, document: Document, numbers: Numbers, place: Place
) -> Analysis:
    foreign = set().union(*_ELASTIC_KEYS.values()) - _ELASTIC_KEYS[model.analysis]
    if unused := sorted(foreign & model.model_fields_set):
        raise (place / unused[0]).error(f"a {model.analysis} analysis takes no '{unused[0]}'.")
    tolerance, steps = model.solver.tolerance, model.solver.max_steps
    if model.analysis == "static":
        return Steady(physics, rtol=tolerance, max_steps=steps)
    if model.analysis == "modal":
        return with_place(place / "modes", Modal, physics, model.modes or _modes_needed(document))
    if model.step is None:
        raise place.error("a dynamic analysis needs the key 'step'.")
    step = with_place(place / "step", parse, model.step, "s")
    alpha = numbers.optional(model.damping_alpha, "1/s", place / "damping_alpha")
    beta = numbers.optional(model.damping_beta, "s", place / "damping_beta")
    rayleigh = (0.0 if alpha is None else alpha, 0.0 if beta is None else beta)
    return with_place(
        place, lambda: Dynamic(physics, 0.0, 0.0, step, rayleigh=rayleigh, rtol=tolerance, max_steps=steps)
    )


def _heat_analysis(model: HeatTable, physics: Heat, numbers: Numbers, place: Place) -> Analysis:
    if model.analysis == "steady":
        for key in ("step", "initial"):
            if getattr(model, key) is not None:
                raise (place / key).error(f"a steady analysis takes no '{key}'.")
        return Steady(physics, rtol=model.solver.tolerance, max_steps=model.solver.max_steps)
    for key in ("step", "initial"):
        if getattr(model, key) is None:
            raise place.error(f"a transient analysis needs the key '{key}'.")
    step = with_place(place / "step", parse, model.step, "s")
    initial = numbers.read(model.initial, "K", place / "initial")  # pyright: ignore[reportArgumentType]
    return with_place(
        place,
        lambda: Transient(physics, initial, step, rtol=model.solver.tolerance, max_steps=model.solver.max_steps),
    )


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


def _materials(document: Document, physics: str, coefficients: Coefficients, place: Place) -> dict[str, Any]:
    """For each property a number, or a mapping from tags to numbers."""
    found: dict[str, dict[str, Any]] = {}
    units = _MATERIALS[physics]
    for region, table in document.materials.items():
        for key in sorted(table.model_fields_set):
            here = place / "materials" / region / key
            if key not in units:
                raise here.error(f"'{key}' is not a property for {physics}: allowed are {', '.join(units)}.")
            reader = coefficients if key == "conductivity" and region == "all" else coefficients.numbers
            number = reader.read(getattr(table, key), units[key], here)
            with_place(here, _RANGES[key], f"The property '{key}'", number)
            found.setdefault(key, {})[region] = number
    return {key: values["all"] if set(values) == {"all"} else values for key, values in found.items()}


def _require(materials: dict[str, Any], keys: list[str], place: Place) -> None:
    for key in keys:
        if key not in materials:
            raise (place / "materials").error(f"the property '{key}' is missing: give it in [materials.all].")
