"""The command line: results, one line for a mistake, and calibrations that survive being killed."""

import html
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemel.bindings.cli import main
from gemel.bindings.commands import certainty
from gemel.bindings.draws import doubts
from gemel.engine import Draws, PointSensor, Series, calibrate, expected_information, next_measurements, simulate
from gemel.engine.results import FitRecord, load_forecast, load_run, save_belief
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
    for command in ("simulate", "data", "calibrate", "forecast", "design", "demo", "serve", "jobs", "version"):
        assert command in text
    assert gemel("version")[0].startswith("gemel 0.")


INTERRUPTED = """
import os, signal, sys
import gemel_command

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it runs in the background ignore it

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "gemel":
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Interrupt())
gemel_command.main()
"""


def test_an_interrupt_while_it_loads_ends_it_without_a_traceback(run_environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", INTERRUPTED]
    ended = subprocess.run(command, env=run_environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.slow
def test_the_page_shows_what_a_twin_file_says_as_text(tmp_path: Path, plate: Path, gemel: Gemel) -> None:
    twin = tmp_path / "plate.toml"
    far = plate.read_text().replace('median = "10 W/m/K"\nfactor = 3', 'median = "1000 W/m/K"\nfactor = 300')
    lines = [line for line in far.splitlines() if not line.startswith("description")]
    name = next(i for i, line in enumerate(lines) if line.startswith("name"))
    twin.write_text("\n".join([*lines[: name + 1], 'description = "<script>alert(1)</script>"', *lines[name + 1 :]]))
    for file in plate.parent.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    gemel("calibrate", twin, "--max-steps", "1", code=1)
    page = (tmp_path / "runs" / "plate" / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "Not usable" in page


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
    assert figures["verdict"]["verdict"] in out.lower()
    page = (results / "report.html").read_text()
    assert figures["verdict"]["verdict"].capitalize() in page
    assert all(html.escape(reason) in page for reason in figures["verdict"]["reasons"])
    assert page.count("data:image/png;base64,") == 2
    assert "90 % band" in page
    assert not list(results.glob("*.part"))
    assert load_run(results / "forecast.zarr").times is not None

    out, _ = gemel("forecast", plate, "--until", "1 min")
    assert "Belief: runs/plate/belief.json" in out
    predictive = 1.96 * np.asarray(load_forecast(results / "forecast" / "run.zarr").predictive["T1"])
    assert f"± {predictive.min():.4g} … {predictive.max():.4g} K" in out
    times = load_run(results / "forecast" / "run.zarr").times
    assert times is not None
    assert float(times[-1]) == 50.0


@pytest.mark.slow
def test_forecasts_go_on_from_the_end_of_the_data(tmp_path: Path, plate: Path, gemel: Gemel) -> None:
    """With the last values of the inputs or others; what was measured is compared as without it."""
    gemel("calibrate", plate)
    record, results = TwinFile.load(plate).record(), tmp_path / "runs" / "plate"
    assert record.times is not None
    end, (name,) = float(record.times[-1]), record.inputs
    gemel("forecast", plate)
    whole = load_forecast(results / "forecast" / "run.zarr")
    figures = results / "forecast" / "figures.json"
    compared = json.loads(figures.read_text())["T1"]
    out, _ = gemel("forecast", plate, "--until", f"{end + 65} s")
    assert f"The data end at {end:g} s: the run goes on to {end + 65:g} s, with the last value of {name}." in out
    again = json.loads(figures.read_text())["T1"]
    assert {part: one["rmse"] for part, one in again.items()} == pytest.approx(
        {part: one["rmse"] for part, one in compared.items()}, rel=1e-8
    )
    kept = load_forecast(results / "forecast" / "run.zarr")
    out, _ = gemel("forecast", plate, "--until", f"{end + 65} s", "--then", f"{name}=0")
    assert f"the run goes on to {end + 65:g} s.\n" in out
    other = load_forecast(results / "forecast" / "run.zarr")
    for found in (kept, other):
        np.testing.assert_array_equal(found.run.times, [*record.times, *(end + 10.0 * np.arange(1, 7))])
        np.testing.assert_allclose(found.run.readings["T1"][: len(record.times)], whole.run.readings["T1"], rtol=1e-9)
    assert np.all(np.asarray(kept.run.readings["T1"] - other.run.readings["T1"])[len(record.times) + 1 :] > 0.01)


@pytest.mark.parametrize(
    ("count", "r_hat", "effective", "says"),
    [
        (25, 1.0, 60.0, "worth 60 independent ones, not 100. To get better ones ask for --sample 200."),
        (200, 1.0, 40.0, "worth 40 independent ones, not 100. To get better ones ask for --sample 750."),
        (300, 1.02, 500.0, "an R-hat of 1.020, not under 1.01). To get better ones ask for --sample 600."),
        (200, 1.3, 10.0, "ask for --sample 3000."),
    ],
)
def test_of_too_few_draws_it_is_said_how_many_would_be_enough(
    plate: Path, count: int, r_hat: float, effective: float, says: str
) -> None:
    belief = TwinFile.load(plate).build().belief
    z = np.zeros((4, count, len(belief.mean)))
    draws = Draws(belief, z, {"k": r_hat, "h": 1.0}, {"k": effective, "h": 900.0}, 0.0)
    assert says in doubts(draws)


@pytest.mark.slow
def test_how_sure_a_fit_is_may_be_asked_afterwards(
    tmp_path: Path, body: Path, gemel: Gemel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a body that cools from a temperature of its own each time: nearly linear, so that all intervals agree."""
    pytest.importorskip("blackjax")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "blackjax", None)
        told = gemel("calibrate", body, "--sample", "50", code=2)[1]
    assert told == "gemel: --sample: Sampling needs blackjax: install it with pip install 'gemel[sampling]'.\n"
    assert not (tmp_path / "runs").exists()
    gemel("calibrate", body)
    results, asked = tmp_path / "runs" / "body", ("--profile", "start[b]", "--sample", "300", "--seed", "1")
    with monkeypatch.context() as stopped:

        def interrupt(*_: Any) -> None:
            assert "start[b]" in json.loads((results / "figures.json").read_text())["profiles"]
            raise KeyboardInterrupt

        stopped.setattr(certainty, "_draws", interrupt)
        out, _ = gemel("calibrate", body, *asked, code=130)
    assert re.search(r"This fit has ended after \d+ steps: --restart makes it anew", out)
    assert "Stopped: the fit has ended; what was found about it before is in runs/body, what was not" in out
    page = (results / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    with monkeypatch.context() as known:
        known.setattr(certainty, "profile_likelihood", None)  # what was found is not looked for again
        out, _ = gemel("calibrate", body, *asked)
        known.setattr(certainty, "sample", None)
        assert "The draws are reliable" in gemel("calibrate", body, *asked)[0]
        assert "95 % intervals" not in gemel("calibrate", body)[0]
    assert "The draws are reliable" in out
    figures = json.loads((results / "figures.json").read_text())
    fitted = figures["parameters"]["start[b]"]["interval"]
    assert figures["profiles"]["start[b]"]["interval"] == pytest.approx(fitted, abs=0.05)
    assert figures["profiles"]["start[b]"]["agrees_with_normal"]
    assert figures["draws"]["reliable"]
    assert figures["draws"]["parameters"]["start[b]"]["interval"] == pytest.approx(fitted, abs=0.1)
    with np.load(results / "draws.npz") as kept:
        assert kept["z"].shape == (4, 300, 4)
        values = kept["value.start[b]"]
    assert np.quantile(values, (0.025, 0.975)) == pytest.approx(fitted, abs=0.1)
    for name in ("profiles.png", "draws.png"):
        assert (results / name).read_bytes().startswith(b"\x89PNG")
    page = (results / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert "The draws are reliable" in page


@pytest.mark.slow
def test_a_run_knows_what_was_fitted(tmp_path: Path, body: Path, gemel: Gemel) -> None:
    """What is not given again is as it was; what is given and differs is refused with both."""
    given = ["--until", "1 s", "--max-steps", "30"]
    assert "As the fit" not in gemel("calibrate", body, *given)[0]
    figures = tmp_path / "runs" / "body" / "figures.json"
    first = json.loads(figures.read_text())
    out, _ = gemel("calibrate", body, "--profile", "h")
    assert "As the fit in runs/body was made: --until '1 s' --max-steps 30 (--restart starts anew)." in out
    assert f"This fit has ended after {len(first['costs']) - 1} steps" in out
    again = json.loads(figures.read_text())
    assert again["profiles"]["h"]["agrees_with_normal"]
    assert (again["costs"], again["experiments"]) == (first["costs"], first["experiments"])
    out, _ = gemel("calibrate", body, "--until", "1000 ms")  # the same instant in other words
    assert "was made: --max-steps 30 (" in out
    _, told = gemel("calibrate", body, "--until", "2 s", "--sensor", "T", code=2)
    assert told.startswith(
        "gemel: The fit in runs/body was made with --until '1 s' and without --sensor, not with --until '2 s' and "
        "--sensor T. Give --restart to start anew, with --from runs/body/belief.json where its fit ended."
    )
    assert json.loads(figures.read_text())["costs"] == first["costs"]
    assert "As the fit" not in gemel("calibrate", body, "--restart")[0]
    assert json.loads(figures.read_text())["costs"] != first["costs"]


@pytest.mark.slow
def test_a_fit_goes_on_with_another_limit_of_steps(tmp_path: Path, body: Path, gemel: Gemel) -> None:
    told = gemel("calibrate", body, "--max-steps", "1", code=1)[1]
    assert "did not converge" in told
    assert json.loads((tmp_path / "runs" / "body" / "belief.json").read_text())["fit"]["verdict"] == "not usable"
    assert "- The calibration did not converge" in gemel("forecast", body, "--experiment", "a")[0]
    assert "As the fit in runs/body was made: --max-steps 1" in gemel("calibrate", body, code=1)[0]
    assert "Continuing from step 1" in gemel("calibrate", body, "--max-steps", "30")[0]
    gemel("calibrate", body, "--max-steps", "30", "--out", "whole")
    went, whole = (json.loads((tmp_path / folder / "figures.json").read_text()) for folder in ("runs/body", "whole"))
    assert went["costs"] == whole["costs"]


CANDIDATES = """
[candidates.corner]
kind = "point"
position = ["40 mm", "0 mm"]
unit = "degC"
noise = "0.1 K"
[candidates.edge]
kind = "average"
on = "edge"
facets = true
unit = "degC"
noise = "0.2 K"
[data]
"""


@pytest.mark.slow
def test_design_says_what_to_measure_next(tmp_path: Path, plate: Path, gemel: Gemel) -> None:
    """With a candidate, and a map whose best place is the one that a comparison of all nodes finds."""
    (tmp_path / "twin.toml").write_text(plate.read_text().replace("[data]\n", CANDIDATES))
    (tmp_path / "data.csv").write_bytes(plate.with_name("data.csv").read_bytes())
    out, _ = gemel("design", "twin.toml", "--map", "corner", "--about", "k")
    assert "Belief: the prior" in out
    folder = tmp_path / "runs" / "plate" / "design"
    found = json.loads((folder / "design.json").read_text())
    assert {one["sensor"]: one["mounted"] for one in found["sensors"]} == {
        "T1": True, "T2": True, "corner": False, "edge": False
    }  # fmt: skip
    file = TwinFile.load("twin.toml")
    twin, record = file.build(), file.record()
    nodes = np.asarray(twin.analysis.physics.problem.space.mesh.points)  # pyright: ignore[reportAttributeAccessIssue]
    copies = [PointSensor(name=f"{i}", position=tuple(place), noise=0.1) for i, place in enumerate(nodes)]
    first, *_ = next_measurements(twin, copies, record.inputs, record.times, ["k"])
    assert found["maps"]["corner"]["best"] == pytest.approx(nodes[int(first.sensor)])
    assert max(found["maps"]["corner"]["information"]) == pytest.approx(first.information, rel=1e-9)
    together = float(expected_information(twin, twin.sensors, record.inputs, record.times, ["k"]))
    assert found["mounted_together"]["information"] == pytest.approx(together, rel=1e-9)
    assert found["mounted_together"]["by_input"]["heater"] > 0
    assert (folder / "design.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "report.html").read_text().count("data:image/png;base64,") == 2
    assert "of the kind 'average'" in gemel("design", "twin.toml", "--map", "edge", code=2)[1]
    doubtful = FitRecord("usable with care", ("What is left of T1 trends by +1 K.",), ("T1",))
    save_belief(tmp_path / "belief.json", twin.belief, fit=doubtful)
    out, _ = gemel("design", "twin.toml", "--belief", "belief.json")
    assert "Its fit was judged 'usable with care':\n- What is left of T1 trends by +1 K.\n" in out
    assert "T1 seems to drift, or to have been moved, by what the fit left of it, and is taken for sound here" in out
    assert "What is left of T1 trends" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_several_experiments_are_fitted_and_shown_together(tmp_path: Path, body: Path, gemel: Gemel) -> None:
    out, _ = gemel("calibrate", body)
    assert "start[a]" in out
    results = tmp_path / "runs" / "body"
    figures = json.loads((results / "figures.json").read_text())
    for name, truth in {"h": 12.0, "start[a]": 280.0, "start[b]": 320.0}.items():
        assert figures["parameters"][name]["value"] == pytest.approx(truth, rel=5e-3)
    for experiment in ("a", "b"):
        assert figures["experiments"][experiment]["sensors"]["T"]["held_out"]["rmse"] < 0.6
        assert (results / f"forecast-{experiment}.png").read_bytes().startswith(b"\x89PNG")
        run = load_forecast(results / f"forecast-{experiment}.zarr")
        assert np.all(run.model_error["T"] == 0.1)
    page = (results / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "T (b)" in page
    out, _ = gemel("data", body)
    assert "Data of body, b" in out
    _, error = gemel("calibrate", body, "--data", body.parent / "a.csv", code=2)
    assert "no one file can be given" in error
    check_forecasts_in_experiments(body, results, gemel)


@pytest.mark.slow
def test_what_stands_out_in_the_data_is_told(tmp_path: Path, body: Path, gemel: Gemel) -> None:
    """A sensor without data, and a wild sample in the last row: by the data, by the fit, and on its page."""
    text = body.read_text().replace(
        "[calibration]", '[sensors.T2]\nkind = "output"\noutput = "body"\nunit = "K"\nnoise = "1 K"\n[calibration]'
    )
    (tmp_path / "twin.toml").write_text(text)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text((body.parent / name).read_text())
    *rows, last = (tmp_path / "b.csv").read_text().splitlines()
    (tmp_path / "b.csv").write_text("\n".join([*rows, f"{last.split(',')[0]},999"]) + "\n")
    nothing, wild = "No data of the sensor T2 of the twin.", "T: suspect: 1 of the first or last samples lies far from"
    out, _ = gemel("data", "twin.toml")
    assert out.count(nothing) == 2
    assert f"Data: {wild}" in out
    out, _ = gemel("calibrate", "twin.toml", "--max-steps", "1", code=1)
    assert out.count(f"Data: {nothing}") == out.count(f"Data: b: {wild}") == 1
    page = (tmp_path / "runs" / "body" / "report.html").read_text()
    assert f"<li>{nothing}</li>" in page
    assert f"<li>b: {wild}" in page


def check_forecasts_in_experiments(body: Path, results: Path, gemel: Gemel) -> None:
    """Each has its own start, which one to come has not; there it may be known."""
    out, _ = gemel("forecast", body, "--experiment", "b", "--until", "1 s")
    assert "Belief: runs/body/belief.json, in the experiment b" in out
    found, fitted = load_forecast(results / "forecast-b" / "run.zarr"), load_forecast(results / "forecast-b.zarr")
    np.testing.assert_allclose(found.predictive["T"], fitted.predictive["T"][:10], rtol=1e-9)
    np.testing.assert_allclose(found.run.readings["T"], fitted.run.readings["T"][:10], rtol=1e-12)
    gemel("simulate", body, "--experiment", "b", "--belief", results / "belief.json", "--out", "b.zarr")
    np.testing.assert_allclose(load_run(Path("b.zarr")).readings["T"], fitted.run.readings["T"], rtol=1e-12)
    out, _ = gemel("forecast", body, "--until", "1 s")
    assert "belief.json, of an experiment to come" in out
    assert load_forecast(results / "forecast" / "run.zarr").parametric["T"][0] == pytest.approx(20.0, rel=1e-3)
    out, _ = gemel("forecast", body, "--until", "1 s", "--set", "start=350 K")
    known = load_forecast(results / "forecast" / "run.zarr")
    assert known.run.readings["T"][0] == pytest.approx(350.0)
    assert known.parametric["T"][0] == pytest.approx(0.0, abs=1e-9)
    assert "h is 4" in gemel("forecast", body, "--until", "1 s", "--set", "h=20 W/K")[0]
    for arguments, sentence in (
        ([], "has the experiments a, b: name one with --experiment, or give --until for one that has not been made."),
        (["--data", "a.csv"], "has the experiments a, b: name one with --experiment."),
        (["--experiment", "c"], "there is no experiment 'c': the file has a, b."),
        (["--until", "1 s", "--set", "start[b]=1 K"], "'start', give --experiment b and --set start=QUANTITY."),
        (["--until", "1 s", "--set", "start[c]=1 K"], "there is no experiment 'c', the file has a, b."),
        (["--until", "1 s", "--set", "h[b]=1 W/K"], "'h' is no experiment's own, give it as h=QUANTITY."),
        (["--experiment", "a", "--until", "9 d", "--every", "1 ms"], "--every: 7.78e+08 times are too many: from 1 to"),
    ):
        assert sentence in gemel("forecast", body, *arguments, code=2)[1]


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


def test_data_shows_what_there_is_and_what_is_wrong(tmp_path: Path, plate: Path, gemel: Gemel) -> None:
    lines = plate.with_name("data.csv").read_text().splitlines()
    times = [line.split(",")[0] for line in lines]
    (tmp_path / "log.csv").write_text("\n".join([lines[0], *reversed(lines[1:]), f"{times[3]},500,20,0"]) + "\n")
    out, _ = gemel("data", plate, "--data", "log.csv")
    assert "Data of plate" in out
    assert "heater (input)" in out
    assert f"'log.csv': {len(lines) - 1} rows out of order, now sorted." in out
    assert "Data: T1: 1 time with values that differ: their mean is taken." in out
    out, _ = gemel("data", plate)
    assert "Data: " not in out
    table = [re.split(r" *[│┃] *", line.strip(" │┃")) for line in out.splitlines() if line.startswith(("│", "┃"))]
    assert table[0] == ["missing or", "one", "longest"]
    assert table[1] == ["channel", "samples", "left out", "every", "gap", "range"]
    assert table[3] == ["T2", "13", "0 %", "10 s", "10 s", "19.993 … 28.599 °C"]
    assert "Not checked, as the model was not built on its mesh" in out
    assert "│ T1      │ 55 °C │" in gemel("data", plate.parents[1] / "bar" / "twin.toml")[0]


def test_what_can_be_read_is_shown_beside_what_cannot(tmp_path: Path, plate: Path, gemel: Gemel) -> None:
    """A hole in an input, a column of no numbers, one that is not there, each with its place; times as the data say."""
    lines = plate.with_name("data.csv").read_text().splitlines()
    stamps = [f"2024-03-05T06:{int(line.split(',')[0]):02d}:00Z,{line.split(',', 1)[1]}" for line in lines[1:7]]
    stamps[2] = stamps[2].replace(",100,", ",,")
    text = plate.read_text().replace('column = "t", unit = "s"', 'column = "t", unit = "datetime"')
    (tmp_path / "twin.toml").write_text(text.replace('until = "80 s"\n', ""))
    (tmp_path / "data.csv").write_text("\n".join([lines[0], *stamps]) + "\n")
    out, told = gemel("data", "twin.toml", code=2)
    assert told == (
        "gemel: twin.toml, line 67, data.inputs.heater: the input has no number at 2024-03-05T06:20:00Z: give 'fill', "
        "or 'start' and 'end' around what is missing.\n"
    )
    assert [name in out for name in ("│ T1 ", "│ T2 ", "heater")] == [True, True, False]
    (tmp_path / "data.csv").write_text("\n".join([lines[0], *(line.replace(",2", ",x") for line in stamps)]) + "\n")
    text = text.replace('until = "80 s"\n', "").replace('{ column = "T2"', '{ column = "T3"')
    (tmp_path / "twin.toml").write_text(text)
    out, told = gemel("data", "twin.toml", code=2)
    assert "data.readings.T2.column: the data file 'data.csv' has no column 'T3': it has t, heater, T1, T2." in told
    assert "data.readings.T1: line 2 of 'data.csv' holds 'x0.0063' in column 'T1'" in told
    assert told.count("\n") == 2
    (tmp_path / "data.csv").write_text("t,heater,T1,T3\n2024-03-05T06:00Z,,20,\n2024-03-05T06:01Z,,21,\n")
    out, told = gemel("data", "twin.toml", code=2)
    assert "│ T1      │       2 │" in out
    assert "No data of the sensor" not in out
    bar = (plate.parents[1] / "bar" / "twin.toml").read_text()
    (tmp_path / "bar.toml").write_text(bar.replace("T2 = ", "T3 = ").replace('"55 degC"', '"55"'))
    known, shown = gemel("data", "bar.toml", code=2)[::-1]
    assert "data.values.T1: a number without a unit does not fit a quantity in 'degC'." in known
    assert "data.values.T3: the twin has no sensor 'T3': it has T1, T2." in known
    assert "T3" not in shown
    for sentence in (
        "heater: the input has no number at all, from 2024-03-05T06:00:00Z to 2024-03-05T06:01:00Z: is it the right",
        "T2: no sample of the reading is left: column and window hold 2 times and no number.",
    ):
        assert sentence in told


WRONG = {
    '"10 W/m/K"\nfactor = 3': ('"10 W/m/K"\nfactor = 0.3', "line 36, parameters.k: The factor of a log-normal prior"),
    'element = "Q1"': ('element = "P1"', "line 13, model.element: Element 'P1' does not exist"),
    'on = "edge"': ('on = "rim"', "line 24, conditions.0.on: The mesh has no facet tag 'rim'"),
    '"20 degC"\n\n[[': ('"20 kg"\n\n[[', "line 26, conditions.0.ambient: '20 kg' has the wrong unit"),
    '"2e6 J': ('"-2e6 J', "line 20, materials.all.capacity: The property 'capacity' must be zero or positive"),
    'unit = "degC"\nnoise = "0.1 K"\n\n[data]': (
        'unit = "V"\nnoise = "0.1 K"\n\n[data]',
        "line 55, sensors.T2.unit: this",
    ),
    'until = "80 s"': ('until = "9 d"', "line 69, calibration.until: '9 d' lies beyond all samples"),
    'heater = { column = "heater", unit = "percent" }': (
        "",
        "line 65, data.inputs: the model follows the input 'heater'",
    ),
}


def test_data_lists_every_mistake_of_the_file_beside_the_data(
    tmp_path: Path, plate: Path, body: Path, gemel: Gemel
) -> None:
    text = plate.read_text().replace('T2 = { column = "T2", unit = "degC" }\n', "")
    for old, (new, _) in WRONG.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "twin.toml").write_text(text)
    (tmp_path / "data.csv").write_bytes(plate.with_name("data.csv").read_bytes())
    out, told = gemel("data", "twin.toml", code=2)
    assert "Data of plate" in out
    for _, sentence in WRONG.values():
        assert told.count(f"gemel: twin.toml, {sentence}") == 1, told
    assert told.count("\n") == len(WRONG)
    slips = text.replace('step = "5 s"', "stepp = 5").replace("max_steps = 20", "max_steps = 0")
    (tmp_path / "twin.toml").write_text(slips.replace('conductivity = "$k"', 'conductivity = "$kk"'))
    out, told = gemel("data", "twin.toml", code=2)
    assert "Data of plate" in out
    lines = [int(line.split(", ")[1].removeprefix("line ")) for line in told.splitlines()]
    assert lines == sorted(lines)
    assert "model.stepp: unknown key 'stepp'" in told
    assert "calibration.max_steps: it must be at least 1, not 0." in told
    for _, sentence in WRONG.values():
        assert told.count(f"gemel: twin.toml, {sentence}") == ("calibration.until" not in sentence), told
    assert "materials.all.conductivity: unknown parameter '$kk': the file has k, h. Did you mean 'k'?" in told
    assert told.count("\n") == len(WRONG) + 2

    network = body.read_text().replace('until = "1.5 s"', 'sensors = ["T", "air"]\npatience = 3').replace('"h"', '"g"')
    (tmp_path / "twin.toml").write_text(network.replace("b.csv", "c.csv").replace('own = ["start"]', 'own = ["begin"]'))
    (tmp_path / "a.csv").write_bytes(body.with_name("a.csv").read_bytes())
    _, told = gemel("data", "twin.toml", code=2)
    for sentence in ("own: unknown parameter 'begin'", "sensors.1: the twin has no sensor 'air': it has T"):
        assert f"calibration.{sentence}" in told
    (tmp_path / "twin.toml").write_text(
        body.read_text().replace("b.csv", "c.csv").replace('until = "1.5 s"', "patience = 3")
    )
    out, told = gemel("data", "twin.toml", code=2)
    assert "Data of body, a" in out
    assert "experiments.b.file: the data file 'c.csv' does not exist" in told
    (tmp_path / "c.csv").write_bytes(body.with_name("b.csv").read_bytes())
    assert "calibration: 'patience' stops a fit by samples that are held out" in gemel("data", "twin.toml", code=2)[1]


MISTAKES: dict[str, tuple[list[str], str]] = {
    "a missing file": (["simulate", "none.toml"], "none.toml: the twin file cannot be read"),
    "no data to show": (["data", "{plate}", "--data", "none.csv"], "none.csv"),
    "missing data": (["calibrate", "{plate}", "--data", "none.csv"], "none.csv"),
    "a wrong unit": (["calibrate", "{plate}", "--until", "5 kg"], "--until: '5 kg' has the wrong unit"),
    "no experiments": (["forecast", "{plate}", "--experiment", "a"], "there is no experiment 'a': the file has none"),
    "a stamp": (["calibrate", "{plate}", "--until", "2024-01-31T12:00"], "--until: '2024-01-31T12:00' is a time stamp"),
    "the end": (["calibrate", "{plate}", "--until", "9 d"], "--until: '9 d' lies beyond all samples: the last one is"),
    "no unit": (["simulate", "{plate}", "--every", "5"], "--every: '5' has no unit"),
    "an unknown parameter": (["simulate", "{plate}", "--set", "rho=1"], "unknown parameter 'rho': the twin has h, k."),
    "an impossible value": (
        ["simulate", "{body}", "--until", "1 s", "--set", "h=-1 W/K"],
        "--set h: -1 W/K is impossible by the prior of 'h'.",
    ),
    "no number": (["simulate", "{plate}", "--set", "k=nan W/m/K"], "--set k: 'nan W/m/K' is not a finite number."),
    "too many times": (
        ["simulate", "{body}", "--experiment", "a", "--every", "1e-12 s"],
        "--every: 2e+12 times are too many: from 1 to 10,000,000 are allowed.",
    ),
    "too long an interval": (
        ["simulate", "{body}", "--experiment", "a", "--every", "3 s"],
        "--every: 3 s is longer than the run of 2 s",
    ),
    "what is no run": (["simulate", "{body}", "--until", "1 s", "--out", "{body}"], "is there and holds no run: it is"),
    "no time": (["simulate", "{bar}", "--until", "1 s"], "--until: a run of 'bar' has no time."),
    "no folder": (["forecast", "{body}", "--until", "1 s", "--out", "{body}"], "a file, and results go to a folder."),
    "no picture": (["simulate", "{plate}", "--plot", "x.xyz"], "--plot: 'x.xyz' is no picture: it may end in .png or"),
    "no quantity": (["simulate", "{plate}", "--set", "k"], "--set: 'k' is not of the form name=quantity."),
    "an unknown input": (["simulate", "{plate}", "--input", "fan=1"], "--input: unknown input 'fan'"),
    "an unknown input to come": (
        ["forecast", "{plate}", "--then", "fan=1"],
        "--then: unknown input 'fan': the twin has",
    ),
    "an input to come of no unit": (["forecast", "{plate}", "--then", "heater=1 K"], "--then heater: '1 K'"),
    "nothing to come": (
        ["simulate", "{plate}", "--then", "heater=1"],
        "--then: give --until with a time after the data",
    ),
    "an input held and changed": (
        ["simulate", "{plate}", "--then", "heater=1", "--input", "heater=2"],
        "--then heater: --input holds 'heater' all the time: give one of them.",
    ),
    "an input given twice": (
        ["simulate", "{plate}", "--input", "heater=1", "--input", "heater=0"],
        "'heater' is given twice",
    ),
    "too long to come": (
        ["simulate", "{plate}", "--until", "9000000000 s"],
        "--until: 9e+08 times are too many: from 1",
    ),
    "an unknown sensor": (["calibrate", "{plate}", "--sensor", "T9"], "Unknown sensor 'T9': the twin has T1, T2.\n"),
    "another case": (["calibrate", "{plate}", "--sensor", "t1"], "the twin has T1, T2. Did you mean 'T1'?"),
    "no profile": (
        ["calibrate", "{plate}", "--profile", "rho"],
        "--profile: Unknown parameter 'rho': the twin has h, k.",
    ),
    "no draws": (["calibrate", "{plate}", "--seed", "1"], "--seed is that of draws: give --sample, too."),
    "what matters": (["design", "{plate}", "--about", "rho"], "--about: unknown parameter 'rho': the twin has h, k."),
    "known already": (["design", "{plate}", "--about", "k", "--set", "k=1 W/m/K"], "--about: 'k' is given by --set"),
    "no sensor to map": (["design", "{plate}", "--map", "T9"], "--map: unknown sensor 'T9': the file has T1, T2."),
    "no mesh": (["design", "{body}", "--experiment", "a", "--map", "T"], "'thermal-network' has no mesh to draw a map"),
    "an open door": (["serve", "--listen", "0.0.0.0:50051"], "can be reached from other machines"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str, tmp_path: Path, plate: Path, body: Path, bar: Path, gemel: Gemel) -> None:
    arguments, sentence = MISTAKES[mistake]
    filled = [argument.format(plate=plate, body=body, bar=bar) for argument in arguments]
    _, told = gemel(*filled, code=2)
    assert sentence in told
    assert told.startswith("gemel: ")
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_fit_that_does_not_converge_is_told(tmp_path: Path, bar: Path, gemel: Gemel) -> None:
    _, told = gemel("calibrate", bar, "--max-steps", "2", code=1)
    assert told.startswith("gemel: The calibration did not converge: the limit of steps was reached before")
    assert (tmp_path / "runs" / "bar" / "figures.json").is_file()


@pytest.mark.slow
def test_a_fit_that_stops_early_says_so(tmp_path: Path, body: Path, gemel: Gemel) -> None:
    for file in body.parent.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = body.read_text()
    (tmp_path / "early.toml").write_text(text.replace("until =", "patience = 2\nuntil ="))
    assert "start[a]" in gemel("calibrate", "early.toml")[0]
    assert "the fit that met the held-out samples best" in (tmp_path / "runs" / "body" / "report.html").read_text()
    (tmp_path / "all.toml").write_text(text.replace('until = "1.5 s"', "patience = 2"))
    _, told = gemel("calibrate", "all.toml", code=2)
    assert told == "gemel: 'patience' stops a fit by samples that are held out, and none are: give '--until'.\n"


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
    assert f"Continuing from step {reached}" in out
    file = TwinFile.load(bar)
    fit = calibrate(file.build(), file.record(), file.solver())
    costs = json.loads((tmp_path / "runs" / "bar" / "figures.json").read_text())["costs"]
    np.testing.assert_allclose(costs, fit.costs, rtol=1e-10)

    other = tmp_path / "other.toml"
    other.write_text(bar.read_text().replace("factor = 3", "factor = 4"))
    _, told = gemel("calibrate", other, code=2)
    assert "belongs to another twin, other data or other settings of the fit. Give --restart to start anew" in told
    out, _ = gemel("calibrate", other, "--restart", "--max-steps", "1", code=1)
    assert "continuing" not in out


@pytest.mark.slow
def test_a_calibration_is_paused_by_an_interrupt_and_begins_at_an_earlier_one(
    tmp_path: Path, bar: Path, gemel: Gemel, run_environment: dict[str, str]
) -> None:
    checkpoint = tmp_path / "runs" / "bar" / "checkpoint.npz"
    command = [sys.executable, "-m", "gemel.bindings.cli", "calibrate", str(bar)]
    process = subprocess.Popen(command, cwd=tmp_path, env=run_environment, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and steps_at(checkpoint) < 5:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Paused: the steps so far are in runs/bar, and the same command goes on." in out
    assert "Continuing from step" in gemel("calibrate", bar, code=1)[0]
    first = json.loads((tmp_path / "runs" / "bar" / "figures.json").read_text())
    belief = tmp_path / "runs" / "bar" / "belief.json"
    gemel("calibrate", bar, "--from", belief, "--out", "warm", "--max-steps", "2", code=1)
    out, _ = gemel("calibrate", bar, "--out", "warm", code=1)
    assert f"As the fit in warm was made: --max-steps 2 --from {belief} (" in out
    warm = json.loads((tmp_path / "warm" / "figures.json").read_text())
    assert warm["costs"][0] == pytest.approx(first["costs"][-1], rel=1e-9)
    assert warm["parameters"]["k"]["prior"] == first["parameters"]["k"]["prior"]
    _, told = gemel("calibrate", bar, "--from", tmp_path / "none.json", code=2)
    assert "There is no file" in told


@pytest.mark.slow
def test_jobs_of_a_server_from_the_command_line(server: Any, bar: Path, gemel: Gemel) -> None:
    door = ["--server", server.address]
    job = gemel("jobs", "start", bar, "--max-steps", "300", *door)[0].strip()
    assert gemel("jobs", "pause", job, *door)[0].startswith("paused")
    (line,) = (line for line in gemel("jobs", "list", *door)[0].splitlines() if line.startswith(job))
    assert re.fullmatch(rf"{job}  bar +\d{{4}}-\d\d-\d\d \d\d:\d\d  paused(, step .*)?", line)
    assert gemel("jobs", "resume", job, *door)[0].startswith(("queued", "running"))
    watched = gemel("jobs", "watch", job, *door)[0]
    steps, verdict = watched.split("\nNot usable. Do not predict with this twin.\n- The calibration did not converge: ")
    assert steps.splitlines()[-1].startswith("succeeded, step 300, cost ")
    assert "the limit of steps was reached" in verdict
    assert "nan" not in watched
    assert len(steps.splitlines()) < 12
    assert gemel("jobs", "cancel", job, *door)[0].startswith("succeeded")
    _, told = gemel("jobs", "pause", "none", *door, code=2)
    assert told == "gemel: The store has no job 'none'.\n"
    _, told = gemel("jobs", "list", "--server", "unix:none.sock", code=1)
    assert told == "gemel: No server answers at unix:none.sock: 'gemel serve' starts one, and names where it listens.\n"


def steps_at(checkpoint: Path) -> int:
    if not checkpoint.is_file():
        return -1
    with np.load(checkpoint) as file:
        return len(file["costs"]) - 1
