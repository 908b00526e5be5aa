"""Uncertain parameters: their priors, their place in a model, and the belief about them."""

import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.priors import Prior
from gemel.names import listed

Tree = TypeVar("Tree")


class Parameter(eqx.Module):
    """An uncertain number, or an array of them. It stands in a model wherever a number, or such an array, may stand.

    Arrays are fields on a mesh, weights of a network (see `NeuralTerm`), initial states.

    Args:
        name: its name; the same name in two places is one parameter.
        prior: what is believed before data, in SI units; it has the shape of the parameter.
        unit: the unit it is shown in, such as "W/m/K".
        description: one line for tables.
        meaning: what its numbers stand for, where name and prior do not say it: the inputs and the scale of a network.
            A belief that was kept in a file is not read back where it has become another.
    """

    name: str = eqx.field(static=True)
    prior: Prior
    unit: str = eqx.field(static=True, default="")
    description: str = eqx.field(static=True, default="")
    meaning: str = eqx.field(static=True, default="")

    @property
    def shape(self) -> tuple[int, ...]:
        """``()`` for one number, else the shape of the array."""
        return self.prior.shape

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


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
    A parameter of $n$ numbers has $n$ coordinates side by side.
    """

    parameters: tuple[Parameter, ...]
    mean: Float[Array, " p"]
    covariance: Float[Array, "p p"]

    @staticmethod
    def prior(parameters: Mapping[str, Parameter]) -> "Belief":
        """The belief before any data."""
        count = sum(parameter.size for parameter in parameters.values())
        return Belief(tuple(parameters.values()), jnp.zeros(count), jnp.eye(count))

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names in the order of the coordinates."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each coordinate: that of its parameter, with a number, such as ``w[3]``, where it has several."""
        return tuple(
            parameter.name if not parameter.shape else f"{parameter.name}[{i}]"
            for parameter in self.parameters
            for i in range(parameter.size)
        )

    @property
    def places(self) -> dict[str, slice]:
        """Where the coordinates of each parameter stand."""
        ends = [0]
        for parameter in self.parameters:
            ends.append(ends[-1] + parameter.size)
        return {name: slice(*pair) for name, pair in zip(self.names, itertools.pairwise(ends), strict=True)}

    def scalars(self) -> "Belief":
        """The belief about the parameters of one number alone, whatever the others are."""
        kept = tuple(parameter for parameter in self.parameters if not parameter.shape)
        spans = self.places
        places = np.asarray([spans[parameter.name].start for parameter in kept], int)
        return Belief(kept, self.mean[places], self.covariance[np.ix_(places, places)])

    def values(self, z: Float[Array, " p"] | None = None) -> dict[str, Array]:
        """The parameters in SI units at ``z`` (the mean by default), by name."""
        z = self.mean if z is None else z
        places = self.places
        return {p.name: p.prior.value(z[places[p.name]].reshape(p.shape)) for p in self.parameters}

    def interval(self) -> dict[str, tuple[Array, Array]]:
        """The 95 % credible interval of each number in SI units, by parameter."""
        found, places = {}, self.places
        for p in self.parameters:
            place = places[p.name]
            found[p.name] = p.prior.interval(self.mean[place].reshape(p.shape), self.covariance[place, place])
        return found

    def determined(self) -> dict[str, Array]:
        r"""How well data determine each parameter: $1 - \mathrm{var}_{post}/\mathrm{var}_{prior}$, from 0 to 1; the
        mean over its coordinates where it has several.
        """
        share = 1.0 - jnp.diagonal(self.covariance)
        return {name: jnp.mean(share[place]) for name, place in self.places.items()}

    def given(self, known: Mapping[str, Any]) -> "Belief":
        r"""The belief once some parameters are known: for the others $m_u + C_{uk} C_{kk}^{-1} (z_k - m_k)$ and
        $C_{uu} - C_{uk} C_{kk}^{-1} C_{ku}$.

        It is one to forecast with: a fit needs a prior without certainty.

        Args:
            known: their values in SI units by name.

        Raises:
            ValueError: for a name that is not there, or a value that the prior rules out.
        """
        spans = self.places
        mean, places = self.mean, []
        for p in self.parameters:
            if p.name in known:
                places.append(np.arange(len(mean))[spans[p.name]])
                mean = mean.at[places[-1]].set(_standardised(p, known[p.name]).ravel())
        if unknown := sorted(set(known) - set(spans)):
            raise ValueError(f"Unknown parameter '{unknown[0]}': the belief is about {listed(unknown[0], spans)}")
        if not places:
            return self
        at = np.concatenate(places)
        rest = np.setdiff1d(np.arange(len(mean)), at)
        cross = self.covariance[np.ix_(rest, at)]
        gain = cross @ jnp.linalg.pinv(self.covariance[np.ix_(at, at)], hermitian=True)  # of what is certain zero
        mean = mean.at[rest].add(gain @ (mean - self.mean)[at])
        left = self.covariance[np.ix_(rest, rest)] - gain @ cross.T
        covariance = jnp.zeros_like(self.covariance).at[np.ix_(rest, rest)].set(0.5 * (left + left.T))
        return Belief(self.parameters, mean, covariance)

    def push(self, function: Callable[[dict[str, Array]], Array]) -> tuple[Array, Array]:
        """Something that follows from the parameters, such as a law at several temperatures: its value at the mean and
        its standard deviation, to first order.

        Args:
            function: from the parameters in SI units by name, as `bind` takes them; differentiable.
        """
        return pushed(lambda z: function(self.values(z)), self.mean, self.covariance)


def _standardised(parameter: Parameter, value: Any) -> Array:
    """The coordinates of a value. Raises `ValueError` where the prior rules it out."""
    z = parameter.prior.standardise(jnp.broadcast_to(jnp.asarray(value, float), parameter.shape))
    if not isinstance(z, Tracer) and not bool(jnp.all(jnp.isfinite(z))):
        raise ValueError(f"Parameter '{parameter.name}' cannot be {value} (in SI units): its prior rules that out.")
    return z


def pushed(
    function: Callable[[Array], Array], mean: Float[Array, " p"], covariance: Float[Array, "p p"]
) -> tuple[Array, Array]:
    r"""A function at the mean of a normal distribution, and its standard deviations
    $\sqrt{\mathrm{diag}\, J C J^\top}$.
    """
    value, push = jax.linearize(function, mean)
    variances, vectors = jnp.linalg.eigh(covariance)
    columns = jax.vmap(push)((vectors * jnp.sqrt(jnp.maximum(variances, 0.0))).T)
    return value, jnp.sqrt(jnp.sum(columns**2, axis=0))
