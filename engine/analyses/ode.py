r"""Analyses of ordinary differential equations, $\dot y = f(t, y, s)$ with input signals $s$, on diffrax."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis
from gemel.engine.lawinputs import asked_by_system
from gemel.engine.physics import OdeSystem
from gemel.engine.sensors import OutputSensor, Sensor
from gemel.engine.signals import Series, at_time, interval_means
from gemel.names import listed
from gemel.solvers import Code, Solution, Status
from gemel.solvers.linearising import Mode


def implicit_solver(rtol: float = 1e-8, atol: float = 1e-10, max_steps: int = 30) -> diffrax.AbstractSolver:
    """Kvaerno's L-stable method of order 3 with a chord iteration that stops at the given tolerances.

    Args:
        rtol: relative tolerance of the stages.
        atol: absolute tolerance of the stages, in the units of the state's rate.
        max_steps: limit of chord iterations a stage.

    Source: Kvaerno, *Singly Diagonally Implicit Runge-Kutta Methods with an Explicit First Stage*, BIT 44,
    2004.
    """
    # A bounded loop over the stages is what both forward and reverse differentiation accept. Not diffrax's
    # VeryChord: it reports divergence where its first correction is already at the level of rounding.
    chord = optimistix.Chord(rtol=rtol, atol=atol)
    return diffrax.Kvaerno3(scan_kind="bounded", root_finder=chord, root_find_max_steps=max_steps)


class Ode(Analysis):
    r"""An ODE system stepped through given times, with inputs held constant within each step.

    Each interval between two requested times is one step, or several equal ones where it is longer than
    ``step``. Over a step from $a$ to $b$ the system sees the mean $\frac{1}{b-a}\int_a^b s\,dt$ of every
    input: exact for a held input that jumps only at requested times, and for any input its integral (charge,
    energy) is conserved. An output at $b$ sees the input of the step that ends there; at the first time, the
    input just before it.

    Args:
        system: the model.
        step: longest step in s.
        solver: a diffrax solver of one step, `implicit_solver` by default. Other methods need
            ``scan_kind="bounded"``, and implicit ones a root finder with its own tolerances.

    Raises:
        ValueError: for a step that is not positive.
    """

    system: OdeSystem
    step: float = eqx.field(static=True)
    solver: diffrax.AbstractSolver = eqx.field(default_factory=implicit_solver)

    def __check_init__(self) -> None:
        if not (math.isfinite(self.step) and self.step > 0):
            raise ValueError(f"The time step must be positive, not {self.step} s.")

    def observe(self, sensors: Sequence[Sensor]) -> tuple[str, ...]:
        """The output of each sensor. Raises `ValueError` for one that the system does not have."""
        return outputs_of(self.system, sensors)

    def prepare(self) -> None:
        """Nothing is set up ahead."""

    def grid(self, times: np.ndarray | None) -> np.ndarray:
        """The requested times, long intervals divided. Raises `ValueError` where they do not increase."""
        return divided(checked_times(times), self.step)

    def run(
        self, prepared: Any, observation: tuple[str, ...], inputs: Mapping[str, Series], grid: Any
    ) -> Solution[tuple[Array, Any]]:
        """The sensors' outputs ``(m, n_sensors)`` and the state at the last time."""
        return with_readings(self.system, observation, inputs, grid, self.solve(inputs, grid))

    def solve(self, inputs: Mapping[str, Series], grid: Any) -> Solution[Float[Array, "m n"]]:
        """The states at every time of ``grid``."""
        times = jnp.asarray(grid, float)
        held = {name: interval_means(series, times) for name, series in inputs.items()}
        term = diffrax.ODETerm(_rate)
        start = jnp.asarray(self.system.initial(), float)
        first = (self.system, {name: values[0] for name, values in held.items()})
        state = self.solver.init(term, times[0], times[1], start, first)

        def advance(carry: tuple, interval: tuple) -> tuple[tuple, Array]:
            y, state, code = carry
            a, b, signals = interval
            y, _, _, state, result = self.solver.step(term, a, b, y, (self.system, signals), state, made_jump=True)
            code = jnp.where(code == Code.SUCCESS, _code(result), code)
            return (y, state, code), y

        carry = (start, state, jnp.asarray(Code.SUCCESS, jnp.int32))
        (_, _, code), rest = jax.lax.scan(advance, carry, (times[:-1], times[1:], held))
        states = jnp.concatenate([start[None], rest])
        return Solution(states, finite_status(code, states), {"steps": jnp.asarray(len(times) - 1)})


class AdaptiveOde(Analysis):
    r"""An ODE system with steps chosen by a controller of the local error, for stiff or smooth problems.

    Inputs are taken at the times of the stages; the jumps of held inputs become ends of steps.

    Args:
        system: the model.
        rtol: relative tolerance of the local error.
        atol: absolute tolerance of the local error, one number or one for each state.
        max_steps: limit of steps.
        solver: a diffrax solver; Kvaerno's method of order 5 (L-stable) by default.
        adjoint: how diffrax differentiates: ``ForwardMode`` serves tangents (calibration and forecasts),
            ``RecursiveCheckpointAdjoint`` gradients by reverse mode, ``DirectAdjoint`` both at a cost.

    Raises:
        ValueError: for tolerances that are not positive.
    """

    system: OdeSystem
    rtol: float
    atol: Any
    max_steps: int = eqx.field(static=True, default=10_000)
    solver: diffrax.AbstractSolver = eqx.field(default_factory=diffrax.Kvaerno5)
    adjoint: diffrax.AbstractAdjoint = eqx.field(default_factory=diffrax.ForwardMode)

    def __check_init__(self) -> None:
        if not (self.rtol > 0 and np.all(np.asarray(self.atol) > 0)):
            raise ValueError(f"The tolerances must be positive, not rtol = {self.rtol} and atol = {self.atol}.")

    @property
    def mode(self) -> Mode:
        """In which mode it can be differentiated; "cheapest" where in both."""
        if isinstance(self.adjoint, diffrax.DirectAdjoint):
            return "cheapest"
        return "forward" if isinstance(self.adjoint, diffrax.ForwardMode) else "reverse"

    def observe(self, sensors: Sequence[Sensor]) -> tuple[str, ...]:
        """The output of each sensor. Raises `ValueError` for one that the system does not have."""
        return outputs_of(self.system, sensors)

    def prepare(self) -> None:
        """Nothing is set up ahead."""

    def grid(self, times: np.ndarray | None) -> np.ndarray:
        """The requested times. Raises `ValueError` for times that do not increase."""
        return checked_times(times)

    def run(
        self, prepared: Any, observation: tuple[str, ...], inputs: Mapping[str, Series], grid: Any
    ) -> Solution[tuple[Array, Any]]:
        """The sensors' outputs ``(m, n_sensors)`` and the state at the last time."""
        solution = self.solve(inputs, grid)
        times = jnp.asarray(grid, float)
        seen = {name: jax.vmap(lambda t, s=series: value_before(s, t))(times) for name, series in inputs.items()}
        readings = read_outputs(self.system, observation, times, solution.value, seen)
        asked = asked_by_system(self.system, solution.value, seen)
        return Solution((readings, solution.value[-1]), solution.status, {**solution.statistics, **asked})

    def solve(self, inputs: Mapping[str, Series], grid: Any) -> Solution[Float[Array, "m n"]]:
        """The states at every time of ``grid``."""
        times = jnp.asarray(grid, float)
        controller: Any = diffrax.PIDController(rtol=self.rtol, atol=self.atol)
        jumps = [jnp.asarray(series.times, float) for series in inputs.values() if series.hold]
        if jumps:
            controller = diffrax.ClipStepSizeController(controller, jump_ts=jnp.sort(jnp.concatenate(jumps)))
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(_signal_rate),
            self.solver,
            times[0],
            times[-1],
            None,
            jnp.asarray(self.system.initial(), float),
            (self.system, dict(inputs)),
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=controller,
            adjoint=self.adjoint,
            max_steps=self.max_steps,
            throw=False,
        )
        states: Any = found.ys
        code = _code(found.result)
        return Solution(states, finite_status(code, states), {"steps": found.stats["num_steps"]})


def value_before(series: Series, t: Array) -> Array:
    """The value just before a time: the one that held until then."""
    if not series.hold:
        return series.at(t)
    k = jnp.searchsorted(jnp.asarray(series.times), t, side="left") - 1
    return jnp.asarray(series.values, float)[jnp.clip(k, 0, len(series.times) - 1)]


def _rate(t: Any, y: Any, args: tuple[OdeSystem, dict[str, Array]]) -> Array:
    system, signals = args
    return system.rate(t, y, signals)


def _signal_rate(t: Any, y: Any, args: tuple[OdeSystem, dict[str, Series]]) -> Array:
    system, inputs = args
    return system.rate(t, y, at_time(inputs, t))


def with_readings(
    system: OdeSystem,
    observation: tuple[str, ...],
    inputs: Mapping[str, Series],
    grid: Any,
    solution: Solution[Float[Array, "m n"]],
) -> Solution[tuple[Array, Any]]:
    """The outputs and the last of the states at all times of a grid, where each step sees the means of the inputs."""
    times = jnp.asarray(grid, float)
    held = {name: interval_means(series, times) for name, series in inputs.items()}
    seen = {name: jnp.concatenate([value_before(inputs[name], times[0])[None], held[name]]) for name in held}
    readings = read_outputs(system, observation, times, solution.value, seen)
    asked = asked_by_system(system, solution.value, seen)
    return Solution((readings, solution.value[-1]), solution.status, {**solution.statistics, **asked})


def read_outputs(
    system: OdeSystem, names: tuple[str, ...], times: Array, states: Array, signals: dict[str, Array]
) -> Float[Array, "m s"]:
    """The named outputs at every time, given the states and the signals there."""

    def at(t: Array, y: Array, seen: dict[str, Array]) -> Array:
        found = system.outputs(t, y, seen)
        return jnp.stack([jnp.asarray(found[name], float) for name in names]) if names else jnp.zeros(0)

    return jax.vmap(at)(times, states, signals)


def outputs_of(system: OdeSystem, sensors: Sequence[Sensor]) -> tuple[str, ...]:
    """The output that each sensor reads. Raises `ValueError` for one that the system does not have."""
    names = []
    for sensor in sensors:
        if not isinstance(sensor, OutputSensor):
            raise ValueError(f"Sensor '{sensor.name}' cannot read an ODE model: use an output sensor.")
        if sensor.output not in system.output_names:
            raise ValueError(
                f"Sensor '{sensor.name}' reads the unknown output '{sensor.output}': "
                f"the model has {listed(sensor.output, system.output_names)}"
            )
        names.append(sensor.output)
    return tuple(names)


def divided(times: np.ndarray, step: float) -> np.ndarray:
    """The times, with every interval longer than ``step`` s divided equally."""
    counts = np.maximum(1, np.ceil(np.diff(times) / step - 1e-9)).astype(int)
    parts = [np.linspace(a, b, n + 1)[:-1] for a, b, n in zip(times[:-1], times[1:], counts, strict=True)]
    return np.concatenate([*parts, times[-1:]])


def checked_times(times: np.ndarray | None) -> np.ndarray:
    """The requested times as floats. Raises `ValueError` for fewer than two, or times that do not increase."""
    if times is None or np.ndim(times) != 1 or len(times) < 2:
        raise ValueError("An ODE analysis needs 'times': at least two, in s.")
    times = np.asarray(times, dtype=float)
    if not np.all(np.isfinite(times)) or not np.all(np.diff(times) > 0):
        raise ValueError("The times of an ODE analysis must increase.")
    return times


def _code(result: Any) -> Array:
    """The `Code` of a result of diffrax."""
    known = diffrax.RESULTS
    table = [
        (known.successful, Code.SUCCESS),
        (known.event_occurred, Code.SUCCESS),
        (known.max_steps_reached, Code.MAX_STEPS),
        (known.nonlinear_max_steps_reached, Code.MAX_STEPS),
        (known.dt_min_reached, Code.STAGNATION),
        (known.nonlinear_divergence, Code.DIVERGENCE),
        (known.singular, Code.BREAKDOWN),
    ]
    code = jnp.asarray(Code.NOT_FINITE, jnp.int32)
    for outcome, meaning in table:
        code = jnp.where(result == outcome, jnp.asarray(meaning, jnp.int32), code)
    return code


def finite_status(code: Array, states: Array) -> Status:
    """The status of a run: success becomes `Code.NOT_FINITE` where a state is not finite."""
    good = jnp.all(jnp.isfinite(states))
    return Status(jnp.where((code == Code.SUCCESS) & ~good, jnp.asarray(Code.NOT_FINITE, jnp.int32), code))
