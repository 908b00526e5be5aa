"""Calibration against closed forms: linear Gaussian posteriors, weights, held-out and missing data, resuming."""

import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.calibration import CalibrationProblem, residual


def block(noise: float | gm.Noise = 0.5) -> gm.Twin:
    """A well conducting block that loses heat by h A = 0.1 W/K to 300 K: T = 300 + 10 P, within a thousandth."""
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(0.1, 0.1, 0.1)), "Q1")
    power = gm.Parameter("power", gm.Normal(1.0, 0.5), "W")
    heat = gm.Heat(space, 1e3, 100.0, conditions=[gm.Power("all", power), gm.Convection("top", 10.0, 300.0)])
    sensors = [
        gm.AverageSensor(name="T", on="all", noise=noise, unit="K"),
        gm.AverageSensor(name="top", on="top", facets=True, noise=noise, unit="K"),
    ]
    return gm.Twin("block", gm.Steady(heat, rtol=1e-11), sensors)


def test_the_posterior_of_a_linear_model_is_exact():
    fit = gm.calibrate(block(), gm.Record(None, {"T": 312.0}))
    # y = 300 + 10 P + e, P ~ N(1, 0.5²), e ~ N(0, 0.5²)
    precision = 1 / 0.5**2 + 10.0**2 / 0.5**2
    mean = (1.0 / 0.5**2 + 10.0 * 12.0 / 0.5**2) / precision
    (row,) = fit.table()
    assert row.value == pytest.approx(mean, rel=1e-3)
    half = 1.959964 / np.sqrt(precision)
    assert row.interval == pytest.approx((mean - half, mean + half), rel=1e-3)
    assert row.determined == pytest.approx(1 - 1 / precision / 0.5**2, rel=1e-3)
    assert bool(fit.status.ok)


def test_the_forecast_propagates_the_posterior():
    fit = gm.calibrate(block(), gm.Record(None, {"T": 312.0}))
    result = gm.forecast(fit.twin)
    deviation = 10.0 / np.sqrt(1 / 0.25 + 100 / 0.25)
    assert float(result.parametric["top"]) == pytest.approx(deviation, rel=1e-3)
    assert float(result.predictive["top"]) == pytest.approx(np.hypot(deviation, 0.5), rel=1e-3)
    low, high = result.band("T")
    assert float(low) < 312.0 < float(high)


@pytest.mark.slow
def test_a_second_calibration_starts_from_the_first():
    """Two readings in two fits give what both give in one."""
    both = gm.calibrate(block(), gm.Record(None, {"T": 312.0, "top": 311.0}))
    first = gm.calibrate(block(), gm.Record(None, {"T": 312.0}))
    then = gm.calibrate(first.twin, gm.Record(None, {"top": 311.0}))
    assert then.table()[0].value == pytest.approx(both.table()[0].value, rel=1e-6)
    assert then.table()[0].interval == pytest.approx(both.table()[0].interval, rel=1e-6)


def test_a_fit_may_begin_at_an_earlier_one_and_keeps_its_prior():
    """The answer is the same, the prior is not counted twice, and the start is near the end."""
    record = gm.Record(None, {"T": 312.0})
    cold = gm.calibrate(block(), record)
    warm = gm.calibrate(block(), record, start=cold.twin.belief.mean)
    assert float(warm.costs[0]) == pytest.approx(float(cold.costs[-1]), rel=1e-9)
    assert float(cold.costs[0]) > 2 * float(cold.costs[-1])
    np.testing.assert_array_equal(warm.prior.mean, [0.0])
    np.testing.assert_allclose(warm.twin.belief.mean, cold.twin.belief.mean, rtol=1e-5)
    np.testing.assert_allclose(warm.twin.belief.covariance, cold.twin.belief.covariance, rtol=1e-5)


def test_single_values_held_out_are_judged_beside_the_twin_before_its_fit():
    """Before the fit the twin reads 310 K; scaled to the fitted reading, 312 K of 310 K, it reads 312 K at the top."""
    record = gm.Record(None, {"T": 312.0, "top": 312.3})
    fit = gm.calibrate(block(), record, sensors=["T"])
    verdict = gm.judge(fit, gm.forecast(fit.twin), record, record, ["T"])
    fitted, held = verdict.scores
    assert (fitted.sensor, fitted.part, fitted.naive) == ("T", "fitted", {})
    assert (held.sensor, held.part) == ("top", "held out")
    assert held.naive == pytest.approx({"before calibration": 2.3, "before, scaled": 0.3}, abs=0.02)
    assert verdict.verdict == "usable with care"
    assert any("a naive guess (before, scaled)" in reason for reason in verdict.reasons)
    better = gm.Record(None, {"T": 312.0, "top": float(fit.twin.belief.values()["power"]) * 10 + 300})
    assert gm.judge(fit, gm.forecast(fit.twin), better, better, ["T"]).verdict == "usable"


def cooling(noise: gm.Noise) -> gm.Twin:
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    loss = gm.Parameter("h", gm.LogNormal(10.0, 3.0), "W/m^2/K")
    heat = gm.Heat(space, 1e6, 100.0, [gm.Convection("boundary", loss, 0.0)])
    sensor = gm.AverageSensor(name="T", on="all", noise=noise)
    return gm.Twin("cube", gm.Transient(heat, 1.0, 0.1), [sensor])


TIMES = np.linspace(0.0, 2.0, 21)
TRUTH = np.exp(-6 * 12.0 / 100.0 * TIMES)


@pytest.mark.slow
def test_a_time_series_gives_its_parameter_back():
    fit = gm.calibrate(cooling(gm.Noise(0.01)), gm.Record(TIMES, {"T": TRUTH}))
    (row,) = fit.table()
    assert row.value == pytest.approx(12.0, rel=2e-3)
    assert row.interval[0] < 12.0 < row.interval[1]


@pytest.mark.slow
def test_missing_samples_do_not_count():
    holes = np.where(np.arange(21) % 2 == 0, TRUTH, np.nan)
    spoilt = gm.calibrate(cooling(gm.Noise(0.01)), gm.Record(TIMES, {"T": holes}))
    assert spoilt.table()[0].value == pytest.approx(12.0, rel=2e-3)
    problem = CalibrationProblem.of(cooling(gm.Noise(0.01)), gm.Record(TIMES, {"T": holes}))
    misfit = residual(jnp.zeros(1), problem)[:-1]
    assert np.all(np.asarray(misfit)[1::2] == 0)
    assert np.any(np.asarray(misfit)[::2] != 0)


@pytest.mark.slow
def test_correlated_samples_weigh_less():
    white = CalibrationProblem.of(cooling(gm.Noise(0.01)), gm.Record(TIMES, {"T": TRUTH}))
    correlated = CalibrationProblem.of(cooling(gm.Noise(0.01, 0.8)), gm.Record(TIMES, {"T": TRUTH}))
    # 2 τ / Δt = 16 samples weigh as one: each residual shrinks by 4, and less at the ends, which have one neighbour.
    one, other = (np.asarray(residual(jnp.zeros(1), problem)[:-1]) for problem in (white, correlated))
    np.testing.assert_allclose(one[1:-1], 4.0 * other[1:-1], rtol=1e-3)
    np.testing.assert_allclose(other[[0, -1]], np.sqrt(17 / 32) * one[[0, -1]], rtol=1e-3)


@pytest.mark.parametrize(
    ("record", "sensors", "sentence"),
    [
        (gm.Record(None, {"U": 1.0}), None, "Unknown sensor 'U': the twin has T, top"),
        (gm.Record(None, {"T": 1.0}), ["top"], "no readings of sensor 'top'"),
        (gm.Record(None, {}), None, "no readings"),
        (gm.Record(TIMES, {"T": TRUTH}), None, "has no time"),
    ],
)
def test_data_that_do_not_fit_are_named(record, sensors, sentence):
    with pytest.raises(ValueError, match=sentence):
        gm.calibrate(block(), record, sensors=sensors)


def test_a_twin_without_parameters_cannot_be_calibrated():
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(0.1, 0.1, 0.1)), "Q1")
    heat = gm.Heat(space, 1.0, conditions=[gm.Convection("top", 10.0, 300.0)])
    twin = gm.Twin("still", gm.Steady(heat), [gm.AverageSensor(name="T", on="all", noise=1.0)])
    with pytest.raises(ValueError, match="has no parameters"):
        gm.calibrate(twin, gm.Record(None, {"T": 300.0}))


@pytest.mark.parametrize("prior", [gm.LogNormal(3.0, 2.0), gm.Normal(-1.0, 0.4), gm.Uniform(2.0, 5.0)], ids=str)
def test_priors_are_maps_of_a_normal_variable_with_an_inverse(prior):
    z = jnp.linspace(-2.0, 2.0, 9)
    values = prior.value(z)
    assert np.all(np.diff(values) > 0)
    np.testing.assert_allclose(prior.standardise(values), z, atol=1e-9)


def test_a_factor_means_95_per_cent():
    draws = gm.LogNormal(3.0, 2.0).value(jnp.asarray(np.random.default_rng(0).normal(size=200_000)))
    assert float(jnp.mean((draws > 1.5) & (draws < 6.0))) == pytest.approx(0.95, abs=2e-3)


def test_one_name_is_one_parameter():
    space = gm.FunctionSpace(gm.rectangle(1, 1, size=(1.0, 1.0)), "Q1")
    one, other = gm.Parameter("k", gm.LogNormal(1.0, 2.0)), gm.Parameter("k", gm.LogNormal(2.0, 2.0))
    with pytest.raises(ValueError, match="Parameter 'k' is defined twice"):
        gm.Twin("t", gm.Steady(gm.Heat(space, one, conditions=[gm.Convection("left", other, 0.0)])), [])
