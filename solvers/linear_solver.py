"""What every linear solver and every preconditioner provides."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Solution


class LinearSolver(eqx.Module):
    """Solves A x = b for a `LinearOperator` A.

    ``init`` sets up on the host or in jit (preconditioner hierarchies, factorisations); ``update``
    refreshes what must follow changed values, and ``compute`` solves. ``update`` and ``compute`` are pure
    and run under jit and vmap. A state is a pytree of arrays and belongs to A also when Aᵀ x = b is solved.
    """

    @abc.abstractmethod
    def init(self, operator: LinearOperator) -> Any:
        """Return the state for an operator."""

    @abc.abstractmethod
    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Return the state adapted to an operator of the same structure with other values."""

    @abc.abstractmethod
    def compute(
        self,
        state: Any,
        operator: LinearOperator,
        b: Float[Array, " n"],
        x0: Float[Array, " n"] | None = None,
        transpose: bool = False,
    ) -> Solution[Array]:
        """Solve A x = b, or Aᵀ x = b, from the guess ``x0`` (zero where None).

        Returns x, the status, and the statistics ``steps`` and ``residual`` = ‖b − A x‖₂.
        """


class Preconditioner(eqx.Module):
    """An approximate inverse of an operator; ``apply`` is linear in r."""

    @abc.abstractmethod
    def init(self, operator: LinearOperator) -> Any:
        """Return the state for an operator."""

    @abc.abstractmethod
    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Return the state adapted to an operator of the same structure with other values."""

    @abc.abstractmethod
    def apply(self, state: Any, r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the approximation of A⁻¹ r."""
