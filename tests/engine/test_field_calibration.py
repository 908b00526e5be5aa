"""Whole fields from readings: the prior's spread and correlation, exact posteriors, a conductivity found again."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.observations import FieldObservation
from gemel.solvers import Code


def square(n: int) -> gm.FunctionSpace:
    return gm.FunctionSpace(gm.rectangle(n, n), "Q1")


def prior_matrix(prior: gm.MaternPrior) -> np.ndarray:
    """A with u = mean + A ξ."""
    return np.asarray(jax.vmap(prior.field)(jnp.eye(prior.count)) - prior.mean).T


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_prior_has_the_spread_and_the_length_that_it_says(dim: int):
    mesh = {1: lambda: gm.line(100), 2: lambda: gm.rectangle(30, 30), 3: lambda: gm.box(12, 12, 12)}[dim]()
    length = {1: 0.2, 2: 0.3, 3: 0.5}[dim]
    space = gm.FunctionSpace(mesh, "P1" if dim == 1 else "Q1")
    prior = gm.MaternPrior.of(space, 2.0, 0.5, length)
    matrix = prior_matrix(prior)
    variance = np.sum(matrix**2, axis=1)
    points = np.asarray(mesh.points)
    middle = int(np.argmin(np.linalg.norm(points - 0.5, axis=1)))
    apart = int(np.argmin(np.linalg.norm(points - points[middle] - np.eye(dim)[0] * length, axis=1)))
    assert np.sqrt(variance[middle]) == pytest.approx(0.5, rel=0.12)
    correlation = matrix[apart] @ matrix[middle] / np.sqrt(variance[apart] * variance[middle])
    assert correlation == pytest.approx(0.13, abs=0.07)
    edge = int(np.argmin(np.linalg.norm(points - np.where(np.arange(dim) == 0, 0.0, 0.5), axis=1)))
    assert np.sqrt(variance[edge]) == pytest.approx(0.5, rel=0.12)
    assert float(prior.field(jnp.zeros(prior.count))[0]) == 2.0


@pytest.mark.slow
def test_the_posterior_of_a_linear_response_is_exact():
    prior = gm.MaternPrior.of(square(6), 1.0, 0.5, 0.5)
    observed, noise = np.asarray([3, 12, 30, 31, 44]), np.asarray([0.1, 0.2, 0.1, 0.3, 0.1])
    data = np.asarray([1.2, 0.7, 1.5, 1.4, 0.2])
    fit = gm.calibrate_field(prior, lambda values, at: values[at], data, noise, jnp.asarray(observed))
    matrix = prior_matrix(prior)
    covariance = matrix @ matrix.T
    gain = covariance[:, observed] @ np.linalg.inv(covariance[np.ix_(observed, observed)] + np.diag(noise**2))
    np.testing.assert_allclose(fit.field(), 1.0 + gain @ (data - 1.0), atol=1e-6)
    exact = np.sqrt(np.diag(covariance - gain @ covariance[observed]))
    np.testing.assert_allclose(fit.std(400), exact, rtol=0.15)
    assert fit.status.worst() == Code.SUCCESS
    assert int(jnp.sum(fit.information > 1)) == 5


def conduction(space: gm.FunctionSpace, count: int) -> tuple[Any, tuple[Any, ...]]:
    """The readings of sensors at random places for the logarithm of a conductivity, and what they need."""
    rng = np.random.default_rng(0)
    sensors = [
        gm.PointSensor(name=f"s{i}", position=tuple(p), noise=0.01)
        for i, p in enumerate(rng.uniform(0.05, 0.95, (count, 2)))
    ]
    conductivity = gm.FieldCoefficient(space, jnp.ones(space.n_dofs))
    heat = gm.Heat(space, conductivity, conditions=[gm.Dirichlet("boundary", 0.0), gm.HeatSource("all", 20.0)])
    steady = gm.Steady(heat, rtol=1e-10)

    def response(values, args):
        steady, state, observation = args
        coefficient = gm.FieldCoefficient(space, jnp.exp(values))
        here = eqx.tree_at(lambda s: s.physics.problem.contributions[0].form.coefficient, steady, coefficient)
        return observation.read(here.solve(state).value)

    return response, (steady, steady.prepare(), FieldObservation.of(space, sensors))


def found_again(n: int, count: int) -> tuple[np.ndarray, gm.FieldFit]:
    """A conductivity drawn from the prior, and what readings with 1 % of noise say about it."""
    space = square(n)
    prior = gm.MaternPrior.of(space, 0.0, 0.7, 0.4)
    truth = prior.draws(jax.random.key(7), 1)[0]
    response, args = conduction(space, count)
    clean = np.asarray(response(truth, args))
    noise = 0.01 * clean.std()
    data = clean + noise * np.random.default_rng(1).standard_normal(count)
    return np.asarray(truth), gm.calibrate_field(prior, response, data, noise, args)


def check(truth: np.ndarray, fit: gm.FieldFit) -> None:
    error, spread = np.asarray(fit.field()) - truth, np.asarray(fit.std())
    assert np.sqrt(np.mean(error**2)) < min(0.75 * np.sqrt(np.mean(truth**2)), 1.3 * spread.mean())
    assert 0.85 < np.mean(np.abs(error) < 1.96 * spread) <= 1.0
    assert fit.status.worst() == Code.SUCCESS
    assert np.all(np.diff(np.asarray(fit.costs)) < 0)


@pytest.mark.slow
def test_a_conductivity_of_ten_thousand_numbers_is_found_from_sixty_readings():
    truth, fit = found_again(99, 60)
    assert fit.prior.count == 10_000
    check(truth, fit)


@pytest.mark.slow
def test_a_conductivity_is_found_from_few_readings():
    check(*found_again(20, 40))


@pytest.mark.slow
def test_what_cannot_be_calibrated_is_said():
    space = square(8)
    with pytest.raises(ValueError, match=r"positive std and length, not 0.0 and 1.0 m"):
        gm.MaternPrior.of(space, 0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="one number at a place, not 2"):
        gm.MaternPrior.of(gm.FunctionSpace(gm.rectangle(4, 4), "Q1", (2,)), 0.0, 1.0, 1.0)
    prior = gm.MaternPrior.of(space, 0.0, 1.0, 0.5)
    with pytest.raises(ValueError, match="must be finite"):
        gm.calibrate_field(prior, lambda values, _: values[:2], np.asarray([1.0, np.nan]), 0.1)
    with pytest.raises(gm.CalibrationError, match="not finite"):
        gm.calibrate_field(prior, lambda values, _: jnp.log(values[:2]), np.ones(2), 0.1)
    with pytest.raises(gm.CalibrationError, match="does not follow the field"):
        gm.calibrate_field(prior, lambda values, _: 0.0 * values[:2], np.ones(2), 0.1)
