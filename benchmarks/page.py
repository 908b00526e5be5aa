"""The page of a report: tables, pictures, and what the codes agree on."""

import ast
import re
from pathlib import Path

from benchmarks import ceiling, plots
from benchmarks.cases import CASES, RTOL
from benchmarks.machine import ROOT, slug
from benchmarks.peers import PEERS
from benchmarks.tables import Row, kind, markdown, tables, total

PEER_SCRIPTS = ROOT / "benchmarks" / "peers"
_AGREEMENT = 0.01
_MOST = 0.7
_ROUNDING = 2e-4
_BUSY = 3.0
"""Load average above which a row cannot have had the machine to itself: one process with a thread on each core."""

_SMALLEST_PICTURE = 3

_TITLE = "# Benchmark report"
_HEAD = f"""{_TITLE}

Written by `python -m benchmarks report` from {{sources}}; [how to read it](../README.md). Of rows that were measured
again the last counts. All codes solve the same problem on the same mesh in double precision to
a relative residual of {RTOL:g}; **error** is the relative L2 error against the exact solution, measured in the same
way for all. The total is what one solution costs that is wanted once: plan, compilation, assembly, set-up of the
preconditioner, and solve. One more solve is with the matrix and the preconditioner at hand, where a code can keep
them: JAX-FEM sets its preconditioner up in every solve, and FEAX has no matrix to keep.

The dashed lines are what the memory allows: the iterations of Gemel's row times the traffic of one iteration of
conjugate gradients with a V-cycle, at the bandwidth that the rows measured. With assembled rows that is
{ceiling.assembled(1):.0f} bytes for each unknown and iteration ({ceiling.assembled(3):.0f} for elasticity), without a
matrix {ceiling.matrix_free():.0f}: the model is in `benchmarks/ceiling.py`.
"""


class ForeignPageError(Exception):
    """The folder has a README.md that is no report."""


def write(rows: list[Row], sources: list[str], folder: Path) -> str:
    """Write README.md and its pictures into a folder, instead of an earlier report's; one line on what was written.

    Raises `ForeignPageError` where the folder has another README.md: nothing is touched there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    latest = {_key(row): row for row in rows}
    machines: dict[str, list[Row]] = {}
    for row in latest.values():
        machines.setdefault(_machine(row), []).append(row)
    parts = [
        _HEAD.format(sources=", ".join(f"`{name}`" for name in sources)),
        *(_section(name, group, folder) for name, group in sorted(machines.items())),
        _peers(rows),
    ]
    (folder / "README.md").write_text("\n\n".join(part.strip() for part in parts) + "\n")
    return f"{folder / 'README.md'}: {len(latest)} rows, {len(list(folder.glob('*.png')))} pictures."


def _clear(folder: Path) -> None:
    """Remove the pictures that an earlier report in the folder shows."""
    page = folder / "README.md"
    if not page.is_file():
        return
    text = page.read_text()
    if not text.startswith(_TITLE):
        raise ForeignPageError
    for name in re.findall(r"\]\(([\w.-]+\.png)\)", text):
        (folder / name).unlink(missing_ok=True)


def _peers(rows: list[Row]) -> str:
    """What each measured peer was told to do, from the head of its script."""
    folders = {peer.folder: None for peer in PEERS.values() if any(row["code"] == peer.name for row in rows)}
    texts = [ast.get_docstring(ast.parse((PEER_SCRIPTS / name / "solve.py").read_text())) or "" for name in folders]
    return "\n\n".join(["## How the other codes were run" if texts else "", *texts])


def _key(row: Row) -> tuple[object, ...]:
    return row["case"], row["size"], row["code"], _machine(row)


def _machine(row: Row) -> str:
    """The machine of a row; a failed row does not know its device and counts for the CPU."""
    machine = row.get("machine", {"cpu": "unknown CPU", "cores": 0})
    device = row.get("device", "cpu")
    return f"{machine['cpu']}, {machine['cores']} cores" + ("" if device == "cpu" else f", {device}")


def _section(name: str, rows: list[Row], folder: Path) -> str:
    """All cases of one machine."""
    by_case = {case: [row for row in rows if row["case"] == case] for case in CASES}
    cases = [_case(case, group, folder, _prefix(rows)) for case, group in by_case.items() if group]
    return "\n\n".join([f"## {name}", _load(rows), *cases, "### Versions", _versions(rows)])


def _load(rows: list[Row]) -> str:
    """How busy the machine was when the rows began, with a warning where it was."""
    loads = [row["machine"]["load"] for row in rows if row.get("machine", {}).get("load") is not None]
    if not loads:
        return ""
    busy = (
        " **Other work ran beside these rows: their times are no measure of the codes.**" if max(loads) > _BUSY else ""
    )
    return f"Load average when the rows began: {min(loads):g} to {max(loads):g}.{busy}"


def _prefix(rows: list[Row]) -> str:
    machine = rows[0].get("machine", {"cpu": "unknown", "cores": 0})
    return slug(machine, rows[0].get("device", "cpu"))


def _case(name: str, rows: list[Row], folder: Path, prefix: str) -> str:
    """One case: what the codes agree on, its pictures, its table."""
    order = ["gemel", *PEERS]
    rows = sorted(rows, key=lambda row: (row["size"], order.index(row["code"]) if row["code"] in order else len(order)))
    good = [row for row in rows if "failed" not in row]
    steady = [row for row in good if kind(row) == "boundary value" and "solve_s" in row]
    moving = [row for row in good if kind(row) == "gradient" and "gradient_s" in row]
    pictures = []
    if len(steady) >= _SMALLEST_PICTURE:
        if len({row["size"] for row in steady}) > 1:
            pictures.append((plots.times, steady, f"{prefix}-{name}.png", "time against unknowns"))
        pictures.append((plots.composition, _largest(steady), f"{prefix}-{name}-parts.png", "parts of the time"))
    if len(moving) >= _SMALLEST_PICTURE:
        pictures.append((plots.gradients, moving, f"{prefix}-{name}.png", "time against unknowns"))
    for draw, chosen, file, _ in pictures:
        draw(chosen, folder / file)
    shown = [f"![{CASES[name].title}: {what}]({file})" for _, _, file, what in pictures]
    return "\n\n".join([f"### {CASES[name].title} (`{name}`)", _agreement(good), *shown, tables(rows)])


def _largest(rows: list[Row]) -> list[Row]:
    """The rows of the largest size that most codes have."""
    count = {row["size"]: sum(other["size"] == row["size"] for other in rows) for row in rows}
    best = max(size for size in count if count[size] >= _MOST * max(count.values()))
    return [row for row in rows if row["size"] == best and total(row) > 0]


def _agreement(rows: list[Row]) -> str:
    """What the codes agree on, and who does not: the error at each size, and the slope of the functional."""
    lines = []
    for what, name in (("error", "error"), ("slope", "slope of the functional along one direction")):
        parts = []
        for size in sorted({row["size"] for row in rows}):
            there = [row for row in rows if row["size"] == size and what in row]
            if len(there) > 1:
                parts.append(_spread(size, what, there))
        if parts:
            lines.append(f"The {name}: {'; '.join(parts)}.")
    return "\n\n".join(lines)


def _spread(size: int, what: str, rows: list[Row]) -> str:
    middle = sorted(row[what] for row in rows)[len(rows) // 2]
    off = {row["code"]: abs(row[what] / middle - 1) for row in rows}
    text = f"{middle:.3e} at n = {size} from {len(rows)} codes"
    apart = [f"{code} is {100 * value:.1f} % away" for code, value in off.items() if value > _AGREEMENT]
    if apart:
        return f"{text} (**{', '.join(apart)}**)"
    return text + (f" within {100 * max(off.values()):.1g} %" if max(off.values()) > _ROUNDING else "")


def _versions(rows: list[Row]) -> str:
    """What was measured, by code."""
    found = {row["code"]: row["versions"] for row in rows if "versions" in row}
    lines = [[code, ", ".join(f"{name} {number}" for name, number in found[code].items())] for code in found]
    return markdown([["code", "versions"], *lines]) if lines else ""
