"""Rows as a table in Markdown, and as lines of a file."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, slug

Row = dict[str, Any]

STAGES = ("plan", "compile", "assemble", "preconditioner", "solve")
"""What the time from the mesh to the solution is made of."""

_SETUP = ("mesh_s", "plan_s", "preconditioner_s")


def stages(row: Row) -> dict[str, float]:
    """Seconds of each of `STAGES`; what a code does not do apart is zero."""
    return {"plan": row.get("mesh_s", 0.0) + row.get("plan_s", 0.0)} | {
        name: row.get(f"{name}_s") or 0.0 for name in STAGES[1:]
    }


def total(row: Row) -> float:
    """Seconds from the mesh to the solution, once."""
    return sum(stages(row).values())


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


_Columns = dict[str, Callable[[Row], str]]

_HEAD: _Columns = {
    "case": lambda row: row["case"],
    "n": lambda row: str(row["size"]),
    "code": lambda row: row["code"],
    "unknowns": lambda row: f"{row['unknowns']:,}",
}

_BOUNDARY_VALUE: _Columns = _HEAD | {
    "plan": lambda row: _seconds(stages(row)["plan"]),
    "compile": lambda row: _seconds(row["compile_s"]),
    "assemble": lambda row: _seconds(row.get("assemble_s")),
    "preconditioner": lambda row: _seconds(row.get("preconditioner_s")),
    "solve": lambda row: _seconds(row.get("solve_s")),
    "its": lambda row: str(row.get("iterations") or ""),
    "error": lambda row: f"{row['error']:.3e}",
    "MiB": lambda row: f"{row['peak_mib']:.0f}" if row.get("peak_mib") else "",
    "one apply": _bandwidth,
}

_GRADIENTS: _Columns = _HEAD | {
    "parameters": lambda row: f"{row['parameters']:,}" if "parameters" in row else "",
    "set-up": lambda row: _seconds(sum(row.get(name, 0.0) for name in _SETUP)),
    "compile": lambda row: _seconds(row["compile_s"]),
    "forward": lambda row: _seconds(row.get("forward_s")),
    "with gradient": lambda row: _seconds(row.get("gradient_s")) or "none",
    "ratio": lambda row: f"{row['gradient_ratio']:.2f}" if "gradient_ratio" in row else "",
    "error": lambda row: f"{row['error']:.3e}",
    "slope": lambda row: f"{row['slope']:.4e}" if "slope" in row else "",
    "error of slope": lambda row: f"{row['gradient_error']:.0e}" if "gradient_error" in row else "",
    "MiB": lambda row: f"{row['peak_mib']:.0f}" if row.get("peak_mib") else "",
}


_ENSEMBLES: _Columns = {
    "case": lambda row: row["case"],
    "members": lambda row: f"{row['members']:,}",
    "code": lambda row: row["code"],
    "method": lambda row: row["method"],
    "rtol": lambda row: f"{row['rtol']:.1e}",
    "compile": lambda row: _seconds(row["compile_s"]),
    "forward": lambda row: _seconds(row["forward_s"]),
    "compile gradient": lambda row: _seconds(row.get("gradient_compile_s")),
    "with gradient": lambda row: _seconds(row.get("gradient_s")),
    "steps": lambda row: f"{row['tried']:.0f}",
    "median error": lambda row: f"{row['error_median']:.1e}",
    "largest error": lambda row: f"{row['error_max']:.1e}",
    "slope": lambda row: f"{row['slope']:.4e}" if "slope" in row else "",
    "MiB": lambda row: f"{row['peak_mib']:.0f}" if row.get("peak_mib") else "",
}


_CALIBRATIONS: _Columns = _HEAD | {
    "n": lambda row: "",
    "starts": lambda row: str(row["starts"]),
    "parameters": lambda row: str(row["parameters"]),
    "samples": lambda row: f"{row['samples']:,}",
    "set-up": lambda row: _seconds(row["plan_s"]),
    "compile": lambda row: _seconds(row["compile_s"]),
    "fit": lambda row: _seconds(row["fit_s"]),
    "one start": lambda row: _seconds(row.get("one_s")),
    "ratio": lambda row: f"{row['fit_s'] / row['one_s']:.2f}" if "one_s" in row else "",
    "steps": lambda row: str(row["steps"]),
    "misfit": lambda row: f"{row['misfit']:.6g}",
    "at one minimum": lambda row: str(row.get("minima", "")),
    "MiB": lambda row: f"{row['peak_mib']:.0f}" if row.get("peak_mib") else "",
}


def kind(row: Row) -> str:
    """The table that a row belongs to."""
    if "problems" in row:
        return "hard"
    if "members" in row:
        return "ensemble"
    if "starts" in row:
        return "calibration"
    return "gradient" if "forward_s" in row else "boundary value"


def tables(rows: list[Row]) -> str:
    """A table for each kind of problem, and what failed; times in s."""
    good = [row for row in rows if "failed" not in row]
    kinds = {name: [row for row in good if kind(row) == name] for name in set(map(kind, good))}
    columns = {
        "boundary value": _BOUNDARY_VALUE,
        "gradient": _GRADIENTS,
        "ensemble": _ENSEMBLES,
        "calibration": _CALIBRATIONS,
    }
    parts = [_table(columns[name], kinds.get(name, [])) for name in columns]
    parts.append(_hard(kinds.get("hard", [])))
    parts += [f"{r['case']} {r['size']} {r['code']} failed: {r['failed']}" for r in rows if "failed" in r]
    return "\n\n".join(part for part in parts if part)


def _hard(rows: list[Row]) -> str:
    """Steps of every problem, one column for each mesh; what did not succeed, with its status and residual."""
    heads = [f"{row['case']} {row['size']}" for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row["problems"]))
    lines = [[name, *(_steps(row["problems"].get(name)) for row in rows)] for name in names]
    return markdown([["steps", *heads], *lines]) if rows else ""


def _steps(found: Row | None) -> str:
    if found is None:
        return ""
    if found["status"] == "SUCCESS":
        return str(found["iterations"])
    return f"`{found['status']}` after {found['iterations']}, at {found['residual']:.1e}"


def _table(columns: _Columns, rows: list[Row]) -> str:
    """Columns that say nothing in any row are left out."""
    if not rows:
        return ""
    cells = [[cell(row) for cell in columns.values()] for row in rows]
    kept = [i for i in range(len(columns)) if any(line[i] for line in cells)]
    return markdown([[list(columns)[i] for i in kept], *([line[i] for i in kept] for line in cells)])


def markdown(cells: list[list[str]]) -> str:
    """A table whose first line is the head."""
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
