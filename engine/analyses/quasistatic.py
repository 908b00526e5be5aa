"""Quasi-static analyses: equilibrium followed over time, with history and automatic cut-back of steps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis, check_call
from gemel.engine.analyses.elliptic import elliptic_solver
from gemel.engine.analyses.equilibrium import EquilibriumNewton
from gemel.engine.analyses.rigid_motions import check_held, tangent_at_rest
from gemel.engine.boundarysensors import BodyObservation
from gemel.engine.coefficients import drive
from gemel.engine.history import advance_history, history_of, with_history
from gemel.engine.physics import Physics
from gemel.engine.problems import DiscreteProblem
from gemel.engine.sensors import Sensor
from gemel.engine.signals import Series, at_time
from gemel.solvers import (
    Code,
    LinearSolver,
    LoadSteps,
    Solution,
    SolveError,
    Status,
    load_path,
)
from gemel.solvers.implicit import stop_gradient

Record = Callable[[DiscreteProblem, Float[Array, " n_dofs"]], Any]


class PathState(eqx.Module):
    """What a path goes on from: the flat field ``u``, the ``history`` at the quadrature points, the ``time`` in s."""

    u: Float[Array, " n_dofs"]
    history: Any
    time: Float[Array, ""]


class EquilibriumPath(eqx.Module):
    """The states of a body along a path.

    ``records`` holds what was recorded at each of ``times (m,)``, stacked; NaN from the time on that was not reached.
    ``state`` is the last converged field, flat, at the time ``reached`` in s; ``problem`` is the problem there, with
    the history committed, from which stresses are recovered and a path can go on.
    """

    times: Float[Array, " m"]
    records: Any
    state: Float[Array, " n_dofs"]
    problem: DiscreteProblem
    reached: Float[Array, ""]

    @property
    def end(self) -> PathState:
        """Where another path can go on, also from a file: see `gemel.save_state`."""
        return PathState(self.state, history_of(self.problem), self.reached)


class Quasistatic(Analysis):
    r"""Equilibrium $r(u, z, t) = 0$ followed through given times, the history $z$ committed at each converged step.

    A step between two times that does not converge is cut, from the last converged state, into smaller ones, through
    which inputs follow their signals. Derivatives pass through the whole path, by the implicit-function rule at
    each converged step.

    Args:
        physics: a `Solid`, `Hyperelasticity` or any other physics; its loads and prescribed values may be `Input`.
        rtol: tolerance of the residual relative to the magnitudes of the element forces, and of the linear solves.
        newton_steps: limit of Newton steps of one solve.
        cuts: how often the interval between two times may be halved.
        max_steps: limit of steps tried in one interval, those cut included.
        linear_solver: replaces conjugate gradients (GMRES where the tangent is not symmetric) with smoothed
            aggregation; on a mixed space, the sparse direct solver.
    """

    physics: Physics
    linear_solver: LinearSolver
    rtol: float
    newton_steps: int = eqx.field(static=True)
    cuts: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    def __init__(
        self,
        physics: Physics,
        rtol: float = 1e-9,
        newton_steps: int = 25,
        cuts: int = 6,
        max_steps: int = 24,
        linear_solver: LinearSolver | None = None,
    ) -> None:
        self.physics = physics
        self.rtol = rtol
        self.newton_steps = newton_steps
        self.cuts = cuts
        self.max_steps = max_steps
        self.linear_solver = linear_solver or elliptic_solver(physics, rtol, 500)

    def observe(self, sensors: Sequence[Sensor]) -> BodyObservation:
        """What the sensors read. Raises `ValueError` for one that reads neither fields nor boundaries."""
        return BodyObservation.of(self.physics.problem, sensors)

    def prepare(self) -> Any:
        """The multigrid hierarchy at the bound parameters, in the undeformed state.

        Raises `ValueError` where nothing holds a body against a rigid motion.
        """
        tangent = tangent_at_rest(self.physics.problem)
        check_held(self.physics, tangent)
        return self.linear_solver.init(tangent)

    def grid(self, times: np.ndarray | None) -> np.ndarray:
        """The times themselves; raises `ValueError` where there are none or they do not increase."""
        if times is None or not len(times):
            raise ValueError("A quasi-static analysis needs the times of its path.")
        times = np.asarray(times, dtype=float)
        if np.any(np.diff(times) <= 0):
            row = int(np.flatnonzero(np.diff(times) <= 0)[0]) + 1
            raise ValueError(f"The times of a path must increase: time {row} is {times[row]:g} s.")
        return times

    def run(
        self,
        prepared: Any,
        observation: BodyObservation,
        inputs: Mapping[str, Series],
        grid: Float[Array, " m"] | None,
    ) -> Solution[tuple[Array, Any]]:
        """The readings at each time, and the last flat field."""
        assert grid is not None
        solution = self.follow(prepared, dict(inputs), grid, observation.read)
        return Solution((solution.value.records, solution.value.state), solution.status, solution.statistics)

    def follow(
        self,
        prepared: Any,
        inputs: dict[str, Series],
        times: Float[Array, " m"],
        record: Record,
        start: PathState | None = None,
    ) -> Solution[EquilibriumPath]:
        """Follow the path; pure. ``record(problem, u)`` is kept at each time: see the function `follow`.

        Without a ``start`` the first time is solved in one step of no duration, from the undeformed virgin state.
        """
        problem = self.physics.problem
        none = jnp.zeros((), jnp.int32)
        walker = _Walker(problem, inputs, self._newton(), self._steps(), prepared)
        if start is None:
            first = (jnp.zeros(problem.space.n_dofs), history_of(problem), times[0], none)
        else:
            first = (start.u, start.history, start.time, none)
        intervals = (jnp.concatenate([first[2][None], times[:-1]]), times)

        def advance(carry: Any, interval: tuple[Array, Array]) -> tuple[Any, Any]:
            going = carry[3] == Code.SUCCESS
            carry, steps = jax.lax.cond(going, lambda: walker.advance(carry, interval), lambda: (carry, none))
            u, states, t, code = carry
            kept = record(walker.at(t, states, 0.0), u)
            kept = jax.tree.map(lambda leaf: jnp.where(code == Code.SUCCESS, leaf, jnp.nan), kept)
            return carry, (kept, steps)

        (u, states, reached, code), (records, steps) = jax.lax.scan(advance, first, intervals)
        path = EquilibriumPath(times, records, u, walker.at(reached, states, 0.0), reached)
        return Solution(path, Status(code), {"steps": jnp.sum(steps), "reached": reached})

    def virgin(self, time: float = 0.0) -> PathState:
        """The undeformed state without history at ``time`` in s, the same pytree as the end of every path."""
        problem = self.physics.problem
        return PathState(jnp.zeros(problem.space.n_dofs), history_of(problem), jnp.asarray(float(time)))

    def _newton(self) -> EquilibriumNewton:
        return EquilibriumNewton(self.linear_solver, _problem_of, self.rtol, 1e-13, self.newton_steps, 8)

    def _steps(self) -> LoadSteps:
        return LoadSteps(1.0, 0.5**self.cuts, self.max_steps)


class _Walker(eqx.Module):
    """What the steps of a path share."""

    problem: DiscreteProblem
    inputs: dict[str, Series]
    newton: EquilibriumNewton
    steps: LoadSteps
    prepared: Any

    def at(self, t: Array, states: Any, dt: Any) -> DiscreteProblem:
        """The problem of a step of ``dt`` s that ends at ``t``, from the given states."""
        driven = drive(self.problem, at_time(self.inputs, t))
        return with_history(driven, states, dt)

    def advance(self, carry: Any, interval: tuple[Array, Array]) -> tuple[Any, Array]:
        """Go from one time to the next, in as many steps as it takes; the count of steps tried."""
        u, states, t, _ = carry
        first, last = interval
        problem = self.problem

        solution = load_path(
            _residual,
            u,
            _step_of,
            (self, first, last),
            self.newton,
            self.steps,
            _tangent,
            history=(states, t),
            update=_commit,
            state=self.prepared,
            symmetric=problem.symmetric,
        )
        path = solution.value
        states, t = path.history
        complete = self.at(t, states, 0.0).constraint.complete(path.u)
        return (complete, states, t, solution.status.code), solution.statistics["tried"]


def _step_of(args: Any, factor: Array, history: Any) -> tuple[DiscreteProblem, Array]:
    """The problem of a step from ``history`` to a part of the interval, and the time that it ends at."""
    walker, first, last = args
    states, before = history
    now = first + factor * (last - first)
    return walker.at(now, states, now - before), now


def _problem_of(parameters: Any) -> DiscreteProblem:
    return _step_of(*parameters)[0]


def _residual(u: Array, step: tuple[DiscreteProblem, Array]) -> Array:
    return step[0].residual(u)


def _tangent(u: Array, step: tuple[DiscreteProblem, Array]) -> Any:
    return step[0].tangent(u)


def _commit(u: Array, step: tuple[DiscreteProblem, Array]) -> Any:
    problem, now = step
    return advance_history(problem, problem.constraint.lift(u)), now


def follow(
    analysis: Quasistatic,
    times: Any,
    inputs: Mapping[str, Series] | None = None,
    record: Record | None = None,
    start: PathState | EquilibriumPath | None = None,
) -> Solution[EquilibriumPath]:
    """Prepare and follow a path through ``times (m,)`` in s (or load factors).

    Where a step fails, the value keeps the last converged state and says in ``reached`` how far the path came; see
    `checked_path` for an error that says so.

    Args:
        analysis: what is followed.
        times: increasing; without ``start`` the body is undeformed and virgin before the first.
        inputs: a signal for each input of the physics.
        record: ``record(problem, u)``, pure, of the problem at the end of each step (its history committed) and the
            flat field; the field itself when None.
        start: what this path goes on from: another, at the time and in the state it reached, or a `PathState`.

    Raises:
        ValueError: for times that do not increase, also from ``start``, or an input without signal.
    """
    check_call("follow", (Quasistatic,), analysis, inputs)
    grid = analysis.grid(np.asarray(times, dtype=float))
    start = start.end if isinstance(start, EquilibriumPath) else start
    if start is not None and grid[0] <= float(start.time):
        raise ValueError(f"The path to go on from reached {float(start.time):g} s: {grid[0]:g} s is not later.")
    prepared = stop_gradient(analysis).prepare()
    return _follow(analysis, prepared, dict(inputs or {}), jnp.asarray(grid), record or _field, start)


def _field(problem: DiscreteProblem, u: Array) -> Any:
    return problem.space.unflatten(u)


@eqx.filter_jit
def _follow(
    analysis: Quasistatic, prepared: Any, inputs: Any, times: Array, record: Record, start: PathState | None
) -> Solution[EquilibriumPath]:
    return analysis.follow(prepared, inputs, times, record, start)


def checked_path(solution: Solution[EquilibriumPath]) -> EquilibriumPath:
    """The path, or `SolveError` that says how far it came (outside ``jit`` only)."""
    path, worst = solution.value, solution.status.worst()
    if worst != Code.SUCCESS:
        times = np.asarray(path.times)
        done = int(np.sum(times <= float(path.reached) + 1e-12 * abs(times[-1])))
        raise SolveError(
            f"The path stopped at {float(path.reached):g} of {times[-1]:g} s, after {done} of {len(times)} times, and "
            f"keeps the last converged state: {worst.message}"
        )
    return path
