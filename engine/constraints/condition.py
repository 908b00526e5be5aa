"""What every condition on unknowns is, and the equations that a tie stands for."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.coefficients import Input
from gemel.engine.parameters import Multiple, Parameter
from gemel.engine.spaces import Space


class Condition(eqx.Module):
    """A condition that a solution meets exactly: prescribed values (`Dirichlet`) or a `Tie` between unknowns."""


class Offset(eqx.Module):
    """The values $c$ of a set of equations; may hold parameters and inputs."""

    @abstractmethod
    def __call__(self) -> Float[Array, " n"]:
        """The values, one an equation."""


class Constant(Offset):
    """One value for all ``count`` equations."""

    value: Any
    count: int = eqx.field(static=True)

    def __call__(self) -> Float[Array, " n"]:
        """The value, repeated."""
        return jnp.broadcast_to(jnp.asarray(self.value, float), (self.count,))


class Equations(eqx.Module):
    r"""Equations $u_{d_i} = \sum_k w_{ik} u_{m_{ik}} + c_i$ between unknowns of the flat vector.

    ``who`` and ``nodes (n,)`` name an equation in errors. ``weights`` may be traced. Unless ``redundant``, an
    unknown that depends on itself through other ties is a mistake (sides that are periodic in several
    directions have edges where that is natural).
    """

    who: str = eqx.field(static=True)
    nodes: np.ndarray
    dependent: np.ndarray
    masters: np.ndarray
    weights: Any
    offset: Offset | None = None
    redundant: bool = eqx.field(static=True, default=False)


class Tie(Condition):
    """A condition that ties unknowns to other unknowns."""

    @abstractmethod
    def equations(self, space: Space) -> Equations:
        """The equations between the unknowns of ``space``; on the host.

        Raises `ValueError` for tags, places or components that do not fit the space.
        """


def is_known(tree: Any) -> bool:
    """True where all leaves are numbers of known value: no parameter, no input, nothing traced."""
    leaves = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Parameter | Multiple | Input))
    return all(eqx.is_array_like(leaf) and not isinstance(leaf, Tracer) for leaf in leaves)
