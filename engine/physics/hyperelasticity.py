r"""Large deformations of rubber-like bodies in the reference configuration (total Lagrangian).

$$ \int P(F) : \nabla v \, dX = \int f \cdot v\, dX, \quad F = I + \nabla u, \quad P = \partial\psi/\partial F $$

With a pressure $p$ of its own, the stationary points of

$$ \int \psi_{iso}(F) + p\,(J - 1) - \frac{p^2}{2K} \, dX $$

which keeps its accuracy up to the incompressible limit where the pair of spaces is stable (P2-P1, Q2-Q1).

Source: Bonet, Wood, *Nonlinear Continuum Mechanics for Finite Element Analysis*, 2nd ed., 2008, chapters 8 and 9;
Sussman, Bathe, *A finite element formulation for nonlinear incompressible elastic and inelastic analysis*, Comput.
Struct. 26, 1987.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import evaluate, is_constant, localise, resolve
from gemel.engine.constraints import Condition
from gemel.engine.fields import Jet, Point
from gemel.engine.materials import DecoupledMaterial, FiniteStrainMaterial
from gemel.engine.materials.tensors import cofactor, determinant
from gemel.engine.physics.elasticity import known_places, rigid_body_modes
from gemel.engine.physics.kinematics import (
    AXISYMMETRIC,
    PLANE_STRAIN,
    SOLID,
    KinematicForm,
    StressForm,
    displacement_gradient,
    internal_force,
    on_field,
    revolved,
    stress_parts,
    weight,
)
from gemel.engine.physics.physics import Physics, divide
from gemel.engine.physics.smallstrain import inertia_terms, quadrature_degree, require_displacements, require_material
from gemel.engine.problems import DiscreteProblem, Summand, Term, discretise
from gemel.engine.spaces import FunctionSpace, MixedSpace


def deformation_gradient(kinematics: str, u: Jet, point: Point) -> Float[Array, "3 3"]:
    r"""$F = I + \nabla u$."""
    return jnp.eye(3) + displacement_gradient(kinematics, u, point)


class LargeStrainForm(StressForm):
    """A form whose pair is the first derivative of an energy, that of a saddle among them."""

    material: eqx.AbstractVar[Any]

    @property
    def linear(self) -> bool:
        """Never."""
        return False

    @property
    def symmetric(self) -> bool:
        """A second derivative, unless numbers of the material depend on the field."""
        return is_constant(self.material)

    @property
    def tangent_parameters(self) -> Any:
        """The material."""
        return self.material


class FiniteStrain(LargeStrainForm):
    """The first Piola-Kirchhoff stress of a hyperelastic material as flux."""

    material: FiniteStrainMaterial
    kinematics: str = eqx.field(static=True)

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        stress = resolve(self.material, u, point).first_piola(deformation_gradient(self.kinematics, u, point))
        return internal_force(self.kinematics, stress, u, point)

    @property
    def tangent_parts(self) -> tuple[str, ...]:
        """Those of its stress."""
        return stress_parts(self.kinematics, self.material)

    def stress(self, u: Jet, point: Point) -> Float[Array, "3 3"]:
        """The Cauchy stress in Pa."""
        return resolve(self.material, u, point).cauchy(deformation_gradient(self.kinematics, u, point))

    def strain(self, u: Jet, point: Point) -> Float[Array, "3 3"]:
        """The Green-Lagrange strain."""
        return _green_lagrange(deformation_gradient(self.kinematics, u, point))


class MixedFiniteStrain(LargeStrainForm):
    """Displacement ``u`` and pressure ``p`` (the mean Cauchy stress, positive in tension) as separate fields."""

    material: DecoupledMaterial
    kinematics: str = eqx.field(static=True)

    def dual(self, u: dict[str, Jet], point: Point) -> dict[str, Jet]:
        """The pairs of both fields at one point."""
        deformation, material = self._at(u, point)
        p = u["p"].value
        stress = jax.grad(material.isochoric_energy)(deformation) + p * cofactor(deformation)
        volume = determinant(deformation) - 1 - p / material.bulk_modulus
        around = weight(self.kinematics, point)
        force = internal_force(self.kinematics, stress, u["u"], point)
        return {"u": force, "p": Jet(around * volume, jnp.zeros_like(u["p"].grad))}

    def stress(self, u: dict[str, Jet], point: Point) -> Float[Array, "3 3"]:
        """The Cauchy stress in Pa."""
        deformation, material = self._at(u, point)
        isochoric = jax.grad(material.isochoric_energy)(deformation) @ deformation.T / determinant(deformation)
        return isochoric + u["p"].value * jnp.eye(3)

    def strain(self, u: dict[str, Jet], point: Point) -> Float[Array, "3 3"]:
        """The Green-Lagrange strain."""
        return _green_lagrange(self._at(u, point)[0])

    def _at(self, u: dict[str, Jet], point: Point) -> tuple[Array, DecoupledMaterial]:
        deformation = deformation_gradient(self.kinematics, u["u"], point)
        return deformation, resolve(self.material, u["u"], point)


def _green_lagrange(deformation: Array) -> Array:
    return 0.5 * (deformation.T @ deformation - jnp.eye(3))


class FollowerLoad(KinematicForm):
    r"""A pressure on the deformed surface, $p\, \mathrm{cof}(F)\, N$ per area of the reference surface."""

    pressure: Any
    kinematics: str = eqx.field(static=True)

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        assert point.normal is not None
        dim = len(point.x)
        normal = jnp.zeros(3).at[:dim].set(point.normal)
        area = cofactor(deformation_gradient(self.kinematics, u, point)) @ normal
        force = evaluate(self.pressure, u, point) * weight(self.kinematics, point) * area[:dim]
        return Jet(force, jnp.zeros_like(u.grad))

    @property
    def linear(self) -> bool:
        """Never: the surface moves."""
        return False

    @property
    def symmetric(self) -> bool:
        """Not on a surface with an edge that moves; taken as never."""
        return False

    @property
    def tangent_parameters(self) -> Any:
        """The pressure."""
        return self.pressure


def FollowerPressure(on: str, pressure: Any, kinematics: str = SOLID) -> Term:
    """Pressure in Pa into the body that stays normal to the deformed surface and counts its deformed area.

    ``kinematics`` as in the physics; `Hyperelasticity` fills in its own.
    """
    return Term(FollowerLoad(pressure=pressure, kinematics=kinematics), on, facets=True)


class Hyperelasticity(Physics):
    """A hyperelastic body under large deformations.

    Args:
        space: a space of shape ``(dim,)`` for the displacement in m; or, for nearly incompressible materials, a
            `MixedSpace` of the displacement "u" and a scalar pressure "p" of one degree less.
        material: any `FiniteStrainMaterial`; a `DecoupledMaterial` on a mixed space. Its numbers may be
            parameters, inputs, `Profile`, or mappings from tags of cells to numbers or parameters.
        density: of the reference configuration in kg/m³, needed for dynamic analyses; likewise.
        conditions: `Dirichlet` displacements (on "u" unless they name their field), `FollowerPressure`, and loads
            per reference area or volume: `Traction`, `BodyForce`, `Gravity`, `Centrifugal`, `ElasticSupport`.
        masses: `AddedMass` terms.
        kinematics: "solid" in 3-D; "plane strain" or "axisymmetric" in 2-D.
        dampings: terms whose tangent is the damping matrix, such as `Dashpots`.

    Raises:
        ValueError: for a space or material that does not fit, unknown kinematics or tags.
    """

    problem: DiscreteProblem
    inertia: DiscreteProblem | None
    damping: DiscreteProblem | None

    def __init__(
        self,
        space: FunctionSpace | MixedSpace,
        material: FiniteStrainMaterial,
        density: Any | Mapping[str, Any] = None,
        conditions: Sequence[Summand | Condition] = (),
        masses: Sequence[Summand] = (),
        kinematics: str = SOLID,
        dampings: Sequence[Summand] = (),
    ) -> None:
        require_material(material, FiniteStrainMaterial, "large strains", "NeoHookean or MooneyRivlin")
        displacements = _displacements(space, material)
        require_displacements(displacements, kinematics, (SOLID, PLANE_STRAIN, AXISYMMETRIC))
        mesh = space.mesh
        law = localise(mesh, material)
        mixed = isinstance(space, MixedSpace)
        form = _internal_form(mixed, law, kinematics)
        names = ("u", "p") if mixed else None
        inner = Term(form, degree=quadrature_degree(displacements, kinematics), fields=names)
        storage = inertia_terms(mesh, density, masses)
        field = "u" if mixed else None
        loads, essential = divide("Hyperelasticity", conditions)
        groups = [revolved(kinematics, on_field(field, group)) for group in (storage, dampings)]
        loads = [_with_kinematics(load, kinematics) for load in on_field(field, loads)]
        terms = [inner, *revolved(kinematics, loads)]
        self.problem, inertia, damping = discretise(space, on_field(field, essential), terms, *groups)
        self.inertia = inertia if storage else None
        self.damping = damping if dampings else None

    def near_nullspace(self) -> np.ndarray | None:
        """The rigid-body motions at the nodes; None on a mixed space."""
        space = self.problem.space
        return rigid_body_modes(known_places(space)) if isinstance(space, FunctionSpace) else None


def _displacements(space: FunctionSpace | MixedSpace, material: FiniteStrainMaterial) -> FunctionSpace:
    """The space of displacements. Raises `ValueError` where a mixed space or its material does not fit."""
    if isinstance(space, FunctionSpace):
        return space
    if set(space.names) != {"u", "p"}:
        raise ValueError(f"A mixed space for rubber has the fields 'u' and 'p', not {', '.join(space.names)}.")
    u, p = space["u"], space["p"]
    if not isinstance(u, FunctionSpace) or not isinstance(p, FunctionSpace) or p.shape or p.degree >= u.degree:
        raise ValueError("The pressure 'p' must be a scalar function space of lower degree than the displacement 'u'.")
    if not isinstance(material, DecoupledMaterial):
        raise ValueError(
            f"A mixed space needs a material with a bulk modulus of its own (MooneyRivlin, Ogden), "
            f"not {type(material).__name__}."
        )
    return u


def _internal_form(mixed: bool, material: FiniteStrainMaterial, kinematics: str) -> StressForm:
    if mixed:
        assert isinstance(material, DecoupledMaterial)
        return MixedFiniteStrain(material=material, kinematics=kinematics)
    return FiniteStrain(material=material, kinematics=kinematics)


def _with_kinematics(load: Summand, kinematics: str) -> Summand:
    """A follower load with the kinematics of its body."""
    if isinstance(load, Term) and isinstance(load.form, FollowerLoad):
        form = FollowerLoad(pressure=load.form.pressure, kinematics=kinematics)
        return Term(form, load.on, load.facets, load.total, load.degree, load.fields)
    return load
