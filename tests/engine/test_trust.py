"""How sure a fit is, and whether to trust it: losses, directions, profiles, many starts, sampling, verdicts."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

import gemel as gm
from gemel.engine.calibration.fit import DEFAULT_SOLVER, _laplace
from gemel.engine.calibration.multistart import _in_turn, _together
from gemel.engine.calibration.problem import residual
from gemel.engine.coefficients import drive
from gemel.engine.losses import density_of
from gemel.engine.simulation import respond
from gemel.solvers import Code

EXPLICIT = diffrax.Tsit5(scan_kind="bounded")
TIMES = np.linspace(0.0, 4.0, 41)
PUSH = {"u": gm.Series(TIMES, np.where(TIMES < 2, 0.0, 1.0))}


class Decay(gm.OdeSystem):
    """x' = -k x + p u, x(0) = 1: the first half of a record shows k, the second p."""

    k: Any
    p: Any
    u: Any = gm.Input("u")
    output_names: tuple[str, ...] = eqx.field(static=True, default=("x",))

    def initial(self):
        return jnp.ones(1)

    def rate(self, t, y, inputs):
        return -self.k * y + self.p * drive(self.u, inputs)

    def outputs(self, t, y, inputs):
        return {"x": y[0]}


class Oscillator(gm.OdeSystem):
    """x'' = -w² x: a misfit in w has many minima."""

    w: Any
    output_names: tuple[str, ...] = eqx.field(static=True, default=("x",))

    def initial(self):
        return jnp.array([1.0, 0.0])

    def rate(self, t, y, inputs):
        return jnp.stack([y[1], -(self.w**2) * y[0]])

    def outputs(self, t, y, inputs):
        return {"x": y[0]}


def decay(noise: float | gm.Noise = 0.02) -> gm.Twin:
    rate, gain = gm.Parameter("k", gm.LogNormal(1.0, 4.0), "1/s"), gm.Parameter("p", gm.Normal(0.0, 2.0))
    return gm.Twin(
        "decay", gm.Ode(Decay(k=rate, p=gain), 0.1, EXPLICIT), [gm.OutputSensor(name="x", output="x", noise=noise)]
    )


def measured(twin: gm.Twin, values: dict[str, float], noise: float, seed: int = 0) -> gm.Record:
    clean = np.asarray(gm.simulate(twin, PUSH, TIMES, values).readings["x"])
    return gm.Record(TIMES, {"x": clean + noise * np.random.default_rng(seed).standard_normal(41)}, PUSH)


@pytest.mark.parametrize("loss", [gm.Gaussian(), gm.Huber(1.5), gm.StudentT(3.0)], ids=repr)
def test_shaped_residuals_have_the_loss_as_half_their_square(loss: gm.Loss):
    def rho(r):
        if isinstance(loss, gm.Huber):
            return np.where(np.abs(r) <= 1.5, r**2 / 2, 1.5 * np.abs(r) - 1.125)
        return r**2 / 2 if isinstance(loss, gm.Gaussian) else 2.0 * np.log1p(r**2 / 3.0)

    r = np.concatenate([np.linspace(-9, 9, 41), [1e-5, -1e-5, 1e-9]])
    shaped = np.asarray(loss.shaped(jnp.asarray(r)))
    np.testing.assert_allclose(shaped**2 / 2, rho(r), rtol=1e-12)
    assert np.all(np.sign(shaped) == np.sign(r))
    slopes = jax.vmap(jax.grad(loss.shaped))(jnp.asarray(r))
    assert np.isfinite(np.asarray(slopes)).all()
    assert np.all(np.asarray(slopes) > 0)


def test_the_density_of_a_loss_is_that_of_its_noise():
    """Normal and Student's t by scipy; Huber's by its mass in closed form."""
    r = np.linspace(-8.0, 8.0, 33)
    np.testing.assert_allclose(density_of(gm.Gaussian(), r), scipy.stats.norm.pdf(r), rtol=1e-9)
    for dof in (1.0, 4.0):
        np.testing.assert_allclose(density_of(gm.StudentT(dof), r), scipy.stats.t.pdf(r, dof), rtol=1e-9)
    huber, k = density_of(gm.Huber(1.5), r), 1.5
    mass = np.sqrt(2 * np.pi) * (2 * scipy.stats.norm.cdf(k) - 1) + 2 * np.exp(-(k**2) / 2) / k
    np.testing.assert_allclose(huber[[16, -1]] * mass, [1.0, np.exp(k**2 / 2 - 8 * k)], rtol=1e-6)


@pytest.mark.slow
def test_robust_losses_leave_outliers_out():
    twin = decay()
    record = measured(twin, {"k": 1.5, "p": 2.0}, 0.02)
    spoilt = np.asarray(record.readings["x"]).copy()
    spoilt[[3, 7, 20, 33]] += [1.0, -0.8, 1.2, 0.9]
    spoilt = gm.Record(TIMES, {"x": spoilt}, PUSH)
    plain = float(gm.calibrate(twin, spoilt).table()[0].value)
    for loss in (gm.Huber(), gm.StudentT(4.0)):
        robust = float(gm.calibrate(twin, spoilt, loss=loss).table()[0].value)
        assert abs(robust - 1.5) < 0.05 < abs(plain - 1.5)


def noise_of(loss: gm.Loss, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the noise that a loss stands for, from distributions that it is made of."""
    if isinstance(loss, gm.StudentT):
        return rng.standard_t(loss.dof, count)
    k = loss.threshold if isinstance(loss, gm.Huber) else np.inf
    middle, tail = np.sqrt(2 * np.pi) * (2 * scipy.stats.norm.cdf(k) - 1), 2 * np.exp(-(k**2) / 2) / k
    inside = scipy.stats.truncnorm(-k, k).rvs(count, random_state=rng)
    outside = (k + rng.exponential(1 / k, count)) * rng.choice([-1.0, 1.0], count)
    return np.where(rng.random(count) < middle / (middle + tail), inside, outside)


@pytest.mark.parametrize("loss", [gm.StudentT(1.0), gm.StudentT(4.0), gm.StudentT(1e3), gm.Huber(), gm.Huber(0.3)])
def test_bands_hold_what_they_say_of_a_sum_of_noise_and_a_normal_spread(loss: gm.Loss):
    rng, count = np.random.default_rng(0), 400_000
    noise, normal = noise_of(loss, count, rng), rng.standard_normal(count)
    blur = np.array([0.0, 0.4, 2.0, 30.0])
    for level in (0.5, 0.9, 0.99):
        q = np.asarray(loss.half_width(level, jnp.asarray(blur)))
        held = [np.mean(np.abs(noise + b * normal) <= width) for b, width in zip(blur, q, strict=True)]
        np.testing.assert_allclose(held, level, atol=4 * np.sqrt(level * (1 - level) / count))
        if isinstance(loss, gm.StudentT):
            assert q[0] == pytest.approx(scipy.stats.t(loss.dof).ppf(0.5 + level / 2), rel=1e-8)
    if np.isfinite(loss.std):
        assert np.std(noise) == pytest.approx(loss.std, rel=0.05)


def test_bands_with_student_t_noise_hold_what_they_say_where_parameters_and_model_err_as_well():
    rng, loss = np.random.default_rng(5), gm.StudentT(3.0)
    twin = gm.Twin(
        "wide",
        gm.Ode(Decay(k=1.5, p=gm.Parameter("p", gm.Normal(2.0, 0.1))), 0.1, EXPLICIT),
        [gm.OutputSensor(name="x", output="x", noise=gm.Noise(0.02, error=gm.ModelError(0.03, 1.0)))],
        loss=loss,
    )
    run = gm.forecast(twin, PUSH, TIMES)
    slope = np.asarray(run.parametric["x"])
    assert slope[20] == pytest.approx(0.0, abs=1e-9)
    assert slope[-1] > 0.05
    assert run.shares("x") == pytest.approx(
        {part: power / (0.0021 + np.mean(slope**2)) for part, power in (("noise", 0.0012), ("model error", 0.0009))}
        | {"parameters": np.mean(slope**2) / (0.0021 + np.mean(slope**2))}
    )
    draws = np.asarray(run.run.readings["x"]) + slope * rng.standard_normal((5000, 1))
    draws += 0.03 * rng.standard_normal(draws.shape) + 0.02 * rng.standard_t(3.0, draws.shape)
    for level in (0.5, 0.9, 0.99):
        low, high = (np.asarray(side) for side in run.band("x", level))
        held = np.mean((draws >= low) & (draws <= high), axis=0)
        np.testing.assert_allclose(held, level, atol=4 * np.sqrt(level * (1 - level) / 5000))
    with pytest.raises(ValueError, match=r"between 0 and 1, such as 0.95, not 95"):
        run.band("x", 95.0)


@pytest.mark.slow
def test_bands_of_a_fit_with_a_student_t_loss_hold_what_they_say():
    """Normal bands of that scale would hold 45, 80 and 92 %."""
    rng, times = np.random.default_rng(5), np.linspace(0.0, 4.0, 6001)
    twin = decay(0.02)
    clean = np.asarray(gm.simulate(twin, PUSH, times, {"k": 1.5, "p": 2.0}).readings["x"])
    first, second = (clean + 0.02 * rng.standard_t(3.0, 6001) for _ in range(2))
    fit = gm.calibrate(twin, gm.Record(times, {"x": first}, PUSH), loss=gm.StudentT(3.0))
    run = gm.forecast(fit.twin, PUSH, times)
    for level in (0.5, 0.9, 0.99):
        low, high = (np.asarray(side) for side in run.band("x", level))
        held = np.mean((second >= low) & (second <= high))
        assert held == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / 6001))


def test_losses_refuse_what_is_no_scale():
    with pytest.raises(ValueError, match="threshold of a Huber loss must be positive, not 0"):
        gm.Huber(0.0)
    with pytest.raises(ValueError, match=r"degrees of freedom .* must be positive, not -1"):
        gm.StudentT(-1.0)


def test_directions_show_what_the_data_do_not_see():
    """Without input p acts on nothing; the direction along it keeps all of its variance."""
    twin = decay()
    still = {"u": gm.Series([0.0], [0.0])}
    clean = gm.simulate(twin, still, TIMES, {"k": 1.5, "p": 0.0}).readings["x"]
    fit = gm.calibrate(twin, gm.Record(TIMES, {"x": clean}, still))
    seen, unseen = gm.identifiability(fit.prior, fit.twin.belief)
    assert not seen.blind
    assert abs(seen.weights["k"]) > 0.999
    assert unseen.blind
    assert unseen.remaining == pytest.approx(1.0)
    assert unseen.words() == "1 p"
    assert seen.information == pytest.approx(1 / float(fit.twin.belief.covariance[0, 0]) - 1, rel=1e-6)


def test_directions_are_those_of_a_normal_posterior():
    """Of the sum of two unknowns of unlike spread, measured alone, the difference stays as it was."""
    names = tuple(gm.Parameter(name, gm.Normal(0.0, 1.0)) for name in "ab")
    before = np.diag([1.0, 4.0])
    after = np.linalg.inv(np.linalg.inv(before) + 100.0 * np.ones((2, 2)))
    belief = [gm.Belief(names, jnp.zeros(2), jnp.asarray(c)) for c in (before, after)]
    seen, unseen = gm.identifiability(*belief)
    assert seen.remaining == pytest.approx(1 / 501)
    assert unseen.remaining == pytest.approx(1.0)
    assert unseen.words() in ("0.71 a - 0.71 b", "0.71 b - 0.71 a")
    with pytest.raises(ValueError, match="about other parameters: a, b and a"):
        gm.identifiability(belief[0], gm.Belief(names[:1], jnp.zeros(1), jnp.eye(1)))


@pytest.mark.slow
def test_a_profile_of_a_normal_posterior_is_a_parabola():
    twin = decay()
    problem = gm.CalibrationProblem.of(twin, measured(twin, {"k": 1.5, "p": 2.0}, 0.02))
    fit = gm.calibrate(twin, measured(twin, {"k": 1.5, "p": 2.0}, 0.02))
    found = gm.profile_likelihood(problem, fit, "p", points=4)
    np.testing.assert_allclose(found.excess, (3 * np.linspace(-1, 1, 9)) ** 2, atol=0.6)
    (row,) = [row for row in fit.table() if row.name == "p"]
    np.testing.assert_allclose(np.asarray(found.interval, float), row.interval, rtol=0.03)
    with pytest.raises(ValueError, match="Unknown parameter 'q': the twin has k, p"):
        gm.profile_likelihood(problem, fit, "q")


@pytest.mark.slow
def test_profiles_of_a_linear_twin_are_its_normal_intervals():
    """T(x) = q x + o, two readings: the misfit is a parabola. Of the drift d a steady run says nothing: the prior alone
    ends its profile.
    """
    unsure, blind = gm.Parameter("o", gm.Normal(0.0, 2.0), "K"), gm.Parameter("d", gm.Normal(0.0, 1.0), "K/s")
    shared: dict[str, Any] = {"noise": 0.5, "offset": unsure, "drift": blind}
    sensors = [gm.PointSensor(name=f"x{x}", position=(x,), **shared) for x in (0.2, 0.9)]
    twin = gm.Twin("bar", bar().analysis, sensors)
    record = gm.Record(None, {"x0.2": 1.0, "x0.9": 3.0})
    problem, fit = gm.CalibrationProblem.of(twin, record), gm.calibrate(twin, record)
    for row in (fit.table()[0], fit.table()[2]):
        found = gm.profile_likelihood(problem, fit, row.name, points=2)
        np.testing.assert_allclose(found.excess, found.deviations**2, rtol=1e-4, atol=1e-6)
        assert found.interval == pytest.approx(row.interval, rel=1e-4)
        assert (found.shares == pytest.approx((0.0, 0.0), abs=1e-6)) == (row.name == "d")
        assert found.agrees_with_laplace()
        assert found.gain == 0.0
    short = gm.profile_likelihood(problem, fit, "d", points=1, width=0.4)
    assert short.interval == (None, None)
    assert short.deviations[-1] == pytest.approx(1.6)
    assert not short.agrees_with_laplace()
    off = eqx.tree_at(lambda one: one.belief.mean, fit, fit.belief.mean.at[2].add(0.1))
    back = 0.1 / float(fit.belief.covariance[2, 2]) ** 0.5
    less = gm.profile_likelihood(problem, off, "q", points=1, width=back).gain
    assert less == pytest.approx(0.005 * (1 + 4**2 + 18**2), rel=1e-3)
    with pytest.raises(ValueError, match="Unknown parameter 'r': the twin has d, o, q"):
        gm.profile_likelihood(problem, fit, "r")


@pytest.mark.slow
def test_many_starts_find_the_least_of_several_minima():
    frequency = gm.Parameter("w", gm.LogNormal(2.0, 6.0), "rad/s")
    twin = gm.Twin(
        "swing", gm.Ode(Oscillator(w=frequency), 0.1, EXPLICIT), [gm.OutputSensor(name="x", output="x", noise=0.05)]
    )
    record = gm.Record(TIMES, {"x": np.cos(7.0 * TIMES)})
    assert gm.calibrate(twin, record).table()[0].value != pytest.approx(7.0, rel=1e-2)
    starts = gm.multistart(gm.CalibrationProblem.of(twin, record), count=24)
    fit = gm.calibrate(twin, record, state=starts.best)
    assert fit.table()[0].value == pytest.approx(7.0, rel=1e-3)
    assert 1 <= starts.minima() < 24
    assert starts.z.shape == (24, 1)
    problem = gm.CalibrationProblem.of(twin, record)
    batch = _together(DEFAULT_SOLVER, jnp.asarray([[0.0], [0.4]]), problem)
    turns = _in_turn(DEFAULT_SOLVER, jnp.asarray([[0.0], [0.4]]), problem)
    np.testing.assert_allclose(batch.z, turns.z, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(batch.step, turns.step)
    with pytest.raises(ValueError, match="at least one fit, not 0"):
        gm.multistart(gm.CalibrationProblem.of(twin, record), count=0)


@pytest.mark.slow
def test_draws_of_a_nearly_normal_posterior_are_those_of_laplace():
    pytest.importorskip("blackjax")
    twin = decay()
    record = measured(twin, {"k": 1.5, "p": 2.0}, 0.02)
    fit, problem = gm.calibrate(twin, record), gm.CalibrationProblem.of(twin, record)
    steps: list[tuple[int, int]] = []
    draws = gm.sample(problem, fit, count=400, chains=4, on_step=lambda *step: steps.append(step))
    assert steps == [(i + 1, 700) for i in range(700)]
    assert draws.reliable
    assert draws.divergent == 0.0
    assert all(gm.agrees_with_laplace(draws, fit).values())
    for name, (low, high) in draws.interval().items():
        row = next(row for row in fit.table() if row.name == name)
        assert (low, high) == pytest.approx(row.interval, rel=0.03)
    with pytest.raises(ValueError, match="2 chains"):
        gm.sample(problem, fit, chains=1)


@pytest.mark.slow
def test_one_number_is_drawn():
    pytest.importorskip("blackjax")
    rate = gm.Parameter("k", gm.LogNormal(1.0, 4.0), "1/s")
    twin = gm.Twin(
        "decay", gm.Ode(Decay(k=rate, p=2.0), 0.1, EXPLICIT), [gm.OutputSensor(name="x", output="x", noise=0.02)]
    )
    record = measured(twin, {"k": 1.5}, 0.02)
    fit = gm.calibrate(twin, record)
    draws = gm.sample(gm.CalibrationProblem.of(twin, record), fit, count=400)
    assert draws.reliable
    assert draws.interval()["k"] == pytest.approx(fit.table()[0].interval, rel=0.01)


@eqx.filter_jit
def replicas(twin: gm.Twin, problem: Any, truth: jax.Array, key: jax.Array) -> Any:
    """Data made at each of many standardised truths, and the mean and covariance of the belief that a fit has then."""
    (name,), experiment = problem.experiments, problem.experiments[""]

    def one(z: jax.Array, key: jax.Array) -> Any:
        run = respond(twin, experiment.inputs, experiment.times, experiment.grid, twin.belief.values(z))
        clean = run.stacked(experiment.names)
        data = clean + twin.noise("x").std * jax.random.normal(key, clean.shape)
        mine = eqx.tree_at(lambda each: each.experiments[name].data, problem, data)

        def step(_: int, state: Any) -> Any:
            moved = DEFAULT_SOLVER.step(residual, state, mine)
            return jax.tree.map(lambda old, new: jnp.where(state.finished, old, new), state, moved)

        end = jax.lax.fori_loop(0, 60, step, DEFAULT_SOLVER.init(residual, mine.start(), mine))
        return data, end.z, _laplace(end.memory.jacobian), end.finished

    return jax.vmap(one)(truth, jax.random.split(key, len(truth)))


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform():
    """Simulation-based calibration: parameters drawn from the prior, log-normal for k and normal for p, data from them;
    Talts et al., arXiv:1804.06788.

    The rank of the truth among 99 draws of the belief is one of 100 that are equally likely: 20 bins of five hold 100
    of 2000 replicas each. Chi-square refuses at a level of 0.001 each for both parameters and for their density, so a
    right belief fails for one seed in 333; one that is an eighth too sure or unsure, or a fifth of a standard deviation
    off, fails.
    """
    count, keys = 2000, jax.random.split(jax.random.key(0), 3)
    twin, truth = decay(0.05), np.asarray(jax.random.normal(keys[0], (count, 2)))
    problem = gm.CalibrationProblem.of(twin, measured(twin, {"k": 1.0, "p": 0.0}, 0.05))
    data, mean, covariance, finished = map(np.asarray, replicas(twin, problem, jnp.asarray(truth), keys[1]))
    assert finished.all()
    for k in range(2):  # they are the fits of calibrate
        belief = gm.calibrate(twin, gm.Record(TIMES, {"x": data[k, :, 0]}, PUSH)).belief
        np.testing.assert_allclose(belief.mean, mean[k], atol=1e-6)
        np.testing.assert_allclose(belief.covariance, covariance[k], rtol=1e-4)
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, (truth - mean)[..., None])[..., 0]
    draws = np.asarray(jax.random.normal(keys[2], (count, 99, 2)))

    def worst(sure: float = 1.0, moved: float = 0.0) -> float:
        here, there = white * sure + moved, np.einsum("nij,nkj->nki", factor, draws)
        ranks = [np.sum(there[..., i] < np.einsum("nij,nj->ni", factor, here)[:, None, i], axis=1) for i in range(2)]
        ranks.append(np.sum(np.sum(draws**2, axis=2) < np.sum(here**2, axis=1)[:, None], axis=1))
        return min(scipy.stats.chisquare(np.bincount(each // 5, minlength=20)).pvalue for each in ranks)

    assert worst() > 0.001
    assert max(worst(sure=1.125), worst(sure=0.875), worst(moved=0.2), worst(moved=-0.2)) < 0.001


def test_a_run_that_fails_is_no_fit():
    """An explicit method blows up at the prior's mean."""
    rate = gm.Parameter("k", gm.LogNormal(1e4, 1.1), "1/s")
    twin = gm.Twin(
        "stiff", gm.Ode(Decay(k=rate, p=0.0), 0.1, EXPLICIT), [gm.OutputSensor(name="x", output="x", noise=0.1)]
    )
    record = gm.Record(TIMES, {"x": np.zeros(41)}, PUSH)
    with pytest.raises(
        gm.CalibrationError, match="'stiff' has no misfit to begin with: the run at the mean of the pri"
    ):
        gm.calibrate(twin, record)
    with pytest.raises(
        gm.CalibrationError, match=r"the run at the start given fails .* choose a start that can be run"
    ):
        gm.calibrate(twin, record, start=jnp.array([0.5]))
    with pytest.raises(ValueError, match="A fit of 'stiff' starts from finite numbers: that of 'k' is nan"):
        gm.calibrate(twin, record, start=jnp.array([jnp.nan]))


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ([0.0, 1.0, np.nan], "must be finite: sample 2 is at nan s"),
        ([0.0, 1.0, 1.0], "must increase: sample 2 is at 1.0 s"),
        ([0.0, 2.0, 1.0], "must increase: sample 2 is at 1.0 s"),
    ],
)
def test_a_record_names_the_sample_whose_time_is_wrong(times: list[float], sentence: str):
    with pytest.raises(ValueError, match=f"The times of a record {sentence}"):
        gm.Record(np.array(times), {"x": np.zeros(3)})


@pytest.mark.slow
def test_a_descent_that_leaves_the_finite_numbers_is_no_fit():
    """The first step of a descent with a rate of 1e3 makes the rate constant overflow."""
    record = measured(decay(), {"k": 1.5, "p": 2.0}, 0.02)
    solver = gm.GradientDescent(optax.sgd(1e3), gtol=0.0, max_steps=5)
    with pytest.raises(gm.CalibrationError, match=r"left the finite numbers at step [1-5]: take shorter steps"):
        gm.calibrate(decay(), record, solver)


def judged(values: np.ndarray, noise: float | gm.Noise = 0.02, until: float = 3.0) -> gm.Judgement:
    twin, record = decay(noise), gm.Record(TIMES, {"x": values}, PUSH)
    fitted = record.between(0.0, until)
    fit = gm.calibrate(twin, fitted)
    return gm.judge(fit, gm.forecast(fit.twin, PUSH, TIMES), record, fitted)


@pytest.mark.slow
def test_a_fit_at_its_limit_of_steps_is_usable_where_little_is_left_to_gain():
    """The expected gain is what convergence takes off the misfit; above a two-hundredth it speaks against the fit."""
    record = measured(decay(), {"k": 1.5, "p": 2.0}, 0.02, seed=4)
    fitted, states = record.between(0.0, 3.0), []
    gm.calibrate(decay(), fitted, gm.LevenbergMarquardt(0.0, 0.0, 0.0, 6), on_step=states.append)
    problem, least = gm.CalibrationProblem.of(decay(), fitted), float(states[-1].cost)
    for steps, verdict in ((3, "usable"), (2, "not usable")):
        stopped = eqx.tree_at(lambda state: state.code, states[steps], jnp.asarray(Code.MAX_STEPS, jnp.int32))
        fit = gm.conclude(problem, stopped, jnp.stack([state.cost for state in states[: steps + 1]]))
        assert fit.gain == pytest.approx(float(stopped.cost) - least, rel=0.01)
        found = gm.judge(fit, gm.forecast(fit.twin, PUSH, TIMES), record, fitted)
        assert found.verdict == verdict
        (reason,) = (line for line in found.marked if "limit of steps" in line)
        said = "+ The calibration need not go on" if verdict == "usable" else "- The calibration did not converge"
        assert reason.startswith(f"{said}: the limit of steps was reached before a tolerance was met, with an expected")
        assert f"gain of {fit.gain:.2g} in log-posterior density: " in reason


def test_a_good_twin_is_usable_and_beats_naive_guesses():
    record = measured(decay(), {"k": 1.5, "p": 2.0}, 0.02, seed=4)
    verdict = judged(np.asarray(record.readings["x"]))
    assert verdict.verdict == "usable", verdict.reasons
    held = next(score for score in verdict.scores if score.part == "held out")
    assert set(held.naive) == {"last value", "mean", "linear"}
    assert held.samples == 11
    assert held.naive["last value"] == pytest.approx(
        np.sqrt(np.mean((record.readings["x"][29] - record.readings["x"][30:]) ** 2))
    )
    assert held.gain is not None
    assert held.gain > 0.25
    assert any("under that of the best naive guess" in reason for reason in verdict.reasons)


def test_a_twin_whose_band_holds_next_to_nothing_is_not_usable_however_small_its_error():
    """Fitted well and held to be sure, but off by six times the noise in what was not fitted."""
    record = measured(decay(), {"k": 1.5, "p": 2.0}, 0.02, seed=4)
    values = np.asarray(record.readings["x"]) + np.where(TIMES > 3.0, 0.12, 0.0)
    verdict = judged(values)
    (held,) = (score for score in verdict.scores if score.part == "held out")
    assert held.gain is not None
    assert held.gain > 0.25
    assert held.coverage < 0.3
    assert verdict.verdict == "not usable"
    assert held.bias == pytest.approx(-0.12, abs=0.03)
    told = (
        f"held-out samples: how sure it says to be means nothing; on average the twin reads {-held.bias:.3g} too low."
    )
    assert any(reason.endswith(told) for reason in verdict.against)


def test_a_wrong_model_is_said_to_be_wrong():
    wave = np.cos(3 * TIMES)
    verdict = judged(wave)
    assert verdict.verdict in ("not usable", "usable with care")
    assert any("times its noise" in reason for reason in verdict.reasons)
    assert any("no white noise" in reason for reason in verdict.reasons)


def test_a_few_wrong_samples_are_told_from_a_wrong_model():
    values = np.asarray(measured(decay(), {"k": 1.5, "p": 2.0}, 0.02, seed=4).readings["x"]).copy()
    values[8] += 0.5
    twin, record = decay(), gm.Record(TIMES, {"x": values}, PUSH)
    fitted = record.between(0.0, 3.0)
    fit = gm.calibrate(twin, fitted, loss=gm.StudentT())
    run = gm.forecast(fit.twin, PUSH, TIMES)
    plain = eqx.tree_at(lambda one: one.twin, fit, fit.twin.with_loss(gm.Gaussian()))
    for taken, verdict, advice in (
        (
            plain,
            "usable with care",
            "if they are wrong, leave them out or fit with the loss 'student-t', which gives them little weight.",
        ),
        (fit, "usable", "the loss gives them little weight."),
    ):
        judgement = gm.judge(taken, run, record, fitted)
        sentence = f"3 % of the fitted samples of x lie more than 6 times its noise off: {advice}"
        assert sentence in (judgement.against if taken is plain else judgement.in_favour)
        assert f"{'-' if taken is plain else '+'} {sentence}" in judgement.marked
        assert judgement.verdict == verdict
        assert not any("the model or the noise is wrong" in reason for reason in judgement.reasons)


def test_data_that_determine_nothing_are_said_to():
    verdict = judged(np.asarray(measured(decay(), {"k": 1.5, "p": 2.0}, 0.02).readings["x"]), noise=100.0)
    assert verdict.verdict in ("not determined", "not usable")
    assert any("do not determine k, p" in reason for reason in verdict.reasons)


def test_nothing_held_out_is_said():
    verdict = judged(np.asarray(measured(decay(), {"k": 1.5, "p": 2.0}, 0.02).readings["x"]), until=9.0)
    assert verdict.verdict == "usable with care"
    assert "No data were held out: how well it predicts is not known." in verdict.reasons


def test_a_direction_in_words():
    direction = gm.Direction(0.9, 0.1, {"a": -0.6, "b": 0.75, "c": 0.1})
    assert direction.words() == "0.75 b - 0.6 a"


def bar() -> gm.Twin:
    """A rod of 1 m between 0 K and a heated end: what is measured nearer the heat tells more about it."""
    space = gm.FunctionSpace(gm.line(10), "P1")
    flux = gm.Parameter("q", gm.Normal(0.0, 10.0), "W/m^2")
    heat = gm.Heat(space, 1.0, 1.0, [gm.Dirichlet("left", 0.0), gm.Flux("right", flux)])
    return gm.Twin("bar", gm.Steady(heat), [])


@pytest.mark.slow
def test_the_most_telling_place_is_next():
    """T(x) = q x: the information of one reading with noise s is ½ log(1 + (10 x / s)²)."""
    candidates = [gm.PointSensor(name=f"x{x}", position=(x,), noise=0.5) for x in (0.2, 0.9, 0.5)]
    found = gm.next_measurements(bar(), candidates)
    assert [one.sensor for one in found] == ["x0.9", "x0.5", "x0.2"]
    for one, x in zip(found, (0.9, 0.5, 0.2), strict=True):
        assert one.information == pytest.approx(0.5 * np.log1p((10 * x / 0.5) ** 2), rel=1e-6)
        assert one.remaining["q"] == pytest.approx(1 / np.sqrt(1 + (10 * x / 0.5) ** 2), rel=1e-6)
    np.testing.assert_allclose(gm.information_of_each(bar(), candidates), [found[i].information for i in (2, 0, 1)])
    (both,) = gm.next_measurements(bar(), {"both": candidates[:2]})
    assert both.information == pytest.approx(0.5 * np.log1p((10 / 0.5) ** 2 * (0.2**2 + 0.9**2)), rel=1e-6)
    with pytest.raises(ValueError, match="no candidates"):
        gm.next_measurements(bar(), [])
    with pytest.raises(ValueError, match="Unknown parameter 'r': the twin has q"):
        gm.next_measurements(bar(), candidates, about=["r"])
    unknown = gm.Parameter("s", gm.LogNormal(1.0, 2.0))
    with pytest.raises(ValueError, match="Unknown parameter 's': the twin has q"):
        gm.next_measurements(bar(), [eqx.tree_at(lambda one: one.noise, candidates[0], gm.Noise(unknown))])


@pytest.mark.slow
def test_information_of_a_linear_twin_is_half_the_logarithm_of_a_determinant():
    """T(x) = q u x + o with an input u: J of two readings is [[10 u x, 2]], and d/du follows from the same formula."""
    places, noise = np.array([0.2, 0.9]), 0.5
    gain, shift = gm.Parameter("q", gm.Normal(0.0, 10.0)), gm.Parameter("o", gm.Normal(0.0, 2.0), "K")
    space = gm.FunctionSpace(gm.line(10), "P1")
    heat = gm.Heat(space, 1.0, 1.0, [gm.Dirichlet("left", 0.0), gm.Flux("right", gm.Input("u", gain=gain))])
    sensors = [gm.PointSensor(name=f"x{x}", position=(x,), noise=noise, offset=shift) for x in places]
    twin = gm.Twin("bar", gm.Steady(heat), sensors)

    def told(u: float) -> float:
        jacobian = np.stack([np.full(2, 2.0), 10 * u * places], axis=1) / noise
        return 0.5 * np.linalg.slogdet(np.eye(2) + jacobian.T @ jacobian)[1]

    inputs = {"u": gm.Series([0.0], [0.3])}
    value, slopes = gm.information_by_input(twin, sensors, inputs)
    assert value == pytest.approx(told(0.3), rel=1e-6)
    assert slopes["u"] == pytest.approx((told(0.301) - told(0.299)) / 0.002, rel=1e-4)
    known = twin.belief.given({"o": 1.0})
    surer = twin.with_belief(known.mean, known.covariance)
    assert float(gm.expected_information(surer, sensors, inputs)) == pytest.approx(
        0.5 * np.log1p(np.sum((10 * 0.3 * places / noise) ** 2)), rel=1e-6
    )
    with pytest.raises(ValueError, match="Parameter 'o' is known already"):
        gm.expected_information(surer, sensors, inputs, about=["o"])


@pytest.mark.slow
def test_inputs_are_improved_by_the_gradient_of_the_information():
    twin = decay()

    def information(values):
        return gm.expected_information(twin, twin.sensors, {"u": gm.Series(TIMES, values)}, TIMES, about=["p"])

    start = jnp.full(41, 0.1)
    slope = jax.grad(information)(start)
    step = 1e-4 * jnp.ones(41)
    difference = (information(start + step) - information(start - step)) / 2e-4
    assert float(slope @ jnp.ones(41)) == pytest.approx(float(difference), rel=1e-5)
    assert float(slope @ start) > 0  # more input tells more about its gain


@pytest.mark.slow
def test_inputs_of_a_transient_on_a_mesh_are_improved_in_both_modes():
    """Reverse mode over the forward mode that makes sensitivities does not go through a time loop."""
    space = gm.FunctionSpace(gm.rectangle(2, 2), "Q1")
    flux = gm.Flux("right", gm.Input("q"))
    heat = gm.Heat(space, gm.Parameter("k", gm.LogNormal(0.1, 3.0)), 1.0, conditions=[gm.Dirichlet("left", 0.0), flux])
    twin = gm.Twin("plate", gm.Transient(heat, 0.0, 0.25), [gm.PointSensor(name="a", position=(0.9, 0.5), noise=0.1)])

    def information(values):
        series = gm.Series(jnp.array([0.0, 0.5]), values)
        return gm.expected_information(twin, twin.sensors, {"q": series}, 0.25 * np.arange(5))

    start, direction = jnp.array([1.0, 0.5]), jnp.array([1.0, -2.0])
    slope = jax.grad(information)(start)
    difference = (information(start + 1e-4 * direction) - information(start - 1e-4 * direction)) / 2e-4
    assert float(slope @ direction) == pytest.approx(float(difference), rel=1e-5)
    assert float(jax.jvp(information, (start,), (direction,))[1]) == pytest.approx(float(difference), rel=1e-5)
    with pytest.raises(ValueError, match="has first derivatives only"):
        jax.jvp(jax.grad(information), (start,), (direction,))
