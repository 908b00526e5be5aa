"""Matrices whose unknowns sit on a lattice and couple with their neighbours there: products by slices, no indices."""

import itertools
import operator
from functools import partial, reduce
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Bool, Float

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
    def shape(self) -> tuple[int, ...]:
        """The shape of an operator's values: offsets along the slowest axis, those along the others, row and column
        components, nodes.
        """
        return (3, 3 ** (len(self.nodes) - 1), self.components, self.components, *self.nodes)

    @property
    def unfolded(self) -> tuple[int, ...]:
        """The same with the offsets along each axis apart."""
        return (3,) * len(self.nodes) + self.shape[2:]

    def split(self, x: Array) -> Array:
        """A flat vector as ``(components, *nodes)``."""
        return jnp.moveaxis(x.reshape(*self.nodes, self.components), -1, 0)

    def join(self, field: Array) -> Array:
        """The inverse of `split`."""
        return jnp.moveaxis(field, 0, -1).reshape(-1)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The matrix of all neighbours in CSR order: row pointers, columns, and where each entry stands in the flat
        values.
        """
        d, c, n = len(self.nodes), self.components, self.n_nodes
        at = np.indices(self.nodes, dtype=np.int32).reshape(d, 1, n)
        offsets = np.asarray(list(itertools.product((-1, 0, 1), repeat=d)), dtype=np.int32).T[:, :, None]
        there = at + offsets
        inside = np.all((there >= 0) & (there < np.asarray(self.nodes)[:, None, None]), axis=0).T  # (n, offsets)
        node, offset = np.nonzero(inside)
        columns = np.ravel_multi_index(tuple(axis[offset, node] for axis in there), self.nodes)
        counts, first = inside.sum(axis=1), np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
        indptr = np.concatenate([[0], np.cumsum(np.repeat(counts * c, c))])
        indices, places = (np.empty(c * c * len(node), dtype=np.int64) for _ in range(2))
        start = c * c * first[node] + c * (np.arange(len(node)) - first[node])
        for a, b in itertools.product(range(c), repeat=2):
            entry = start + a * c * counts[node] + b
            indices[entry], places[entry] = columns * c + b, ((offset * c + a) * c + b) * n + node
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

    ``values`` has the shape of its `Lattice` (another one would be copied for each product), zero where an offset leads
    outside. A product reads each value once and no indices, two thirds of the traffic of padded rows. Where it is
    ``symmetric`` so must be any change of the values that is differentiated along.
    """

    lattice: Lattice = eqx.field(static=True)
    values: Float[Array, "..."]
    symmetric: bool = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]

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

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal."""
        return self.lattice.join(self.centre())

    def centre(self) -> Float[Array, "components *nodes"]:
        """The diagonal by component and node."""
        middle = self.values.shape[1] // 2
        return jnp.stack([self.values[1, middle, a, a] for a in range(self.lattice.components)])

    def scaled(self, factor: Float[Array, ""] | float) -> "StencilOperator":
        """Return factor · A."""
        return StencilOperator(self.lattice, factor * self.values, self.symmetric)

    def restricted(self, free: Bool[Array, " n"], diagonal: Float[Array, ""] | float) -> "StencilOperator":
        """Return the matrix with the rows and columns that are not free replaced by ``diagonal`` on the diagonal."""
        lattice = self.lattice
        mine = lattice.split(free)
        others = neighbours_of(mine, lattice.nodes)
        kept = others.reshape(*lattice.shape[:2], 1, *mine.shape) & mine[:, None]
        values = jnp.where(kept, self.values, 0.0)
        middle = values.shape[1] // 2
        for a in range(lattice.components):
            values = values.at[1, middle, a, a].add(jnp.where(mine[a], 0.0, diagonal))
        return StencilOperator(lattice, values, self.symmetric)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the matrix on the host, with explicit zeros. Uses numpy alone, so that a callback may call it."""
        indptr, indices, places = self.lattice.entries()
        return scipy.sparse.csr_array((np.asarray(self.values).reshape(-1)[places], indices, indptr), (self.n, self.n))


class _OnLattice(Storage):
    """The values of a `StencilOperator`, one array."""

    lattice: Lattice = eqx.field(static=True)
    symmetric: bool = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]

    def apply(self, values: Values, x: Array, at_once: bool = False) -> Array:
        """A x; in loops, or as one sum."""
        return self._at_once(values, x) if at_once else self._in_loops(values, x)

    def _in_loops(self, values: Values, x: Array) -> Array:
        """A x, component by component, in a loop over the offsets along the slowest axis and the components of x.

        XLA fuses no producer into a loop, which in a chain of products it would compute again for every offset. More
        than nine arrays of values at a time are too many streams for a CPU: all three components at once took five
        times as long on 64³ cells. Indices count one axis of all that is not a node, as XLA copies arrays with axes of
        length one.
        """
        lattice, (table,) = self.lattice, values
        nodes, c = lattice.nodes, lattice.components
        padded = _padded(lattice, x)
        rows, padded = padded.shape[1], padded.reshape(-1, *padded.shape[2:])
        stored = table.reshape(-1, *nodes)
        others = list(itertools.product(range(3), repeat=len(nodes) - 1))
        at = partial(jax.lax.dynamic_index_in_dim, keepdims=False, allow_negative_indices=False)

        def component(a: Array) -> Array:
            def plane(number: Array, y: Array) -> Array:
                number = number.astype(jnp.int32)
                offset, b = number // c, number % c
                slab = jax.lax.dynamic_slice_in_dim(padded, b * rows + offset, nodes[0], allow_negative_indices=False)
                for k, other in enumerate(others):
                    mine = at(stored, ((offset * len(others) + k) * c + a) * c + b)
                    y = y + mine * slab[(slice(None), *_window(other, nodes[1:]))]
                return y

            start = jnp.zeros(nodes, jnp.result_type(table, x))
            return jax.lax.fori_loop(0, 3 * c, plane, start)

        first = jnp.zeros((), jnp.int32)
        y = component(first)[None] if c == 1 else jax.lax.map(component, jnp.arange(c, dtype=jnp.int32))
        return lattice.join(y)

    def _at_once(self, values: Values, x: Array) -> Array:
        """A x as one sum over offsets and components of x: one kernel, which reads each value once. The barriers keep
        it one: XLA would compute the vector again for each offset, and the sum again for each part of a scalar product.
        """
        lattice, (table,) = self.lattice, values
        c = lattice.components
        padded, stored = jax.lax.optimization_barrier(_padded(lattice, x)), table.reshape(-1, c, c, *lattice.nodes)
        y = jnp.zeros((c, *lattice.nodes), jnp.result_type(table, x))
        for k, offset in enumerate(itertools.product(range(3), repeat=len(lattice.nodes))):
            for b in range(c):
                y = y + stored[k, :, b] * padded[(b, *_window(offset, lattice.nodes))]
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
        mirrored = jnp.swapaxes(jnp.flip(table.reshape(self.lattice.unfolded), range(d)), d, d + 1)
        padded = jnp.pad(mirrored, [(0, 0)] * (d + 2) + [(1, 1)] * d)
        moved = [
            padded[(*offset, slice(None), slice(None), *_window(offset, self.lattice.nodes))]
            for offset in itertools.product(range(3), repeat=d)
        ]
        return (jnp.stack(moved).reshape(self.lattice.shape),)

    def outer(self, y: Array, x: Array) -> Values:
        """y xᵀ in the places that are stored, in a loop over the offsets that fills one after the other."""
        lattice = self.lattice
        padded, mine = _padded(lattice, x), lattice.split(y)

        def at(offset: Array) -> Array:
            there = jax.lax.dynamic_slice(padded, (0, *offset), mine.shape)
            return mine[:, None] * there

        offsets = jnp.asarray(list(itertools.product(range(3), repeat=len(lattice.nodes))))
        return (jax.lax.map(at, offsets).reshape(lattice.shape),)

    def outers(self, y: Array, x: Array) -> Values:
        """Σᵢ yᵢ xᵢᵀ likewise, all rows in one pass."""
        lattice = self.lattice
        padded = jnp.stack([_padded(lattice, row) for row in x])
        mine = jnp.stack([lattice.split(row) for row in y])

        def at(offset: Array) -> Array:
            there = [jax.lax.dynamic_slice(row, (0, *offset), mine.shape[1:]) for row in padded]
            return reduce(operator.add, (row[:, None] * other for row, other in zip(mine, there, strict=True)))

        offsets = jnp.asarray(list(itertools.product(range(3), repeat=len(lattice.nodes))))
        return (jax.lax.map(at, offsets).reshape(lattice.shape),)


def _padded(lattice: Lattice, x: Array) -> Float[Array, "components *nodes_and_two"]:
    """A vector by component and node, with zeros around."""
    return jnp.pad(lattice.split(x), [(0, 0)] + [(1, 1)] * len(lattice.nodes))


def _window(offset: tuple[int, ...], nodes: tuple[int, ...]) -> tuple[slice, ...]:
    """The nodes at an offset, in an array that is padded by one."""
    return tuple(slice(o, o + size) for o, size in zip(offset, nodes, strict=True))


def neighbours_of(field: Any, nodes: tuple[int, ...]) -> Array:
    """``field (..., *nodes)`` at all offsets from each node, zero outside: ``(3, ..., 3, ..., *nodes)``."""
    d = len(nodes)
    padded = jnp.pad(field, [(0, 0)] * (field.ndim - d) + [(1, 1)] * d)
    windows = [padded[(..., *_window(offset, nodes))] for offset in itertools.product(range(3), repeat=d)]
    return jnp.stack(windows).reshape((3,) * d + field.shape)
