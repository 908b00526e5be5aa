"""Quadrature over sets of cells or facets, and the element kernels on them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import ByTag, PerCell
from gemel.engine.fields import Jet, Point
from gemel.engine.forms import Form
from gemel.engine.spaces import FunctionSpace
from gemel.meshes import determinants, facet_frames, facet_quadrature, quadrature

_CHUNK_BYTES = 2**27


class Domain(eqx.Module):
    """Cells or facets with their nodes, tables of basis functions and quadrature weights.

    Tables carry a leading axis over reference facets (of length one for cells); ``reference`` says
    which entry an element uses.
    """

    nodes: Any
    corners: Any
    cells: Any
    reference: Any
    weights: Any
    basis: Any
    basis_gradient: Any
    geometry: Any
    geometry_gradient: Any
    tangents: Any
    normals: Any
    is_facets: bool = eqx.field(static=True)

    @property
    def n_elements(self) -> int:
        """How many cells or facets."""
        return self.nodes.shape[0]

    def measure(self, points: Float[Array, "n_points dim"]) -> Array:
        """The volume (area, length) of the domain in SI units."""
        if not self.n_elements:
            return jnp.zeros(())
        return jnp.sum(jax.vmap(lambda c, f: _frame(self, points[c], f).measure)(self.corners, self.reference))

    def loads(self, points: Float[Array, "n_points dim"]) -> Float[Array, "n_elements n_nodes"]:
        r"""The integrals $\int \varphi_a$ of the basis functions over each element."""

        def one(corners: Array, reference: Array) -> Array:
            frame = _frame(self, points[corners], reference)
            return frame.measure @ frame.basis

        return jax.vmap(one)(self.corners, self.reference)

    def integrate(
        self, integrand: Callable[[Jet, Point], Array], u: Array, points: Float[Array, "n_points dim"]
    ) -> Array:
        """The integral of ``integrand(u, point)`` for a field ``u (n_nodes, *shape)``."""

        def one(corners: Array, nodes: Array, reference: Array) -> Array:
            frame = _frame(self, points[corners], reference)
            values = jax.vmap(integrand)(_fields(frame, u[nodes]), Point(frame.x, frame.normal))
            return jnp.tensordot(frame.measure, values, axes=1)

        return jnp.sum(jax.vmap(one)(self.corners, self.nodes, self.reference), axis=0)

    def residuals(self, form: Form, u: Array, points: Array) -> Float[Array, "n_elements n_nodes components"]:
        """Element residuals of a form at a field ``u (n_nodes, *shape)``."""
        return self._map(_element_residual, form, u, points)

    def tangents_of(self, form: Form, u: Array, points: Array) -> Float[Array, "n nodes c nodes c"]:
        """Element tangents of a form at a field ``u``."""
        return self._map(_element_tangent, form, u, points)

    def _map(self, kernel: Any, form: Form, u: Array, points: Array) -> Array:
        form = jax.tree.map(
            lambda leaf: leaf.at(self.cells) if isinstance(leaf, ByTag) else leaf,
            form,
            is_leaf=lambda leaf: isinstance(leaf, ByTag),
        )
        rows, shared = eqx.partition(form, lambda leaf: isinstance(leaf, PerCell), is_leaf=_is_per_cell)

        def one(item: Any) -> Array:
            row, corners, nodes, reference = item
            frame = _frame(self, points[corners], reference)
            return kernel(eqx.combine(row, shared, is_leaf=_is_per_cell), u[nodes], frame)

        items = (rows, self.corners, self.nodes, self.reference)
        chunk = max(256, _CHUNK_BYTES // self._bytes_per_element(u))
        if self.n_elements <= chunk:
            return jax.vmap(one)(items)
        return jax.lax.map(one, items, batch_size=chunk)

    def _bytes_per_element(self, u: Array) -> int:
        size = self.nodes.shape[1] * int(np.prod(u.shape[1:], dtype=int))
        return 8 * size * (size + 4 * len(self.weights))


def _is_per_cell(leaf: Any) -> bool:
    return isinstance(leaf, PerCell)


class _Frame(eqx.Module):
    """What one element needs: positions, measures, basis values and physical gradients at its points."""

    x: Array
    measure: Array
    basis: Array
    basis_gradient: Array
    normal: Array | None


def _frame(domain: Domain, corners: Array, reference: Array) -> _Frame:
    """Map the tables of one element to physical space; ``corners (n_geometry, dim)``."""
    pick = (lambda table: jnp.asarray(table)[reference]) if domain.is_facets else (lambda table: jnp.asarray(table)[0])
    jacobian = jnp.einsum("gd,qgk->qdk", corners, pick(domain.geometry_gradient))
    inverse = _inverse(jacobian)
    gradient = jnp.einsum("qak,qkd->qad", pick(domain.basis_gradient), inverse)
    x = pick(domain.geometry) @ corners
    if not domain.is_facets:
        return _Frame(x, domain.weights * jnp.abs(determinants(jacobian)), pick(domain.basis), gradient, None)
    tangents = jnp.einsum("qdk,tk->qdt", jacobian, pick(domain.tangents))
    gram = jnp.einsum("qdt,qds->qts", tangents, tangents)
    area = jnp.sqrt(determinants(gram) if gram.shape[-1] == 2 else gram[..., 0, 0])
    normal = jnp.einsum("qkd,k->qd", inverse, pick(domain.normals))
    normal = normal / jnp.linalg.norm(normal, axis=-1, keepdims=True)
    return _Frame(x, domain.weights * area, pick(domain.basis), gradient, normal)


def _inverse(a: Array) -> Array:
    """Inverse of (..., n, n) matrices with n = 2 or 3, by cofactors."""
    if a.shape[-1] == 2:
        adjugate = jnp.stack(
            [jnp.stack([a[..., 1, 1], -a[..., 0, 1]], -1), jnp.stack([-a[..., 1, 0], a[..., 0, 0]], -1)], -2
        )
    else:
        columns = [a[..., i, :] for i in range(3)]
        adjugate = jnp.stack([jnp.cross(columns[(i + 1) % 3], columns[(i + 2) % 3]) for i in range(3)], -1)
    return adjugate / determinants(a)[..., None, None]


def _fields(frame: _Frame, local: Array) -> Jet:
    """The field at all quadrature points of one element."""
    value = jnp.einsum("qa,a...->q...", frame.basis, local)
    gradient = jnp.einsum("qad,a...->q...d", frame.basis_gradient, local)
    return Jet(value, gradient)


def _element_residual(form: Form, local: Array, frame: _Frame) -> Array:
    jets = _fields(frame, local)
    dual = jax.vmap(form.dual)(jets, Point(frame.x, frame.normal))
    source = jnp.einsum("q,qa,q...->a...", frame.measure, frame.basis, dual.value)
    flux = jnp.einsum("q,qad,q...d->a...", frame.measure, frame.basis_gradient, dual.grad)
    return (source + flux).reshape(len(local), -1)


def _element_tangent(form: Form, local: Array, frame: _Frame) -> Array:
    """K[a, i, b, j] = Σ_q w B[q, a, m] T[q, i, m, j, n] B[q, b, n], T the pointwise tangent, B values and gradients."""
    jets = _fields(frame, local)
    components = int(np.prod(local.shape[1:], dtype=int))

    def pack(jet: Jet) -> Array:
        return jnp.concatenate([jet.value.reshape(components, 1), jet.grad.reshape(components, -1)], axis=1)

    def unpack(packed: Array, like: Jet) -> Jet:
        return Jet(packed[:, 0].reshape(like.value.shape), packed[:, 1:].reshape(like.grad.shape))

    def at_point(jet: Jet, point: Point) -> Array:
        return jax.jacfwd(lambda packed: pack(form.dual(unpack(packed, jet), point)))(pack(jet))

    tangent = jax.vmap(at_point)(jets, Point(frame.x, frame.normal))
    basis = jnp.concatenate([frame.basis[:, :, None], frame.basis_gradient], axis=2)
    right = jnp.einsum("q,qimjn,qbn->qimbj", frame.measure, tangent, basis)
    return jnp.einsum("qam,qimbj->aibj", basis, right)


def integrate(
    space: FunctionSpace,
    integrand: Callable[[Jet, Point], Array],
    u: Float[Array, "n_nodes *shape"] | None = None,
    on: str = "all",
    facets: bool = False,
    degree: int | None = None,
) -> Array:
    """The integral of ``integrand(u, point)`` over cells, or over facets, called ``on``.

    For example the heat that leaves through "right":
    ``integrate(space, lambda u, p: -k * grad(u) @ p.normal, u, "right", facets=True)``.

    Args:
        space: the space of ``u``; also without a field it gives the mesh and the degree.
        integrand: pure, of a `Jet` and a `Point`; any array shape.
        u: the field; zero when None.
        on: a tag.
        facets: whether ``on`` names facets.
        degree: polynomial degree that the rule integrates exactly; twice the element's by default.

    Raises:
        ValueError: for an unknown tag.
    """
    domain = (facet_domain if facets else cell_domain)(space, on, degree)
    return domain.integrate(integrand, space.zeros() if u is None else u, jnp.asarray(space.mesh.points))


def cell_domain(space: FunctionSpace, tag: str, degree: int | None = None) -> Domain:
    """The cells called ``tag`` (or ``"all"``) with a rule exact to ``degree`` (twice the element's by default)."""
    mesh = space.mesh
    points, weights = quadrature(mesh.cell_type, _default_degree(space) if degree is None else degree)
    cells = np.asarray(mesh.cells_of(tag), dtype=np.int32)
    zeros = np.zeros(len(cells), dtype=np.int32)
    empty = np.zeros((1, 0, mesh.dim))
    return _domain(space, cells, zeros, points[None], weights, empty, empty, is_facets=False)


def facet_domain(space: FunctionSpace, tag: str, degree: int | None = None) -> Domain:
    """The facets called ``tag`` (or ``"boundary"``) with a rule exact to ``degree``."""
    mesh = space.mesh
    points, weights = facet_quadrature(mesh.cell_type, _default_degree(space) if degree is None else degree)
    facets = np.asarray(mesh.facets(tag), dtype=np.int32)
    tangents, normals = facet_frames(mesh.cell_type)
    return _domain(space, facets[:, 0], facets[:, 1], points, weights, tangents, normals, is_facets=True)


def _default_degree(space: FunctionSpace) -> int:
    return 2 * space.element.degree + (space.mesh.degree - 1) * space.mesh.dim


def _domain(
    space: FunctionSpace,
    cells: np.ndarray,
    reference: np.ndarray,
    points: np.ndarray,
    weights: np.ndarray,
    tangents: np.ndarray,
    normals: np.ndarray,
    *,
    is_facets: bool,
) -> Domain:
    basis = [space.element.tabulate(block) for block in points]
    geometry = [space.geometry.tabulate(block) for block in points]
    domain = Domain(
        nodes=np.asarray(space.cell_nodes)[cells],
        corners=np.asarray(space.mesh.cells)[cells],
        cells=cells,
        reference=reference,
        weights=weights,
        basis=np.stack([values for values, _ in basis]),
        basis_gradient=np.stack([gradients for _, gradients in basis]),
        geometry=np.stack([values for values, _ in geometry]),
        geometry_gradient=np.stack([gradients for _, gradients in geometry]),
        tangents=tangents,
        normals=normals,
        is_facets=is_facets,
    )
    return jax.tree.map(jnp.asarray, domain)


def at_cell_nodes(
    space: FunctionSpace, form: Form, evaluate_at: Callable[[Any, Jet, Point], Array], u: Array
) -> Float[Array, "n_cells n_nodes *value"]:
    """Evaluate ``evaluate_at(form, u, point)`` at the nodes of every cell, from inside the cell."""
    points = space.element.node_points
    cells = np.arange(space.mesh.n_cells, dtype=np.int32)
    empty = np.zeros((1, 0, space.mesh.dim))
    weights = np.ones(len(points))
    domain = _domain(space, cells, np.zeros_like(cells), points[None], weights, empty, empty, is_facets=False)

    def kernel(form: Form, local: Array, frame: _Frame) -> Array:
        return jax.vmap(lambda jet, point: evaluate_at(form, jet, point))(
            _fields(frame, local), Point(frame.x, frame.normal)
        )

    return domain._map(kernel, form, u, jnp.asarray(space.mesh.points))
