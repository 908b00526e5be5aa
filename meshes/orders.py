"""Node orders: meshio numbers the nodes of a cell as VTK does, this package as fenics-basix does."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import CellType, coordinate_element
from gemel.meshes.lagrange import vtk_lagrange_order


class FileCell(NamedTuple):
    """A supported cell of meshio: ``basix_cells = vtk_cells[:, order]``."""

    cell_type: CellType
    degree: int
    order: tuple[int, ...]


LAGRANGE_CELLS: dict[str, CellType] = {
    "CURVE": "interval",
    "TRIANGLE": "triangle",
    "QUADRILATERAL": "quadrilateral",
    "TETRAHEDRON": "tetrahedron",
    "HEXAHEDRON": "hexahedron",
    "WEDGE": "prism",
}
"""VTK's names of its cells of arbitrary degree, which meshio takes over with a prefix."""

FILE_CELLS: dict[str, FileCell] = {
    "line": FileCell("interval", 1, (0, 1)),
    "line3": FileCell("interval", 2, (0, 1, 2)),
    "triangle": FileCell("triangle", 1, (0, 1, 2)),
    "triangle6": FileCell("triangle", 2, (0, 1, 2, 4, 5, 3)),
    "quad": FileCell("quadrilateral", 1, (0, 1, 3, 2)),
    "quad9": FileCell("quadrilateral", 2, (0, 1, 3, 2, 4, 7, 5, 6, 8)),
    "tetra": FileCell("tetrahedron", 1, (0, 1, 2, 3)),
    "tetra10": FileCell("tetrahedron", 2, (0, 1, 2, 3, 9, 8, 5, 7, 6, 4)),
    "hexahedron": FileCell("hexahedron", 1, (0, 1, 3, 2, 4, 5, 7, 6)),
    "hexahedron27": FileCell(
        "hexahedron",
        2,
        (
            *(0, 1, 3, 2, 4, 5, 7, 6),
            *(8, 11, 16, 9, 17, 10, 19, 18, 12, 15, 13, 14),
            *(24, 22, 20, 21, 23, 25, 26),
        ),
    ),
    "wedge": FileCell("prism", 1, (0, 1, 2, 3, 4, 5)),
    "wedge18": FileCell("prism", 2, (0, 1, 2, 3, 4, 5, 6, 8, 12, 7, 13, 14, 9, 11, 10, 15, 17, 16)),
    **{
        f"VTK_LAGRANGE_{name}": FileCell(cell_type, 3, tuple(np.argsort(vtk_lagrange_order(cell_type, 3)).tolist()))
        for name, cell_type in LAGRANGE_CELLS.items()
    },
}
"""Supported cells by meshio's names; Lagrange cells of degree 3."""

_WEDGE = (0, 2, 1, 3, 5, 4)
_CUBIC = (*range(28), 30, 31, 28, 29, *range(32, 64))

FILE_ORDERS: dict[tuple[str, str], tuple[int, ...]] = {
    (".vtu", "wedge"): _WEDGE,
    (".vtk", "wedge"): _WEDGE,
    (".vtu", "VTK_LAGRANGE_HEXAHEDRON"): _CUBIC,
    (".msh", "wedge18"): FILE_CELLS["wedge18"].order,
}
"""Where a file's order is not that of VTK's cell in memory: ``file_cells = vtk_cells[:, order]``.

VTK's own readers turn wedges of .vtk and .vtu files round, and exchange two edges of Lagrange hexahedra of .vtu
files before version 2; meshio passes them on as they are. It also keeps gmsh's order of a wedge18, which is basix's.
"""

FACET_VERTICES = {
    "vertex": 1,
    "line": 2,
    "line3": 2,
    "triangle": 3,
    "triangle6": 3,
    "quad": 4,
    "quad8": 4,
    "quad9": 4,
}
"""Vertices, which come first, of the cells of meshio that can be facets."""


_LINEAR = {"interval": 3, "triangle": 5, "quadrilateral": 9, "tetrahedron": 10, "hexahedron": 12, "prism": 13}
_QUADRATIC = {"interval": 21, "triangle": 22, "quadrilateral": 28, "tetrahedron": 24, "hexahedron": 29, "prism": 32}
_LAGRANGE = {"interval": 68, "triangle": 69, "quadrilateral": 70, "tetrahedron": 71, "hexahedron": 72, "prism": 73}
"""VTK's codes of linear, quadratic and Lagrange cells."""


def file_cell_name(cell_type: str, degree: int) -> str:
    """meshio's name of a cell."""
    return next(name for name, cell in FILE_CELLS.items() if (cell.cell_type, cell.degree) == (cell_type, degree))


def mirrored(cell_type: str, degree: int) -> Int[np.ndarray, " n_nodes"]:
    """The node order that turns a cell's orientation round: its first two axes swapped, a line reversed."""
    points = np.asarray(coordinate_element(cell_type, degree).points)
    swapped = 1.0 - points if cell_type == "interval" else points.copy()
    if cell_type != "interval":
        swapped[:, [0, 1]] = points[:, [1, 0]]
    return np.abs(points[None, :] - swapped[:, None]).sum(axis=-1).argmin(axis=1)


def vtk_cell(cell_type: str, degree: int) -> tuple[int, Int[np.ndarray, " n_nodes"]]:
    """VTK's code of a cell and the order of its nodes: ``vtk_cells = basix_cells[:, order]``.

    Linear and quadratic cells are the classical ones, cubic cells are Lagrange cells.
    """
    code = {1: _LINEAR, 2: _QUADRATIC, 3: _LAGRANGE}[degree][cell_type]
    return code, np.argsort(FILE_CELLS[file_cell_name(cell_type, degree)].order)


def cell_of_code(code: int) -> tuple[str, int]:
    """Cell type and degree of VTK's code; raises `MeshError` for another cell."""
    for degree, codes in ((1, _LINEAR), (2, _QUADRATIC), (3, _LAGRANGE)):
        for cell_type, known in codes.items():
            if known == code:
                return cell_type, degree
    raise MeshError(f"VTK's cell type {code} is not supported.")
