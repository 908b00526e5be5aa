"""The gRPC services: requests are checked by the library in a worker, results come from the store."""

import asyncio
import functools
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from gemel.bindings import messages
from gemel.bindings.jobs import JobRunner, place_of, start_of
from gemel.bindings.processes import InvalidRequestError, WorkerDiedError, WorkerProcess, WorkFailedError
from gemel.bindings.proto.generated.gemel.v1 import (
    calibration_pb2,
    calibration_pb2_grpc,
    simulation_pb2,
    simulation_pb2_grpc,
    twin_pb2,
    twin_pb2_grpc,
)
from gemel.engine.store import NotFoundError, RunData, Store, StoreError, TwinRevision, document_name, open_run
from gemel.names import listed

_CHUNK = 1 << 20

_log = logging.getLogger("gemel.services")

_CODES = {
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    StoreError: grpc.StatusCode.INVALID_ARGUMENT,
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    WorkFailedError: grpc.StatusCode.INTERNAL,
    WorkerDiedError: grpc.StatusCode.UNAVAILABLE,
}


async def _refuse(context: Any, error: Exception) -> None:
    """End a call with the status that belongs to an error; only errors made for people reach them."""
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            await context.abort(code, str(error))
    if isinstance(error, grpc.aio.AbortError):
        raise error
    _log.exception("a call failed", exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "The server made a mistake: its log says which.")


def unary(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that answers once, with its errors as statuses."""

    @functools.wraps(method)
    async def answer(self: Any, request: Any, context: Any) -> Any:
        try:
            return await method(self, request)
        except Exception as error:
            await _refuse(context, error)

    return answer


def stream(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that answers many times, with its errors as statuses."""

    @functools.wraps(method)
    async def answer(self: Any, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for response in method(self, request):
                yield response
        except Exception as error:
            await _refuse(context, error)

    return answer


class TwinService(twin_pb2_grpc.TwinServiceServicer):
    """Keeps twins."""

    def __init__(self, store: Store, worker: WorkerProcess) -> None:
        self._store, self._worker = store, worker

    @unary
    async def RegisterTwin(self, request: twin_pb2.RegisterTwinRequest) -> Any:
        """See the proto file."""
        staged = await asyncio.to_thread(self._store.stage, request.document, dict(request.attachments))
        try:
            source = document_name(request.source)
            task = {"kind": "describe", "place": ("", staged, source, None, None)}
            value = await self._worker.call(task)
            keep = functools.partial(self._store.register, value["name"], staged, value["facts"])
            twin = await asyncio.to_thread(keep, value["mean"], value["covariance"], source)
        finally:
            self._store.discard(staged)
        return twin_pb2.RegisterTwinResponse(twin=messages.twin_message(twin))

    @unary
    async def GetTwin(self, request: twin_pb2.GetTwinRequest) -> Any:
        """See the proto file."""
        twin = await asyncio.to_thread(self._store.twin, request.name, request.revision)
        return twin_pb2.GetTwinResponse(twin=messages.twin_message(twin))

    @unary
    async def ListTwins(self, request: twin_pb2.ListTwinsRequest) -> Any:
        """See the proto file."""
        twins = await asyncio.to_thread(self._store.twins)
        return twin_pb2.ListTwinsResponse(twins=[messages.twin_message(twin, document=False) for twin in twins])

    @unary
    async def InspectData(self, request: twin_pb2.InspectDataRequest) -> Any:
        """See the proto file."""
        twin = await asyncio.to_thread(self._store.twin, request.name, request.revision)
        task = {"kind": "inspect", "place": place_of(self._store, twin), "experiment": request.experiment}
        found = await self._worker.call(task)
        return twin_pb2.InspectDataResponse(report=twin_pb2.DataReport.FromString(found))

    @stream
    async def ReadAttachment(self, request: twin_pb2.ReadAttachmentRequest) -> AsyncIterator[Any]:
        """See the proto file."""
        twin = await asyncio.to_thread(self._store.twin, request.name, request.revision)
        if request.attachment not in twin.attachments:
            raise NotFoundError(f"Twin '{twin.name}' has no attachment '{request.attachment}'.")
        path = self._store.document_folder(twin) / request.attachment
        with path.open("rb") as file:
            while data := await asyncio.to_thread(file.read, _CHUNK):
                yield twin_pb2.ReadAttachmentResponse(data=data)


class SimulationService(simulation_pb2_grpc.SimulationServiceServicer):
    """Runs twins forward."""

    def __init__(self, store: Store, worker: WorkerProcess) -> None:
        self._store, self._worker = store, worker

    @stream
    async def Simulate(self, request: simulation_pb2.SimulateRequest) -> AsyncIterator[Any]:
        """See the proto file."""
        async for part in self._run("simulate", request, not request.discard):
            yield simulation_pb2.SimulateResponse(part=simulation_pb2.RunPart(**part))

    @stream
    async def Forecast(self, request: simulation_pb2.ForecastRequest) -> AsyncIterator[Any]:
        """See the proto file."""
        async for part in self._run("forecast", request, False):
            yield simulation_pb2.ForecastResponse(**part)

    @stream
    async def ReadRun(self, request: simulation_pb2.ReadRunRequest) -> AsyncIterator[Any]:
        """See the proto file."""
        kept = await asyncio.to_thread(self._store.run, request.run_id)
        run = await asyncio.to_thread(open_run, self._store.run_path(kept), bool(request.fields))
        fields = list(request.fields)
        for name in fields:
            if name != "*" and name not in run.fields:
                raise StoreError(f"Unknown field '{name}': the run has {listed(name, run.fields)}")
        header = _header(run, kept.twin, kept.revision, kept.id)
        async for part in _parts(run, header, fields, simulation_pb2.Frame):
            yield simulation_pb2.ReadRunResponse(part=simulation_pb2.RunPart(**part))

    async def _run(self, kind: str, request: Any, keep: bool) -> AsyncIterator[dict[str, Any]]:
        """Have a run done and stream it: kept before its first piece is sent, or removed after the last."""
        twin = await asyncio.to_thread(self._store.twin, request.twin, request.revision)
        out = self._store.new_run_path()
        kept = False
        try:
            await self._worker.call(
                {
                    "kind": kind,
                    "place": place_of(self._store, twin),
                    "request": request.SerializeToString(),
                    "fit": await asyncio.to_thread(self._fit, twin),
                    "out": out,
                }
            )
            run = await asyncio.to_thread(open_run, out, bool(request.fields))
            if keep:
                await asyncio.to_thread(self._store.keep_run, out, twin.name, twin.revision)
                kept = True
            header = _header(run, twin.name, twin.revision, out.stem if kept else "")
            frame = simulation_pb2.ForecastFrame if kind == "forecast" else simulation_pb2.Frame
            async for part in _parts(run, header, list(request.fields), frame):
                yield part
        finally:
            if not kept:
                _remove(out)

    def _fit(self, twin: TwinRevision) -> bytes:
        """The fit that a revision is the belief of, as a message; empty for a prior."""
        return self._store.job(twin.job_id).result if twin.job_id else b""


class CalibrationService(calibration_pb2_grpc.CalibrationServiceServicer):
    """Fits twins to measured data as jobs."""

    def __init__(self, store: Store, worker: WorkerProcess, jobs: JobRunner) -> None:
        self._store, self._worker, self._jobs = store, worker, jobs

    @unary
    async def Calibrate(self, request: calibration_pb2.CalibrateRequest) -> Any:
        """See the proto file."""
        twin = await asyncio.to_thread(self._store.twin, request.twin, request.revision)
        body = request.SerializeToString()
        await asyncio.to_thread(start_of, self._store, twin, request)
        await self._worker.call({"kind": "check", "place": place_of(self._store, twin), "request": body})
        job = await self._jobs.submit("calibration", twin.name, twin.revision, body)
        return calibration_pb2.CalibrateResponse(job=messages.job_message(job))

    @stream
    async def WatchJob(self, request: calibration_pb2.WatchJobRequest) -> AsyncIterator[Any]:
        """See the proto file."""
        async for job in self._jobs.watch(request.id):
            yield calibration_pb2.WatchJobResponse(job=self._message(job))

    @unary
    async def GetJob(self, request: calibration_pb2.GetJobRequest) -> Any:
        """See the proto file."""
        job = await asyncio.to_thread(self._store.job, request.id)
        return calibration_pb2.GetJobResponse(job=self._message(job))

    @unary
    async def ListJobs(self, request: calibration_pb2.ListJobsRequest) -> Any:
        """See the proto file."""
        jobs = await asyncio.to_thread(self._store.jobs, request.twin)
        return calibration_pb2.ListJobsResponse(
            jobs=[messages.job_message(job, result=False, pace=self._jobs.pace(job)) for job in jobs]
        )

    @unary
    async def CancelJob(self, request: calibration_pb2.CancelJobRequest) -> Any:
        """See the proto file."""
        job = await self._jobs.cancel(request.id)
        return calibration_pb2.CancelJobResponse(job=self._message(job))

    @unary
    async def PauseJob(self, request: calibration_pb2.PauseJobRequest) -> Any:
        """See the proto file."""
        job = await self._jobs.pause(request.id)
        return calibration_pb2.PauseJobResponse(job=self._message(job))

    @unary
    async def ResumeJob(self, request: calibration_pb2.ResumeJobRequest) -> Any:
        """See the proto file."""
        job = await self._jobs.resume(request.id)
        return calibration_pb2.ResumeJobResponse(job=self._message(job))

    def _message(self, job: Any) -> calibration_pb2.Job:
        revision = self._store.fitted_revision(job.id) if job.result else 0
        return messages.job_message(job, revision, pace=self._jobs.pace(job))


def _header(run: RunData, twin: str, revision: int, run_id: str) -> simulation_pb2.RunHeader:
    return simulation_pb2.RunHeader(
        run_id=run_id,
        twin=twin,
        revision=revision,
        sensors=run.sensors,
        has_time=run.times is not None,
        loss=run.attributes.get("loss"),
    )


async def _parts(run: RunData, header: Any, fields: list[str], frame: Any) -> AsyncIterator[dict[str, Any]]:
    """The pieces of a run in order, as arguments of the message that carries them."""
    yield {"header": header}
    for time, readings in messages.frames_of(run):
        yield {"frame": frame(time=time, **readings)}
    for chunk in messages.field_chunks(run, fields):
        yield {"field": chunk}
    yield {"summary": messages.summary_message(run)}


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
