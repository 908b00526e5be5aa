"""The mesh: coordinates, cells of one type, and named tags."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from gemel.meshes import topology
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import (
    CellType,
    cell_dim,
    cell_volumes,
    coordinate_element,
    facet_measures,
    facet_quadrature,
)
from gemel.meshes.locate import locate
from gemel.meshes.validation import basix_vertices, check_connectivity, check_geometry, check_tags

ALL = "all"
"""Reserved name of all cells and of all nodes."""

BOUNDARY = "boundary"
"""Reserved name of all facets on the boundary."""

Predicate = Callable[[np.ndarray], np.ndarray]
"""A question about points: from coordinates (n, dim) to booleans (n,)."""


class Mesh(eqx.Module):
    """A conforming mesh of one cell type with straight (degree 1) or quadratic (degree 2) cells.

    A pytree: it may be an argument of a jitted function, and ``points`` may be differentiated. Topology is
    asked for on the host, outside of ``jit``.

    Attributes:
        points: coordinates (n_points, dim), in metres; every point belongs to a cell.
        cells: nodes of every cell (n_cells, n_nodes) in the order of fenics-basix's Lagrange element:
            vertices first, in tensor order for quadrilaterals and hexahedra, (0,0), (1,0), (0,1), (1,1).
        cell_type: one of ``triangle``, ``quadrilateral``, ``tetrahedron``, ``hexahedron``.
        degree: degree of the isoparametric map, 1 or 2.
        cell_tags: cell numbers by name.
        facet_tags: rows (cell, local facet) by name, local facets numbered as fenics-basix does.
        node_tags: point numbers by name.
        shape: cells along each axis where the mesh is a structured lattice of quadrilaterals or hexahedra
            with points and cells numbered x fastest; else None.

    Raises:
        MeshError: for numbers out of range, points in no cell, coordinates that are not finite, inverted or
            degenerate cells, and reserved tag names. Traced arrays are not checked.
    """

    points: Float[Array | np.ndarray, "n_points dim"]
    cells: Int[Array | np.ndarray, "n_cells n_nodes"]
    cell_type: CellType = eqx.field(static=True)
    degree: int = eqx.field(static=True, default=1)
    cell_tags: dict[str, Any] = eqx.field(default_factory=dict)
    facet_tags: dict[str, Any] = eqx.field(default_factory=dict)
    node_tags: dict[str, Any] = eqx.field(default_factory=dict)
    shape: tuple[int, ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        name = f"{self.cell_type} of degree {self.degree}"
        element = coordinate_element(self.cell_type, self.degree)
        if self.points.shape[1] != cell_dim(self.cell_type):
            raise MeshError(
                f"A mesh of {self.cell_type} cells needs points with {cell_dim(self.cell_type)} coordinates, "
                f"not {self.points.shape[1]}."
            )
        for tags, reserved in ((self.cell_tags, ALL), (self.facet_tags, BOUNDARY), (self.node_tags, ALL)):
            if reserved in tags:
                raise MeshError(f"The tag name '{reserved}' is reserved: choose another.")
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(self)):
            return
        cells = np.asarray(self.cells)
        check_connectivity(self.n_points, cells, element.dim, name)
        n_facets = len(topology.cell_entities(self.cell_type, self.dim - 1))
        for key, numbers in self.cell_tags.items():
            check_tags(key, "cell", np.asarray(numbers), None, (self.n_cells,))
        for key, numbers in self.facet_tags.items():
            check_tags(key, "facet", np.asarray(numbers), 2, (self.n_cells, n_facets))
        for key, numbers in self.node_tags.items():
            check_tags(key, "node", np.asarray(numbers), None, (self.n_points,))
        check_geometry(np.asarray(self.points, dtype=np.float64), cells, self.cell_type, self.degree)

    @property
    def dim(self) -> int:
        """Dimension of space and of the cells: 2 or 3."""
        return self.points.shape[1]

    @property
    def n_points(self) -> int:
        """Number of points."""
        return self.points.shape[0]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.cells.shape[0]

    @property
    def bounding_box(self) -> Float[Array | np.ndarray, "2 dim"]:
        """Smallest and largest coordinates of the points."""
        xp = np if isinstance(self.points, np.ndarray) else jnp
        return xp.stack([self.points.min(axis=0), self.points.max(axis=0)])

    @property
    def vertices(self) -> Int[Array | np.ndarray, "n_cells n_vertices"]:
        """Nodes of every cell that are its vertices: all nodes for degree 1."""
        return self.cells[:, : len(basix_vertices(self.cell_type))]

    def volume(self, tag: str = ALL) -> Float[Array | np.ndarray, ""]:
        """Volume (area in 2-D) of the cells of a tag, in m³ (m²); differentiable in ``points``."""
        cells = self.cells if tag == ALL else self.cells[self.cells_of(tag)]
        return jnp.sum(jnp.asarray(cell_volumes(self.points, cells, self.cell_type, self.degree)))

    def area(self, tag: str = BOUNDARY) -> Float[Array | np.ndarray, ""]:
        """Area (length in 2-D) of the facets of a tag, in m² (m); differentiable in ``points``.

        Exact for facets that are flat and affine; else by Gauss quadrature of degree 8.
        """
        facets = self.facets(tag)
        _, weights = facet_quadrature(self.cell_type, 8)
        surface = facet_measures(self.points, self.cells, facets, self.cell_type, self.degree, 8)
        return jnp.sum(jnp.asarray(surface @ weights))

    def boundary_facets(self) -> Int[np.ndarray, "n 2"]:
        """Rows (cell, local facet) of the facets that belong to one cell only, ordered by cell."""
        return topology.boundary_facets(self.cell_type, self._host_cells())

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
        """Sorted point numbers on the facets of a tag, with the nodes on edges and faces for degree 2."""
        return np.unique(self._facet_nodes(np.asarray(self.facets(tag))))

    def with_points(self, points: Float[Array | np.ndarray, "n_points dim"]) -> "Mesh":
        """The same cells and tags with other coordinates, which may be traced and are checked otherwise."""
        return Mesh(
            points=points,
            cells=self.cells,
            cell_type=self.cell_type,
            degree=self.degree,
            cell_tags=self.cell_tags,
            facet_tags=self.facet_tags,
            node_tags=self.node_tags,
            shape=self.shape,
        )

    def tag_facets(self, name: str, predicate: Predicate) -> "Mesh":
        """A mesh with one more facet tag: the boundary facets whose nodes and midpoint satisfy a predicate.

        Args:
            name: a name that is not in use.
            predicate: from coordinates (n, dim) to booleans (n,), such as ``lambda x: x[:, 0] < 1e-9``.

        Raises:
            MeshError: when the name is in use, the predicate gives another shape, or no facet satisfies it.
        """
        facets = self.boundary_facets()
        points = np.asarray(self.points)
        at_points = _ask(predicate, points)
        nodes = self._facet_nodes(facets)
        n_vertices = topology.cell_entities(self.cell_type, self.dim - 1).shape[1]
        at_middle = _ask(predicate, points[nodes[:, :n_vertices]].mean(axis=1))
        chosen = facets[at_points[nodes].all(axis=1) & (at_middle | (self.degree == 2))]
        if len(chosen) == 0:
            raise MeshError(f"No boundary facet satisfies the predicate of the facet tag '{name}'.")
        return self.with_facet_tag(name, chosen)

    def tag_cells(self, name: str, predicate: Predicate) -> "Mesh":
        """A mesh with one more cell tag: the cells whose centroid (mean of vertices) satisfies a predicate.

        Raises:
            MeshError: when the name is in use, the predicate gives another shape, or no cell satisfies it.
        """
        centroids = np.asarray(self.points)[np.asarray(self.vertices)].mean(axis=1)
        chosen = np.flatnonzero(_ask(predicate, centroids))
        if len(chosen) == 0:
            raise MeshError(f"No cell satisfies the predicate of the cell tag '{name}'.")
        return self.with_cell_tag(name, chosen)

    def with_cell_tag(self, name: str, cells: Int[np.ndarray, " n"]) -> "Mesh":
        """A mesh with one more cell tag; raises `MeshError` when the name is in use."""
        return self._with_tags("cell_tags", name, ALL, cells)

    def with_facet_tag(self, name: str, facets: Int[np.ndarray, "n 2"]) -> "Mesh":
        """A mesh with one more tag of (cell, local facet) rows; raises `MeshError` when the name is in use."""
        return self._with_tags("facet_tags", name, BOUNDARY, facets)

    def locate(
        self, points: Float[Array | np.ndarray, "n dim"], tolerance: float = 1e-8
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n dim"]]:
        """Cells and reference coordinates of physical points; see `gemel.meshes.locate`."""
        mine = np.asarray(self.points, dtype=np.float64)
        return locate(mine, self._host_cells(), self.cell_type, self.degree, np.asarray(points), tolerance)

    def _host_cells(self) -> Int[np.ndarray, "n_cells n_nodes"]:
        if isinstance(self.cells, Tracer):
            raise MeshError("The topology of a mesh is found on the host: ask for it outside of jit.")
        return np.asarray(self.cells)

    def _facet_nodes(self, facets: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, "n n_facet_nodes"]:
        closure = np.asarray(coordinate_element(self.cell_type, self.degree).entity_closure_dofs[self.dim - 1])
        return self._host_cells()[facets[:, :1], closure[facets[:, 1]]]

    def _with_tags(self, field: str, name: str, reserved: str, numbers: np.ndarray) -> "Mesh":
        tags = getattr(self, field)
        if name in tags or name == reserved:
            raise MeshError(f"The tag name '{name}' is already in use: choose another.")
        return eqx.tree_at(lambda mesh: getattr(mesh, field), self, {**tags, name: numbers})


def _look_up(kind: str, tags: dict[str, Any], tag: str, reserved: str) -> Any:
    if tag not in tags:
        names = ", ".join(f"'{name}'" for name in [*sorted(tags), reserved])
        raise MeshError(f"The mesh has no {kind} tag '{tag}': its {kind} tags are {names}.")
    return tags[tag]


def _ask(predicate: Predicate, points: Float[np.ndarray, "n dim"]) -> np.ndarray:
    answer = np.asarray(predicate(points))
    if answer.shape != (len(points),) or answer.dtype != bool:
        raise MeshError(
            f"A predicate must give booleans of shape ({len(points)},) for points of shape {points.shape}, "
            f"not {answer.dtype} of shape {answer.shape}."
        )
    return answer
