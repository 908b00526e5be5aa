"""A physics from forms of one's own."""

from collections.abc import Sequence

import numpy as np

from gemel.engine.assembly import MatrixLayout
from gemel.engine.constraints import Dirichlet
from gemel.engine.physics.physics import Physics
from gemel.engine.problems import DiscreteProblem, Term
from gemel.engine.spaces import FunctionSpace


class Formulation(Physics):
    r"""Find $u$ with $\sum_k R_k(u; v) = 0$ for all $v$, the $R_k$ given as terms.

    Args:
        space: where $u$ lives.
        terms: `Term` of a `WeakForm`, an `Energy` or another `Form`, on cells or facets.
        conditions: `Dirichlet` values.
        masses: terms whose tangent is the mass matrix, for transient and modal analyses.
        nullspace: fields that cost almost no energy, ``(n_dofs, k)``, for multigrid; the constants when None.

    Raises:
        ValueError: for no terms, or a tag that is unknown.
    """

    problem: DiscreteProblem
    inertia: DiscreteProblem | None
    nullspace: np.ndarray | None

    def __init__(
        self,
        space: FunctionSpace,
        terms: Sequence[Term],
        conditions: Sequence[Dirichlet] = (),
        masses: Sequence[Term] = (),
        nullspace: np.ndarray | None = None,
    ) -> None:
        if not terms:
            raise ValueError("A formulation needs at least one term.")
        layout = MatrixLayout.of(space)
        self.problem = DiscreteProblem.of(space, terms, conditions, layout)
        self.inertia = DiscreteProblem.of(space, masses, conditions, layout) if masses else None
        self.nullspace = nullspace

    def near_nullspace(self) -> np.ndarray | None:
        """As given."""
        return self.nullspace
