"""Multiple shooting and batches of windows, on records that one run from their start cannot be fitted to."""

from pathlib import Path
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gemel as gm
from gemel.engine.calibration import Shooting, batches, residual, shooting_residual
from gemel.engine.store.checkpoints import OtherProblemError, resumable_calibrate

EXPLICIT = diffrax.Tsit5(scan_kind="bounded")


class Lorenz(gm.OdeSystem):
    sigma: Any
    rho: Any
    beta: Any
    output_names: tuple[str, ...] = eqx.field(static=True, default=("x", "y", "z"))

    def initial(self):
        return jnp.array([1.0, 1.0, 20.0])

    def rate(self, t, y, inputs):
        turn = y[0] * (self.rho - y[2]) - y[1]
        return jnp.stack([self.sigma * (y[1] - y[0]), turn, y[0] * y[1] - self.beta * y[2]])

    def outputs(self, t, y, inputs):
        return dict(zip(self.output_names, y, strict=True))


class Spring(gm.OdeSystem):
    """x'' = -w² x - c x' + f, x(0) = 1."""

    w: Any
    damping: Any = 0.0
    push: Any = gm.Input("push")
    output_names: tuple[str, ...] = eqx.field(static=True, default=("x",))

    def initial(self):
        return jnp.array([1.0, 0.0])

    def rate(self, t, y, inputs):
        return jnp.stack([y[1], self.push.at(inputs) - self.w**2 * y[0] - self.damping * y[1]])

    def outputs(self, t, y, inputs):
        return {"x": y[0]}


def lorenz(*numbers: Any) -> gm.Twin:
    sensors = [gm.OutputSensor(name=name, output=name, noise=0.5) for name in "xz"]
    return gm.Twin("lorenz", gm.Ode(Lorenz(*numbers), 0.02, EXPLICIT), sensors)


@pytest.mark.slow
def test_a_chaotic_record_is_fitted_where_one_run_is_not():
    """Twelve units of time are eleven Lyapunov times (exponent 0.9, Sprott 2003): an error grows by e^11."""
    names, truth = ("sigma", "rho", "beta"), (10.0, 28.0, 8.0 / 3.0)
    parameters = [gm.Parameter(name, gm.LogNormal(m, 2.0)) for name, m in zip(names, (8.0, 22.0, 2.0), strict=True)]
    times, rng = np.linspace(0.0, 12.0, 121), np.random.default_rng(0)
    clean = gm.simulate(lorenz(*truth), {}, times).readings
    record = gm.Record(times, {n: np.asarray(v) + 0.5 * rng.standard_normal(121) for n, v in clean.items()})
    twin = lorenz(*parameters)
    one = gm.calibrate(twin, record, gm.LevenbergMarquardt(1e-4, 1e-4, 1e-6, 30))
    assert abs({row.name: row.value for row in one.table()}["rho"] - 28.0) > 2.0
    guess = np.stack([record.readings["x"], record.readings["x"], record.readings["z"]], axis=1)
    found = gm.shoot(twin, record, 30, guess, (8.0, 9.0, 8.0))
    assert bool(found.fit.status.ok)
    for row in found.fit.table():
        assert row.interval[0] < dict(zip(names, truth, strict=True))[row.name] < row.interval[1]
        assert row.value == pytest.approx(dict(zip(names, truth, strict=True))[row.name], rel=0.03)
    assert np.abs(found.jumps).max() < 2e-3
    np.testing.assert_allclose(found.states[:, 0], np.interp(found.times, times, np.asarray(clean["x"])), atol=1.0)


@pytest.mark.slow
def test_a_fit_of_one_run_may_begin_where_shooting_ends_and_survives_being_killed(tmp_path: Path):
    """On seven Lyapunov times, with nothing but the run at the mean of the prior to guess states from."""
    names, truth = ("sigma", "rho", "beta"), (10.0, 28.0, 8.0 / 3.0)
    twin = lorenz(*(gm.Parameter(n, gm.LogNormal(m, 2.0)) for n, m in zip(names, (8.0, 22.0, 2.0), strict=True)))
    times, rng = np.linspace(0.0, 8.0, 81), np.random.default_rng(0)
    clean = gm.simulate(lorenz(*truth), {}, times).readings
    record = gm.Record(times, {n: np.asarray(v) + 0.5 * rng.standard_normal(81) for n, v in clean.items()})
    solver, path = gm.LevenbergMarquardt(1e-4, 1e-4, 1e-6, 60), tmp_path / "checkpoint.npz"

    def stop(state: Any) -> None:
        if int(state.step) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resumable_calibrate(twin, record, solver, None, path, windows=20, on_step=stop)
    resumed: list[int] = []
    fit = resumable_calibrate(
        twin, record, solver, None, path, windows=20, on_resume=lambda state: resumed.append(int(state.step))
    )
    assert resumed == [2]
    assert bool(fit.status.ok)
    for row in fit.table():
        assert row.value == pytest.approx(dict(zip(names, truth, strict=True))[row.name], rel=0.01)
    assert float(fit.costs[-1]) < 162 / 2 + 3 * np.sqrt(162 / 2)  # half a chi-square of 162 samples
    with pytest.raises(OtherProblemError, match="another twin, other data or other settings"):
        resumable_calibrate(twin, record, solver, None, path)


def spring(w: Any, damping: Any = 0.0, step: float = 0.1) -> gm.Twin:
    sensor = gm.OutputSensor(name="x", output="x", noise=0.05)
    return gm.Twin("spring", gm.Ode(Spring(w, damping), step, EXPLICIT), [sensor])


PUSH = {"push": gm.Series(np.arange(0.0, 40.0, 2.5), np.random.default_rng(5).uniform(-1.0, 1.0, 16))}


def sprung(times: Any) -> gm.Record:
    clean = np.asarray(gm.simulate(spring(3.0, 0.02), PUSH, times).readings["x"])
    return gm.Record(times, {"x": clean + 0.05 * np.random.default_rng(2).standard_normal(len(times))}, PUSH)


def rough(record: gm.Record) -> np.ndarray:
    x = np.asarray(record.readings["x"])
    return np.stack([x, np.gradient(x, np.asarray(record.times))], axis=1)


def unknown() -> gm.Twin:
    damping = gm.Parameter("damping", gm.LogNormal(0.1, 10.0))
    return spring(gm.Parameter("w", gm.LogNormal(2.5, 1.5)), damping)


TIMES = np.linspace(0.0, 40.0, 161)


@pytest.mark.slow
def test_tight_windows_find_the_minimum_and_the_posterior_of_one_run():
    """From its minimum the fit of one run goes nowhere, and its posterior is the same; the times need not be even."""
    times = np.delete(TIMES, [3, 17, 18, 60, 121])
    record, twin = sprung(times), unknown()
    solver = gm.LevenbergMarquardt(1e-5, 1e-9, 1e-9, 60)
    found = gm.shoot(twin, record, 16, rough(record), 1.0, (0.3, 1e-2, 1e-4), solver)
    start = solver.init(residual, found.fit.twin.belief.mean, gm.CalibrationProblem.of(twin, record))
    one = gm.calibrate(twin, record, solver, state=start)
    np.testing.assert_allclose(found.fit.twin.belief.mean, one.twin.belief.mean, atol=1e-3)
    np.testing.assert_allclose(found.fit.twin.belief.covariance, one.twin.belief.covariance, rtol=1e-2, atol=1e-9)


@pytest.mark.slow
def test_shooting_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path):
    """Stopped after every other step, in windows of each tightness and after them, as a fit that is left alone."""
    record, twin = sprung(TIMES[:25]), unknown()
    solver = gm.LevenbergMarquardt(1e-4, 1e-9, 1e-9, 3)

    def fit(path: Path, **options: Any) -> gm.Fit:
        return resumable_calibrate(twin, record, solver, None, path, windows=3, **options)

    told: list[int] = []
    whole = fit(tmp_path / "alone.npz", on_step=lambda state: told.append(int(state.step)))
    assert told == 4 * [0, 1, 2, 3]  # three tightnesses and one run
    path, seen, resumed = tmp_path / "stopped.npz", [], []

    def stop(state: Any) -> None:
        seen.append((float(state.cost), int(state.step)))
        if len(seen) % 3 == 0:
            raise KeyboardInterrupt

    found = None
    while found is None:
        try:
            found = fit(path, on_step=stop, on_resume=lambda state: resumed.append(int(state.step)))
        except KeyboardInterrupt:
            assert len(seen) < 40
    assert len(resumed) > 5
    assert len(seen) == len(told) + len(resumed)  # nothing is done twice: a state is told again when it is read
    assert np.asarray(found.twin.belief.mean).tobytes() == np.asarray(whole.twin.belief.mean).tobytes()
    assert np.asarray(found.costs).tobytes() == np.asarray(whole.costs).tobytes()
    with pytest.raises(KeyboardInterrupt):
        fit(path, on_step=stop, restart=True)
    with pytest.raises(OtherProblemError, match="another twin, other data or other settings"):
        resumable_calibrate(twin, record, solver, None, path, windows=4)


@pytest.mark.slow
def test_windows_from_the_states_of_a_run_give_its_residual():
    """Started where the run is, the windows repeat it: the same misfit, no jumps, whatever their number."""
    record, twin = sprung(TIMES), unknown()
    problem = gm.CalibrationProblem.of(twin, record)
    grid = problem.experiments[""].grid
    z = jnp.array([0.3, -0.4])
    analysis: Any = gm.bind(twin.analysis, twin.belief.values(z))
    run = eqx.filter_jit(analysis.solve)(PUSH, jnp.asarray(grid)).value
    states = np.stack([np.interp(TIMES, grid, np.asarray(run)[:, i]) for i in range(2)], axis=1)
    for windows in (2, 7):
        shot = Shooting.of(problem, windows, states, 1.0)
        starts = np.stack([np.interp(shot.grids[1:, 0], grid, np.asarray(run)[:, i]) for i in range(2)], axis=1)
        x = jnp.concatenate([z, jnp.asarray((starts - np.asarray(shot.guess)) / shot.scale).ravel()])
        rows = np.asarray(eqx.filter_jit(shooting_residual)(x, shot))
        data = rows[: shot.data.size][np.asarray(shot.shares).ravel() > 0]
        np.testing.assert_allclose(data, np.asarray(eqx.filter_jit(residual)(z, problem))[: len(TIMES)], atol=1e-7)
        np.testing.assert_allclose(rows[shot.data.size : -2], 0.0, atol=1e-7)
        np.testing.assert_allclose(rows[-2:], z)


@pytest.mark.slow
def test_the_gradients_of_batches_have_the_whole_as_their_mean():
    record = sprung(TIMES)
    shot = Shooting.of(gm.CalibrationProblem.of(unknown(), record), 16, rough(record), 1.0)
    x = shot.start() + 0.1
    slope = eqx.filter_jit(jax.grad(lambda x, shot: 0.5 * jnp.sum(shooting_residual(x, shot) ** 2)))
    parts = batches(shot, 4, seed=1)
    mean = sum(slope(x, next(parts)) for _ in range(4)) / 4  # each window once
    np.testing.assert_allclose(mean, slope(x, shot), rtol=1e-8, atol=1e-6)


@pytest.mark.slow
def test_stochastic_gradients_of_windows_find_the_parameters():
    record = sprung(TIMES)
    shot = Shooting.of(gm.CalibrationProblem.of(unknown(), record), 16, rough(record), 1.0, tightness=0.1)
    rate = optax.exponential_decay(0.05, 1000, 0.03)
    found = gm.descend_in_batches(shot, gm.GradientDescent(optax.adam(rate), 0.0, 1000), size=4)
    (damping, w) = found.fit.table()
    assert w.value == pytest.approx(3.0, rel=0.01)
    assert damping.value < 0.1
    assert float(jnp.mean(found.fit.costs[-50:])) < 0.05 * float(jnp.mean(found.fit.costs[:4]))


def test_what_cannot_be_cut_into_windows_is_named():
    record = sprung(TIMES)
    problem = gm.CalibrationProblem.of(unknown(), record)
    with pytest.raises(ValueError, match="has 2 to 480 windows, not 1"):
        Shooting.of(problem, 1, rough(record), 1.0)
    with pytest.raises(ValueError, match=r"of shape \(161, 2\), not \(160, 2\)"):
        Shooting.of(problem, 4, rough(record)[1:], 1.0)
    with pytest.raises(ValueError, match="scale and the tightness must be positive"):
        Shooting.of(problem, 4, rough(record), [1.0, 0.0])
    slow = gm.Twin("slow", unknown().analysis, [gm.OutputSensor(name="x", output="x", noise=0.05, lag=1.0)])
    with pytest.raises(ValueError, match="'x' has a lag, and a window does not know where its reading begins"):
        Shooting.of(gm.CalibrationProblem.of(slow, record), 4, rough(record), 1.0)
    with pytest.raises(ValueError, match="at least one tightness"):
        gm.shoot(unknown(), record, 4, rough(record), 1.0, ())
    with pytest.raises(ValueError, match="1 to 4 of them, not 5"):
        batches(Shooting.of(problem, 4, rough(record), 1.0), 5)
    network = gm.ThermalNetwork(
        {"cup": gm.ThermalNode(gm.Parameter("c", gm.LogNormal(1.0, 2.0)), 1.0)},
        [gm.ThermalLink("cup", "room", 1.0)],
        {"room": 0.0},
    )
    cup = gm.Twin("cup", gm.LinearOde(network), [gm.OutputSensor(name="T", output="cup", noise=1.0)])
    linear = gm.CalibrationProblem.of(cup, gm.Record(TIMES, {"T": TIMES}))
    with pytest.raises(ValueError, match="Ode or an AdaptiveOde anew, not a LinearOde"):
        Shooting.of(linear, 4, TIMES[:, None], 1.0)
