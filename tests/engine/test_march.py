"""Fields over time: against closed forms, in pieces, differentiated, and refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm


def cooling(initial: Any = 400.0, control: Any = None, method: Any = None):
    """A lump of 1 m³ that loses 5 W per K of excess over 300 K, with 100 J/K: an excess that decays at 0.05/s."""
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    heat = gm.Heat(space, 1e6, 100.0, [gm.Convection("left", gm.Input("h"), 300.0)])
    return gm.Transient(heat, initial, 0.5, method=method, control=control)


INPUTS = {"h": gm.Series([0.0], [5.0])}


def test_a_lump_cools_along_an_exponential():
    history = gm.march(cooling(), (0.0, 10.0), INPUTS).checked()
    assert history.values.shape == (21, 8)
    np.testing.assert_allclose(history.values[:, 3], 300 + 100 * np.exp(-0.05 * history.times), rtol=1e-5)


@pytest.mark.slow
def test_a_march_goes_on_from_the_end_of_another():
    whole = gm.march(cooling(), (0.0, 10.0), INPUTS).checked()
    half = gm.march(cooling(), (0.0, 5.0), INPUTS).checked()
    rest = gm.march(cooling(half.end), (5.0, 10.0), INPUTS).checked()
    np.testing.assert_allclose(rest.values[-1], whole.values[-1], rtol=1e-9)


@pytest.mark.slow
def test_a_record_keeps_what_is_asked_for_at_the_times_of_an_error_control():
    control = gm.solvers.ErrorControl(1e-8, 1e-8, 0.1, 1000)
    analysis = cooling(control=control, method=gm.solvers.SDIRK4())
    history = gm.march(analysis, [0.0, 1.0, 7.0], INPUTS, lambda t, u: {"t": t, "mean": u.mean()}).checked()
    np.testing.assert_allclose(history.values["t"], [0.0, 1.0, 7.0])
    np.testing.assert_allclose(history.values["mean"], 300 + 100 * np.exp(-0.05 * history.times), rtol=1e-7)


def block():
    """A stiff block of 4 kg on a bed of springs of 1 N/m."""
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1", (3,))
    return gm.Elasticity(space, 1e8, 0.0, 4.0, [gm.ElasticSupport("bottom", 1.0)])


@pytest.mark.slow
def test_a_mass_on_a_spring_oscillates_and_goes_on():
    """u = cos(ω t) with ω² = k/m of a stiff block on a bed of springs, and its velocity; in two pieces."""
    body = block()

    def keep(t, motion):
        return jnp.stack([motion["u"][:, 2].mean(), motion["v"][:, 2].mean()])

    shift = np.zeros((8, 3))
    shift[:, 2] = 1e-3
    start = gm.Dynamic(body, shift, 0.0, 0.02)
    first = gm.march(start, (0.0, 2.0), record=keep).checked()
    rest = gm.march(gm.Dynamic(body, first.end, 0.0, 0.02), (2.0, 4.0), record=keep).checked()
    times = np.concatenate([first.times, rest.times])
    values = np.concatenate([first.values, rest.values])
    exact = 1e-3 * np.stack([np.cos(0.5 * times), -0.5 * np.sin(0.5 * times)], axis=1)
    np.testing.assert_allclose(values, exact, atol=2e-6)
    np.testing.assert_allclose(gm.march(start, (0.0, 0.1)).checked().values[0], shift)


@pytest.mark.slow
def test_a_march_is_differentiated():
    """The excess at the end by the loss: -t/τ of itself per relative change."""

    def end(h):
        return gm.march(cooling(), (0.0, 10.0), {"h": gm.Series(np.zeros(1), h * jnp.ones(1))}).value.values[-1, 0]

    assert float(jax.grad(end)(5.0)) == pytest.approx(-100 * 0.1 * np.exp(-0.5), rel=1e-4)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: gm.march(cooling(), (0.0, 10.0)), "No signal is given for input 'h'"),
        (lambda: gm.march(cooling(), (10.0, 0.0), INPUTS), "must increase"),
        (lambda: gm.march(cooling(), (10.0,), INPUTS), "at least two, in s"),
        (lambda: gm.march(cooling(), (0.0, np.nan), INPUTS), "must be finite"),
        (lambda: gm.march(cooling(), "soon", INPUTS), "must be numbers in s, not 'soon'"),
        (lambda: cooling(np.nan), "The initial field is not finite"),
        (lambda: cooling("warm"), "The initial field must be numbers, not the text 'warm'"),
        (lambda: gm.Dynamic(block(), np.array([0.0, np.nan, 0.0]), 0.0, 0.1), "The initial displacement is not finite"),
        (lambda: gm.Dynamic(block(), 0.0, np.inf, 0.1), "The initial velocity is not finite"),
        (lambda: gm.march(cooling(300.0 * np.ones(3)), (0.0, 1.0), INPUTS), "initial"),
    ],
)
def test_mistakes_are_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
