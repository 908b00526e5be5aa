"""Quadrature over sets of cells or facets."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.chunks import Chunks
from gemel.engine.coefficients import ByTag, FieldCoefficient, PerCell, PerPoint, QuadratureField, State
from gemel.engine.compiling import one_program
from gemel.engine.elements import LagrangeElement
from gemel.engine.fields import Point
from gemel.engine.forms import Form
from gemel.engine.kernels import Frame, as_argument, at_points, element_residual, element_tangent, frame, jets
from gemel.engine.spaces import FunctionSpace, RealSpace, Space, field_of
from gemel.meshes import facet_frames, facet_groups, facet_quadrature, quadrature
from gemel.solvers.placing import on_device


class FieldTable(eqx.Module):
    """One field on a domain: its nodes in every element and its basis at the quadrature points.

    Tables carry a leading axis over reference facets, of length one for cells.
    """

    nodes: Any
    basis: Any
    gradient: Any
    name: str = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    n_nodes: int = eqx.field(static=True)
    offset: int = eqx.field(static=True)

    @property
    def n_components(self) -> int:
        """Unknowns at one node."""
        return int(np.prod(self.shape, dtype=int))

    def gather(self, u: Array) -> Array:
        """The coefficients ``(n_nodes, *shape)`` of this field, from the flat vector of unknowns."""
        return u[self.offset : self.offset + self.n_nodes * self.n_components].reshape(self.n_nodes, *self.shape)

    def dofs(self) -> np.ndarray:
        """The unknowns of every element ``(n_elements, n_local)``, node by node; on the host."""
        nodes, c = np.asarray(self.nodes, dtype=np.int32), self.n_components
        if c == 1 and self.offset == 0:
            return nodes
        local = np.int32(self.offset) + np.arange(c, dtype=np.int32)
        return (nodes[:, :, None] * np.int32(c) + local).reshape(len(nodes), -1)


class Domain(eqx.Module):
    """Cells of one type, or facets of one type of such cells, with quadrature and the tables of fields.

    ``reference`` says which entry of the tables an element uses, ``local`` which facet of a cell each entry is for; it
    is None for cells.
    """

    tables: tuple[FieldTable, ...]
    corners: Any
    cells: Any
    reference: Any
    weights: Any
    geometry: Any
    geometry_gradient: Any
    tangents: Any
    normals: Any
    coefficients: tuple[FieldTable, ...]
    local: tuple[int, ...] | None = eqx.field(static=True)

    @property
    def is_facets(self) -> bool:
        """Whether the elements are facets."""
        return self.local is not None

    def facets(self) -> np.ndarray:
        """The facets ``(n_elements, 2)``, each a cell and its facet there; on the host."""
        return np.stack([np.asarray(self.cells), np.asarray(self.local)[np.asarray(self.reference)]], axis=1)

    @property
    def n_elements(self) -> int:
        """How many cells or facets."""
        return self.corners.shape[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields that a form is given."""
        return tuple(table.name for table in self.tables)

    @one_program
    def measure(self, points: Float[Array, "n_points dim"]) -> Array:
        """The volume (area, length) of the domain in SI units."""
        return jnp.sum(self._chunks(lambda _, at: at.measure, (), points).joined())

    @one_program
    def loads(self, points: Float[Array, "n_points dim"]) -> Float[Array, "n_elements n_nodes"]:
        r"""The integrals $\int \varphi_a$ of the first field's basis functions over each element."""

        def kernel(_: Any, at: Frame) -> Array:
            basis = at.basis[0]
            return jnp.sum(at.measure[:, None] * (basis[..., None] if at.shared else basis), axis=0)

        return self._chunks(kernel, (), points).joined()

    def integrate(self, integrand: Callable[[Any, Point], Array], u: Array, points: Array) -> Array:
        """The integral of ``integrand(u, point)`` for the flat vector of unknowns ``u``."""

        def kernel(_: Any, local: tuple[Array, ...], at: Frame) -> Array:
            fields = as_argument(self.names, jets(at, local))
            values = at_points(lambda _, jet, point: jnp.asarray(integrand(jet, point)), None, at, fields)
            return jnp.sum(values * at.measure.reshape(len(at.measure), *[1] * (values.ndim - 2), -1), axis=0)

        return jnp.sum(self.map(kernel, None, u, points), axis=0)

    def residuals(self, form: Form, u: Array, points: Array, group: int = 0) -> Float[Array, "n_elements n_local"]:
        """Element residuals of a form at the flat vector of unknowns ``u``."""
        return self.map(lambda *a: element_residual(self.names, *a), form, u, points, group)

    def residuals_together(
        self, forms: Sequence[tuple["Domain", Form, Any]], u: Array, points: Array, group: int = 0
    ) -> Float[Array, "n_elements n_local"]:
        """The sum of the residuals of several forms, each with the domain that is `alike` this one and a factor."""
        localised = tuple(domain._localised(form, u, points, group) for domain, form, _ in forms)

        def kernel(localised: Any, local: tuple[Array, ...], at: Frame) -> Array:
            parts = [element_residual(self.names, form, local, at) for form in localised]
            return sum(scale * part for (*_, scale), part in zip(forms, parts, strict=True))  # pyright: ignore[reportReturnType]

        return self._over(kernel, localised, u, points).joined()

    def alike(self, other: "Domain") -> bool:
        """Whether both have the same elements with the same points and fields, so that one frame serves both."""
        if self.names != other.names or self.local != other.local:
            return False
        mine, others = ((one.cells, one.reference, one.weights) for one in (self, other))
        nodes = ((a.nodes, b.nodes) for a, b in zip(self.tables, other.tables, strict=True))
        return all(np.array_equal(a, b) for a, b in (*zip(mine, others, strict=True), *nodes))

    def tangents_of(self, form: Form, scale: Any, u: Array, points: Array, group: int = 0) -> Chunks:
        """Element tangents ``(n_local, n_local, n)`` of a form at ``u`` times ``scale``, not computed yet."""

        def kernel(*arguments: Any) -> Array:
            return scale * element_tangent(self.names, *arguments)

        return self._mapped(kernel, form, u, points, group, last=True)

    def evaluate(self, function: Callable[[Any, Any, Point], Any], form: Any, u: Array, points: Array, group: int = 0):
        """``function(form, u, point)`` at every quadrature point: arrays ``(n_elements, n_points, ...)``."""

        def kernel(form: Any, local: tuple[Array, ...], at: Frame) -> Any:
            return at_points(
                lambda form, fields, point: function(form, as_argument(self.names, fields), point),
                form,
                at,
                jets(at, local),
            )

        return self.map(kernel, form, u, points, group)

    def map(self, kernel: Any, form: Any, u: Array, points: Array, group: int = 0) -> Any:
        """``kernel(form, local unknowns of each field, frame)`` for many elements at a time, whose axis is the last of
        all arrays but the form's; in the result it is the first one.

        ``group`` says which entry of the form's quadrature fields belongs to this domain.
        """
        return self._mapped(kernel, form, u, points, group).joined()

    def _mapped(self, kernel: Any, form: Any, u: Array, points: Array, group: int, last: bool = False) -> Chunks:
        """The same for chunks of elements, whose axis stays the last one where ``last`` is true."""
        return self._over(kernel, self._localised(form, u, points, group), u, points, last)

    def _over(self, kernel: Any, form: Any, u: Array, points: Array, last: bool = False) -> Chunks:
        """The same for a form whose values are by element and by point already."""
        rows, shared = eqx.partition(form, _has_rows, is_leaf=_has_rows)
        fields = tuple(table.gather(u) for table in self.tables)

        def some(item: Any, at: Frame) -> Any:
            row, nodes = item
            local = tuple(jnp.moveaxis(values[mine.T], 1, -1) for values, mine in zip(fields, nodes, strict=True))
            return kernel(eqx.combine(row, shared, is_leaf=_has_rows), local, at)

        return self._chunks(some, (rows, tuple(table.nodes for table in self.tables)), points, last)

    def _chunks(self, kernel: Any, items: Any, points: Array, last: bool = False) -> Chunks:
        """``kernel(items, frame)`` for chunks of elements that stay in cache; the items have the elements first."""

        def some(item: Any) -> Any:
            mine, corners, reference = item
            result = kernel(mine, frame(self, jnp.moveaxis(points[corners.T], 1, -1), reference))
            return result if last else jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), result)

        whole = jax.tree.map(jnp.asarray, (items, self.corners, self.reference))
        return Chunks.of(some, whole, self.n_elements, self._bytes_per_element())

    def _localised(self, form: Any, u: Array, points: Array, group: int) -> Any:
        """Values by tag become values by element, fields become values by quadrature point."""
        tables = iter(self.coefficients)

        def state_in(element: Array) -> State:
            values = tuple(
                jnp.mean(table.gather(u)[jnp.asarray(table.nodes)[element]], axis=0) for table in self.tables
            )
            x = jnp.mean(points[jnp.asarray(self.corners)[element]], axis=0)
            return jax.lax.stop_gradient(State(as_argument(self.names, values), x))

        def resolve(leaf: Any) -> Any:
            if isinstance(leaf, ByTag):
                return leaf.at(self.cells, state_in)
            if isinstance(leaf, QuadratureField):
                return PerPoint(leaf.values[group])
            if isinstance(leaf, FieldCoefficient):
                table = next(tables)
                nodal = jnp.asarray(leaf.values).reshape(table.n_nodes, *table.shape)[table.nodes]
                basis = jnp.asarray(table.basis)[self.reference if self.is_facets else jnp.zeros_like(self.reference)]
                return PerPoint(jnp.einsum("eqa,ea...->eq...", basis, nodal))
            return leaf

        return jax.tree.map(resolve, form, is_leaf=lambda leaf: isinstance(leaf, _LOCAL))

    def _bytes_per_element(self) -> int:
        size = sum(table.nodes.shape[1] * table.n_components for table in self.tables)
        return 8 * size * (size + 4 * self.weights.shape[0])


_LOCAL = (ByTag, QuadratureField, FieldCoefficient)


def _has_rows(leaf: Any) -> bool:
    return isinstance(leaf, PerCell | PerPoint)


def integrate(
    space: Space,
    integrand: Callable[[Any, Point], Array],
    u: Any = None,
    on: str = "all",
    facets: bool = False,
    degree: int | None = None,
) -> Array:
    """The integral of ``integrand(u, point)`` over cells, or over facets, called ``on``.

    For example the heat that leaves through "right":
    ``integrate(space, lambda u, p: -k * grad(u) @ p.normal, u, "right", facets=True)``.

    Args:
        space: the space of ``u``; also without a field it gives the mesh and the degree.
        integrand: pure, of a `Jet` (a dictionary of them on a mixed space) and a `Point`; any array shape.
        u: the field as `solve` returns it; zero when None.
        on: a tag.
        facets: whether ``on`` names facets.
        degree: polynomial degree that the rule integrates exactly; twice the element's by default.

    Raises:
        ValueError: for an unknown tag.
    """
    flat = jnp.zeros(space.n_dofs) if u is None else space.flatten(u)
    return integral_over(domains(space, on, facets, degree), integrand, flat, jnp.asarray(space.mesh.points))


def integral_over(
    places: tuple[Domain, ...], integrand: Callable[[Any, Point], Array], u: Array, points: Array
) -> Array:
    """`integrate` over domains that were found before, for the flat vector of unknowns ``u``."""
    parts = [domain.integrate(integrand, u, points) for domain in places]
    return jax.tree.map(lambda *values: sum(values[1:], values[0]), *parts)


def domains(
    space: Space,
    tag: str,
    facets: bool = False,
    degree: int | None = None,
    fields: tuple[str, ...] | str | None = None,
    coefficients: tuple[FunctionSpace, ...] = (),
) -> tuple[Domain, ...]:
    """The cells (or facets) called ``tag``, in groups of one type, with a quadrature rule exact to ``degree``.

    Args:
        space: where the unknowns live.
        tag: a tag of cells (or ``"all"``) or of facets (or ``"boundary"``).
        facets: which of both.
        degree: twice the element's by default, and more where cells are curved.
        fields: names of the fields that integrands are given; one name alone is given without a dictionary.
            None is every function space.
        coefficients: the spaces of fields that integrands use as coefficients.

    Raises:
        ValueError: for an unknown tag or field, or a tag that holds nothing.
    """
    mesh = space.mesh
    if mesh.cell_dim != mesh.dim:
        raise ValueError(
            f"Integrals need cells that fill space, but these are {mesh.cell_dim}-D cells in {mesh.dim}-D space: "
            "use structural elements."
        )
    degree = _default_degree(space) if degree is None else degree
    rows = np.asarray(mesh.facets(tag) if facets else mesh.cells_of(tag), dtype=np.int64).reshape(
        -1, 2 if facets else 1
    )
    if not len(rows):
        raise ValueError(f"The tag '{tag}' holds no {'facets' if facets else 'cells'}.")
    chosen = _chosen_fields(space, fields)
    found = []
    for block, (start, end) in enumerate(zip(mesh.offsets[:-1], mesh.offsets[1:], strict=True)):
        mine = rows[(rows[:, 0] >= start) & (rows[:, 0] < end)]
        groups = facet_groups(mesh.blocks[block].cell_type) if facets else ((None, ()),)
        for kind, locals_ in groups:
            part = mine[np.isin(mine[:, 1], locals_)] if facets else mine
            if len(part):
                found.append(_domain(space, chosen, coefficients, block, part, kind, locals_, degree))
    return tuple(found)


def _default_degree(space: Space) -> int:
    return 2 * space.degree + (space.mesh.degree - 1) * space.mesh.dim


def _chosen_fields(space: Space, names: tuple[str, ...] | str | None) -> list[tuple[str, Any, int]]:
    """Name, space and first unknown of the fields that integrands are given."""
    if isinstance(names, str):
        return [("", *field_of(space, names))]
    if isinstance(names, tuple):
        return [(name, *field_of(space, name)) for name in names]
    return [field for field in space.fields if isinstance(field[1], FunctionSpace)]


def _domain(
    space: Space,
    chosen: list[tuple[str, Any, int]],
    coefficients: tuple[FunctionSpace, ...],
    block: int,
    rows: np.ndarray,
    kind: str | None,
    locals_: tuple[int, ...],
    degree: int,
) -> Domain:
    """The elements ``rows`` of one block, facets of type ``kind`` with local numbers ``locals_`` or cells."""
    mesh = space.mesh
    cell_type, start = mesh.blocks[block].cell_type, mesh.offsets[block]
    if kind is None:
        samples, weights = quadrature(cell_type, degree)
        samples, reference = samples[None], np.zeros(len(rows), dtype=np.int32)
        tangents, normals = np.zeros((1, 0, mesh.dim)), np.zeros((1, mesh.dim))
    else:
        samples, weights = facet_quadrature(cell_type, degree, kind)
        reference = np.searchsorted(np.asarray(locals_), rows[:, 1]).astype(np.int32)
        tangents, normals = facet_frames(cell_type, kind)
    cells = rows[:, 0] - start
    values, gradients = _tabulated(LagrangeElement(cell_type, mesh.degree), samples)
    domain = Domain(
        tables=tuple(_table(name, part, first, block, cells, samples) for name, part, first in chosen),
        corners=_rows(mesh.blocks[block].cells, cells),
        cells=rows[:, 0].astype(np.int32),
        reference=reference,
        weights=weights,
        geometry=values,
        geometry_gradient=gradients,
        tangents=tangents,
        normals=normals,
        coefficients=tuple(_table("", part, 0, block, cells, samples) for part in coefficients),
        local=None if kind is None else tuple(locals_),
    )
    return on_device(domain, copy=True)  # tables of the mesh are its owner's, who may write to them


def _table(name: str, space: Any, first: int, block: int, cells: np.ndarray, samples: np.ndarray) -> FieldTable:
    """The table of one field; the numbers of a `RealSpace` are the same in every element."""
    if isinstance(space, RealSpace):
        ones = np.ones((*samples.shape[:2], 1))
        nodes = np.zeros((len(cells), 1), dtype=np.int32)
        return FieldTable(nodes, ones, np.zeros((*ones.shape, samples.shape[2])), name, space.shape, 1, first)
    values, gradients = _tabulated(space.elements[block], samples)
    nodes = _rows(space.cell_nodes[block], cells)
    return FieldTable(nodes, values, gradients, name, space.shape, space.n_nodes, first)


def _rows(table: Any, chosen: np.ndarray) -> np.ndarray:
    """Some rows of a table; the table itself for all of them in order, which needs no memory."""
    table = np.asarray(table)
    everything = len(chosen) == len(table) and bool((np.diff(chosen) == 1).all())
    return table if everything else table[chosen]


def _tabulated(element: LagrangeElement, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Basis and reference gradients at the samples ``(n_reference, n_points, dim)``."""
    tables = [element.tabulate(block) for block in samples]
    return np.stack([values for values, _ in tables]), np.stack([gradients for _, gradients in tables])


def node_domains(space: FunctionSpace, coefficients: tuple[FunctionSpace, ...] = ()) -> tuple[Domain, ...]:
    """All cells, with the nodes of the space in place of quadrature points and weights of one."""
    mesh = space.mesh
    found = []
    for block, element in enumerate(space.elements):
        samples = element.node_points[None]
        rows = np.arange(*mesh.offsets[block : block + 2])
        cells = rows - mesh.offsets[block]
        values, gradients = _tabulated(LagrangeElement(element.cell_type, mesh.degree), samples)
        domain = Domain(
            tables=(_table("", space, 0, block, cells, samples),),
            corners=_rows(mesh.blocks[block].cells, cells),
            cells=rows.astype(np.int32),
            reference=np.zeros(len(rows), dtype=np.int32),
            weights=np.ones(samples.shape[1]),
            geometry=values,
            geometry_gradient=gradients,
            tangents=np.zeros((1, 0, mesh.dim)),
            normals=np.zeros((1, mesh.dim)),
            coefficients=tuple(_table("", part, 0, block, cells, samples) for part in coefficients),
            local=None,
        )
        found.append(on_device(domain, copy=True))
    return tuple(found)
