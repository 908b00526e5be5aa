"""Writing meshes with their tags to files; a file appears complete or not at all."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import meshio
import numpy as np

from gemel.meshes.errors import MeshError
from gemel.meshes.files import quiet
from gemel.meshes.geometry import facet_groups
from gemel.meshes.marks import marks
from gemel.meshes.mesh import Mesh
from gemel.meshes.orders import FILE_CELLS, FILE_ORDERS, file_cell_name
from gemel.meshes.topology import facet_vertices

_FORMATS = {".msh": "gmsh22", ".vtu": "vtu", ".vtk": "vtk", ".xdmf": "xdmf"}
_FACETS = {1: ("vertex", [0]), 2: ("line", [0, 1]), 3: ("triangle", [0, 1, 2]), 4: ("quad", [0, 1, 3, 2])}
"""meshio's name and node order of a facet by its number of vertices, from basix's order of the facet."""

Data = Mapping[str, np.ndarray]


def write_mesh(path: str | Path, mesh: Mesh, point_data: Data | None = None, cell_data: Data | None = None) -> None:
    """Write a mesh with its tags, and data on its points and cells, to a file that `read_mesh` reads back.

    Tags are physical groups in a .msh file (version 2.2, as gmsh itself reads it), where facets appear by
    their vertices, and integer data named ``gemel:cells:<name>`` and so on in the other formats. The file is
    written beside its place and then moved, so that a failure leaves what was there.

    Args:
        path: a file with the extension .msh, .vtu, .vtk or .xdmf.
        mesh: the mesh.
        point_data: arrays (n_points, ...) by name.
        cell_data: arrays (n_cells, ...) by name.

    Raises:
        MeshError: for another extension, a folder that does not exist, data of the wrong length, cells of
            degree 3 in .msh and .xdmf files, and for a .msh file cell tags that overlap, since its cells belong
            to one group each, names used twice, and cell data, which meshio does not read back.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise MeshError(f"Cannot write '{path}': the extension must be one of {', '.join(_FORMATS)}.")
    if mesh.degree > 2 and path.suffix.lower() in (".msh", ".xdmf"):
        raise MeshError(f"Cannot write '{path}': cells of degree {mesh.degree} need a .vtu, .vtk or .vtkhdf file.")
    if not path.parent.is_dir():
        raise MeshError(f"Cannot write '{path}': the folder '{path.parent}' does not exist.")
    points_by_name = _checked("point", point_data or {}, mesh.n_points)
    cells_by_name = _checked("cell", cell_data or {}, mesh.n_cells)
    points = np.asarray(mesh.points, dtype=np.float64)
    points = np.concatenate([points, np.zeros((mesh.n_points, 3 - mesh.dim))], axis=1)
    suffix = path.suffix.lower()
    if suffix == ".msh":
        _write(path, _with_groups(mesh, points, points_by_name, cells_by_name))
    else:
        _write(path, _with_marks(mesh, suffix, points, points_by_name, cells_by_name))


def _checked(kind: str, data: Data, count: int) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(values) for name, values in data.items()}
    for name, values in arrays.items():
        if values.shape[:1] != (count,):
            raise MeshError(f"The {kind} data '{name}' have shape {values.shape}, but must have {count} rows.")
        if name.startswith("gemel:"):
            raise MeshError(f"The {kind} data '{name}' take the prefix 'gemel:', which is kept for tags.")
    return arrays


def _file_cells(mesh: Mesh, suffix: str) -> list[Any]:
    """Names and nodes of the cells in the order of a format."""
    cells = []
    for block in mesh.blocks:
        name = file_cell_name(block.cell_type, mesh.degree)
        rows = np.asarray(block.cells)[:, np.argsort(FILE_CELLS[name].order)]
        cells.append((name, rows[:, list(FILE_ORDERS.get((suffix, name), range(rows.shape[1])))]))
    return cells


def _with_marks(mesh: Mesh, suffix: str, points: np.ndarray, point_data: dict, cell_data: dict) -> meshio.Mesh:
    """Tags as integer data."""
    of_points, of_cells = marks(mesh)
    by_block: dict[str, Any] = {
        name: np.split(values, mesh.offsets[1:-1]) for name, values in (cell_data | of_cells).items()
    }
    by_point: dict[str, Any] = point_data | of_points
    return meshio.Mesh(points, _file_cells(mesh, suffix), by_point, by_block)


def _with_groups(mesh: Mesh, points: np.ndarray, point_data: dict, cell_data: dict) -> meshio.Mesh:
    """Tags as gmsh's physical groups, with a block of vertices or facets for each node or facet tag."""
    if cell_data:
        raise MeshError(f"A .msh file cannot hold the cell data '{', '.join(cell_data)}': write .vtu, .vtk or .xdmf.")
    blocks = _file_cells(mesh, ".msh")
    group = np.zeros(mesh.n_cells, dtype=np.int32)
    names: dict[str, np.ndarray] = {}
    for number, (tag, cells) in enumerate(mesh.cell_tags.items(), start=1):
        if group[np.asarray(cells)].any():
            raise MeshError(
                f"The cell tag '{tag}' overlaps another, which a .msh file cannot hold: write .vtu, .vtk or .xdmf."
            )
        group[np.asarray(cells)] = number
        names[tag] = np.array([number, mesh.cell_dim])
    groups = np.split(group, mesh.offsets[1:-1])
    facets = [("facet", mesh.cell_dim - 1, tag, _facet_cells(mesh, rows)) for tag, rows in mesh.facet_tags.items()]
    nodes = [("node", 0, tag, [("vertex", np.asarray(rows)[:, None])]) for tag, rows in mesh.node_tags.items()]
    known = _same_groups(facets, nodes) if mesh.cell_dim == 1 else set()
    for _, dim, tag, parts in [*facets, *[node for node in nodes if node[2] not in known]]:
        if tag in names:
            raise MeshError(f"The tag name '{tag}' is used twice, which a .msh file cannot hold: rename one.")
        names[tag] = np.array([len(names) + 1, dim])
        for part in parts:
            blocks.append(part)
            groups.append(np.full(len(part[1]), len(names), dtype=np.int32))
    data: dict[str, Any] = {"gmsh:physical": groups, "gmsh:geometrical": groups}
    return meshio.Mesh(points, blocks, point_data, data, field_data=names)


def _facet_cells(mesh: Mesh, facets: np.ndarray) -> list[Any]:
    """Facets by their vertices, as cells of meshio, one block a type."""
    rows, parts = np.asarray(facets), []
    for part in mesh.facet_parts(rows):
        block, mine = mesh.blocks[part.block], rows[part.rows]
        numbers = dict(facet_groups(block.cell_type))[part.facet_type]
        local = facet_vertices(block.cell_type, part.facet_type)[np.searchsorted(numbers, mine[:, 1])]
        kind, order = _FACETS[local.shape[1]]
        cells = np.asarray(block.cells)[mine[:, 0] - mesh.offsets[part.block]]
        parts.append((kind, np.take_along_axis(cells, local, axis=1)[:, order]))
    return parts


def _same_groups(facets: list[Any], nodes: list[Any]) -> set[str]:
    """Names of tags of a line's nodes that are tags of the ends there too, which are one group in a file."""
    ends = {tag: np.unique(np.concatenate([rows for _, rows in parts])) for _, _, tag, parts in facets if parts}
    return {tag for _, _, tag, parts in nodes if tag in ends and np.array_equal(np.unique(parts[0][1]), ends[tag])}


def _write(path: Path, content: meshio.Mesh) -> None:
    """Write in a folder beside the target, then move every file (.xdmf comes with .h5) into place."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".write-") as folder:
        with quiet():
            try:
                meshio.write(Path(folder) / path.name, content, file_format=_FORMATS[path.suffix.lower()])
            except (Exception, SystemExit) as error:
                raise MeshError(f"Cannot write '{path}': {type(error).__name__}: {str(error).rstrip('.')}.") from None
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == path.name):
            os.replace(file, path.parent / file.name)
