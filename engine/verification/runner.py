"""Running cases: one outcome each, whatever happens in it."""

import concurrent.futures
import dataclasses
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from typing import Literal

import jax

from gemel.engine.precision import require_double
from gemel.engine.verification.case import Case, Check
from gemel.engine.verification.needs import missing

State = Literal["passed", "failed", "not run"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        case: the case.
        checks: what it compared; empty where it could not run.
        note: why it was not run, or the sentence with which it broke; None otherwise.
        seconds: how long it took, compilation included.
        ran: False where an optional program is missing.
    """

    case: Case
    checks: tuple[Check, ...]
    note: str | None
    seconds: float
    ran: bool = True

    @property
    def state(self) -> State:
        """A case passes where it ran to its end, compared something, and every check passed."""
        if not self.ran:
            return "not run"
        good = self.note is None and bool(self.checks) and all(check.passed for check in self.checks)
        return "passed" if good else "failed"


@dataclasses.dataclass(frozen=True)
class Summary:
    """Counts of cases and checks, and the time in all."""

    passed: int
    failed: int
    not_run: int
    checks: int
    seconds: float

    @property
    def sentence(self) -> str:
        """The summary as one line."""
        total = self.passed + self.failed + self.not_run
        return (
            f"{total} cases with {self.checks} checks in {self.seconds:.0f} s: "
            f"{self.passed} passed, {self.failed} failed, {self.not_run} not run."
        )


def run_case(case: Case) -> Outcome:
    """Compute a case. A missing program or an exception becomes a note, never an exception.

    Raises `RuntimeError` where jax computes in single precision.
    """
    require_double("Verification")
    absent = missing(case.needs)
    if absent is not None:
        return Outcome(case, (), f"not run: {absent} is not installed", 0.0, ran=False)
    start = time.perf_counter()
    try:
        checks = tuple(case.run())
        note = None if checks else "the case compared nothing"
    except Exception as error:  # a case that breaks is a row of the table, and the others still run
        checks, note = (), f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"[:500]
    return Outcome(case, checks, note, time.perf_counter() - start)


def run_cases(cases: Sequence[Case], jobs: int = 1) -> Iterator[Outcome]:
    """Compute cases, in their order, in this process or in ``jobs`` others.

    A process forgets its compiled programs between groups, which bounds its memory.
    """
    if jobs == 1:
        yield from map(_next_case, cases)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, _use_double) as pool:
        for case, (checks, note, seconds, ran) in zip(
            cases, pool.map(_run_named, [c.name for c in cases]), strict=True
        ):
            yield Outcome(case, checks, note, seconds, ran)


_group: str | None = None
"""The group of the case that this process computed last."""


def _next_case(case: Case) -> Outcome:
    global _group
    if _group not in (None, case.group):
        jax.clear_caches()
    _group = case.group
    return run_case(case)


def _use_double() -> None:
    jax.config.update("jax_enable_x64", True)


def _run_named(name: str) -> tuple[tuple[Check, ...], str | None, float, bool]:
    """Compute a case of the registry; functions of cases do not travel between processes, names do."""
    from gemel.engine.verification.registry import CASES

    outcome = _next_case(next(case for case in CASES if case.name == name))
    return outcome.checks, outcome.note, outcome.seconds, outcome.ran


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """The counts of a table."""
    states = [outcome.state for outcome in outcomes]
    return Summary(
        passed=states.count("passed"),
        failed=states.count("failed"),
        not_run=states.count("not run"),
        checks=sum(len(outcome.checks) for outcome in outcomes),
        seconds=sum(outcome.seconds for outcome in outcomes),
    )
