"""Which unknowns a condition means: nodes by tag or place, components by number."""

import jax
import numpy as np
from jax.core import Tracer
from scipy.spatial import KDTree

from gemel.engine.spaces import FunctionSpace, RealSpace, Space, field_of

Place = str | tuple[float, ...]
"""A tag of facets or of nodes, or the coordinates of one node in m."""

ALL = "all"
"""Reserved name of all nodes."""

_NEAR = 1e-6
"""How far a node may lie from where it is asked for, relative to the diagonal of the mesh."""


def places_of(space: Space, name: str | None, who: str) -> tuple[FunctionSpace, int]:
    """One field of a space and its first unknown; raises `ValueError` for one whose numbers have no places."""
    part, start = field_of(space, name)
    if not isinstance(part, FunctionSpace):
        raise ValueError(f"{who} needs a field with nodes: the numbers of '{name}' belong to no place.")
    return part, start


def components_of(space: FunctionSpace | RealSpace, component: int | None, who: str) -> np.ndarray:
    """The chosen components: all where None. Raises `ValueError` for one that the field does not have."""
    count = space.n_components
    if component is not None and not 0 <= component < count:
        raise ValueError(f"Component {component} of {who} does not exist: the field has components 0 to {count - 1}.")
    return np.arange(count) if component is None else np.array([component])


def host_nodes(space: FunctionSpace, who: str) -> np.ndarray:
    """Coordinates of the nodes on the host; raises `ValueError` where they are traced."""
    if isinstance(space.mesh.points, Tracer):
        raise ValueError(f"{who} needs known coordinates to find its nodes: build it outside of jit, grad and vmap.")
    with jax.ensure_compile_time_eval():
        return np.asarray(space.nodes())


def nodes_at(space: FunctionSpace, where: Place, who: str) -> np.ndarray:
    """The nodes that ``where`` means; raises `ValueError` for an unknown tag or a place without a node."""
    if not isinstance(where, str):
        return nearest(space, np.asarray(where, float)[None], who)
    mesh = space.mesh
    if where == ALL:
        return np.arange(space.n_nodes)
    if where in mesh.node_tags and where not in mesh.facet_tags:
        return nearest(space, np.asarray(mesh.points)[np.asarray(mesh.nodes_of(where))], who)
    return space.nodes_on(where)


def nearest(space: FunctionSpace, places: np.ndarray, who: str) -> np.ndarray:
    """The nodes at given coordinates ``(n, dim)``; raises `ValueError` where there is none."""
    x = host_nodes(space, who)
    if places.shape[1] != x.shape[1]:
        raise ValueError(f"{who} needs {x.shape[1]} coordinates for a place, not {places.shape[1]}.")
    distance, node = map(np.asarray, KDTree(x).query(places))
    worst = int(np.argmax(distance))
    if distance[worst] > _NEAR * float(np.linalg.norm(np.ptp(x, axis=0))):
        at, close = places[worst].tolist(), x[node[worst]].tolist()
        raise ValueError(f"{who} finds no node at {at}: the nearest one lies at {close}.")
    return np.asarray(node)
