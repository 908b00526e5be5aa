"""VTKHDF files: a mesh with fields at one or many times, in one file that ParaView opens."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import meshio
import numpy as np
from jaxtyping import Float

from gemel.meshes.errors import MeshError
from gemel.meshes.marks import marks
from gemel.meshes.mesh import Mesh
from gemel.meshes.orders import cell_of_code, file_cell_name, vtk_cell

_VERSION = (2, 0)
"""Of the format; 2.0 brought series in time, and ParaView reads it from 5.12 on."""

Group = Any
"""A group of h5py, or None; its stubs do not tell groups from datasets."""

Fields = Mapping[str, Any]
"""Arrays by name; anything that can be indexed along its first axis and has a shape."""


def write_vtkhdf(
    path: str | Path,
    mesh: Mesh,
    point_data: Fields | None = None,
    cell_data: Fields | None = None,
    times: Sequence[float] | np.ndarray | None = None,
) -> None:
    """Write a mesh with its tags and fields to a VTKHDF file (an unstructured grid), which `read_mesh` reads.

    The mesh is written once. Fields are written time by time, so that a lazily read array never lies in memory
    as a whole. Vectors and tensors of a 1-D or 2-D mesh are filled up with zeros to three components, as VTK
    has it. Cells of degree 3 become VTK's Lagrange cells. Tags are integer data named ``gemel:cells:<name>``
    and so on. The file is written beside its place and then moved, so that a failure leaves what was there.
    (VTK documentation, VTKHDF file format, version 2.)

    Args:
        path: a file with the extension .vtkhdf.
        mesh: the mesh.
        point_data: fields (n_points, ...) by name; (n_times, n_points, ...) with times.
        cell_data: fields (n_cells, ...) by name; (n_times, n_cells, ...) with times.
        times: increasing times, in seconds; None for fields at no particular time.

    Raises:
        MeshError: for another extension, a folder that does not exist, fields of the wrong shape or of complex
            numbers, and times that do not increase.
    """
    path = Path(path)
    if path.suffix.lower() != ".vtkhdf":
        raise MeshError(f"Cannot write '{path}': the extension must be .vtkhdf.")
    if not path.parent.is_dir():
        raise MeshError(f"Cannot write '{path}': the folder '{path.parent}' does not exist.")
    instants = None if times is None else _checked_times(times)
    fields = {"Point": (dict(point_data or {}), mesh.n_points), "Cell": (dict(cell_data or {}), mesh.n_cells)}
    for kind, (arrays, count) in fields.items():
        for name, values in arrays.items():
            _check_field(kind.lower(), name, values, count, instants)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".write-") as folder:
        with h5py.File(Path(folder) / path.name, "w") as file:
            root: Group = file.create_group("VTKHDF")
            root.attrs["Version"] = np.asarray(_VERSION, dtype=np.int64)
            root.attrs.create("Type", b"UnstructuredGrid", dtype=h5py.string_dtype("ascii", 16))
            _write_mesh(root, mesh)
            steps = None if instants is None else _write_steps(root, instants)
            _write_marks(root, steps, mesh)
            for kind, (arrays, count) in fields.items():
                for name, values in arrays.items():
                    _write_field(root, steps, kind, name, values, count, mesh.dim)
        os.replace(Path(folder) / path.name, path)


def _checked_times(times: Sequence[float] | np.ndarray) -> Float[np.ndarray, " n_times"]:
    instants = np.asarray(times, dtype=np.float64)
    if instants.ndim != 1 or len(instants) == 0 or not np.isfinite(instants).all() or (np.diff(instants) <= 0).any():
        raise MeshError("The times of a series must be one or more finite, increasing numbers.")
    return instants


def _check_field(kind: str, name: str, values: Any, count: int, instants: np.ndarray | None) -> None:
    lead = (count,) if instants is None else (len(instants), count)
    shape, dtype = tuple(np.shape(values)), np.dtype(values.dtype)
    if shape[: len(lead)] != lead:
        raise MeshError(f"The {kind} data '{name}' have shape {shape}, but must begin with {lead}.")
    if dtype.kind not in "fiub":
        raise MeshError(f"The {kind} data '{name}' have the type {dtype}, but must be real numbers.")
    if name.startswith("gemel:") or "/" in name or not name:
        raise MeshError(f"The {kind} data cannot be called '{name}': the prefix 'gemel:' and '/' are kept.")


def _write_mesh(root: Group, mesh: Mesh) -> None:
    """Points with three coordinates, and the nodes of all cells one after the other."""
    points = np.zeros((mesh.n_points, 3))
    points[:, : mesh.dim] = np.asarray(mesh.points)
    cells, codes, widths = [], [], []
    for block in mesh.blocks:
        code, order = vtk_cell(block.cell_type, mesh.degree)
        cells.append(np.asarray(block.cells)[:, order].ravel())
        codes.append(np.full(block.n_cells, code, dtype=np.uint8))
        widths.append(np.full(block.n_cells, len(order)))
    connectivity = np.concatenate(cells).astype(np.int64)
    root["Points"] = points
    root["Connectivity"] = connectivity
    root["Offsets"] = np.concatenate([[0], np.cumsum(np.concatenate(widths))]).astype(np.int64)
    root["Types"] = np.concatenate(codes)
    for name, count in (("Points", mesh.n_points), ("Cells", mesh.n_cells), ("ConnectivityIds", len(connectivity))):
        root[f"NumberOf{name}"] = np.asarray([count], dtype=np.int64)
    for name in ("PointData", "CellData", "FieldData"):
        root.create_group(name)


def _write_steps(root: Group, instants: np.ndarray) -> Group:
    """The times; at all of them the one mesh is read, from its beginning."""
    steps = root.create_group("Steps")
    n = len(instants)
    steps.attrs["NSteps"] = np.int64(n)
    steps["Values"] = instants
    steps["NumberOfParts"] = np.ones(n, dtype=np.int64)
    steps["PartOffsets"] = steps["PointOffsets"] = np.zeros(n, dtype=np.int64)
    steps["CellOffsets"] = steps["ConnectivityIdOffsets"] = np.zeros((n, 1), dtype=np.int64)
    for name in ("PointDataOffsets", "CellDataOffsets", "FieldDataOffsets"):
        steps.create_group(name)
    return steps


def _write_marks(root: Group, steps: Group, mesh: Mesh) -> None:
    """Tags as integers, the same at all times."""
    for kind, arrays in zip(("Point", "Cell"), marks(mesh), strict=True):
        for name, values in arrays.items():
            root[f"{kind}Data/{name}"] = values
            if steps is not None:
                steps[f"{kind}DataOffsets/{name}"] = np.zeros(steps["Values"].shape[0], dtype=np.int64)


def _write_field(root: Group, steps: Group, kind: str, name: str, values: Any, count: int, dim: int) -> None:
    """One field, its times one after the other."""
    n = 1 if steps is None else steps["Values"].shape[0]
    rest = tuple(np.shape(values))[1 if steps is None else 2 :]
    filled = tuple(3 for _ in rest) if rest and all(size == dim for size in rest) and dim < 3 else rest
    dtype = np.dtype(values.dtype)
    dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype
    width = int(np.prod(filled))
    shape = (n * count, width) if rest else (n * count,)
    data = root[f"{kind}Data"].create_dataset(name, shape=shape, dtype=dtype)
    for step in range(n):
        rows = np.asarray(values if steps is None else values[step])
        if filled != rest:
            rows = np.pad(rows, [(0, 0), *((0, 3 - size) for size in rest)])
        data[step * count : (step + 1) * count] = rows.reshape(count, width) if rest else rows
    if steps is not None:
        steps[f"{kind}DataOffsets/{name}"] = np.arange(n, dtype=np.int64) * count


def read_vtkhdf(path: Path) -> Any:
    """The mesh of a VTKHDF file, and its data at the first time, as meshio would give them.

    Raises:
        MeshError: a clause that says what the file lacks, or that it holds cells that are not supported.
    """
    with h5py.File(path, "r") as opened:
        file: Group = opened
        root: Group = file.get("VTKHDF", {})
        if getattr(root, "attrs", {}).get("Type") not in (b"UnstructuredGrid", "UnstructuredGrid"):
            raise MeshError("it is no VTKHDF file of an unstructured grid.")
        if np.size(root["NumberOfPoints"]) != 1:
            raise MeshError("it holds several pieces or a mesh that changes in time, but only one mesh can be read.")
        points, codes = np.asarray(root["Points"]), np.asarray(root["Types"])
        ends, nodes = np.asarray(root["Offsets"]), np.asarray(root["Connectivity"])
        of_points, of_cells = (
            {name: np.asarray(values) for name, values in root.get(group, {}).items()}
            for group in ("PointData", "CellData")
        )
    changes = np.flatnonzero(np.diff(codes)) + 1
    blocks: list[Any] = []
    for first, last in zip([0, *changes], [*changes, len(codes)], strict=True):
        cell_type, degree = cell_of_code(int(codes[first]))
        rows = nodes[ends[first] : ends[last]].reshape(last - first, -1)
        blocks.append(meshio.CellBlock(file_cell_name(cell_type, degree), rows))
    point_data: dict[str, Any] = {name: values[: len(points)] for name, values in of_points.items()}
    cell_data: dict[str, Any] = {name: np.split(values[: len(codes)], changes) for name, values in of_cells.items()}
    return meshio.Mesh(points, blocks, point_data, cell_data)
