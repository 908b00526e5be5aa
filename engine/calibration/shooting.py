r"""Multiple shooting: a long record cut into windows, each started from a state of its own that is fitted too.

A run from one initial state over many periods, or many Lyapunov times, is so sensitive to the parameters that the
misfit has minima without number. Over short windows it is not. With the states $s_k$ at the starts of the windows as
further unknowns, and $F_k(z, s)$ the state at the end of window $k$,

$$ \Phi(z, s) = \tfrac12 \|\text{data}\|^2 + \tfrac12 \|\text{prior}\|^2
   + \tfrac12 \sum_k \left\| \frac{F_k(z, s_k) - s_{k+1}}{\varepsilon\, S} \right\|^2 $$

is minimised for ever smaller $\varepsilon$, with $S$ the scale of the states: jumps between the windows are allowed at
first and close in the end. As $\varepsilon \to 0$ the minimum is that of one run; at a given one it is that of a model
which errs by $\varepsilon S$ at each join. Windows in batches give a stochastic gradient of the same misfit.
Source: Bock, *Recent Advances in Parameter Identification Techniques for O.D.E.*, 1983; with weights in place of
constraints it is weak-constraint 4D-Var: Trémolet, Q. J. R. Meteorol. Soc. 132, 2006.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gemel.engine.analyses import AdaptiveOde, Ode
from gemel.engine.calibration.curvature import curvature_factors
from gemel.engine.calibration.fit import DEFAULT_SOLVER, CalibrationError, Fit, laplace, linearised
from gemel.engine.calibration.problem import CalibrationProblem, Experiment, allowed_mode, compared, prior_residual
from gemel.engine.losses import Loss
from gemel.engine.observations import finished
from gemel.engine.parameters import bind
from gemel.engine.physics import OdeSystem
from gemel.engine.signals import Record
from gemel.engine.simulation import Run
from gemel.engine.twin import Twin
from gemel.solvers.least_squares import FitState, GradientDescent, LeastSquaresSolver
from gemel.solvers.linearising import Regularised
from gemel.solvers.solution import Status

TIGHTNESS = (0.1, 0.01, 0.001)
"""The jumps that are allowed, one after the other, in units of the scale of the states."""


class _Restarted(OdeSystem):
    """A system that starts from a given state."""

    system: OdeSystem
    state: Array
    output_names: tuple[str, ...] = eqx.field(static=True)

    def initial(self) -> Float[Array, " n"]:
        return self.state

    def rate(self, t: Any, y: Float[Array, " n"], inputs: Mapping[str, Any]) -> Float[Array, " n"]:
        return self.system.rate(t, y, inputs)

    def outputs(self, t: Any, y: Float[Array, " n"], inputs: Mapping[str, Any]) -> dict[str, Array]:
        return self.system.outputs(t, y, inputs)


class Shooting(eqx.Module):
    """A calibration problem in windows: the arguments of `shooting_residual`. Build it with `Shooting.of`.

    ``grids (w, l)`` are the times of each window, ``times (w, c)``, ``data (w, c, s)`` and ``shares (w, c, s)`` the
    samples in it, filled up with samples of no weight; ``guess (w - 1, n)`` the states at the starts of all but the
    first, ``scale (n,)`` that of the states, ``tightness`` the jumps allowed in units of it; ``chosen (b,)`` the
    windows that are run.
    """

    problem: CalibrationProblem
    grids: Float[Array, "w l"]
    times: Float[Array, "w c"]
    data: Float[Array, "w c s"]
    shares: Float[Array, "w c s"]
    guess: Float[Array, "k n"]
    scale: Float[Array, " n"]
    tightness: Float[Array, ""]
    chosen: Int[Array, " b"]

    @staticmethod
    def of(
        problem: CalibrationProblem,
        windows: int,
        states: Float[np.ndarray, "m n"] | Float[Array, "m n"],
        scale: Any,
        tightness: float = 0.1,
    ) -> "Shooting":
        """Cut a problem into windows of as many steps each, as near as can be.

        Args:
            problem: of a twin whose analysis is an `Ode` or an `AdaptiveOde`.
            windows: how many, at least two.
            states: a guess of the state at each time of the record, in its units: measured, smoothed or rough.
            scale: how far each state moves, in its unit: a number, or ``(n,)``.
            tightness: $\\varepsilon$, the jumps that are allowed, in units of ``scale``.

        Raises:
            ValueError: for another analysis, several experiments, a sensor with a model error (jumps between windows
                are one already), too few or too many windows, or a guess or scale that does not fit.
        """
        analysis, record = require_windows(problem, windows)
        grid, times = np.asarray(record.grid), np.asarray(record.times)
        n = len(bind(analysis, problem.twin.belief.values()).system.initial())
        scale = np.broadcast_to(np.asarray(scale, float), (n,))
        if np.shape(states) != (len(times), n) or not np.all(np.isfinite(states)):
            raise ValueError(f"The guessed states must be finite, of shape {(len(times), n)}, not {np.shape(states)}.")
        if not np.all(scale > 0) or not tightness > 0:
            raise ValueError(f"The scale and the tightness must be positive, not {scale} and {tightness}.")
        grids = _cut(grid, windows)
        held = [_inside(times, part, k == 0) for k, part in enumerate(grids)]
        count = max(len(rows) for rows in held)
        filled = np.stack([np.concatenate([rows, np.full(count - len(rows), -1, int)]) for rows in held])
        starts = grids[1:, 0]
        guess = np.stack([np.interp(starts, times, np.asarray(states)[:, i]) for i in range(n)], axis=1)
        return Shooting(
            problem,
            jnp.asarray(grids),
            jnp.asarray(np.where(filled >= 0, times[filled], grids[:, -1:])),
            record.data[filled],
            jnp.where(jnp.asarray(filled)[..., None] >= 0, record.shares[filled], 0.0),
            jnp.asarray(guess),
            jnp.asarray(scale),
            jnp.asarray(tightness, float),
            jnp.arange(len(grids)),
        )

    def start(self) -> Float[Array, " q"]:
        """The unknowns at first: the mean of the belief, and the guessed states, which are zero."""
        return jnp.concatenate([self.problem.start(), jnp.zeros(self.guess.size)])

    def split(self, x: Float[Array, " q"]) -> tuple[Float[Array, " p"], Float[Array, "k n"]]:
        """The standardised parameters, and the states at the starts of all windows but the first."""
        count = len(self.problem.twin.belief.mean)
        return x[:count], self.guess + self.scale * x[count:].reshape(self.guess.shape)


def require_windows(problem: CalibrationProblem, windows: int) -> tuple[Any, Experiment]:
    """The analysis and the experiment that are cut into windows. Raises `ValueError` where they cannot be."""
    analysis = problem.twin.analysis
    if len(problem.experiments) != 1:
        raise ValueError(f"Shooting cuts one experiment into windows, not {len(problem.experiments)}.")
    (record,) = problem.experiments.values()
    for name in record.names:
        if problem.twin.sensor(name).noise.error is not None:
            raise ValueError(f"Sensor '{name}' has a model error, which shooting has in its jumps: leave one of them.")
        if getattr(problem.twin.sensor(name), "lag", None) is not None:
            raise ValueError(
                f"Sensor '{name}' has a lag, and a window does not know where its reading begins: make what it shows a "
                "state of the model, or fit without windows."
            )
    if not isinstance(analysis, Ode | AdaptiveOde):
        raise ValueError(
            f"Shooting starts an Ode or an AdaptiveOde anew, not a {type(analysis).__name__}: each window has a state "
            "to find, on a mesh a whole field, which sensors do not determine; a LinearOde is fitted well by one run."
        )
    steps = len(np.asarray(record.grid)) - 1
    if not 2 <= windows <= steps:
        raise ValueError(f"A run of {steps} steps has 2 to {steps} windows, not {windows}.")
    return analysis, record


def _cut(grid: np.ndarray, windows: int) -> np.ndarray:
    """The grid in windows that share their ends; beyond its end it goes on in steps like its last one."""
    length = -(-(len(grid) - 1) // windows)
    count = -(-(len(grid) - 1) // length)
    beyond = grid[-1] + (grid[-1] - grid[-2]) * np.arange(1, count * length + 2 - len(grid))
    whole = np.concatenate([grid, beyond])
    return np.stack([whole[k * length : (k + 1) * length + 1] for k in range(count)])


def _inside(times: np.ndarray, window: np.ndarray, first: bool) -> np.ndarray:
    """The samples after the start of a window, and at it where it is the first, up to its end."""
    after = times >= window[0] if first else times > window[0]
    return np.flatnonzero(after & (times <= window[-1]))


def _windows(x: Float[Array, " q"], shot: Shooting) -> Float[Array, " m"]:
    """The weighted misfit of the chosen windows and the jumps at their ends.

    Where some of the windows are chosen, their rows weigh as much as all would on average.
    """
    problem, (z, states) = shot.problem, shot.split(x)
    (record,) = problem.experiments.values()
    twin, values = problem.twin, problem.twin.belief.values(z)
    bound: Any = bind((twin.analysis, twin.sensors), values)
    analysis, sensors = bound
    system: OdeSystem = analysis.system
    begin = jnp.concatenate([system.initial()[None], states])

    def window(k: Array) -> tuple[Array, Array, Array]:
        restarted = _Restarted(system=system, state=begin[k], output_names=system.output_names)
        moved: Any = eqx.tree_at(lambda one: one.system, analysis, restarted)
        solution = moved.run(twin.prepared, twin.observation, record.inputs, shot.grids[k])
        raw, end = solution.value
        read = jax.vmap(lambda column: jnp.interp(shot.times[k], shot.grids[k], column), in_axes=1, out_axes=1)
        return read(finished(sensors, shot.grids[k], raw)), end, solution.status.code

    readings, ends, codes = jax.vmap(window)(shot.chosen)
    flat = {sensor.name: readings[..., i].reshape(-1) for i, sensor in enumerate(twin.sensors)}
    columns = len(record.names)
    data, shares = (part[shot.chosen].reshape(-1, columns) for part in (shot.data, shot.shares))
    part = Experiment(record.inputs, None, record.grid, data, shares, record.names, record.places)
    run = Run(shot.times[shot.chosen].reshape(-1), flat, ends, Status(jnp.max(codes)), {})
    last = shot.chosen == len(begin) - 1
    after = begin[jnp.minimum(shot.chosen + 1, len(begin) - 1)]
    jumps = jnp.where(last[:, None], 0.0, (ends - after) / (shot.tightness * shot.scale))
    share = jnp.sqrt(len(begin) / len(shot.chosen))
    return jnp.concatenate([share * compared(run, values, problem, part), share * jumps.reshape(-1)])


def _prior(x: Float[Array, " q"], shot: Shooting) -> Float[Array, " p"]:
    return prior_residual(shot.split(x)[0], shot.problem)


shooting_residual = Regularised(_windows, _prior, mode=lambda shot: allowed_mode(shot.problem))
"""``shooting_residual(x, shot)``: the weighted misfit of the chosen windows, the jumps at their ends, and the distance
from the prior, which says nothing of the states.
"""


class ShootingFit(eqx.Module):
    """What multiple shooting gives.

    ``fit`` has the belief about the parameters, whatever the states are; ``times (w - 1,)`` and ``states (w - 1, n)``
    are where the later windows start, and ``jumps (w - 1, n)`` what is left between them, in units of the scale.
    """

    fit: Fit
    times: Float[Array, " k"]
    states: Float[Array, "k n"]
    jumps: Float[Array, "k n"]


def shoot(
    twin: Twin,
    record: Record,
    windows: int,
    states: Any,
    scale: Any,
    tightness: Sequence[float] = TIGHTNESS,
    solver: LeastSquaresSolver = DEFAULT_SOLVER,
    sensors: Sequence[str] | None = None,
    loss: Loss | None = None,
) -> ShootingFit:
    """Fit a twin by multiple shooting, for each tightness from where the one before ended.

    Args:
        twin: the twin; its belief is the prior.
        record: measured readings and inputs.
        windows, states, scale: as in `Shooting.of`.
        tightness: the jumps that are allowed, in units of ``scale``, falling.
        solver: the method; Levenberg-Marquardt has a column for each state of each window.
        sensors: which readings to fit; the others are held out.
        loss: what a residual costs; that of the twin by default.

    Raises:
        ValueError: as `Shooting.of`, or for no tightness.
        CalibrationError: where the fit ends at a point whose run fails.
    """
    if not len(tightness):
        raise ValueError("Multiple shooting needs at least one tightness, such as 0.01.")
    problem = CalibrationProblem.of(twin, record, sensors, loss)
    return _shoot([Shooting.of(problem, windows, states, scale, allowed) for allowed in tightness], solver)


def shooting_start(
    problem: CalibrationProblem, windows: int, solver: LeastSquaresSolver = DEFAULT_SOLVER
) -> Float[Array, " p"]:
    """Where multiple shooting ends, for a fit of one run to start from.

    Args:
        problem: of a twin whose analysis is an `Ode` or an `AdaptiveOde`.
        windows: how many.
        solver: the method.

    Raises:
        ValueError: as `shooting_stages`.
        CalibrationError: where shooting ends at a point whose run fails.
    """
    return _shoot(shooting_stages(problem, windows), solver).fit.twin.belief.mean


def shooting_stages(problem: CalibrationProblem, windows: int) -> tuple[Shooting, ...]:
    """Problems of falling `TIGHTNESS`, whose windows begin where a run at the mean of the belief is; each state moves
    by its range in that run.

    Raises `ValueError` as `Shooting.of`, or where that run fails.
    """
    analysis, record = require_windows(problem, windows)
    run = _states(bind(analysis, problem.twin.belief.values()), record)
    if not bool(run.status.ok):
        raise ValueError(f"The run of '{problem.twin.name}' at the mean of its belief gives no states to shoot from.")
    grid, values = np.asarray(record.grid), np.asarray(run.value)
    states = np.stack([np.interp(np.asarray(record.times), grid, column) for column in values.T], axis=1)
    moves = np.ptp(values, axis=0)
    scale = np.where(moves > 0, moves, np.maximum(np.abs(values[0]), 1.0))
    return tuple(Shooting.of(problem, windows, states, scale, allowed) for allowed in TIGHTNESS)


@eqx.filter_jit
def _states(analysis: Any, record: Experiment) -> Any:
    return analysis.solve(record.inputs, jnp.asarray(record.grid))


def _shoot(stages: Sequence[Shooting], solver: LeastSquaresSolver) -> ShootingFit:
    """As `shoot`, of problems one after the other."""
    steps = shooting_steps(stages, solver)
    _, state = next(steps)
    costs = [state.cost]
    for _, state in steps:
        costs.append(state.cost)
    return conclude_shooting(stages[-1], state, jnp.stack(costs))


def shooting_steps(
    stages: Sequence[Shooting], solver: LeastSquaresSolver, stage: int = 0, state: FitState | None = None
) -> Iterator[tuple[int, FitState]]:
    """The states at the start and after each step of each stage, from where the one before ended, with its number.

    Args:
        stages: the problems.
        solver: the method.
        stage: which of them to go on with.
        state: where that one stands, which is then not given again; None for all from the start.
    """
    for place in range(stage, len(stages)):
        if state is None or place > stage:
            start = stages[place].start() if state is None else state.z
            state = solver.init(shooting_residual, start, stages[place])
            yield place, state
        for state in solver.steps(shooting_residual, state, stages[place]):  # noqa: B020
            yield place, state


def batches(shot: Shooting, size: int, seed: int = 0) -> Iterator[Shooting]:
    """A problem with some of its windows, drawn anew each time, without end; in one pass none comes up twice.

    Raises `ValueError` for a size that is not 1 to the number of windows.
    """
    count = len(shot.grids)
    if not 1 <= size <= count:
        raise ValueError(f"A batch of {count} windows has 1 to {count} of them, not {size}.")
    return _batches(shot, size, np.random.default_rng(seed))


def _batches(shot: Shooting, size: int, rng: np.random.Generator) -> Iterator[Shooting]:
    left = np.zeros(0, int)
    while True:
        if len(left) < size:
            left = rng.permutation(len(shot.grids))
        chosen, left = left[:size], left[size:]
        yield eqx.tree_at(lambda one: one.chosen, shot, jnp.asarray(chosen))


def descend_in_batches(shot: Shooting, solver: GradientDescent, size: int, seed: int = 0) -> ShootingFit:
    """Fit by stochastic gradients: each step sees ``size`` of the windows.

    The status is ``MAX_STEPS`` where the gradient of no batch was within the solver's tolerance, which is the rule:
    look at how the costs, those of batches, fell. Raises as `batches` and `conclude_shooting` do.
    """
    parts = batches(shot, size, seed)
    state = solver.init(shooting_residual, shot.start(), next(parts))
    costs = [state.cost]
    while not bool(state.finished):
        state = solver.step(shooting_residual, state, next(parts))
        costs.append(state.cost)
    return conclude_shooting(shot, state, jnp.stack(costs))


def conclude_shooting(shot: Shooting, state: FitState, costs: Float[Array, " steps"]) -> ShootingFit:
    """The fit at a solver's state. Raises `CalibrationError` where its cost is not finite."""
    twin = shot.problem.twin
    if not bool(jnp.isfinite(state.cost)):
        raise CalibrationError(f"A window of '{twin.name}' cannot be run from its state: guess better states.")
    z, states = shot.split(state.z)
    found, jacobian = linearised(shooting_residual, state, shot)
    (record,) = shot.problem.experiments.values()
    samples = [(record.names, np.asarray(shot.shares).reshape(-1, len(record.names)))]
    factors = curvature_factors(shot.problem.loss, shot.problem.floors, samples, np.asarray(found))
    covariance, gain = laplace(shooting_residual, found, jacobian, factors)
    fitted = twin.with_belief(z, covariance[: len(z), : len(z)]).with_loss(shot.problem.loss)
    places = {name: one.places for name, one in shot.problem.experiments.items()}
    fit = Fit(fitted, twin.belief, fitted.belief, places, Status(state.code), costs, int(state.step), gain)
    jumps = _rows(state.z, shot)[-len(z) - len(shot.grids) * shot.guess.shape[1] : -len(z)]
    jumps = jumps.reshape(-1, shot.guess.shape[1])[:-1] * shot.tightness
    return ShootingFit(fit, shot.grids[1:, 0], states, jumps)


_rows = eqx.filter_jit(shooting_residual)
