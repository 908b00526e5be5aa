"""The local axes of a member and the map from the motions of its nodes to those of its ends."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

VERTICAL = 0.999
"""The cosine between a member and the global Z axis above which the member counts as vertical."""


def default_orientation(axis: Float[Array, " 3"]) -> Float[Array, " 3"]:
    r"""The reference direction of a member along ``axis`` that names none: global Z, or X where it is vertical.

    No choice is smooth for all directions at once (a sphere has no continuous field of tangents). This one switches
    where $|\cos|$ between the member and Z passes 0.999, and is constant on both sides, so that local axes are smooth
    functions of the coordinates away from there, and never degenerate. A `Frame` chooses once, when it is built.
    """
    axis = axis / jnp.linalg.norm(axis)
    vertical = jnp.abs(axis[2]) > VERTICAL
    return jnp.where(vertical, jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 0.0, 1.0]))


def local_axes(
    ends: Float[Array, "2 3"], orientation: Float[Array, " 3"]
) -> tuple[Float[Array, "3 3"], Float[Array, ""]]:
    r"""The unit vectors $e_x, e_y, e_z$ as rows, and the length.

    $e_x$ runs from the first end to the second; $e_z$ is the part of ``orientation`` normal to $e_x$, so that with
    the default a section stands upright; $e_y = e_z \times e_x$. Differentiable while the length is positive and the
    orientation is not parallel to the member.
    """
    along = ends[1] - ends[0]
    length = jnp.linalg.norm(along)
    x = along / length
    z = orientation - jnp.dot(orientation, x) * x
    z = z / jnp.linalg.norm(z)
    return jnp.stack([x, jnp.cross(z, x), z]), length


def end_points(corners: Float[Array, "2 3"], offsets: Any = None) -> Float[Array, "2 3"]:
    """Where the member starts and ends: its nodes, moved by rigid offsets in global axes, m."""
    return corners if offsets is None else corners + offsets


def transformation(axes: Float[Array, "3 3"], offsets: Any = None) -> Float[Array, "12 12"]:
    r"""The matrix $T$ with $u_{local} = T u$: nodes' motions in global axes to ends' motions in local axes.

    Each end has three translations and three rotations; an end at a rigid offset $e$ from its node moves by
    $u + \theta \times e$.
    """
    rotation = jnp.kron(jnp.eye(4), axes)
    if offsets is None:
        return rotation
    nothing = jnp.zeros((3, 3))
    ends = [jnp.block([[jnp.eye(3), -_cross_matrix(offset)], [nothing, jnp.eye(3)]]) for offset in offsets]
    return rotation @ jnp.block([[ends[0], jnp.zeros((6, 6))], [jnp.zeros((6, 6)), ends[1]]])


def planar(n_nodes: int = 2) -> Float[Array, "full plane"]:
    r"""The matrix $P$ from $(u_x, u_y, \theta_z)$ at each node to the six motions; out of the plane they are zero."""
    return jnp.asarray(np.kron(np.eye(n_nodes), np.eye(6)[:, [0, 1, 5]]))


def planar_corners(corners: Float[Array, "2 2"]) -> Float[Array, "2 3"]:
    """Nodes of a plane member in the plane z = 0."""
    return jnp.pad(corners, ((0, 0), (0, 1)))


def planar_orientation(corners: Float[Array, "2 3"]) -> Float[Array, " 3"]:
    """The direction to the left of a plane member: its local z axis, so that $I_y$ is what bends in the plane."""
    along = corners[1] - corners[0]
    return jnp.stack([-along[1], along[0], jnp.zeros_like(along[0])])


def _cross_matrix(a: Float[Array, " 3"]) -> Float[Array, "3 3"]:
    r"""The matrix of $a \times$."""
    zero = jnp.zeros_like(a[0])
    return jnp.stack([zero, -a[2], a[1], a[2], zero, -a[0], -a[1], a[0], zero]).reshape(3, 3)
