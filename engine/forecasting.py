"""Forecasts: a free run with its credible band."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.losses import Gaussian, Loss
from gemel.engine.signals import Series
from gemel.engine.simulation import Readings, Run, check_names, line_up, respond
from gemel.engine.twin import Twin


class Forecast(eqx.Module):
    """A run at the mean of the belief, with standard deviations by sensor in SI units.

    ``parametric`` comes from the parameters' uncertainty alone, ``model_error`` from the model's error, zero
    where a sensor has none; ``predictive`` adds the sensor's noise to both and is what a new measurement should be
    compared with. That noise has the scale ``noise`` and is the one that ``loss`` stands for: with `StudentT` up to two
    degrees of freedom ``predictive`` is infinite, and the bands are not.
    """

    run: Run
    parametric: dict[str, Array]
    predictive: dict[str, Array]
    model_error: dict[str, Array]
    noise: dict[str, Array]
    loss: Loss = Gaussian()

    def shares(self, sensor: str) -> dict[str, float]:
        """Where the predictive variance of a sensor comes from, on average over the run: shares that add up to one."""
        total = jnp.mean(self.predictive[sensor] ** 2)
        parameters = float(jnp.mean(self.parametric[sensor] ** 2) / total)
        model = float(jnp.mean(self.model_error[sensor] ** 2) / total)
        return {"parameters": parameters, "model error": model, "noise": max(1.0 - parameters - model, 0.0)}

    def band(self, sensor: str, level: float = 0.95) -> tuple[Array, Array]:
        """The predictive band of a sensor that should hold a share ``level`` of new measurements.

        Parameters and model error spread normally, and the noise as ``loss`` says: the band is of their sum.

        Raises `ValueError` for a level that is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"The level of a band is between 0 and 1, such as 0.95, not {level}.")
        scale, blur = self.noise[sensor], jnp.hypot(self.parametric[sensor], self.model_error[sensor])
        spread = scale * self.loss.half_width(level, blur / scale)
        return self.run.readings[sensor] - spread, self.run.readings[sensor] + spread

    def coverage(self, sensor: str, measured: Float[Array, " n"] | np.ndarray) -> float:
        """The share of measurements inside the band; near 0.95 where the twin's uncertainty is honest."""
        low, high = self.band(sensor)
        measured = jnp.asarray(measured)
        known = jnp.isfinite(measured)
        inside = (measured >= low) & (measured <= high) & known
        return float(jnp.sum(inside) / jnp.sum(known))


def forecast(
    twin: Twin,
    inputs: Mapping[str, Series] | None = None,
    times: Any = None,
    parameters: Mapping[str, Any] | None = None,
) -> Forecast:
    r"""Run a twin freely and propagate its belief to the readings, $\mathrm{var}\,y = J C J^\top + s^2 + \sigma^2$.

    The standard deviation $\sigma$ of the noise, under the loss of the twin, and the spread $s$ of a model error are
    taken at the mean of the belief.

    Args:
        twin: a calibrated twin (or one with its prior).
        inputs: a signal for each of ``twin.inputs``.
        times: when to read the sensors, in s.
        parameters: those that are known, such as the state that this run starts from: values in SI units by name. The
            others move as the belief says that they hang together with them; see `Belief.given`.

    Raises:
        ValueError: for a missing or unknown input or parameter, or times that do not fit the twin.
    """
    if parameters:
        check_names("parameter", parameters, tuple(twin.parameters), complete=False)
        given = twin.belief.given(parameters)
        twin = twin.with_belief(given.mean, given.covariance)
    run, spread = _propagate(twin, *line_up(twin, inputs, times))
    noises = twin.noises().values()
    errors = jnp.array([0.0 if noise.error is None else noise.error.std for noise in noises])
    scales = jnp.array([noise.std for noise in noises])
    noise = jnp.hypot(twin.loss.std * scales, errors)
    names = tuple(sensor.name for sensor in twin.sensors)
    parametric = dict(Readings(names, spread))
    predictive = dict(Readings(names, jnp.hypot(spread, noise)))
    model_error, scale = (dict(Readings(names, jnp.broadcast_to(one, spread.shape))) for one in (errors, scales))
    return Forecast(run, parametric, predictive, model_error, scale, twin.loss)


@eqx.filter_jit
def _propagate(twin: Twin, inputs: Any, times: Any, grid: Any) -> tuple[Run, Array]:
    names = tuple(sensor.name for sensor in twin.sensors)

    def readings(z: Array) -> tuple[Array, Run]:
        run = respond(twin, inputs, times, grid, twin.belief.values(z))
        return run.stacked(names), run

    mean = twin.belief.mean
    if not len(mean):
        stacked, run = readings(mean)
        return run, jnp.zeros_like(stacked)
    values, vectors = jnp.linalg.eigh(twin.belief.covariance)
    directions = (vectors * jnp.sqrt(jnp.maximum(values, 0.0))).T

    def push(direction: Array) -> tuple[Array, Run]:
        _, tangent, run = jax.jvp(readings, (mean,), (direction,), has_aux=True)
        return tangent, run

    columns, run = jax.vmap(push, out_axes=(0, None))(directions)
    return run, jnp.sqrt(jnp.sum(columns**2, axis=0))
