"""The service gives the same objects and numbers as the library."""

import dataclasses
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import jax
import numpy as np
import pytest

from gemel.bindings.client import Client, ServiceError, UnknownNameError
from gemel.bindings.proto.generated.gemel.v1 import simulation_pb2, simulation_pb2_grpc
from gemel.engine import (
    Fit,
    Forecast,
    Judgement,
    Record,
    Run,
    Series,
    calibrate,
    forecast,
    judge,
    simulate,
    stopping_early,
)
from gemel.engine.calibration.drifts import drift_words
from gemel.engine.store import RunData, Store, write_run
from gemel.engine.twinfile import TwinFile


def assert_same_runs(remote: Run, local: Run) -> None:
    assert (remote.times is None) == (local.times is None)
    if local.times is not None:
        np.testing.assert_array_equal(remote.times, local.times)
    assert tuple(remote.readings) == tuple(local.readings)
    for name, values in local.readings.items():
        assert remote.readings[name].shape == values.shape
        np.testing.assert_allclose(remote.readings[name], values, rtol=1e-10, atol=1e-10)
    assert (remote.state is None) == (local.state is None)
    if local.state is not None:
        np.testing.assert_allclose(remote.state, local.state, rtol=1e-10, atol=1e-10)
    assert remote.status.worst() == local.status.worst()


def assert_same_fits(remote: Fit, local: Fit) -> None:
    assert (remote.steps, remote.status.worst()) == (local.steps, local.status.worst())
    np.testing.assert_allclose(remote.costs, local.costs, rtol=1e-10)
    np.testing.assert_allclose(remote.twin.belief.mean, local.twin.belief.mean, atol=1e-10)
    np.testing.assert_allclose(remote.twin.belief.covariance, local.twin.belief.covariance, atol=1e-10)
    np.testing.assert_array_equal(remote.prior.covariance, local.prior.covariance)
    for ours, theirs in zip(remote.table(), local.table(), strict=True):
        assert (ours.name, ours.unit, ours.description) == (theirs.name, theirs.unit, theirs.description)
        np.testing.assert_allclose([ours.value, *ours.interval], [theirs.value, *theirs.interval], rtol=1e-10)
    assert len(remote.drifts) == len(local.drifts)
    for found, known in zip(remote.drifts, local.drifts, strict=True):
        assert dataclasses.replace(found, change=0.0) == dataclasses.replace(known, change=0.0)
        assert found.change == pytest.approx(known.change, rel=1e-9)


def assert_same_judgements(remote: Judgement | None, local: Judgement) -> None:
    assert remote is not None
    assert (remote.verdict, remote.meaning, remote.reasons) == (local.verdict, local.meaning, local.reasons)
    for ours, theirs in zip(remote.scores, local.scores, strict=True):
        ours, theirs = dataclasses.asdict(ours), dataclasses.asdict(theirs)
        assert ours.pop("naive") == pytest.approx(theirs.pop("naive"), rel=1e-8)
        assert ours == {k: v if isinstance(v, str) else pytest.approx(v, rel=1e-8, abs=1e-9) for k, v in theirs.items()}


def assert_same_forecasts(remote: Forecast, local: Forecast) -> None:
    assert_same_runs(remote.run, local.run)
    assert remote.loss == local.loss
    for name in local.predictive:
        np.testing.assert_allclose(remote.noise[name], local.noise[name], atol=1e-10)
        np.testing.assert_allclose(remote.model_error[name], local.model_error[name], atol=1e-10)
        np.testing.assert_allclose(remote.parametric[name], local.parametric[name], atol=1e-10)
        np.testing.assert_allclose(remote.predictive[name], local.predictive[name], atol=1e-10)


def test_a_registered_twin_says_what_it_is(client: Client, plate: Path) -> None:
    twin = client.register(plate)
    assert (twin.name, twin.message.description) == ("plate", "a small plate with a heater")
    assert twin.document == plate.read_text()
    assert [sensor.name for sensor in twin.message.sensors] == ["T1", "T2"]
    assert list(twin.message.inputs) == ["heater"]
    assert [(p.name, round(p.value, 9), p.determined) for p in twin.message.parameters] == [
        ("h", 100.0, 0.0),
        ("k", 10.0, 0.0),
    ]
    assert twin.message.has_data
    assert client.register(plate).revision == twin.revision
    assert "plate" in [known.name for known in client.twins()]


def test_a_twin_comes_back_equal(client: Client, plate: Path) -> None:
    client.register(plate)
    remote, local = client.twin("plate", 1).build(), TwinFile.load(plate).build()
    np.testing.assert_array_equal(remote.belief.mean, local.belief.mean)
    assert (remote.name, remote.inputs, list(remote.parameters)) == (
        local.name,
        local.inputs,
        list(local.parameters),
    )


@pytest.mark.slow
def test_findings_in_data_are_those_of_the_library(client: Client, bar: Path, plate: Path) -> None:
    """Of a record in order, of one with flaws, of single values; a twin without data says so."""
    lines = plate.with_name("data.csv").read_text().splitlines()
    spoiled = [lines[0], *reversed(lines[1:]), lines[3].replace(lines[3].split(",")[1], "500", 1)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in plate.parent.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "data.csv").write_text("\n".join(spoiled) + "\n")
        (folder / "twin.toml").write_text(plate.read_text().replace('name = "plate"', 'name = "spoiled"'))
        for path in (bar, plate, folder / "twin.toml"):
            local, remote = TwinFile.load(path).inspect()[1], client.inspect(client.register(path))
            assert remote.warnings() == local.warnings()
            assert remote.left_out() == local.left_out()
            for ours, theirs in zip(remote.channels, local.channels, strict=True):
                assert str(ours) == str(theirs)  # NaN is not equal to itself
            assert str(dataclasses.replace(remote, channels=())) == str(dataclasses.replace(local, channels=()))
        assert any("1 time with values that differ" in line for line in remote.warnings())
        torn = ",".join([*lines[1].split(",")[:2], "warm", "cold"])
        (folder / "data.csv").write_text("\n".join([lines[0], torn, *lines[2:]]) + "\n")
        with pytest.raises(ValueError, match=r"'warm' in column 'T1'.*\n.*'cold' in column 'T2'"):
            client.register(folder / "twin.toml")
    empty = bar.read_text().replace('[data]\nvalues = { T1 = "55 degC", T2 = "60 degC" }\n', "")
    client.register(TwinFile.parse(empty.replace('name = "bar"', 'name = "empty"'), bar.parent))
    with pytest.raises(ValueError, match=r"the table \[data\] is missing"):
        client.inspect("empty")


@pytest.mark.slow
def test_runs_and_fits_are_those_of_the_library(client: Client, plate: Path) -> None:
    file = TwinFile.load(plate)
    twin, record = file.build(), file.record()
    first = client.register(plate)
    times = np.asarray([0.0, 7.0, 20.0, 31.0])
    inputs = {"heater": Series(np.asarray([0.0, 20.0]), np.asarray([1.0, 0.25]), hold=False)}
    remote = client.simulate(first, inputs, times, {"k": 14.0})
    assert_same_runs(remote, simulate(twin, inputs, times, {"k": 14.0}))
    assert_same_runs(client.simulate(first, use_data=True), simulate(twin, record.inputs, record.times))

    job = client.calibrate(first)
    remote_fit, local_fit = job.result(), calibrate(twin, file.training(record), file.solver())
    assert_same_fits(remote_fit, local_fit)
    free = forecast(local_fit.twin, record.inputs, record.times)
    assert_same_judgements(job.judgement(), judge(local_fit, free, record, file.training(record)))
    fitted = job.twin()
    assert fitted.revision > first.revision
    assert fitted.message.job_id == job.id
    remote_forecast = client.forecast(fitted, use_data=True)
    assert_same_forecasts(remote_forecast, forecast(local_fit.twin, record.inputs, record.times))


@pytest.mark.slow
def test_several_experiments_are_fitted_on_the_other_side(client: Client, body: Path) -> None:
    remote, file = client.register(body), TwinFile.load(body)
    assert remote.message.has_data
    local = calibrate(
        file.build(),
        {name: file.training(record) for name, record in file.records().items()},
        file.solver(),
        own=file.calibration.own,
    )
    fit = client.calibrate(remote).result()
    np.testing.assert_allclose(fit.twin.belief.mean, local.twin.belief.mean, atol=1e-10)
    np.testing.assert_allclose(fit.twin.belief.covariance, local.twin.belief.covariance, atol=1e-10)
    assert [row.name for row in fit.table()] == [row.name for row in local.table()]
    assert fit.twin_in("b").belief.values()["start"] == pytest.approx(320.0, abs=2.0)
    np.testing.assert_allclose(fit.belief.covariance, local.belief.covariance, atol=1e-10)
    np.testing.assert_allclose(fit.prior.covariance, local.prior.covariance, atol=1e-10)
    times = np.linspace(0.0, 1.0, 5)
    twin = client.twin("body")
    assert_same_forecasts(client.forecast(twin, times=times), forecast(local.twin, times=times))
    record, there = file.record(experiment="b"), local.twin_in("b")
    found = client.forecast(twin, use_data=True, experiment="b")
    assert_same_forecasts(found, forecast(there, record.inputs, record.times))
    assert_same_runs(client.simulate(twin, {}, times, experiment="b"), simulate(there, {}, times))
    known = {"start": 350.0}
    assert_same_forecasts(client.forecast(twin, {}, times, known), forecast(local.twin, {}, times, known))
    assert client.inspect(remote, "b").channels == file.inspect(experiment="b")[1].channels
    before = client.twin("body", 1)  # before the data, all experiments are alike
    assert_same_runs(client.simulate(before, {}, times, experiment="b"), simulate(file.build(), {}, times))
    with pytest.raises(ValueError, match="has the experiments a, b, but one record is needed: name one"):
        client.simulate(twin, use_data=True)
    with pytest.raises(ValueError, match="there is no experiment 'c': the file has a, b"):
        client.forecast(twin, times=times, experiment="c")


@pytest.mark.slow
def test_fits_that_stop_early_or_begin_with_shooting_are_those_of_the_library(client: Client, body: Path) -> None:
    """Early stopping gives what the same method gives here; shooting another way to the same minimum."""
    text = body.read_text().replace('name = "body"', 'name = "early"').replace("own =", 'method = "l-bfgs"\nown =')
    file = TwinFile.parse(text.replace("until =", "patience = 3\nuntil ="), body.parent)
    whole, twin = file.records(), file.build()
    parts = file.training_all(file.inspect_all())
    early = stopping_early(file.solver(), twin, whole, parts, 3, own=["start"])
    assert_same_fits(client.calibrate(client.register(file)).result(), calibrate(twin, parts, early, own=["start"]))
    with pytest.raises(ValueError, match="'patience' stops a fit by samples that are held out, and none are"):
        client.calibrate("early", whole["a"])

    times = np.arange(0.0, 3600.0, 60.0)
    amperes = {"current": Series(np.arange(0.0, 3600.0, 600.0), np.array([-5.0, 0.0, -8.0, 0.0, 4.0, -5.0]))}
    cut = TwinFile.parse(CELL, body.parent)
    cell = cut.build()
    clean = simulate(cell, amperes, times, {"R0_1": 3e-3, "R0_2": 2.5e-3}).readings["voltage"]
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(times))
    record = Record(times, {"voltage": np.asarray(clean) + noise}, amperes)
    job = client.calibrate(client.register(cut), record)
    one = calibrate(cell, record, cut.solver())
    np.testing.assert_allclose(job.result().twin.belief.mean, one.twin.belief.mean, atol=2e-3)
    np.testing.assert_allclose(job.result().twin.belief.covariance, one.twin.belief.covariance, rtol=0.02, atol=1e-9)
    assert float(job.result().costs[0]) < 1.01 * float(one.costs[-1])
    with pytest.raises(ValueError, match="A run of 2 steps has 2 to 2 windows, not 4"):
        client.calibrate("cut", Record(times[:3], {"voltage": record.readings["voltage"][:3]}, amperes))


CELL = """
name = "cut"
[model]
physics = "equivalent-circuit"
step = "60 s"
current = { input = "current" }
capacity = "10 Ah"
open_circuit_voltage = { knots = [0, 1], values = ["3 V", "4 V"] }
series_resistance = { knots = [0, 1], median = "2 mohm", factor = 2 }
[[model.pairs]]
resistance = { knots = [0, 1], values = ["1 mohm", "1 mohm"] }
time_constant = { knots = [0, 1], values = ["200 s", "200 s"] }
[inputs.current]
unit = "A"
[sensors.voltage]
kind = "output"
output = "voltage"
unit = "V"
noise = "1 mV"
[calibration]
windows = 4
"""


CUP = """
name = "cup"
[model]
physics = "thermal-network"
[nodes.cup]
capacity = "$C"
initial = "20 degC"
[boundaries.room]
value = "20 degC"
[[links]]
between = ["cup", "room"]
conductance = "$K"
[[heats]]
node = "cup"
value = { input = "P" }
[inputs.P]
unit = "W"
[parameters.C]
median = "800 J/K"
factor = 3
[parameters.K]
median = "1 W/K"
factor = 3
"""
SENSOR = '[{}]\nkind = "output"\noutput = "{}"\nunit = "degC"\nnoise = "0.1 K"\n'


@pytest.mark.slow
def test_drifts_travel_with_the_fit_that_found_them(client: Client) -> None:
    text = CUP + "".join(SENSOR.format(f"sensors.{name}", "cup") for name in "ABC")
    file = TwinFile.parse(text, ".")
    times, power = np.arange(0.0, 36000.0, 120.0), Series(np.arange(10) * 3600.0, np.tile([30.0, 5.0], 5))
    clean = simulate(file.build(), {"P": power}, times, {"C": 1000.0, "K": 0.6}).readings
    rng = np.random.default_rng(0)
    values = {name: np.asarray(clean[name]) + 0.1 * rng.standard_normal(len(times)) for name in "ABC"}
    values["A"] = values["A"] + 0.5 * times / times[-1]
    values["B"] = values["B"] + 0.8 * (times > 20000.0)
    record = Record(times, values, {"P": power})
    job = client.calibrate(client.register(file), record)
    fit, local = job.result(), calibrate(file.build(), record, file.solver())
    assert_same_fits(fit, local)
    assert {drift.sensor: drift.step is None for drift in fit.drifts} == {"A": True, "B": False}
    told = job.judgement()
    assert told is not None
    assert set(drift_words(fit.drifts)) <= set(told.against)


def test_a_twin_with_candidates_is_registered_with_them(client: Client, plate: Path) -> None:
    text = CUP + SENSOR.format("sensors.A", "cup") + SENSOR.format("candidates.D", "cup")
    remote = client.register(TwinFile.parse(text, "."))
    assert [sensor.name for sensor in remote.message.sensors] == ["A"]
    kept = TwinFile.parse(remote.document, ".")
    assert {name: one[0].unit for name, one in kept.candidates(remote.build()).items()} == {"D": "degC"}
    wrong = TwinFile.parse(text.replace('[candidates.D]\nkind = "output"\noutput = "cup"', MISREAD), ".")
    with pytest.raises(ValueError, match=r"line \d+, candidates\.D\.output: .* 'cap': .*cup\. Did you mean 'cup'\?"):
        client.register(wrong)
    body = plate.read_text().replace("[data]\n", POINT + "[data]\n")
    far = TwinFile.parse(body.replace('"39 mm"', '"50 mm"'), plate.parent)
    near = client.register(TwinFile.parse(body, plate.parent))
    assert near.message.has_data
    assert list(TwinFile.parse(near.document, ".").candidates(near.build())) == ["T3"]
    with pytest.raises(ValueError, match=r"candidates\.T3"):
        client.register(far)


MISREAD = '[candidates.D]\nkind = "output"\noutput = "cap"'
POINT = '[candidates.T3]\nkind = "point"\nposition = ["39 mm", "1 mm"]\nunit = "degC"\nnoise = "0.1 K"\n'


@pytest.mark.slow
def test_a_record_may_come_with_the_request(client: Client, bar: Path) -> None:
    file = TwinFile.load(bar)
    record = Record(None, {"T1": np.asarray(340.0)})
    twin = client.register(bar)
    job = client.calibrate(twin, record, max_steps=3)
    short = TwinFile.parse(file.text.replace("max_steps = 400", "max_steps = 3"), bar.parent)
    local = calibrate(file.build(), record, short.solver())
    assert_same_fits(job.result(), local)
    ours = job.judgement()
    assert_same_judgements(ours, judge(local, forecast(local.twin), record, record))
    assert ours is not None
    assert ours.verdict == "not usable"
    assert ours.against[0].startswith("The calibration did not converge: the limit of steps was reached")


def test_a_run_without_time_is_one_frame(client: Client, bar: Path) -> None:
    assert_same_runs(client.simulate(client.register(bar)), simulate(TwinFile.load(bar).build()))


@pytest.mark.slow
def test_a_field_larger_than_a_message_comes_whole(launch: Callable[..., Any], short_folder: Path) -> None:
    field = np.random.default_rng(5).normal(size=(300_001, 3))
    store = Store(short_folder / "large")
    path = store.new_run_path()
    attributes = {"status": 0, "message": "", "statistics": {}}
    write_run(path, RunData(None, {"readings": {"T": np.asarray(1.5)}}, {"state": field}, attributes))
    run_id = store.keep_run(path, "sheet", 1).id
    store.close()
    server = launch("large")
    with Client(server.address) as client:
        run = client.read_run(run_id)
        assert run.state.nbytes > 4 << 20
        np.testing.assert_array_equal(run.state, field)
        assert client.read_run(run_id, fields=()).state is None
    with grpc.insecure_channel(server.address) as channel:  # the limits that any other client has
        request = simulation_pb2.ReadRunRequest(run_id=run_id, fields=["state"])
        answers = list(simulation_pb2_grpc.SimulationServiceStub(channel).ReadRun(request))
    assert [answer.part.WhichOneof("part") for answer in answers][:2] == ["header", "frame"]
    assert sum(len(answer.part.field.values) for answer in answers) == field.size
    assert server.terminate() == 0


def test_a_kept_run_can_be_read_again(client: Client, bar: Path, plate: Path) -> None:
    for path, use_data in ((bar, False), (plate, True)):
        twin = client.register(path)
        run_id = client.keep_simulation(twin, use_data=use_data)
        assert_same_runs(client.read_run(run_id), client.simulate(twin, use_data=use_data))
        with pytest.raises(ValueError, match=r"Unknown field 'x': the run has (state|none)"):
            client.read_run(run_id, fields=["x"])


@pytest.mark.slow
def test_a_job_can_be_watched_and_found(client: Client, bar: Path) -> None:
    job = client.calibrate(client.register(bar), max_steps=20)
    seen = list(job.watch())
    assert seen[-1].state == "succeeded"
    assert seen[-1].step == 20
    assert [progress.step for progress in seen] == sorted(progress.step for progress in seen)
    assert job.id in [found.id for found in client.jobs("bar")]
    assert client.job(job.id).progress() == seen[-1]


def test_unknown_names_and_no_server_are_told(client: Client, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="The store has no twin 'none'"):
        client.twin("none")
    with pytest.raises(UnknownNameError, match="The store has no job 'none'"):
        client.job("none")
    with pytest.raises(UnknownNameError, match="The store has no run 'none'"):
        client.read_run("none")
    with (
        Client(f"unix:{os.path.relpath(tmp_path / 'x')}") as lost,
        pytest.raises(ServiceError, match=r"No server answers at unix:.*x: 'gemel serve' starts one"),
    ):
        lost.twins()


def test_single_precision_is_told(server: object) -> None:
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(RuntimeError, match="double precision"):
            Client("unix:/nowhere")
    finally:
        jax.config.update("jax_enable_x64", True)


@pytest.mark.slow
def test_a_real_device_is_the_same_on_the_other_side(client: Client, data_folder: Path) -> None:
    path = Path(__file__).parents[2] / "examples" / "heater-board" / "twin.toml"
    file = TwinFile.load(path)
    record = file.record()
    twin = client.register(path)
    assert [attachment.name for attachment in twin.message.attachments] == ["energy_balance_mimo.csv"]
    assert_same_runs(client.simulate(twin, use_data=True), simulate(file.build(), record.inputs, record.times))
