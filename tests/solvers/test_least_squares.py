"""Least-squares solvers: known minima, failure statuses, resuming from a saved state."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gemel.solvers.early_stopping import EarlyStopping
from gemel.solvers.lbfgs import LBFGS
from gemel.solvers.least_squares import FitState, GradientDescent, LeastSquaresSolver, LevenbergMarquardt
from gemel.solvers.solution import Code


def rosenbrock(z, args):
    return jnp.stack([10.0 * (z[1] - z[0] ** 2), 1.0 - z[0]])


def misra1a(z, args):
    x, y = args
    return y - z[0] * (1 - jnp.exp(-z[1] * x))


MISRA_X = np.array([77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0])
MISRA_Y = np.array([10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78])


def newton(**changes):
    options = {"gtol": 1e-12, "ftol": 1e-15, "xtol": 1e-14, "max_steps": 200} | changes
    return LevenbergMarquardt(**options)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_misra1a_reaches_the_certified_values(mode):
    # NIST Statistical Reference Datasets, Misra1a, certified to 11 digits.
    scaled = lambda z, args: misra1a(z * jnp.array([100.0, 1e-4]), args)  # noqa: E731
    solution = newton(jacobian=mode).solve(scaled, jnp.array([5.0, 1.0]), (jnp.array(MISRA_X), jnp.array(MISRA_Y)))
    found = solution.checked() * np.array([100.0, 1e-4])
    np.testing.assert_allclose(found, [2.3894212918e2, 5.5015643181e-4], rtol=1e-7)
    assert 2 * float(solution.statistics["cost"]) == pytest.approx(1.2455138894e-1, rel=1e-9)


def test_rosenbrock_from_the_classic_start():
    solution = newton().solve(rosenbrock, jnp.array([-1.2, 1.0]))
    np.testing.assert_allclose(solution.checked(), [1.0, 1.0], atol=1e-9)


def test_gradient_descent_reaches_the_same_minimum():
    solver = GradientDescent(optax.adam(0.05), gtol=1e-6, max_steps=5000)
    solution = solver.solve(rosenbrock, jnp.array([-1.2, 1.0]))
    np.testing.assert_allclose(solution.checked(), [1.0, 1.0], atol=1e-4)


def test_too_few_steps_is_a_status():
    assert newton(max_steps=2).solve(rosenbrock, jnp.array([-1.2, 1.0])).status.worst() is Code.MAX_STEPS


def test_a_residual_that_is_not_finite_is_a_status():
    solution = newton().solve(lambda z, args: jnp.log(z), jnp.array([-1.0]))
    assert solution.status.worst() is Code.NOT_FINITE


def quasi_newton(**changes):
    options = {"gtol": 1e-10, "ftol": 0.0, "max_steps": 300} | changes
    return LBFGS(**options)


def test_lbfgs_reaches_the_same_minimum():
    solution = quasi_newton().solve(rosenbrock, jnp.array([-1.2, 1.0]))
    np.testing.assert_allclose(solution.checked(), [1.0, 1.0], atol=1e-8)
    assert int(solution.statistics["steps"]) < 60


def test_lbfgs_needs_about_as_many_steps_on_a_quadratic_as_there_are_unknowns():
    """As many with an exact line search (Nocedal, Wright, theorem 6.4); twice as many are allowed to an inexact one."""
    rng = np.random.default_rng(0)
    matrix, target = jnp.asarray(rng.standard_normal((300, 8))), jnp.asarray(rng.standard_normal(300))
    solution = quasi_newton(gtol=1e-6).solve(lambda z, args: matrix @ z - target, jnp.zeros(8))
    np.testing.assert_allclose(solution.checked(), np.linalg.lstsq(matrix, target)[0], atol=1e-8)
    assert int(solution.statistics["steps"]) <= 16


def test_lbfgs_goes_back_from_where_nothing_can_be_computed():
    """The first step of length one leads to z < 0, where the logarithm is not a number."""

    def fn(z, args):
        return jnp.log(z) + 3.0 * jnp.ones(1)

    solution = quasi_newton().solve(fn, jnp.array([0.4]))
    np.testing.assert_allclose(solution.checked(), np.exp(-3.0), rtol=1e-8)


def test_lbfgs_on_a_wall_of_nan_stagnates_where_it_is():
    def wall(z, args):
        return jnp.where(jnp.all(z == 0.0), z - 3.0, jnp.nan)

    solution = quasi_newton().solve(wall, jnp.zeros(1))
    assert solution.status.worst() is Code.STAGNATION
    assert float(solution.value[0]) == 0.0


def test_a_history_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one, not 0 and 30"):
        quasi_newton(history=0)


def overfitted(degree=15, count=16, seed=1):
    """Noisy samples of a sine, the even ones to fit and the odd ones held out, by a polynomial that meets them all."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, 2 * count)
    table = np.polynomial.legendre.legvander(x, degree)
    y = np.sin(3 * x) + 0.3 * rng.standard_normal(len(x))
    pair = lambda part: (jnp.asarray(table[part]), jnp.asarray(y[part]))  # noqa: E731
    return pair(slice(0, None, 2)), pair(slice(1, None, 2))


def linear(z, args):
    return args[0] @ z - args[1]


def test_early_stopping_returns_the_best_point_for_held_out_data():
    fitted, held = overfitted()
    inner = GradientDescent(optax.sgd(0.02), gtol=0.0, max_steps=3000)
    solver = EarlyStopping(inner, linear, held, patience=25)
    state, misfits, points = solver.init(linear, jnp.zeros(16), fitted), [], []
    while not bool(state.finished):
        points.append(state.memory.inner.z)
        misfits.append(0.5 * float(jnp.sum(linear(points[-1], held) ** 2)))
        state = solver.step(linear, state, fitted)
    best = int(np.argmin(misfits))
    assert Code(int(state.code)) is Code.SUCCESS
    assert len(misfits) == best + 25
    np.testing.assert_array_equal(state.z, points[best])
    assert float(state.cost) == pytest.approx(0.5 * float(jnp.sum(linear(points[best], fitted) ** 2)))
    end = newton().solve(linear, jnp.zeros(16), fitted).value
    assert misfits[best] < 0.5 * 0.5 * float(jnp.sum(linear(end, held) ** 2))


def test_early_stopping_hands_on_the_end_of_the_method_inside():
    fitted, held = overfitted(degree=3)
    solver = EarlyStopping(quasi_newton(), linear, held, patience=1000)
    alone = quasi_newton().solve(linear, jnp.zeros(4), fitted)
    found = solver.solve(linear, jnp.zeros(4), fitted)
    assert found.status.worst() is alone.status.worst()
    assert int(found.statistics["steps"]) == int(alone.statistics["steps"])
    with pytest.raises(ValueError, match="patience of at least one step, not 0"):
        EarlyStopping(quasi_newton(), linear, held, patience=0)


STEPPERS = [
    newton(),
    GradientDescent(optax.adam(0.05), gtol=1e-9, max_steps=40),
    quasi_newton(),
    EarlyStopping(quasi_newton(), rosenbrock, None, patience=3),
]


@pytest.mark.parametrize("solver", STEPPERS, ids=lambda solver: type(solver).__name__)
def test_a_fit_resumed_from_saved_arrays_takes_the_same_steps(solver: LeastSquaresSolver):
    state = solver.init(rosenbrock, jnp.array([-1.2, 1.0]), None)
    for _ in range(3):
        state = solver.step(rosenbrock, state, None)
    leaves, structure = jax.tree.flatten(state)
    copied: FitState = jax.tree.unflatten(structure, [jnp.asarray(np.asarray(leaf).copy()) for leaf in leaves])
    for _ in range(3):
        state, copied = solver.step(rosenbrock, state, None), solver.step(rosenbrock, copied, None)
    np.testing.assert_array_equal(state.z, copied.z)


def limited(solver: LeastSquaresSolver, steps: int) -> LeastSquaresSolver:
    if isinstance(solver, EarlyStopping):
        return dataclasses.replace(solver, solver=limited(solver.solver, steps))
    return dataclasses.replace(solver, max_steps=steps)


@pytest.mark.parametrize("solver", STEPPERS, ids=lambda solver: type(solver).__name__)
@pytest.mark.fast("LevenbergMarquardt", "GradientDescent")
def test_a_fit_under_another_limit_goes_the_way_it_would_have_gone(solver: LeastSquaresSolver):
    short, long = limited(solver, 2), limited(solver, 5)
    start = jnp.array([-1.2, 1.0])
    ended = short.end(rosenbrock, short.init(rosenbrock, start, None), None)
    assert bool(ended.finished)
    assert int(ended.step) == 2
    assert bool(short.under_limit(ended).finished)
    opened = long.under_limit(ended)
    assert not bool(opened.finished)
    went, whole = (long.end(rosenbrock, state, None) for state in (opened, long.init(rosenbrock, start, None)))
    np.testing.assert_array_equal(went.z, whole.z)
    assert int(went.step) == int(whole.step) == 5
    assert int(went.code) == int(whole.code)
    assert bool(short.under_limit(long.step(rosenbrock, opened, None)).finished)  # three steps are more than two


def test_an_end_that_is_none_of_the_limit_stays_one():
    solver = newton()
    ended = solver.end(rosenbrock, solver.init(rosenbrock, jnp.array([-1.2, 1.0]), None), None)
    assert Code(int(ended.code)) is Code.SUCCESS
    assert bool(limited(solver, 1000).under_limit(ended).finished)


def test_a_wall_of_nan_is_not_called_a_minimum():
    def wall(z, args):
        return jnp.where(jnp.all(z == 0.0), z - 3.0, jnp.nan)

    solution = newton(xtol=1e-6).solve(wall, jnp.zeros(1))
    assert solution.status.worst() is Code.NOT_FINITE


def test_a_step_that_damping_makes_short_is_not_called_convergence():
    solution = newton(initial_damping=1e8, ftol=1e-6, xtol=1e-6).solve(lambda z, args: z - 3.0, jnp.zeros(1))
    assert solution.status.worst() is Code.STAGNATION or float(solution.value[0]) == pytest.approx(3.0, abs=1e-3)
