"""Initial fields: what a user gives, as a flat vector of unknowns."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.coefficients import Profile, require_no_nan
from gemel.engine.spaces import FunctionSpace, MixedSpace, Space


def initial_field(space: Space, value: Any) -> Float[Array, " n_dofs"]:
    """The unknowns of a field that is given as a number, a `Profile`, nodal values ``(n_nodes, *shape)`` or flat.

    On a mixed space a mapping gives each field its own, zero where a field is left out.

    Raises `ValueError` for a shape that does not fit, a field that is not there, or values that are not finite.
    """
    check_initial(value)
    if isinstance(space, MixedSpace) and isinstance(value, Mapping):
        for name in value:
            space.field(name)
        return space.flatten({name: _nodal(part, value.get(name, 0.0)) for name, part, _ in space.fields})
    if isinstance(space, MixedSpace):
        return _broadcast(value, (space.n_dofs,))
    return space.flatten(_nodal(space, value))


def check_initial(value: Any, what: str = "The initial field") -> None:
    """Raise `ValueError` where known values of an initial field, or of a part of it, are not finite numbers."""
    for part in value.values() if isinstance(value, Mapping) else (value,):
        require_no_nan(what, part)


def _nodal(part: Any, value: Any) -> Array:
    shape = (part.n_nodes, *part.shape)
    if isinstance(value, Profile):
        if not isinstance(part, FunctionSpace):
            raise ValueError("A profile needs places, which the numbers of a RealSpace do not have.")
        return _broadcast(jax.vmap(lambda x: value.function(x, *value.parameters))(part.nodes()), shape)
    if jnp.shape(value) == (part.n_dofs,):
        return jnp.asarray(value, float).reshape(shape)
    return _broadcast(value, shape)


def _broadcast(value: Any, shape: tuple[int, ...]) -> Array:
    try:
        return jnp.broadcast_to(jnp.asarray(value, float), shape)
    except ValueError as error:
        raise ValueError(f"An initial field has shape {jnp.shape(value)}, but {shape} is needed.") from error
