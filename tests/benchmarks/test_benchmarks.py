"""The benchmark command: one small row from end to end, and its answers to mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import exact
from benchmarks.report import tables

ROOT = Path(__file__).resolve().parents[2]


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *options]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)


def test_the_smallest_row_is_measured_appended_and_shown(tmp_path):
    out = tmp_path / "new" / "rows.jsonl"
    options = ["--case", "poisson-hex", "--size", "4", "--repeat", "1", "--no-peers", "--out", str(out)]
    done = bench(*options)
    assert done.returncode == 0, done.stderr
    (line,) = out.read_text().splitlines()
    row = json.loads(line)
    assert row["unknowns"] == 125
    assert row["iterations"] > 0
    assert row["error"] == pytest.approx(0.18, rel=0.3)  # the interpolation error of so coarse a mesh
    assert {"mesh_s", "plan_s", "multigrid_s", "compile_s", "assemble_s", "solve_s"} <= set(row)
    assert str(ROOT) not in line
    assert "poisson-hex" in done.stdout
    assert done.stdout == bench("--show", str(out)).stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--case", "stokes"], "--case 'stokes' is unknown: choose from poisson-hex, "),
        (["--size", "1"], "--size '1' must be a whole number, at least 2."),
        (["--repeat", "many"], "--repeat 'many' must be a whole number, at least 1."),
        (["--show", "nowhere.jsonl"], "--show 'nowhere.jsonl' cannot be read: No such file or directory."),
    ],
)
def test_a_mistake_is_one_sentence(options, sentence):
    done = bench(*options)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1


def test_failures_are_reported_beside_the_table():
    row = {"case": "poisson-hex", "size": 4, "method": "gemel", "failed": "not done after 1 s"}
    assert tables([row]) == "poisson-hex 4 gemel failed: not done after 1 s"


def test_the_sources_belong_to_the_solutions():
    """Central differences of the fluxes, away from the boundary."""
    x, h = np.array([0.3, 0.55, 0.7]), 1e-5
    shifts = h * np.eye(3)

    def slope(function):
        return [(function(x + s) - function(x - s)) / (2 * h) for s in shifts]

    def flux(y):
        return exact.conductivity(np, y) * np.array(
            [(exact.scalar(np, y + s) - exact.scalar(np, y - s)) / (2 * h) for s in shifts]
        )

    divergence = sum(slope(flux)[i][i] for i in range(3))
    assert exact.source(np, x) == pytest.approx(-divergence, rel=1e-4)
    force = -sum(slope(lambda y: exact.stress(np, y))[j][:, j] for j in range(3))
    np.testing.assert_allclose(exact.body_force(np, x), force, rtol=1e-6)
    gradient = np.array(slope(lambda y: exact.displacement(np, y))).T
    strain = (gradient + gradient.T) / 2
    first = exact.YOUNGS_MODULUS * exact.POISSON_RATIO / ((1 + exact.POISSON_RATIO) * (1 - 2 * exact.POISSON_RATIO))
    second = exact.YOUNGS_MODULUS / (2 * (1 + exact.POISSON_RATIO))
    expected = first * np.trace(strain) * np.eye(3) + 2 * second * strain
    np.testing.assert_allclose(exact.stress(np, x), expected, rtol=1e-8)
