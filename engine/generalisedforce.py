"""Loads on numbers that belong to no place."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gemel.engine.chunks import Chunks
from gemel.engine.problems import Contribution, Summand
from gemel.engine.spaces import RealSpace, Space, field_of
from gemel.engine.tangents import Loading, Quadratic


class GeneralisedForce(Summand):
    r"""What works on the numbers $q$ of a `RealSpace`: $-F \cdot \delta q$ in the residual.

    On the motion of a `RigidConnection` the force in N and the moment in N m about the reference point.

    Args:
        field: the field of the numbers.
        value: $F$, one entry a number: an array, or a tuple of numbers, parameters and inputs.
    """

    field: str = eqx.field(static=True)
    value: Any

    def plan(self, space: Space) -> "_Force":
        """Find the unknowns. Raises `ValueError` for another field, or another count of entries."""
        part, start = field_of(space, self.field)
        if not isinstance(part, RealSpace):
            raise ValueError(f"A generalised force needs a RealSpace: the field '{self.field}' has nodes.")
        count = len(self.value) if isinstance(self.value, tuple | list) else np.shape(self.value)
        if count not in (part.size, (part.size,)):
            raise ValueError(f"The generalised force on '{self.field}' needs {part.size} entries.")
        return _Force(self.value, start + np.arange(part.size)[None])


class _Force(Loading, Quadratic, Contribution):
    """A load on the unknowns of one element."""

    value: Any
    unknowns: Int[np.ndarray | Array, "1 size"]

    def dofs(self) -> list[np.ndarray]:
        """One group of one element."""
        return [np.asarray(self.unknowns, dtype=np.int64)]

    def residuals(self, u: Float[Array, " n"], points: Array) -> list[Array]:
        """Minus the load."""
        value = self.value
        stacked = (
            jnp.stack([jnp.asarray(entry, float) for entry in value]) if isinstance(value, tuple | list) else value
        )
        return [-jnp.asarray(stacked, float)[None]]

    def tangents(self, u: Float[Array, " n"], points: Array) -> list[Chunks]:
        """Zeros."""
        n = self.unknowns.shape[1]
        return [Chunks.made(jnp.zeros((n, n, 1)))]
