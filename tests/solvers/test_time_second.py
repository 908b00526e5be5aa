"""Methods of second order: observed order, moving supports, energy, damping, stability, restart, derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jaxtyping import Array

from gemel.solvers import (
    CentralDifference,
    Code,
    DenseDirect,
    DenseOperator,
    DiagonalOperator,
    FirstOrderSystem,
    GeneralizedAlpha,
    LinearOperator,
    Motion,
    Newmark,
    Newton,
    SecondOrderSystem,
    integrate,
    lifted_motion,
    stable_step,
)

DIRECT = DenseDirect(1e-9)
NEWTON = Newton(DIRECT, 1e-12, 1e-13, 20, None, 1e-13)
COUPLING = 0.3


def support(t, args):
    """How the prescribed unknown of `Driven` moves."""
    return jnp.sin(args * t) + t


class Driven(SecondOrderSystem):
    """Unknown 0 is prescribed; unknown 1 has mass 1.5, coupled to it by a mass and a spring, and a load that makes
    u₁ = cos 2t + t exact. The spring has a cubic part where it is not linear.
    """

    dense: bool = eqx.field(static=True)
    linear: bool = eqx.field(static=True)

    def mass(self, args) -> LinearOperator:
        values = jnp.array([0.0, 1.5])
        return DenseOperator(jnp.diag(values), True) if self.dense else DiagonalOperator(values)

    def damping(self, args) -> LinearOperator:
        return DiagonalOperator(jnp.array([0.0, 0.4]))

    def _force(self, t: Array, u: Array, args) -> Array:
        acceleration = jax.grad(jax.grad(support))(t, args)
        stretch = u - support(t, args)
        return COUPLING * acceleration + 4 * stretch + (0.0 if self.linear else stretch**3)

    def residual(self, t: Array, u: Array, args) -> Array:
        exact = jnp.cos(2 * t) + t
        load = -4 * 1.5 * jnp.cos(2 * t) + 0.4 * (1 - 2 * jnp.sin(2 * t)) + self._force(t, exact, args)
        return jnp.stack([7 * (u[0] - support(t, args)), self._force(t, u[1], args) - load])

    def tangent(self, t: Array, u: Array, args) -> LinearOperator:
        return DenseOperator(jax.jacfwd(lambda v: self.residual(t, v, args))(u), False)

    def prescribe(self, t: Array, motion: Motion, args) -> Motion:
        return lifted_motion(lambda s, u: u.at[0].set(support(s, args)), t, motion)


class Chain(SecondOrderSystem):
    """Equal masses on springs between two walls, K args, undamped or with the damping c K."""

    size: int = eqx.field(static=True)
    c: float = eqx.field(static=True, default=0.0)
    linear: bool = eqx.field(static=True, default=True)

    def mass(self, args) -> LinearOperator:
        return DiagonalOperator(jnp.ones(self.size))

    def damping(self, args) -> LinearOperator | None:
        return DenseOperator(self.c * self._matrix(args), True) if self.c else None

    def _matrix(self, args) -> Array:
        n = self.size
        return args * (2 * jnp.eye(n) - jnp.eye(n, k=1) - jnp.eye(n, k=-1))

    def residual(self, t: Array, u: Array, args) -> Array:
        return self._matrix(args) @ u + (0.0 if self.linear else 5 * u**3)

    def tangent(self, t: Array, u: Array, args) -> LinearOperator:
        return DenseOperator(jax.jacfwd(lambda v: self.residual(t, v, args))(u), True)

    def prescribe(self, t: Array, motion: Motion, args) -> Motion:
        return motion


def start_of(exact_velocity=1.0):
    return jnp.array([0.0, 1.0]), jnp.array([0.0, exact_velocity])


CASES = {
    "generalized_alpha": (lambda s: GeneralizedAlpha(0.6, s), 2),
    "newmark": (lambda s: Newmark(0.25, 0.5, s), 2),
    "damped_newmark": (lambda s: Newmark(0.36, 0.7, s), 1),
    "central_difference": (lambda s: CentralDifference(), 2),
}


@pytest.mark.parametrize(
    ("name", "linear"),
    [*((name, True) for name in CASES), ("generalized_alpha", False), ("central_difference", False)],
)
def test_order_with_a_moving_support(name: str, linear: bool):
    method, order = CASES[name]
    system = Driven(dense=name != "central_difference", linear=linear)
    solver = DIRECT if linear else NEWTON
    run = jax.jit(lambda h: integrate(system, start_of(), h * jnp.arange(33.0), 1.3, method(solver), uniform=True))
    errors = []
    for m in (16, 32):
        motion = run(1.0 / m).checked()
        t = np.arange(33) / m
        np.testing.assert_allclose(motion.u[:, 0], np.sin(1.3 * t) + t, atol=1e-13)
        np.testing.assert_allclose(motion.v[:, 0], 1.3 * np.cos(1.3 * t) + 1, atol=1e-13)
        np.testing.assert_allclose(motion.a[:, 0], -(1.3**2) * np.sin(1.3 * t), atol=1e-13)
        errors.append([abs(motion.u[m, 1] - np.cos(2.0) - 1), abs(motion.v[m, 1] + 2 * np.sin(2.0) - 1)])
    assert np.all(np.abs(np.log2(np.divide(*map(np.array, errors))) - order) < 0.3)


def test_central_differences_keep_their_order_with_a_damping_that_is_not_diagonal():
    """Against the matrix exponential; with C v½ the errors would only halve."""
    system, n = Chain(size=6, c=0.2), 6
    k = 3.0 * (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1))
    start = jnp.sin(jnp.arange(1.0, 7.0)), jnp.cos(jnp.arange(6.0))
    exact = scipy.linalg.expm(np.block([[0 * k, np.eye(n)], [-k, -0.2 * k]])) @ np.concatenate(start)
    run = jax.jit(lambda h: integrate(system, start, h * jnp.arange(33.0), 3.0, CentralDifference(), uniform=True))
    errors = []
    for m in (16, 32):
        motion = run(1.0 / m).checked()
        errors.append(np.linalg.norm(np.concatenate([motion.u[m], motion.v[m]]) - exact))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.2)


def test_the_first_acceleration_is_that_of_the_balance():
    method, times = GeneralizedAlpha(0.8, DIRECT), jnp.linspace(0, 1, 3)
    run = jax.jit(lambda: integrate(Driven(True, True), start_of(), times, 1.3, method, uniform=True))
    np.testing.assert_allclose(run().checked().a[0, 1], -4.0, rtol=1e-12)


def test_newmark_conserves_energy_and_generalized_alpha_removes_fast_motions():
    system, n = Chain(size=4), 4
    u0, v0 = jnp.array([1.0, -1.0, 1.0, -1.0]), jnp.zeros(n)
    times = jnp.linspace(0.0, 600.0, 61)  # the fastest mode has period 3.3, the slowest 10

    def energies(method):
        motion = jax.jit(lambda: integrate(system, (u0, v0), times, 1.0, method, uniform=True))().checked()
        return 0.5 * jnp.sum(motion.v**2, 1) + 0.5 * jnp.einsum("ti,ij,tj->t", motion.u, system._matrix(1.0), motion.u)

    conserved = energies(Newmark(0.25, 0.5, DIRECT))
    np.testing.assert_allclose(conserved, conserved[0], rtol=1e-11)
    lost = [float(energies(GeneralizedAlpha(rho, DIRECT))[-1] / conserved[0]) for rho in (1.0, 0.9, 0.5)]
    assert abs(lost[0] - 1) < 1e-9
    assert lost[2] < lost[1] < 0.5


def test_spectral_radius_at_infinity():
    # Chung, Hulbert (1993): what is much faster than the step shrinks by ρ∞; −ρ∞ is a triple eigenvalue there, so
    # u = (a + b m + c m²) (−ρ∞)^m.
    method, times = GeneralizedAlpha(0.6, DIRECT), jnp.arange(0.0, 12.0)
    run = jax.jit(lambda: integrate(Chain(size=1), (jnp.ones(1), jnp.zeros(1)), times, 1e12, method, uniform=True))
    grown = np.asarray(run().checked().u[2:, 0]) / (-0.6) ** np.arange(2, 12)
    np.testing.assert_allclose(np.diff(grown, 3), 0, atol=1e-3 * np.abs(grown).max())


def test_stable_step_of_a_chain():
    # The highest frequency of n masses between walls is 2 √k cos(π / (2 (n + 1))).
    omega = 2 * np.sqrt(7.0) * np.cos(np.pi / 22)
    found = stable_step(Chain(size=10), 0.0, jnp.zeros(10), 7.0)
    np.testing.assert_allclose(found, 2 / omega, rtol=1e-3)
    ratio = 0.05 * omega / 2
    damped = stable_step(Chain(size=10, c=0.05), 0.0, jnp.zeros(10), 7.0)
    np.testing.assert_allclose(damped, 2 / omega * (np.sqrt(1 + ratio**2) - ratio), rtol=1e-3)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "nonlinear"])
def test_an_unstable_step_is_a_divergence(linear: bool):
    system = Chain(size=6, linear=linear)
    start = jnp.sin(jnp.arange(1.0, 7.0)) * (1.0 if linear else 0.05), jnp.zeros(6)
    step = 2 / (2 * np.sqrt(3.0) * np.cos(np.pi / 14))
    run = jax.jit(lambda h: integrate(system, start, h * jnp.arange(201.0), 3.0, CentralDifference(), uniform=True))
    stable, unstable = run(0.97 * step), run(1.03 * step)
    assert stable.status.worst() == Code.SUCCESS
    assert unstable.status.worst() == Code.DIVERGENCE


def test_a_system_that_stiffens_is_a_divergence():
    # Stable where it starts (k = 3), unstable at the displacements it reaches (k + 15 u²).
    system = Chain(size=6, linear=False)
    step = 0.9 / np.sqrt(3.0)
    fast = jnp.zeros(6), 4.0 * jnp.ones(6)
    run = integrate(system, fast, step * jnp.arange(31.0), 3.0, CentralDifference())
    assert run.status.worst() in (Code.DIVERGENCE, Code.NOT_FINITE)


@pytest.mark.parametrize("name", ["generalized_alpha", "central_difference"])
def test_a_continued_run_equals_an_uninterrupted_one(name: str):
    method, system = CASES[name][0](DIRECT), Driven(dense=name == "generalized_alpha", linear=True)
    times = jnp.linspace(0.0, 1.0, 9)

    @jax.jit
    def both():
        whole = integrate(system, start_of(), times, 1.3, method, uniform=True)
        first = integrate(system, start_of(), times[:5], 1.3, method, uniform=True, final=True, remember=True)
        saved, last, memory = first.value
        second = integrate(system, start_of(), times[4:], 1.3, method, uniform=True, memory=memory)
        return whole.value, saved, last, second.value

    whole, first, last, second = both()
    for part in ("u", "v", "a"):
        joined = jnp.concatenate([getattr(first, part), getattr(second, part)[1:]])
        np.testing.assert_allclose(joined, getattr(whole, part), rtol=0, atol=1e-13)
        np.testing.assert_array_equal(getattr(last, part), getattr(first, part)[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "linear"), [("generalized_alpha", True), ("generalized_alpha", False), ("central_difference", False)]
)
def test_gradient_by_taylor_remainder(name: str, linear: bool):
    system = Driven(dense=name == "generalized_alpha", linear=linear)
    method = CASES[name][0](DIRECT if linear else NEWTON)

    def objective(point):
        rate, v0, end = point
        times = end * jnp.linspace(0.0, 1.0, 9)
        motion = integrate(system, start_of(v0), times, rate, method, uniform=True).value
        return motion.u[-1, 1] ** 2 + motion.v[-1, 1] + 0.1 * motion.a[-1, 1]

    point, direction = (1.3, 0.8, 1.1), (0.5, -0.3, 0.2)
    value, gradient = jax.jit(jax.value_and_grad(objective))(point)
    slope = sum(g * d for g, d in zip(gradient, direction, strict=True))
    moved = jax.jit(lambda h: objective(tuple(p + h * d for p, d in zip(point, direction, strict=True))))
    errors = [abs(float(moved(h) - value - h * slope)) for h in (0.02, 0.01)]
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.15


def test_methods_say_what_they_need():
    times = jnp.linspace(0.0, 1.0, 3)
    with pytest.raises(ValueError, match="needs a lumped mass, a DiagonalOperator, not a DenseOperator"):
        integrate(Driven(True, True), start_of(), times, 1.0, CentralDifference())
    with pytest.raises(ValueError, match="GeneralizedAlpha was given a linear solver for a nonlinear system"):
        integrate(Driven(True, False), start_of(), times, 1.0, GeneralizedAlpha(0.8, DIRECT))
    with pytest.raises(ValueError, match=r"rho_inf = 1.2: allowed are numbers from 0 to 1"):
        GeneralizedAlpha(1.2, DIRECT)
    with pytest.raises(ValueError, match=r"2 beta >= gamma >= 0.5 is needed"):
        Newmark(0.1, 0.5, DIRECT)


def test_a_system_of_first_order_is_refused():
    class Decay(FirstOrderSystem):
        linear: bool = True

        def mass(self, args):
            return DiagonalOperator(jnp.ones(1))

        def residual(self, t, u, args):
            return u

        def tangent(self, t, u, args):
            return DiagonalOperator(jnp.ones(1))

    start = (jnp.ones(1), jnp.ones(1))
    with pytest.raises(ValueError, match="Newmark integrates a SecondOrderSystem, not a Decay"):
        integrate(Decay(), start, jnp.linspace(0.0, 1.0, 3), None, Newmark(0.25, 0.5, DIRECT))
