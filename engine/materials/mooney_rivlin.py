"""Mooney-Rivlin elasticity of rubber."""

from typing import Any

import jax.numpy as jnp

from gemel.engine.materials.material import DecoupledMaterial
from gemel.engine.materials.ranges import is_number, require_finite, require_positive
from gemel.engine.materials.tensors import Scalar, Tensor, determinant


class MooneyRivlin(DecoupledMaterial):
    r"""$\psi = c_{10} (\bar I_1 - 3) + c_{01} (\bar I_2 - 3) + \tfrac{K}{2} (J - 1)^2$.

    $\bar I_1 = J^{-2/3}\,\mathrm{tr}\, C$ and $\bar I_2 = J^{-4/3}\,\tfrac12(\mathrm{tr}^2 C - \mathrm{tr}\, C^2)$
    with $C = F^\top F$. The shear modulus at small strains is $2 (c_{10} + c_{01})$. With $c_{01} = 0$ this is the
    neo-Hookean law with a volumetric split.

    Args:
        c10: in Pa.
        c01: in Pa, with $c_{10} + c_{01} > 0$.
        bulk_modulus: $K > 0$ in Pa.

    Raises:
        ValueError: for a number out of range.

    Source: Mooney, *A theory of large elastic deformation*, J. Appl. Phys. 11, 1940; Rivlin, *Large elastic
    deformations of isotropic materials IV*, Phil. Trans. R. Soc. A 241, 1948.
    """

    c10: Any
    c01: Any
    bulk_modulus: Any

    def __check_init__(self) -> None:
        require_finite("c10", self.c10)
        require_finite("c01", self.c01)
        require_positive("The bulk modulus", self.bulk_modulus)
        if is_number(self.c10) and is_number(self.c01):
            require_positive("c10 + c01 of a Mooney-Rivlin material", self.c10 + self.c01)

    def isochoric_energy(self, F: Tensor) -> Scalar:
        r"""The part in $c_{10}$ and $c_{01}$, in J/m³."""
        c = F.T @ F
        scale = determinant(F) ** (-2 / 3)
        first = jnp.trace(c)
        second = 0.5 * (first**2 - jnp.sum(c * c))
        return self.c10 * (scale * first - 3) + self.c01 * (scale**2 * second - 3)
