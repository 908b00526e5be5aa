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

NEAR = 1e-6
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
        return np.asarray(space.node_places())


def nodes_at(space: FunctionSpace, where: Place, who: str) -> np.ndarray:
    """The nodes that ``where`` means; raises `ValueError` for an unknown tag or a place without a node."""
    if not isinstance(where, str):
        return nearest(space, np.asarray(where, float)[None], who)
    mesh = space.mesh
    if where == ALL:
        return np.arange(space.n_nodes)
    if where in mesh.node_tags and where not in mesh.facet_tags:
        return _at_points(space, np.asarray(mesh.nodes_of(where)), who)
    return space.nodes_on(where)


def _at_points(space: FunctionSpace, numbers: np.ndarray, who: str) -> np.ndarray:
    """The nodes at points of the mesh, by their numbers; raises `ValueError` for a point without one."""
    found = np.full(space.mesh.n_points, -1)
    for number, (block, element) in enumerate(zip(space.mesh.blocks, space.elements, strict=True)):
        values, _ = element.tabulate(space.geometry(number).node_points)
        local = np.flatnonzero(values.max(axis=1) > 1 - 1e-9)
        mine = np.asarray(space.cell_nodes[number])[:, values[local].argmax(axis=1)]
        found[np.asarray(block.cells)[:, local]] = mine
    lost = numbers[found[numbers] < 0]
    if len(lost):
        raise ValueError(f"{who} finds no node of the field at point {int(lost[0])} of the mesh.")
    return found[numbers]


def nearest(space: FunctionSpace, places: np.ndarray, who: str) -> np.ndarray:
    """The nodes at given coordinates ``(n, dim)``; raises `ValueError` where there is none."""
    x = host_nodes(space, who)
    if places.shape[1] != x.shape[1]:
        raise ValueError(f"{who} needs {x.shape[1]} coordinates for a place, not {places.shape[1]}.")
    distance, node = map(np.asarray, KDTree(x).query(places))
    worst = int(np.argmax(distance))
    if distance[worst] > NEAR * float(np.linalg.norm(np.ptp(x, axis=0))):
        at, close = places[worst].tolist(), x[node[worst]].tolist()
        raise ValueError(f"{who} finds no node at {at}: the nearest one lies at {close}.")
    return np.asarray(node)
