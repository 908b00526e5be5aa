"""Vertices, edges and facets of cells, numbered as fenics-basix numbers them; numpy on the host."""

import basix
import numpy as np
from jaxtyping import Int

from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import basix_cell


def cell_entities(cell_type: str, dim: int) -> Int[np.ndarray, "n_entities n_vertices"]:
    """Local vertices of the entities of one dimension of a cell; one row per vertex, edge or face."""
    topology = basix.topology(basix_cell(cell_type))
    if not 0 <= dim < len(topology):
        raise MeshError(f"A {cell_type} has no entities of dimension {dim}, only of 0 to {len(topology) - 1}.")
    return np.asarray(topology[dim], dtype=np.int64)


def unique_rows(rows: Int[np.ndarray, "n k"]) -> tuple[Int[np.ndarray, "m k"], Int[np.ndarray, " n"]]:
    """Distinct rows in lexicographic order and, for every row, the number of the distinct one.

    Pairs of columns are packed into one 64-bit key, so that two keys at most are sorted for edges and facets.
    """
    if len(rows) == 0:
        return rows, np.zeros(0, dtype=np.int64)
    keys = _packed(rows.astype(np.int64))
    order = np.lexsort(keys[::-1])
    first = np.zeros(len(rows), dtype=bool)
    first[0] = True
    for key in keys:
        ordered = key[order]
        first[1:] |= ordered[1:] != ordered[:-1]
    inverse = np.empty(len(rows), dtype=np.int64)
    inverse[order] = np.cumsum(first) - 1
    return rows[order[first]], inverse


def _packed(rows: Int[np.ndarray, "n k"]) -> list[Int[np.ndarray, " n"]]:
    """Keys that order as the rows do, two columns a key (columns hold node numbers below 2**31)."""
    base = int(rows.max()) + 1
    pairs = range(0, rows.shape[1], 2)
    return [rows[:, i] * base + rows[:, i + 1] if i + 1 < rows.shape[1] else rows[:, i] for i in pairs]


def entities(
    cell_type: str, cells: Int[np.ndarray, "n_cells n_nodes"], dim: int
) -> tuple[Int[np.ndarray, "n_entities n_vertices"], Int[np.ndarray, "n_cells n_per_cell"]]:
    """Distinct entities of one dimension and the entities of every cell.

    Args:
        cell_type: one of `CellType`.
        cells: nodes of the cells; only the vertices, which come first, are read, so any degree will do.
        dim: 0 vertices, 1 edges, 2 faces, 3 cells.

    Returns:
        The sorted vertices of every entity, in lexicographic order (for the cells themselves: in the order of
        the cells), and the entity numbers of every cell in the local order of basix.
    """
    local = cell_entities(cell_type, dim)
    rows = np.sort(cells[:, local], axis=-1)
    if len(local) == 1:
        return rows[:, 0], np.arange(len(cells), dtype=np.int64)[:, None]
    distinct, inverse = unique_rows(rows.reshape(-1, local.shape[1]))
    return distinct, inverse.reshape(len(cells), len(local))


def boundary_facets(cell_type: str, cells: Int[np.ndarray, "n_cells n_nodes"]) -> Int[np.ndarray, "n 2"]:
    """Facets that belong to one cell only, as (cell, local facet), ordered by cell.

    Raises:
        MeshError: when a facet belongs to more than two cells.
    """
    dim = len(basix.topology(basix_cell(cell_type))) - 1
    distinct, cell_facets = entities(cell_type, cells, dim - 1)
    count = np.bincount(cell_facets.ravel(), minlength=len(distinct))
    if count.size and count.max() > 2:
        worst = int(np.argmax(count))
        raise MeshError(
            f"The facet with vertices {distinct[worst].tolist()} belongs to {count[worst]} cells, "
            "but no facet may belong to more than two."
        )
    return np.argwhere(count[cell_facets] == 1)


def match_facets(
    cell_type: str, cells: Int[np.ndarray, "n_cells n_nodes"], facets: Int[np.ndarray, "n n_vertices"]
) -> Int[np.ndarray, "n 2"]:
    """The (cell, local facet) of facets given by their vertices in any order.

    A facet between two cells is given by the cell with the lower number. A facet of no cell gives (-1, -1).
    """
    dim = len(basix.topology(basix_cell(cell_type))) - 1
    local = cell_entities(cell_type, dim - 1)
    rows = np.sort(cells[:, local], axis=-1).reshape(-1, local.shape[1])
    _, number = unique_rows(np.concatenate([rows, np.sort(facets, axis=-1)]))
    owner = np.full(len(rows) + len(facets), -1, dtype=np.int64)
    owner[number[: len(rows)][::-1]] = np.arange(len(rows))[::-1]
    found = owner[number[len(rows) :]]
    cell, facet = np.divmod(found, len(local))
    return np.where((found < 0)[:, None], -1, np.stack([cell, facet], axis=-1))
