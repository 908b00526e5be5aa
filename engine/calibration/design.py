r"""What to measure next: the information that a measurement not yet made would bring.

With the belief $N(m, C)$ about the standardised parameters, $J$ the derivatives of a sensor's readings at $m$ and
$\sigma^2 c$ its noise, a measurement turns $C$ into $(C^{-1} + J^\top J / \sigma^2 c)^{-1}$; beside a model error
the innovations of $J$ stand for it (see `gemel.engine.noise`), and where the twin's loss is another than that of normal
noise a sample tells $\mathrm E\,\rho'^2$ of what it would with that. What it tells of the noise itself is not counted.
Its expected information in nats is half the logarithm of how far the determinant falls (D-optimal design), of the whole
covariance or of that part which matters. Parameters that are known, of variance zero, are left out.
Source: Chaloner, Verdinelli, *Bayesian Experimental Design: A Review*, 1995.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.calibration.pseudovalues import curve_of
from gemel.engine.calibration.sensitivities import jacobian_of
from gemel.engine.noise import Noise, alike, whitened
from gemel.engine.parameters import bind, parameters_of
from gemel.engine.sensors import Sensor
from gemel.engine.signals import Series
from gemel.engine.simulation import check_names, line_up, respond
from gemel.engine.twin import Twin

_AT_ONCE = 20_000_000
"""How many derivatives of readings are held at once where many sensors are compared."""


@dataclass(frozen=True)
class Measurement:
    """A sensor that could be read, or several together: the expected information in nats, and the standard deviation of
    each standardised parameter after it, as a share of that before.
    """

    sensor: str
    information: float
    remaining: dict[str, float]


def next_measurements(
    twin: Twin,
    candidates: Sequence[Sensor] | Mapping[str, Sequence[Sensor]],
    inputs: Mapping[str, Series] | None = None,
    times: Any = None,
    about: Sequence[str] | None = None,
) -> list[Measurement]:
    """Candidates by what each would tell alone, the most telling first.

    Args:
        twin: with the belief so far.
        candidates: sensors in places where one could be mounted; or by a name those that are read together, such as the
            pixels of an image.
        inputs: how the device would be driven meanwhile.
        times: when they would be read, ``(n,)`` in s.
        about: the parameters that matter; all that are not known by default.

    Raises:
        ValueError: for no candidates, one with a parameter of which the twin knows nothing, and as
            `expected_information`.
    """
    if not candidates:
        raise ValueError("There are no candidates to choose from: give sensors in the places to compare.")
    groups = dict(candidates) if isinstance(candidates, Mapping) else {one.name: [one] for one in candidates}
    free, places = _asked(twin, about)
    information = _information(twin, [one for group in groups.values() for one in group], inputs, times, free)
    before, found, first = twin.belief.covariance[np.ix_(free, free)], [], 0
    for name, group in groups.items():
        after = _after(before, jnp.sum(information[first : first + len(group)], axis=0))
        first += len(group)
        shares = jnp.sqrt(jnp.diagonal(after) / jnp.diagonal(before))
        remaining = dict(zip((twin.belief.labels[k] for k in free), np.asarray(shares).tolist(), strict=True))
        found.append(Measurement(name, float(_gain(before, after, places)), remaining))
    return sorted(found, key=lambda one: -one.information)


def information_of_each(
    twin: Twin,
    sensors: Sequence[Sensor],
    inputs: Mapping[str, Series] | None = None,
    times: Any = None,
    about: Sequence[str] | None = None,
) -> Float[Array, " s"]:
    """What each of many sensors would tell alone, in nats, in their order: a map where they stand all over a mesh.

    The derivatives of all readings come from one run for each parameter, or from a few where they are too many numbers
    to be held at once. Arguments and errors as in `next_measurements`.
    """
    free, places = _asked(twin, about)
    before = twin.belief.covariance[np.ix_(free, free)]
    samples = 1 if times is None else len(times)
    size = max(1, _AT_ONCE // (samples * len(twin.belief.mean)))
    parts = [sensors[first : first + size] for first in range(0, len(sensors), size)]
    tables = [_information(twin, part, inputs, times, free) for part in parts]
    gain = jax.jit(jax.vmap(lambda one: _gain(before, _after(before, one), places)))
    return jnp.concatenate([gain(table) for table in tables])


def information_by_input(
    twin: Twin,
    sensors: Sequence[Sensor],
    inputs: Mapping[str, Series],
    times: Any = None,
    about: Sequence[str] | None = None,
) -> tuple[float, dict[str, float]]:
    """What sensors would tell together, in nats, and its derivative by each input: what one SI unit more of it, the
    whole time, would add. Arguments and errors as in `expected_information`.
    """

    def told(more: Array) -> Array:
        moved = {
            name: Series(one.times, jnp.asarray(one.values) + more[i], one.hold)
            for i, (name, one) in enumerate(inputs.items())
        }
        return expected_information(twin, sensors, moved, times, about)

    none = jnp.zeros(len(inputs))
    if not inputs:
        return float(told(none)), {}

    def along(direction: Array) -> tuple[Array, Array]:
        return jax.jvp(told, (none,), (direction,))

    value, slopes = jax.vmap(along, out_axes=(None, 0))(jnp.eye(len(inputs)))
    return float(value), dict(zip(inputs, np.asarray(slopes).tolist(), strict=True))


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
        ValueError: for a twin without parameters, an unknown parameter or one that is known already, or inputs and
            times that do not fit the twin.
    """
    free, places = _asked(twin, about)
    before = twin.belief.covariance[np.ix_(free, free)]
    information = jnp.sum(_information(twin, sensors, inputs, times, free), axis=0)
    return _gain(before, _after(before, information), places)


def _asked(twin: Twin, about: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """The coordinates that are not known, and where among them those stand that matter."""
    belief = twin.belief
    if not twin.parameters:
        raise ValueError(f"Twin '{twin.name}' has no parameters to learn about.")
    names = belief.names if about is None else tuple(about)
    check_names("parameter", dict.fromkeys(names), belief.names, complete=False)
    open_ = np.ones(len(belief.mean), bool)
    if not isinstance(belief.covariance, Tracer):
        open_ = np.diagonal(np.asarray(belief.covariance)) > 0
    spans = belief.places
    if about is not None and (settled := [name for name in names if not open_[spans[name]].any()]):
        raise ValueError(f"Parameter '{settled[0]}' is known already: nothing can be learnt about it.")
    wanted = np.concatenate([np.zeros(0, int), *(np.r_[spans[name]] for name in names)])
    free = np.flatnonzero(open_)
    places = np.flatnonzero(np.isin(free, wanted))
    if not len(places):
        raise ValueError(f"All parameters of twin '{twin.name}' are known: nothing can be learnt about them.")
    return free, places


def _gain(before: Array, after: Array, places: np.ndarray) -> Array:
    sizes = [jnp.linalg.slogdet(covariance[np.ix_(places, places)])[1] for covariance in (before, after)]
    return 0.5 * (sizes[0] - sizes[1])


def _after(before: Float[Array, "p p"], information: Float[Array, "p p"]) -> Float[Array, "p p"]:
    r"""$(C^{-1} + F)^{-1} = L (I + L^\top F L)^{-1} L^\top$ with $C = L L^\top$."""
    factor = jnp.linalg.cholesky(before)
    inner = jnp.eye(len(factor)) + factor.T @ information @ factor
    return factor @ jnp.linalg.solve(inner, factor.T)


def _information(
    twin: Twin, sensors: Sequence[Sensor], inputs: Any, times: Any, free: np.ndarray
) -> Float[Array, "s p p"]:
    r"""$\kappa J^\top W J / \sigma^2$ of each sensor by the coordinates that are free, with the shares $W$ of its
    samples and $\kappa = \mathrm E\,\rho'^2$.
    """
    check_names("parameter", parameters_of(tuple(sensors)), twin.belief.names, complete=False)
    inputs, host_times, grid = line_up(twin, inputs, times)
    watched = Twin(twin.name, twin.analysis, sensors)
    watched = eqx.tree_at(lambda one: one.belief, watched, twin.belief)
    noises = [sensor.noise for sensor in sensors]
    shares = jnp.asarray([[1.0] if host_times is None else noise.shares(np.asarray(host_times)) for noise in noises])
    curve = curve_of(twin.loss)
    power = 1.0 if curve is None else float(curve.power)
    return power * _fisher(watched, inputs, host_times, grid, shares)[:, free[:, None], free]


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
    groups, tables = alike(noises), []
    for places in groups:
        noise = noises[places[0]]

        def of(columns: Array, weights: Array, noise: Noise = noise) -> Array:
            return _information_of(noise, times, columns, weights)

        tables.append(jax.vmap(of, in_axes=(1, 0))(jacobian[:, places], shares[places]))
    order = np.argsort(np.concatenate(groups))
    return jnp.concatenate(tables)[order]


def _information_of(
    noise: Noise, times: Any, jacobian: Float[Array, "n p"], shares: Float[Array, " n"]
) -> Float[Array, "p p"]:
    known = jnp.ones(len(jacobian), bool)
    white = jax.vmap(lambda column: whitened(noise, times, column, known), in_axes=1, out_axes=1)(jacobian)
    return white.T @ (shares[:, None] * white)
