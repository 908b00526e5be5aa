"""Which results of a function are zero whatever it is given, as the flux of a load is."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.extend.core import Literal

_SHAPING = ("broadcast_in_dim", "reshape", "convert_element_type", "transpose", "squeeze", "copy")
"""Operations of which the result has no other numbers than what goes in."""


def known_zeros(function: Callable[..., Any], *arguments: Any) -> Any:
    """For every array that ``function(*arguments)`` gives, True where the program says that it is zero, without being
    run; False says nothing.

    XLA does not look: it multiplies and adds such zeros like all other numbers.
    """
    closed, shapes, _ = eqx.filter_make_jaxpr(function)(*arguments)
    origin = {variable: equation for equation in closed.jaxpr.eqns for variable in equation.outvars}

    def is_zero(atom: Any) -> bool:
        while not isinstance(atom, Literal):
            equation = origin.get(atom)
            if equation is None or equation.primitive.name not in _SHAPING:
                return False
            atom = equation.invars[0]
        return not np.any(np.asarray(atom.val))

    return jax.tree.unflatten(jax.tree.structure(shapes), [is_zero(atom) for atom in closed.jaxpr.outvars])
