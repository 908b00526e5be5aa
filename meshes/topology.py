"""Vertices, edges and facets of cells, numbered as fenics-basix numbers them; numpy on the host."""

import functools
from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

import basix
import numpy as np
from jaxtyping import Int

from gemel.loops import compiled, in_parts, index, positions
from gemel.meshes.blocks import CellBlock, block_offsets
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import basix_cell, facet_groups


def cell_entities(cell_type: str, dim: int) -> Int[np.ndarray, "n_entities n_vertices"]:
    """Local vertices of the entities of one dimension of a cell; one row per vertex, edge or face.

    Raises:
        MeshError: for a dimension that the cell does not have, and for the faces of a prism, which have three
            or four vertices: `facet_vertices` gives those of one type.
    """
    topology = basix.topology(basix_cell(cell_type))
    if not 0 <= dim < len(topology):
        raise MeshError(f"A {cell_type} has no entities of dimension {dim}, only of 0 to {len(topology) - 1}.")
    if len({len(entity) for entity in topology[dim]}) > 1:
        raise MeshError(f"The entities of dimension {dim} of a {cell_type} have several types: ask for one type.")
    return np.asarray(topology[dim], dtype=np.int64)


def facet_vertices(cell_type: str, facet_type: str) -> Int[np.ndarray, "n_facets n_vertices"]:
    """Local vertices of the facets of one type, in the order of `facet_groups`."""
    facets = basix.topology(basix_cell(cell_type))[-2]
    return np.asarray([facets[number] for number in dict(facet_groups(cell_type))[facet_type]], dtype=np.int64)


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
        dim: 0 vertices, 1 edges, 2 faces, 3 cells; not the faces of prisms, see `block_entities`.

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


def block_entities(
    blocks: Sequence[CellBlock], dim: int
) -> tuple[tuple[Int[np.ndarray, "_n_cells _n_local"], ...], int]:
    """Entities of one dimension of all cells, in one numbering over all blocks.

    Entities are the same where their vertices are. Those of fewer vertices come first (triangles before
    quadrilaterals); among equals the order is that of their sorted vertices. Cells are numbered as in the mesh.

    Args:
        blocks: the blocks of a mesh, of any degree.
        dim: 0 vertices, 1 edges, 2 faces, 3 cells.

    Returns:
        For every block the entity numbers of its cells in the local order of basix, and how many there are.
    """
    if any(block.cell_dim == dim for block in blocks):
        offsets = block_offsets(blocks)
        numbers = [np.arange(*ends, dtype=np.int64)[:, None] for ends in pairwise(offsets)]
        return tuple(numbers), int(offsets[-1])
    local = [basix.topology(basix_cell(block.cell_type))[dim] for block in blocks]
    tables = [np.empty((block.n_cells, len(rows)), dtype=np.int64) for block, rows in zip(blocks, local, strict=True)]
    count = 0
    for width in sorted({len(row) for rows in local for row in rows}):
        columns = [[number for number, row in enumerate(rows) if len(row) == width] for rows in local]
        vertices = [
            np.sort(np.asarray(block.cells)[:, np.asarray([rows[i] for i in chosen])], axis=-1).reshape(-1, width)
            for block, rows, chosen in zip(blocks, local, columns, strict=True)
            if chosen
        ]
        distinct, inverse = unique_rows(np.concatenate(vertices))
        start = 0
        for table, chosen in zip(tables, columns, strict=True):
            size = len(table) * len(chosen)
            table[:, chosen] = count + inverse[start : start + size].reshape(len(table), len(chosen))
            start += size
        count += len(distinct)
    return tuple(tables), count


class FacetTable(NamedTuple):
    """All facets of all cells that have the same number of vertices, ordered by (cell, local facet)."""

    vertices: Int[np.ndarray, "n n_vertices"]
    owners: Int[np.ndarray, "n 2"]


def facet_tables(blocks: Sequence[CellBlock]) -> dict[int, FacetTable]:
    """The facets of all cells, by their number of vertices: sorted vertices and rows (cell, local facet)."""
    parts: dict[int, list[FacetTable]] = {}
    for block, first in zip(blocks, block_offsets(blocks), strict=False):
        cells = np.asarray(block.cells)
        for facet_type, numbers in facet_groups(block.cell_type):
            local = facet_vertices(block.cell_type, facet_type)
            rows = np.sort(cells[:, local], axis=-1).reshape(-1, local.shape[1])
            cell = first + np.repeat(np.arange(len(cells)), len(numbers))
            owners = np.stack([cell, np.tile(np.asarray(numbers), len(cells))], axis=-1)
            parts.setdefault(local.shape[1], []).append(FacetTable(rows, owners))
    return {
        width: FacetTable(*(np.concatenate(arrays) for arrays in zip(*tables, strict=True)))
        for width, tables in sorted(parts.items())
    }


_MANY = 2000
"""Facets at one vertex that are not compared each with each."""


def boundary_facets(blocks: Sequence[CellBlock]) -> Int[np.ndarray, "n 2"]:
    """Facets that belong to one cell only, as (cell, local facet), ordered by cell.

    Raises:
        MeshError: when a facet belongs to more than two cells, any number of intervals may share a point; and for
            vertices with numbers below zero.
    """
    lowest_number = min((int(block.cells.min(initial=0)) for block in blocks), default=0)
    if lowest_number < 0:
        raise MeshError(f"A cell has a vertex {lowest_number}: vertices are numbered from 0.")
    size = 1 + max((int(block.cells.max(initial=0)) for block in blocks), default=0)
    random = np.random.default_rng(0).integers(2**63, size=size, dtype=np.uint64)
    tables = [np.empty((block.n_cells, len(_facets_of(block.cell_type))), np.uint64) for block in blocks]
    lowest = [np.empty(table.shape, np.int32) for table in tables]
    for block, keys, least in zip(blocks, tables, lowest, strict=True):
        vertices, local = np.array(block.cells, np.int32), _facets_of(block.cell_type)
        in_parts(len(keys), lambda *part, v=vertices, f=local, k=keys, m=least: _name_facets(*part, v, f, random, k, m))
    keys = np.concatenate([table.ravel() for table in tables])
    starts, facets = positions(np.concatenate([table.ravel() for table in lowest]), size)
    if np.diff(starts).max(initial=0) > _MANY:
        return _boundary_facets_by_vertices(blocks)
    cells = np.zeros(len(keys), np.int8)
    in_parts(size, lambda *part: _count_cells(*part, starts, facets, keys, cells))
    if cells.max(initial=0) > 2:
        return _boundary_facets_by_vertices(blocks)
    parts, first = [], 0
    for table, offset in zip(tables, block_offsets(blocks), strict=False):
        cell, facet = np.nonzero(cells[first : first + table.size].reshape(table.shape) == 1)
        parts.append(np.stack([offset + cell, facet], axis=-1))
        first += table.size
    return np.concatenate(parts)


def _facets_of(cell_type: str) -> Int[np.ndarray, "n_facets n_vertices"]:
    """The local vertices of all facets of a cell; those with fewer vertices than others end in -1."""
    facets = basix.topology(basix_cell(cell_type))[-2]
    width = max(len(facet) for facet in facets)
    return np.asarray([[*facet, *[-1] * (width - len(facet))] for facet in facets], np.int32)


@compiled
def _name_facets(first, last, cells, local, random, keys, lowest):
    """A number for every facet, the sum of a pseudo-random one for each of its vertices, and its lowest vertex.

    A facet that two cells share has the same number in both. Of two others one in 2⁶⁴ pairs has.
    """
    for c in range(first, last):
        for f in range(local.shape[0]):
            keys[c, f], least = 0, cells[c, local[f, 0]]
            for v in local[f]:
                if v >= 0:
                    vertex = cells[c, v]
                    keys[c, f] += random[index(vertex)]
                    least = min(least, vertex)
            lowest[c, f] = least


@compiled
def _count_cells(first, last, starts, facets, keys, cells):
    """How many cells each facet belongs to, among the facets with the same lowest vertex; at most 3 are counted."""
    for vertex in range(first, last):
        for p in range(starts[vertex], starts[vertex + 1]):
            mine, count = index(facets[index(p)]), 0
            for q in range(starts[vertex], starts[vertex + 1]):
                count += keys[index(facets[index(q)])] == keys[mine]
            cells[mine] = min(count, 3)


def _boundary_facets_by_vertices(blocks: Sequence[CellBlock]) -> Int[np.ndarray, "n 2"]:
    """The same by comparing vertices, where some facets have more than two cells."""
    chosen = []
    for vertices, owners in facet_tables(blocks).values():
        distinct, inverse = unique_rows(vertices)
        count = np.bincount(inverse, minlength=len(distinct))
        if vertices.shape[1] > 1:
            _check_count(distinct, count)
        chosen.append(owners[count[inverse] == 1])
    facets = np.concatenate(chosen)
    return facets[np.lexsort(facets.T[::-1])]


def box_cells(shape: tuple[int, ...]) -> Int[np.ndarray, "n_cells n_corners"]:
    """Corners of the cells of a structured box in tensor order; ``shape`` cells along x, y, z, x fastest."""
    cells = np.empty((int(np.prod(shape)), 2 ** len(shape)), np.int32)
    lowest, corners = _box_corners(shape)
    np.add(lowest[:, None], corners, out=cells)
    return cells


def is_box(cells: Int[np.ndarray, "n_cells n_nodes"], shape: tuple[int, ...]) -> bool:
    """Whether the first nodes of the cells are those of `box_cells`."""
    lowest, corners = _box_corners(shape)
    if len(cells) != len(lowest) or cells.shape[1] < len(corners):
        return False
    return all(np.array_equal(cells[:, k], lowest + corner) for k, corner in enumerate(corners))


def _box_corners(shape: tuple[int, ...]) -> tuple[Int[np.ndarray, " n_cells"], Int[np.ndarray, " n_corners"]]:
    """The first corner of every cell, and how far the numbers of its corners are from that."""
    strides = np.cumprod([1, *(n + 1 for n in shape[:-1])]).astype(np.int32)
    axes = [stride * np.arange(n, dtype=np.int32) for stride, n in zip(strides, shape, strict=True)]
    lowest = functools.reduce(np.add.outer, axes[::-1]).ravel()
    corners = np.asarray(list(product((0, 1), repeat=len(shape))), np.int32)[:, ::-1] @ strides
    return lowest, corners


def box_sides(cell_type: str, shape: tuple[int, ...]) -> list[tuple[Int[np.ndarray, "_ 2"], Int[np.ndarray, "_ 2"]]]:
    """The facets (cell, local facet) on the lower and upper side of a structured box along x, y, z, ordered by cell."""
    vertices, cells = np.asarray(basix.geometry(basix_cell(cell_type))), np.arange(np.prod(shape)).reshape(shape[::-1])
    local = cell_entities(cell_type, len(shape) - 1)

    def side(axis: int, upper: int) -> Int[np.ndarray, "n 2"]:
        facet = int(np.flatnonzero((vertices[local][..., axis] == upper).all(axis=1))[0])
        mine = cells.take(-upper, axis=len(shape) - 1 - axis).ravel()
        return np.stack([mine, np.full(len(mine), facet)], axis=-1)

    return [(side(axis, 0), side(axis, 1)) for axis in range(len(shape))]


def interior_facets(blocks: Sequence[CellBlock]) -> Int[np.ndarray, "n 2 2"]:
    """Facets between two cells: (cell, local facet) of the cell with the lower number, then of the other.

    Where several intervals meet in one point, each follows the one before it in a pair of its own.

    Raises:
        MeshError: when a facet of cells of dimension 2 or 3 belongs to more than two cells.
    """
    chosen = []
    for vertices, owners in facet_tables(blocks).values():
        distinct, inverse = unique_rows(vertices)
        if vertices.shape[1] > 1:
            _check_count(distinct, np.bincount(inverse, minlength=len(distinct)))
        order = np.argsort(inverse, kind="stable")
        same = np.flatnonzero(np.diff(inverse[order]) == 0)
        chosen.append(np.stack([owners[order[same]], owners[order[same + 1]]], axis=1))
    pairs = np.concatenate(chosen)
    return pairs[np.lexsort(pairs[:, 0].T[::-1])]


def match_facets(blocks: Sequence[CellBlock], facets: Int[np.ndarray, "n n_vertices"]) -> Int[np.ndarray, "n 2"]:
    """The (cell, local facet) of facets given by their vertices in any order.

    A facet between two cells is given by the cell with the lower number. A facet of no cell gives (-1, -1).
    """
    table = facet_tables(blocks).get(facets.shape[1])
    if table is None:
        return np.full((len(facets), 2), -1, dtype=np.int64)
    rows, owners = table
    _, number = unique_rows(np.concatenate([rows, np.sort(facets, axis=-1)]))
    owner = np.full(len(rows) + len(facets), -1, dtype=np.int64)
    owner[number[: len(rows)][::-1]] = np.arange(len(rows))[::-1]
    found = owner[number[len(rows) :]]
    return np.where((found < 0)[:, None], -1, owners[found])


def _check_count(distinct: Int[np.ndarray, "n k"], count: Int[np.ndarray, " n"]) -> None:
    if count.size and count.max() > 2:
        worst = int(np.argmax(count))
        raise MeshError(
            f"The facet with vertices {distinct[worst].tolist()} belongs to {count[worst]} cells, "
            "but no facet may belong to more than two."
        )
