"""Melting against Neumann's solution, conservation of heat, moving sources, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special

import gemel as gm

MELTING, LATENT, CAPACITY, K = 300.0, 3.0e8, 2.0e6, 2.0


def slab(n, wall, latent=LATENT, interval=1.0):
    space = gm.FunctionSpace(gm.rectangle(n, 1, size=(0.1, 0.1 / n)), "Q1")
    enthalpy = gm.PhaseChange(CAPACITY, CAPACITY, latent, MELTING, interval)
    return gm.Heat(space, K, conditions=wall, enthalpy=enthalpy)


def run(body, start, times, step, keep, method=None):
    direct = gm.SparseDirect(rtol=1e-8)
    analysis = gm.Transient(body, start, step, linear_solver=direct, method=method or gm.ImplicitEuler())
    grid = analysis.grid(np.asarray(times))
    return analysis.solve(None, {}, grid, keep).checked()[0]


@pytest.mark.slow
def test_a_melting_front_moves_as_neumann_found():
    """One phase: s = 2 λ √(α t), λ e^{λ²} erf λ = c (T_w − T_m) / (L √π). The heat taken in locates the front."""
    wall, time = 360.0, 3600.0
    stefan = CAPACITY * (wall - MELTING) / LATENT
    root = scipy.optimize.brentq(lambda x: x * np.exp(x**2) * scipy.special.erf(x) - stefan / np.sqrt(np.pi), 0.01, 2)
    body = slab(80, [gm.Dirichlet("left", wall)])
    space = body.problem.space

    def melted(t, u):
        return gm.integrate(space, lambda u, p: gm.liquid_fraction(u.value, MELTING, 1.0), u) / (0.1 / 80)

    front = run(body, MELTING - 0.5, [0.0, time], 20.0, melted)
    exact = 2 * root * np.sqrt(K / CAPACITY * time)
    assert float(front[-1]) == pytest.approx(exact, rel=0.02)
    halfway = len(front) // 4  # the front goes with the root of time
    assert float(front[-1] / front[halfway]) == pytest.approx(2.0, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("method", [gm.ImplicitEuler, gm.BDF2, gm.SDIRK2])
def test_what_enters_is_stored(method):
    """All heat that a flux brings is in the enthalpy after each step, through melting and beyond."""
    flux, n = 4e3, 10
    body = slab(n, [gm.Flux("left", flux)], latent=2e7)
    inertia = body.inertia
    assert inertia is not None

    def content(t, u):
        return jnp.sum(inertia.unconstrained(u))

    stored = np.asarray(run(body, 295.0, [0.0, 1e4], 250.0, content, method()))
    taken = flux * (0.1 / n) * np.linspace(0.0, 1e4, len(stored))
    np.testing.assert_allclose(stored - stored[0], taken, rtol=1e-6, atol=1e-6 * taken[-1])


@pytest.mark.slow
def test_a_moving_source_brings_all_of_its_power():
    space = gm.FunctionSpace(gm.box(12, 8, 2, size=(0.12, 0.08, 0.02)), "Q2")
    source = gm.MovingSource("top", 50.0, (gm.Input("x"), 0.04, 0.02), 0.012)
    body = gm.Heat(space, 20.0, 4e6, [source])
    inputs = {"x": gm.Series([0.0, 10.0], [0.04, 0.08], hold=False)}
    analysis = gm.Transient(body, 300.0, 2.0)
    grid = analysis.grid(np.array([0.0, 10.0]))
    heat, _ = analysis.solve(
        analysis.prepare(), inputs, grid, lambda t, u: 4e6 * gm.integrate(space, lambda u, p: u.value - 300.0, u)
    ).checked()
    np.testing.assert_allclose(heat, 50.0 * grid, rtol=2e-4, atol=1e-6)


@pytest.mark.slow
def test_the_derivative_goes_through_melting():
    def mean(latent):
        body = slab(8, [gm.Flux("left", 4e3)], latent=latent, interval=4.0)
        final = run(body, 297.0, [0.0, 4e3], 500.0, lambda t, u: jnp.mean(u))
        return final[-1]

    value, slope = jax.jvp(mean, (2e7,), (1e6,))
    assert abs(float(slope)) > 1e-3
    rest = [abs(float(mean(2e7 + h * 1e6) - value - h * slope)) for h in (0.4, 0.2)]
    assert np.log2(rest[0] / rest[1]) == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda s: gm.Heat(s, K, gm.Law(lambda T, x: T)), "give its integral over temperature as the enthalpy"),
        (lambda s: gm.Heat(s, K, CAPACITY, enthalpy=gm.PhaseChange(1.0, 1.0, 1.0, 300.0, 1.0)), "not by both"),
        (lambda s: gm.PhaseChange(1.0, 1.0, -1.0, 300.0, 1.0), "'latent_heat' of a phase change must be positive"),
        (
            lambda s: gm.FieldCoefficient(s, np.array([1.0, np.nan, 1.0, 1.0])),
            "in 1 of 4 rows, the first of them number 1",
        ),
    ],
)
def test_mistakes_are_named(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(gm.FunctionSpace(gm.rectangle(1, 1), "Q1"))
