"""Manufactured motions: the orders of analyses in time, on meshes whose elements hold the exact field at every time."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine import (
    BodyForce,
    Dirichlet,
    Dynamic,
    Elasticity,
    Flux,
    Frame,
    FunctionSpace,
    HeatSource,
    Hyperelasticity,
    Input,
    MixedSpace,
    Modal,
    NeoHookean,
    Profile,
    Section,
    Series,
    Support,
    Term,
    Thermoelasticity,
    Traction,
    Transient,
    modes,
)
from gemel.engine.physics import Physics, lame
from gemel.engine.verification.case import Check, case, order
from gemel.engine.verification.exact import Exponential, Polynomial, body_force, stress
from gemel.engine.verification.tools import errors, observed_order, unit_mesh
from gemel.meshes import frame
from gemel.solvers import CentralDifference, DenseDirect, GeneralizedAlpha, Newmark, SparseDirect

GROUP = "convergence"
HUGHES = "Hughes, The Finite Element Method, 2000, chapter 9; Chung, Hulbert, J. Appl. Mech. 60, 1993"
_DISTORTION = 0.12
_RATE = 3.0
_TIME = Input("time")
_CLOCK = {"time": Series(np.array([0.0, 10.0]), np.array([0.0, 10.0]), hold=False)}
"""The time itself as an input, so that loads and supports may be any function of place and time."""

Method = Newmark | GeneralizedAlpha | CentralDifference


def _at(function: Callable[[Array, Any], Array]) -> Profile:
    """A function of place and time."""
    return Profile(function, (_TIME,))


def _marched(analysis: Dynamic, end: float) -> Array:
    """The flat displacement at the end of a run from t = 0."""
    grid = analysis.grid(np.array([0.0, end]))
    return _march(analysis, grid).checked()[1].u


@eqx.filter_jit
def _march(analysis: Dynamic, grid: np.ndarray) -> Any:
    return analysis.solve(None, _CLOCK, grid, lambda t, motion: t)


_ALPHA = "GeneralizedAlpha, ρ∞ = 0.8"
_METHODS = {
    "Newmark, β = 1/4, γ = 1/2": Newmark(0.25, 0.5),
    _ALPHA: GeneralizedAlpha(0.8),
}


def _swing(t: Any) -> tuple[Array, Array, Array]:
    """1 + sin 3t with two derivatives."""
    s, c = jnp.sin(_RATE * t), jnp.cos(_RATE * t)
    return 1 + s, _RATE * c, -(_RATE**2) * s


def _vibrating(alpha: float, beta: float, density: float) -> tuple[Elasticity, Polynomial]:
    """A plate whose exact motion is a quadratic polynomial in space, times 1 + sin 3t."""
    space = FunctionSpace(unit_mesh("quadrilateral", 2, _DISTORTION), "Q2", (2,))
    field = Polynomial.random(2, 2, 2, seed=4)
    first, shear = lame(2.0, 0.3, "plane strain")

    def force(x: Array, t: Any) -> Array:
        s, rate, second = _swing(t)
        return density * (second + alpha * rate) * field.value(x) + (s + beta * rate) * body_force(
            field, first, shear, x
        )

    def pull(x: Array, t: Any) -> Array:
        s, rate, _ = _swing(t)
        return (s + beta * rate) * stress(field, first, shear, x)[:, 1]

    sides = ("left", "right", "bottom")
    held = [Dirichlet(side, _at(lambda x, t: _swing(t)[0] * field.value(x))) for side in sides]
    conditions = [BodyForce("all", _at(force)), Traction("top", _at(pull)), *held]
    return Elasticity(space, 2.0, 0.3, density, conditions, kinematics="plane strain"), field


def _at_end(body: Elasticity, method: Method, rayleigh: tuple[float, float], steps: int, field: Polynomial) -> Array:
    """The flat displacement after 1 s from the exact start."""
    start, velocity = Profile(field.value), Profile(lambda x: _RATE * field.value(x))
    solver = DenseDirect(1e-9)
    return _marched(Dynamic(body, start, velocity, 1.0 / steps, method, rayleigh, linear_solver=solver), 1.0)


@case(
    "order-elastodynamics-in-time",
    group=GROUP,
    title="Orders of elastodynamics in time",
    equations=r"$$ M\ddot u + C\dot u + Ku = f(t), \quad C = \alpha M + \beta K: \quad "
    r"\|u_{\Delta t} - u\| = O(\Delta t^2) $$",
    setup="Unit square in plane strain, 2 × 2 distorted quadrilaterals Q2, which hold the exact motion, a quadratic "
    "polynomial in space times 1 + sin 3t; E = 2, ν = 0.3, ρ = 1.3, α = 0.3/s, β = 0.02 s; three sides moved, a "
    "traction on the fourth. Error at the nodes at 1 s after 40 and 80 steps.",
    source=HUGHES,
    slow=True,
)
def elastodynamics_in_time() -> Sequence[Check]:
    damping = (0.3, 0.02)
    body, field = _vibrating(*damping, 1.3)
    space = body.problem.space
    assert isinstance(space, FunctionSpace)
    exact = _swing(1.0)[0] * space.interpolate(field.value).reshape(-1)
    checks = []
    for name, method in _METHODS.items():
        off = [float(jnp.linalg.norm(_at_end(body, method, damping, n, field) - exact)) for n in (40, 80)]
        checks.append(order(name, 2, observed_order(*off)))
    return checks


@case(
    "order-explicit-elastodynamics",
    group=GROUP,
    title="Order of explicit elastodynamics in time",
    equations=r"$$ M\ddot u + Ku = f(t), \quad M \text{ diagonal}: \quad \|u_{\Delta t} - u\| = O(\Delta t^2) $$",
    setup="The plate of order-elastodynamics-in-time, undamped, with a lumped mass, which does not hold the motion: "
    "central differences, the order of the differences at 1 s of 80, 160 and 320 steps.",
    source=HUGHES,
    slow=True,
)
def explicit_elastodynamics() -> Sequence[Check]:
    body, field = _vibrating(0.0, 0.0, 1.3)
    runs = [_at_end(body, CentralDifference(), (0.0, 0.0), n, field) for n in (80, 160, 320)]
    gaps = [float(jnp.linalg.norm(one - two)) for one, two in itertools.pairwise(runs)]
    return [order("CentralDifference", 2, observed_order(*gaps))]


@case(
    "order-finite-strain-dynamics",
    group=GROUP,
    title="Orders in time of a neo-Hookean body in large motion",
    equations=r"$$ \rho\ddot u - \nabla\cdot P(F) = f, \quad u = \sin(3t)\,A x, \quad P = \mu(F - F^{-\top}) + "
    r"\lambda\ln J\,F^{-\top} $$",
    setup="Unit square in plane strain, 2 × 2 distorted quadrilaterals Q1, which hold the exact homogeneous strain, "
    "A = (0.3, 0.2; −0.1, −0.25); μ = 1, λ = 2, ρ = 1.3; the left side moved, the nominal traction on the others. "
    "Error at the nodes at 1 s after 40 and 80 steps.",
    source=HUGHES,
    slow=True,
)
def finite_strain_dynamics() -> Sequence[Check]:
    mu, first, density, end = 1.0, 2.0, 1.3, 1.0
    shape = jnp.array([[0.3, 0.2], [-0.1, -0.25]])
    space = FunctionSpace(unit_mesh("quadrilateral", 2, _DISTORTION), "Q1", (2,))

    def pull(side: str, axis: int, sign: float) -> Term:
        def nominal(x: Array, t: Any) -> Array:
            (a, b), (c, d) = jnp.eye(2) + jnp.sin(_RATE * t) * shape
            volume = a * d - b * c
            inverse = jnp.stack([jnp.stack([d, -c]), jnp.stack([-b, a])]) / volume  # F⁻ᵀ
            stretch = jnp.eye(2) + jnp.sin(_RATE * t) * shape
            return sign * (mu * (stretch - inverse) + first * jnp.log(volume) * inverse)[:, axis]

        return Traction(side, _at(nominal))

    loads = [pull("right", 0, 1.0), pull("top", 1, 1.0), pull("bottom", 1, -1.0)]
    inertia = BodyForce("all", _at(lambda x, t: -density * _RATE**2 * jnp.sin(_RATE * t) * (shape @ x)))
    held = Dirichlet("left", _at(lambda x, t: jnp.sin(_RATE * t) * (shape @ x)))
    body = Hyperelasticity(space, NeoHookean(mu, first), density, [*loads, inertia, held], kinematics="plane strain")
    exact = np.sin(_RATE * end) * np.asarray(space.nodes()) @ np.asarray(shape).T
    velocity = Profile(lambda x: _RATE * (shape @ x))

    def off(steps: int) -> float:
        method = _METHODS[_ALPHA]
        analysis = Dynamic(body, 0.0, velocity, end / steps, method, rtol=1e-11, linear_solver=DenseDirect(1e-9))
        return float(np.linalg.norm(np.asarray(_marched(analysis, end)) - exact.reshape(-1)))

    return [order(_ALPHA, 2, observed_order(off(40), off(80)))]


@case(
    "order-elastodynamics-in-space",
    group=GROUP,
    title="Orders of elastodynamics in space",
    equations=r"$$ \rho\ddot u - \nabla\cdot\sigma(u) = f, \quad u = \big(1 + t + \tfrac12 t^2\big)\,v(x) $$",
    setup="Unit square in plane strain, 4 and 8 distorted quadrilaterals Q2 a side, E = 2, ν = 0.3, ρ = 1.3; a motion "
    "of constant acceleration, which Newmark's average acceleration takes without error in time, smooth in space; "
    "three sides moved, a traction on the fourth. Errors at 0.5 s after 10 steps.",
    source=HUGHES,
)
def elastodynamics_in_space() -> Sequence[Check]:
    def off(n: int) -> np.ndarray:
        space = FunctionSpace(unit_mesh("quadrilateral", n, _DISTORTION), "Q2", (2,))
        field, density, end = Exponential.of(2, 2), 1.3, 0.5
        first, shear = lame(2.0, 0.3, "plane strain")
        grown = lambda t: 1 + t + 0.5 * t**2  # noqa: E731
        force = _at(lambda x, t: density * field.value(x) + grown(t) * body_force(field, first, shear, x))
        pull = _at(lambda x, t: grown(t) * stress(field, first, shear, x)[:, 1])
        sides = ("left", "right", "bottom")
        held = [Dirichlet(side, _at(lambda x, t: grown(t) * field.value(x))) for side in sides]
        conditions = [BodyForce("all", force), Traction("top", pull), *held]
        body = Elasticity(space, 2.0, 0.3, density, conditions, kinematics="plane strain")
        start, solver = Profile(field.value), SparseDirect(1e-8)
        u = _marched(Dynamic(body, start, start, end / 10, Newmark(0.25, 0.5), linear_solver=solver), end)
        scale = grown(end)
        return errors(space, space.unflatten(u), lambda x: scale * field.value(x), lambda x: scale * field.gradient(x))

    value, slope = observed_order(off(4), off(8))
    return [order("L2", 3, value), order("H1", 2, slope)]


def _warming(end: float, steps: int) -> np.ndarray:
    """Errors of temperature and displacement at the nodes, by the coupled equations in time."""
    mesh = unit_mesh("quadrilateral", 2, _DISTORTION)
    heats, moves = FunctionSpace(mesh, "Q1"), FunctionSpace(mesh, "Q2", (2,))
    modulus, nu, alpha, reference, k, capacity = 2.0, 0.3, 0.2, 0.5, 1.5, 0.8
    first, shear = lame(modulus, nu)
    beta = (3 * first + 2 * shear) * alpha
    motion, heat = Polynomial.random(2, 2, 2, seed=4), Polynomial.random(2, 1, 1, seed=5)
    warm = lambda t: jnp.exp(-t)  # noqa: E731
    temperature = lambda x, t: warm(t) * heat.value(x)[0]  # noqa: E731

    def force(x: Array, t: Any) -> Array:
        return _swing(t)[0] * body_force(motion, first, shear, x) + beta * warm(t) * heat.gradient(x)[0]

    def pull(x: Array, t: Any) -> Array:
        return (
            _swing(t)[0] * stress(motion, first, shear, x)[:, 1]
            - beta * (temperature(x, t) - reference) * jnp.eye(2)[1]
        )

    def source(x: Array, t: Any) -> Array:
        return -capacity * temperature(x, t) + reference * beta * _swing(t)[1] * jnp.trace(motion.gradient(x))

    sides = ("left", "right", "bottom")
    flux = Flux("top", _at(lambda x, t: k * warm(t) * heat.gradient(x)[0, 1]))
    thermal = [HeatSource("all", _at(source)), flux, *(Dirichlet(side, _at(temperature)) for side in sides)]
    held = [Dirichlet(side, _at(lambda x, t: _swing(t)[0] * motion.value(x))) for side in sides]
    mechanical = [BodyForce("all", _at(force)), Traction("top", _at(pull)), *held]
    space = MixedSpace({"T": heats, "u": moves})
    numbers = (modulus, nu, alpha, reference, k, capacity)
    body: Physics = Thermoelasticity(space, *numbers, thermal=thermal, mechanical=mechanical)
    start = {"T": Profile(lambda x: heat.value(x)[0]), "u": Profile(motion.value)}
    analysis = Transient(body, start, end / steps, rtol=1e-12, linear_solver=DenseDirect(1e-9))
    grid = analysis.grid(np.array([0.0, end]))
    run = eqx.filter_jit(lambda some: some.solve(None, _CLOCK, grid, lambda t, u: t))
    found = space.unflatten(run(analysis).checked()[1])
    exact = (
        heats.interpolate(lambda x: temperature(x, end)),
        moves.interpolate(lambda x: _swing(end)[0] * motion.value(x)),
    )
    off = [jnp.linalg.norm(found[name] - some) for name, some in zip(("T", "u"), exact, strict=True)]
    return np.array(off)


@case(
    "order-thermoelasticity-in-time",
    group=GROUP,
    title="Orders in time of temperature and displacement, coupled both ways",
    equations=r"$$ \rho c\,\dot T + T_0\beta\,\nabla\cdot\dot u - \nabla\cdot(k\nabla T) = q, \quad "
    r"-\nabla\cdot\big(\sigma(u) - \beta(T - T_0)I\big) = f $$",
    setup="Unit square in plane strain, 2 × 2 distorted quadrilaterals, Q2 for the displacement and Q1 for the "
    "temperature, which hold the exact fields: a quadratic polynomial times 1 + sin 3t and a linear one times "
    "exp(−t); E = 2, ν = 0.3, α = 0.2, T₀ = 0.5, k = 1.5, ρc = 0.8; three sides prescribed. Alexander's SDIRK2; errors "
    "at the nodes at 0.4 s after 20 and 40 steps.",
    source="Alexander, SIAM J. Numer. Anal. 14, 1977; Biot, J. Appl. Phys. 27, 1956",
    slow=True,
)
def thermoelasticity_in_time() -> Sequence[Check]:
    temperature, displacement = observed_order(_warming(0.4, 20), _warming(0.4, 40))
    return [order("temperature", 2, temperature), order("displacement", 2, displacement)]


@case(
    "order-beam-frequencies",
    group=GROUP,
    title="Order of the natural frequencies of a beam",
    equations=r"$$ f_h - f = O(h^4), \quad (2\pi f)^2 = \frac{EI\,k^4}{\rho A + \rho I k^2}, \quad "
    r"k = \frac{n\pi}{L} $$",
    setup="A beam of 4 m on two supports, Euler-Bernoulli elements with consistent mass and rotary inertia, 6 and 12 "
    "of them: second and third bending frequency in the plane.",
    source="Strang, Fix, An Analysis of the Finite Element Method, 1973, chapter 6; Rayleigh, The Theory "
    "of Sound, 1877, chapter VIII",
)
def beam_frequencies() -> Sequence[Check]:
    length, modulus, density, section = 4.0, 210e9, 7850.0, Section.general(1e-2, 2e-5, 3e-5, 1e-5)

    def off(n: int) -> np.ndarray:
        ends = {"left": [0], "right": [1]}
        mesh = frame([[0.0, 0.0], [length, 0.0]], [[0, 1]], n, member_tags={"beam": [0]}, joint_tags=ends)
        held = [Support("left", "displacements"), Support("right", "displacements")]
        body = Frame(mesh, section, modulus, 0.3, density, held, theory="Euler-Bernoulli")
        frequencies, _ = modes(Modal(body, 3, rtol=1e-9)).checked()
        k = np.array([2, 3]) * np.pi / length
        exact = np.sqrt(modulus * 2e-5 * k**4 / (density * (1e-2 + 2e-5 * k**2))) / (2 * np.pi)
        return np.abs(np.asarray(frequencies)[1:3] - exact)

    second, third = observed_order(off(6), off(12))
    return [order("second frequency", 4, second), order("third frequency", 4, third)]


CASES = (
    elastodynamics_in_time,
    explicit_elastodynamics,
    finite_strain_dynamics,
    elastodynamics_in_space,
    thermoelasticity_in_time,
    beam_frequencies,
)
"""The third part of the chapter."""
