"""Transient heat conduction against closed forms and published values."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.special import erf, erfc, j0, j1, jn_zeros

from gemel.engine import (
    Convection,
    Dirichlet,
    Flux,
    FunctionSpace,
    Heat,
    Input,
    Law,
    PhaseChange,
    PointSensor,
    Profile,
    Series,
    Transient,
    Twin,
    integrate,
    liquid_fraction,
    simulate,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import RTOL, curved, unit_mesh, value_at, zero_of
from gemel.meshes import grid, rectangle
from gemel.solvers import ImplicitEuler, SparseDirect

GROUP = "transient"
CARSLAW = "Carslaw, Jaeger, Conduction of Heat in Solids, 2nd ed., 1959"


@case(
    "nafems-t3",
    group=GROUP,
    title="Wall under a sinusoidal surface temperature",
    equations=r"$$ \rho c\,\dot T = k\,\partial_x^2 T, \quad T(0,t) = 0, \quad T(0.1, t) = 100 \sin(\pi t / 40), "
    r"\quad "
    r"T(x, 0) = 0 $$",
    setup="0.1 m of k = 35 W/(m K), c = 440.5 J/(kg K), ρ = 7200 kg/m³; 20 × 1 quadrilaterals Q2, SDIRK2 with "
    "steps of "
    "0.5 s, the surface temperature as an input sampled every 0.25 s.",
    source="NAFEMS, The Standard NAFEMS Benchmarks, rev. 3, 1990, T3",
)
def nafems_t3() -> Sequence[Check]:
    times = np.linspace(0, 32, 129)
    swing = Series(times, 100 * np.sin(np.pi * times / 40), hold=False)
    space = FunctionSpace(rectangle(20, 1, size=(0.1, 0.01)), "Q2")
    heat = Heat(space, 35.0, 440.5 * 7200, [Dirichlet("left", 0.0), Dirichlet("right", Input("swing"))])
    found = _readings(heat, 0.0, 0.5, 32.0, {"T": (0.08, 0.005)}, {"swing": swing})["T"]
    return [absolute("T(0.08 m, 32 s)", 36.60, found, 0.03, "°C")]


@case(
    "semi-infinite-step",
    group=GROUP,
    title="Half-space whose surface is brought to another temperature",
    equations=r"$$ \frac{T - T_s}{T_0 - T_s} = \mathrm{erf}\frac{x}{2\sqrt{\alpha t}} $$",
    setup="0.5 m deep, 40 × 1 graded quadrilaterals Q2; k = 50 W/(m K), ρc = 4e6 J/(m³ K), surface at 100 °C from "
    "t = 0, body at 0 °C; SDIRK2 with 200 steps to 200 s, when heat has gone √(αt) = 0.05 m deep.",
    source=f"{CARSLAW}, section 2.4",
)
def semi_infinite_step() -> Sequence[Check]:
    heat = Heat(_half_space(), 50.0, 4e6, [Dirichlet("left", 100.0)])
    found = _readings(heat, 0.0, 1.0, 200.0, _DEPTHS)
    depth = 2 * np.sqrt(50.0 / 4e6 * 200.0)
    return [
        absolute(f"temperature at {x} m", 100 * erfc(x / depth), found[name], 0.05, "°C")
        for name, (x, _) in _DEPTHS.items()
    ]


@case(
    "semi-infinite-flux",
    group=GROUP,
    title="Half-space under a constant surface flux",
    equations=r"$$ T = \frac{q}{k}\left[ 2\sqrt{\frac{\alpha t}{\pi}}\, e^{-x^2/4\alpha t} - "
    r"x\,\mathrm{erfc}\frac{x}{2\sqrt{\alpha t}} \right] $$",
    setup="As in semi-infinite-step, with 1e5 W/m² into the surface.",
    source=f"{CARSLAW}, section 2.9",
)
def semi_infinite_flux() -> Sequence[Check]:
    heat = Heat(_half_space(), 50.0, 4e6, [Flux("left", 1e5)])
    found = _readings(heat, 0.0, 1.0, 200.0, {"surface": (0.0, 0.005), **_DEPTHS})
    spread = 50.0 / 4e6 * 200.0

    def exact(x: float) -> float:
        tail = x * erfc(x / (2 * np.sqrt(spread)))
        return 1e5 / 50.0 * (2 * np.sqrt(spread / np.pi) * np.exp(-(x**2) / (4 * spread)) - tail)

    return [
        relative("temperature of the surface", exact(0.0), found["surface"], 1e-3, "°C"),
        relative("temperature at 0.05 m", exact(0.05), found["near"], 1e-3, "°C"),
    ]


@case(
    "semi-infinite-convection",
    group=GROUP,
    title="Half-space in a hot fluid",
    equations=r"$$ \frac{T}{T_\infty} = \mathrm{erfc}\,\xi - e^{hx/k + h^2\alpha t/k^2}\,"
    r"\mathrm{erfc}\!\left(\xi + \frac{h\sqrt{\alpha t}}{k}\right), \quad \xi = \frac{x}{2\sqrt{\alpha t}} $$",
    setup="As in semi-infinite-step, with h = 800 W/(m² K) to a fluid at 100 °C.",
    source=f"{CARSLAW}, section 2.7",
)
def semi_infinite_convection() -> Sequence[Check]:
    heat = Heat(_half_space(), 50.0, 4e6, [Convection("left", 800.0, 100.0)])
    found = _readings(heat, 0.0, 1.0, 200.0, {"surface": (0.0, 0.005), **_DEPTHS})
    root = np.sqrt(50.0 / 4e6 * 200.0)
    ratio = 800.0 / 50.0

    def exact(x: float) -> float:
        xi = x / (2 * root)
        return 100 * (erfc(xi) - np.exp(ratio * x + (ratio * root) ** 2) * erfc(xi + ratio * root))

    return [
        absolute("temperature of the surface", exact(0.0), found["surface"], 0.05, "°C"),
        absolute("temperature at 0.05 m", exact(0.05), found["near"], 0.05, "°C"),
    ]


@case(
    "lumped-cooling",
    group=GROUP,
    title="Small body that cools in a fluid",
    equations=r"$$ T = T_\infty + (T_0 - T_\infty)\, e^{-hAt/\rho c V} $$",
    setup="A block 0.02 × 0.01 m in one quadrilateral Q1, k = 1e5 W/(m K) so that its Biot number is 1e-6, "
    "ρc = 4e6 J/(m³ K), h = 50 W/(m² K); SDIRK2 with 100 steps over one time constant.",
    source="Incropera et al., Fundamentals of Heat and Mass Transfer, 7th ed., section 5.1",
)
def lumped_cooling() -> Sequence[Check]:
    space = FunctionSpace(rectangle(1, 1, size=(0.02, 0.01)), "Q1")
    constant = 4e6 * 0.02 * 0.01 / (50.0 * 2 * (0.02 + 0.01))
    heat = Heat(space, 1e5, 4e6, [Convection("boundary", 50.0, 20.0)])
    found = _readings(heat, 200.0, constant / 100, constant, {"T": (0.01, 0.005)})["T"]
    return [relative("temperature after one time constant", 20 + 180 * np.exp(-1.0), found, 1e-5, "°C")]


@case(
    "plane-wall-convection",
    group=GROUP,
    title="Plane wall plunged into a fluid",
    equations=r"$$ \frac{T - T_\infty}{T_0 - T_\infty} = \sum_i \frac{4\sin\zeta_i}{2\zeta_i + \sin 2\zeta_i}\, "
    r"e^{-\zeta_i^2 Fo}\cos\frac{\zeta_i x}{L}, \quad \zeta_i\tan\zeta_i = Bi $$",
    setup="Half a wall of L = 1 m as 16 × 1 quadrilaterals Q2, k = ρc = 1, Bi = h = 2, started at 1 in a fluid at 0; "
    "SDIRK2 with 250 steps to Fo = 0.5. The reference sums 20 terms.",
    source="Incropera et al., Fundamentals of Heat and Mass Transfer, 7th ed., section 5.5",
)
def plane_wall_convection() -> Sequence[Check]:
    space = FunctionSpace(rectangle(16, 1, size=(1.0, 0.1)), "Q2")
    found = _readings(
        Heat(space, 1.0, 1.0, [Convection("right", 2.0, 0.0)]),
        1.0,
        0.002,
        0.5,
        {"middle": (0.0, 0.05), "surface": (1.0, 0.05)},
    )
    zeta = np.array([zero_of(lambda z: z * np.sin(z) - 2 * np.cos(z), i * np.pi, (i + 0.5) * np.pi) for i in range(20)])
    terms = 4 * np.sin(zeta) / (2 * zeta + np.sin(2 * zeta)) * np.exp(-(zeta**2) * 0.5)
    return [
        relative("temperature at the middle", terms.sum(), found["middle"], 1e-4),
        relative("temperature at the surface", (terms * np.cos(zeta)).sum(), found["surface"], 1e-4),
    ]


@case(
    "quenched-rod",
    group=GROUP,
    title="Long rod quenched at its surface",
    equations=r"$$ \frac{T}{T_0} = 2\sum_n \frac{J_0(\beta_n r/R)}{\beta_n J_1(\beta_n)}\, e^{-\beta_n^2 \alpha "
    r"t/R^2}, "
    r"\quad J_0(\beta_n) = 0 $$",
    setup="The unit disc from a square of 10 × 10 curved quadrilaterals Q2; k = ρc = 1, started at 1, surface at "
    "0; SDIRK2 "
    "with 200 steps to t = 0.2. The reference sums 20 terms.",
    source=f"{CARSLAW}, section 7.6",
)
def quenched_rod() -> Sequence[Check]:
    def disc(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 0] * np.sqrt(1 - x[:, 1] ** 2 / 2), x[:, 1] * np.sqrt(1 - x[:, 0] ** 2 / 2)], axis=1)

    space = FunctionSpace(curved(rectangle(10, 10, size=(2.0, 2.0), origin=(-1.0, -1.0)), disc), "Q2")
    heat = Heat(space, 1.0, 1.0, [Dirichlet("boundary", 0.0)])
    found = _readings(heat, 1.0, 0.001, 0.2, {"axis": (0.0, 0.0), "half": (0.5, 0.0)})
    beta = jn_zeros(0, 20)
    terms = 2 / (beta * j1(beta)) * np.exp(-(beta**2) * 0.2)
    return [
        relative("temperature at the axis", terms.sum(), found["axis"], 1e-3),
        relative("temperature at half the radius", (terms * j0(beta / 2)).sum(), found["half"], 1e-3),
    ]


@case(
    "decaying-mode",
    group=GROUP,
    title="A sine that decays in a square",
    equations=r"$$ T = \sin\pi x\,\sin\pi y\; e^{-2\pi^2\alpha t} $$",
    setup="Unit square, 8 × 8 distorted quadrilaterals Q2, zero at the sides, started from the sine; SDIRK2 with "
    "100 steps to "
    "t = 0.05.",
    source="separation of variables",
)
def decaying_mode() -> Sequence[Check]:
    space = FunctionSpace(unit_mesh("quadrilateral", 8, 0.15), "Q2")
    heat = Heat(space, 1.0, 1.0, [Dirichlet("boundary", 0.0)])
    start = Profile(lambda x: jnp.sin(jnp.pi * x[0]) * jnp.sin(jnp.pi * x[1]))
    found = _readings(heat, start, 0.0005, 0.05, {"middle": (0.5, 0.5)})["middle"]
    return [relative("temperature at the middle", np.exp(-0.1 * np.pi**2), found, 5e-4)]


@case(
    "stefan-melting",
    group=GROUP,
    title="Ice that melts from its surface: Neumann's solution with two phases",
    equations=r"$$ s = 2\lambda\sqrt{\alpha_l t}, \quad \frac{c_l (T_w - T_m)}{L\, e^{\lambda^2}\mathrm{erf}\lambda} - "
    r"\frac{c_s (T_m - T_0)}{L\,\nu\, e^{\nu^2\lambda^2}\mathrm{erfc}(\nu\lambda)} = \lambda\sqrt\pi, \quad "
    r"\nu = \sqrt{\alpha_l/\alpha_s} $$ $$ \frac{T - T_m}{T_w - T_m} = 1 - \frac{\mathrm{erf}(x / 2\sqrt{\alpha_l t})}"
    r"{\mathrm{erf}\lambda} \ (x < s), \qquad \frac{T - T_0}{T_m - T_0} = \frac{\mathrm{erfc}(x / 2\sqrt{\alpha_s t})}"
    r"{\mathrm{erfc}(\nu\lambda)} \ (x > s) $$",
    setup="0.3 m of ice at 10 K below its melting point, the surface 20 K above it from t = 0; k = 2.2 and 0.6 "
    "W/(m K), c = 1.9e6 and 4.2e6 J/(m³ K) solid and liquid, L = 3.06e8 J/m³, the same density in both; 100 × 1 "
    "quadrilaterals Q1 to 0.024 m and 24 that grow beyond, implicit Euler with steps of 20 s. Melting takes place "
    "over 0.2 K, and the front is the integral of the liquid fraction: an interval of 0.5 K makes it 1.2 % too far, "
    "one of 0.1 K 0.3 %.",
    source="Alexiades, Solomon, Mathematical Modeling of Melting and Freezing Processes, 1993, section 2.2; "
    f"{CARSLAW}, section 11.2",
)
def stefan_melting() -> Sequence[Check]:
    solid, liquid, latent, melting, wall, start = (2.2, 1.9e6), (0.6, 4.2e6), 3.06e8, 273.15, 293.15, 263.15
    alpha_s, alpha_l = solid[0] / solid[1], liquid[0] / liquid[1]
    nu = np.sqrt(alpha_l / alpha_s)

    def balance(x: float) -> float:
        heated = liquid[1] * (wall - melting) / latent / (np.exp(x**2) * erf(x))
        cooled = solid[1] * (melting - start) / latent / (nu * np.exp((nu * x) ** 2) * erfc(nu * x))
        return heated - cooled - x * np.sqrt(np.pi)

    root, width, step = zero_of(balance, 1e-3, 3.0), 0.2, 20.0
    x = np.concatenate([np.linspace(0.0, 0.024, 101), 0.024 + 0.276 * np.linspace(0.0, 1.0, 25)[1:] ** 2])
    space = FunctionSpace(grid(x, [0.0, 0.01]), "Q1")
    conductivity = Law(lambda u, x: solid[0] + (liquid[0] - solid[0]) * liquid_fraction(u, melting, width))
    enthalpy = PhaseChange(solid[1], liquid[1], latent, melting, width)
    body = Heat(space, conductivity, conditions=[Dirichlet("left", wall)], enthalpy=enthalpy)
    analysis = Transient(body, start, step, linear_solver=SparseDirect(RTOL), method=ImplicitEuler())

    def keep(t: Array, u: Array) -> tuple[Array, Array]:
        return integrate(space, lambda u, p: liquid_fraction(u.value, melting, width), u) / 0.01, u

    (front, u), _ = analysis.solve(analysis.prepare(), {}, analysis.grid(np.array([0.0, 7200.0])), keep).checked()
    reach = lambda alpha: 2 * np.sqrt(alpha * 7200.0)  # noqa: E731
    warm = wall - (wall - melting) * erf(0.01 / reach(alpha_l)) / erf(root)
    cold = start + (melting - start) * erfc(0.06 / reach(alpha_s)) / erfc(nu * root)
    found = {place: value_at(space, u[-1], (place, 0.005)) for place in (0.01, 0.06)}
    return [
        *(
            relative(f"front after {t} s", 2e3 * root * np.sqrt(alpha_l * t), 1e3 * front[round(t / step)], 1e-2, "mm")
            for t in (1800, 3600, 7200)
        ),
        absolute("temperature in the water at 0.01 m", warm, found[0.01], 0.1, "K"),
        absolute("temperature in the ice at 0.06 m", cold, found[0.06], 0.1, "K"),
    ]


_DEPTHS = {"near": (0.05, 0.005), "deep": (0.1, 0.005)}


def _half_space() -> FunctionSpace:
    return FunctionSpace(grid(0.5 * np.linspace(0, 1, 41) ** 2, [0.0, 0.01]), "Q2")


def _readings(
    heat: Heat,
    initial: Any,
    step: float,
    end: float,
    places: Mapping[str, tuple[float, ...]],
    inputs: Mapping[str, Series] | None = None,
) -> dict[str, float]:
    """What is read at the end of a run at the named places."""
    sensors = [PointSensor(name=name, position=place, noise=1.0) for name, place in places.items()]
    run = simulate(Twin("case", Transient(heat, initial, step), sensors), inputs, [0.0, end])
    worst = run.status.worst()
    if worst != 0:
        raise RuntimeError(worst.message)
    return {name: float(values[-1]) for name, values in run.readings.items()}


CASES = (
    nafems_t3,
    semi_infinite_step,
    semi_infinite_flux,
    semi_infinite_convection,
    lumped_cooling,
    plane_wall_convection,
    quenched_rod,
    decaying_mode,
    stefan_melting,
)
"""The chapter."""
