"""From the contents of a mesh file, as meshio gives them, to a mesh with tags."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gemel.meshes.blocks import CellBlock
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import cell_dim, facet_groups
from gemel.meshes.groups import Groups, file_groups, file_nodes
from gemel.meshes.marks import marked_tags
from gemel.meshes.mesh import ALL, BOUNDARY, Mesh
from gemel.meshes.orders import FACET_VERTICES, FILE_CELLS, mirrored
from gemel.meshes.serendipity import FULL, completed
from gemel.meshes.topology import boundary_facets, facet_tables, facet_vertices, match_facets, unique_rows
from gemel.meshes.validation import orientations

_FLAT = 1e-12
"""A mesh is plane when a coordinate varies by less than this fraction of its size."""

_FAR = 1e60
"""Coordinates beyond are damage; their products would overflow."""


class _Members(NamedTuple):
    """Members of groups by name: cells, vertices of facets by their number, and points."""

    cells: dict[str, np.ndarray]
    facets: dict[str, dict[int, np.ndarray]]
    nodes: dict[str, np.ndarray]


def convert(raw: Any, dim: int | None = None) -> Mesh:
    """The mesh of what meshio has read; see `read_mesh` for what becomes of it.

    Raises:
        MeshError: a clause that goes on after "Cannot use the mesh file: ".
    """
    points = _points(raw)
    order = _solid_blocks(raw)
    points, blocks, degree = _blocks(raw, order, points)
    points = _in_space(points, blocks, dim)
    members = _members(raw, order, blocks)
    blocks = _turned(points, blocks, degree)
    blocks, members = _without_copies(blocks, members)
    _check_conforming(blocks)
    facet_tags = _facet_tags(blocks, members)
    used = np.unique(np.concatenate([np.asarray(block.cells).ravel() for block in blocks]))
    node_tags = {tag: np.searchsorted(used, np.intersect1d(rows, used)) for tag, rows in members.nodes.items()}
    blocks = tuple(
        CellBlock(block.cell_type, np.searchsorted(used, np.asarray(block.cells)).astype(np.int32)) for block in blocks
    )
    _drop_reserved("cell", members.cells, ALL, np.arange(sum(block.n_cells for block in blocks)))
    if BOUNDARY in facet_tags:
        _drop_reserved("facet", facet_tags, BOUNDARY, boundary_facets(blocks))
    _drop_reserved("node", node_tags, ALL, np.arange(len(used)))
    for tag, numbers in node_tags.items():
        if tag not in facet_tags and tag != BOUNDARY:
            covered = _covered_facets(blocks, degree, numbers)
            facet_tags |= {tag: covered} if len(covered) else {}
    return Mesh(points[used], blocks, degree, members.cells, facet_tags, node_tags)


def _points(raw: Any) -> Float[np.ndarray, "n d"]:
    points = np.asarray(raw.points)
    if points.ndim != 2 or points.shape[1] not in (1, 2, 3) or points.dtype.kind not in "fiu" or len(points) == 0:
        raise MeshError("it holds no points with one, two or three coordinates.")
    return points.astype(np.float64)


def _solid_blocks(raw: Any) -> list[int]:
    """The numbers of the blocks of highest dimension, those of one type together, or why there are none."""
    filled = [number for number, block in enumerate(raw.cells) if len(block.data)]
    dim = max((raw.cells[number].dim for number in filled), default=0)
    blocks = [number for number in filled if raw.cells[number].dim == dim]
    if dim < 1:
        raise MeshError("it holds no cells of dimension 1, 2 or 3.")
    names: list[str] = list(dict.fromkeys(raw.cells[number].type for number in blocks))
    known = [*FILE_CELLS, *FULL]
    unsupported = sorted(name for name in names if name not in known)
    if unsupported:
        raise MeshError(f"its cells '{', '.join(unsupported)}' are not supported: supported are {', '.join(known)}.")
    degrees = {name: FILE_CELLS[FULL.get(name, name)].degree for name in names}
    if len(set(degrees.values())) > 1:
        linear = [name for name in names if degrees[name] == 1]
        quadratic = [name for name in names if degrees[name] > 1]
        raise MeshError(f"it mixes linear cells ({', '.join(linear)}) with quadratic ones ({', '.join(quadratic)}).")
    full = [name for name in names if name in FULL.values()]
    if full and any(name in FULL for name in names):
        raise MeshError(f"it mixes cells with nodes inside of faces ({', '.join(full)}) with cells without.")
    return sorted(blocks, key=lambda number: names.index(raw.cells[number].type))


def _blocks(
    raw: Any, order: list[int], points: Float[np.ndarray, "n d"]
) -> tuple[Float[np.ndarray, "m d"], tuple[CellBlock, ...], int]:
    """Blocks of cells in basix's order, one a type, serendipity cells completed; the points and the degree."""
    tables: dict[str, list[np.ndarray]] = {}
    for number in order:
        tables.setdefault(raw.cells[number].type, []).append(np.asarray(raw.cells[number].data).astype(np.int64))
    cells = {name: np.concatenate(parts) for name, parts in tables.items()}
    for name, rows in cells.items():
        width = len(FILE_CELLS[FULL[name]].order) - len(_further(name)) if name in FULL else len(FILE_CELLS[name].order)
        if rows.ndim != 2 or rows.shape[1] != width:
            raise MeshError(f"its cells '{name}' do not have {width} nodes each.")
        if rows.min() < 0 or rows.max() >= len(points):
            raise MeshError(f"its cells refer to points outside 0 to {len(points) - 1}.")
        if not (np.abs(points[np.unique(rows)]) < _FAR).all():
            raise MeshError(f"it holds coordinates that are not finite, or beyond {_FAR:g} m.")
    points, cells = completed(points, cells)
    blocks = tuple(
        CellBlock(FILE_CELLS[name].cell_type, rows[:, FILE_CELLS[name].order]) for name, rows in cells.items()
    )
    return points, blocks, FILE_CELLS[next(iter(cells))].degree


def _further(name: str) -> range:
    """The places of the nodes that a serendipity cell lacks."""
    lacking = {"quad8": 8, "hexahedron20": 20, "wedge15": 15}[name]
    return range(lacking, len(FILE_CELLS[FULL[name]].order))


def _in_space(
    points: Float[np.ndarray, "n d"], blocks: tuple[CellBlock, ...], dim: int | None
) -> Float[np.ndarray, "n e"]:
    """The coordinates that the mesh lives in: two for plane cells; for lines those asked for, else all."""
    own = blocks[0].cell_dim
    used = points[np.unique(np.concatenate([np.asarray(block.cells).ravel() for block in blocks]))]
    extent = np.ptp(used, axis=0)
    wanted = {1: points.shape[1] if dim is None else dim, 2: 2, 3: 3}[own]
    if dim not in (None, wanted) or not own <= wanted <= points.shape[1]:
        raise MeshError(f"its {own}-D cells with {points.shape[1]} coordinates make no mesh in {dim or own}-D space.")
    if (extent[wanted:] > _FLAT * extent.max()).any():
        if own == 1:
            raise MeshError(f"its lines leave the {wanted}-D space that was asked for.")
        raise MeshError(
            "it holds only a surface in 3-D space, where a volume mesh of tetrahedra or hexahedra is needed: "
            "fill the surface with cells in a mesh generator such as gmsh."
        )
    return points[:, :wanted]


def _members(raw: Any, order: list[int], blocks: tuple[CellBlock, ...]) -> _Members:
    """Groups by dimension, those in the file's sets and those marked in its data."""
    dim = blocks[0].cell_dim
    starts = dict(zip(order, np.cumsum([0, *(len(raw.cells[number].data) for number in order)]), strict=False))
    members = _Members({}, {}, {})
    groups: Groups = file_groups(raw)
    for name, numbers in file_nodes(raw).items():
        _merge(members.nodes, name, numbers)
    for name, parts in groups.items():
        for number, rows in parts.items():
            block = raw.cells[number]
            if rows.min() < 0 or rows.max() >= len(block.data):
                raise MeshError(f"its group '{name}' holds numbers of cells that do not exist.")
            data = np.asarray(block.data)[rows].astype(np.int64)
            if number in starts:
                _merge(members.cells, name, starts[number] + rows)
            elif block.dim == dim - 1 and block.type in FACET_VERTICES:
                width = FACET_VERTICES[block.type]
                _merge(members.facets.setdefault(name, {}), width, data[:, :width])
                if dim == 1:  # the end of a line is a node too
                    _merge(members.nodes, name, data.ravel())
            elif block.dim < dim - 1:
                _merge(members.nodes, name, data.ravel())
            else:
                raise MeshError(f"its group '{name}' holds facets '{block.type}', which are not supported.")
    for kind, tag, found in marked_tags(raw, order, blocks):
        if kind == "facets":
            _merge(members.facets.setdefault(tag, {}), found.shape[1], found)
        else:
            _merge(members.cells if kind == "cells" else members.nodes, tag, found)
    return members


def _merge(tags: dict[Any, np.ndarray], key: Any, members: np.ndarray) -> None:
    tags[key] = np.unique(np.concatenate([tags[key], members]), axis=0) if key in tags else members


def _turned(points: Float[np.ndarray, "n d"], blocks: tuple[CellBlock, ...], degree: int) -> tuple[CellBlock, ...]:
    """Cells that are mirrored turned round; those that are neither right nor mirrored are refused, with a place."""
    answer = []
    for block in blocks:
        cells = np.array(block.cells)
        sign = orientations(points, cells, block.cell_type, degree)
        bad = np.flatnonzero(sign == 0)
        if len(bad):
            place = ", ".join(f"{x:.6g}" for x in points[np.asarray(block.vertices)[bad[0]]].mean(axis=0))
            raise MeshError(
                f"{len(bad)} of {len(cells)} cells are inverted or degenerate (det J <= 0 somewhere within), the first "
                f"of them the {block.cell_type} number {bad[0]}, counted from 0, with its centre at ({place})."
            )
        turned = sign == -1
        cells[turned] = cells[turned][:, mirrored(block.cell_type, degree)]
        answer.append(CellBlock(block.cell_type, cells))
    return tuple(answer)


def _without_copies(blocks: tuple[CellBlock, ...], members: _Members) -> tuple[tuple[CellBlock, ...], _Members]:
    """One of each cell: gmsh's format 2 repeats a cell for every group it is in."""
    kept, numbers, count = [], [], 0
    for block in blocks:
        cells = np.asarray(block.cells)
        distinct, same = unique_rows(np.sort(np.asarray(block.vertices), axis=1))
        first = np.full(len(distinct), len(cells), dtype=np.int64)
        np.minimum.at(first, same, np.arange(len(cells)))
        chosen = np.sort(first)
        kept.append(CellBlock(block.cell_type, cells[chosen]))
        numbers.append(count + np.searchsorted(chosen, first[same]))
        count += len(chosen)
    number = np.concatenate(numbers)
    cells = {tag: np.unique(number[rows]) for tag, rows in members.cells.items()}
    return tuple(kept), members._replace(cells=cells)


def _check_conforming(blocks: tuple[CellBlock, ...]) -> None:
    """Refuse a quadrilateral that meets two triangles on its other side: the cells would not be joined there."""
    tables = facet_tables(blocks)
    if not {3, 4} <= set(tables):
        return
    free = {}
    for width in (3, 4):
        vertices, owners = tables[width]
        distinct, number = unique_rows(vertices)
        outer = np.bincount(number, minlength=len(distinct))[number] == 1
        free[width] = (vertices[outer], owners[outer])
    quadrilaterals, owners = free[4]
    halves = np.concatenate([np.delete(quadrilaterals, corner, axis=1) for corner in range(4)])
    _, number = unique_rows(np.concatenate([free[3][0], halves]))
    meets = np.isin(number[len(free[3][0]) :], number[: len(free[3][0])]).reshape(4, -1).any(axis=0)
    if meets.any():
        raise MeshError(
            f"{int(meets.sum())} quadrilateral faces, the first of cell {owners[meets][0, 0]}, meet two triangles: "
            "cells with four-sided faces join those with three-sided ones through prisms only."
        )


def _facet_tags(blocks: tuple[CellBlock, ...], members: _Members) -> dict[str, Int[np.ndarray, "_n 2"]]:
    """Facets given by their vertices as (cell, local facet), by name; all names in one search."""
    widths = {len(facet_vertices(b.cell_type, kind)[0]) for b in blocks for kind, _ in facet_groups(b.cell_type)}
    tags: dict[str, np.ndarray] = {}
    for name, by_width in members.facets.items():
        if not set(by_width) <= widths:
            types = " or ".join(block.cell_type for block in blocks)
            raise MeshError(f"the facets of its group '{name}' are not those of a {types}.")
    for width in sorted(widths):
        chosen = {name: by_width[width] for name, by_width in members.facets.items() if width in by_width}
        if not chosen:
            continue
        ends = np.cumsum([len(rows) for rows in chosen.values()])
        found = np.split(match_facets(blocks, np.concatenate(list(chosen.values()))), ends[:-1])
        for name, rows in zip(chosen, found, strict=True):
            lost = int((rows[:, 0] < 0).sum())
            if lost:
                raise MeshError(f"{lost} of {len(rows)} facets of its group '{name}' are not facets of any cell.")
            _merge(tags, name, np.unique(rows, axis=0))
    return tags


def _covered_facets(blocks: tuple[CellBlock, ...], degree: int, nodes: Int[np.ndarray, " n"]) -> Int[np.ndarray, "m 2"]:
    """The boundary facets (any ends of lines) on which all vertices are in a set, if they need all its vertices.

    Middle nodes count neither way, since some programs leave them out of their sets. A set of all points
    names no facets.
    """
    vertices = np.unique(np.concatenate([np.asarray(block.vertices).ravel() for block in blocks]))
    wanted = np.intersect1d(nodes, vertices)
    if len(wanted) in (0, len(vertices)):
        return np.zeros((0, 2), dtype=np.int64)
    if cell_dim(blocks[0].cell_type) == 1:
        return match_facets(blocks, wanted[:, None])
    inside = np.zeros(int(vertices.max()) + 1, dtype=bool)
    inside[wanted] = True
    rows, seen = [], []
    for corners, owners in facet_tables(blocks).values():
        chosen = inside[corners].all(axis=1)
        distinct, number = unique_rows(corners[chosen])
        outer = np.bincount(number, minlength=len(distinct))[number] == 1
        rows.append(owners[chosen][outer])
        seen.append(corners[chosen][outer].ravel())
    if not np.array_equal(np.unique(np.concatenate(seen)), wanted):
        return np.zeros((0, 2), dtype=np.int64)
    facets = np.concatenate(rows)
    return facets[np.lexsort(facets.T[::-1])]


def _drop_reserved(kind: str, tags: dict[str, np.ndarray], name: str, everything: np.ndarray) -> None:
    """A group with a reserved name is no tag when it is what the name means anyway."""
    if name in tags:
        members = tags.pop(name)
        if not np.array_equal(np.unique(members, axis=0), everything):
            raise MeshError(f"its {kind} group '{name}' is not what that reserved name means: rename the group.")
