"""How fast a fit goes, and an estimate of how long it may still take."""

import math
from dataclasses import dataclass, replace
from statistics import median

from gemel.solvers import LBFGS, EarlyStopping, GradientDescent, LeastSquaresSolver, LevenbergMarquardt
from gemel.solvers.least_squares import FitState

_KEPT = 12
"""Steps whose times and gradients are looked back on."""


@dataclass(frozen=True)
class Pace:
    """The last steps of a fit as they were measured, and where the solver stops.

    Attributes:
        max_steps: the solver's limit; None where it has none that is known.
        gtol: the size of the gradient at which it stops, likewise.
        marks: of each of the last steps, when it ended in s on some clock, its number and its gradient.
    """

    max_steps: int | None = None
    gtol: float | None = None
    marks: tuple[tuple[float, int, float], ...] = ()

    @staticmethod
    def of(solver: LeastSquaresSolver) -> "Pace":
        """The pace of a fit by ``solver`` before its first step."""
        if isinstance(solver, EarlyStopping):  # which ends at these limits, or earlier
            return Pace.of(solver.solver)
        if isinstance(solver, LevenbergMarquardt | GradientDescent | LBFGS):
            return Pace(solver.max_steps, float(solver.gtol))
        return Pace()

    def after(self, now: float, state: FitState) -> "Pace":
        """The pace after a step that ended at ``now`` s on a clock that only goes forward."""
        mark = now, int(state.step), float(state.gradient_norm)
        marks = self.marks if self.marks and self.marks[-1][1] < mark[1] else ()  # shooting counts anew at each stage
        return replace(self, marks=(*marks, mark)[-_KEPT:])

    @property
    def seconds_per_step(self) -> float | None:
        """The median time of the last steps in s; None before the first one has ended here."""
        times = [after[0] - before[0] for before, after in zip(self.marks[:-1], self.marks[1:], strict=True)]
        return median(times) if times else None

    @property
    def steps_left(self) -> int | None:
        """How many steps there may still be, an estimate.

        To the limit, or fewer where the gradient, which has fallen by a steady factor a step over the last ones, meets
        its tolerance before. A fit that meets another tolerance ends earlier.
        """
        if not self.marks or self.max_steps is None:
            return None
        _, step, gradient = self.marks[-1]
        left = max(self.max_steps - step, 0)
        _, first, before = self.marks[0]
        if self.gtol is None or not 0 < self.gtol < gradient < before or step == first:
            return left
        factor = math.log(before / gradient) / (step - first)
        return min(left, math.ceil(math.log(gradient / self.gtol) / factor))

    @property
    def seconds_left(self) -> float | None:
        """`steps_left` at `seconds_per_step`: how long the fit may take at most, an estimate; None for not known."""
        seconds, steps = self.seconds_per_step, self.steps_left
        return None if seconds is None or steps is None else seconds * steps


@dataclass(frozen=True)
class Remaining:
    """How far a work of ``total`` parts is that cost about the same: ``marks`` are when parts had ended, in s on some
    clock, and how many.
    """

    total: int
    marks: tuple[tuple[float, int], ...] = ()

    def after(self, now: float, done: int) -> "Remaining":
        """The same when ``done`` parts have ended; of marks closer than a hundredth of the whole the last one stays."""
        close = len(self.marks) > 1 and 100 * (self.marks[-1][1] - self.marks[-2][1]) < self.total
        return replace(self, marks=(*(self.marks[:-1] if close else self.marks), (now, done)))

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the rate of the later half of what is done, an estimate; None before two marks.

        The first half is left out, as it holds compilations and steps of a sampler that does not know its step size.
        """
        if len(self.marks) < 2:
            return None
        now, done = self.marks[-1]
        since, first = next(mark for mark in self.marks if 2 * mark[1] >= done or mark is self.marks[-2])
        return max(self.total - done, 0) * (now - since) / (done - first) if done > first else None
