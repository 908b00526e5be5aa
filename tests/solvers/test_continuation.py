"""Load paths: adaptive steps, histories, derivatives, and what is kept where a path ends early."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gemel.solvers import Code, DenseDirect, DenseOperator, LoadSteps, SolveError, load_path, robust_newton

SOLVER = robust_newton(DenseDirect(1e-8), 1e-12, 1e-12)
STEPS = LoadSteps(first=0.25, smallest=1e-4, max_steps=40)


def shallow_truss(u, args):
    """Two bars of a shallow truss, rise 1: u³ − 3u² + 2u grows up to 2/(3√3) at u = 1 − 1/√3 (a limit point)."""
    return args["stiffness"] * (u**3 - 3 * u**2 + 2 * u) - args["load"]


def dense(residual):
    return lambda u, args: DenseOperator(jax.jacfwd(residual)(u, args), False)


def scaled(args, factor, history):
    return args | {"load": factor * args["load"]}


def push(load, steps=STEPS, stiffness=1.0):
    args = {"stiffness": stiffness, "load": load}
    return load_path(
        shallow_truss, jnp.zeros(1), scaled, args, SOLVER, steps, dense(shallow_truss), save=lambda f, u, h: u[0]
    )


LIMIT = 2 / (3 * np.sqrt(3))


def test_path_below_the_limit_point():
    solution = jax.jit(push)(0.999 * LIMIT)
    path = solution.checked()
    count = int(path.count)
    assert float(path.factor) == 1.0
    assert float(path.factors[count - 1]) == 1.0
    u = np.asarray(path.saved)[:count]
    np.testing.assert_allclose(u**3 - 3 * u**2 + 2 * u, np.asarray(path.factors)[:count] * 0.999 * LIMIT, atol=1e-11)
    assert np.all(np.isnan(path.factors[count:]))
    assert np.all(np.isnan(path.saved[count:]))
    assert int(solution.statistics["steps"]) == count - 1
    np.testing.assert_allclose(path.u[0], u[-1])


def rigid(u, args):
    """A law without an answer above 1: tanh u = load."""
    return jnp.tanh(u) - args["load"]


def test_a_path_without_an_answer_keeps_the_last_state_and_says_how_far_it_came():
    # tanh u = 2 λ has a root below λ = ½ only.
    steps = LoadSteps(first=0.2, smallest=1e-5, max_steps=80)
    solution = load_path(rigid, jnp.zeros(1), scaled, {"load": 2.0}, SOLVER, steps, dense(rigid))
    path = solution.value
    assert solution.status.worst() in (Code.STAGNATION, Code.MAX_STEPS, Code.NOT_FINITE, Code.DIVERGENCE)
    assert 0.499 < float(path.factor) < 0.5
    np.testing.assert_allclose(np.tanh(path.u[0]), 2 * path.factor, rtol=1e-10)
    with pytest.raises(SolveError):
        solution.checked("load path")
    few = load_path(rigid, jnp.zeros(1), scaled, {"load": 0.9}, SOLVER, LoadSteps(0.1, 0.01, 3, grow=1.0), dense(rigid))
    assert few.status.worst() == Code.MAX_STEPS
    np.testing.assert_allclose(few.value.factor, 0.3, rtol=1e-12)


@pytest.mark.slow
def test_gradient_of_the_final_state_and_of_the_path():
    def final(load, stiffness):
        return push(load, stiffness=stiffness).value.u[0]

    def path(load, stiffness):
        return jnp.nansum(push(load, stiffness=stiffness).value.saved ** 2)

    point = (0.3, 1.2)
    u = jax.jit(final)(*point)
    slope = 1.2 * (3 * u**2 - 6 * u + 2)
    gradient = jax.jit(jax.grad(final, (0, 1)))(*point)
    np.testing.assert_allclose(gradient, [1 / slope, -(u**3 - 3 * u**2 + 2 * u) / slope], rtol=1e-9)
    value, (by_load, _) = jax.jit(jax.value_and_grad(path, (0, 1)))(*point)
    moved = jax.jit(path)
    errors = [abs(float(moved(0.3 + h, 1.2) - value - h * by_load)) for h in (0.01, 0.005)]
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.1


def hardening(u, args):
    """A spring of 10 with a slider (yield force 1, kinematic hardening 2, slip the history) beside 0.1 u³."""
    elastic = u - args["history"]
    trial = 10 * elastic
    excess = jnp.maximum(jnp.abs(trial - 2 * args["history"]) - args["yield"], 0.0)
    slip = jnp.sign(trial - 2 * args["history"]) * excess / 12
    return 10 * (elastic - slip) + 0.1 * u**3 - args["load"]


def slipped(u, args):
    trial = 10 * (u - args["history"]) - 2 * args["history"]
    return args["history"] + jnp.sign(trial) * jnp.maximum(jnp.abs(trial) - args["yield"], 0.0) / 12


def there_and_back(args, factor, history):
    """Load up to args['load'] at λ = ½, then back to zero: the way matters."""
    return {"load": args["load"] * (1 - jnp.abs(2 * factor - 1)), "yield": args["yield"], "history": history}


def cycle(load, limit):
    args = {"load": load, "yield": limit}
    steps = LoadSteps(first=0.125, smallest=1e-3, max_steps=24, grow=1.0)
    return load_path(
        hardening,
        jnp.zeros(1),
        there_and_back,
        args,
        SOLVER,
        steps,
        dense(hardening),
        history=jnp.zeros(1),
        update=slipped,
    )


@pytest.mark.slow
def test_history_and_its_derivative():
    def leftover(load, limit):
        path = cycle(load, limit).value
        return path.u[0], path.history[0]

    solution = jax.jit(cycle)(1.6, 1.0)
    path = solution.checked()
    np.testing.assert_allclose(path.factor, 1.0)
    np.testing.assert_allclose(path.history, 0.3 - 0.1 / 2 * _peak() ** 3, rtol=1e-9)
    np.testing.assert_allclose(10 * (path.u - path.history) + 0.1 * path.u**3, 0.0, atol=1e-10)
    gradient = jax.jit(jax.grad(lambda a, b: leftover(a, b)[1], (0, 1)))(1.6, 1.0)
    run = jax.jit(leftover)
    near = [[run(1.6 + 1e-5 * a, 1.0 + 1e-5 * b)[1] for a, b in pair] for pair in _PAIRS]
    np.testing.assert_allclose(gradient, [(p - m) / 2e-5 for p, m in near], rtol=1e-7)


_PAIRS = (((1, 0), (-1, 0)), ((0, 1), (0, -1)))


def _peak():
    """u at the top: 10 (u − p) − 2 p = 1 and 10 (u − p) + 0.1 u³ = 1.6, so p = (0.6 − 0.1 u³)/2."""
    u = 1.0
    for _ in range(50):
        p = (0.6 - 0.1 * u**3) / 2
        u = u - (10 * (u - p) + 0.1 * u**3 - 1.6) / (10 + 1.5 * u**2 + 0.3 * u**2)
    return u


def test_bad_steps_are_refused():
    with pytest.raises(ValueError, match="0 < smallest <= first <= 1 is needed"):
        LoadSteps(first=0.1, smallest=0.2, max_steps=3)
    with pytest.raises(ValueError, match="0 < shrink < 1 <= grow is needed"):
        LoadSteps(first=0.1, smallest=0.01, max_steps=3, shrink=1.5)
    with pytest.raises(ValueError, match="max_steps = 0"):
        LoadSteps(first=0.1, smallest=0.01, max_steps=0)
