"""Steady heat conduction against closed forms and published values."""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import scipy.integrate

from gemel.engine import (
    Convection,
    Dirichlet,
    Flux,
    FunctionSpace,
    Heat,
    HeatSource,
    Law,
    Profile,
    Radiation,
    grad,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import curved, mapped, nearest_node, nodal_values, solved, total, value_at, zero_of
from gemel.meshes import box, grid, rectangle

GROUP = "heat"
STEFAN_BOLTZMANN = 5.670374419e-8


@case(
    "composite-wall",
    group=GROUP,
    title="Three layers between two fluids",
    equations=r"$$ q = \frac{T_a - T_b}{1/h_a + \sum_i L_i/k_i + 1/h_b} $$",
    setup="0.1 m of k = 0.7, 0.05 m of 0.04 and 0.02 m of 15 W/(m K) as 12 × 1 quadrilaterals Q1 that end at the "
    "interfaces; convection with 10 W/(m² K) at 293 K inside and 40 at 263 K outside; top and bottom insulated.",
    source="Incropera et al., Fundamentals of Heat and Mass Transfer, 7th ed., section 3.1",
)
def composite_wall() -> Sequence[Check]:
    ends = np.array([0.0, 0.1, 0.15, 0.17])
    x = np.concatenate([np.linspace(a, b, 5)[:-1] for a, b in itertools.pairwise(ends)] + [ends[-1:]])
    mesh = grid(x, [0.0, 0.05])
    for name, a, b in zip("abc", ends[:-1], ends[1:], strict=True):
        mesh = mesh.tag_cells(name, lambda p, a=a, b=b: (p[:, 0] > a) & (p[:, 0] < b))
    space = FunctionSpace(mesh, "Q1")
    k = {"a": 0.7, "b": 0.04, "c": 15.0}
    u = solved(Heat(space, k, conditions=[Convection("left", 10.0, 293.0), Convection("right", 40.0, 263.0)]))
    q = 30.0 / (1 / 10 + 0.1 / 0.7 + 0.05 / 0.04 + 0.02 / 15 + 1 / 40)
    flux = total(space, lambda u, p: 40.0 * (u.value - 263.0), u, "right", facets=True) / 0.05
    interface = 293.0 - q * (1 / 10 + 0.1 / 0.7)
    return [
        relative("heat flux", q, flux, 1e-9, "W/m²"),
        relative("temperature of the first interface", interface, value_at(space, u, (0.1, 0.02)), 1e-9, "K"),
    ]


@case(
    "hollow-cylinder",
    group=GROUP,
    title="Conduction through a hollow cylinder",
    equations=r"$$ T = T_1 + (T_2 - T_1)\frac{\ln(r/r_1)}{\ln(r_2/r_1)}, \qquad q' = \frac{2\pi k (T_1 - "
    r"T_2)}{\ln(r_2/r_1)} $$",
    setup="A quarter of the annulus 0.5 < r < 2 m, 8 × 16 curved quadrilaterals Q2, k = 3 W/(m K), "
    "T = 400 K inside and 300 K outside; the cuts are insulated. The rate comes from ∫ k |∇T|² = q' (T₁ − T₂).",
    source="Incropera et al., Fundamentals of Heat and Mass Transfer, 7th ed., section 3.3",
)
def hollow_cylinder() -> Sequence[Check]:
    mesh = curved(rectangle(8, 16), lambda s: _polar(0.5 * 4.0 ** s[:, 0], np.pi / 2 * s[:, 1]))
    space = FunctionSpace(mesh, "Q2")
    u = solved(Heat(space, 3.0, conditions=[Dirichlet("left", 400.0), Dirichlet("right", 300.0)]))
    rate = 4 * total(space, lambda u, p: 3.0 * jnp.sum(u.grad**2), u) / 100.0
    return [
        relative("heat rate per length", 2 * np.pi * 3.0 * 100.0 / np.log(4.0), rate, 1e-4, "W/m"),
        absolute("temperature at r = 1 m", 350.0, u[nearest_node(space, (1.0, 0.0))], 1e-3, "K"),
    ]


@case(
    "hollow-sphere",
    group=GROUP,
    title="Conduction through a spherical shell",
    equations=r"$$ T = T_2 + (T_1 - T_2) \frac{1/r - 1/r_2}{1/r_1 - 1/r_2} $$",
    setup="The part of the shell 1 < r < 3 m with |x|, |y| < z (a sixth), 6 × 6 × 6 curved hexahedra Q2 along radii; "
    "T = 500 K inside and 300 K outside; the radial cuts are insulated.",
    source="Incropera et al., Fundamentals of Heat and Mass Transfer, 7th ed., section 3.3",
)
def hollow_sphere() -> Sequence[Check]:
    mesh = curved(box(6, 6, 6, size=(2.0, 2.0, 1.0), origin=(-1.0, -1.0, 0.0)), _cube_sphere)
    space = FunctionSpace(mesh, "Q2")
    u = solved(Heat(space, 1.0, conditions=[Dirichlet("bottom", 500.0), Dirichlet("top", 300.0)]))
    expected = 300.0 + 200.0 * (1 / np.sqrt(3) - 1 / 3) / (1 - 1 / 3)
    return [absolute("temperature at r = 1.732 m", expected, value_at(space, u, (0.0, 0.0, 3**0.5)), 0.02, "K")]


@case(
    "generating-slab",
    group=GROUP,
    title="Slab with uniform heat generation, cooled by a fluid",
    equations=r"$$ T(x) = T_\infty + \frac{\dot q L}{h} + \frac{\dot q (L^2 - x^2)}{2k} $$",
    setup="Half a slab of L = 0.05 m as 4 × 1 distorted quadrilaterals Q2, which hold the parabola exactly; "
    "1e6 W/m³, k = 20 W/(m K), h = 500 W/(m² K), T∞ = 300 K; insulated at x = 0.",
    source="Incropera et al., Fundamentals of Heat and Mass Transfer, 7th ed., section 3.5",
)
def generating_slab() -> Sequence[Check]:
    skew = lambda x: x + np.stack([0.02 * np.sin(np.pi * x[:, 0] / 0.05) * x[:, 1], 0 * x[:, 1]], axis=1)  # noqa: E731
    space = FunctionSpace(mapped(rectangle(4, 1, size=(0.05, 0.02)), skew), "Q2")
    u = solved(Heat(space, 20.0, conditions=[HeatSource("all", 1e6), Convection("right", 500.0, 300.0)]))
    top = 300.0 + 1e6 * 0.05 / 500.0 + 1e6 * 0.05**2 / 40.0
    return [
        relative("temperature at the middle", top, u[nearest_node(space, (0.0, 0.0))], 1e-9, "K"),
        relative("temperature at the surface", 400.0, u[nearest_node(space, (0.05, 0.0))], 1e-9, "K"),
    ]


@case(
    "generating-cylinder",
    group=GROUP,
    title="Rod with uniform heat generation",
    equations=r"$$ T(0) - T_s = \frac{\dot q R^2}{4k} $$",
    setup="The disc of R = 0.01 m from a square of 8 × 8 curved quadrilaterals Q2; 5e7 W/m³, "
    "k = 15 W/(m K), T = 350 K at the surface.",
    source="Incropera et al., Fundamentals of Heat and Mass Transfer, 7th ed., section 3.5",
)
def generating_cylinder() -> Sequence[Check]:
    mesh = curved(rectangle(8, 8, size=(2.0, 2.0), origin=(-1.0, -1.0)), lambda x: 0.01 * _disc(x))
    space = FunctionSpace(mesh, "Q2")
    u = solved(Heat(space, 15.0, conditions=[HeatSource("all", 5e7), Dirichlet("boundary", 350.0)]))
    rise = value_at(space, u, (0.0, 0.0)) - 350.0
    return [relative("rise at the axis", 5e7 * 0.01**2 / 60.0, rise, 1e-3, "K")]


@case(
    "straight-fin",
    group=GROUP,
    title="Straight fin of uniform section with a convecting tip",
    equations=r"$$ q = \sqrt{hPkA}\,\theta_b\, \frac{\sinh mL + (h/mk)\cosh mL}{\cosh mL + (h/mk)\sinh mL}, \quad "
    r"m^2 = \frac{hP}{kA} $$",
    setup="Half of a fin 2 mm thick and 50 mm long, plane, 40 × 2 quadrilaterals Q2; k = 180 W/(m K), "
    "h = 100 W/(m² K), base 100 K above the air. The reference neglects the drop across the thickness, "
    "of the order of the Biot number h t / 2k = 6e-4.",
    source="Incropera et al., Fundamentals of Heat and Mass Transfer, 7th ed., table 3.4 case A",
)
def straight_fin() -> Sequence[Check]:
    length, half, k, h = 0.05, 0.001, 180.0, 100.0
    space = FunctionSpace(rectangle(40, 2, size=(length, half)), "Q2")
    loss = [Convection("top", h, 0.0), Convection("right", h, 0.0)]
    u = solved(Heat(space, k, conditions=[Dirichlet("left", 100.0), *loss]))
    rate = sum(2 * total(space, lambda u, p: h * u.value, u, side, facets=True) for side in ("top", "right"))
    m = np.sqrt(h / (k * half))
    ratio, c, s = h / (m * k), np.cosh(m * length), np.sinh(m * length)
    expected = k * 2 * half * m * 100.0 * (s + ratio * c) / (c + ratio * s)
    tip = 100.0 / (c + ratio * s)
    return [
        relative("heat rate per width", expected, rate, 2e-3, "W/m"),
        relative("excess temperature of the tip", tip, value_at(space, u, (length, 0.0)), 2e-3, "K"),
    ]


@case(
    "nafems-t2",
    group=GROUP,
    title="Conducting bar that radiates from its end",
    equations=r"$$ k\,\frac{T_1 - T}{L} = \varepsilon\sigma\,(T^4 - T_\infty^4) $$",
    setup="0.1 m of k = 55.6 W/(m K), ε = 0.98, 10 × 1 quadrilaterals Q1; 1000 K at the left, radiation to 300 K at "
    "the right. The second reference is the root of the equation above by Brent's method.",
    source="NAFEMS, The Standard NAFEMS Benchmarks, rev. 3, 1990, T2",
)
def nafems_t2() -> Sequence[Check]:
    space = FunctionSpace(rectangle(10, 1, size=(0.1, 0.01)), "Q1")
    u = solved(Heat(space, 55.6, conditions=[Dirichlet("left", 1000.0), Radiation("right", 0.98, 300.0)]), 900.0)
    end = u[nearest_node(space, (0.1, 0.0))]
    balance = lambda t: 55.6 * (1000 - t) / 0.1 - 0.98 * STEFAN_BOLTZMANN * (t**4 - 300.0**4)  # noqa: E731
    root = zero_of(balance, 300.0, 1000.0)
    return [
        absolute("temperature of the radiating end, NAFEMS", 927.0, end, 0.1, "K"),
        relative("temperature of the radiating end, root", root, end, 1e-9, "K"),
    ]


@case(
    "radiating-fin",
    group=GROUP,
    title="Straight fin that radiates to cold space",
    equations=r"$$ k t\, T'' = 2\varepsilon\sigma T^4, \qquad T(0) = T_b,\quad T'(L) = 0 $$",
    setup="Half of a fin 4 mm thick and 0.3 m long, 60 × 1 quadrilaterals Q2; k = 200 W/(m K), ε = 0.9, base at "
    "500 K, insulated tip, surroundings at 0 K. The reference is scipy's collocation solution of the equation above.",
    source="equation: Incropera et al., 7th ed., section 3.6 with radiation; scipy.integrate.solve_bvp, tolerance 1e-9",
)
def radiating_fin() -> Sequence[Check]:
    length, half, k, emissivity = 0.3, 0.002, 200.0, 0.9
    space = FunctionSpace(rectangle(60, 1, size=(length, half)), "Q2")
    u = solved(Heat(space, k, conditions=[Dirichlet("left", 500.0), Radiation("top", emissivity, 0.0)]), 400.0)
    factor = emissivity * STEFAN_BOLTZMANN / (k * half)
    x = np.linspace(0.0, length, 61)
    fin = scipy.integrate.solve_bvp(
        lambda x, y: np.stack([y[1], factor * y[0] ** 4]),
        lambda a, b: np.array([a[0] - 500.0, b[1]]),
        x,
        np.stack([np.full_like(x, 450.0), np.full_like(x, -300.0)]),
        tol=1e-9,
        max_nodes=20000,
    )
    rate = 2 * total(space, lambda u, p: emissivity * STEFAN_BOLTZMANN * u.value**4, u, "top", facets=True)
    return [
        relative("heat rate per width", -k * 2 * half * fin.y[1, 0], rate, 1e-3, "W/m"),
        relative("temperature of the tip", fin.y[0, -1], value_at(space, u, (length, 0.0)), 1e-3, "K"),
    ]


@case(
    "kirchhoff-transform",
    group=GROUP,
    title="Conductivity that grows with temperature",
    equations=r"$$ k = k_0 (1 + \beta T): \qquad T + \tfrac{\beta}{2} T^2 \text{ is linear between the ends} $$",
    setup="A wall of 1 m, 32 × 1 quadrilaterals Q2, k₀ = 2 W/(m K), β = 0.01 /K, ends at 0 and 200 K; a `Law` as "
    "conductivity, Newton's method.",
    source="Carslaw, Jaeger, Conduction of Heat in Solids, 2nd ed., 1959, section 2.16",
)
def kirchhoff_transform() -> Sequence[Check]:
    space = FunctionSpace(rectangle(32, 1, size=(1.0, 0.1)), "Q2")
    law = Law(lambda u, x: 2.0 * (1.0 + 0.01 * u))
    u = solved(Heat(space, law, conditions=[Dirichlet("left", 0.0), Dirichlet("right", 200.0)]))
    half = (200.0 + 0.005 * 200.0**2) / 2
    flux = total(space, lambda u, p: 2.0 * (1 + 0.01 * u.value) * grad(u) @ p.normal, u, "right", facets=True)
    return [
        relative("temperature at the middle", (np.sqrt(1 + 0.02 * half) - 1) / 0.01, _at(space, u, 0.5), 1e-6, "K"),
        relative("heat flux from the gradient at the end", 2 * 2.0 * half, flux / 0.1, 1e-3, "W/m²"),
    ]


@case(
    "nafems-t4",
    group=GROUP,
    title="Rectangle with a fixed temperature and convection",
    equations=r"$$ \nabla^2 T = 0, \quad T(x, 0) = 100, \quad \partial_x T(0, y) = 0, \quad -k\,\partial_n T = h T "
    r"\text{ at } x = a \text{ and } y = b $$ "
    r"$$ T = \sum_i c_i \cos\lambda_i x\, \frac{\cosh\lambda_i(b-y) + \frac{h}{k\lambda_i}\sinh\lambda_i(b-y)}"
    r"{\cosh\lambda_i b + \frac{h}{k\lambda_i}\sinh\lambda_i b}, \quad \lambda_i a\tan\lambda_i a = \frac{ha}{k} $$",
    setup="0.6 × 1 m, 24 × 40 quadrilaterals Q2, graded towards the corner (0.6, 0) where the conditions clash; "
    "k = 52 W/(m K), h = 750 W/(m² K), surroundings at 0 °C. The second reference is the series with 4000 terms.",
    source="NAFEMS, The Standard NAFEMS Benchmarks, rev. 3, 1990, T4; series: Carslaw, Jaeger, 2nd ed., chapter 5",
)
def nafems_t4() -> Sequence[Check]:
    a, b, k, h = 0.6, 1.0, 52.0, 750.0
    s = np.linspace(0.0, 1.0, 25)
    mesh = grid(a * (1 - (1 - s) ** 1.5), b * np.linspace(0.0, 1.0, 41) ** 1.5)
    space = FunctionSpace(mesh, "Q2")
    loss = [Convection("right", h, 0.0), Convection("top", h, 0.0)]
    u = solved(Heat(space, k, conditions=[*loss, Dirichlet("bottom", 100.0)]))
    found = value_at(space, u, (0.6, 0.2))
    return [
        absolute("temperature at (0.6, 0.2) m, NAFEMS", 18.3, found, 0.1, "°C"),
        absolute("temperature at (0.6, 0.2) m, series", _t4_series(a, b, h / k, 0.6, 0.2), found, 0.02, "°C"),
    ]


def _t4_series(a: float, b: float, ratio: float, x: float, y: float) -> float:
    total = 0.0
    for i in range(4000):
        low, high = i * np.pi / a, (i + 0.5) * np.pi / a
        root = zero_of(lambda m: m * np.sin(m * a) - ratio * np.cos(m * a), low + 1e-12, high)
        weight = np.sin(root * a) / root / (a / 2 + np.sin(2 * root * a) / (4 * root))
        decay = np.exp(-root * y) * (1 + ratio / root + (1 - ratio / root) * np.exp(-2 * root * (b - y)))
        total += (
            100 * weight * np.cos(root * x) * decay / (1 + ratio / root + (1 - ratio / root) * np.exp(-2 * root * b))
        )
    return total


@case(
    "anisotropic-conduction",
    group=GROUP,
    title="Conductivity tensor whose axes are not those of the mesh",
    equations=r"$$ \nabla\cdot(K\nabla T) = 0 \text{ for } T = x^2 + a x y + b y^2 \text{ with } "
    r"2K_{11} + 2aK_{12} + 2bK_{22} = 0 $$",
    setup="Unit square of 4 × 4 distorted triangles P2, which hold the field exactly; K from 10 and 1 W/(m K) "
    "turned by "
    "30°; flux on the right side, temperatures on the others.",
    source="direct substitution",
)
def anisotropic_conduction() -> Sequence[Check]:
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turn = np.array([[c, -s], [s, c]])
    tensor = turn @ np.diag([10.0, 1.0]) @ turn.T
    a = 0.5
    b = -(tensor[0, 0] + a * tensor[0, 1]) / tensor[1, 1]
    exact = lambda x: x[0] ** 2 + a * x[0] * x[1] + b * x[1] ** 2  # noqa: E731
    outward = jnp.asarray(tensor[0])
    flux = Profile(lambda x: outward @ jnp.stack([2 * x[0] + a * x[1], a * x[0] + 2 * b * x[1]]))
    bubble = lambda x: x + 0.1 * np.prod(np.sin(np.pi * x), axis=1, keepdims=True)  # noqa: E731
    space = FunctionSpace(mapped(rectangle(4, 4, cell="triangle"), bubble), "P2")
    fixed = [Dirichlet(side, Profile(exact)) for side in ("left", "bottom", "top")]
    u = solved(Heat(space, tensor, conditions=[Flux("right", flux), *fixed]))
    return [absolute("largest error at a node", 0.0, jnp.max(jnp.abs(u - nodal_values(space, exact))), 1e-11, "K")]


def _at(space: FunctionSpace, u: jnp.ndarray, x: float) -> float:
    return float(u[nearest_node(space, (x, 0.0))])


def _polar(r: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)


def _disc(x: np.ndarray) -> np.ndarray:
    """The square (−1, 1)² onto the unit disc, smooth but for its corners: x √(1 − y²/2), y √(1 − x²/2)."""
    return np.stack([x[:, 0] * np.sqrt(1 - x[:, 1] ** 2 / 2), x[:, 1] * np.sqrt(1 - x[:, 0] ** 2 / 2)], axis=1)


def _cube_sphere(s: np.ndarray) -> np.ndarray:
    """The box (−1, 1)² × (0, 1) onto the part |x|, |y| < z of the shell 1 < r < 3."""
    way = np.stack([np.tan(np.pi / 4 * s[:, 0]), np.tan(np.pi / 4 * s[:, 1]), np.ones(len(s))], axis=1)
    return way / np.linalg.norm(way, axis=1, keepdims=True) * 3.0 ** s[:, 2:]


CASES = (
    composite_wall,
    hollow_cylinder,
    hollow_sphere,
    generating_slab,
    generating_cylinder,
    straight_fin,
    nafems_t2,
    radiating_fin,
    kirchhoff_transform,
    nafems_t4,
    anisotropic_conduction,
)
"""The chapter."""
