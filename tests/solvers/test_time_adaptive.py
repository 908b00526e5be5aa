"""Runs that choose their steps: error control, events, their derivatives, their failures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from gemel.solvers import (
    BDF2,
    SDIRK4,
    Code,
    DenseDirect,
    DenseOperator,
    DiagonalOperator,
    ErrorControl,
    Event,
    Events,
    FirstOrderSystem,
    GeneralizedAlpha,
    LinearOperator,
    Motion,
    Newton,
    SecondOrderSystem,
    integrate_adaptive,
    step_grid,
)

DIRECT = DenseDirect(1e-9)
NEWTON = Newton(DIRECT, 1e-12, 1e-16, 20, None, 1e-13)


class Pointwise(FirstOrderSystem):
    """M u̇ + r = 0 with M a diagonal and r a function, its tangent dense by differentiation."""

    rate: object = eqx.field(static=True)
    inertia: tuple = eqx.field(static=True)
    linear: bool = eqx.field(static=True, default=False)

    def mass(self, args) -> LinearOperator:
        return DiagonalOperator(jnp.asarray(self.inertia))

    def residual(self, t: Array, u: Array, args) -> Array:
        return self.rate(t, u, args)  # type: ignore[operator]

    def tangent(self, t: Array, u: Array, args) -> LinearOperator:
        return DenseOperator(jax.jacfwd(lambda v: self.residual(t, v, args))(u), False)


class Ball(SecondOrderSystem):
    """A mass that falls with the acceleration args."""

    linear: bool = eqx.field(static=True, default=True)

    def mass(self, args) -> LinearOperator:
        return DiagonalOperator(jnp.ones(1))

    def damping(self, args) -> None:
        return None

    def residual(self, t: Array, u: Array, args) -> Array:
        return jnp.full(1, args[0])

    def tangent(self, t: Array, u: Array, args) -> LinearOperator:
        return DiagonalOperator(jnp.zeros(1))

    def prescribe(self, t: Array, motion: Motion, args) -> Motion:
        return motion


def second_order(objective, point, direction, steps=(0.02, 0.01)) -> tuple[float, float]:
    """The directional derivative, and the order of the Taylor remainder."""
    value, gradient = jax.jit(jax.value_and_grad(objective))(point)
    slope = sum(jnp.vdot(g, d) for g, d in zip(gradient, direction, strict=True))
    moved = jax.jit(lambda h: objective(tuple(p + h * d for p, d in zip(point, direction, strict=True))))
    errors = [abs(float(moved(h) - value - h * slope)) for h in steps]
    return float(slope), float(np.log2(errors[0] / errors[1]))


# Error control.


def robertson(t, y, k):
    first = -k[0] * y[0] + k[1] * y[1] * y[2]
    return jnp.stack([-first, first + k[2] * y[1] ** 2, jnp.sum(y) - 1.0])


def test_robertson_with_error_control():
    # ROBER of the IVP test set (Mazzia, Magherini) at t = 1e11, as a differential-algebraic system.
    system = Pointwise(rate=robertson, inertia=(1.0, 1.0, 0.0))
    control = ErrorControl(1e-6, jnp.array([1e-9, 1e-13, 1e-9]), 1e-6, 300)
    times = jnp.array([0.0, 40.0, 1e11])
    start, k = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.04, 1e4, 3e7])
    solution = jax.jit(lambda: integrate_adaptive(system, start, times, k, SDIRK4(NEWTON), control))()
    saved, record, _ = solution.checked()
    expected = [0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050]
    np.testing.assert_allclose(saved[-1], expected, rtol=1e-3)
    assert record is None
    assert int(solution.statistics["steps"]) < 280


def oscillate(t, u, args):
    """Van der Pol's equation u̇₁ = u₂, u̇₂ = μ (1 − u₁²) u₂ − u₁."""
    return -jnp.stack([u[1], args * (1 - u[0] ** 2) * u[1] - u[0]])


def test_error_follows_the_tolerance():
    system, start, times = Pointwise(rate=oscillate, inertia=(1.0, 1.0)), jnp.array([2.0, 0.0]), jnp.array([0.0, 3.0])

    @jax.jit
    def run(tolerance):
        control = ErrorControl(tolerance, tolerance, 1e-3, 300)
        solution = integrate_adaptive(system, start, times, 5.0, SDIRK4(NEWTON), control)
        return solution.value[0][-1], solution.statistics["steps"]

    exact, _ = run(1e-9)
    found = [run(tolerance) for tolerance in (1e-3, 1e-6)]
    errors = [float(jnp.max(jnp.abs(u - exact))) for u, _ in found]
    steps = [int(count) for _, count in found]
    assert errors[0] < 0.05
    assert errors[1] < 1e-4
    assert 2 < steps[1] / steps[0] < 20


@pytest.mark.slow
def test_gradient_with_the_steps_held_fixed():
    system, times = Pointwise(rate=oscillate, inertia=(1.0, 1.0)), jnp.linspace(0.0, 2.0, 4)
    control = ErrorControl(1e-7, 1e-7, 0.01, 200)

    def objective(point):
        mu, u0 = point
        solution = integrate_adaptive(system, u0, times, mu, SDIRK4(NEWTON), control)
        return jnp.sum(solution.value[0][:, 0] ** 2)

    point, direction = (2.0, jnp.array([2.0, 0.0])), (0.5, jnp.array([0.3, -0.2]))
    _, order = second_order(objective, point, direction, (0.08, 0.04))
    assert abs(order - 2) < 0.2


def test_running_out_of_steps_has_a_status_and_no_silent_values():
    system, times = Pointwise(rate=oscillate, inertia=(1.0, 1.0)), jnp.array([0.0, 0.5, 20.0])
    control = ErrorControl(1e-6, 1e-6, 0.01, 25)
    solution = integrate_adaptive(system, jnp.array([2.0, 0.0]), times, 5.0, SDIRK4(NEWTON), control)
    saved, _, memory = solution.value
    assert solution.status.worst() == Code.MAX_STEPS
    assert np.all(np.isfinite(saved[:2]))
    assert np.all(np.isnan(saved[2]))
    assert np.all(np.isfinite(memory.u))
    with pytest.raises(ValueError, match="BDF2 does not estimate its error"):
        integrate_adaptive(system, jnp.array([2.0, 0.0]), times, 5.0, BDF2(NEWTON), control)
    with pytest.raises(ValueError, match="max_steps = 0"):
        ErrorControl(1e-6, 1e-6, 0.1, 0)


# Events.


def height(t, motion, args):
    return motion.u[0]


def bounce(t, motion, args):
    return Motion(motion.u, -args[1] * motion.v, motion.a)


BOUNCE = Events((Event(height, -1, 1e-13, bounce),), limit=4)


def fall(g, restitution, h0, steps=7):
    start, times = (jnp.reshape(h0, (1,)), jnp.zeros(1)), jnp.linspace(0.0, 2.0, steps)
    method = GeneralizedAlpha(0.8, DIRECT)  # exact for a constant acceleration
    return integrate_adaptive(Ball(), start, times, (g, restitution), method, events=BOUNCE)


def bounces(g, e, h0):
    """Times of the first two bounces, and the height at t = 2, between the second and the third."""
    first = np.sqrt(2 * h0 / g)
    second = first * (1 + 2 * e)
    v = e**2 * g * first
    return first, second, v * (2 - second) - 0.5 * g * (2 - second) ** 2


def test_bouncing_ball():
    solution = jax.jit(fall)(9.81, 0.8, 1.5)
    saved, record, _ = solution.checked()
    first, second, end = bounces(9.81, 0.8, 1.5)
    np.testing.assert_allclose(record.times[:2], [first, second], atol=1e-12)
    np.testing.assert_allclose(saved.u[-1, 0], end, atol=1e-11)
    assert int(record.count) == 2
    assert record.which.tolist() == [0, 0, -1, -1]
    assert np.all(np.isnan(record.times[2:]))


@pytest.mark.slow
def test_derivatives_of_the_bouncing_ball():
    point, step = (9.81, 0.8, 1.5), 1e-6

    def quantities(point):
        saved, record, _ = fall(*point).value
        assert record is not None
        return jnp.stack([record.times[0], record.times[1], saved.u[-1, 0]])

    found = jnp.stack(jax.jit(jax.jacrev(quantities))(point), 1)
    for i in range(3):
        moved = [np.array(point) + s * step * np.eye(3)[i] for s in (1, -1)]
        exact = (np.array(bounces(*moved[0])) - np.array(bounces(*moved[1]))) / (2 * step)
        np.testing.assert_allclose(found[:, i], exact, rtol=2e-8, atol=1e-9)
    direction = np.array([0.4, 0.1, -0.2])
    value, forward = jax.jit(lambda h: jax.jvp(lambda s: quantities(np.array(point) + s * direction), (h,), (1.0,)))(
        0.0
    )
    np.testing.assert_allclose(forward, found @ direction, rtol=1e-9, atol=1e-12)
    shifted = jax.jit(lambda h: quantities(np.array(point) + h * direction))
    remainders = [np.abs(shifted(h) - value - h * (found @ direction)) for h in (0.02, 0.01)]
    assert np.all(np.abs(np.log2(remainders[0] / remainders[1]) - 2) < 0.1)


def warm(t, u, args):
    """A room, c u̇ + (u − outside) = power · on."""
    return u - args["outside"] - args["power"] * args["on"]


def heating(args, mode):
    return args | {"on": mode.astype(float)}


THERMOSTAT = Events(
    (
        Event(lambda t, u, args: u[0] - args["high"], 1, 1e-12, mode=0),
        Event(lambda t, u, args: u[0] - args["low"], -1, 1e-12, mode=1),
    ),
    limit=6,
    in_mode=heating,
    mode=1,
)


@pytest.mark.slow
def test_thermostat():
    # Exact: on from 0 until e^{-t} = (20 − high)/(20 − 5), then off until e^{-t} = low/high, then on.
    args = {"outside": 0.0, "power": 20.0, "high": 12.0, "low": 9.0}
    system = Pointwise(rate=warm, inertia=(1.0,), linear=True)

    def run(high, low):
        steps, control = jnp.array([0.0, 0.4, 1.5]), ErrorControl(1e-7, 1e-7, 0.1, 60)
        values = args | {"high": high, "low": low}
        return integrate_adaptive(system, jnp.full(1, 5.0), steps, values, SDIRK4(DIRECT), control, THERMOSTAT)

    def exact(high, low):
        first = np.log(15 / (20 - high))
        second = first + np.log(high / low)
        third = second + np.log((20 - low) / (20 - high))
        fourth = third + np.log(high / low)
        return np.array([first, second, third, fourth, high * np.exp(-(1.5 - third))])

    def quantities(point):
        saved, record, _ = run(*point).value
        assert record is not None
        return jnp.append(record.times[:3], saved[-1, 0])

    solution = jax.jit(run)(12.0, 9.0)
    _, record, _ = solution.checked()
    want = exact(12.0, 9.0)
    assert record.which[:3].tolist() == [0, 1, 0]
    assert (int(record.count), int(record.mode)) == (3, 0)
    assert want[2] < 1.5 < want[3]
    np.testing.assert_allclose(quantities((12.0, 9.0)), want[[0, 1, 2, 4]], rtol=1e-6)
    slopes = jnp.stack(jax.jit(jax.jacrev(quantities))((12.0, 9.0)), 1)
    for i, step in enumerate(1e-5 * np.eye(2)):
        by_hand = (exact(*(np.array([12.0, 9.0]) + step)) - exact(*(np.array([12.0, 9.0]) - step))) / 2e-5
        np.testing.assert_allclose(slopes[:, i], by_hand[[0, 1, 2, 4]], rtol=1e-5, atol=1e-6)


def test_too_many_events_have_a_status():
    events = Events((Event(height, -1, 1e-10, bounce),), limit=1)
    start, times = (jnp.ones(1), jnp.zeros(1)), jnp.linspace(0.0, 2.0, 5)
    run = integrate_adaptive(Ball(), start, times, (9.81, 0.8), GeneralizedAlpha(0.8, DIRECT), events=events)
    assert run.status.worst() == Code.MAX_STEPS
    assert np.isnan(run.value[0].u[-1, 0])
    with pytest.raises(ValueError, match=r"direction = 2: allowed are 1 \(rising\), -1 \(falling\) and 0"):
        Event(height, 2, 1e-6)
    with pytest.raises(ValueError, match="tolerance = 0"):
        Event(height, 1, 0.0)
    with pytest.raises(ValueError, match="limit = 0"):
        Events((Event(height, 1, 1e-6),), 0)


def test_grid_lands_on_known_switches():
    grid = step_grid(0.0, 1.0, 0.3, breakpoints=(0.5, 0.55, 2.0))
    np.testing.assert_allclose(grid, [0, 0.25, 0.5, 0.55, 0.775, 1.0])
    with pytest.raises(ValueError, match=r"step must be positive, not 0"):
        step_grid(0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match=r"from 1 s to 1 s"):
        step_grid(1.0, 1.0, 0.1)
