"""Mesh files of any format that meshio reads, with their named groups as tags."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from jaxtyping import Float, Int

from gemel.meshes.blocks import CellBlock
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import CellType
from gemel.meshes.groups import Groups, file_groups
from gemel.meshes.marks import marked_tags
from gemel.meshes.mesh import ALL, BOUNDARY, Mesh
from gemel.meshes.orders import FACET_VERTICES, FILE_CELLS, mirrored
from gemel.meshes.topology import boundary_facets, match_facets
from gemel.meshes.validation import orientations

_FLAT = 1e-12
"""A surface is plane when its third coordinate varies by less than this fraction of its size."""


def read_mesh(path: str | Path) -> Mesh:
    """Read a mesh of triangles, quadrilaterals, tetrahedra or hexahedra, straight or quadratic, from a file.

    Groups become tags under their names: gmsh's physical groups, sets of Abaqus, groups of MED, boundaries of
    scikit-fem, and what `write_mesh` wrote. A group with a number only is called ``"<dimension>:<number>"``.
    Groups of cells become cell tags, groups one dimension lower facet tags, smaller ones node tags. Cells of
    lower dimension and points of no cell are dropped. Triangles and quadrilaterals in a plane of constant z
    make a 2-D mesh. Cells that are merely mirrored (det J < 0 throughout) are turned round.

    Args:
        path: a file with an extension that meshio knows, such as .msh, .vtu, .vtk, .xdmf, .inp, .med or .e.

    Raises:
        MeshError: when the file is missing, empty, damaged or of an unknown format; when it holds a surface
            in 3-D space, cells of several types, unsupported cells, or cells that are inverted; when a group
            lies on no facet of the cells, or takes a reserved name for something else.
    """
    path = Path(path)
    raw = _load(path)
    try:
        return _converted(raw)
    except MeshError as error:
        raise MeshError(f"Cannot use the mesh file '{path}': {error}") from None


def _load(path: Path) -> Any:
    """Read with meshio, which prints, warns and exits where it fails."""
    if not path.is_file():
        raise MeshError(f"The mesh file '{path}' does not exist or is not a file.")
    known = meshio.extension_to_filetypes
    names = path.name.lower()
    if not any(names.endswith(extension) for extension in known):
        raise MeshError(
            f"The mesh file '{path}' has an unknown extension '{path.suffix}': known are {', '.join(sorted(known))}."
        )
    if path.stat().st_size == 0:
        raise MeshError(f"The mesh file '{path}' is empty.")
    with quiet():
        try:
            return meshio.read(path)
        except (Exception, SystemExit) as error:
            reason = " ".join(str(error).split())[:200].rstrip(".")
            detail = f" ({type(error).__name__}: {reason})" if reason and not isinstance(error, SystemExit) else ""
            raise MeshError(
                f"The mesh file '{path}' cannot be read: it is damaged or not what its extension says{detail}."
            ) from None


@contextlib.contextmanager
def quiet():
    """Keep meshio's prints off the console; text that numpy cannot parse to its end is an error."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="string or file could not be read to its end")
        yield


def _converted(raw: Any) -> Mesh:
    points = np.asarray(raw.points)
    if points.ndim != 2 or points.shape[1] not in (2, 3) or points.dtype.kind not in "fiu" or len(points) == 0:
        raise MeshError("it holds no points with two or three coordinates.")
    points = points.astype(np.float64)
    name, blocks = _volume_blocks(raw)
    cell_type, degree, order = FILE_CELLS[name]
    dim = raw.cells[blocks[0]].dim
    cells = np.concatenate([np.asarray(raw.cells[block].data).astype(np.int64) for block in blocks])
    if cells.ndim != 2 or cells.shape[1] != len(order):
        raise MeshError(f"its cells '{name}' do not have {len(order)} nodes each.")
    if cells.min() < 0 or cells.max() >= len(points):
        raise MeshError(f"its cells refer to points outside 0 to {len(points) - 1}.")
    if not np.isfinite(points[np.unique(cells)]).all():
        raise MeshError("it holds coordinates that are not finite.")
    cells = cells[:, order]
    points = _in_plane(points, cells) if dim == 2 else points
    cell_tags, facets, nodes = _tag_members(raw, file_groups(raw), blocks, dim)
    for kind, tag, members in marked_tags(raw, blocks, cells, cell_type):
        _merge({"cells": cell_tags, "facets": facets, "nodes": nodes}[kind], tag, members)
    flipped = orientations(points, cells, cell_type, degree) == -1
    cells[flipped] = cells[flipped][:, mirrored(cell_type, degree)]
    facet_tags = _matched(cell_type, cells, facets)
    used, compact = np.unique(cells, return_inverse=True)
    node_tags = {tag: np.searchsorted(used, np.intersect1d(numbers, used)) for tag, numbers in nodes.items()}
    cells = compact.reshape(cells.shape)
    _drop_reserved("cell", cell_tags, ALL, np.arange(len(cells)))
    if BOUNDARY in facet_tags:
        _drop_reserved("facet", facet_tags, BOUNDARY, boundary_facets([CellBlock(cell_type, cells)]))
    _drop_reserved("node", node_tags, ALL, np.arange(len(used)))
    return Mesh.of(
        points=points[used],
        cells=cells.astype(np.int32),
        cell_type=cell_type,
        degree=degree,
        cell_tags=cell_tags,
        facet_tags=facet_tags,
        node_tags=node_tags,
    )


def _volume_blocks(raw: Any) -> tuple[str, list[int]]:
    """The one cell type of highest dimension and its blocks, or the sentence why there is none."""
    filled = [number for number, block in enumerate(raw.cells) if len(block.data)]
    dim = max((raw.cells[number].dim for number in filled), default=0)
    blocks = [number for number in filled if raw.cells[number].dim == dim]
    names = sorted({raw.cells[number].type for number in blocks})
    if dim < 2:
        raise MeshError("it holds no cells of dimension 2 or 3.")
    unsupported = [name for name in names if name not in FILE_CELLS]
    if unsupported:
        raise MeshError(
            f"its cells '{', '.join(unsupported)}' are not supported: supported are {', '.join(FILE_CELLS)}."
        )
    if len(names) > 1:
        raise MeshError(f"it mixes the cell types {', '.join(names)}, but a mesh has one cell type.")
    return names[0], blocks


def _in_plane(points: Float[np.ndarray, "n d"], cells: Int[np.ndarray, "c k"]) -> Float[np.ndarray, "n 2"]:
    extent = np.ptp(points[np.unique(cells)], axis=0)
    if points.shape[1] == 3 and extent[2] > _FLAT * extent.max():
        raise MeshError(
            "it holds only a surface in 3-D space, where a volume mesh of tetrahedra or hexahedra is needed: "
            "fill the surface with cells in a mesh generator such as gmsh."
        )
    return points[:, :2]


def _tag_members(
    raw: Any, groups: Groups, blocks: list[int], dim: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Groups by dimension: cell numbers, vertices of facets, and nodes, by name."""
    starts = dict(zip(blocks, np.cumsum([0, *(len(raw.cells[block].data) for block in blocks)]), strict=False))
    cells: dict[str, np.ndarray] = {}
    facets: dict[str, np.ndarray] = {}
    nodes = {str(name): np.asarray(numbers, dtype=np.int64) for name, numbers in raw.point_sets.items()}
    for name, members in groups.items():
        for number, rows in members.items():
            block = raw.cells[number]
            if rows.min() < 0 or rows.max() >= len(block.data):
                raise MeshError(f"its group '{name}' holds numbers of cells that do not exist.")
            data = np.asarray(block.data)[rows].astype(np.int64)
            if number in starts:
                _merge(cells, name, starts[number] + rows)
            elif block.dim == dim - 1 and block.type in FACET_VERTICES:
                _merge(facets, name, data[:, : FACET_VERTICES[block.type]])
            elif block.dim < dim - 1:
                _merge(nodes, name, data.ravel())
            else:
                raise MeshError(f"its group '{name}' holds facets '{block.type}', which are not supported.")
    return cells, facets, nodes


def _merge(tags: dict[str, np.ndarray], name: str, members: np.ndarray) -> None:
    if name in tags and tags[name].shape[1:] != members.shape[1:]:
        raise MeshError(f"its group '{name}' mixes facets of several types.")
    tags[name] = np.concatenate([tags[name], members]) if name in tags else members


def _matched(
    cell_type: CellType, cells: Int[np.ndarray, "c k"], facets: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Facets given by their vertices as (cell, local facet), by name; all names in one search."""
    if not facets:
        return {}
    n_vertices = 2 if cell_type in ("triangle", "quadrilateral") else 3 if cell_type == "tetrahedron" else 4
    for name, rows in facets.items():
        if rows.shape[1] != n_vertices:
            raise MeshError(f"the facets of its group '{name}' are not those of a {cell_type}.")
    ends = np.cumsum([len(rows) for rows in facets.values()])
    found = np.split(match_facets([CellBlock(cell_type, cells)], np.concatenate(list(facets.values()))), ends[:-1])
    for name, rows in zip(facets, found, strict=True):
        lost = int((rows[:, 0] < 0).sum())
        if lost:
            raise MeshError(f"{lost} of {len(rows)} facets of its group '{name}' are not facets of any cell.")
    return {name: np.unique(rows, axis=0) for name, rows in zip(facets, found, strict=True)}


def _drop_reserved(kind: str, tags: dict[str, np.ndarray], name: str, everything: np.ndarray) -> None:
    """A group with a reserved name is no tag when it is what the name means anyway."""
    if name in tags:
        members = tags.pop(name)
        if not np.array_equal(np.unique(members, axis=0), everything):
            raise MeshError(f"its {kind} group '{name}' is not what that reserved name means: rename the group.")
