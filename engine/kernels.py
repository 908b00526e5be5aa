"""The arithmetic of one element: physical frames, fields at quadrature points, residual and tangent."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gemel.engine.coefficients import PerPoint
from gemel.engine.fields import Jet, Point
from gemel.engine.forms import Form
from gemel.meshes import determinants


class Frame(eqx.Module):
    """What one element needs: positions and measures at its points, and the tables of its fields there."""

    x: Array
    measure: Array
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
    gradients = tuple(jnp.einsum("qak,qkd->qad", pick(table.gradient), inverse) for table in domain.tables)
    x = pick(domain.geometry) @ corners
    if not domain.is_facets:
        return Frame(x, domain.weights * jnp.abs(determinants(jacobian)), basis, gradients, None)
    tangents = jnp.einsum("qdk,tk->qdt", jacobian, pick(domain.tangents))
    normal = jnp.einsum("qkd,k->qd", inverse, pick(domain.normals))
    normal = normal / jnp.linalg.norm(normal, axis=-1, keepdims=True)
    return Frame(x, domain.weights * _area(tangents), basis, gradients, normal)


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
    return tuple(
        Jet(jnp.einsum("qa,a...->q...", basis, values), jnp.einsum("qad,a...->q...d", gradient, values))
        for basis, gradient, values in zip(frame.basis, frame.gradients, local, strict=True)
    )


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
        source = jnp.einsum("q,qa,q...->a...", frame.measure, basis, dual.value)
        flux = jnp.einsum("q,qad,q...d->a...", frame.measure, gradient, dual.grad)
        parts.append((source + flux).reshape(-1))
    return jnp.concatenate(parts)


def element_tangent(names: tuple[str, ...], form: Form, local: tuple[Array, ...], frame: Frame) -> Array:
    """K[a i, b j] = Σ_q w B[q, a, m] T[q, i, m, j, n] B[q, b, n], T the pointwise tangent, B values and gradients."""
    fields = jets(frame, local)
    widths = tuple(values[0].size for values in local)
    stacked = [jnp.concatenate([b[:, :, None], g], axis=2) for b, g in zip(frame.basis, frame.gradients, strict=True)]
    columns = 1 + frame.gradients[0].shape[-1]

    def pack(parts: tuple[Jet, ...]) -> Array:
        packed = [
            jnp.concatenate([jet.value.reshape(c, 1), jet.grad.reshape(c, -1)], axis=1).reshape(-1)
            for c, jet in zip(widths, parts, strict=True)
        ]
        return jnp.concatenate(packed)

    def unpack(packed: Array, like: tuple[Jet, ...]) -> tuple[Jet, ...]:
        parts, start = [], 0
        for c, jet in zip(widths, like, strict=True):
            table = packed[start : start + c * columns].reshape(c, columns)
            parts.append(Jet(table[:, 0].reshape(jet.value.shape), table[:, 1:].reshape(jet.grad.shape)))
            start += c * columns
        return tuple(parts)

    def tangent(form: Form, jet: tuple[Jet, ...], point: Point) -> Array:
        def packed_dual(packed: Array) -> Array:
            return pack(as_tuple(names, form.dual(as_argument(names, unpack(packed, jet)), point)))

        return jax.jacfwd(packed_dual)(pack(jet))

    pointwise = at_points(tangent, form, frame, fields)
    offsets = [sum(widths[:k]) * columns for k in range(len(widths) + 1)]
    rows = []
    for f, (c, left) in enumerate(zip(widths, stacked, strict=True)):
        blocks = []
        for g, (d, right) in enumerate(zip(widths, stacked, strict=True)):
            part = pointwise[:, offsets[f] : offsets[f + 1], offsets[g] : offsets[g + 1]]
            part = part.reshape(-1, c, columns, d, columns)
            half = jnp.einsum("q,qimjn,qbn->qimbj", frame.measure, part, right)
            block = jnp.einsum("qam,qimbj->aibj", left, half)
            blocks.append(block.reshape(left.shape[1] * c, right.shape[1] * d))
        rows.append(jnp.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0])
    return jnp.concatenate(rows, axis=0) if len(rows) > 1 else rows[0]
