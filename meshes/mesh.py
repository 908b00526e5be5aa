"""The mesh: coordinates, blocks of cells, and named tags."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from gemel.meshes import topology
from gemel.meshes.blocks import CellBlock, block_offsets
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import (
    CellType,
    Floats,
    cell_volumes,
    coordinate_element,
    facet_groups,
    facet_measures,
    facet_quadrature,
    numpy_or_jax,
)
from gemel.meshes.locate import locate
from gemel.meshes.validation import (
    check_blocks,
    check_connectivity,
    check_facet_tag,
    check_geometry,
    check_shape,
    check_tags,
)
from gemel.names import meant

ALL = "all"
"""Reserved name of all cells and of all nodes."""

BOUNDARY = "boundary"
"""Reserved name of all facets on the boundary."""

Predicate = Callable[[np.ndarray], np.ndarray]
"""A question about points: from coordinates (n, dim) to booleans (n,)."""


class FacetPart(NamedTuple):
    """Those of some facets that belong to one block and have one type."""

    block: int
    facet_type: str
    rows: Int[np.ndarray, " n"]


class Mesh(eqx.Module):
    """A conforming mesh of one or several cell types, with straight (degree 1) or bent (degree 2, 3) cells.

    A pytree: it may be an argument of a jitted function, and ``points`` may be differentiated. Topology is
    asked for on the host, outside of ``jit``. `Mesh.of` makes a mesh of one cell type.

    Attributes:
        points: coordinates (n_points, dim), in metres; every point belongs to a cell.
        blocks: the cells, one block a type. Cells are numbered through all blocks, those of block 0 first.
            All have one dimension: that of space, or 1 (lines in 1-D, or a frame in 2-D or 3-D).
        degree: degree of the isoparametric map, 1, 2 or 3, the same in all blocks.
        cell_tags: cell numbers by name.
        facet_tags: rows (cell, local facet) by name, local facets numbered as fenics-basix does.
        node_tags: point numbers by name.
        shape: cells along each axis where the mesh is a structured lattice of intervals, quadrilaterals or
            hexahedra with points and cells numbered x fastest; else None.

    Raises:
        MeshError: for numbers out of range, points in no cell, coordinates that are not finite, inverted or
            degenerate cells, a shape that the cells do not have, and reserved tag names. Traced arrays are not checked.
    """

    points: Float[Array | np.ndarray, "n_points dim"]
    blocks: tuple[CellBlock, ...]
    degree: int = eqx.field(static=True, default=1)
    cell_tags: dict[str, Any] = eqx.field(default_factory=dict)
    facet_tags: dict[str, Any] = eqx.field(default_factory=dict)
    node_tags: dict[str, Any] = eqx.field(default_factory=dict)
    shape: tuple[int, ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_blocks(self.blocks, self.dim)
        for block in self.blocks:
            coordinate_element(block.cell_type, self.degree)
        for tags, reserved in ((self.cell_tags, ALL), (self.facet_tags, BOUNDARY), (self.node_tags, ALL)):
            if reserved in tags:
                raise MeshError(f"The tag name '{reserved}' is reserved: choose another.")
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(self)):
            return
        check_connectivity(self.n_points, self.blocks, self.degree)
        check_shape(self.shape, self.blocks)
        for key, numbers in self.cell_tags.items():
            check_tags(key, "cell", np.asarray(numbers), None, (self.n_cells,))
        for key, numbers in self.facet_tags.items():
            check_facet_tag(key, np.asarray(numbers), self.blocks)
        for key, numbers in self.node_tags.items():
            check_tags(key, "node", np.asarray(numbers), None, (self.n_points,))
        check_geometry(np.asarray(self.points, dtype=np.float64), self.blocks, self.degree)

    @staticmethod
    def of(
        points: Float[Array | np.ndarray, "n_points dim"],
        cells: Int[Array | np.ndarray, "n_cells n_nodes"],
        cell_type: CellType,
        **fields: Any,
    ) -> "Mesh":
        """A mesh of one cell type; ``fields`` are the further attributes of `Mesh`."""
        return Mesh(points, (CellBlock(cell_type, cells),), **fields)

    @property
    def dim(self) -> int:
        """Dimension of space: 1, 2 or 3."""
        return self.points.shape[1]

    @property
    def cell_dim(self) -> int:
        """Dimension of the cells: that of space, or 1 for lines in a plane or in space."""
        return self.blocks[0].cell_dim

    @property
    def n_points(self) -> int:
        """Number of points."""
        return self.points.shape[0]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return sum(block.n_cells for block in self.blocks)

    @property
    def offsets(self) -> Int[np.ndarray, " n_blocks_plus_1"]:
        """The number of the first cell of every block, and the number of cells in all at the end."""
        return block_offsets(self.blocks)

    @property
    def cell_type(self) -> CellType:
        """The type of all cells; raises `MeshError` for a mesh of several types."""
        return self._only_block().cell_type

    @property
    def cells(self) -> Int[Array | np.ndarray, "n_cells n_nodes"]:
        """Nodes of all cells (n_cells, n_nodes); raises `MeshError` for a mesh of several types."""
        return self._only_block().cells

    @property
    def bounding_box(self) -> Float[Array | np.ndarray, "2 dim"]:
        """Smallest and largest coordinates of the points."""
        xp = np if isinstance(self.points, np.ndarray) else jnp
        return xp.stack([self.points.min(axis=0), self.points.max(axis=0)])

    def block_of(self, cells: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The block that each cell belongs to; its number there is ``cells - mesh.offsets[block]``."""
        return np.searchsorted(self.offsets, cells, side="right") - 1

    def facet_parts(self, facets: Int[np.ndarray, "n 2"]) -> tuple[FacetPart, ...]:
        """Rows (cell, local facet) sorted out by block and facet type; parts without a facet are left out.

        For ``part`` of the answer ``facets[part.rows]`` are all in block ``part.block`` and of one type.
        """
        facets = np.asarray(facets)
        owner = self.block_of(facets[:, 0])
        parts = [
            FacetPart(number, facet_type, np.flatnonzero((owner == number) & np.isin(facets[:, 1], local)))
            for number, block in enumerate(self.blocks)
            for facet_type, local in facet_groups(block.cell_type)
        ]
        return tuple(part for part in parts if len(part.rows))

    def volume(self, tag: str = ALL) -> Float[Array | np.ndarray, ""]:
        """Volume (area in 2-D, length of lines) of the cells of a tag, in m³ (m², m); differentiable in ``points``."""
        return jnp.asarray(sum(self._volume_of(number, tag) for number in range(len(self.blocks))))

    def area(self, tag: str = BOUNDARY) -> Float[Array | np.ndarray, ""]:
        """Area (length in 2-D, number of ends of lines) of the facets of a tag, in m² (m); differentiable.

        Exact for facets that are flat and affine; else by Gauss quadrature of degree 8.
        """
        facets = self.facets(tag)
        groups = [(n, *group) for n, block in enumerate(self.blocks) for group in facet_groups(block.cell_type)]
        return jnp.asarray(sum(self._area_of(number, facets, kind, local) for number, kind, local in groups))

    def boundary_facets(self) -> Int[np.ndarray, "n 2"]:
        """Rows (cell, local facet) of the facets that belong to one cell only, ordered by cell."""
        blocks = self._host_blocks()
        if self.shape is not None:
            sides = topology.box_sides(blocks[0].cell_type, self.shape)
            facets = np.concatenate([facets for pair in sides for facets in pair])
            return facets[np.lexsort(facets.T[::-1])]
        return topology.boundary_facets(blocks)

    def interior_facets(self) -> Int[np.ndarray, "n 2 2"]:
        """Pairs of rows (cell, local facet) of the facets between two cells; see `interior_facets`."""
        return topology.interior_facets(self._host_blocks())

    def facets(self, tag: str) -> Int[Array | np.ndarray, "n 2"]:
        """Rows (cell, local facet) of a tag; ``"boundary"`` names the whole boundary."""
        return self.boundary_facets() if tag == BOUNDARY else _look_up("facet", self.facet_tags, tag, BOUNDARY)

    def cells_of(self, tag: str) -> Int[Array | np.ndarray, " n"]:
        """Cell numbers of a tag; ``"all"`` names all cells."""
        return np.arange(self.n_cells) if tag == ALL else _look_up("cell", self.cell_tags, tag, ALL)

    def nodes_of(self, tag: str) -> Int[Array | np.ndarray, " n"]:
        """Point numbers of a node tag; ``"all"`` names all points."""
        return np.arange(self.n_points) if tag == ALL else _look_up("node", self.node_tags, tag, ALL)

    def nodes_of_facets(self, tag: str) -> Int[np.ndarray, " n"]:
        """Sorted point numbers on the facets of a tag, with the nodes on edges and faces for degree 2 and 3."""
        parts = self._facet_nodes(np.asarray(self.facets(tag)))
        return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(nodes.ravel() for _, nodes in parts)]))

    def with_points(self, points: Float[Array | np.ndarray, "n_points dim"]) -> "Mesh":
        """The same cells and tags with other coordinates, which may be traced and are checked otherwise."""
        return Mesh(
            points=points,
            blocks=self.blocks,
            degree=self.degree,
            cell_tags=self.cell_tags,
            facet_tags=self.facet_tags,
            node_tags=self.node_tags,
            shape=self.shape,
        )

    def refined(self, times: int = 1) -> "Mesh":
        """Every edge halved, so often; see `refine`, which also gives the prolongation."""
        from gemel.meshes.refinement import refine  # it makes meshes itself

        return refine(self, times).mesh

    def elevated(self, degree: int) -> "Mesh":
        """The same cells of a higher geometric degree; see `elevate`."""
        from gemel.meshes.elevation import elevate  # it makes meshes itself

        return elevate(self, degree)

    def submesh(self, tag: str, interface: str = "interface") -> Any:
        """The cells of a tag as a mesh of their own, with the way back; see `submesh`."""
        from gemel.meshes.parts import submesh  # it makes meshes itself

        return submesh(self, tag, interface)

    def quality(self) -> Any:
        """Shape, angles and volumes of all cells; see `quality`."""
        from gemel.meshes.quality import quality  # it asks about meshes itself

        return quality(self)

    def tag_facets(self, name: str, predicate: Predicate, interior: bool = False) -> "Mesh":
        """A mesh with one more facet tag: the boundary facets whose nodes and midpoint satisfy a predicate.

        Args:
            name: a name that is not in use.
            predicate: from coordinates (n, dim) to booleans (n,), such as ``lambda x: x[:, 0] < 1e-9``.
            interior: choose among the facets between two cells instead, named by the cell with the lower number.

        Raises:
            MeshError: when the name is in use, the predicate gives another shape, or no facet satisfies it.
        """
        facets = self.interior_facets()[:, 0] if interior else self.boundary_facets()
        points = np.asarray(self.points)
        at_points = _ask(predicate, points)
        wanted = np.zeros(len(facets), dtype=bool)
        for part, nodes in self._facet_nodes(facets):
            n_vertices = topology.facet_vertices(self.blocks[part.block].cell_type, part.facet_type).shape[1]
            at_middle = _ask(predicate, points[nodes[:, :n_vertices]].mean(axis=1))
            wanted[part.rows] = at_points[nodes].all(axis=1) & (at_middle | (self.degree > 1))
        chosen = facets[wanted]
        if len(chosen) == 0:
            raise MeshError(
                f"No {'interior' if interior else 'boundary'} facet satisfies the predicate of the facet tag '{name}'."
            )
        return self.with_facet_tag(name, chosen)

    def tag_cells(self, name: str, predicate: Predicate) -> "Mesh":
        """A mesh with one more cell tag: the cells whose centroid (mean of vertices) satisfies a predicate.

        Raises:
            MeshError: when the name is in use, the predicate gives another shape, or no cell satisfies it.
        """
        points = np.asarray(self.points)
        centroids = np.concatenate([points[np.asarray(block.vertices)].mean(axis=1) for block in self.blocks])
        chosen = np.flatnonzero(_ask(predicate, centroids))
        if len(chosen) == 0:
            raise MeshError(f"No cell satisfies the predicate of the cell tag '{name}'.")
        return self.with_cell_tag(name, chosen)

    def with_cell_tag(self, name: str, cells: Int[np.ndarray, " n"]) -> "Mesh":
        """A mesh with one more cell tag; raises `MeshError` for a name in use or numbers out of range."""
        check_tags(name, "cell", cells, None, (self.n_cells,))
        return self._with_tags("cell_tags", name, ALL, cells)

    def with_facet_tag(self, name: str, facets: Int[np.ndarray, "n 2"]) -> "Mesh":
        """A mesh with one more tag of (cell, local facet) rows; raises `MeshError` as `with_cell_tag` does."""
        check_facet_tag(name, facets, self.blocks)
        return self._with_tags("facet_tags", name, BOUNDARY, facets)

    def with_node_tag(self, name: str, nodes: Int[np.ndarray, " n"]) -> "Mesh":
        """A mesh with one more tag of point numbers; raises `MeshError` as `with_cell_tag` does."""
        check_tags(name, "node", nodes, None, (self.n_points,))
        return self._with_tags("node_tags", name, ALL, nodes)

    def locate(
        self, points: Float[Array | np.ndarray, "n dim"], tolerance: float = 1e-8, strict: bool = True
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n cell_dim"]]:
        """Cells and reference coordinates of physical points; see `gemel.meshes.locate`."""
        mine = np.asarray(self.points, dtype=np.float64)
        return locate(mine, self._host_blocks(), self.degree, np.asarray(points), tolerance, strict)

    def _volume_of(self, number: int, tag: str) -> Any:
        """Volume of the cells of a tag in one block; masked, not selected, so that the tag may be traced."""
        block, first = self.blocks[number], self.offsets[number]
        if tag == ALL:
            return cell_volumes(self.points, block.cells, block.cell_type, self.degree).sum()
        xp = numpy_or_jax(self.points, block.cells, self.cells_of(tag))
        cells = xp.asarray(self.cells_of(tag)) - first
        mine = (cells >= 0) & (cells < block.n_cells)
        nodes = xp.asarray(block.cells)[xp.where(mine, cells, 0)]
        return xp.where(mine, cell_volumes(self.points, nodes, block.cell_type, self.degree), 0.0).sum()

    def _area_of(self, number: int, facets: Floats, facet_type: str, local: tuple[int, ...]) -> Any:
        """Area of those facets that are of one block and type; masked as `_volume_of`."""
        block, first = self.blocks[number], self.offsets[number]
        xp = numpy_or_jax(self.points, block.cells, facets)
        cells = xp.asarray(facets)[:, 0] - first
        mine = (cells >= 0) & (cells < block.n_cells) & xp.isin(xp.asarray(facets)[:, 1], xp.asarray(local))
        rows = xp.stack([xp.where(mine, cells, 0), xp.where(mine, xp.asarray(facets)[:, 1], local[0])], axis=1)
        _, weights = facet_quadrature(block.cell_type, 8, facet_type)
        surface = facet_measures(self.points, block.cells, rows, block.cell_type, self.degree, 8, facet_type)
        return xp.where(mine, surface @ weights, 0.0).sum()

    def _only_block(self) -> CellBlock:
        if len(self.blocks) != 1:
            types = " and ".join(block.cell_type for block in self.blocks)
            raise MeshError(f"The mesh has no one cell type but {types} cells: ask its blocks.")
        return self.blocks[0]

    def _host_blocks(self) -> tuple[CellBlock, ...]:
        if any(isinstance(block.cells, Tracer) for block in self.blocks):
            raise MeshError("The topology of a mesh is found on the host: ask for it outside of jit.")
        return self.blocks

    def _facet_nodes(self, facets: Int[np.ndarray, "n 2"]) -> list[tuple[FacetPart, Int[np.ndarray, "_n _n_nodes"]]]:
        """The nodes of facets, vertices first, part by part (see `facet_parts`)."""
        blocks, answer = self._host_blocks(), []
        for part in self.facet_parts(facets):
            block, rows = blocks[part.block], facets[part.rows]
            closure = coordinate_element(block.cell_type, self.degree).entity_closure_dofs[block.cell_dim - 1]
            numbers = dict(facet_groups(block.cell_type))[part.facet_type]
            local = np.asarray([closure[number] for number in numbers])[np.searchsorted(numbers, rows[:, 1])]
            cells = np.asarray(block.cells)[rows[:, 0] - self.offsets[part.block]]
            answer.append((part, np.take_along_axis(cells, local, axis=1)))
        return answer

    def _with_tags(self, field: str, name: str, reserved: str, numbers: np.ndarray) -> "Mesh":
        tags = getattr(self, field)
        if name in tags or name == reserved:
            raise MeshError(f"The tag name '{name}' is already in use: choose another.")
        return eqx.tree_at(lambda mesh: getattr(mesh, field), self, {**tags, name: numbers})


def on_host(mesh: Mesh) -> Mesh:
    """The mesh itself; raises `MeshError` inside of ``jit``, where its arrays have no values."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(mesh)):
        raise MeshError("A mesh is changed, measured and written on the host: do so outside of jit.")
    return mesh


def _look_up(kind: str, tags: dict[str, Any], tag: str, reserved: str) -> Any:
    if tag not in tags:
        known = [*sorted(tags), reserved]
        names = ", ".join(f"'{name}'" for name in known)
        raise MeshError(f"The mesh has no {kind} tag '{tag}': its {kind} tags are {names}.{meant(tag, known)}")
    return tags[tag]


def _ask(predicate: Predicate, points: Float[np.ndarray, "n dim"]) -> np.ndarray:
    answer = np.asarray(predicate(points))
    if answer.shape != (len(points),) or answer.dtype != bool:
        raise MeshError(
            f"A predicate must give booleans of shape ({len(points)},) for points of shape {points.shape}, "
            f"not {answer.dtype} of shape {answer.shape}."
        )
    return answer
