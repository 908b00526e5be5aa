"""Several experiments with one device: shared parameters, own ones, and the belief about an experiment to come."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import gemel as gm
from gemel.engine.calibration import DEFAULT_SOLVER, residual
from gemel.engine.calibration.experiments import belief_in, belief_in_another, joint_belief
from gemel.engine.store.checkpoints import fingerprint
from gemel.engine.twinfile import TwinFile, TwinFileError

SAMPLES = np.linspace(0.0, 2.0, 21)


def cooling(noise: Any = 0.5):
    """A body that cools towards zero, exp(-h t / 10), from a temperature of its own in every experiment."""
    loss = gm.Parameter("h", gm.LogNormal(10.0, 3.0), "W/K")
    start = gm.Parameter("start", gm.Normal(300.0, 20.0), "K")
    network = gm.ThermalNetwork(
        {"body": gm.ThermalNode(10.0, start)}, [gm.ThermalLink("body", "air", conductance=loss)], {"air": 0.0}
    )
    return gm.Twin("body", gm.LinearOde(network), [gm.OutputSensor(name="T", output="body", noise=noise, unit="K")])


def measured(h, start, seed, times=SAMPLES):
    noise = 0.5 * np.random.default_rng(seed).normal(size=len(times))
    return gm.Record(times, {"T": start * np.exp(-h * times / 10.0) + noise})


@pytest.mark.slow
def test_experiments_share_what_is_not_their_own():
    records = {"a": measured(12.0, 280.0, 0), "b": measured(12.0, 320.0, 1), "c": measured(12.0, 300.0, 2, SAMPLES[:9])}
    fit = gm.calibrate(cooling(), records, own=["start"])
    rows = {row.name: row for row in fit.table()}
    assert list(rows) == ["h", "start[a]", "start[b]", "start[c]"]
    for name, truth in {"h": 12.0, "start[a]": 280.0, "start[b]": 320.0, "start[c]": 300.0}.items():
        assert rows[name].interval[0] < truth < rows[name].interval[1], name
    for name, truth in {"a": 280.0, "b": 320.0}.items():
        values = fit.twin_in(name).belief.values()
        assert float(values["start"]) == pytest.approx(truth, abs=1.0)
        assert float(values["h"]) == pytest.approx(rows["h"].value)
    # One start for all cannot explain them.
    alone = gm.calibrate(cooling(), records)
    assert float(alone.costs[-1]) > 100 * float(fit.costs[-1])
    # Each experiment alone knows less of what they share.
    one = gm.calibrate(cooling(), records["a"]).table()[0].interval
    assert rows["h"].interval[1] - rows["h"].interval[0] < 0.8 * (one[1] - one[0])


@pytest.mark.slow
def test_an_experiment_to_come_has_the_shared_parameters_and_its_own_prior():
    fit = gm.calibrate(cooling(), {"a": measured(12.0, 280.0, 0), "b": measured(12.0, 320.0, 1)}, own=["start"])
    before, after = fit.twin.belief.prior(fit.twin.parameters), fit.twin.belief
    k, h = after.names.index("start"), after.names.index("h")
    assert float(after.mean[k]) == pytest.approx(float(before.mean[k]))
    assert float(after.covariance[k, k]) == pytest.approx(1.0)
    assert float(after.covariance[h, h]) < 1e-3
    # A forecast of it is as unsure as its start.
    band = gm.forecast(fit.twin, times=SAMPLES)
    assert float(band.parametric["T"][0]) == pytest.approx(20.0, rel=1e-3)
    assert float(gm.forecast(fit.twin_in("a"), times=SAMPLES).parametric["T"][0]) < 0.5


def test_one_experiment_is_the_record_alone():
    record = measured(12.0, 280.0, 0)
    one, named = gm.calibrate(cooling(), record), gm.calibrate(cooling(), {"a": record}, own=["start"])
    np.testing.assert_array_equal(one.belief.mean, named.twin.belief.mean)
    np.testing.assert_array_equal(named.twin_in("a").belief.covariance, one.belief.covariance)


def random_belief(count, seed):
    parameters = {f"p{i}": gm.Parameter(f"p{i}", gm.Normal(0.0, 1.0)) for i in range(count)}
    root = np.random.default_rng(seed).normal(size=(count, count))
    plain = gm.Belief.prior(parameters)
    return gm.Belief(plain.parameters, jnp.asarray(root[0]), jnp.asarray(root @ root.T + np.eye(count)))


def test_the_joint_belief_of_correlated_parameters_is_that_of_its_graph():
    # Draws: shared ones first, then own ones for each experiment given them.
    belief = random_belief(4, 3)
    joint, places = joint_belief(belief, ("a", "b"), ("p1", "p3"))
    assert joint.names == ("p0", "p1[a]", "p1[b]", "p2", "p3[a]", "p3[b]")
    for experiment in ("a", "b"):
        inside = belief_in(belief, joint, places[experiment])
        np.testing.assert_allclose(inside.covariance, belief.covariance, rtol=1e-12)
        np.testing.assert_allclose(inside.mean, belief.mean, rtol=1e-12)
    # Given what is shared, the two experiments know nothing of one another.
    precision = np.linalg.inv(np.asarray(joint.covariance))
    a, b = [1, 4], [2, 5]
    np.testing.assert_allclose(precision[np.ix_(a, b)], 0.0, atol=1e-12)
    assert np.linalg.eigvalsh(np.asarray(joint.covariance)).min() > 0


def test_a_belief_that_learnt_nothing_is_the_one_before_in_another_experiment():
    belief = random_belief(4, 4)
    joint, places = joint_belief(belief, ("a", "b"), ("p1", "p3"))
    another = belief_in_another(belief, joint, places["a"], ("p1", "p3"))
    np.testing.assert_allclose(another.mean, belief.mean, rtol=1e-10)
    np.testing.assert_allclose(another.covariance, belief.covariance, rtol=1e-10)


def test_a_belief_once_some_parameters_are_known_is_that_of_its_precision():
    """By blocks of the inverse: the covariance of the others is that of their block, whatever the values are."""
    belief = random_belief(4, 6)
    known = belief.given({"p1": 0.7, "p3": -2.0})
    again = known.given({"p1": 0.7})  # what is certain already says nothing more
    np.testing.assert_allclose(again.mean, known.mean, atol=1e-12)
    rest, at = [0, 2], [1, 3]
    precision = np.linalg.inv(np.asarray(belief.covariance))
    left = np.linalg.inv(precision[np.ix_(rest, rest)])
    off = np.array([0.7, -2.0]) - np.asarray(belief.mean)[at]
    mean = np.asarray(belief.mean)[rest] - left @ precision[np.ix_(rest, at)] @ off
    np.testing.assert_allclose(known.mean, [mean[0], 0.7, mean[1], -2.0], rtol=1e-10)
    np.testing.assert_allclose(np.asarray(known.covariance)[np.ix_(rest, rest)], left, rtol=1e-10)
    np.testing.assert_array_equal(np.asarray(known.covariance)[at], 0.0)
    # A forecast from a known start is sure of it, and of nothing else more than it was.
    twin = cooling()
    band = gm.forecast(twin, times=SAMPLES, parameters={"start": 350.0})
    assert float(band.run.readings["T"][0]) == pytest.approx(350.0)
    assert float(band.parametric["T"][0]) == pytest.approx(0.0, abs=1e-9)
    assert float(band.parametric["T"][5]) > 1.0
    with pytest.raises(ValueError, match=r"'h' cannot be -1.0 \(in SI units\): its prior rules that out"):
        gm.forecast(twin, times=SAMPLES, parameters={"h": -1.0})
    with pytest.raises(ValueError, match="Unknown parameter 'k': the twin has h, start"):
        gm.forecast(twin, times=SAMPLES, parameters={"k": -1.0})


def test_all_parameters_may_be_own_ones():
    records = {"a": measured(12.0, 280.0, 0), "b": measured(8.0, 320.0, 1)}
    fit = gm.calibrate(cooling(), records, own=["h", "start"])
    apart = {name: gm.calibrate(cooling(), record) for name, record in records.items()}
    for name, one in apart.items():
        np.testing.assert_allclose(fit.twin_in(name).belief.mean, one.belief.mean, atol=1e-4)
        np.testing.assert_allclose(fit.twin_in(name).belief.covariance, one.belief.covariance, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(fit.twin.belief.covariance, np.eye(2), atol=1e-12)


@pytest.mark.slow
def test_posteriors_of_several_experiments_are_calibrated():
    rng = np.random.default_rng(5)
    twin, quantiles = cooling(), []
    for trial in range(60):
        z = rng.normal(size=3)
        h = float(twin.parameters["h"].prior.value(jnp.asarray(z[0])))
        starts = [float(twin.parameters["start"].prior.value(jnp.asarray(one))) for one in z[1:]]
        records = {
            name: measured(h, start, 100 + 2 * trial + i)
            for i, (name, start) in enumerate(zip("ab", starts, strict=True))
        }
        fit = gm.calibrate(twin, records, own=["start"])
        spread = np.sqrt(np.diagonal(np.asarray(fit.belief.covariance)))
        quantiles.append(scipy.stats.norm.cdf((z - np.asarray(fit.belief.mean)) / spread))
    for column in np.asarray(quantiles).T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("records", "own", "sentence"),
    [
        ({}, (), "no experiments to fit"),
        ({"a": measured(12.0, 280.0, 0)}, "start", "own is a list of names, such as .'start'."),
        (measured(12.0, 280.0, 0), ("start",), "Only experiments have parameters of their own"),
        ({"a": gm.Record(SAMPLES, {"T": np.full(21, np.nan)})}, (), "no finite reading to fit 'body' to"),
        ({"a": measured(12.0, 280.0, 0)}, ("begin",), "Unknown parameter 'begin': the twin has h, start"),
        (
            {"a": measured(12.0, 280.0, 0), "b": gm.Record(SAMPLES, {"U": SAMPLES})},
            (),
            "Experiment 'b': Unknown sensor 'U'",
        ),
    ],
)
def test_experiments_that_cannot_be_fitted_are_named(records, own, sentence):
    with pytest.raises(ValueError, match=sentence):
        gm.calibrate(cooling(), records, own=own)


def test_an_experiment_that_there_was_not_is_named():
    fit = gm.calibrate(cooling(), {"a": measured(12.0, 280.0, 0)})
    with pytest.raises(ValueError, match="Unknown experiment 'z': the fit has a"):
        fit.twin_in("z")


def test_every_experiment_is_judged_by_its_own_twin():
    whole = {"a": measured(12.0, 280.0, 0), "b": measured(12.0, 320.0, 1)}
    parts = {name: record.between(0.0, 1.0) for name, record in whole.items()}
    fit = gm.calibrate(cooling(), parts, own=["start"])
    runs = {name: gm.forecast(fit.twin_in(name), times=SAMPLES) for name in whole}
    judgement = gm.judge(fit, runs, whole, parts)
    assert [(score.label, score.part) for score in judgement.scores] == [
        ("T (a)", "fitted"),
        ("T (a)", "held out"),
        ("T (b)", "fitted"),
        ("T (b)", "held out"),
    ]
    assert judgement.verdict == "usable"
    assert all(score.rmse < 1.5 for score in judgement.scores)
    assert any("held-out data of T (b)" in reason for reason in judgement.reasons)


BODY = """
name = "body"
[model]
physics = "thermal-network"
[nodes.body]
capacity = "10 J/K"
initial = "$start"
[boundaries.air]
value = "0 K"
[[links]]
between = ["body", "air"]
conductance = "$h"
[parameters.h]
median = "10 W/K"
factor = 3
[parameters.start]
mean = "300 K"
std = "20 K"
[sensors.T]
kind = "output"
output = "body"
unit = "K"
noise = "$noise"
model_error = { std = "0.1 K", correlation_time = "1 s" }
[parameters.noise]
median = "1 K"
factor = 5
[calibration]
own = ["start"]
"""
TRIAL = """
[experiments.{name}]
file = "{name}.csv"
time = {{ column = "t", unit = "s" }}
readings.T = {{ column = "T", unit = "K" }}
"""


def body(folder, text=BODY, names=("a", "b")):
    for name, seed, start in (("a", 0, 280.0), ("b", 1, 320.0)):
        record = measured(12.0, start, seed)
        rows = zip(np.asarray(record.times), np.asarray(record.readings["T"]), strict=True)
        (folder / f"{name}.csv").write_text("t,T\n" + "".join(f"{t},{value}\n" for t, value in rows))
    return TwinFile.parse(text + "".join(TRIAL.format(name=name) for name in names), folder)


@pytest.mark.slow
def test_a_twin_file_names_its_experiments(tmp_path):
    file = body(tmp_path)
    records = file.records()
    assert list(records) == ["a", "b"]
    twin = file.build()
    assert twin.sensor("T").noise.error == gm.ModelError(0.1, 1.0)
    fit = gm.calibrate(twin, records, file.solver(), own=file.calibration.own)
    found = {row.name: row for row in fit.table()}
    for name, truth in {"h": 12.0, "start[a]": 280.0, "start[b]": 320.0}.items():
        assert found[name].interval[0] < truth < found[name].interval[1], name
    assert 0.3 < found["noise"].value < 0.7
    again = body(tmp_path, BODY.replace("own = [", 'method = "l-bfgs"\nown = ['))
    assert isinstance(again.solver(), gm.LBFGS)
    other = gm.calibrate(twin, records, again.solver(), own=file.calibration.own)
    np.testing.assert_allclose(other.belief.mean, fit.belief.mean, atol=2e-3)
    with pytest.raises(TwinFileError, match="has the experiments a, b, but one record is needed"):
        file.record()
    with pytest.raises(TwinFileError, match="no one file can be given"):
        file.records(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("own = [", 'own = ["begin", ', r"calibration.own: unknown parameter 'begin': the file has h, start"),
        (
            "[calibration]",
            "[calibration]\nwindows = 4",
            "calibration.windows: .*not for 'thermal-network'",
        ),
        ("[calibration]", '[data]\nvalues.T = "1 K"\n[calibration]', "has no .data.: make it one of the experiments"),
        ('std = "0.1 K"', 'std = "0 K"', "model_error: The standard deviation of a model error must be a positive"),
        ('"1 s" }', '"1 K" }', "model_error.correlation_time"),
        ("model_error = {", 'correlation_time = "5 s"\nmodel_error = {', "beside a model error is white"),
        (
            'median = "1 K"\nfactor = 5',
            'mean = "1 K"\nstd = "1 K"',
            "model_error: The standard deviation of a noise must be positive",
        ),
        (
            'median = "1 K"\nfactor',
            'median = "1 degC"\nfactor',
            "noise: a difference is needed here: give .* in K, not",
        ),
        ('noise = "$noise"', 'noise = "0 K"', "noise: the noise must be positive, not 0 K"),
    ],
)
def test_mistakes_have_their_place(tmp_path, old, new, sentence):
    with pytest.raises(TwinFileError, match=sentence):
        body(tmp_path, BODY.replace(old, new)).build()


def test_own_parameters_and_names_of_experiments_are_checked(tmp_path):
    with pytest.raises(TwinFileError, match="only experiments have parameters of their own"):
        body(tmp_path, names=())
    with pytest.raises(TwinFileError, match="is called by letters, digits"):
        body(tmp_path, BODY + '[experiments."../up"]\nvalues.T = "1 K"\n')


@pytest.mark.slow
def test_an_own_parameter_has_a_profile():
    records = {"a": measured(12.0, 280.0, 0), "b": measured(12.0, 320.0, 1)}
    fit = gm.calibrate(cooling(), records, own=["start"])
    problem = gm.CalibrationProblem.of(cooling(), records, own=["start"])
    found = {row.name: row.interval for row in fit.table()}
    for name in ("start[a]", "start[b]"):
        profile = gm.profile_likelihood(problem, fit, name, points=4)
        np.testing.assert_allclose(np.asarray(profile.interval, float), found[name], atol=0.05)


@pytest.mark.slow
def test_experiments_with_noises_of_their_own_are_judged_by_those():
    quiet, loud = np.random.default_rng(8).normal(size=(2, len(SAMPLES)))
    twin = cooling(gm.Parameter("noise", gm.LogNormal(1.0, 10.0), "K"))
    whole = {
        name: gm.Record(SAMPLES, {"T": start * np.exp(-1.2 * SAMPLES) + error})
        for name, start, error in (("quiet", 280.0, 0.1 * quiet), ("loud", 320.0, 10.0 * loud))
    }
    parts = {name: record.between(0.0, 1.5) for name, record in whole.items()}
    fit = gm.calibrate(twin, parts, own=["start", "noise"])
    runs = {name: gm.forecast(fit.twin_in(name), times=SAMPLES) for name in whole}
    judgement = gm.judge(fit, runs, whole, parts)
    assert not [reason for reason in judgement.reasons if "times its noise" in reason]
    assert all(score.far == 0 for score in judgement.scores)


class Drift(gm.OdeSystem):
    """Two levels that fall alike, from states of their own."""

    begin: Any
    rate_: Any
    output_names: tuple[str, ...] = ("level",)

    def initial(self):
        return jnp.asarray(self.begin)

    def rate(self, t, y, inputs):
        return -self.rate_ * y

    def outputs(self, t, y, inputs):
        return {"level": y[0] + t * y[1]}


@pytest.mark.slow
def test_an_own_parameter_of_several_numbers_is_told_for_each_experiment():
    begin = gm.Parameter("begin", gm.Normal(np.zeros(2), 1.0))
    system = Drift(begin=begin, rate_=gm.Parameter("rate", gm.LogNormal(1.0, 2.0)))
    twin = gm.Twin("drift", gm.Ode(system, 0.05), [gm.OutputSensor(name="y", output="level", noise=0.01)])
    records = {
        name: gm.Record(SAMPLES, {"y": gm.simulate(twin, times=SAMPLES, parameters={"begin": start}).readings["y"]})
        for name, start in (("a", np.array([1.0, -0.5])), ("b", np.array([0.3, 0.8])))
    }
    fit = gm.calibrate(twin, records, own=["begin"])
    rows = {row.name: row for row in fit.arrays()}
    assert list(rows) == ["begin[a]", "begin[b]"]
    assert all(row.count == 2 and row.determined > 0.99 for row in rows.values())


@pytest.mark.slow
def test_held_out_samples_of_all_experiments_stop_a_fit():
    whole = {"a": measured(12.0, 280.0, 0), "b": measured(12.0, 320.0, 1), "c": measured(12.0, 300.0, 2, SAMPLES[:9])}
    parts = {name: record.between(0.0, 1.0) for name, record in whole.items()}  # all of c
    twin = cooling()
    early = gm.stopping_early(DEFAULT_SOLVER, twin, whole, parts, patience=2, own=["start"])
    problem = gm.CalibrationProblem.of(twin, parts, own=["start"])
    state, misfits = early.init(residual, problem.start(), problem), []
    while not bool(state.finished):
        z = state.memory.inner.z
        misfits.append(0.0)
        for name in ("a", "b"):
            values = twin.belief.values(z[np.asarray(problem.experiments[name].places)])
            run = np.asarray(gm.simulate(twin, {}, SAMPLES, values).readings["T"])
            misfits[-1] += 0.5 * np.sum((run - np.asarray(whole[name].readings["T"]))[10:] ** 2) / 0.5**2
        assert float(state.memory.misfit) == pytest.approx(min(misfits), rel=1e-9)
        state = early.step(residual, state, problem)
    assert len(misfits) >= 3
    with pytest.raises(ValueError, match="No sample of the record is held out"):
        gm.stopping_early(DEFAULT_SOLVER, twin, parts, parts, patience=2, own=["start"])


def test_a_point_of_another_problem_is_named():
    records = {"a": measured(12.0, 280.0, 0), "b": measured(12.0, 320.0, 1)}
    held = gm.stopping_early(DEFAULT_SOLVER, cooling(), records["a"], records["a"].between(0.0, 1.0), patience=3)
    with pytest.raises(ValueError, match="compared at 2 numbers, not at 3"):
        gm.calibrate(cooling(), records, held, own=["h"])
    with pytest.raises(ValueError, match=r"starts from 2 numbers, not from \(1,\)"):
        gm.calibrate(cooling(), records["a"], start=jnp.zeros(1))


def test_a_checkpoint_of_a_twin_whose_sensor_stands_elsewhere_is_another_one():
    space = gm.FunctionSpace(gm.box(2, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    heat = gm.Heat(space, gm.Parameter("k", gm.LogNormal(10.0, 3.0)), None, [gm.Convection("left", 5.0, 300.0)])

    def mark(x):
        twin = gm.Twin("bar", gm.Steady(heat), [gm.PointSensor(name="T", position=(x, 0.5, 0.5), noise=0.5)])
        return fingerprint(gm.CalibrationProblem.of(twin, gm.Record(None, {"T": 301.0})), DEFAULT_SOLVER)

    assert mark(0.2) == mark(0.2)
    assert mark(0.2) != mark(0.8)
