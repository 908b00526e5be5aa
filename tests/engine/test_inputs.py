"""Inputs that drive a model: conserved however short, also where they change its operator."""

import numpy as np
import pytest

import gemel as gm


def cube(conditions, step, initial=0.0):
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    heat = gm.Heat(space, 1e6, 100.0, conditions)
    return gm.Twin("cube", gm.Transient(heat, initial, step), [gm.AverageSensor(name="T", on="all", noise=1.0)])


@pytest.mark.parametrize(("start", "end"), [(1.0, 2.0), (0.0, 10.0), (10.0, 20.0), (7.3, 16.1)])
def test_a_pulse_of_power_brings_its_energy(start, end):
    twin = cube([gm.Power("all", gm.Input("power"))], 10.0)
    pulse = gm.Series([-1.0, start, end], [0.0, 1000.0, 0.0])
    run = gm.simulate(twin, {"power": pulse}, [0.0, 10.0, 30.0])
    assert float(run.readings["T"][-1]) == pytest.approx(1000.0 * (end - start) / 100.0, rel=1e-9)
    assert float(run.readings["T"][1]) == pytest.approx(1000.0 * max(0.0, min(end, 10.0) - start) / 100.0, abs=1e-6)


def test_a_coefficient_that_follows_an_input_changes_the_operator():
    twin = cube([gm.Convection("boundary", gm.Input("fan"), 20.0)], 0.05, initial=100.0)
    fan = gm.Series([0.0, 5.0], [0.0, 10.0])
    run = gm.simulate(twin, {"fan": fan}, [0.0, 5.0, 10.0])
    assert bool(run.status.ok)
    np.testing.assert_allclose(run.readings["T"], [100.0, 100.0, 20 + 80 * np.exp(-0.6 * 5)], rtol=2e-3)


@pytest.mark.slow
def test_a_radiating_body_at_rest_costs_next_to_nothing():
    space = gm.FunctionSpace(gm.box(2, 2, 2, size=(1.0, 1.0, 1.0)), "Q1")
    heat = gm.Heat(space, 10.0, 1e4, [gm.Radiation("boundary", 0.8, 300.0)])
    twin = gm.Twin("body", gm.Transient(heat, 300.0, 10.0), [gm.AverageSensor(name="T", on="all", noise=1.0)])
    run = gm.simulate(twin, {}, [0.0, 100.0])
    assert bool(run.status.ok)
    np.testing.assert_allclose(run.readings["T"], 300.0, rtol=1e-9)


@pytest.mark.slow
def test_a_fit_to_runs_that_failed_is_no_fit():
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    emissivity = gm.Parameter("emissivity", gm.LogNormal(0.5, 3.0))
    heat = gm.Heat(space, 1e4, 100.0, [gm.Radiation("boundary", emissivity, 300.0), gm.Power("all", 5000.0)])
    steady = gm.Steady(heat, linear_solver=gm.SparseDirect(rtol=1e-6), initial=300.0, newton_steps=1)
    twin = gm.Twin("body", steady, [gm.AverageSensor(name="T", on="all", noise=1.0)])
    assert not bool(gm.simulate(twin).status.ok)
    fit = gm.calibrate(twin, gm.Record(None, {"T": 400.0}))
    assert fit.status.worst() is gm.Code.NOT_FINITE


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: gm.Series([0.0, 2.0, 1.0], [1.0, 2.0, 3.0]), "must increase: sample 2 is at 1.0 s"),
        (lambda: gm.Series([0.0, 1.0], [1.0]), "as many values as times"),
        (lambda: gm.Noise(gm.Parameter("s", gm.LogNormal(1.0, 2.0))), "must be a positive number"),
        (lambda: gm.Noise(-1.0), "must be a positive number"),
    ],
)
def test_mistakes_are_named(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
