"""Every case of the verification manual passes, and the manual in docs says what the cases say."""

import functools
from pathlib import Path

import pytest

from gemel.engine.verification import CASES, Case, Outcome, recorded, rows, run_case

MANUAL = Path(__file__).parents[2] / "docs" / "verification.md"


@functools.cache
def written() -> dict[tuple[str, str], tuple[str, str]]:
    return recorded(MANUAL.read_text(encoding="utf-8"))


LONG = ("convergence", "gradients", "time", "crosscheck", "materials")
"""Groups whose cases solve several problems each: two of them stand for the rest among the fast tests."""

FAST = ("order-triangle-p2", "order-quadrilateral-q1")


def parameters() -> list:
    def marks(case: Case) -> list:
        return [pytest.mark.slow] if case.slow or (case.group in LONG and case.name not in FAST) else []

    return [pytest.param(case, id=case.name, marks=marks(case)) for case in CASES]


@pytest.mark.parametrize("case", parameters())
def test_case(case: Case) -> None:
    outcome = run_case(case)
    if not outcome.ran:
        pytest.skip(f"{outcome.note}")
    bad = [f"{row.quantity}: {row.computed}, not {row.reference}" for row in rows(outcome) if row.verdict != "yes"]
    assert outcome.state == "passed", bad
    check_manual(outcome)


def check_manual(outcome: Outcome) -> None:
    """The references and tolerances in docs are those of the code: `gemel verify --write` brings them up to date."""
    for row in rows(outcome):
        reference, tolerance = written()[row.case, row.quantity]
        assert tolerance == row.tolerance
        old, new = _number(reference), _number(row.reference)
        assert old == pytest.approx(new, rel=1e-4, abs=1e-300)


def _number(text: str) -> float:
    return float(text.removeprefix("order ").removeprefix("at most ").split(" ", maxsplit=1)[0])


def test_the_manual_names_every_case_and_no_other() -> None:
    assert {case for case, _ in written()} == {case.name for case in CASES}
    text = MANUAL.read_text(encoding="utf-8")
    for case in CASES:
        for part in (case.title, case.equations, case.setup, case.source):
            assert part in text
