"""Nonlinear materials and thermal stress against closed forms."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.integrate

from gemel.engine import (
    Dirichlet,
    FollowerPressure,
    FunctionSpace,
    Hyperelasticity,
    Input,
    Isotropic,
    J2Plasticity,
    MixedSpace,
    MooneyRivlin,
    NeoHookean,
    Pressure,
    Profile,
    Prony,
    Quasistatic,
    Series,
    Solid,
    ThermalStrain,
    checked_path,
    follow,
    nodal_values,
    stress_field,
    volume_average,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import curved, nearest_node, solved, zero_of
from gemel.meshes import box, rectangle
from gemel.solvers import SparseDirect

GROUP = "materials"
E, NU = 200e9, 0.3
TIMOSHENKO = "Timoshenko, Goodier, Theory of Elasticity, 3rd ed., 1970"
_DIRECT = SparseDirect(1e-7)
_SLIDING = tuple(Dirichlet(side, 0.0, component=i) for i, side in enumerate(("left", "front", "bottom")))


def _ramp(times: Any, values: Any) -> Series:
    return Series(np.asarray(times, float), np.asarray(values, float), hold=False)


def _path(body: Any, times: Any, inputs: dict[str, Series], record: Any) -> Any:
    """What is recorded along an equilibrium path."""
    analysis = Quasistatic(body, linear_solver=_DIRECT)
    return checked_path(follow(analysis, np.asarray(times, float), inputs, record)).records


def _uniaxial(material: Any, times: Sequence[float], strains: Sequence[float]) -> np.ndarray:
    """The axial stress of a cube that is stretched with free sides, at each time."""
    space = FunctionSpace(box(1, 1, 1), "Q1", (3,))
    body = Solid(space, material, conditions=[*_SLIDING, Dirichlet("right", Input("stretch"), component=0)])
    record = lambda problem, u: volume_average(body, stress_field(body, u, problem))[0, 0]  # noqa: E731
    return np.asarray(_path(body, times, {"stretch": _ramp(times, strains)}, record))


@case(
    "j2-uniaxial",
    group=GROUP,
    title="Plasticity with linear hardening: a tension test, unloaded and reversed",
    equations=r"$$ \sigma = \sigma_0 + \frac{EH}{E+H}\left(\varepsilon - \frac{\sigma_0}{E}\right); \quad "
    r"\text{kinematic: yields "
    r"again at } \sigma_{max} - 2\sigma_0 $$",
    setup="A cube of one hexahedron Q1 with free sides, E = 200 GPa, σ₀ = 250 MPa, H = 10 GPa (isotropic in a "
    "first run, kinematic in a "
    "second); strains of 0.4 %, 0.3 %, −0.1 %.",
    source="Simo, Hughes, Computational Inelasticity, 1998, chapter 1",
)
def j2_uniaxial() -> Sequence[Check]:
    first, slope = 250e6, E * 10e9 / (E + 10e9)
    top = first + slope * (0.004 - first / E)
    times, strains = (0.0, 1.0, 2.0, 3.0), (0.0, 0.004, 0.003, -0.001)
    isotropic = _uniaxial(J2Plasticity(E, NU, first, 10e9), times, strains)
    kinematic = _uniaxial(J2Plasticity(E, NU, first, kinematic_modulus=10e9), times, strains)
    back = -0.001 - 0.004
    iso = -(top + slope * (-back - 2 * top / E))
    kin = top - 2 * first + slope * (back + 2 * first / E)
    return [
        relative("stress at 0.4 %", top / 1e6, isotropic[1] / 1e6, 1e-8, "MPa"),
        relative("unloaded to 0.3 %", (top - 0.001 * E) / 1e6, isotropic[2] / 1e6, 1e-8, "MPa"),
        relative("reversed to −0.1 %, isotropic", iso / 1e6, isotropic[3] / 1e6, 1e-8, "MPa"),
        relative("reversed to −0.1 %, kinematic", kin / 1e6, kinematic[3] / 1e6, 1e-8, "MPa"),
    ]


@case(
    "j2-torsion",
    group=GROUP,
    title="Elastic-plastic torsion of a round bar",
    equations=r"$$ T = \frac{2\pi k R^3}{3}\left(1 - \frac{c^3}{4R^3}\right), \quad k = \frac{\sigma_0}{\sqrt3},\ "
    r"c = \frac{k}{G\theta'} $$",
    setup="A slice of a bar of R = 1, 10 × 10 × 1 curved hexahedra Q2; both ends turned, perfect plasticity, twist "
    "until the "
    "elastic core has half the radius; the torque of the nodal forces.",
    source="Hill, The Mathematical Theory of Plasticity, 1950, section IV.7",
)
def j2_torsion() -> Sequence[Check]:
    young, height = 200e3, 0.2

    def disc(x: np.ndarray) -> np.ndarray:
        y, z = x[:, 0], x[:, 1]
        return np.stack([y * np.sqrt(1 - z**2 / 2), z * np.sqrt(1 - y**2 / 2), x[:, 2]], axis=1)

    mesh = curved(box(10, 10, 1, size=(2.0, 2.0, height), origin=(-1.0, -1.0, 0.0)), disc)
    space = FunctionSpace(mesh, "Q2", (3,))
    k, shear = 250.0 / np.sqrt(3), young / 2 / (1 + NU)
    twist = k / (shear * 0.5)
    turn = Profile(lambda x, s: s * twist * x[2] * jnp.stack([-x[1], x[0], 0.0 * x[0]]), (Input("load"),))
    body = Solid(space, J2Plasticity(young, NU, 250.0), conditions=[Dirichlet("bottom"), Dirichlet("top", turn)])
    x = np.asarray(space.nodes())
    upper = x[:, 2] > height - 1e-9

    def torque(problem: Any, u: Any) -> Any:
        force = problem.unconstrained(u).reshape(-1, 3)
        return jnp.sum(jnp.where(upper, x[:, 0] * force[:, 1] - x[:, 1] * force[:, 0], 0.0))

    found = _path(body, (0.0, 1.0), {"load": _ramp((0.0, 1.0), (0.0, 1.0))}, torque)
    expected = 2 * np.pi * k / 3 * (1 - 0.5**3 / 4)
    return [relative("torque", expected, found[-1], 3e-3, "N mm")]


@case(
    "plastic-cylinder",
    group=GROUP,
    title="Thick cylinder, plastic to half its wall",
    equations=r"$$ p = 2k\left[\ln\frac{c}{a} + \frac12\left(1 - \frac{c^2}{b^2}\right)\right], \quad "
    r"u_r(b) = \frac{2(1-\nu^2) k c^2}{E b}, \quad k = \frac{\sigma_0}{\sqrt3} $$",
    setup="a = 1, b = 2, c = 1.5, axisymmetric between rigid planes, perfect plasticity, ν = 0.4999 (the formula "
    "is that of an "
    "incompressible material), E = 200 GPa, σ₀ = 250 MPa; 24 × 1 quadrilaterals Q2, the pressure in 5 steps.",
    source="Hill, The Mathematical Theory of Plasticity, 1950, section V.2",
)
def plastic_cylinder() -> Sequence[Check]:
    nu, k, c = 0.4999, 250e6 / np.sqrt(3), 1.5
    space = FunctionSpace(rectangle(24, 1, size=(1.0, 0.05), origin=(1.0, 0.0)), "Q2", (2,))
    held = [Dirichlet("bottom", 0.0, component=1), Dirichlet("top", 0.0, component=1)]
    load = Pressure("left", Input("pressure"))
    body = Solid(space, J2Plasticity(E, nu, 250e6), conditions=[*held, load], kinematics="axisymmetric")
    pressure = 2 * k * (np.log(c) + 0.5 * (1 - c**2 / 4))
    times = np.linspace(0.0, 1.0, 6)
    outer = nearest_node(space, (2.0, 0.0))
    record = lambda problem, u: u[2 * outer]  # noqa: E731
    found = _path(body, times, {"pressure": _ramp(times, pressure * times)}, record)
    expected = 2 * (1 - nu**2) * k * c**2 / (E * 2)
    return [relative("outer radial displacement", 1e3 * expected, 1e3 * found[-1], 1e-2, "mm")]


@case(
    "prony-relaxation",
    group=GROUP,
    title="Relaxation of shear, and its growth at a constant rate",
    equations=r"$$ G(t) = G_0\Big(1 - \sum_i g_i(1 - e^{-t/\tau_i})\Big), \quad \tau(t) = \gamma G(t), \quad "
    r"\tau(t) = \dot\gamma\int_0^t G(s)\,ds $$",
    setup="A cube of one hexahedron Q1 in simple shear, E₀ = 2.6, ν₀ = 0.3 (G₀ = 1), g = 0.3 at 0.5 s and 0.4 at 5 "
    "s; γ = 0.01 from "
    "t = 0, held, read at 1 and 10 s after one step each; then 0.01/s in steps of 1 s.",
    source="Christensen, Theory of Viscoelasticity, 2nd ed., 1982, chapter 1",
)
def prony_relaxation() -> Sequence[Check]:
    space = FunctionSpace(box(1, 1, 1), "Q1", (3,))
    material = Prony(2.6, 0.3, shear=((0.3, 0.5), (0.4, 5.0)))
    slide = Profile(lambda x, s: s * jnp.stack([x[1], 0.0 * x[1], 0.0 * x[1]]), (Input("shear"),))
    body = Solid(space, material, conditions=[Dirichlet("boundary", slide)])
    record = lambda problem, u: volume_average(body, stress_field(body, u, problem))[0, 1]  # noqa: E731
    held = _path(body, (0.0, 1.0, 10.0), {"shear": _ramp((0.0, 10.0), (0.01, 0.01))}, record)
    grown = _path(body, (0.0, 1.0, 2.0, 3.0), {"shear": _ramp((0.0, 3.0), (0.0, 0.03))}, record)
    terms = ((0.3, 0.5), (0.4, 5.0))
    modulus = lambda t: 1 - sum(g * (1 - np.exp(-t / tau)) for g, tau in terms)  # noqa: E731
    area = 3 - sum(g * (3 - tau * (1 - np.exp(-3 / tau))) for g, tau in terms)
    return [
        relative("stress at once", 0.01, held[0], 1e-9),
        relative("stress after 1 s", 0.01 * modulus(1.0), held[1], 1e-9),
        relative("stress after 10 s", 0.01 * modulus(10.0), held[2], 1e-9),
        relative("stress after 3 s at a constant rate", 0.01 * area, grown[-1], 1e-9),
    ]


@case(
    "neo-hooke-uniaxial",
    group=GROUP,
    title="A compressible neo-Hookean cube pulled to twice its length",
    equations=r"$$ P_{11} = \mu\Big(\lambda_1 - \frac1{\lambda_1}\Big) + \frac{\lambda\ln J}{\lambda_1}, \qquad "
    r"0 = \mu\Big(\lambda_2 - \frac1{\lambda_2}\Big) + \frac{\lambda\ln J}{\lambda_2},\ J = \lambda_1\lambda_2^2 $$",
    setup="One hexahedron Q1 with free sides, μ = 1, λ = 4; in 4 steps. The lateral stretch is the root of the "
    "second equation.",
    source="Bonet, Wood, Nonlinear Continuum Mechanics for Finite Element Analysis, 2nd ed., 2008, section 6.4",
)
def neo_hooke_uniaxial() -> Sequence[Check]:
    space = FunctionSpace(box(1, 1, 1), "Q1", (3,))
    pull = Dirichlet("right", Input("stretch"), component=0)
    body = Hyperelasticity(space, NeoHookean(1.0, 4.0), conditions=[*_SLIDING, pull])
    corner, right = nearest_node(space, (1.0, 1.0, 1.0)), np.asarray(space.nodes())[:, 0] > 0.5

    def record(problem: Any, u: Any) -> Any:
        force = problem.unconstrained(u).reshape(-1, 3)
        return jnp.stack([u.reshape(-1, 3)[corner, 1], jnp.sum(jnp.where(right, force[:, 0], 0.0))])

    times = np.linspace(0.0, 1.0, 5)
    found = _path(body, times, {"stretch": _ramp(times, times)}, record)[-1]
    side = lambda s: s - 1 / s + 4.0 * np.log(2.0 * s**2) / s  # noqa: E731
    lateral = zero_of(side, 0.3, 1.0)
    force = 2.0 - 0.5 + 4.0 * np.log(2.0 * lateral**2) / 2.0
    return [
        relative("lateral stretch", lateral, 1 + found[0], 1e-7),
        relative("force", force, found[1], 1e-7),
    ]


@case(
    "rubber-cylinder",
    group=GROUP,
    title="An incompressible rubber cylinder, inflated",
    equations=r"$$ p = \int_{r_a}^{r_b} \mu\,\frac{\lambda^2 - \lambda^{-2}}{r}\,dr, \quad \lambda = \frac{r}{R}, "
    r"\quad "
    r"r^2 = R^2 + r_a^2 - A^2 $$",
    setup="A = 1, B = 2 between rigid planes, neo-Hookean of μ = 1 with a bulk modulus of 1e5; axisymmetric, 8 × 1 "
    "quadrilaterals with a "
    "pressure field (Q2-Q1), a pressure that follows the surface, in 4 steps to r_a = 1.6. The integral by scipy.",
    source="Green, Zerna, Theoretical Elasticity, 2nd ed., 1968, section 3.5",
)
def rubber_cylinder() -> Sequence[Check]:
    mesh = rectangle(8, 1, size=(1.0, 0.1), origin=(1.0, 0.0))
    space = MixedSpace({"u": FunctionSpace(mesh, "Q2", (2,)), "p": FunctionSpace(mesh, "Q1")})
    held = [Dirichlet("bottom", 0.0, component=1), Dirichlet("top", 0.0, component=1)]
    load = FollowerPressure("left", Input("pressure"))
    material = MooneyRivlin(0.5, 0.0, 1e5)
    body = Hyperelasticity(space, material, conditions=[*held, load], kinematics="axisymmetric")

    def integrand(r: float) -> float:
        stretch = r / np.sqrt(r**2 - 1.6**2 + 1)
        return (stretch**2 - stretch**-2) / r

    pressure, _ = scipy.integrate.quad(integrand, 1.6, np.sqrt(4 + 1.6**2 - 1), epsabs=1e-13)
    inner = nearest_node(space["u"], (1.0, 0.0))
    times = np.linspace(0.0, 1.0, 5)
    record = lambda problem, u: u[2 * inner]  # noqa: E731
    found = _path(body, times, {"pressure": _ramp(times, pressure * times)}, record)[-1]
    return [relative("inner radius", 1.6, 1 + found, 1e-3)]


@case(
    "thermal-cylinder",
    group=GROUP,
    title="Thermal stress in a thick cylinder",
    equations=r"$$ \sigma_\theta(a) = \frac{E\alpha T_i}{2(1-\nu)\ln(b/a)}\left[1 - \frac{2b^2}{b^2 - a^2}\ln\frac "
    r"ba\right], \quad "
    r"T = T_i\frac{\ln(b/r)}{\ln(b/a)} $$",
    setup="a = 1, b = 2, T = 100 K inside and 0 outside, α = 12e-6 /K, E = 200 GPa, ν = 0.3, between rigid planes, "
    "axisymmetric, 32 × 1 "
    "quadrilaterals Q2; the temperature as a profile.",
    source=f"{TIMOSHENKO}, article 151",
)
def thermal_cylinder() -> Sequence[Check]:
    space = FunctionSpace(rectangle(32, 1, size=(1.0, 0.05), origin=(1.0, 0.0)), "Q2", (2,))
    held = [Dirichlet("bottom", 0.0, component=1), Dirichlet("top", 0.0, component=1)]
    temperature = Profile(lambda x: 100.0 * jnp.log(2.0 / x[0]) / np.log(2.0))
    material = ThermalStrain(Isotropic(E, NU), 12e-6, temperature, 0.0)
    body = Solid(space, material, conditions=held, kinematics="axisymmetric")
    u = solved(body)
    stress = nodal_values(body, stress_field(body, u))
    unit = E * 12e-6 * 100.0 / (2 * (1 - NU) * np.log(2.0)) / 1e6
    inner, outer = (nearest_node(space, (r, 0.0)) for r in (1.0, 2.0))
    return [
        relative("hoop stress inside", unit * (1 - 8 / 3 * np.log(2.0)), stress[inner, 2, 2] / 1e6, 3e-3, "MPa"),
        relative("hoop stress outside", unit * (1 - 2 / 3 * np.log(2.0)), stress[outer, 2, 2] / 1e6, 3e-3, "MPa"),
    ]


@case(
    "bimetal-strip",
    group=GROUP,
    title="A bimetallic strip that is heated",
    equations=r"$$ \kappa = \frac{6(\alpha_2 - \alpha_1)\Delta T (1+m)^2}{h\left[3(1+m)^2 + (1 + mn)\left(m^2 + "
    r"\frac{1}{mn}\right)"
    r"\right]}, \quad m = \frac{h_1}{h_2},\ n = \frac{E_1}{E_2} $$",
    setup="Half of a strip of 2 × 0.1 m in plane stress, layers of 0.04 m with E = 200 GPa, α = 12e-6 /K below and "
    "0.06 m with 100 GPa, "
    "24e-6 /K above, ΔT = 50 K; 40 × 5 quadrilaterals Q2. The deflection away from the end.",
    source="Timoshenko, J. Opt. Soc. Am. 11, 1925",
)
def bimetal_strip() -> Sequence[Check]:
    mesh = rectangle(40, 5, size=(1.0, 0.1)).tag_cells("lower", lambda x: x[:, 1] < 0.04)
    mesh = mesh.tag_cells("upper", lambda x: x[:, 1] > 0.04)
    space = FunctionSpace(mesh, "Q2", (2,))
    metal = Isotropic({"lower": 200e9, "upper": 100e9}, NU)
    material = ThermalStrain(metal, {"lower": 12e-6, "upper": 24e-6}, 50.0, 0.0)
    held = [Dirichlet("left", 0.0, component=0), Dirichlet((0.0, 0.0), 0.0, component=1)]
    u = solved(Solid(space, material, conditions=held, kinematics="plane stress"))
    m, n = 0.04 / 0.06, 2.0
    shape = 3 * (1 + m) ** 2 + (1 + m * n) * (m**2 + 1 / (m * n))
    curvature = 6 * 12e-6 * 50.0 * (1 + m) ** 2 / (0.1 * shape)
    found = -u[nearest_node(space, (0.8, 0.0)), 1]
    return [relative("deflection at 0.8 m", 1e3 * curvature * 0.8**2 / 2, 1e3 * found, 1e-2, "mm")]


@case(
    "free-expansion",
    group=GROUP,
    title="A body that expands freely has no stress",
    equations=r"$$ u = \alpha\,\Delta T\, x, \qquad \sigma = 0 $$",
    setup="A cube of 2³ hexahedra Q1 of two materials of the same expansion, ΔT = 80 K, held against rigid motions "
    "by its sliding sides.",
    source="direct substitution",
)
def free_expansion() -> Sequence[Check]:
    mesh = box(2, 2, 2).tag_cells("soft", lambda x: x[:, 0] < 0.5).tag_cells("stiff", lambda x: x[:, 0] > 0.5)
    space = FunctionSpace(mesh, "Q1", (3,))
    material = ThermalStrain(Isotropic({"soft": 1e9, "stiff": 200e9}, NU), 12e-6, 80.0, 0.0)
    body = Solid(space, material, conditions=list(_SLIDING))
    u = solved(body)
    off = jnp.max(jnp.abs(u - 80.0 * 12e-6 * space.nodes()))
    stress = max(float(jnp.max(jnp.abs(part))) for part in stress_field(body, u).values)
    return [
        absolute("largest error of the displacement", 0.0, off, 1e-15, "m"),
        absolute("largest stress over E α ΔT", 0.0, stress / (200e9 * 80 * 12e-6), 1e-10),
    ]


CASES = (
    j2_uniaxial,
    j2_torsion,
    plastic_cylinder,
    prony_relaxation,
    neo_hooke_uniaxial,
    rubber_cylinder,
    thermal_cylinder,
    bimetal_strip,
    free_expansion,
)
"""The chapter."""
