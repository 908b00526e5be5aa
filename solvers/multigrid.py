"""Algebraic multigrid: hierarchies built on the host, cycles applied inside JAX."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyamg
import scipy.sparse
from jaxtyping import Array, Float

from gemel.loops import in_parts
from gemel.solvers.aggregation import HostLevel, constants, smoothed_aggregation
from gemel.solvers.bilinear import product
from gemel.solvers.block_rows import BlockRows, generalised_inverse, inverse_of, largest_eigenvalue
from gemel.solvers.chebyshev import Chebyshev, largest_eigenvalue_of
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.nesting import Prolongation, nested_levels
from gemel.solvers.operators import LinearOperator
from gemel.solvers.padded_product import Structure
from gemel.solvers.padded_rows import PaddedRows, build_rows, collected, filled
from gemel.solvers.placing import known, on_device
from gemel.solvers.reforming import Probes, dense, pseudo_inverse
from gemel.solvers.sparse import SparseOperator


class _Rows(eqx.Module):
    """A constant, possibly rectangular matrix in padded rows."""

    rows: PaddedRows
    values: tuple[Array, ...]

    def mv(self, x: Array) -> Array:
        return product(Structure(self.rows), self.values, x)

    def cast(self, dtype: Any) -> "_Rows":
        """The same in another precision."""
        return _Rows(self.rows, tuple(values.astype(dtype) for values in self.values))


class _Level(eqx.Module):
    """One level: its matrix, inverse diagonal, Chebyshev interval, and transfer to the next coarser level."""

    matrix: _Rows
    inverse_diagonal: Array
    largest: Array
    prolongation: _Rows
    restriction: _Rows


class Hierarchy(eqx.Module):
    """The state of `AMG`: levels from fine to coarse, and the inverse of the coarsest matrix.

    They are those of the operator over its ``size``, so that single precision has room on both sides. ``probes`` read
    the matrix of each level off its product where they are re-formed, None where that of the operator is at hand.
    """

    levels: tuple[_Level, ...]
    coarse_inverse: Array
    size: Float[Array, ""]
    probes: tuple[Probes | None, ...] | None = None


class AMG(Preconditioner):
    """One V-cycle of algebraic multigrid with a Chebyshev smoother: symmetric, and mesh-independent for
    elliptic problems.

    The hierarchy is built once on the host, from concrete values; it remains a good preconditioner while
    values change moderately, so ``update`` keeps it, unless ``reform`` asks for new coarse matrices. In jit pass the
    state: ``state = solver.init(operator)`` outside.

    - ``method``: ``"smoothed_aggregation"`` (the choice for elasticity, with ``near_nullspace``) or ``"ruge_stuben"``
      (scalar problems).
    - ``near_nullspace`` (n, k): the near-kernel, for elasticity the rigid-body modes; None is the constant vector.
      Zero its rows at Dirichlet unknowns.
    - ``nested``: `Prolongation` from coarser spaces that the finer ones hold, from the finest down; aggregation goes on
      from the last. Of a lower degree on the same mesh this is p-multigrid, on the meshes before refinement geometric
      multigrid.
    - ``block``: unknowns per node, interleaved; aggregation then works on nodes.
    - ``strength``: threshold of strong connections: s_ij > strength √(m_i m_j), where s_ij is -a_ij, minus the trace
      of a block (on coarser levels its norm unless cells are thin), and m_i the largest of them in a row. The default
      coarsens thin cells and strong anisotropy along what is strong alone; where there is none, 0.1 to 0.25 makes
      smaller coarse levels.
    - ``degree``: of the smoothing polynomial.
    - ``coarse``: largest size of the coarsest level, which is inverted densely.
    - ``reform``: ``update`` keeps the prolongations and forms the coarse matrices of the new values, on the device and
      inside jit: worth it where values change by more than a factor of about ten between solves.
    - ``dtype``: of the cycle; ``"float32"`` needs two thirds of the traffic inside a float64 CG. GMRES takes a third
      more steps with it to 1e-8: it adds its directions up before a last cycle, whose rounding it does not see.

    Vaněk, Mandel, Brezina, Computing 56 (1996); Ruge, Stüben, in *Multigrid Methods* (1987); smoother:
    Adams, Brezina, Hu, Tuminaro, J. Comput. Phys. 188 (2003).
    """

    method: Literal["smoothed_aggregation", "ruge_stuben"] = eqx.field(static=True, default="smoothed_aggregation")
    # An array of numpy would be moved to the device in every call of a compiled program.
    near_nullspace: Float[np.ndarray | Array, "n k"] | None = eqx.field(default=None, converter=on_device)
    nested: tuple[Prolongation, ...] = ()
    block: int = eqx.field(static=True, default=1)
    strength: float = eqx.field(static=True, default=0.4)
    degree: int = eqx.field(static=True, default=2)
    coarse: int = eqx.field(static=True, default=800)
    reform: bool = eqx.field(static=True, default=False)
    dtype: Literal["float64", "float32"] = eqx.field(static=True, default="float64")

    def __check_init__(self):
        if self.method not in ("smoothed_aggregation", "ruge_stuben"):
            raise ValueError(f"AMG method {self.method!r}: use 'smoothed_aggregation' or 'ruge_stuben'.")
        if self.dtype not in ("float64", "float32"):
            raise ValueError(f"AMG dtype {self.dtype!r}: use 'float64' or 'float32'.")
        if self.degree < 1:
            raise ValueError(f"AMG degree {self.degree}: the smoother needs at least 1.")

    def init(self, operator: LinearOperator) -> Hierarchy:
        """Build the hierarchy on the host. Raises `ValueError` inside jit, where values are not known, and where they
        are not finite.
        """
        if not known(operator):
            raise ValueError(
                "AMG needs known values to build its hierarchy: call solver.init(operator) outside jit, grad "
                "and vmap, and pass the result as state."
            )
        if operator.n % self.block:
            raise ValueError(f"AMG block {self.block} does not divide {operator.n} unknowns.")
        matrix, dtype = _on_host(operator, self.block), np.dtype(self.dtype)
        check_finite(matrix.data, "AMG")
        magnitude = np.abs(matrix.diagonal())
        size = float(magnitude[magnitude > 0].mean()) if magnitude.any() else 1.0
        _divide(matrix.data, size, matrix.data)
        levels = self._build(operator, matrix)
        del matrix  # each level's is dropped where it has been converted
        with jax.ensure_compile_time_eval():
            fine, coarse, probes = _converted(levels, _known_rows(operator, size, dtype), dtype, self.reform)
            inverse = on_device(generalised_inverse(coarse.toarray(), operator.symmetric).astype(dtype))
            return Hierarchy(fine, inverse, jnp.asarray(size), probes if self.reform else None)

    def _build(self, operator: LinearOperator, matrix: BlockRows) -> Iterable[HostLevel]:
        n = operator.n
        if self.method == "ruge_stuben":
            known, strength = scipy.sparse.csr_matrix(matrix.to_scipy()), ("classical", {"theta": 0.25})
            solver = pyamg.ruge_stuben_solver(known, strength=strength, max_coarse=self.coarse, max_levels=20)
            return _measured(solver.levels)
        modes = constants(n, self.block) if self.near_nullspace is None else np.array(self.near_nullspace, np.float64)
        if modes.shape[0] != n:
            raise ValueError(f"near_nullspace has {modes.shape[0]} rows; the operator has {n} unknowns.")
        if not self.nested:
            near = _known_order(operator, self.block)
            return smoothed_aggregation(matrix, modes, self.strength, self.coarse, near)
        above, matrix, modes = nested_levels(matrix, modes, self.nested, self.coarse)
        return itertools.chain(above, smoothed_aggregation(matrix, modes, self.strength, self.coarse))

    def update(self, state: Hierarchy, operator: LinearOperator) -> Hierarchy:
        """Keep the hierarchy, or its prolongations alone."""
        return state if state.probes is None else _reformed(state, operator, self.dtype)

    def apply(self, state: Hierarchy, r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return one V-cycle from a zero guess."""
        return in_precision(lambda b: self._cycle(state, 0, b), r, state.size, self.dtype)

    def _cycle(self, state: Hierarchy, depth: int, b: Array) -> Array:
        if depth == len(state.levels):
            return state.coarse_inverse @ b
        level = state.levels[depth]
        smoother = Chebyshev(level.matrix.mv, level.inverse_diagonal, level.largest, self.degree, 8.0)

        def correction(r: Array) -> Array:
            return level.prolongation.mv(self._cycle(state, depth + 1, level.restriction.mv(r)))

        return smoother.around(b, correction)


def check_finite(values: np.ndarray | Array, method: str) -> None:
    """Raise `ValueError` for entries of a matrix that are not finite; looked at where they are."""
    good = np.isfinite(values).sum() if isinstance(values, np.ndarray) else _count_finite(values)
    bad = int(values.size - good)
    if bad:
        raise ValueError(
            f"{method}: {bad} entries of the matrix are not finite; look for coefficients that are not, and for cells "
            "without volume."
        )


@jax.jit
def _count_finite(values: Array) -> Array:
    return jnp.sum(jnp.isfinite(values))


def in_precision(
    cycle: Callable[[Array], Array], r: Float[Array, " n"], size: Float[Array, ""], dtype: str
) -> Float[Array, " n"]:
    """A linear cycle for an operator over its ``size``, applied to r in another precision; scaled to fit there."""
    largest = jnp.max(jnp.abs(r))
    largest = jnp.where(largest > 0, largest, 1.0)
    return largest / size * cycle((r / largest).astype(dtype)).astype(r.dtype)


def _measured(levels: Sequence[Any]) -> list[HostLevel]:
    """The levels of pyamg with what the smoother needs to know."""
    found = []
    for level in levels:
        matrix = BlockRows.of(level.A)
        if len(found) == len(levels) - 1:
            return [*found, HostLevel(matrix, np.ones(0), 0.0, None)]
        inverse = inverse_of(matrix.diagonal())
        found.append(HostLevel(matrix, inverse, largest_eigenvalue(matrix.mv, inverse), BlockRows.of(level.P)))
    return found


def _on_host(operator: LinearOperator, block: int) -> BlockRows:
    """The matrix of an operator in blocks, in memory of its own."""
    if isinstance(operator, SparseOperator) and operator.pattern.width == block:
        p, values = operator.pattern, [np.asarray(v, np.float64) for v in operator.values]
        indptr = np.array(p.indptr)
        return BlockRows(indptr, p.indices(), collected(values, p.forward.stored(), indptr, (block, block)), p.nodes)
    return BlockRows.of(operator.to_scipy(), (block, block))


def _known_order(operator: LinearOperator, block: int) -> np.ndarray | None:
    """The order in which products of the operator take its nodes of ``block`` unknowns, where there is one."""
    if not isinstance(operator, SparseOperator) or operator.pattern.width != block:
        return None
    near = operator.pattern.forward.near
    return None if near is None else np.asarray(near)


def _known_rows(operator: LinearOperator, size: float, dtype: np.dtype) -> Callable[[], _Rows] | None:
    """What makes the rows of a matrix over its ``size`` that lies in padded rows already; None for another operator."""
    if not isinstance(operator, SparseOperator):
        return None

    def rows() -> _Rows:
        scaled = tuple(np.empty(values.shape, dtype) for values in operator.values)
        for values, table in zip(operator.values, scaled, strict=True):
            _divide(np.asarray(values), size, table)  # on the host: it compiles nothing
        return _Rows(operator.pattern.forward, on_device(scaled))

    return rows


def _divide(values: np.ndarray, size: float, into: np.ndarray) -> None:
    """Numbers over a size, in threads."""
    flat, result = values.reshape(-1), into.reshape(-1)

    def part(first: int, last: int) -> None:
        np.divide(flat[first:last], size, out=result[first:last], casting="same_kind")

    in_parts(len(flat), part, 2**16)


def _convert_rows(matrix: BlockRows, dtype: np.dtype, probed: bool = False) -> tuple[_Rows, Probes | None]:
    """The rows of a matrix, and what reads it off its product where that is asked for."""
    layout = build_rows(matrix.indptr, matrix.indices, None, matrix.block)
    probes = Probes.of(layout, matrix.indptr, matrix.indices) if probed else None
    return _Rows(layout.rows, on_device(filled(layout, matrix.indptr, matrix.data, dtype))), probes


def _converted(
    levels: Iterable[HostLevel], known: Callable[[], _Rows] | None, dtype: np.dtype, probed: bool
) -> tuple[tuple[_Level, ...], BlockRows, tuple[Probes | None, ...]]:
    """The levels in padded rows, the coarsest matrix, and what reads each of the others. ``known`` makes the rows of
    the first level, where they are known.
    """
    fine, probes = [], []
    for matrix, inverse, largest, prolongation in levels:
        if prolongation is None:
            return tuple(fine), matrix, tuple(probes)
        rows, probe = (None, None) if known and not fine else _convert_rows(matrix, dtype, probed)
        del matrix
        if rows is None:
            assert known is not None
            rows = known()
        scale = on_device(inverse.astype(dtype)), jnp.asarray(np.asarray(largest, dtype))
        prolongation = prolongation._replace(data=prolongation.data.astype(dtype, copy=False))
        transfer = _convert_rows(prolongation, dtype)[0], _convert_rows(prolongation.transpose(), dtype)[0]
        del prolongation
        fine.append(_Level(rows, *scale, *transfer))
        probes.append(probe)
    raise ValueError("AMG: there is no coarsest level.")


@eqx.filter_jit
def _reformed(state: Hierarchy, operator: LinearOperator, dtype: str) -> Hierarchy:
    r"""The hierarchy with the matrices $P^\top A P$ of other values. They are formed in the operator's precision: in a
    lower one a body that nothing holds would lose its motions.
    """
    assert state.probes is not None
    diagonal = jnp.abs(operator.diagonal())
    size = jnp.sum(diagonal) / jnp.maximum(jnp.sum(diagonal > 0), 1)
    size = jnp.where(size > 0, size, 1.0)
    apply, levels = lambda x: operator.mv(x) / size, []
    for level, probes in zip(state.levels, state.probes, strict=True):
        if probes is None:
            assert isinstance(operator, SparseOperator)
            values, diagonal = tuple(values / size for values in operator.values), operator.diagonal() / size
        else:
            values, diagonal = probes.read(apply)
        inverse = (1.0 / jnp.where(diagonal == 0, 1.0, diagonal)).astype(dtype)
        matrix = _Rows(level.matrix.rows, tuple(mine.astype(dtype) for mine in values))
        largest = largest_eigenvalue_of(matrix.mv, inverse, 15)
        levels.append(_Level(matrix, inverse, largest, level.prolongation, level.restriction))
        apply = _galerkin(_Rows(matrix.rows, values).mv, level)
    coarse = pseudo_inverse(dense(apply, len(state.coarse_inverse)), operator.symmetric)
    return Hierarchy(tuple(levels), coarse.astype(dtype), size, state.probes)


def _galerkin(apply: Callable[[Array], Array], level: _Level) -> Callable[[Array], Array]:
    r"""The product with $P^\top A P$ from that with A, in the precision of the vector."""

    def coarser(x: Array) -> Array:
        return level.restriction.cast(x.dtype).mv(apply(level.prolongation.cast(x.dtype).mv(x)))

    return coarser
