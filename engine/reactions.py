"""Reaction forces: what conditions put into a body."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.problems import DiscreteProblem
from gemel.engine.spaces import FunctionSpace, field_of


def nodal_reactions(
    problem: DiscreteProblem, u: Any, on: str, field: str | None = None
) -> Float[Array, "n_nodes *shape"]:
    r"""The reaction at every node on the facets ``on``: $R_a = r(u)_a$, the residual before constraints.

    Positive where the condition pushes the body (N) or heats it (W). Loads on the same nodes are already
    counted in the residual, so that these are the forces of the conditions alone. Exactly in balance with all
    loads, unlike integrals of stresses or fluxes. Differentiable.

    Args:
        problem: the problem that was solved, at bound parameters.
        u: its solution as `solve` returns it: nodal values, or a dictionary of them by field.
        on: a tag of facets.
        field: which field of a mixed space.

    Returns:
        One row for each of ``space.nodes_on(on)``.

    Raises:
        ValueError: for a tag or a field that does not exist.

    Source: Hughes, *The Finite Element Method*, 2000, section 2.12 (consistent boundary fluxes).
    """
    part, start = field_of(problem.space, field)
    if not isinstance(part, FunctionSpace):
        raise ValueError(f"The numbers of '{field}' belong to no place: they have no reactions on '{on}'.")
    residual = problem.unconstrained(problem.space.flatten(u))
    mine = residual[start : start + part.n_dofs].reshape(part.n_nodes, *part.shape)
    return mine[part.nodes_on(on)]


def reactions(problem: DiscreteProblem, u: Any, on: str, field: str | None = None) -> Float[Array, "*shape"]:
    """The sum of `nodal_reactions` over the facets ``on``: a force in N for each direction, or a heat in W."""
    return jnp.sum(nodal_reactions(problem, u, on, field), axis=0)
