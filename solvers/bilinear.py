"""Products of stored matrices with vectors as one primitive of JAX, linear in the values and in the vector.

Its derivatives are such products again, and outer products in the places that are stored: what JAX would make of the
loops of a product is ten to a hundred times as slow, scatters or updates of all values for each slice of them.
"""

import abc
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

Values = tuple[Array, ...]

_AT_ONCE = 16
"""Outer products that are summed before they are stored."""


class Storage(eqx.Module):
    """Where the values of a matrix A lie, and how A x is computed from them; arrays in it are tables of indices.

    ``symmetric`` is a promise about the values, A = Aᵀ, and about changes of them.
    """

    if TYPE_CHECKING:
        # For type checkers a property, as in `LinearOperator`.
        @property
        def symmetric(self) -> bool:
            """True where A = Aᵀ."""
            ...
    else:
        symmetric: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def apply(self, values: Values, x: Array, at_once: bool = False) -> Array:
        """Return A x; ``at_once`` as one sum without loops, for a GPU, where each pass is a launch of its own."""

    @abc.abstractmethod
    def apply_columns(self, values: Values, x: Array, at_once: bool = False) -> Array:
        """Return A xᵢ for the rows xᵢ of x (k, n), as rows; ``at_once`` as for one."""

    @abc.abstractmethod
    def flipped(self) -> "Storage":
        """Return how the values of Aᵀ are stored."""

    @abc.abstractmethod
    def transposed(self, values: Values) -> Values:
        """Return the values of Aᵀ."""

    @abc.abstractmethod
    def outer(self, y: Array, x: Array) -> Values:
        """Return y xᵀ in the places that are stored."""

    @abc.abstractmethod
    def outers(self, y: Array, x: Array) -> Values:
        """Return Σᵢ yᵢ xᵢᵀ for the rows of y and x (k, n), few of them, in the places that are stored."""


def product(storage: Storage, values: Sequence[Array], x: Array) -> Array:
    """Return A x, with derivatives of any order in ``values`` and ``x``, and under ``vmap`` over either or both."""
    index, treedef = jax.tree.flatten(storage)
    return _product_p.bind(*values, x, *index, treedef=treedef, batched=(False, False))


_product_p = Primitive("gemel_product")


def _unpack(args: Sequence[Any], treedef: Any) -> tuple[tuple[Any, ...], Any, Storage]:
    count = len(args) - treedef.num_leaves
    storage = jax.tree.unflatten(treedef, args[count:])
    return tuple(args[: count - 1]), args[count - 1], storage


def _impl(*args, treedef, batched, at_once=False):
    values, x, storage = _unpack(args, treedef)
    apply = partial(storage.apply, at_once=at_once)
    if not any(batched):
        return apply(values, x)
    if not batched[0] and x.shape[0] > 1:
        return storage.apply_columns(values, x, at_once)
    return jax.vmap(apply, in_axes=(0 if batched[0] else None, 0 if batched[1] else None))(values, x)


def _bound(*args, treedef, batched):
    """The product inside a program: which loops it runs is decided where that is lowered for a platform."""
    return _product_p.bind(*args, treedef=treedef, batched=batched)


def _jvp(primals, tangents, *, treedef, batched):
    values, x, storage = _unpack(primals, treedef)
    index = jax.tree.leaves(storage)
    dvalues, dx = tangents[: len(values)], tangents[len(values)]
    bind = {"treedef": treedef, "batched": batched}
    out = _product_p.bind(*primals, **bind)
    terms = []
    if any(type(t) is not ad.Zero for t in dvalues):
        dense = [ad.instantiate_zeros(t) for t in dvalues]
        terms.append(_product_p.bind(*dense, x, *index, **bind))
    if type(dx) is not ad.Zero:
        terms.append(_product_p.bind(*values, dx, *index, **bind))
    if not terms:
        return out, jnp.zeros_like(out)
    return out, terms[0] if len(terms) == 1 else terms[0] + terms[1]


def _transpose(ct, *args, treedef, batched):
    values, x, storage = _unpack(args, treedef)
    none_index = [None] * treedef.num_leaves
    if type(ct) is ad.Zero:
        return [None] * len(args)
    if ad.is_undefined_primal(x):
        moved, flipped = values, storage
        if not storage.symmetric:
            flipped = storage.flipped()
            moved = jax.vmap(storage.transposed)(values) if batched[0] else storage.transposed(values)
        index, tree = jax.tree.flatten(flipped)
        out = _product_p.bind(*moved, ct, *index, treedef=tree, batched=(batched[0], any(batched)))
        if batched[0] and not batched[1]:
            out = jnp.sum(out, axis=0)
        return [None] * len(values) + [out, *none_index]
    if not any(batched):
        out = storage.outer(ct, x)
    elif batched[0]:
        out = jax.vmap(storage.outer, in_axes=(0, 0 if batched[1] else None))(ct, x)
    else:
        out = _sum_of_outers(storage, ct, x)
    return [*out, None, *none_index]


def _sum_of_outers(storage: Storage, y: Array, x: Array) -> Values:
    """Σᵢ yᵢ xᵢᵀ for any number of rows, some at a time: the stored places are filled once for all of those."""
    whole = y.shape[0] // _AT_ONCE * _AT_ONCE
    parts = []
    if whole < y.shape[0]:
        parts.append(storage.outers(y[whole:], x[whole:]))
    if whole:
        first = storage.outers(y[:_AT_ONCE], x[:_AT_ONCE])
        folded = tuple(rows[_AT_ONCE:whole].reshape(-1, _AT_ONCE, rows.shape[1]) for rows in (y, x))
        parts.append(
            jax.lax.scan(
                lambda total, pair: (jax.tree.map(jnp.add, total, storage.outers(*pair)), None), first, folded
            )[0]
        )
    return parts[0] if len(parts) == 1 else jax.tree.map(jnp.add, *parts)


def _batch(args, dims, *, treedef, batched):
    count = len(args) - treedef.num_leaves
    if any(d is not None for d in dims[count:]):
        raise ValueError("A sparsity pattern was mapped by vmap: map over values only (in_axes=None for the pattern).")
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    maps_values = any(d is not None for d in dims[: count - 1])
    maps_x = dims[count - 1] is not None
    inner = _inner_size(args[:count], dims[:count], batched)

    def front(a, d, was_batched, wanted):
        if not wanted:
            return a
        a = jnp.broadcast_to(a, (size, *a.shape)) if d is None else jnp.moveaxis(a, d, 0)
        if inner is None:
            return a
        if not was_batched:
            a = jnp.broadcast_to(a[:, None], (size, inner, *a.shape[1:]))
        return a.reshape(size * inner, *a.shape[2:])

    want = (maps_values or batched[0], maps_x or batched[1])
    new = [front(a, d, batched[0], want[0]) for a, d in zip(args[: count - 1], dims[: count - 1], strict=True)]
    new.append(front(args[count - 1], dims[count - 1], batched[1], want[1]))
    out = _product_p.bind(*new, *args[count:], treedef=treedef, batched=want)
    return (out if inner is None else out.reshape(size, inner, -1)), 0


def _inner_size(operands, dims, batched) -> int | None:
    """The length of the batch axis that earlier batching left in front, if any."""
    if not any(batched):
        return None
    which = 0 if batched[0] else len(operands) - 1
    shape = list(operands[which].shape)
    if dims[which] is not None:
        del shape[dims[which]]
    return shape[0]


def _shape(*args, treedef, batched):
    out = jax.eval_shape(lambda *a: _impl(*a, treedef=treedef, batched=batched), *args)
    return ShapedArray(out.shape, out.dtype)


_STATIC = ("treedef", "batched")
_loops = jax.jit(partial(_impl, at_once=False), static_argnames=_STATIC)  # traced once for each shape
_at_once = jax.jit(partial(_impl, at_once=True), static_argnames=_STATIC)
_product_p.def_impl(jax.jit(_bound, static_argnames=_STATIC))
_product_p.def_abstract_eval(_shape)
ad.primitive_jvps[_product_p] = _jvp
ad.primitive_transposes[_product_p] = _transpose
batching.primitive_batchers[_product_p] = _batch
mlir.register_lowering(_product_p, mlir.lower_fun(_loops, multiple_results=False))
for _platform in ("cuda", "rocm"):
    mlir.register_lowering(_product_p, mlir.lower_fun(_at_once, multiple_results=False), platform=_platform)
