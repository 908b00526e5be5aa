"""Points on a lattice in every cell of a mesh, numbered once where cells meet."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from gemel.meshes.geometry import tabulate
from gemel.meshes.mesh import Mesh
from gemel.meshes.topology import unique_rows


class Lattice(NamedTuple):
    """Reference coordinates (n_lattice, dim), and the place among them of each node of the cell, (n_nodes,)."""

    points: Float[np.ndarray, "n_lattice dim"]
    kept: Int[np.ndarray, " n_nodes"]


def number_lattices(
    mesh: Mesh, lattices: Sequence[Lattice], steps: int
) -> tuple[list[Int[np.ndarray, "_n_cells _n_lattice"]], sp.csr_matrix]:
    """Numbers of the points of a lattice in every cell, shared where cells meet, and the prolongation to them.

    A new point is known by the vertices of the entity it lies on and their weights in it, which are the same
    from all cells around. Points of the mesh keep their numbers; new ones follow.

    Args:
        mesh: the mesh, on the host.
        lattices: one for each block, the same on shared facets.
        steps: lattice points lie at multiples of ``1 / steps``.

    Returns:
        For every block the numbers (n_cells, n_lattice), and the matrix (n_lattice_points, n_points) that
        evaluates functions in the mesh's isoparametric basis at the points.
    """
    scale = steps**mesh.cell_dim
    pairs = list(zip(mesh.blocks, lattices, strict=True))
    numbers = [np.empty((block.n_cells, len(table.points)), dtype=np.int64) for block, table in pairs]
    wanted: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
    for place, (block, table) in enumerate(pairs):
        numbers[place][:, table.kept] = np.asarray(block.cells)
        weights = np.rint(scale * tabulate(block.cell_type, 1, table.points)[0]).astype(np.int64)
        for column in np.setdiff1d(np.arange(len(table.points)), table.kept):
            local = np.flatnonzero(weights[column])
            keys = np.asarray(block.cells)[:, local].astype(np.int64) * (scale + 1) + weights[column, local]
            wanted.setdefault(len(local), []).append((place, np.array(column), np.sort(keys, axis=1)))
    count = mesh.n_points
    for _, group in sorted(wanted.items()):
        distinct, inverse = unique_rows(np.concatenate([keys for _, _, keys in group]))
        ends = np.cumsum([len(keys) for _, _, keys in group])[:-1]
        for (place, column, _), part in zip(group, np.split(inverse, ends), strict=True):
            numbers[place][:, column] = count + part
        count += len(distinct)
    return numbers, _prolongation(mesh, lattices, numbers, count)


def _prolongation(
    mesh: Mesh, lattices: Sequence[Lattice], numbers: list[Int[np.ndarray, "_n_cells _n_lattice"]], n_fine: int
) -> sp.csr_matrix:
    """The identity on coarse points, then rows of the coarse basis at the new ones, from any cell that holds them."""
    cell, place = np.zeros((2, n_fine), dtype=np.int64)
    owner = np.full(n_fine, -1)
    for number, table in enumerate(numbers):
        owner[table] = number
        cell[table] = np.arange(len(table))[:, None]
        place[table] = np.arange(table.shape[1])
    owner[: mesh.n_points] = -1
    same = np.arange(mesh.n_points)
    entries = [(np.ones(mesh.n_points), same, same)]
    for number, (block, table) in enumerate(zip(mesh.blocks, lattices, strict=True)):
        rows = np.flatnonzero(owner == number)
        values = tabulate(block.cell_type, mesh.degree, table.points)[0][place[rows]]
        columns = np.asarray(block.cells)[cell[rows]]
        used = np.abs(values) > 1e-14
        entries.append((values[used], np.repeat(rows, used.sum(axis=1)), columns[used]))
    values, rows, columns = (np.concatenate(arrays) for arrays in zip(*entries, strict=True))
    return sp.csr_matrix((values, (rows, columns)), shape=(n_fine, mesh.n_points))
