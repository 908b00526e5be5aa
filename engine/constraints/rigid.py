"""A surface that moves as a rigid body with a reference node."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from gemel.engine.constraints.condition import Equations, Tie, is_known
from gemel.engine.constraints.selection import host_nodes, places_of
from gemel.engine.spaces import RealSpace, Space, field_of


class RigidConnection(Tie):
    r"""Makes the facets ``on`` follow a reference point: $u(x) = u_0 + \theta \times (x - x_0)$, small rotations.

    The motion of the point is a field of its own, a `RealSpace` of 3 numbers in 2-D, $(u_{0x}, u_{0y},
    \theta)$, or 6 in 3-D, $(u_{0x}, u_{0y}, u_{0z}, \theta_x, \theta_y, \theta_z)$, in m and rad. A value
    prescribed for it moves the surface; the forces that belong to it are the force and the moment about $x_0$.

    Args:
        on: a tag of facets.
        reference: $x_0$ in m, coordinates that may be traced; need not be a node.
        motion: the name of the field that holds the motion.
        field: the name of the displacement field.
    """

    on: str = eqx.field(static=True)
    reference: Any
    motion: str = eqx.field(static=True)
    field: str = eqx.field(static=True, default="u")

    def equations(self, space: Space) -> Equations:
        """One equation for each node and component."""
        who = f"The rigid connection of '{self.on}'"
        part, start = places_of(space, self.field, who)
        motion, first = field_of(space, self.motion)
        dim = part.mesh.dim
        if part.shape != (dim,) or len(self.reference) != dim:
            raise ValueError(
                f"{who} needs a displacement field of shape ({dim},) and a reference point of {dim} coordinates, "
                f"not shape {part.shape} and {self.reference}."
            )
        count = dim * (dim + 1) // 2
        if not isinstance(motion, RealSpace) or motion.size != count:
            raise ValueError(f"{who} needs RealSpace({count}) as its field '{self.motion}'.")
        nodes = part.nodes_on(self.on)
        if is_known((part.mesh.points, self.reference)):
            r = host_nodes(part, who)[nodes] - np.asarray(self.reference, float)
        else:
            r = part.nodes()[nodes] - jnp.stack([jnp.asarray(entry, float) for entry in self.reference])
        masters, weights = rigid_rows(r)
        dependent = start + (nodes[:, None] * dim + np.arange(dim)).ravel()
        return Equations(who, np.repeat(nodes, dim), dependent, first + masters, weights)


def rigid_rows(r: Any) -> tuple[np.ndarray, Any]:
    r"""The rows of $u = u_0 + \theta \times r$ for ``r (n, dim)``, component by component.

    Returns which of the motion's numbers enter, ``(n dim, dim)`` in 3-D and ``(n dim, 2)`` in 2-D, and their
    weights.
    """
    n, dim = r.shape
    xp = np if isinstance(r, np.ndarray) else jnp
    one = xp.ones(n)
    if dim == 2:
        weights = xp.stack([xp.stack([one, -r[:, 1]], 1), xp.stack([one, r[:, 0]], 1)], 1)
        return np.tile([[0, 2], [1, 2]], (n, 1)), weights.reshape(2 * n, 2)
    rows = [xp.stack([one, r[:, (i + 2) % 3], -r[:, (i + 1) % 3]], 1) for i in range(3)]
    masters = [[i, 3 + (i + 1) % 3, 3 + (i + 2) % 3] for i in range(3)]
    return np.tile(masters, (n, 1)), xp.stack(rows, 1).reshape(3 * n, 3)
