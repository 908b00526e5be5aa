"""Rows as a table in Markdown, and as lines of a file."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, slug

Row = dict[str, Any]

_SETUP = ("mesh_s", "plan_s", "preconditioner_s")


def append(rows: list[Row], path: Path) -> None:
    """Add one line of JSON a row; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def default_path(row: Row) -> Path:
    """benchmarks/results/DATE-MACHINE.jsonl."""
    name = f"{datetime.now(UTC):%Y-%m-%d}-{slug(row['machine'], row.get('device', 'cpu'))}.jsonl"
    return ROOT / "benchmarks" / "results" / name


def rounded(value: Any) -> Any:
    """The value with numbers of four significant digits: more than a clock gives."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return {key: rounded(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _bandwidth(row: Row) -> str:
    if "apply_gb_s" not in row:
        return ""
    return f"{1e3 * row['apply_s']:.2g} ms, {row['apply_gb_s']:.0f} of {row['copy_gb_s']:.0f} GB/s"


_BOUNDARY_VALUE: dict[str, Callable[[Row], str]] = {
    "case": lambda row: row["case"],
    "n": lambda row: str(row["size"]),
    "code": lambda row: row["code"],
    "unknowns": lambda row: f"{row['unknowns']:,}",
    "plan": lambda row: _seconds(row.get("mesh_s", 0) + row.get("plan_s", 0)),
    "compile": lambda row: _seconds(row["compile_s"]),
    "assemble": lambda row: _seconds(row.get("assemble_s")),
    "preconditioner": lambda row: _seconds(row.get("preconditioner_s")),
    "solve": lambda row: _seconds(row.get("solve_s")),
    "its": lambda row: str(row.get("iterations") or ""),
    "error": lambda row: f"{row['error']:.3e}",
    "MiB": lambda row: f"{row['peak_mib']:.0f}" if row.get("peak_mib") else "",
    "one apply": _bandwidth,
}

_GRADIENTS: dict[str, Callable[[Row], str]] = {
    "case": lambda row: row["case"],
    "n": lambda row: str(row["size"]),
    "code": lambda row: row["code"],
    "unknowns": lambda row: f"{row['unknowns']:,}",
    "parameters": lambda row: f"{row['parameters']:,}" if "parameters" in row else "",
    "set-up": lambda row: _seconds(sum(row.get(name, 0.0) for name in _SETUP)),
    "compile": lambda row: _seconds(row["compile_s"]),
    "forward": lambda row: _seconds(row.get("forward_s")),
    "with gradient": lambda row: _seconds(row.get("gradient_s")) or "none",
    "ratio": lambda row: f"{row['gradient_ratio']:.2f}" if "gradient_ratio" in row else "",
    "error": lambda row: f"{row['error']:.3e}",
    "error of gradient": lambda row: f"{row['gradient_error']:.0e}" if "gradient_error" in row else "",
    "MiB": lambda row: f"{row['peak_mib']:.0f}" if row.get("peak_mib") else "",
}


def tables(rows: list[Row]) -> str:
    """Two tables, boundary-value problems and gradients, and what failed; times in s."""
    good = [row for row in rows if "failed" not in row]
    steady = [row for row in good if "forward_s" not in row]
    moving = [row for row in good if "forward_s" in row]
    parts = [_table(_BOUNDARY_VALUE, steady), _table(_GRADIENTS, moving)]
    parts += [f"{r['case']} {r['size']} {r['code']} failed: {r['failed']}" for r in rows if "failed" in r]
    return "\n\n".join(part for part in parts if part)


def _table(columns: dict[str, Callable[[Row], str]], rows: list[Row]) -> str:
    if not rows:
        return ""
    cells = [list(columns), *([cell(row) for cell in columns.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
