"""Steady and static analyses: one boundary-value problem."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis, check_call
from gemel.engine.analyses.elliptic import elliptic_solver
from gemel.engine.analyses.equilibrium import EquilibriumNewton
from gemel.engine.analyses.rigid_motions import check_held
from gemel.engine.boundarysensors import BodyObservation
from gemel.engine.coefficients import drive, inputs_of, undriven
from gemel.engine.compiling import sharing
from gemel.engine.initial import initial_field
from gemel.engine.lawinputs import asked_by_body
from gemel.engine.physics import Physics
from gemel.engine.problems import DiscreteProblem
from gemel.engine.sensors import Sensor
from gemel.engine.signals import Series, at_time
from gemel.solvers import (
    AssembledOperator,
    LinearSolver,
    Solution,
    affine_solve,
    nonlinear_solve,
)
from gemel.solvers.implicit import stop_gradient
from gemel.solvers.placing import known

Linearised = tuple[AssembledOperator, Float[Array, " n"]] | None

_HALVINGS = 12
"""Newton's method shortens a step that does not bring the residual down at most so often."""


class Steady(Analysis):
    r"""The solution of $r(u) = 0$: a steady temperature, a static displacement.

    Args:
        physics: what is solved.
        rtol: relative tolerance of the linear solves; where the problem is nonlinear, also that of the residual against
            the magnitudes of the element forces.
        max_steps: limit of iterations of one linear solve.
        linear_solver: replaces conjugate gradients (GMRES where the tangent is not symmetric) with `Multigrid`,
            geometric on large boxes and smoothed aggregation elsewhere; on a mixed space and on lines, the sparse
            direct solver.
        newton_steps: limit of Newton steps.
        initial: where Newton's method starts, with the prescribed values spread by a first linear solve: a number,
            `Profile` or nodal values in SI units; on a mixed space a mapping from fields to those.
    """

    physics: Physics
    linear_solver: LinearSolver
    rtol: float
    newton_steps: int = eqx.field(static=True)
    initial: Any

    def __init__(
        self,
        physics: Physics,
        rtol: float = 1e-10,
        max_steps: int = 500,
        linear_solver: LinearSolver | None = None,
        newton_steps: int = 30,
        initial: Any = 0.0,
    ) -> None:
        self.physics = physics
        self.linear_solver = linear_solver or elliptic_solver(physics, rtol, max_steps)
        self.rtol = rtol
        self.newton_steps = newton_steps
        self.initial = initial

    def observe(self, sensors: Sequence[Sensor]) -> BodyObservation:
        """What the sensors read. Raises `ValueError` for one that reads neither fields nor boundaries."""
        return BodyObservation.of(self.physics.problem, sensors)

    def prepare(self) -> Any:
        """The multigrid hierarchy at the bound parameters.

        Raises `ValueError` where nothing holds a body against a rigid motion.
        """
        return self.hierarchy(_first_tangent(undriven(self.physics.problem), self.initial))

    def hierarchy(self, tangent: AssembledOperator) -> Any:
        """That of a tangent. Raises `ValueError` where nothing holds a body against a rigid motion."""
        check_held(self.physics, tangent)
        return self.linear_solver.init(tangent)

    def grid(self, times: np.ndarray | None) -> None:
        """None; raises `ValueError` where times are given."""
        if times is not None:
            raise ValueError("A steady analysis has no time: leave 'times' out.")

    def run(
        self, prepared: Any, observation: BodyObservation, inputs: Mapping[str, Series], grid: Any = None
    ) -> Solution[tuple[Array, Any]]:
        """The readings and the flat field."""
        solution = self.solve(prepared, inputs)
        problem = drive(self.physics.problem, at_time(inputs, 0.0))
        readings, asked = observation.read(problem, solution.value), asked_by_body(problem, solution.value)
        return Solution((readings, solution.value), solution.status, {**solution.statistics, **asked})

    def solve(
        self, prepared: Any, inputs: Mapping[str, Series] | None = None, linearised: Linearised = None
    ) -> Solution[Float[Array, " n_dofs"]]:
        """The flat field; ``prepared`` comes from `prepare`. Inputs are taken at time 0. ``linearised`` is the tangent
        of a linear problem and its residual at the start, where they are known and nothing is differentiated.
        """
        problem = drive(self.physics.problem, at_time(inputs, 0.0))
        complete = problem.constraint.complete
        if problem.linear:
            start = _start(problem, self.initial)
            tangent, there = linearised or problem.linearised(start)
            solution = affine_solve(_residual, start, problem, tangent, self.linear_solver, prepared, there)
            return Solution(complete(solution.value), solution.status, solution.statistics)
        xtol = min(self.rtol, 1e-8)
        newton = EquilibriumNewton(self.linear_solver, _itself, self.rtol, xtol, self.newton_steps, _HALVINGS)
        start = initial_field(problem.space, self.initial)
        solution = nonlinear_solve(_residual, start, problem, newton, tangent=_tangent, state=prepared)
        return Solution(complete(solution.value), solution.status, solution.statistics)


def solve(analysis: Steady, inputs: Mapping[str, Series] | None = None) -> Solution[Any]:
    """Prepare and solve a steady analysis: nodal values ``(n_nodes, *shape)`` with status and statistics.

    On a mixed space the value is a dictionary of nodal values by field.
    """
    check_call("solve", (Steady,), analysis, inputs)
    problem, linearised = analysis.physics.problem, None
    if problem.linear and known(analysis) and not inputs_of(problem):  # one matrix serves to set up and to solve
        linearised = _linearised(problem, analysis.initial)
        prepared = analysis.hierarchy(linearised[0])
    else:
        prepared = stop_gradient(analysis).prepare()  # under grad its values are known, and it has no derivative
    solution = _solve(analysis, prepared, dict(inputs or {}), linearised)
    return Solution(problem.space.unflatten(solution.value), solution.status, solution.statistics)


@eqx.filter_jit
def _solve(analysis: Steady, prepared: Any, inputs: dict[str, Series], linearised: Linearised) -> Solution[Array]:
    return analysis.solve(prepared, inputs, linearised)


def _itself(problem: DiscreteProblem) -> DiscreteProblem:
    return problem


def _residual(u: Array, problem: DiscreteProblem) -> Array:
    return problem.residual(u)


@sharing
def _linearised(problem: DiscreteProblem, initial: Any) -> tuple[AssembledOperator, Array]:
    return problem.linearised(_start(problem, initial))


@sharing
def _first_tangent(problem: DiscreteProblem, initial: Any) -> AssembledOperator:
    return problem.tangent(_start(problem, initial))


def _tangent(u: Array, problem: DiscreteProblem) -> Any:
    return problem.tangent(u)


def _start(problem: DiscreteProblem, initial: Any) -> Array:
    return problem.constraint.lift(initial_field(problem.space, initial))
