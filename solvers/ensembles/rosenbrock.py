"""Rosenbrock methods for stiff problems: one body for every tableau."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from gemel.solvers.ensembles.batch_lu import factorise, linear_solve_members
from gemel.solvers.ensembles.method import EnsembleMethod, Step
from gemel.solvers.ensembles.rates import Rate, jacobians, slopes
from gemel.solvers.ensembles.sums import combine


class RosenbrockTableau(eqx.Module):
    """The numbers of a stiffly accurate method with s stages, in the variables that need no product with the Jacobian.

    Args:
        gamma: the diagonal γ.
        nodes: α, shape (s,).
        slopes: γᵢ, the factors of ∂f/∂t, shape (s,).
        lower: a, strictly lower triangular, shape (s, s).
        coupling: c, strictly lower triangular, shape (s, s).
        dense: the dense output, shape (d, s): y(θ) = (1 − θ) y₀ + θ (y₁ + (1 − θ) Σ_q θ^q Σᵢ dense[q, i] uᵢ).
    """

    gamma: float
    nodes: np.ndarray
    slopes: np.ndarray
    lower: np.ndarray
    coupling: np.ndarray
    dense: np.ndarray


class Rosenbrock(EnsembleMethod):
    """A method given by its tableau: one Jacobian and one factorisation a step, s solves, no iteration.

    (I/γ − hJ) uᵢ = h f(t + αᵢh, y + Σⱼ aᵢⱼuⱼ) + Σⱼ cᵢⱼuⱼ + γᵢh² ∂f/∂t, J = ∂f/∂y at (t, y); the state after the
    step is the argument of the last stage plus its u, which is also the error estimate (stiffly accurate).

    Hairer, Wanner, *Solving Ordinary Differential Equations II*, 2nd ed., Springer (1996), IV.7.
    """

    @property
    @abc.abstractmethod
    def tableau(self) -> RosenbrockTableau:
        """The numbers of the method."""

    @property
    def dense(self) -> np.ndarray:
        """The coefficients of bᵢ(θ), from those of the tableau."""
        tableau = self.tableau
        rows, s = tableau.dense.shape
        full = np.zeros((rows + 1, s))
        full[0] = np.append(tableau.lower[-1, :-1], 1.0)
        full[:rows] += tableau.dense
        full[1:] -= tableau.dense
        return full

    def start(self, rate: Rate, t: Array, y: Array, p: PyTree) -> tuple[()]:
        """Nothing is kept from one step to the next."""
        return ()

    def step(self, rate: Rate, t: Array, h: Array, y: Array, memory: tuple[()], p: PyTree) -> Step:
        """Advance by all stages."""
        tableau, dtype = self.tableau, y.dtype
        n, stages = y.shape[0], len(tableau.nodes)
        jacobian, drift = jacobians(rate, t, y, p)
        matrix = jnp.eye(n, dtype=dtype)[..., None] / tableau.gamma - h * jacobian
        factors = factorise(jax.lax.stop_gradient(matrix))
        drift = h * h * drift

        def stage(carry, row):
            u, _ = carry
            i, node, weight, a, c = row
            at = y + combine(a, u[:-1])
            load = h * slopes(rate, t + node * h, at, p) + combine(c, u[:-1]) + weight * drift
            new = linear_solve_members(matrix, factors, load)
            return (jax.lax.dynamic_update_index_in_dim(u, new, i, 0), at), None

        columns = (tableau.nodes, tableau.slopes, tableau.lower[:, :-1], tableau.coupling[:, :-1])
        rows = (jnp.arange(stages), *(jnp.asarray(column, dtype) for column in columns))
        (u, at), _ = jax.lax.scan(stage, (jnp.zeros((stages, *y.shape), dtype), y), rows)
        return Step(at + u[-1], u[-1], (), u)
