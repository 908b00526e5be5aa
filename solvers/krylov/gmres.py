"""Restarted GMRES."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from gemel.solvers.krylov.arnoldi import advance_cycle
from gemel.solvers.krylov.common import KrylovSolver, Progress
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.operators import LinearOperator


class GMRES(KrylovSolver):
    """Right-preconditioned restarted GMRES for unsymmetric or indefinite operators.

    Stops where ‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol). ``max_steps`` counts products over all restarts;
    ``restart`` is the size of the Krylov basis, which is the memory it takes. Gram-Schmidt runs twice. A cycle that
    does not reduce the residual ends it with ``STAGNATION``: a larger ``restart`` or a better preconditioner may help,
    unless the system is singular and has no solution.

    Saad, Schultz, *GMRES*, SIAM J. Sci. Stat. Comput. 7 (1986).
    """

    preconditioner: Preconditioner
    rtol: float
    atol: float
    max_steps: int = eqx.field(static=True)
    restart: int = eqx.field(static=True)

    def begin(self, state: Any, operator: LinearOperator, r: Float[Array, " n"]) -> Any:
        """Nothing is carried from cycle to cycle."""
        return ()

    def advance(self, state: Any, operator: LinearOperator, target: Float[Array, ""], now: Progress) -> Progress:
        """One cycle."""

        def precondition(v: Array) -> Array:
            return self.preconditioner.apply(state, v)

        return advance_cycle(operator, precondition, target, now, self.max_steps, self.restart, False)
