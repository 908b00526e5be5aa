"""What a server has, seen from a client: revisions of twins, and jobs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gemel.bindings import convert
from gemel.bindings.connection import Connection, ServiceError
from gemel.bindings.proto.generated.gemel.v1 import calibration_pb2, twin_pb2
from gemel.bindings.verdicts import judgement_from
from gemel.bindings.words import time_left
from gemel.engine import Fit, Judgement, Twin

_ENDED = {
    calibration_pb2.JOB_STATE_SUCCEEDED,
    calibration_pb2.JOB_STATE_FAILED,
    calibration_pb2.JOB_STATE_CANCELLED,
}


class RemoteTwin:
    """A revision of a twin on a server.

    Its ``message`` says all that the server knows: name, revision, document, sensors, inputs, parameters.
    """

    def __init__(self, connection: Connection, message: twin_pb2.Twin) -> None:
        self._connection, self.message = connection, message

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
        return self._connection.build(self.message)


@dataclass(frozen=True)
class JobProgress:
    """How far a job is: its state in small letters, and the last step.

    While it runs, ``max_steps`` is the limit of steps (0 where there is none), ``seconds_per_step`` the median of the
    last ones once measured, and ``seconds_left`` an estimate of how long it may still take at most. ``twin`` and
    ``revision`` are what is fitted, ``created`` when it was submitted, in s since 1970. Cost and gradient are NaN
    before the fit has begun.
    """

    state: str
    step: int
    cost: float
    gradient_norm: float
    attempts: int
    error: str
    max_steps: int
    seconds_per_step: float | None
    seconds_left: float | None
    twin: str
    revision: int
    created: float

    def words(self) -> str:
        """The progress in a line; the time left is an estimate."""
        limit = f" of at most {self.max_steps}" if self.max_steps else ""
        line = self.state
        if not math.isnan(self.cost):
            line += f", step {self.step}{limit}, cost {self.cost:.6g}, gradient {self.gradient_norm:.2g}"
        if self.seconds_left is not None:
            line += f", {time_left(self.seconds_left)}"
        return f"{line}: {self.error}" if self.error else line


class RemoteJob:
    """A calibration on a server."""

    def __init__(self, connection: Connection, job_id: str) -> None:
        self._connection, self.id = connection, job_id

    def progress(self) -> JobProgress:
        """How far it is now."""
        return _progress(self._get())

    def watch(self) -> Iterator[JobProgress]:
        """How far it is, now and after every change, until it has ended."""
        request = calibration_pb2.WatchJobRequest(id=self.id)
        for answer in self._connection.stream(self._connection.calibrations.WatchJob, request):
            yield _progress(answer.job)

    def pause(self) -> JobProgress:
        """Put it aside; the step in hand is finished, and the server's worker is free for other jobs."""
        request = calibration_pb2.PauseJobRequest(id=self.id)
        return _progress(self._connection.call(self._connection.calibrations.PauseJob, request).job)

    def resume(self) -> JobProgress:
        """Go on with it after `pause`, from the step it had reached."""
        request = calibration_pb2.ResumeJobRequest(id=self.id)
        return _progress(self._connection.call(self._connection.calibrations.ResumeJob, request).job)

    def cancel(self) -> JobProgress:
        """End it, also in the middle of the fit."""
        request = calibration_pb2.CancelJobRequest(id=self.id)
        return _progress(self._connection.call(self._connection.calibrations.CancelJob, request).job)

    def result(self) -> Fit:
        """Wait for the fit, also while it is paused. Raises `ServiceError` where the job failed or was cancelled."""
        job = self._ended()
        return convert.fit_from(job.fit, self._revision(job.twin, job.revision).build())

    def judgement(self) -> Judgement | None:
        """Wait for the fit and give the verdict on it with its reasons and scores, as `gemel.judge` makes it.

        The twin runs freely over all that was measured, and over the data of ``[validation]`` in its document. None
        where such a run failed, and for a job that ended before its server gave verdicts. Raises as `result` does.
        """
        job = self._ended()
        return judgement_from(job.fit.judgement) if job.fit.HasField("judgement") else None

    def _ended(self) -> calibration_pb2.Job:
        """The job once it has succeeded; raises as `result` does."""
        job = self._get()
        if job.state not in _ENDED:
            for _ in self.watch():
                pass
            job = self._get()
        if job.state != calibration_pb2.JOB_STATE_SUCCEEDED:
            raise ServiceError(job.error or f"The job '{self.id}' was cancelled.")
        return job

    def twin(self) -> RemoteTwin:
        """The revision that the fit became; waits for it."""
        job = self._ended()
        return self._revision(job.twin, job.fit.revision)

    def _revision(self, name: str, revision: int) -> RemoteTwin:
        request = twin_pb2.GetTwinRequest(name=name, revision=revision)
        return RemoteTwin(self._connection, self._connection.call(self._connection.twins.GetTwin, request).twin)

    def _get(self) -> calibration_pb2.Job:
        request = calibration_pb2.GetJobRequest(id=self.id)
        return self._connection.call(self._connection.calibrations.GetJob, request).job


def _progress(job: calibration_pb2.Job) -> JobProgress:
    state = calibration_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
    last = job.progress
    return JobProgress(
        state,
        last.step,
        last.cost,
        last.gradient_norm,
        job.attempts,
        job.error,
        last.max_steps,
        last.seconds_per_step if last.HasField("seconds_per_step") else None,
        last.seconds_left if last.HasField("seconds_left") else None,
        job.twin,
        job.revision,
        job.created.ToMicroseconds() / 1e6,
    )
