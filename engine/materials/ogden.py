"""Ogden elasticity of rubber, in principal stretches."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gemel.engine.materials.material import DecoupledMaterial
from gemel.engine.materials.matrix_power import trace_power
from gemel.engine.materials.ranges import is_number, require, require_finite, require_positive
from gemel.engine.materials.tensors import Scalar, Tensor, determinant


class Ogden(DecoupledMaterial):
    r"""$\psi = \sum_p \frac{\mu_p}{\alpha_p} (\bar\lambda_1^{\alpha_p} + \bar\lambda_2^{\alpha_p} +
    \bar\lambda_3^{\alpha_p} - 3) + \tfrac{K}{2} (J - 1)^2$ with $\bar\lambda_i = J^{-1/3}\lambda_i$.

    The shear modulus at small strains is $\tfrac12 \sum_p \mu_p \alpha_p$ (some codes write $2\mu_p/\alpha_p^2$ for
    $\mu_p/\alpha_p$). Stress and tangent exist at equal stretches: the sum of powers is $\mathrm{tr}\,
    C^{\alpha_p/2}$, see `matrix_power`.

    Args:
        moduli: $\mu_p$ in Pa, one for each term.
        exponents: $\alpha_p \ne 0$, one for each term, with $\sum_p \mu_p \alpha_p > 0$.
        bulk_modulus: $K > 0$ in Pa.

    Raises:
        ValueError: for a number out of range, or unequal numbers of moduli and exponents.

    Source: Ogden, *Large deformation isotropic elasticity*, Proc. R. Soc. A 326 (1972) and 328 (1972).
    """

    moduli: tuple[Any, ...]
    exponents: tuple[Any, ...]
    bulk_modulus: Any

    def __init__(self, moduli: Sequence[Any], exponents: Sequence[Any], bulk_modulus: Any) -> None:
        self.moduli = tuple(moduli)
        self.exponents = tuple(exponents)
        self.bulk_modulus = bulk_modulus

    def __check_init__(self) -> None:
        if not self.moduli or len(self.moduli) != len(self.exponents):
            raise ValueError(
                "An Ogden material needs one exponent for each modulus and at least one of each, "
                f"not {len(self.moduli)} moduli and {len(self.exponents)} exponents."
            )
        for mu, alpha in zip(self.moduli, self.exponents, strict=True):
            require_finite("A modulus of an Ogden material", mu)
            require("An exponent of an Ogden material", alpha, "other than zero", lambda numbers: numbers != 0)
        require_positive("The bulk modulus", self.bulk_modulus)
        if all(map(is_number, (*self.moduli, *self.exponents))):
            total = sum(mu * alpha for mu, alpha in zip(self.moduli, self.exponents, strict=True))
            require_positive("The sum of modulus times exponent of an Ogden material", total)

    def isochoric_energy(self, F: Tensor) -> Scalar:
        r"""The part in the stretches, in J/m³."""
        mu = jnp.stack([jnp.asarray(modulus, F.dtype) for modulus in self.moduli])
        alpha = jnp.stack([jnp.asarray(exponent, F.dtype) for exponent in self.exponents])
        powers = jax.vmap(trace_power, (None, 0))(F.T @ F, alpha / 2)
        return jnp.sum(mu / alpha * (determinant(F) ** (-alpha / 3) * powers - 3))
