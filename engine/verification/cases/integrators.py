"""Time integrators on the matrices of a finite-element model, against exact solutions of the same matrices."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array

from gemel.engine import DiscreteProblem, FunctionSpace, Term
from gemel.engine.physics.integrands import Diffusion, Reaction
from gemel.engine.verification.case import Check, absolute, case, order, relative
from gemel.meshes import line
from gemel.solvers import (
    BDF2,
    SDIRK2,
    SDIRK4,
    CentralDifference,
    CrankNicolson,
    DenseDirect,
    DenseOperator,
    DiagonalOperator,
    FirstOrderSystem,
    GeneralizedAlpha,
    ImplicitEuler,
    LinearOperator,
    Motion,
    Newmark,
    SecondOrderSystem,
    dense_matrix,
    integrate,
    stable_step,
)

GROUP = "time"
_DIRECT = DenseDirect(1e-9)
_FREQUENCY = 3.0


def bar(n: int, length: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Mass and stiffness of a bar of ``n`` intervals P1 with unit coefficients, free at its ends."""
    space = FunctionSpace(line(n, length=length), "P1")
    zero = jnp.zeros(space.n_dofs)
    matrices = (DiscreteProblem.of(space, [Term(form(1.0))]).tangent(zero) for form in (Reaction, Diffusion))
    mass, stiffness = (np.asarray(dense_matrix(matrix)) for matrix in matrices)
    return mass, stiffness


class _Parabolic(FirstOrderSystem):
    """M u̇ + K u = f sin ωt."""

    m: Array
    k: Array
    f: Array
    linear: bool = eqx.field(static=True, default=True)

    def mass(self, args: Any) -> LinearOperator:
        """M, dense."""
        return DenseOperator(self.m, True)

    def residual(self, t: Array, u: Array, args: Any) -> Array:
        """K u − f sin ωt."""
        return self.k @ u - self.f * jnp.sin(_FREQUENCY * t)

    def tangent(self, t: Array, u: Array, args: Any) -> LinearOperator:
        """K."""
        return DenseOperator(self.k, True)


class _Vibration(SecondOrderSystem):
    """M ü + C u̇ + K u = f sin ωt with a lumped mass, and a damping c M."""

    m: Array
    k: Array
    f: Array
    c: float
    linear: bool = eqx.field(static=True, default=True)

    def mass(self, args: Any) -> LinearOperator:
        """M, diagonal."""
        return DiagonalOperator(self.m)

    def damping(self, args: Any) -> LinearOperator:
        """C = c M."""
        return DiagonalOperator(self.c * self.m)

    def residual(self, t: Array, u: Array, args: Any) -> Array:
        """K u − f sin ωt."""
        return self.k @ u - self.f * jnp.sin(_FREQUENCY * t)

    def tangent(self, t: Array, u: Array, args: Any) -> LinearOperator:
        """K."""
        return DenseOperator(self.k, True)

    def prescribe(self, t: Array, motion: Motion, args: Any) -> Motion:
        """Nothing is prescribed."""
        return motion


def _vibration(mass: np.ndarray, stiffness: np.ndarray, load: np.ndarray, damping: float) -> _Vibration:
    return _Vibration(m=jnp.asarray(mass), k=jnp.asarray(stiffness), f=jnp.asarray(load), c=damping)


def _exact(rate: np.ndarray, load: np.ndarray, start: np.ndarray, end: float) -> np.ndarray:
    """y(end) of ẏ = rate y + load sin ωt, by the matrix exponential of the system with sin and cos appended."""
    n = len(start)
    whole = np.zeros((n + 2, n + 2))
    whole[:n, :n], whole[:n, n] = rate, load
    whole[n, n + 1], whole[n + 1, n] = _FREQUENCY, -_FREQUENCY
    return (scipy.linalg.expm(whole * end) @ np.concatenate([start, [0.0, 1.0]]))[:n]


def _observed(run: Callable[[Any, int], Array], exact: np.ndarray, steps: int, end: float) -> float:
    """The order from the errors at the end of runs of ``steps`` and twice as many steps."""
    off = [float(jnp.linalg.norm(run(end / n, n) - exact)) for n in (steps, 2 * steps)]
    return float(np.log2(off[0] / off[1]))


@case(
    "order-first-order-integrators",
    group=GROUP,
    title="Orders of the integrators for problems of first order",
    equations=r"$$ M\dot u + K u = f\sin\omega t, \qquad \|u_{\Delta t}(1) - u(1)\| = O(\Delta t^p) $$",
    setup="Conduction in a bar of 4 intervals P1, held at its left end, heated at the right with sin 3t, from a "
    "linear start; 32 "
    "and 64 steps (256 and 512 for SDIRK4, which the stiff part of the spectrum keeps below its order before). The "
    "exact solution of the same matrices is a matrix exponential.",
    source="Hairer, Wanner, Solving Ordinary Differential Equations II, chapters IV and V; Alexander, SIAM J. "
    "Numer. Anal. 14, 1977",
)
def first_order() -> Sequence[Check]:
    mass, stiffness = (matrix[1:, 1:] for matrix in bar(4))
    load = np.eye(4)[-1]
    system = _Parabolic(m=jnp.asarray(mass), k=jnp.asarray(stiffness), f=jnp.asarray(load))
    start = np.linspace(0.25, 1.0, 4)
    exact = _exact(-np.linalg.solve(mass, stiffness), np.linalg.solve(mass, load), start, 1.0)
    methods = [(ImplicitEuler, 1, 32), (CrankNicolson, 2, 32), (BDF2, 2, 32), (SDIRK2, 2, 32), (SDIRK4, 4, 256)]
    checks = []
    for method, theory, steps in methods:

        def run(h: Any, n: int, method: Any = method) -> Array:
            times = h * jnp.arange(n + 1.0)
            return integrate(system, jnp.asarray(start), times, None, method(_DIRECT), uniform=True).checked()[-1]

        checks.append(order(method.__name__, theory, _observed(run, exact, steps, 1.0)))
    return checks


@case(
    "order-second-order-integrators",
    group=GROUP,
    title="Orders of the integrators for problems of second order",
    equations=r"$$ M\ddot u + C\dot u + K u = f\sin\omega t, \qquad \|u_{\Delta t}(1) - u(1)\| = O(\Delta t^2) $$",
    setup="A bar of 4 intervals P1 with a lumped mass and C = 0.5 M, held at its left end, pulled at the right "
    "with sin 3t, from a linear "
    "start at rest; 32 and 64 steps. The exact solution of the same matrices is a matrix exponential.",
    source="Hughes, The Finite Element Method, 2000, chapter 9; Chung, Hulbert, J. Appl. Mech. 60, 1993",
)
def second_order() -> Sequence[Check]:
    consistent, free = bar(4)
    mass, stiffness, load = consistent.sum(axis=1)[1:], free[1:, 1:], np.eye(4)[-1]
    system = _vibration(mass, stiffness, load, 0.5)
    start = np.linspace(0.25, 1.0, 4)
    rate = np.block([[np.zeros((4, 4)), np.eye(4)], [-stiffness / mass[:, None], -0.5 * np.eye(4)]])
    exact = _exact(rate, np.concatenate([np.zeros(4), load / mass]), np.concatenate([start, np.zeros(4)]), 1.0)[:4]
    methods = {
        "GeneralizedAlpha, ρ∞ = 0.8": GeneralizedAlpha(0.8, _DIRECT),
        "Newmark, β = 1/4, γ = 1/2": Newmark(0.25, 0.5, _DIRECT),
        "CentralDifference": CentralDifference(),
    }
    checks = []
    for name, method in methods.items():

        def run(h: Any, n: int, method: Any = method) -> Array:
            initial = (jnp.asarray(start), jnp.zeros(4))
            return integrate(system, initial, h * jnp.arange(n + 1.0), None, method, uniform=True).checked().u[-1]

        checks.append(order(name, 2, _observed(run, exact, 32, 1.0)))
    return checks


@case(
    "newmark-energy",
    group=GROUP,
    title="The average acceleration conserves energy",
    equations=r"$$ \tfrac12 \dot u\cdot M\dot u + \tfrac12 u\cdot K u = \text{const} $$",
    setup="The bar of order-second-order-integrators, undamped and unloaded, 1000 steps of 0.3, longer than the "
    "shortest period over "
    "two.",
    source="Hughes, The Finite Element Method, 2000, section 9.3",
)
def newmark_energy() -> Sequence[Check]:
    consistent, stiffness = bar(4)
    mass, k = consistent.sum(axis=1)[1:], stiffness[1:, 1:]
    system = _vibration(mass, k, np.zeros(4), 0.0)
    initial = (jnp.array([1.0, -1.0, 1.0, -1.0]), jnp.zeros(4))
    times = 0.3 * jnp.arange(1001.0)
    motion = integrate(system, initial, times, None, Newmark(0.25, 0.5, _DIRECT), uniform=True).checked()
    u, v = np.asarray(motion.u), np.asarray(motion.v)
    energy = 0.5 * v**2 @ mass + 0.5 * np.einsum("ti,ij,tj->t", u, k, u)
    return [relative("energy after 1000 steps", energy[0], energy[-1], 1e-10)]


@case(
    "wave-in-a-bar",
    group=GROUP,
    title="A pulse in a bar, exact where the step is the time of one element",
    equations=r"$$ \ddot u = c^2 u'': \quad u(x, t) = g(x - ct) \text{ is met at the nodes where } c\,\Delta t = h $$",
    setup="A bar of 100 intervals P1 with a lumped mass, c = 1, free ends; a pulse exp(−((x − 0.3)/0.05)²) that "
    "moves to the right, by "
    "central differences with Δt = 0.999999 h to t = 0.4, and to t = 1.4 when it has come back from the free end.",
    source="Hughes, The Finite Element Method, 2000, section 9.1; d'Alembert's solution",
)
def wave_in_a_bar() -> Sequence[Check]:
    n = 100
    consistent, stiffness = bar(n)
    system = _Vibration(
        m=jnp.asarray(consistent.sum(axis=1)), k=jnp.asarray(stiffness), f=jnp.asarray(np.zeros(n + 1)), c=0.0
    )
    x, step = np.linspace(0.0, 1.0, n + 1), 0.999999 / n
    pulse = lambda x: np.exp(-(((x - 0.3) / 0.05) ** 2))  # noqa: E731
    # The exact nodal velocity of the first half step: (u₁ − u₋₁) / 2Δt.
    velocity = (pulse(x - step) - pulse(x + step)) / (2 * step)
    initial = (jnp.asarray(pulse(x)), jnp.asarray(velocity))
    times = step * jnp.arange(141.0)
    u = np.asarray(integrate(system, initial, times, None, CentralDifference(), uniform=True).checked().u)
    return [
        absolute("largest error at t = 0.4", 0.0, np.max(np.abs(u[40] - pulse(x - 40 * step))), 1e-5),
        absolute("largest error at t = 1.4", 0.0, np.max(np.abs(u[140] - pulse(2 - x - 140 * step))), 1e-4),
    ]


@case(
    "stable-step",
    group=GROUP,
    title="The longest stable explicit step",
    equations=r"$$ \Delta t = \frac{2}{\omega_{max}} = \frac{h}{c} $$",
    setup="The bar of wave-in-a-bar with 20 intervals; the estimate by power iteration, which comes from above.",
    source="Belytschko, Liu, Moran, Nonlinear Finite Elements for Continua and Structures, 2000, chapter 6",
)
def longest_step() -> Sequence[Check]:
    consistent, stiffness = bar(20)
    system = _Vibration(
        m=jnp.asarray(consistent.sum(axis=1)), k=jnp.asarray(stiffness), f=jnp.asarray(np.zeros(21)), c=0.0
    )
    found = jax.jit(lambda: stable_step(system, 0.0, jnp.zeros(21), None))()
    return [relative("longest stable step over h/c", 1.0, found * 20, 5e-3)]


CASES = (first_order, second_order, newmark_energy, wave_in_a_bar, longest_step)
"""The chapter."""
