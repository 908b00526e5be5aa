"""The page of a report from stored rows: made-up times, for the form of the page alone."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import ceiling, cli
from benchmarks.tables import stages, tables, total


def row(code: str, size: int, **more: Any) -> dict[str, Any]:
    unknowns = (size + 1) ** 3
    return {
        "case": "poisson-hex",
        "size": size,
        "code": code,
        "element": "Q1",
        "machine": {"cpu": "Some CPU", "cores": 2},
        "device": "cpu",
        "versions": {code: "1.2.3"},
        "unknowns": unknowns,
        "mesh_s": 0.1,
        "plan_s": 0.2,
        "compile_s": 1.5,
        "assemble_s": 0.3,
        "preconditioner_s": 0.4,
        "solve_s": 1e-6 * unknowns,
        "iterations": 5,
        "error": 0.32 / size**2,
        "peak_mib": 100.0,
        "copy_gb_s": 30.0,
        **more,
    }


def written(path, rows):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in rows))
    return str(path)


def test_the_page_has_tables_pictures_and_who_disagrees(tmp_path):
    rows = [row(code, size) for size in (8, 16) for code in ("gemel", "scikit-fem", "pymfem")]
    rows[-1]["error"] = 1.2 * rows[-2]["error"]
    rows.append({k: rows[0][k] for k in ("case", "machine", "device")} | {"size": 32, "code": "tatva", "failed": "no"})
    first = written(tmp_path / "a.jsonl", [row("gemel", 8, solve_s=77.0)])
    second = written(tmp_path / "b.jsonl", rows)
    done = CliRunner().invoke(cli.app, ["report", first, second, "--out", str(tmp_path / "page")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "page" / "README.md").read_text()
    assert "from `a.jsonl`, `b.jsonl`; " in text
    assert "## Some CPU, 2 cores" in text
    assert "77" not in text  # the later row counts
    assert "5.000e-03 at n = 8 from 3 codes;" in text
    assert "from 3 codes (**pymfem is 20.0 % away**)" in text
    assert "poisson-hex 32 tatva failed: no" in text
    assert "scikit-fem 1.2.3" in text
    pictures = sorted(path.name for path in (tmp_path / "page").glob("*.png"))
    assert pictures == ["some-cpu-2c-cpu-poisson-hex-parts.png", "some-cpu-2c-cpu-poisson-hex.png"]
    assert all(f"({name})" in text for name in pictures)
    assert all((tmp_path / "page" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_a_report_replaces_its_own_pictures_and_nothing_else(tmp_path):
    page, rows = tmp_path / "page", written(tmp_path / "a.jsonl", [row(code, 8) for code in ("gemel", "feax", "tatva")])
    assert CliRunner().invoke(cli.app, ["report", rows, "--out", str(page)]).exit_code == 0
    (page / "mine.png").touch()
    fewer = written(tmp_path / "b.jsonl", [row("gemel", 8)])
    assert CliRunner().invoke(cli.app, ["report", fewer, "--out", str(page)]).exit_code == 0
    assert [path.name for path in page.glob("*.png")] == ["mine.png"]
    (tmp_path / "README.md").write_text("Another page.")
    done = CliRunner().invoke(cli.app, ["report", rows, "--out", str(tmp_path)])
    assert (done.exit_code, done.stderr.endswith("has a README.md that is no report: choose another folder.\n")) == (
        2,
        True,
    )
    assert (tmp_path / "README.md").read_text() == "Another page."


def test_a_busy_machine_is_named(tmp_path):
    rows = [row(code, 8, machine={"cpu": "Some CPU", "cores": 2, "load": 5.5}) for code in ("gemel", "feax")]
    done = CliRunner().invoke(cli.app, ["report", written(tmp_path / "a.jsonl", rows), "--out", str(tmp_path / "page")])
    assert done.exit_code == 0
    assert "5.5 to 5.5. **Other work ran beside these rows" in (tmp_path / "page" / "README.md").read_text()


def test_a_report_needs_rows(tmp_path):
    nothing = written(tmp_path / "rows.jsonl", [])
    done = CliRunner().invoke(cli.app, ["report", nothing, "--out", str(tmp_path / "page")])
    assert (done.exit_code, done.stderr[:20]) == (2, "There are no rows to")
    other = written(tmp_path / "other.jsonl", [{"case": "poisson-hex"}])
    assert "every line needs case, size and code" in CliRunner().invoke(cli.app, ["report", other]).stderr


def test_the_total_is_the_sum_of_its_parts():
    entry = row("gemel", 8)
    assert stages(entry)["plan"] == pytest.approx(0.3)
    assert total(entry) == pytest.approx(0.3 + 1.5 + 0.3 + 0.4 + 1e-6 * 729)
    assert total(row("feax", 8, preconditioner_s=None)) == pytest.approx(total(entry) - 0.4)


def test_failures_are_reported_beside_the_table():
    entry = {"case": "poisson-hex", "size": 4, "code": "gemel", "failed": "not done after 1 s"}
    assert tables([entry]) == "poisson-hex 4 gemel failed: not done after 1 s"


def test_ensembles_and_hard_problems_have_tables_of_their_own():
    times = {"compile_s": 1.0, "forward_s": 0.2, "tried": 90.4, "error_median": 1e-9, "error_max": 2e-8}
    ensemble = row("gemel", 8, case="lorenz", members=1000, method="Tsit5", rtol=1e-6, **times)
    good = {"iterations": 7, "status": "SUCCESS", "residual": 9e-9}
    bad = {"iterations": 86, "status": "STAGNATION", "residual": 7.7e-6}
    meshes = [("hard-box", {"a ball": good, "flat cells": bad}), ("hard-tet", {"a ball": good})]
    hard = [row("gemel", 16, case=case, problems=problems) for case, problems in meshes]
    first, second = tables([*hard, ensemble]).split("\n\n")
    entries = [cell.strip() for cell in first.splitlines()[2].split("|")[1:-1]]
    assert entries == ["lorenz", "1,000", "gemel", "Tsit5", "1.0e-06", "1", "0.2", "90", "1.0e-09", "2.0e-08", "100"]
    steps, _, ball, flat = [[cell.strip() for cell in line.split("|")[1:-1]] for line in second.splitlines()]
    assert steps == ["steps", "hard-box 16", "hard-tet 16"]
    assert ball == ["a ball", "7", "7"]
    assert flat == ["flat cells", "`STAGNATION` after 86, at 7.7e-06", ""]


def test_the_ceiling_counts_its_bytes():
    row64, row32 = 27 * (8 + 4) + 16, 27 * (4 + 4) + 8
    assert ceiling.assembled(1) == pytest.approx(row64 + 3 * 8 / 7 * row32 + 80)
    assert ceiling.assembled(3) == pytest.approx(27 * (24 + 4 / 3) + 16 + 24 / 7 * (27 * (12 + 4 / 3) + 8) + 80)
    assert ceiling.matrix_free() < ceiling.assembled(1) / 8
    assert ceiling.seconds(10**6, 5, 1000.0, 25.0) == pytest.approx(0.2)
