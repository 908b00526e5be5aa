"""Spaces that hold coarser ones: lower degrees on the same mesh, coarser meshes."""

import numpy as np
import scipy.sparse

from gemel.engine.spaces import FunctionSpace
from gemel.solvers.nesting import Prolongation

_SMALL = 1e-10
"""Weights this small are rounding errors of zero."""


def prolongation(coarse: FunctionSpace, fine: FunctionSpace) -> Prolongation:
    r"""The functions of ``coarse`` at the nodes of ``fine``: exact where ``fine`` holds them all.

    Args:
        coarse: of the same mesh and a lower degree, or of the mesh that `gemel.refine` made the other one from.
        fine: the finer space.

    Raises:
        ValueError: for a node of ``fine`` outside the mesh of ``coarse``, and where a node of ``coarse`` is none of
            ``fine``.
    """
    if coarse.mesh is fine.mesh:
        nodes, weights = _same_mesh(coarse, fine)
    else:
        nodes, weights = coarse.interpolation(np.asarray(fine.node_places()))
    weights = np.where(np.abs(weights) > _SMALL, weights, 0.0)
    indptr = np.arange(len(nodes) + 1) * nodes.shape[1]
    shape = (fine.n_nodes, coarse.n_nodes)
    return Prolongation.of(scipy.sparse.csr_array((weights.ravel(), nodes.ravel(), indptr), shape=shape))


def lower_degrees(space: FunctionSpace) -> tuple[Prolongation, ...]:
    """The prolongations to a space from that of degree 1 on the same mesh, for degree 4 by way of degree 2; none for
    degree 1. Other degrees share no nodes but the vertices.
    """
    found, letter = [], space.name[0]
    while space.degree > 1:
        coarse = FunctionSpace(space.mesh, f"{letter}{2 if space.degree == 4 else 1}")
        found.append(prolongation(coarse, space))
        space = coarse
    return tuple(found)


def _same_mesh(coarse: FunctionSpace, fine: FunctionSpace) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of each node of the finer space, in the first cell that it belongs to."""
    width, places = max(element.n_nodes for element in coarse.elements), np.asarray(fine.places)
    nodes, weights = np.zeros((fine.n_nodes, width), np.int32), np.zeros((fine.n_nodes, width))
    first = 0
    for lower, higher, mine in zip(coarse.elements, fine.elements, coarse.cell_nodes, strict=True):
        size = len(mine) * higher.n_nodes
        here = np.flatnonzero((places >= first) & (places < first + size))
        cell, local = np.divmod(places[here] - first, higher.n_nodes)
        values, _ = lower.tabulate(higher.node_points)
        nodes[here, : lower.n_nodes] = np.asarray(mine)[cell]
        weights[here, : lower.n_nodes] = values[local]
        first += size
    return nodes, weights
