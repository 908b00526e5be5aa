"""Periodic fields: sides of a cell that see the same values, up to a prescribed jump."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gemel.engine.constraints.condition import Equations, Offset, Tie
from gemel.engine.constraints.selection import NEAR, components_of, host_nodes, places_of
from gemel.engine.spaces import FunctionSpace, Space
from gemel.meshes import match_points


class Jump(Offset):
    r"""$[E\,(x^+ - x^-)]_i$ for pairs with ``spans (n, dim)`` and components ``chosen``; pair by pair."""

    gradient: Any
    spans: Float[Array | np.ndarray, "n dim"]
    chosen: tuple[int, ...] = eqx.field(static=True)

    def __call__(self) -> Float[Array, " n_equations"]:
        """The jumps."""
        gradient = jnp.atleast_2d(_stacked(self.gradient))
        return (jnp.asarray(self.spans) @ gradient[np.asarray(self.chosen)].T).reshape(-1)


def _stacked(tree: Any) -> Array:
    if isinstance(tree, Sequence):
        return jnp.stack([_stacked(entry) for entry in tree])
    return jnp.asarray(tree, float)


class Periodic(Tie):
    r"""Ties the nodes of the facets ``on`` to their partners on ``to``: $u(x^+) = Q\,u(x^-) + E\,(x^+ - x^-)$.

    Several conditions may meet at edges and corners. The jump with a mean gradient $E$ makes the solution
    $E x$ plus a periodic part, whose mean flux is the homogenised one; fix one node against translations.

    Args:
        on: a tag of facets, the points $x^+$.
        to: a tag of facets, the points $x^-$, with a matching mesh.
        translation: $x^+ - x^-$ in m; the difference of the sides' centres when None.
        image: instead of a translation, the map from points ``(n, dim)`` of ``on`` to their partners on ``to``,
            such as the rotation of a sector.
        component: which component of a vector field; all when None.
        jump: $E$: ``(dim,)`` for a scalar field, ``(components, dim)`` for a vector field; an array, or nested
            tuples of numbers, parameters and inputs.
        rotation: $Q$, ``(components, components)``, for vector fields on sectors (all components).
        pairs: node numbers ``(n, 2)`` (on, to) from `periodic_nodes`, which spares the search; needed where
            coordinates are traced.
        field: which field of a mixed space.

    Source: Michel, Moulinec and Suquet, *Effective properties of composite materials with periodic
    microstructure: a computational approach*, Comput. Methods Appl. Mech. Eng. 172, 1999.
    """

    on: str = eqx.field(static=True)
    to: str = eqx.field(static=True)
    translation: tuple[float, ...] | None = eqx.field(static=True, default=None)
    image: Callable[[np.ndarray], np.ndarray] | None = eqx.field(static=True, default=None)
    component: int | None = eqx.field(static=True, default=None)
    jump: Any = None
    rotation: Float[np.ndarray | Array, "c c"] | None = None
    pairs: Int[np.ndarray, "n 2"] | None = None
    field: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.translation is not None and self.image is not None:
            raise ValueError(f"Periodic on '{self.on}' takes a translation or an image, not both.")
        if self.rotation is not None and self.component is not None:
            raise ValueError(f"Periodic on '{self.on}' with a rotation ties all components: leave 'component' out.")

    def equations(self, space: Space) -> Equations:
        """One equation for each pair and component."""
        who = f"Periodic on '{self.on}'"
        part, start = places_of(space, self.field, who)
        chosen = components_of(part, self.component, f"the periodic condition on '{self.on}'")
        c = part.n_components
        pairs = self.pairs
        if pairs is None:
            pairs = periodic_nodes(part, self.on, self.to, self.translation, self.image)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]] if self.rotation is None else pairs
        dependent = start + (pairs[:, :1] * c + chosen).ravel()
        if self.rotation is None:
            masters, weights = start + (pairs[:, 1:] * c + chosen).reshape(-1, 1), np.ones((len(dependent), 1))
        else:
            q = np.asarray(self.rotation, float)
            if q.shape != (c, c):
                raise ValueError(f"{who} needs a rotation of shape ({c}, {c}), not {q.shape}.")
            masters = np.repeat(start + pairs[:, 1:] * c + np.arange(c), c, axis=0)
            weights = np.tile(q, (len(pairs), 1))
        offset = None
        if self.jump is not None:
            x = part.nodes()
            offset = Jump(self.jump, x[pairs[:, 0]] - x[pairs[:, 1]], tuple(map(int, chosen)))
        nodes = np.repeat(pairs[:, 0], len(chosen))
        return Equations(who, nodes, dependent, masters, weights, offset, redundant=True)


def periodic_nodes(
    space: FunctionSpace,
    on: str,
    to: str,
    translation: tuple[float, ...] | None = None,
    image: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Int[np.ndarray, "n 2"]:
    """The nodes of the facets ``on`` with their partners on the facets ``to``; arguments as for `Periodic`.

    Raises:
        ValueError: where the sides have different numbers of nodes, or a node has no partner.
    """
    x = host_nodes(space, f"Periodic on '{on}'")
    plus, minus = space.nodes_on(on), space.nodes_on(to)
    span = _centre(x[plus]) - _centre(x[minus]) if translation is None else np.asarray(translation, float)
    tolerance = NEAR * float(np.linalg.norm(np.ptp(x, axis=0)))
    partner = match_points(x[plus], x[minus], -span if image is None else image, tolerance, (on, to))
    return np.stack([plus, minus[partner]], axis=1)


def _centre(x: np.ndarray) -> np.ndarray:
    """The middle of the smallest box around points."""
    return 0.5 * (x.min(axis=0) + x.max(axis=0))
