"""The arithmetic of one element: physical frames, fields at quadrature points, residual and tangent.

All sums over nodes are with the tables of the reference cell, which the cells of a domain share: over many elements
they are products of large matrices. What differs between elements, the map, enters point by point. Products of a small
matrix for each element would take many times as long.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gemel.engine.coefficients import PerPoint
from gemel.engine.fields import Jet, Point
from gemel.engine.forms import Form
from gemel.meshes import determinants

_LARGEST_TABLE = 2**23
"""The most numbers that a table of products of two bases may hold."""


class Frame(eqx.Module):
    r"""What one element needs: positions and measures at its points, and the tables of its fields there.

    ``inverse (n_q, dim, dim)`` holds $\partial X_k / \partial x_d$; the ``gradients (n_q, n_nodes, dim)`` are those in
    the reference cell.
    """

    x: Array
    measure: Array
    inverse: Array
    basis: tuple[Array, ...]
    gradients: tuple[Array, ...]
    normal: Array | None

    @property
    def point(self) -> Point:
        """The quadrature points."""
        return Point(self.x, self.normal)


def frame(domain: Any, corners: Array, reference: Array) -> Frame:
    """Map the tables of one element to physical space; ``corners (n_geometry, dim)``."""
    pick = (lambda table: jnp.asarray(table)[reference]) if domain.is_facets else (lambda table: jnp.asarray(table)[0])
    jacobian = jnp.einsum("gd,qgk->qdk", corners, pick(domain.geometry_gradient))
    inverse = _inverse(jacobian)
    basis = tuple(pick(table.basis) for table in domain.tables)
    gradients = tuple(pick(table.gradient) for table in domain.tables)
    x = pick(domain.geometry) @ corners
    if not domain.is_facets:
        return Frame(x, domain.weights * jnp.abs(determinants(jacobian)), inverse, basis, gradients, None)
    tangents = jnp.einsum("qdk,tk->qdt", jacobian, pick(domain.tangents))
    normal = jnp.einsum("qkd,k->qd", inverse, pick(domain.normals))
    normal = normal / jnp.linalg.norm(normal, axis=-1, keepdims=True)
    return Frame(x, domain.weights * _area(tangents), inverse, basis, gradients, normal)


def _area(tangents: Array) -> Array:
    """The surface element spanned by no, one or two tangents ``(n_q, dim, n)``."""
    gram = jnp.einsum("qdt,qds->qts", tangents, tangents)
    if gram.shape[-1] == 0:
        return jnp.ones(gram.shape[0])
    return jnp.sqrt(determinants(gram) if gram.shape[-1] == 2 else gram[..., 0, 0])


def _inverse(a: Array) -> Array:
    """Inverse of (..., n, n) matrices with n = 1, 2 or 3, by cofactors."""
    if a.shape[-1] == 1:
        return 1.0 / a
    if a.shape[-1] == 2:
        adjugate = jnp.stack(
            [jnp.stack([a[..., 1, 1], -a[..., 0, 1]], -1), jnp.stack([-a[..., 1, 0], a[..., 0, 0]], -1)], -2
        )
    else:
        columns = [a[..., i, :] for i in range(3)]
        adjugate = jnp.stack([jnp.cross(columns[(i + 1) % 3], columns[(i + 2) % 3]) for i in range(3)], -1)
    return adjugate / determinants(a)[..., None, None]


def jets(frame: Frame, local: tuple[Array, ...]) -> tuple[Jet, ...]:
    """Every field at all quadrature points of one element."""
    parts = []
    for basis, gradient, values in zip(frame.basis, frame.gradients, local, strict=True):
        slopes = jnp.einsum("qak,a...->q...k", gradient, values)
        parts.append(Jet(jnp.einsum("qa,a...->q...", basis, values), jax.vmap(_push)(slopes, frame.inverse)))
    return tuple(parts)


def _push(slope: Array, inverse: Array) -> Array:
    """A gradient ``(..., k)`` in the reference cell, in physical coordinates; sums of products, not a tiny matmul."""
    return functools.reduce(jnp.add, [slope[..., k, None] * inverse[k] for k in range(inverse.shape[0])])


def _pull(flux: Array, inverse: Array) -> Array:
    """The adjoint of `_push`: what a flux ``(..., d)`` is against gradients in the reference cell."""
    return functools.reduce(jnp.add, [flux[..., d, None] * inverse[:, d] for d in range(inverse.shape[1])])


def as_argument(names: tuple[str, ...], fields: tuple[Jet, ...]) -> Any:
    """What a form is given: the jet of the one unnamed field, or a dictionary of jets."""
    return fields[0] if names == ("",) else dict(zip(names, fields, strict=True))


def as_tuple(names: tuple[str, ...], dual: Any) -> tuple[Jet, ...]:
    """What a form returned, one jet a field."""
    return (dual,) if names == ("",) else tuple(dual[name] for name in names)


def at_points(function: Any, form: Any, frame: Frame, fields: Any) -> Any:
    """``function(form, jet, point)`` at every quadrature point, with the form's values of that point."""
    rows, shared = eqx.partition(form, _is_per_point, is_leaf=_is_per_point)

    def one(row: Any, jet: Any, point: Point) -> Any:
        return function(eqx.combine(row, shared, is_leaf=_is_per_point), jet, point)

    return jax.vmap(one)(rows, fields, frame.point)


def _is_per_point(leaf: Any) -> bool:
    return isinstance(leaf, PerPoint)


def element_residual(names: tuple[str, ...], form: Form, local: tuple[Array, ...], frame: Frame) -> Array:
    """The residual of one element, its unknowns flat: field by field, node by node."""

    def pair(form: Form, fields: tuple[Jet, ...], point: Point) -> tuple[Jet, ...]:
        return as_tuple(names, form.dual(as_argument(names, fields), point))

    duals = at_points(pair, form, frame, jets(frame, local))
    parts = []
    for basis, gradient, dual in zip(frame.basis, frame.gradients, duals, strict=True):
        source = jnp.einsum("qa,q...->a...", basis, jax.vmap(jnp.multiply)(frame.measure, dual.value))
        pulled = jax.vmap(jnp.multiply)(frame.measure, jax.vmap(_pull)(dual.grad, frame.inverse))
        flux = jnp.einsum("qak,q...k->a...", gradient, pulled)
        parts.append((source + flux).reshape(-1))
    return jnp.concatenate(parts)


def element_tangent(names: tuple[str, ...], form: Form, local: tuple[Array, ...], frame: Frame) -> Array:
    """K[a i, b j] = Σ_q S[q, a, m] T[q, i, m, j, n] S[q, b, n].

    S are values and gradients in the reference cell, T the pointwise tangent against them, with the measure.
    """
    fields = jets(frame, local)
    widths = tuple(values[0].size for values in local)
    parts, dim = form.tangent_parts, frame.gradients[0].shape[-1]
    chosen = slice(0 if "value" in parts else 1, 1 + dim if "gradient" in parts else 1)
    stacked = [
        jnp.concatenate([b[:, :, None], g], axis=2)[:, :, chosen]
        for b, g in zip(frame.basis, frame.gradients, strict=True)
    ]
    columns = chosen.stop - chosen.start

    def tangent(form: Form, at: tuple[tuple[Jet, ...], Array, Array], point: Point) -> Array:
        jet, measure, inverse = at

        def pulled_dual(change: Array) -> Array:
            moved = _added(jet, change, inverse, chosen)
            duals = as_tuple(names, form.dual(as_argument(names, moved), point))
            return measure * jnp.concatenate([_packed(dual, inverse)[:, chosen].reshape(-1) for dual in duals])

        return jax.jacfwd(pulled_dual)(jnp.zeros(sum(widths) * columns, frame.measure.dtype))

    pointwise = at_points(tangent, form, frame, (fields, frame.measure, frame.inverse))
    offsets = [sum(widths[:k]) * columns for k in range(len(widths) + 1)]
    shared = frame.normal is None  # each facet of a cell has tables of its own
    rows = []
    for f, (c, left) in enumerate(zip(widths, stacked, strict=True)):
        blocks = []
        for g, (d, right) in enumerate(zip(widths, stacked, strict=True)):
            part = pointwise[:, offsets[f] : offsets[f + 1], offsets[g] : offsets[g + 1]]
            part = part.reshape(-1, c, columns, d, columns)
            blocks.append(_sandwich(left, part, right, shared).reshape(left.shape[1] * c, right.shape[1] * d))
        rows.append(jnp.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0])
    return jnp.concatenate(rows, axis=0) if len(rows) > 1 else rows[0]


def _packed(dual: Jet, inverse: Array) -> Array:
    """Source and pulled flux of one field at one point, a row ``(1 + dim)`` for each component."""
    count = dual.value.size
    return jnp.concatenate([dual.value.reshape(count, 1), _pull(dual.grad, inverse).reshape(count, -1)], axis=1)


def _added(fields: tuple[Jet, ...], change: Array, inverse: Array, chosen: slice) -> tuple[Jet, ...]:
    """The fields at one point plus a packed change of the chosen ones of value and gradient in the reference cell."""
    parts, start = [], 0
    columns, dim = chosen.stop - chosen.start, inverse.shape[0]
    for jet in fields:
        count = jet.value.size
        table = jnp.zeros((count, 1 + dim), change.dtype)
        table = table.at[:, chosen].set(change[start : start + count * columns].reshape(count, columns))
        slope = _push(table[:, 1:], inverse)
        parts.append(Jet(jet.value + table[:, 0].reshape(jet.value.shape), jet.grad + slope.reshape(jet.grad.shape)))
        start += count * columns
    return tuple(parts)


def _sandwich(left: Array, middle: Array, right: Array, shared: bool) -> Array:
    """Σ L[q, a, m] T[q, i, m, j, n] R[q, b, n] as ``(a, i, b, j)``.

    Tables that all elements share are multiplied with each other first, which leaves one product of large matrices;
    four times the operations of two products in turn, and less time.
    """
    if shared and left.size * right.size // left.shape[0] <= _LARGEST_TABLE:
        both = jnp.einsum("qam,qbn->qmnab", left, right)
        return jnp.einsum("qmnab,qimjn->aibj", both, middle)
    half = jnp.einsum("qimjn,qbn->qimbj", middle, right)
    return jnp.einsum("qam,qimbj->aibj", left, half)
