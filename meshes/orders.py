"""Node orders: meshio numbers the nodes of a cell as VTK does, this package as fenics-basix does."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from gemel.meshes.geometry import CellType, coordinate_element


class FileCell(NamedTuple):
    """A supported cell of meshio: ``basix_cells = vtk_cells[:, order]``."""

    cell_type: CellType
    degree: int
    order: tuple[int, ...]


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
}
"""Supported cells by meshio's names."""

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
