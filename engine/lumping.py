"""Lumped mass: a diagonal in place of the mass matrix."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.problems import DiscreteProblem
from gemel.engine.spaces import FunctionSpace


def lumped_mass(inertia: DiscreteProblem) -> Float[Array, " n_dofs"]:
    r"""The diagonal of a lumped mass matrix in kg, before constraints.

    In each element $m_i = M_{ii} \, m_e / \sum_j M_{jj}$, the sum over the unknowns of one direction, $m_e$ the
    mass that the element has in that direction: positive for elements of any degree, where the sums of rows are
    not, and equal to them for linear simplices.

    Raises `ValueError` on a space of several fields.

    Source: Hinton, Rock, Zienkiewicz, *A note on mass lumping and related processes in the finite element
    method*, Earthquake Eng. Struct. Dyn. 4, 1976.
    """
    space = inertia.space
    if not isinstance(space, FunctionSpace):
        raise ValueError("The mass is lumped for one field of displacements, not for several fields.")
    zero, points = jnp.zeros(space.n_dofs), jnp.asarray(space.mesh.points)
    total = zero
    for part, gather in zip(inertia.contributions, inertia.to_vector, strict=True):
        locals_ = (chunks.filled() for chunks in part.tangents(zero, points))
        total = total + gather([_lumped(local, space.n_components) for local in locals_])
    return total


def _lumped(local: Float[Array, "n n e"], components: int) -> Float[Array, "e n"]:
    """The lumped element matrices; the unknowns of an element run through the directions at each node in turn."""
    diagonal = jnp.diagonal(local, axis1=0, axis2=1)
    lumped = jnp.zeros_like(diagonal)
    for axis in range(components):
        inside = jnp.arange(local.shape[1]) % components == axis
        mass = jnp.sum(local[axis::components, axis::components], axis=(0, 1))
        share = jnp.where(inside, diagonal, 0.0)
        sums = share.sum(axis=1)
        lumped = lumped + share * (mass / jnp.where(sums == 0, 1.0, sums))[:, None]
    return lumped
