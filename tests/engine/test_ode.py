"""ODE systems: order of convergence, published stiff problems, gradients, held inputs, messages."""

from collections.abc import Mapping
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.analyses.ode import implicit_solver, interval_means
from gemel.engine.coefficients import drive
from gemel.solvers import Code

EXPLICIT = diffrax.Tsit5(scan_kind="bounded")
HEUN = diffrax.Heun(scan_kind="bounded")


class Logistic(gm.OdeSystem):
    """y' = k y (1 - y), y(0) = 1/4: y = 1 / (1 + 3 exp(-k t))."""

    growth: Any = 1.0
    output_names: tuple[str, ...] = eqx.field(static=True, default=("y",))

    def initial(self):
        return jnp.array([0.25])

    def rate(self, t, y, inputs):
        return self.growth * y * (1.0 - y)

    def outputs(self, t, y, inputs):
        return {"y": y[0]}


class Follower(gm.OdeSystem):
    """y' = (s - y) / tau and the charge q' = s, with the signal s; reads y, q and s."""

    tau: Any = 2.0
    drive: Any = gm.Input("s")
    output_names: tuple[str, ...] = eqx.field(static=True, default=("y", "q", "s"))

    def initial(self):
        return jnp.zeros(2)

    def rate(self, t, y, inputs):
        s = drive(self.drive, inputs)
        return jnp.stack([(s - y[0]) / self.tau, jnp.asarray(s, float)])

    def outputs(self, t, y, inputs):
        return {"y": y[0], "q": y[1], "s": jnp.asarray(drive(self.drive, inputs), float)}


class Robertson(gm.OdeSystem):
    output_names: tuple[str, ...] = eqx.field(static=True, default=("a", "b", "c"))

    def initial(self):
        return jnp.array([1.0, 0.0, 0.0])

    def rate(self, t, y, inputs):
        slow, fast, cross = 0.04 * y[0], 3e7 * y[1] ** 2, 1e4 * y[1] * y[2]
        return jnp.stack([cross - slow, slow - cross - fast, fast])

    def outputs(self, t, y, inputs):
        return dict(zip(self.output_names, y, strict=True))


class Hires(gm.OdeSystem):
    output_names: tuple[str, ...] = eqx.field(static=True, default=tuple(f"y{i}" for i in range(1, 9)))

    def initial(self):
        return jnp.zeros(8).at[0].set(1.0).at[7].set(0.0057)

    def rate(self, t, y, inputs):
        a, b, c, d, e, f, g, h = y
        bound = 280.0 * f * h
        return jnp.stack(
            [
                -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
                1.71 * a - 8.75 * b,
                -10.03 * c + 0.43 * d + 0.035 * e,
                8.32 * b + 1.71 * c - 1.12 * d,
                -1.745 * e + 0.43 * f + 0.43 * g,
                -bound + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
                bound - 1.81 * g,
                -bound + 1.81 * g,
            ]
        )

    def outputs(self, t, y, inputs):
        return dict(zip(self.output_names, y, strict=True))


def final(analysis: Any, times: Any, inputs: Mapping[str, gm.Series] | None = None) -> np.ndarray:
    solution = eqx.filter_jit(analysis.solve)(inputs or {}, jnp.asarray(analysis.grid(np.asarray(times))))
    assert bool(solution.status.ok)
    return np.asarray(solution.value[-1])


@pytest.mark.parametrize(
    ("solver", "order"), [(implicit_solver(1e-9, 1e-11), 3), (diffrax.Bosh3(scan_kind="bounded"), 3), (HEUN, 2)]
)
def test_fixed_steps_converge_with_the_order_of_the_method(solver, order):
    exact = 1.0 / (1.0 + 3.0 * np.exp(-4.0))
    errors = [abs(final(gm.Ode(Logistic(), step, solver), [0.0, 4.0])[0] - exact) for step in (0.0625, 0.03125)]
    rate = np.log2(errors[0] / errors[1])
    assert abs(rate - order) < 0.2, rate


@pytest.mark.slow
def test_robertson_reaches_the_published_values():
    # Mazzia, Magherini, Test Set for IVP Solvers, problem ROBER, t = 1e11.
    expected = [0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050]
    found = final(gm.AdaptiveOde(Robertson(), rtol=1e-6, atol=np.array([1e-12, 1e-18, 1e-12])), [0.0, 1e11])
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.slow
def test_hires_reaches_the_published_values():
    # Hairer, Wanner, Solving Ordinary Differential Equations II; Mazzia, Magherini, problem HIRES, t = 321.8122.
    expected = [
        0.7371312573325668e-3,
        0.1442485726316185e-3,
        0.5888729740967575e-4,
        0.1175651343283149e-2,
        0.2386356198831331e-2,
        0.6238968252742796e-2,
        0.2849998395185769e-2,
        0.2850001604814231e-2,
    ]
    found = final(gm.AdaptiveOde(Hires(), rtol=1e-7, atol=1e-10), [0.0, 321.8122])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_held_inputs_are_exact_and_seen_by_the_output_that_ends_the_step():
    signal = gm.Series(np.array([0.0, 1.0, 3.0]), np.array([1.0, -2.0, 0.5]))
    twin = gm.Twin(
        "f",
        gm.Ode(Follower(), 0.02),
        [gm.OutputSensor(name=name, output=name, noise=gm.Noise(1.0)) for name in ("y", "q", "s")],
    )
    run = gm.simulate(twin, {"s": signal}, [0.0, 1.0, 3.0, 4.0])
    y1 = 1.0 - np.exp(-0.5)
    y2 = -2.0 + (y1 + 2.0) * np.exp(-1.0)
    y3 = 0.5 + (y2 - 0.5) * np.exp(-0.5)
    np.testing.assert_allclose(run.readings["y"], [0.0, y1, y2, y3], atol=1e-7)
    np.testing.assert_allclose(run.readings["q"], [0.0, 1.0, -3.0, -2.5], atol=1e-12)
    np.testing.assert_allclose(run.readings["s"], [1.0, 1.0, -2.0, 0.5])


@pytest.mark.slow
def test_what_integrates_an_input_does_not_depend_on_the_requested_times():
    rng = np.random.default_rng(0)
    knots = np.cumsum(rng.uniform(0.01, 0.3, 50))
    for hold in (True, False):
        signal = gm.Series(knots, rng.normal(size=50), hold)
        means = interval_means(signal, jnp.array([0.0, 0.7, 3.0, 20.0]))
        fine = np.linspace(0.0, 20.0, 200_001)
        middle = 0.5 * (fine[1:] + fine[:-1])
        values = np.asarray(jax.vmap(signal.at)(jnp.asarray(middle)))
        for mean, (a, b) in zip(means, [(0.0, 0.7), (0.7, 3.0), (3.0, 20.0)], strict=True):
            assert abs(mean - values[(middle > a) & (middle < b)].mean()) < 1e-3


def test_the_adaptive_mode_stops_at_jumps():
    signal = gm.Series(np.array([0.0, 1.0, 3.0]), np.array([1.0, -2.0, 0.5]))
    found = final(gm.AdaptiveOde(Follower(), rtol=1e-9, atol=1e-11), [0.0, 4.0], {"s": signal})
    y = 1.0 - np.exp(-0.5)
    y = -2.0 + (y + 2.0) * np.exp(-1.0)
    np.testing.assert_allclose(found, [0.5 + (y - 0.5) * np.exp(-0.5), -2.5], atol=1e-8)


def cost(tau: Any, values: Any, analysis: Any) -> Any:
    analysis = eqx.tree_at(lambda a: a.system.tau, analysis, tau)
    inputs = {"s": gm.Series(jnp.array([0.0, 1.0, 3.0]), values)}
    return jnp.sum(analysis.solve(inputs, jnp.linspace(0.0, 4.0, 5)).value[:, 0] ** 2)


ANALYSES = {
    "implicit": gm.Ode(Follower(), 1.0),
    "explicit": gm.Ode(Follower(), 1.0, EXPLICIT),
    "adaptive forward": gm.AdaptiveOde(Follower(), rtol=1e-9, atol=1e-11, solver=diffrax.Tsit5()),
    "adaptive reverse": gm.AdaptiveOde(
        Follower(),
        rtol=1e-9,
        atol=1e-11,
        max_steps=1000,
        solver=diffrax.Tsit5(),
        adjoint=diffrax.RecursiveCheckpointAdjoint(),
    ),
}


@pytest.mark.parametrize("name", [n if n == "implicit" else pytest.param(n, marks=pytest.mark.slow) for n in ANALYSES])
def test_gradients_pass_the_taylor_test(name):
    analysis = ANALYSES[name]
    tau, values = jnp.asarray(2.0), jnp.array([1.0, -2.0, 0.5])
    direction = (jnp.asarray(0.3), jnp.array([0.2, 0.1, -0.4]))
    function = eqx.filter_jit(lambda tau, values: cost(tau, values, analysis))
    slopes = []
    if name != "adaptive reverse":
        slopes.append(jax.jvp(function, (tau, values), direction)[1])
    if name != "adaptive forward":
        gradient = jax.grad(function, argnums=(0, 1))(tau, values)
        slopes.append(gradient[0] * direction[0] + gradient[1] @ direction[1])
    base = function(tau, values)
    for slope in slopes:
        rests = [
            abs(function(tau + h * direction[0], values + h * direction[1]) - base - h * slope)
            for h in (1e-1, 5e-2, 2.5e-2)
        ]
        rates = np.log2(np.asarray(rests[:-1]) / np.asarray(rests[1:]))
        assert np.all(np.abs(rates - 2.0) < 0.15), rates


def test_failures_are_a_status():
    grid = jnp.array([0.0, 1e11])
    short = gm.AdaptiveOde(Robertson(), rtol=1e-8, atol=1e-12, max_steps=5).solve({}, grid)
    assert short.status.worst() == Code.MAX_STEPS
    broken = gm.Ode(Logistic(growth=float("nan")), 1.0, EXPLICIT).solve({}, jnp.array([0.0, 1.0]))
    assert broken.status.worst() == Code.NOT_FINITE


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"unknown output 'z': the model has y, q, s\."):
        gm.Twin("f", gm.Ode(Follower(), 1.0), [gm.OutputSensor(name="z", output="z", noise=gm.Noise(1.0))])
    with pytest.raises(ValueError, match="cannot read an ODE model: use an output sensor"):
        gm.Twin("f", gm.Ode(Follower(), 1.0), [gm.FrequencySensor(name="z", mode=1, noise=gm.Noise(1.0))])
    with pytest.raises(ValueError, match="step must be positive, not -1"):
        gm.Ode(Follower(), -1.0)
    with pytest.raises(ValueError, match="tolerances must be positive"):
        gm.AdaptiveOde(Follower(), rtol=0.0, atol=1.0)
    with pytest.raises(ValueError, match="needs 'times'"):
        gm.Ode(Follower(), 1.0).grid(None)
    with pytest.raises(ValueError, match="must increase"):
        gm.Ode(Follower(), 1.0).grid(np.array([0.0, 1.0, 1.0]))


def test_long_intervals_are_divided():
    grid = gm.Ode(Follower(), 1.0).grid(np.array([0.0, 0.5, 3.0]))
    np.testing.assert_allclose(grid, [0.0, 0.5, 0.5 + 2.5 / 3, 0.5 + 5.0 / 3, 3.0])
