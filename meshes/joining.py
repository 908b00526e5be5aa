"""One mesh from several, side by side or welded where their points coincide."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from gemel.meshes.blocks import CellBlock
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import CellType
from gemel.meshes.mesh import Mesh, on_host


def join(parts: Mapping[str, Mesh], weld: float = 0.0) -> Mesh:
    """One mesh of several parts, whose cells are tagged by the names of the parts.

    Tags of the parts keep their names; those of one name in several parts become one. Points and, in each block,
    cells follow in the order of the parts. Parts that are not welded stay apart, as ties and contact need them.

    Args:
        parts: meshes by name, of one dimension of space and of cells, and of one degree.
        weld: points closer than this become one, the first of them, in metres; 0 keeps all apart.

    Raises:
        MeshError: for no parts, parts that differ in dimension or degree, a name that is a cell tag already, a
            negative distance, and cells that welding makes degenerate.
    """
    if not parts:
        raise MeshError("There are no parts to join.")
    meshes = {name: on_host(mesh) for name, mesh in parts.items()}
    first = next(iter(meshes.values()))
    for name, mesh in meshes.items():
        for what, own, others in (
            ("dimension of space", mesh.dim, first.dim),
            ("dimension of cells", mesh.cell_dim, first.cell_dim),
            ("degree", mesh.degree, first.degree),
        ):
            if own != others:
                raise MeshError(f"The part '{name}' has the {what} {own}, but the first part has {others}.")
        if any(name in other.cell_tags for other in meshes.values()):
            raise MeshError(f"The part '{name}' has the name of a cell tag: choose another.")
    if not weld >= 0:
        raise MeshError(f"The distance to weld is {weld}, but must not be negative.")
    starts = np.cumsum([0, *(mesh.n_points for mesh in meshes.values())])
    points, number = _welded(np.concatenate([np.asarray(mesh.points) for mesh in meshes.values()]), weld)
    blocks, cell_of = _blocks(list(meshes.values()), [number[a:] for a in starts[:-1]])
    cells: dict[str, list[np.ndarray]] = {}
    facets: dict[str, list[np.ndarray]] = {}
    nodes: dict[str, list[np.ndarray]] = {}
    for (name, mesh), start, new in zip(meshes.items(), starts, cell_of, strict=False):
        cells[name] = [new]
        for tag, members in mesh.cell_tags.items():
            cells.setdefault(tag, []).append(new[np.asarray(members)])
        for tag, rows in mesh.facet_tags.items():
            facets.setdefault(tag, []).append(np.stack([new[np.asarray(rows)[:, 0]], np.asarray(rows)[:, 1]], axis=1))
        for tag, members in mesh.node_tags.items():
            nodes.setdefault(tag, []).append(number[start + np.asarray(members)])
    return Mesh(
        points,
        blocks,
        first.degree,
        {tag: np.unique(np.concatenate(members)) for tag, members in cells.items()},
        {tag: np.unique(np.concatenate(rows), axis=0) for tag, rows in facets.items()},
        {tag: np.unique(np.concatenate(members)) for tag, members in nodes.items()},
    )


def _welded(points: Float[np.ndarray, "n d"], weld: float) -> tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " n"]]:
    """The points that remain, and the new number of every point."""
    if weld == 0:
        return points, np.arange(len(points))
    pairs = KDTree(points).query_pairs(weld, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    _, group = connected_components(graph, directed=False)
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return points[first[order]], rank[number]


def _blocks(
    meshes: list[Mesh], number: list[Int[np.ndarray, " _n"]]
) -> tuple[tuple[CellBlock, ...], list[Int[np.ndarray, " _n_cells"]]]:
    """The cells of all meshes by type, and for every mesh the new numbers of its cells."""
    types: list[CellType] = list(dict.fromkeys(block.cell_type for mesh in meshes for block in mesh.blocks))
    cell_of = [np.empty(mesh.n_cells, dtype=np.int64) for mesh in meshes]
    blocks, count = [], 0
    for cell_type in types:
        rows = []
        for mesh, new_point, new_cell in zip(meshes, number, cell_of, strict=True):
            for block, first in zip(mesh.blocks, mesh.offsets, strict=False):
                if block.cell_type == cell_type:
                    rows.append(new_point[np.asarray(block.cells)])
                    new_cell[first : first + block.n_cells] = count + np.arange(block.n_cells)
                    count += block.n_cells
        blocks.append(CellBlock(cell_type, np.concatenate(rows).astype(np.int32)))
    return tuple(blocks), cell_of
