"""Frames: straight members between joints in a plane or in space, as meshes of intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from gemel.meshes.errors import MeshError
from gemel.meshes.mesh import Mesh

Members = Mapping[str, Sequence[int] | np.ndarray]
"""Numbers of members, or of joints, by name."""


def frame(
    joints: Sequence[Sequence[float]] | np.ndarray,
    members: Sequence[Sequence[int]] | np.ndarray,
    n_per_member: int | Sequence[int] | np.ndarray = 1,
    *,
    degree: int = 1,
    member_tags: Members | None = None,
    joint_tags: Members | None = None,
) -> Mesh:
    """A mesh of intervals along straight members.

    Joints come first and keep their numbers. Cells are numbered member by member, each from the member's first
    joint to its second, so that the local axis of all intervals of a member points that way.

    Args:
        joints: coordinates (n_joints, dim) in 1-D, 2-D or 3-D, in metres.
        members: pairs of joint numbers (n_members, 2).
        n_per_member: intervals of every member: one number for all, or one each.
        degree: 1, or 2 or 3 for intervals with one or two further points inside.
        member_tags: member numbers by name, which become cell tags.
        joint_tags: joint numbers by name, which become node tags, and facet tags of one interval's end each.

    Raises:
        MeshError: for a joint of no member, a member without length, numbers out of range, and less than one
            interval for a member.
    """
    corners, ends, counts = _checked(joints, members, n_per_member)
    steps = degree * counts
    inner = np.concatenate([[0], np.cumsum(steps - 1)]) + len(corners)
    points, cells = [corners], []
    for (a, b), count, first in zip(ends, steps, inner, strict=False):
        weights = np.arange(1, count)[:, None] / count
        points.append((1 - weights) * corners[a] + weights * corners[b])
        chain = np.concatenate([[a], first + np.arange(count - 1), [b]])
        windows = chain[np.arange(0, count, degree)[:, None] + np.arange(degree + 1)]
        cells.append(windows[:, [0, degree, *range(1, degree)]])
    rows = np.concatenate(cells).astype(np.int32)
    member = np.repeat(np.arange(len(ends)), counts)
    chosen = {tag: _numbers("member", tag, numbers, len(ends)) for tag, numbers in (member_tags or {}).items()}
    cell_tags = {tag: np.flatnonzero(np.isin(member, numbers)) for tag, numbers in chosen.items()}
    node_tags = {name: _numbers("joint", name, numbers, len(corners)) for name, numbers in (joint_tags or {}).items()}
    facet_tags = {name: _ends_at(rows, numbers) for name, numbers in node_tags.items()}
    return Mesh.of(
        np.concatenate(points),
        rows,
        "interval",
        degree=degree,
        cell_tags=cell_tags,
        facet_tags=facet_tags,
        node_tags=node_tags,
    )


def polyline(
    points: Sequence[Sequence[float]] | np.ndarray, n_per_segment: int | Sequence[int] = 1, *, closed: bool = False
) -> Mesh:
    """A chain of straight segments through points, as a mesh of intervals; ``closed`` joins the last to the first.

    Raises:
        MeshError: as `frame`, of which it is the simplest case.
    """
    n = len(points)
    if n < 2:
        raise MeshError(f"A polyline goes through two or more points, not {n}.")
    follow = np.stack([np.arange(n), np.arange(1, n + 1) % n], axis=1)
    return frame(points, follow if closed else follow[:-1], n_per_segment)


def _checked(joints, members, n_per_member):
    """The arguments of `frame` as arrays, or the sentence what is wrong with them."""
    corners = np.asarray(joints, dtype=np.float64)
    if corners.ndim != 2 or not 1 <= corners.shape[1] <= 3 or not np.isfinite(corners).all():
        raise MeshError(f"Joints must be finite coordinates (n, 1 to 3), not an array of shape {corners.shape}.")
    ends = np.asarray(members)
    if ends.ndim != 2 or ends.shape[1] != 2 or len(ends) == 0 or not np.issubdtype(ends.dtype, np.integer):
        raise MeshError(f"Members must be pairs of joint numbers (n, 2), not {ends.dtype} of shape {ends.shape}.")
    for number, (a, b) in enumerate(ends.tolist()):
        if not (0 <= a < len(corners) and 0 <= b < len(corners)):
            raise MeshError(f"Member {number} joins {a} and {b}, but joints are numbered 0 to {len(corners) - 1}.")
        if (corners[a] == corners[b]).all():
            raise MeshError(f"Member {number} has no length: its joints {a} and {b} lie in one place.")
    alone = np.setdiff1d(np.arange(len(corners)), ends)
    if len(alone):
        raise MeshError(f"Joint {alone[0]} belongs to no member.")
    counts = np.asarray(n_per_member)
    if (
        counts.ndim > 1
        or (counts.ndim == 1 and len(counts) != len(ends))
        or not np.issubdtype(counts.dtype, np.integer)
    ):
        raise MeshError(f"The intervals of members must be one integer or {len(ends)} of them, not {counts.tolist()}.")
    if (counts < 1).any():
        raise MeshError(f"A member has {counts.min()} intervals, but must have at least 1.")
    return corners, ends, np.broadcast_to(counts, len(ends))


def _numbers(kind: str, name: str, numbers: Sequence[int] | np.ndarray, count: int) -> Int[np.ndarray, " n"]:
    chosen = np.asarray(numbers)
    if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer) or ((chosen < 0) | (chosen >= count)).any():
        raise MeshError(
            f"The {kind} tag '{name}' must hold {kind} numbers from 0 to {count - 1}, not {chosen.tolist()}."
        )
    return chosen


def _ends_at(cells: Int[np.ndarray, "n k"], joints: Int[np.ndarray, " m"]) -> Int[np.ndarray, "m 2"]:
    """For every joint one (cell, end) that lies there, of the cell with the lowest number."""
    ends = cells[:, :2].ravel()
    order = np.argsort(ends, kind="stable")
    first = order[np.searchsorted(ends[order], joints)]
    return np.stack(np.divmod(first, 2), axis=1)
