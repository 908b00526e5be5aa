"""Manufactured solutions of deformable bodies: large strains, axial symmetry, orthotropy, heat and stress together."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine import (
    BodyForce,
    Dirichlet,
    Elasticity,
    Flux,
    FunctionSpace,
    Heat,
    HeatSource,
    Hyperelasticity,
    MaterialAxes,
    MixedSpace,
    MooneyRivlin,
    NeoHookean,
    Orthotropic,
    Profile,
    Thermoelasticity,
    Traction,
)
from gemel.engine.physics import lame
from gemel.engine.verification.case import Case, Check, case, order
from gemel.engine.verification.exact import Exponential, body_force, stress
from gemel.engine.verification.tools import errors, observed_order, solved, unit_mesh

GROUP = "convergence"
_DISTORTION = 0.12
_CIARLET = "Ciarlet, The Finite Element Method for Elliptic Problems, 1978, chapter 3"
_HELD = ("left", "right", "bottom")


def _orders(run: Callable[[int], np.ndarray], n: int, theory: dict[str, int]) -> list[Check]:
    """Observed orders of the errors of ``n`` and ``2 n`` cells a side, with their names and theory in turn."""
    observed = observed_order(run(n), run(2 * n))
    return [order(name, expected, found) for (name, expected), found in zip(theory.items(), observed, strict=True)]


def _neo_hooke(n: int) -> np.ndarray:
    mu, first = 1.0, 2.0
    space = FunctionSpace(unit_mesh("quadrilateral", n, _DISTORTION), "Q2", (2,))
    field = Exponential.of(2, 2)
    value, slope = (lambda x: 0.2 * field.value(x)), (lambda x: 0.2 * field.gradient(x))

    def piola(deformation: Array) -> Array:
        (a, b), (c, d) = deformation
        volume = a * d - b * c
        normal = jnp.stack([jnp.stack([d, -c]), jnp.stack([-b, a])]) / volume  # F⁻ᵀ
        return mu * (deformation - normal) + first * jnp.log(volume) * normal

    def force(x: Array) -> Array:
        tangent = jax.jacfwd(piola)(jnp.eye(2) + slope(x))
        return -jnp.einsum("ijkl,klj->i", tangent, 0.2 * field.hessian(x))

    pull = Traction("top", Profile(lambda x: piola(jnp.eye(2) + slope(x))[:, 1]))
    held = [Dirichlet(side, Profile(value)) for side in _HELD]
    loads = [BodyForce("all", Profile(force)), pull]
    body = Hyperelasticity(space, NeoHookean(mu, first), conditions=[*loads, *held], kinematics="plane strain")
    return errors(space, solved(body, Profile(value)), value, slope)


@case(
    "order-neo-hooke",
    group=GROUP,
    title="Orders of a compressible neo-Hookean body under large strains",
    equations=r"$$ -\nabla\cdot P(F) = f, \quad P = \mu(F - F^{-\top}) + \lambda\ln J\,F^{-\top}, \quad "
    r"\mu = 1,\ \lambda = 2 $$",
    setup="Unit square in plane strain, 4 and 8 distorted quadrilaterals Q2 a side, Newton's method from the exact "
    "values at the nodes; u = 0.2 (exp(0.9 x − 0.7 y), exp(−0.5 x + 0.8 y)) on all sides but one, its nominal traction "
    "there; stretches of up to 1.5.",
    source=_CIARLET,
)
def neo_hooke() -> Sequence[Check]:
    return _orders(_neo_hooke, 4, {"L2": 3, "H1": 2})


def _rubber(n: int) -> np.ndarray:
    c10, c01, bulk = 0.4, 0.1, 1e3
    mesh = unit_mesh("triangle", n, _DISTORTION)
    moves, presses = FunctionSpace(mesh, "P2", (2,)), FunctionSpace(mesh, "P1")
    space = MixedSpace({"u": moves, "p": presses})

    def value(x: Array) -> Array:
        """A motion that keeps volumes, and one K times smaller that does not."""
        rise = 0.2 * jnp.sin(2 * x[0])
        shear = jnp.stack([0.2 * jnp.sin(2 * (x[1] + rise)), rise])
        return shear + jnp.stack([jnp.exp(0.8 * x[0] + x[1]), jnp.sin(2 * x[0] * x[1])]) / bulk

    slope = jax.jacfwd(value)

    def cofactor(deformation: Array) -> Array:
        (a, b), (c, d) = deformation
        return jnp.stack([jnp.stack([d, -c]), jnp.stack([-b, a])])

    def isochoric(deformation: Array) -> Array:
        volume = deformation[0, 0] * deformation[1, 1] - deformation[0, 1] * deformation[1, 0]
        plane = jnp.sum(deformation**2)
        return c10 * volume ** (-2 / 3) * (plane + 1) + c01 * volume ** (-4 / 3) * (plane + volume**2)

    def pressure(x: Array) -> Array:
        inner = slope(x)
        return bulk * (jnp.trace(inner) + inner[0, 0] * inner[1, 1] - inner[0, 1] * inner[1, 0])

    def piola(deformation: Array, p: Array) -> Array:
        return jax.grad(isochoric)(deformation) + p * cofactor(deformation)

    def force(x: Array) -> Array:
        deformation, p = jnp.eye(2) + slope(x), pressure(x)
        tangent = jax.jacfwd(piola)(deformation, p)
        inner = jnp.einsum("ijkl,klj->i", tangent, jax.jacfwd(slope)(x))
        return -inner - cofactor(deformation) @ jax.grad(pressure)(x)

    pull = Profile(lambda x: piola(jnp.eye(2) + slope(x), pressure(x))[:, 1])
    held = [Dirichlet(side, Profile(value)) for side in _HELD]
    conditions = [BodyForce("all", Profile(force)), Traction("top", pull), *held]
    body = Hyperelasticity(space, MooneyRivlin(c10, c01, bulk), conditions=conditions, kinematics="plane strain")
    found = space.unflatten(solved(body, {"u": Profile(value), "p": 0.0}))
    off = errors(moves, found["u"], value, slope)
    return np.append(off, errors(presses, found["p"], pressure)[0])


@case(
    "order-mixed-rubber",
    group=GROUP,
    title="Orders of displacement and pressure in nearly incompressible rubber",
    equations=r"$$ -\nabla\cdot\big(\partial_F\psi_{iso} + p\,\mathrm{cof} F\big) = f, \quad J - 1 = p/K $$",
    setup="Unit square in plane strain, 4 and 8 distorted lattice cells a side in two triangles each, P2 for the "
    "displacement and P1 for the pressure; c₁₀ = 0.4, c₀₁ = 0.1, K = 1000 (ν = 0.4995); two shears after each other, "
    "which keep volumes, and a displacement 1/K times as large that does not, so that the pressure is about 1.",
    source="Brezzi, Fortin, Mixed and Hybrid Finite Element Methods, 1991, chapter VI; Auricchio et "
    "al., Comput. Methods Appl. Mech. Eng. 194, 2005",
    slow=True,
)
def mixed_rubber() -> Sequence[Check]:
    return _orders(_rubber, 4, {"L2 of the displacement": 3, "H1 of the displacement": 2, "L2 of the pressure": 2})


def _ring_heat(n: int) -> np.ndarray:
    space = FunctionSpace(unit_mesh("quadrilateral", n, _DISTORTION), "Q2")
    value = lambda x: jnp.exp(0.5 * x[0] ** 2 - 0.7 * x[1])  # noqa: E731
    slope = lambda x: value(x) * jnp.stack([x[0], -0.7 + 0.0 * x[0]])  # noqa: E731
    conductivity = lambda x: 1 + x[0] * x[1]  # noqa: E731

    def source(x: Array) -> Array:
        laplacian = (2 + x[0] ** 2 + 0.49) * value(x)  # ∂²u/∂r² + ∂u/∂r / r + ∂²u/∂z²
        return -conductivity(x) * laplacian - x[::-1] @ slope(x)

    push = Flux("top", Profile(lambda x: conductivity(x) * slope(x)[1]))
    held = [Dirichlet(side, Profile(value)) for side in ("right", "bottom")]
    conditions = [HeatSource("all", Profile(source)), push, *held]
    body = Heat(space, Profile(conductivity), conditions=conditions, axisymmetric=True)
    return errors(space, solved(body), value, slope, weight=lambda x: x[0])


@case(
    "order-axisymmetric-heat",
    group=GROUP,
    title="Orders of heat conduction in axial symmetry",
    equations=r"$$ -\frac1r\,\partial_r(r k\,\partial_r u) - \partial_z(k\,\partial_z u) = f, \quad k = 1 + rz, \quad "
    r"\|v\|^2 = \int v^2\,r\,dr\,dz $$",
    setup="A full cylinder of radius and height 1, its axis included, 5 and 10 distorted quadrilaterals Q2 a side; "
    "u = exp(r²/2 − 0.7 z), its flux at the top and its values on the other sides.",
    source="Mercier, Raugel, RAIRO Anal. Numér. 16, 1982",
)
def ring_heat() -> Sequence[Check]:
    return _orders(_ring_heat, 5, {"L2": 3, "H1": 2})


def _ring(n: int) -> np.ndarray:
    space = FunctionSpace(unit_mesh("quadrilateral", n, _DISTORTION), "Q2", (2,))
    first, shear = lame(2.0, 0.3)

    def value(x: Array) -> Array:
        square = x[0] ** 2
        return jnp.stack([x[0] * jnp.exp(0.3 * square + 0.5 * x[1]), jnp.exp(0.4 * square - 0.6 * x[1])])

    slope = jax.jacfwd(value)

    def stresses(x: Array) -> Array:
        """σ_rr, σ_zz, σ_θθ and σ_rz."""
        (rr, rz), (zr, zz) = slope(x)
        around = value(x)[0] / x[0]
        mean = first * (rr + zz + around)
        return jnp.stack([mean + 2 * shear * rr, mean + 2 * shear * zz, mean + 2 * shear * around, shear * (rz + zr)])

    def force(x: Array) -> Array:
        radial, _, around, rz = stresses(x)
        change = jax.jacfwd(stresses)(x)
        return -jnp.stack(
            [change[0, 0] + change[3, 1] + (radial - around) / x[0], change[3, 0] + change[1, 1] + rz / x[0]]
        )

    pull = Traction("top", Profile(lambda x: stresses(x)[jnp.array([3, 1])]))
    held = [Dirichlet("left", 0.0, component=0), *(Dirichlet(side, Profile(value)) for side in ("right", "bottom"))]
    conditions = [BodyForce("all", Profile(force)), pull, *held]
    body = Elasticity(space, 2.0, 0.3, conditions=conditions, kinematics="axisymmetric")
    return errors(space, solved(body), value, slope, weight=lambda x: x[0])


@case(
    "order-elasticity-axisymmetric",
    group=GROUP,
    title="Orders of elasticity, axisymmetric",
    equations=r"$$ \partial_r\sigma_{rr} + \partial_z\sigma_{rz} + \frac{\sigma_{rr} - \sigma_{\theta\theta}}r = -f_r, "
    r"\quad \partial_r\sigma_{rz} + \partial_z\sigma_{zz} + \frac{\sigma_{rz}}r = -f_z $$",
    setup="A full cylinder of radius and height 1, its axis included, E = 2, ν = 0.3, 5 and 10 distorted "
    "quadrilaterals Q2 a side; u = (r exp(0.3 r² + z/2), exp(0.4 r² − 0.6 z)), its traction at the top and its values "
    "on the other sides; norms weighted by r.",
    source="Mercier, Raugel, RAIRO Anal. Numér. 16, 1982",
)
def ring() -> Sequence[Check]:
    return _orders(_ring, 5, {"L2": 3, "H1": 2})


_CONSTANTS = {
    "e1": 5.0,
    "e2": 2.0,
    "e3": 1.0,
    "nu12": 0.3,
    "nu13": 0.25,
    "nu23": 0.2,
    "g12": 0.9,
    "g13": 0.7,
    "g23": 0.5,
}


def _stiffness(angle: float) -> np.ndarray:
    """The stiffness (3, 3, 3, 3) of the orthotropic material, turned about the third axis: its compliance inverted."""
    one = _CONSTANTS
    e1, e2, e3 = one["e1"], one["e2"], one["e3"]
    normal = np.diag([1 / e1, 1 / e2, 1 / e3])
    for i, j, ratio in ((0, 1, one["nu12"] / e1), (0, 2, one["nu13"] / e1), (1, 2, one["nu23"] / e2)):
        normal[i, j] = normal[j, i] = -ratio
    along, table = np.zeros((3, 3, 3, 3)), np.linalg.inv(normal)
    for i in range(3):
        for j in range(3):
            along[i, i, j, j] = table[i, j]
    for i, j, shear in ((0, 1, one["g12"]), (0, 2, one["g13"]), (1, 2, one["g23"])):
        along[i, j, i, j] = along[i, j, j, i] = along[j, i, i, j] = along[j, i, j, i] = shear
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.einsum("ai,bj,ck,dl,ijkl->abcd", turn, turn, turn, turn, along)


def _plane_stress(stiffness: np.ndarray) -> np.ndarray:
    """In the plane, with the strain across that leaves no stress there."""
    across = stiffness[:2, :2, 2, 2]
    return stiffness[:2, :2, :2, :2] - np.einsum("ij,kl->ijkl", across, across) / stiffness[2, 2, 2, 2]


def _orthotropic(cell: str, element: str, n: int, angle: float) -> np.ndarray:
    dim = 2 if cell == "quadrilateral" else 3
    space = FunctionSpace(unit_mesh(cell, n, _DISTORTION), element, (dim,))
    field = Exponential.of(dim, dim)
    full = _stiffness(angle)
    moduli = _plane_stress(full) if dim == 2 else full
    force = Profile(lambda x: -jnp.einsum("ijkl,klj->i", moduli, field.hessian(x)))
    pull = Profile(lambda x: jnp.einsum("ikl,kl->i", moduli[:, 1], field.gradient(x)))
    sides = _HELD if dim == 2 else (*_HELD, "top", "front")
    loads = [BodyForce("all", force), Traction("top" if dim == 2 else "back", pull)]
    held = [Dirichlet(side, Profile(field.value)) for side in sides]
    material = Orthotropic(**_CONSTANTS, axes=MaterialAxes(angle=angle))
    kinematics = "plane stress" if dim == 2 else "solid"
    body = Elasticity(space, material=material, conditions=[*loads, *held], kinematics=kinematics)
    return errors(space, solved(body), field.value, field.gradient)


def _orthotropy(kinematics: str, cell: str, element: str, n: int) -> Case:
    degree = int(element[1])

    @case(
        f"order-orthotropic-{kinematics.replace(' ', '-')}",
        group=GROUP,
        title=f"Orders of orthotropic elasticity, {kinematics}",
        equations=r"$$ -\nabla\cdot(\mathbb{C} : \varepsilon(u)) = f, \quad \mathbb{C} = \mathbb{S}^{-1} $$",
        setup=f"The unit {'square' if element[0] == 'Q' else 'cube'}, {n} and {2 * n} distorted {cell} cells a side, "
        f"{element}; E = 5, 2, 1, ν₁₂ = 0.3, ν₁₃ = 0.25, ν₂₃ = 0.2, G₁₂ = 0.9, G₁₃ = 0.7, G₂₃ = 0.5, the first axis "
        "turned by 0.4 rad about the third; a smooth displacement on all sides but one, its traction there, with the "
        "stiffness from the inverted compliance.",
        source=_CIARLET,
    )
    def run() -> Sequence[Check]:
        return _orders(lambda m: _orthotropic(cell, element, m, 0.4), n, {"L2": degree + 1, "H1": degree})

    return run


def _warm(n: int) -> np.ndarray:
    mesh = unit_mesh("triangle", n, _DISTORTION)
    warms, moves = FunctionSpace(mesh, "P2"), FunctionSpace(mesh, "P3", (2,))
    space = MixedSpace({"T": warms, "u": moves})
    modulus, nu, alpha, reference, k = 2.0, 0.3, 0.2, 0.5, 1.5
    first, shear = lame(modulus, nu)
    beta = (3 * first + 2 * shear) * alpha
    motion, heat = Exponential.of(2, 2), Exponential(np.array([[0.6, 0.9]]))
    temperature = lambda x: heat.value(x)[0]  # noqa: E731
    force = Profile(lambda x: body_force(motion, first, shear, x) + beta * heat.gradient(x)[0])
    pull = Profile(
        lambda x: stress(motion, first, shear, x)[:, 1] - beta * (temperature(x) - reference) * jnp.eye(2)[1]
    )
    source = HeatSource("all", Profile(lambda x: -k * jnp.trace(heat.hessian(x)[0])))
    flux = Flux("top", Profile(lambda x: k * heat.gradient(x)[0, 1]))
    thermal = [source, flux, *(Dirichlet(side, Profile(temperature)) for side in _HELD)]
    held = [Dirichlet(side, Profile(motion.value)) for side in _HELD]
    mechanical = [BodyForce("all", force), Traction("top", pull), *held]
    body = Thermoelasticity(space, modulus, nu, alpha, reference, k, thermal=thermal, mechanical=mechanical)
    found = space.unflatten(solved(body))
    moved = errors(moves, found["u"], motion.value, motion.gradient)
    warmed = errors(warms, found["T"], temperature, lambda x: heat.gradient(x)[0])
    return np.concatenate([moved, warmed])


@case(
    "order-thermoelasticity",
    group=GROUP,
    title="Orders of temperature and displacement together",
    equations=r"$$ -\nabla\cdot\big(\sigma(u) - \beta(T - T_0) I\big) = f, \quad -\nabla\cdot(k\nabla T) = q $$",
    setup="Unit square in plane strain, 3 and 6 distorted lattice cells a side in two triangles each, P3 for the "
    "displacement and P2 for the temperature; E = 2, ν = 0.3, α = 0.2, T₀ = 0.5, k = 1.5; smooth fields on all sides "
    "but one, flux and traction there.",
    source=_CIARLET,
)
def warm() -> Sequence[Check]:
    theory = {"L2 of the displacement": 4, "H1 of the displacement": 3, "L2 of the temperature": 3}
    return _orders(_warm, 3, {**theory, "H1 of the temperature": 2})


CASES = (
    neo_hooke,
    mixed_rubber,
    ring_heat,
    ring,
    _orthotropy("plane stress", "quadrilateral", "Q2", 5),
    _orthotropy("solid", "tetrahedron", "P2", 3),
    warm,
)
"""The second part of the chapter."""
