"""Potential problems and others that are written as weak forms of one's own."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from gemel.engine import Dirichlet, Energy, Formulation, FunctionSpace, Term, WeakForm, grad, inner
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import curved, nearest_node, solved, total, zero_of
from gemel.meshes import grid, rectangle

GROUP = "potential"
TIMOSHENKO = "Timoshenko, Goodier, Theory of Elasticity, 3rd ed., 1970"

_poisson = Energy(lambda u, p: 0.5 * inner(grad(u), grad(u)) - 2.0 * u.value, (), quadratic=True)


@case(
    "torsion-square",
    group=GROUP,
    title="Torsion of a square bar by Prandtl's stress function",
    equations=r"$$ \nabla^2\phi = -2,\ \phi = 0 \text{ on the boundary}: \quad J = 2\int\phi = a^4\left[\frac13 - "
    r"\frac{64}{\pi^5}\sum_{n\,odd}\frac{\tanh(n\pi/2)}{n^5}\right] \approx 0.1406\, a^4, \quad "
    r"\tau_{max} = G\theta a \left[1 - \frac{8}{\pi^2}\sum_{n\,odd}\frac{1}{n^2\cosh(n\pi/2)}\right] $$",
    setup="Side a = 1, 12 × 12 quadrilaterals Q2; the energy density ½|∇φ|² − 2φ; the references sum 50 terms.",
    source=f"{TIMOSHENKO}, article 109",
)
def torsion_square() -> Sequence[Check]:
    space = FunctionSpace(rectangle(12, 12), "Q2")
    u = solved(Formulation(space, [Term(_poisson)], [Dirichlet("boundary")]))
    n = np.arange(1, 100, 2)
    constant = 1 / 3 - 64 / np.pi**5 * np.sum(np.tanh(n * np.pi / 2) / n**5)
    stress = 1 - 8 / np.pi**2 * np.sum(1 / (n**2 * np.cosh(n * np.pi / 2)))
    middle = nearest_node(space, (0.5, 0.0))
    above = [nearest_node(space, (0.5, y)) for y in (1 / 24, 1 / 12)]
    slope = (4 * u[above[0]] - u[above[1]] - 3 * u[middle]) * 12
    return [
        relative("torsion constant J/a⁴", constant, 2 * total(space, lambda u, p: u.value, u), 5e-5),
        relative("largest shear stress over Gθa", stress, slope, 5e-3),
    ]


@case(
    "torsion-ellipse",
    group=GROUP,
    title="Torsion of an elliptic bar",
    equations=r"$$ \phi = \frac{a^2 b^2}{a^2 + b^2}\left(1 - \frac{x^2}{a^2} - \frac{y^2}{b^2}\right), \quad "
    r"J = \frac{\pi a^3 b^3}{a^2 + b^2} $$",
    setup="a = 2, b = 1; a disc from a square of 8 × 8 curved quadrilaterals Q2, stretched.",
    source=f"{TIMOSHENKO}, article 107",
)
def torsion_ellipse() -> Sequence[Check]:
    def ellipse(x: np.ndarray) -> np.ndarray:
        return np.stack([2 * x[:, 0] * np.sqrt(1 - x[:, 1] ** 2 / 2), x[:, 1] * np.sqrt(1 - x[:, 0] ** 2 / 2)], axis=1)

    space = FunctionSpace(curved(rectangle(8, 8, size=(2.0, 2.0), origin=(-1.0, -1.0)), ellipse), "Q2")
    u = solved(Formulation(space, [Term(_poisson)], [Dirichlet("boundary")]))
    return [
        relative("torsion constant", np.pi * 8 / 5, 2 * total(space, lambda u, p: u.value, u), 1e-4),
        relative("stress function in the middle", 4 / 5, u[nearest_node(space, (0.0, 0.0))], 1e-4),
    ]


@case(
    "poisson-annulus",
    group=GROUP,
    title="Poisson's equation in a ring",
    equations=r"$$ -\nabla^2 u = 2: \quad u = \frac{1 - r^2}{2} + \frac{3}{2}\frac{\ln r}{\ln 2} \quad (1 < r < 2) $$",
    setup="A quarter of the ring with u = 0 on both circles, 8 × 12 curved quadrilaterals Q2.",
    source="direct substitution",
)
def poisson_annulus() -> Sequence[Check]:
    def ring(s: np.ndarray) -> np.ndarray:
        r, angle = 2.0 ** s[:, 0], np.pi / 2 * s[:, 1]
        return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)

    space = FunctionSpace(curved(rectangle(8, 12), ring), "Q2")
    u = solved(Formulation(space, [Term(_poisson)], [Dirichlet("left"), Dirichlet("right")]))
    r = jnp.linalg.norm(space.nodes(), axis=1)
    exact = (1 - r**2) / 2 + 1.5 * jnp.log(r) / np.log(2)
    integral = np.pi / 4 * (1.5 - 15 / 4 + 3 / np.log(2) * (4 * np.log(2) / 2 - 3 / 4))
    return [
        absolute("largest error at a node", 0.0, jnp.max(jnp.abs(u - exact)), 1e-4),
        relative("integral over the quarter", integral, total(space, lambda u, p: u.value, u), 1e-4),
    ]


@case(
    "advection-diffusion",
    group=GROUP,
    title="Boundary layer of an advection-diffusion equation",
    equations=r"$$ -u'' + P u' = 0, \quad u = \frac{e^{Px} - 1}{e^P - 1} $$",
    setup="P = 20, a strip of 40 graded quadrilaterals Q2, u = 0 and 1 at the ends; the weak form ∇u·∇v + P ∂ₓu v "
    "is not "
    "symmetric.",
    source="Donea, Huerta, Finite Element Methods for Flow Problems, 2003, section 2.2",
)
def advection_diffusion() -> Sequence[Check]:
    flow = WeakForm(lambda u, v, p: inner(grad(u), grad(v)) + 20.0 * u.grad[0] * v.value, (), affine=True)
    space = FunctionSpace(grid(1 - (1 - np.linspace(0, 1, 41)) ** 2, [0.0, 0.1]), "Q2")
    u = solved(Formulation(space, [Term(flow)], [Dirichlet("left"), Dirichlet("right", 1.0)]))
    x = space.nodes()[:, 0]
    exact = jnp.expm1(20 * x) / np.expm1(20.0)
    return [absolute("largest error at a node", 0.0, jnp.max(jnp.abs(u - exact)), 1e-5)]


@case(
    "bratu",
    group=GROUP,
    title="Bratu's problem: a nonlinear reaction",
    equations=r"$$ u'' + \lambda e^u = 0,\ u(0) = u(1) = 0: \quad u = -2\ln\frac{\cosh\big((x - \frac12)\theta/2\big)}"
    r"{\cosh(\theta/4)}, \quad \theta = \sqrt{2\lambda}\cosh\frac{\theta}{4} $$",
    setup="λ = 1, the lower branch; a strip of 20 quadrilaterals Q2, Newton's method from zero.",
    source="Ascher, Mattheij, Russell, Numerical Solution of Boundary Value Problems, 1995, section 3.1",
)
def bratu() -> Sequence[Check]:
    reaction = WeakForm(lambda u, v, p: inner(grad(u), grad(v)) - jnp.exp(u.value) * v.value, ())
    space = FunctionSpace(rectangle(20, 1, size=(1.0, 0.1)), "Q2")
    u = solved(Formulation(space, [Term(reaction)], [Dirichlet("left"), Dirichlet("right")]))
    theta = zero_of(lambda t: t - np.sqrt(2) * np.cosh(t / 4), 0.5, 3.0)
    return [relative("largest value", 2 * np.log(np.cosh(theta / 4)), jnp.max(u), 1e-7)]


@case(
    "screened-poisson",
    group=GROUP,
    title="A potential that decays",
    equations=r"$$ -\nabla^2 u + \kappa^2 u = 0,\ u(0) = 1,\ u'(1) = 0: \quad u = "
    r"\frac{\cosh\kappa(1-x)}{\cosh\kappa} $$",
    setup="κ = 5, a strip of 20 quadrilaterals Q2.",
    source="direct substitution",
)
def screened_poisson() -> Sequence[Check]:
    form = Energy(lambda u, p: 0.5 * inner(grad(u), grad(u)) + 12.5 * u.value**2, (), quadratic=True)
    space = FunctionSpace(rectangle(20, 1, size=(1.0, 0.1)), "Q2")
    u = solved(Formulation(space, [Term(form)], [Dirichlet("left", 1.0)]))
    return [relative("value at the end", 1 / np.cosh(5.0), u[nearest_node(space, (1.0, 0.0))], 5e-5)]


CASES = (torsion_square, torsion_ellipse, poisson_annulus, advection_diffusion, bratu, screened_poisson)
"""The chapter."""
