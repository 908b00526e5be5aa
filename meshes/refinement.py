"""Uniform refinement of meshes, with the prolongation from the coarse to the fine points."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from gemel.meshes.blocks import CellBlock
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import tabulate
from gemel.meshes.lattices import Lattice, number_lattices
from gemel.meshes.mesh import Mesh, on_host
from gemel.meshes.subdivision import Subdivision, subdivisions

_TIE = 1e-9
"""Diagonals of a tetrahedron count as equally long when they differ by less than this fraction."""


class Refinement(NamedTuple):
    r"""A refined mesh and how it comes from the coarse one.

    Attributes:
        mesh: the fine mesh.
        prolongation: the matrix (n_fine, n_coarse) that evaluates functions
            :math:`u(x) = \sum_n u_n N_n(x)`, with the coarse mesh's isoparametric basis, at the fine points.
        parents: the coarse cell (n_fine_cells,) of every fine cell.
    """

    mesh: Mesh
    prolongation: sp.csr_matrix
    parents: Int[np.ndarray, " n_fine_cells"]


def refine(mesh: Mesh, times: int = 1) -> Refinement:
    r"""Halve every edge: 2 intervals, 4 triangles or quadrilaterals, 8 tetrahedra, hexahedra or prisms a cell.

    Fine points lie where the coarse cell's map puts them, so that bent cells of degree 2 and 3 keep their shape
    exactly. Coarse points keep their numbers and come first, but in a structured lattice, which stays one.
    The octahedron inside a tetrahedron is cut along its shortest diagonal, so that angles do not degenerate.
    Tags of cells and facets name the children; tags of nodes name the same points as before.
    (J. Bey, Tetrahedral grid refinement, Computing 55, 1995; S. Zhang, Successive subdivisions of
    tetrahedra and multigrid methods on tetrahedral meshes, Houston J. Math. 21, 1995.)

    Args:
        mesh: the coarse mesh, outside of ``jit``.
        times: how often to refine.

    Raises:
        MeshError: for a negative number of times, and inside of ``jit``.
    """
    if times < 0:
        raise MeshError(f"A mesh cannot be refined {times} times.")
    fine = Refinement(on_host(mesh), sp.csr_matrix(sp.identity(mesh.n_points)), np.arange(mesh.n_cells))
    for _ in range(times):
        step = _refined_once(fine.mesh)
        matrix = sp.csr_matrix(step.prolongation @ fine.prolongation)
        fine = Refinement(step.mesh, matrix, fine.parents[step.parents])
    return fine


class _Pieces(NamedTuple):
    """What a fine mesh is made of."""

    prolongation: sp.csr_matrix
    blocks: tuple[CellBlock, ...]
    cell_tags: dict[str, np.ndarray]
    facet_tags: dict[str, np.ndarray]
    node_tags: dict[str, np.ndarray]
    parents: Int[np.ndarray, " n_fine_cells"]
    shape: tuple[int, ...] | None = None


def _refined_once(mesh: Mesh) -> Refinement:
    points = np.asarray(mesh.points, dtype=np.float64)
    ways = [_chosen_ways(points, block, mesh.degree) for block in mesh.blocks]
    tables = [subdivisions(block.cell_type, mesh.degree)[0] for block in mesh.blocks]
    lattices = [Lattice(table.lattice, table.kept) for table in tables]
    numbers, prolongation = number_lattices(mesh, lattices, 2 * mesh.degree)
    blocks = tuple(
        CellBlock(block.cell_type, _children(number, way, subdivisions(block.cell_type, mesh.degree)))
        for block, number, way in zip(mesh.blocks, numbers, ways, strict=True)
    )
    n_children = 2**mesh.cell_dim
    children = np.arange(mesh.n_cells * n_children).reshape(mesh.n_cells, n_children)
    pieces = _Pieces(
        prolongation,
        blocks,
        {tag: children[np.asarray(cells)].ravel() for tag, cells in mesh.cell_tags.items()},
        {tag: _child_facets(mesh, ways, np.asarray(facets)) for tag, facets in mesh.facet_tags.items()},
        {tag: np.asarray(nodes) for tag, nodes in mesh.node_tags.items()},
        np.repeat(np.arange(mesh.n_cells), n_children),
    )
    if mesh.shape is not None and mesh.degree == 1:
        pieces = _in_lattice_order(mesh.shape, pieces)
    fine = Mesh(
        pieces.prolongation @ points,
        pieces.blocks,
        mesh.degree,
        pieces.cell_tags,
        pieces.facet_tags,
        pieces.node_tags,
        pieces.shape,
    )
    return Refinement(fine, pieces.prolongation, pieces.parents)


def _chosen_ways(points: Float[np.ndarray, "n d"], block: CellBlock, degree: int) -> Int[np.ndarray, " n_cells"]:
    """For every cell the way to divide it: the shortest diagonal of a tetrahedron; the first one on a tie."""
    cells = np.asarray(block.cells)
    if block.cell_type != "tetrahedron":
        return np.zeros(len(cells), dtype=np.int64)
    middles = np.array([[[1, 0, 0], [0, 1, 1]], [[0, 1, 0], [1, 0, 1]], [[0, 0, 1], [1, 1, 0]]]) / 2
    values, _ = tabulate("tetrahedron", degree, middles.reshape(6, 3))
    ends = np.einsum("qn,cna->cqa", values, points[cells]).reshape(len(cells), 3, 2, 3)
    lengths = np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=-1)
    return (lengths <= (1 + _TIE) * lengths.min(axis=1, keepdims=True)).argmax(axis=1)


def _children(
    numbers: Int[np.ndarray, "n_cells n_lattice"], ways: Int[np.ndarray, " n_cells"], tables: tuple[Subdivision, ...]
) -> Int[np.ndarray, "n_children n_nodes"]:
    nodes = np.stack([table.nodes for table in tables])[ways]
    rows = np.take_along_axis(numbers, nodes.reshape(len(numbers), -1), axis=1)
    return rows.reshape(-1, nodes.shape[-1]).astype(np.int32)


def _child_facets(mesh: Mesh, ways: list[np.ndarray], facets: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, "m 2"]:
    """The fine facets on coarse ones, in the order of these."""
    n_children, chosen, order = 2**mesh.cell_dim, [], []
    owner = mesh.block_of(facets[:, 0])
    way = np.concatenate(ways)[facets[:, 0]]
    for number, block in enumerate(mesh.blocks):
        for variant, table in enumerate(subdivisions(block.cell_type, mesh.degree)):
            for parent, child, local in table.facets:
                rows = np.flatnonzero((owner == number) & (way == variant) & (facets[:, 1] == parent))
                chosen.append(np.stack([facets[rows, 0] * n_children + child, np.full(len(rows), local)], axis=1))
                order.append(rows)
    return np.concatenate(chosen)[np.argsort(np.concatenate(order), kind="stable")]


def _in_lattice_order(shape: tuple[int, ...], plain: _Pieces) -> _Pieces:
    """Points and cells numbered with the first axis fastest."""
    fine = tuple(2 * n for n in shape)
    coarse = np.stack(np.unravel_index(np.arange(np.prod([n + 1 for n in shape])), [n + 1 for n in shape], order="F"))
    places = np.rint(2 * (plain.prolongation @ coarse.T)).astype(np.int64).T
    points = np.asarray(np.ravel_multi_index(tuple(places), [n + 1 for n in fine], order="F"))
    block = plain.blocks[0]
    lowest = places[:, np.asarray(block.cells)[:, 0]]
    cells = np.asarray(np.ravel_multi_index(tuple(lowest), fine, order="F"))
    by_point, by_cell = np.argsort(points), np.argsort(cells)
    return _Pieces(
        sp.csr_matrix(plain.prolongation[by_point]),
        (CellBlock(block.cell_type, points[np.asarray(block.cells)[by_cell]].astype(np.int32)),),
        {tag: np.sort(cells[numbers]) for tag, numbers in plain.cell_tags.items()},
        {tag: np.stack([cells[rows[:, 0]], rows[:, 1]], axis=1) for tag, rows in plain.facet_tags.items()},
        {tag: points[numbers] for tag, numbers in plain.node_tags.items()},
        plain.parents[by_cell],
        fine,
    )
