"""Values at the nodes, recovered from inside the cells."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.assembly import GatherSum
from gemel.engine.coefficients import FieldCoefficient
from gemel.engine.fields import Jet, Point
from gemel.engine.spaces import FunctionSpace
from gemel.engine.tabulation import node_domains


def nodal_average(
    space: FunctionSpace, function: Callable[[Any, Jet, Point], Array], form: Any, u: Float[Array, "n_nodes *shape"]
) -> Float[Array, "n_nodes *value"]:
    """``function(form, u, point)`` at the nodes: evaluated in every cell and averaged over the cells that meet.

    Between regions of different material the average is over both sides.
    """
    flat, points = space.flatten(u), jnp.asarray(space.mesh.points)
    fields = [leaf for leaf in jax.tree.leaves(form, is_leaf=_is_field) if _is_field(leaf)]
    domains = node_domains(space, tuple(leaf.space for leaf in fields))
    values = [domain.evaluate(function, form, flat, points, k) for k, domain in enumerate(domains)]
    rows = [value.reshape(-1, *value.shape[2:]) for value in values]
    nodes = np.concatenate([np.asarray(table).ravel() for table in space.cell_nodes])
    summed = GatherSum.plan(nodes, space.n_nodes)(jnp.concatenate(rows))
    counts = np.bincount(nodes, minlength=space.n_nodes).reshape(-1, *([1] * (summed.ndim - 1)))
    return summed / counts


def _is_field(leaf: Any) -> bool:
    return isinstance(leaf, FieldCoefficient)
