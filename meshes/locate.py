"""Which cell holds a physical point, and where in its reference cell: the inverse isoparametric map."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import cell_dim, tabulate

_NEAREST = 8
"""Cells with the nearest centroids that are tried before all boxes are searched."""

_NEWTON_STEPS = 30
_BULGE = 0.25
"""A quadratic cell may leave the box of its nodes by a fraction of it: 1/8 for an edge, 1/4 for a face."""


def locate(
    points: Float[np.ndarray, "n_points dim"],
    cells: Int[np.ndarray, "n_cells n_nodes"],
    cell_type: str,
    degree: int,
    targets: np.ndarray,
    tolerance: float = 1e-8,
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n dim"]]:
    r"""Find cells :math:`c` and reference coordinates :math:`X` with :math:`x_c(X) = x`.

    Newton's method inverts the map in candidate cells: first those with the nearest centroids, then all cells
    whose bounding box holds the point. A point outside is moved onto the closest candidate when it is no
    further away than ``tolerance`` times the diagonal of the mesh.

    Args:
        points, cells, cell_type, degree: the mesh.
        targets: physical points (n, dim), in metres.
        tolerance: distance that is forgiven, relative to the diagonal of the mesh.

    Returns:
        Cell numbers (n,) and reference coordinates (n, dim) inside the reference cell.

    Raises:
        MeshError: for a point that lies outside of the mesh, naming it.
    """
    targets = np.asarray(targets, dtype=np.float64)
    if targets.ndim != 2 or targets.shape[1] != points.shape[1]:
        raise MeshError(f"Points to locate must have shape (n, {points.shape[1]}), not {targets.shape}.")
    if not np.isfinite(targets).all():
        number = int(np.flatnonzero(~np.isfinite(targets).all(axis=1))[0])
        raise MeshError(f"Point {number} to locate has coordinates that are not finite: {targets[number].tolist()}.")
    allowed = tolerance * float(np.linalg.norm(np.ptp(points, axis=0)))
    corners = points[cells]
    low, high = corners.min(axis=1), corners.max(axis=1)
    n_near = min(_NEAREST, len(cells))
    # k as a list keeps two axes in the answer for one neighbour; scipy's stubs know an integer only.
    neighbours: Any = list(range(1, n_near + 1))
    near = KDTree((low + high) / 2).query(targets, k=neighbours)[1]
    which = np.repeat(np.arange(len(targets)), n_near)
    found, reference, distance = _closest(points, cells, cell_type, degree, targets, which, near.ravel())
    margin = allowed + (_BULGE * (high - low) if degree == 2 else 0.0)
    for number in np.flatnonzero(distance > allowed):
        inside = ((targets[number] >= low - margin) & (targets[number] <= high + margin)).all(axis=1)
        candidates = np.flatnonzero(inside)
        hit = _closest(
            points,
            cells,
            cell_type,
            degree,
            targets[number : number + 1],
            np.zeros_like(candidates),
            candidates,
        )
        if hit[2][0] > allowed:
            raise MeshError(f"Point {number} at {targets[number].tolist()} lies outside of the mesh.")
        found[number], reference[number] = hit[0][0], hit[1][0]
    return found, reference


def _closest(points, cells, cell_type, degree, targets, which, candidates):
    """Of the candidate cells of each target (pairs ``which``, ``candidates``), the one that comes closest."""
    best = np.zeros(len(targets), dtype=np.int64)
    reference = np.zeros(targets.shape)
    distance = np.full(len(targets), np.inf)
    if len(candidates):
        x, gap = _invert(points[cells[candidates]], cell_type, degree, targets[which])
        order = np.lexsort((gap, which))
        owner, first = np.unique(which[order], return_index=True)
        chosen = order[first]
        best[owner], reference[owner], distance[owner] = candidates[chosen], x[chosen], gap[chosen]
    return best, reference, distance


def _invert(nodes, cell_type, degree, targets):
    """Newton's method for all pairs; reference coordinates moved into the cell and the gap that leaves."""
    dim = cell_dim(cell_type)
    simplex = cell_type in ("triangle", "tetrahedron")
    x = np.full(targets.shape, 1.0 / (dim + 1) if simplex else 0.5)
    for _ in range(_NEWTON_STEPS):
        values, gradients = tabulate(cell_type, degree, x)
        residual = targets - np.einsum("pn,pna->pa", values, nodes)
        jacobian = np.einsum("pna,pnb->pab", nodes, gradients)
        step = np.linalg.solve(_regular(jacobian), residual[..., None])[..., 0]
        moved = np.clip(x + step, -0.5, 1.5)
        done = np.abs(moved - x).max(initial=0.0) < 1e-14
        x = moved
        if done:
            break
    x = np.clip(x, 0.0, 1.0)
    if simplex:
        x = x / np.maximum(1.0, x.sum(axis=1, keepdims=True))
    values, _ = tabulate(cell_type, degree, x)
    return x, np.linalg.norm(targets - np.einsum("pn,pna->pa", values, nodes), axis=1)


def _regular(jacobian):
    """The Jacobian, or the identity where an iterate outside of the cell has made it singular."""
    size = np.abs(jacobian).max(axis=(-2, -1), keepdims=True)
    singular = np.abs(np.linalg.det(jacobian / size)) < 1e-14
    return np.where(singular[..., None, None], size * np.eye(jacobian.shape[-1]), jacobian)
