"""Products with padded sparse rows: the kernel under `SparseOperator` and the multigrid hierarchies.

Rows are stored component-major: entry j of every row lies side by side, so that a product is an unrolled
sum of gathers. The entries run through a loop over at least two chunks, never one: XLA on CPU
fuses a chain of plain gather products and recomputes every producer inside the next gather (five chained
27-entry products then cost 27⁵-like work); a loop is a boundary it does not fuse across, and unlike a
conditional on a run-time flag it stays one under ``vmap`` and when the pattern is a constant of the program.

The derivative with respect to x is a product with the transposed rows, again gathers, where XLA's transposed gather
would be a scatter: see `gemel.solvers.bilinear`.
"""

from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float, Int

from gemel.solvers.bilinear import Storage, Values
from gemel.solvers.padded_rows import PaddedRows, gather, join_slots, split_slots


def apply_rows(values: Sequence[Array], x: Array, rows: PaddedRows, at_once: bool = False) -> Array:
    """Return A x for padded values, by unrolled gathers inside a loop over chunks; x is a vector, or columns (n, k).

    Of several columns each entry of the matrix, and where it stands, is read once: the k numbers that it multiplies are
    one stretch of memory, so that 16 columns cost what 5 products do. The components of the result are computed one
    after the other: all at once, XLA on CPU takes twice as long. ``at_once`` has no loops.
    """
    height, width = rows.block
    blocks = x.reshape(-1, width, *x.shape[1:])
    pieces = [rows.arranged(blocks[:, k]) for k in range(width)]
    bucket = _bucket_at_once if at_once else _bucket
    parts = [bucket(v, c, pieces) for v, c in zip(values, rows.columns, strict=True)]
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


def _bucket_at_once(values: Array, columns: Array, pieces: Sequence[Array]) -> Array:
    """The same as one sum over the entries of each row, which a GPU gives a thread."""
    height, _, _, width, count = values.shape
    beyond = (1,) * (pieces[0].ndim - 1)
    v, c = values.reshape(height, -1, width, count, *beyond), columns.reshape(-1, count)
    found = jnp.stack([gather(piece, c) for piece in pieces], axis=1)
    return jnp.sum(v * found, axis=(1, 2))


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


def between(chosen: Array, rows: PaddedRows) -> tuple[Array, ...]:
    """For every stored number whether both its row and its column are ``chosen (n,)``, or it is on the diagonal."""
    numbers = jnp.arange(1, chosen.shape[0] + 1, dtype=jnp.int32)
    signed = jnp.where(chosen, numbers, -numbers)
    return tuple((jnp.minimum(p, y) > 0) | (p == y) for p, y in _pairs(signed, signed, rows))


class Structure(Storage):
    """A matrix' rows, the rows of its transpose, and how values move between the two.

    ``to_backward`` holds, for every entry of the flattened backward layout, the flat position in the
    forward layout, and ``to_forward`` the inverse; padding points one past the end. Both are None where no
    transpose was asked for.
    """

    forward: PaddedRows
    backward: PaddedRows | None = None
    to_backward: Int[Array, " backward"] | None = None
    to_forward: Int[Array, " forward"] | None = None
    symmetric: bool = eqx.field(static=True, default=False)  # pyright: ignore[reportIncompatibleMethodOverride]

    def apply(self, values: Values, x: Array, at_once: bool = False) -> Array:
        """Return A x; ``at_once`` between barriers, or XLA would compute x again for each entry."""
        if not at_once:
            return apply_rows(values, x, self.forward)
        x = jax.lax.optimization_barrier(x)
        return jax.lax.optimization_barrier(apply_rows(values, x, self.forward, at_once))

    def apply_columns(self, values: Values, x: Array, at_once: bool = False) -> Array:
        """Return A xᵢ for the rows of x, all at once."""
        return self.apply(values, x.T, at_once).T

    def flipped(self) -> "Structure":
        """Return the same for Aᵀ. Raises `ValueError` where its rows are not known."""
        if self.backward is None:
            raise ValueError("These padded rows were built without their transpose.")
        return Structure(self.backward, self.forward, self.to_forward, self.to_backward, self.symmetric)

    def transposed(self, values: Values) -> Values:
        """Return the values of Aᵀ in its own rows."""
        return move_values(values, self)

    def outer(self, y: Array, x: Array) -> Values:
        """Return y xᵀ in the places that are stored."""
        return tuple(p * q for p, q in _pairs(y, x, self.forward))

    def outers(self, y: Array, x: Array) -> Values:
        """Return Σᵢ yᵢ xᵢᵀ for the rows of y and x."""
        total = self.outer(y[0], x[0])
        for mine, other in zip(y[1:], x[1:], strict=True):
            total = tuple(one + more for one, more in zip(total, self.outer(mine, other), strict=True))
        return total


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
