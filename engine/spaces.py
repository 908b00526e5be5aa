"""Finite-element spaces: a mesh, an element and the numbering of their nodes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.elements import LagrangeElement, lagrange
from gemel.engine.precision import require_double
from gemel.meshes import Mesh, entities


class FunctionSpace(eqx.Module):
    r"""The Lagrange functions of degree 1 or 2 on a mesh, scalar or vector valued.

    A function is $u(x) = \sum_a U_a \varphi_a(x)$ with one row of coefficients a node:
    an array of shape ``(n_nodes, *shape)``.

    Args:
        mesh: the mesh.
        element: "P1" or "P2" on triangles and tetrahedra, "Q1" or "Q2" on quadrilaterals and hexahedra.
        shape: ``()`` for a scalar field (temperature), ``(dim,)`` for a vector field (displacement).

    Raises:
        RuntimeError: where jax computes in single precision.
        ValueError: for an element that does not fit the mesh, or a shape that is not ``()`` or ``(c,)``.
    """

    mesh: Mesh
    element: LagrangeElement = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cell_nodes: np.ndarray | Array
    places: np.ndarray | Array
    n_nodes: int = eqx.field(static=True)

    def __init__(self, mesh: Mesh, element: str, shape: tuple[int, ...] = ()) -> None:
        require_double("A function space")
        if len(shape) > 1 or any(size < 1 for size in shape):
            raise ValueError(f"The shape of a function space must be () or (components,), not {shape}.")
        self.mesh = mesh
        self.element = lagrange(element, mesh.cell_type)
        self.shape = tuple(shape)
        self.cell_nodes, self.n_nodes = _number_nodes(mesh, self.element)
        self.places = _first_occurrence(self.cell_nodes)

    @property
    def n_components(self) -> int:
        """Unknowns at one node."""
        return self.shape[0] if self.shape else 1

    @property
    def n_dofs(self) -> int:
        """Unknowns in all."""
        return self.n_nodes * self.n_components

    @property
    def geometry(self) -> LagrangeElement:
        """The element that maps the reference cell to each cell of the mesh."""
        return LagrangeElement(self.mesh.cell_type, self.mesh.degree)

    def nodes(self) -> Float[Array, "n_nodes dim"]:
        """Coordinates of the nodes in m; differentiable in the mesh's points."""
        values, _ = self.geometry.tabulate(self.element.node_points)
        points, cells = self.mesh.points, self.mesh.cells
        xp = np if isinstance(points, np.ndarray) and isinstance(cells, np.ndarray) else jnp
        at_cells = xp.einsum("ag,cgd->cad", values, xp.asarray(points)[cells]).reshape(-1, self.mesh.dim)
        return jnp.asarray(at_cells[self.places])

    def zeros(self) -> Float[Array, "n_nodes *shape"]:
        """The zero function."""
        return jnp.zeros((self.n_nodes, *self.shape))

    def interpolate(self, function: Callable[[Array], Any]) -> Float[Array, "n_nodes *shape"]:
        """The nodal values of ``function(x)``, where ``x`` has shape ``(dim,)`` in m."""
        return jax.vmap(lambda x: jnp.broadcast_to(jnp.asarray(function(x), float), self.shape))(self.nodes())

    def nodes_on(self, tag: str) -> np.ndarray:
        """The sorted numbers of the nodes on the facets called ``tag`` (or ``"boundary"``)."""
        facets = np.asarray(self.mesh.facets(tag))
        local = self.element.facet_nodes[facets[:, 1]]
        return np.unique(np.asarray(self.cell_nodes)[facets[:, :1], local])

    def interpolation(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""The rows of the operator that evaluates a function at physical points.

        Args:
            points: ``(n, dim)`` in m.

        Returns:
            ``nodes (n, n_cell_nodes)`` and ``weights`` of the same shape with
            $u(x_i) = \sum_a w_{ia} U_{n_{ia}}$.

        Raises:
            ValueError: for a point outside the mesh.
        """
        cells, reference = self.mesh.locate(points)
        values = np.concatenate([self.element.tabulate(point[None])[0] for point in np.asarray(reference)])
        return np.asarray(self.cell_nodes)[np.asarray(cells)], values


def _number_nodes(mesh: Mesh, element: LagrangeElement) -> tuple[np.ndarray, int]:
    """Number vertices first, then edges, faces and interiors; at most one node on each beyond vertices."""
    layout = element.entity_nodes
    cells = np.asarray(mesh.cells)
    n_vertices = len(layout[0])
    used, vertices = np.unique(cells[:, :n_vertices], return_inverse=True)
    vertices = vertices.reshape(len(cells), n_vertices)
    columns = {local[0]: vertices[:, i] for i, local in enumerate(layout[0])}
    count = len(used)
    for dim in range(1, mesh.dim + 1):
        if not any(layout[dim]):
            continue
        if dim == mesh.dim:
            to_entity = np.arange(len(cells))[:, None]
            n_entities = len(cells)
        else:
            unique, to_entity = entities(mesh.cell_type, vertices, dim)
            n_entities = len(unique)
        for i, local in enumerate(layout[dim]):
            columns[local[0]] = count + np.asarray(to_entity)[:, i]
        count += n_entities
    numbers = np.stack([columns[a] for a in range(element.n_nodes)], axis=1)
    return numbers.astype(np.int32), int(count)


def _first_occurrence(cell_nodes: np.ndarray) -> np.ndarray:
    """For each node, one place in the flattened cell-to-node table that holds it."""
    _, first = np.unique(cell_nodes.ravel(), return_index=True)
    return first
