"""A twin file with a law that a network learns, through every door: the command line, its belief, the server."""

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.bindings.cli import main
from gemel.bindings.client import Client
from gemel.engine.results import load_forecast

TWIN = """
name = "heater"
model = { physics = "thermal-network", step = "75 s" }
boundaries.room = { value = "20 degC" }
links = [{ between = ["heater", "room"], conductance = "$loss" }]
heats = [{ node = "heater", value = { input = "power" } }]
nodes.heater = { capacity = "$capacity", initial = "20 degC" }
inputs.power = { unit = "W" }
parameters.capacity = { median = "400 J/K", factor = 3 }
parameters.level = { median = "0.5 W/K", factor = 3 }
sensors.T = { kind = "output", output = "heater", unit = "degC", noise = "0.1 K" }
calibration = { until = "6000 s", tolerance = 1e-4 }

[data]
file = "log.csv"
time = { column = "t", unit = "s" }
readings.T = { column = "T", unit = "K" }
inputs.power = { column = "P", unit = "W" }

[neural.loss]
inputs = { heater = ["20 degC", "120 degC"] }
median = "$level"
factor = 3
width = 4
"""

PLAIN = re.sub(r"\[neural[\s\S]*", "", TWIN).replace("$loss", "$level")


def write_log(path: Path) -> None:
    """A heater of 500 J/K that loses (0.1 + 0.15 rise^⅓) W/K, by its own steps of 75 s, and noise of 0.1 K."""
    times, rng = np.arange(0.0, 12000.0, 75.0), np.random.default_rng(0)
    power = np.repeat(rng.uniform(0.0, 40.0, 16), 10)
    room = gm.HeatFlow("heater", gm.Input("power"))
    law = gm.Law(lambda u, x: 0.1 + 0.15 * jnp.cbrt(jnp.maximum(u["heater"] - 293.15, 1e-9)))
    links = [gm.ThermalLink("heater", "room", law)]
    network = gm.ThermalNetwork({"heater": gm.ThermalNode(500.0, 293.15)}, links, {"room": 293.15}, [room])
    twin = gm.Twin("real", gm.Ode(network, 15.0), [gm.OutputSensor(name="T", output="heater", noise=0.1)])
    clean = np.asarray(gm.simulate(twin, {"power": gm.Series(times, power)}, times).readings["T"])
    readings = clean + 0.1 * rng.standard_normal(len(times))
    lines = [f"{t},{T},{p}" for t, T, p in zip(times, readings, power, strict=True)]
    path.write_text("\n".join(["t,T,P", *lines]))


def held_out_error(file: gm.TwinFile) -> float:
    record = file.record()
    fit = gm.calibrate(file.build(), file.training(record), file.solver())
    run = gm.simulate(fit.twin, record.inputs, record.times).readings["T"]
    return float(np.sqrt(np.mean((np.asarray(run) - record.readings["T"])[np.asarray(record.times) >= 6000.0] ** 2)))


@pytest.mark.slow
def test_a_hybrid_twin_in_a_file_beats_the_physics_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Client, capsys: Any
) -> None:
    """On held-out data, by the command line; its belief serves a forecast; a server fits the same."""
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "log.csv")
    (tmp_path / "heater.toml").write_text(TWIN)

    def gemel(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["gemel", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        assert ended.value.code == 0, written
        return written.out

    assert "13 numbers" in gemel("calibrate", "heater.toml")
    hybrid = json.loads(Path("runs/heater/figures.json").read_text())
    assert held_out_error(gm.TwinFile.parse(PLAIN, tmp_path)) > 1.0
    assert hybrid["sensors"]["T"]["held_out"]["rmse"] < 0.2
    assert hybrid["sensors"]["T"]["held_out"]["coverage"] > 0.9
    assert hybrid["verdict"]["verdict"] == "usable with care"
    (against,) = (reason for reason in hybrid["verdict"]["reasons"] if reason.startswith("-"))
    assert against.startswith("- On data that were not fitted, the neural term 'loss' is asked with heater up to ")
    low, high = hybrid["parameters"]["capacity"]["interval"]
    assert low < 500.0 < high
    assert hybrid["arrays"]["loss"]["count"] == 13
    page = Path("runs/heater/report.html").read_text()
    assert "13 numbers" in page
    assert base64.b64encode(Path("runs/heater/laws.png").read_bytes()).decode() in page

    told = gemel("forecast", "heater.toml")
    assert "belief.json" in told
    readings = load_forecast(Path("runs/heater/forecast.zarr")).run.readings["T"]
    seen, most = (float(np.max(values)) - 273.15 for values in (readings[:80], readings))
    assert f"loss: the data saw heater from 20 to {seen:.4g} °C." in page
    (beyond,) = (line for line in told.splitlines() if line.startswith("The input heater of the neural term 'loss'"))
    assert beyond.endswith("no data have shaped the term there.")
    assert f"goes from 20 to {most:.4g} °C, {most - seen:.3g} K beyond the 20 to {seen:.4g} °C of the data" in beyond
    assert beyond in html.unescape(page)
    hot = gemel("simulate", "heater.toml", "--until", "9h", "--every", "5min", "--input", "power=90 W")
    assert "beyond the 20 to 120 °C that it was made for" in hot
    first, again = (load_forecast(Path("runs/heater", name)) for name in ("forecast.zarr", "forecast/run.zarr"))
    np.testing.assert_allclose(again.run.readings["T"], first.run.readings["T"], rtol=1e-9)
    np.testing.assert_allclose(again.predictive["T"], first.predictive["T"], rtol=1e-6)

    job = client.calibrate(client.register(tmp_path / "heater.toml"))
    fit = job.result()
    np.testing.assert_allclose(
        fit.twin.belief.mean, json.loads(Path("runs/heater/belief.json").read_text())["mean"], atol=1e-6
    )
    remote = client.forecast(job.twin(), use_data=True)
    np.testing.assert_allclose(remote.predictive["T"], first.predictive["T"], rtol=1e-6)
    assert remote.run.warnings == again.run.warnings == (beyond,)
    assert fit.ranges["loss"]["heater"] == pytest.approx((293.15, 273.15 + seen))
    assert fit.gain == pytest.approx(hybrid["expected_gain"], rel=1e-3)
