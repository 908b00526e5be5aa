"""Parts of a mesh: the cells of a tag as a mesh of their own."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from gemel.meshes.blocks import CellBlock
from gemel.meshes.errors import MeshError
from gemel.meshes.mesh import Mesh, on_host


class Submesh(NamedTuple):
    """Some cells of a mesh, and the way back.

    Attributes:
        mesh: the cells with their points.
        points: the number in the whole mesh of every point, so that ``whole_field[points]`` is its restriction.
        cells: the number in the whole mesh of every cell.
    """

    mesh: Mesh
    points: Int[np.ndarray, " n_points"]
    cells: Int[np.ndarray, " n_cells"]


def submesh(mesh: Mesh, tag: str, interface: str = "interface") -> Submesh:
    """The cells of a tag as a mesh of their own, on the host.

    Tags keep their names and their members in the part; those with none there are dropped. Facets of a tag
    between a cell of the part and another belong to the part, whichever cell names them.

    Args:
        mesh: the whole.
        tag: a cell tag.
        interface: name of a new facet tag, of the facets between the part and the rest.

    Raises:
        MeshError: for an unknown tag, one without cells, and a facet tag that has the interface's name already.
    """
    chosen = np.unique(np.asarray(on_host(mesh).cells_of(tag)))
    if len(chosen) == 0:
        raise MeshError(f"The cell tag '{tag}' holds no cells, so that it makes no mesh.")
    if interface in mesh.facet_tags:
        raise MeshError(f"The mesh has a facet tag '{interface}' already: choose another name for the interface.")
    owner = mesh.block_of(chosen)
    cells = [np.asarray(block.cells)[chosen[owner == n] - mesh.offsets[n]] for n, block in enumerate(mesh.blocks)]
    points = np.unique(np.concatenate([rows.ravel() for rows in cells]))
    blocks = tuple(
        CellBlock(block.cell_type, np.searchsorted(points, rows).astype(np.int32))
        for block, rows in zip(mesh.blocks, cells, strict=True)
        if len(rows)
    )
    new_cell = np.full(mesh.n_cells, -1, dtype=np.int64)
    new_cell[chosen] = np.arange(len(chosen))
    pairs = mesh.interior_facets()
    cut = pairs[(new_cell[pairs[:, :, 0]] >= 0).sum(axis=1) == 1]
    facet_tags = {name: _facets_in(new_cell, pairs, np.asarray(rows)) for name, rows in mesh.facet_tags.items()}
    sides = cut[new_cell[cut[:, :, 0]] >= 0]
    facet_tags[interface] = np.stack([new_cell[sides[:, 0]], sides[:, 1]], axis=1)
    cell_tags = {name: new_cell[np.intersect1d(numbers, chosen)] for name, numbers in mesh.cell_tags.items()}
    node_tags = {
        name: np.searchsorted(points, np.intersect1d(numbers, points)) for name, numbers in mesh.node_tags.items()
    }
    part = Mesh(
        np.asarray(mesh.points)[points],
        blocks,
        mesh.degree,
        _filled(cell_tags),
        _filled(facet_tags),
        _filled(node_tags),
    )
    return Submesh(part, points, chosen)


def _facets_in(
    new_cell: Int[np.ndarray, " n_cells"], pairs: Int[np.ndarray, "n 2 2"], facets: Int[np.ndarray, "m 2"]
) -> Int[np.ndarray, "k 2"]:
    """Facets named by a cell of the part, or by its neighbour outside of the part."""
    inside = facets[new_cell[facets[:, 0]] >= 0]
    outside = facets[new_cell[facets[:, 0]] < 0]
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[(new_cell[both[:, 0, 0]] < 0) & (new_cell[both[:, 1, 0]] >= 0)]
    width = 1 + max(int(rows[..., 1].max(initial=0)) for rows in (both, facets))
    named = np.isin(both[:, 0] @ [width, 1], outside @ [width, 1])
    rows = np.concatenate([inside, both[named, 1]])
    return np.unique(np.stack([new_cell[rows[:, 0]], rows[:, 1]], axis=1), axis=0)


def _filled(tags: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: members for name, members in tags.items() if len(members)}
