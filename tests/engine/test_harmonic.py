"""Harmonic response: a block on springs and dashpots, a bar on a shaken base, derivatives, sensors."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.solvers import DenseDirect, DenseOperator, HarmonicDirect, HarmonicOperator

SIDE = 0.5


def block(spring, dashpot=0.0, load=3.0, density=2.0):
    """A stiff square on a bed of springs and dashpots under its lower side: one degree of freedom."""
    space = gm.FunctionSpace(gm.rectangle(1, 1, size=(SIDE, SIDE)), "Q1", (2,))
    conditions = [
        gm.Dirichlet("left", 0.0, component=0),
        gm.Dirichlet("right", 0.0, component=0),
        gm.ElasticSupport("bottom", spring),
        gm.Traction("top", gm.Vector((0.0, load))),
    ]
    dampings = [gm.Dashpots("bottom", dashpot)]
    return gm.Elasticity(space, 1e9, 0.0, density, conditions, kinematics="plane strain", dampings=dampings)


def test_a_block_on_springs_and_dashpots():
    """û = F / (k − ω²m + iωc + iηk); at resonance only the damping holds it."""
    spring, dashpot, load, mass = 40.0 * SIDE, 0.9 * SIDE, 3.0 * SIDE, 2.0 * SIDE**2
    own = np.sqrt(spring / mass) / (2 * np.pi)
    frequencies = own * np.array([0.0, 0.5, 1.0, 1.7])
    analysis = gm.Harmonic(block(40.0, 0.9), frequencies, rayleigh=(0.2, 1e-10))
    found, u = gm.response(analysis).checked()
    omega = 2 * np.pi * frequencies
    exact = load / (spring - omega**2 * mass + 1j * omega * (dashpot + 0.2 * mass))
    np.testing.assert_allclose(found, frequencies)
    np.testing.assert_allclose(u[:, :, 1], np.repeat(exact[:, None], 4, axis=1), rtol=2e-6)
    np.testing.assert_allclose(u[:, :, 0], 0.0, atol=1e-12)


def shaken(youngs: Any = 8.0, density: Any = 2.0):
    """A bar of length 2 whose left end is shaken with the amplitude of the input."""
    space = gm.FunctionSpace(gm.rectangle(10, 1, size=(2.0, 0.1)), "Q2", (2,))
    conditions = [
        gm.Dirichlet("bottom", 0.0, component=1),
        gm.Dirichlet("top", 0.0, component=1),
        gm.Dirichlet("left", gm.Input("shake"), component=0),
    ]
    return gm.Elasticity(space, youngs, 0.0, density, conditions, kinematics="plane strain")


SHAKE = {"shake": gm.Series([0.0], [0.3])}
TIP = gm.PointSensor(name="tip", position=(2.0, 0.05), noise=1e-3)


@pytest.mark.slow
def test_a_bar_on_a_shaken_base():
    """With E (1 + iη + iωβ): u = A cos(k (L − x)) / cos(k L), k² = ω² ρ / E*."""
    frequencies, eta, beta = np.array([0.1, 0.25, 0.7]), 0.05, 0.02
    analysis = gm.Harmonic(shaken(), frequencies, (0.0, beta), eta)
    sensors = [
        gm.ResponseSensor(TIP, 0.25),
        gm.ResponseSensor(TIP, 0.25, "phase"),
        gm.ResponseSensor(TIP, 0.7, "real"),
        gm.ResponseSensor(TIP, 0.1, "imaginary"),
    ]
    readings, _ = eqx.filter_jit(analysis.run)(None, analysis.observe(sensors), SHAKE).checked()
    omega = 2 * np.pi * frequencies
    k = omega * np.sqrt(2.0 / (8.0 * (1 + 1j * eta + 1j * omega * beta)))
    low, middle, high = 0.3 / np.cos(2.0 * k)
    np.testing.assert_allclose(readings, [abs(middle), np.angle(middle), high.real, low.imag], rtol=1e-4)


@pytest.mark.slow
def test_gradient_by_taylor_remainder():
    youngs, density = gm.Parameter("E", gm.Uniform(1.0, 20.0)), gm.Parameter("rho", gm.Uniform(0.1, 5.0))
    eta = gm.Parameter("eta", gm.Uniform(0.0, 1.0))
    analysis = gm.Harmonic(shaken(youngs, density), np.array([0.2, 0.5]), (0.1, 0.0), eta)
    observation = analysis.observe([gm.ResponseSensor(TIP, 0.2), gm.ResponseSensor(TIP, 0.5, "phase")])

    def objective(values, analysis):
        bound = gm.bind(analysis, dict(zip(("E", "rho", "eta"), values, strict=True)))
        return jnp.sum(bound.run(None, observation, SHAKE).value[0] ** 2)

    point, direction = jnp.array([8.0, 2.0, 0.1]), jnp.array([0.9, 0.1, 0.05])
    value, gradient = eqx.filter_jit(jax.value_and_grad(objective))(point, analysis)
    moved = eqx.filter_jit(objective)
    errors = [
        abs(float(moved(point + h * direction, analysis) - value - h * gradient @ direction)) for h in (0.04, 0.02)
    ]
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.15


def test_complex_solver_solves_the_real_system_and_its_transpose():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 5, 5))
    operator = HarmonicOperator(DenseOperator(jnp.asarray(a), False), DenseOperator(jnp.asarray(b), False))
    rhs = jnp.asarray(rng.standard_normal(10))
    for transpose in (False, True):
        direct, dense = (
            solver.compute(solver.init(operator), operator, rhs, None, transpose).checked()
            for solver in (HarmonicDirect(1e-9), DenseDirect(1e-9))
        )
        np.testing.assert_allclose(direct, dense, rtol=1e-9)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="at least one frequency"):
        gm.Harmonic(shaken(), [])
    with pytest.raises(ValueError, match="A harmonic analysis needs a density"):
        gm.Harmonic(shaken(density=None), [1.0])
    analysis = gm.Harmonic(shaken(), [1.0])
    with pytest.raises(ValueError, match="'tip' reads 2 Hz, which is not computed"):
        analysis.observe([gm.ResponseSensor(TIP, 2.0)])
    with pytest.raises(ValueError, match="'tip' cannot read a harmonic analysis"):
        analysis.observe([TIP])
    with pytest.raises(ValueError, match="quantity 'power' is not one of amplitude, phase"):
        gm.ResponseSensor(TIP, 1.0, "power")
