"""Matrices on a lattice: values by offset, and sums over the cells by slices and pads instead of tables."""

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from gemel.engine.assembly.gathers import Entries
from gemel.engine.assembly.layout import ElementSum, MatrixLayout, MatrixSum, as_blocks, together
from gemel.engine.chunks import Chunks
from gemel.engine.compiling import one_program
from gemel.engine.spaces import FunctionSpace, Space
from gemel.loops import compiled, in_parts, index
from gemel.solvers.implicit import stop_gradient
from gemel.solvers.placing import on_device
from gemel.solvers.stencil import Lattice, StencilOperator

_FEWEST = 4096
"""Nodes from which on the products of a lattice save more than the compilation of its multigrid costs."""


def lattice_of(space: Space) -> Lattice | None:
    """The lattice of the nodes of a large space of degree 1 on a box or a rectangle of cells; None for another one.

    Such meshes say so by their ``shape``: a mesh with ``shape=None`` is never one.
    """
    if not isinstance(space, FunctionSpace) or space.mesh.shape is None or space.mesh.dim == 1:
        return None
    nodes = tuple(count + 1 for count in space.mesh.shape[::-1])
    if not space.continuous or space.degree != 1 or space.mesh.degree != 1 or min(nodes) < 3:
        return None
    if space.n_nodes != np.prod(nodes) or space.n_nodes < _FEWEST:
        return None
    return Lattice(nodes, space.n_components, _spacing(space, nodes))


def _spacing(space: FunctionSpace, nodes: tuple[int, ...]) -> tuple[float, ...]:
    """The mean distance of neighbours along each axis over the least of them, as a power of two, so that a mesh that
    changes its size a little is the same lattice; one where the points are not known.
    """
    points = stop_gradient(space.mesh.points)
    if isinstance(points, Tracer):
        return (1.0,) * len(nodes)
    x = np.ascontiguousarray(points, np.float64)
    means = []
    for axis, size in enumerate(nodes):
        stride = math.prod(nodes[axis + 1 :])
        parts = in_parts(len(x), lambda first, last, size=size, stride=stride: _lengths(x, first, last, size, stride))
        means.append(sum(parts) / (len(x) // size * (size - 1)))
    return tuple(2.0 ** round(np.log2(mean / min(means))) for mean in means)


@compiled
def _lengths(x, first, last, size, stride):
    """The sum of the distances of points to the next ones along an axis of so many, ``stride`` numbers further on."""
    total = 0.0
    for node in range(first, last):
        if node // stride % size < size - 1:
            squares = 0.0
            for d in range(x.shape[1]):
                squares += (x[index(node + stride), d] - x[index(node), d]) ** 2
            total += np.sqrt(squares)
    return total


_FEW = 16
"""Cells that are fewer than this part of all are summed one by one."""


class LatticeCells(eqx.Module):
    """Cells of the lattice whose unknowns are those of their corners, corner by corner, the last axis fastest.

    ``where`` says for every cell which element it is, one past the last for none; None where the elements are all
    cells in order.
    """

    where: Int[Array | np.ndarray, " n_cells"] | None

    def spread(self, values: Array, axis: int) -> Array:
        """One array a cell along an axis, zero for cells that are not among the elements."""
        if self.where is None:
            return values
        none = jnp.zeros_like(jax.lax.slice_in_dim(values, 0, 1, axis=axis))
        return jnp.take(jnp.concatenate([values, none], axis=axis), self.where, axis=axis)


LatticeGroup = LatticeCells | Entries


class LatticeVectorSum(ElementSum):
    """The assembly of element vectors on a lattice."""

    lattice: Lattice = eqx.field(static=True)
    groups: tuple[LatticeGroup, ...]

    @one_program
    def __call__(self, local: Sequence[Float[Array, "..."]]) -> Float[Array, " n"]:
        """The flat vector."""
        lattice, c = self.lattice, self.lattice.components
        total = jnp.zeros(lattice.n)
        cells = _spread(self.groups, local, 0)
        if cells is not None:
            sides = jnp.moveaxis(cells.reshape(*lattice.cells, -1, c), (-2, -1), (0, 1))
            parts = [_at_corner(part, corner) for part, corner in zip(_along(sides, 0), lattice.corners, strict=True)]
            total = lattice.join(functools.reduce(operator.add, parts))
        return _with_entries(total, self.groups, local)


class LatticeMatrixSum(MatrixSum):
    """The assembly of element matrices on a lattice.

    Where all cells are elements they are added plane by plane, as their matrices are computed: together those need two
    to three times the memory of the sums.
    """

    lattice: Lattice = eqx.field(static=True)
    groups: tuple[LatticeGroup, ...]

    def __call__(
        self, groups: Sequence[Sequence[Chunks]], total: Array | None = None, symmetric: bool = False
    ) -> Float[Array, "..."]:
        """The values of the `StencilOperator`."""
        lattice = self.lattice
        total = jnp.zeros(lattice.half if symmetric else lattice.shape) if total is None else total
        left: list[tuple[LatticeGroup, Sequence[Chunks]]] = []
        for group, mine in zip(self.groups, groups, strict=True):
            if isinstance(group, LatticeCells) and group.where is None:
                for chunks in mine:
                    planes = chunks.blocks(lattice.components, symmetric).in_units(math.prod(lattice.cells[1:]))
                    total = planes.folded(total, functools.partial(self._add, symmetric))
            else:
                left.append((group, mine))
        return self._with_others(total, left, symmetric) if left else total

    def _add(self, symmetric: bool, total: Array, blocks: Array, first: Any) -> Array:
        """``total`` with the blocks of whole planes of cells, from the one with number ``first`` on."""
        part = self._of_cells(blocks, symmetric)
        if part.shape == total.shape:
            return total + part
        at, axis = first // math.prod(self.lattice.cells[1:]), part.ndim - len(self.lattice.nodes)
        here = jax.lax.dynamic_slice_in_dim(total, at, part.shape[axis], axis)
        return jax.lax.dynamic_update_slice_in_dim(total, here + part, at, axis)

    def _with_others(
        self, total: Array, left: Sequence[tuple[LatticeGroup, Sequence[Chunks]]], symmetric: bool
    ) -> Float[Array, "..."]:
        """``total`` with groups that are some of the cells, and others."""
        packed = [
            [chunks.blocks(self.lattice.components, symmetric) for chunks in mine]
            if isinstance(group, LatticeCells)
            else mine
            for group, mine in left
        ]
        return self._sum(total, tuple(group for group, _ in left), together(packed), symmetric)

    @one_program
    def _sum(
        self, total: Array, groups: tuple[LatticeGroup, ...], local: Sequence[Float[Array, "..."]], symmetric: bool
    ) -> Float[Array, "..."]:
        lattice, cells = self.lattice, _spread(groups, local, 3)
        if cells is not None:
            total = total + self._of_cells(cells, symmetric)
        left_out = math.prod(lattice.shape[1:]) * lattice.middle if symmetric else 0
        return _with_entries(total, groups, local, left_out)

    def _of_cells(self, blocks: Float[Array, "pairs c c m"], symmetric: bool) -> Array:
        """The sums over whole planes of cells, at their nodes: a pair of corners of a cell adds to the offset between
        them, at the first one.
        """
        lattice, corners = self.lattice, self.lattice.corners
        numbers = [(a, b) for a in range(len(corners)) for b in range(a if symmetric else 0, len(corners))]
        parts = _along(blocks.reshape(*blocks.shape[:3], -1, *lattice.cells[1:]), 0)
        pairs = dict(zip(numbers, parts, strict=True))
        stencil = []
        for offset in lattice.offsets[lattice.stored(symmetric)]:
            ends = [tuple(x + step for x, step in zip(corner, offset, strict=True)) for corner in corners]
            found = [(a, corners.index(end)) for a, end in enumerate(ends) if end in corners]
            stencil.append(functools.reduce(operator.add, (_at_corner(pairs[a, b], corners[a]) for a, b in found)))
        return jnp.stack(stencil)


class LatticeLayout(MatrixLayout):
    """Values by offset on a lattice whose nodes are the blocks, all neighbours stored.

    ``links`` are the pairs of nodes that share an element; None where all do that share a cell.
    """

    lattice: Lattice = eqx.field(static=True)
    links: Int[Array, "2 _"] | None

    @staticmethod
    def plan(
        lattice: Lattice, groups: Sequence[Sequence[np.ndarray]]
    ) -> "tuple[LatticeLayout, list[LatticeMatrixSum]] | None":
        """The layout, and the assembly of the matrices of each list of groups of elements, given by their unknowns
        ``(n_elements, n_local)``.

        None where an element couples nodes that are no neighbours on the lattice, and where the values are too many
        to number with 32 bits.
        """
        if np.prod(lattice.shape, dtype=np.int64) >= 2**31:
            return None
        pairs, whole = [np.zeros((2, 0), dtype=np.int64)], False
        for dofs in itertools.chain(*groups):
            cells = _cell_numbers(lattice, dofs)
            whole = whole or (cells is not None and bool(np.bincount(cells, minlength=lattice.n_cells).all()))
            if cells is None or not whole:
                blocks, _ = as_blocks(dofs, lattice.components)
                pairs.append(_pairs(blocks))
            if cells is None and lattice.offset_numbers(*pairs[-1]) is None:
                return None
        links = None if whole else on_device(np.concatenate(pairs, axis=1).astype(np.int32))
        layout = LatticeLayout(lattice, links)
        return layout, [layout._matrix_sum(mine) for mine in groups]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the values of a `StencilOperator`."""
        return self.lattice.shape

    def graph(self) -> scipy.sparse.csr_array:
        """The pairs that share an element; only those along the axes where all cells are elements."""
        n = self.lattice.n_nodes
        if self.links is not None:
            first, second = np.asarray(self.links)
            return scipy.sparse.csr_array((np.ones(len(first), dtype=bool), (first, second)), shape=(n, n))
        here, there = [], []
        numbers = np.arange(n).reshape(self.lattice.nodes)
        for axis, size in enumerate(numbers.shape):
            here.append(numbers.take(range(size - 1), axis).ravel())
            there.append(numbers.take(range(1, size), axis).ravel())
        first, second = np.concatenate(here), np.concatenate(there)
        return scipy.sparse.csr_array((np.ones(len(first), dtype=bool), (first, second)), shape=(n, n))

    def plan_vector(self, dofs: Sequence[np.ndarray]) -> LatticeVectorSum:
        """Plan the assembly of element vectors into a flat vector, for groups of elements with these unknowns."""
        return LatticeVectorSum(self.lattice, tuple(self._group(np.asarray(group), np.asarray) for group in dofs))

    def _matrix_sum(self, dofs: Sequence[np.ndarray]) -> LatticeMatrixSum:
        """The assembly of element matrices into the values of a `StencilOperator`."""
        return LatticeMatrixSum(self.lattice, tuple(self._group(np.asarray(group), self._positions) for group in dofs))

    def _group(self, dofs: np.ndarray, positions: Callable[[np.ndarray], np.ndarray]) -> LatticeGroup:
        """How elements with these unknowns are summed; ``positions`` are those of their entries."""
        cells, count = _cell_numbers(self.lattice, dofs), self.lattice.n_cells
        if cells is not None and np.array_equal(cells, np.arange(count)):
            return LatticeCells(None)
        if cells is not None and _FEW * len(cells) >= count and np.bincount(cells).max() == 1:
            where = np.full(count, len(cells), dtype=np.int32)
            where[cells] = np.arange(len(cells), dtype=np.int32)
            return on_device(LatticeCells(where))
        return Entries.plan(positions(dofs))

    def _positions(self, dofs: np.ndarray) -> np.ndarray:
        """Where each entry of the element matrices stands in the flat values."""
        lattice, c = self.lattice, self.lattice.components
        (rows, a), (columns, b) = (np.divmod(side, c) for side in _pairs(dofs.astype(np.int64)))
        offset = lattice.offset_numbers(rows, columns)
        if offset is None:
            raise ValueError("These elements couple nodes that are no neighbours on the lattice.")
        return ((offset * c + a) * c + b) * lattice.n_nodes + rows

    def operator(
        self,
        values: Float[Array, "..."],
        free: Array | np.ndarray | None = None,
        diagonal: Any = 1.0,
        *,
        symmetric: bool,
    ) -> StencilOperator:
        """The operator with the given values; ``free`` and ``diagonal`` as in `MatrixLayout`."""
        operator = StencilOperator.of(self.lattice, values, symmetric)
        return operator if free is None else operator.restricted(jnp.asarray(free), diagonal)


def _cell_numbers(lattice: Lattice, dofs: np.ndarray) -> np.ndarray | None:
    """Which cell of the lattice each element is, where all are whole cells, corner by corner; else None."""
    c, corners = lattice.components, np.asarray(np.ravel_multi_index(np.transpose(lattice.corners), lattice.nodes))
    local = (corners[:, None] * c + np.arange(c)).ravel()
    if dofs.shape[1] != len(local):
        return None
    tables = (np.ascontiguousarray(dofs), local, np.asarray(lattice.nodes), np.empty(len(dofs), np.int64))
    fits = in_parts(len(dofs), lambda first, last: _number_cells(first, last, c, *tables))
    return tables[-1] if all(fits) else None


@compiled
def _number_cells(first, last, width, dofs, local, nodes, numbers):
    """Write the numbers of cells whose unknowns are ``local`` from the first one on; False where there are others."""
    for element in range(first, last):
        start = dofs[element, 0]
        if start % width:
            return False
        for k in range(len(local)):
            if dofs[element, k] != start + local[k]:
                return False
        node, number, stride = start // width, 0, 1
        for axis in range(len(nodes) - 1, -1, -1):
            at, size = node % nodes[axis], nodes[axis]
            if at == size - 1:
                return False
            number += at * stride
            node, stride = node // size, stride * (size - 1)
        numbers[element] = number
    return True


def _pairs(members: np.ndarray) -> np.ndarray:
    """All ordered pairs of the members ``(n_elements, n)`` of each element, ``(2, n² n_elements)``."""
    count, n = members.shape
    first, second = members.T[:, None], members.T[None]
    return np.stack([np.broadcast_to(side, (n, n, count)).ravel() for side in (first, second)])


def _spread(groups: Sequence[LatticeGroup], local: Sequence[Array], axis: int) -> Array | None:
    """The sum of the groups that are cells, one array a cell along an axis; None where there are none."""
    both = zip(groups, local, strict=True)
    arrays = [group.spread(mine, axis) for group, mine in both if isinstance(group, LatticeCells)]
    return functools.reduce(operator.add, arrays) if arrays else None


def _with_entries(total: Array, groups: Sequence[LatticeGroup], local: Sequence[Array], left_out: int = 0) -> Array:
    """``total``, an array without its first so many numbers, and what the other groups add."""
    for group, mine in zip(groups, local, strict=True):
        if isinstance(group, Entries):
            total = group.add(total, mine, left_out)
    return total


def _along(array: Array, axis: int) -> list[Array]:
    """The parts of an array along an axis. The transpose of a split joins them, that of indexing fills one whole array
    with zeros for each part.
    """
    parts = jax.lax.split(array, (1,) * array.shape[axis], axis)
    return [jax.lax.squeeze(part, (axis,)) for part in parts]


def _at_corner(cells: Array, corner: tuple[int, ...]) -> Array:
    """Values of cells ``(..., *cells)`` at one of their corners, zero at nodes that are no such corner."""
    sides = [(0, 0)] * (cells.ndim - len(corner))
    return jnp.pad(cells, [*sides, *((bit, 1 - bit) for bit in corner)])
