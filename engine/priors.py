"""Priors: what is believed of a number, or of an array of numbers, before data."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.stats import norm
from jaxtyping import Array, Float

QUANTILE_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution: half the width of a 95 % interval."""


Numbers = float | Array | np.ndarray
"""One number, or one for each entry of an array."""


class Prior(eqx.Module):
    r"""A prior, written as a map of independent standard normal variables $z$, one for each number.

    Calibration works in $z$: every parameter then has the same scale, positive parameters stay positive,
    and the prior's term in the misfit is $\tfrac12 |z|^2$.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of what it is a prior: ``()`` for one number, else the shape of an array of them."""

    @abstractmethod
    def value(self, z: Array) -> Array:
        """The parameter at standardised coordinates ``z`` of its shape."""

    @abstractmethod
    def standardise(self, value: Array) -> Array:
        """The coordinates ``z`` of a value: the inverse of `value`."""

    @abstractmethod
    def interval(self, mean: Array, covariance: Float[Array, "n n"]) -> tuple[Array, Array]:
        """The central 95 % of each number where $z$, flat, is normal about ``mean`` of the shape."""


class Pointwise(Prior):
    """A prior of independent numbers: each is a monotone map of its own $z$.

    Numbers that describe it may be arrays, which are broadcast to the shape of what it describes.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the numbers that describe it."""
        return np.broadcast_shapes(*(np.shape(leaf) for leaf in jax.tree.leaves(self)))

    def interval(self, mean: Array, covariance: Float[Array, "n n"]) -> tuple[Array, Array]:
        """The central 95 % of each number: the map keeps quantiles."""
        spread = QUANTILE_95 * jnp.sqrt(jnp.diagonal(covariance)).reshape(mean.shape)
        return self.value(mean - spread), self.value(mean + spread)


class LogNormal(Pointwise):
    r"""A positive parameter: $x = m\, f^{z/1.96}$, so that 95 % lies between $m/f$ and $m f$.

    Args:
        median: $m > 0$.
        factor: $f > 1$.

    Raises:
        ValueError: for a median or factor out of range.
    """

    median: Numbers
    factor: Numbers

    def __check_init__(self) -> None:
        _require(
            self.median,
            lambda m: m > 0,
            f"The median of a log-normal prior must be positive, not {self.median}.",
        )
        _require(
            self.factor,
            lambda f: f > 1,
            f"The factor of a log-normal prior must exceed 1, not {self.factor}.",
        )

    def value(self, z: Array) -> Array:
        """The parameter at standardised coordinate ``z``."""
        return jnp.asarray(self.median) * jnp.exp(jnp.log(self.factor) / QUANTILE_95 * z)

    def standardise(self, value: Array) -> Array:
        """The coordinate ``z`` of a positive value."""
        return jnp.log(value / self.median) * QUANTILE_95 / jnp.log(self.factor)


class Normal(Pointwise):
    r"""A parameter of either sign: $x = \mu + s z$.

    Args:
        mean: $\mu$.
        std: $s > 0$.

    Raises:
        ValueError: for a standard deviation that is not positive.
    """

    mean: Numbers
    std: Numbers

    def __check_init__(self) -> None:
        _require(self.std, lambda s: s > 0, f"The standard deviation of a prior must be positive, not {self.std}.")

    def value(self, z: Array) -> Array:
        """The parameter at standardised coordinate ``z``."""
        return jnp.asarray(self.mean) + self.std * z

    def standardise(self, value: Array) -> Array:
        """The coordinate ``z`` of a value."""
        return (value - self.mean) / self.std


class Uniform(Pointwise):
    r"""A bounded parameter: $x = a + (b - a)\,\Phi(z)$.

    Args:
        low: $a$.
        high: $b > a$.

    Raises:
        ValueError: for an empty interval.
    """

    low: Numbers
    high: Numbers

    def __check_init__(self) -> None:
        _require(
            (self.low, self.high),
            lambda pair: np.all(np.less(*pair)),
            f"A uniform prior needs low < high, not low = {self.low} and high = {self.high}.",
        )

    def value(self, z: Array) -> Array:
        """The parameter at standardised coordinate ``z``."""
        return jnp.asarray(self.low) + (self.high - self.low) * norm.cdf(z)

    def standardise(self, value: Array) -> Array:
        """The coordinate ``z`` of a value inside the interval."""
        return norm.ppf((value - self.low) / (self.high - self.low))


def _require(value: Any, test: Any, message: str) -> None:
    """Raise ``message`` where concrete values fail a test; traced values pass."""
    leaves = jax.tree.leaves(value)
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        return
    if not all(np.all(np.isfinite(leaf)) for leaf in leaves) or not np.all(test(value)):
        raise ValueError(message)
