"""Linear buckling of a column against Euler's load, and its derivative."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm

LENGTH, DEPTH, E = 20.0, 1.0, 1000.0


def saint_venant_kirchhoff(u, point, youngs):
    """½ E |ε|² with Green's strain ε, ν = 0."""
    strain = 0.5 * (u.grad + u.grad.T + u.grad.T @ u.grad)
    return 0.5 * youngs * jnp.sum(strain**2)


def column(load, youngs: Any = E):
    """A cantilever under a dead load along its axis."""
    space = gm.FunctionSpace(gm.rectangle(10, 1, size=(LENGTH, DEPTH)), "Q2", (2,))
    terms = [gm.Term(gm.Energy(saint_venant_kirchhoff, (youngs,))), gm.Traction("right", gm.Vector((-load, 0.0)))]
    return gm.Formulation(space, terms, [gm.Dirichlet("left")])


def engesser(n):
    """Euler's load of the n-th mode, (2n − 1)² π² E I / 4 L², softened by shear: P = P_E / (1 + P_E / GA_s)."""
    euler = ((2 * n - 1) * np.pi / (2 * LENGTH)) ** 2 * E * DEPTH**3 / 12
    return euler / (1 + euler / (5 / 6 * E / 2 * DEPTH))


@pytest.mark.slow
def test_euler_column():
    """Timoshenko, Gere, *Theory of Elastic Stability*, 2nd ed., 1961, sections 2.1 and 2.17."""
    factors, shapes = gm.buckle(gm.Buckling(column(1.0), 2)).checked()
    assert float(factors[0]) * DEPTH == pytest.approx(engesser(1), rel=2e-3)
    assert float(factors[1]) * DEPTH == pytest.approx(engesser(2), rel=5e-3)
    middle = np.asarray(shapes)[0, :, 1]
    space = column(1.0).problem.space
    assert isinstance(space, gm.FunctionSpace)
    x = np.asarray(space.nodes())[:, 0]
    tip = middle[np.argmax(x)]
    np.testing.assert_allclose(middle / tip, 1 - np.cos(np.pi * x / (2 * LENGTH)), atol=5e-3)


@pytest.mark.slow
def test_the_factor_is_proportional_to_the_stiffness():
    analysis = gm.Buckling(column(1.0, gm.Parameter("E", gm.LogNormal(E, 2.0))), 1)

    def factor(value, analysis):
        return gm.bind(analysis, {"E": value}).solve().value[0][0]

    value, slope = eqx.filter_jit(jax.value_and_grad(factor))(E, analysis)
    np.testing.assert_allclose(slope, value / E, rtol=1e-6)


def test_mistakes_are_named():
    space = gm.FunctionSpace(gm.rectangle(2, 1, size=(2.0, 1.0)), "Q1", (2,))
    with pytest.raises(ValueError, match="this one is linear"):
        gm.Buckling(gm.Elasticity(space, 1.0, 0.0, kinematics="plane strain"), 1)
    with pytest.raises(ValueError, match="Buckling cannot find 0 modes"):
        gm.Buckling(column(1.0), 0)
    with pytest.raises(ValueError, match="its outputs are load_factor_1, load_factor_2"):
        gm.Buckling(column(1.0), 2).observe([gm.OutputSensor(name="a", output="load_factor_3", noise=1.0)])
