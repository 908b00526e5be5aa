"""Solving many systems, with derivatives by the one implicit rule."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.implicit import implicit_solve, stop_gradient
from gemel.solvers.krylov import KrylovSolver
from gemel.solvers.linear import linear_residual, linear_tangent
from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.many.compaction import Systems
from gemel.solvers.many.stacked import StackedOperator, float_axis, partition
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Solution, Status
from gemel.solvers.sparse import SparseOperator

_COLUMNS_ON_CPU = 16
"""Columns of one matrix in padded rows that share its traffic well; more leave the cache."""

_SCENARIOS_ON_CPU = 2
"""Systems with a matrix each have no traffic to share there, only the overhead of small arrays."""


class _States(eqx.Module):
    """One state for all systems, which each adapts to its own operator, or one for each (floating-point leaves)."""

    shared: Any
    own: Any


class _Together(LinearSolver):
    """Solves the systems of a `StackedOperator`, ``group`` at a time."""

    solver: KrylovSolver
    group: int = eqx.field(static=True)

    def init(self, operator: Any) -> _States:
        """Set each system up."""
        if not operator.varied:
            return _States(self.solver.init(operator.operator), None)
        return _States(None, operator.each(self.solver.init))

    def update(self, state: _States, operator: Any) -> _States:
        """Let the state follow new values; a shared one does so where it is used."""
        if not operator.varied:
            return _States(self.solver.update(state.shared, operator.operator), None)
        if state.own is None:
            return state
        follow = eqx.filter_vmap(self.solver.update, in_axes=(float_axis, float_axis), out_axes=float_axis)
        return _States(None, follow(state.own, operator.operator))

    def compute(
        self,
        state: _States,
        operator: Any,
        b: Float[Array, " n"],
        x0: Float[Array, " n"] | None = None,
        transpose: bool = False,
    ) -> Solution[Array]:
        """Solve; one status for all, the first failure."""
        solution = self.each(state, operator.transpose() if transpose else operator, b, x0)
        code = solution.status.code
        first = code[jnp.argmax(code != 0)]
        return Solution(solution.value.reshape(-1), Status(first), solution.statistics)

    def each(self, state: _States, operator: Any, b: Array, x0: Array | None) -> Solution[Array]:
        """Solve; (count, n), with a status and statistics for each."""
        count, group = operator.count, min(self.group, operator.count)
        b = b.reshape(count, -1)
        x0 = jnp.zeros_like(b) if x0 is None else x0.reshape(count, -1)
        mapped, fixed = partition((operator.operator, state.own) if operator.varied else ())
        if not operator.varied:
            fixed = (operator.operator, state.shared)
        # Systems that fill the last group up are copies without a load: they are solved at once.
        missing = -count % group
        filled = jax.tree.map(lambda leaf: _fill(leaf, missing), mapped)
        b, x0 = (jnp.pad(leaf, ((0, missing), (0, 0))) for leaf in (b, x0))
        inputs = jax.tree.map(lambda leaf: leaf.reshape(-1, group, *leaf.shape[1:]), (filled, b, x0))

        def solve_group(batch: tuple[Any, Array, Array]) -> Solution[Array]:
            leaves, b, x0 = batch
            a, own = eqx.combine(leaves, fixed) if operator.varied else fixed
            systems = Systems(self.solver, a, state.shared, own, operator.varied)
            return systems.one(b, x0) if group == 1 else systems.solve(b, x0)

        found = jax.lax.map(solve_group, inputs)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], found)


def _fill(leaf: Array, missing: int) -> Array:
    return jnp.concatenate([leaf, jnp.broadcast_to(leaf[-1:], (missing, *leaf.shape[1:]))]) if missing else leaf


class _Forward(eqx.Module):
    """The undifferentiated solve of all systems."""

    together: _Together
    state: _States
    x0: Array | None

    def __call__(self, residual: Any, tangent: Any, parameters: tuple[StackedOperator, Array]):
        operator, b = parameters
        solution = self.together.each(self.state, operator, b, self.x0)
        return solution.value.reshape(-1), (solution.status, solution.statistics)


def _solve(stack: StackedOperator, b: Array, together: _Together, state: _States, x0: Array | None) -> Solution[Array]:
    """Solve by the one rule of derivatives; (count, n)."""
    state = together.update(stop_gradient(state), stop_gradient(stack))
    x0 = None if x0 is None else stop_gradient(x0).reshape(-1)
    forward = _Forward(together, state, x0)
    value, (status, statistics) = implicit_solve(
        forward, linear_residual, (stack, b.reshape(-1)), together, state, linear_tangent, stack.symmetric
    )
    return Solution(value.reshape(b.shape), status, statistics)


def _check(what: str, group: int | None, b: Array, x0: Array | None) -> None:
    if group is not None and group < 1:
        raise ValueError(f"{what} group = {group}: at least one system is solved at a time.")
    if x0 is not None and x0.shape != b.shape:
        raise ValueError(f"{what} x0 has shape {x0.shape}, the right-hand sides {b.shape}: they must agree.")


def solve_columns(
    operator: LinearOperator,
    b: Float[Array, "n k"],
    solver: KrylovSolver,
    state: Any = None,
    x0: Float[Array, "n k"] | None = None,
    group: int | None = None,
) -> Solution[Array]:
    """Solve A X = B for several right-hand sides; differentiable in the leaves of A and in B, as `linear_solve`.

    Products of a `SparseOperator` read the matrix once for all columns that are solved together. A column that is
    done takes no further part (see the head of this module). ``state`` as in `linear_solve`.

    ``group`` columns are solved together, one group after the other; None is all of them, on a CPU 16 for a
    `SparseOperator` and one for others: a lattice of one column is in cache there, that of many is not. Groups of more
    than one run the method once, without the second run that `KrylovSolver` starts where rounding made the recurrence
    drift.

    Returns X (n, k), and the status and the statistics of each column (k,). Raises `ValueError` for shapes that do not
    agree.
    """
    _check("solve_columns:", group, b, x0)
    if b.shape[0] != operator.n:
        raise ValueError(f"solve_columns: B has {b.shape[0]} rows; the operator has {operator.n} unknowns.")
    if group is None:
        on_cpu = _COLUMNS_ON_CPU if isinstance(operator, SparseOperator) else 1
        group = on_cpu if jax.default_backend() == "cpu" else b.shape[1]
    stack, together = StackedOperator(operator, b.shape[1], False), _Together(solver, group)
    state = solver.init(stop_gradient(operator)) if state is None else state
    solution = _solve(stack, b.T, together, _States(state, None), None if x0 is None else x0.T)
    return Solution(solution.value.T, solution.status, solution.statistics)


def solve_scenarios(
    operators: LinearOperator,
    b: Float[Array, "k n"],
    solver: KrylovSolver,
    state: Any = None,
    x0: Float[Array, "k n"] | None = None,
    group: int | None = None,
) -> Solution[Array]:
    """Solve A_i x_i = b_i for k operators of one structure; differentiable in their leaves and in b, as `linear_solve`.

    ``operators`` is one operator whose floating-point leaves have a leading axis of k (`stack_operators`, or what
    ``equinox.filter_vmap`` of an assembly gives); indices are shared. ``state`` is one state for all, such as an `AMG`
    hierarchy of a mean scenario, which every system adapts to its own values by ``solver.update``; None sets up each
    system's own, which inside jit only solvers without a host set-up can do.

    ``group`` and what is returned as in `solve_columns`, but x is (k, n); None is all, on a CPU two: the
    matrix of one system is in cache there, those of many are not.
    """
    _check("solve_scenarios:", group, b, x0)
    count, n = b.shape
    stack = StackedOperator(operators, count, True)
    leading = {leaf.shape[:1] for leaf in jax.tree.leaves(operators) if eqx.is_inexact_array(leaf)}
    if leading != {(count,)}:
        raise ValueError(
            f"solve_scenarios: b has {count} rows, so every floating-point leaf of the operators needs a leading axis "
            f"of {count}; there are leading axes {sorted(leading)}."
        )
    if stack.size != n:
        raise ValueError(f"solve_scenarios: b has rows of {n}; the operators have {stack.size} unknowns.")
    if group is None:
        group = _SCENARIOS_ON_CPU if jax.default_backend() == "cpu" else count
    together = _Together(solver, group)
    states = together.init(stop_gradient(stack)) if state is None else _States(state, None)
    return _solve(stack, b, together, states, x0)
