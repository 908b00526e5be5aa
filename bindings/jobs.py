"""The jobs of a server: queued in the store, done by a worker process, watched by clients."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from gemel.bindings.framing import Message
from gemel.bindings.processes import (
    InvalidRequestError,
    WorkCancelledError,
    WorkerDiedError,
    WorkerProcess,
    WorkFailedError,
)
from gemel.bindings.proto.generated.gemel.v1 import calibration_pb2
from gemel.engine.store import FINAL_STATES, Job, JobState, Store, StoreError, TwinRevision

MAX_ATTEMPTS = 3
"""How often a job is begun without getting a step further before it fails."""

_log = logging.getLogger("gemel.jobs")


class JobRunner:
    """Does the jobs of a store one after another, the oldest first.

    Every change is in the store before a watcher hears of it. A job whose worker dies is queued again, up to
    `MAX_ATTEMPTS` times without progress.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._worker = WorkerProcess()
        self._current = ""
        self._pace: dict[str, Any] = {}
        self._version = 0
        self._changed = asyncio.Condition()

    async def recover(self) -> None:
        """Take up again what a server that ended has left running."""
        for job in self._store.jobs(states=(JobState.RUNNING,)):
            self._retry(job, "The server ended")

    async def run(self) -> None:
        """Work for ever; cancel it to stop, and the job in hand is queued again."""
        try:
            while True:
                version = self._version
                job = await asyncio.to_thread(self._store.claim)
                if job is not None:
                    await self._do(job)
                    continue
                async with self._changed:
                    await self._changed.wait_for(lambda version=version: self._version != version)
        finally:
            if self._current:
                self._store.release(self._current, counted=False)
            await self._worker.stop()

    async def submit(self, kind: str, twin: str, revision: int, request: bytes) -> Job:
        """Queue a job."""
        job = await asyncio.to_thread(self._store.submit, kind, twin, revision, request)
        await self._notify()
        return job

    async def cancel(self, job_id: str) -> Job:
        """End a job, also in the middle of its work."""
        job = await asyncio.to_thread(self._store.cancel, job_id)
        if job_id == self._current:
            self._worker.abort()
        await self._notify()
        return job

    async def pause(self, job_id: str) -> Job:
        """Put a job aside: it is paused on disk at once, and its worker is free after the step in hand."""
        job = await asyncio.to_thread(self._store.pause, job_id)
        if job_id == self._current and job.state is JobState.PAUSED:
            self._worker.leave()
        await self._notify()
        return job

    async def resume(self, job_id: str) -> Job:
        """Queue a paused job again; it goes on from its checkpoint."""
        job = await asyncio.to_thread(self._store.resume, job_id)
        await self._notify()
        return job

    def pace(self, job: Job) -> dict[str, Any]:
        """What was measured and estimated of a running job, as fields of `calibration_pb2.Progress`."""
        return self._pace if job.id == self._current and job.state is JobState.RUNNING else {}

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """The job now and after every change, until it has ended; changes in quick succession may be one."""
        while True:
            version = self._version
            job = await asyncio.to_thread(self._store.job, job_id)
            yield job
            if job.state in FINAL_STATES:
                return
            seen = job.updated
            while job.updated == seen:
                async with self._changed:
                    await self._changed.wait_for(lambda version=version: self._version != version)
                version = self._version
                job = await asyncio.to_thread(self._store.job, job_id)

    async def _do(self, job: Job) -> None:
        self._current = job.id
        await self._notify()
        try:
            if self._store.job(job.id).state is JobState.RUNNING:  # nobody has paused or cancelled it meanwhile
                await self._work(job)
        except WorkCancelledError:
            self._store.release(job.id, counted=False)
        except (InvalidRequestError, WorkFailedError) as error:
            self._store.fail(job.id, str(error))
        except WorkerDiedError as error:
            self._retry(self._store.job(job.id), str(error).rstrip("."))
        self._current, self._pace = "", {}
        await self._notify()

    async def _work(self, job: Job) -> None:
        twin = self._store.twin(job.twin, job.revision)
        task: Message = {
            "kind": "calibrate",
            "place": place_of(self._store, twin),
            "request": job.request,
            "checkpoint": self._store.job_folder(job.id) / "checkpoint.npz",
            "start": start_of(self._store, twin, calibration_pb2.CalibrateRequest.FromString(job.request)),
        }

        async def on_progress(message: Message) -> None:
            step, cost, gradient_norm = message["step"], message["cost"], message["gradient_norm"]
            await asyncio.to_thread(self._store.progress, job.id, step, cost, gradient_norm)
            self._pace = message["pace"]
            await self._notify()

        value: dict[str, Any] = await self._worker.call(task, on_progress)
        await asyncio.to_thread(
            self._store.succeed, job.id, value["fit"], value["facts"], value["mean"], value["covariance"]
        )

    def _retry(self, job: Job, why: str) -> None:
        if job.state is not JobState.RUNNING:
            return
        _log.warning("job %s: %s at step %d, attempt %d", job.id, why, job.step, job.attempts)
        if job.attempts >= MAX_ATTEMPTS:
            self._store.fail(job.id, f"{why} {job.attempts} times at step {job.step}: the job was given up.")
        else:
            self._store.release(job.id)

    async def _notify(self) -> None:
        async with self._changed:
            self._version += 1
            self._changed.notify_all()


def place_of(store: Store, twin: TwinRevision) -> tuple[Any, ...]:
    """Where a worker finds a revision of a twin, as the arguments of `gemel.bindings.tasks.TwinPlace`."""
    return twin.digest, store.document_folder(twin), twin.source, twin.mean, twin.covariance


def start_of(store: Store, twin: TwinRevision, request: calibration_pb2.CalibrateRequest) -> np.ndarray | None:
    """The standardised parameters at which a fit is to begin; None for the mean of the twin's belief.

    Raises:
        NotFoundError: where the revision to begin at is not there.
        StoreError: where it has other parameters.
    """
    if not request.start_revision:
        return None
    earlier = store.twin(twin.name, request.start_revision)
    names, wanted = ([fact["name"] for fact in each.facts["parameters"]] for each in (earlier, twin))
    if names != wanted:
        raise StoreError(
            f"Revision {earlier.revision} of twin '{twin.name}' has the parameters {', '.join(names)}: the fit is of "
            f"{', '.join(wanted)}."
        )
    return earlier.mean
