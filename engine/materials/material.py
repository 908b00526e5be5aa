"""What every material offers: a law at one point, between tensors of three dimensions."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from gemel.engine.materials.tensors import Scalar, Tensor, determinant, symmetric


class SmallStrainMaterial(eqx.Module):
    r"""A law $(\varepsilon_{n+1}, z_n, \Delta t) \mapsto (\sigma_{n+1}, z_{n+1})$ for small strains.

    Strain and stress are symmetric ``(3, 3)`` tensors (no factor 2 off the diagonal), stress in Pa. History is an
    explicit state $z$: a pytree of arrays of one point, empty for an elastic material. The update over a step is
    implicit in time, pure, and differentiable in strain, state, step and every number of the material; those
    numbers are leaves, and may be placeholders (a parameter, a value by region, a law) until a form resolves them.
    """

    @property
    @abstractmethod
    def linear(self) -> bool:
        """True where stress is affine in strain, so that one linear solve suffices."""

    @property
    @abstractmethod
    def symmetric(self) -> bool:
        """True where the tangent has major symmetry."""

    @abstractmethod
    def initial_state(self) -> Any:
        """The state of the virgin material: a pytree of arrays, None without history. Needs no numbers."""

    @abstractmethod
    def update(self, strain: Tensor, state: Any, dt: Any) -> tuple[Tensor, Any]:
        """The stress in Pa and the new state after a step of ``dt`` s that ends at ``strain``."""

    def tangent(self, strain: Tensor, state: Any, dt: Any) -> Float[Array, "3 3 3 3"]:
        r"""The consistent tangent $\partial\sigma_{ij} / \partial\varepsilon_{kl}$ in Pa, symmetric in $k, l$."""
        return jax.jacfwd(lambda e: self.update(symmetric(e), state, dt)[0])(strain)


class LinearMaterial(SmallStrainMaterial):
    """A law whose stress is affine in the strain of a step, with an energy: the tangent has major symmetry."""

    @property
    def linear(self) -> bool:
        """Always."""
        return True

    @property
    def symmetric(self) -> bool:
        """Always."""
        return True


class WrappedMaterial(SmallStrainMaterial):
    """A law made of another, with its history and, where the wrapping keeps them, its linearity and symmetry."""

    material: eqx.AbstractVar[SmallStrainMaterial]

    @property
    def linear(self) -> bool:
        """As the material."""
        return self.material.linear

    @property
    def symmetric(self) -> bool:
        """As the material."""
        return self.material.symmetric

    def initial_state(self) -> Any:
        """That of the material."""
        return self.material.initial_state()


class FiniteStrainMaterial(eqx.Module):
    r"""A hyperelastic law: the energy $\psi(F)$ per reference volume of the deformation gradient ``F (3, 3)``.

    Objective: $\psi(QF) = \psi(F)$ for rotations $Q$. Where $\det F \le 0$ the energy is not a number, which a
    line search takes as a step too far. The numbers of the material are leaves, as in `SmallStrainMaterial`.
    """

    @abstractmethod
    def energy(self, F: Tensor) -> Scalar:
        r"""$\psi$ in J/m³ (of the reference configuration), zero at $F = I$."""

    def first_piola(self, F: Tensor) -> Tensor:
        r"""$P = \partial\psi/\partial F$ in Pa: force over reference area."""
        return jax.grad(self.energy)(F)

    def cauchy(self, F: Tensor) -> Tensor:
        r"""$\sigma = J^{-1} P F^\top$ in Pa: force over deformed area."""
        return self.first_piola(F) @ F.T / determinant(F)

    def tangent(self, F: Tensor) -> Float[Array, "3 3 3 3"]:
        r"""$\partial P_{iJ} / \partial F_{kL}$ in Pa."""
        return jax.jacfwd(self.first_piola)(F)


class DecoupledMaterial(FiniteStrainMaterial):
    r"""A hyperelastic law with its volumetric part apart: $\psi = \psi_{iso}(F) + \tfrac{K}{2} (J - 1)^2$.

    $\psi_{iso}$ depends on $\bar F = J^{-1/3} F$ alone, so $K$ is the bulk modulus at every shear stiffness, the
    mean Cauchy stress is $p = K (J - 1)$, and a mixed form can take $p$ as an unknown of its own up to the
    incompressible limit.

    Source: Flory, *Thermodynamic relations for high elastic materials*, Trans. Faraday Soc. 57, 1961; Holzapfel,
    *Nonlinear Solid Mechanics*, 2000, section 6.4.
    """

    bulk_modulus: eqx.AbstractVar[Any]

    @abstractmethod
    def isochoric_energy(self, F: Tensor) -> Scalar:
        r"""$\psi_{iso}$ in J/m³; unchanged where $F$ is scaled by a number."""

    def energy(self, F: Tensor) -> Scalar:
        r"""$\psi$ in J/m³."""
        return self.isochoric_energy(F) + 0.5 * self.bulk_modulus * (determinant(F) - 1) ** 2
