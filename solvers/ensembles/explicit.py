"""Explicit Runge-Kutta methods of the kind first-same-as-last: one body for every tableau."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from gemel.solvers.ensembles.method import EnsembleMethod, Step
from gemel.solvers.ensembles.rates import Rate, slopes
from gemel.solvers.ensembles.sums import combine


class ExplicitTableau(eqx.Module):
    """The numbers of a method with s stages, the last of which is the first of the next step.

    Args:
        nodes: c, shape (s,).
        lower: A, strictly lower triangular, shape (s, s); its last row is b.
        error: b − b̂ of the embedded method, shape (s,).
        dense: coefficients of the dense output, shape (d, s).
    """

    nodes: np.ndarray
    lower: np.ndarray
    error: np.ndarray
    dense: np.ndarray


class ExplicitRungeKutta(EnsembleMethod):
    """A method given by its tableau: kᵢ = f(t + cᵢh, y + h Σⱼ aᵢⱼkⱼ), y₁ = y + h Σ bᵢkᵢ.

    The stages are a loop, so that the rate is compiled once; the memory is the slope at y.
    """

    @property
    @abc.abstractmethod
    def tableau(self) -> ExplicitTableau:
        """The numbers of the method."""

    @property
    def dense(self) -> np.ndarray:
        """Of the tableau."""
        return self.tableau.dense

    def start(self, rate: Rate, t: Array, y: Array, p: PyTree) -> Float[Array, "n L"]:
        """Return f(t, y, p)."""
        return slopes(rate, t, y, p)

    def step(self, rate: Rate, t: Array, h: Array, y: Array, memory: Array, p: PyTree) -> Step:
        """Advance by all stages."""
        tableau, dtype = self.tableau, y.dtype
        stages = len(tableau.nodes)

        def stage(carry, row):
            k, _ = carry
            i, c, a = row
            at = y + h * combine(a, k[:-1])
            return (jax.lax.dynamic_update_index_in_dim(k, slopes(rate, t + c * h, at, p), i, 0), at), None

        k = jnp.zeros((stages, *y.shape), dtype).at[0].set(memory)
        rows = (
            jnp.arange(1, stages),
            jnp.asarray(tableau.nodes[1:], dtype),
            jnp.asarray(tableau.lower[1:, :-1], dtype),
        )
        (k, end), _ = jax.lax.scan(stage, (k, y), rows)
        error = h * combine(jnp.asarray(tableau.error, dtype), k)
        return Step(end, error, k[-1], h * k)
