"""How members are joined at nodes: which forces pass, and which rotations nothing resists."""

from collections.abc import Sequence

import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from gemel.engine.structures.conditions import FORCES, Release
from gemel.engine.structures.member import STIFFNESS_PATTERNS
from gemel.meshes import Mesh

_SMALL = 1e-9
"""Stiffness below this fraction of a unit is none."""


def members_of(mesh: Mesh) -> np.ndarray:
    """The nodes of every member, ``(n_members, 2)``; on the host."""
    return np.asarray(mesh.blocks[0].cells)


def ends_at(mesh: Mesh, nodes: np.ndarray) -> np.ndarray:
    """For every node one facet (cell, end) that lies there, ``(n, 2)``."""
    ends = members_of(mesh).ravel()
    first = np.full(mesh.n_points, -1)
    first[ends[::-1]] = np.arange(len(ends))[::-1]
    return np.stack(np.divmod(first[np.asarray(nodes)], 2), axis=1)


def release_masks(mesh: Mesh, releases: Sequence[Release]) -> Bool[np.ndarray, "n_members 12"]:
    """What the two ends of every member do not transmit. Raises `ValueError` for an unknown tag, or no end there."""
    masks = np.zeros((mesh.n_cells, 2, 6), dtype=bool)
    for release in releases:
        cells = np.asarray(mesh.cells_of(release.on))
        chosen = np.ones((len(cells), 2), dtype=bool)
        if release.at is not None:
            chosen = np.isin(members_of(mesh)[cells], np.asarray(mesh.nodes_of(release.at)))
        if not chosen.any():
            raise ValueError(f"Release of '{release.on}': no end of these members lies at '{release.at}'.")
        masks[cells] |= chosen[:, :, None] & release.mask
    return masks.reshape(-1, 12)


def resistance(theory: str, mask: np.ndarray) -> Float[np.ndarray, "2 3"]:
    """Which rotations of its two ends a member with released forces resists, about its local axes: 0 or more.

    Raises `ValueError` where the releases leave a member that can move by itself.
    """
    if theory == "truss":
        return np.zeros((2, 3))
    matrix = np.tensordot([1, 1, 12, 6, 4, 2, 12, 6, 4, 2], STIFFNESS_PATTERNS, 1)  # all rigidities and the length one
    released, kept = matrix[np.ix_(mask, mask)], matrix[np.ix_(~mask, ~mask)]
    if np.linalg.matrix_rank(released) < mask.sum():
        names = [f"{FORCES[k % 6]} at the {('first', 'second')[k // 6]} end" for k in np.flatnonzero(mask)]
        raise ValueError(f"Releasing {', '.join(names)} leaves a member that can move by itself: release less.")
    across = matrix[np.ix_(mask, ~mask)]
    left = np.zeros(12)
    left[~mask] = np.diagonal(kept - across.T @ np.linalg.solve(released, across))
    return np.where(left > _SMALL, left, 0.0).reshape(2, 6)[:, 3:]


def idle_rotations(
    mesh: Mesh, masks: np.ndarray, theories: Sequence[str], axes: Array | np.ndarray, strict: bool
) -> dict[str, np.ndarray]:
    """The nodes whose rotation "rx", "ry" or "rz" nothing resists.

    Args:
        mesh: the frame.
        masks: ``(n_members, 12)`` from `release_masks`.
        theories: the theory of every member.
        axes: local axes as rows ``(n_members, 3, 3)``; only rotations about all axes are found where they are traced.
        strict: whether a rotation about an oblique direction is an error.

    Raises:
        ValueError: for releases that leave a member, or a node about an oblique direction, without support.
    """
    keys, of = np.unique([f"{t} {m.astype(int)}" for t, m in zip(theories, masks, strict=True)], return_inverse=True)
    first = [int(np.flatnonzero(of == k)[0]) for k in range(len(keys))]
    left = np.stack([resistance(theories[k], masks[k]) for k in first])[of]  # (n_members, 2, 3)
    nodes = members_of(mesh).ravel()
    known = not isinstance(axes, Tracer)
    host = np.asarray(axes) if known else np.broadcast_to(np.eye(3), (mesh.n_cells, 3, 3))
    about = np.einsum("mek,mki,mkj->meij", left > 0, host, host).reshape(-1, 3, 3)
    total = np.zeros((mesh.n_points, 3, 3))
    np.add.at(total, nodes, about)
    if mesh.dim == 2:
        return {"rz": np.flatnonzero(total[:, 2, 2] < _SMALL)}
    values, directions = np.linalg.eigh(total)
    nothing = np.abs(total).max(axis=2) < 1e-6  # this global component appears in no resistance
    if not known:
        nothing = np.broadcast_to(nothing.all(axis=1, keepdims=True), nothing.shape)
    oblique = (values < 1e-6).sum(axis=1) > nothing.sum(axis=1)
    if known and strict and oblique.any():
        node = int(np.flatnonzero(oblique)[0])
        about = np.round(directions[node, :, 0], 4).tolist()
        raise ValueError(
            f"Node {node} can turn freely about {about}: release less there, or give that rotation a support or spring."
        )
    return {name: np.flatnonzero(nothing[:, k]) for k, name in enumerate(("rx", "ry", "rz"))}
