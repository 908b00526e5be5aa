"""Temperature and displacement found together, against closed forms of thermo-elasticity."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine import (
    Dirichlet,
    FunctionSpace,
    MixedSpace,
    Steady,
    Thermoelasticity,
    Traction,
    Transient,
    integrate,
    lame,
    solve,
    sym_grad,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import RTOL, curved, nearest_node, value_at
from gemel.meshes import box, rectangle
from gemel.solvers import ImplicitEuler, SparseDirect

GROUP = "materials"
E, NU, ALPHA, REFERENCE = 200e9, 0.3, 12e-6, 293.0


@case(
    "thermoelastic-cylinder",
    group=GROUP,
    title="A hollow cylinder that conducts heat: temperature and stress together",
    equations=r"$$ T - T_b = \Delta T\,\frac{\ln(b/r)}{\ln(b/a)}, \quad u_r = \frac{1+\nu}{1-\nu}\,\frac{\alpha}{r}"
    r"\left[\int_a^r \theta\, r\,dr + \frac{(1-2\nu)\, r^2 + a^2}{b^2 - a^2}\int_a^b\theta\, r\,dr\right], \quad "
    r"\sigma_\theta(a) = \frac{E\alpha\Delta T}{2(1-\nu)\ln(b/a)}\left[1 - \frac{2b^2}{b^2-a^2}\ln\frac ba\right] $$",
    setup="A quarter of the ring 1 < r < 2 in plane strain, 6 × 6 curved quadrilaterals, T of Q2 and u of Q3 found in "
    "one solve; 393 K inside, 293 K (the temperature without stress) outside, k = 50 W/(m K), α = 12e-6 /K, E = 200 "
    "GPa, ν = 0.3; the cuts slide and are insulated. θ = T − 293 K. Displacements are averages over the arcs; the hoop "
    "stress is the average over the inner arc.",
    source="Timoshenko, Goodier, Theory of Elasticity, 3rd ed., 1970, articles 150 and 151 (plane strain)",
)
def thermoelastic_cylinder() -> Sequence[Check]:
    def ring(s: np.ndarray) -> np.ndarray:
        r, angle = 2.0 ** s[:, 0], np.pi / 2 * s[:, 1]
        return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)

    mesh = curved(rectangle(6, 6), ring)
    temperatures = FunctionSpace(mesh, "Q2")
    space = MixedSpace({"T": temperatures, "u": FunctionSpace(mesh, "Q3", (2,))})
    heated = [Dirichlet("left", REFERENCE + 100.0), Dirichlet("right", REFERENCE)]
    held = [Dirichlet("bottom", 0.0, component=1), Dirichlet("top", 0.0, component=0)]
    body = Thermoelasticity(space, E, NU, ALPHA, REFERENCE, 50.0, None, heated, held)
    w = solve(Steady(body, linear_solver=SparseDirect(RTOL))).checked()
    first, mu = lame(E, NU)

    def means(w: Any, point: Any) -> Array:
        """Radial displacement and hoop stress."""
        r = jnp.linalg.norm(point.x)
        out = point.x / r
        around = jnp.stack([-out[1], out[0]])
        strain = sym_grad(w["u"])
        pressed = (3 * first + 2 * mu) * ALPHA * (w["T"].value - REFERENCE)
        hoop = first * jnp.trace(strain) - pressed + 2 * mu * around @ strain @ around
        return jnp.stack([w["u"].value @ out, hoop]) / (np.pi / 2 * r)

    inner, outer = (
        jax.jit(lambda w, side=side: integrate(space, means, w, side, facets=True))(w) for side in ("left", "right")
    )
    whole = 100.0 / np.log(2.0) * (3 / 4 - np.log(2.0) / 2)
    factor = (1 + NU) / (1 - NU) * ALPHA * whole
    unit = E * ALPHA * 100.0 / (2 * (1 - NU) * np.log(2.0)) / 1e6
    middle = value_at(temperatures, w["T"], (np.sqrt(2.0), 0.0))
    return [
        absolute("temperature at r = √2", REFERENCE + 50.0, middle, 1e-3, "K"),
        relative("radial displacement inside", 1e3 * factor * (2 - 2 * NU) / 3, 1e3 * inner[0], 1e-5, "mm"),
        relative("radial displacement outside", 1e3 * factor * (8 - 8 * NU) / 6, 1e3 * outer[0], 1e-5, "mm"),
        relative("hoop stress inside", unit * (1 - 8 / 3 * np.log(2.0)), inner[1] / 1e6, 2e-4, "MPa"),
        relative("hoop stress outside", unit * (1 - 2 / 3 * np.log(2.0)), outer[1] / 1e6, 2e-4, "MPa"),
    ]


@case(
    "thermoelastic-cooling",
    group=GROUP,
    title="A bar that cools where it is pulled suddenly, and is stiffer for it",
    equations=r"$$ \Delta T = -\frac{T_0\,\alpha\,\sigma}{\rho c_\sigma}, \quad \rho c_\sigma = \rho c + "
    r"3\alpha\beta T_0, \quad \beta = \frac{E\alpha}{1 - 2\nu}, \qquad \frac{1}{E_{ad}} = \frac1E - "
    r"\frac{\alpha^2 T_0}{\rho c_\sigma} $$",
    setup="A bar of 2 hexahedra with T of Q1 and u of Q2, insulated, with sliding sides, pulled by σ = 100 MPa in one "
    "step of implicit Euler; E = 200 GPa, ν = 0.3, α = 12e-6 /K, T₀ = 293 K, ρc = 3.6e6 J/(m³ K) at constant strain.",
    source="Thomson (Lord Kelvin), Trans. R. Soc. Edinburgh 20, 1853; Boley, Weiner, Theory of Thermal Stresses, 1960, "
    "chapter 1",
)
def thermoelastic_cooling() -> Sequence[Check]:
    capacity, pull = 3.6e6, 100e6
    mesh = box(2, 1, 1, size=(1.0, 0.1, 0.1))
    space = MixedSpace({"T": FunctionSpace(mesh, "Q1"), "u": FunctionSpace(mesh, "Q2", (3,))})
    held = [Dirichlet(side, 0.0, component=i) for i, side in enumerate(("left", "front", "bottom"))]
    load = Traction("right", jnp.array([pull, 0.0, 0.0]))
    body = Thermoelasticity(space, E, NU, ALPHA, REFERENCE, 50.0, capacity, [], [*held, load])
    solver = SparseDirect(RTOL)
    start = {"T": REFERENCE, "u": 0.0}
    analysis = Transient(body, start, 1.0, linear_solver=solver, method=ImplicitEuler())
    grid = jnp.asarray(analysis.grid(np.array([0.0, 1.0])))
    run = eqx.filter_jit(lambda some: some.solve(some.prepare(), {}, grid, lambda t, w: w))
    history, _ = run(analysis).checked()
    end = space.unflatten(history[-1])
    beta = E * ALPHA / (1 - 2 * NU)
    stored = capacity + 3 * ALPHA * beta * REFERENCE
    modulus = 1 / (1 / E - ALPHA**2 * REFERENCE / stored)
    stretch = end["u"][nearest_node(space["u"], (1.0, 0.0, 0.0)), 0]
    cooled, stiffer = -REFERENCE * ALPHA * pull / stored, (modulus - E) / 1e9
    return [
        relative("change of temperature", cooled, jnp.mean(end["T"]) - REFERENCE, 1e-8, "K"),
        absolute("largest less smallest temperature", 0.0, jnp.ptp(end["T"]), 1e-8, "K"),
        relative("adiabatic modulus less the isothermal one", stiffer, (pull / stretch - E) / 1e9, 1e-7, "GPa"),
    ]


CASES = (thermoelastic_cylinder, thermoelastic_cooling)
"""Part of the chapter."""
