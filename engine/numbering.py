"""The numbering of nodes that cells share, for Lagrange elements of any degree on cells of any type."""

from collections.abc import Sequence

import basix
import numpy as np
from jax.core import Tracer

from gemel.engine.elements import LagrangeElement
from gemel.loops import compiled, index
from gemel.meshes import CellBlock, Mesh, block_entities

_SCALE = 2**20


def number_nodes(mesh: Mesh, elements: Sequence[LagrangeElement]) -> tuple[tuple[np.ndarray, ...], int]:
    """Nodes of every cell of every block, and how many there are in all.

    Vertices come first, then nodes inside edges, faces and cells. Nodes of a shared edge or face are matched
    by where they lie between its vertices, so that cells may see the edge or face from any side.
    """
    if not elements[0].continuous:
        return _separate(mesh, elements)
    corners = [
        np.asarray(block.cells)[:, : len(e.entity_nodes[0])] for block, e in zip(mesh.blocks, elements, strict=True)
    ]
    same = mesh.degree == 1 and all(_as_cells(e, c) for e, c in zip(elements, corners, strict=True))
    known = not isinstance(mesh.points, Tracer)  # then each of them belongs to a cell
    rank = None if same and known else _ranks_of(corners, mesh.n_points)
    if same and rank is None:
        return tuple(np.asarray(block.cells) for block in mesh.blocks), mesh.n_points
    numbers = [np.zeros((len(c), e.n_nodes), dtype=np.int32) for c, e in zip(corners, elements, strict=True)]
    for table, vertices, element in zip(numbers, corners, elements, strict=True):
        table[:, [local[0] for local in element.entity_nodes[0]]] = vertices if rank is None else rank[vertices]
    count = mesh.n_points if rank is None else int(rank[-1]) + 1
    for dim in range(1, mesh.cell_dim + 1):
        if any(any(element.entity_nodes[dim]) for element in elements):
            count = _number_inside(mesh.blocks, elements, corners, numbers, dim, mesh.cell_dim, count)
    return tuple(numbers), int(count)


def _ranks_of(corners: Sequence[np.ndarray], n_points: int) -> np.ndarray | None:
    """The number of each point among those that are corners; None where all are."""
    used = np.zeros(n_points, dtype=bool)
    for vertices in corners:
        used[vertices] = True
    return None if used.all() else np.cumsum(used) - 1


def first_places(cell_nodes: Sequence[np.ndarray], n_nodes: int) -> np.ndarray:
    """Where each node first stands among the nodes of all cells."""
    places, first = np.empty(n_nodes, dtype=np.int64), sum(table.size for table in cell_nodes)
    for table in reversed(cell_nodes):  # of several numbers for a node the last one stays
        first -= table.size
        _fill_places(table.ravel(), first, places)
    return places


@compiled
def _fill_places(nodes, first, places):
    for k in range(len(nodes) - 1, -1, -1):
        places[index(nodes[index(k)])] = first + k


def _as_cells(element: LagrangeElement, vertices: np.ndarray) -> bool:
    """Whether the nodes of an element are the vertices of its cells, in their order."""
    alone = [[node] for node in range(element.n_nodes)]
    return vertices.dtype == np.int32 and [list(local) for local in element.entity_nodes[0]] == alone


def _separate(mesh: Mesh, elements: Sequence[LagrangeElement]) -> tuple[tuple[np.ndarray, ...], int]:
    """Every cell has nodes of its own."""
    tables, count = [], 0
    for block, element in zip(mesh.blocks, elements, strict=True):
        size = len(block.cells) * element.n_nodes
        tables.append(np.arange(count, count + size, dtype=np.int32).reshape(-1, element.n_nodes))
        count += size
    return tuple(tables), count


def _number_inside(
    blocks: Sequence[CellBlock],
    elements: Sequence[LagrangeElement],
    corners: Sequence[np.ndarray],
    numbers: Sequence[np.ndarray],
    dim: int,
    cell_dim: int,
    count: int,
) -> int:
    """Number the nodes inside the entities of one dimension, in place; returns the new count."""
    if dim == cell_dim:
        for table, element in zip(numbers, elements, strict=True):
            inside = element.entity_nodes[dim][0]
            table[:, inside] = count + np.arange(len(table) * len(inside)).reshape(len(table), len(inside))
            count += len(table) * len(inside)
        return count
    entities, n_entities = block_entities(blocks, dim)
    size = np.zeros(n_entities, dtype=np.int64)
    for owner, element in zip(entities, elements, strict=True):
        for local, inside in enumerate(element.entity_nodes[dim]):
            size[owner[:, local]] = len(inside)
    starts = count + np.concatenate([[0], np.cumsum(size)[:-1]])
    for block, owner, element, vertices, table in zip(blocks, entities, elements, corners, numbers, strict=True):
        for local, inside in enumerate(element.entity_nodes[dim]):
            if inside:
                ranks = _ranks(block.cell_type, element, dim, local, vertices)
                table[:, inside] = starts[owner[:, local]][:, None] + ranks
    return count + int(size.sum())


def _ranks(cell_type: str, element: LagrangeElement, dim: int, local: int, vertices: np.ndarray) -> np.ndarray:
    """The place of each node inside an entity, in an order that depends on global vertex numbers alone.

    A node is known by its weights at the entity's vertices (of the element of degree 1); with vertices in
    ascending order these weights are the same from every cell.
    """
    closure = basix.topology(basix.CellType[cell_type])[dim][local]
    inside = element.entity_nodes[dim][local]
    values, _ = LagrangeElement(cell_type, 1).tabulate(element.node_points[inside])
    weights = np.rint(_SCALE * values[:, closure]).astype(np.int64)
    orders, which = np.unique(np.argsort(vertices[:, closure], axis=1), axis=0, return_inverse=True)
    ranks = np.empty((len(orders), len(inside)), dtype=np.int64)
    for row, order in enumerate(orders):
        ranks[row, np.lexsort(weights[:, order].T[::-1])] = np.arange(len(inside))
    return ranks[which.ravel()]
