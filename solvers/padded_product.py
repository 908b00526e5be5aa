"""Products with padded sparse rows: the kernel under `SparseOperator` and the multigrid hierarchies.

Rows are stored component-major: entry j of every row lies side by side, so that a product is an unrolled
sum of gathers. The entries run through a loop over at least two chunks, never one: XLA on CPU
fuses a chain of plain gather products and recomputes every producer inside the next gather (five chained
27-entry products then cost 27⁵-like work); a loop is a boundary it does not fuse across, and unlike a
conditional on a run-time flag it stays one under ``vmap`` and when the pattern is a constant of the program.

The product is bilinear in (values, x). As a JAX primitive it has its own transpose: the derivative with
respect to x is a product with the transposed rows (again gathers) where XLA's transposed gather would be a
scatter, ten times slower.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float, Int

from gemel.solvers.padded_rows import PaddedRows, Structure, gather, join_slots, split_slots


def apply_rows(values: Sequence[Array], x: Array, rows: PaddedRows) -> Array:
    """Return A x for padded values, by unrolled gathers inside a loop over chunks; x is a vector, or columns (n, k).

    Of several columns each entry of the matrix, and where it stands, is read once: the k numbers that it multiplies are
    one stretch of memory, so that 16 columns cost what 5 products do. The components of the result are computed one
    after the other: all at once, XLA on CPU takes twice as long.
    """
    height, width = rows.block
    blocks = x.reshape(-1, width, *x.shape[1:])
    pieces = [rows.arranged(blocks[:, k]) for k in range(width)]
    parts = [_bucket(v, c, pieces) for v, c in zip(values, rows.columns, strict=True)]
    y = jnp.concatenate(parts, axis=1)
    if rows.order is None:
        return jnp.moveaxis(y, 0, 1).reshape(-1, *x.shape[1:])
    places = rows.order[:, None] + y.shape[1] * jnp.arange(height, dtype=jnp.int32)
    return gather(y.reshape(-1, *x.shape[1:]), places.reshape(-1))


def _bucket(values: Array, columns: Array, pieces: Sequence[Array]) -> Array:
    """The product with the rows of one bucket, component by component; ``pieces`` are the components of x."""
    height, beyond = values.shape[0], pieces[0].shape[1:]
    start = jnp.zeros((values.shape[-1], *beyond), jnp.result_type(values, pieces[0]))
    count = jnp.asarray(columns.shape[0], jnp.int32)
    # Without axes of length one, for which XLA on CPU copies all of the values before every product.
    chunks = values.reshape(height * columns.shape[0], -1, values.shape[-1])
    at = partial(jax.lax.dynamic_index_in_dim, keepdims=False, allow_negative_indices=False)

    def component(i: Array) -> Array:
        def chunk(number: Array, y: Array) -> Array:
            v, c = at(chunks, i * count + number), at(columns, number)
            for j in range(c.shape[0]):
                for k, piece in enumerate(pieces):
                    y = y + v[j * len(pieces) + k].reshape(-1, *(1 for _ in beyond)) * gather(piece, c[j])
            return y

        return jax.lax.fori_loop(jnp.zeros_like(count), count, chunk, start)

    first = jnp.zeros_like(count)
    return component(first)[None] if height == 1 else jax.lax.map(component, jnp.arange(height, dtype=jnp.int32))


def _by_bucket(x: Array, rows: PaddedRows) -> list[Array]:
    """The blocks (rows, ...) of a vector over the rows that each bucket holds."""
    if rows.order is None:
        return [x]
    sizes = [c.shape[-1] for c in rows.columns]
    natural = jnp.zeros_like(rows.order).at[rows.order].set(jnp.arange(rows.order.shape[0], dtype=jnp.int32))
    return jnp.split(gather(x, natural), np.cumsum(sizes)[:-1].tolist())


def _pairs(left: Array, right: Array, rows: PaddedRows) -> list[tuple[Array, Array]]:
    """For every stored number that of a vector at its row and that of another at its column, in shapes that multiply to
    those of the values.
    """
    height, width = rows.block
    own = _by_bucket(left.reshape(-1, height), rows)
    other = rows.arranged(right.reshape(-1, width))
    return [
        (p.T[:, None, None, None], jnp.moveaxis(gather(other, c), 3, 2)) for p, c in zip(own, rows.columns, strict=True)
    ]


def _outer(ct: Array, x: Array, rows: PaddedRows) -> tuple[Array, ...]:
    """Return the derivative of ct·(A x) with respect to the padded values."""
    return tuple(p * y for p, y in _pairs(ct, x, rows))


def between(chosen: Array, rows: PaddedRows) -> tuple[Array, ...]:
    """For every stored number whether both its row and its column are ``chosen (n,)``."""
    return tuple(p & y for p, y in _pairs(chosen, chosen, rows))


# The product as a primitive.

_product_p = Primitive("gemel_padded_product")


def padded_product(values: Sequence[Array], x: Array, structure: Structure) -> Array:
    """Return A x, with derivatives of any order in ``values`` and ``x`` that never scatter into x."""
    index, treedef = jax.tree.flatten(structure)
    return _product_p.bind(*values, x, *index, treedef=treedef, batched=(False, False))


def _unpack(args: Sequence[Any], treedef: Any) -> tuple[tuple[Any, ...], Any, Structure]:
    count = len(args) - treedef.num_leaves
    structure = jax.tree.unflatten(treedef, args[count:])
    return tuple(args[: count - 1]), args[count - 1], structure


def _product_impl(*args, treedef, batched):
    values, x, structure = _unpack(args, treedef)

    def apply(v, y):
        return apply_rows(v, y, structure.forward)

    if not any(batched):
        return apply(values, x)
    if not batched[0] and x.shape[0] > 1:
        return apply(values, x.T).T
    return jax.vmap(apply, in_axes=(0 if batched[0] else None, 0 if batched[1] else None))(values, x)


def _product_jvp(primals, tangents, *, treedef, batched):
    values, x, structure = _unpack(primals, treedef)
    index = jax.tree.leaves(structure)
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


def _product_transpose(ct, *args, treedef, batched):
    values, x, structure = _unpack(args, treedef)
    none_index = [None] * treedef.num_leaves
    if type(ct) is ad.Zero:
        return [None] * len(args)
    if ad.is_undefined_primal(x):
        if structure.symmetric:
            flipped, moved = structure, values
        else:
            flipped = structure.transpose()
            move = lambda v: move_values(v, structure)  # noqa: E731
            moved = jax.vmap(move)(values) if batched[0] else move(values)
        index, tree = jax.tree.flatten(flipped)
        out = _product_p.bind(*moved, ct, *index, treedef=tree, batched=(batched[0], any(batched)))
        if batched[0] and not batched[1]:
            out = jnp.sum(out, axis=0)
        return [None] * len(values) + [out, *none_index]
    if not any(batched):
        out = _outer(ct, x, structure.forward)
    elif batched[0]:
        axes = (0, 0 if batched[1] else None)
        out = jax.vmap(lambda c, y: _outer(c, y, structure.forward), in_axes=axes)(ct, x)
    else:

        def add(total, pair):
            return jax.tree.map(jnp.add, total, _outer(pair[0], pair[1], structure.forward)), None

        start = tuple(jnp.zeros(s, ct.dtype) for s in structure.forward.shapes)
        out, _ = jax.lax.scan(add, start, (ct, x))
    return [*out, None, *none_index]


def _product_batch(args, dims, *, treedef, batched):
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


_compiled_product = jax.jit(_product_impl, static_argnames=("treedef", "batched"))
_product_p.def_impl(_compiled_product)
_product_p.def_abstract_eval(
    lambda *args, treedef, batched: ShapedArray(
        _product_shape(args, treedef, batched),
        jnp.result_type(args[0].dtype, args[-treedef.num_leaves - 1].dtype),
    )
)


def _product_shape(args, treedef, batched):
    values, x, structure = _unpack(args, treedef)
    rows = structure.forward.block[0] * sum(c.shape[-1] for c in structure.forward.columns)
    if batched[0]:
        return (values[0].shape[0], rows)
    return (x.shape[0], rows) if batched[1] else (rows,)


ad.primitive_jvps[_product_p] = _product_jvp
ad.primitive_transposes[_product_p] = _product_transpose
batching.primitive_batchers[_product_p] = _product_batch
mlir.register_lowering(_product_p, mlir.lower_fun(_compiled_product, multiple_results=False))  # traced once a shape


# Moving values between layouts: a gather whose transpose is a gather.

_move_p = Primitive("gemel_move_values")


def move(x: Float[Array, "m ..."], index: Int[Array, " k"], inverse: Int[Array, " m"]) -> Float[Array, "k ..."]:
    """Return x[index] with zeros where ``index`` is m; ``inverse`` undoes it (k marks entries nobody takes).

    Every entry of x is taken at most once, so the transposed map is the gather by ``inverse``.
    """
    return _move_p.bind(x, index, inverse)


def move_values(values: Sequence[Array], structure: Structure) -> tuple[Array, ...]:
    """Return the values of the transposed matrix in its own layout."""
    if structure.backward is None or structure.to_backward is None or structure.to_forward is None:
        raise ValueError("These padded rows were built without their transpose.")
    blocks = jnp.transpose(join_slots(values), (2, 1, 0))
    moved = move(blocks, structure.to_backward, structure.to_forward)
    return split_slots(jnp.transpose(moved, (1, 2, 0)), structure.backward)


def _move_impl(x, index, inverse):
    del inverse
    padded = jnp.concatenate([x, jnp.zeros((1, *x.shape[1:]), x.dtype)])
    return gather(padded, index)


def _move_jvp(primals, tangents):
    _, index, inverse = primals
    out = _move_p.bind(*primals)
    dx = tangents[0]
    return out, jnp.zeros_like(out) if type(dx) is ad.Zero else _move_p.bind(dx, index, inverse)


def _move_transpose(ct, x, index, inverse):
    del x
    return [None if type(ct) is ad.Zero else _move_p.bind(ct, inverse, index), None, None]


def _move_batch(args, dims):
    x, index, inverse = args
    if any(d is not None for d in dims[1:]):
        raise ValueError("A sparsity pattern was mapped by vmap: map over values only (in_axes=None for the pattern).")
    out = _move_p.bind(jnp.moveaxis(x, dims[0], -1), index, inverse)
    return out, out.ndim - 1


_move_p.def_impl(jax.jit(_move_impl))
_move_p.def_abstract_eval(lambda x, index, inverse: ShapedArray((index.shape[0], *x.shape[1:]), x.dtype))
ad.primitive_jvps[_move_p] = _move_jvp
ad.primitive_transposes[_move_p] = _move_transpose
batching.primitive_batchers[_move_p] = _move_batch
mlir.register_lowering(_move_p, mlir.lower_fun(_move_impl, multiple_results=False))
