"""Twins with laws that a network learns: the law, what is not known of it, its place in every use of a belief."""

from pathlib import Path
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.calibration import residual
from gemel.engine.coefficients import drive
from gemel.engine.results import fit_figures, load_belief, save_belief
from gemel.engine.store.checkpoints import resumable_calibrate

TIMES = np.arange(0.0, 12000.0, 40.0)
POWER = {"power": gm.Series(np.arange(16) * 750.0, np.random.default_rng(0).uniform(0.0, 40.0, 16))}
NOISE = 0.1
LEVENBERG = gm.LevenbergMarquardt(gtol=1e-4, ftol=1e-4, xtol=1e-6, max_steps=60)


class Heater(gm.OdeSystem):
    """C T' = P - T (loss + law(T)), with T over the room's temperature and T(0) = 0."""

    capacity: Any
    loss: Any
    law: Any = None
    power: Any = gm.Input("power")
    output_names: tuple[str, ...] = eqx.field(static=True, default=("T",))

    def initial(self):
        return jnp.zeros(1)

    def rate(self, t, y, inputs):
        missing = 0.0 if self.law is None else self.law(y[0])
        return (drive(self.power, inputs) - y * (self.loss + missing)) / self.capacity

    def outputs(self, t, y, inputs):
        return {"T": y[0]}


def heater(capacity: Any, loss: Any, law: Any = None) -> gm.Twin:
    analysis = gm.Ode(Heater(capacity, loss, law), 20.0, diffrax.Tsit5(scan_kind="bounded"))
    return gm.Twin("heater", analysis, [gm.OutputSensor(name="T", output="T", noise=NOISE, unit="K")])


def conductance(rise):
    """Natural convection from a plate and radiation, W/K, at a rise over a room of 293 K."""
    radiation = 1.0e-9 * ((rise + 293.0) ** 4 - 293.0**4)
    return 0.15 * jnp.cbrt(rise) + radiation / jnp.maximum(rise, 1e-9)


def unknown(law: Any = None) -> gm.Twin:
    capacity = gm.Parameter("capacity", gm.LogNormal(400.0, 3.0), "J/K")
    return heater(capacity, gm.Parameter("loss", gm.LogNormal(0.5, 3.0), "W/K"), law)


def network(width: int = 6) -> gm.NeuralTerm:
    return gm.NeuralTerm.between("law", 0.0, 100.0, scale=0.3, width=width)


@pytest.fixture(scope="module")
def record() -> gm.Record:
    clean = np.asarray(gm.simulate(heater(500.0, 0.0, conductance), POWER, TIMES).readings["T"])
    return gm.Record(TIMES, {"T": clean + NOISE * np.random.default_rng(1).standard_normal(len(TIMES))}, POWER)


@pytest.fixture(scope="module")
def hybrid(record: gm.Record) -> gm.Fit:
    return gm.calibrate(unknown(network()), record.between(0.0, 6000.0), LEVENBERG)


def held_out_error(fit: gm.Fit, record: gm.Record) -> float:
    run = gm.simulate(fit.twin, POWER, TIMES).readings["T"]
    return float(np.sqrt(np.mean((np.asarray(run) - record.readings["T"])[TIMES >= 6000.0] ** 2)))


@pytest.mark.slow
def test_a_law_that_is_missing_is_learnt_with_the_physical_parameters(record: gm.Record, hybrid: gm.Fit):
    """Physics alone, a constant loss, misses by twenty times the noise; the hybrid is at the noise."""
    plain = gm.calibrate(unknown(), record.between(0.0, 6000.0), LEVENBERG)
    assert held_out_error(plain, record) > 10 * NOISE
    assert held_out_error(hybrid, record) < 1.3 * NOISE
    values = {row.name: row for row in hybrid.table()}
    assert values["capacity"].interval[0] < 500.0 < values["capacity"].interval[1]
    rises = jnp.linspace(10.0, 48.0, 20)  # the fitted samples go up to 48 K
    loss, _ = law_of(hybrid, rises)
    np.testing.assert_allclose(loss, conductance(rises), rtol=0.02)


def law_of(fit: gm.Fit, rises: Any) -> tuple[np.ndarray, np.ndarray]:
    law = network()
    found = fit.twin.belief.push(lambda values: values["loss"] + jax.vmap(gm.bind(law, values))(rises))
    return np.asarray(found[0]), np.asarray(found[1])


@pytest.mark.slow
def test_the_band_says_where_the_law_is_not_known(record: gm.Record, hybrid: gm.Fit):
    inside, outside = jnp.linspace(5.0, 48.0, 20), jnp.linspace(60.0, 100.0, 9)
    assert law_of(hybrid, inside)[1].max() < 0.02
    loss, std = law_of(hybrid, outside)
    assert np.all(np.diff(std) > 0)
    assert std[-1] > 0.1
    assert np.all(np.abs(loss - conductance(outside)) < 2 * std)
    run = gm.forecast(hybrid.twin, POWER, TIMES)
    assert 0.9 < run.coverage("T", record.readings["T"]) <= 1.0


@pytest.mark.slow
def test_before_data_the_model_is_physics_alone_and_the_law_has_the_spread_that_was_said():
    term = gm.NeuralTerm.between("law", [0.0, -1.0], [2.0, 1.0], scale=[3.0, 0.5], width=20, depth=2)
    belief = gm.Belief.prior(gm.parameters_of(term))
    x = jnp.asarray(np.random.default_rng(0).uniform([0.0, -1.0], [2.0, 1.0], (50, 2)))
    value, std = belief.push(lambda values: jax.vmap(gm.bind(term, values))(x))
    np.testing.assert_array_equal(value, 0.0)
    np.testing.assert_allclose(std, np.broadcast_to([3.0, 0.5], (50, 2)), rtol=0.4)
    draws = jax.vmap(lambda z: gm.bind(term, belief.values(z))(x[0]))(
        jax.random.normal(jax.random.key(0), (4000, len(belief.mean)))
    )
    np.testing.assert_allclose(jnp.std(draws, axis=0), [3.0, 0.5], rtol=0.3)


def test_any_callable_pytree_is_a_network():
    """With its own weights as the mean of the prior it gives what it gave; activations are no weights."""
    mlp = eqx.nn.MLP(2, "scalar", 5, 2, key=jax.random.key(1))
    term = gm.NeuralTerm("net", mlp, 0.5)
    count = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(mlp, eqx.is_inexact_array)))
    assert gm.parameters_of(term)["net"].shape == (count,)
    values = gm.Belief.prior(gm.parameters_of(term)).values()
    x = jnp.array([0.3, -0.7])
    np.testing.assert_allclose(gm.bind(term, values)(x), mlp(x), rtol=1e-6)
    again = gm.NeuralTerm("net", eqx.nn.MLP(2, "scalar", 5, 2, key=jax.random.key(2)), 0.5)
    assert jax.tree.structure(gm.bind(term, values)) == jax.tree.structure(gm.bind(again, values))


def test_gradients_by_weights_have_taylor_remainders_of_second_order():
    twin = unknown(network())
    problem = gm.CalibrationProblem.of(twin, gm.Record(TIMES[:20], {"T": TIMES[:20] / 50.0}, POWER))
    rng = np.random.default_rng(3)
    z, direction = (jnp.asarray(rng.standard_normal(len(twin.belief.mean))) for _ in range(2))
    cost = jax.jit(lambda z: 0.5 * jnp.sum(residual(z, problem) ** 2))
    slope = float(jax.grad(cost)(z) @ direction)
    remainders = [float(cost(z + h * direction) - cost(z)) - h * slope for h in (1e-3, 5e-4)]
    assert np.log2(remainders[0] / remainders[1]) == pytest.approx(2.0, abs=0.1)


def test_tables_list_numbers_and_one_line_for_the_weights(hybrid: gm.Fit):
    assert [row.name for row in hybrid.table()] == ["capacity", "loss"]
    (weights,) = hybrid.arrays()
    assert (weights.name, weights.count) == ("law", 19)
    assert weights.determined == pytest.approx(1 - np.mean(np.diagonal(hybrid.twin.belief.covariance)[1:20]))
    assert 0.05 < weights.determined < 0.95
    assert fit_figures(hybrid)["arrays"]["law"]["count"] == 19
    directions = gm.identifiability(hybrid.prior, hybrid.twin.belief)
    assert [set(d.weights) for d in directions] == [{"capacity", "loss"}] * 2


def test_a_belief_about_weights_comes_back_from_a_file(tmp_path: Path, hybrid: gm.Fit):
    belief = hybrid.twin.belief
    save_belief(tmp_path / "belief.json", belief)
    read = load_belief(tmp_path / "belief.json", hybrid.prior)
    np.testing.assert_array_equal(read.mean, belief.mean)
    np.testing.assert_array_equal(read.covariance, belief.covariance)
    wider = unknown(network(width=7)).belief
    with pytest.raises(ValueError, match=r"has 21 numbers for capacity, law, loss: the twin has 24"):
        load_belief(tmp_path / "belief.json", wider)


def test_a_belief_is_of_the_prior_that_it_was_found_with(tmp_path: Path):
    """Its numbers are relative to that one; one that is written otherwise but is the same will do."""
    priors = (gm.LogNormal(5.0, 2.0), gm.LogNormal(6.0, 2.0), gm.LogNormal(5.0, 2.5), gm.Normal(5.0, 1.0))
    first, *others = (gm.Belief.prior({"power": gm.Parameter("power", prior, "W")}) for prior in priors)
    save_belief(tmp_path / "belief.json", first)
    np.testing.assert_array_equal(load_belief(tmp_path / "belief.json", first).mean, first.mean)
    for other in others:
        with pytest.raises(ValueError, match="found with another prior of power"):
            load_belief(tmp_path / "belief.json", other)


def test_information_of_experiments_and_profiles_know_their_parameters(record: gm.Record, hybrid: gm.Fit):
    twin = hybrid.twin
    told = [float(gm.expected_information(twin, twin.sensors, POWER, TIMES, about=[name])) for name in ("law", "loss")]
    assert told[0] > 0
    assert told[1] > 0
    problem = gm.CalibrationProblem.of(unknown(network()), record.between(0.0, 6000.0))
    with pytest.raises(ValueError, match="along one number, and 'law' is 19: the twin has capacity, loss"):
        gm.profile_likelihood(problem, hybrid, "law")


def test_terms_that_cannot_be_used_are_named():
    with pytest.raises(ValueError, match="weights of 'law' have no values"):
        network()(1.0)
    with pytest.raises(ValueError, match="no arrays of floating numbers"):
        gm.NeuralTerm("net", jnp.tanh, 1.0)
    with pytest.raises(ValueError, match="has 4 arrays of weights, not 3"):
        gm.NeuralTerm("net", eqx.nn.MLP(1, 1, 2, 1, key=jax.random.key(0)), [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="need low < high"):
        gm.NeuralTerm.between("net", 1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"positive scale, width and depth, not 0\.0, 16 and 1"):
        gm.NeuralTerm.between("net", 0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="network of 1 inputs was given 2"):
        gm.bind(network(), {"law": jnp.zeros(19)})(jnp.zeros(2))


@pytest.mark.parametrize("prior", [gm.LogNormal, gm.Normal])
def test_priors_of_arrays_are_those_of_their_numbers(prior: Any):
    joint, z = prior(np.array([1.0, 2.0, 3.0]), 1.5), jnp.array([-1.0, 0.2, 0.7])
    assert joint.shape == (3,)
    apart = [prior(m, 1.5).value(z[i]) for i, m in enumerate((1.0, 2.0, 3.0))]
    np.testing.assert_allclose(joint.value(z), apart, rtol=1e-14)
    np.testing.assert_allclose(joint.standardise(joint.value(z)), z, atol=1e-12)
    belief = gm.Belief.prior({"w": gm.Parameter("w", joint)})
    assert belief.labels == ("w[0]", "w[1]", "w[2]")
    low, high = belief.interval()["w"]
    np.testing.assert_allclose(low, joint.value(jnp.full(3, -1.959963984540054)))
    np.testing.assert_allclose(high, joint.value(jnp.full(3, 1.959963984540054)))


def test_a_prior_of_an_array_refuses_one_bad_number():
    with pytest.raises(ValueError, match="must be positive"):
        gm.Normal(np.zeros(2), np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="needs low < high"):
        gm.Uniform(np.array([0.0, 2.0]), 1.0)


@pytest.mark.slow
def test_a_fit_that_is_stopped_early_is_where_held_out_samples_are_met_best(record: gm.Record, tmp_path: Path):
    part, all_of_it = record.between(0.0, 3000.0), record.between(0.0, 6000.0)
    twin, inner = unknown(network()), gm.LBFGS(gtol=1e-4, ftol=0.0, max_steps=40)
    solver = gm.stopping_early(inner, twin, all_of_it, part, patience=4)
    problem = gm.CalibrationProblem.of(twin, part)
    state = solver.init(residual, problem.start(), problem)
    errors, held = [], np.asarray(all_of_it.times) >= 3000.0
    while not bool(state.finished):
        values = twin.belief.values(state.z)
        run = np.asarray(gm.simulate(twin, POWER, all_of_it.times, values).readings["T"])
        errors.append(float(np.sum((run - np.asarray(all_of_it.readings["T"]))[held] ** 2)))
        state = solver.step(residual, state, problem)
    assert float(state.memory.misfit) == pytest.approx(min(errors) / (2 * NOISE**2), rel=1e-6)
    # The same by calibrate, killed after three steps and resumed from its file.
    path = tmp_path / "checkpoint.npz"

    class Killed(Exception):
        pass

    def kill(state: Any) -> None:
        if int(state.step) == 3:
            raise Killed

    with pytest.raises(Killed):
        resumable_calibrate(twin, part, solver, None, path, on_step=kill)
    resumed: list[int] = []
    fit = resumable_calibrate(twin, part, solver, None, path, on_resume=lambda state: resumed.append(int(state.step)))
    assert resumed == [3]
    np.testing.assert_allclose(fit.twin.belief.mean, state.z, atol=1e-9)
    with pytest.raises(ValueError, match="No sample of the record is held out"):
        gm.stopping_early(inner, twin, part, part, patience=4)


@pytest.mark.slow
def test_a_conductivity_that_varies_with_temperature_is_learnt_in_a_finite_element_transient():
    """A bar that is heated at one end: three sensors show how its conductivity falls from 18 to 7 W/m/K."""
    times = np.arange(0.0, 601.0, 10.0)
    flux = {"flux": gm.Series([0.0, 150.0, 300.0, 450.0], [3e4, 1e4, 4e4, 0.0])}
    space = gm.FunctionSpace(gm.line(10, length=0.06), "P1")

    def bar(conductivity: Any) -> gm.Twin:
        loads = [gm.Flux("left", gm.Input("flux")), gm.Convection("right", 300.0, 300.0)]
        heat = gm.Heat(space, conductivity, 2e6, loads)
        sensors = [gm.PointSensor(name=f"T{i}", position=(x,), noise=0.2) for i, x in enumerate((0.0, 0.018, 0.036))]
        return gm.Twin("bar", gm.Transient(heat, 300.0, 10.0), sensors)

    def truth(u, x):
        return 12.0 - 6.0 * jnp.tanh((u - 380.0) / 40.0)

    clean = gm.simulate(bar(gm.Law(truth)), flux, times).checked().readings
    rng = np.random.default_rng(0)
    record = gm.Record(times, {n: np.asarray(v) + 0.2 * rng.standard_normal(61) for n, v in clean.items()}, flux)
    k = gm.Parameter("k", gm.LogNormal(10.0, 3.0), "W/m/K")
    law = gm.NeuralTerm.between("law", 300.0, 600.0, scale=0.7, width=5)
    fits = {
        name: gm.calibrate(bar(conductivity), record.between(0.0, 400.0), LEVENBERG)
        for name, conductivity in (
            ("plain", k),
            ("hybrid", gm.Law(lambda u, x, k, law: k * jnp.exp(law(u)), (k, law))),
        )
    }
    errors = {}
    for name, fit in fits.items():
        run = gm.simulate(fit.twin, flux, times).readings
        errors[name] = max(float(jnp.sqrt(jnp.mean((run[s] - clean[s])[times >= 400.0] ** 2))) for s in clean)
    assert errors["hybrid"] < 0.1 * errors["plain"]
    seen, unseen = jnp.linspace(305.0, 430.0, 11), jnp.array([550.0, 600.0])
    found, std = fits["hybrid"].twin.belief.push(
        lambda values: jnp.log(values["k"]) + jax.vmap(gm.bind(law, values))(jnp.concatenate([seen, unseen]))
    )
    np.testing.assert_allclose(np.exp(found[:11]), truth(seen, 0.0), rtol=0.03)
    assert float(std[:11].max()) < 0.05
    assert float(std[11:].min()) > 0.3


@pytest.mark.slow
def test_a_field_on_a_mesh_is_a_parameter_of_a_twin():
    """A steady conductivity field with a Matérn prior, seen by four sensors: the same minimum as by `calibrate_field`,
    which works in the space of the data.
    """
    space = gm.FunctionSpace(gm.rectangle(4, 4), "Q1")
    prior = gm.MaternPrior.of(space, mean=0.0, std=0.5, length=0.5)
    z = jax.random.normal(jax.random.key(0), (25,))
    np.testing.assert_allclose(prior.standardise(prior.value(z)), z, atol=1e-5)
    field = gm.FieldCoefficient(space, gm.Parameter("source", prior, "W/m^3"))
    heat = gm.Heat(space, 1.0, conditions=[gm.Dirichlet("boundary", 0.0), gm.HeatSource("all", field)])
    places = [(0.25, 0.25), (0.5, 0.5), (0.75, 0.25), (0.5, 0.75)]
    sensors = [gm.PointSensor(name=f"s{i}", position=place, noise=1e-3) for i, place in enumerate(places)]
    twin = gm.Twin("plate", gm.Steady(heat, rtol=1e-11), sensors)
    truth = prior.draws(jax.random.key(3), 1)[0]
    readings = gm.simulate(twin, parameters={"source": truth}).readings
    fit = gm.calibrate(twin, gm.Record(None, dict(readings)), gm.LevenbergMarquardt(1e-8, 1e-12, 1e-12, 40))
    (row,) = fit.arrays()
    assert row.count == 25
    assert fit.table() == []

    def response(values, args):
        return gm.simulate(twin, parameters={"source": values}).stacked()

    found = gm.calibrate_field(prior, response, jnp.stack(list(readings.values())), 1e-3)
    np.testing.assert_allclose(fit.twin.belief.values()["source"], found.field(), atol=1e-4)
    low, high = fit.twin.belief.interval()["source"]
    np.testing.assert_allclose((high - low) / 3.92, found.std(400), rtol=0.15)
