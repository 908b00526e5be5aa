"""The command line: results, one line for a mistake, and calibrations that survive being killed."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemel.bindings.cli import main
from gemel.engine import Series, calibrate, simulate
from gemel.engine.results import load_run
from gemel.engine.twinfile import TwinFile

Gemel = Callable[..., tuple[str, str]]


@pytest.fixture
def gemel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gemel:
    """Calls the command line in this process and a folder of its own; returns what it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["gemel", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        assert ended.value.code == code, written
        return written.out, written.err

    return call


def test_help_names_every_command(gemel: Gemel) -> None:
    text, _ = gemel("--help")
    for command in ("simulate", "calibrate", "forecast", "demo", "serve", "version"):
        assert command in text
    assert gemel("version")[0].startswith("gemel 0.")


def test_calibrate_then_forecast(tmp_path: Path, plate: Path, gemel: Gemel) -> None:
    out, _ = gemel("calibrate", plate)
    assert "conductivity" in out
    assert "held out" in out
    file = TwinFile.load(plate)
    fit = calibrate(file.build(), file.training(file.record()), file.solver())
    results = tmp_path / "runs" / "plate"
    figures = json.loads((results / "figures.json").read_text())
    for row in fit.table():
        np.testing.assert_allclose(figures["parameters"][row.name]["value"], row.value, rtol=1e-10)
    assert set(figures["sensors"]["T1"]) == {"fitted", "held_out"}
    assert figures["sensors"]["T1"]["held_out"]["rmse"] < 0.5
    assert (results / "forecast.png").read_bytes().startswith(b"\x89PNG")
    assert load_run(results / "forecast.zarr").times is not None

    out, _ = gemel("forecast", plate, "--until", "1 min")
    assert "Belief: runs/plate/belief.json" in out
    times = load_run(results / "forecast" / "run.zarr").times
    assert times is not None
    assert float(times[-1]) == 50.0


def test_simulate_takes_quantities(tmp_path: Path, plate: Path, gemel: Gemel) -> None:
    options = ["--until", "1 min", "--every", "20 s", "--set", "k=14 W/m/K", "--input", "heater=50%"]
    arguments: list[Any] = ["simulate", plate, *options, "--out", "run.zarr", "--plot", "run.png"]
    assert "Run written to run.zarr" in gemel(*arguments)[0]
    run = load_run(tmp_path / "run.zarr")
    twin = TwinFile.load(plate).build()
    heater = Series(np.zeros(1), np.full(1, 0.5))
    local = simulate(twin, {"heater": heater}, np.linspace(0.0, 60.0, 4), {"k": 14.0})
    np.testing.assert_allclose(run.readings["T2"], local.readings["T2"], rtol=1e-10)
    assert (tmp_path / "run.png").is_file()


MISTAKES: dict[str, tuple[list[str], str]] = {
    "a missing file": (["simulate", "none.toml"], "none.toml: the twin file cannot be read"),
    "missing data": (["calibrate", "{plate}", "--data", "none.csv"], "none.csv"),
    "a wrong unit": (["calibrate", "{plate}", "--until", "5 kg"], "--until: '5 kg' has the wrong unit"),
    "no unit": (["simulate", "{plate}", "--every", "5"], "--every: '5' has no unit"),
    "an unknown parameter": (["simulate", "{plate}", "--set", "rho=1"], "--set: unknown parameter 'rho'"),
    "no quantity": (["simulate", "{plate}", "--set", "k"], "--set: 'k' is not of the form name=quantity."),
    "an unknown input": (["simulate", "{plate}", "--input", "fan=1"], "--input: unknown input 'fan'"),
    "an unknown sensor": (["calibrate", "{plate}", "--sensor", "T9"], "T9"),
    "an open door": (["serve", "--listen", "0.0.0.0:50051"], "can be reached from other machines"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str, tmp_path: Path, plate: Path, gemel: Gemel) -> None:
    arguments, sentence = MISTAKES[mistake]
    filled = [argument.replace("{plate}", str(plate)) for argument in arguments]
    _, told = gemel(*filled, code=2)
    assert sentence in told
    assert told.startswith("gemel: ")
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_fit_that_does_not_converge_is_told(tmp_path: Path, bar: Path, gemel: Gemel) -> None:
    _, told = gemel("calibrate", bar, "--max-steps", "2", code=1)
    assert told.startswith("gemel: The calibration did not converge: the limit of iterations was reached")
    assert (tmp_path / "runs" / "bar" / "figures.json").is_file()


@pytest.mark.slow
def test_a_killed_calibration_continues(
    tmp_path: Path, bar: Path, gemel: Gemel, run_environment: dict[str, str]
) -> None:
    checkpoint = tmp_path / "runs" / "bar" / "checkpoint.npz"
    command = [sys.executable, "-m", "gemel.bindings.cli", "calibrate", str(bar)]
    process = subprocess.Popen(command, cwd=tmp_path, env=run_environment, stdout=subprocess.DEVNULL)
    while process.poll() is None and steps_at(checkpoint) < 5:
        time.sleep(0.005)
    process.kill()
    process.wait()
    reached = steps_at(checkpoint)
    assert 5 <= reached < 400
    out, _ = gemel("calibrate", bar, code=1)
    assert f"continuing from step {reached}" in out
    file = TwinFile.load(bar)
    fit = calibrate(file.build(), file.record(), file.solver())
    costs = json.loads((tmp_path / "runs" / "bar" / "figures.json").read_text())["costs"]
    np.testing.assert_allclose(costs, fit.costs, rtol=1e-10)

    other = tmp_path / "other.toml"
    other.write_text(bar.read_text().replace("factor = 3", "factor = 4"))
    _, told = gemel("calibrate", other, code=2)
    assert "belongs to another twin, other data or another solver. Give --restart to start anew." in told
    out, _ = gemel("calibrate", other, "--restart", "--max-steps", "1", code=1)
    assert "continuing" not in out


def steps_at(checkpoint: Path) -> int:
    if not checkpoint.is_file():
        return -1
    with np.load(checkpoint) as file:
        return len(file["costs"]) - 1
