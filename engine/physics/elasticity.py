r"""Linear elasticity, static and modal.

$$ \rho \ddot u - \nabla\cdot\sigma = f, \quad \sigma = \lambda\, \mathrm{tr}\,\varepsilon\, I + 2\mu\,\varepsilon,
   \quad \varepsilon = \tfrac12(\nabla u + \nabla u^\top) $$

Source: Hughes, *The Finite Element Method*, 2000, chapter 2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.coefficients import coefficient, evaluate, is_constant
from gemel.engine.constraints import Condition
from gemel.engine.fields import Jet, Point, sym_grad
from gemel.engine.forms import Form
from gemel.engine.materials import Isotropic, SmallStrainMaterial
from gemel.engine.materials.ranges import require_not_negative
from gemel.engine.physics.integrands import Load, Reaction, require_load
from gemel.engine.physics.kinematics import (
    AXISYMMETRIC,
    PLANE_STRAIN,
    PLANE_STRESS,
    SOLID,
    StressForm,
    revolved,
    stress_parts,
)
from gemel.engine.physics.physics import Physics, divide
from gemel.engine.physics.smallstrain import inertia_terms, require_displacements, small_strain_term
from gemel.engine.problems import DiscreteProblem, Integral, Summand, Term, discretise
from gemel.engine.recovery import nodal_average
from gemel.engine.spaces import FunctionSpace
from gemel.engine.tangents import Loading
from gemel.solvers.implicit import stop_gradient


def lame(youngs_modulus: Any, poisson_ratio: Any, kinematics: str = "solid") -> tuple[Array, Array]:
    r"""The Lamé parameters $(\lambda, \mu)$ in Pa.

    In plane stress $\lambda$ is replaced by $2\lambda\mu/(\lambda + 2\mu)$, which makes
    $\sigma_{zz} = 0$.
    """
    e, nu = jnp.asarray(youngs_modulus), jnp.asarray(poisson_ratio)
    mu = e / (2 * (1 + nu))
    first = e * nu / ((1 + nu) * (1 - 2 * nu))
    return (2 * first * mu / (first + 2 * mu) if kinematics == "plane stress" else first), mu


class Hooke(StressForm):
    """The isotropic linear stress as flux, in space, plane strain or plane stress."""

    youngs_modulus: Any
    poisson_ratio: Any
    kinematics: str = eqx.field(static=True)

    def stress(self, u: Jet, point: Point) -> Float[Array, "3 3"]:
        r"""$\sigma$ in Pa."""
        plane = self._in_plane(u, point)
        if len(plane) == 3:
            return plane
        outward = 0.0
        if self.kinematics == PLANE_STRAIN:
            outward = evaluate(self.poisson_ratio, u, point) * jnp.trace(plane)
        return jnp.zeros((3, 3)).at[:2, :2].set(plane).at[2, 2].set(outward)

    def strain(self, u: Jet, point: Point) -> Float[Array, "3 3"]:
        r"""$\varepsilon$."""
        plane = sym_grad(u)
        if len(plane) == 3:
            return plane
        outward = 0.0
        if self.kinematics == PLANE_STRESS:
            nu = evaluate(self.poisson_ratio, u, point)
            outward = -nu / (1 - nu) * jnp.trace(plane)
        return jnp.zeros((3, 3)).at[:2, :2].set(plane).at[2, 2].set(outward)

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        return Jet(jnp.zeros_like(u.value), self._in_plane(u, point))

    def _in_plane(self, u: Jet, point: Point) -> Array:
        modulus = evaluate(self.youngs_modulus, u, point)
        first, mu = lame(modulus, evaluate(self.poisson_ratio, u, point), self.kinematics)
        strain = sym_grad(u)
        return first * jnp.trace(strain) * jnp.eye(len(strain)) + 2 * mu * strain

    @property
    def tangent_parts(self) -> tuple[str, ...]:
        """Those of its stress."""
        return stress_parts(self.kinematics, (self.youngs_modulus, self.poisson_ratio))

    @property
    def linear(self) -> bool:
        """True unless a coefficient depends on the field."""
        return is_constant((self.youngs_modulus, self.poisson_ratio))

    @property
    def symmetric(self) -> bool:
        """True unless a coefficient depends on the field."""
        return is_constant((self.youngs_modulus, self.poisson_ratio))

    @property
    def tangent_parameters(self) -> Any:
        """The elastic constants."""
        return (self.youngs_modulus, self.poisson_ratio)

    @property
    def homogeneous(self) -> bool:
        """Always."""
        return True


class NormalLoad(Loading, Form):
    """A pressure against the outward normal."""

    pressure: Any

    def __check_init__(self) -> None:
        require_load(self.pressure)

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        assert point.normal is not None
        return Jet(evaluate(self.pressure, u, point) * point.normal, jnp.zeros_like(u.grad))

    @property
    def linear(self) -> bool:
        """True unless the pressure depends on the field."""
        return is_constant(self.pressure)

    @property
    def symmetric(self) -> bool:
        """True unless the pressure depends on the field."""
        return is_constant(self.pressure)


def Traction(on: str, value: Any) -> Term:
    """Force per area on facets, Pa, a vector ``(dim,)``; for a total in N see `Force`."""
    return Term(Load(value), on, facets=True)


def Force(on: str, value: Any, facets: bool = True, shape: Any = None) -> Term:
    r"""A force on all of a region: spread evenly over its measure, $t = F / |\Gamma|$, or as $t = F\,s / \int s$.

    An $F$ that is itself not the same everywhere counts at each point as if it were so in all of the region, as with
    `Power`: the resultant is its mean.

    Args:
        on: a tag of facets, or of cells.
        value: $F$ in N (per m of depth in 2-D), a vector ``(dim,)``: an array, or a `Vector` of numbers, parameters
            and inputs.
        facets: whether ``on`` names facets.
        shape: $s$, how it is spread, up to a factor: a `Profile` or a `FieldCoefficient`, whose integral over the
            region must not be zero; evenly when None.

    Raises:
        ValueError: for a shape that is neither.
    """
    return Term(Load(value, shape), on, facets=facets, total=True)


def Pressure(on: str, value: Any) -> Term:
    """Pressure on facets, Pa, positive into the body."""
    return Term(NormalLoad(value), on, facets=True)


def ElasticSupport(on: str, stiffness: Any) -> Term:
    """A bed of springs on facets, N/m³ (force per displacement and area), the same in all directions."""
    require_not_negative(f"The stiffness of the support on '{on}'", stiffness)
    return Term(Reaction(stiffness), on, facets=True)


def BodyForce(on: str, density: Any) -> Term:
    """Force per volume in cells, N/m³, a vector ``(dim,)``."""
    return Term(Load(density), on)


def Dashpots(on: str, viscosity: Any) -> Term:
    """A bed of dashpots on facets, N s/m³ (force per velocity and area), the same in all directions."""
    require_not_negative(f"The viscosity of the dashpots on '{on}'", viscosity)
    return Term(Reaction(viscosity), on, facets=True)


def AddedMass(on: str, mass: Any) -> Term:
    """A mass in kg glued to facets (a sensor, a coating), spread evenly over their area."""
    require_not_negative(f"The mass on '{on}'", mass)
    return Term(Reaction(mass), on, facets=True, total=True)


class Elasticity(Physics):
    """A linear elastic body: isotropic, or of any linear material such as `Orthotropic` or `ThermalStrain`.

    Args:
        space: a space of shape ``(dim,)``; the field is the displacement in m.
        youngs_modulus: in Pa: a number, parameter, `Law`, `Profile`, or a mapping from tags of cells to those.
        poisson_ratio: dimensionless, below 0.5; likewise.
        density: in kg/m³, needed for modal analysis; likewise.
        conditions: `Dirichlet` displacements and any of `Traction`, `Force`, `Pressure`, `ElasticSupport`,
            `BodyForce`, `Gravity`, `Centrifugal`.
        masses: `AddedMass` terms.
        kinematics: "solid" in 3-D; "plane strain", "plane stress" (unit thickness) or "axisymmetric" in 2-D, the
            last with coordinates (r, z) and loads per area or volume around the whole circumference.
        dampings: terms whose tangent is the damping matrix, such as `Dashpots`.
        material: a linear `SmallStrainMaterial` in place of the two constants; `Solid` takes any.

    Raises:
        ValueError: for a space of another shape, unknown kinematics or tags, or both a material and constants.
    """

    problem: DiscreteProblem
    inertia: DiscreteProblem | None
    damping: DiscreteProblem | None

    def __init__(
        self,
        space: FunctionSpace,
        youngs_modulus: Any | Mapping[str, Any] = None,
        poisson_ratio: Any | Mapping[str, Any] = None,
        density: Any | Mapping[str, Any] = None,
        conditions: Sequence[Summand | Condition] = (),
        masses: Sequence[Summand] = (),
        kinematics: str = SOLID,
        dampings: Sequence[Summand] = (),
        material: SmallStrainMaterial | None = None,
    ) -> None:
        require_displacements(space, kinematics, (SOLID, PLANE_STRAIN, PLANE_STRESS, AXISYMMETRIC))
        mesh = space.mesh
        inner = _internal_forces(space, youngs_modulus, poisson_ratio, material, kinematics)
        loads, essential = divide("Elasticity", conditions)
        storage = inertia_terms(mesh, density, masses)
        groups = [revolved(kinematics, group) for group in (loads, storage, dampings)]
        self.problem, inertia, damping = discretise(space, essential, [inner, *groups[0]], *groups[1:])
        self.inertia = inertia if storage else None
        self.damping = damping if dampings else None

    def near_nullspace(self) -> np.ndarray | None:
        """The rigid-body motions at the nodes, ``(n_dofs, 3)`` in 2-D and ``(n_dofs, 6)`` in 3-D."""
        space = self.problem.space
        assert isinstance(space, FunctionSpace)
        return rigid_body_modes(known_places(space))


def _internal_forces(
    space: FunctionSpace, youngs_modulus: Any, poisson_ratio: Any, material: SmallStrainMaterial | None, kinematics: str
) -> Summand:
    given = youngs_modulus is not None or poisson_ratio is not None
    if material is None and (youngs_modulus is None or poisson_ratio is None):
        raise ValueError("Elasticity needs Young's modulus and Poisson's ratio, or a material.")
    if material is not None and given:
        raise ValueError("Elasticity takes either a material or Young's modulus and Poisson's ratio, not both.")
    if material is not None and not material.linear:
        raise ValueError(f"Elasticity takes a linear material, not {type(material).__name__}: use Solid.")
    law = Isotropic(youngs_modulus, poisson_ratio) if material is None else material  # checks the ranges
    if material is None and kinematics != AXISYMMETRIC:
        modulus, ratio = coefficient(space.mesh, youngs_modulus), coefficient(space.mesh, poisson_ratio)
        return Term(Hooke(youngs_modulus=modulus, poisson_ratio=ratio, kinematics=kinematics))
    return small_strain_term(space, law, kinematics)


def known_places(space: FunctionSpace) -> np.ndarray:
    """Coordinates of the nodes on the host; under ``grad`` those that the derivative is taken at.

    Raises `ValueError` where they are not known.
    """
    places = stop_gradient(space.node_places())
    if isinstance(places, Tracer):
        raise ValueError(
            "Smoothed aggregation needs known coordinates of the nodes: build the analysis outside of jit and vmap, or "
            "give it another linear_solver, such as SparseDirect."
        )
    return np.asarray(places)


def rigid_body_modes(x: np.ndarray) -> np.ndarray:
    """Translations and rotations about the centroid for nodes ``x (n, dim)``; columns of ``(n * dim, k)``."""
    n, dim = x.shape
    x = (x - x.mean(axis=0)) / max(float(np.ptp(x, axis=0).max()), 1e-300)
    planes = [(0, 1)] if dim == 2 else [(0, 1), (1, 2), (2, 0)]
    modes = np.zeros((n, dim, dim + len(planes)))
    for i in range(dim):
        modes[:, i, i] = 1.0
    for k, (i, j) in enumerate(planes):
        modes[:, i, dim + k], modes[:, j, dim + k] = -x[:, j], x[:, i]
    return modes.reshape(n * dim, -1)


def nodal_stress(body: Elasticity, u: Float[Array, "n_nodes dim"]) -> Float[Array, "n_nodes dim dim"]:
    r"""The stress at the nodes in Pa: evaluated at the nodes of each cell and averaged over the cells that meet.

    Between regions of different material the average is over both sides. In 2-D these are the stresses in the plane;
    `stress_field` has those across it, the hoop stress in axial symmetry among them.
    """
    internal, space = body.problem.contributions[0], body.problem.space
    assert isinstance(internal, Integral)
    assert isinstance(space, FunctionSpace)
    full = nodal_average(space, lambda form, jet, point: form.stress(jet, point), internal.form, u)
    return full[:, : space.mesh.dim, : space.mesh.dim]
