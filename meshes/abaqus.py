"""Input files of Abaqus: nodes, elements, sets and surfaces of one part."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from jaxtyping import Int

from gemel.meshes.errors import MeshError

_TYPES: tuple[tuple[str, str], ...] = (
    (r"C3D4|DC3D4", "tetra"),
    (r"C3D10|DC3D10", "tetra10"),
    (r"C3D6|DC3D6", "wedge"),
    (r"C3D15|DC3D15", "wedge15"),
    (r"C3D8|DC3D8", "hexahedron"),
    (r"C3D20|DC3D20", "hexahedron20"),
    (r"C3D27", "hexahedron27"),
    (r"(CPE|CPS|CAX|CPEG|DC2D|DCAX)3", "triangle"),
    (r"(CPE|CPS|CAX|CPEG|DC2D|DCAX)6", "triangle6"),
    (r"(CPE|CPS|CAX|CPEG|DC2D|DCAX)4", "quad"),
    (r"(CPE|CPS|CAX|CPEG|DC2D|DCAX)8", "quad8"),
    (r"S3|STRI3|R3D3|M3D3|SFM3D3", "triangle"),
    (r"STRI65|M3D6|SFM3D6", "triangle6"),
    (r"S4|R3D4|M3D4|SFM3D4", "quad"),
    (r"S8|M3D8|SFM3D8", "quad8"),
    (r"S9", "quad9"),
    (r"T[23]D2|B21|B31|B23|B33|DC1D2|CONN3D2|R2D2|RB3D2", "line"),
    (r"T[23]D3|B22|B32|DC1D3", "line3"),
)
"""Stems of Abaqus's element names with meshio's names of their cells; letters that follow change no nodes."""

_WIDTH = {
    "line": 2,
    "line3": 3,
    "triangle": 3,
    "triangle6": 6,
    "quad": 4,
    "quad8": 8,
    "quad9": 9,
    "tetra": 4,
    "tetra10": 10,
    "wedge": 6,
    "wedge15": 15,
    "hexahedron": 8,
    "hexahedron20": 20,
    "hexahedron27": 27,
}

_FACES = {
    "tetra": ((0, 1, 2), (0, 3, 1), (1, 3, 2), (2, 3, 0)),
    "wedge": ((0, 1, 2), (3, 5, 4), (0, 3, 4, 1), (1, 4, 5, 2), (2, 5, 3, 0)),
    "hexahedron": ((0, 1, 2, 3), (4, 7, 6, 5), (0, 4, 5, 1), (1, 5, 6, 2), (2, 6, 7, 3), (3, 7, 4, 0)),
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "quad": ((0, 1), (1, 2), (2, 3), (3, 0)),
    "line": ((0,), (1,)),
}
"""Corners of the faces S1, S2, ... of Abaqus's elements (END1, END2 of lines)."""

_LONGEST = 100_000_000
"""No set generates more numbers than this."""

_FACET_NAMES = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}


@dataclasses.dataclass
class _Model:
    """What has been read so far; elements and nodes by Abaqus's numbers."""

    nodes: dict[int, list[float]] = dataclasses.field(default_factory=dict)
    elements: dict[int, tuple[str, list[int]]] = dataclasses.field(default_factory=dict)
    node_sets: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    element_sets: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    surfaces: dict[str, list[tuple[str, str]]] = dataclasses.field(default_factory=dict)
    parts: int = 0
    instances: int = 0


def read_abaqus(path: Path) -> meshio.Mesh:
    """Read an input file as meshio would give it: *NODE, *ELEMENT, *NSET, *ELSET, *SURFACE and *INCLUDE.

    Sets keep their names; surfaces of element faces become sets of facet cells. One part with one instance may
    stand for a flat file; keywords that do not describe the mesh are passed over. Cells of a type are
    numbered in the order of the file.
    (Abaqus Analysis User's Guide: input syntax rules; Abaqus Elements Guide: node ordering and face numbers.)

    Raises:
        MeshError: a clause that names what is wrong: an unknown element type, a number that is not defined, a
            line that cannot be read, several parts, or an instance that is moved.
    """
    model = _Model()
    _read(path, model, depth=0)
    if not model.elements:
        raise MeshError("it holds no *ELEMENT lines.")
    return _mesh(model)


def _read(path: Path, model: _Model, depth: int) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    for keyword, options, rows in _sections(text):
        if keyword == "INCLUDE":
            target = path.parent / options.get("INPUT", "")
            if depth > 8 or not target.is_file():
                raise MeshError(f"the file '{options.get('INPUT', '')}' that it includes does not exist.")
            _read(target, model, depth + 1)
        elif keyword in _READERS:
            _READERS[keyword](model, options, rows)


def _sections(text: str) -> Iterator[tuple[str, dict[str, str], list[list[str]]]]:
    """Keyword, options and data lines as fields, section by section."""
    keyword, options, rows = "", {}, []
    pending = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("**") or not stripped:
            continue
        if stripped.startswith("*") or pending:
            stripped = pending + stripped
            pending = stripped if stripped.endswith(",") else ""
            if pending:
                continue
            yield keyword, options, rows
            head, *parts = [part.strip() for part in stripped[1:].split(",")]
            keyword, rows = " ".join(head.upper().split()), []
            pairs = [part.partition("=") for part in parts if part]
            options = {key.strip().upper(): value.strip().strip('"') for key, _, value in pairs}
        else:
            rows.append([field.strip() for field in stripped.split(",")])
    yield keyword, options, rows


def _nodes(model: _Model, options: dict[str, str], rows: list[list[str]]) -> None:
    numbers = []
    for row in rows:
        number, *coordinates = [field for field in row if field]
        model.nodes[_integer(number)] = [_float(field) for field in coordinates[:3]]
        numbers.append(_integer(number))
    if "NSET" in options:
        model.node_sets.setdefault(options["NSET"], []).extend(numbers)


def _elements(model: _Model, options: dict[str, str], rows: list[list[str]]) -> None:
    name = _cell_name(options.get("TYPE", "").upper())
    size = _WIDTH[name] + 1
    # A beam may name one node more, which orients its section; other elements may go on in the next line.
    width = size if name.startswith("line") else None
    numbers = [_integer(field) for row in rows for field in [field for field in row if field][:width]]
    if len(numbers) % size:
        raise MeshError(f"its elements of type '{options['TYPE']}' do not have {_WIDTH[name]} nodes each.")
    for start in range(0, len(numbers), size):
        number, *nodes = numbers[start : start + size]
        if number in model.elements:
            raise MeshError(f"its element {number} is defined twice, as in a file of several parts: write one part.")
        model.elements[number] = (name, nodes)
    if "ELSET" in options:
        model.element_sets.setdefault(options["ELSET"], []).extend(numbers[::size])


def _node_set(model: _Model, options: dict[str, str], rows: list[list[str]]) -> None:
    _collect(model.node_sets, options.get("NSET", ""), options, rows)


def _element_set(model: _Model, options: dict[str, str], rows: list[list[str]]) -> None:
    _collect(model.element_sets, options.get("ELSET", ""), options, rows)


def _collect(sets: dict[str, list[int]], name: str, options: dict[str, str], rows: list[list[str]]) -> None:
    """Add the members of a set: numbers, ranges with GENERATE, and names of other sets."""
    members = sets.setdefault(name, [])
    for row in rows:
        fields = [field for field in row if field]
        if "GENERATE" in options:
            first, last, step = [*map(_integer, fields), 1][:3]
            if not step >= 1 or last - first > _LONGEST:
                raise MeshError(f"its set '{name}' generates from {first} to {last} in steps of {step}.")
            members.extend(range(first, last + 1, step))
            continue
        for field in fields:
            if re.fullmatch(r"[+-]?\d+", field):
                members.append(int(field))
            else:
                members.extend(_named(sets, field))


def _surface(model: _Model, options: dict[str, str], rows: list[list[str]]) -> None:
    if options.get("TYPE", "ELEMENT").upper() == "NODE":
        _collect(model.node_sets, options.get("NAME", ""), {}, [row[:1] for row in rows])
        return
    pairs = [(fields[0], fields[1].upper() if len(fields) > 1 else "") for fields in rows if fields[0]]
    model.surfaces.setdefault(options.get("NAME", ""), []).extend(pairs)


def _part(model: _Model, options: dict[str, str], rows: list[list[str]]) -> None:
    model.parts += 1
    if model.parts > 1:
        raise MeshError("it holds several parts: write one part, or a flat input file, from Abaqus.")


def _instance(model: _Model, options: dict[str, str], rows: list[list[str]]) -> None:
    model.instances += 1
    moved = any(_float(field) != 0.0 for row in rows for field in row if field)
    if model.instances > 1 or moved:
        raise MeshError("it places its part elsewhere or more than once: write a flat input file from Abaqus.")


_READERS = {
    "NODE": _nodes,
    "ELEMENT": _elements,
    "NSET": _node_set,
    "ELSET": _element_set,
    "SURFACE": _surface,
    "PART": _part,
    "INSTANCE": _instance,
}


def _mesh(model: _Model) -> meshio.Mesh:
    """The model with rows in place of numbers."""
    dim = max((len(x) for x in model.nodes.values()), default=0)
    points = np.asarray([[*x, *[0.0] * (dim - len(x))] for x in model.nodes.values()])
    row_of = {number: row for row, number in enumerate(model.nodes)}
    tables: dict[str, list[list[int]]] = {}
    place: dict[int, tuple[str, int]] = {}
    for number, (name, nodes) in model.elements.items():
        missing = [node for node in nodes if node not in row_of]
        if missing:
            raise MeshError(f"its element {number} has the node {missing[0]}, which is not defined.")
        rows = tables.setdefault(name, [])
        place[number] = (name, len(rows))
        rows.append([row_of[node] for node in nodes])
    names = list(tables)
    blocks: list[Any] = [meshio.CellBlock(name, np.asarray(rows, dtype=np.int64)) for name, rows in tables.items()]
    cell_sets: dict[str, Any] = {}
    for label, members in model.element_sets.items():
        _check_defined("element", label, members, place)
        chosen = {name: [place[m][1] for m in members if place[m][0] == name] for name in names}
        cell_sets[label] = [np.asarray(chosen[name], dtype=np.int64) for name in names]
    point_sets = {}
    for label, members in model.node_sets.items():
        _check_defined("node", label, members, row_of)
        point_sets[label] = np.unique(np.asarray([row_of[m] for m in members], dtype=np.int64))
    for label, pairs in model.surfaces.items():
        for width, corners in _surface_facets(model, label, pairs, row_of).items():
            cell_sets = {key: [*value, np.zeros(0, dtype=np.int64)] for key, value in cell_sets.items()}
            blocks.append(meshio.CellBlock(_FACET_NAMES[width], corners))
            old = cell_sets.get(label, [np.zeros(0, dtype=np.int64)] * len(blocks))
            cell_sets[label] = [*old[:-1], np.arange(len(corners))]
    return meshio.Mesh(points, blocks, point_sets=point_sets, cell_sets=cell_sets)


def _surface_facets(
    model: _Model, label: str, pairs: list[tuple[str, str]], row_of: dict[int, int]
) -> dict[int, Int[np.ndarray, "_n _n_vertices"]]:
    """Corners of the faces of a surface by their number."""
    found: dict[int, list[list[int]]] = {}
    for target, face in pairs:
        members = [int(target)] if target.isdigit() else _named(model.element_sets, target)
        _check_defined("element", label, members, model.elements)
        for member in members:
            name, nodes = model.elements[member]
            faces = _FACES[name.rstrip("0123456789")]
            number = int(face[-1]) - 1 if re.fullmatch(r"(S|E|END)[1-6]", face) else -1
            if not 0 <= number < len(faces):
                raise MeshError(f"its surface '{label}' names a face '{face}' that element {member} does not have.")
            corners = [row_of[nodes[corner]] for corner in faces[number]]
            found.setdefault(len(corners), []).append(corners)
    return {width: np.asarray(rows, dtype=np.int64) for width, rows in found.items()}


def _check_defined(kind: str, label: str, members: list[int], known: dict) -> None:
    missing = [member for member in members if member not in known]
    if missing:
        raise MeshError(f"its set '{label}' names the {kind} {missing[0]}, which is not defined.")


def _named(sets: dict[str, list[int]], name: str) -> list[int]:
    """The members of another set, in whatever case and with whatever instance before it."""
    plain = name.strip('"').split(".")[-1].upper()
    for label, members in sets.items():
        if label.upper() == plain:
            return members
    raise MeshError(f"it refers to the set '{name}', which is not defined before.")


def _cell_name(element: str) -> str:
    for stem, name in _TYPES:
        if re.fullmatch(rf"(?:{stem})[A-Z]*\d?", element) and not re.fullmatch(rf"(?:{stem})\d", element):
            return name
    raise MeshError(f"its element type '{element}' is not supported.")


def _integer(field: str) -> int:
    try:
        return int(field)
    except ValueError:
        raise MeshError(f"it holds '{field[:40]}' where a number of a node or an element should be.") from None


def _float(field: str) -> float:
    try:
        return float(field.upper().replace("D", "E"))
    except ValueError:
        raise MeshError(f"it holds '{field[:40]}' where a coordinate should be.") from None
