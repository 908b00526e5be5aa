r"""Pairing computed modes with measured ones by the modal assurance criterion, see `gemel.engine.measuredmodes`.

Modes whose frequencies are closer than a shape's ``close`` are one subspace: with the columns of $\Phi$ their values
at the measured points, the combination nearest to $\psi$ is $\Phi\Phi^+\psi$, and $\|\Phi\Phi^+\psi\|^2/\|\psi\|^2$
takes the place of the assurance, which it is for one mode alone.
Source: D'Ambrogio and Fregolent, *Higher-order MAC for the correlation of close and multiple modes*, Mech. Syst.
Signal Process. 17, 2003.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gemel.engine.measuredmodes import MeasuredShape
from gemel.engine.observations import Rows
from gemel.engine.spaces import FunctionSpace, Space, field_of
from gemel.meshes import MeshError

_BLIND = 1e-6
"""A mode of several close ones that moves the measured points by less than this share of another takes no part."""


class ShapePlaces(eqx.Module):
    """A measured shape on a space: the rows that read it, and what was measured."""

    rows: Rows
    parts: Float[Array | np.ndarray, "n parts"]
    least_mac: float = eqx.field(static=True)
    close: float = eqx.field(static=True)

    @staticmethod
    def of(name: str, shape: MeasuredShape, space: Space) -> "ShapePlaces":
        """Find the points in the mesh. Raises `ValueError` naming the sensor ``name``."""
        part, first = field_of(space, shape.field)
        dim = len(shape.points[0])
        if not isinstance(part, FunctionSpace) or part.mesh.dim != dim or part.n_components < dim:
            raise ValueError(
                f"Sensor '{name}' has a shape at points of {dim} coordinates: it needs a field of displacements in as "
                "many dimensions."
            )
        try:
            nodes, weights = part.interpolation(np.asarray(shape.points))
        except MeshError as error:
            raise ValueError(f"Sensor '{name}': a measured point lies outside the mesh.") from error
        unknowns = first + nodes[:, :, None] * part.n_components + np.arange(dim)
        projected = weights[:, :, None] * np.asarray(shape.directions)[:, None, :]
        count = len(shape.points)
        rows = Rows(unknowns.reshape(count, -1).astype(np.int32), projected.reshape(count, -1))
        return ShapePlaces(rows, shape.parts, shape.least_mac, shape.close)

    def at(self, vectors: Float[Array, "n_dofs k"]) -> Float[Array, "n k"]:
        """What the measured points and directions see of each mode."""
        return jax.vmap(self.rows.read, 1, 1)(vectors)

    def near(self, frequencies: Float[Array, " k"]) -> Float[Array, "k k"]:
        """For each mode, one at those that count as one with it and zero at the others."""
        gaps = jnp.abs(frequencies[:, None] - frequencies)
        return (gaps <= self.close * frequencies[:, None]).astype(float)


class Pair(NamedTuple):
    """The mode that a measured shape was paired with.

    ``mode`` counts from 0, ``weights`` (k,) combine the modes that count as one, of unit length.
    """

    mac: Float[Array, ""]
    mode: Int[Array, ""]
    near: Float[Array, " k"]
    weights: Float[Array, " k"]


def nearest(
    shapes: Float[Array, "n k"], near: Float[Array, " k"], parts: Float[Array | np.ndarray, "n parts"]
) -> tuple[Float[Array, "k parts"], Float[Array, "n parts"]]:
    """The weights of the modes in ``near``, and their combination, nearest to what was measured."""
    chosen = shapes * near
    weights = jnp.linalg.pinv(chosen, rtol=_BLIND) @ parts
    return weights, chosen @ weights


def pair(
    places: tuple[ShapePlaces, ...], frequencies: Float[Array, " k"], vectors: Float[Array, "n_dofs k"]
) -> list[Pair]:
    """Pair each measured shape with a mode of its own, those of highest assurance first.

    A selection: constant where no two assurances are equal, so it has no derivative; pass values without tangents.
    """
    if not places:
        return []
    assurances, nears, weights = [], [], []
    for place in places:
        near, shapes = place.near(frequencies), place.at(vectors)
        found, combined = jax.vmap(lambda mask, s=shapes, p=place: nearest(s, mask, p.parts))(near)
        assurances.append(jnp.sum(combined**2, axis=(1, 2)) / jnp.sum(place.parts**2))
        nears.append(near)
        weights.append(found[:, :, 0])
    open_ = jnp.stack(assurances)
    modes = jnp.zeros(len(places), jnp.int32)
    for _ in places:
        shape, mode = jnp.unravel_index(jnp.argmax(open_), open_.shape)
        modes = modes.at[shape].set(mode.astype(jnp.int32))
        open_ = open_.at[shape].set(-1.0).at[:, mode].set(-1.0)
    pairs = []
    for i, mode in enumerate(modes):
        combination = weights[i][mode]
        length = jnp.linalg.norm(combination)
        unit = combination / jnp.where(length > 0, length, 1.0)
        pairs.append(Pair(assurances[i][mode], mode, nears[i][mode], unit))
    return pairs
