"""Nonlinear solves: convergence, derivatives with every kind of argument, failures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from gemel.solvers import (
    GMRES,
    Backtracking,
    Code,
    DenseDirect,
    DenseOperator,
    Identity,
    Newton,
    Unrolled,
    nonlinear_solve,
)

N = 8
INDEX = jnp.arange(N)[::-1]
SOLVER = Newton(DenseDirect(1e-8), 1e-13, 1e-13, 30, Backtracking(10))


def residual(u: Array, args: tuple) -> Array:
    k, source, index, nothing = args
    assert nothing is None
    left, right = jnp.append(0.0, u[:-1]), jnp.append(u[1:], 0.0)
    return k * (2 * u - left - right) + u**3 + 0.3 * jnp.exp(u) - source[index]


def tangent(u: Array, args: tuple) -> DenseOperator:
    return DenseOperator(jax.jacfwd(residual)(u, args), True)


def solve(k, source, solver=SOLVER, **options):
    return nonlinear_solve(residual, jnp.zeros(N), (k, source, INDEX, None), solver, **options)


SOURCE = jnp.linspace(0.0, 2.0, N)


def remainders(objective, point, direction) -> np.ndarray:
    """Orders of |J(θ + hδ) − J(θ) − h ∇J·δ| as h is halved: 2 for a right gradient."""
    objective = jax.jit(objective)
    value, gradient = jax.jit(jax.value_and_grad(objective))(point)
    slope = jnp.vdot(gradient, direction)
    sizes = [1e-2 / 2**i for i in range(4)]
    errors = [abs(objective(point + h * direction) - value - h * slope) for h in sizes]
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


@pytest.mark.parametrize("options", [{"tangent": tangent}, {"symmetric": True}, {}], ids=["given", "symmetric", "free"])
def test_gradient_by_taylor_remainder(options: dict):
    def objective(source):
        return jnp.sum(solve(jnp.asarray(1.3), source, **options).value ** 2)

    assert np.all(np.abs(remainders(objective, SOURCE, jnp.cos(3 * SOURCE)) - 2) < 0.1)


def test_forward_reverse_second_order_vmap_and_unrolled_agree():
    def objective(k, **options):
        return jnp.sum(solve(k, SOURCE, **options).value ** 2)

    @jax.jit
    def everything(k):
        one = jnp.ones(())
        forward = jax.jvp(objective, (k,), (one,))[1]
        unrolled = jax.jvp(lambda k: objective(k, adjoint=Unrolled()), (k,), (one,))[1]
        reverse = jax.vmap(jax.grad(objective))(jnp.stack([k, k + 1e-4, k - 1e-4]))
        return forward, unrolled, reverse, jax.grad(jax.grad(objective))(k)

    forward, unrolled, reverse, second = everything(jnp.asarray(2.0))
    np.testing.assert_allclose(forward, reverse[0], rtol=1e-10)
    np.testing.assert_allclose(unrolled, reverse[0], rtol=1e-6)
    np.testing.assert_allclose(second, (reverse[1] - reverse[2]) / 2e-4, rtol=1e-6)


def test_parameters_inside_a_bound_residual():
    class Cubic(eqx.Module):
        stiffness: Array

        def residual(self, u: Array, load: Array) -> Array:
            return self.stiffness * u + u**3 - load

    def root(stiffness):
        return nonlinear_solve(Cubic(stiffness).residual, jnp.zeros(2), jnp.ones(2), SOLVER).value[0]

    s = jnp.asarray(1.5)
    u = root(s)
    np.testing.assert_allclose(jax.grad(root)(s), -u / (s + 3 * u**2), rtol=1e-10)


def test_iterative_linear_solver_and_state():
    solver = Newton(GMRES(Identity(), 1e-12, 1e-14, 200, 20), 1e-12, 1e-12, 20)
    solution = solve(jnp.asarray(2.0), SOURCE, solver)
    np.testing.assert_allclose(solution.checked(), solve(jnp.asarray(2.0), SOURCE).value, rtol=1e-9)
    assert int(solution.statistics["linear_steps"]) > int(solution.statistics["steps"])


def test_line_search_rescues_a_far_start():
    def arc(u, args):
        return jnp.arctan(u)

    start = jnp.array([3.0])
    full = nonlinear_solve(arc, start, None, Newton(DenseDirect(1e-6), 1e-12, 1e-12, 30))
    assert full.status.worst() in (Code.DIVERGENCE, Code.NOT_FINITE, Code.BREAKDOWN, Code.MAX_STEPS)
    damped = nonlinear_solve(arc, start, None, Newton(DenseDirect(1e-6), 1e-12, 1e-12, 30, Backtracking(20)))
    np.testing.assert_allclose(damped.checked(), 0.0, atol=1e-10)


def test_patience_goes_past_a_kink_where_no_step_is_a_descent():
    """A spring that is stiff for u₀ ≤ 0 and slack beyond: from the kink, on the stiff side, every step goes uphill."""

    def spring(u: Array, load: Array) -> Array:
        return (
            jnp.array([[26.0, -5.0], [-5.0, 1.0]]) @ u + jnp.array([jnp.where(u[0] > 0, 0.0, 100 * u[0]), 0.0]) - load
        )

    def solve(patience: int):
        solver = Newton(DenseDirect(1e-8), 1e-12, 1e-12, 10, Backtracking(10, patience=patience))
        return nonlinear_solve(spring, jnp.zeros(2), jnp.ones(2), solver)

    assert solve(0).status.worst() == Code.STAGNATION
    np.testing.assert_allclose(solve(1).checked(), [6.0, 31.0], rtol=1e-10)


def test_failures_have_a_status():
    def code(function, **changes):
        solver = Newton(DenseDirect(1e-6), 1e-12, 1e-12, changes.get("steps", 20), Backtracking(8))
        return nonlinear_solve(function, jnp.ones(1), None, solver).status.worst()

    assert code(lambda u, _: u**3 - 7, steps=1) == Code.MAX_STEPS
    assert code(lambda u, _: u**2 + 1) in (Code.STAGNATION, Code.NOT_FINITE)
    assert code(lambda u, _: u * jnp.nan) == Code.NOT_FINITE
    assert code(lambda u, _: 0 * u + 1) == Code.NOT_FINITE
