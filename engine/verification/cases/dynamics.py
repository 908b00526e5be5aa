"""Dynamic and harmonic analyses of structures against closed forms."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from gemel.engine import (
    Dirichlet,
    Dynamic,
    Elasticity,
    FunctionSpace,
    Harmonic,
    PointSensor,
    Profile,
    Traction,
    Twin,
    response,
    simulate,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import nearest_node
from gemel.meshes import rectangle
from gemel.solvers import Newmark

GROUP = "dynamics"
LENGTH, E, RHO = 2.0, 8.0, 2.0
SPEED = np.sqrt(E / RHO)


def _bar(cells: int, conditions: Sequence = ()) -> Elasticity:
    """A strip with ν = 0 between rollers, held at its left end: waves along x are those of a bar."""
    space = FunctionSpace(rectangle(cells, 1, size=(LENGTH, 0.1)), "Q2", (2,))
    sides = [Dirichlet(side, 0.0, component=1) for side in ("bottom", "top")]
    held = [*sides, Dirichlet("left", 0.0, component=0), *conditions]
    return Elasticity(space, E, 0.0, RHO, held, kinematics="plane strain")


@case(
    "harmonic-bar",
    group=GROUP,
    title="A damped bar shaken at its end",
    equations=r"$$ \hat u(L) = \frac{\sigma}{E^* k}\tan kL, \quad k^2 = \frac{\omega^2 \rho}{E^*}, \quad "
    r"E^* = E(1 + i\eta + i\omega\beta) $$",
    setup="A strip of 2 × 0.1 m with ν = 0 between rollers, E = 8, ρ = 2, 20 × 1 quadrilaterals Q2, held at the "
    "left; a traction of 1 "
    "at the right with 0.1, 0.25 (the first resonance) and 0.6 Hz; η = 0.05, β = 0.02 s.",
    source="Graff, Wave Motion in Elastic Solids, 1975, section 2.4",
)
def harmonic_bar() -> Sequence[Check]:
    frequencies, eta, beta = np.array([0.1, 0.25, 0.6]), 0.05, 0.02
    body = _bar(20, [Traction("right", jnp.array([1.0, 0.0]))])
    _, u = response(Harmonic(body, frequencies, (0.0, beta), eta)).checked()
    tip = np.asarray(u)[:, nearest_node(body.problem.space, (LENGTH, 0.0)), 0]
    omega = 2 * np.pi * frequencies
    modulus = E * (1 + 1j * eta + 1j * omega * beta)
    k = omega * np.sqrt(RHO / modulus)
    exact = np.tan(k * LENGTH) / (modulus * k)
    checks = []
    for f, found, expected in zip(frequencies, tip, exact, strict=True):
        checks.append(relative(f"amplitude at {f:g} Hz", abs(expected), abs(found), 1e-5, "m"))
        checks.append(absolute(f"phase at {f:g} Hz", np.angle(expected), np.angle(found), 1e-5, "rad"))
    return checks


@case(
    "free-vibration",
    group=GROUP,
    title="Free vibration of a bar from its first mode",
    equations=r"$$ u = \sin\frac{\pi x}{2L}\cos\frac{\pi c t}{2L} $$",
    setup="The bar of harmonic-bar without damping or load, 10 × 1 quadrilaterals Q2, released from the first "
    "mode; Newmark's average "
    "acceleration with 200 steps a period, read after an eighth and a whole period.",
    source="Graff, Wave Motion in Elastic Solids, 1975, section 2.3",
)
def free_vibration() -> Sequence[Check]:
    mode = Profile(lambda x: jnp.stack([jnp.sin(jnp.pi * x[0] / (2 * LENGTH)), 0.0 * x[0]]))
    period = 4 * LENGTH / SPEED
    analysis = Dynamic(_bar(10), mode, 0.0, period / 200, Newmark(0.25, 0.5))
    sensor = PointSensor(name="tip", position=(LENGTH, 0.05), noise=1.0)
    run = simulate(Twin("bar", analysis, [sensor]), {}, [0.0, period / 8, period])
    found = np.asarray(run.readings["tip"])
    return [
        absolute("tip after an eighth of the period", np.sqrt(0.5), found[1], 1e-3, "m"),
        absolute("tip after a period", 1.0, found[2], 1e-3, "m"),
    ]


@case(
    "suddenly-loaded-bar",
    group=GROUP,
    title="A bar that is loaded suddenly: twice the static displacement",
    equations=r"$$ u(L, t) = \frac{\sigma c\,t}{E} \text{ until } t = \frac{2L}{c}, \text{ where it is } "
    r"\frac{2\sigma L}{E} $$",
    setup="The bar of harmonic-bar, 60 × 1 quadrilaterals Q2, from rest under a traction of 1 at its end from t = "
    "0; generalised-alpha "
    "(ρ∞ = 0.8), 240 steps to 2L/c.",
    source="Graff, Wave Motion in Elastic Solids, 1975, section 2.2",
)
def suddenly_loaded_bar() -> Sequence[Check]:
    body = _bar(60, [Traction("right", jnp.array([1.0, 0.0]))])
    end = 2 * LENGTH / SPEED
    sensor = PointSensor(name="tip", position=(LENGTH, 0.05), noise=1.0)
    run = simulate(Twin("bar", Dynamic(body, 0.0, 0.0, end / 240), [sensor]), {}, [0.0, end / 2, end])
    found = np.asarray(run.readings["tip"])
    return [
        relative("tip at L/c", LENGTH / E, found[1], 1e-2, "m"),
        relative("tip at 2L/c", 2 * LENGTH / E, found[2], 2e-2, "m"),
    ]


CASES = (harmonic_bar, free_vibration, suddenly_loaded_bar)
"""The chapter."""
