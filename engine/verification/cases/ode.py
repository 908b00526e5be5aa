"""Ordinary differential equations and circuits against published values and closed forms."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.integrate
from jaxtyping import Array
from scipy.special import ellipk

from gemel.engine import (
    AdaptiveOde,
    Curve,
    EquivalentCircuit,
    HeatFlow,
    LinearOde,
    LumpedHeat,
    Ode,
    OdeSystem,
    Series,
    ThermalLink,
    ThermalNetwork,
    ThermalNode,
)
from gemel.engine.analyses.ode import implicit_solver
from gemel.engine.verification.case import Check, absolute, case, order, relative

GROUP = "ode"
TEST_SET = "Mazzia, Magherini, Test Set for Initial Value Problem Solvers, release 2.4, 2008"


class System(OdeSystem):
    """An autonomous system y' = rate(y) from a given start."""

    start: tuple[float, ...] = eqx.field(static=True)
    law: Callable[[Any], Any] = eqx.field(static=True)
    output_names: tuple[str, ...] = eqx.field(static=True, default=())

    def initial(self) -> Array:
        """The given start."""
        return jnp.asarray(self.start)

    def rate(self, t: Any, y: Array, inputs: Mapping[str, Any]) -> Array:
        """The given law."""
        return jnp.stack(self.law(y))

    def outputs(self, t: Any, y: Array, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Nothing."""
        return {}


def _final(analysis: Any, end: float, inputs: Mapping[str, Series] | None = None) -> np.ndarray:
    times = jnp.asarray(analysis.grid(np.array([0.0, end])))
    return np.asarray(eqx.filter_jit(analysis.solve)(dict(inputs or {}), times).checked()[-1])


def _robertson(y: Any) -> list[Any]:
    slow, fast, cross = 0.04 * y[0], 3e7 * y[1] ** 2, 1e4 * y[1] * y[2]
    return [cross - slow, slow - cross - fast, fast]


@case(
    "rober",
    group=GROUP,
    title="Robertson's reaction, stiff over eleven decades",
    equations=r"$$ \dot a = -0.04 a + 10^4 bc, \quad \dot b = 0.04 a - 10^4 bc - 3\cdot 10^7 b^2, \quad \dot c = "
    r"3\cdot 10^7 b^2 $$",
    setup="From (1, 0, 0) to t = 1e11 by Kvaerno's method of order 5 with rtol 1e-6.",
    source=f"{TEST_SET}, ROBER",
)
def rober() -> Sequence[Check]:
    analysis = AdaptiveOde(
        System(start=(1.0, 0.0, 0.0), law=_robertson), rtol=1e-6, atol=np.array([1e-12, 1e-18, 1e-12])
    )
    found = _final(analysis, 1e11)
    published = (0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050)
    return [relative(f"y{i + 1}", y, found[i], 2e-5) for i, y in enumerate(published)]


def _hires(y: Any) -> list[Any]:
    a, b, c, d, e, f, g, h = y
    bound = 280.0 * f * h
    return [
        -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
        1.71 * a - 8.75 * b,
        -10.03 * c + 0.43 * d + 0.035 * e,
        8.32 * b + 1.71 * c - 1.12 * d,
        -1.745 * e + 0.43 * f + 0.43 * g,
        -bound + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
        bound - 1.81 * g,
        -bound + 1.81 * g,
    ]


@case(
    "hires",
    group=GROUP,
    title="High irradiance response of a plant: eight stiff equations",
    equations="",
    setup="To t = 321.8122 by Kvaerno's method of order 5 with rtol 1e-7.",
    source=f"{TEST_SET}, HIRES; Hairer, Wanner, Solving Ordinary Differential Equations II",
)
def hires() -> Sequence[Check]:
    start = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057)
    found = _final(AdaptiveOde(System(start=start, law=_hires), rtol=1e-7, atol=1e-10), 321.8122)
    published = (
        0.7371312573325668e-3,
        0.1442485726316185e-3,
        0.5888729740967575e-4,
        0.1175651343283149e-2,
        0.2386356198831331e-2,
        0.6238968252742796e-2,
        0.2849998395185769e-2,
        0.2850001604814231e-2,
    )
    return [relative(f"y{i + 1}", y, found[i], 1e-5) for i, y in enumerate(published)]


@case(
    "van-der-pol",
    group=GROUP,
    title="Van der Pol's oscillator, stiff",
    equations=r"$$ \ddot y = \mu (1 - y^2)\dot y - y,\quad \mu = 1000 $$",
    setup="From (2, 0) to t = 2000 by Kvaerno's method of order 5 with rtol 1e-7.",
    source=f"{TEST_SET}, VDPOL",
)
def van_der_pol() -> Sequence[Check]:
    law = lambda y: [y[1], 1000.0 * (1 - y[0] ** 2) * y[1] - y[0]]  # noqa: E731
    found = _final(AdaptiveOde(System(start=(2.0, 0.0), law=law), rtol=1e-7, atol=1e-10), 2000.0)
    return [
        relative("y", 0.1706167732170483e1, found[0], 1e-5),
        relative("its rate", -0.8928097010247975e-3, found[1], 1e-4),
    ]


@case(
    "oregonator",
    group=GROUP,
    title="Belousov-Zhabotinskii reaction: a stiff limit cycle",
    equations=r"$$ \dot y_1 = s(y_2 - y_1y_2 + y_1 - q y_1^2), \quad \dot y_2 = \frac{y_3 - y_2 - y_1y_2}{s}, \quad "
    r"\dot y_3 = w(y_1 - y_3) $$",
    setup="s = 77.27, w = 0.161, q = 8.375e-6, from (1, 2, 3) to t = 360 by Kvaerno's method of order 5 with rtol "
    "1e-7. "
    "The reference is scipy's Radau method with rtol 1e-11.",
    source="Hairer, Wanner, Solving Ordinary Differential Equations II, section IV.10, OREGO; "
    "scipy.integrate.solve_ivp",
)
def oregonator() -> Sequence[Check]:
    def law(y: Any) -> list[Any]:
        return [
            77.27 * (y[1] + y[0] * (1 - 8.375e-6 * y[0] - y[1])),
            (y[2] - (1 + y[0]) * y[1]) / 77.27,
            0.161 * (y[0] - y[2]),
        ]

    found = _final(AdaptiveOde(System(start=(1.0, 2.0, 3.0), law=law), rtol=1e-7, atol=1e-9, max_steps=40_000), 360.0)
    other = scipy.integrate.solve_ivp(
        lambda t, y: law(y), (0.0, 360.0), [1.0, 2.0, 3.0], method="Radau", rtol=1e-11, atol=1e-13
    )
    return [relative(f"y{i + 1}", other.y[i, -1], found[i], 2e-5) for i in range(3)]


@case(
    "lorenz",
    group=GROUP,
    title="Lorenz's chaos over a short time",
    equations=r"$$ \dot x = 10 (y - x), \quad \dot y = x(28 - z) - y, \quad \dot z = xy - \tfrac83 z $$",
    setup="From (1, 1, 1) to t = 10 by Tsitouras' method of order 5 with rtol 1e-12; errors grow about 8000-fold "
    "on the way. "
    "The reference is scipy's DOP853 with rtol 1e-13.",
    source="Lorenz, J. Atmos. Sci. 20, 1963; scipy.integrate.solve_ivp",
)
def lorenz() -> Sequence[Check]:
    law = lambda y: [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]  # noqa: E731
    analysis = AdaptiveOde(
        System(start=(1.0, 1.0, 1.0), law=law), rtol=1e-12, atol=1e-13, max_steps=50_000, solver=diffrax.Tsit5()
    )
    other = scipy.integrate.solve_ivp(
        lambda t, y: law(y), (0.0, 10.0), [1.0, 1.0, 1.0], method="DOP853", rtol=1e-13, atol=1e-14
    )
    found = _final(analysis, 10.0)
    return [absolute(name, other.y[i, -1], found[i], 1e-6) for i, name in enumerate("xyz")]


@case(
    "arenstorf",
    group=GROUP,
    title="Arenstorf's periodic orbit of the restricted three-body problem",
    equations=r"$$ \ddot x = x + 2\dot y - \mu' \frac{x + \mu}{D_1} - \mu \frac{x - \mu'}{D_2}, \quad "
    r"\ddot y = y - 2\dot x - \mu'\frac{y}{D_1} - \mu\frac{y}{D_2}, \quad \mu = 0.012277471 $$",
    setup="One period of 17.0652165601579625588917206249 from (0.994, 0) with the velocity "
    "(0, −2.00158510637908252240537862224); Tsitouras' method of order 5 with rtol 1e-13. It comes back to its start.",
    source="Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, section II.0",
)
def arenstorf() -> Sequence[Check]:
    mu = 0.012277471

    def law(y: Any) -> list[Any]:
        near, far = ((y[0] + mu) ** 2 + y[1] ** 2) ** 1.5, ((y[0] - 1 + mu) ** 2 + y[1] ** 2) ** 1.5
        ax = y[0] + 2 * y[3] - (1 - mu) * (y[0] + mu) / near - mu * (y[0] - 1 + mu) / far
        return [y[2], y[3], ax, y[1] - 2 * y[2] - (1 - mu) * y[1] / near - mu * y[1] / far]

    start = (0.994, 0.0, 0.0, -2.00158510637908252240537862224)
    analysis = AdaptiveOde(
        System(start=start, law=law), rtol=1e-13, atol=1e-14, max_steps=50_000, solver=diffrax.Tsit5()
    )
    found = _final(analysis, 17.0652165601579625588917206249)
    return [absolute("x after one period", 0.994, found[0], 1e-5), absolute("y after one period", 0.0, found[1], 1e-4)]


@case(
    "pendulum",
    group=GROUP,
    title="Period of a pendulum at a large swing",
    equations=r"$$ \ddot\varphi = -\sin\varphi, \quad T = 4K\big(\sin^2\tfrac{\varphi_0}{2}\big) $$",
    setup="φ₀ = 2 rad, one period by Tsitouras' method of order 5 with rtol 1e-11.",
    source="Goldstein, Classical Mechanics; complete elliptic integral of scipy.special",
)
def pendulum() -> Sequence[Check]:
    analysis = AdaptiveOde(
        System(start=(2.0, 0.0), law=lambda y: [y[1], -jnp.sin(y[0])]), rtol=1e-11, atol=1e-12, solver=diffrax.Tsit5()
    )
    found = _final(analysis, float(4 * ellipk(np.sin(1.0) ** 2)))
    return [absolute("angle after one period", 2.0, found[0], 1e-8), absolute("its rate", 0.0, found[1], 1e-8)]


@case(
    "ode-orders",
    group=GROUP,
    title="Orders of the methods with fixed steps",
    equations=r"$$ \dot y = y(1-y), \quad y = \frac{1}{1 + 3e^{-t}} $$",
    setup="To t = 4 with steps of 1/16 and 1/32.",
    source="orders: Kvaerno, BIT 44, 2004; Bogacki, Shampine, Appl. Math. Lett. 2, 1989; Heun's method",
)
def ode_orders() -> Sequence[Check]:
    system = System(start=(0.25,), law=lambda y: [y[0] * (1 - y[0])])
    exact = 1 / (1 + 3 * np.exp(-4.0))
    methods = {
        "Kvaerno's method": (implicit_solver(1e-9, 1e-11), 3),
        "Bogacki and Shampine's method": (diffrax.Bosh3(scan_kind="bounded"), 3),
        "Heun's method": (diffrax.Heun(scan_kind="bounded"), 2),
    }
    checks = []
    for name, (solver, theory) in methods.items():
        off = [abs(_final(Ode(system, step, solver), 4.0)[0] - exact) for step in (1 / 16, 1 / 32)]
        checks.append(order(name, theory, np.log2(off[0] / off[1])))
    return checks


def _flat(value: float) -> Curve:
    return Curve((0.0, 1.0), (value, value), "linear")


@case(
    "rc-circuit",
    group=GROUP,
    title="A cell of two RC pairs under a current pulse",
    equations=r"$$ V = U + R_0 I + \sum_j R_j I (1 - e^{-t/\tau_j}), \quad z = z_0 + It/Q $$",
    setup="U = 3.2 + 0.6 z V, R₀ = 2 mΩ, pairs of 1 mΩ and 10 s and of 3 mΩ and 200 s, Q = 9000 C; −5 A for 100 s "
    "in steps of 1 s; "
    "Kvaerno's method of order 3.",
    source="Plett, Battery Management Systems, volume 1, 2015, chapter 2",
)
def rc_circuit() -> Sequence[Check]:
    cell = EquivalentCircuit(
        capacity=9000.0,
        initial_charge=0.8,
        open_circuit_voltage=Curve((0.0, 1.0), (3.2, 3.8), "linear"),
        series_resistance=_flat(2e-3),
        pairs=((_flat(1e-3), _flat(10.0)), (_flat(3e-3), _flat(200.0))),
    )
    current = {"current": Series(np.zeros(1), np.full(1, -5.0))}
    y = _final(Ode(cell, 1.0), 100.0, current)
    voltage = cell.outputs(100.0, jnp.asarray(y), {"current": -5.0})["voltage"]
    charge = 0.8 - 500.0 / 9000.0
    pairs = [-5e-3 * (1 - np.exp(-10.0)), -15e-3 * (1 - np.exp(-0.5))]
    return [
        relative("charge", charge, y[0], 1e-10),
        relative("voltage", 3.2 + 0.6 * charge - 10e-3 + sum(pairs), voltage, 1e-7, "V"),
    ]


@case(
    "heated-cell",
    group=GROUP,
    title="A cell that warms itself",
    equations=r"$$ C\dot T = R_0 I^2 - K (T - T_a), \quad T - T_a = \frac{R_0 I^2}{K}\left(1 - e^{-Kt/C}\right) $$",
    setup="R₀ = 20 mΩ without activation, C = 50 J/K, K = 0.2 W/K, 10 A for 250 s in steps of 2.5 s.",
    source="lumped heat balance",
)
def heated_cell() -> Sequence[Check]:
    cell = EquivalentCircuit(
        capacity=36000.0,
        initial_charge=0.2,
        open_circuit_voltage=_flat(3.3),
        series_resistance=_flat(20e-3),
        heat=LumpedHeat(50.0, 0.2, 0.0, 298.15),
    )
    y = _final(Ode(cell, 2.5), 250.0, {"current": Series(np.zeros(1), np.full(1, 10.0))})
    return [relative("rise of the temperature", 10 * (1 - np.exp(-1.0)), y[-1], 1e-6, "K")]


@case(
    "thermal-network",
    group=GROUP,
    title="Two bodies between a heater and a wall, by the matrix exponential",
    equations=r"$$ C_1\dot T_1 = G_{12}(T_2 - T_1) + q, \quad C_2\dot T_2 = G_{12}(T_1 - T_2) + G_2(T_w - T_2) $$",
    setup="C = 200 and 1000 J/K, G₁₂ = 4 W/K, G₂ = 2 W/K to a wall at 290 K, from there, q = 60 W: one step of 500 s "
    "and one of a year. At 500 s the reference is scipy's DOP853 with rtol 1e-13.",
    source="lumped heat balance: at rest T₁ = T_w + q (1/G₁₂ + 1/G₂), T₂ = T_w + q/G₂; scipy.integrate.solve_ivp",
)
def thermal_network() -> Sequence[Check]:
    network = ThermalNetwork(
        {"heated": ThermalNode(200.0, 290.0), "other": ThermalNode(1000.0, 290.0)},
        [ThermalLink("heated", "other", conductance=4.0), ThermalLink("other", "wall", resistance=0.5)],
        {"wall": 290.0},
        [HeatFlow("heated", 60.0)],
    )
    law = lambda t, y: [(4 * (y[1] - y[0]) + 60) / 200, (4 * (y[0] - y[1]) + 2 * (290 - y[1])) / 1000]  # noqa: E731
    other = scipy.integrate.solve_ivp(law, (0.0, 500.0), [290.0, 290.0], method="DOP853", rtol=1e-13, atol=1e-12)
    soon, late = _final(LinearOde(network), 500.0), _final(LinearOde(network), 3.15e7)
    return [
        relative("heated body at 500 s", other.y[0, -1], soon[0], 1e-11, "K"),
        relative("other body at 500 s", other.y[1, -1], soon[1], 1e-11, "K"),
        relative("heated body at rest", 335.0, late[0], 1e-9, "K"),
        relative("other body at rest", 320.0, late[1], 1e-9, "K"),
    ]


CASES = (
    rober,
    hires,
    van_der_pol,
    oregonator,
    lorenz,
    arenstorf,
    pendulum,
    ode_orders,
    rc_circuit,
    heated_cell,
    thermal_network,
)
"""The chapter."""
