"""Which cell holds a physical point, and where in its reference cell: the inverse isoparametric map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from gemel.meshes.blocks import CellBlock, block_offsets
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import cell_dim, tabulate

_NEAREST = 8
"""Cells with the nearest centroids that are tried before all boxes are searched."""

_NEWTON_STEPS = 30
_BULGE = 0.25
"""A bent cell may leave the box of its nodes by a fraction of its size: 1/8 for an edge, 1/4 for a face."""


_START = {"interval": 1 / 2, "triangle": 1 / 3, "tetrahedron": 1 / 4, "prism": (1 / 3, 1 / 3, 1 / 2)}
"""Where Newton's method starts in a cell; in the middle of the others."""


def locate(
    points: Float[np.ndarray, "n_points dim"],
    blocks: Sequence[CellBlock],
    degree: int,
    targets: np.ndarray,
    tolerance: float = 1e-8,
    strict: bool = True,
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n cell_dim"]]:
    r"""Find cells :math:`c` and reference coordinates :math:`X` with :math:`x_c(X) = x`.

    Newton's method inverts the map in candidate cells: first those with the nearest centroids, then all cells
    whose bounding box holds the point. A point outside, or off the line of an embedded interval, is moved onto
    the closest candidate when it is no further away than ``tolerance`` times the diagonal of the mesh.

    Args:
        points, blocks, degree: the mesh.
        targets: physical points (n, dim), in metres.
        tolerance: distance that is forgiven, relative to the diagonal of the mesh.
        strict: whether a point outside of the mesh is an error; else its cell is -1.

    Returns:
        Cell numbers (n,) and reference coordinates (n, cell_dim) inside the reference cell.

    Raises:
        MeshError: for a point that lies outside of the mesh where that is one, naming it.
    """
    targets = np.asarray(targets, dtype=np.float64)
    if targets.ndim != 2 or targets.shape[1] != points.shape[1]:
        raise MeshError(f"Points to locate must have shape (n, {points.shape[1]}), not {targets.shape}.")
    if not np.isfinite(targets).all():
        number = int(np.flatnonzero(~np.isfinite(targets).all(axis=1))[0])
        raise MeshError(f"Point {number} to locate has coordinates that are not finite: {targets[number].tolist()}.")
    allowed = tolerance * float(np.linalg.norm(np.ptp(points, axis=0)))
    corners = [points[np.asarray(block.cells)] for block in blocks]
    low = np.concatenate([nodes.min(axis=1) for nodes in corners])
    high = np.concatenate([nodes.max(axis=1) for nodes in corners])
    margin = allowed + (_BULGE * (high - low).max(axis=1, keepdims=True) if degree > 1 else 0.0)
    low, high = low - margin, high + margin
    n_near = min(_NEAREST, len(low))
    # k as a list keeps two axes in the answer for one neighbour; scipy's stubs know an integer only.
    neighbours: Any = list(range(1, n_near + 1))
    near = KDTree((low + high) / 2).query(targets, k=neighbours)[1].ravel()
    which = np.repeat(np.arange(len(targets)), n_near)
    within = ((targets[which] >= low[near]) & (targets[which] <= high[near])).all(axis=1)
    found, reference, distance = _closest(points, blocks, degree, targets, which[within], near[within])
    for number in np.flatnonzero(~(distance <= allowed)):
        inside = ((targets[number] >= low) & (targets[number] <= high)).all(axis=1)
        candidates = np.flatnonzero(inside)
        one = np.zeros_like(candidates)
        hit = _closest(points, blocks, degree, targets[number : number + 1], one, candidates)
        if not hit[2][0] <= allowed:
            if strict:
                raise MeshError(f"Point {number} at {targets[number].tolist()} lies outside of the mesh.")
            hit = (np.array([-1]), np.zeros_like(hit[1]))
        found[number], reference[number] = hit[0][0], hit[1][0]
    return found, reference


def _closest(points, blocks, degree, targets, which, candidates):
    """Of the candidate cells of each target (pairs ``which``, ``candidates``), the one that comes closest."""
    best = np.zeros(len(targets), dtype=np.int64)
    reference = np.zeros((len(targets), blocks[0].cell_dim))
    distance = np.full(len(targets), np.inf)
    offsets = block_offsets(blocks)
    owner_block = np.searchsorted(offsets, candidates, side="right") - 1
    for number, block in enumerate(blocks):
        pairs = np.flatnonzero(owner_block == number)
        if not len(pairs):
            continue
        mine, own = candidates[pairs], which[pairs]
        nodes = points[np.asarray(block.cells)[mine - offsets[number]]]
        x, gap = _invert(nodes, block.cell_type, degree, targets[own])
        order = np.lexsort((gap, own))
        owner, first = np.unique(own[order], return_index=True)
        chosen = order[first]
        closer = gap[chosen] < distance[owner]
        owner, chosen = owner[closer], chosen[closer]
        best[owner], reference[owner], distance[owner] = mine[chosen], x[chosen], gap[chosen]
    return best, reference, distance


def _invert(nodes, cell_type, degree, targets):
    """Newton's method for all pairs; reference coordinates moved into the cell and the gap that leaves."""
    x = np.empty((len(targets), cell_dim(cell_type)))
    x[:] = _START.get(cell_type, 0.5)
    active = np.arange(len(x))
    for _ in range(_NEWTON_STEPS):
        values, gradients = tabulate(cell_type, degree, x[active])
        residual = targets[active] - np.einsum("pn,pna->pa", values, nodes[active])
        jacobian = np.einsum("pna,pnb->pab", nodes[active], gradients)
        if jacobian.shape[-2] != jacobian.shape[-1]:
            residual = np.einsum("pab,pa->pb", jacobian, residual)
            jacobian = np.einsum("pab,pac->pbc", jacobian, jacobian)
        step = np.linalg.solve(_regular(jacobian), residual[..., None])[..., 0]
        moved = np.clip(x[active] + step, -0.5, 1.5)
        unsettled = np.abs(moved - x[active]).max(axis=1, initial=0.0) >= 1e-14
        x[active] = moved
        active = active[unsettled]
        if not len(active):
            break
    x = np.clip(x, 0.0, 1.0)
    if cell_type in ("triangle", "tetrahedron"):
        x = x / np.maximum(1.0, x.sum(axis=1, keepdims=True))
    elif cell_type == "prism":
        x[:, :2] /= np.maximum(1.0, x[:, :2].sum(axis=1, keepdims=True))
    values, _ = tabulate(cell_type, degree, x)
    return x, np.linalg.norm(targets - np.einsum("pn,pna->pa", values, nodes), axis=1)


def _regular(jacobian):
    """The Jacobian, or the identity where an iterate outside of the cell has made it singular."""
    size = np.abs(jacobian).max(axis=(-2, -1), keepdims=True)
    size = np.where(size > 0, size, 1.0)
    singular = np.abs(np.linalg.det(jacobian / size)) < 1e-14
    return np.where(singular[..., None, None], size * np.eye(jacobian.shape[-1]), jacobian)
