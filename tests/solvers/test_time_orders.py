"""Every method of first order: observed order, algebraic rows, variable steps, restart, derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from gemel.solvers import (
    BDF2,
    SDIRK2,
    SDIRK4,
    CrankNicolson,
    DenseDirect,
    DenseOperator,
    DiagonalOperator,
    FirstOrderSystem,
    ImplicitEuler,
    LinearOperator,
    Newton,
    SecondOrderSystem,
    integrate,
)

DIRECT = DenseDirect(1e-9)
NEWTON = Newton(DIRECT, 1e-13, 1e-15, 20, None, 1e-13)
METHODS = {ImplicitEuler: 1, CrankNicolson: 2, BDF2: 2, SDIRK2: 2, SDIRK4: 4}
ALL = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)


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


def pulled(t, u, k):
    """u₀ = sin t (algebraic), u̇₁ + k (u₁ − u₀) = 0."""
    return jnp.stack([5 * (u[0] - jnp.sin(t)), k * (u[1] - u[0])])


def pulled_exactly(t, k=2.0):
    forced = (k**2 * np.sin(t) - k * np.cos(t)) / (1 + k**2)
    return forced + (1 + k / (1 + k**2)) * np.exp(-k * t)


PULLED = Pointwise(rate=pulled, inertia=(0.0, 1.0), linear=True)
START = jnp.array([0.0, 1.0])


def logistic(t, u, k):
    """u̇ = k u (1 − u)."""
    return -k * u * (1 - u)


LOGISTIC = Pointwise(rate=logistic, inertia=(1.0,))


@ALL
def test_order_for_a_linear_system_with_an_algebraic_row(method):
    run = jax.jit(lambda h: integrate(PULLED, START, h * jnp.arange(33.0), 2.0, method(DIRECT), uniform=True))
    errors = []
    for m in (8, 16, 32):
        u = run(1.0 / m).checked()
        np.testing.assert_allclose(u[:, 0], np.sin(np.arange(33) / m), atol=1e-13)
        errors.append(abs(float(u[m, 1]) - pulled_exactly(1.0)))
    assert np.abs(np.log2(errors[1] / errors[2]) - METHODS[method]) < 0.2


@ALL
def test_order_for_a_nonlinear_system_on_unequal_steps(method):
    def grid(h):
        steps = h * jnp.where(jnp.arange(32) % 2 == 0, 0.8, 1.2)
        return jnp.append(0.0, jnp.cumsum(steps))

    run = jax.jit(lambda h: integrate(LOGISTIC, jnp.array([0.2]), grid(h), 3.0, method(NEWTON), uniform=False))
    exact = 1 / (1 + 4 * np.exp(-3.0))
    errors = [abs(float(run(1.0 / m).checked()[m, 0]) - exact) for m in (8, 16, 32)]
    assert np.abs(np.log2(errors[1] / errors[2]) - METHODS[method]) < 0.3


@pytest.mark.parametrize("method", [BDF2, SDIRK4, ImplicitEuler], ids=lambda m: m.__name__)
def test_stiff_components_vanish(method):
    # L-stable: a component with λΔt = 10⁸ is gone at once but for the start of BDF2, which halves it once.
    system = Pointwise(rate=lambda t, u, a: 1e8 * u, inertia=(1.0,), linear=True)
    u = integrate(system, jnp.ones(1), jnp.arange(7.0), None, method(DIRECT)).checked()
    assert abs(float(u[-1, 0])) < 1e-7


def test_crank_nicolson_does_not_damp_and_theta_does():
    system = Pointwise(rate=lambda t, u, a: 1e8 * u, inertia=(1.0,), linear=True)
    plain, damped = (
        integrate(system, jnp.ones(1), jnp.arange(7.0), None, CrankNicolson(DIRECT, theta)).checked()[-1, 0]
        for theta in (0.5, 0.6)
    )
    np.testing.assert_allclose(plain, 1.0, rtol=1e-6)
    np.testing.assert_allclose(damped, (0.4 / 0.6) ** 6, rtol=1e-5)
    with pytest.raises(ValueError, match=r"theta = 0.4: allowed are numbers from 0.5 to 1"):
        CrankNicolson(DIRECT, 0.4)


@pytest.mark.parametrize("method", [BDF2, SDIRK2], ids=lambda m: m.__name__)
def test_a_continued_run_equals_an_uninterrupted_one(method):
    times = jnp.linspace(0.0, 1.0, 9)

    @jax.jit
    def both():
        whole = integrate(PULLED, START, times, 2.0, method(DIRECT), uniform=True)
        first = integrate(PULLED, START, times[:5], 2.0, method(DIRECT), uniform=True, remember=True)
        saved, memory = first.value
        second = integrate(PULLED, START, times[4:], 2.0, method(DIRECT), uniform=True, memory=memory)
        return whole.value, saved, second.value

    whole, first, second = both()
    np.testing.assert_allclose(jnp.concatenate([first, second[1:]]), whole, rtol=0, atol=1e-15)


def test_bdf2_continued_with_another_step_keeps_its_order():
    def final(m):
        first = integrate(PULLED, START, jnp.linspace(0.0, 0.5, m + 1), 2.0, BDF2(DIRECT), remember=True)
        times = jnp.linspace(0.5, 1.0, 2 * m + 1)
        return integrate(PULLED, START, times, 2.0, BDF2(DIRECT), memory=first.value[1]).value[-1, 1]

    errors = [abs(float(final(m)) - pulled_exactly(1.0)) for m in (16, 32)]
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(("method", "uniform"), [(BDF2, False), (CrankNicolson, True), (SDIRK4, True)])
def test_gradient_by_taylor_remainder(method, uniform: bool):
    def objective(point):
        k, u0, end = point
        times = end * jnp.linspace(0.0, 1.0, 7) ** (1 if uniform else 2)
        start = jnp.stack([0.0, u0])
        return integrate(PULLED, start, times, k, method(DIRECT), uniform=uniform).value[-1, 1] ** 2

    point, direction = (2.0, 1.0, 0.9), (0.5, -0.3, 0.2)
    value, gradient = jax.jit(jax.value_and_grad(objective))(point)
    slope = sum(g * d for g, d in zip(gradient, direction, strict=True))
    moved = jax.jit(lambda h: objective(tuple(p + h * d for p, d in zip(point, direction, strict=True))))
    errors = [abs(float(moved(h) - value - h * slope)) for h in (0.02, 0.01)]
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.1


def test_nonlinear_gradient_of_a_multistep_method():
    def final(k):
        times = jnp.linspace(0.0, 1.0, 6) ** 1.5
        return integrate(LOGISTIC, jnp.array([0.2]), times, k, BDF2(NEWTON), uniform=False).value[-1, 0]

    k = 3.0
    value, slope = jax.jit(jax.value_and_grad(final))(k)
    moved = jax.jit(final)
    errors = [abs(float(moved(k + h) - value - h * slope)) for h in (0.1, 0.05)]
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.2


def test_methods_say_what_they_need():
    class Oscillator(SecondOrderSystem):
        linear: bool = True

        def mass(self, args):
            return DiagonalOperator(jnp.ones(1))

        def damping(self, args):
            return None

        def residual(self, t, u, args):
            return u

        def tangent(self, t, u, args):
            return DiagonalOperator(jnp.ones(1))

        def prescribe(self, t, motion, args):
            return motion

    times = jnp.linspace(0.0, 1.0, 3)
    with pytest.raises(ValueError, match="BDF2 integrates a FirstOrderSystem, not a Oscillator"):
        integrate(Oscillator(), jnp.ones(1), times, None, BDF2(DIRECT))
    with pytest.raises(ValueError, match="ImplicitEuler was given a linear solver for a nonlinear system"):
        integrate(LOGISTIC, jnp.ones(1), times, 1.0, ImplicitEuler(DIRECT))
