"""Jobs outlive their worker and their server, and end when somebody says so."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gemel.bindings.client import Client, RemoteJob, ServiceError
from gemel.engine import calibrate
from gemel.engine.store import JobState, Store
from gemel.engine.twinfile import TwinFile

STEPS = 400
ENDLESS = 10**7


def wait_for_step(job: RemoteJob, step: int) -> None:
    for progress in job.watch():
        assert progress.state in ("queued", "running"), progress
        if progress.step >= step:
            return


def workers_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("this system does not tell the children of a process in /proc")
    return [int(child) for child in path.read_text().split()]


def assert_fit_of_the_library(job: RemoteJob, bar: Path) -> None:
    file = TwinFile.load(bar)
    long = TwinFile.parse(file.text.replace("max_steps = 400", f"max_steps = {STEPS}"), bar.parent)
    local, remote = calibrate(file.build(), file.record(), long.solver()), job.result()
    assert remote.steps == STEPS
    np.testing.assert_allclose(remote.costs, local.costs, rtol=1e-10)
    np.testing.assert_allclose(remote.twin.belief.mean, local.twin.belief.mean, atol=1e-10)


@pytest.mark.slow
def test_a_job_survives_its_server(launch: Callable[..., Any], bar: Path) -> None:
    server = launch("killed")
    with Client(server.address) as client:
        job = client.calibrate(client.register(bar), max_steps=STEPS)
        waiting = client.calibrate("bar", max_steps=2)
        wait_for_step(job, 5)
        server.kill()
    server.start()
    with Client(server.address) as client:
        continued = next(client.job(job.id).watch())
        assert continued.state in ("queued", "running")
        assert continued.step >= 5
        assert_fit_of_the_library(client.job(job.id), bar)
        assert client.job(waiting.id).result().steps == 2
        checkpoint = server.store / "jobs" / job.id / "checkpoint.npz"
        assert np.load(checkpoint)["costs"].shape == (STEPS + 1,)
        assert client.job(waiting.id).twin().revision == 3

        last = client.calibrate("bar", max_steps=ENDLESS)
        wait_for_step(last, 1)
        assert server.terminate() == 0
    store = Store(server.store)
    assert store.job(last.id).state is JobState.QUEUED
    store.close()


@pytest.mark.slow
def test_a_job_survives_its_worker(client: Client, server: Any, bar: Path) -> None:
    job = client.calibrate(client.register(bar), max_steps=STEPS)
    wait_for_step(job, 5)
    for worker in workers_of(server.process.pid):
        os.kill(worker, signal.SIGKILL)
    assert_fit_of_the_library(job, bar)


@pytest.mark.slow
def test_a_job_that_kills_its_worker_is_given_up(client: Client, server: Any, bar: Path) -> None:
    job = client.calibrate(client.register(bar), max_steps=ENDLESS)
    seen = time.monotonic()
    while (progress := job.progress()).state != "failed":
        assert time.monotonic() < seen + 120
        if progress.state == "running":
            for worker in workers_of(server.process.pid):
                os.kill(worker, signal.SIGKILL)
        time.sleep(0.02)
    with pytest.raises(
        ServiceError, match=r"worker process died \(SIGKILL\) 3 times at step \d+: the job was given up"
    ):
        job.result()


@pytest.mark.slow
def test_the_server_answers_while_a_job_runs_and_the_job_can_be_cancelled(
    client: Client, server: Any, bar: Path
) -> None:
    twin = client.register(bar)
    job, behind = client.calibrate(twin, max_steps=ENDLESS), client.calibrate(twin, max_steps=2)
    wait_for_step(job, 3)
    with grpc.insecure_channel(server.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "gemel.v1.TwinService", "gemel.v1.SimulationService", "gemel.v1.CalibrationService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert client.simulate(twin).status.ok
    assert job.progress().state == "running"
    assert job.cancel().state == "cancelled"
    with pytest.raises(ServiceError, match="was cancelled"):
        job.result()
    assert behind.result().steps == 2
    assert job.cancel().state == "cancelled"
    assert behind.cancel().state == "succeeded"


def test_a_waiting_job_can_be_cancelled(client: Client, bar: Path) -> None:
    twin = client.register(bar)
    running, waiting = client.calibrate(twin, max_steps=ENDLESS), client.calibrate(twin, max_steps=ENDLESS)
    assert waiting.cancel().state == "cancelled"
    assert running.cancel().state == "cancelled"
    assert [progress.state for progress in waiting.watch()] == ["cancelled"]


@pytest.mark.slow
def test_a_deadline_ends_the_work(server: Any, client: Client, bar: Path) -> None:
    text = bar.read_text().replace("cells = [4, 2]", "cells = [31, 29]").replace('"bar"', '"large"')
    client.register(TwinFile.parse(text, bar.parent))
    with (
        Client(server.address, timeout=0.05) as hasty,
        pytest.raises(ServiceError, match=r"took longer than 0\.05 s"),
    ):
        hasty.simulate("large")
    assert client.twin("large").revision == 1
    assert client.simulate(client.register(bar)).status.ok


def wait_until(job: RemoteJob, state: str) -> None:
    for progress in job.watch():
        if progress.state == state:
            return
    raise AssertionError(f"The job never was {state}.")


@pytest.mark.slow
def test_a_paused_job_frees_the_worker_and_goes_on_bit_for_bit(client: Client, server: Any, bar: Path) -> None:
    twin = client.register(bar)
    job = client.calibrate(twin, max_steps=STEPS)
    wait_for_step(job, 20)
    assert job.pause().state == "paused"
    assert client.calibrate(twin, max_steps=2).result().steps == 2  # behind it in the queue
    paused = job.progress()
    assert paused.state == job.pause().state == "paused"
    assert 20 <= paused.step < STEPS
    assert (paused.seconds_per_step, paused.seconds_left) == (None, None)
    checkpoint = server.store / "jobs" / job.id / "checkpoint.npz"
    assert len(np.load(checkpoint)["costs"]) == paused.step + 1
    assert job.resume().state in ("queued", "running")
    whole = client.calibrate(twin, max_steps=STEPS).result()
    resumed = job.result()
    np.testing.assert_array_equal(resumed.costs, whole.costs)
    np.testing.assert_array_equal(resumed.twin.belief.mean, whole.twin.belief.mean)
    np.testing.assert_array_equal(resumed.twin.belief.covariance, whole.twin.belief.covariance)
    assert job.pause().state == job.resume().state == "succeeded"


@pytest.mark.slow
def test_a_pause_survives_the_server(launch: Callable[..., Any], bar: Path) -> None:
    server = launch("paused")
    with Client(server.address) as client:
        job = client.calibrate(client.register(bar), max_steps=STEPS)
        wait_for_step(job, 5)
        job.pause()
        waiting = client.calibrate("bar", max_steps=ENDLESS)
        wait_for_step(waiting, 1)
        assert waiting.pause().state == "paused"
        server.kill()
    server.start()
    with Client(server.address) as client:
        assert client.calibrate("bar", max_steps=2).result().steps == 2
        assert {each.id: each.progress().state for each in client.jobs()}[job.id] == "paused"
        assert client.job(waiting.id).cancel().state == "cancelled"
        client.job(job.id).resume()
        assert_fit_of_the_library(client.job(job.id), bar)
    assert server.terminate() == 0


@pytest.mark.slow
def test_a_waiting_job_can_be_paused(client: Client, bar: Path) -> None:
    twin = client.register(bar)
    running, waiting = client.calibrate(twin, max_steps=ENDLESS), client.calibrate(twin, max_steps=2)
    assert waiting.pause().state == "paused"
    assert running.cancel().state == "cancelled"
    assert waiting.progress().step == 0
    waiting.resume()
    assert waiting.result().steps == 2


@pytest.mark.slow
def test_a_running_job_tells_its_pace(client: Client, bar: Path) -> None:
    job = client.calibrate(client.register(bar), max_steps=ENDLESS)
    progress = next(each for each in job.watch() if each.seconds_left is not None)
    job.cancel()
    assert progress.max_steps == ENDLESS
    assert progress.seconds_per_step is not None
    assert progress.seconds_left is not None
    assert 0 < progress.seconds_left <= (ENDLESS - progress.step + 1) * progress.seconds_per_step
    assert f"step {progress.step} of at most {ENDLESS}, cost" in progress.words()
    assert "left (an estimate)" in progress.words()


@pytest.mark.slow
def test_a_job_may_begin_at_an_earlier_fit(client: Client, bar: Path) -> None:
    twin = client.register(bar)
    first = client.calibrate(twin, max_steps=50)
    end = first.result()
    warm = client.calibrate(twin, max_steps=3, start=first.twin()).result()
    np.testing.assert_allclose(warm.costs[0], end.costs[-1], rtol=1e-9)
    np.testing.assert_array_equal(warm.prior.mean, np.zeros(2))
    with pytest.raises(LookupError, match="no revision 999 of twin 'bar'"):
        client.calibrate(twin, start=999)
    fixed = bar.read_text().replace('"$h"', '"100 W/m^2/K"').split("[parameters.h]")
    other = client.register(TwinFile.parse(fixed[0] + fixed[1][fixed[1].index("[sensors.T1]") :], bar.parent))
    with pytest.raises(ValueError, match="has the parameters h, k: the fit is of k"):
        client.calibrate(other, start=twin)
