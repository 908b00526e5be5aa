"""What a model of ordinary differential equations offers to the analyses."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float


class OdeSystem(eqx.Module):
    r"""A model with a state vector $y$: $\dot y = f(t, y, s)$ with inputs $s$ and outputs $g(t, y, s)$.

    Numbers in it may be `Parameter`, and `Input`, which `drive` turns into a number given the signals.
    """

    output_names: eqx.AbstractVar[tuple[str, ...]]

    @abstractmethod
    def initial(self) -> Float[Array, " n"]:
        """The state at the first time."""

    @abstractmethod
    def rate(self, t: Any, y: Float[Array, " n"], inputs: Mapping[str, Any]) -> Float[Array, " n"]:
        """The time derivative of the state, given the values of the input signals at ``t``; pure."""

    @abstractmethod
    def outputs(self, t: Any, y: Float[Array, " n"], inputs: Mapping[str, Any]) -> dict[str, Array]:
        """What can be read, one number for each of ``output_names``; pure."""


class LinearSystem(OdeSystem):
    r"""A system that is linear in its state: $\dot y = A(s)\, y + b(s)$ with inputs $s$."""

    @property
    @abstractmethod
    def matrix_inputs(self) -> tuple[str, ...]:
        """The names of the inputs that $A$ depends on; none where it is constant."""

    @abstractmethod
    def matrix(self, inputs: Mapping[str, Any]) -> Float[Array, "n n"]:
        """$A$, given the values of the input signals; pure."""

    @abstractmethod
    def forcing(self, inputs: Mapping[str, Any]) -> Float[Array, " n"]:
        """$b$, given the values of the input signals; pure."""

    @abstractmethod
    def start(self, inputs: Mapping[str, Any]) -> Float[Array, " n"]:
        """The state at the first time, given the values of the input signals then."""
