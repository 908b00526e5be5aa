"""Elastostatics in the plane: published values and closed forms."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from gemel.engine import (
    BodyForce,
    Dirichlet,
    Elasticity,
    FunctionSpace,
    Pressure,
    Profile,
    Traction,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import (
    curved,
    mapped,
    nearest_node,
    nodal_values,
    solved,
    stress_at_nodes,
    value_at,
)
from gemel.meshes import rectangle

GROUP = "elasticity"
TIMOSHENKO = "Timoshenko, Goodier, Theory of Elasticity, 3rd ed., 1970"
STEEL, NU = 210e9, 0.3


@case(
    "nafems-le1",
    group=GROUP,
    title="Elliptic membrane",
    equations="",
    setup="Quarter of the plate between the ellipses (2, 1) and (3.25, 2.75) m, plane stress, E = 210 GPa, ν = 0.3, "
    "outward pressure of 10 MPa on the outer edge, symmetry on the axes; 10 × 20 curved quadrilaterals Q2; the "
    "stress is "
    "averaged at the node D = (2, 0).",
    source="NAFEMS, The Standard NAFEMS Benchmarks, rev. 3, 1990, LE1",
)
def nafems_le1() -> Sequence[Check]:
    def ellipse(s: np.ndarray) -> np.ndarray:
        a, b, angle = 2.0 + 1.25 * s[:, 0], 1.0 + 1.75 * s[:, 0], np.pi / 2 * s[:, 1]
        return np.stack([a * np.cos(angle), b * np.sin(angle)], axis=1)

    mesh = curved(mapped(rectangle(10, 20), lambda s: np.stack([s[:, 0] ** 1.5, s[:, 1] ** 1.3], axis=1)), ellipse)
    space = FunctionSpace(mesh, "Q2", (2,))
    sides = [Dirichlet("bottom", 0.0, component=1), Dirichlet("top", 0.0, component=0)]
    body = Elasticity(space, STEEL, NU, conditions=[*sides, Pressure("right", -10e6)], kinematics="plane stress")
    stress = stress_at_nodes(body, solved(body))[nearest_node(space, (2.0, 0.0)), 1, 1]
    return [relative("σ_yy at D", 92.7, stress / 1e6, 2e-3, "MPa")]


@case(
    "cook-membrane",
    group=GROUP,
    title="Tapered panel under shear",
    equations="",
    setup="Corners (0, 0), (48, 44), (48, 60), (0, 44), plane stress, E = 1, ν = 1/3, clamped at x = 0, shear of 1 "
    "in all at "
    "x = 48; 24 × 24 quadrilaterals Q2.",
    source="Cook, Improved two-dimensional finite element, J. Struct. Div. ASCE 100, 1974; converged value 23.96",
)
def cook_membrane() -> Sequence[Check]:
    shape = lambda s: np.stack([48 * s[:, 0], 44 * s[:, 0] + s[:, 1] * (44 - 28 * s[:, 0])], axis=1)  # noqa: E731
    space = FunctionSpace(mapped(rectangle(24, 24), shape), "Q2", (2,))
    conditions = [Dirichlet("left"), Traction("right", jnp.array([0.0, 1 / 16]))]
    u = solved(Elasticity(space, 1.0, 1 / 3, conditions=conditions, kinematics="plane stress"))
    return [relative("deflection at (48, 52)", 23.96, value_at(space, u, (48.0, 52.0))[1], 5e-4)]


def _hole_stress(x: jnp.ndarray) -> jnp.ndarray:
    """Kirsch's stresses around a hole of radius 1 in a plate under unit tension along x."""
    r2, angle = jnp.sum(x**2), jnp.arctan2(x[1], x[0])
    a, b = 1 / r2, 1 / r2**2
    c2, c4, s2, s4 = jnp.cos(2 * angle), jnp.cos(4 * angle), jnp.sin(2 * angle), jnp.sin(4 * angle)
    xx = 1 - a * (1.5 * c2 + c4) + 1.5 * b * c4
    yy = -a * (0.5 * c2 - c4) - 1.5 * b * c4
    xy = -a * (0.5 * s2 + s4) + 1.5 * b * s4
    return jnp.array([[xx, xy], [xy, yy]])


@case(
    "kirsch-hole",
    group=GROUP,
    title="Circular hole in an infinite plate under tension",
    equations=r"$$ \sigma_\theta(a, \theta) = \sigma\,(1 - 2\cos 2\theta): \quad 3\sigma \text{ across}, -\sigma "
    r"\text{ along the tension} $$",
    setup="A quarter of the ring 1 < r < 4, 12 × 16 curved quadrilaterals Q2 graded towards the hole, plane "
    "stress; Kirsch's "
    "own tractions on the outer arc, so that the plate is infinite; symmetry on the cuts.",
    source=f"{TIMOSHENKO}, article 35",
)
def kirsch_hole() -> Sequence[Check]:
    mesh = curved(rectangle(12, 16), lambda s: _polar(4.0 ** s[:, 0], np.pi / 2 * s[:, 1]))
    space = FunctionSpace(mesh, "Q2", (2,))
    outer = Traction("right", Profile(lambda x: _hole_stress(x) @ x / jnp.linalg.norm(x)))
    body = Elasticity(space, 1.0, NU, conditions=[*_SYMMETRY, outer], kinematics="plane stress")
    stress = stress_at_nodes(body, solved(body))
    return [
        relative("σ_x across the tension", 3.0, stress[nearest_node(space, (0.0, 1.0)), 0, 0], 5e-3),
        relative("σ_y along the tension", -1.0, stress[nearest_node(space, (1.0, 0.0)), 1, 1], 2e-2),
    ]


@case(
    "howland-hole",
    group=GROUP,
    title="Circular hole in a strip under tension",
    equations=r"$$ K_{net} = 3 - 3.140\,\tfrac{d}{W} + 3.667\left(\tfrac{d}{W}\right)^2 - "
    r"1.527\left(\tfrac{d}{W}\right)^3 $$",
    setup="Quarter of a strip of width W = 2 and length 8 with a hole of d = 1, plane stress, tension at the ends; "
    "16 × 32 "
    "curved quadrilaterals Q2. The reference is a fit to Howland's solution, good to half a percent.",
    source="Pilkey, Peterson's Stress Concentration Factors, 2nd ed., 1997, chart 4.1 (after Howland, 1930)",
)
def howland_hole() -> Sequence[Check]:
    def strip(s: np.ndarray) -> np.ndarray:
        away, t = np.abs(s[:, :1]) ** 1.7, s[:, 1]
        circle = 0.5 * _polar(np.ones(len(s)), np.pi / 2 * t)
        side = np.stack([np.minimum(4.0, 8.0 * (1 - t)), np.minimum(1.0, 2.0 * t)], axis=1)
        return (1 - away) * circle + away * side

    mesh = curved(rectangle(16, 32), strip).tag_facets("end", lambda x: x[:, 0] > 4 - 1e-9)
    space = FunctionSpace(mesh, "Q2", (2,))
    pull = Traction("end", jnp.array([1.0, 0.0]))
    body = Elasticity(space, 1.0, NU, conditions=[*_SYMMETRY, pull], kinematics="plane stress")
    peak = stress_at_nodes(body, solved(body))[nearest_node(space, (0.0, 0.5)), 0, 0]
    net = 3.0 - 3.140 * 0.5 + 3.667 * 0.25 - 1.527 * 0.125
    return [relative("largest over mean stress in the net section", net, peak / 2, 1e-2)]


@case(
    "lame-cylinder",
    group=GROUP,
    title="Thick cylinder under internal pressure",
    equations=r"$$ \sigma_\theta = \frac{p a^2}{b^2 - a^2}\left(1 + \frac{b^2}{r^2}\right), \quad u_r = "
    r"\frac{(1+\nu) p a^2}{E (b^2 - a^2)} \left[(1 - 2\nu) r + \frac{b^2}{r}\right] $$",
    setup="A quarter of the ring 1 < r < 2 m, plane strain, E = 210 GPa, ν = 0.3, p = 100 MPa; 8 × 12 curved "
    "quadrilaterals "
    "Q2, symmetry on the cuts.",
    source=f"{TIMOSHENKO}, article 28",
)
def lame_cylinder() -> Sequence[Check]:
    return _lame(NU, 1e-4, 3e-3)


@case(
    "lame-cylinder-incompressible",
    group=GROUP,
    title="Thick cylinder of a nearly incompressible material",
    equations="As lame-cylinder.",
    setup="As lame-cylinder, with ν = 0.4999: quadratic quadrilaterals must not lock.",
    source=f"{TIMOSHENKO}, article 28",
)
def lame_cylinder_incompressible() -> Sequence[Check]:
    return _lame(0.4999, 2e-3, None)


def _lame(nu: float, displacement: float, stress: float | None) -> Sequence[Check]:
    mesh = curved(rectangle(8, 12), lambda s: _polar(2.0 ** s[:, 0], np.pi / 2 * s[:, 1]))
    space = FunctionSpace(mesh, "Q2", (2,))
    body = Elasticity(space, STEEL, nu, conditions=[*_SYMMETRY, Pressure("left", 1e8)], kinematics="plane strain")
    u = solved(body)
    inner = nearest_node(space, (1.0, 0.0))
    radial = (1 + nu) * 1e8 / (STEEL * 3) * ((1 - 2 * nu) + 4)
    checks = [relative("radial displacement inside", 1e3 * radial, 1e3 * u[inner, 0], displacement, "mm")]
    if stress is not None:
        hoop = stress_at_nodes(body, u)[inner, 1, 1]
        checks.append(relative("hoop stress inside", 100 / 3 * 5, hoop / 1e6, stress, "MPa"))
    return checks


@case(
    "rotating-disc",
    group=GROUP,
    title="Annular disc that spins",
    equations=r"$$ \sigma_\theta(a) = \frac{3+\nu}{4}\rho\omega^2\left(b^2 + \frac{1-\nu}{3+\nu} a^2\right), \quad "
    r"\sigma_r\big(\sqrt{ab}\big) = \frac{3+\nu}{8}\rho\omega^2 (b-a)^2 $$",
    setup="A quarter of the ring 0.1 < r < 0.4 m, plane stress, steel of 7850 kg/m³ at 500 rad/s as the body force "
    "ρω²r; 16 × 12 "
    "curved quadrilaterals Q2, symmetry on the cuts.",
    source=f"{TIMOSHENKO}, article 32",
)
def rotating_disc() -> Sequence[Check]:
    mesh = curved(rectangle(16, 12), lambda s: _polar(0.1 * 4.0 ** s[:, 0], np.pi / 2 * s[:, 1]))
    space = FunctionSpace(mesh, "Q2", (2,))
    load = 7850.0 * 500.0**2
    spin = BodyForce("all", Profile(lambda x: load * x))
    body = Elasticity(space, STEEL, NU, conditions=[*_SYMMETRY, spin], kinematics="plane stress")
    stress = stress_at_nodes(body, solved(body))
    hoop = (3 + NU) / 4 * load * (0.4**2 + (1 - NU) / (3 + NU) * 0.1**2)
    radial = (3 + NU) / 8 * load * 0.3**2
    return [
        relative("hoop stress inside", hoop / 1e6, stress[nearest_node(space, (0.1, 0.0)), 1, 1] / 1e6, 3e-3, "MPa"),
        relative(
            "largest radial stress", radial / 1e6, stress[nearest_node(space, (0.2, 0.0)), 0, 0] / 1e6, 3e-3, "MPa"
        ),
    ]


@case(
    "timoshenko-cantilever",
    group=GROUP,
    title="Cantilever under a parabolic end shear",
    equations=r"$$ u_y(L, 0) = \frac{P L^3}{3 E I} + \frac{(4 + 5\nu) P c^2 L}{6 E I} \text{ with } u_y = "
    r"\partial_x u_y = 0 "
    r"\text{ at the axis of the root and the exact displacement over it} $$",
    setup="Length 8, height 2c = 2, plane stress, E = 1000, ν = 0.25, P = 2; 24 × 6 quadrilaterals Q2; the exact "
    "displacement at "
    "the root, the exact shear stress at the tip.",
    source=f"{TIMOSHENKO}, article 21",
)
def timoshenko_cantilever() -> Sequence[Check]:
    e, nu, p, length, c = 1000.0, 0.25, 2.0, 8.0, 1.0
    inertia = 2 * c**3 / 3

    def exact(x: jnp.ndarray) -> jnp.ndarray:
        along = -p * x[1] / (6 * e * inertia) * ((6 * length - 3 * x[0]) * x[0] + (2 + nu) * (x[1] ** 2 - c**2))
        inner = 3 * nu * x[1] ** 2 * (length - x[0]) + (4 + 5 * nu) * c**2 * x[0] + (3 * length - x[0]) * x[0] ** 2
        return jnp.stack([along, p / (6 * e * inertia) * inner])

    space = FunctionSpace(rectangle(24, 6, size=(length, 2 * c), origin=(0.0, -c)), "Q2", (2,))
    shear = Profile(lambda x: jnp.stack([0.0 * x[1], p / (2 * inertia) * (c**2 - x[1] ** 2)]))
    conditions = [Dirichlet("left", Profile(exact)), Traction("right", shear)]
    u = solved(Elasticity(space, e, nu, conditions=conditions, kinematics="plane stress"))
    tip = p * length**3 / (3 * e * inertia) + (4 + 5 * nu) * p * c**2 * length / (6 * e * inertia)
    off = jnp.max(jnp.abs(u - nodal_values(space, exact))) / tip
    return [
        relative("deflection of the tip", tip, u[nearest_node(space, (length, 0.0)), 1], 1e-4),
        absolute("largest error at a node over the deflection", 0.0, off, 1e-4),
    ]


@case(
    "pure-bending",
    group=GROUP,
    title="Beam in pure bending: a quadratic displacement",
    equations=r"$$ u_x = -\frac{M}{EI}\, x y, \qquad u_y = \frac{M}{2EI}\,(x^2 + \nu y^2) $$",
    setup="4 × 1, plane stress, 4 × 2 distorted quadrilaterals Q2, which hold the field exactly; linear tractions "
    "on the right, the "
    "exact displacement on the left.",
    source=f"{TIMOSHENKO}, article 102",
)
def pure_bending() -> Sequence[Check]:
    e, nu, curvature = 100.0, 0.3, 0.01

    def exact(x: jnp.ndarray) -> jnp.ndarray:
        return curvature * jnp.stack([-x[0] * x[1], 0.5 * (x[0] ** 2 + nu * x[1] ** 2)])

    def skew(x: np.ndarray) -> np.ndarray:
        bubble = np.sin(np.pi * x[:, 0] / 4) * np.cos(np.pi * x[:, 1])
        return x + np.stack([0.3 * bubble, 0.1 * bubble], axis=1)

    space = FunctionSpace(mapped(rectangle(4, 2, size=(4.0, 1.0), origin=(0.0, -0.5)), skew), "Q2", (2,))
    ends = Traction("right", Profile(lambda x: jnp.stack([-e * curvature * x[1], 0.0 * x[1]])))
    conditions = [Dirichlet("left", Profile(exact)), ends]
    u = solved(Elasticity(space, e, nu, conditions=conditions, kinematics="plane stress"))
    return [absolute("largest error at a node", 0.0, jnp.max(jnp.abs(u - nodal_values(space, exact))), 1e-11)]


@case(
    "golovin-bar",
    group=GROUP,
    title="Curved bar in pure bending",
    equations=r"$$ \sigma_\theta = -\frac{4M}{N}\left(-\frac{a^2b^2}{r^2}\ln\frac{b}{a} + b^2\ln\frac{r}{b} + "
    r"a^2\ln\frac{a}{r} + b^2 - a^2\right), \quad N = (b^2 - a^2)^2 - 4a^2b^2\ln^2\frac{b}{a} $$",
    setup="A quarter of the ring 1 < r < 2, plane stress, E = 1000, ν = 0.3; the exact stress at one end, the "
    "exact displacement "
    "at the other; 10 × 32 curved quadrilaterals Q2.",
    source=f"{TIMOSHENKO}, article 29",
)
def golovin_bar() -> Sequence[Check]:
    e, nu, a, b = 1000.0, 0.3, 1.0, 2.0
    scale = (b**2 - a**2) ** 2 - 4 * a**2 * b**2 * np.log(b / a) ** 2
    first, second = 4 / scale * a**2 * b**2 * np.log(b / a), 2 / scale * (b**2 - a**2)
    third = -(b**2 - a**2 + 2 * (b**2 * np.log(b) - a**2 * np.log(a))) / scale

    def hoop(r: jnp.ndarray | float) -> jnp.ndarray:
        return -first / r**2 + second * (3 + 2 * jnp.log(r)) + 2 * third

    def radial(r: jnp.ndarray) -> jnp.ndarray:
        curved_part = 2 * (1 - nu) * second * r * jnp.log(r) - second * (1 + nu) * r
        return (-(1 + nu) * first / r + curved_part + 2 * third * (1 - nu) * r) / e

    mesh = curved(rectangle(10, 32), lambda s: _polar(2.0 ** s[:, 0], np.pi / 2 * s[:, 1]))
    space = FunctionSpace(mesh, "Q2", (2,))
    root = Dirichlet("bottom", Profile(lambda x: jnp.stack([radial(x[0]), 0.0 * x[0]])))
    end = Traction("top", Profile(lambda x: jnp.stack([-hoop(x[1]), 0.0 * x[1]])))
    body = Elasticity(space, e, nu, conditions=[root, end], kinematics="plane stress")
    u = solved(body)
    stress = stress_at_nodes(body, u)
    inner, outer = _polar(np.array([1.0, 2.0]), np.full(2, np.pi / 4))
    along = np.array([-1.0, 1.0]) / np.sqrt(2)

    def found(place: np.ndarray) -> float:
        return along @ np.asarray(stress[nearest_node(space, place)]) @ along

    tip = 4 * second * 1.5 * (np.pi / 2) / e
    return [
        relative("hoop stress inside, M = 1", hoop(1.0), found(inner), 5e-3),
        relative("hoop stress outside, M = 1", hoop(2.0), found(outer), 5e-3),
        relative("displacement along the ring at the end, r = 1.5", tip, -value_at(space, u, (0.0, 1.5))[0], 1e-4),
    ]


_SYMMETRY = (Dirichlet("bottom", 0.0, component=1), Dirichlet("top", 0.0, component=0))


def _polar(r: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)


CASES = (
    nafems_le1,
    cook_membrane,
    kirsch_hole,
    howland_hole,
    lame_cylinder,
    lame_cylinder_incompressible,
    rotating_disc,
    timoshenko_cantilever,
    pure_bending,
    golovin_bar,
)
"""The chapter."""
