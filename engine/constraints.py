"""Essential boundary conditions by lifting."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import Profile
from gemel.engine.spaces import FunctionSpace, Space, field_of


class Dirichlet(eqx.Module):
    r"""Prescribes $u = g$ on the facets called ``on``.

    Args:
        on: a tag of facets, or ``"boundary"``.
        value: $g$ in the field's SI unit: a number, parameter, input, or a `Profile`.
        component: which component of a vector field; all when None.
        field: which field of a mixed space.
    """

    on: str = eqx.field(static=True)
    value: Any = 0.0
    component: int | None = eqx.field(static=True, default=None)
    field: str | None = eqx.field(static=True, default=None)


class _Group(eqx.Module):
    """The unknowns of one condition: ``dofs (n_nodes, n_chosen)``, where their nodes lie, and what they equal."""

    dofs: np.ndarray | Array
    x: np.ndarray | Array
    value: Any

    def values(self, like: Array) -> Array:
        """The prescribed values, broadcast to ``dofs``."""
        if isinstance(self.value, Profile):
            rows = jax.vmap(lambda x: self.value.function(x, *self.value.parameters))(self.x)
            rows = rows[:, None] if rows.ndim == 1 else rows
        else:
            rows = jnp.asarray(self.value, like.dtype)
        return jnp.broadcast_to(rows, self.dofs.shape)


class Constraint(eqx.Module):
    r"""The set of prescribed unknowns and their values.

    With $P$ the projection onto the free unknowns, a function is $u = P u + (I - P) g$ (`lift`), and a
    residual is tested by free functions alone (`reduce`). Vectors keep their full length.
    """

    free: np.ndarray | Array
    groups: tuple[_Group, ...]

    @staticmethod
    def of(space: Space, conditions: tuple[Dirichlet, ...]) -> "Constraint":
        """Collect the unknowns of each condition; a later condition wins where two meet.

        Raises `ValueError` for a component that the field does not have.
        """
        free = np.ones(space.n_dofs, dtype=bool)
        groups: list[_Group] = []
        for condition in conditions:
            part, first = field_of(space, condition.field)
            if not isinstance(part, FunctionSpace):
                raise ValueError(
                    f"The field '{condition.field}' has no places: its numbers cannot be prescribed on a tag."
                )
            c = part.n_components
            if condition.component is not None and not 0 <= condition.component < c:
                raise ValueError(
                    f"Component {condition.component} of the condition on '{condition.on}' does not exist: "
                    f"the field has components 0 to {c - 1}."
                )
            nodes = part.nodes_on(condition.on)
            chosen = np.arange(c) if condition.component is None else np.array([condition.component])
            dofs = (first + nodes[:, None] * c + chosen).astype(np.int32)
            free[dofs] = False
            groups.append(_Group(dofs, part.nodes()[nodes], condition.value))
        return Constraint(jnp.asarray(free), tuple(groups))

    def lift(self, u: Float[Array, " n"]) -> Float[Array, " n"]:
        """Set the prescribed unknowns to their values."""
        for group in self.groups:
            u = u.at[group.dofs].set(group.values(u))
        return u

    def reduce(self, r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Set a residual to zero at the prescribed unknowns."""
        return jnp.where(self.free, r, 0.0)
