"""What every physics offers to the analyses: a spatial problem, an inertia problem, a near-nullspace."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np

from gemel.engine.constraints import Condition
from gemel.engine.problems import DiscreteProblem, Summand


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


def divide(who: str, conditions: Any) -> tuple[list[Summand], list[Condition]]:
    """The loads, and the conditions on unknowns.

    Raises `ValueError` for what is neither, and for one condition that stands where a list is expected.
    """
    if not isinstance(conditions, Sequence) or isinstance(conditions, str):
        raise ValueError(f"The conditions of {who} must be a list, not {_kind(conditions)}.")
    for each in conditions:
        if not isinstance(each, Summand | Condition):
            raise ValueError(
                f"{who} cannot take {_kind(each)} as a condition: it takes conditions on the field, such as Dirichlet, "
                "and loads that act on its cells, facets or points."
            )
    loads = [each for each in conditions if isinstance(each, Summand)]
    return loads, [each for each in conditions if isinstance(each, Condition)]


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the text '{value}'"
    return f"the class {value.__name__} itself" if isinstance(value, type) else f"one {type(value).__name__}"
