"""Finite-element spaces: a mesh, an element and the numbering of their nodes."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.elements import LagrangeElement, Powers, lagrange
from gemel.engine.numbering import first_places, number_nodes
from gemel.engine.precision import require_double
from gemel.meshes import Mesh
from gemel.names import listed
from gemel.solvers.implicit import stop_gradient
from gemel.solvers.placing import on_device


class FunctionSpace(eqx.Module):
    r"""The Lagrange functions of one degree on a mesh, with scalars, vectors or tensors as values.

    A function is $u(x) = \sum_a U_a \varphi_a(x)$ with one row of coefficients a node:
    an array of shape ``(n_nodes, *shape)``.

    Args:
        mesh: the mesh.
        element: "P1", "P2", "P3", ... on intervals, triangles, tetrahedra and prisms, "Q1", "Q2", "Q3", ... on
            quadrilaterals and hexahedra; on a mesh of several cell types "P2" is degree 2 in every cell. "DP0",
            "DQ1" and so on are discontinuous.
        shape: ``()`` for a scalar field (temperature), ``(dim,)`` for a vector field (displacement),
            ``(a, b)`` for a tensor field.

    Raises:
        RuntimeError: where jax computes in single precision.
        ValueError: for an element that does not fit the mesh, or a shape with an entry below 1.
    """

    mesh: Mesh
    elements: tuple[LagrangeElement, ...] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cell_nodes: tuple[np.ndarray | Array, ...]
    places: np.ndarray | Array
    n_nodes: int = eqx.field(static=True)

    def __init__(self, mesh: Mesh, element: str, shape: tuple[int, ...] = ()) -> None:
        require_double("A function space")
        if any(size < 1 for size in shape):
            raise ValueError(
                f"The shape of a function space must be (), (components,) or (rows, columns), not {shape}."
            )
        self.mesh = mesh
        self.elements = lagrange(element, *(block.cell_type for block in mesh.blocks))
        self.shape = tuple(shape)
        self.cell_nodes, self.n_nodes = number_nodes(mesh, self.elements)
        self.places = first_places(self.cell_nodes, self.n_nodes)

    @property
    def name(self) -> str:
        """The name of its element, such as "P2"."""
        first = self.elements[0]
        return first.name if len(self.elements) == 1 else f"{'' if first.continuous else 'D'}P{first.degree}"

    @property
    def degree(self) -> int:
        """Polynomial degree of its element."""
        return self.elements[0].degree

    @property
    def continuous(self) -> bool:
        """Whether cells share nodes."""
        return self.elements[0].continuous

    @property
    def n_components(self) -> int:
        """Unknowns at one node."""
        return math.prod(self.shape)

    @property
    def n_dofs(self) -> int:
        """Unknowns in all."""
        return self.n_nodes * self.n_components

    @property
    def fields(self) -> tuple[tuple[str, "FunctionSpace", int], ...]:
        """Name, space and first unknown of every field: one field without a name."""
        return (("", self, 0),)

    def geometry(self, block: int) -> LagrangeElement:
        """The element that maps the reference cell to each cell of a block of the mesh."""
        return LagrangeElement(self.mesh.blocks[block].cell_type, self.mesh.degree)

    def nodes(self) -> Float[Array, "n_nodes dim"]:
        """Coordinates of the nodes in m; differentiable in the mesh's points."""
        return on_device(self.node_places())

    def node_places(self, only: np.ndarray | None = None) -> Float[np.ndarray | Array, "n_nodes dim"]:
        """The `nodes`, or those of them with these numbers, on the host where the mesh is."""
        points, places = self.mesh.points, self.places if only is None else self.places[only]
        cells = [block.cells for block in self.mesh.blocks]
        xp: Any = np if all(isinstance(part, np.ndarray) for part in (points, places, *cells)) else jnp
        points = xp.asarray(points)
        first, x = 0, xp.zeros((len(places), points.shape[1]))
        for number, element in enumerate(self.elements):
            size = len(cells[number]) * element.n_nodes
            mine = self._within(number, xp.clip(places - first, 0, size - 1), points, xp)
            if size == sum(map(np.size, self.cell_nodes)):
                return mine
            x = xp.where(((places >= first) & (places < first + size))[:, None], mine, x)
            first += size
        return x

    def _within(self, block: int, places: Any, points: Any, xp: Any) -> Any:
        """Where nodes of a block are that stand at ``places`` among those of its cells."""
        element, geometry = self.elements[block], self.geometry(block)
        corners = xp.asarray(self.mesh.blocks[block].cells)
        if element.continuous and element.degree == geometry.degree:
            return points[corners.reshape(-1)[places]]  # they are the points that the cells are made of
        values, _ = geometry.tabulate(element.node_points)
        cell, local = xp.divmod(places, element.n_nodes)
        return xp.einsum("ng,ngd->nd", xp.asarray(values)[local], points[corners[cell]])

    def zeros(self) -> Float[Array, "n_nodes *shape"]:
        """The zero function."""
        return jnp.zeros((self.n_nodes, *self.shape))

    def unflatten(self, u: Float[Array, " n_dofs"]) -> Float[Array, "n_nodes *shape"]:
        """The coefficients of a function, one row a node, from the flat vector of unknowns."""
        return u.reshape(self.n_nodes, *self.shape)

    def flatten(self, values: Float[Array, "n_nodes *shape"]) -> Float[Array, " n_dofs"]:
        """The flat vector of unknowns, node by node."""
        return jnp.asarray(values).reshape(-1)

    def interpolate(self, function: Callable[[Array], Any]) -> Float[Array, "n_nodes *shape"]:
        """The nodal values of ``function(x)``, where ``x`` has shape ``(dim,)`` in m."""
        return jax.vmap(lambda x: jnp.broadcast_to(jnp.asarray(function(x), float), self.shape))(self.nodes())

    def nodes_on(self, tag: str) -> np.ndarray:
        """The sorted numbers of the nodes on the facets called ``tag`` (or ``"boundary"``)."""
        facets = self.mesh.facets(tag)
        if isinstance(facets, Tracer):
            raise ValueError(
                f"The nodes on '{tag}' are not known inside jit: ask a space from outside (in what a path records, "
                "gm.reaction of the body instead of gm.reactions of the step)."
            )
        found = np.zeros(self.n_nodes, dtype=bool)
        for _, nodes in self.facet_nodes(np.asarray(facets)):
            found[nodes] = True
        return np.flatnonzero(found)

    def facet_nodes(self, facets: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of ``facets (n, 2)`` those at one place in their cells after the other: their rows, and their nodes."""
        for number, element in enumerate(self.elements):
            start, end = self.mesh.offsets[number : number + 2]
            mine = (facets[:, 0] >= start) & (facets[:, 0] < end)
            for local, closure in enumerate(element.facet_nodes):
                rows = np.flatnonzero(mine & (facets[:, 1] == local))
                yield rows, np.asarray(self.cell_nodes[number])[facets[rows, 0] - start][:, closure]

    def interpolation(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | Array]:
        r"""The rows of the operator that evaluates a function at physical points.

        The points stay where they are when the mesh moves: where the mesh's points are traced, so are the weights.

        Args:
            points: ``(n, dim)`` in m.

        Returns:
            ``nodes (n, n_cell_nodes)`` and ``weights`` of the same shape with
            $u(x_i) = \sum_a w_{ia} U_{n_{ia}}$; rows of cells with fewer nodes than others end in zeros.

        Raises:
            ValueError: for a point outside the mesh, or where the mesh's points are not known even to `stop_gradient`,
                as inside ``jit``.
        """
        nodes, values, *_ = self.basis_at(points)
        return nodes, values

    def gradient_rows(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | Array]:
        r"""The rows of the operator that evaluates the gradient of a function at physical points.

        As `interpolation`, with weights ``(n, n_cell_nodes, dim)`` and $\nabla u(x_i) = \sum_a U_{n_{ia}} w_{ia}$; on a
        facet between cells the gradient is that of one of them.
        """
        nodes, _, gradients, _ = self.basis_at(points)
        return nodes, gradients

    def basis_at(self, points: np.ndarray, strict: bool = True) -> tuple[np.ndarray, Any, Any, np.ndarray]:
        """The nodes of the cells that hold the points, the values and gradients of their basis there, and which points
        lie in the mesh: without ``strict`` rows of those outside are zeros. For the rest see `interpolation`.
        """
        moving = isinstance(self.mesh.points, Tracer)
        known = stop_gradient(self.mesh.points)
        if isinstance(known, Tracer):
            raise ValueError("Points are found in cells outside of jit and vmap: build sensors and point loads there.")
        cells, reference = map(np.asarray, self.mesh.with_points(known).locate(points, strict=strict))
        width = max(element.n_nodes for element in self.elements)
        nodes = np.zeros((len(cells), width), dtype=np.int32)
        values: Any = (jnp if moving else np).zeros((len(cells), width))
        gradients: Any = (jnp if moving else np).zeros((len(cells), width, self.mesh.dim))
        for number, element in enumerate(self.elements):
            start, end = self.mesh.offsets[number : number + 2]
            mine = np.flatnonzero((cells >= start) & (cells < end))
            if not len(mine):
                continue
            filled = (mine, slice(element.n_nodes))
            nodes[filled] = np.asarray(self.cell_nodes[number])[cells[mine] - start]
            corners = self.mesh.points[self.mesh.blocks[number].cells[cells[mine] - start]]
            if moving:
                basis = _moving_basis(element, self.geometry(number), reference[mine], corners, points[mine])
                values, gradients = values.at[filled].set(basis[0]), gradients.at[filled].set(basis[1])
            else:
                values[filled], slopes = element.tabulate(reference[mine])
                jacobian = np.einsum(
                    "pad,pab->pdb", np.asarray(corners), self.geometry(number).tabulate(reference[mine])[1]
                )
                gradients[filled] = slopes @ np.linalg.pinv(jacobian)
        return nodes, values, gradients, cells >= 0


def _moving_basis(
    element: LagrangeElement, geometry: LagrangeElement, reference: np.ndarray, corners: Array, x: np.ndarray
) -> tuple[Array, Array]:
    r"""The basis ``(n, n_nodes)``, and its gradients, at points ``x`` that stay while the nodes of their cells move.

    ``reference`` are the reference coordinates where the nodes are now. Newton's method for $x_c(X) = x$ starts at the
    solution, so that each step doubles the number of derivatives that are right; seven are.
    """
    (powers, shape), (basis_powers, basis) = geometry.expansion(reference), element.expansion(reference)
    return _follow_points(powers, on_device(shape), basis_powers, on_device(basis), corners, on_device(np.asarray(x)))


@eqx.filter_jit
def _follow_points(
    powers: Powers, shape: Array, basis_powers: Powers, basis: Array, corners: Array, x: Array
) -> tuple[Array, Array]:
    def one(terms: Array, basis: Array, nodes: Array, x: Array) -> tuple[Array, Array]:
        def place(d: Array) -> Array:
            return _monomials(powers, d) @ terms @ nodes

        def inverse(d: Array) -> Array:  # of a line in space: the gradient along it, and the closest point
            jacobian = jax.jacfwd(place)(d)
            return jnp.linalg.solve(jacobian.T @ jacobian, jacobian.T)

        def values(d: Array) -> Array:
            return _monomials(basis_powers, d) @ basis

        d = jnp.zeros(len(powers[0]))
        for _ in range(3):
            d = d + inverse(d) @ (x - place(d))
        return values(d), jax.jacfwd(values)(d) @ inverse(d)

    return jax.vmap(one)(shape, basis, corners, x)


def _monomials(powers: Powers, d: Array) -> Array:
    """The products of powers ``(n_terms, dim)`` of the entries of ``d``; one for power zero also at zero."""
    rows = [jnp.ones_like(d)]
    for _ in range(max(max(p) for p in powers)):
        rows.append(rows[-1] * d)
    return jnp.prod(jnp.stack(rows)[np.array(powers), np.arange(len(d))], axis=1)


class RealSpace(eqx.Module):
    """A few numbers that belong to no place: a multiplier, the motions of a reference node.

    Args:
        size: how many numbers.
    """

    size: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """One axis."""
        return (self.size,)

    @property
    def n_nodes(self) -> int:
        """One row."""
        return 1

    @property
    def n_components(self) -> int:
        """The numbers."""
        return self.size

    @property
    def n_dofs(self) -> int:
        """The numbers."""
        return self.size

    def zeros(self) -> Float[Array, "1 size"]:
        """Zeros."""
        return jnp.zeros((1, self.size))


class MixedSpace(eqx.Module):
    """Several fields on one mesh, solved for together.

    The flat vector of unknowns holds one field after the other. Forms on a mixed space get a dictionary of
    `Jet`, one a field, and return one.

    Args:
        spaces: `FunctionSpace` (or `RealSpace`) by name; all function spaces on one mesh.

    Raises:
        ValueError: for no function space, or function spaces on different meshes.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    parts: tuple[FunctionSpace | RealSpace, ...]

    def __init__(self, spaces: Mapping[str, FunctionSpace | RealSpace]) -> None:
        self.names, self.parts = tuple(spaces), tuple(spaces.values())
        meshes = [part.mesh for part in self.parts if isinstance(part, FunctionSpace)]
        if not meshes:
            raise ValueError("A mixed space needs at least one function space.")
        if any(mesh is not meshes[0] for mesh in meshes):
            raise ValueError("The function spaces of a mixed space must share one mesh object.")

    @property
    def mesh(self) -> Mesh:
        """The mesh of its function spaces."""
        return next(part.mesh for part in self.parts if isinstance(part, FunctionSpace))

    @property
    def degree(self) -> int:
        """The highest degree among its function spaces."""
        return max(part.degree for part in self.parts if isinstance(part, FunctionSpace))

    @property
    def n_dofs(self) -> int:
        """Unknowns in all."""
        return sum(part.n_dofs for part in self.parts)

    @property
    def fields(self) -> tuple[tuple[str, FunctionSpace | RealSpace, int], ...]:
        """Name, space and first unknown of every field."""
        starts = np.cumsum([0, *(part.n_dofs for part in self.parts)])
        return tuple(
            (name, part, int(start)) for name, part, start in zip(self.names, self.parts, starts, strict=False)
        )

    def __getitem__(self, name: str) -> FunctionSpace | RealSpace:
        """The space of one field. Raises `ValueError` for a name that is not there."""
        return self.field(name)[0]

    def field(self, name: str) -> tuple[FunctionSpace | RealSpace, int]:
        """The space of one field and its first unknown. Raises `ValueError` for a name that is not there."""
        for mine, space, start in self.fields:
            if mine == name:
                return space, start
        raise ValueError(f"There is no field '{name}': the fields are {listed(name, self.names)}")

    def zeros(self) -> dict[str, Array]:
        """The zero functions."""
        return {name: part.zeros() for name, part in zip(self.names, self.parts, strict=True)}

    def unflatten(self, u: Float[Array, " n_dofs"]) -> dict[str, Array]:
        """The coefficients ``(n_nodes, *shape)`` of every field, from the flat vector of unknowns."""
        return {
            name: u[start : start + part.n_dofs].reshape(part.n_nodes, *part.shape) for name, part, start in self.fields
        }

    def flatten(self, values: Mapping[str, Array]) -> Float[Array, " n_dofs"]:
        """The flat vector of unknowns from the coefficients of every field."""
        return jnp.concatenate([jnp.asarray(values[name]).reshape(-1) for name in self.names])


Space = FunctionSpace | MixedSpace
"""What a problem may be posed on."""


def field_of(space: Space, name: str | None) -> tuple[FunctionSpace | RealSpace, int]:
    """One field of a space and its first unknown; None is the only field there is.

    Raises `ValueError` for a name that is not there, and for None where there are several.
    """
    if isinstance(space, FunctionSpace):
        if name:
            raise ValueError(f"There is no field '{name}': this problem has one field without a name.")
        return space, 0
    if name is None:
        raise ValueError(f"Say which field is meant: the fields are {', '.join(space.names)}.")
    return space.field(name)
