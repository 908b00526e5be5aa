"""Uncertain parameters: their priors, their place in a model, and the belief about them."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.stats import norm
from jaxtyping import Array, Float

Tree = TypeVar("Tree")

QUANTILE_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution: half the width of a 95 % interval."""


class Prior(eqx.Module):
    r"""A one-dimensional prior, written as a monotone map of a standard normal variable $z$.

    Calibration works in $z$: every parameter then has the same scale, positive parameters stay positive,
    and the prior's term in the misfit is $\tfrac12 z^2$.
    """

    @abstractmethod
    def value(self, z: Array) -> Array:
        """The parameter at standardised coordinate ``z``."""

    @abstractmethod
    def standardise(self, value: Array) -> Array:
        """The coordinate ``z`` of a value: the inverse of `value`."""


class LogNormal(Prior):
    r"""A positive parameter: $x = m\, f^{z/1.96}$, so that 95 % lies between $m/f$ and $m f$.

    Args:
        median: $m > 0$.
        factor: $f > 1$.

    Raises:
        ValueError: for a median or factor out of range.
    """

    median: float
    factor: float

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
        return self.median * jnp.exp(jnp.log(self.factor) / QUANTILE_95 * z)

    def standardise(self, value: Array) -> Array:
        """The coordinate ``z`` of a positive value."""
        return jnp.log(value / self.median) * QUANTILE_95 / jnp.log(self.factor)


class Normal(Prior):
    r"""A parameter of either sign: $x = \mu + s z$.

    Args:
        mean: $\mu$.
        std: $s > 0$.

    Raises:
        ValueError: for a standard deviation that is not positive.
    """

    mean: float
    std: float

    def __check_init__(self) -> None:
        _require(self.std, lambda s: s > 0, f"The standard deviation of a prior must be positive, not {self.std}.")

    def value(self, z: Array) -> Array:
        """The parameter at standardised coordinate ``z``."""
        return self.mean + self.std * z

    def standardise(self, value: Array) -> Array:
        """The coordinate ``z`` of a value."""
        return (value - self.mean) / self.std


class Uniform(Prior):
    r"""A bounded parameter: $x = a + (b - a)\,\Phi(z)$.

    Args:
        low: $a$.
        high: $b > a$.

    Raises:
        ValueError: for an empty interval.
    """

    low: float
    high: float

    def __check_init__(self) -> None:
        _require(
            np.asarray([self.low, self.high]),
            lambda pair: pair[1] > pair[0],
            f"A uniform prior needs low < high, not low = {self.low} and high = {self.high}.",
        )

    def value(self, z: Array) -> Array:
        """The parameter at standardised coordinate ``z``."""
        return self.low + (self.high - self.low) * norm.cdf(z)

    def standardise(self, value: Array) -> Array:
        """The coordinate ``z`` of a value inside the interval."""
        return norm.ppf((value - self.low) / (self.high - self.low))


def _require(value: Any, test: Any, message: str) -> None:
    """Raise ``message`` where a concrete value fails a test; traced values pass."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        return
    if not bool(np.all(np.isfinite(value))) or not bool(test(np.asarray(value))):
        raise ValueError(message)


class Parameter(eqx.Module):
    """An uncertain number. It stands in a model wherever a number may stand.

    Args:
        name: its name; the same name in two places is one parameter.
        prior: what is believed before data, in SI units.
        unit: the unit it is shown in, such as "W/m/K".
        description: one line for tables.
    """

    name: str = eqx.field(static=True)
    prior: Prior
    unit: str = eqx.field(static=True, default="")
    description: str = eqx.field(static=True, default="")


class Multiple(eqx.Module):
    """A fixed multiple of a parameter, such as minus it."""

    factor: float = eqx.field(static=True)
    parameter: Parameter


def _is_parameter(node: Any) -> bool:
    return isinstance(node, Parameter)


def _is_placeholder(node: Any) -> bool:
    return isinstance(node, Parameter | Multiple)


def parameters_of(tree: Any) -> dict[str, Parameter]:
    """The parameters in a model by name, in the order of their names; R_2 comes before R_10.

    Raises `ValueError` where one name stands for two different parameters.
    """
    found: dict[str, Parameter] = {}
    for node in jax.tree.leaves(tree, is_leaf=_is_parameter):
        if not _is_parameter(node):
            continue
        if node.name in found and not eqx.tree_equal(found[node.name], node):
            raise ValueError(f"Parameter '{node.name}' is defined twice with different priors or units.")
        found[node.name] = node
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key in which runs of digits count as numbers."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def bind(tree: Tree, values: Mapping[str, Any]) -> Tree:
    """Replace every `Parameter`, and `Multiple` of one, in ``tree`` by its value."""

    def resolve(node: Any) -> Any:
        if isinstance(node, Multiple):
            return node.factor * values[node.parameter.name]
        return values[node.name] if _is_parameter(node) else node

    return jax.tree.map(resolve, tree, is_leaf=_is_placeholder)


class Belief(eqx.Module):
    r"""What is believed about the parameters: a normal distribution $z \sim N(m, C)$ in standardised coordinates.

    The prior has $m = 0$ and $C = I$; calibration replaces both by the Laplace approximation of the posterior.
    """

    parameters: tuple[Parameter, ...]
    mean: Float[Array, " p"]
    covariance: Float[Array, "p p"]

    @staticmethod
    def prior(parameters: Mapping[str, Parameter]) -> "Belief":
        """The belief before any data."""
        count = len(parameters)
        return Belief(tuple(parameters.values()), jnp.zeros(count), jnp.eye(count))

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names in the order of the coordinates."""
        return tuple(parameter.name for parameter in self.parameters)

    def values(self, z: Float[Array, " p"] | None = None) -> dict[str, Array]:
        """The parameters in SI units at ``z`` (the mean by default), by name."""
        z = self.mean if z is None else z
        return {parameter.name: parameter.prior.value(z[i]) for i, parameter in enumerate(self.parameters)}

    def interval(self) -> dict[str, tuple[Array, Array]]:
        """The 95 % credible interval of each parameter in SI units."""
        spread = QUANTILE_95 * jnp.sqrt(jnp.diagonal(self.covariance))
        low, high = self.values(self.mean - spread), self.values(self.mean + spread)
        return {name: (low[name], high[name]) for name in self.names}

    def determined(self) -> dict[str, Array]:
        r"""How well data determine each parameter: $1 - \mathrm{var}_{post}/\mathrm{var}_{prior}$, from 0 to 1."""
        share = 1.0 - jnp.diagonal(self.covariance)
        return {name: share[i] for i, name in enumerate(self.names)}
