"""The levels of geometric multigrid on the host, where values are known: nothing has to be compiled for their sizes.

The device forms the same levels inside jit, see `gemel.solvers.geometric`.
"""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gemel.loops import compiled, in_parts, index
from gemel.solvers.block_rows import inverse_of, largest_eigenvalue
from gemel.solvers.stencil import Lattice

_AT_ONCE = 2**12
"""Nodes whose sums stay in the cache."""


class LatticeMatrix(NamedTuple):
    """The values of a `StencilOperator` as an array of numpy."""

    lattice: Lattice
    values: Float[np.ndarray, "..."]
    symmetric: bool

    @property
    def flat(self) -> Float[np.ndarray, "offsets components components nodes"]:
        """The values with one axis of offsets and one of nodes."""
        c = self.lattice.components
        return _to_read(self.values.reshape(3 ** len(self.lattice.nodes), c, c, self.lattice.n_nodes))

    def centre(self) -> Float[np.ndarray, "components nodes"]:
        """The diagonal by component and node."""
        flat = self.flat
        return np.stack([flat[len(flat) // 2, a, a] for a in range(self.lattice.components)])

    def mv(self, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The product with a vector, component after component."""
        c, nodes = self.lattice.components, self.lattice.nodes
        strides = np.cumprod([1, *nodes[:0:-1]])[::-1]
        shifts = np.asarray(list(itertools.product((-1, 0, 1), repeat=len(nodes)))) @ strides
        reach = int(shifts.max())
        padded = np.pad(x.reshape(c, -1), [(0, 0), (reach, reach)])  # what leads outside is zero in the matrix
        y = np.zeros((c, self.lattice.n_nodes))
        in_parts(y.shape[1], lambda *part: _product(*part, self.flat, padded, shifts + reach, _AT_ONCE, y))
        return y.ravel()

    def free(self) -> Float[np.ndarray, "components *nodes"]:
        """One where an unknown couples with another, else zero."""
        total = np.empty((self.lattice.components, self.lattice.n_nodes))
        in_parts(total.shape[1], lambda *part: _sum_magnitudes(*part, self.flat, total))
        return (total > np.abs(self.centre())).astype(float).reshape(-1, *self.lattice.nodes)

    def largest_eigenvalue(self) -> float:
        """That of the matrix over its diagonal."""
        return largest_eigenvalue(self.mv, inverse_of(self.centre().ravel()))

    def coarser(
        self, coarse: Lattice, axes: tuple[int, ...], free: Float[np.ndarray, "components *nodes"], size: float
    ) -> "LatticeMatrix":
        """$P^T A P$ with linear interpolation along some axes; ``size`` on the diagonal of unknowns that are not
        free.
        """
        lattice, c, d = self.lattice, self.lattice.components, len(self.lattice.nodes)
        field, values, middle = free, self.values.reshape(lattice.unfolded), (1,) * d
        if not self.symmetric:
            values = _between(values, field)
        for axis in axes:
            fine, values = values, _halved(values, axis, d + 2 + axis)
            if self.symmetric and axis == axes[0]:  # what is not free couples with nothing: its diagonal alone must go
                line = tuple(slice(None) if k == axis else 1 for k in range(d))
                for a in range(c):
                    kept = fine[(*line, a, a)].copy()
                    kept[1] *= field[a]
                    values[(*line, a, a)] = _halved(kept, 0, 1 + axis)
            field = field[(slice(None),) * (axis + 1) + (slice(None, None, 2),)]
        values = _between(values, field)
        for a in range(c):
            values[(*middle, a, a)] += size * (1.0 - field[a])
        return LatticeMatrix(coarse, values, self.symmetric)


def _to_read(values: np.ndarray) -> np.ndarray:
    """The array as one that cannot be written, as JAX's are: loops are compiled for this kind alone."""
    values = values.view()
    values.flags.writeable = False
    return values


def _halved(values: Float[np.ndarray, "..."], offsets: int, nodes: int) -> Float[np.ndarray, "..."]:
    """Galerkin's product along one axis, with weights 1/2, 1, 1/2."""
    shape = values.shape
    sides = [int(np.prod(part)) for part in (shape[:offsets], shape[offsets + 1 : nodes], shape[nodes + 1 :])]
    half = (shape[nodes] + 1) // 2
    table = np.zeros((sides[0], 3, sides[1], half, sides[2]))
    given = _to_read(np.ascontiguousarray(values).reshape(sides[0], 3, sides[1], shape[nodes], sides[2]))
    in_parts(sides[1] * half, lambda *part: _halve(*part, given, table), max(1, 2**16 // sides[2]))
    return table.reshape(*shape[:nodes], half, *shape[nodes + 1 :])


def _between(values: Float[np.ndarray, "..."], free: Float[np.ndarray, "components *nodes"]) -> np.ndarray:
    """The entries between free unknowns, the others zero."""
    nodes = free.shape[1:]
    padded, found = np.pad(free, [(0, 0)] + [(1, 1)] * len(nodes)), np.empty_like(values)
    for offset in itertools.product(range(3), repeat=len(nodes)):
        window = tuple(slice(o, o + size) for o, size in zip(offset, nodes, strict=True))
        np.multiply(values[offset], free[:, None] * padded[(slice(None), *window)], out=found[offset])
    return found


@compiled
def _product(first, last, values, padded, shifts, at_once, y):
    for start in range(first, last, at_once):
        end = min(start + at_once, last)
        for o in range(values.shape[0]):
            for a in range(values.shape[1]):
                for b in range(values.shape[2]):
                    mine, other, total = values[o, a, b], padded[b], y[a]
                    for i in range(start, end):
                        total[index(i)] += mine[index(i)] * other[index(i + shifts[o])]


@compiled
def _sum_magnitudes(first, last, values, total):
    total[:, first:last] = 0.0
    for o in range(values.shape[0]):
        for a in range(values.shape[1]):
            for b in range(values.shape[2]):
                mine, whole = values[o, a, b], total[a]
                for i in range(first, last):
                    whole[index(i)] += abs(mine[index(i)])


@compiled
def _halve(first, last, values, table):
    """What the entry from 2I + a to 2I + a + o = 2J + b adds to that from I to J, over all a and b."""
    outer, _, _, count, width = values.shape
    half = table.shape[3]
    for k in range(first, last):
        m, here = divmod(k, half)
        for shift in range(-1, 2):
            for a in range(-1, 2):
                row = 2 * here + a
                if row < 0 or row >= count:
                    continue
                for b in range(-1, 2):
                    o = 2 * shift + b - a
                    if o < -1 or o > 1:
                        continue
                    weight = (1.0 - 0.5 * abs(a)) * (1.0 - 0.5 * abs(b))
                    for n in range(outer):
                        mine, total = values[n, o + 1, m, row], table[n, shift + 1, m, here]
                        for i in range(width):
                            total[index(i)] += weight * mine[index(i)]
