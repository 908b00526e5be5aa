"""Loads along a member: equivalent forces at its nodes, and the forces in its sections."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.structures.member import Member, local_stiffness, reduction, released_flexibility
from gemel.engine.structures.shapes import GAUSS


class MemberLoad(eqx.Module):
    r"""What acts along one member: forces and moments per length, linear from end to end, and temperature.

    Args:
        start: ``(6,)``, $(q_x, q_y, q_z)$ in N/m and $(m_x, m_y, m_z)$ in N·m/m at the first end.
        finish: likewise at the second end.
        expansion: $\alpha$ in 1/K.
        heating: $\Delta T$ in K along the axis.
        gradient: ``(2,)``, the rise of temperature along local $y$ and $z$ in K/m.
        local: whether forces are given in local rather than in global axes.
    """

    start: Any
    finish: Any
    expansion: Any = 0.0
    heating: Any = 0.0
    gradient: Any = (0.0, 0.0)
    local: bool = eqx.field(static=True, default=False)

    def along(self, axes: Float[Array, "3 3"]) -> tuple[Float[Array, " 6"], Float[Array, " 6"]]:
        """The intensities at both ends in local axes."""
        start, finish = jnp.asarray(self.start), jnp.asarray(self.finish)
        if self.local:
            return start, finish
        turn = jnp.kron(jnp.eye(2), axes)
        return turn @ start, turn @ finish


def local_loads(member: Member, length: Any, axes: Float[Array, "3 3"], load: MemberLoad) -> Float[Array, " 12"]:
    r"""$\int S^\top q\,dx + \int B^\top D\,\varepsilon_T\,dx$ for the local motions of the ends, before releases.

    The shapes are the exact ones of the member, so that the displacements of the nodes are exact for any $q$.
    """
    start, finish = load.along(axes)

    def at(xi: Any, weight: Any) -> Array:
        return weight * length * member.interpolation(xi, length).T @ ((1 - xi) * start + xi * finish)

    spread = jnp.sum(jax.vmap(at)(*map(jnp.asarray, GAUSS)), axis=0)
    section, stiff = member.section, member.youngs_modulus * load.expansion
    zero = jnp.zeros(())
    bent = (0.0, 0.0)
    if member.theory != "truss":
        bent = (stiff * section.inertia_y * load.gradient[1], -stiff * section.inertia_z * load.gradient[0])
    pushed = [stiff * section.area * load.heating, zero, zero, zero, *bent]
    thermal = jnp.stack([jnp.asarray(force, float) for force in pushed])
    return spread + jnp.concatenate([-thermal, thermal])


def nodal_loads(member: Member, corners: Float[Array, "2 3"], load: MemberLoad) -> Float[Array, " 12"]:
    """The forces (N) and moments (N·m) on the nodes in global axes that do what the load does."""
    axes, length = member.geometry(corners)
    return reduction(member, axes, length).T @ local_loads(member, length, axes, load)


def end_forces(
    member: Member, corners: Float[Array, "2 3"], motions: Float[Array, " 12"], load: MemberLoad | None = None
) -> Float[Array, " 12"]:
    """The forces of the nodes on the member in local axes, ``motions`` being those of the nodes in global axes."""
    axes, length = member.geometry(corners)
    matrix = local_stiffness(member, length)
    forces = jnp.zeros(12) if load is None else local_loads(member, length, axes, load)
    moved = reduction(member, axes, length) @ motions
    if member.released is not None:
        moved = moved + released_flexibility(matrix, member.released) @ forces
    return matrix @ moved - forces


def section_forces(
    member: Member,
    corners: Float[Array, "2 3"],
    motions: Float[Array, " 12"],
    positions: Float[Array, " k"],
    load: MemberLoad | None = None,
) -> Float[Array, "k 6"]:
    r"""$N, V_y, V_z, T, M_y, M_z$ at $\xi = x/L$, in N and N·m: exact by equilibrium with the load along the member.

    They are the forces and moments on the face whose outward normal is $e_x$, as components along the local axes:
    $N$ is tension, $M_y = \int z\,\sigma\,dA$, $M_z = -\int y\,\sigma\,dA$, and $M_y' = V_z - m_y$,
    $M_z' = -V_y - m_z$. Inertia along the member does not enter.
    """
    axes, length = member.geometry(corners)
    first = -end_forces(member, corners, motions, load)[:6]
    start, finish = (jnp.zeros(6), jnp.zeros(6)) if load is None else load.along(axes)

    def at(xi: Any) -> Array:
        x = xi * length
        single = x * start + xi * x / 2 * (finish - start)  # the load up to x, and its moment about x
        double = x**2 / 2 * start + xi * x**2 / 6 * (finish - start)
        force = first[:3] - single[:3]
        lever = jnp.array([0.0, 1.0, -1.0])
        swapped = jnp.array([0, 2, 1])
        moment = first[3:] + lever * (x * first[:3] - double[:3])[swapped] - single[3:]
        return jnp.concatenate([force, moment])

    return jax.vmap(at)(positions)


def section_motions(
    member: Member,
    corners: Float[Array, "2 3"],
    motions: Float[Array, " 12"],
    positions: Float[Array, " k"],
) -> Float[Array, "k 6"]:
    r"""Displacements (m) and rotations of the sections at $\xi = x/L$ in global axes, without what a load between the
    ends adds to them.
    """
    axes, length = member.geometry(corners)
    moved = reduction(member, axes, length) @ motions
    local = jax.vmap(lambda xi: member.interpolation(xi, length) @ moved)(positions)
    return local @ jnp.kron(jnp.eye(2), axes)
