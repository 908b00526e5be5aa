"""The order of the nodes of VTK's Lagrange cells."""

from functools import cache

import basix
import numpy as np
from jaxtyping import Float, Int

from gemel.meshes.geometry import basix_cell, coordinate_element

_CORNERS = {"quadrilateral": (0, 1, 3, 2), "hexahedron": (0, 1, 3, 2, 4, 5, 7, 6)}
"""basix's vertices in VTK's order, where the two differ."""

_SQUARE = ((0, 1), (1, 2), (3, 2), (0, 3))
_EDGES = {
    "interval": ((0, 1),),
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "quadrilateral": _SQUARE,
    "tetrahedron": ((0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)),
    "hexahedron": (
        *_SQUARE,
        *((a + 4, b + 4) for a, b in _SQUARE),
        *((0, 4), (1, 5), (2, 6), (3, 7)),
    ),
    "prism": ((0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5)),
}
"""Ends of the edges, by VTK's corners, in the direction in which their nodes follow each other."""

_FACES = {
    "interval": (),
    "triangle": ((0, 1, 2),),
    "quadrilateral": ((0, 1, 2, 3),),
    "tetrahedron": ((0, 1, 3), (1, 2, 3), (2, 0, 3), (0, 2, 1)),
    "hexahedron": ((0, 3, 7, 4), (1, 2, 6, 5), (0, 1, 5, 4), (3, 2, 6, 7), (0, 1, 2, 3), (4, 5, 6, 7)),
    "prism": ((0, 1, 2), (3, 4, 5), (0, 1, 4, 3), (1, 2, 5, 4), (2, 0, 3, 5)),
}
"""Corners of the faces; nodes inside run from the first corner to the second, then towards the last."""


@cache
def vtk_lagrange_order(cell_type: str, degree: int) -> Int[np.ndarray, " n_nodes"]:
    """The order of the nodes of VTK's Lagrange cells: ``vtk_cells = basix_cells[:, order]``.

    VTK numbers corners, then nodes inside of edges, of faces and of the cell; basix's equally spaced Lagrange
    nodes lie in the same places. (Classes vtkLagrangeCurve to vtkLagrangeWedge of VTK 9.)

    Args:
        cell_type: one of `CellType`.
        degree: 1, 2 or 3.

    Raises:
        MeshError: for another cell type or degree.
    """
    points = np.asarray(coordinate_element(cell_type, degree).points)
    vtk = _places(cell_type, degree)
    return np.linalg.norm(vtk[:, None, :] - points[None], axis=-1).argmin(axis=1)


def _places(cell_type: str, degree: int) -> Float[np.ndarray, "n_nodes dim"]:
    """Reference coordinates of VTK's nodes."""
    vertices = np.asarray(basix.geometry(basix_cell(cell_type)))
    corners = vertices[list(_CORNERS.get(cell_type, range(len(vertices))))]
    steps = np.arange(1, degree) / degree
    places = [corners]
    places += [corners[a] + steps[:, None] * (corners[b] - corners[a]) for a, b in _EDGES[cell_type]]
    places += [_inside(corners[list(face)], degree) for face in _FACES[cell_type]]
    if cell_type == "hexahedron":
        z, y, x = np.meshgrid(steps, steps, steps, indexing="ij")
        places.append(np.stack([x.ravel(), y.ravel(), z.ravel()], axis=-1))
    if cell_type == "prism" and degree == 3:
        places.append(np.column_stack([np.full((2, 2), 1 / 3), steps]))
    return np.concatenate(places)


def _inside(corners: Float[np.ndarray, "n_corners dim"], degree: int) -> Float[np.ndarray, "n dim"]:
    """Nodes inside of a face."""
    if len(corners) == 3:
        return corners.mean(axis=0, keepdims=True) if degree == 3 else corners[:0]
    steps = np.arange(1, degree) / degree
    t, s = np.meshgrid(steps, steps, indexing="ij")
    first, last = corners[1] - corners[0], corners[3] - corners[0]
    return corners[0] + s.ravel()[:, None] * first + t.ravel()[:, None] * last
