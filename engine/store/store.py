"""The store of one server: SQLite (write-ahead log) for what is small, files and zarr for what is large."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gemel.engine.store import schema
from gemel.engine.store.entries import Job, JobState, StoredRun, TwinRevision
from gemel.engine.store.files import (
    NotFoundError,
    StoreError,
    check_attachment_name,
    publish_folder,
    write_atomically,
)


class Store:
    """Twins with revisions, jobs and runs in a folder that one process holds at a time.

    What a method has returned survives a kill or a power cut at any later moment: rows are committed in
    transactions, files are complete before their names appear, and files without a row are removed on
    opening. Methods may be called from several threads.

    Args:
        folder: made where it does not exist, readable by its owner alone.

    Raises:
        StoreError: where another process holds the store, or it is of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.RLock()
        self._hold = _hold(self.folder)
        for name in ("blobs", "documents", "runs", "jobs", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        self._database = sqlite3.connect(self.folder / "gemel.sqlite", isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._migrate()
        self._sweep()

    def close(self) -> None:
        """Let the store go; it may be opened again."""
        with self._lock:
            self._database.close()
            os.close(self._hold)

    # twins

    def stage(self, document: str, attachments: Mapping[str, bytes]) -> Path:
        """Lay a document and its files out in a temporary folder, for `register` or `discard`.

        Raises `StoreError` for a name that leaves the folder.
        """
        for name in attachments:
            check_attachment_name(name)
        folder = self.folder / "tmp" / uuid.uuid4().hex
        folder.mkdir()
        try:
            (folder / "twin.toml").write_text(document, encoding="utf-8", newline="")
            for name, data in attachments.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise StoreError(f"The attachments cannot be laid out: {error.strerror}.") from error
        return folder

    def discard(self, staged: Path) -> None:
        """Remove a staged folder."""
        shutil.rmtree(staged, ignore_errors=True)

    def register(
        self,
        name: str,
        staged: Path,
        facts: Mapping[str, Any],
        mean: np.ndarray,
        covariance: np.ndarray,
        source: str = "twin.toml",
    ) -> TwinRevision:
        """Keep a staged document with its prior; the same document again is the same revision.

        ``source`` is what errors call its file from now on.
        """
        document = (staged / "twin.toml").read_bytes().decode()
        attachments = {
            path.relative_to(staged).as_posix(): _size_and_digest(path)
            for path in sorted(staged.rglob("*"))
            if path.is_file() and path != staged / "twin.toml"
        }
        digest = hashlib.sha256(json.dumps([document, attachments], sort_keys=True).encode()).hexdigest()
        with self._lock:
            query = "SELECT * FROM twins WHERE name = ? AND digest = ? AND job_id = '' ORDER BY revision DESC"
            row = self._database.execute(query, (name, digest)).fetchone()
            if row is not None:
                self.discard(staged)
                with self._transaction():
                    query = "UPDATE twins SET source = ? WHERE name = ? AND digest = ?"
                    self._database.execute(query, (source, name, digest))
                return self.twin(name, row["revision"])
            if not (self.folder / "documents" / digest).exists():
                self._share(staged, attachments)
                publish_folder(staged, self.folder / "documents" / digest)
            self.discard(staged)
            entry = TwinRevision(
                name, 0, digest, document, attachments, facts, mean, covariance, "", time.time(), source
            )
            with self._transaction():
                revision = self._insert_twin(entry)
        return self.twin(name, revision)

    def twin(self, name: str, revision: int = 0) -> TwinRevision:
        """A revision of a twin, the latest for 0. Raises `NotFoundError` where there is none."""
        query = "SELECT * FROM twins WHERE name = ? AND (revision = ? OR ? = 0) ORDER BY revision DESC LIMIT 1"
        with self._lock:
            row = self._database.execute(query, (name, revision, revision)).fetchone()
        if row is None:
            which = f"revision {revision} of twin" if revision else "twin"
            raise NotFoundError(f"The store has no {which} '{name}'.")
        return schema.twin_of(row)

    def twins(self) -> list[TwinRevision]:
        """The latest revision of every twin, by name."""
        query = "SELECT *, MAX(revision) FROM twins GROUP BY name ORDER BY name"
        with self._lock:
            return [schema.twin_of(row) for row in self._database.execute(query)]

    def document_folder(self, twin: TwinRevision) -> Path:
        """The folder that holds a twin's document and its attachments."""
        return self.folder / "documents" / twin.digest

    # jobs

    def submit(self, kind: str, twin: str, revision: int, request: bytes) -> Job:
        """Add a queued job."""
        job_id, now = uuid.uuid4().hex, time.time()
        query = """INSERT INTO jobs (id, kind, twin, revision, request, state, created, updated)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
        with self._transaction():
            self._database.execute(query, (job_id, kind, twin, revision, request, JobState.QUEUED, now, now))
        return self.job(job_id)

    def job(self, job_id: str) -> Job:
        """A job. Raises `NotFoundError` where there is none."""
        with self._lock:
            row = self._database.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"The store has no job '{job_id}'.")
        return schema.job_of(row)

    def jobs(self, twin: str = "", states: Sequence[JobState] = tuple(JobState)) -> list[Job]:
        """Jobs of a twin (of all for ``""``) in given states, latest first."""
        marks = ",".join("?" * len(states))
        query = f"SELECT * FROM jobs WHERE (twin = ? OR ? = '') AND state IN ({marks}) ORDER BY number DESC"
        with self._lock:
            return [schema.job_of(row) for row in self._database.execute(query, (twin, twin, *states))]

    def claim(self) -> Job | None:
        """Make the oldest queued job a running one and count the attempt; None where nothing waits."""
        with self._transaction():
            row = self._database.execute(
                "SELECT id FROM jobs WHERE state = ? ORDER BY number LIMIT 1", (JobState.QUEUED,)
            ).fetchone()
            if row is None:
                return None
            self._database.execute(
                "UPDATE jobs SET state = ?, attempts = attempts + 1, updated = ? WHERE id = ?",
                (JobState.RUNNING, time.time(), row["id"]),
            )
        return self.job(row["id"])

    def progress(self, job_id: str, step: int, cost: float, gradient_norm: float) -> Job:
        """Note how far a running job is, or one that is being paused; a step forward clears its attempts."""
        query = (
            "UPDATE jobs SET attempts = CASE WHEN ? > step THEN 0 ELSE attempts END, step = ?, cost = ?, "
            "gradient_norm = ?, updated = ? WHERE id = ? AND state IN (?, ?)"
        )
        values = (step, step, cost, gradient_norm, time.time(), job_id, JobState.RUNNING, JobState.PAUSED)
        with self._transaction():
            self._database.execute(query, values)
        return self.job(job_id)

    def pause(self, job_id: str) -> Job:
        """Put a running or queued job aside until `resume`; any other stays as it is.

        The attempt of a running one is taken back; what it has reached may still be noted by `progress`.
        """
        query = """UPDATE jobs SET attempts = MAX(attempts - (state = ?), 0), state = ?, updated = ?
            WHERE id = ? AND state IN (?, ?)"""
        values = (JobState.RUNNING, JobState.PAUSED, time.time(), job_id, JobState.QUEUED, JobState.RUNNING)
        with self._transaction():
            self._database.execute(query, values)
        return self.job(job_id)

    def resume(self, job_id: str) -> Job:
        """Queue a paused job again; any other stays as it is."""
        query = "UPDATE jobs SET state = ?, updated = ? WHERE id = ? AND state = ?"
        with self._transaction():
            self._database.execute(query, (JobState.QUEUED, time.time(), job_id, JobState.PAUSED))
        return self.job(job_id)

    def release(self, job_id: str, counted: bool = True) -> Job:
        """Queue a running job again, with its attempt ``counted`` or taken back."""
        query = """UPDATE jobs SET state = ?, attempts = MAX(attempts - ?, 0), updated = ?
            WHERE id = ? AND state = ?"""
        values = (JobState.QUEUED, 0 if counted else 1, time.time(), job_id, JobState.RUNNING)
        with self._transaction():
            self._database.execute(query, values)
        return self.job(job_id)

    def succeed(
        self, job_id: str, result: bytes, facts: Mapping[str, Any], mean: np.ndarray, covariance: np.ndarray
    ) -> Job:
        """End a running job and keep its belief as a new revision of its twin, both or neither.

        A job that is no longer running stays as it is.
        """
        with self._transaction():
            job = self.job(job_id)
            if job.state is JobState.RUNNING:
                base = self.twin(job.twin, job.revision)
                entry = TwinRevision(
                    base.name,
                    0,
                    base.digest,
                    base.document,
                    base.attachments,
                    facts,
                    mean,
                    covariance,
                    job_id,
                    time.time(),
                    base.source,
                )
                self._insert_twin(entry)
                self._end(job_id, JobState.SUCCEEDED, "", result)
        return self.job(job_id)

    def fail(self, job_id: str, error: str) -> Job:
        """End a running or queued job with a sentence; one that has ended stays as it is."""
        with self._transaction():
            self._end(job_id, JobState.FAILED, error, b"")
        return self.job(job_id)

    def cancel(self, job_id: str) -> Job:
        """End a running, queued or paused job at somebody's wish; one that has ended stays as it is."""
        with self._transaction():
            self._end(job_id, JobState.CANCELLED, "", b"", (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED))
        return self.job(job_id)

    def fitted_revision(self, job_id: str) -> int:
        """The revision that a job's fit became, or 0."""
        with self._lock:
            row = self._database.execute("SELECT revision FROM twins WHERE job_id = ?", (job_id,)).fetchone()
        return 0 if row is None else int(row["revision"])

    def job_folder(self, job_id: str) -> Path:
        """A folder for a job's own files, such as its checkpoint."""
        folder = self.folder / "jobs" / job_id
        folder.mkdir(exist_ok=True)
        return folder

    # runs

    def new_run_path(self) -> Path:
        """Where a worker may write a run, which is lost on the next opening unless `keep_run` is called."""
        return self.folder / "runs" / f"{uuid.uuid4().hex}.zarr"

    def keep_run(self, path: Path, twin: str, revision: int) -> StoredRun:
        """Keep a run that has been written."""
        run = StoredRun(path.stem, twin, revision, time.time())
        with self._transaction():
            self._database.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?)", (run.id, run.twin, run.revision, run.created)
            )
        return run

    def run(self, run_id: str) -> StoredRun:
        """A run that is kept. Raises `NotFoundError` where there is none."""
        with self._lock:
            row = self._database.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"The store has no run '{run_id}'.")
        return StoredRun(row["id"], row["twin"], row["revision"], row["created"])

    def run_path(self, run: StoredRun) -> Path:
        """The zarr group of a run."""
        return self.folder / "runs" / f"{run.id}.zarr"

    # inside

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _migrate(self) -> None:
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        steps = (
            schema.TABLES
            if version == 0
            else "".join(schema.UPDATES.get(v, "") for v in range(version, schema.VERSION))
        )
        if steps:
            self._database.executescript(f"BEGIN;{steps}PRAGMA user_version = {schema.VERSION};COMMIT;")
        elif version != schema.VERSION:
            raise StoreError(f"The store '{self.folder}' is of version {version}: this Gemel reads {schema.VERSION}.")

    def _sweep(self) -> None:
        """Remove what an interrupted write has left."""
        kept = {f"{row['id']}.zarr" for row in self._database.execute("SELECT id FROM runs")}
        for path in (self.folder / "runs").iterdir():
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
        for path in (self.folder / "tmp").iterdir():
            shutil.rmtree(path, ignore_errors=True)

    def _share(self, staged: Path, attachments: Mapping[str, tuple[int, str]]) -> None:
        """Keep each attachment once by its content, however many documents name it."""
        for name, (_, digest) in attachments.items():
            kept, file = self.folder / "blobs" / digest, staged / name
            if not kept.exists():
                write_atomically(kept, file.read_bytes())
            file.unlink()
            try:
                os.link(kept, file)
            except OSError:  # a file system without hard links
                shutil.copyfile(kept, file)

    def _insert_twin(self, twin: TwinRevision) -> int:
        query = "SELECT COALESCE(MAX(revision), 0) + 1 FROM twins WHERE name = ?"
        revision = int(self._database.execute(query, (twin.name,)).fetchone()[0])
        values = (
            twin.name,
            revision,
            twin.digest,
            twin.document,
            json.dumps(dict(twin.attachments)),
            json.dumps(dict(twin.facts)),
            schema.blob(twin.mean),
            schema.blob(twin.covariance),
            twin.job_id,
            twin.created,
            twin.source,
        )
        self._database.execute(f"INSERT INTO twins VALUES ({','.join('?' * len(values))})", values)
        return revision

    def _end(
        self,
        job_id: str,
        state: JobState,
        error: str,
        result: bytes,
        of: Sequence[JobState] = (JobState.QUEUED, JobState.RUNNING),
    ) -> None:
        marks = ",".join("?" * len(of))
        query = f"UPDATE jobs SET state = ?, error = ?, result = ?, updated = ? WHERE id = ? AND state IN ({marks})"
        self._database.execute(query, (state, error, result, time.time(), job_id, *of))


def _hold(folder: Path) -> int:
    """The lock that says that a process holds the store; the system frees it when the process ends."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(f"The store '{folder}' is in use by another process.") from error
    return handle


def _size_and_digest(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()
