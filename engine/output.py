"""Fields of a space in files that ParaView opens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gemel.engine.spaces import FunctionSpace, MixedSpace, Space
from gemel.meshes import Mesh, MeshError, coordinate_element, write_mesh, write_vtkhdf

_HIGHEST = 3
"""The degree of the cells that VTK's files are written with, at most."""


def write_fields(
    path: str | Path,
    space: Space,
    values: Any,
    times: Any = None,
    name: str = "u",
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write a field, at one or many times, to a file that ParaView opens.

    The field is evaluated at the points of the mesh, raised to the degree of its element (at most 3) where its cells
    are straight. Constants in cells are cell data; other discontinuous fields take the value of the first cell at
    each point. The numbers of a `RealSpace` have no place and are left out.

    Args:
        path: ".vtkhdf" for one or many times in one file; ".vtu", ".vtk" or ".xdmf" for one time.
        space: where the field lives.
        values: nodal values ``(n_nodes, *shape)``, with a leading axis over times where there are times; on a mixed
            space a dictionary of them.
        times: in s, increasing.
        name: what the one field of a function space is called.
        more: further arrays at the nodes of a function space (a stress, an error), by name.

    Raises:
        ValueError: for another extension, values of the wrong shape, or times in a file that holds one.
    """
    path = Path(path)
    parts = _parts(space, values, name, more or {})
    degree = max((part.degree for _, part, _ in parts), default=1)
    mesh = space.mesh
    if mesh.degree == 1 and degree > 1:
        mesh = mesh.elevated(min(degree, _HIGHEST))
    at_points: dict[str, np.ndarray] = {}
    in_cells: dict[str, np.ndarray] = {}
    for label, part, field in parts:
        array = np.asarray(field)
        leading = 0 if times is None else 1
        if array.ndim <= leading or array.shape[leading] != part.n_nodes:
            wanted = f"{'' if times is None else '(n_times, '}{part.n_nodes} nodes{'' if times is None else ')'}"
            raise ValueError(f"The field '{label}' has shape {array.shape}, but {wanted} are needed first.")
        if part.degree == 0:
            in_cells[label] = array
            continue
        nodes, weights = _evaluation(part, mesh)
        gathered = np.take(array, nodes, axis=leading)
        shape = weights.shape + (1,) * (array.ndim - leading - 1)
        at_points[label] = np.sum(gathered * weights.reshape(shape), axis=leading + 1)
    if path.suffix.lower() == ".vtkhdf":
        instants = None if times is None else np.asarray(times)
        write_vtkhdf(path, mesh, at_points, in_cells, instants)
    elif times is not None:
        raise ValueError(f"Cannot write '{path}': several times go into a file with the extension .vtkhdf.")
    else:
        write_mesh(path, mesh, at_points, in_cells)


def _parts(space: Space, values: Any, name: str, more: Mapping[str, Any]) -> list[tuple[str, FunctionSpace, Any]]:
    """Name, space and values of all fields that have places."""
    if isinstance(space, MixedSpace):
        return [(label, part, values[label]) for label, part, _ in space.fields if isinstance(part, FunctionSpace)]
    return [(name, space, values), *((label, space, field) for label, field in more.items())]


def _evaluation(space: FunctionSpace, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights ``(n_points, n)`` that give a function at the points of a mesh with the same cells."""
    if mesh.n_cells != space.mesh.n_cells:
        raise MeshError("A field is written on the cells of its own mesh.")
    width = max(element.n_nodes for element in space.elements)
    nodes = np.zeros((mesh.n_points, width), dtype=np.int64)
    weights = np.zeros((mesh.n_points, width))
    for block, element, table in zip(mesh.blocks, space.elements, space.cell_nodes, strict=True):
        samples = np.asarray(coordinate_element(block.cell_type, mesh.degree).points)
        values, _ = element.tabulate(samples)
        cells, rows = np.asarray(block.cells), np.asarray(table)
        for local in range(cells.shape[1] - 1, -1, -1):
            nodes[cells[::-1, local], : element.n_nodes] = rows[::-1]
            weights[cells[::-1, local], : element.n_nodes] = values[local]
    return nodes, weights
