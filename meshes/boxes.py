"""Lines, rectangles and boxes of structured cells, graded where wanted, with named sides."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int

from gemel.meshes import topology
from gemel.meshes.errors import MeshError
from gemel.meshes.mesh import Mesh

Coordinates = Sequence[float] | np.ndarray
"""Strictly increasing coordinates of grid lines, in metres."""

_SIDES = {
    1: (("left", "right"),),
    2: (("left", "right"), ("bottom", "top")),
    3: (("left", "right"), ("front", "back"), ("bottom", "top")),
}
_CELLS = {1: ("interval",), 2: ("quadrilateral", "triangle"), 3: ("hexahedron", "tetrahedron")}


def line(n: int, *, length: float = 1.0, origin: float = 0.0) -> Mesh:
    """A line of ``n`` equal intervals in 1-D.

    Args:
        n: number of intervals.
        length: length of the whole, in metres.
        origin: the smallest coordinate.

    Returns:
        A mesh with the facet tags ``left`` and ``right`` of its two ends.
    """
    return grid(_line("x", n, length, origin))


def rectangle(
    nx: int,
    ny: int,
    *,
    size: tuple[float, float] = (1.0, 1.0),
    origin: tuple[float, float] = (0.0, 0.0),
    cell: str = "quadrilateral",
) -> Mesh:
    """A rectangle of ``nx`` × ``ny`` equal quadrilaterals, or of twice as many triangles.

    Args:
        nx, ny: cells along x and y.
        size: lengths of the sides, in metres.
        origin: the lower left corner.
        cell: ``"quadrilateral"`` or ``"triangle"``.

    Returns:
        A mesh with facet tags ``left``, ``right`` (x), ``bottom``, ``top`` (y).
    """
    x, y = (_line(*arguments) for arguments in zip("xy", (nx, ny), size, origin, strict=True))
    return grid(x, y, cell=cell)


def box(
    nx: int,
    ny: int,
    nz: int,
    *,
    size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    cell: str = "hexahedron",
) -> Mesh:
    """A box of ``nx`` × ``ny`` × ``nz`` equal hexahedra, or of six times as many tetrahedra.

    Args:
        nx, ny, nz: cells along x, y and z.
        size: lengths of the sides, in metres.
        origin: the corner with the smallest coordinates.
        cell: ``"hexahedron"`` or ``"tetrahedron"``.

    Returns:
        A mesh with facet tags ``left``, ``right`` (x), ``front``, ``back`` (y), ``bottom``, ``top`` (z).
    """
    x, y, z = (_line(*arguments) for arguments in zip("xyz", (nx, ny, nz), size, origin, strict=True))
    return grid(x, y, z, cell=cell)


def grid(
    x: Coordinates, y: Coordinates | None = None, z: Coordinates | None = None, *, cell: str | None = None
) -> Mesh:
    """A line, rectangle or box whose grid lines lie at given coordinates, so that it may be graded.

    Simplices are those of Kuhn's subdivision: one for every path along the edges from the lowest to the
    highest corner of a cell, two in 2-D and six in 3-D, which conforms from cell to cell.
    (H. W. Kuhn, Some combinatorial lemmas in topology, IBM J. Res. Dev. 4, 1960.)

    Args:
        x, y, z: strictly increasing coordinates, in metres; no ``z`` for two dimensions, no ``y`` for one.
        cell: ``"interval"`` in 1-D; ``"quadrilateral"`` (default) or ``"triangle"`` in 2-D;
            ``"hexahedron"`` (default) or ``"tetrahedron"`` in 3-D.

    Returns:
        A mesh with the tags of `line`, `rectangle` or `box`; points are numbered with x fastest.

    Raises:
        MeshError: for coordinates that do not increase, ``z`` without ``y``, and for another cell.
    """
    if y is None and z is not None:
        raise MeshError("A grid with coordinates along z needs those along y too.")
    lines = [_checked(name, line) for name, line in zip("xyz", (x, y, z), strict=True) if line is not None]
    dim = len(lines)
    cell = _CELLS[dim][0] if cell is None else cell
    if cell not in _CELLS[dim]:
        allowed = " or ".join(f"'{name}'" for name in _CELLS[dim])
        raise MeshError(f"A {dim}-D grid has cells {allowed}, not '{cell}'.")
    counts = tuple(len(line) - 1 for line in lines)
    points = np.stack([a.ravel(order="F") for a in np.meshgrid(*lines, indexing="ij")], axis=-1)
    cubes = topology.box_cells(counts)
    structured = cell == _CELLS[dim][0]
    cells = cubes if structured else _kuhn(cubes, dim)
    return Mesh.of(
        points=points,
        cells=cells.astype(np.int32),
        cell_type=cell,  # pyright: ignore[reportArgumentType]
        facet_tags=_structured_sides(cell, counts) if structured else _sides(cell, cells, counts),
        shape=counts if structured else None,
    )


def _line(axis: str, count: int, length: float, start: float) -> Float[np.ndarray, " n"]:
    if count < 1:
        raise MeshError(f"The number of cells along {axis} is {count}, but must be at least 1.")
    if not length > 0:
        raise MeshError(f"The size along {axis} is {length}, but must be positive.")
    return start + length * np.linspace(0.0, 1.0, count + 1)


def _checked(axis: str, line: Coordinates) -> Float[np.ndarray, " n"]:
    values = np.asarray(line, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all() or not np.isfinite(values).all():
        raise MeshError(f"The grid coordinates along {axis} must be two or more strictly increasing numbers.")
    return values


def _kuhn(cubes: Int[np.ndarray, "n_cubes n_corners"], dim: int) -> Int[np.ndarray, "n_cells n_vertices"]:
    """Simplices of all cubes; odd permutations are mirrored, so that all are positively oriented."""
    paths = []
    for axes in permutations(range(dim)):
        path = np.cumsum([0, *(1 << axis for axis in axes)])
        odd = np.linalg.det(np.eye(dim)[list(axes)]) < 0
        paths.append(np.concatenate([path[:-2], path[:-3:-1]]) if odd else path)
    return cubes[:, np.stack(paths)].reshape(-1, dim + 1)


def _structured_sides(cell: str, counts: tuple[int, ...]) -> dict[str, Int[np.ndarray, "n 2"]]:
    """Boundary facets by side, ordered by cell."""
    pairs = zip(_SIDES[len(counts)], topology.box_sides(cell, counts), strict=True)
    return {name: rows for names, sides in pairs for name, rows in zip(names, sides, strict=True)}


def _sides(
    cell: str, cells: Int[np.ndarray, "n_cells n_nodes"], counts: tuple[int, ...]
) -> dict[str, Int[np.ndarray, "n 2"]]:
    """Boundary facets by side, ordered by cell; each belongs to the one side on which all of its vertices lie."""
    local = topology.cell_entities(cell, len(counts) - 1)
    lattice = np.unravel_index(np.arange(np.prod([n + 1 for n in counts])), [n + 1 for n in counts], order="F")
    tags = {}
    for index, n, sides in zip(lattice, counts, _SIDES[len(counts)], strict=True):
        for side, at in zip(sides, (0, n), strict=True):
            here = (index == at)[cells]
            near = np.flatnonzero(here.sum(axis=1) >= local.shape[1])
            row, facet = np.nonzero(here[near][:, local].all(axis=-1))
            tags[side] = np.stack([near[row], facet], axis=-1)
    return tags
