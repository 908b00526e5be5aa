"""The kinds of boundary conditions, loads and lumped parts that a twin file knows."""

from collections.abc import Callable
from typing import Any

from gemel.engine.coefficients import Vector
from gemel.engine.constraints import Dirichlet
from gemel.engine.physics import (
    AddedMass,
    BodyForce,
    Capacitance,
    Convection,
    ElasticSupport,
    Flux,
    Force,
    HeatSource,
    Power,
    Pressure,
    Radiation,
    Traction,
)
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.neural import Coefficients
from gemel.engine.twinfile.numbers import Numbers, with_place
from gemel.engine.twinfile.schema import ConditionTable
from gemel.meshes import Mesh
from gemel.names import listed

AXES = {"x": 0, "y": 1, "z": 2, None: None}


class _Kind:
    """One kind: the keys it takes with their units, and what it builds.

    ``mass`` kinds add to the inertia, ``either`` kinds act on cells or on facets, as ``facets`` says, and the numbers
    of ``law`` kinds may follow a law.
    """

    def __init__(
        self,
        build: Callable[..., Any],
        units: dict[str, str],
        *,
        vector: bool = False,
        axis: bool = False,
        mass: bool = False,
        either: bool = False,
        law: bool = False,
    ) -> None:
        self.build, self.units, self.vector, self.axis, self.mass = build, units, vector, axis, mass
        self.either, self.law = either, law

    @property
    def keys(self) -> list[str]:
        """All keys that it takes besides ``kind`` and ``on``."""
        return [*self.units, *(["component"] if self.axis else []), *(["facets"] if self.either else [])]


KINDS: dict[str, dict[str, _Kind]] = {
    "heat": {
        "temperature": _Kind(Dirichlet, {"value": "K"}),
        "convection": _Kind(Convection, {"coefficient": "W/m^2/K", "ambient": "K"}, law=True),
        "radiation": _Kind(Radiation, {"emissivity": "", "ambient": "K"}, law=True),
        "flux": _Kind(Flux, {"value": "W/m^2"}, law=True),
        "source": _Kind(HeatSource, {"value": "W/m^3"}, law=True),
        "power": _Kind(Power, {"value": "W"}, either=True, law=True),
        "capacitance": _Kind(Capacitance, {"value": "J/K"}, mass=True),
    },
    "elasticity": {
        "clamp": _Kind(Dirichlet, {}),
        "displacement": _Kind(Dirichlet, {"value": "m"}, axis=True),
        "traction": _Kind(Traction, {"value": "Pa"}, vector=True, law=True),
        "force": _Kind(Force, {"value": "N"}, vector=True, either=True, law=True),
        "pressure": _Kind(Pressure, {"value": "Pa"}, law=True),
        "support": _Kind(ElasticSupport, {"coefficient": "N/m^3"}, law=True),
        "body-force": _Kind(BodyForce, {"value": "N/m^3"}, vector=True, law=True),
        "added-mass": _Kind(AddedMass, {"value": "kg"}, mass=True),
    },
}
"""For each physics its kinds of conditions: keys and units."""


def build_conditions(
    tables: list[ConditionTable],
    physics: str,
    mesh: Mesh,
    coefficients: Coefficients,
    place: Place,
) -> tuple[list[Any], list[Any]]:
    """The conditions and the masses that the tables describe."""
    conditions, masses = [], []
    for number, table in enumerate(tables):
        built = build_condition(table, physics, mesh, coefficients, place / "conditions" / number)
        (masses if KINDS[physics][table.kind].mass else conditions).append(built)
    return conditions, masses


def build_condition(table: ConditionTable, physics: str, mesh: Mesh, coefficients: Coefficients, place: Place) -> Any:
    """One condition, load or lumped part."""
    kinds = KINDS[physics]
    if table.kind not in kinds:
        raise (place / "kind").error(f"'{table.kind}' is not allowed for {physics}: choose {listed(table.kind, kinds)}")
    kind = kinds[table.kind]
    _check_keys(table, kind, place)
    reader = coefficients if kind.law else coefficients.numbers
    values = [_value(table, key, unit, kind, mesh.dim, reader, place / key) for key, unit in kind.units.items()]
    extra: dict[str, Any] = {"component": _axis(table.component, mesh.dim, place)} if kind.axis else {}
    extra |= {"facets": table.facets} if kind.either and table.facets is not None else {}
    built = with_place(place, lambda: kind.build(table.on, *values, **extra))
    _check_tag(mesh, table, kind, isinstance(built, Dirichlet) or built.facets, place / "on")
    return built


def _check_tag(mesh: Mesh, table: ConditionTable, kind: _Kind, facets: bool, place: Place) -> None:
    """Raise where a condition names a tag that is not there, or one of the other kind."""
    own, other = (mesh.facet_tags, mesh.cell_tags) if facets else (mesh.cell_tags, mesh.facet_tags)
    if table.on in other and table.on not in own:
        kinds = ("facets", "cells") if facets else ("cells", "facets")
        hint = f" Give 'facets = {str(not facets).lower()}'." if kind.either else ""
        raise place.error(
            f"a condition of kind '{table.kind}' acts on {kinds[0]}, but '{table.on}' names {kinds[1]}.{hint}"
        )
    with_place(place, mesh.facets if facets else mesh.cells_of, table.on)


def _check_keys(table: ConditionTable, kind: _Kind, place: Place) -> None:
    given = {key for key in table.model_fields_set if key not in ("kind", "on")}
    if extra := sorted(given.difference(kind.keys)):
        takes = listed(extra[0], sorted(kind.keys), "no further key")
        raise (place / extra[0]).error(
            f"a condition of kind '{table.kind}' does not take '{extra[0]}': it takes {takes}"
        )
    if missing := sorted(set(kind.units) - given):
        raise place.error(
            f"a condition of kind '{table.kind}' needs the key '{missing[0]}' in {kind.units[missing[0]] or 'no unit'}."
        )


def _value(
    table: ConditionTable, key: str, unit: str, kind: _Kind, dim: int, numbers: Coefficients | Numbers, place: Place
) -> Any:
    value = getattr(table, key)
    if not kind.vector:
        if isinstance(value, list):
            raise place.error("one quantity is needed, not a list.")
        return numbers.read(value, unit, place)
    if not isinstance(value, list) or len(value) != dim:
        raise place.error(f"a list of {dim} quantities in {unit} is needed.")
    return Vector(tuple(numbers.read(item, unit, place / i) for i, item in enumerate(value)))


def _axis(name: str | None, dim: int, place: Place) -> int | None:
    axis = AXES[name]
    if axis is not None and axis >= dim:
        raise (place / "component").error(f"'{name}' does not exist on a {dim}-D mesh.")
    return axis
