"""Points and cells numbered along a curve through space, so that neighbours are near in memory."""

from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from gemel.loops import compiled, in_parts, index
from gemel.meshes.blocks import CellBlock
from gemel.meshes.mesh import Mesh, on_host

_BITS = 21
"""Cells of the curve along each axis, as a power of two: three coordinates fit into 64 bits."""


class Renumbering(NamedTuple):
    """A mesh in another order, and the way back.

    Attributes:
        mesh: the same points, cells and tags.
        points: the former number of every point: ``field[points]`` holds nodal values in the new order.
        cells: the former number of every cell.
    """

    mesh: Mesh
    points: Int[np.ndarray, " n_points"]
    cells: Int[np.ndarray, " n_cells"]


def renumber(mesh: Mesh) -> Renumbering:
    """The mesh with its points, and in each block its cells, numbered along a Z-order curve; on the host.

    For meshes whose numbers follow no order, as some generators and conversions leave them: planning, assembly and
    products then reach all over the memory, and take up to three times as long. Tags name the same cells, facets and
    nodes as before, in another order. A lattice (a mesh with a ``shape``) stays as it is.

    Source: Morton, *A computer oriented geodetic data base*, IBM Ltd. (1966).
    """
    mesh = on_host(mesh)
    if mesh.shape is not None:
        return Renumbering(mesh, np.arange(mesh.n_points), np.arange(mesh.n_cells))
    x = np.ascontiguousarray(mesh.points, np.float64)
    points = _along_curve(x)
    rank = _inverse(points)
    blocks, former = [], []
    for block, first in zip(mesh.blocks, mesh.offsets, strict=False):
        nodes = np.array(block.cells, np.int32)
        order, moved = _along_curve(_middles(x, nodes)), np.empty_like(nodes)
        in_parts(len(nodes), lambda *part, n=nodes, o=order, m=moved: _move(*part, n, o, rank, m))
        blocks.append(CellBlock(block.cell_type, moved))
        former.append(first + order)
    cells = np.concatenate(former)
    new_cell = _inverse(cells)
    facet_tags = {}
    for name, rows in mesh.facet_tags.items():
        rows = np.asarray(rows)
        facet_tags[name] = np.stack([new_cell[rows[:, 0]], rows[:, 1].astype(new_cell.dtype)], axis=1)
    parts = (
        x[points],
        tuple(blocks),
        {name: new_cell[np.asarray(numbers)] for name, numbers in mesh.cell_tags.items()},
        facet_tags,
        {name: rank[np.asarray(numbers)] for name, numbers in mesh.node_tags.items()},
    )
    # In place of the old ones, not as a new mesh: nothing has to be checked again.
    moved = eqx.tree_at(lambda m: (m.points, m.blocks, m.cell_tags, m.facet_tags, m.node_tags), mesh, parts)
    return Renumbering(moved, points, cells)


def _along_curve(x: Float[np.ndarray, "n dim"]) -> Int[np.ndarray, " n"]:
    """The order of points along the curve."""
    low, key = x.min(axis=0), np.empty(len(x), np.uint64)
    extent = (x.max(axis=0) - low).max()
    scale = (2**_BITS - 1) / (extent if extent > 0 else 1.0)
    in_parts(len(x), lambda *part: _keys(*part, x, low, scale, key))
    return np.argsort(key)


def _middles(x: Float[np.ndarray, "n dim"], cells: Int[np.ndarray, "c k"]) -> Float[np.ndarray, "c dim"]:
    """The mean of the points of every cell."""
    middle = np.empty((len(cells), x.shape[1]))
    in_parts(len(cells), lambda *part: _means(*part, x, cells, middle))
    return middle


@compiled
def _means(first, last, x, cells, middle):
    for c in range(first, last):
        for d in range(x.shape[1]):
            total = 0.0
            for k in range(cells.shape[1]):
                total += x[index(cells[c, k]), d]
            middle[c, d] = total / cells.shape[1]


@compiled
def _keys(first, last, x, low, scale, key):
    """The place of every point along the curve: the bits of its coordinates in turns."""
    for i in range(first, last):
        key[i] = 0
        for d in range(x.shape[1]):
            number = np.uint64((x[i, d] - low[d]) * scale)
            number = (number | (number << np.uint64(32))) & np.uint64(0x001F00000000FFFF)
            number = (number | (number << np.uint64(16))) & np.uint64(0x001F0000FF0000FF)
            number = (number | (number << np.uint64(8))) & np.uint64(0x100F00F00F00F00F)
            number = (number | (number << np.uint64(4))) & np.uint64(0x10C30C30C30C30C3)
            number = (number | (number << np.uint64(2))) & np.uint64(0x1249249249249249)
            key[i] |= number << np.uint64(d)


@compiled
def _move(first, last, cells, order, rank, moved):
    """Cells in another order, with their points numbered anew."""
    for c in range(first, last):
        for k in range(cells.shape[1]):
            moved[c, k] = rank[index(cells[index(order[c]), k])]


def _inverse(order: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Where each number stands in an order."""
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank
