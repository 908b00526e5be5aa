"""Compressible neo-Hookean elasticity."""

from typing import Any

import jax.numpy as jnp

from gemel.engine.materials.isotropic import lame_constants
from gemel.engine.materials.material import FiniteStrainMaterial
from gemel.engine.materials.ranges import require_not_negative, require_poisson, require_positive
from gemel.engine.materials.tensors import Scalar, Tensor, determinant


class NeoHookean(FiniteStrainMaterial):
    r"""$\psi = \tfrac{\mu}{2} (I_1 - 3 - 2\ln J) + \tfrac{\lambda}{2} (\ln J)^2$ with $I_1 = F : F$, $J = \det F$.

    Volume and shape are coupled (no isochoric split); at small strains it is Hooke's law with the Lamé constants
    $\lambda$ and $\mu$. `MooneyRivlin` with ``c01 = 0`` is the neo-Hookean law with the split.

    Args:
        shear_modulus: $\mu > 0$ in Pa.
        lame_parameter: $\lambda \ge 0$ in Pa.

    Raises:
        ValueError: for a number out of range.

    Source: Bonet, Wood, *Nonlinear Continuum Mechanics for Finite Element Analysis*, 2nd ed., 2008, section 6.4.3.
    """

    shear_modulus: Any
    lame_parameter: Any

    def __check_init__(self) -> None:
        require_positive("The shear modulus", self.shear_modulus)
        require_not_negative("The first Lamé parameter", self.lame_parameter)

    @staticmethod
    def from_young(youngs_modulus: Any, poisson_ratio: Any) -> "NeoHookean":
        r"""The material that is `Isotropic` with $E$ and $0 \le \nu < 0.5$ at small strains."""
        require_positive("Young's modulus", youngs_modulus)
        require_poisson("Poisson's ratio", poisson_ratio)
        first, mu = lame_constants(youngs_modulus, poisson_ratio)
        return NeoHookean(mu, first)

    def energy(self, F: Tensor) -> Scalar:
        r"""$\psi$ in J/m³."""
        log_j = jnp.log(determinant(F))
        return 0.5 * self.shear_modulus * (jnp.sum(F * F) - 3 - 2 * log_j) + 0.5 * self.lame_parameter * log_j**2
