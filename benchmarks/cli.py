"""The command ``python -m benchmarks``."""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from benchmarks import report, runner
from benchmarks.cases import CASES, PEERS, Case

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

_BAD = 2
_FAILED = 1


@app.command()
def bench(
    case: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this case; may be repeated.")] = None,
    size: Annotated[list[str] | None, typer.Option(metavar="N", help="Blocks along a side; may be repeated.")] = None,
    repeat: Annotated[str, typer.Option(metavar="N", help="Timed calls after the first.")] = "3",
    out: Annotated[Path | None, typer.Option(help="File to append to, instead of benchmarks/results.")] = None,
    peers: Annotated[bool, typer.Option(help="Also run other codes, where they are installed.")] = True,
    peer_python: Annotated[
        str, typer.Option(metavar="PATH", help="The interpreter that has scikit-fem, scipy and pyamg.")
    ] = sys.executable,
    limit: Annotated[float, typer.Option(help="Seconds after which a row is given up.")] = 300.0,
    show: Annotated[Path | None, typer.Option(metavar="FILE", help="Print the table of a file and stop.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Name the cases and stop.")] = False,
) -> None:
    """Time Gemel and, where they are installed, other codes; one process for each row."""
    if list_:
        typer.echo(_listing())
        return
    if show is not None:
        typer.echo(report.tables(_read(show)))
        return
    sizes = [_whole("--size", text, 2) for text in size or []]
    cases, calls = _chosen(case), _whole("--repeat", repeat, 1)
    plan = runner.jobs(cases, sizes, peers and _found(peer_python))
    rows = _measure(plan, calls, out, peer_python, limit)
    typer.echo(report.tables(rows))
    if any("failed" in row for row in rows):
        raise typer.Exit(_FAILED)


def _measure(plan: list[runner.Job], repeat: int, out: Path | None, python: str, limit: float) -> list[report.Row]:
    """Measure and append row by row, so that an interrupted run keeps what it has."""
    rows = []
    for number, job in enumerate(plan, start=1):
        typer.echo(f"{number}/{len(plan)} {job.case.name} n={job.size} {job.method}", err=True)
        rows.append(report.rounded(runner.measure(job, repeat, python, limit)))
        out = out or report.default_path(rows[0])
        try:
            report.append(rows[-1:], out)
        except OSError as error:
            _refuse(f"--out '{out}' cannot be written: {error.strerror}.")
    return rows


def _listing() -> str:
    lines = []
    for case in CASES.values():
        sizes, methods = ", ".join(map(str, case.sizes)), ", ".join(case.methods)
        lines.append(f"{case.name:16} {case.title}; n = {sizes}; {methods}")
    return "\n".join([*lines, *(f"{name:16} {title}" for name, title in PEERS.items())])


def _chosen(names: list[str] | None) -> list[Case]:
    for name in names or []:
        if name not in CASES:
            _refuse(f"--case '{name}' is unknown: choose from {', '.join(CASES)}.")
    return [CASES[name] for name in names or CASES]


def _whole(option: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        _refuse(f"{option} '{text}' must be a whole number, at least {least}.")
    return int(text)


def _found(python: str) -> bool:
    try:
        found = runner.has_peers(python)
    except OSError as error:
        _refuse(f"--peer-python '{python}' cannot be run: {error.strerror}.")
    if not found:
        typer.echo("scikit-fem is not installed there: rows of Gemel only.", err=True)
    return found


def _read(path: Path) -> list[report.Row]:
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except OSError as error:
        _refuse(f"--show '{path}' cannot be read: {error.strerror}.")
    except json.JSONDecodeError:
        _refuse(f"--show '{path}' is not a file of results.")


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(_BAD)


def main() -> None:
    """Entry point."""
    app(prog_name="python -m benchmarks")
