"""Between the messages of the wire and the entries of the store; needs neither jax nor the engine."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from gemel.bindings.proto.generated.gemel.v1 import calibration_pb2, simulation_pb2, twin_pb2, types_pb2
from gemel.engine.store import Job, JobState, RunData, TwinRevision

FIELD_CHUNK = 1 << 17
"""Values in one message of a field: 1 MiB, a quarter of what gRPC takes by default."""

_STATES = {
    JobState.QUEUED: calibration_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: calibration_pb2.JOB_STATE_RUNNING,
    JobState.PAUSED: calibration_pb2.JOB_STATE_PAUSED,
    JobState.SUCCEEDED: calibration_pb2.JOB_STATE_SUCCEEDED,
    JobState.FAILED: calibration_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: calibration_pb2.JOB_STATE_CANCELLED,
}


def twin_message(twin: TwinRevision, document: bool = True) -> twin_pb2.Twin:
    """A revision of a twin, with its document or without."""
    facts = twin.facts
    return twin_pb2.Twin(
        name=twin.name,
        revision=twin.revision,
        description=facts["description"],
        document=twin.document if document else "",
        attachments=[
            twin_pb2.Attachment(name=name, size=size, sha256=digest)
            for name, (size, digest) in twin.attachments.items()
        ],
        sensors=[twin_pb2.Sensor(**sensor) for sensor in facts["sensors"]],
        inputs=facts["inputs"],
        parameters=[twin_pb2.Parameter(**parameter) for parameter in facts["parameters"]],
        belief=twin_pb2.Belief(mean=twin.mean.tolist(), covariance=twin.covariance.ravel().tolist()),
        has_data=facts["has_data"],
        created=_timestamp(twin.created),
        job_id=twin.job_id,
        source=twin.source,
    )


def job_message(
    job: Job, revision: int = 0, result: bool = True, pace: Mapping[str, Any] | None = None
) -> calibration_pb2.Job:
    """A job; ``revision`` is what its fit became, ``pace`` the fields of its progress that the store does not keep."""
    message = calibration_pb2.Job(
        id=job.id,
        kind=calibration_pb2.JOB_KIND_CALIBRATION,
        twin=job.twin,
        revision=job.revision,
        state=_STATES[job.state],
        progress=calibration_pb2.Progress(
            step=job.step, cost=job.cost, gradient_norm=job.gradient_norm, **(pace or {})
        ),
        attempts=job.attempts,
        error=job.error,
        created=_timestamp(job.created),
        updated=_timestamp(job.updated),
    )
    if job.state is JobState.SUCCEEDED and result:
        message.fit.ParseFromString(job.result)
        message.fit.revision = revision
    return message


def frames_of(run: RunData) -> Iterator[tuple[float, dict[str, list[float]]]]:
    """Time and readings by group, instant by instant; one instant at time 0 where there is no time."""
    columns = {
        group: np.stack([np.atleast_1d(series[sensor]) for sensor in run.sensors], axis=-1)
        for group, series in run.series.items()
    }
    times = np.zeros(1) if run.times is None else run.times
    for i, time in enumerate(times.tolist()):
        yield time, {group: values[i].tolist() for group, values in columns.items()}


def field_chunks(run: RunData, names: list[str]) -> Iterator[simulation_pb2.FieldChunk]:
    """Fields in pieces below the limit of a message; ``"*"`` stands for all."""
    for name in run.fields if "*" in names else names:
        values = np.asarray(run.fields[name], dtype=float)
        flat = values.ravel()
        for offset in range(0, max(flat.size, 1), FIELD_CHUNK):
            yield simulation_pb2.FieldChunk(
                field=name,
                shape=values.shape,
                offset=offset,
                values=flat[offset : offset + FIELD_CHUNK],
            )


def summary_message(run: RunData) -> simulation_pb2.RunSummary:
    """The end of a run."""
    return simulation_pb2.RunSummary(
        status=types_pb2.SolveStatus(code=run.attributes["status"], message=run.attributes["message"]),
        frames=1 if run.times is None else len(run.times),
        statistics={name: value for name, value in dict(run.attributes["statistics"]).items() if math.isfinite(value)},
        warnings=list(run.attributes.get("warnings", [])),
    )


class RunAssembly:
    """Puts the pieces of a streamed run together again."""

    def __init__(self) -> None:
        self.header = simulation_pb2.RunHeader()
        self._times: list[float] = []
        self._rows: dict[str, list[list[float]]] = {}
        self._fields: dict[str, np.ndarray] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._summary = simulation_pb2.RunSummary()

    def add(self, part: Any) -> None:
        """Take the next message: a `RunPart` or a `ForecastResponse`."""
        match part.WhichOneof("part"):
            case "header":
                self.header = part.header
            case "frame":
                self._add_frame(part.frame)
            case "field":
                self._add_chunk(part.field)
            case "summary":
                self._summary = part.summary

    def data(self) -> RunData:
        """The whole run."""
        series = {}
        for group, rows in self._rows.items():
            columns = np.asarray(rows, dtype=float)
            values = columns.T if self.header.has_time else columns[0]
            series[group] = {sensor: np.asarray(values[i]) for i, sensor in enumerate(self.header.sensors)}
        fields = {name: values.reshape(self._shapes[name]) for name, values in self._fields.items()}
        attributes: dict[str, Any] = {
            "status": self._summary.status.code,
            "statistics": dict(self._summary.statistics),
            "warnings": list(self._summary.warnings),
        }
        if self.header.HasField("loss"):
            attributes["loss"] = {"kind": self.header.loss.kind, "numbers": list(self.header.loss.numbers)}
        return RunData(np.asarray(self._times) if self.header.has_time else None, series, fields, attributes)

    def _add_frame(self, frame: Any) -> None:
        self._times.append(frame.time)
        for group in ("readings", "parametric", "predictive", "model_error", "noise"):
            if group in frame.DESCRIPTOR.fields_by_name:
                self._rows.setdefault(group, []).append(list(getattr(frame, group)))

    def _add_chunk(self, chunk: simulation_pb2.FieldChunk) -> None:
        if chunk.field not in self._fields:
            self._shapes[chunk.field] = tuple(chunk.shape)
            self._fields[chunk.field] = np.empty(math.prod(chunk.shape))
        self._fields[chunk.field][chunk.offset : chunk.offset + len(chunk.values)] = chunk.values


def _timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * 1e6))
    return stamp
