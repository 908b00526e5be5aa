"""What every one-step method for ensembles provides."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from gemel.solvers.ensembles.rates import Rate


class Step(eqx.Module):
    """One step of L members: the state after it, the estimated error, the memory for the next step, and the vectors of
    the stages, from which the dense output is a sum y + Σ bᵢ(θ) kᵢ.
    """

    y: Float[Array, "n L"]
    error: Float[Array, "n L"]
    memory: Any
    stages: Float[Array, "s n L"]


class EnsembleMethod(eqx.Module):
    """A one-step method with an error estimate and dense output, applied to L members side by side.

    A step of size zero is the identity, whatever the member: lanes without work take such steps.
    """

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """The order of the method."""

    @property
    @abc.abstractmethod
    def error_order(self) -> int:
        """The power of h with which the error estimate falls."""

    @property
    @abc.abstractmethod
    def dense(self) -> np.ndarray:
        """The coefficients of bᵢ(θ) = Σ_q dense[q, i] θ^(q+1), shape (d, s)."""

    @abc.abstractmethod
    def start(self, rate: Rate, t: Float[Array, " L"], y: Float[Array, "n L"], p: PyTree) -> Any:
        """Return the memory before a step from (t, y): what the last step would have left."""

    @abc.abstractmethod
    def step(
        self, rate: Rate, t: Float[Array, " L"], h: Float[Array, " L"], y: Float[Array, "n L"], memory: Any, p: PyTree
    ) -> Step:
        """Advance every member from its t to t + h."""

    def weights(self, theta: Float[Array, " L"]) -> Float[Array, "s L"]:
        """Return bᵢ(θ), θ in [0, 1] the place within the step."""
        powers = jnp.asarray(self.dense, theta.dtype)
        total = jnp.zeros((powers.shape[1], *theta.shape), theta.dtype)
        for row in powers[::-1]:
            total = (total + row[:, None]) * theta
        return total
