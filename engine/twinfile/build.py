"""From the tables of a twin file to a twin."""

import re
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gemel.engine.analyses import LinearOde, Ode
from gemel.engine.analyses.analysis import Analysis
from gemel.engine.losses import LOSSES
from gemel.engine.parameters import parameters_of
from gemel.engine.sensors import Sensor
from gemel.engine.twin import Twin
from gemel.engine.twinfile.circuit import build_circuit
from gemel.engine.twinfile.errors import Place, TwinFileError
from gemel.engine.twinfile.field import build_field_analysis
from gemel.engine.twinfile.network import build_network
from gemel.engine.twinfile.neural import Coefficients
from gemel.engine.twinfile.numbers import Numbers, lengths, with_place
from gemel.engine.twinfile.schema import (
    CircuitTable,
    Document,
    MeshTable,
    NetworkTable,
    RegionTable,
)
from gemel.engine.twinfile.sensors import build_sensors
from gemel.meshes import Mesh, MeshError, box as box_mesh, grid, read_mesh, rectangle as rectangle_mesh
from gemel.meshes.mesh import ALL, BOUNDARY


def build_twin(document: Document, place: Place, folder: Path) -> Twin:
    """The twin that a document describes; every mistake is a `TwinFileError` with its place."""
    numbers = Numbers(document.parameters, document.inputs, place, document.neural)
    refuse_foreign_tables(document, place)
    mesh = None
    if isinstance(document.model, CircuitTable):
        analysis = build_circuit(document.model, Coefficients(document, numbers, 0, place), place / "model")
    elif isinstance(document.model, NetworkTable):
        analysis = build_network(document, Coefficients(document, numbers, 0, place), place)
    else:
        mesh = build_mesh(document.mesh, place / "mesh", folder)
        analysis = build_field_analysis(document, mesh, Coefficients(document, numbers, mesh.dim, place), place)
    sensors = []
    for name, table in document.sensors.items():
        built = build_sensors(name, table, document.model, mesh, numbers, place / "sensors" / name)
        require_outputs(analysis, built, place / "sensors" / name)
        sensors += built
    loss = LOSSES[document.calibration.loss]()
    twin = with_place(place / "sensors", Twin, document.name, analysis, sensors, document.description, loss)
    for mistake in unused(document, (analysis, twin.sensors), twin.inputs, place):
        raise mistake
    return twin


def require_outputs(analysis: Analysis, sensors: Sequence[Sensor], place: Place) -> None:
    """Raise `TwinFileError` for a sensor of a network or a circuit that reads what this does not have."""
    if isinstance(analysis, LinearOde | Ode):
        with_place(place / "output", analysis.observe, sensors)


def build_candidates(document: Document, place: Place, twin: Twin) -> dict[str, list[Sensor]]:
    """The sensors that could be mounted on a twin of the document, by the name of their table; every mistake is a
    `TwinFileError`.
    """
    numbers, analysis, found = Numbers(document.parameters, document.inputs, place, document.neural), twin.analysis, {}
    mesh = None if isinstance(document.model, CircuitTable | NetworkTable) else mesh_of(twin)
    for name, table in document.candidates.items():
        here = place / "candidates" / name
        found[name] = build_sensors(name, table, document.model, mesh, numbers, here)
        require_outputs(analysis, found[name], here)
        with_place(here, analysis.observe, found[name])
    return found


def mesh_of(twin: Twin) -> Mesh:
    """The mesh of a twin whose model is of a field."""
    analysis: Any = twin.analysis
    return analysis.physics.problem.space.mesh


def unused(document: Document, model: Any, inputs: Container[str], place: Place) -> Iterator[TwinFileError]:
    """A mistake for each parameter and neural term that is not in a tree of all that was built, and each input that is
    not in ``inputs``.
    """
    used = parameters_of(model)
    compared = set(re.findall(r"\$(\w+)", str(document.candidates)))
    for table, kind in (("parameters", "parameter"), ("neural", "neural term")):
        for name in sorted(set(getattr(document, table)) - set(used)):
            if name in compared:
                yield (place / table / name).error(
                    f"{kind} '{name}' stands in [candidates] alone, of which nothing is learnt: give them a "
                    "quantity, or a parameter of the model or of a mounted sensor."
                )
                continue
            yield (place / table / name).error(f"{kind} '{name}' is used nowhere: write '${name}'.")
    for name in sorted(name for name in document.inputs if name not in inputs):
        yield (place / "inputs" / name).error(f"input '{name}' is used nowhere.")


_FIELD_TABLES = ("mesh", "materials", "conditions")
_NETWORK_TABLES = ("nodes", "boundaries", "links", "heats")


def refuse_foreign_tables(document: Document, place: Place) -> None:
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
    if wrong := [axis for axis, (a, b) in zip("xyz", zip(low, high, strict=True), strict=False) if a > b]:
        raise (place / "high").error(f"along {wrong[0]} 'high' lies below 'low'.")
    slack = 1e-9 * float(np.max(np.abs(np.asarray(mesh.bounding_box))))

    def inside(x: np.ndarray) -> np.ndarray:
        return np.all((x >= np.asarray(low) - slack) & (x <= np.asarray(high) + slack), axis=-1)

    of = np.concatenate([with_place(place / "of", mesh.cells_of, tag) for tag in region.of] or [np.zeros(0, int)])

    def tagged(tag: Callable[..., Mesh]) -> np.ndarray:
        try:
            return getattr(tag(name, inside), kind)[name]
        except MeshError as error:
            if name in (*getattr(mesh, kind), ALL, BOUNDARY):
                raise place.error(str(error)) from error
            where = "cell" if kind == "cell_tags" else "facet on the boundary"
            raise place.error(f"no {where} of the mesh lies in the region '{name}'.") from error

    if kind == "cell_tags":
        found = tagged(mesh.tag_cells)
        out = [with_place(place / "except", mesh.cells_of, tag) for tag in region.without]
        keep = ~np.isin(found, np.concatenate(out)) if out else np.ones(len(found), bool)
        owners, add = found, mesh.with_cell_tag
    else:
        found = tagged(mesh.tag_facets)
        out = [with_place(place / "except", mesh.facets, tag) for tag in region.without]
        keep = ~(found[:, None] == np.concatenate(out)).all(axis=2).any(axis=1) if out else np.ones(len(found), bool)
        owners, add = found[:, 0], mesh.with_facet_tag
    chosen = found[keep & np.isin(owners, of)] if region.of else found[keep]
    if not len(chosen):
        raise place.error(f"no {kind[:-5]} of the mesh lies in the region '{name}'.")
    return with_place(place, add, name, chosen)
