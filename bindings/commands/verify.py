"""``gemel verify``."""

import json
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gemel.bindings.application import configure_jax
from gemel.bindings.commands.common import console
from gemel.engine.store.files import write_atomically
from gemel.engine.verification import (
    CASES,
    Case,
    Outcome,
    records,
    rows,
    run_cases,
    select,
    summarise,
    write_manual as manual,
)

_FIGURES = ("reference", "computed", "error", "tolerance", "pass")
_STYLES = {"yes": "green", "no": "bold red", "-": "yellow"}


@dataclass(frozen=True)
class VerifyOptions:
    """The options of the command, as typed."""

    case: list[str]
    group: str | None
    list: bool
    all: bool
    json: Path | None
    write: Path | None
    jobs: int = 1


def run(options: VerifyOptions) -> int:
    """Run the chosen cases and print their table; 1 where one of them failed, else 0.

    Raises `ValueError` for an unknown case or group, or a manual of a part of the cases.
    """
    if options.write is not None and (options.case or options.group):
        raise ValueError("--write: the manual holds every case: leave --case and --group out.")
    every = options.all or options.write is not None or options.list
    chosen = select(options.case, options.group, slow=every)
    if options.list:
        _wide().print(_listing(chosen))
        return 0
    configure_jax()
    outcomes = _compute(chosen, options.jobs)
    _wide().print(_table(outcomes))
    summary = summarise(outcomes)
    skipped = 0 if options.case or options.group else len(CASES) - len(chosen)
    console.print(summary.sentence + (f" {skipped} slow ones left out: add --all." if skipped else ""))
    if options.json is not None:
        _write(options.json, json.dumps({"summary": vars(summary), "cases": records(outcomes)}, indent=2) + "\n")
    if options.write is not None:
        _write(options.write, manual(outcomes))
    return 1 if summary.failed else 0


def _compute(chosen: tuple[Case, ...], jobs: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with console.status("Verifying …") as status:
        runs = run_cases(chosen, jobs)
        for number, case in enumerate(chosen, start=1):
            status.update(f"Verifying {case.name} ({number} of {len(chosen)}) …")
            outcomes.append(next(runs))
    return outcomes


def _wide() -> Console:
    """The console of the table: a pipe or a file has room for whole lines."""
    return console if console.is_terminal else Console(highlight=False, width=160)


def _table(outcomes: list[Outcome]) -> Table:
    """One section a case: its name and source, then a line for each quantity."""
    table = Table("case and quantity", *_FIGURES, header_style="bold", box=SIMPLE, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for outcome in outcomes:
        lines = rows(outcome)
        table.add_row(Text.assemble((outcome.case.name, "bold"), f"  {lines[0].source}"))
        for row in lines:
            figures = (row.reference, row.computed, row.error, row.tolerance)
            table.add_row(Text(f"  {row.quantity}"), *map(Text, figures), Text(row.verdict, _STYLES[row.verdict]))
        table.add_section()
    return table


def _listing(chosen: tuple[Case, ...]) -> Table:
    table = Table("group", "case", "title", header_style="bold", box=None)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for case in chosen:
        table.add_row(case.group, case.name, case.title + (" (slow)" if case.slow else ""))
    return table


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())
    console.print(f"Written: {path}")
