"""Clients that know nothing of Gemel but what the wire says: by reflection, and in another language."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from gemel.bindings.client import Client
from gemel.bindings.proto.generate import PROTO
from gemel.engine import simulate
from gemel.engine.twinfile import TwinFile

NODE = Path(__file__).parent / "node"


class GenericClient:
    """Calls any method of any server that has reflection."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = DescriptorPool(self.database)

    def call(self, service: str, method: str, **fields: Any) -> Any:
        descriptor = self._pool.FindServiceByName(service).FindMethodByName(method)
        request, response = GetMessageClass(descriptor.input_type), GetMessageClass(descriptor.output_type)
        kind = self._channel.unary_stream if descriptor.server_streaming else self._channel.unary_unary
        return kind(
            f"/{service}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )(request(**fields), timeout=120)


@pytest.mark.slow
def test_reflection_is_enough(server: Any, bar: Path) -> None:
    with grpc.insecure_channel(server.address) as channel:
        client = GenericClient(channel)
        names = client.database.get_services()
        assert {f"gemel.v1.{name}Service" for name in ("Twin", "Simulation", "Calibration")} < set(names)
        assert client.call("grpc.health.v1.Health", "Check").status == 1
        twin = client.call("gemel.v1.TwinService", "RegisterTwin", document=bar.read_text()).twin
        wanted = {"twin": twin.name, "revision": twin.revision, "parameters": {"k": 9.0}}
        parts = [answer.part for answer in client.call("gemel.v1.SimulationService", "Simulate", **wanted)]
        local = simulate(TwinFile.load(bar).build(), parameters={"k": 9.0})
        expected = [local.readings[name] for name in parts[0].header.sensors]
        np.testing.assert_allclose(parts[1].frame.readings, expected, rtol=1e-10)
        wanted = {"twin": twin.name, "revision": twin.revision, "max_steps": 3}
        job = client.call("gemel.v1.CalibrationService", "Calibrate", **wanted).job
        last = [answer.job for answer in client.call("gemel.v1.CalibrationService", "WatchJob", id=job.id)][-1]
        assert last.fit.steps == 3
        assert len(last.fit.posterior.covariance) == 4


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node client with its packages."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node or npm is missing: no client in another language is tried")
    folder = tmp_path_factory.mktemp("node") / "client"
    shutil.copytree(NODE, folder, ignore=shutil.ignore_patterns("node_modules"))
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not answer: no client in another language is tried")
    if done.returncode != 0:
        pytest.skip(f"the packages of the Node client cannot be had from npm: {done.stderr[:200]}")
    return folder


@pytest.mark.slow
def test_a_client_in_another_language(node_folder: Path, server: Any, client: Client, plate: Path) -> None:
    client.register(plate)
    run = client.simulate("plate", use_data=True)  # the latest revision, which the other client takes as well
    command = ["node", "client.js", str(PROTO), server.address, "plate"]
    done = subprocess.run(command, cwd=node_folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert run.times is not None
    np.testing.assert_array_equal(answer["times"], run.times)
    for i, name in enumerate(answer["sensors"]):
        np.testing.assert_array_equal(np.asarray(answer["readings"])[:, i], run.readings[name])
    assert answer["states"][-1] == "JOB_STATE_SUCCEEDED"
    fit = client.job(answer["job"]).result()
    assert answer["mean"] == np.asarray(fit.twin.belief.mean).tolist()
    assert answer["refusal"] == {"code": 3, "details": answer["refusal"]["details"]}
    assert "unknown key 'colour'" in answer["refusal"]["details"]
