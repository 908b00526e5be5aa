"""Checks of a mesh on the host; every failure is one sentence."""

from collections.abc import Sequence

import basix
import numpy as np
from jaxtyping import Float, Int

from gemel.loops import compiled, in_parts, index
from gemel.meshes import topology
from gemel.meshes.blocks import CellBlock, block_offsets
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import (
    basix_cell,
    cell_dim,
    coordinate_element,
    determinants,
    facet_groups,
    quadrature,
    tabulate,
)

_ROUNDING = 1e-12
"""A cell is degenerate when its Jacobian's columns span less than this fraction of their box."""

_PARALLEL = 1e-9
"""Opposite edges count as parallel when they differ by less than this fraction of the shortest extent."""

_CHUNK = 8192
"""Cells checked at a time, few enough to stay in cache."""

_UNKNOWN = 2
"""Where a sign is still to be found."""


def check_blocks(blocks: Sequence[CellBlock], dim: int) -> None:
    """Refuse no blocks, a cell type in two of them, and dimensions that differ or do not fit the space."""
    if not blocks or all(block.n_cells == 0 for block in blocks):
        raise MeshError("The mesh holds no cells.")
    types = [block.cell_type for block in blocks]
    for block in blocks:
        if block.n_cells == 0 or types.count(block.cell_type) > 1:
            problem = "is empty" if block.n_cells == 0 else "is one of several of that type: join them"
            raise MeshError(f"The block of {block.cell_type} cells {problem}.")
        if block.cell_dim != blocks[0].cell_dim:
            raise MeshError(f"A mesh has cells of one dimension, not both {types[0]} and {block.cell_type} cells.")
        lines = block.cell_dim == 1 and 1 <= dim <= 3
        if not lines and block.cell_dim != dim:
            allowed = "1, 2 or 3" if block.cell_dim == 1 else block.cell_dim
            raise MeshError(f"A mesh of {block.cell_type} cells needs points with {allowed} coordinates, not {dim}.")


def check_connectivity(n_points: int, blocks: Sequence[CellBlock], degree: int) -> None:
    """Refuse cells of the wrong width, node numbers out of range, and points in no cell."""
    used = np.zeros(n_points, dtype=bool)
    for block, first in zip(blocks, block_offsets(blocks), strict=False):
        cells = np.asarray(block.cells)
        n_nodes = coordinate_element(block.cell_type, degree).dim
        if cells.shape[1] != n_nodes:
            name = f"{'An' if block.cell_type == 'interval' else 'A'} {block.cell_type} of degree {degree}"
            raise MeshError(f"{name} has {n_nodes} nodes, but the cells have {cells.shape[1]}.")
        if cells.min() < 0 or cells.max() >= n_points:
            wrong = np.flatnonzero(((cells < 0) | (cells >= n_points)).any(axis=1))
            raise MeshError(
                f"{len(wrong)} cells refer to points outside 0 to {n_points - 1}, "
                f"the first of them number {first + wrong[0]} with nodes {cells[wrong[0]].tolist()}."
            )
        used[cells] = True
    unused = np.flatnonzero(~used)
    if len(unused):
        raise MeshError(f"{len(unused)} points belong to no cell, the first of them number {unused[0]}.")


def check_tags(name: str, kind: str, numbers: np.ndarray, width: int | None, bounds: tuple[int, ...]) -> None:
    """Refuse a tag whose array has the wrong shape or numbers out of range."""
    shape = "(n,)" if width is None else f"(n, {width})"
    fits = numbers.ndim == (1 if width is None else 2) and (width is None or numbers.shape[1] == width)
    if not fits or not np.issubdtype(numbers.dtype, np.integer):
        raise MeshError(
            f"The {kind} tag '{name}' must be an integer array of shape {shape}, "
            f"not {numbers.dtype} of shape {numbers.shape}."
        )
    if numbers.size and ((numbers < 0) | (numbers >= np.asarray(bounds))).any():
        raise MeshError(
            f"The {kind} tag '{name}' holds numbers outside {' and '.join(f'0 to {b - 1}' for b in bounds)}."
        )


def check_shape(shape: tuple[int, ...] | None, blocks: Sequence[CellBlock]) -> None:
    """Refuse a shape that is not that of the cells, numbered x fastest."""
    if shape is None:
        return
    fits = len(blocks) == 1 and min(shape, default=0) > 0 and len(shape) == blocks[0].cell_dim
    if not fits or not topology.is_box(np.asarray(blocks[0].cells), shape):
        raise MeshError(
            f"The shape {shape} is not that of these cells: leave it out, or number points and cells as `grid` does."
        )


def check_facet_tag(name: str, facets: np.ndarray, blocks: Sequence[CellBlock]) -> None:
    """Refuse a facet tag whose array has the wrong shape, or numbers of facets that their cells do not have."""
    offsets = block_offsets(blocks)
    counts = np.asarray([sum(len(numbers) for _, numbers in facet_groups(block.cell_type)) for block in blocks])
    check_tags(name, "facet", facets, 2, (int(offsets[-1]), int(counts.max())))
    block = np.searchsorted(offsets, facets[:, 0], side="right") - 1
    wrong = np.flatnonzero(facets[:, 1] >= counts[block])
    if len(wrong):
        cell, local = facets[wrong[0]].tolist()
        kind = blocks[int(block[wrong[0]])].cell_type
        raise MeshError(f"The facet tag '{name}' names facet {local} of cell {cell}, but a {kind} has no such facet.")


def orientations(
    points: Float[np.ndarray, "n_points dim"],
    cells: Int[np.ndarray, "n_cells n_nodes"],
    cell_type: str,
    degree: int,
) -> Int[np.ndarray, " n_cells"]:
    r"""The sign of :math:`\det J` in every cell: 1, -1, or 0 where it vanishes or changes within the cell.

    It is looked at in the vertices and in the quadrature points that integrate :math:`\det J` exactly, or in
    one point of a cell that is affine. A determinant counts as zero below rounding, relative to the product of
    the lengths of the Jacobian's columns, so that thin but valid cells pass at any scale. A line embedded in
    2-D or 3-D has the sign 1 unless it has no length or turns back on itself.
    """
    sign = _affine_signs(points, cells, cell_type, degree)
    left = np.flatnonzero(sign == _UNKNOWN)
    if not len(left):
        return sign
    samples = _samples(cell_type, degree)
    components = np.ascontiguousarray(points.T)
    size = float(np.linalg.norm(np.ptp(points, axis=0)))

    def look(first: int, last: int) -> None:
        for start in range(first, last, _CHUNK):
            rows = left[start : min(start + _CHUNK, last)]
            nodes = np.take(components, cells[rows].T, axis=1)  # cells last: numpy is fast
            sign[rows] = _sign_at(nodes, cell_type, degree, samples, size)

    in_parts(len(left), look, _CHUNK)
    return sign


def _affine_signs(points: np.ndarray, cells: np.ndarray, cell_type: str, degree: int) -> Int[np.ndarray, " n_cells"]:
    """The sign in cells that are affine images of the reference cell to rounding, so that J is constant."""
    sign = np.full(len(cells), _UNKNOWN)
    if degree == 1 and cell_dim(cell_type) == points.shape[1]:
        vertices = basix_vertices(cell_type)
        axes = np.asarray([np.flatnonzero((vertices == unit).all(axis=1))[0] for unit in np.eye(vertices.shape[1])])
        tables = (np.ascontiguousarray(points), np.ascontiguousarray(cells), np.ascontiguousarray(vertices), axes)
        in_parts(len(cells), lambda first, last: _find_signs(first, last, *tables, sign), _CHUNK)
    return sign


@compiled
def _find_signs(first, last, points, cells, vertices, axes, sign):
    dim = len(axes)
    edges = np.empty((3, 3))
    for cell in range(first, last):
        origin = points[cells[cell, 0]]
        shortest, floor = np.inf, _ROUNDING
        for k in range(dim):
            longest, squares = 0.0, 0.0
            end = points[cells[cell, axes[k]]]
            for d in range(dim):
                edges[k, d] = end[index(d)] - origin[index(d)]
                longest, squares = max(longest, abs(edges[k, d])), squares + edges[k, d] ** 2
            shortest, floor = min(shortest, longest), floor * np.sqrt(squares)
        gap = 0.0
        for v in range(len(vertices)):
            vertex = points[cells[cell, v]]
            for d in range(dim):
                off = vertex[index(d)] - origin[index(d)]
                for k in range(dim):
                    off -= vertices[v, k] * edges[k, d]
                gap = max(gap, abs(off))
        if gap > _PARALLEL * shortest:
            continue
        determinant = edges[0, 0]
        if dim == 2:
            determinant = edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0]
        elif dim == 3:
            determinant = (
                edges[0, 0] * (edges[1, 1] * edges[2, 2] - edges[1, 2] * edges[2, 1])
                + edges[0, 1] * (edges[1, 2] * edges[2, 0] - edges[1, 0] * edges[2, 2])
                + edges[0, 2] * (edges[1, 0] * edges[2, 1] - edges[1, 1] * edges[2, 0])
            )
        sign[cell] = int(determinant > floor) - int(determinant < -floor)


def _samples(cell_type: str, degree: int) -> Float[np.ndarray, "n dim"]:
    vertices = basix_vertices(cell_type)
    return np.concatenate([vertices, quadrature(cell_type, vertices.shape[1] * degree)[0]])


def _sign_at(
    nodes: Float[np.ndarray, "dim n c"], cell_type: str, degree: int, samples: Float[np.ndarray, "q ref"], size: float
) -> Int[np.ndarray, " c"]:
    """The sign of the determinant at sample points, 0 where it is not the same at all; ``size`` is that of the mesh."""
    _, gradients = tabulate(cell_type, degree, samples)
    q, n, ref = gradients.shape
    table = np.moveaxis(gradients, 2, 1).reshape(q * ref, n)
    jacobian = (table @ nodes).reshape(len(nodes), q, ref, -1)
    if cell_dim(cell_type) != len(nodes):
        chord = nodes[:, 1] - nodes[:, 0]
        floor = _ROUNDING * size * np.linalg.norm(chord, axis=0)
        determinant = (jacobian[:, :, 0] * chord[:, None]).sum(axis=0)
    else:
        floor = _ROUNDING * np.prod(np.sqrt((jacobian**2).sum(axis=0)), axis=1)
        determinant = determinants(np.moveaxis(jacobian, (0, 2), (-2, -1)))
    return (determinant > floor).all(axis=0).astype(int) - (determinant < -floor).all(axis=0)


def basix_vertices(cell_type: str) -> Float[np.ndarray, "n_vertices dim"]:
    """Vertices of the reference cell."""
    return np.asarray(basix.geometry(basix_cell(cell_type)))


def check_geometry(points: Float[np.ndarray, "n_points dim"], blocks: Sequence[CellBlock], degree: int) -> None:
    """Refuse coordinates that are not finite and cells that are inverted or degenerate."""
    if not np.isfinite(points).all():
        bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
        raise MeshError(f"{len(bad)} points are not finite, the first of them number {bad[0]}.")
    for block, first in zip(blocks, block_offsets(blocks), strict=False):
        cells = np.asarray(block.cells)
        bad = np.flatnonzero(orientations(points, cells, block.cell_type, degree) != 1)
        if len(bad):
            name = f" {block.cell_type}" if len(blocks) > 1 else ""
            raise MeshError(
                f"{len(bad)} of {len(cells)}{name} cells are inverted or degenerate (det J <= 0), "
                f"the first of them number {first + bad[0]} with nodes {cells[bad[0]].tolist()}."
            )
