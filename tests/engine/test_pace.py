"""The estimate of how long a fit may still take."""

import jax.numpy as jnp
import optax
import pytest

from gemel.engine.calibration.pace import Pace, Remaining
from gemel.solvers import LBFGS, EarlyStopping, GradientDescent, LevenbergMarquardt
from gemel.solvers.least_squares import FitState


def state(step: int, gradient: float) -> FitState:
    number = jnp.asarray(step, jnp.int32)
    return FitState(
        jnp.zeros(1), jnp.asarray(1.0), jnp.asarray(gradient), number, jnp.asarray(False), number, jnp.zeros(1)
    )


def test_the_pace_is_the_median_step_and_the_rest_goes_to_the_limit():
    pace = Pace.of(LevenbergMarquardt(gtol=1e-4, ftol=0.0, xtol=0.0, max_steps=40))
    assert (pace.seconds_per_step, pace.steps_left, pace.seconds_left) == (None, None, None)
    pace = pace.after(10.0, state(0, 5.0))
    assert (pace.seconds_per_step, pace.steps_left, pace.seconds_left) == (None, 40, None)
    for step, now in enumerate((30.0, 32.0, 34.0, 36.0), 1):  # the first step compiled
        pace = pace.after(now, state(step, 5.0))
    assert pace.seconds_per_step == 2.0
    assert pace.steps_left == 36  # the gradient does not fall
    assert pace.seconds_left == 72.0


def test_a_gradient_that_falls_steadily_ends_the_fit_before_its_limit():
    pace = Pace.of(GradientDescent(optax.sgd(0.1), gtol=1e-3, max_steps=1000))
    for step in range(20):
        pace = pace.after(0.5 * step, state(step, 10.0 ** (2 - 0.25 * step)))
    # at step 19 the gradient is 10^-2.75 and falls by 10^-0.25 a step: one step to 10^-3
    assert pace.steps_left == 1
    assert pace.seconds_left == pytest.approx(0.5)
    quasi = LBFGS(1e-3, 0.0, 30)
    early = EarlyStopping(quasi, lambda z, args: z, None, patience=5)  # may end earlier still
    assert Pace.of(quasi) == Pace.of(early) == Pace(30, 1e-3)
    assert Pace.of(LevenbergMarquardt(1e-4, 0.0, 0.0, 3)).after(0.0, state(5, 1.0)).steps_left == 0


def test_the_rest_of_a_work_goes_at_the_rate_of_its_later_half():
    left = Remaining(1000)
    assert left.seconds_left is None
    left = left.after(60.0, 1)  # with compilation
    assert left.seconds_left is None
    left = left.after(62.0, 2)
    assert left.seconds_left == pytest.approx(998 * 2.0)
    for done in range(3, 401):  # slow at first
        left = left.after(60.0 + (2.0 * done if done < 100 else 200.0 + (done - 100)), done)
    assert left.seconds_left == pytest.approx(600.0)
    assert len(left.marks) < 110
    assert left.after(600.0, 1001).seconds_left == 0.0
