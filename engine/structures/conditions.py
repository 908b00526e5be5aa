"""What acts on the members of a frame, and how they are held, hinged and connected."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import Law, Profile, Vector, evaluate, is_constant
from gemel.engine.constraints import Dirichlet
from gemel.engine.fields import Jet, Point
from gemel.engine.structures.loads import MemberLoad
from gemel.engine.structures.member import Member
from gemel.names import listed

MOTIONS = {2: ("ux", "uy", "rz"), 3: ("ux", "uy", "uz", "rx", "ry", "rz")}
"""The unknowns at a node of a frame, in global axes, by the dimension of space."""

FORCES = ("axial", "shear_y", "shear_z", "torsion", "moment_y", "moment_z")
"""The forces that the end of a member can transmit, in its local axes."""


class Support(eqx.Module):
    r"""Prescribes motions of the nodes called ``on``.

    Args:
        on: a tag of nodes, or of facets (ends of members).
        motions: "all" of them (a clamp), the "displacements" (a pin), or some of "ux", "uy", "uz", "rx", "ry", "rz"
            (in 2-D "ux", "uy", "rz"), in global axes.
        value: what they are, m or rad: a number, parameter or input.
    """

    on: str = eqx.field(static=True)
    motions: str | tuple[str, ...] = eqx.field(
        static=True, default="all", converter=lambda names: names if isinstance(names, str) else tuple(names)
    )
    value: Any = 0.0

    def names(self, dim: int) -> tuple[str, ...]:
        """The motions in a space of ``dim`` dimensions. Raises `ValueError` for one that a node does not have."""
        names = MOTIONS[dim]
        if self.motions == "all":
            return names
        if self.motions == "displacements":
            return names[:dim]
        chosen = (self.motions,) if isinstance(self.motions, str) else self.motions
        for motion in chosen:
            if motion not in names:
                raise ValueError(
                    f"Support '{self.on}': '{motion}' is none of the motions {', '.join(names)} of a node in {dim}-D, "
                    "nor 'all' or 'displacements'."
                )
        return chosen

    def conditions(self, dim: int) -> list[Dirichlet]:
        """One condition for each motion."""
        return [Dirichlet(self.on, self.value, MOTIONS[dim].index(motion)) for motion in self.names(dim)]


class Release(eqx.Module):
    """Hinges at the ends of members: forces that they do not transmit.

    Args:
        on: a tag of cells.
        forces: of "axial", "shear_y", "shear_z", "torsion", "moment_y", "moment_z", in local axes.
        at: a tag of nodes: only the ends that lie there; both ends of every member when None.

    Raises:
        ValueError: for a force that is not one of those.
    """

    on: str = eqx.field(static=True)
    forces: tuple[str, ...] = eqx.field(static=True, converter=tuple, default=("moment_y", "moment_z"))
    at: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        for force in self.forces:
            if force not in FORCES:
                raise ValueError(f"Release of '{self.on}': '{force}' is not one of {listed(force, FORCES)}")

    @property
    def mask(self) -> np.ndarray:
        """Which of the six forces of an end are released."""
        return np.isin(FORCES, self.forces)


class RigidOffset(eqx.Module):
    """Rigid arms between the nodes and the ends of members, in m and global axes.

    Args:
        on: a tag of cells.
        start: from the first node to where the member starts.
        finish: from the second node to where it ends.
    """

    on: str = eqx.field(static=True)
    start: tuple[float, ...] = eqx.field(static=True, converter=tuple)
    finish: tuple[float, ...] = eqx.field(static=True, converter=tuple)


class MemberCondition(eqx.Module):
    """Something that acts along the members called ``on``."""

    on: eqx.AbstractVar[str]

    @abstractmethod
    def along(self, member: Member, x: Float[Array, "2 dim"]) -> MemberLoad:
        """What it is on one member between nodes at ``x``."""


class LineLoad(MemberCondition):
    r"""Forces and moments per length along members, linear from end to end of each.

    Args:
        on: a tag of cells.
        force: N/m, a vector ``(dim,)`` of numbers, parameters or inputs, or a `Profile` of the place.
        moment: N·m/m, likewise; one number in 2-D.
        local: whether both are given in the members' local axes (in 2-D: along the member, and to its left) rather
            than in the global ones.
    """

    on: str = eqx.field(static=True)
    force: Any = eqx.field(converter=lambda value: _coefficient(value))
    moment: Any = eqx.field(default=None, converter=lambda value: _coefficient(value))
    local: bool = eqx.field(static=True, default=False)

    def along(self, member: Member, x: Float[Array, "2 dim"]) -> MemberLoad:
        """The intensities at both ends."""
        ends = [jnp.concatenate([self._force(place), self._moment(place)]) for place in x]
        return MemberLoad(ends[0], ends[1], local=self.local)

    def _force(self, place: Array) -> Array:
        force = _at(self.force, place)
        if force.shape != place.shape:
            raise ValueError(f"Line load '{self.on}': a force of shape {force.shape} on a {len(place)}-D frame.")
        return force if len(force) == 3 else _planar(force, self.local)

    def _moment(self, place: Array) -> Array:
        if self.moment is None:
            return jnp.zeros(3)
        moment = _at(self.moment, place)
        if moment.shape != ((3,) if len(place) == 3 else ()):
            raise ValueError(f"Line load '{self.on}': a moment of shape {moment.shape} on a {len(place)}-D frame.")
        if len(place) == 3:
            return moment
        return jnp.zeros(3).at[1].set(-moment) if self.local else jnp.zeros(3).at[2].set(moment)


class SelfWeight(MemberCondition):
    r"""The weight of the members themselves, $\rho A g$.

    Args:
        acceleration: $g$ in m/s², a vector ``(dim,)``.
        on: a tag of cells.
    """

    acceleration: Any
    on: str = eqx.field(static=True)

    def __init__(self, acceleration: Any, on: str = "all") -> None:
        self.acceleration, self.on = _coefficient(acceleration), on

    def along(self, member: Member, x: Float[Array, "2 dim"]) -> MemberLoad:
        """The same at both ends."""
        pull = _at(self.acceleration, x[0])
        if pull.shape != x[0].shape:
            raise ValueError(f"Self-weight '{self.on}': an acceleration of shape {pull.shape}, not {x[0].shape}.")
        whole = jnp.zeros(6).at[: len(pull)].set(member.density * member.section.area * pull)
        return MemberLoad(whole, whole)


class Heating(MemberCondition):
    r"""A change of temperature of members.

    Args:
        on: a tag of cells.
        rise: $\Delta T$ in K at the axis.
        expansion: $\alpha$ in 1/K.
        gradient: in K/m along local $y$ and $z$; in 2-D one number, along the direction to the left of the member.
    """

    on: str = eqx.field(static=True)
    rise: Any
    expansion: Any
    gradient: Any = eqx.field(default=None, converter=lambda value: _coefficient(value))

    def along(self, member: Member, x: Float[Array, "2 dim"]) -> MemberLoad:
        """The same along the member."""
        gradient = jnp.zeros(2)
        if self.gradient is not None:
            given = _at(self.gradient, x[0])
            if given.shape != ((2,) if x.shape[1] == 3 else ()):
                raise ValueError(f"Heating '{self.on}': a gradient of shape {given.shape} on a {x.shape[1]}-D frame.")
            gradient = given if x.shape[1] == 3 else gradient.at[1].set(given)
        return MemberLoad(jnp.zeros(6), jnp.zeros(6), self.expansion, self.rise, gradient)


def _coefficient(value: Any) -> Any:
    """A sequence of numbers or placeholders as a `Vector`."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = Vector(tuple(value))
    if not is_constant(value) or isinstance(value, Law):
        raise ValueError("What acts along members cannot depend on their motion: give numbers or a Profile, no Law.")
    return value


def _at(value: Any, place: Array) -> Array:
    nothing: Any = Jet(jnp.zeros(()), jnp.zeros(place.shape))
    return evaluate(value, nothing, Point(place)) if isinstance(value, Profile | Vector) else jnp.asarray(value, float)


def _planar(force: Array, local: bool) -> Array:
    """Along and to the left of the member are its local x and z; otherwise global x and y."""
    zero = jnp.zeros(())
    return jnp.stack([force[0], zero, force[1]] if local else [force[0], force[1], zero])
