"""The verification manual: the table with the equations and the set-up of every case, as Markdown."""

import itertools
import re
from collections.abc import Sequence

from gemel.engine.verification.case import CHAPTERS
from gemel.engine.verification.runner import Outcome, summarise
from gemel.engine.verification.table import COLUMNS, rows

_HEAD = """# Verification manual

Every case solves a problem whose answer is known: from a closed form that the case evaluates itself, from a
publication, from another program on the same mesh, or from a theorem (an order of convergence, a balance, a symmetry).
`make verify` runs all of them and prints the table below; `gemel verify --case NAME` runs one, and
`gemel verify --list` names them. This page is written by `gemel verify --write docs/verification.md`.

How a computed value is judged stands in the column of its tolerance: "0.001 of it" is relative to the reference, a
number with a unit is an absolute error, "0.2 less" is how much an observed order of convergence may fall short of
theory, "none" belongs to an upper bound and "exact" to a count.
"""


def write_manual(outcomes: Sequence[Outcome]) -> str:
    """The manual as Markdown: a summary, the table by chapters, then each case with its equations and set-up."""
    summary = summarise(outcomes)
    cases, checks = len(outcomes), summary.checks
    parts = [_HEAD, f"This run: {cases} cases with {checks} checks, {summary.passed} passed, {summary.failed} failed, "]
    parts[-1] += f"{summary.not_run} not run.\n"
    chapters = [(group, list(some)) for group, some in itertools.groupby(outcomes, key=lambda o: o.case.group)]
    parts.append("## The table\n")
    for group, some in chapters:
        parts.append(f"### {CHAPTERS[group]}\n")
        lines = [line for outcome in some for line in _lines(outcome)]
        parts.append("\n".join([_line(COLUMNS), _line(["---"] * len(COLUMNS)), *lines]) + "\n")
    parts.append("## The cases\n")
    for group, some in chapters:
        parts.append(f"### {CHAPTERS[group]}: equations and set-up\n")
        parts.extend(_section(outcome) for outcome in some)
    return "\n".join(parts).rstrip() + "\n"


def recorded(manual: str) -> dict[tuple[str, str], tuple[str, str]]:
    """What a manual says: for each case and quantity its reference and tolerance, as written."""
    found = {}
    for line in manual.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == len(COLUMNS) and cells[0] not in ("case", "---"):
            case, quantity, reference, _, _, _, tolerance, _ = cells
            found[case.strip("`"), quantity] = reference, tolerance
    return found


def _section(outcome: Outcome) -> str:
    case = outcome.case
    slow = " Slow: run with `--all`." if case.slow else ""
    body = [f"#### {case.name}\n", f"{case.title}.{slow}\n"]
    if case.equations:
        body.append(f"{case.equations}\n")
    body += [f"Set-up: {case.setup}\n", f"Source: {case.source}\n"]
    return "\n".join(body)


def _lines(outcome: Outcome) -> list[str]:
    return [_line((f"`{row.case}`", *row.cells()[1:])) for row in rows(outcome)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
