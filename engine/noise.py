r"""Noise of a sensor, and the error of the model at it: what keeps a reading from being what the twin says.

A reading is $d(t) = y(t) + b(t) + e(t)$: the twin's $y$, white noise $e \sim N(0, \sigma^2)$, and where it is given a
model error $b$, a stationary Ornstein-Uhlenbeck process with covariance $s^2 e^{-|t-t'|/\tau}$. The *innovations*
of $r = d - y$ are what each sample tells beyond those before it; over their standard deviations they are white and of
spread one where $\sigma$, $s$ and $\tau$ are right. A Kalman filter with one state gives them exactly.
Source: Kennedy, O'Hagan, *Bayesian calibration of computer models*, J. R. Stat. Soc. B 63, 2001; Särkkä, *Bayesian
Filtering and Smoothing*, 2013, section 4.3.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from gemel.engine.parameters import Multiple, Parameter, parameters_of

LOWEST = -6.0
"""The standardised coordinate of a prior below which a standard deviation is not looked for."""


class ModelError(eqx.Module):
    r"""What the model gets wrong at a sensor, as a process in time with covariance $s^2 e^{-|t-t'|/\tau}$.

    Args:
        std: $s$ in the SI unit of the reading; a number or a `Parameter`.
        correlation_time: $\tau$ in s; a number or a `Parameter`.

    Raises:
        ValueError: for a number that is not positive, or a prior that allows others.
    """

    std: Any
    correlation_time: Any

    def __check_init__(self) -> None:
        _require_positive(self.std, "standard deviation of a model error")
        _require_positive(self.correlation_time, "correlation time of a model error")


class Noise(eqx.Module):
    r"""Zero-mean noise of a sensor, normal unless the twin's loss takes it for another, and what is believed of the
    model's error there.

    Args:
        std: standard deviation $\sigma$ in the SI unit of the reading, or with another loss the scale that this weighs
            residuals by; a number, or a `Parameter` where the data are to say. Without an ``error`` it covers the
            model's own error as well.
        correlation_time: $\tau$ in s of a correlation $e^{-|t-t'|/\tau}$ of the noise itself, which is then only
            counted: samples at spacing $\Delta t$ carry the weight of one in $\coth(\Delta t/2\tau)$ independent ones.
            0 for independent samples.
        error: the model's own error, where it is told apart from white noise.

    Raises:
        ValueError: for a number that is not positive, or a correlation time beside an ``error``.
    """

    std: Any
    correlation_time: float = eqx.field(static=True, default=0.0)
    error: Any = None

    def __check_init__(self) -> None:
        _require_positive(self.std, "standard deviation of a noise")
        if not isinstance(self.error, ModelError | None):
            raise ValueError(f"The error of a noise is a ModelError(std, correlation_time), not {self.error}.")
        if not self.correlation_time >= 0:
            raise ValueError(f"The correlation time of a noise must not be negative, but is {self.correlation_time} s.")
        if self.error is not None and self.correlation_time > 0:
            raise ValueError("A noise beside a model error is white: give the correlation time to the model error.")

    def shares(self, times: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        r"""What each sample at ``times`` in s weighs, one where it is independent of its neighbours.

        Half of $\tanh(\Delta t / 2\tau)$ of the gap on each side, and half of one at either end: together what samples
        with the correlation $e^{-\Delta t / \tau}$ tell about a constant, over what an independent one does.
        """
        memory = self.correlation_time
        if memory <= 0 or len(times) < 2:
            return np.ones(len(times))
        halves = np.concatenate([[0.5], 0.5 * np.tanh(0.5 * np.diff(times) / memory), [0.5]])
        return halves[1:] + halves[:-1]

    def worth(self, times: Float[np.ndarray, " n"]) -> float:
        r"""As how many independent samples those at ``times`` in s count, of a noise whose numbers are known: one at
        least.

        It is $c\, 1^\top C^{-1} 1$, what they tell about a constant over what one does, with the covariance $C$ of
        white noise and model error and the variance $c$ of a sample: the squares of the innovations of ones.
        """
        if self.error is None:
            return float(self.shares(times).sum())
        rows = whitened(self, times, jnp.ones(len(times)), np.ones(len(times), bool))
        return float(self.spread**2 * jnp.sum(rows**2))

    @property
    def uncertain(self) -> bool:
        """Whether some of its numbers are parameters."""
        return bool(parameters_of(self))

    @property
    def spread(self) -> Array:
        r"""$\sqrt{\sigma^2 + s^2}$, of a noise whose numbers are known."""
        white = jnp.asarray(self.std, float)
        return white if self.error is None else jnp.hypot(white, self.error.std)

    def least(self) -> float:
        """A positive number under which no standard deviation of an innovation is looked for."""
        return _least(self.std)


def innovations(
    noise: Noise, times: Any, r: Float[Array, " n"], known: Bool[Array, " n"] | np.ndarray
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The innovations of differences from the twin, and their standard deviations.

    Args:
        noise: with numbers only.
        times: ``(n,)`` in s, increasing; only read where there is a model error.
        r: measured less twin; where not ``known`` it is not read.
        known: which samples there are.

    Returns:
        Innovations, zero where not known, and standard deviations, ``(n,)`` each.
    """
    if noise.error is None:
        return jnp.where(known, r, 0.0), jnp.broadcast_to(jnp.asarray(noise.std, float), r.shape)
    _, surprises, stds = _filtered(noise, times, r, known, lambda value, mean, _: value - mean)
    return surprises, stds


def differences(
    noise: Noise, times: Any, q: Float[Array, " n"], known: Bool[Array, " n"] | np.ndarray
) -> Float[Array, " n"]:
    """The differences of which ``q`` are the `whitened` innovations; zero where not ``known``."""
    if noise.error is None:
        return jnp.where(known, q * noise.std, 0.0)
    means, surprises, _ = _filtered(noise, times, q, known, lambda value, _, std: value * std)
    return jnp.where(known, means + surprises, 0.0)


def _filtered(
    noise: Noise,
    times: Any,
    given: Float[Array, " n"],
    known: Bool[Array, " n"] | np.ndarray,
    surprise_of: Callable[[Array, Array, Array], Array],
) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
    """What a Kalman filter of the model error expects at each sample, by what this surprises it, which
    ``surprise_of(given, expected, std)`` says, and the standard deviation of that.
    """
    variance = jnp.asarray(noise.std, float) ** 2
    power = jnp.asarray(noise.error.std, float) ** 2
    decay = jnp.exp(-jnp.diff(jnp.asarray(times, float)) / noise.error.correlation_time)
    decay = jnp.concatenate([jnp.ones(1), decay])

    def step(state: tuple[Array, Array], sample: tuple[Array, Array, Array]) -> Any:
        (mean, spread), (keep, value, seen) = state, sample
        mean, spread = keep * mean, keep**2 * spread + (1.0 - keep**2) * power
        total = spread + variance
        std, gain = jnp.sqrt(total), jnp.where(seen, spread / total, 0.0)
        surprise = jnp.where(seen, surprise_of(value, mean, std), 0.0)
        return (mean + gain * surprise, (1.0 - gain) * spread), (mean, surprise, std)

    start = (jnp.zeros_like(given[0]), jnp.broadcast_to(power, given[0].shape))
    _, found = jax.lax.scan(step, start, (decay, jnp.where(known, given, 0.0), jnp.asarray(known)))
    return found


def alike(noises: Sequence[Noise]) -> list[np.ndarray]:
    """The places of noises with the same numbers, traced or known: those of an image's pixels are worked on at once."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, noise in enumerate(noises):
        leaves, structure = jax.tree.flatten(noise)
        numbers = (leaf if isinstance(leaf, float | int) else id(leaf) for leaf in leaves)
        groups.setdefault((structure, *numbers), []).append(place)
    return [np.array(places) for places in groups.values()]


def as_noise(noise: Any) -> Noise:
    """A noise, from one or from its standard deviation; the converter of the fields of sensors."""
    return noise if isinstance(noise, Noise) else Noise(noise)


def whitened(
    noise: Noise, times: Any, r: Float[Array, " n"], known: Bool[Array, " n"] | np.ndarray
) -> Float[Array, " n"]:
    """The `innovations` in units of their standard deviations."""
    return jnp.divide(*innovations(noise, times, r, known))


def _least(number: Any) -> float:
    if isinstance(number, Parameter):
        return float(number.prior.value(jnp.asarray(LOWEST)))
    if isinstance(number, Multiple):
        return number.factor * _least(number.parameter)
    return float(number)


def _require_positive(number: Any, what: str) -> None:
    if isinstance(number, Parameter | Multiple):
        parameter = number if isinstance(number, Parameter) else number.parameter
        name = parameter.name
        if parameter.shape:
            raise ValueError(f"The {what} is one number, not one for each of the {parameter.size} of '{name}'.")
        if not _least(number) > 0:
            raise ValueError(
                f"The {what} must be positive, which the prior of '{name}' does not see to: give it a median and a "
                "factor, or a low above zero."
            )
        return
    plain = isinstance(number, int | float | np.number | np.ndarray | jax.Array)
    if not isinstance(number, Tracer) and not (plain and np.ndim(number) == 0 and number > 0):
        raise ValueError(f"The {what} must be a positive number, not {number}.")
