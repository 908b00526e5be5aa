"""Files of gmsh: meshes of its current format 4.1 are read here, older formats and data by meshio."""

from pathlib import Path
from typing import Any, NamedTuple

import meshio
import numpy as np
from jaxtyping import Float, Int

from gemel.meshes.errors import MeshError

_MIDDLES = (8, 11, 13, 9, 16, 18, 19, 17, 10, 12, 14, 15)


class _Cell(NamedTuple):
    """meshio's name of a cell of gmsh, its number of nodes, and their order where it is not VTK's."""

    name: str
    width: int
    order: tuple[int, ...] | None = None


_CELLS = {
    15: _Cell("vertex", 1),
    1: _Cell("line", 2),
    8: _Cell("line3", 3),
    26: _Cell("line4", 4),
    2: _Cell("triangle", 3),
    9: _Cell("triangle6", 6),
    21: _Cell("triangle10", 10),
    3: _Cell("quad", 4),
    16: _Cell("quad8", 8),
    10: _Cell("quad9", 9),
    36: _Cell("quad16", 16),
    4: _Cell("tetra", 4),
    11: _Cell("tetra10", 10, (0, 1, 2, 3, 4, 5, 6, 7, 9, 8)),
    29: _Cell("tetra20", 20),
    5: _Cell("hexahedron", 8),
    17: _Cell("hexahedron20", 20, (*range(8), *_MIDDLES)),
    12: _Cell("hexahedron27", 27, (*range(8), *_MIDDLES, 22, 23, 21, 24, 20, 25, 26)),
    92: _Cell("hexahedron64", 64),
    6: _Cell("wedge", 6),
    18: _Cell("wedge15", 15, (*range(6), 6, 9, 7, 12, 14, 13, 8, 10, 11)),
    13: _Cell("wedge18", 18),
    90: _Cell("wedge40", 40),
    7: _Cell("pyramid", 5),
    19: _Cell("pyramid13", 13),
    14: _Cell("pyramid14", 14),
}
"""Cells by gmsh's number; the order of a wedge18 is kept, as meshio keeps it."""

_Groups = dict[tuple[int, int], list[int]]
"""Physical groups of every entity, by its dimension and tag."""


def read_gmsh(path: Path) -> meshio.Mesh:
    """Read a .msh file as meshio would give it; physical groups become sets of cells.

    An entity may be in several groups or in none, which meshio does not take. A group without a name is
    called ``"<dimension>:<number>"``.
    (C. Geuzaine, J.-F. Remacle, Gmsh reference manual, section on the MSH file format, version 4.1.)

    Raises:
        MeshError: a clause that says what is wrong, where meshio does not read the file.
    """
    data = path.read_bytes()
    head = data[:200].split(None, 4)
    if head[:2] != [b"$MeshFormat", b"4.1"] or b"$ElementData" in data or b"$NodeData" in data:
        return meshio.read(path)
    try:
        return _mesh(data)
    except (IndexError, ValueError, KeyError):
        raise MeshError("it is damaged or not what its extension says.") from None


class _Cursor:
    """Numbers of one section, one after the other; text or binary."""

    def __init__(self, data: bytes, start: int, order: str | None) -> None:
        self.data, self.at, self.order = data, start, order
        self.numbers = np.zeros(0)

    def enter(self, section: bytes) -> bool:
        """Go to the beginning of a section; False where there is none."""
        place = self.data.find(b"$" + section, self.at)
        if place < 0:
            return False
        start = self.data.index(b"\n", place) + 1
        if self.order is None:
            end = self.data.index(b"$End" + section, start)
            self.numbers, self.at = np.array(self.data[start:end].split(), dtype=np.float64), 0
            self.data = self.data[end:]
        else:
            self.at = start
        return True

    def take(self, kind: str, count: int) -> np.ndarray:
        """The next numbers: ``i4`` integers, ``u8`` sizes and tags, ``f8`` coordinates."""
        if self.order is None:
            values = self.numbers[self.at : self.at + count]
            self.at += count
        else:
            dtype = np.dtype(self.order + kind)
            values = np.frombuffer(self.data, dtype, count, self.at)
            self.at += count * dtype.itemsize
        if len(values) != count:
            raise ValueError("The section ends too early.")
        return values.astype(np.float64 if kind == "f8" else np.int64)

    def restart(self) -> None:
        """Look for the next section from here on."""
        if self.order is None:
            self.at = 0


def _mesh(data: bytes) -> meshio.Mesh:
    names = _names(data)
    cursor = _at_beginning(data)
    groups = _entities(cursor)
    cursor.restart()
    tags, points = _nodes(cursor)
    order = np.argsort(tags, kind="stable")
    cursor.restart()
    blocks: list[Any] = []
    members: list[list[str]] = []
    for dim, tag, cell, nodes in _elements(cursor):
        place = np.minimum(np.searchsorted(tags[order], nodes), len(tags) - 1)
        rows = order[place]
        if (tags[rows] != nodes).any():
            raise MeshError("its elements refer to nodes that are not defined.")
        blocks.append(meshio.CellBlock(cell.name, rows if cell.order is None else rows[:, cell.order]))
        members.append([names.get((dim, group), f"{dim}:{group}") for group in groups.get((dim, tag), ())])
    none = np.zeros(0, dtype=np.int64)
    sets: dict[str, Any] = {
        name: [
            np.arange(len(block.data)) if name in mine else none for block, mine in zip(blocks, members, strict=True)
        ]
        for name in dict.fromkeys(name for mine in members for name in mine)
    }
    return meshio.Mesh(points, blocks, cell_sets=sets)


def _at_beginning(data: bytes) -> _Cursor:
    """A cursor after the header, which says whether the numbers are text, or their order of bytes."""
    line = data.index(b"\n") + 1
    _, binary, size = data[line : data.index(b"\n", line)].split()
    after = data.index(b"\n", line) + 1
    if binary == b"0":
        return _Cursor(data, after, None)
    if size != b"8":
        raise MeshError("its sizes do not have 8 bytes.")
    little = data[after : after + 4] == b"\x01\x00\x00\x00"
    return _Cursor(data, after + 4, "<" if little else ">")


def _names(data: bytes) -> dict[tuple[int, int], str]:
    """Names of physical groups by dimension and number; always text."""
    start = data.find(b"$PhysicalNames")
    if start < 0:
        return {}
    lines = data[start : data.index(b"$EndPhysicalNames", start)].decode(errors="replace").splitlines()[2:]
    names = {}
    for line in lines:
        dim, number, name = line.split(None, 2)
        names[int(dim), int(number)] = name.strip().strip('"')
    return names


def _entities(cursor: _Cursor) -> _Groups:
    groups: _Groups = {}
    if not cursor.enter(b"Entities"):
        return groups
    counts = cursor.take("u8", 4)
    for dim, count in enumerate(counts):
        for _ in range(count):
            tag = int(cursor.take("i4", 1)[0])
            cursor.take("f8", 3 if dim == 0 else 6)
            groups[dim, tag] = [abs(int(g)) for g in cursor.take("i4", int(cursor.take("u8", 1)[0]))]
            if dim:
                cursor.take("i4", int(cursor.take("u8", 1)[0]))
    return groups


def _nodes(cursor: _Cursor) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """Tags and coordinates of all nodes."""
    if not cursor.enter(b"Nodes"):
        raise MeshError("it holds no nodes.")
    n_blocks = int(cursor.take("u8", 4)[0])
    tags, points = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 3))]
    for _ in range(n_blocks):
        dim, _, parametric = cursor.take("i4", 3).tolist()
        count = int(cursor.take("u8", 1)[0])
        width = 3 + (dim if parametric else 0)
        tags.append(cursor.take("u8", count))
        points.append(cursor.take("f8", count * width).reshape(count, width)[:, :3])
    return np.concatenate(tags), np.concatenate(points)


def _elements(cursor: _Cursor) -> list[tuple[int, int, _Cell, Int[np.ndarray, "_n _n_nodes"]]]:
    """Dimension and tag of the entity, cell, and nodes by their tags, block by block."""
    if not cursor.enter(b"Elements"):
        raise MeshError("it holds no elements.")
    answer = []
    for _ in range(int(cursor.take("u8", 4)[0])):
        dim, tag, code = cursor.take("i4", 3).tolist()
        count = int(cursor.take("u8", 1)[0])
        if code not in _CELLS:
            raise MeshError(f"its elements of gmsh's type {code} are not supported.")
        cell = _CELLS[code]
        rows = cursor.take("u8", count * (1 + cell.width)).reshape(count, 1 + cell.width)
        answer.append((dim, tag, cell, rows[:, 1:]))
    return answer
