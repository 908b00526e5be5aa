"""Which results of a function are zero whatever it is given, as the flux of a load is."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

_SHAPING = ("broadcast_in_dim", "reshape", "convert_element_type", "transpose", "squeeze", "copy")
"""Operations of which the result has no other numbers than what goes in."""


def with_known_zeros(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    """``function(*arguments)``, which gives arrays, and for each of them True where its program says that it is zero;
    False says nothing.

    XLA does not look: it multiplies and adds such zeros like all other numbers. The function is traced once.
    """
    dynamic, static = eqx.partition(arguments, eqx.is_array)
    leaves, structure = jax.tree.flatten(dynamic)

    def flat(*leaves: Any) -> Any:
        return function(*eqx.combine(jax.tree.unflatten(structure, leaves), static))

    closed, shapes = jax.make_jaxpr(flat, return_shape=True)(*leaves)
    found = jax.tree.structure(shapes)
    return jax.tree.unflatten(found, jaxpr_as_fun(closed)(*leaves)), jax.tree.unflatten(found, _zeros(closed))


def _zeros(program: ClosedJaxpr) -> list[bool]:
    origin = {variable: equation for equation in program.jaxpr.eqns for variable in equation.outvars}

    def is_zero(atom: Any) -> bool:
        while not isinstance(atom, Literal):
            equation = origin.get(atom)
            if equation is None or equation.primitive.name not in _SHAPING:
                return False
            atom = equation.invars[0]
        return not np.any(np.asarray(atom.val))

    return [is_zero(atom) for atom in program.jaxpr.outvars]
