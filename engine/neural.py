r"""Neural terms: a network with trainable weights, where a model has a law that nobody knows.

A `NeuralTerm` stands in a model where a callable stands, as an attribute of an `OdeSystem` or in the parameters of a
`Law`, such as `NeuralTerm.law` makes; its weights are a `Parameter` of many numbers with a normal prior, so that they
are fitted together with the physical parameters, and the band of a forecast holds what is not known of the law.

The prior's mean is the network as it is given. `NeuralTerm.between` gives one whose output layer is zero: before data
the model is physics alone, yet its derivatives by the weights are not zero, as they would be at weights that are all
zero. Its hidden units $\tanh(3\,w^\top(\hat x - c))$ with $|w| = 1$ bend at places $c$ spread over the whole range of
the inputs: where no data came, the units that bend there keep their prior.
Source: Neal, *Bayesian Learning for Neural Networks*, 1996, chapter 2; a prior about the initial weights: Pearce et
al., *Uncertainty in Neural Networks: Approximately Bayesian Ensembling*, AISTATS 2020.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import Input, Law, Profile
from gemel.engine.parameters import Parameter
from gemel.engine.priors import Normal

_SHARP = 3.0
"""How fast a unit of the first layer bends, over half the range of the inputs."""


class NeuralTerm(eqx.Module):
    """A network whose weights are one `Parameter`; called as the network is, once `bind` has put numbers in.

    Args:
        name: of the parameter.
        network: any callable pytree, such as ``eqx.nn.MLP``; its floating arrays are the weights, and their values the
            mean of the prior. All else in it stays as it is.
        std: the standard deviation of the prior of each weight: a number, or a pytree of numbers and arrays in the
            structure of the network's weights.
        description: one line for tables.
        meaning: what tells the network from others of as many weights; see `Parameter`.

    Raises:
        ValueError: for a network without weights, or standard deviations that are not positive or not one a weight.
    """

    weights: Any
    structure: Any = eqx.field(static=True)
    leaves: tuple[Any, ...] = eqx.field(static=True)

    def __init__(self, name: str, network: Any, std: Any, description: str = "", meaning: str = "") -> None:
        given, self.structure = jax.tree.flatten(network)
        weights = [np.asarray(leaf, float) for leaf in given if eqx.is_inexact_array(leaf)]
        if not weights:
            raise ValueError(f"The network of '{name}' has no arrays of floating numbers that could be trained.")
        self.leaves = tuple(np.shape(leaf) if eqx.is_inexact_array(leaf) else _Kept(leaf) for leaf in given)
        spreads = jax.tree.leaves(std)
        if len(spreads) == 1 and np.ndim(spreads[0]) == 0:
            spreads = spreads * len(weights)
        if len(spreads) != len(weights):
            raise ValueError(f"The network of '{name}' has {len(weights)} arrays of weights, not {len(spreads)}.")
        mean = np.concatenate([leaf.ravel() for leaf in weights])
        flat = [np.broadcast_to(one, leaf.shape).ravel() for one, leaf in zip(spreads, weights, strict=True)]
        prior = Normal(mean, np.concatenate(flat))
        self.weights = Parameter(name, prior, description=description, meaning=meaning)

    @staticmethod
    def between(
        name: str,
        low: float | Sequence[float],
        high: float | Sequence[float],
        scale: float | Sequence[float],
        width: int = 16,
        depth: int = 1,
        seed: int = 0,
        description: str = "",
        of: str = "",
    ) -> "NeuralTerm":
        """A network of tanh units for inputs between two ends, which is zero before data.

        Args:
            name: of the parameter.
            low, high: the ends of each input, in its unit: where the law may be asked, not only where data are. A
                number for one input.
            scale: about the standard deviation of each output before data, in its unit. A number for an output that
                is one number.
            width: units of each hidden layer.
            depth: hidden layers.
            seed: of their first weights.
            description: one line for tables.
            of: what its inputs are, which a belief that is kept in a file is then told apart by, as it is by the ends
                and the scale.

        Raises:
            ValueError: for ends that are not in order, or a scale, width or depth that is not positive.
        """
        ends = np.atleast_1d(np.asarray(low, float)), np.atleast_1d(np.asarray(high, float))
        scales = np.atleast_1d(np.asarray(scale, float))
        if ends[0].shape != ends[1].shape or not np.all(ends[1] > ends[0]):
            raise ValueError(f"The inputs of '{name}' need low < high for each, not {low} and {high}.")
        if not np.all(scales > 0) or width < 1 or depth < 1:
            raise ValueError(
                f"The term '{name}' needs a positive scale, width and depth, not {scale}, {width} and {depth}."
            )
        rng = np.random.default_rng(seed)
        layers = [_first_layer(rng, len(ends[0]), width)]
        layers += [(rng.standard_normal((width, width)) * width**-0.5, np.zeros(width)) for _ in range(depth - 1)]
        layers += [(np.zeros((len(scales), width)), np.zeros(len(scales)))]
        centre, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
        network = _TanhNetwork(
            [(jnp.asarray(w), jnp.asarray(b)) for w, b in layers],
            tuple(centre.tolist()),
            tuple(half.tolist()),
            tuple(scales.tolist()) if np.ndim(scale) else float(scales[0]),
        )
        # With the mean square of a tanh unit near 0.6, the output has a variance near 0.6 + 0.6² = 1.
        stds = [(1.0, 1.0), *[(width**-0.5, 0.3)] * (depth - 1), (width**-0.5, 0.6)]
        spans = ", ".join(f"{a:.9g} … {b:.9g}" for a, b in zip(*ends, strict=True))
        meaning = f"{of} in {spans} with a scale of {', '.join(f'{one:.9g}' for one in scales)}".strip()
        return NeuralTerm(name, network, stds, description, meaning)

    def law(
        self,
        *inputs: "str | int | Input",
        mean: Any = None,
        median: Any = None,
        units: Sequence[str] = (),
        unit: str = "",
    ) -> Law:
        r"""A coefficient that the network $n$ corrects: $\mu + n$ about a mean, or $m\,e^{n}$ about a positive median.

        Args:
            inputs: what the network is asked with: the name of a field or node (any one where there is one field), the
                number of a coordinate, or an input signal.
            mean: $\mu$: a number, parameter or input.
            median: $m$, instead of it; the scale of the network is then that of a logarithm.
            units: those that the inputs are shown in; SI where there are none.
            unit: that of the law itself.

        Raises:
            ValueError: unless exactly one of the two is given, or for units of some inputs only.
        """
        if (mean is None) == (median is None):
            raise ValueError("A law that a network corrects needs either a mean or a median.")
        if units and len(units) != len(inputs):
            raise ValueError(f"A law of {len(inputs)} inputs has as many units, not {len(units)}.")
        signals = tuple(each for each in inputs if isinstance(each, Input))
        places = tuple(None if isinstance(each, Input) else each for each in inputs)
        middle = mean if median is None else median
        name = self.weights.name if isinstance(self.weights, Parameter) else ""
        shown = tuple(units) or ("",) * len(inputs)
        labels = tuple(_label(each) for each in inputs)
        function = Corrected(name, places, labels, median is not None, self._spans(), shown, unit)
        return Law(function, (middle, self, *signals))

    def _spans(self) -> tuple[tuple[float, float], ...] | None:
        """The ends of each input that it was made for; None of a network that does not know them."""
        network = jax.tree.unflatten(self.structure, self.leaves)
        if not isinstance(network, _TanhNetwork):
            return None
        return tuple((c - h, c + h) for c, h in zip(network.centre, network.half, strict=True))

    def profile(self, *inputs: "str | int | Input", mean: Any = None, median: Any = None) -> Profile:
        """As `law`, of coordinates and input signals alone: a problem that is linear stays so.

        Raises `ValueError` also for the name of a field.
        """
        names = [each for each in inputs if isinstance(each, str)]
        if names:
            raise ValueError(f"A profile depends on places and signals alone, not on '{names[0]}': make it a law.")
        law = self.law(*inputs, mean=mean, median=median)
        return Profile(_Stateless(law.function), law.parameters)

    def __call__(self, *inputs: Any) -> Array:
        """What the network gives. Raises `ValueError` where its weights have no values yet."""
        return self.network()(*inputs)

    def network(self) -> Any:
        """The network with the weights that are bound. Raises `ValueError` where there are none."""
        if isinstance(self.weights, Parameter):
            name = self.weights.name
            raise ValueError(
                f"The weights of '{name}' have no values: bind the term first, as in gm.bind(term, values)."
            )
        found, start = [], 0
        for leaf in self.leaves:
            if isinstance(leaf, _Kept):
                found.append(leaf.value)
                continue
            count = int(np.prod(leaf))
            found.append(self.weights[start : start + count].reshape(leaf))
            start += count
        return jax.tree.unflatten(self.structure, found)


def _label(each: str | int | Input) -> str:
    """What an input of a law is called."""
    if isinstance(each, Input):
        return " · ".join(each.names)
    return "xyz"[each] if isinstance(each, int) else each


@dataclass(frozen=True)
class Corrected:
    """The function of a `Law` about a middle, with the parameters ``(middle, network, *signals)``.

    ``name`` is that of the term, empty once its weights are bound; ``inputs`` are names of fields, coordinates, and
    None for a signal, each with its label, the ends that the term was made for, and the unit it is shown in.
    """

    name: str
    inputs: tuple[str | int | None, ...]
    labels: tuple[str, ...]
    positive: bool
    spans: tuple[tuple[float, float], ...] | None
    units: tuple[str, ...]
    unit: str

    def __call__(self, u: Any, x: Any, middle: Any, network: NeuralTerm, *signals: Any) -> Array:
        """The law at a state and a place."""
        return self.at(self.asked(u, x, signals), middle, network)

    def at(self, values: Sequence[Any], middle: Any, network: NeuralTerm) -> Array:
        """The law where its inputs have these values."""
        correction = network(jnp.stack([jnp.asarray(value, float) for value in values]))
        return middle * jnp.exp(correction) if self.positive else middle + correction

    def asked(self, u: Any, x: Any, signals: Sequence[Any]) -> list[Array]:
        """The values of the inputs, given those of the signals."""
        following = iter(signals)
        found = [next(following) if each is None else self._of(each, u, x) for each in self.inputs]
        return [jnp.asarray(value, float) for value in found]

    def unit_of(self, label: str) -> str:
        """The unit of an input."""
        return self.units[self.labels.index(label)]

    def _of(self, each: str | int, u: Any, x: Any) -> Any:
        if isinstance(each, int):
            return x[each]
        return u[each] if isinstance(u, Mapping) else u


@dataclass(frozen=True)
class _Stateless:
    """The function of a `Profile` from that of a `Law` that does not ask for the state."""

    function: Any

    def __call__(self, x: Any, *parameters: Any) -> Array:
        return self.function(None, x, *parameters)


class _Kept:
    """A leaf of a network that is no weight, such as its activation; equal to another where the values are."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Kept):
            return False
        if eqx.is_array(self.value) or eqx.is_array(other.value):
            return bool(eqx.tree_equal(self.value, other.value))
        return bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(type(self.value))


class _TanhNetwork(eqx.Module):
    """Layers ``(weights, biases)`` with tanh between them, of inputs mapped to -1 … 1; ``scale`` times the last one."""

    layers: list[tuple[Array, Array]]
    centre: tuple[float, ...] = eqx.field(static=True)
    half: tuple[float, ...] = eqx.field(static=True)
    scale: float | tuple[float, ...] = eqx.field(static=True)

    def __call__(self, x: Any) -> Array:
        """The outputs for inputs ``(n,)``, or for a number."""
        if jnp.size(x) != len(self.centre):
            raise ValueError(f"A network of {len(self.centre)} inputs was given {jnp.size(x)} of them.")
        y = (jnp.asarray(x, float).reshape(-1) - jnp.asarray(self.centre)) / jnp.asarray(self.half)
        for weights, biases in self.layers[:-1]:
            y = jnp.tanh(weights @ y + biases)
        weights, biases = self.layers[-1]
        y = weights @ y + biases
        return jnp.asarray(self.scale) * y if isinstance(self.scale, tuple) else self.scale * y[0]


def _first_layer(rng: np.random.Generator, inputs: int, width: int) -> tuple[Float[np.ndarray, "w n"], np.ndarray]:
    """Units in random directions that bend at the points of a Latin hypercube."""
    directions = rng.standard_normal((width, inputs))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cells = np.stack([rng.permutation(width) for _ in range(inputs)], axis=1)
    bends = 2.0 * (cells + rng.random((width, inputs))) / width - 1.0
    return _SHARP * directions, -_SHARP * np.sum(directions * bends, axis=1)
