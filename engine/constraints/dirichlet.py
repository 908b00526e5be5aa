"""Prescribed values."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine.coefficients import Profile, require_no_nan
from gemel.engine.constraints.condition import Condition
from gemel.engine.constraints.selection import ALL, Place, components_of, nodes_at
from gemel.engine.spaces import FunctionSpace, Space, field_of


def _array(value: Any) -> Any:
    """A list or tuple of numbers as an array; what is none is left for the check to name."""
    if not isinstance(value, list | tuple):
        return value
    try:
        return jnp.asarray(value, float)
    except (TypeError, ValueError):
        return value


class Dirichlet(Condition):
    r"""Prescribes $u = g$ on the facets called ``on``; where two conditions meet, the later one in the list holds.

    Args:
        on: a tag of facets, or ``"boundary"``; also a tag of nodes, ``"all"``, or the coordinates of one node in m.
            A tag of nodes holds points of the mesh only: the nodes that "Q2" adds to straight cells are not among
            them, those of a facet are. For the numbers of a `RealSpace`, which have no place, ``"all"``.
        value: $g$ in the field's SI unit: a number, parameter, input, or a `Profile`; where all components of a
            vector field are held, one number for all or an array of one for each.
        component: which component of a vector field; all when None.
        field: which field of a mixed space.
    """

    on: Place = eqx.field(static=True)
    value: Any = eqx.field(converter=_array, default=0.0)
    component: int | None = eqx.field(static=True, default=None)
    field: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        require_no_nan(f"The value of the condition on '{self.on}'", self.value)


class Prescribed(eqx.Module):
    """The unknowns of one condition: ``dofs (n_nodes, n_chosen)``, where their nodes lie, and what they equal."""

    dofs: np.ndarray | Array
    x: np.ndarray | Array
    value: Any

    @staticmethod
    def of(space: Space, condition: Dirichlet) -> "Prescribed":
        """Find the unknowns; raises `ValueError` for a tag, a component or a count of values that does not fit."""
        part, start = field_of(space, condition.field)
        who = f"the condition on '{condition.on}'"
        chosen = components_of(part, condition.component, who)
        if not isinstance(part, FunctionSpace):
            if condition.on != ALL or isinstance(condition.value, Profile):
                raise ValueError(f"The numbers of '{condition.field}' have no places: prescribe numbers on 'all'.")
            return Prescribed(start + chosen[None], np.zeros((1, 0)), condition.value)
        nodes = nodes_at(part, condition.on, who[0].upper() + who[1:])
        shape = np.shape(condition.value) if eqx.is_array_like(condition.value) else ()
        if shape not in ((), (len(chosen),), (len(nodes), len(chosen))):
            raise ValueError(f"The value of {who} needs one number or {len(chosen)}, not an array of shape {shape}.")
        dofs = (start + nodes[:, None] * part.n_components + chosen).astype(np.int32)
        return Prescribed(dofs, part.node_places(nodes), condition.value)

    def values(self, like: Array) -> Array:
        """The prescribed values, broadcast to ``dofs``."""
        if isinstance(self.value, Profile):
            rows = jax.vmap(lambda x: self.value.function(x, *self.value.parameters))(self.x)
            rows = rows[:, None] if rows.ndim == 1 else rows
        else:
            rows = jnp.asarray(self.value, like.dtype)
        return jnp.broadcast_to(rows, self.dofs.shape)
