"""Running a twin forward."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.observations import finished
from gemel.engine.parameters import bind
from gemel.engine.signals import Series
from gemel.engine.twin import Twin
from gemel.names import listed
from gemel.solvers import Solution, Status


class Readings(eqx.Module, Mapping[str, Array]):
    """Arrays by name that are the columns of one table ``(..., n)``: hundreds of pixels are one array to compile."""

    names: tuple[str, ...] = eqx.field(static=True)
    table: Array

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise KeyError(name)
        return self.table[..., self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Run(eqx.Module):
    """What a simulation gives.

    ``readings`` holds for each sensor an array ``(n_times,)``, or one number where there is no time, in SI
    units; ``state`` the final (or only) state of the model; ``times`` in s. Whether the numbers can be used says
    ``status``: a run that failed has readings all the same, and `checked` refuses them. ``warnings`` are sentences of
    those who had it run, such as the command line, on what it was asked for; see `extrapolations`.
    """

    times: Float[Array, " n"] | None
    readings: Mapping[str, Array]
    state: Any
    status: Status
    statistics: dict[str, Any]
    warnings: tuple[str, ...] = eqx.field(static=True, default=())

    def checked(self) -> "Run":
        """This run; raises `SolveError` where a solve in it failed (outside ``jit`` only)."""
        Solution(self.readings, self.status, self.statistics).checked()
        return self

    def stacked(self, names: tuple[str, ...] | None = None) -> Array:
        """The readings of several sensors side by side, ``(..., n_sensors)``."""
        names = names or tuple(self.readings)
        if isinstance(self.readings, Readings):
            known = {name: i for i, name in enumerate(self.readings.names)}
            return self.readings.table[..., np.array([known[name] for name in names], dtype=int)]
        return jnp.stack([self.readings[name] for name in names], axis=-1)


def simulate(
    twin: Twin,
    inputs: Mapping[str, Series] | None = None,
    times: Any = None,
    parameters: Mapping[str, Any] | None = None,
) -> Run:
    """Run a twin forward at given, or the believed, parameters.

    Pure and differentiable in everything that the twin, the parameters and the inputs hold; works under
    ``jit``, ``grad`` and ``vmap``.

    Args:
        twin: the twin.
        inputs: a signal for each of ``twin.inputs``.
        times: when to read the sensors, ``(n,)`` in s, increasing; the run starts at ``times[0]``. None for
            twins without time.
        parameters: values in SI units by name; those not given are taken at the mean of the belief.

    Raises:
        ValueError: for a missing or unknown input or parameter, or times that do not fit the twin.
    """
    check_names("parameter", parameters or {}, tuple(twin.parameters), complete=False)
    given = {name: jnp.asarray(value, float) for name, value in (parameters or {}).items()}
    values = {**twin.belief.values(), **given}
    return _simulate(twin, *line_up(twin, inputs, times), values)


def line_up(twin: Twin, inputs: Mapping[str, Series] | None, times: Any) -> tuple[dict[str, Series], Any, Any]:
    """The inputs, the times on the host and the grid of a run. Raises `ValueError` where they do not fit the twin."""
    inputs = dict(inputs or {})
    check_names("input", inputs, twin.inputs, complete=True)
    host_times = None if times is None else np.asarray(times, dtype=float)
    return inputs, host_times, twin.analysis.grid(host_times)


@eqx.filter_jit
def _simulate(twin: Twin, inputs: dict[str, Series], times: Any, grid: Any, values: dict[str, Any]) -> Run:
    return respond(twin, inputs, times, grid, values)


def respond(twin: Twin, inputs: Mapping[str, Series], times: Any, grid: Any, values: Mapping[str, Any]) -> Run:
    """The traced part of `simulate`: ``grid`` from ``analysis.grid``, ``values`` for every parameter."""
    analysis, sensors = bind((twin.analysis, twin.sensors), values)
    times, grid = (None if series is None else jnp.asarray(series) for series in (times, grid))
    solution = analysis.run(twin.prepared, twin.observation, inputs, grid)
    raw, state = solution.value
    table = finished(sensors, grid, raw)
    if grid is not None:
        table = jax.vmap(lambda reading: jnp.interp(times, grid, reading), 1, 1)(table)
    readings = Readings(tuple(sensor.name for sensor in sensors), table)
    return Run(times, readings, state, solution.status, solution.statistics)


def check_names(
    kind: str, given: Mapping[str, Any], known: Sequence[str], *, complete: bool, owner: str = "the twin"
) -> None:
    """Raise `ValueError` where a name is unknown or, with ``complete``, one is missing."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"Unknown {kind} '{unknown[0]}': {owner} has {listed(unknown[0], known)}")
    missing = sorted(set(known) - set(given))
    if complete and missing:
        raise ValueError(f"No signal is given for {kind} '{missing[0]}'.")
