"""The command ``python -m benchmarks``: `run`, `list`, `report` and `setup`."""

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from benchmarks import environments, runner, tables
from benchmarks.cases import CASES, Case
from benchmarks.machine import ROOT
from benchmarks.peers import PEERS

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, no_args_is_help=True)

_BAD = 2
_FAILED = 1
_DEVICES = ("cpu", "gpu")
RESULTS = ROOT / "benchmarks" / "results"


@app.callback()
def _about() -> None:
    """Time Gemel and other codes on problems with known solutions; one process for each row."""


@app.command()
def run(
    case: Annotated[list[str] | None, typer.Argument(metavar="CASE...", help="All where none is named.")] = None,
    size: Annotated[list[str] | None, typer.Option(metavar="N,...", help="Blocks along a side.")] = None,
    peers: Annotated[str | None, typer.Option(metavar="NAME,...", help="Or none; else those installed.")] = None,
    device: Annotated[str, typer.Option(metavar="cpu|gpu", help="Where Gemel runs.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as lines of JSON.")] = False,
    repeat: Annotated[str, typer.Option(metavar="N", help="Timed calls after the first.")] = "3",
    out: Annotated[Path | None, typer.Option(help="File to append to, instead of benchmarks/results.")] = None,
    limit: Annotated[float, typer.Option(metavar="S", help="Seconds after which a row is given up.")] = 300.0,
) -> None:
    """Measure the rows of the cases and append them to a file one by one."""
    cases = _chosen(case)
    sizes = [_whole("--size", part, 2) for text in size or [] for part in text.split(",")]
    calls = _whole("--repeat", repeat, 1)
    if not limit > 0:
        _refuse(f"--limit '{limit}' must be positive.")
    _require_device(device)
    plan = runner.jobs(cases, sizes, _peers(peers, cases, device), device)
    rows = _measure(plan, calls, out, limit)
    typer.echo("\n".join(map(json.dumps, rows)) if as_json else tables.tables(rows))
    if any("failed" in row for row in rows):
        raise typer.Exit(_FAILED)


@app.command("list")
def list_() -> None:
    """Name the cases and the peers, and say which peers are installed."""
    for case in CASES.values():
        solvers = [name for name, peer in PEERS.items() if case.name in peer.cases]
        typer.echo(
            f"{case.name:20} {case.title}; n = {', '.join(map(str, case.sizes))}; {', '.join(solvers) or 'alone'}"
        )
    typer.echo("")
    for peer in PEERS.values():
        state = "installed" if environments.installed(peer) else f"not installed: {environments.command(peer)}"
        typer.echo(f"{peer.name:20} {peer.title}; {state}")


@app.command()
def report(
    files: Annotated[list[Path] | None, typer.Argument(help="Instead of all of benchmarks/results.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page and its pictures go.")] = ROOT
    / "benchmarks"
    / "report",
) -> None:
    """Write a page with tables and pictures of the rows in the files."""
    from benchmarks import page  # matplotlib takes a second to import

    paths = files or sorted(RESULTS.glob("*.jsonl"))
    rows = [row for path in paths for row in _read(path)]
    if not any("failed" not in row for row in rows):
        _refuse("There are no rows to report on: measure some with 'python -m benchmarks run'.")
    try:
        typer.echo(page.write(rows, [path.name for path in paths], out))
    except OSError as error:
        _refuse(f"--out '{out}' cannot be written: {error.strerror}.")
    except page.ForeignPageError:
        _refuse(f"--out '{out}' has a README.md that is no report: choose another folder.")


@app.command()
def setup(peer: Annotated[str, typer.Argument(metavar="PEER", help="The name of a peer.")]) -> None:
    """Make the environment of a peer, with the versions that its requirements name."""
    _require_peer("PEER", peer)
    try:
        typer.echo(f"{peer} is installed in {environments.setup(peer)}.")
    except environments.SetupError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(_FAILED) from None


def _measure(plan: list[runner.Job], repeat: int, out: Path | None, limit: float) -> list[tables.Row]:
    """Measure and append row by row, so that an interrupted run keeps what it has."""
    rows: list[tables.Row] = []
    for number, job in enumerate(plan, start=1):
        typer.echo(f"{number}/{len(plan)} {job.case.name} n={job.size} {job.code}", err=True)
        rows.append(tables.rounded(runner.measure(job, repeat, limit)))
        out = out or tables.default_path(rows[0])
        try:
            tables.append(rows[-1:], out)
        except OSError as error:
            _refuse(f"--out '{out}' cannot be written: {error.strerror}.")
    return rows


def _chosen(names: list[str] | None) -> list[Case]:
    for name in names or []:
        if name not in CASES:
            _refuse(f"CASE '{name}' is unknown: choose from {', '.join(CASES)}.")
    return [CASES[name] for name in names or CASES]


def _whole(option: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        _refuse(f"{option} '{text}' must be a whole number, at least {least}.")
    return int(text)


def _require_device(device: str) -> None:
    if device not in _DEVICES:
        _refuse(f"--device '{device}' is unknown: choose from {', '.join(_DEVICES)}.")
    if device == "gpu" and not runner.has_gpu():
        _refuse(
            "--device 'gpu': JAX finds no GPU here; install its CUDA build with 'make setup CUDA=1', or choose cpu."
        )


def _require_peer(option: str, name: str) -> None:
    if name not in PEERS:
        _refuse(f"{option} '{name}' is unknown: choose from {', '.join(PEERS)}.")


def _peers(text: str | None, cases: list[Case], device: str) -> list[str]:
    """The peers to run: those named, or the installed ones among those that solve a case."""
    if text == "none" or (text is None and device == "gpu"):
        return []
    if text is None:
        wanted = [name for name, peer in PEERS.items() if any(case.name in peer.cases for case in cases)]
        missing = [name for name in wanted if not environments.installed(PEERS[name])]
        if missing:
            typer.echo(f"Left out, not installed: {', '.join(missing)}; see 'python -m benchmarks list'.", err=True)
        return [name for name in wanted if name not in missing]
    names = text.split(",")
    for name in names:
        _require_peer("--peers", name)
        if device == "gpu":
            _refuse(f"--peers '{name}' is measured on a CPU only: leave out --device gpu, or add --peers none.")
        if not environments.installed(PEERS[name]):
            _refuse(f"--peers '{name}' is not installed: run '{environments.command(PEERS[name])}'.")
        if not any(case.name in PEERS[name].cases for case in cases):
            _refuse(f"--peers '{name}' solves none of these cases, but {', '.join(PEERS[name].cases)}.")
    return names


def _read(path: Path) -> list[tables.Row]:
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    except OSError as error:
        _refuse(f"FILE '{path}' cannot be read: {error.strerror}.")
    except (json.JSONDecodeError, UnicodeDecodeError):
        _refuse(f"FILE '{path}' is not a file of results.")
    if not all(isinstance(row, dict) and {"case", "size", "code"} <= set(row) for row in rows):
        _refuse(f"FILE '{path}' is not a file of results: every line needs case, size and code.")
    return rows


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(_BAD)


def main() -> None:
    """Entry point."""
    app(prog_name="python -m benchmarks")
