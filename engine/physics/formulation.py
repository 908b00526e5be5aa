"""A physics from forms of one's own."""

from collections.abc import Sequence

import numpy as np

from gemel.engine.constraints import Condition
from gemel.engine.physics.physics import Physics
from gemel.engine.problems import DiscreteProblem, Summand, discretise
from gemel.engine.spaces import Space


class Formulation(Physics):
    r"""Find $u$ with $\sum_k R_k(u; v) = 0$ for all $v$, the $R_k$ given as terms.

    Args:
        space: where $u$ lives: a `FunctionSpace`, or a `MixedSpace` for several fields.
        terms: `Term` of a `WeakForm`, an `Energy` or another `Form`, on cells or facets.
        conditions: `Dirichlet` values and ties between unknowns.
        masses: terms whose tangent is the mass matrix, for transient and modal analyses.
        dampings: terms whose tangent is the damping matrix, for dynamic analyses.
        nullspace: fields that cost almost no energy, ``(n_dofs, k)``, for multigrid; the constants when None.

    Raises:
        ValueError: for no terms, or a tag that is unknown.
    """

    problem: DiscreteProblem
    inertia: DiscreteProblem | None
    damping: DiscreteProblem | None
    nullspace: np.ndarray | None

    def __init__(
        self,
        space: Space,
        terms: Sequence[Summand],
        conditions: Sequence[Condition] = (),
        masses: Sequence[Summand] = (),
        nullspace: np.ndarray | None = None,
        dampings: Sequence[Summand] = (),
    ) -> None:
        if not terms:
            raise ValueError("A formulation needs at least one term.")
        self.problem, inertia, damping = discretise(space, conditions, terms, masses, dampings)
        self.inertia = inertia if masses else None
        self.damping = damping if dampings else None
        self.nullspace = nullspace

    def near_nullspace(self) -> np.ndarray | None:
        """As given."""
        return self.nullspace
