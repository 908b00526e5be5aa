"""What is wrong with a twin file, as far as can be told without building a model on its mesh."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gemel.engine.coefficients import coefficient, inputs_of
from gemel.engine.elements import lagrange
from gemel.engine.twin import Twin
from gemel.engine.twinfile.build import (
    build_mesh,
    build_twin,
    refuse_foreign_tables,
    require_outputs,
    unused,
)
from gemel.engine.twinfile.circuit import build_circuit, build_curve, curves
from gemel.engine.twinfile.conditions import build_condition
from gemel.engine.twinfile.errors import Mistakes, Place, TwinFileError
from gemel.engine.twinfile.field import (
    FieldModel,
    check_keys,
    needed_properties,
    properties,
    read_damping,
    read_initial,
    read_property,
    read_step,
    require_property,
)
from gemel.engine.twinfile.network import build_heat, build_link, build_node
from gemel.engine.twinfile.neural import Coefficients
from gemel.engine.twinfile.numbers import UNREADABLE, Numbers, with_place
from gemel.engine.twinfile.schema import CircuitTable, DataTable, Document, ElasticityTable, HeatTable, NetworkTable
from gemel.engine.twinfile.sensors import build_sensors
from gemel.meshes import Mesh

UNCHECKED = (
    "Not checked, as the model was not built on its mesh: that its sensors lie in cells of it, not only within its "
    "bounds, and what comes of its materials and conditions together."
)
"""What `find_mistakes` leaves open in a file of a model on a mesh."""


def find_mistakes(document: Document, place: Place, folder: Path, mistakes: Mistakes) -> Twin | None:
    """Note all mistakes in the tables of a model, its sensors and its parameters, and between them and those of data.

    Returns the twin, where there are none and it is not one on a mesh: of that only the mesh is made, see `UNCHECKED`.
    """
    model = document.model
    numbers = Numbers(document.parameters, document.inputs, place, document.neural, mistakes)
    mistakes.note(refuse_foreign_tables, document, place)
    mesh, built = None, []
    if isinstance(model, FieldModel):
        mesh = mistakes.note(build_mesh, document.mesh, place / "mesh", folder)
        built = _field_parts(document, mesh, numbers, place) if mesh is not None else []
    elif isinstance(model, CircuitTable):
        coefficients = Coefficients(document, numbers, 0, place)
        for curve in curves(model, place / "model"):
            mistakes.note(build_curve, *curve, coefficients)
        mistakes.note(build_circuit, model, coefficients, place / "model")
    else:
        _check_network(document, Coefficients(document, numbers, 0, place), mistakes, place)
    sensors: list[Any] = []
    candidates: list[tuple[Place, Any]] = []
    if mesh is not None or not isinstance(model, FieldModel):
        for name, table in document.sensors.items():
            here = place / "sensors" / name
            sensors.append(mistakes.note(build_sensors, name, table, model, mesh, numbers, here))
        for name, table in document.candidates.items():
            here = place / "candidates" / name
            candidates.append((here, mistakes.note(build_sensors, name, table, model, mesh, numbers, here)))
    for mistake in (*_without_data(document, place), *_against_time(document, place)):
        mistakes.add(mistake)
    if mistakes.found:
        return None
    if mesh is None:
        twin = mistakes.note(build_twin, document, place, folder)
        if twin is not None:
            for here, candidate in candidates:
                mistakes.note(require_outputs, twin.analysis, candidate, here)
        return twin
    for mistake in unused(document, (built, sensors), inputs_of(built), place):
        mistakes.add(mistake)
    return None


def _field_parts(document: Document, mesh: Mesh, numbers: Numbers, place: Place) -> list[Any]:
    """All that a model on a mesh is built from, with its mistakes noted."""
    model, coefficients = document.model, Coefficients(document, numbers, mesh.dim, place)
    assert isinstance(model, FieldModel)
    note, here = numbers.noting, place / "model"
    cells = [block.cell_type for block in mesh.blocks]
    note(with_place, here / "element", lambda: lagrange(model.element, *cells))
    built: list[Any] = []
    if note(check_keys, model, here) is not UNREADABLE and model.analysis in ("transient", "dynamic"):
        note(read_step, model, here)
        built.append(
            read_initial(model, numbers, here) if isinstance(model, HeatTable) else read_damping(model, numbers, here)
        )
    regions = [
        note(with_place, place / "materials" / region, mesh.cells_of, region) is not UNREADABLE
        for region in document.materials
    ]
    found: dict[str, dict[str, Any]] = {}
    for key, region, value, at in properties(document, place):
        found.setdefault(key, {})[region] = note(read_property, key, value, model.physics, coefficients, at)
    for key in needed_properties(model):
        note(require_property, key, found, place / "materials")
    for values in found.values():
        if set(values) != {"all"} and all(regions):
            note(with_place, place / "materials", coefficient, mesh, values)
    for i, table in enumerate(document.conditions):
        built.append(note(build_condition, table, model.physics, mesh, coefficients, place / "conditions" / i))
    return [*built, found]


def _check_network(document: Document, coefficients: Coefficients, mistakes: Mistakes, place: Place) -> None:
    for name, node in document.nodes.items():
        mistakes.note(build_node, node, coefficients, place / "nodes" / name)
    for name, boundary in document.boundaries.items():
        coefficients.read(boundary.value, "K", place / "boundaries" / name / "value")
    for i, link in enumerate(document.links):
        mistakes.note(build_link, link, document, coefficients, place / "links" / i)
    for i, heat in enumerate(document.heats):
        mistakes.note(build_heat, heat, document, coefficients, place / "heats" / i)


def _tables(document: Document, place: Place) -> Iterator[tuple[DataTable, Place]]:
    """The tables of measured data, and where they stand."""
    for name in ("data", "validation"):
        table = getattr(document, name)
        if table is not None:
            yield table, place / name
    for name, table in document.experiments.items():
        yield table, place / "experiments" / name


def _without_data(document: Document, place: Place) -> Iterator[TwinFileError]:
    """A mistake for each input without data, and each sensor that is to be fitted and has none."""
    for table, here in _tables(document, place):
        for name in document.inputs:
            if name not in table.inputs:
                lacking = f"the model follows the input '{name}', of which there are no data."
                yield (here / "inputs").error(lacking, unknown=name)
        for i, name in enumerate(document.calibration.sensors or []):
            measured = {*table.readings, *table.values}
            if here.path[0] != "validation" and name in document.sensors and name not in measured:
                at = place / "calibration" / "sensors" / i
                lacking = f"[{'.'.join(map(str, here.path))}] has no readings of the sensor '{name}'."
                yield at.error(lacking, unknown=name)


def _against_time(document: Document, place: Place) -> Iterator[TwinFileError]:
    """A mistake for each table of data with times for a model without, and the other way round."""
    model = document.model
    timed = not isinstance(model, FieldModel) or model.analysis in ("transient", "dynamic")
    what = "network" if isinstance(model, NetworkTable) else "circuit"
    if isinstance(model, HeatTable | ElasticityTable):
        what = f"{model.analysis} model"
    for table, here in _tables(document, place):
        if not timed and table.readings:
            yield (here / "readings").error(f"a {what} has no time: give 'values', one for each sensor.")
        if timed and table.values and not table.readings:
            yield (here / "values").error(f"a {what} runs through time: give 'readings' with times, not 'values'.")
        for name in {} if timed else table.values:
            if name in document.sensors and document.sensors[name].model_error is not None:
                at = place / "sensors" / name / "model_error"
                yield at.error("a model error is a process in time, but the data have no times.")
