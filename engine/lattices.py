"""Which function spaces have their nodes on a lattice, for operators that are stored on it."""

import numpy as np
from jax.core import Tracer

from gemel.engine.spaces import FunctionSpace, Space
from gemel.solvers.implicit import stop_gradient
from gemel.solvers.stencil import Lattice

_FEWEST = 4096
"""Nodes from which on the products of a lattice save more than the compilation of its multigrid costs."""


def lattice_of(space: Space) -> Lattice | None:
    """The lattice of the nodes of a large space of degree 1 on a box or a rectangle of cells; None for another one.

    Such meshes say so by their ``shape``: a mesh with ``shape=None`` is never one.
    """
    if not isinstance(space, FunctionSpace) or space.mesh.shape is None or space.mesh.dim == 1:
        return None
    nodes = tuple(count + 1 for count in space.mesh.shape[::-1])
    if not space.continuous or space.degree != 1 or space.mesh.degree != 1 or min(nodes) < 3:
        return None
    if space.n_nodes != np.prod(nodes) or space.n_nodes < _FEWEST:
        return None
    return Lattice(nodes, space.n_components, _spacing(space, nodes))


def _spacing(space: FunctionSpace, nodes: tuple[int, ...]) -> tuple[float, ...]:
    """The mean distance of neighbours along each axis over the least of them, as a power of two, so that a mesh that
    changes its size a little is the same lattice; one where the points are not known.
    """
    points = stop_gradient(space.mesh.points)
    if isinstance(points, Tracer):
        return (1.0,) * len(nodes)
    x = np.asarray(points).reshape(*nodes, -1)
    means = [np.linalg.norm(np.diff(x, axis=axis), axis=-1).mean() for axis in range(len(nodes))]
    return tuple(2.0 ** round(np.log2(mean / min(means))) for mean in means)
