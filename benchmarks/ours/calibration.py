"""Fits by Levenberg-Marquardt: the twin of examples/heater-board, and one of a heated plate from many starts at once.

The heater-board's data are those of its example, in the folder that GEMEL_DATA names or else fetched; without them the
row fails and says so. The plate is compared with a run of its own at parameters drawn from the priors, with noise on
it.
"""

import jax
import jax.numpy as jnp
import numpy as np

import gemel as gm
from benchmarks.cases import Case
from benchmarks.machine import ROOT
from benchmarks.measure import Stages, timed
from benchmarks.ours.common import Row, peak
from gemel.engine.calibration import CalibrationProblem, multistart
from gemel.engine.twinfile import TwinFile
from gemel.solvers import Code, SolveError

NOISE = 0.05
"""Of the plate's sensors, in K."""


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of a fit, from the mean of the prior or from n starts. Raises `SolveError` where it does not converge."""
    return heater_board(repeat) if case.name == "heater-board" else many(n, repeat)


def heater_board(repeat: int) -> Row:
    """The example's own fit: its mesh and data are the set-up, ``fit_s`` is one call of `calibrate`."""
    stages = Stages()
    with stages("plan"):
        file = TwinFile.load(ROOT / "examples" / "heater-board" / "twin.toml")
        record = file.training(file.record())
        twin = file.build()
    fit, timing = timed(lambda: gm.calibrate(twin, record, file.solver()), repeat, _waited)
    _require(fit.status.worst())
    return _row(CalibrationProblem.of(twin, record), 1, stages, timing.compile) | {
        "fit_s": timing.best,
        "fit_median_s": timing.median,
        "steps": fit.steps,
        "misfit": float(fit.costs[-1]),
        "peak_mib": peak(),
    }


def many(count: int, repeat: int) -> Row:
    """All starts; ``one_s`` is the fit from the mean of the prior alone, by the same function."""
    stages = Stages()
    with stages("plan"):
        problem = _plate()
    one, single = timed(lambda: multistart(problem, 1), repeat)
    found, batch = timed(lambda: multistart(problem, count), repeat)
    for starts in (one, found):
        _require(Code(int(starts.best.code)))
    return _row(problem, count, stages, batch.compile) | {
        "fit_s": batch.best,
        "fit_median_s": batch.median,
        "one_s": single.best,
        "one_median_s": single.median,
        "steps": int(found.best.step),
        "misfit": float(found.best.cost),
        "minima": found.minima(),
        "peak_mib": peak(),
    }


def _plate() -> CalibrationProblem:
    """A plate of 68 x 53 x 1.6 mm, heated at one place, with three sensors: four parameters, 183 samples."""
    space = gm.FunctionSpace(gm.box(8, 6, 1, size=(0.068, 0.053, 0.0016)), "Q1")
    conductivity = gm.Parameter("conductivity", gm.LogNormal(20.0, 3.0), "W/m/K")
    capacity = gm.Parameter("capacity", gm.LogNormal(1.8e6, 2.0), "J/m^3/K")
    loss = gm.Parameter("loss", gm.LogNormal(15.0, 2.0), "W/m^2/K")
    width = gm.Parameter("width", gm.LogNormal(0.008, 1.5), "m")
    spot = gm.Profile(
        lambda x, power, width: power * jnp.exp(-jnp.sum((x[:2] - 0.02) ** 2) / (2.0 * width**2)),
        (gm.Input("power"), width),
    )
    conditions = [gm.Convection("boundary", loss, 293.0), gm.HeatSource("all", spot)]
    places = [(0.02, 0.02, 0.0016), (0.04, 0.03, 0.0016), (0.06, 0.045, 0.0016)]
    sensors = [gm.PointSensor(f"T{i}", position=place, noise=NOISE) for i, place in enumerate(places)]
    twin = gm.Twin("plate", gm.Transient(gm.Heat(space, conductivity, capacity, conditions), 293.0, 5.0), sensors)
    times, inputs = np.arange(0.0, 301.0, 5.0), {"power": gm.Series([0.0, 100.0, 200.0], [3e6, 0.0, 4e6])}
    truth = twin.belief.values(0.7 * jax.random.normal(jax.random.key(1), (4,)))
    clean = gm.simulate(twin, inputs, times, truth).checked().readings
    rng = np.random.default_rng(0)
    readings = {name: np.asarray(values) + NOISE * rng.standard_normal(len(times)) for name, values in clean.items()}
    return CalibrationProblem.of(twin, gm.Record(times, readings, inputs))


def _row(problem: CalibrationProblem, starts: int, stages: Stages, compiling: float) -> Row:
    """What every row of a fit has."""
    space = problem.twin.analysis.physics.problem.space  # pyright: ignore[reportAttributeAccessIssue]
    samples = sum(int(jnp.sum(one.shares > 0)) for one in problem.experiments.values())
    return {
        "starts": starts,
        "unknowns": space.n_dofs,
        "parameters": len(problem.start()),
        "samples": samples,
        "plan_s": stages.seconds["plan"],
        "compile_s": compiling,
    }


def _waited(fit: gm.Fit) -> gm.Fit:
    jax.block_until_ready(fit.belief.covariance)
    return fit


def _require(code: Code) -> None:
    if code is not Code.SUCCESS:
        raise SolveError(f"The fit ended with {code.name}.")
