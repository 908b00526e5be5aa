r"""Heat conduction, steady and transient.

$$ \rho c\, \dot T - \nabla\cdot(k \nabla T) = q \quad\text{with}\quad k\,\partial_n T = q_n - h (T - T_\infty)
   - \varepsilon\sigma (T^4 - T_\infty^4) $$

Source: Incropera et al., *Fundamentals of Heat and Mass Transfer*, 7th ed., chapters 1 and 2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from gemel.engine.coefficients import Law, Profile, by_tag, coefficient, evaluate, is_constant
from gemel.engine.constraints import Condition
from gemel.engine.fields import Jet, Point
from gemel.engine.forms import Form
from gemel.engine.materials.ranges import require, require_finite, require_not_negative, require_positive
from gemel.engine.physics.integrands import Diffusion, Load, Reaction, Storage
from gemel.engine.physics.kinematics import AXISYMMETRIC, require_half_plane, revolved
from gemel.engine.physics.physics import Physics, divide
from gemel.engine.problems import DiscreteProblem, Summand, Term, discretise
from gemel.engine.spaces import FunctionSpace

STEFAN_BOLTZMANN = 5.670374419e-8
"""Stefan-Boltzmann constant in W/(m² K⁴) (CODATA 2018)."""


class NewtonCooling(Form):
    r"""$h (u - u_\infty)$ as source."""

    coefficient: Any
    ambient: Any

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        _require_scalar(u, "Convection")
        h, ambient = evaluate(self.coefficient, u, point), evaluate(self.ambient, u, point)
        return Jet(h * (u.value - ambient), jnp.zeros_like(u.grad))

    @property
    def linear(self) -> bool:
        """True unless a coefficient depends on the field."""
        return is_constant((self.coefficient, self.ambient))

    @property
    def symmetric(self) -> bool:
        """Always: a scalar source without gradients."""
        return True

    @property
    def tangent_parameters(self) -> Any:
        """The coefficient; the ambient temperature is a load."""
        return self.coefficient


class GreyRadiation(Form):
    r"""$\varepsilon\sigma (u^4 - u_\infty^4)$ as source, temperatures in K."""

    emissivity: Any
    ambient: Any

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        _require_scalar(u, "Radiation")
        emissivity, ambient = evaluate(self.emissivity, u, point), evaluate(self.ambient, u, point)
        return Jet(emissivity * STEFAN_BOLTZMANN * (u.value**4 - ambient**4), jnp.zeros_like(u.grad))

    @property
    def linear(self) -> bool:
        """Never."""
        return False

    @property
    def symmetric(self) -> bool:
        """Always: a scalar source without gradients."""
        return True

    @property
    def tangent_parameters(self) -> Any:
        """The emissivity."""
        return self.emissivity


def _require_scalar(u: Jet, what: str) -> None:
    if u.value.ndim:
        raise ValueError(f"{what} acts on a temperature, not on a field with {u.value.size} components.")


def Convection(on: str, coefficient: Any, ambient: Any) -> Term:
    """Loss to a fluid on facets: ``coefficient`` in W/(m² K), zero or positive, ``ambient`` in K."""
    require_not_negative(f"The coefficient of convection on '{on}'", coefficient)
    require_finite(f"The ambient temperature of convection on '{on}'", ambient)
    return Term(NewtonCooling(coefficient, ambient), on, facets=True)


def Radiation(on: str, emissivity: Any, ambient: Any) -> Term:
    """Grey-body radiation to surroundings at ``ambient`` K on facets, which makes the problem nonlinear.

    The ``emissivity`` lies between 0 and 1.
    """
    require(f"The emissivity on '{on}'", emissivity, "between 0 and 1", lambda e: (e >= 0) & (e <= 1))
    require_not_negative(f"The ambient temperature of radiation on '{on}', in K,", ambient)
    return Term(GreyRadiation(emissivity, ambient), on, facets=True)


def Flux(on: str, value: Any) -> Term:
    """Heat flux into the body on facets, W/m²; for a total in W see `Power`."""
    return Term(Load(value), on, facets=True)


def HeatSource(on: str, density: Any) -> Term:
    """Heat released in cells, W/m³."""
    return Term(Load(density), on)


def Power(on: str, value: Any, facets: bool = False, shape: Any = None) -> Term:
    r"""Heat put into all of a region: spread evenly over its measure, $q = Q / |\Omega|$, or as $q = Q\,s / \int s$.

    A $Q$ that is itself not the same everywhere, by a `Profile` or a `Law`, counts at each point as if it were so in
    all of the region, $q(x) = Q(x) / |\Omega|$: what is put in is its mean, $\int_\Omega Q / |\Omega|$. A total that is
    known and not spread evenly has a ``shape``.

    Args:
        on: a tag of cells, in which it is released, or of facets, through which it flows in.
        value: $Q$ in W (per m of depth in 2-D): a number, parameter or input; negative where heat is taken out.
        facets: whether ``on`` names facets.
        shape: $s$, how it is spread, up to a factor: a `Profile` or a `FieldCoefficient`, whose integral over the
            region must not be zero; evenly when None.

    Raises:
        ValueError: for a shape that is neither.
    """
    return Term(Load(value, shape), on, facets=facets, total=True)


def MovingSource(on: str, power: Any, position: Sequence[Any], radius: Any, facets: bool = True) -> Term:
    r"""A Gaussian spot of heat that moves over facets (a laser, a weld) or through cells.

    $$ q = \frac{Q}{(\pi r^2)^{k/2}} \exp\Big(-\frac{|x - x_0(t)|^2}{r^2}\Big), \quad k = 2 \text{ on facets of a
       3-D body and in 2-D cells},\ 3 \text{ in 3-D cells},\ 1 \text{ on edges}; $$

    all of the power $Q$ enters where the spot lies well inside ``on`` and its surface is flat.

    Args:
        on: a tag of facets or cells; each cell should be smaller than the radius.
        power: $Q$ in W (per m of depth in 2-D): a number, parameter or input.
        position: the coordinates of the centre in m, each a number, parameter or input.
        radius: $r$ in m, where the density has fallen to 1/e.
        facets: whether ``on`` names facets.
    """
    spread = float(len(position) - facets)
    return Term(Load(Profile(_spot, (power, tuple(position), radius, spread))), on, facets=facets)


def _spot(x: Any, power: Any, position: tuple[Any, ...], radius: Any, spread: Any) -> Any:
    if len(position) != x.shape[0]:
        raise ValueError(f"The position of a moving source has {len(position)} coordinates on a {x.shape[0]}-D mesh.")
    distance = sum((x[i] - centre) ** 2 for i, centre in enumerate(position))
    return power / (jnp.pi * radius**2) ** (0.5 * spread) * jnp.exp(-distance / radius**2)


def Capacitance(on: str, value: Any) -> Term:
    """Heat capacity in J/K of parts that the mesh does not show, spread evenly over a region of cells."""
    return Term(Reaction(value), on, total=True)


class Heat(Physics):
    r"""Heat conduction in a body.

    Args:
        space: a scalar space; the field is the temperature in K.
        conductivity: $k$ in W/(m K): a number, a symmetric ``(dim, dim)`` tensor, a parameter, a `Law`, a
            `Profile`, or a mapping from tags of cells to those.
        capacity: volumetric heat capacity $\rho c$ in J/(m³ K), needed for transient runs.
        conditions: `Dirichlet` temperatures and any of `Convection`, `Radiation`, `Flux`, `HeatSource`,
            `Power`; surfaces without any are insulated.
        masses: `Capacitance` terms that add to the capacity.
        enthalpy: in place of the capacity, the heat content $H$ in J/m³ as a `Law` of temperature, such as
            `PhaseChange`, or a law by region: $\dot H$ then stands for $\rho c\,\dot T$.
        axisymmetric: the mesh is a half plane (r, z) that turns around the axis r = 0; what is per area or volume acts
            on the whole ring.

    Raises:
        ValueError: for a vector-valued space, an unknown tag, a capacity that depends on the temperature, or both
            capacity and enthalpy.
    """

    problem: DiscreteProblem
    inertia: DiscreteProblem | None
    damping: DiscreteProblem | None

    def __init__(
        self,
        space: FunctionSpace,
        conductivity: Any,
        capacity: Any = None,
        conditions: Sequence[Summand | Condition] = (),
        masses: Sequence[Summand] = (),
        enthalpy: Law | Mapping[str, Law] | None = None,
        axisymmetric: bool = False,
    ) -> None:
        if np.ndim(conductivity) == 0:  # a tensor is checked below
            require_positive("The conductivity", conductivity)
        require_not_negative("The capacity", capacity)
        if enthalpy is not None and capacity is not None:
            raise ValueError("Give the heat content of a body by its capacity or by its enthalpy, not by both.")
        if not is_constant(capacity):
            raise ValueError(
                "The capacity must not depend on the temperature: give its integral over temperature as the enthalpy."
            )
        if space.shape:
            raise ValueError(f"Heat needs a scalar function space, not one of shape {space.shape}.")
        if np.ndim(conductivity) == 2 and not np.allclose(conductivity, np.transpose(conductivity)):
            raise ValueError("A conductivity tensor must be symmetric.")
        loads, essential = divide("Heat", conditions)
        terms: list[Summand] = [Term(Diffusion(coefficient(space.mesh, conductivity)))]
        terms += loads
        storage: list[Summand] = [*_stored(space, capacity, enthalpy), *masses]
        if axisymmetric:
            require_half_plane(space.mesh)
            terms, storage = revolved(AXISYMMETRIC, terms), revolved(AXISYMMETRIC, storage)
        self.problem, inertia = discretise(space, essential, terms, storage)
        self.inertia = inertia if storage else None
        self.damping = None

    def near_nullspace(self) -> np.ndarray | None:
        """None: the constants."""
        return None


def _stored(space: FunctionSpace, capacity: Any, enthalpy: Any) -> list[Term]:
    """What the body takes up, as terms of the inertia."""
    if isinstance(enthalpy, Mapping):
        by_tag(space.mesh, dict.fromkeys(enthalpy, 0.0))  # the regions must cover the mesh and not overlap
        return [Term(Storage(law), tag) for tag, law in enthalpy.items()]
    if enthalpy is not None:
        return [Term(Storage(enthalpy))]
    return [] if capacity is None else [Term(Reaction(coefficient(space.mesh, capacity)))]
