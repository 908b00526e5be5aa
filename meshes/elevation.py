"""Meshes of higher geometric degree with the same cells."""

import numpy as np

from gemel.meshes.blocks import CellBlock
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import coordinate_element
from gemel.meshes.lattices import Lattice, number_lattices
from gemel.meshes.mesh import Mesh, on_host


def elevate(mesh: Mesh, degree: int) -> Mesh:
    """The same cells with further nodes on edges, faces and inside, where the straight cells' map puts them.

    Points keep their numbers, and tags their members. The new nodes may then be moved onto a curved boundary
    with ``with_points``.

    Args:
        mesh: a mesh of degree 1, outside of ``jit``.
        degree: 1, 2 or 3.

    Raises:
        MeshError: for a mesh of another degree, another degree to reach, and inside of ``jit``.
    """
    on_host(mesh)
    if mesh.degree != 1:
        raise MeshError(f"Only a mesh of degree 1 can be elevated, not one of degree {mesh.degree}.")
    if degree == 1:
        return mesh
    points = [np.asarray(coordinate_element(block.cell_type, degree).points) for block in mesh.blocks]
    lattices = [Lattice(x, np.arange(np.shape(b.cells)[1])) for x, b in zip(points, mesh.blocks, strict=True)]
    numbers, prolongation = number_lattices(mesh, lattices, degree)
    blocks = tuple(
        CellBlock(block.cell_type, rows.astype(np.int32)) for block, rows in zip(mesh.blocks, numbers, strict=True)
    )
    new = prolongation @ np.asarray(mesh.points, dtype=np.float64)
    return Mesh(new, blocks, degree, mesh.cell_tags, mesh.facet_tags, mesh.node_tags)
