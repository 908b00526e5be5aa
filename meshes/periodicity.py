"""Which points of one side of a mesh a motion carries to those of another."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from gemel.meshes.errors import MeshError
from gemel.meshes.mesh import Mesh, on_host

Motion = np.ndarray | tuple[float, ...] | Callable[[np.ndarray], np.ndarray]
"""A translation (dim,) in metres, or a map from coordinates (n, dim) to coordinates (n, dim)."""


def periodic_pairs(
    mesh: Mesh, first: str, second: str, motion: Motion, tolerance: float = 1e-8
) -> Int[np.ndarray, "n 2"]:
    """Pairs of points, one on each of two facet tags, such that a motion carries the first to the second.

    Args:
        mesh: the mesh, outside of ``jit``.
        first, second: facet tags.
        motion: the translation from ``first`` to ``second``, or a map such as a rotation.
        tolerance: distance that is forgiven, relative to the diagonal of the mesh.

    Returns:
        Point numbers, ordered by the first.

    Raises:
        MeshError: for an unknown tag, and where a point of either side has no partner, naming the first such.
    """
    points = np.asarray(on_host(mesh).points, dtype=np.float64)
    sides = mesh.nodes_of_facets(first), mesh.nodes_of_facets(second)
    allowed = tolerance * float(np.linalg.norm(np.ptp(points, axis=0)))
    partner = match_points(points[sides[0]], points[sides[1]], motion, allowed, (first, second))
    return np.stack([sides[0], sides[1][partner]], axis=1)


def match_points(
    first: Float[np.ndarray, "n dim"],
    second: Float[np.ndarray, "m dim"],
    motion: Motion,
    tolerance: float,
    names: tuple[str, str] = ("the first side", "the second side"),
) -> Int[np.ndarray, " n"]:
    """For each point the row of ``second`` that a motion carries it to, one to one.

    Args:
        first, second: coordinates, in metres; as many on both sides.
        motion: see `Motion`.
        tolerance: distance that is forgiven, in metres.
        names: of the sides, for the sentence that says what does not match.

    Raises:
        MeshError: when the numbers of points differ, the motion gives another shape, or a point has no partner.
    """
    if len(first) != len(second) or len(first) == 0:
        raise MeshError(
            f"'{names[0]}' has {len(first)} points and '{names[1]}' {len(second)}, so that they do not pair."
        )
    moved = np.asarray(motion(first) if callable(motion) else first + np.asarray(motion), dtype=np.float64)
    if moved.shape != first.shape:
        raise MeshError(f"The motion must give coordinates of shape {first.shape}, not {moved.shape}.")
    distance, partner = (np.asarray(array) for array in KDTree(second).query(moved))
    lost = np.flatnonzero(~(distance <= tolerance))
    if len(lost):
        worst = lost[0]
        raise MeshError(
            f"{len(lost)} of {len(first)} points of '{names[0]}' have no partner on '{names[1]}': the one at "
            f"{first[worst].tolist()} moves to {moved[worst].tolist()}, {distance[worst]:.3g} m from the nearest."
        )
    if len(np.unique(partner)) < len(partner):
        raise MeshError(f"Several points of '{names[0]}' pair with one of '{names[1]}': lower the tolerance.")
    return partner
