"""The internal forces of a small-strain material, and what spaces and quadrature they need."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from gemel.engine.coefficients import coefficient, is_constant, localise, resolve
from gemel.engine.fields import Jet, Point
from gemel.engine.history import HistoryForm, HistoryTerm
from gemel.engine.materials import PlaneStress, SmallStrainMaterial
from gemel.engine.materials.ranges import require_positive
from gemel.engine.materials.tensors import symmetric
from gemel.engine.physics.integrands import Reaction
from gemel.engine.physics.kinematics import (
    AXISYMMETRIC,
    PLANE_STRAIN,
    PLANE_STRESS,
    StressForm,
    displacement_gradient,
    internal_force,
    require_half_plane,
    require_kinematics,
    stress_parts,
)
from gemel.engine.problems import Summand, Term
from gemel.engine.spaces import FunctionSpace
from gemel.meshes import Mesh


class SmallStrain(StressForm, HistoryForm):
    """The stress of a small-strain material as flux.

    Args:
        material: the law; numbers in it may be coefficients.
        kinematics: "solid", "plane strain" or "axisymmetric"; plane stress is a matter of the material.
        state: see `HistoryForm`.
        dt: length of the step in s.
    """

    material: SmallStrainMaterial
    kinematics: str = eqx.field(static=True)
    state: Any = None
    dt: Any = 0.0

    def initial_state(self) -> Any:
        """That of the material."""
        return self.material.initial_state()

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        return internal_force(self.kinematics, self.stress(u, point), u, point)

    def stress(self, u: Jet, point: Point) -> Float[Array, "3 3"]:
        """The stress at the end of the step in Pa."""
        return self._update(u, point)[0]

    def advance(self, u: Jet, point: Point) -> Any:
        """The state at the end of the step."""
        return self._update(u, point)[1]

    def strain(self, u: Jet, point: Point) -> Float[Array, "3 3"]:
        r"""$\varepsilon$, in plane stress with the strain across the sheet."""
        strain = symmetric(displacement_gradient(self.kinematics, u, point))
        material = resolve(self.material, u, point)
        if isinstance(material, PlaneStress):
            return material.complete(strain, *resolve((self.state, self.dt), u, point))
        return strain

    def _update(self, u: Jet, point: Point) -> tuple[Array, Any]:
        strain = symmetric(displacement_gradient(self.kinematics, u, point))
        material = resolve(self.material, u, point)
        return material.update(strain, *resolve((self.state, self.dt), u, point))

    @property
    def tangent_parts(self) -> tuple[str, ...]:
        """Those of its stress."""
        return stress_parts(self.kinematics, self.material)

    @property
    def linear(self) -> bool:
        """True for a linear material whose numbers do not depend on the field."""
        return self.material.linear and is_constant(self.material)

    @property
    def symmetric(self) -> bool:
        """As the material, unless its numbers depend on the field."""
        return self.material.symmetric and is_constant(self.material)

    @property
    def tangent_parameters(self) -> Any:
        """All of it."""
        return (self.material, self.state, self.dt)


def small_strain_term(space: FunctionSpace, material: SmallStrainMaterial, kinematics: str) -> HistoryTerm:
    """The internal forces of a material, its numbers by tag where they are mappings."""
    require_material(material, SmallStrainMaterial, "small strains", "Isotropic or J2Plasticity")
    law = localise(space.mesh, material)
    if kinematics == PLANE_STRESS:
        form = SmallStrain(material=PlaneStress(law), kinematics=PLANE_STRAIN)
    else:
        form = SmallStrain(material=law, kinematics=kinematics)
    return HistoryTerm(form, degree=quadrature_degree(space, kinematics))


def inertia_terms(mesh: Mesh, density: Any, masses: Sequence[Summand]) -> list[Summand]:
    """The terms whose tangent is the mass matrix; none without a density. Raises `ValueError` for one out of range."""
    require_positive("The density", density)
    if density is None and masses:
        raise ValueError("Added masses need the density of the body as well.")
    return [] if density is None else [Term(Reaction(coefficient(mesh, density))), *masses]


def require_displacements(space: FunctionSpace, kinematics: str, allowed: Sequence[str]) -> None:
    """Raise `ValueError` unless a space holds displacements of a body of these kinematics."""
    dim = space.mesh.dim
    if space.shape != (dim,):
        raise ValueError(f"A solid on a {dim}-D mesh needs a function space of shape ({dim},), not {space.shape}.")
    require_kinematics(kinematics, dim, allowed)
    if kinematics == AXISYMMETRIC:
        require_half_plane(space.mesh)


def require_material(material: Any, kind: type, what: str, such: str) -> None:
    """Raise `ValueError` for what is no material of ``kind``."""
    if not isinstance(material, kind):
        raise ValueError(f"A body under {what} needs a material such as {such}, not {type(material).__name__}.")


def quadrature_degree(space: FunctionSpace, kinematics: str) -> int:
    """Full integration: of the products of gradients on cells without curvature, and the circumference."""
    curved = (space.mesh.degree - 1) * space.mesh.dim
    return 2 * space.degree + curved + (1 if kinematics == AXISYMMETRIC else 0)
