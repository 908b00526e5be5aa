"""Flexible GMRES."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from gemel.solvers.krylov.arnoldi import advance_cycle
from gemel.solvers.krylov.common import KrylovSolver, Progress
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.operators import LinearOperator


class FGMRES(KrylovSolver):
    """Restarted GMRES with a preconditioner that may change from product to product, such as `InnerSolve`.

    As `GMRES`, and twice its memory: the preconditioned basis is kept, so ``apply`` need not be linear in r.

    Saad, *A flexible inner-outer preconditioned GMRES algorithm*, SIAM J. Sci. Comput. 14 (1993).
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

        return advance_cycle(operator, precondition, target, now, self.max_steps, self.restart, True)
