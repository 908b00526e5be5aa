"""Time integration: orders, stiff reference problems, derivatives, checkpointing, failures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from jaxtyping import Array

from gemel.solvers import (
    CG,
    SDIRK2,
    Code,
    DenseDirect,
    DenseOperator,
    DiagonalOperator,
    FirstOrderSystem,
    Jacobi,
    LinearOperator,
    Newton,
    SparseOperator,
    integrate,
)

N = 16
LAPLACE = sp.csr_array(2 * np.eye(N) - np.eye(N, k=1) - np.eye(N, k=-1))
X = jnp.linspace(0.0, 1.0, N)
CG_STEPS = SDIRK2(CG(Jacobi(), 1e-13, 1e-14, 200))
NEWTON_STEPS = SDIRK2(Newton(DenseDirect(1e-6), 1e-12, 1e-14, 25, None, 1e-14))


class Conduction(FirstOrderSystem):
    """u̇ + k K u = f sin 3t, linear."""

    stiffness: SparseOperator
    linear: bool = eqx.field(static=True, default=True)

    def mass(self, args) -> LinearOperator:
        return DiagonalOperator(1 + args["c"] * X)

    def residual(self, t: Array, u: Array, args) -> Array:
        return self.stiffness.scaled(args["k"]).mv(u) - args["f"] * jnp.sin(3 * t)

    def tangent(self, t: Array, u: Array, args) -> LinearOperator:
        return self.stiffness.scaled(args["k"])


class Pointwise(FirstOrderSystem):
    """A system given by a function, its tangent dense by differentiation, its mass a diagonal."""

    rate: object = eqx.field(static=True)
    inertia: tuple = eqx.field(static=True)
    linear: bool = eqx.field(static=True, default=False)

    def mass(self, args) -> LinearOperator:
        return DiagonalOperator(jnp.asarray(self.inertia))

    def residual(self, t: Array, u: Array, args) -> Array:
        return self.rate(t, u, args)  # type: ignore[operator]

    def tangent(self, t: Array, u: Array, args) -> LinearOperator:
        return DenseOperator(jax.jacfwd(lambda v: self.residual(t, v, args))(u), False)


SYSTEM = Conduction(stiffness=SparseOperator.from_scipy(20 * LAPLACE, True))
ARGS = {"k": jnp.asarray(1.1), "f": jnp.asarray(2.0), "c": jnp.asarray(0.5)}


def conduct(args=ARGS, steps: int = 12, u0=None, **options):
    start = jnp.sin(3 * X) if u0 is None else u0
    return integrate(SYSTEM, start, jnp.linspace(0.0, 1.0, steps + 1), args, CG_STEPS, **options)


def orders(errors) -> np.ndarray:
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


@pytest.mark.slow
def test_order_two_for_a_linear_stiff_system():
    fine = conduct(steps=640).checked()[-1]
    errors = [float(jnp.max(jnp.abs(conduct(steps=m).checked()[-1] - fine))) for m in (20, 40, 80)]
    assert np.all(np.abs(orders(errors) - 2) < 0.15)


@pytest.mark.slow
def test_order_two_for_a_nonlinear_problem():
    # Prothero, Robinson (1974): u̇ = −λ(u − cos t) − sin t + (nonlinear term that vanishes on the solution
    # u = cos t).
    def rate(t, u, args):
        gap = u - jnp.cos(t)
        return args * (gap + gap**3) + jnp.sin(t)

    system = Pointwise(rate=rate, inertia=(1.0,))
    errors = []
    for m in (20, 40, 80):
        times = jnp.linspace(0.0, 2.0, m + 1)
        solution = integrate(system, jnp.ones(1), times, jnp.asarray(1.0), NEWTON_STEPS)
        errors.append(float(jnp.abs(solution.checked()[-1, 0] - jnp.cos(2.0))))
    assert np.all(orders(errors) > 1.8)


def test_robertson_as_a_differential_algebraic_system():
    # ROBER of the IVP test set (Mazzia, Magherini), with y₁ + y₂ + y₃ = 1 as the third equation, at t = 1e11.
    def rate(t, y, k):
        first = -k[0] * y[0] + k[1] * y[1] * y[2]
        return jnp.stack([-first, first + k[2] * y[1] ** 2, jnp.sum(y) - 1.0])

    times = jnp.append(0.0, 10.0 ** jnp.linspace(-6, 11, 120))
    system = Pointwise(rate=rate, inertia=(1.0, 1.0, 0.0))
    start = jnp.array([1.0, 0.0, 0.0])
    run = jax.jit(lambda k: integrate(system, start, times, k, NEWTON_STEPS, substeps=10))
    expected = [0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050]
    np.testing.assert_allclose(run(jnp.array([0.04, 1e4, 3e7])).checked()[-1], expected, rtol=5e-4)


def test_dirichlet_rows_without_mass_follow_their_value():
    def rate(t, u, args):
        return jnp.stack([u[0] - jnp.sin(t), u[1] - u[0]])

    times = jnp.linspace(0.0, 1.0, 9)
    values = integrate(
        Pointwise(rate=rate, inertia=(0.0, 1.0), linear=True),
        jnp.zeros(2),
        times,
        None,
        SDIRK2(DenseDirect(1e-9)),
    )
    np.testing.assert_allclose(values.checked()[:, 0], jnp.sin(times), atol=1e-12)


OPTIONS = [
    pytest.param({}, id="plain"),
    pytest.param({"segment": 5}, id="segments", marks=pytest.mark.slow),
    pytest.param({"uniform": False}, id="unequal", marks=pytest.mark.slow),
    pytest.param({"substeps": 2, "segment": 4}, id="substeps"),
]


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_gradient_by_taylor_remainder_and_forward_mode(options: dict):
    weight = jnp.cos(5 * X)

    def objective(args, u0):
        return jnp.sum((conduct(args, u0=u0, **options).value @ weight) ** 2)

    point = (ARGS, jnp.sin(3 * X))
    direction = ({"k": jnp.asarray(0.7), "f": jnp.asarray(-0.4), "c": jnp.asarray(0.3)}, jnp.cos(X))

    @jax.jit
    def both(point):
        value, gradient = jax.value_and_grad(lambda p: objective(*p))(point)
        slope = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
        return value, slope, jax.jvp(lambda p: objective(*p), (point,), (direction,))[1]

    value, slope, forward = both(point)
    np.testing.assert_allclose(forward, slope, rtol=1e-9)
    moved = jax.jit(lambda h: objective(*jax.tree.map(lambda p, d: p + h * d, point, direction)))
    errors = [abs(moved(h) - value - h * slope) for h in (0.02, 0.01, 0.005)]
    assert np.all(np.abs(orders(errors) - 2) < 0.1)


@pytest.mark.slow
def test_nonlinear_gradient_agrees_in_both_modes():
    def rate(t, u, k):
        return k * u**3 + u - jnp.sin(t)

    def final(k):
        times = jnp.linspace(0.0, 1.0, 6)
        return integrate(Pointwise(rate=rate, inertia=(1.0, 2.0)), jnp.array([1.0, 0.5]), times, k, NEWTON_STEPS).value[
            -1, 0
        ]

    k = jnp.asarray(0.8)
    reverse, forward = jax.jit(jax.grad(final))(k), jax.jit(jax.jacfwd(final))(k)
    near = [final(k + h) for h in (1e-4, -1e-4)]
    np.testing.assert_allclose(reverse, forward, rtol=1e-9)
    np.testing.assert_allclose(reverse, (near[0] - near[1]) / 2e-4, rtol=1e-6)


@pytest.mark.slow
def test_saved_values_and_vmap_over_parameters():
    mean = conduct(save=lambda t, u: {"t": t, "mean": jnp.mean(u)}).checked()
    np.testing.assert_allclose(mean["t"], jnp.linspace(0, 1, 13))
    np.testing.assert_allclose(mean["mean"], jnp.mean(conduct().value, axis=1), rtol=1e-12)
    run = jax.vmap(lambda k: conduct(ARGS | {"k": k}).value[-1])
    np.testing.assert_allclose(run(jnp.array([0.9, 1.1]))[1], conduct().value[-1], rtol=1e-9)


@pytest.mark.slow
def test_extrapolated_guesses_save_iterations():
    coarse, fine = (int(conduct(steps=m).statistics["linear_steps"]) / m for m in (12, 400))
    assert fine < 0.6 * coarse


def test_failures_have_a_status():
    starved = SDIRK2(CG(Jacobi(), 1e-12, 0.0, 1))
    times = jnp.linspace(0.0, 1.0, 4)
    assert integrate(SYSTEM, jnp.sin(X), times, ARGS, starved).status.worst() == Code.MAX_STEPS
    nan = conduct(ARGS | {"k": jnp.asarray(jnp.nan)})
    assert nan.status.worst() == Code.NOT_FINITE
    with pytest.raises(ValueError, match="at least two times"):
        integrate(SYSTEM, jnp.sin(X), jnp.zeros(1), ARGS, CG_STEPS)
    with pytest.raises(ValueError, match="substeps = 0"):
        conduct(substeps=0)
    nonlinear = Pointwise(rate=lambda t, u, a: u, inertia=(1.0,))
    with pytest.raises(ValueError, match="give it a Newton"):
        integrate(nonlinear, jnp.ones(1), times, None, CG_STEPS)
