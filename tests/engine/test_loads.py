"""Loads over time: what follows inputs in proportion is assembled once, what follows them otherwise at every step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.analyses.loads import Loads, is_affine


def plate(sources: list[gm.Term]) -> gm.Heat:
    space = gm.FunctionSpace(gm.rectangle(6, 5, size=(1.0, 0.8)), "Q1")
    return gm.Heat(space, 2.0, 3.0, [gm.Dirichlet("left", 1.5), *sources])


def lamp(power: gm.Input) -> gm.Term:
    return gm.HeatSource("all", gm.Profile(lambda x, s: 3.0 + s * x[0], (power,)))


def wind(speed: gm.Input) -> gm.Term:
    """Not proportional to the input."""
    return gm.Flux("right", gm.Profile(lambda x, s: jnp.sin(s) * x[1], (speed,)))


def switch(signal: gm.Input) -> gm.Term:
    """On where the signal is above a threshold: a jump, whose derivative is zero."""
    return gm.HeatSource("all", gm.Profile(lambda x, s: jnp.where(s > 1.3, 1e3, 0.0), (signal,)))


TIMES = np.linspace(0.0, 1.0, 6)
INPUTS = {
    "power": gm.Series(TIMES, np.cos(3 * TIMES), hold=False),
    "speed": gm.Series(TIMES, np.exp(TIMES), hold=False),
}


@pytest.mark.parametrize("name", ["lamp", "wind", "switch", "both", "none", "a product of signals"])
def test_loads_are_the_residual_at_zero(name: str):
    product = gm.Input(("power", "speed"), gain=2.0, offset=0.5)
    sources, proportional = {
        "lamp": ([lamp(gm.Input("power"))], [True]),
        "wind": ([wind(gm.Input("speed"))], [False]),
        "switch": ([switch(gm.Input("speed"))], [False]),
        "both": ([lamp(gm.Input("power", gain=4.0)), wind(gm.Input("speed"))], [True, False]),
        "none": ([gm.HeatSource("all", 2.0)], [False]),
        "a product of signals": ([lamp(product)], [True]),
    }[name]
    analysis = gm.Transient(plate(sources), 0.0, 0.1)
    system, problem = analysis._system(), analysis.physics.problem
    args = (problem, analysis.physics.inertia, INPUTS, analysis._scale())
    loads = system.resting(args)
    assert isinstance(loads, Loads)
    assert [kept for kept, rests in zip(loads.proportional, problem.resting, strict=True) if not rests] == [
        kept for kept in proportional if name != "none"
    ]
    zero = jnp.zeros(problem.space.n_dofs)
    for t in (0.0, 0.37, 1.0):
        expected = system.residual(jnp.asarray(t), zero, args)
        np.testing.assert_allclose(system.load(jnp.asarray(t), zero, loads, args), expected, atol=1e-13)


@pytest.mark.slow
def test_a_run_and_its_gradient_do_not_depend_on_how_loads_are_found():
    """The same source, once in proportion to its input and once behind a square root of its square."""

    def last(gain, hidden: bool):
        power = gm.Input("power", gain=gain, offset=2.0)
        bent = gm.Profile(lambda x, s: jnp.sqrt(s**2) * x[0], (power,))
        plain = gm.Profile(lambda x, s: s * x[0], (power,))
        analysis = gm.Transient(plate([gm.HeatSource("all", bent if hidden else plain)]), 0.0, 0.2, method=gm.BDF2())
        solution = analysis.solve(analysis.prepare(), INPUTS, TIMES, lambda t, u: u)
        return solution.checked()[0][-1]

    for hidden in (False, True):
        assert float(jnp.abs(last(0.7, hidden)).max()) > 1.0
    np.testing.assert_allclose(last(0.7, False), last(0.7, True), atol=1e-9)
    slopes = [float(jax.grad(lambda gain, h=h: jnp.sum(last(gain, h) ** 2))(0.7)) for h in (False, True)]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-7)


def in_a_loop(v):
    return jax.lax.map(lambda x: v[0] * x + v[1], jnp.arange(3.0))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda v: v[0] * jnp.arange(3.0) - 2 * v[1], True),
        (lambda v: jnp.where(jnp.arange(3) > 1, v[0], 5.0), True),
        (lambda v: jax.jit(lambda a: jnp.cumsum(a * jnp.ones(2)))(v[0]) + v[1], True),
        (lambda v: jnp.zeros(2), True),
        (lambda v: v[0] * v[1], False),
        (lambda v: jnp.exp(v[0]), False),
        (lambda v: jnp.where(v[0] > 0, v[0], 0.0), False),
        (lambda v: jax.lax.fori_loop(0, 2, lambda _, y: y * v[0], 1.0), False),
        (lambda v: v[0] / (1 + v[1]), False),
        (lambda v: jnp.where(v[0] > 0.5, 1e3, 0.0), False),
        (lambda v: jnp.arange(9.0)[v[0].astype(int)], False),
        (lambda v: jnp.round(v[0]) * jnp.arange(3.0), False),
        (lambda v: jax.lax.stop_gradient(v[0]), False),
        (lambda v: v[0] - jnp.floor(v[0]), False),
        (lambda v: jax.lax.rem(v[0], 5.0), False),
        (lambda v: jax.lax.cond(v[0] > 0, lambda: 1.0, lambda: 2.0), False),
        (lambda v: jnp.sign(v[1]), False),
        (lambda v: jax.nn.relu(v[0]), False),
        (in_a_loop, True),
        (lambda v: jax.lax.fori_loop(0, 3, lambda _, y: 2 * y + v[0], 0.0), True),
        (lambda v: jax.lax.scan(lambda y, x: (x, y * v[0]), 1.0, v[1] * jnp.ones(3))[1], False),
    ],
)
def test_affine_functions_are_told_by_their_program(function, expected: bool):
    assert is_affine(function, 2) == expected
