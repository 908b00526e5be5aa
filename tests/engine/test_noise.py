"""Noise and model errors that the data are to say: the likelihood as squares, its filter, and what fits make of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import gemel as gm
from gemel.engine.calibration.likelihood import likelihood_rows
from gemel.engine.calibration.problem import CalibrationProblem, misfit, residual
from gemel.engine.losses import Gaussian
from gemel.engine.noise import differences, innovations, whitened
from gemel.engine.parameters import bind

TIMES = np.sort(np.random.default_rng(3).uniform(0.0, 50.0, 40))


def covariance(times, white, spread, memory):
    distance = np.abs(times[:, None] - times[None, :])
    return white**2 * np.eye(len(times)) + spread**2 * np.exp(-distance / memory)


def test_innovations_are_the_dense_likelihood():
    r = np.random.default_rng(0).normal(size=40)
    noise = gm.Noise(0.3, error=gm.ModelError(1.2, 7.0))
    surprises, stds = innovations(noise, TIMES, jnp.asarray(r), np.ones(40, bool))
    whitened = float(-0.5 * jnp.sum((surprises / stds) ** 2) - jnp.sum(jnp.log(stds)) - 20 * np.log(2 * np.pi))
    dense = scipy.stats.multivariate_normal(np.zeros(40), covariance(TIMES, 0.3, 1.2, 7.0)).logpdf(r)
    assert whitened == pytest.approx(dense, rel=1e-12)


def test_missing_samples_leave_the_rest_as_it_is():
    r = np.random.default_rng(1).normal(size=40)
    known = np.random.default_rng(2).uniform(size=40) < 0.6
    noise = gm.Noise(0.3, error=gm.ModelError(1.2, 7.0))
    surprises, stds = innovations(noise, TIMES, jnp.asarray(np.where(known, r, np.nan)), known)
    kept, kept_stds = innovations(noise, TIMES[known], jnp.asarray(r[known]), np.ones(known.sum(), bool))
    np.testing.assert_allclose(np.asarray(surprises)[known], kept, rtol=1e-10)
    np.testing.assert_allclose(np.asarray(stds)[known], kept_stds, rtol=1e-10)
    assert np.all(np.asarray(surprises)[~known] == 0)


@pytest.mark.parametrize("error", [None, gm.ModelError(1.2, 7.0)])
def test_differences_are_those_of_the_innovations(error):
    r = np.random.default_rng(1).normal(size=40)
    known = np.random.default_rng(2).uniform(size=40) < 0.6
    noise = gm.Noise(0.3, error=error)
    back = differences(noise, TIMES, whitened(noise, TIMES, jnp.asarray(r), known), known)
    np.testing.assert_allclose(back, np.where(known, r, 0.0), rtol=1e-12, atol=1e-14)


def test_shares_of_correlated_samples_add_up_to_what_they_tell_about_a_constant():
    """1ᵀ C⁻¹ 1 of their correlations; samples far apart, or without memory, are independent."""
    for memory in (0.01, 2.0, 300.0):
        shares = gm.Noise(0.3, memory).shares(TIMES)
        told = np.ones(40) @ np.linalg.solve(covariance(TIMES, 0.0, 1.0, memory), np.ones(40))
        assert shares.sum() == pytest.approx(told, rel=1e-9)
        assert np.all((shares > 0) & (shares <= 1))
    crowded = gm.Noise(0.3, 2.0).shares(np.array([0.0, 50.0, 50.1, 50.2, 100.0]))
    np.testing.assert_allclose(crowded, [1.0, 0.5, 0.025, 0.5, 1.0], atol=0.02)
    np.testing.assert_array_equal(gm.Noise(0.3).shares(TIMES), np.ones(40))


def test_samples_with_a_model_error_are_worth_what_they_tell_about_a_constant():
    """1ᵀ C⁻¹ 1 of the dense covariance, over that of one: white noise makes neighbours worth more."""
    ones = np.ones(40)
    for white, spread, memory in ((0.3, 1.2, 7.0), (1.0, 0.1, 200.0), (2.0, 0.5, 0.01), (1e-3, 1.0, 7.0)):
        worth = gm.Noise(white, error=gm.ModelError(spread, memory)).worth(TIMES)
        told = ones @ np.linalg.solve(covariance(TIMES, white, spread, memory), ones)
        assert worth == pytest.approx((white**2 + spread**2) * told, rel=1e-10)
    correlated = gm.Noise(1.0, 7.0)
    assert worth == pytest.approx(correlated.worth(TIMES), rel=1e-3)
    assert correlated.worth(TIMES) == pytest.approx(correlated.shares(TIMES).sum())


def rows(log_std, r, floor):
    noise = bind(gm.Noise(gm.Parameter("s", gm.LogNormal(1.0, 2.0))), {"s": jnp.exp(log_std)})
    return likelihood_rows(noise, None, r, jnp.ones(len(r)), jnp.asarray(floor), Gaussian())


def test_rows_cost_the_logarithm_of_the_noise_exactly():
    r = jnp.asarray(np.random.default_rng(4).normal(size=10))

    def cost(x):
        return 0.5 * jnp.sum(rows(x, r, 0.01) ** 2)

    def likelihood(x):
        return 0.5 * jnp.sum(r**2) * jnp.exp(-2 * x) + 10 * x

    for x in (-2.0, 0.0, 1.5):
        assert float(cost(x) - cost(0.3)) == pytest.approx(float(likelihood(x) - likelihood(0.3)), rel=1e-10)


def test_their_curvature_is_the_fisher_information():
    r = jnp.asarray(np.random.default_rng(5).normal(size=2000))
    at = float(jnp.log(jnp.sqrt(jnp.mean(r**2))))  # where the likelihood is greatest
    jacobian = jax.jacfwd(lambda x: rows(x, r, 0.01))(at)
    assert float(jacobian @ jacobian) == pytest.approx(2 * 2000, rel=1e-10)


def cooling(noise, start=1.0):
    """One body that cools towards zero: exp(-h t / 10)."""
    loss = gm.Parameter("h", gm.LogNormal(10.0, 3.0), "W/K")
    network = gm.ThermalNetwork(
        {"body": gm.ThermalNode(10.0, start)}, [gm.ThermalLink("body", "air", conductance=loss)], {"air": 0.0}
    )
    return gm.Twin("body", gm.LinearOde(network), [gm.OutputSensor(name="T", output="body", noise=noise, unit="K")])


SAMPLES = np.linspace(0.0, 2.0, 81)
TRUTH = np.exp(-1.2 * SAMPLES)


def sigma(median=0.05, factor=10.0):
    return gm.Parameter("sigma", gm.LogNormal(median, factor), "K")


def test_the_noise_is_found():
    noisy = TRUTH + 0.01 * np.random.default_rng(6).normal(size=81)
    fit = gm.calibrate(cooling(gm.Noise(sigma())), gm.Record(SAMPLES, {"T": noisy}))
    found = {row.name: row for row in fit.table()}
    known = gm.calibrate(cooling(gm.Noise(0.01)), gm.Record(SAMPLES, {"T": noisy})).table()[0]
    low, high = found["sigma"].interval
    assert low < 0.01 < high
    # Of 81 samples the standard deviation is known to one in sqrt(162).
    assert np.log(high / low) == pytest.approx(2 * 1.96 / np.sqrt(162), rel=0.05)
    assert found["h"].value == pytest.approx(known.value, rel=2e-3)
    width = known.interval[1] - known.interval[0]
    assert found["h"].interval[1] - found["h"].interval[0] == pytest.approx(
        width * found["sigma"].value / 0.01, rel=0.02
    )
    assert float(fit.twin.noise("T").std) == pytest.approx(found["sigma"].value)


@pytest.mark.slow
def test_a_model_error_is_told_from_noise():
    # The error's own spread, memory and the white noise come back from a long record.
    rng = np.random.default_rng(9)
    times = np.linspace(0.0, 2.0, 401)
    root = np.linalg.cholesky(covariance(times, 0.01, 0.05, 0.1))
    data = np.exp(-1.2 * times) + root @ rng.normal(size=401)
    noise = gm.Noise(
        sigma(),
        error=gm.ModelError(
            gm.Parameter("error", gm.LogNormal(0.05, 10.0), "K"), gm.Parameter("memory", gm.LogNormal(0.3, 10.0), "s")
        ),
    )
    fit = gm.calibrate(cooling(noise), gm.Record(times, {"T": data}))
    for name, truth in {"sigma": 0.01, "error": 0.05, "memory": 0.1, "h": 12.0}.items():
        low, high = next(row.interval for row in fit.table() if row.name == name)
        assert low < truth < high, name
    # Taken for white, the same residuals promise more than they can keep.
    white = gm.calibrate(cooling(gm.Noise(sigma())), gm.Record(times, {"T": data}))
    spread = {f: np.sqrt(float(one.belief.covariance[0, 0])) for f, one in (("full", fit), ("white", white))}
    assert spread["full"] > 2 * spread["white"]
    result = gm.forecast(fit.twin, times=times)
    shares = result.shares("T")
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["model error"] > 0.8
    judged = gm.judge(fit, result, gm.Record(times, {"T": data}), gm.Record(times, {"T": data}))
    assert abs(judged.scores[0].correlation) < 0.15  # of the innovations: the residuals' own is 0.9


@pytest.mark.slow
@pytest.mark.parametrize("error", [False, True], ids=["noise", "noise and model error"])
def test_posteriors_with_unknown_noise_are_calibrated(error):
    # Simulation-based calibration: ranks of the truth in the posterior are uniform for all that is found.
    rng = np.random.default_rng(8)
    process = gm.ModelError(gm.Parameter("error", gm.LogNormal(0.05, 3.0), "K"), 0.1) if error else None
    twin = cooling(gm.Noise(sigma(0.02, 3.0), error=process))
    quantiles = []
    for _ in range(60):
        z = rng.normal(size=len(twin.parameters))
        values = {name: float(value) for name, value in twin.belief.values(jnp.asarray(z)).items()}
        clean = np.asarray(gm.simulate(twin, times=SAMPLES, parameters=values).readings["T"])
        root = np.linalg.cholesky(covariance(SAMPLES, values["sigma"], values.get("error", 0.0), 0.1))
        fit = gm.calibrate(twin, gm.Record(SAMPLES, {"T": clean + root @ rng.normal(size=81)}))
        spread = np.sqrt(np.diagonal(np.asarray(fit.belief.covariance)))
        quantiles.append(scipy.stats.norm.cdf((z - np.asarray(fit.belief.mean)) / spread))
    for column in np.asarray(quantiles).T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 0.01


@pytest.mark.slow
def test_residuals_with_unknown_noise_have_the_derivatives_they_claim():
    noise = gm.Noise(sigma(), error=gm.ModelError(0.05, gm.Parameter("memory", gm.LogNormal(0.3, 3.0), "s")))
    problem = CalibrationProblem.of(cooling(noise), gm.Record(SAMPLES, {"T": TRUTH + 0.02}))
    z, direction = jnp.array([0.2, -0.1, 0.3]), jnp.array([0.5, 1.0, -0.7])
    cost, gradient = jax.value_and_grad(misfit)(z, problem)
    remainders = [
        float(abs(misfit(z + h * direction, problem) - cost - h * gradient @ direction)) for h in (1e-2, 5e-3)
    ]
    assert remainders[0] / remainders[1] == pytest.approx(4.0, rel=0.05)


def test_held_out_samples_that_hang_together_count_as_few():
    # 41 samples over 1 s, 0.025 s apart, with an error that lasts 10 s: about one independent one.
    rng = np.random.default_rng(10)
    noise = gm.Noise(0.001, error=gm.ModelError(0.05, 10.0))
    root = np.linalg.cholesky(covariance(SAMPLES, 0.001, 0.05, 10.0))
    record = gm.Record(SAMPLES, {"T": TRUTH + root @ rng.normal(size=81)})
    fit = gm.calibrate(cooling(noise), record.between(0.0, 1.0))
    judged = gm.judge(fit, gm.forecast(fit.twin, times=SAMPLES), record, record.between(0.0, 1.0))
    (held,) = [score for score in judged.scores if score.part == "held out"]
    assert held.worth == pytest.approx(1.05, rel=1e-2)  # nearly 1 + 40 tanh(0.025 / 20): there is little white noise
    assert any("worth 1.1 independent ones" in reason for reason in judged.reasons)


def test_far_under_the_prior_there_is_no_likelihood_rather_than_a_wrong_one():
    problem = CalibrationProblem.of(cooling(gm.Noise(sigma())), gm.Record(SAMPLES, {"T": TRUTH}))
    assert np.isfinite(np.asarray(residual(jnp.array([0.0, -5.0]), problem))).all()
    assert np.isnan(np.asarray(residual(jnp.array([0.0, -40.0]), problem))).any()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: gm.Noise(gm.Parameter("s", gm.Normal(1.0, 0.5))), "prior of 's' does not see to"),
        (lambda: gm.Noise(gm.Parameter("s", gm.Uniform(-0.5, 0.5))), "prior of 's' does not see to"),
        (lambda: gm.Noise(1.0, 5.0, gm.ModelError(1.0, 5.0)), "beside a model error is white"),
        (lambda: gm.Noise(1.0, 0.0, 0.5), "is a ModelError.std, correlation_time., not 0.5"),
        (lambda: gm.ModelError(0.0, 5.0), "standard deviation of a model error must be a positive number, not 0.0"),
        (lambda: gm.ModelError(1.0, -5.0), "correlation time of a model error must be a positive number, not -5.0"),
    ],
)
def test_noises_that_cannot_be_are_named(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_a_model_error_needs_times():
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(0.1, 0.1, 0.1)), "Q1")
    loss = gm.Parameter("h", gm.LogNormal(10.0, 3.0), "W/m^2/K")
    heat = gm.Heat(space, 1.0, conditions=[gm.Convection("left", loss, 300.0), gm.Convection("right", 1.0, 280.0)])
    noise = gm.Noise(1.0, error=gm.ModelError(1.0, 5.0))
    twin = gm.Twin("still", gm.Steady(heat), [gm.AverageSensor(name="T", on="all", noise=noise)])
    with pytest.raises(ValueError, match="a process in time: its record has no times"):
        gm.calibrate(twin, gm.Record(None, {"T": 301.0}))
