"""The verification manual in docs has every case, and says what cases say that are run here.

`make verify` runs all of them; a few stand for them here.
"""

import functools
from pathlib import Path

import pytest

from gemel.engine.verification import CASES, Case, Outcome, recorded, rows, run_case, select

MANUAL = Path(__file__).parents[2] / "docs" / "verification.md"


@functools.cache
def written() -> dict[tuple[str, str], tuple[str, str]]:
    return recorded(MANUAL.read_text(encoding="utf-8"))


FAST = (
    "composite-wall",
    "semi-infinite-step",
    "lame-cylinder",
    "nafems-fv32",
    "rober",
    "portal-frame",
)


def parameters() -> list:
    return [pytest.param(case, id=case.name) for case in select(list(FAST), None, slow=True)]


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
