"""Checks of a mesh on the host; every failure is one sentence."""

import basix
import numpy as np
from jaxtyping import Float, Int

from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import (
    basix_cell,
    cell_dim,
    determinants,
    jacobians,
    quadrature,
    tabulate,
)

_ROUNDING = 1e-12
"""A cell is degenerate when its Jacobian's columns span less than this fraction of their box."""

_CHUNK = 50_000
"""Cells checked at a time, to bound the memory of the Jacobians."""


def check_connectivity(n_points: int, cells: Int[np.ndarray, "n_cells n_nodes"], n_nodes: int, name: str) -> None:
    """Refuse an empty mesh, cells of the wrong width, node numbers out of range, and points in no cell."""
    if len(cells) == 0:
        raise MeshError("The mesh holds no cells.")
    if cells.shape[1] != n_nodes:
        raise MeshError(f"A {name} has {n_nodes} nodes, but the cells have {cells.shape[1]}.")
    if cells.min() < 0 or cells.max() >= n_points:
        wrong = np.flatnonzero(((cells < 0) | (cells >= n_points)).any(axis=1))
        raise MeshError(
            f"{len(wrong)} cells refer to points outside 0 to {n_points - 1}, "
            f"the first of them number {wrong[0]} with nodes {cells[wrong[0]].tolist()}."
        )
    unused = np.flatnonzero(np.bincount(cells.ravel(), minlength=n_points) == 0)
    if len(unused):
        raise MeshError(f"{len(unused)} points belong to no cell, the first of them number {unused[0]}.")


def check_tags(name: str, kind: str, numbers: np.ndarray, width: int | None, bounds: tuple[int, ...]) -> None:
    """Refuse a tag whose array has the wrong shape or numbers out of range."""
    shape = "(n,)" if width is None else f"(n, {width})"
    fits = numbers.ndim == (1 if width is None else 2) and (width is None or numbers.shape[1] == width)
    if not fits or not np.issubdtype(numbers.dtype, np.integer):
        raise MeshError(
            f"The {kind} tag '{name}' must be an integer array of shape {shape}, "
            f"not {numbers.dtype} of shape {numbers.shape}."
        )
    if numbers.size and ((numbers < 0) | (numbers >= np.asarray(bounds))).any():
        raise MeshError(
            f"The {kind} tag '{name}' holds numbers outside {' and '.join(f'0 to {b - 1}' for b in bounds)}."
        )


def orientations(
    points: Float[np.ndarray, "n_points dim"],
    cells: Int[np.ndarray, "n_cells n_nodes"],
    cell_type: str,
    degree: int,
) -> Int[np.ndarray, " n_cells"]:
    r"""The sign of :math:`\det J` in every cell: 1, -1, or 0 where it vanishes or changes within the cell.

    It is looked at in the vertices and in the quadrature points that integrate :math:`\det J` exactly. A
    determinant counts as zero below rounding, relative to the product of the lengths of the Jacobian's
    columns, so that thin but valid cells pass at any scale.
    """
    dim = cell_dim(cell_type)
    samples = np.concatenate([basix_vertices(cell_type), quadrature(cell_type, dim * degree)[0]])
    _, gradients = tabulate(cell_type, degree, samples)
    sign = np.zeros(len(cells), dtype=np.int64)
    for start in range(0, len(cells), _CHUNK):
        part = slice(start, start + _CHUNK)
        jacobian = jacobians(points, cells[part], gradients)
        floor = _ROUNDING * np.prod(np.linalg.norm(jacobian, axis=-2), axis=-1)
        determinant = determinants(jacobian)
        sign[part] = (determinant > floor).all(axis=1).astype(int) - (determinant < -floor).all(axis=1)
    return sign


def basix_vertices(cell_type: str) -> Float[np.ndarray, "n_vertices dim"]:
    """Vertices of the reference cell."""
    return np.asarray(basix.geometry(basix_cell(cell_type)))


def check_geometry(
    points: Float[np.ndarray, "n_points dim"],
    cells: Int[np.ndarray, "n_cells n_nodes"],
    cell_type: str,
    degree: int,
) -> None:
    """Refuse coordinates that are not finite and cells that are inverted or degenerate."""
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise MeshError(f"{len(bad)} points are not finite, the first of them number {bad[0]}.")
    bad = np.flatnonzero(orientations(points, cells, cell_type, degree) != 1)
    if len(bad):
        raise MeshError(
            f"{len(bad)} of {len(cells)} cells are inverted or degenerate (det J <= 0), "
            f"the first of them number {bad[0]} with nodes {cells[bad[0]].tolist()}."
        )
