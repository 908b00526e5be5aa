r"""How displacements in one, two or three coordinates make tensors of three dimensions, and forces of stresses.

Coordinates are $(x, y, z)$ in space, $(x, y)$ in plane strain and plane stress (unit thickness), and $(r, z)$ in axial
symmetry, where tensors are ordered $(r, z, \theta)$, $\varepsilon_{\theta\theta} = u_r/r$ and integrals carry the
whole circumference $2\pi r$.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import is_constant
from gemel.engine.constraints import Condition, Dirichlet
from gemel.engine.fields import Jet, Point
from gemel.engine.forms import Form
from gemel.engine.problems import Summand, Term
from gemel.engine.tangents import Delegated, Differentiable
from gemel.meshes import Mesh

SOLID, PLANE_STRAIN, PLANE_STRESS, AXISYMMETRIC = "solid", "plane strain", "plane stress", "axisymmetric"


def require_kinematics(kinematics: str, dim: int, allowed: Sequence[str]) -> None:
    """Raise `ValueError` unless ``kinematics`` is one of ``allowed`` that fits the dimension of the mesh."""
    fitting = [name for name in allowed if (name == SOLID) == (dim == 3)]
    if kinematics not in fitting:
        raise ValueError(
            f"Kinematics '{kinematics}' does not fit a {dim}-D mesh: allowed are {' and '.join(map(repr, fitting))}."
        )


def require_half_plane(mesh: Mesh) -> None:
    """Raise `ValueError` unless a mesh can be turned around the axis r = 0."""
    if mesh.dim != 2:
        raise ValueError(f"An axisymmetric body needs a 2-D mesh with coordinates (r, z), not a {mesh.dim}-D one.")
    points = mesh.points
    if isinstance(points, np.ndarray) and float(points[:, 0].min()) < 0:
        raise ValueError(
            f"An axisymmetric mesh has its radius as first coordinate, but it reaches {points[:, 0].min():g}, below 0."
        )


def displacement_gradient(kinematics: str, u: Jet, point: Point) -> Float[Array, "3 3"]:
    r"""$\nabla u$ with the entries out of plane that the kinematics imply."""
    if kinematics == SOLID:
        return u.grad
    full = jnp.zeros((3, 3), u.grad.dtype).at[:2, :2].set(u.grad)
    return full.at[2, 2].set(_hoop(u, point)) if kinematics == AXISYMMETRIC else full


def internal_force(kinematics: str, stress: Float[Array, "3 3"], u: Jet, point: Point) -> Jet:
    r"""The pair $(s, F)$ with $s \cdot v + F : \nabla v = w\, \sigma : \nabla v$ in three dimensions; `weight` $w$."""
    if kinematics == SOLID:
        return Jet(jnp.zeros_like(u.value), stress)
    value = jnp.zeros_like(u.value)
    if kinematics == AXISYMMETRIC:
        value = value.at[0].set(2 * jnp.pi * stress[2, 2])
    return Jet(value, weight(kinematics, point) * stress[:2, :2])


def weight(kinematics: str, point: Point) -> Array | float:
    r"""$2\pi r$ in axial symmetry, else one."""
    return 2 * jnp.pi * point.x[0] if kinematics == AXISYMMETRIC else 1.0


def _hoop(u: Jet, point: Point) -> Array:
    """u_r / r, and its limit on the axis."""
    radius = point.x[0]
    away = radius > 0
    return jnp.where(away, u.value[0] / jnp.where(away, radius, 1.0), u.grad[0, 0])


class Revolved(Delegated, Form):
    """A form per area or volume in axial symmetry: times the circumference."""

    form: Form

    def dual(self, u: Any, point: Point) -> Any:
        """The pair of the form times the circumference."""
        dual, around = self.form.dual(u, point), weight(AXISYMMETRIC, point)
        return Jet(around * dual.value, around * dual.grad)

    @property
    def origin(self) -> Differentiable:
        """The form."""
        return self.form


def revolved(kinematics: str, summands: Sequence[Summand]) -> list[Summand]:
    """Loads and masses per area or volume as they act on a body: around the axis in axial symmetry.

    Point loads and springs are those of the whole ring. Raises `ValueError` for totals in axial symmetry.
    """
    if kinematics != AXISYMMETRIC:
        return list(summands)
    turned: list[Summand] = []
    for part in summands:
        if not isinstance(part, Term):
            turned.append(part)
            continue
        if part.total:
            raise ValueError(
                f"In axial symmetry give the load or mass on '{part.on}' per area or volume, not as a total."
            )
        known = isinstance(part.form, KinematicForm)
        form = part.form if known else Revolved(part.form)
        turned.append(Term(form, part.on, part.facets, part.total, part.degree, part.fields))
    return turned


Part = TypeVar("Part", bound=Summand | Condition)


def on_field(field: str | None, conditions: Sequence[Part]) -> list[Part]:
    """Terms and conditions that name no field act on ``field``."""
    return [_on_field(field, condition) for condition in conditions]


def _on_field(field: str | None, condition: Any) -> Any:
    if isinstance(condition, Term) and condition.fields is None:
        return Term(condition.form, condition.on, condition.facets, condition.total, condition.degree, field)
    if isinstance(condition, Dirichlet) and condition.field is None:
        return Dirichlet(condition.on, condition.value, condition.component, field)
    return condition


class KinematicForm(Form):
    """A form that knows the kinematics of its body, and so the circumference in axial symmetry."""

    kinematics: eqx.AbstractVar[str]


def stress_parts(kinematics: str, material: Any) -> tuple[str, ...]:
    """`Form.tangent_parts` of a stress: gradients alone, unless hoops or numbers of the material see the field."""
    plain = kinematics != AXISYMMETRIC and is_constant(material)
    return ("gradient",) if plain else ("value", "gradient")


class StressForm(KinematicForm):
    """The internal forces of a deformable body: a form that knows stress and strain at a point."""

    @abstractmethod
    def stress(self, u: Any, point: Point) -> Float[Array, "3 3"]:
        """The Cauchy stress in Pa."""

    @abstractmethod
    def strain(self, u: Any, point: Point) -> Float[Array, "3 3"]:
        r"""The small strain, or the Green-Lagrange strain $\tfrac12 (F^\top F - I)$ of large deformations."""
