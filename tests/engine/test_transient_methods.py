"""The methods of a transient analysis: order, error control, held inputs, restart."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm

METHODS = {
    "implicit_euler": (gm.ImplicitEuler(), 1),
    "crank_nicolson": (gm.CrankNicolson(), 2),
    "bdf2": (gm.BDF2(), 2),
    "sdirk4": (gm.SDIRK4(), 4),
}


def block(conditions):
    """A well conducting block of capacity 100 J/K: a temperature for all of it."""
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    return gm.Heat(space, 1e6, 50.0, conditions, [gm.Capacitance("all", 50.0)])


COOLED = block([gm.Convection("boundary", 10.0, gm.Input("ambient"))])
MEAN = gm.AverageSensor(name="mean", on="all", noise=1.0)
RATE = 60 / 100
AMBIENT = {"ambient": gm.Series(np.linspace(0.0, 3.0, 3001), np.sin(np.linspace(0.0, 3.0, 3001)), hold=False)}


@eqx.filter_jit
def run(analysis, prepared, observation, inputs, grid):
    return analysis.run(prepared, observation, inputs, grid)


def final(analysis, inputs, times):
    solution = run(analysis, analysis.prepare(), analysis.observe([MEAN]), inputs, analysis.grid(times))
    readings, state = solution.checked()
    return float(readings[-1, 0]), state, solution


def exact(t):
    """u̇ = −r (u − sin t), u(0) = 1."""
    forced = (RATE**2 * np.sin(t) - RATE * np.cos(t)) / (1 + RATE**2)
    return forced + (1 + RATE / (1 + RATE**2)) * np.exp(-RATE * t)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crank_nicolson", "bdf2"])
def test_order_of_the_method(name: str):
    method, order = METHODS[name]
    times = np.array([0.0, 2.0])
    errors = []
    for step in (0.2, 0.1):
        analysis = gm.Transient(COOLED, 1.0, step, 1e-13, linear_solver=gm.DenseDirect(1e-8), method=method)
        errors.append(abs(final(analysis, AMBIENT, times)[0] - exact(2.0)))
    assert np.log2(errors[0] / errors[1]) > order - 0.3


@pytest.mark.slow
def test_steps_chosen_by_the_error():
    control = gm.ErrorControl(1e-6, 1e-6, 0.01, 100)
    analysis = gm.Transient(COOLED, 1.0, 1.0, linear_solver=gm.DenseDirect(1e-8), method=gm.SDIRK4(), control=control)
    times = np.array([0.0, 0.3, 2.0])
    value, _, solution = final(analysis, AMBIENT, times)
    np.testing.assert_allclose(solution.value[0][:, 0], [1.0, exact(0.3), exact(2.0)], atol=3e-6)
    assert value == float(solution.value[0][-1, 0])
    assert 5 < int(solution.statistics["steps"]) < 60
    with pytest.raises(ValueError, match="An error control needs the method SDIRK4, not BDF2"):
        gm.Transient(COOLED, 1.0, 1.0, method=gm.BDF2(), control=control)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["implicit_euler", "crank_nicolson", "sdirk4"])
def test_held_inputs_bring_all_their_energy(name: str):
    """An insulated block of 100 J/K, heated by pulses shorter than a step."""
    heated = block([gm.Power("all", gm.Input("power"))])
    pulses = {"power": gm.Series([0.0, 0.31, 0.35, 1.02, 1.07], [0.0, 500.0, 0.0, 700.0, 0.0])}
    analysis = gm.Transient(heated, 20.0, 0.25, 1e-13, linear_solver=gm.DenseDirect(1e-8), method=METHODS[name][0])
    value, _, _ = final(analysis, pulses, np.array([0.0, 2.0]))
    np.testing.assert_allclose(value, 20.0 + (500 * 0.04 + 700 * 0.05) / 100, rtol=1e-9)


@pytest.mark.slow
def test_a_two_step_method_is_continued_from_its_state(tmp_path: Path):
    def march(initial, times):
        analysis = gm.Transient(COOLED, initial, 0.1, linear_solver=gm.DenseDirect(1e-8), method=gm.BDF2())
        return final(analysis, AMBIENT, times)

    whole, _, _ = march(1.0, np.array([0.0, 1.0]))
    _, middle, _ = march(1.0, np.array([0.0, 0.5]))
    assert set(middle) == {"u", "before", "dt", "known"}
    gm.save_state(tmp_path / "block.npz", middle)
    stored = gm.load_state(tmp_path / "block.npz", like=middle)
    continued, _, _ = march(stored, np.array([0.5, 1.0]))
    np.testing.assert_allclose(continued, whole, rtol=1e-12)


@pytest.mark.slow
def test_gradient_with_error_control():
    body = block([gm.Convection("boundary", gm.Parameter("h", gm.LogNormal(10.0, 2.0)), 0.3)])
    control = gm.ErrorControl(1e-8, 1e-8, 0.05, 60)
    analysis = gm.Transient(body, 1.0, 1.0, linear_solver=gm.DenseDirect(1e-8), method=gm.SDIRK4(), control=control)
    observation, grid = analysis.observe([MEAN]), analysis.grid(np.array([0.0, 1.0]))

    def reading(h, analysis):
        return gm.bind(analysis, {"h": h}).run(None, observation, {}, grid).value[0][-1, 0]

    value, slope = eqx.filter_jit(jax.value_and_grad(reading))(10.0, analysis)
    np.testing.assert_allclose(value, 0.3 + 0.7 * np.exp(-0.6), rtol=1e-7)
    np.testing.assert_allclose(slope, -0.7 * 0.06 * np.exp(-0.6), rtol=1e-6)
    assert jnp.isfinite(slope)
