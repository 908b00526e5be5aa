"""The arithmetic of elements, many at a time: physical frames, fields at quadrature points, residuals and tangents.

The axis of elements is the last of every array, so that each step runs along contiguous numbers: with it first, the
small matrices of each element would be worked on one by one. Sums over nodes are with the tables of the reference cell,
which the cells of a domain share: products of large matrices. What differs between elements, the map, enters point by
point.
"""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine.coefficients import PerCell, PerPoint
from gemel.engine.fields import Jet, Point
from gemel.engine.forms import Form
from gemel.engine.zeros import with_known_zeros

_LARGEST_TABLE = 2**23
"""The most numbers that a table of products of two bases may hold."""


class Frame(eqx.Module):
    r"""What elements need: positions and measures at their points, and the tables of their fields there.

    ``x (n_q, dim, n)``, ``measure (n_q, n)``, and ``inverse (n_q, dim, dim, n)`` holds $\partial X_k / \partial x_d$;
    ``basis (n_q, n_nodes)`` and ``gradients (n_q, n_nodes, dim)``, those in the reference cell, have an axis of
    elements on facets alone.
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

    @property
    def shared(self) -> bool:
        """Whether all elements have the same tables."""
        return self.normal is None


def frame(domain: Any, corners: Array, reference: Array) -> Frame:
    """Map the tables of elements to physical space; ``corners (n_geometry, dim, n)``, ``reference (n,)``."""
    pick: Any = (lambda table: _last(table, reference)) if domain.is_facets else (lambda table: jnp.asarray(table)[0])
    # (n_q, k, dim, n) with ∂x_d / ∂X_k
    jacobian = _over_nodes(jnp.swapaxes(pick(domain.geometry_gradient), 1, 2), corners, not domain.is_facets)
    inverse, determinant = _inverse(jacobian)
    basis = tuple(pick(table.basis) for table in domain.tables)
    gradients = tuple(pick(table.gradient) for table in domain.tables)
    x = _over_nodes(pick(domain.geometry), corners, not domain.is_facets)
    weights = jnp.asarray(domain.weights)[:, None]
    if not domain.is_facets:
        return Frame(x, weights * jnp.abs(determinant), inverse, basis, gradients, None)
    along = _last(domain.tangents, reference)
    tangents = [_sum(along[t, k] * jacobian[:, k] for k in range(along.shape[1])) for t in range(along.shape[0])]
    outward = _last(domain.normals, reference)
    normal = _sum(outward[k] * inverse[:, k] for k in range(outward.shape[0]))
    normal = normal / jnp.sqrt(jnp.sum(normal**2, axis=1, keepdims=True))
    return Frame(x, weights * _area(tangents, determinant), inverse, basis, gradients, normal)


def _last(table: Any, reference: Array) -> Array:
    """The rows of a table that elements use, with the axis of elements last."""
    return jnp.moveaxis(jnp.asarray(table)[reference], 0, -1)


def _sum(terms: Iterable[Array]) -> Array:
    return functools.reduce(operator.add, terms)


def _over_nodes(table: Array, values: Array, shared: bool) -> Array:
    """Σ_a table[..., a] values[a, ..., n]: one product of matrices where elements share the table."""
    if shared:
        return jnp.tensordot(table, values, axes=1)
    inner = (slice(None),) * (table.ndim - 1) + (None,) * (values.ndim - 2)
    return jnp.sum(table[inner] * values, axis=table.ndim - 2)


def _area(tangents: list[Array], like: Array) -> Array:
    """The surface element spanned by no, one or two tangents ``(n_q, dim, n)``."""
    gram = [[jnp.sum(a * b, axis=1) for b in tangents] for a in tangents]
    if len(tangents) == 2:
        return jnp.sqrt(gram[0][0] * gram[1][1] - gram[0][1] * gram[1][0])
    return jnp.sqrt(gram[0][0]) if tangents else jnp.ones_like(like)


def _inverse(a: Array) -> tuple[Array, Array]:
    """The inverses ``(n_q, k, d, n)`` and determinants of Jacobians ``(n_q, k, d, n)`` with a[k, d] = ∂x_d / ∂X_k."""
    size = a.shape[1]
    rows = [[a[:, k, d] for d in range(size)] for k in range(size)]
    if size == 1:
        cofactors = [[jnp.ones_like(rows[0][0])]]
    elif size == 2:
        cofactors = [[rows[1][1], -rows[1][0]], [-rows[0][1], rows[0][0]]]
    else:
        turn = [(1, 2), (2, 0), (0, 1)]
        cofactors = [[rows[i][m] * rows[j][n] - rows[i][n] * rows[j][m] for m, n in turn] for i, j in turn]
    determinant = _sum(rows[0][d] * cofactors[0][d] for d in range(size))
    over = 1.0 / determinant
    return jnp.stack([jnp.stack([over * entry for entry in row], axis=1) for row in cofactors], axis=1), determinant


def jets(frame: Frame, local: tuple[Array, ...]) -> tuple[Jet, ...]:
    """Every field ``(n_nodes, *shape, n)`` at all quadrature points: values ``(n_q, *shape, n)`` and gradients."""
    parts = []
    for basis, gradient, values in zip(frame.basis, frame.gradients, local, strict=True):
        value = _over_nodes(basis, values, frame.shared)
        slopes = _over_nodes(jnp.swapaxes(gradient, 1, 2), values, frame.shared)  # (n_q, k, *shape, n)
        slope = _sum(
            jnp.expand_dims(slopes[:, k], -2) * _aligned(frame.inverse[:, k], slopes.ndim)
            for k in range(slopes.shape[1])
        )
        parts.append(Jet(value, slope))
    return tuple(parts)


def _aligned(rows: Array, ndim: int) -> Array:
    """``rows (n_q, dim, n)`` with axes of length one after the first, up to ``ndim``."""
    return rows.reshape(rows.shape[0], *[1] * (ndim - 3), *rows.shape[1:])


def as_argument(names: tuple[str, ...], fields: tuple[Any, ...]) -> Any:
    """What a form is given: the jet of the one unnamed field, or a dictionary of jets; likewise of values."""
    return fields[0] if names == ("",) else dict(zip(names, fields, strict=True))


def as_tuple(names: tuple[str, ...], dual: Any) -> tuple[Jet, ...]:
    """What a form returned, one jet a field."""
    return (dual,) if names == ("",) else tuple(dual[name] for name in names)


def at_points(function: Callable[[Any, Any, Point], Any], form: Any, frame: Frame, fields: Any) -> Any:
    """``function(form, jet, point)`` at every quadrature point of every element, with the form's values there.

    Values by cell and by point have the axis of elements first, results ``(n_q, ..., n)`` last.
    """
    points, rest = eqx.partition(form, lambda leaf: isinstance(leaf, PerPoint), is_leaf=_is_row)
    cells, shared = eqx.partition(rest, lambda leaf: isinstance(leaf, PerCell), is_leaf=_is_row)
    points, cells = (jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), rows) for rows in (points, cells))

    def one(at_point: Any, of_cell: Any, jet: Any, point: Point) -> Any:
        mine = eqx.combine(at_point, of_cell, is_leaf=_is_row)
        return function(eqx.combine(mine, shared, is_leaf=_is_row), jet, point)

    elements = jax.vmap(one, in_axes=-1, out_axes=-1)
    return jax.vmap(elements, in_axes=(0, None, 0, 0))(points, cells, fields, frame.point)


def _is_row(leaf: Any) -> bool:
    return isinstance(leaf, PerCell | PerPoint)


def element_residual(names: tuple[str, ...], form: Form, local: tuple[Array, ...], frame: Frame) -> Array:
    """The residuals ``(n_local, n)``, the unknowns of an element flat: field by field, node by node."""

    def pair(form: Form, fields: tuple[Jet, ...], point: Point) -> tuple[Jet, ...]:
        return as_tuple(names, form.dual(as_argument(names, fields), point))

    duals, zeros = with_known_zeros(functools.partial(at_points, pair), form, frame, jets(frame, local))
    parts = []
    for basis, gradient, values, dual, zero in zip(frame.basis, frame.gradients, local, duals, zeros, strict=True):
        terms = []
        if not zero.value:
            source = dual.value * _aligned(frame.measure[:, None], dual.value.ndim + 1)[:, 0]
            terms.append(_over_points(basis, source, frame.shared))
        if not zero.grad:
            flux = dual.grad * _aligned(frame.measure[:, None], dual.grad.ndim)
            pulled = [_along(flux, frame.inverse[:, k]) for k in range(frame.inverse.shape[1])]
            terms.append(_over_points(jnp.swapaxes(gradient, 1, 2), jnp.stack(pulled, axis=1), frame.shared))
        total = _sum(terms) if terms else jnp.zeros_like(values)
        parts.append(total.reshape(-1, total.shape[-1]))
    return jnp.concatenate(parts)


def _along(flux: Array, direction: Array) -> Array:
    """Σ_d flux[q, ..., d, n] direction[q, d, n], term by term: XLA's own sum over an axis is no part of a loop."""
    shape = (direction.shape[0], *[1] * (flux.ndim - 3), direction.shape[-1])
    return _sum(flux[..., d, :] * direction[:, d].reshape(shape) for d in range(direction.shape[1]))


def _over_points(table: Array, values: Array, shared: bool) -> Array:
    """Σ table[q..., a] values[q..., *shape, n] as ``(a, *shape, n)``, over points, and directions where there are."""
    outer = table.ndim - (1 if shared else 2)
    table = table.reshape(-1, *table.shape[outer:])
    values = values.reshape(-1, *values.shape[outer:])
    if shared:
        return jnp.tensordot(table.T, values, axes=1)
    inner = (slice(None), slice(None)) + (None,) * (values.ndim - 2)
    return jnp.sum(table[inner] * values[:, None], axis=0)


def element_tangent(
    names: tuple[str, ...], form: Form, local: tuple[Array, ...], frame: Frame, half: bool = False
) -> Array:
    """K[a i, b j, n] = Σ_q S[q, a, m] T[q, i, m, j, n] S[q, b, n] for each element n.

    S are values and gradients in the reference cell, T the pointwise tangent against them, with the measure. With
    ``half``, which wants cells, one field and a symmetric form, only the blocks K[(a, b), i, j, n] with a ≤ b.
    """
    fields = jets(frame, local)
    widths = tuple(values[0, ..., 0].size for values in local)
    parts, dim = form.tangent_parts, frame.inverse.shape[1]
    chosen = slice(0 if "value" in parts else 1, 1 + dim if "gradient" in parts else 1)
    stacked = [
        jnp.concatenate([b[:, :, None], g], axis=2)[:, :, chosen]
        for b, g in zip(frame.basis, frame.gradients, strict=True)
    ]
    columns = chosen.stop - chosen.start

    def tangent(form: Form, jets: tuple[Jet, ...], point: Point) -> Array:
        def packed(change: Array) -> Array:
            moved = _added(jets, change.reshape(-1, columns), parts)
            duals = as_tuple(names, form.dual(as_argument(names, moved), point))
            return jnp.concatenate([_packed(dual, parts).reshape(-1) for dual in duals])

        return jax.jacfwd(packed)(jnp.zeros(sum(widths) * columns, point.x.dtype))

    pointwise = at_points(tangent, form, frame, fields)
    offsets = [sum(widths[:k]) * columns for k in range(len(widths) + 1)]
    rows = []
    for f, (c, left) in enumerate(zip(widths, stacked, strict=True)):
        blocks = []
        for g, (d, right) in enumerate(zip(widths, stacked, strict=True)):
            part = pointwise[:, offsets[f] : offsets[f + 1], offsets[g] : offsets[g + 1]]
            part = part.reshape(part.shape[0], c, columns, d, columns, -1)
            part = _pulled(_pulled(part, frame.inverse, 2, parts), frame.inverse, 4, parts)
            part = part * frame.measure[:, None, None, None, None]
            alike = form.symmetric and f == g
            if alike and half:
                return _half(left, part)
            blocks.append(_sandwich(left, part, right, frame.shared, alike))
        rows.append(jnp.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0])
    return jnp.concatenate(rows, axis=0) if len(rows) > 1 else rows[0]


def _packed(dual: Jet, parts: tuple[str, ...]) -> Array:
    """Source and flux of one field at one point, a row ``(1 + dim)`` for each component, or those that matter."""
    count = dual.value.size
    both = {"value": dual.value.reshape(count, 1), "gradient": dual.grad.reshape(count, -1)}
    return jnp.concatenate([both[name] for name in ("value", "gradient") if name in parts], axis=1)


def _added(fields: tuple[Jet, ...], change: Array, parts: tuple[str, ...]) -> tuple[Jet, ...]:
    """The fields at one point plus a change ``(n_components, 1 + dim)`` of their values and gradients, or of some."""
    moved, start = [], 0
    for jet in fields:
        mine = change[start : start + jet.value.size]
        value = jet.value + mine[:, 0].reshape(jet.value.shape) if "value" in parts else jet.value
        slope = mine[:, 1:] if "value" in parts else mine
        moved.append(Jet(value, jet.grad + slope.reshape(jet.grad.shape) if "gradient" in parts else jet.grad))
        start += jet.value.size
    return tuple(moved)


def _pulled(tangent: Array, inverse: Array, axis: int, parts: tuple[str, ...]) -> Array:
    """Change the gradients along one axis of ``(n_q, ..., n)`` from physical to reference coordinates."""
    if "gradient" not in parts:
        return tangent
    dim, first = inverse.shape[1], 1 if "value" in parts else 0
    shape = [1] * tangent.ndim
    shape[0], shape[-1] = tangent.shape[0], tangent.shape[-1]
    columns = [jax.lax.index_in_dim(tangent, first + d, axis) for d in range(dim)]
    pulled = [_sum(inverse[:, k, d].reshape(shape) * columns[d] for d in range(dim)) for k in range(dim)]
    return jnp.concatenate([*([jax.lax.index_in_dim(tangent, 0, axis)] if first else []), *pulled], axis=axis)


def _sandwich(left: Array, middle: Array, right: Array, shared: bool, symmetric: bool) -> Array:
    """Σ L[q, a, m] T[q, i, m, j, n, e] R[q, b, n] as ``(a i, b j, e)``.

    Tables that all elements share are multiplied with each other first, which leaves one product of large matrices;
    four times the operations of two products in turn, and less time.
    """
    count, other = left.shape[1] * middle.shape[1], right.shape[1] * middle.shape[3]
    if not shared:
        half = jnp.sum(middle[:, :, :, None] * right[:, None, None, :, None], axis=5)  # (q, i, m, b, j, e)
        whole = jnp.sum(left[:, :, None, :, None, None] * half[:, None], axis=(0, 3))
        return whole.reshape(count, other, -1)
    if left.size * right.size // left.shape[0] > _LARGEST_TABLE:
        half = jnp.einsum("qimjne,qbn->qimbje", middle, right)
        return jnp.einsum("qam,qimbje->aibje", left, half).reshape(count, other, -1)
    both = jnp.einsum("qam,qbn->abqmn", left, right)
    if symmetric:
        return _distinct(both, middle)[_numbers(left.shape[1], middle.shape[1])].reshape(count, other, -1)
    blocks = _product(both, middle).reshape(*both.shape[:2], *middle.shape[1::2])
    return jnp.swapaxes(blocks, 1, 2).reshape(count, other, -1)


def _half(table: Array, middle: Array) -> Array:
    """The same of a symmetric T and one table that all elements share, as ``((a, b), i, j, e)`` for a ≤ b."""
    k, c, e = table.shape[1], middle.shape[1], middle.shape[-1]
    a, b = np.triu_indices(k)
    rows = _distinct(jnp.einsum("qam,qbn->abqmn", table, table), middle)
    return rows.reshape(-1, 1, 1, e) if c == 1 else rows[_numbers(k, c)[a, :, b]]


def _product(both: Array, middle: Array) -> Array:
    """Σ both[..., q, m, n] T[q, i, m, j, n, e] as ``(..., i j e)`` by one product of matrices: XLA's own sum over
    several axes takes many times as long on a CPU.
    """
    q, i, m, j, n, e = middle.shape
    columns = jnp.transpose(middle, (0, 2, 4, 1, 3, 5)).reshape(q * m * n, i * j * e)
    return (both.reshape(-1, q * m * n) @ columns).reshape(*both.shape[:-3], i * j * e)


def _distinct(both: Array, middle: Array) -> Array:
    """The distinct entries of the same for T = Tᵀ, with half of the operations; `_numbers` says which is where.

    Blocks of equal components are symmetric in themselves, and those above the diagonal are those below it transposed.
    """
    k, c, e = both.shape[0], middle.shape[1], middle.shape[-1]
    (m, n), (a, b), (i, j) = (np.triu_indices(size, offset) for size, offset in ((middle.shape[2], 0), (k, 0), (c, 1)))
    folded = jnp.where(m == n, 1.0, 2.0) * 0.5 * (both[..., m, n] + both[..., n, m])
    equal = jnp.stack([middle[:, s, :, s][:, m, n] for s in range(c)], axis=2)  # (q, mn, i, e)
    upper = (folded[a, b].reshape(len(a), -1) @ equal.reshape(-1, c * e)).reshape(len(a) * c, e)
    if not len(i):
        return upper
    mixed = jnp.stack([middle[:, s, :, t] for s, t in zip(i, j, strict=True)], axis=1)[:, :, :, None]
    return jnp.concatenate([upper, _product(both, mixed).reshape(k * k * len(i), e)])


def _numbers(k: int, c: int) -> np.ndarray:
    """Which of the `_distinct` entries of k nodes with c components each is at ``(a, i, b, j)``."""
    a, b = np.triu_indices(k)
    number = np.zeros((k, c, k, c), dtype=np.int32)
    for s in range(c):
        number[a, s, b, s] = number[b, s, a, s] = np.arange(len(a)) * c + s
    i, j = np.triu_indices(c, 1)
    places = len(a) * c + np.arange(k * k * len(i)).reshape(k, k, len(i))
    for p, (s, t) in enumerate(zip(i, j, strict=True)):
        number[:, s, :, t], number[:, t, :, s] = places[..., p], places[..., p].T
    return number
