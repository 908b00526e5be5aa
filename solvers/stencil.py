"""Matrices whose unknowns sit on a lattice and couple with their neighbours there: products by slices, no indices."""

import itertools
from collections.abc import Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Bool, Float, Int

from gemel.solvers.bilinear import Storage, Values, product
from gemel.solvers.operators import LinearOperator


class Lattice(NamedTuple):
    """Nodes of a structured mesh.

    ``nodes`` along each axis, the slowest first; ``components`` unknowns at a node, interleaved; ``spacing`` along
    each axis in m, of which ratios count.
    """

    nodes: tuple[int, ...]
    components: int
    spacing: tuple[float, ...]

    @property
    def n_nodes(self) -> int:
        """How many nodes."""
        return int(np.prod(self.nodes))

    @property
    def n(self) -> int:
        """How many unknowns."""
        return self.n_nodes * self.components

    @property
    def cells(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(size - 1 for size in self.nodes)

    @property
    def n_cells(self) -> int:
        """How many cells."""
        return int(np.prod(self.cells))

    @property
    def corners(self) -> list[tuple[int, ...]]:
        """The corners of a cell relative to the first one, the last axis fastest."""
        return list(itertools.product((0, 1), repeat=len(self.nodes)))

    @property
    def offsets(self) -> list[tuple[int, ...]]:
        """From a node to its neighbours and itself, the last axis fastest; the mirrored ones in reverse order."""
        return list(itertools.product((-1, 0, 1), repeat=len(self.nodes)))

    @property
    def middle(self) -> int:
        """The number of the offset from a node to itself."""
        return 3 ** len(self.nodes) // 2

    @property
    def steps(self) -> Int[np.ndarray, " offsets"]:
        """How many nodes each offset leads on where nodes are counted, the last axis fastest."""
        strides = np.cumprod([1, *self.nodes[:0:-1]])[::-1]
        return np.asarray(self.offsets) @ strides

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a matrix's values: offsets, row and column components, nodes."""
        return (3 ** len(self.nodes), self.components, self.components, *self.nodes)

    @property
    def half(self) -> tuple[int, ...]:
        """The shape of those of a symmetric one, which from the middle offset on are enough."""
        return (self.middle + 1, *self.shape[1:])

    def stored(self, symmetric: bool) -> slice:
        """Which of the offsets have values."""
        return slice(self.middle if symmetric else 0, None)

    @property
    def unfolded(self) -> tuple[int, ...]:
        """The shape of all values with the offsets along each axis apart."""
        return (3,) * len(self.nodes) + self.shape[1:]

    def split(self, x: Array) -> Array:
        """A flat vector as ``(components, *nodes)``."""
        return jnp.moveaxis(x.reshape(*self.nodes, self.components), -1, 0)

    def join(self, field: Array) -> Array:
        """The inverse of `split`."""
        return jnp.moveaxis(field, 0, -1).reshape(-1)

    def entries(self, symmetric: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The matrix of all neighbours in CSR order: row pointers, columns, and where each entry stands in the flat
        values, all or those of the half.
        """
        d, c, n = len(self.nodes), self.components, self.n_nodes
        at = np.indices(self.nodes, dtype=np.int32).reshape(d, 1, n)
        there = at + np.asarray(self.offsets, dtype=np.int32).T[:, :, None]
        inside = np.all((there >= 0) & (there < np.asarray(self.nodes)[:, None, None]), axis=0).T  # (n, offsets)
        node, offset = np.nonzero(inside)
        columns = np.ravel_multi_index(tuple(axis[offset, node] for axis in there), self.nodes)
        counts, first = inside.sum(axis=1), np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
        indptr = np.concatenate([[0], np.cumsum(np.repeat(counts * c, c))])
        indices, places = (np.empty(c * c * len(node), dtype=np.int64) for _ in range(2))
        start = c * c * first[node] + c * (np.arange(len(node)) - first[node])
        mirrored = symmetric & (offset < self.middle)
        stored = np.abs(offset - self.middle) if symmetric else offset
        owner = np.where(mirrored, columns, node)
        for a, b in itertools.product(range(c), repeat=2):
            entry = start + a * c * counts[node] + b
            indices[entry] = columns * c + b
            places[entry] = (stored * c * c + np.where(mirrored, b * c + a, a * c + b)) * n + owner
        return indptr, indices, places

    def offset_numbers(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
        """The number of the offset from each row's node to its column's; None where two are no neighbours."""
        number, (here, there) = 0, (np.unravel_index(side, self.nodes) for side in (rows, columns))
        for a, b in zip(here, there, strict=True):
            step = b - a
            if len(step) and (step.min() < -1 or step.max() > 1):
                return None
            number = 3 * number + step + 1
        return np.asarray(number)


class StencilOperator(LinearOperator):
    r"""$y_a(i) = \sum_{o, b} A_{oab}(i)\, x_b(i + o)$ with offsets $o \in \{-1, 0, 1\}^d$ on a lattice.

    ``values (offsets, components, components, *nodes)`` are zero where an offset leads outside. Where the matrix is
    ``symmetric`` they are those from the middle offset on, `Lattice.half`: $A_{-o,ab}(i) = A_{oba}(i - o)$, so must be
    any change of them that is differentiated along, and a product moves half as much. `of` keeps what is needed.
    No indices are read: two thirds of the traffic of padded rows, of a symmetric matrix one third.
    """

    lattice: Lattice = eqx.field(static=True)
    values: Float[Array, "..."]
    symmetric: bool = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]

    @staticmethod
    def of(lattice: Lattice, values: Float[Array, "..."], symmetric: bool) -> "StencilOperator":
        """The operator with these values at all offsets; of a symmetric matrix those from the middle one on will do."""
        if symmetric and values.shape != lattice.half:
            values = values[lattice.stored(True)]
        return StencilOperator(lattice, values, symmetric)

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.lattice.n

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return A x."""
        return product(_OnLattice(self.lattice, self.symmetric), (self.values,), x)

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return Aᵀ x. Moves the values each time: for many products take `transpose` first."""
        return self.mv(x) if self.symmetric else self.transpose().mv(x)

    def transpose(self) -> "StencilOperator":
        """Return Aᵀ."""
        if self.symmetric:
            return self
        (moved,) = _OnLattice(self.lattice, False).transposed((self.values,))
        return StencilOperator(self.lattice, moved, False)

    @property
    def middle(self) -> int:
        """Where the values of a node with itself are stored."""
        return 0 if self.symmetric else self.lattice.middle

    def whole(self) -> Float[Array, "..."]:
        """The values at all offsets."""
        if not self.symmetric:
            return self.values
        n, steps = self.lattice.n_nodes, self.lattice.steps[self.lattice.middle + 1 :]
        after = jnp.swapaxes(self.values[1:], 1, 2).reshape(len(steps), -1, n)
        padded = jnp.pad(after, [(0, 0), (0, 0), (int(steps.max()), 0)])  # what a shift wraps around is zero

        def before(item: tuple[Array, Array]) -> Array:
            mine, step = item
            return jax.lax.dynamic_slice_in_dim(mine, step, n, axis=1)

        mirrored = jax.lax.map(before, (padded[::-1], jnp.asarray((steps.max() - steps)[::-1], jnp.int32)))
        return jnp.concatenate([mirrored.reshape(-1, *self.values.shape[1:]), self.values])

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal."""
        return self.lattice.join(self.centre())

    def centre(self) -> Float[Array, "components *nodes"]:
        """The diagonal by component and node."""
        return jnp.stack([self.values[self.middle, a, a] for a in range(self.lattice.components)])

    def scaled(self, factor: Float[Array, ""] | float) -> "StencilOperator":
        """Return factor · A."""
        return StencilOperator(self.lattice, factor * self.values, self.symmetric)

    def restricted(self, free: Bool[Array, " n"], diagonal: Float[Array, ""] | float) -> "StencilOperator":
        """Return the matrix with the rows and columns that are not free replaced by ``diagonal`` on the diagonal."""
        lattice = self.lattice
        mine = lattice.split(free)
        others = neighbours_of(mine, lattice.nodes)[lattice.stored(self.symmetric)]
        values = jnp.where(others[:, None] & mine[:, None], self.values, 0.0)
        for a in range(lattice.components):
            values = values.at[self.middle, a, a].add(jnp.where(mine[a], 0.0, diagonal))
        return StencilOperator(lattice, values, self.symmetric)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the matrix on the host, with explicit zeros. Uses numpy alone, so that a callback may call it."""
        indptr, indices, places = self.lattice.entries(self.symmetric)
        return scipy.sparse.csr_array((np.asarray(self.values).reshape(-1)[places], indices, indptr), (self.n, self.n))


_VECTORS = 32
"""The nodes of a part are a multiple of this: of an odd number XLA makes a loop without vectors, ten times as slow."""

_IN_CACHE = 2**14
"""Nodes of a part of a product with several components, whose values are read a second time while they are near."""


class _OnLattice(Storage):
    """The values of a `StencilOperator`, one array.

    Nodes are counted, so that an offset is a step: values of what it wraps around are zero, and so is the padded vector
    before the first node and after the last one.
    """

    lattice: Lattice = eqx.field(static=True)
    symmetric: bool = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def offsets(self) -> list[tuple[int, ...]]:
        """The stored ones."""
        return self.lattice.offsets[self.lattice.stored(self.symmetric)]

    @property
    def steps(self) -> list[int]:
        """How many nodes they lead on."""
        return self.lattice.steps[self.lattice.stored(self.symmetric)].tolist()

    def apply(self, values: Values, x: Array, at_once: bool = False) -> Array:
        """A x; in loops, or as one sum."""
        return self._at_once(values, x) if at_once else self._in_loops(values, x)

    def _in_loops(self, values: Values, x: Array) -> Array:
        """A x in a loop over groups of offsets, with several components part by part of the nodes.

        XLA fuses no producer into a loop, which in a chain of products it would compute again for every offset, and
        uses all cores for a sum unless it is written into a part of an array. More than 30 arrays of values at a time
        are too many streams for a CPU, and two rows of components use the same values: parts that stay in the cache.
        """
        lattice, (table,) = self.lattice, values
        c, n, steps = lattice.components, lattice.n_nodes, self.steps
        reach, dtype = max(steps), jnp.result_type(table, x)
        padded = jnp.pad(x.reshape(n, c).T, [(0, 0), (reach, reach)]).reshape(-1)
        stored, leads = table.reshape(-1), jnp.asarray(steps, jnp.int32)
        at = partial(jax.lax.dynamic_slice_in_dim, allow_negative_indices=False)

        def add(y: Array, k: Any, a: int, start: Any) -> Array:
            """The part of row ``a`` from ``start`` with what offset ``k`` and the one that mirrors it add."""
            lead = steps[k] if isinstance(k, int) else leads[k]
            for b in range(c):
                first = b * (n + 2 * reach) + reach + start
                y = y + at(stored, ((k * c + a) * c + b) * n + start, len(y)) * at(padded, first + lead, len(y))
                if self.symmetric and not (isinstance(k, int) and k == 0):
                    mirrored = ((k * c + b) * c + a) * n + start - lead
                    y = y + at(stored, mirrored, len(y)) * at(padded, first - lead, len(y))
            return y

        def added(rows: tuple[Array, ...], numbers: Sequence[Any], start: Any) -> tuple[Array, ...]:
            return tuple(reduce(lambda y, k, a=a: add(y, k, a, start), numbers, row) for a, row in enumerate(rows))

        size = -(-n // (2 if c == 1 else max(2, -(-n // _IN_CACHE))))
        size = min(n, -(-size // _VECTORS) * _VECTORS)
        none = (jnp.zeros(size, dtype),) * c
        if c == 1:

            def other(number: Array, halves: tuple[Array, ...]) -> tuple[Array, ...]:
                return halves[1:] + added(none, range(len(steps)), number * (n - size))

            first, second = jax.lax.fori_loop(jnp.int32(0), jnp.int32(2), other, none * 2)
            return jnp.concatenate([first[: n - size], second])

        def pair(number: Array, rows: tuple[Array, ...], start: Any) -> tuple[Array, ...]:
            last = len(steps) - 1
            return added(rows, (last - 2 * number - 1, last - 2 * number), start)

        def fill(number: Array, y: Array) -> Array:
            start, alone = jnp.minimum(number * size, n - size), len(steps) % 2 or 2
            rows = added(none, range(alone), start)
            loops = jnp.int32((len(steps) - alone) // 2)
            rows = jax.lax.fori_loop(jnp.int32(0), loops, lambda i, rows: pair(i, rows, start), rows)
            for a, row in enumerate(rows):
                y = jax.lax.dynamic_update_slice(y, row[None], (jnp.int32(a), start), allow_negative_indices=False)
            return y

        y = jax.lax.fori_loop(jnp.int32(0), jnp.int32(-(-n // size)), fill, jnp.zeros((c, n), dtype))
        return lattice.join(y)

    def _at_once(self, values: Values, x: Array) -> Array:
        """A x as one sum over offsets and components of x: one kernel, which reads each value once, and that of a
        symmetric matrix once more from the cache. The barriers keep it one: XLA would compute the vector again for each
        offset, and the sum again for each part of a scalar product.
        """
        lattice, (table,) = self.lattice, values
        c, n, steps = lattice.components, lattice.n_nodes, self.steps
        reach = max(steps)
        padded = jax.lax.optimization_barrier(jnp.pad(x.reshape(n, c).T, [(0, 0), (reach, reach)]))
        stored, flat = table.reshape(-1, c, c, n), table.reshape(-1)
        y = jnp.zeros((c, n), jnp.result_type(table, x))
        for k, step in enumerate(steps):
            for b in range(c):
                y = y + stored[k, :, b] * padded[b, reach + step : reach + step + n]
                if self.symmetric and k > 0:
                    start = (k * c + b) * c * n - step
                    mirrored = flat[start : start + c * n].reshape(c, n)
                    y = y + mirrored * padded[b, reach - step : reach - step + n]
        return jax.lax.optimization_barrier(lattice.join(y))

    def apply_columns(self, values: Values, x: Array, at_once: bool = False) -> Array:
        """A xᵢ for the rows of x, side by side."""
        return jax.vmap(partial(self.apply, at_once=at_once), in_axes=(None, 0))(values, x)

    def flipped(self) -> "_OnLattice":
        """The same lattice."""
        return self

    def transposed(self, values: Values) -> Values:
        """The values of the transpose."""
        (table,), d = values, len(self.lattice.nodes)
        if self.symmetric:
            return values
        mirrored = jnp.swapaxes(table[::-1], 1, 2)
        padded = jnp.pad(mirrored, [(0, 0)] * 3 + [(1, 1)] * d)
        moved = [padded[(k, ..., *window)] for k, window in enumerate(self._windows())]
        return (jnp.stack(moved),)

    def _windows(self) -> list[tuple[slice, ...]]:
        return [_window(offset, self.lattice.nodes) for offset in self.offsets]

    def outer(self, y: Array, x: Array) -> Values:
        """y xᵀ in the places that are stored, in a loop over the offsets that fills one after the other."""
        return self.outers(y[None], x[None])

    def outers(self, y: Array, x: Array) -> Values:
        """Σᵢ yᵢ xᵢᵀ likewise, all rows in one pass; of a symmetric matrix a value stands for its mirrored one too."""
        lattice, size = self.lattice, (self.lattice.components, *self.lattice.nodes)
        columns, rows = ([_padded(lattice, vector) for vector in vectors] for vectors in (x, y))
        here = (0,) + (1,) * len(lattice.nodes)

        def at(item: tuple[Array, Array]) -> Array:
            offset, mirrored = item
            there, total = (0, *offset), jnp.zeros((), jnp.result_type(x, y))
            for row, column in zip(rows, columns, strict=True):
                mine = partial(jax.lax.dynamic_slice, slice_sizes=size)
                total = total + mine(row, here)[:, None] * mine(column, there)
                if self.symmetric:
                    total = total + mirrored * mine(column, here)[:, None] * mine(row, there)
            return total

        offsets = jnp.asarray(self.offsets) + 1
        weights = jnp.asarray(np.arange(len(offsets)) > 0, jnp.result_type(x, y))
        return (jax.lax.map(at, (offsets, weights)),)


def _padded(lattice: Lattice, x: Array) -> Float[Array, "components *nodes_and_two"]:
    """A vector by component and node, with zeros around."""
    return jnp.pad(lattice.split(x), [(0, 0)] + [(1, 1)] * len(lattice.nodes))


def _window(offset: tuple[int, ...], nodes: tuple[int, ...]) -> tuple[slice, ...]:
    """The nodes at an offset, in an array that is padded by one."""
    return tuple(slice(1 + o, 1 + o + size) for o, size in zip(offset, nodes, strict=True))


def neighbours_of(field: Any, nodes: tuple[int, ...]) -> Array:
    """``field (..., *nodes)`` at all offsets from each node, zero outside: ``(offsets, ..., *nodes)``."""
    padded = jnp.pad(field, [(0, 0)] * (field.ndim - len(nodes)) + [(1, 1)] * len(nodes))
    offsets = itertools.product((-1, 0, 1), repeat=len(nodes))
    return jnp.stack([padded[(..., *_window(offset, nodes))] for offset in offsets])
