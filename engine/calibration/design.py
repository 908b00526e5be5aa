r"""What to measure next: the information that a measurement not yet made would bring.

With the belief $N(m, C)$ about the standardised parameters, $J$ the derivatives of a sensor's readings at $m$ and
$\sigma^2 c$ its noise, a measurement turns $C$ into $(C^{-1} + J^\top J / \sigma^2 c)^{-1}$; beside a model error
the innovations of $J$ stand for it (see `gemel.engine.noise`). What it tells of the noise itself is not counted. Its
expected information in nats is half the logarithm of how far the determinant falls (D-optimal design), of the whole
covariance or of that part which matters. Source: Chaloner, Verdinelli, *Bayesian Experimental Design: A Review*, 1995.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.sensitivities import jacobian_of
from gemel.engine.noise import Noise, whitened
from gemel.engine.parameters import bind, parameters_of
from gemel.engine.sensors import Sensor
from gemel.engine.signals import Series
from gemel.engine.simulation import check_names, line_up, respond
from gemel.engine.twin import Twin


@dataclass(frozen=True)
class Measurement:
    """A sensor that could be read: the expected information in nats, and the standard deviation of each standardised
    parameter after it, as a share of that before.
    """

    sensor: str
    information: float
    remaining: dict[str, float]


def next_measurements(
    twin: Twin,
    candidates: Sequence[Sensor],
    inputs: Mapping[str, Series] | None = None,
    times: Any = None,
    about: Sequence[str] | None = None,
) -> list[Measurement]:
    """Candidates by what each would tell alone, the most telling first.

    Args:
        twin: with the belief so far.
        candidates: sensors in places where one could be mounted.
        inputs: how the device would be driven meanwhile.
        times: when they would be read, ``(n,)`` in s.
        about: the parameters that matter; all by default.

    Raises:
        ValueError: for no candidates, one with a parameter of which the twin knows nothing, and as
            `expected_information`.
    """
    if not candidates:
        raise ValueError("There are no candidates to choose from: give sensors in the places to compare.")
    found = []
    for sensor, after in zip(candidates, _after_each(twin, candidates, inputs, times), strict=True):
        before = twin.belief.covariance
        gain = _gain(before, after, _places(twin, about))
        shares = jnp.sqrt(jnp.diagonal(after) / jnp.diagonal(before))
        remaining = dict(zip(twin.belief.labels, np.asarray(shares).tolist(), strict=True))
        found.append(Measurement(sensor.name, float(gain), remaining))
    return sorted(found, key=lambda one: -one.information)


def expected_information(
    twin: Twin,
    sensors: Sequence[Sensor],
    inputs: Mapping[str, Series] | None = None,
    times: Any = None,
    about: Sequence[str] | None = None,
) -> Float[Array, ""]:
    """What several sensors would tell together, in nats; differentiable in the values of the inputs, so that the best
    way to drive the device is found by ascent. Arguments as in `next_measurements`.

    A gradient in reverse mode costs about one of the readings for each parameter, whatever the number of values; first
    derivatives only, forward and reverse.

    Raises:
        ValueError: for a twin without parameters, an unknown parameter, or inputs and times that do not fit it.
    """
    information = _information(twin, sensors, inputs, times)
    precision = jnp.linalg.inv(twin.belief.covariance) + jnp.sum(information, axis=0)
    return _gain(twin.belief.covariance, jnp.linalg.inv(precision), _places(twin, about))


def _places(twin: Twin, about: Sequence[str] | None) -> np.ndarray:
    names = twin.belief.names if about is None else tuple(about)
    check_names("parameter", dict.fromkeys(names), twin.belief.names, complete=False)
    places = twin.belief.places
    return np.concatenate([np.r_[places[name]] for name in names])


def _gain(before: Array, after: Array, places: np.ndarray) -> Array:
    sizes = [jnp.linalg.slogdet(covariance[np.ix_(places, places)])[1] for covariance in (before, after)]
    return 0.5 * (sizes[0] - sizes[1])


def _after_each(twin: Twin, sensors: Sequence[Sensor], inputs: Any, times: Any) -> list[Array]:
    """The covariance after each sensor alone."""
    precision = jnp.linalg.inv(twin.belief.covariance)
    return [jnp.linalg.inv(precision + one) for one in _information(twin, sensors, inputs, times)]


def _information(twin: Twin, sensors: Sequence[Sensor], inputs: Any, times: Any) -> Float[Array, "s p p"]:
    r"""$J^\top W J / \sigma^2$ of each sensor, with the shares $W$ of its samples."""
    if not twin.parameters:
        raise ValueError(f"Twin '{twin.name}' has no parameters to learn about.")
    check_names("parameter", parameters_of(tuple(sensors)), twin.belief.names, complete=False)
    inputs, host_times, grid = line_up(twin, inputs, times)
    watched = Twin(twin.name, twin.analysis, sensors)
    watched = eqx.tree_at(lambda one: one.belief, watched, twin.belief)
    noises = [sensor.noise for sensor in sensors]
    shares = jnp.asarray([[1.0] if host_times is None else noise.shares(np.asarray(host_times)) for noise in noises])
    return _fisher(watched, inputs, host_times, grid, shares)


class _Readings(eqx.Module):
    """The readings at standardised parameters, ``(n, s)``; NaN where a run fails."""

    twin: Twin
    inputs: Any
    times: Any
    grid: Any

    def __call__(self, z: Array) -> Array:
        run = respond(self.twin, self.inputs, self.times, self.grid, self.twin.belief.values(z))
        names = tuple(sensor.name for sensor in self.twin.sensors)
        return jnp.where(run.status.ok, jnp.atleast_2d(run.stacked(names)), jnp.nan)


@eqx.filter_jit
def _fisher(twin: Twin, inputs: Any, times: Any, grid: Any, shares: Float[Array, "s n"]) -> Float[Array, "s p p"]:
    jacobian = jacobian_of(_Readings(twin, inputs, times, grid), twin.belief.mean)
    noises = bind(tuple(sensor.noise for sensor in twin.sensors), twin.belief.values())
    return jnp.stack([_information_of(noise, times, jacobian[:, i], shares[i]) for i, noise in enumerate(noises)])


def _information_of(
    noise: Noise, times: Any, jacobian: Float[Array, "n p"], shares: Float[Array, " n"]
) -> Float[Array, "p p"]:
    known = jnp.ones(len(jacobian), bool)
    white = jax.vmap(lambda column: whitened(noise, times, column, known), in_axes=1, out_axes=1)(jacobian)
    return white.T @ (shares[:, None] * white)
