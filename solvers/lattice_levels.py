"""The levels of geometric multigrid on the host, where values are known: nothing has to be compiled for their sizes.

The device forms the same levels inside jit, see `gemel.solvers.geometric`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

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
        """The values with one axis of nodes."""
        return _to_read(self.values.reshape(*self.values.shape[:3], self.lattice.n_nodes))

    @property
    def middle(self) -> int:
        """Where the values of a node with itself are."""
        return 0 if self.symmetric else self.lattice.middle

    @property
    def steps(self) -> Int[np.ndarray, " offsets"]:
        """How many nodes each stored offset leads on."""
        return self.lattice.steps[self.lattice.stored(self.symmetric)]

    def centre(self) -> Float[np.ndarray, "components nodes"]:
        """The diagonal by component and node."""
        flat = self.flat
        return np.stack([flat[self.middle, a, a] for a in range(self.lattice.components)])

    def mv(self, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The product with a vector, component after component."""
        c, steps = self.lattice.components, self.steps
        reach = int(steps.max())
        padded = np.pad(x.reshape(c, -1), [(0, 0), (reach, reach)])  # what leads outside is zero in the matrix
        y = np.zeros((c, self.lattice.n_nodes), x.dtype)
        in_parts(y.shape[1], lambda *part: _product(*part, self.flat, padded, steps, reach, self.symmetric, y))
        return y.ravel()

    def free(self) -> Float[np.ndarray, "components *nodes"]:
        """One where an unknown couples with another, else zero."""
        total = np.empty((self.lattice.components, self.lattice.n_nodes))
        in_parts(total.shape[1], lambda *part: _sum_magnitudes(*part, self.flat, self.steps, self.symmetric, total))
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
        c, field, matrix = self.lattice.components, free, self
        centre = self.values[self.middle].copy()
        if self.symmetric:  # what is not free couples with nothing: its diagonal alone must go
            centre[range(c), range(c)] *= field
        else:
            matrix = LatticeMatrix(self.lattice, _between(self, field), False)
            centre = matrix.values[self.middle]
        for axis in axes:
            matrix = _halved(matrix, centre, axis)
            centre, field = matrix.values[self.middle], _every_other(field, axis + 1)
        values = _between(matrix, field)
        values[self.middle, range(c), range(c)] += size * (1.0 - field)
        return LatticeMatrix(coarse, values, self.symmetric)


def _to_read(values: np.ndarray) -> np.ndarray:
    """The array as one that cannot be written, as JAX's are: loops are compiled for this kind alone."""
    values = values.view()
    values.flags.writeable = False
    return values


def _halved(matrix: LatticeMatrix, centre: Float[np.ndarray, "..."], axis: int) -> LatticeMatrix:
    """Galerkin's product along one axis, with weights 1/2, 1, 1/2; ``centre`` holds the values of nodes with
    themselves.
    """
    lattice, c, count = matrix.lattice, matrix.lattice.components, matrix.lattice.nodes[axis]
    nodes = tuple(size // 2 + 1 if k == axis else size for k, size in enumerate(lattice.nodes))
    before, width = (int(np.prod(part)) for part in (nodes[:axis], nodes[axis + 1 :]))
    offsets, pairs = lattice.offsets[lattice.stored(matrix.symmetric)], list(np.ndindex(c, c))
    shifts = np.asarray([offset[axis] for offset in offsets])
    sources, mirrored = (np.zeros((len(offsets), 3), kind) for kind in (np.int64, np.bool_))
    for number, offset in enumerate(offsets):
        for o in (-1, 0, 1):
            there = lattice.offsets.index((*offset[:axis], o, *offset[axis + 1 :]))
            mirrored[number, o + 1] = matrix.symmetric and there < lattice.middle
            sources[number, o + 1] = abs(there - lattice.middle) if matrix.symmetric else there
    tables = (shifts, sources, mirrored, matrix.steps, np.asarray([pairs.index((b, a)) for a, b in pairs]))
    values = _to_read(matrix.values.reshape(len(offsets), c * c, -1))
    centre = _to_read(np.ascontiguousarray(centre).reshape(c * c, -1))
    found = np.zeros((len(offsets), c * c, before * nodes[axis] * width))
    at_once = max(1, _AT_ONCE // width)
    rows = len(offsets) * c * c * before * -(-nodes[axis] // at_once)
    in_parts(
        rows,
        lambda *part: _halve(*part, values, centre, matrix.middle, *tables, count, width, at_once, found),
        max(1, 2**16 // (at_once * width)),
    )
    return LatticeMatrix(Lattice(nodes, c, lattice.spacing), found.reshape(-1, c, c, *nodes), matrix.symmetric)


def _every_other(field: np.ndarray, axis: int) -> np.ndarray:
    """The field at the nodes of the next level; at one beyond the lattice what is at the last inside."""
    if field.shape[axis] % 2 == 0:
        field = np.concatenate([field, field.take([-1], axis)], axis=axis)
    return field[(slice(None),) * axis + (slice(None, None, 2),)]


def _between(matrix: LatticeMatrix, free: Float[np.ndarray, "components *nodes"]) -> np.ndarray:
    """The entries between free unknowns, the others zero."""
    nodes, values = free.shape[1:], matrix.values
    padded, found = np.pad(free, [(0, 0)] + [(1, 1)] * len(nodes)), np.empty_like(values)
    for k, offset in enumerate(matrix.lattice.offsets[matrix.lattice.stored(matrix.symmetric)]):
        window = tuple(slice(1 + o, 1 + o + size) for o, size in zip(offset, nodes, strict=True))
        np.multiply(values[k], free[:, None] * padded[(slice(None), *window)], out=found[k])
    return found


@compiled
def _product(first, last, values, padded, steps, reach, symmetric, y):
    for start in range(first, last, _AT_ONCE):
        end = min(start + _AT_ONCE, last)
        for o in range(values.shape[0]):
            step = steps[o]
            for a in range(values.shape[1]):
                for b in range(values.shape[2]):
                    mine, other, total = values[o, a, b], padded[b], y[a]
                    for i in range(start, end):
                        total[index(i)] += mine[index(i)] * other[index(i + reach + step)]
                    if symmetric and o > 0:
                        mine = values[o, b, a]
                        for i in range(max(start, step), end):
                            total[index(i)] += mine[index(i - step)] * other[index(i + reach - step)]


@compiled
def _sum_magnitudes(first, last, values, steps, symmetric, total):
    total[:, first:last] = 0.0
    for o in range(values.shape[0]):
        step = steps[o]
        for a in range(values.shape[1]):
            for b in range(values.shape[2]):
                mine, whole = values[o, a, b], total[a]
                for i in range(first, last):
                    whole[index(i)] += abs(mine[index(i)])
                if symmetric and o > 0:
                    mine = values[o, b, a]
                    for i in range(max(first, step), last):
                        whole[index(i)] += abs(mine[index(i - step)])


@compiled
def _halve(
    first, last, values, centre, middle, shifts, sources, mirrored, steps, swapped, count, width, at_once, found
):
    """What the entry from 2I + a to 2I + a + o = 2J + b adds to that from I to J, over all a and b.

    Some rows of one offset and pair of components at a time; mirrored entries stand where their step leads from. Where
    the number of cells is odd, the last row is of a node beyond the lattice.
    """
    half = count // 2 + 1
    groups = (half + at_once - 1) // at_once
    before = found.shape[2] // (half * width)
    for item in range(first, last):
        rest, part = divmod(item, groups)
        rest, outer = divmod(rest, before)
        number, pair = divmod(rest, found.shape[1])
        total = found[number, pair]
        start, end = part * at_once, min((part + 1) * at_once, half)
        for a in range(-1, 2):
            begin, stop = max(start, 1 if a < 0 else 0), min(end, (count - a + 1) // 2)
            for b in range(-1, 2):
                o = 2 * shifts[number] + b - a
                if o < -1 or o > 1:
                    continue
                weight = (1.0 - 0.5 * abs(a)) * (1.0 - 0.5 * abs(b))
                source, step, mine = sources[number, o + 1], 0, values[0, 0]
                if mirrored[number, o + 1]:
                    step, mine = steps[source], values[source, swapped[pair]]
                elif source == middle:
                    mine = centre[pair]
                else:
                    mine = values[source, pair]
                for here in range(begin, stop):
                    there, into = (outer * count + 2 * here + a) * width - step, (outer * half + here) * width
                    for i in range(max(0, -there), width):
                        total[index(into + i)] += weight * mine[index(there + i)]
