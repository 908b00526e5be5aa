"""The rows that the command line prints and the manual holds."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from gemel.engine.verification.case import Check
from gemel.engine.verification.runner import Outcome

COLUMNS = ("case", "quantity", "reference", "source", "computed", "error", "tolerance", "pass")
"""Headings of the table."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table as text, in the order of `COLUMNS`."""

    case: str
    quantity: str
    reference: str
    source: str
    computed: str
    error: str
    tolerance: str
    verdict: str

    def cells(self) -> tuple[str, ...]:
        """The texts in the order of `COLUMNS`."""
        return dataclasses.astuple(self)


def rows(outcome: Outcome) -> list[Row]:
    """One row a check; one row with the note where a case broke or was not run."""
    name, source = outcome.case.name, outcome.case.source
    if outcome.note is not None:
        verdict = "no" if outcome.ran else "-"
        return [Row(name, outcome.note, "", source, "", "", "", verdict)]
    return [_row(name, source, check) for check in outcome.checks]


def records(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """The outcomes as plain data for a JSON file."""
    return [
        {
            "case": outcome.case.name,
            "group": outcome.case.group,
            "title": outcome.case.title,
            "source": outcome.case.source,
            "state": outcome.state,
            "note": outcome.note,
            "seconds": round(outcome.seconds, 3),
            "checks": [
                {**dataclasses.asdict(check), "error": check.error, "passed": check.passed} for check in outcome.checks
            ],
        }
        for outcome in outcomes
    ]


def _row(name: str, source: str, check: Check) -> Row:
    return Row(
        name,
        check.quantity,
        _number(check.reference, check.unit, _PREFIX.get(check.kind, "")),
        source,
        _number(check.computed, check.unit),
        f"{check.error:.1e}" if check.error else "0",
        _tolerance(check),
        "yes" if check.passed else "no",
    )


_PREFIX = {"order": "order ", "bound": "at most "}


def _number(value: float, unit: str, prefix: str = "") -> str:
    return f"{prefix}{value:.6g} {unit}".rstrip()


def _tolerance(check: Check) -> str:
    if check.kind == "relative":
        return f"{check.tolerance:.2g} of it"
    if check.kind == "absolute":
        return _number(check.tolerance, check.unit)
    if check.kind == "order":
        return f"{check.tolerance:.2g} less"
    return "exact" if check.kind == "count" else "none"
