"""Calibrations with more parameters than readings: the same results at the cost of the readings."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.calibration.fit import laplace, linearised
from gemel.engine.calibration.problem import CalibrationProblem, cheaper_mode, data_residual, prior_residual, residual

SOLVER = gm.LevenbergMarquardt(gtol=1e-5, ftol=1e-9, xtol=1e-9, max_steps=30)


def plate(n: int, count: int) -> tuple[gm.Twin, gm.MaternPrior, gm.Record]:
    """A heated plate whose conductivity varies from place to place, and its temperature at ``count``² places."""
    space = gm.FunctionSpace(gm.rectangle(n, n), "Q1")
    prior = gm.MaternPrior.of(space, mean=1.0, std=0.15, length=0.5)
    conductivity = gm.FieldCoefficient(space, gm.Parameter("k", prior, "W/m/K"))
    heat = gm.Heat(space, conductivity, conditions=[gm.Dirichlet("boundary", 0.0), gm.HeatSource("all", 20.0)])
    at = (np.arange(count) + 1.0) / (count + 1)
    places = [(float(x), float(y)) for x in at for y in at]
    sensors = [gm.PointSensor(name=f"T{i}", position=place, noise=0.01) for i, place in enumerate(places)]
    twin = gm.Twin("plate", gm.Steady(heat, rtol=1e-11), sensors)
    truth = prior.draws(jax.random.key(3), 1)[0]
    readings = gm.simulate(twin, parameters={"k": truth}).checked().readings
    rng = np.random.default_rng(0)
    noisy = {name: float(value) + 0.01 * rng.standard_normal() for name, value in readings.items()}
    return twin, prior, gm.Record(None, noisy)


def all_rows(z, problem):
    """The residual of which nothing is known."""
    return jnp.concatenate([data_residual(z, problem), prior_residual(z, problem)])


@pytest.mark.slow
def test_few_readings_of_many_parameters_give_the_same_fit_in_the_space_of_the_data():
    """From the prior, and from the belief after one fit, which is correlated."""
    twin, _, record = plate(6, 3)
    for _ in range(2):
        problem = CalibrationProblem.of(twin, record)
        before = gm.LevenbergMarquardt(SOLVER.gtol, SOLVER.ftol, SOLVER.xtol, SOLVER.max_steps, "forward")
        fit = gm.calibrate(twin, record, SOLVER)
        plain = before.init(all_rows, problem.start(), problem)
        costs = [plain.cost]
        while not bool(plain.finished):
            plain = before.step(all_rows, plain, problem)
            costs.append(plain.cost)
        assert fit.status.worst() is gm.Code.SUCCESS
        np.testing.assert_allclose(fit.costs, jnp.stack(costs), rtol=1e-7)
        np.testing.assert_allclose(fit.belief.mean, plain.z, atol=1e-6)
        np.testing.assert_allclose(
            fit.belief.covariance, laplace(all_rows, *linearised(all_rows, plain, problem))[0], atol=1e-6
        )
        twin = fit.twin


@pytest.mark.slow
def test_a_model_is_not_traced_to_count_rows_where_there_are_many_samples():
    twin, _, record = plate(6, 3)
    assert cheaper_mode(CalibrationProblem.of(twin, record)) == "cheapest"
    assert cheaper_mode(CalibrationProblem.of(twin, {str(i): record for i in range(4)})) == "forward"


@pytest.mark.slow
def test_the_misfit_and_its_derivatives_by_adjoints_pass_a_taylor_test():
    twin, _, record = plate(6, 2)
    problem = CalibrationProblem.of(twin, record)
    z, direction = 0.3 * jax.random.normal(jax.random.key(1), (2, 49))
    state = SOLVER.init(residual, z, problem)
    at = jax.jit(lambda h: residual(z + h * direction, problem))
    left = [float(jnp.linalg.norm(at(h) - at(0.0) - h * state.memory.jacobian @ direction)) for h in (0.1, 0.05, 0.025)]
    np.testing.assert_allclose(np.log2(np.asarray(left[:-1]) / left[1:]), 2.0, atol=0.1)


@pytest.mark.slow
def test_a_field_of_a_thousand_numbers_is_fitted_from_tens_of_readings():
    """The same minimum and the same spread as by `calibrate_field`."""
    twin, prior, record = plate(32, 5)
    assert prior.count == 1089
    fit = gm.calibrate(twin, record, SOLVER)
    assert fit.status.worst() is gm.Code.SUCCESS

    def response(values, twin):
        return gm.simulate(twin, parameters={"k": values}).stacked()

    data = np.asarray(list(record.readings.values()))
    found = gm.calibrate_field(prior, response, data, 0.01, twin, ftol=1e-9)
    np.testing.assert_allclose(fit.belief.mean, found.xi, atol=1e-4)
    np.testing.assert_allclose(fit.costs[-1], found.costs[-1], rtol=1e-8)
    modes, information = np.asarray(found.modes), np.asarray(found.information)
    covariance = np.eye(1089) - modes.T @ np.diag(information / (1.0 + information)) @ modes
    np.testing.assert_allclose(fit.belief.covariance, covariance, atol=1e-4)


class Decay(gm.OdeSystem):
    """y' = -k(y), many numbers in k and three readings."""

    law: Any = None
    output_names: tuple[str, ...] = eqx.field(static=True, default=("y",))

    def initial(self):
        return jnp.ones(1)

    def rate(self, t, y, inputs):
        return -y * jnp.exp(self.law(y[0]))

    def outputs(self, t, y, inputs):
        return {"y": y[0]}


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [diffrax.ForwardMode(), diffrax.RecursiveCheckpointAdjoint()])
def test_an_adaptive_ode_is_calibrated_in_the_mode_that_it_allows(adjoint):
    law = gm.NeuralTerm.between("law", 0.0, 1.0, scale=0.5, width=4)
    analysis = gm.AdaptiveOde(Decay(law=law), 1e-8, 1e-10, adjoint=adjoint)
    twin = gm.Twin("decay", analysis, [gm.OutputSensor(name="y", output="y", noise=0.01)])
    times = np.asarray([0.0, 0.5, 1.0, 2.0])
    record = gm.Record(times, {"y": np.asarray([np.nan, 0.5, 0.3, 0.15])})
    fit = gm.calibrate(twin, record)
    assert len(fit.belief.mean) == 13
    run = np.asarray(gm.simulate(fit.twin, {}, times).readings["y"])
    np.testing.assert_allclose(run[1:], [0.5, 0.3, 0.15], atol=0.02)
