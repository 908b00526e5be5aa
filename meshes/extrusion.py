"""Extrusion: from lines to quadrilaterals, from triangles to prisms, from quadrilaterals to hexahedra."""

from functools import cache
from typing import NamedTuple

import basix
import numpy as np
from jaxtyping import Float, Int

from gemel.meshes.blocks import CellBlock
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import CellType, basix_cell, coordinate_element
from gemel.meshes.mesh import Mesh, on_host

_OVER: dict[str, CellType] = {"interval": "quadrilateral", "triangle": "prism", "quadrilateral": "hexahedron"}


class _Tower(NamedTuple):
    """A cell over a flat one: its nodes by node of the flat cell and level, its facets by facet of the flat one."""

    node: Int[np.ndarray, " n_nodes"]
    level: Int[np.ndarray, " n_nodes"]
    side: Int[np.ndarray, " n_flat_facets"]
    ends: tuple[int, int]


def extrude(
    mesh: Mesh,
    layers: int,
    height: float,
    *,
    grading: float = 1.0,
    base: float = 0.0,
    ends: tuple[str, str] = ("lower", "upper"),
) -> Mesh:
    """Cells of one dimension more, in layers along a new last axis.

    Points and cells of a block are numbered layer by layer, in a layer as in ``mesh``, so that a structured
    lattice stays one. Cell and node tags name what lies over their members, facet tags the sides over theirs.
    Bent cells of degree 2 and 3 become bent cells of that degree.

    Args:
        mesh: lines in 1-D, or triangles and quadrilaterals in 2-D.
        layers: number of layers.
        height: of all layers together, in metres.
        grading: height of the last layer over that of the first; heights form a geometric sequence.
        base: the smallest coordinate along the new axis.
        ends: new facet tags of the lowest and the highest facets.

    Raises:
        MeshError: for cells that do not fill their space or are 3-D already, numbers that are not positive, and
            an end's name that is a facet tag of ``mesh``.
    """
    if mesh.cell_dim != mesh.dim or mesh.dim == 3:
        raise MeshError(f"Only 1-D lines and 2-D meshes can be extruded, not {mesh.cell_dim}-D cells in {mesh.dim}-D.")
    if layers < 1 or not height > 0 or not grading > 0:
        raise MeshError(
            f"An extrusion needs positive layers, height and grading, not {layers}, {height} and {grading}."
        )
    taken = [name for name in ends if name in mesh.facet_tags] or ([ends[0]] if ends[0] == ends[1] else [])
    if taken:
        raise MeshError(f"The facet tag '{taken[0]}' is in use already: choose other names for the ends.")
    points = np.asarray(on_host(mesh).points, dtype=np.float64)
    n, p = len(points), mesh.degree
    z = base + height * _levels(layers, grading, p)
    towers = [_tower(block.cell_type, p) for block in mesh.blocks]
    layer = np.arange(layers)[:, None, None]
    blocks = tuple(
        CellBlock(
            _OVER[block.cell_type],
            (np.asarray(block.cells)[None, :, tower.node] + n * (p * layer + tower.level))
            .reshape(layers * block.n_cells, -1)
            .astype(np.int32),
        )
        for block, tower in zip(mesh.blocks, towers, strict=True)
    )
    levels = np.arange(len(z))[:, None]
    return Mesh(
        np.column_stack([np.tile(points, (len(z), 1)), np.repeat(z, n)]),
        blocks,
        p,
        {tag: _over(mesh, np.asarray(cells), layers).T.ravel() for tag, cells in mesh.cell_tags.items()},
        _facets(mesh, towers, layers, ends),
        {tag: (np.asarray(nodes) + n * levels).ravel() for tag, nodes in mesh.node_tags.items()},
        None if mesh.shape is None or p > 1 else (*mesh.shape, layers),
    )


def _levels(layers: int, grading: float, degree: int) -> Float[np.ndarray, " n_levels"]:
    """Heights from 0 to 1 of all levels of points, ``degree`` equal steps a layer."""
    heights = grading ** (np.arange(layers) / max(layers - 1, 1))
    bounds = np.concatenate([[0.0], np.cumsum(heights)]) / heights.sum()
    return np.interp(np.arange(degree * layers + 1) / degree, np.arange(layers + 1), bounds)


@cache
def _tower(cell_type: str, degree: int) -> _Tower:
    over = basix_cell(_OVER[cell_type])
    flat = np.asarray(coordinate_element(cell_type, degree).points)
    points = np.asarray(coordinate_element(_OVER[cell_type], degree).points)
    node = np.linalg.norm(points[:, None, :-1] - flat[None], axis=-1).argmin(axis=1)
    level = np.rint(points[:, -1] * degree).astype(np.int64)
    vertices, facets = np.asarray(basix.geometry(over)), basix.topology(over)[-2]
    corner = np.linalg.norm(vertices[:, None, :-1] - flat[None], axis=-1).argmin(axis=1)
    below = [set(corner[facet].tolist()) for facet in facets]
    side = [below.index(set(facet)) for facet in basix.topology(basix_cell(cell_type))[-2]]
    heights = [vertices[facet, -1] for facet in facets]
    lowest = next(number for number, z in enumerate(heights) if (z == 0).all())
    highest = next(number for number, z in enumerate(heights) if (z == 1).all())
    return _Tower(node, level, np.asarray(side), (lowest, highest))


def _over(mesh: Mesh, cells: Int[np.ndarray, " n"], layers: int) -> Int[np.ndarray, "n layers"]:
    """The numbers of the cells over flat cells, in all layers."""
    block = mesh.block_of(cells)
    counts = np.diff(mesh.offsets)[block]
    first = mesh.offsets[block]
    return (layers * first + (cells - first))[:, None] + counts[:, None] * np.arange(layers)


def _facets(mesh: Mesh, towers: list[_Tower], layers: int, ends: tuple[str, str]) -> dict[str, Int[np.ndarray, "_n 2"]]:
    """The sides over tagged facets, and the two ends."""
    tags = {}
    for tag, rows in mesh.facet_tags.items():
        facets = np.asarray(rows)
        block = mesh.block_of(facets[:, 0])
        side = np.array([towers[b].side[local] for b, local in zip(block, facets[:, 1], strict=True)], dtype=np.int64)
        cells = _over(mesh, facets[:, 0], layers)
        tags[tag] = np.stack([cells.T.ravel(), np.tile(side, layers)], axis=1)
    everything = np.arange(mesh.n_cells)
    cells, block = _over(mesh, everything, layers), mesh.block_of(everything)
    for name, column, which in zip(ends, (0, -1), (0, 1), strict=True):
        local = np.array([tower.ends[which] for tower in towers])[block]
        tags[name] = np.stack([cells[:, column], local], axis=1)
    return tags
