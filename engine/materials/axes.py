"""Directions of an anisotropic material."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.materials.ranges import is_concrete, require_finite
from gemel.engine.materials.tensors import Tensor


class MaterialAxes(eqx.Module):
    r"""The three orthogonal axes of a material, turned about their third by an angle.

    Args:
        matrix: the axes $e_1, e_2, e_3$ in global coordinates as columns of a rotation ``(3, 3)``; those of
            space by default.
        angle: rotation of $e_1$ towards $e_2$ in rad, such as the direction of fibres in a sheet.

    Raises:
        ValueError: for a concrete matrix that is no rotation.
    """

    matrix: Any = eqx.field(default_factory=lambda: jnp.eye(3))
    angle: Any = 0.0

    def __check_init__(self) -> None:
        require_finite("The angle of material axes", self.angle)
        if is_concrete(self.matrix):
            matrix = np.asarray(self.matrix, dtype=float)
            orthogonal = matrix.shape == (3, 3) and np.allclose(matrix.T @ matrix, np.eye(3), atol=1e-8)
            if not orthogonal or np.linalg.det(matrix) < 0:
                raise ValueError(
                    "Material axes must be a right-handed rotation matrix (3, 3) with unit vectors as columns, "
                    f"not {matrix.tolist()}."
                )

    def rotation(self) -> Float[Array, "3 3"]:
        """The turned axes as columns."""
        c, s = jnp.cos(self.angle), jnp.sin(self.angle)
        zero, one = jnp.zeros_like(c), jnp.ones_like(c)
        turn = jnp.stack([jnp.stack([c, -s, zero]), jnp.stack([s, c, zero]), jnp.stack([zero, zero, one])])
        return jnp.asarray(self.matrix) @ turn

    def to_material(self, tensor: Tensor) -> Tensor:
        """The components of a tensor along the axes."""
        rotation = self.rotation()
        return rotation.T @ tensor @ rotation

    def to_global(self, tensor: Tensor) -> Tensor:
        """The inverse of `to_material`."""
        rotation = self.rotation()
        return rotation @ tensor @ rotation.T
