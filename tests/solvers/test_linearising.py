"""Residuals of data and a prior: the Jacobian by the cheaper mode, and steps in the space of the data."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gemel.solvers import Code, LevenbergMarquardt, Regularised
from gemel.solvers.linearising import ADJOINT, Mode, data_rows, linearise, step_by_data

FACTOR = np.linalg.cholesky(np.cov(np.random.default_rng(5).standard_normal((40, 90))) + 0.05 * np.eye(40))


def waves(z, args):
    """Rows that are not linear in the unknowns, and not scaled alike."""
    matrix = jnp.asarray(np.random.default_rng(2).standard_normal((args, len(z))))
    return 10.0 ** jnp.linspace(0.0, 3.0, args) * (jnp.sin(matrix @ z / 3.0) - 0.5)


def prior(z, args):
    return jax.scipy.linalg.solve_triangular(jnp.asarray(FACTOR), z - 0.1, lower=True)


def stacked(z, args):
    return jnp.concatenate([waves(z, args), prior(z, args)])


split = Regularised(waves, prior, proper=True)
start = jnp.asarray(np.random.default_rng(3).standard_normal(40))


@jax.custom_vjp
def by_adjoints(x):
    """A sine that has no tangents."""
    return jnp.sin(x)


by_adjoints.defvjp(lambda x: (jnp.sin(x), x), lambda x, bar: (jnp.cos(x) * bar,))


def by_tangents(x):
    """A sine that has no adjoint: a loop of a length not known when it is compiled."""
    return jax.lax.while_loop(lambda pair: pair[0] < 1, lambda pair: (pair[0] + 1, jnp.sin(pair[1])), (0, x))[1]


def jacobian_of(sine: Any, rows: int, unknowns: int, mode: Mode = "cheapest", allowed: Mode = "cheapest") -> np.ndarray:
    """The Jacobian of that many rows of data, less what it must be."""
    matrix, z = jnp.asarray(np.random.default_rng(0).standard_normal((rows, unknowns))), jnp.ones(unknowns)
    fn = Regularised(lambda z, args: sine(matrix @ z), lambda z, args: z, True, lambda args: allowed)
    expected = jnp.concatenate([jnp.cos(matrix @ z)[:, None] * matrix, jnp.eye(unknowns)])
    return np.asarray(linearise(mode, fn, z, None)[1] - expected)


def test_the_jacobian_takes_tangents_or_adjoints_whichever_are_cheaper():
    np.testing.assert_allclose(jacobian_of(by_adjoints, 3, 40), 0.0, atol=1e-14)
    np.testing.assert_allclose(jacobian_of(by_tangents, 40, 3), 0.0, atol=1e-14)
    even = math.floor(40 / ADJOINT)
    np.testing.assert_allclose(jacobian_of(by_tangents, even + 1, 40), 0.0, atol=1e-14)
    np.testing.assert_allclose(jacobian_of(by_adjoints, even - 1, 40), 0.0, atol=1e-14)


def test_the_jacobian_takes_the_mode_that_it_is_told():
    np.testing.assert_allclose(jacobian_of(by_tangents, 3, 40, "forward"), 0.0, atol=1e-14)
    np.testing.assert_allclose(jacobian_of(by_adjoints, 40, 3, "reverse"), 0.0, atol=1e-14)


def test_data_that_allow_one_mode_only_are_differentiated_in_that_one():
    np.testing.assert_allclose(jacobian_of(by_tangents, 3, 40, allowed="forward"), 0.0, atol=1e-14)
    np.testing.assert_allclose(jacobian_of(by_adjoints, 40, 3, allowed="reverse"), 0.0, atol=1e-14)
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        jacobian_of(by_tangents, 3, 40)


@pytest.mark.parametrize("mode", ["cheapest", "forward", "reverse"])
def test_the_jacobian_passes_a_taylor_test_and_is_that_of_all_rows(mode):
    residual, jacobian = linearise(mode, split, start, 6)
    np.testing.assert_allclose(residual, stacked(start, 6), rtol=1e-14)
    np.testing.assert_allclose(jacobian, jax.jacfwd(lambda z: stacked(z, 6))(start), rtol=1e-12, atol=1e-10)
    direction = jnp.asarray(np.random.default_rng(4).standard_normal(40))
    remainders = [
        float(jnp.linalg.norm(stacked(start + h * direction, 6) - residual - h * jacobian @ direction))
        for h in (1e-2, 5e-3, 2.5e-3)
    ]
    rates = np.log2(np.asarray(remainders[:-1]) / remainders[1:])
    np.testing.assert_allclose(rates, 2.0, atol=0.1)


@pytest.mark.parametrize("damping", [None, 0.0, 1e-3, 1e3])
def test_a_step_in_the_space_of_the_data_is_the_damped_gauss_newton_step(damping):
    residual, jacobian = linearise("cheapest", split, start, 6)
    diagonal = None if damping is None else damping * jnp.sum(jacobian**2, axis=0)
    found = step_by_data(residual, jacobian, 6, diagonal)
    root = np.zeros((40, 40)) if diagonal is None else np.diag(np.sqrt(diagonal))
    expected = np.linalg.lstsq(np.concatenate([jacobian, root]), np.concatenate([-residual, np.zeros(40)]))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.slow
def test_a_fit_in_the_space_of_the_data_takes_the_same_steps_as_one_of_all_rows():
    solver = LevenbergMarquardt(gtol=1e-8, ftol=1e-14, xtol=1e-12, max_steps=40)
    one, other = solver.init(split, start, 6), solver.init(stacked, start, 6)
    assert data_rows(split, one.memory.jacobian) == 6
    assert data_rows(stacked, other.memory.jacobian) is None
    costs = []
    for _ in range(8):
        one, other = solver.step(split, one, 6), solver.step(stacked, other, 6)
        np.testing.assert_allclose(one.z, other.z, rtol=1e-8, atol=1e-8)
        costs.append((float(one.cost), float(other.cost)))
    np.testing.assert_allclose(*zip(*costs, strict=True), rtol=1e-9)
    ends = [LevenbergMarquardt(1e-4, 1e-8, 1e-8, 40).solve(fn, start, 6) for fn in (split, stacked)]
    assert ends[0].status.worst() is ends[1].status.worst() is Code.SUCCESS
    assert int(ends[0].statistics["steps"]) == int(ends[1].statistics["steps"])
    np.testing.assert_allclose(ends[0].value, ends[1].value, atol=1e-8)


def test_as_many_data_as_unknowns_are_solved_for_in_the_space_of_the_unknowns():
    assert data_rows(split, jnp.zeros((80, 40))) is None
    assert data_rows(split, jnp.zeros((79, 40))) == 39
    assert data_rows(Regularised(waves, prior), jnp.zeros((79, 40))) is None
