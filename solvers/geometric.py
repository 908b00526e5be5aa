"""Geometric multigrid for operators on lattices: coarse levels by Galerkin's product, formed on the host where values
are known there, else on the device.
"""

import dataclasses
import functools
import itertools
import operator
from collections.abc import Iterable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.solvers.block_rows import generalised_inverse, inverse_of
from gemel.solvers.chebyshev import Chebyshev, largest_eigenvalue_of
from gemel.solvers.lattice_levels import LatticeMatrix
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.multigrid import AMG, check_finite, in_precision
from gemel.solvers.operators import LinearOperator
from gemel.solvers.placing import on_device
from gemel.solvers.reforming import pseudo_inverse
from gemel.solvers.stencil import Lattice, StencilOperator

_ALIKE = 1.5
"""Axes are halved together where their spacings are within this factor of the finest one."""


_SPAN = 4.0
"""How much of the spectrum of a level is left to its smoother."""


class Level(eqx.Module):
    """One level: its matrix, the inverse of its diagonal, its largest eigenvalue, which unknowns are free, and which
    axes the next one has half as many cells along.
    """

    operator: StencilOperator
    inverse_diagonal: Float[Array, " n"]
    largest: Float[Array, ""]
    free: Float[Array, "components *nodes"]
    axes: tuple[int, ...] = eqx.field(static=True)


class Levels(eqx.Module):
    """The state of `Multigrid` on a lattice: levels from fine to coarse, and a solver's state for the last one.

    They are those of the operator over its ``size``, so that single precision has room on both sides.
    """

    levels: tuple[Level, ...]
    coarse: Any
    size: Float[Array, ""]


class Multigrid(Preconditioner):
    r"""One symmetric V-cycle: geometric for a `StencilOperator`, else that of ``algebraic``.

    Axes are halved, those with finer spacing first, down to two cells; of an odd number the last coarse cell reaches
    beyond the lattice by half. Interpolation is linear along each, $A_c = P^\top A P$, and unknowns that couple with no
    other (prescribed ones) stay out of it. Smoothing is by Chebyshev polynomials. The coarsest level is inverted where
    it has at most ``coarse`` unknowns, and handed to ``algebraic`` where it has more, which needs known values: then
    call ``init`` outside jit.

    - ``degree``: of the smoothing polynomial.
    - ``coarse``: largest size of the coarsest level that is inverted densely.
    - ``dtype``: of the geometric cycle; ``"float32"`` halves its traffic inside a float64 Krylov method.

    Trottenberg, Oosterlee, Schüller, *Multigrid*, Academic Press (2001); smoother: Adams, Brezina, Hu, Tuminaro,
    J. Comput. Phys. 188 (2003).
    """

    algebraic: AMG = AMG()
    degree: int = eqx.field(static=True, default=2)
    coarse: int = eqx.field(static=True, default=800)
    dtype: Literal["float64", "float32"] = eqx.field(static=True, default="float32")

    def __check_init__(self):
        if self.degree < 1:
            raise ValueError(f"Multigrid degree {self.degree}: the smoother needs at least 1.")
        if self.dtype not in ("float64", "float32"):
            raise ValueError(f"Multigrid dtype {self.dtype!r}: use 'float64' or 'float32'.")

    def init(self, operator: LinearOperator) -> Any:
        """Form the levels. Raises `ValueError` for known values that are not finite, and inside jit where a part is set
        up on the host.
        """
        if not isinstance(operator, StencilOperator):
            return self.algebraic.init(operator)
        if not _halved(operator.lattice) and operator.n > self.coarse:
            return self.algebraic.init(operator)
        modes = self.algebraic.near_nullspace
        if modes is not None and modes.shape[0] != operator.n:
            raise ValueError(f"near_nullspace has {modes.shape[0]} rows; the operator has {operator.n} unknowns.")
        if _on_host(operator):
            check_finite(np.asarray(operator.values), "Multigrid")
            levels, last, size = _form_on_host(operator, self.coarse, self.dtype)
            if last.n <= self.coarse:
                inverse = generalised_inverse(last.to_scipy().toarray(), last.symmetric)
                return Levels(levels, on_device(inverse.astype(self.dtype)), size)
        else:
            if not isinstance(operator.values, Tracer):
                check_finite(operator.values, "Multigrid")
            size = _size(operator)
            levels, last = _form(operator, size, self.coarse, self.dtype)
            if last.n <= self.coarse:
                return Levels(levels, _inverse(last).astype(self.dtype), size)
        if isinstance(last.values, Tracer):
            raise ValueError(
                f"The coarsest lattice has {last.n} unknowns, and AMG needs known values to go on from there: call "
                "solver.init(operator) outside jit, grad and vmap, and pass the result as state."
            )
        for level in levels:
            modes = None if modes is None else _injected(level, np.asarray(modes))
        return Levels(levels, dataclasses.replace(self.algebraic, near_nullspace=modes).init(last), size)

    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Keep the levels; form them again where ``algebraic`` re-forms its own."""
        if not self.algebraic.reform:
            return state
        if not isinstance(state, Levels):
            return self.algebraic.update(state, operator)
        assert isinstance(operator, StencilOperator)
        size = _size(operator)
        levels, last = _form(operator, size, self.coarse, self.dtype)
        if isinstance(state.coarse, jax.Array):
            return Levels(levels, _inverse(last).astype(self.dtype), size)
        return Levels(levels, self.algebraic.update(state.coarse, last), size)

    def apply(self, state: Any, r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return one V-cycle from a zero guess."""
        if not isinstance(state, Levels):
            return self.algebraic.apply(state, r)
        return in_precision(lambda b: self._cycle(state, 0, b), r, state.size, self.dtype)

    def _cycle(self, state: Levels, depth: int, b: Array) -> Array:
        if depth == len(state.levels):
            return state.coarse @ b if isinstance(state.coarse, jax.Array) else self.algebraic.apply(state.coarse, b)
        level = state.levels[depth]
        smoother = Chebyshev(level.operator.mv, level.inverse_diagonal, level.largest, self.degree, _SPAN)
        return smoother.around(b, lambda r: _prolong(level, self._cycle(state, depth + 1, _restrict(level, r))))


def _on_host(operator: StencilOperator) -> bool:
    """Whether the values are known, and at hand without moving them."""
    values = operator.values
    if isinstance(values, jax.Array):
        return not isinstance(values, Tracer) and all(device.platform == "cpu" for device in values.devices())
    return True


def _form_on_host(
    operator: StencilOperator, coarse: int, dtype: str
) -> tuple[tuple[Level, ...], StencilOperator, Float[Array, ""]]:
    """As `_form`, and the size: nothing is compiled, which for every level takes a second and more."""
    matrix = LatticeMatrix(operator.lattice, np.asarray(operator.values, np.float64), operator.symmetric)
    free, magnitude = matrix.free(), np.abs(matrix.centre())
    size = float((free.reshape(magnitude.shape) * magnitude).sum() / max(free.sum(), 1.0)) or 1.0
    levels = []
    while matrix.lattice.n > coarse and (axes := _halved(matrix.lattice)):
        lattice, values = matrix.lattice, np.empty(matrix.values.shape, dtype)
        np.multiply(matrix.values, 1.0 / size, out=values, casting="same_kind")  # new memory is dear: no other copy
        largest = np.asarray(matrix._replace(values=values).largest_eigenvalue(), dtype)
        inverse = inverse_of(matrix.centre().T.ravel() / size)
        values, inverse, kept = on_device((values, inverse.astype(dtype), free.astype(dtype)))
        mine = StencilOperator(lattice, values, operator.symmetric)
        levels.append(Level(mine, inverse, jnp.asarray(largest), kept, axes))
        matrix = matrix.coarser(_coarser(lattice, axes), axes, free, size)
        free = matrix.free()
    last = on_device(matrix.values / size)
    return tuple(levels), StencilOperator(matrix.lattice, last, operator.symmetric), jnp.asarray(size)


@eqx.filter_jit
def _form(operator: StencilOperator, size: Array, coarse: int, dtype: str) -> tuple[tuple[Level, ...], StencilOperator]:
    """The levels of the operator over ``size`` above the coarsest one, in the precision of the cycle, and its operator.

    Products of levels are in the operator's precision: in a lower one a body that nothing holds would lose its motions.
    """
    levels, operator = [], operator.scaled(1.0 / size)
    while operator.n > coarse and (axes := _halved(operator.lattice)):
        diagonal = operator.diagonal()
        inverse = (1.0 / jnp.where(diagonal == 0, 1.0, diagonal)).astype(dtype)
        mine = StencilOperator(operator.lattice, operator.values.astype(dtype), operator.symmetric)
        free = _free(operator)
        levels.append(Level(mine, inverse, largest_eigenvalue_of(mine.mv, inverse), free.astype(dtype), axes))
        operator = _galerkin(operator, free, axes)
    return tuple(levels), operator


@eqx.filter_jit
def _inverse(operator: StencilOperator) -> Float[Array, "n n"]:
    indptr, columns, places = operator.lattice.entries(operator.symmetric)
    rows = np.repeat(np.arange(operator.n), np.diff(indptr))
    matrix = jnp.zeros((operator.n, operator.n)).at[rows, columns].set(operator.values.reshape(-1)[places])
    return pseudo_inverse(matrix, operator.symmetric)


@eqx.filter_jit
def _size(operator: StencilOperator) -> Float[Array, ""]:
    """The mean diagonal of the free unknowns; one where there are none."""
    free, magnitude = _free(operator), jnp.abs(operator.centre())
    mean = jnp.sum(free * magnitude) / jnp.maximum(jnp.sum(free), 1.0)
    return jnp.where(mean > 0, mean, 1.0)


def _halved(lattice: Lattice) -> tuple[int, ...]:
    """The axes along which the next level has half as many cells; none where a fine axis has two or fewer."""
    finest = min(lattice.spacing)
    fine = tuple(axis for axis, spacing in enumerate(lattice.spacing) if spacing <= _ALIKE * finest)
    return fine if all(lattice.nodes[axis] > 3 for axis in fine) else ()


def _coarser(lattice: Lattice, axes: tuple[int, ...]) -> Lattice:
    nodes = tuple(n // 2 + 1 if axis in axes else n for axis, n in enumerate(lattice.nodes))
    spacing = tuple(2 * h if axis in axes else h for axis, h in enumerate(lattice.spacing))
    return Lattice(nodes, lattice.components, spacing)


def _free(operator: StencilOperator) -> Float[Array, "components *nodes"]:
    """One where an unknown couples with another, else zero."""
    magnitudes = StencilOperator(operator.lattice, jnp.abs(operator.values), operator.symmetric)
    sums = operator.lattice.split(magnitudes.mv(jnp.ones(operator.n, operator.values.dtype)))
    return (sums > jnp.abs(operator.centre())).astype(operator.values.dtype)


def _sum(terms: Iterable[Array]) -> Array:
    return functools.reduce(operator.add, terms)


def _galerkin(operator: StencilOperator, free: Array, axes: tuple[int, ...]) -> StencilOperator:
    """$P^T A P$, with one on the diagonal of unknowns that are not free."""
    lattice, d, c = operator.lattice, len(operator.lattice.nodes), operator.lattice.components
    values = operator.whole().reshape(lattice.unfolded)
    centre = (1,) * d
    if operator.symmetric:  # what is not free couples with nothing: its diagonal alone must go
        for a in range(c):
            values = values.at[(*centre, a, a)].multiply(free[a])
    else:
        values = _between(values, free)
    for axis in axes:
        values = _halve(values, axis, d + 2 + axis)
    coarser, free = _coarser(lattice, axes), _every_other(free, axes)
    values = _between(values, free)
    for a in range(c):
        values = values.at[(*centre, a, a)].add(1.0 - free[a])
    return StencilOperator.of(coarser, values.reshape(coarser.shape), operator.symmetric)


def _between(values: Array, free: Float[Array, "components *nodes"]) -> Array:
    """The entries between free unknowns, the others zero; by a loop over offsets, which compiles in a third of the
    time that all of them side by side take.
    """
    nodes = free.shape[1:]
    d = len(nodes)
    padded = jnp.pad(free, [(0, 0)] + [(1, 1)] * d)
    offsets = jnp.asarray(list(np.ndindex(*(3,) * d)))

    def at(item: tuple[Array, Array]) -> Array:
        offset, mine = item
        columns = jax.lax.dynamic_slice(padded, (0, *offset), free.shape)
        return mine * free[:, None] * columns

    return jax.lax.map(at, (offsets, values.reshape(-1, *values.shape[d:]))).reshape(values.shape)


def _halve(values: Array, offsets: int, nodes: int) -> Array:
    r"""Galerkin's product along one axis, $\sum_{ab} w_a w_b A(2I + a, 2J + b)$ with weights 1/2, 1, 1/2."""
    values = _evened(values, nodes)
    even, odd = _strided(values, nodes, 0), _strided(values, nodes, 1)
    sides = [(0, 0)] * values.ndim
    before, after = list(sides), list(sides)
    before[nodes], after[nodes] = (1, 0), (0, 1)
    rows = (jnp.pad(odd, before), even, jnp.pad(odd, after))
    parts = [
        _sum(_WEIGHTS[shift, a, o] * jax.lax.index_in_dim(rows[a], o, offsets) for a, o in np.argwhere(_WEIGHTS[shift]))
        for shift in range(3)
    ]
    return jnp.concatenate(parts, axis=offsets)


def _galerkin_weights() -> np.ndarray:
    """``(J - I, a, o)``, what the entry from 2I + a to 2I + a + o = 2J + b adds to that from I to J."""
    weight, table = (0.5, 1.0, 0.5), np.zeros((3, 3, 3))
    for shift, a, b in itertools.product((-1, 0, 1), repeat=3):
        if abs(2 * shift + b - a) <= 1:
            table[shift + 1, a + 1, 2 * shift + b - a + 1] = weight[a + 1] * weight[b + 1]
    return table


_WEIGHTS = _galerkin_weights()


def _strided(values: Array, axis: int, start: int) -> Array:
    return jax.lax.slice_in_dim(values, start, None, 2, axis=axis)


def _evened(field: Array, axis: int, mode: Any = "constant") -> Array:
    """The field with another node at the end of an axis that has an odd number of cells, by default of zero."""
    missing = 1 - field.shape[axis] % 2
    return jnp.pad(field, [(0, missing if k == axis else 0) for k in range(field.ndim)], mode) if missing else field


def _every_other(field: Array, axes: tuple[int, ...]) -> Array:
    """The field at the nodes of the next level; at one beyond the lattice what is at the last inside."""
    for axis in axes:
        field = _strided(_evened(field, axis + 1, "edge"), axis + 1, 0)
    return field


def _injected(level: Level, modes: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "m k"]:
    """The rows of modes at the nodes of the next level: interpolation is exact for those that are linear in space."""
    lattice = level.operator.lattice
    table = modes.reshape(*lattice.nodes, lattice.components, -1)
    for axis in level.axes:
        beyond = 2 * table.take([-1], axis) - table.take([-2], axis)
        table = np.concatenate([table, beyond], axis=axis)[(slice(None),) * axis + (slice(None, None, 2),)]
    return table.reshape(-1, table.shape[-1])


def _restrict(level: Level, r: Array) -> Array:
    """$P^T r$."""
    lattice = level.operator.lattice
    field = lattice.split(r) * level.free
    for axis in level.axes:
        field = _evened(field, axis + 1)
        even, odd = _strided(field, axis + 1, 0), 0.5 * _strided(field, axis + 1, 1)
        sides = [(0, 0)] * field.ndim
        after, before = list(sides), list(sides)
        after[axis + 1], before[axis + 1] = (0, 1), (1, 0)
        field = even + jnp.pad(odd, after) + jnp.pad(odd, before)
    return _coarser(lattice, level.axes).join(field * _every_other(level.free, level.axes))


def _prolong(level: Level, x: Array) -> Array:
    """$P x$."""
    lattice = level.operator.lattice
    field = _coarser(lattice, level.axes).split(x) * _every_other(level.free, level.axes)
    for axis in level.axes:
        size = field.shape[axis + 1]
        middle = 0.5 * (
            jax.lax.slice_in_dim(field, 0, size - 1, axis=axis + 1)
            + jax.lax.slice_in_dim(field, 1, size, axis=axis + 1)
        )
        sides = [(0, 0)] * field.ndim
        sides[axis + 1] = (0, 1)
        pairs = jnp.stack([field, jnp.pad(middle, sides)], axis=axis + 2)
        shape = (*field.shape[: axis + 1], 2 * size, *field.shape[axis + 2 :])
        field = jax.lax.slice_in_dim(pairs.reshape(shape), 0, lattice.nodes[axis], axis=axis + 1)
    return lattice.join(field * level.free)
