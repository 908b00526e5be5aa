r"""Coupled thermo-elasticity: heat conduction and linear elasticity solved together.

$$ -\nabla\cdot\sigma = f, \quad \sigma = \lambda\, \mathrm{tr}\,\varepsilon\, I + 2\mu\,\varepsilon
   - \beta\,(T - T_0)\, I, \quad \beta = (3\lambda + 2\mu)\,\alpha $$
$$ \rho c\, \dot T + T_0\, \beta\, \nabla\cdot\dot u - \nabla\cdot(k \nabla T) = q $$

The second term of the second line is the heat that goes with a change of volume; without it the coupling runs from
temperature to displacement alone.

Source: Biot, *Thermoelasticity and irreversible thermodynamics*, J. Appl. Phys. 27, 1956; Boley, Weiner, *Theory of
Thermal Stresses*, 1960, chapter 1.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from gemel.engine.coefficients import coefficient, evaluate, is_constant
from gemel.engine.constraints import Condition
from gemel.engine.fields import Jet, Point, div, sym_grad
from gemel.engine.forms import Form
from gemel.engine.physics.elasticity import lame
from gemel.engine.physics.integrands import Diffusion, Reaction
from gemel.engine.physics.kinematics import on_field
from gemel.engine.physics.physics import Physics, divide
from gemel.engine.problems import DiscreteProblem, Summand, Term, discretise
from gemel.engine.spaces import FunctionSpace, MixedSpace

Jets = dict[str, Jet]


class ThermalStress(Form):
    """The stress of a heated body as flux of the displacement; ``u`` and ``T`` are its fields."""

    youngs_modulus: Any
    poisson_ratio: Any
    expansion: Any
    reference: Any

    def moduli(self, temperature: Jet, point: Point) -> tuple[Any, Any, Any]:
        r"""$\lambda$, $\mu$ and $\beta$ in Pa and Pa/K."""
        modulus, nu = (evaluate(value, temperature, point) for value in (self.youngs_modulus, self.poisson_ratio))
        first, mu = lame(modulus, nu)
        return first, mu, (3 * first + 2 * mu) * evaluate(self.expansion, temperature, point)

    def dual(self, u: Jets, point: Point) -> Jets:
        """The pair of each field at one point."""
        first, mu, beta = self.moduli(u["T"], point)
        strain = sym_grad(u["u"])
        mean = first * jnp.trace(strain) - beta * (u["T"].value - evaluate(self.reference, u["T"], point))
        stress = mean * jnp.eye(len(strain)) + 2 * mu * strain
        still = Jet(jnp.zeros_like(u["T"].value), jnp.zeros_like(u["T"].grad))
        return {"u": Jet(jnp.zeros_like(u["u"].value), stress), "T": still}

    @property
    def linear(self) -> bool:
        """True unless a coefficient depends on the fields."""
        return is_constant((self.youngs_modulus, self.poisson_ratio, self.expansion, self.reference))

    @property
    def symmetric(self) -> bool:
        """Never: temperature moves the body, but displacement at rest does not heat it."""
        return False

    @property
    def tangent_parameters(self) -> Any:
        """The elastic constants and the expansion."""
        return (self.youngs_modulus, self.poisson_ratio, self.expansion)


class VolumeHeat(Form):
    r"""$T_0\,\beta\,\nabla\cdot u$ as heat content: its rate cools what expands."""

    stress: ThermalStress

    def dual(self, u: Jets, point: Point) -> Jets:
        """The pair of each field at one point."""
        _, _, beta = self.stress.moduli(u["T"], point)
        heat = evaluate(self.stress.reference, u["T"], point) * beta * div(u["u"])
        zero = Jet(jnp.zeros_like(u["u"].value), jnp.zeros_like(u["u"].grad))
        return {"u": zero, "T": Jet(heat, jnp.zeros_like(u["T"].grad))}

    @property
    def linear(self) -> bool:
        """As the stress."""
        return self.stress.linear

    @property
    def symmetric(self) -> bool:
        """Never."""
        return False

    @property
    def tangent_parameters(self) -> Any:
        """Those of the stress and the reference temperature."""
        return (self.stress.tangent_parameters, self.stress.reference)


class Thermoelasticity(Physics):
    """A body whose temperature and displacement are found together; inertia is left out.

    Args:
        space: `MixedSpace` with a scalar field "T", the temperature in K, and a field "u" of shape ``(dim,)``, the
            displacement in m. One degree more for "u" than for "T" gives both parts of the strain the same degree.
        youngs_modulus, poisson_ratio: in Pa and dimensionless: numbers, parameters, a `Law` of the temperature, or
            mappings from tags of cells to numbers or parameters.
        expansion: the coefficient of thermal expansion in 1/K; likewise.
        reference: $T_0$ in K, the temperature without stress.
        conductivity: in W/(m K), a number, likewise, or a symmetric tensor.
        capacity: volumetric heat capacity in J/(m³ K), needed for transient runs.
        thermal: conditions of the temperature: `Dirichlet`, `Convection`, `HeatSource` and the others of `Heat`.
        mechanical: conditions of the displacement: `Dirichlet`, `Traction`, `Pressure` and the others of
            `Elasticity`.
        cooled_by_expansion: whether the heat of volume changes is counted.

    In 2-D the body is in plane strain.

    Raises:
        ValueError: for a space without these fields, or an unknown tag.
    """

    problem: DiscreteProblem
    inertia: DiscreteProblem | None
    damping: DiscreteProblem | None

    def __init__(
        self,
        space: MixedSpace,
        youngs_modulus: Any,
        poisson_ratio: Any,
        expansion: Any,
        reference: Any,
        conductivity: Any,
        capacity: Any = None,
        thermal: Sequence[Summand | Condition] = (),
        mechanical: Sequence[Summand | Condition] = (),
        cooled_by_expansion: bool = True,
    ) -> None:
        _require_fields(space)
        heats, temperatures = divide("Thermoelasticity", thermal)
        forces, displacements = divide("Thermoelasticity", mechanical)
        loads = [*on_field("T", heats), *on_field("u", forces)]
        essential = [*on_field("T", temperatures), *on_field("u", displacements)]
        mesh = space.mesh
        modulus, nu, alpha = (coefficient(mesh, value) for value in (youngs_modulus, poisson_ratio, expansion))
        stress = ThermalStress(modulus, nu, alpha, reference)
        both = ("T", "u")
        terms = [Term(stress, fields=both), Term(Diffusion(coefficient(mesh, conductivity)), fields="T"), *loads]
        storage = [] if capacity is None else [Term(Reaction(coefficient(mesh, capacity)), fields="T")]
        if storage and cooled_by_expansion:
            storage.append(Term(VolumeHeat(stress), fields=both))
        self.problem, inertia = discretise(space, essential, terms, storage)
        self.inertia = inertia if storage else None
        self.damping = None

    def near_nullspace(self) -> np.ndarray | None:
        """None: several fields are solved directly."""
        return None


def _require_fields(space: MixedSpace) -> None:
    fields = {name: part for name, part, _ in space.fields if isinstance(part, FunctionSpace)}
    dim = space.mesh.dim
    shapes = {name: part.shape for name, part in fields.items()}
    if shapes.get("T") != () or shapes.get("u") != (dim,):
        found = ", ".join(f"'{name}' of shape {shape}" for name, shape in shapes.items())
        raise ValueError(f"Thermoelasticity needs a scalar field 'T' and a field 'u' of shape ({dim},), not {found}.")
