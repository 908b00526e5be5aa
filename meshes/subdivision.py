"""How one reference cell divides into smaller cells of its own type, halving every edge."""

from functools import cache
from typing import NamedTuple

import basix
import numpy as np
from jaxtyping import Float, Int

from gemel.meshes.geometry import basix_cell, coordinate_element, facet_groups, tabulate
from gemel.meshes.topology import facet_vertices

_TRIANGLE = np.array([[[0, 0], [1, 0], [0, 1]], [[1, 0], [2, 0], [1, 1]], [[0, 1], [1, 1], [0, 2]]]) / 2
_INNER = np.array([[[1, 0], [1, 1], [0, 1]]]) / 2


class Subdivision(NamedTuple):
    """The children of a reference cell with their nodes on the parent's lattice of half the spacing.

    Attributes:
        lattice: reference coordinates in the parent of all nodes of the children.
        nodes: place in ``lattice`` of each node of each child, (n_children, n_nodes).
        kept: place in ``lattice`` of each node of the parent, (n_nodes,).
        facets: rows (facet of the parent, child, facet of the child) of all facets that lie on the parent's.
    """

    lattice: Float[np.ndarray, "n_lattice dim"]
    nodes: Int[np.ndarray, "n_children n_nodes"]
    kept: Int[np.ndarray, " n_nodes"]
    facets: Int[np.ndarray, "n 3"]


@cache
def subdivisions(cell_type: str, degree: int) -> tuple[Subdivision, ...]:
    """The ways to divide a cell of a degree: three for a tetrahedron, by the diagonal of its inner octahedron.

    The diagonals join the middles of edges (0, 1) and (2, 3), (0, 2) and (1, 3), (0, 3) and (1, 2).
    Children keep the orientation of their parent.
    (J. Bey, Tetrahedral grid refinement, Computing 55, 1995.)
    """
    points = np.asarray(coordinate_element(cell_type, degree).points)
    straight, _ = tabulate(cell_type, 1, points)
    answer = []
    for children in _children(cell_type):
        # Reference coordinates are multiples of 1/(2 degree), so that rounding identifies coincident nodes.
        places = np.rint(2 * degree * np.einsum("nv,cvd->cnd", straight, children)).astype(np.int64)
        flat = places.reshape(-1, places.shape[-1])
        lattice, nodes = np.unique(flat, axis=0, return_inverse=True)
        own = np.rint(2 * degree * points).astype(np.int64)
        kept = (lattice[None] == own[:, None]).all(axis=-1).argmax(axis=1)
        facets = _outer_facets(cell_type, children)
        answer.append(Subdivision(lattice / (2 * degree), nodes.reshape(places.shape[:2]), kept, facets))
    return tuple(answer)


def _children(cell_type: str) -> list[Float[np.ndarray, "n_children n_vertices dim"]]:
    """Vertices of the children of a reference cell, for every way to divide it."""
    if cell_type == "triangle":
        return [np.concatenate([_TRIANGLE, _INNER])]
    if cell_type == "prism":
        flat = np.concatenate([_TRIANGLE, _INNER])
        return [np.stack([_lifted(triangle, level) for level in (0, 1) for triangle in flat])]
    vertices = np.asarray(basix.geometry(basix_cell(cell_type)))
    corners = (vertices[:, None, :] + vertices[None, :, :]) / 2
    return [corners] if cell_type != "tetrahedron" else [_tetrahedra(corners, way) for way in range(3)]


def _lifted(triangle: Float[np.ndarray, "3 2"], level: int) -> Float[np.ndarray, "6 3"]:
    """The prism over a triangle in the lower or upper half of the reference prism."""
    lower, upper = (np.column_stack([triangle, np.full(3, (level + end) / 2)]) for end in (0, 1))
    return np.concatenate([lower, upper])


def _tetrahedra(corners: Float[np.ndarray, "4 4 3"], way: int) -> Float[np.ndarray, "8 4 3"]:
    """Four tetrahedra at the corners and four round a diagonal of the octahedron between them."""
    pairs = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    (a, b), others = pairs[way], [pair for number, pair in enumerate(pairs) if number != way]
    ring = [others[0][0], others[1][0], others[0][1], others[1][1]]
    inner = np.array([[corners[a], corners[b], corners[ring[i]], corners[ring[(i + 1) % 4]]] for i in range(4)])
    odd = np.linalg.det(inner[:, 1:] - inner[:, :1]) < 0
    inner[odd] = inner[odd][:, [0, 1, 3, 2]]
    return np.concatenate([corners, inner])


def _outer_facets(cell_type: str, children: np.ndarray) -> Int[np.ndarray, "n 3"]:
    """Rows (facet of the parent, child, facet of the child) of the children's facets on those of the parent."""
    cell = basix_cell(cell_type)
    vertices, normals = np.asarray(basix.geometry(cell)), np.asarray(basix.cell.facet_outward_normals(cell))
    rows = []
    for facet, corners in enumerate(basix.topology(cell)[-2]):
        on = np.abs((children - vertices[corners[0]]) @ normals[facet]) < 1e-12
        for facet_type, numbers in facet_groups(cell_type):
            whole = on[:, facet_vertices(cell_type, facet_type)].all(axis=-1)
            rows += [(facet, child, numbers[place]) for child, place in np.argwhere(whole)]
    return np.asarray(sorted(rows), dtype=np.int64)
