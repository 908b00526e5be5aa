"""Time series: inputs that drive a model and records that it is compared with."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.names import listed


def _array(values: Any) -> Any:
    """Lists and integers as floats; arrays of jax as they are."""
    return values if isinstance(values, jax.Array) else np.asarray(values, dtype=float)


def _check_times(times: Any, owner: str) -> None:
    """Raise `ValueError` for times, where they are known, that are not finite or do not increase."""
    if isinstance(times, Tracer):
        return
    given = np.asarray(times)
    if not np.all(np.isfinite(given)):
        row = int(np.flatnonzero(~np.isfinite(given))[0])
        raise ValueError(f"The times of a {owner} must be finite: sample {row} is at {given[row]} s.")
    if not np.all(np.diff(given) > 0):
        row = int(np.flatnonzero(np.diff(given) <= 0)[0]) + 1
        raise ValueError(f"The times of a {owner} must increase: sample {row} is at {given[row]} s.")


class Series(eqx.Module):
    """A signal sampled at increasing times, held or linear between samples and constant outside.

    Args:
        times: ``(n,)`` in s, strictly increasing.
        values: ``(n,)`` in SI units.
        hold: keep each value until the next sample (a set heater); False interpolates linearly.

    Raises:
        ValueError: for unequal lengths, no samples, times that do not increase, or values that are not finite.
    """

    times: Float[Array, " n"] | np.ndarray = eqx.field(converter=_array)
    values: Float[Array, " n"] | np.ndarray = eqx.field(converter=_array)
    hold: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        if np.shape(self.times) != np.shape(self.values) or np.ndim(self.times) != 1 or not np.size(self.times):
            raise ValueError(
                f"A series needs as many values as times, at least one: "
                f"got {np.shape(self.times)} times and {np.shape(self.values)} values."
            )
        _check_times(self.times, "series")
        if not isinstance(self.values, Tracer) and not bool(np.all(np.isfinite(self.values))):
            row = int(np.flatnonzero(~np.isfinite(self.values))[0])
            raise ValueError(f"The values of a series must be finite: sample {row} is {self.values[row]}.")

    def then(self, start: float, value: float) -> "Series":
        """The series until ``start`` in s, and ``value`` from then on: at once, also where it is linear."""
        kept = np.asarray(self.times) < start
        times, values = np.asarray(self.times)[kept], np.asarray(self.values)[kept]
        if not self.hold:
            times, values = np.append(times, np.nextafter(start, -np.inf)), np.append(values, float(self.at(start)))
        return Series(np.append(times, start), np.append(values, value), self.hold)

    def at(self, t: Any) -> Array:
        """The value at time ``t`` in s."""
        times, values = jnp.asarray(self.times), jnp.asarray(self.values)
        if not self.hold:
            return jnp.interp(t, times, values)
        return values[jnp.clip(jnp.searchsorted(times, t, side="right") - 1, 0, len(times) - 1)]


def at_time(inputs: Mapping[str, Series] | None, t: Any) -> dict[str, Array]:
    """The values of signals at time ``t`` in s, by name."""
    return {name: series.at(t) for name, series in (inputs or {}).items()}


def interval_means(series: Series, times: Float[Array, " m"]) -> Float[Array, " m-1"]:
    """The mean of a signal over each interval between neighbouring times."""
    knots, values = jnp.asarray(series.times, float), jnp.asarray(series.values, float)
    spans = jnp.diff(knots)
    ends = values[:-1] if series.hold else 0.5 * (values[:-1] + values[1:])
    integral = jnp.concatenate([jnp.zeros(1), jnp.cumsum(ends * spans)])
    before = jnp.searchsorted(knots, times, side="right") - 1
    k = jnp.clip(before, 0, len(knots) - 1)
    ahead = times - knots[k]
    rise = jnp.zeros_like(ahead)
    if not series.hold and len(knots) > 1:
        inside = (before >= 0) & (before < len(knots) - 1)
        i = jnp.minimum(k, len(knots) - 2)
        rise = jnp.where(inside, 0.5 * (values[i + 1] - values[i]) / spans[i] * ahead**2, 0.0)
    return jnp.diff(integral[k] + values[k] * ahead + rise) / jnp.diff(times)


def samples_of(record: "Record", part: "Record | None") -> np.ndarray:
    """Which samples of a record are those of a part of it: booleans ``(n,)``, or ``()`` without time; none of None."""
    if record.times is None:
        return np.asarray(part is not None)
    if part is None or part.times is None:
        return np.zeros(np.shape(record.times), bool)
    return np.isin(np.asarray(record.times), np.asarray(part.times))


class Record(eqx.Module):
    """Measured data in SI units: readings by sensor and inputs by name on one clock.

    ``times`` is None for data without time (frequencies, a steady state); each reading is then one number.

    Args:
        times: ``(n,)`` in s, strictly increasing, or None.
        readings: by sensor, ``(n,)`` or ``()``; NaN marks a missing sample.
        inputs: the signals that drove the device, by name.

    Raises:
        ValueError: for times that are not finite or do not increase, or readings of another shape.
    """

    times: Float[Array, " n"] | np.ndarray | None
    readings: Mapping[str, Any]
    inputs: Mapping[str, Series] = eqx.field(default_factory=dict)

    def __check_init__(self) -> None:
        shape = () if self.times is None else np.shape(self.times)
        if len(shape) == 1:
            _check_times(self.times, "record")
        for name, values in self.readings.items():
            if np.shape(values) != shape:
                raise ValueError(f"Reading '{name}' has shape {np.shape(values)} where the times have {shape}.")

    def between(self, start: float, end: float) -> "Record":
        """The samples with start <= t < end; inputs are kept whole.

        Raises `ValueError` where no sample is left.
        """
        if self.times is None:
            return self
        times = np.asarray(self.times)
        inside = (times >= start) & (times < end)
        if not inside.any():
            raise ValueError(
                f"No sample lies between {start:g} s and {end:g} s: "
                f"the record runs from {times[0]:g} to {times[-1]:g} s."
            )
        readings = {name: np.asarray(values)[inside] for name, values in self.readings.items()}
        return Record(times[inside], readings, self.inputs)

    def followed(self, times: Any, inputs: Mapping[str, float] | None = None) -> "Record":
        """The record and, after its last sample, times at which nothing is measured.

        Args:
            times: ``(m,)`` in s, increasing, after those of the record.
            inputs: what inputs are held at from the last sample on; the others keep their last values.

        Raises:
            ValueError: for a record without times, and inputs that it has not.
        """
        if self.times is None:
            raise ValueError("A record without times has no end that others could follow.")
        for name in (inputs or {}).keys() - self.inputs.keys():
            raise ValueError(f"The record has no input '{name}' to go on from: it has {listed(name, self.inputs)}")
        last, count = float(self.times[-1]), len(times)
        readings = {
            name: np.append(np.asarray(values), np.full(count, np.nan)) for name, values in self.readings.items()
        }
        then = {name: self.inputs[name].then(last, value) for name, value in (inputs or {}).items()}
        return Record(np.append(np.asarray(self.times), times), readings, {**self.inputs, **then})
