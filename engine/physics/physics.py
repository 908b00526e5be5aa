"""What every physics offers to the analyses: a spatial problem, an inertia problem, a near-nullspace."""

from abc import abstractmethod

import equinox as eqx
import numpy as np

from gemel.engine.problems import DiscreteProblem


class Physics(eqx.Module):
    r"""A space with materials and boundary conditions; see `gemel.Heat` and `gemel.Elasticity`.

    ``problem`` is the spatial residual $r(u)$ of $M \dot u + r(u) = 0$ or $M \ddot u + C \dot u + r(u) = 0$;
    ``inertia`` is the problem whose tangent is $M$, ``damping`` the one whose tangent is $C$; None where the
    physics has none.
    """

    problem: eqx.AbstractVar[DiscreteProblem]
    inertia: eqx.AbstractVar[DiscreteProblem | None]
    damping: eqx.AbstractVar[DiscreteProblem | None]

    @abstractmethod
    def near_nullspace(self) -> np.ndarray | None:
        """Fields that cost almost no energy, ``(n_dofs, k)``, for multigrid; None for the constants."""
