"""Cells or facets of one type, with quadrature: what is integrated there, element by element."""

import functools
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
from gemel.engine.fields import Point
from gemel.engine.forms import Form
from gemel.engine.kernels import Frame, as_argument, at_points, element_residual, element_tangent, frame, jets


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
        return self.integrate_with(lambda _, u, point: integrand(u, point), None, u, points)

    def integrate_with(
        self, integrand: Callable[[Any, Any, Point], Array], form: Any, u: Array, points: Array, group: int = 0
    ) -> Array:
        """The integral of ``integrand(form, u, point)``, the form with its coefficients at the point."""

        def kernel(form: Any, local: tuple[Array, ...], at: Frame) -> Array:
            fields = as_argument(self.names, jets(at, local))
            values = at_points(lambda form, jet, point: jnp.asarray(integrand(form, jet, point)), form, at, fields)
            return jnp.sum(values * at.measure.reshape(len(at.measure), *[1] * (values.ndim - 2), -1), axis=0)

        return jnp.sum(self.map(kernel, form, u, points, group), axis=0)

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

        def kernel(*arguments: Any, half: bool = False) -> Array:
            return scale * element_tangent(self.names, *arguments, half=half)

        localised = self._localised(form, u, points, group)
        whole = self._over(kernel, localised, u, points, last=True)
        if self.is_facets or len(self.tables) > 1 or not form.symmetric:
            return whole
        half = self._over(functools.partial(kernel, half=True), localised, u, points, last=True)
        return whole._replace(half=half.function)

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
        return self._over(kernel, self._localised(form, u, points, group), u, points).joined()

    def _over(self, kernel: Any, form: Any, u: Array, points: Array, last: bool = False) -> Chunks:
        """The same for chunks of elements, whose axis stays the last one where ``last`` is true, and for a form whose
        values are by element and by point already.
        """
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
