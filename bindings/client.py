"""A client of a Gemel server that returns the same objects as the library."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jax
import numpy as np

from gemel.bindings import convert
from gemel.bindings.messages import RunAssembly
from gemel.bindings.plan import attachments_of
from gemel.bindings.proto.generated.gemel.v1 import (
    calibration_pb2,
    calibration_pb2_grpc,
    simulation_pb2,
    simulation_pb2_grpc,
    twin_pb2,
    twin_pb2_grpc,
)
from gemel.engine import Fit, Forecast, Record, Run, Series, Twin
from gemel.engine.results import forecast_of, run_of
from gemel.engine.twinfile import TwinFile

_LIMIT = 256 << 20
_ENDED = {
    calibration_pb2.JOB_STATE_SUCCEEDED,
    calibration_pb2.JOB_STATE_FAILED,
    calibration_pb2.JOB_STATE_CANCELLED,
}


class ServiceError(RuntimeError):
    """The server could not do what was asked; the message is its sentence."""


class UnknownNameError(LookupError):
    """The server has no twin, job or run of that name."""


@dataclass(frozen=True)
class ClientTls:
    """The authority that signed the server's certificate; the client's own certificate, if any (PEM)."""

    authority: bytes
    certificate: bytes | None = None
    key: bytes | None = None


class Client:
    """A connection to a Gemel server. Close it, or use it in a ``with`` statement.

    Mistakes raise `ValueError` with the sentence that the library gives; unknown names raise
    `UnknownNameError`; all else raises `ServiceError`.

    Args:
        address: ``unix:path`` or ``host:port``.
        tls: for a server with a certificate.
        timeout: the longest that a call may take, in s; None for no limit.

    Raises:
        ServiceError: where jax is not set to double precision, in which all numbers come.
    """

    def __init__(self, address: str, tls: ClientTls | None = None, timeout: float | None = None) -> None:
        if not jax.config.read("jax_enable_x64"):
            raise ServiceError(
                "A client gives double precision: call jax.config.update('jax_enable_x64', True) before it."
            )
        options = [("grpc.max_receive_message_length", _LIMIT), ("grpc.max_send_message_length", _LIMIT)]
        if tls is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            secret = grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
            self._channel = grpc.secure_channel(address, secret, options)
        self._timeout = timeout
        self._twins = twin_pb2_grpc.TwinServiceStub(self._channel)
        self._simulations = simulation_pb2_grpc.SimulationServiceStub(self._channel)
        self._calibrations = calibration_pb2_grpc.CalibrationServiceStub(self._channel)
        self._built: dict[tuple[str, int], Twin] = {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def register(self, source: str | Path | TwinFile) -> "RemoteTwin":
        """Give a twin file, or the file at a path, to the server, with the files that it names."""
        file = source if isinstance(source, TwinFile) else TwinFile.load(source)
        request = twin_pb2.RegisterTwinRequest(document=file.text, attachments=attachments_of(file))
        return RemoteTwin(self, self._call(self._twins.RegisterTwin, request).twin)

    def twin(self, name: str, revision: int = 0) -> "RemoteTwin":
        """A revision of a twin that the server has, the latest for 0."""
        request = twin_pb2.GetTwinRequest(name=name, revision=revision)
        return RemoteTwin(self, self._call(self._twins.GetTwin, request).twin)

    def twins(self) -> list["RemoteTwin"]:
        """The latest revision of every twin that the server has; their documents are empty."""
        answer = self._call(self._twins.ListTwins, twin_pb2.ListTwinsRequest())
        return [RemoteTwin(self, twin) for twin in answer.twins]

    def simulate(
        self,
        twin: "str | RemoteTwin",
        inputs: Mapping[str, Series] | None = None,
        times: Any = None,
        parameters: Mapping[str, float] | None = None,
        *,
        fields: Sequence[str] = ("*",),
        use_data: bool = False,
    ) -> Run:
        """Run a twin forward on the server; see `gemel.simulate`.

        Args:
            twin: its name, or a revision of it.
            inputs, times, parameters: as in `gemel.simulate`.
            fields: which parts of the final state to bring over.
            use_data: take inputs and times from the data of the twin's document.
        """
        name, revision = _reference(twin)
        request = simulation_pb2.SimulateRequest(
            twin=name, revision=revision, fields=fields, use_data=use_data, discard=True
        )
        request.parameters.update({key: float(value) for key, value in (parameters or {}).items()})
        _fill_drive(request, inputs, times)
        return run_of(self._assemble(self._simulations.Simulate, request, lambda answer: answer.part).data())

    def keep_simulation(
        self,
        twin: "str | RemoteTwin",
        inputs: Mapping[str, Series] | None = None,
        times: Any = None,
        parameters: Mapping[str, float] | None = None,
        *,
        use_data: bool = False,
    ) -> str:
        """Run a twin forward and keep the run on the server; returns its id, for `read_run`."""
        name, revision = _reference(twin)
        request = simulation_pb2.SimulateRequest(twin=name, revision=revision, use_data=use_data)
        request.parameters.update({key: float(value) for key, value in (parameters or {}).items()})
        _fill_drive(request, inputs, times)
        return self._assemble(self._simulations.Simulate, request, lambda answer: answer.part).header.run_id

    def read_run(self, run_id: str, fields: Sequence[str] = ("*",)) -> Run:
        """A run that the server has kept."""
        request = simulation_pb2.ReadRunRequest(run_id=run_id, fields=fields)
        return run_of(self._assemble(self._simulations.ReadRun, request, lambda answer: answer.part).data())

    def forecast(
        self,
        twin: "str | RemoteTwin",
        inputs: Mapping[str, Series] | None = None,
        times: Any = None,
        *,
        fields: Sequence[str] = ("*",),
        use_data: bool = False,
    ) -> Forecast:
        """Run a twin freely on the server with its credible band; see `gemel.forecast`."""
        name, revision = _reference(twin)
        request = simulation_pb2.ForecastRequest(
            twin=name, revision=revision, fields=fields, use_data=use_data
        )
        _fill_drive(request, inputs, times)
        return forecast_of(self._assemble(self._simulations.Forecast, request, lambda answer: answer).data())

    def calibrate(
        self,
        twin: "str | RemoteTwin",
        record: Record | None = None,
        sensors: Sequence[str] = (),
        until: float | None = None,
        max_steps: int | None = None,
    ) -> "RemoteJob":
        """Begin a calibration; see `gemel.calibrate`. The solver is the one that the twin's document names.

        Args:
            twin: its name, or a revision of it.
            record: what was measured; None for the data of the twin's document.
            sensors: which readings to fit, if not empty.
            until: fit the samples before this time in s.
            max_steps: the limit of steps.
        """
        name, revision = _reference(twin)
        request = calibration_pb2.CalibrateRequest(
            twin=name, revision=revision, sensors=sensors, until=until, max_steps=max_steps
        )
        if record is not None:
            convert.fill_record(request.record, record)
            request.record.SetInParent()
        return RemoteJob(self, self._call(self._calibrations.Calibrate, request).job.id)

    def job(self, job_id: str) -> "RemoteJob":
        """A job that the server has."""
        self._call(self._calibrations.GetJob, calibration_pb2.GetJobRequest(id=job_id))
        return RemoteJob(self, job_id)

    def jobs(self, twin: str = "") -> list["RemoteJob"]:
        """The jobs of a twin, or of all, latest first."""
        answer = self._call(self._calibrations.ListJobs, calibration_pb2.ListJobsRequest(twin=twin))
        return [RemoteJob(self, job.id) for job in answer.jobs]

    def build(self, twin: twin_pb2.Twin) -> Twin:
        """The library's object for a revision of a twin, built here from its document."""
        key = (twin.name, twin.revision)
        if key not in self._built:
            with tempfile.TemporaryDirectory(prefix="gemel-") as folder:
                for attachment in twin.attachments:
                    path = Path(folder) / attachment.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(self._attachment(twin, attachment.name))
                built = TwinFile.parse(twin.document, Path(folder)).build()
            if twin.job_id:
                belief = convert.belief_from(twin.belief, built.belief)
                built = built.with_belief(belief.mean, belief.covariance)
            self._built[key] = built
        return self._built[key]

    def _attachment(self, twin: twin_pb2.Twin, name: str) -> bytes:
        request = twin_pb2.ReadAttachmentRequest(name=twin.name, revision=twin.revision, attachment=name)
        return b"".join(answer.data for answer in self._stream(self._twins.ReadAttachment, request))

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        with _errors():
            return method(request, timeout=self._timeout)

    def _stream(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        with _errors():
            yield from method(request, timeout=self._timeout)

    def _assemble(self, method: Callable[..., Any], request: Any, part: Callable[[Any], Any]) -> RunAssembly:
        run = RunAssembly()
        for answer in self._stream(method, request):
            run.add(part(answer))
        return run


class RemoteTwin:
    """A revision of a twin on a server.

    Its ``message`` says all that the server knows: name, revision, document, sensors, inputs, parameters.
    """

    def __init__(self, client: Client, message: twin_pb2.Twin) -> None:
        self._client, self.message = client, message

    @property
    def name(self) -> str:
        """The twin's name."""
        return self.message.name

    @property
    def revision(self) -> int:
        """The number of this revision, from 1."""
        return self.message.revision

    @property
    def document(self) -> str:
        """The twin file."""
        return self.message.document

    def build(self) -> Twin:
        """The library's object, built here, with the belief of this revision."""
        return self._client.build(self.message)


@dataclass(frozen=True)
class JobProgress:
    """How far a job is: its state in small letters, and the last step."""

    state: str
    step: int
    cost: float
    gradient_norm: float
    attempts: int
    error: str


class RemoteJob:
    """A calibration on a server."""

    def __init__(self, client: Client, job_id: str) -> None:
        self._client, self.id = client, job_id

    def progress(self) -> JobProgress:
        """How far it is now."""
        return _progress(self._get())

    def watch(self) -> Iterator[JobProgress]:
        """How far it is, now and after every change, until it has ended."""
        request = calibration_pb2.WatchJobRequest(id=self.id)
        for answer in self._client._stream(self._client._calibrations.WatchJob, request):
            yield _progress(answer.job)

    def cancel(self) -> JobProgress:
        """End it, also in the middle of the fit."""
        request = calibration_pb2.CancelJobRequest(id=self.id)
        return _progress(self._client._call(self._client._calibrations.CancelJob, request).job)

    def result(self) -> Fit:
        """Wait for the fit. Raises `ServiceError` where the job failed or was cancelled."""
        job = self._get()
        if job.state not in _ENDED:
            for _ in self.watch():
                pass
            job = self._get()
        if job.state != calibration_pb2.JOB_STATE_SUCCEEDED:
            raise ServiceError(job.error or f"The job '{self.id}' was cancelled.")
        return convert.fit_from(job.fit, self._client.twin(job.twin, job.revision).build())

    def twin(self) -> RemoteTwin:
        """The revision that the fit became; waits for it."""
        self.result()
        job = self._get()
        return self._client.twin(job.twin, job.fit.revision)

    def _get(self) -> calibration_pb2.Job:
        request = calibration_pb2.GetJobRequest(id=self.id)
        return self._client._call(self._client._calibrations.GetJob, request).job


def _progress(job: calibration_pb2.Job) -> JobProgress:
    state = calibration_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
    last = job.progress
    return JobProgress(state, last.step, last.cost, last.gradient_norm, job.attempts, job.error)


def _reference(twin: str | RemoteTwin) -> tuple[str, int]:
    return (twin, 0) if isinstance(twin, str) else (twin.name, twin.revision)


def _fill_drive(request: Any, inputs: Mapping[str, Series] | None, times: Any) -> None:
    convert.fill_series(request.inputs, inputs or {})
    if times is not None:
        request.times.seconds.extend(np.asarray(times, dtype=float).tolist())
        request.times.SetInParent()


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn the statuses of gRPC into exceptions with the server's sentence."""
    try:
        yield
    except grpc.RpcError as error:
        code, sentence = error.code(), error.details() or ""  # type: ignore[attr-defined]
        if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED):
            raise ValueError(sentence) from error
        if code is grpc.StatusCode.NOT_FOUND:
            raise UnknownNameError(sentence) from error
        raise ServiceError(f"{code.name}: {sentence}") from error
