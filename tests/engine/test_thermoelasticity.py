"""Temperature and displacement together, against closed forms of thermo-elasticity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm

E, NU, ALPHA, REFERENCE, K, CAPACITY = 200e9, 0.3, 12e-6, 293.0, 50.0, 3.6e6


def spaces(mesh):
    letter = "Q"
    return gm.MixedSpace(
        {"T": gm.FunctionSpace(mesh, f"{letter}1"), "u": gm.FunctionSpace(mesh, f"{letter}2", (mesh.dim,))}
    )


def bar(thermal, mechanical=(), n=2, **more):
    mesh = gm.box(n, 1, 1, size=(1.0, 0.1, 0.1))
    held = [gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("front", 0.0, 1), gm.Dirichlet("bottom", 0.0, 2)]
    return gm.Thermoelasticity(
        spaces(mesh), E, NU, ALPHA, REFERENCE, K, more.get("capacity"), thermal, [*held, *mechanical]
    )


@pytest.mark.slow
def test_a_bar_with_a_linear_temperature_bends_its_sections_without_stress():
    """α (T − T₀) = g x: u = g (x² − y² − z²)/2, g x y, g x z has exactly this strain, so that there is no stress."""
    g = ALPHA * 100.0

    def free(x):
        return g * jnp.stack([(x[0] ** 2 - x[1] ** 2 - x[2] ** 2) / 2, x[0] * x[1], x[0] * x[2]])

    heated = [gm.Dirichlet("left", REFERENCE), gm.Dirichlet("right", REFERENCE + 100.0)]
    body = bar(heated, [gm.Dirichlet("boundary", gm.Profile(free))])
    w = gm.solve(gm.Steady(body)).checked()
    space = gm.FunctionSpace(body.problem.space.mesh, "Q2", (3,))
    np.testing.assert_allclose(w["u"], space.interpolate(free), atol=1e-12)


@pytest.mark.slow
def test_a_bar_between_walls_is_pressed():
    """σ = −E α ΔT in a bar held at both ends and free across."""
    body = bar([gm.Dirichlet("boundary", REFERENCE + 40.0)], [gm.Dirichlet("right", 0.0, 0)])
    w = gm.solve(gm.Steady(body)).checked()
    first, mu = gm.lame(E, NU)

    def stress(w, point):
        strain = gm.sym_grad(w["u"])
        beta = (3 * first + 2 * mu) * ALPHA
        return first * jnp.trace(strain) + 2 * mu * strain[0, 0] - beta * (w["T"].value - REFERENCE)

    mean = gm.integrate(body.problem.space, stress, w) / 0.01
    assert float(mean) == pytest.approx(-E * ALPHA * 40.0, rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["expansion", "points"])
def test_derivatives_pass_a_taylor_test(variable):
    mesh = gm.box(2, 1, 1, size=(1.0, 0.1, 0.1))
    shift = jnp.asarray(np.random.default_rng(0).normal(size=mesh.points.shape)) * 1e-3

    def tip(h):
        alpha = ALPHA * (1 + h) if variable == "expansion" else ALPHA
        moved = mesh.with_points(mesh.points + h * shift) if variable == "points" else mesh
        held = [gm.Dirichlet("left", 0.0)]
        body = gm.Thermoelasticity(
            spaces(moved), E, NU, alpha, REFERENCE, gm.Law(lambda T, x: K * (1 + 1e-3 * T)), None,
            [gm.Dirichlet("left", 293.0), gm.Flux("right", 5e3)], held,
        )  # fmt: skip
        w = gm.solve(gm.Steady(body, rtol=1e-12)).value
        return 1e3 * jnp.sum(w["u"][:, 0] ** 2) ** 0.5

    value, slope = jax.jvp(tip, (0.0,), (1.0,))
    rest = [abs(float(tip(h) - value - h * slope)) for h in (0.1, 0.05)]
    assert np.log2(rest[0] / rest[1]) == pytest.approx(2.0, abs=0.2) or max(rest) < 1e-12 * abs(float(value))


@pytest.mark.slow
def test_reverse_mode_through_time_gives_the_slope_of_forward_mode():
    """Coupled both ways, the heat content takes divergence of displacement: its matrix is not symmetric."""
    mesh = gm.rectangle(1, 1)
    expansion = gm.Parameter("expansion", gm.Normal(0.2, 1.0))
    held = [gm.Dirichlet("left", 0.0), gm.Traction("right", jnp.array([0.3, 0.0]))]
    thermal = [gm.Flux("top", 0.7)]
    body = gm.Thermoelasticity(spaces(mesh), 1.3, NU, expansion, 1.0, 1.5, 0.8, thermal, held)
    start, solver = {"T": 1.0, "u": 0.0}, gm.DenseDirect(1e-9)
    analysis = gm.Transient(body, start, 0.1, rtol=1e-12, linear_solver=solver, method=gm.ImplicitEuler())

    def total(value):
        grid = jnp.array([0.0, 0.1, 0.2])
        bound = gm.bind(analysis, {"expansion": value})
        return jnp.sum(bound.solve(None, {}, grid, lambda t, w: jnp.sum(w**2)).value[0])

    forward = jax.jit(jax.jacfwd(total))(0.2)
    reverse = jax.jit(jax.grad(total))(0.2)
    np.testing.assert_allclose(reverse, forward, rtol=1e-9)


def test_fields_that_are_missing_are_named():
    mesh = gm.rectangle(1, 1)
    space = gm.MixedSpace({"T": gm.FunctionSpace(mesh, "Q1"), "v": gm.FunctionSpace(mesh, "Q1", (2,))})
    with pytest.raises(ValueError, match=r"a field 'u' of shape \(2,\), not 'T' of shape \(\), 'v' of shape \(2,\)"):
        gm.Thermoelasticity(space, E, NU, ALPHA, REFERENCE, K)
