"""One-step methods for ensembles: their coefficients against the order conditions, rates, stability, linear algebra."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gemel.solvers import Rodas4, Rodas5P, Tsit5
from gemel.solvers.ensembles.batch_lu import factorise, linear_solve_members
from gemel.solvers.ensembles.rosenbrock import RosenbrockTableau

METHODS = [Tsit5(), Rodas4(), Rodas5P()]
ALL = pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
STIFF = pytest.mark.parametrize("method", METHODS[1:], ids=lambda m: type(m).__name__)
DENSE_ORDER = {Tsit5: 4, Rodas4: 3, Rodas5P: 4}


def trees(order):
    """All rooted trees with that many vertices, each as the sorted tuple of its branches."""

    def partitions(total, largest):
        if total == 0:
            yield ()
        for part in range(min(total, largest), 0, -1):
            for rest in partitions(total - part, part):
                yield (part, *rest)

    if order == 1:
        return {()}
    choices = (itertools.product(*map(trees, sizes)) for sizes in partitions(order - 1, order - 1))
    return {tuple(sorted(branches)) for some in choices for branches in some}


def vertices(tree):
    return 1 + sum(map(vertices, tree))


def density(tree):
    return vertices(tree) * math.prod(map(density, tree))


def elementary(tree, alpha, beta):
    """Hairer and Wanner II, IV.7: sums over a single branch take α + γ, over several α."""
    if not tree:
        return np.ones(len(alpha))
    if len(tree) == 1:
        return beta @ elementary(tree[0], alpha, beta)
    return np.prod([alpha @ elementary(branch, alpha, beta) for branch in tree], axis=0)


def classical(method):
    """α, α + γ, and the map from weights of the method's own stage vectors to those of the classical ones."""
    tableau = method.tableau
    if not isinstance(tableau, RosenbrockTableau):
        return tableau.lower, tableau.lower, np.eye(len(tableau.nodes))
    s = len(tableau.nodes)
    gamma = np.linalg.inv(np.eye(s) / tableau.gamma - tableau.coupling)
    alpha = tableau.lower @ gamma
    np.testing.assert_allclose(alpha.sum(1), tableau.nodes, atol=1e-13)
    np.testing.assert_allclose(gamma.sum(1), tableau.slopes, atol=1e-13)
    return alpha, alpha + gamma, gamma


def final_weights(method):
    """The weights of the result and of the embedded result."""
    tableau = method.tableau
    if isinstance(tableau, RosenbrockTableau):
        result = np.append(tableau.lower[-1, :-1], 1.0)
        return result, np.append(tableau.lower[-1, :-1], 0.0)
    return tableau.lower[-1], tableau.lower[-1] - tableau.error


def defect(weights, order, alpha, beta):
    return max(abs(weights @ elementary(tree, alpha, beta) - 1 / density(tree)) for tree in trees(order))


def test_the_number_of_trees():
    """Hairer, Nørsett, Wanner I, table II.2.3."""
    assert [len(trees(order)) for order in range(1, 7)] == [1, 1, 2, 4, 9, 20]


@ALL
def test_order_conditions(method):
    alpha, beta, to_classical = classical(method)
    result, embedded = (weights @ to_classical for weights in final_weights(method))
    for order in range(1, method.order + 1):
        assert defect(result, order, alpha, beta) < 5e-14
    assert defect(result, method.order + 1, alpha, beta) > 1e-4
    for order in range(1, method.error_order):
        assert defect(embedded, order, alpha, beta) < 5e-14
    assert defect(embedded, method.error_order, alpha, beta) > 1e-4


@ALL
@pytest.mark.parametrize("theta", [0.2, 0.7, 1.0])
def test_order_conditions_of_the_dense_output(method, theta):
    alpha, beta, to_classical = classical(method)
    weights = np.asarray(method.weights(jnp.array([theta])))[:, 0] @ to_classical
    for order in range(1, DENSE_ORDER[type(method)] + 1):
        exact = [theta**order / density(tree) for tree in trees(order)]
        np.testing.assert_allclose([weights @ elementary(t, alpha, beta) for t in trees(order)], exact, atol=5e-14)


def driven(t, y, p):
    """ẏ₀ = −p y₀ y₁ + sin 3t, ẏ₁ = y₀ − y₁²: neither linear nor autonomous."""
    return jnp.stack([-p * y[0] * y[1] + jnp.sin(3 * t), y[0] - y[1] ** 2])


def fixed_steps(method, counts):
    """y(1) with that many steps, one member each; members that are done take steps of size zero."""
    sizes, most = 1.0 / jnp.asarray(counts, float), max(counts)
    y, p = jnp.tile(jnp.array([[1.0], [0.5]]), len(counts)), jnp.full(len(counts), 1.3)

    def advance(i, carry):
        t, y, memory = carry
        h = jnp.where(i < jnp.asarray(counts), sizes, 0.0)
        step = method.step(driven, t, h, y, memory, p)
        return t + h, step.y, step.memory

    t = jnp.zeros(len(counts))
    return jax.jit(lambda: jax.lax.fori_loop(0, most, advance, (t, y, method.start(driven, t, y, p))))()[1]


@ALL
def test_observed_order(method):
    y = np.asarray(fixed_steps(method, (40, 80, 1280)))
    coarse, fine = np.abs(y[:, :2] - y[:, 2:]).max(axis=0)
    assert np.log2(coarse / fine) == pytest.approx(method.order, abs=0.3)


@ALL
def test_a_step_of_size_zero_is_the_identity(method):
    t, y, p = jnp.array([0.3]), jnp.array([[1.0], [2.0]]), jnp.array([4.0])
    step = jax.jit(lambda t, y, p: method.step(driven, t, jnp.zeros(1), y, method.start(driven, t, y, p), p))(t, y, p)
    np.testing.assert_array_equal(step.y, y)
    np.testing.assert_array_equal(step.error, 0.0)


@STIFF
def test_stiff_components_vanish_in_one_step(method):
    """R(∞) = 0, and the error estimate vanishes as well: ẏ = −λ y with λh from 10⁶ to 10¹²."""
    decay, y, t = jnp.array([1e6, 1e9, 1e12]), jnp.ones((1, 3)), jnp.zeros(3)
    step = jax.jit(lambda y: method.step(lambda t, y, p: -p * y, t, jnp.ones(3), y, (), decay))(y)
    assert np.all(np.abs(step.y[0]) < 100 / decay)


@STIFF
def test_the_stability_function_is_bounded_by_one_on_the_imaginary_axis(method):
    """With R(∞) = 0 and no pole on the left, that is L-stability (maximum principle)."""
    frequency = jnp.logspace(-2, 4, 400)
    y, t = jnp.tile(jnp.array([[1.0], [0.0]]), 400), jnp.zeros(400)
    turning = jax.jit(lambda y: method.step(lambda t, y, p: p * jnp.stack([-y[1], y[0]]), t, y[0], y, (), frequency))
    step = turning(y)
    assert np.all(np.hypot(*step.y) <= 1 + 1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_lu_solves_with_rows_that_must_change_places(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, n, 9)), rng.normal(size=(n, 9))
    if n > 1:
        a[np.arange(n), np.arange(n)] *= 1e-14
        a[0, 0] = 0.0

    @jax.jit
    def both(a, b):
        factors = factorise(a)
        return factors.solve(b), factors.solve_transposed(b)

    for found, matrix in zip(both(jnp.asarray(a), jnp.asarray(b)), (a, a.swapaxes(0, 1)), strict=True):
        expected = np.linalg.solve(np.moveaxis(matrix, -1, 0), b.T[..., None])[..., 0].T
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("n", [3, 5])
def test_derivatives_of_a_solve(n):
    rng = np.random.default_rng(n)
    a, b = jnp.asarray(rng.normal(size=(n, n, 2))), jnp.asarray(rng.normal(size=(n, 2)))

    def ours(a, b):
        return jnp.sum(jnp.sin(linear_solve_members(a, factorise(jax.lax.stop_gradient(a)), b)))

    def dense(a, b):
        return jnp.sum(jnp.sin(jnp.linalg.solve(jnp.moveaxis(a, -1, 0), b.T[..., None])))

    found, expected = jax.jit(lambda *x: (jax.grad(ours, (0, 1))(*x), jax.grad(dense, (0, 1))(*x)))(a, b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9), found, expected)
    direction = (a * 0.3, b**2)
    forward = jax.jit(lambda *x: jax.jvp(ours, x, direction)[1])(a, b)
    np.testing.assert_allclose(
        forward, sum(jnp.vdot(g, d) for g, d in zip(expected, direction, strict=True)), rtol=1e-9
    )


def test_a_singular_matrix_harms_its_own_member_only():
    a = jnp.stack([jnp.eye(2), jnp.zeros((2, 2)), 2 * jnp.eye(2)], axis=-1)
    x = np.asarray(jax.jit(lambda a: factorise(a).solve(jnp.ones((2, 3))))(a))
    np.testing.assert_array_equal(x[:, [0, 2]], [[1.0, 0.5], [1.0, 0.5]])
    assert not np.isfinite(x[:, 1]).any()
