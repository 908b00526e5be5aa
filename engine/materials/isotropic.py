"""Isotropic linear elasticity."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from gemel.engine.materials.material import LinearMaterial
from gemel.engine.materials.ranges import require_poisson, require_positive
from gemel.engine.materials.tensors import Tensor


def lame_constants(youngs_modulus: Any, poisson_ratio: Any) -> tuple[Array, Array]:
    r"""The Lamé constants $\lambda = \frac{E\nu}{(1+\nu)(1-2\nu)}$ and $\mu = \frac{E}{2(1+\nu)}$ in Pa."""
    e, nu = jnp.asarray(youngs_modulus), jnp.asarray(poisson_ratio)
    return e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))


class Isotropic(LinearMaterial):
    r"""Hooke's law $\sigma = \lambda\,\mathrm{tr}(\varepsilon)\, I + 2\mu\,\varepsilon$.

    Args:
        youngs_modulus: $E > 0$ in Pa.
        poisson_ratio: $-1 < \nu < 0.5$.

    Raises:
        ValueError: for a number out of range.
    """

    youngs_modulus: Any
    poisson_ratio: Any

    def __check_init__(self) -> None:
        require_positive("Young's modulus", self.youngs_modulus)
        require_poisson("Poisson's ratio", self.poisson_ratio)

    def initial_state(self) -> None:
        """None: no history."""

    def update(self, strain: Tensor, state: Any, dt: Any) -> tuple[Tensor, Any]:
        """Hooke's law, whatever the step."""
        first, mu = lame_constants(self.youngs_modulus, self.poisson_ratio)
        return first * jnp.trace(strain) * jnp.eye(3) + 2 * mu * strain, state
