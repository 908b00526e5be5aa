"""Serendipity cells, which lack the nodes inside of faces and cells, completed to full quadratic ones."""

import numpy as np
from jaxtyping import Float, Int

from gemel.meshes.topology import unique_rows

FULL = {"quad8": "quad9", "hexahedron20": "hexahedron27", "wedge15": "wedge18"}
"""The full quadratic cell of each serendipity cell, by meshio's names; its further nodes come last."""

_FACES = {
    "quad8": ((0, 1, 2, 3),),
    "hexahedron20": ((0, 3, 4, 7), (1, 2, 5, 6), (0, 1, 4, 5), (2, 3, 6, 7), (0, 1, 2, 3), (4, 5, 6, 7)),
    "wedge15": ((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
}
"""Corners of the quadrilateral faces in the order of the full cell's further nodes."""

EDGES = {
    "quad8": ((0, 1), (1, 2), (2, 3), (3, 0)),
    "hexahedron20": (
        *((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4)),
        *((0, 4), (1, 5), (2, 6), (3, 7)),
    ),
    "wedge15": ((0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5)),
}
"""Ends of the edges in the order of their middle nodes, which follow the corners."""

Table = dict[str, np.ndarray]
"""Nodes of cells, in VTK's order, by meshio's name of the cell."""


def completed(points: Float[np.ndarray, "n dim"], cells: Table) -> tuple[Float[np.ndarray, "m dim"], Table]:
    r"""Full quadratic cells for serendipity ones; other cells stay as they are.

    New nodes lie where the serendipity interpolation puts them, so that the cell's shape does not change:
    :math:`-\\tfrac14\\sum` corners :math:`+\\tfrac12\\sum` middles of edges in a face, and
    :math:`-\\tfrac14\\sum` corners :math:`+\\tfrac14\\sum` middles of edges in a hexahedron. Cells share the node
    of a face they share. (O. C. Zienkiewicz, R. L. Taylor, The Finite Element Method, chapter on shape
    functions.)
    """
    names = [name for name in cells if name in FULL]
    if not names:
        return points, cells
    corners = np.concatenate([np.sort(cells[n][:, np.asarray(_FACES[n])], axis=-1).reshape(-1, 4) for n in names])
    centres = np.concatenate([_face_centres(points, cells[name], name).reshape(-1, points.shape[1]) for name in names])
    distinct, number = unique_rows(corners)
    first = np.empty(len(distinct), dtype=np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    added, count, start = [centres[first]], len(points) + len(distinct), 0
    full: Table = {}
    for name, rows in cells.items():
        if name not in FULL:
            full[name] = rows
            continue
        size = len(rows) * len(_FACES[name])
        further = len(points) + number[start : start + size].reshape(len(rows), -1)
        start += size
        if name == "hexahedron20":
            added.append(points[rows[:, 8:]].sum(axis=1) / 4 - points[rows[:, :8]].sum(axis=1) / 4)
            further = np.column_stack([further, count + np.arange(len(rows))])
            count += len(rows)
        full[FULL[name]] = np.concatenate([rows, further], axis=1)
    return np.concatenate([points, *added]), full


def _face_centres(
    points: Float[np.ndarray, "n dim"], cells: Int[np.ndarray, "c k"], name: str
) -> Float[np.ndarray, "c n_faces dim"]:
    n_corners = cells.shape[1] - len(EDGES[name])
    middles = [
        [n_corners + number for number, edge in enumerate(EDGES[name]) if set(edge) <= set(face)]
        for face in _FACES[name]
    ]
    corners = points[cells[:, np.asarray(_FACES[name])]].sum(axis=2)
    return points[cells[:, np.asarray(middles)]].sum(axis=2) / 2 - corners / 4
