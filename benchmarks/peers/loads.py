"""Consistent nodal loads of the exact solutions, for a peer that takes loads only as values at the nodes.

Two Gauss points along each direction, as the other codes use. Counts as assembly. Needs numpy alone.
"""

import numpy as np

from benchmarks import exact
from benchmarks.peers.common import FACES, Cube, rule

_ROUNDING = 1e-9


def source(cube: Cube) -> np.ndarray:
    r"""$\int f \varphi_a$ of `exact.source` at every node, ``(n,)``."""
    return _volume(cube, lambda x: exact.source(np, x)[None])[:, 0]


def forces(cube: Cube) -> np.ndarray:
    r"""$\int f\cdot\varphi_a + \oint t\cdot\varphi_a$ of `exact.displacement` at every node, ``(n, 3)``."""
    total = _volume(cube, lambda x: exact.body_force(np, x))
    for (axis, end), vertices in FACES.items():
        if (axis, end) != (0, 0):
            _add_tractions(total, cube, axis, end, vertices)
    return total


def _volume(cube: Cube, density: object) -> np.ndarray:
    assert callable(density)
    corners = cube.points[cube.cells]
    loads = 0.0
    for shape, slope, weight in rule(2):
        volume = weight * np.abs(np.linalg.det(np.einsum("aj,cai->cij", slope, corners)))
        there = volume * density(np.einsum("a,cai->ic", shape, corners))
        loads = loads + np.einsum("a,ic->cai", shape, there)
    loads = np.asarray(loads)
    return _summed(cube, cube.cells, loads)


def _summed(cube: Cube, nodes: np.ndarray, loads: np.ndarray) -> np.ndarray:
    n, flat = len(cube.points), nodes.ravel()
    columns = loads.reshape(len(flat), -1).T
    return np.stack([np.bincount(flat, column, n) for column in columns], axis=1)


def _add_tractions(total: np.ndarray, cube: Cube, axis: int, end: int, vertices: list[int]) -> None:
    """Add those of the side where coordinate ``axis`` is ``end``; its faces are parallelograms."""
    on = np.all(np.abs(cube.points[cube.cells[:, vertices], axis] - end) < _ROUNDING, axis=1)
    faces = cube.cells[on][:, vertices]
    corners = cube.points[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    normal = np.eye(3)[axis] * (2 * end - 1)
    places, weights = np.polynomial.legendre.leggauss(2)
    for s, first in zip((places + 1) / 2, weights / 2, strict=True):
        for t, second in zip((places + 1) / 2, weights / 2, strict=True):
            shape = np.array([(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t])
            x = np.einsum("a,cai->ic", shape, corners)
            traction = np.einsum("ijc,j->ic", exact.stress(np, x), normal)
            total += _summed(cube, faces, np.einsum("a,ic,c->cai", shape, traction, first * second * area))
