"""Elastostatics of solids: closed forms."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.linalg

from gemel.engine import (
    BodyForce,
    Dirichlet,
    Elasticity,
    ElasticSupport,
    FunctionSpace,
    Periodic,
    Pressure,
    Profile,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import curved, mapped, nearest_node, nodal_values, solved, stress_at_nodes
from gemel.meshes import Mesh, box, rectangle

GROUP = "elasticity"
TIMOSHENKO = "Timoshenko, Goodier, Theory of Elasticity, 3rd ed., 1970"
STEEL, NU = 210e9, 0.3


@case(
    "nafems-le10",
    group=GROUP,
    title="Thick elliptic plate under pressure",
    equations="",
    setup="The quarter plate of nafems-le1, 0.6 m thick, 1 MPa on top; symmetry on the axes, the outer side held "
    "along x and y, "
    "and vertically along its middle line; 10 × 12 × 4 curved hexahedra Q2; the stress at the node D = (2, 0) on top.",
    source="NAFEMS, The Standard NAFEMS Benchmarks, rev. 3, 1990, LE10",
)
def nafems_le10() -> Sequence[Check]:
    def plate(s: np.ndarray) -> np.ndarray:
        a, b, angle = 2.0 + 1.25 * s[:, 0], 1.0 + 1.75 * s[:, 0], np.pi / 2 * s[:, 1]
        return np.stack([a * np.cos(angle), b * np.sin(angle), s[:, 2]], axis=1)

    graded = mapped(box(10, 12, 4, size=(1.0, 1.0, 0.6)), lambda s: s ** np.array([1.5, 1.3, 1.0]))
    mesh = curved(graded, plate)
    x = np.asarray(mesh.points)
    rim = (x[:, 0] / 3.25) ** 2 + (x[:, 1] / 2.75) ** 2 > 1 - 1e-9
    line = np.flatnonzero(rim & (np.abs(x[:, 2] - 0.3) < 1e-9))
    mesh = Mesh(x, mesh.blocks, degree=2, facet_tags=mesh.facet_tags, node_tags={"line": line})
    space = FunctionSpace(mesh, "Q2", (3,))
    sides = [Dirichlet("front", 0.0, component=1), Dirichlet("back", 0.0, component=0)]
    held = [
        Dirichlet("right", 0.0, component=0),
        Dirichlet("right", 0.0, component=1),
        Dirichlet("line", 0.0, component=2),
    ]
    body = Elasticity(space, STEEL, NU, conditions=[*sides, *held, Pressure("top", 1e6)])
    stress = stress_at_nodes(body, solved(body))[nearest_node(space, (2.0, 0.0, 0.6)), 1, 1]
    return [relative("σ_yy at D", -5.38, stress / 1e6, 2e-2, "MPa")]


@case(
    "pressurised-sphere",
    group=GROUP,
    title="Thick sphere under internal pressure",
    equations=r"$$ \sigma_\theta = \frac{p a^3}{b^3 - a^3}\left(1 + \frac{b^3}{2r^3}\right), \quad "
    r"u_r = \frac{p a^3}{E(b^3 - a^3)}\left[(1 - 2\nu) r + \frac{(1+\nu) b^3}{2 r^2}\right] $$",
    setup="A quarter of the part |x|, |y| < z of the shell 1 < r < 2 m, E = 210 GPa, ν = 0.3, p = 100 MPa, 3 × 3 × "
    "6 curved "
    "hexahedra Q2; symmetry on x = 0 and y = 0, the exact displacement on the slanted cuts.",
    source=f"{TIMOSHENKO}, article 136",
)
def pressurised_sphere() -> Sequence[Check]:
    def shell(s: np.ndarray) -> np.ndarray:
        way = np.stack([np.tan(np.pi / 4 * s[:, 0]), np.tan(np.pi / 4 * s[:, 1]), np.ones(len(s))], axis=1)
        return way / np.linalg.norm(way, axis=1, keepdims=True) * 2.0 ** s[:, 2:]

    def radial(r: Any) -> Any:
        return 1e8 / (STEEL * 7) * ((1 - 2 * NU) * r + (1 + NU) * 4 / r**2)

    space = FunctionSpace(curved(box(3, 3, 6), shell), "Q2", (3,))
    exact = Profile(lambda x: radial(jnp.linalg.norm(x)) * x / jnp.linalg.norm(x))
    cuts = [Dirichlet("left", 0.0, component=0), Dirichlet("front", 0.0, component=1)]
    slanted = [Dirichlet("right", exact), Dirichlet("back", exact)]
    body = Elasticity(space, STEEL, NU, conditions=[Pressure("bottom", 1e8), *slanted, *cuts])
    u = solved(body)
    inner = nearest_node(space, (0.0, 0.0, 1.0))
    hoop = stress_at_nodes(body, u)[inner, 0, 0]
    return [
        relative("radial displacement inside", 1e3 * radial(1.0), 1e3 * u[inner, 2], 1e-3, "mm"),
        relative("hoop stress inside", 100 / 7 * 5, hoop / 1e6, 2e-2, "MPa"),
    ]


@case(
    "hanging-bar",
    group=GROUP,
    title="Bar stretched by its own weight: a quadratic displacement",
    equations=r"$$ u = -\frac{\nu\gamma}{E} xz, \quad v = -\frac{\nu\gamma}{E} yz, \quad w = \frac{\gamma}{2E}"
    r"\left[z^2 - L^2 + \nu(x^2 + y^2)\right] $$",
    setup="1 × 1 × 2, hung at z = L = 2 by the exact displacement, 2 × 2 × 2 distorted tetrahedra P2, which hold "
    "the field "
    "exactly; γ = 3, E = 100, ν = 0.3.",
    source=f"{TIMOSHENKO}, article 96",
)
def hanging_bar() -> Sequence[Check]:
    weight, e, nu, length = 3.0, 100.0, 0.3, 2.0

    def exact(x: jnp.ndarray) -> jnp.ndarray:
        lift = 0.5 * (x[2] ** 2 - length**2 + nu * (x[0] ** 2 + x[1] ** 2))
        return weight / e * jnp.stack([-nu * x[0] * x[2], -nu * x[1] * x[2], lift])

    mesh = box(2, 2, 2, size=(1.0, 1.0, length), origin=(-0.5, -0.5, 0.0), cell="tetrahedron")
    inside = lambda x: np.cos(np.pi * x[:, :1]) * np.cos(np.pi * x[:, 1:2]) * np.sin(np.pi * x[:, 2:] / 2)  # noqa: E731
    space = FunctionSpace(mapped(mesh, lambda x: x + inside(x) * np.array([0.1, -0.07, 0.2])), "P2", (3,))
    pull = BodyForce("all", jnp.array([0.0, 0.0, -weight]))
    u = solved(Elasticity(space, e, nu, conditions=[pull, Dirichlet("top", Profile(exact))]))
    return [absolute("largest error at a node", 0.0, jnp.max(jnp.abs(u - nodal_values(space, exact))), 1e-11)]


@case(
    "elastic-bed",
    group=GROUP,
    title="Stiff block on a bed of springs",
    equations=r"$$ w = p / k_s $$",
    setup="A block of 0.1 × 0.2 × 0.3 m on 1e8 N/m³ under a pressure of 1 MPa on top, ν = 0, E = 200 GPa; "
    "2 × 2 × 2 hexahedra Q1.",
    source="equilibrium",
)
def elastic_bed() -> Sequence[Check]:
    space = FunctionSpace(box(2, 2, 2, size=(0.1, 0.2, 0.3)), "Q1", (3,))
    sides = [ElasticSupport("bottom", 1e8), Pressure("top", 1e6)]
    u = solved(Elasticity(space, 2e11, 0.0, conditions=sides))
    return [relative("sinking of the bottom", 10.0, -1e3 * u[nearest_node(space, (0, 0, 0)), 2], 1e-6, "mm")]


@case(
    "supported-plate-load",
    group=GROUP,
    title="Thick supported plate under a sinusoidal pressure, by the theory of elasticity",
    equations=r"$$ u = U(z)\,\nabla f,\ w = W(z) f,\ f = \sin\frac{\pi x}{a}\sin\frac{\pi y}{a}: \quad "
    r"\mu U'' + (\lambda+\mu) W' = (\lambda + 2\mu) k^2 U, \quad (\lambda+2\mu) W'' - (\lambda+\mu) k^2 U' = \mu "
    r"k^2 W $$",
    setup="A quarter of a plate of 1 × 1 × 0.2 m, E = 210 GPa, ν = 0.3, pressure 1 MPa sin sin on top; supported "
    "sides held "
    "vertically and along themselves, symmetry on the others; 6 × 6 × 3 hexahedra Q2. The equations across the "
    "thickness are "
    "solved by the matrix exponential.",
    source="Pagano, J. Compos. Mater. 4, 1970, for an isotropic layer",
)
def supported_plate_load() -> Sequence[Check]:
    thickness, q = 0.2, 1e6
    space = FunctionSpace(box(6, 6, 3, size=(0.5, 0.5, thickness)), "Q2", (3,))
    load = Profile(lambda x: q * jnp.sin(jnp.pi * x[0]) * jnp.sin(jnp.pi * x[1]))
    sides = [Dirichlet("left", 0.0, component=i) for i in (1, 2)] + [
        Dirichlet("front", 0.0, component=i) for i in (0, 2)
    ]
    sides += [Dirichlet("right", 0.0, component=0), Dirichlet("back", 0.0, component=1)]
    u = solved(Elasticity(space, STEEL, NU, conditions=[Pressure("top", load), *sides]))
    first, shear = STEEL * NU / (1 + NU) / (1 - 2 * NU), STEEL / 2 / (1 + NU)
    stiff, k2 = first + 2 * shear, 2 * np.pi**2
    rate = np.zeros((4, 4))  # of (U, U', W, W')
    rate[0, 1] = rate[2, 3] = 1.0
    rate[1, 0], rate[1, 3] = stiff * k2 / shear, -(first + shear) / shear
    rate[3, 1], rate[3, 2] = (first + shear) * k2 / stiff, shear * k2 / stiff
    tractions = np.array([[0.0, shear, shear, 0.0], [-first * k2, 0.0, 0.0, stiff]])
    across = scipy.linalg.expm(rate * thickness)
    start = np.linalg.solve(np.vstack([tractions, tractions @ across]), np.array([0.0, 0.0, 0.0, -q]))
    middle = scipy.linalg.expm(rate * thickness / 2) @ start
    found = u[nearest_node(space, (0.5, 0.5, thickness / 2))]
    corner = u[nearest_node(space, (0.0, 0.5, 0.0))]
    return [
        relative("deflection of the middle", 1e3 * middle[2], 1e3 * found[2], 2e-3, "mm"),
        relative("displacement along x of the lower edge", 1e3 * np.pi * start[0], 1e3 * corner[0], 2e-3, "mm"),
    ]


@case(
    "periodic-laminate",
    group=GROUP,
    title="Effective stiffness of a laminate",
    equations=r"$$ C_{11} = \Big\langle\frac1M\Big\rangle^{-1}, \quad C_{12} = C_{11}\Big\langle\frac{\lambda}{M}"
    r"\Big\rangle, \quad C_{22} = \Big\langle M - \frac{\lambda^2}{M}\Big\rangle + C_{11}\Big\langle\frac{\lambda}{M}"
    r"\Big\rangle^2, \quad C_{66} = \Big\langle\frac1\mu\Big\rangle^{-1}, \qquad M = \lambda + 2\mu $$",
    setup="A cell of two layers across x in plane strain, a quarter of E = 1, ν = 0.3 and the rest of E = 10, ν = 0.2, "
    "8 × 2 distorted quadrilaterals Q2 that end at the interface; opposite sides tied with the jump of a mean strain, "
    "one node fixed. Stiffness is twice the energy of unit strains; C₁₂ comes from that of both strains together.",
    source="Backus, J. Geophys. Res. 67, 1962",
)
def periodic_laminate() -> Sequence[Check]:
    bump = lambda x: 0.5 * np.sin(2 * np.pi * x[:, 0]) * x[:, 1] * (0.5 - x[:, 1])  # noqa: E731
    mesh = mapped(rectangle(8, 2, size=(1.0, 0.5)), lambda x: x + np.stack([0 * x[:, 0], bump(x)], axis=1))
    mesh = mesh.tag_cells("soft", lambda x: x[:, 0] < 0.25).tag_cells("hard", lambda x: x[:, 0] > 0.25)
    space = FunctionSpace(mesh, "Q2", (2,))

    def stiffness(strain: tuple[float, float, float]) -> float:
        xx, yy, shear = map(jnp.asarray, strain)
        mean = ((xx, shear), (0.0 * shear, yy))
        ties = [Periodic("right", "left", jump=mean), Periodic("top", "bottom", jump=mean), Dirichlet((0.0, 0.0))]
        moduli, ratios = {"soft": 1.0, "hard": 10.0}, {"soft": 0.3, "hard": 0.2}
        body = Elasticity(space, moduli, ratios, conditions=ties, kinematics="plane strain")
        u = solved(body).reshape(-1)
        return float(u @ body.problem.unconstrained(u)) / 0.5

    first, both = stiffness((1.0, 0.0, 0.0)), stiffness((1.0, 1.0, 0.0))
    second, shear = stiffness((0.0, 1.0, 0.0)), stiffness((0.0, 0.0, 1.0))
    share, young, nu = np.array([0.25, 0.75]), np.array([1.0, 10.0]), np.array([0.3, 0.2])
    mu, lame = young / 2 / (1 + nu), young * nu / (1 + nu) / (1 - 2 * nu)
    m = lame + 2 * mu
    c11 = 1 / (share @ (1 / m))
    c22 = share @ (m - lame**2 / m) + c11 * (share @ (lame / m)) ** 2
    return [
        relative("C₁₁", c11, first, 1e-9),
        relative("C₁₂", c11 * (share @ (lame / m)), (both - first - second) / 2, 1e-9),
        relative("C₂₂", c22, second, 1e-9),
        relative("C₆₆", 1 / (share @ (1 / mu)), shear, 1e-9),
    ]


CASES = (nafems_le10, pressurised_sphere, hanging_bar, elastic_bed, supported_plate_load, periodic_laminate)
"""The chapter."""
