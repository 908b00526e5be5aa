"""Bad requests get the library's sentence, and leave nothing behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gemel.bindings.client import Client
from gemel.bindings.proto.generated.gemel.v1 import (
    calibration_pb2,
    calibration_pb2_grpc,
    simulation_pb2,
    simulation_pb2_grpc,
    twin_pb2,
    twin_pb2_grpc,
    types_pb2,
)
from gemel.engine import CalibrationProblem, Record, Series, simulate
from gemel.engine.twinfile import TwinFile

Stub = Any


@pytest.fixture(scope="module")
def channel(server: Any) -> Any:
    with grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def plate_twin(client: Client, plate: Path) -> Any:
    return client.register(plate)


def sentence_of(call: Callable[[], Any], code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        list(answer) if hasattr(answer := call(), "__iter__") else None
    error: Any = caught.value
    assert error.code() is code, error.details()
    return error.details()


def library_sentence(call: Callable[[], Any]) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    return str(caught.value)


def files(store: Path) -> set[str]:
    skipped = ("gemel.sqlite", "gemel.sock", "lock")
    return {str(path) for path in store.rglob("*") if not path.name.startswith(skipped)}


BAD_DOCUMENTS = {
    "no TOML": ('name = "plate"', "name = "),
    "an unknown key": ('physics = "heat"', 'physics = "heat"\ncolour = "red"'),
    "a wrong unit": ('capacity = "2e6 J/m^3/K"', 'capacity = "2e6 kg"'),
    "an unknown tag": ('on = "edge"', 'on = "rim"'),
    "a sensor outside": ('["5 mm", "5 mm"]', '["5 mm", "5 m"]'),
    "a wrong column": ('column = "T1"', 'column = "T9"'),
    "an element that is not there": ('element = "Q1"', 'element = "Z7"'),
}


@pytest.mark.parametrize("mistake", BAD_DOCUMENTS)
def test_a_bad_document_is_refused_with_the_sentence_of_the_library(
    mistake: str, channel: Any, server: Any, client: Client, plate: Path
) -> None:
    good, bad = BAD_DOCUMENTS[mistake]
    document = plate.read_text().replace(good, bad).replace('name = "plate"', 'name = "refused"')
    assert document != plate.read_text()

    def with_library() -> None:
        file = TwinFile.parse(document, plate.parent, "boards/plate 7.toml")
        file.build()
        file.record()

    before = files(server.store)
    data = (plate.parent / "data.csv").read_bytes()
    request = twin_pb2.RegisterTwinRequest(
        document=document, attachments={"data.csv": data}, source="boards/plate 7.toml"
    )
    stub: Stub = twin_pb2_grpc.TwinServiceStub(channel)
    assert sentence_of(lambda: stub.RegisterTwin(request)) == library_sentence(with_library)
    assert files(server.store) == before
    assert "refused" not in [twin.name for twin in client.twins()]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "twin.toml"])
def test_attachments_stay_in_their_folder(name: str, channel: Any, server: Any, plate: Path) -> None:
    before = files(server.store.parent)
    request = twin_pb2.RegisterTwinRequest(document=plate.read_text(), attachments={name: b"x"})
    stub: Stub = twin_pb2_grpc.TwinServiceStub(channel)
    assert "cannot be the name of an attachment" in sentence_of(lambda: stub.RegisterTwin(request))
    assert files(server.store.parent) == before


@pytest.mark.parametrize("file", ["/etc/passwd", "../../secret.msh", "$HOME/mesh.msh"])
def test_a_document_reads_nothing_but_its_attachments(file: str, channel: Any, plate: Path) -> None:
    box = 'size = ["40 mm", "20 mm"]\ncells = [4, 2]'
    document = plate.read_text().replace("[mesh.box]", "[mesh]").replace(box, f'file = "{file}"')
    stub: Stub = twin_pb2_grpc.TwinServiceStub(channel)
    sentence = sentence_of(lambda: stub.RegisterTwin(twin_pb2.RegisterTwinRequest(document=document)))
    assert "is not the relative path of an attached file" in sentence


def test_data_outside_the_attachments_are_not_read(channel: Any, client: Client, plate: Path) -> None:
    outside = plate.parent / "data.csv"
    document = plate.read_text().replace('"data.csv"', f'"{outside}"').replace('"plate"', '"outside"')
    stub: Stub = twin_pb2_grpc.TwinServiceStub(channel)
    twin = stub.RegisterTwin(twin_pb2.RegisterTwinRequest(document=document)).twin
    assert not twin.has_data
    with pytest.raises(ValueError, match=r"the data file 'data\.csv' is not attached to the twin"):
        client.calibrate("outside")
    with pytest.raises(ValueError, match="is not attached"):
        client.simulate("outside", use_data=True)


def test_errors_call_a_document_as_its_client_does(channel: Any, client: Client, plate: Path, tmp_path: Path) -> None:
    """Also later, in jobs; a client that registers it from another file is told of that one."""
    text = plate.read_text().replace('"plate"', '"moved"').replace('"data.csv"', '"absent.csv"')
    for name in ("first.toml", "second.toml"):
        (tmp_path / name).write_text(text)
        twin = client.register(tmp_path / name)
        assert twin.revision == 1
        with pytest.raises(ValueError, match=rf"^{tmp_path / name}: the data file 'absent\.csv' is not attached"):
            client.calibrate(twin)
    stub: Stub = twin_pb2_grpc.TwinServiceStub(channel)
    for source, shown in (("", "twin.toml"), ("a\nb\0", "a?b?"), (9999 * "x", 500 * "x")):
        request = twin_pb2.RegisterTwinRequest(document="name = ", source=source)
        assert sentence_of(lambda request=request: stub.RegisterTwin(request)).startswith(f"{shown}: invalid value")


def series(*values: float) -> types_pb2.Series:
    return types_pb2.Series(times=range(len(values)), values=values)


SIMULATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an unknown input": (
        {"inputs": {"heater": series(1.0), "fan": series(1.0)}},
        {"inputs": {"heater": Series(np.zeros(1), np.ones(1)), "fan": Series(np.zeros(1), np.ones(1))}},
    ),
    "a missing input": ({}, {"inputs": {}}),
    "an unknown parameter": (
        {"inputs": {"heater": series(1.0)}, "parameters": {"rho": 1.0}},
        {"inputs": {"heater": Series(np.zeros(1), np.ones(1))}, "parameters": {"rho": 1.0}},
    ),
}


@pytest.mark.parametrize("mistake", SIMULATIONS)
def test_a_bad_simulation_is_refused_with_the_sentence_of_the_library(
    mistake: str, channel: Any, server: Any, plate_twin: Any
) -> None:
    sent, called = SIMULATIONS[mistake]
    before = files(server.store)
    request = simulation_pb2.SimulateRequest(twin="plate", times=types_pb2.Times(seconds=[0.0, 1.0]), **sent)
    stub: Stub = simulation_pb2_grpc.SimulationServiceStub(channel)
    twin = plate_twin.build()
    expected = library_sentence(lambda: simulate(twin, times=np.asarray([0.0, 1.0]), **called))
    assert sentence_of(lambda: stub.Simulate(request)) == expected
    assert files(server.store) == before


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (simulation_pb2.SimulateRequest(twin="plate"), "'heater'"),
        (simulation_pb2.SimulateRequest(twin="plate", use_data=True, fields=["x"]), "Unknown field 'x'"),
        (simulation_pb2.SimulateRequest(twin="plate", use_data=True, times=types_pb2.Times()), "not both"),
        (
            simulation_pb2.SimulateRequest(twin="plate", times=types_pb2.Times(seconds=[1, 0])),
            "that increase",
        ),
        (simulation_pb2.SimulateRequest(twin="plate", times=types_pb2.Times()), "at least one"),
        (
            simulation_pb2.SimulateRequest(twin="plate", inputs={"heater": types_pb2.Series(times=[0, 1], values=[1])}),
            "Input 'heater': A series needs as many values as times",
        ),
    ],
)
def test_other_bad_simulations_are_refused(request_: Any, word: str, channel: Any, plate_twin: Any) -> None:
    stub: Stub = simulation_pb2_grpc.SimulationServiceStub(channel)
    assert word in sentence_of(lambda: stub.Simulate(request_))


def test_bad_calibrations_are_refused_and_leave_no_job(channel: Any, client: Client, plate_twin: Any) -> None:
    stub: Stub = calibration_pb2_grpc.CalibrationServiceStub(channel)
    jobs = len(client.jobs())
    twin = plate_twin.build()
    record = Record(np.asarray([0.0, 1.0]), {"T9": np.zeros(2)}, {"heater": Series(np.zeros(1), np.ones(1))})
    with pytest.raises(ValueError, match="T9") as caught:
        client.calibrate("plate", record)
    assert str(caught.value) == library_sentence(lambda: CalibrationProblem.of(twin, record))
    for request, word in (
        (calibration_pb2.CalibrateRequest(twin="plate", sensors=["T9"]), "T9"),
        (calibration_pb2.CalibrateRequest(twin="plate", until=-5.0), "until: no sample lies before -5 s"),
        (calibration_pb2.CalibrateRequest(twin="plate", max_steps=0), "max_steps must be at least 1, not 0"),
        (calibration_pb2.CalibrateRequest(twin="plate", record=types_pb2.Record()), "heater"),
    ):
        assert word in sentence_of(lambda request=request: stub.Calibrate(request))
    assert len(client.jobs()) == jobs


def test_unknown_names_are_not_found(channel: Any) -> None:
    twins: Stub = twin_pb2_grpc.TwinServiceStub(channel)
    runs: Stub = simulation_pb2_grpc.SimulationServiceStub(channel)
    jobs: Stub = calibration_pb2_grpc.CalibrationServiceStub(channel)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: twins.GetTwin(twin_pb2.GetTwinRequest(name="x")), "no twin 'x'"),
        (lambda: twins.ReadAttachment(twin_pb2.ReadAttachmentRequest(name="x")), "no twin 'x'"),
        (lambda: runs.Simulate(simulation_pb2.SimulateRequest(twin="x")), "no twin 'x'"),
        (lambda: runs.Forecast(simulation_pb2.ForecastRequest(twin="x")), "no twin 'x'"),
        (lambda: runs.ReadRun(simulation_pb2.ReadRunRequest(run_id="../x")), "no run '../x'"),
        (lambda: jobs.Calibrate(calibration_pb2.CalibrateRequest(twin="x")), "no twin 'x'"),
        (lambda: jobs.GetJob(calibration_pb2.GetJobRequest(id="x")), "no job 'x'"),
        (lambda: jobs.WatchJob(calibration_pb2.WatchJobRequest(id="x")), "no job 'x'"),
        (lambda: jobs.CancelJob(calibration_pb2.CancelJobRequest(id="x")), "no job 'x'"),
    ]
    for call, words in calls:
        assert words in sentence_of(call, grpc.StatusCode.NOT_FOUND)


def test_an_attachment_can_be_read_and_another_cannot(channel: Any, plate_twin: Any, plate: Path) -> None:
    stub: Stub = twin_pb2_grpc.TwinServiceStub(channel)
    request = twin_pb2.ReadAttachmentRequest(name="plate", attachment="data.csv")
    assert b"".join(part.data for part in stub.ReadAttachment(request)) == (plate.parent / "data.csv").read_bytes()
    request = twin_pb2.ReadAttachmentRequest(name="plate", attachment="twin.toml")
    assert "has no attachment" in sentence_of(lambda: stub.ReadAttachment(request), grpc.StatusCode.NOT_FOUND)


@pytest.mark.slow
def test_a_request_beyond_the_limit_is_refused(launch: Callable[..., Any], plate: Path) -> None:
    server = launch("small", "--max-message-mib", "1")
    with grpc.insecure_channel(server.address) as channel:
        stub: Stub = twin_pb2_grpc.TwinServiceStub(channel)
        request = twin_pb2.RegisterTwinRequest(document=plate.read_text(), attachments={"x": bytes(2 << 20)})
        sentence_of(lambda: stub.RegisterTwin(request), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert not any((server.store / "documents").iterdir())
    server.terminate()
