"""Small preconditioners: none, the diagonal, and another solver."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.linear_solver import LinearSolver, Preconditioner
from gemel.solvers.operators import LinearOperator


class Identity(Preconditioner):
    """No preconditioning: M⁻¹ = I."""

    def init(self, operator: LinearOperator) -> Any:
        """Return nothing."""
        return None

    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Return nothing."""
        return None

    def apply(self, state: Any, r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return r."""
        return r


class Jacobi(Preconditioner):
    """Diagonal scaling: M⁻¹ = diag(A)⁻¹, with ones where the diagonal is zero."""

    def init(self, operator: LinearOperator) -> Float[Array, " n"]:
        """Return the inverse diagonal."""
        diagonal = operator.diagonal()
        return jnp.where(diagonal == 0, 1.0, 1.0 / jnp.where(diagonal == 0, 1.0, diagonal))

    def update(self, state: Any, operator: LinearOperator) -> Float[Array, " n"]:
        """Return the inverse diagonal of the new values."""
        return self.init(operator)

    def apply(self, state: Float[Array, " n"], r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return diag(A)⁻¹ r."""
        return state * r


class InnerSolve(Preconditioner):
    """Another solver as the preconditioner, such as a few steps of `CG`, whatever its status.

    What a Krylov method returns is not linear in r: only `FGMRES` may use it. A direct solver is.
    """

    solver: LinearSolver

    def init(self, operator: LinearOperator) -> Any:
        """Return the operator and the solver's state for it."""
        return operator, self.solver.init(operator)

    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Return the new operator and the state adapted to it."""
        return operator, self.solver.update(state[1], operator)

    def apply(self, state: Any, r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the solver's result for r."""
        operator, inner = state
        return self.solver.compute(inner, operator, r).value
