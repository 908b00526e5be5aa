"""Members as structural elements of a problem: stiffness, mass, loads, and the stiffness of stress."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.coefficients import is_constant
from gemel.engine.elementgroups import ElementKernel
from gemel.engine.structures.axes import planar, planar_corners, planar_orientation
from gemel.engine.structures.conditions import MemberCondition
from gemel.engine.structures.loads import nodal_loads
from gemel.engine.structures.member import Member, geometric_stiffness, lumped_mass, mass, stiffness
from gemel.engine.structures.sections import Section
from gemel.engine.tangents import Loading, Quadratic


class MemberNumbers(eqx.Module):
    r"""What the members of one region have: a section, a material, and where they differ one row a member.

    Args:
        section: the `Section`.
        youngs_modulus: $E$ in Pa.
        poisson_ratio: $\nu$; $G = E/2(1 + \nu)$.
        density: $\rho$ in kg/m³; None for massless members.
        orientation: rows ``(3,)``; not used in the plane.
        offsets: rows ``(2, 3)`` in m, or None.
        released: rows ``(12,)``, or None.
        theory: see `Member`.
    """

    section: Section
    youngs_modulus: Any
    poisson_ratio: Any
    density: Any
    orientation: Any
    offsets: Any
    released: Any
    theory: str = eqx.field(static=True)

    def member(self, x: Float[Array, "2 dim"]) -> tuple[Member, Float[Array, "2 3"], Float[Array, "12 n_local"]]:
        """One member, the places of its nodes in space, and the map from its unknowns to its twelve motions."""
        plane = x.shape[1] == 2
        corners = planar_corners(x) if plane else x
        modulus = jnp.asarray(self.youngs_modulus, float)
        member = Member(
            self.section.constants(self.poisson_ratio),
            modulus,
            modulus / (2 * (1 + jnp.asarray(self.poisson_ratio))),
            planar_orientation(corners) if plane else self.orientation,
            0.0 if self.density is None else self.density,
            self.offsets,
            self.released,
            self.theory,
        )
        return member, corners, planar() if plane else jnp.eye(12)


class MemberMatrix(Quadratic, ElementKernel):
    """Forces that are a symmetric matrix of the member times its motions."""

    numbers: MemberNumbers

    @abstractmethod
    def matrix(self, member: Member, corners: Float[Array, "2 3"]) -> Float[Array, "12 12"]:
        """The matrix, in the axes of space."""

    def residual(self, u: Float[Array, " n_local"], x: Float[Array, "n_corners dim"]) -> Float[Array, " n_local"]:
        """The matrix times the motions."""
        member, corners, embed = self.numbers.member(x)
        return embed.T @ (self.matrix(member, corners) @ (embed @ u))

    @property
    def tangent_parameters(self) -> Any:
        """All numbers."""
        return self.numbers


class MemberStiffness(MemberMatrix):
    """The elastic forces $K u$ of a member."""

    def matrix(self, member: Member, corners: Float[Array, "2 3"]) -> Float[Array, "12 12"]:
        """$K$."""
        return stiffness(member, corners)


class MemberMass(MemberMatrix):
    """The inertia $M u$ of a member, with the consistent mass."""

    def matrix(self, member: Member, corners: Float[Array, "2 3"]) -> Float[Array, "12 12"]:
        """$M$."""
        return mass(member, corners)


class MemberLumpedMass(MemberMatrix):
    """The inertia of a member, half of it at each end."""

    def matrix(self, member: Member, corners: Float[Array, "2 3"]) -> Float[Array, "12 12"]:
        """The diagonal mass."""
        return jnp.diag(lumped_mass(member, member.geometry(corners)[1]))


class MemberForce(Loading, ElementKernel):
    """A load along a member: minus its equivalent nodal forces."""

    numbers: MemberNumbers
    load: MemberCondition

    def residual(self, u: Float[Array, " n_local"], x: Float[Array, "n_corners dim"]) -> Float[Array, " n_local"]:
        """Minus the equivalent nodal loads."""
        member, corners, embed = self.numbers.member(x)
        return -embed.T @ nodal_loads(member, corners, self.load.along(member, x)) + 0.0 * u

    @property
    def linear(self) -> bool:
        """A dead load."""
        return is_constant(self.load)

    @property
    def symmetric(self) -> bool:
        """A dead load has no tangent."""
        return True


class MemberStress(MemberMatrix):
    """The geometric stiffness $K_g$ of a member under the axial force ``axial`` in N."""

    axial: Any

    def matrix(self, member: Member, corners: Float[Array, "2 3"]) -> Float[Array, "12 12"]:
        """$K_g$."""
        return geometric_stiffness(member, corners, self.axial)

    @property
    def tangent_parameters(self) -> Any:
        """All numbers."""
        return (self.numbers, self.axial)
