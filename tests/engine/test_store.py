"""The store keeps what it has acknowledged, and nothing else."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gemel.engine.store import (
    Job,
    JobState,
    NotFoundError,
    RunData,
    Store,
    StoreError,
    TwinRevision,
    check_attachment_name,
    load_state,
    open_run,
    save_state,
    write_atomically,
    write_run,
)

FACTS = {"description": "", "sensors": [], "inputs": [], "parameters": [], "has_data": False}


def register(store: Store, document: str = "name = 'box'", **attachments: bytes) -> TwinRevision:
    staged = store.stage(document, attachments)
    return store.register("box", staged, FACTS, np.zeros(2), np.eye(2))


def queued(store: Store) -> Job:
    return store.submit("calibration", "box", 1, b"request")


def test_a_twin_comes_back_with_its_files(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    register(store, "name = 'box' # ü\r\n", mesh=b"\x00mesh")
    store.close()
    store = Store(tmp_path / "store")
    twin = store.twin("box")
    assert (twin.revision, twin.document) == (1, "name = 'box' # ü\r\n")
    assert (store.document_folder(twin) / "mesh").read_bytes() == b"\x00mesh"
    assert np.array_equal(twin.covariance, np.eye(2))
    store.close()


def test_the_same_document_is_the_same_revision_and_another_is_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert register(store, mesh=b"a").revision == 1
    assert register(store, mesh=b"a").revision == 1
    assert register(store, mesh=b"b").revision == 2
    assert register(store, "name = 'box' # again", mesh=b"b").revision == 3
    assert [twin.revision for twin in store.twins()] == [3]
    assert len(list((tmp_path / "blobs").iterdir())) == 2
    assert not list((tmp_path / "tmp").iterdir())
    store.close()


def test_a_store_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Version 1 knew no source of a document."""
    Store(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "gemel.sqlite")) as database:
        database.executescript("ALTER TABLE twins DROP COLUMN source; PRAGMA user_version = 1;")
        values = ("box", 1, "d", "name = 'box'", "{}", "{}", np.zeros(1).tobytes(), np.eye(1).tobytes(), "", 0.0)
        database.execute(f"INSERT INTO twins VALUES ({','.join('?' * len(values))})", values)
        database.commit()
    store = Store(tmp_path)
    assert store.twin("box").source == "twin.toml"
    assert register(store, "name = 'box' # again").revision == 2
    store.close()


def test_unknown_names_are_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    register(store)
    with pytest.raises(NotFoundError, match="has no twin 'board'"):
        store.twin("board")
    with pytest.raises(NotFoundError, match="has no revision 7 of twin 'box'"):
        store.twin("box", 7)
    with pytest.raises(NotFoundError, match="has no job 'x'"):
        store.job("x")
    with pytest.raises(NotFoundError, match="has no run 'x'"):
        store.run("x")
    store.close()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "", "a\\b", "a//b", ".", "a/", "c:x", "x\0", "twin.toml"]
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be the name of an attachment"):
        check_attachment_name(name)
    store = Store(tmp_path / "store")
    with pytest.raises(StoreError):
        store.stage("", {name: b""})
    assert not list((tmp_path / "store" / "tmp").iterdir())
    store.close()


def test_attachments_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="cannot be laid out"):
        store.stage("", {"a": b"", "a/b": b""})
    assert not list((tmp_path / "tmp").iterdir())
    store.close()


def test_one_process_holds_a_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="in use by another process"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()


def test_a_job_runs_its_course(tmp_path: Path) -> None:
    store = Store(tmp_path)
    register(store)
    first, second = queued(store), queued(store)
    claimed = store.claim()
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.attempts) == (first.id, JobState.RUNNING, 1)
    assert store.progress(first.id, 1, 2.5, float("nan")).attempts == 0
    done = store.succeed(first.id, b"result", FACTS, np.ones(2), 2 * np.eye(2))
    assert (done.state, done.result, done.cost) == (JobState.SUCCEEDED, b"result", 2.5)
    assert np.isnan(done.gradient_norm)
    fitted = store.twin("box")
    assert (fitted.revision, fitted.job_id, store.fitted_revision(first.id)) == (2, first.id, 2)
    assert np.array_equal(fitted.mean, np.ones(2))
    assert [job.id for job in store.jobs(states=[JobState.QUEUED])] == [second.id]
    store.close()


def test_a_job_that_has_ended_stays_as_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    register(store)
    job = queued(store)
    store.claim()
    assert store.cancel(job.id).state is JobState.CANCELLED
    assert store.fail(job.id, "late").state is JobState.CANCELLED
    assert store.succeed(job.id, b"", FACTS, np.zeros(2), np.eye(2)).state is JobState.CANCELLED
    assert store.twin("box").revision == 1
    store.close()


def test_released_jobs_wait_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    register(store)
    job = queued(store)
    store.claim()
    assert store.release(job.id).attempts == 1
    store.claim()
    assert store.release(job.id, counted=False).attempts == 1
    store.close()


def test_runs_come_back_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    run = RunData(
        np.arange(4.0),
        {"readings": {"T 1/2": rng.normal(size=4), "..": rng.normal(size=4)}},
        {"state": rng.normal(size=(50, 3))},
        {"status": 0},
    )
    write_run(tmp_path / "a.zarr", run)
    back = open_run(tmp_path / "a.zarr")
    assert back.times is not None
    assert back.sensors == run.sensors
    assert np.array_equal(back.fields["state"], run.fields["state"])
    assert all(np.array_equal(back.series["readings"][n], run.series["readings"][n]) for n in run.sensors)
    assert not open_run(tmp_path / "a.zarr", fields=False).fields
    write_run(tmp_path / "a.zarr", RunData(None, {"readings": {"f": np.asarray(2.0)}}))
    assert open_run(tmp_path / "a.zarr").series["readings"]["f"] == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    with pytest.raises(StoreError, match="holds no run"):
        open_run(tmp_path / "b.zarr")


def test_what_was_not_acknowledged_is_swept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept = store.new_run_path()
    lost = store.new_run_path()
    for path in (kept, lost):
        write_run(path, RunData(None, {"readings": {}}))
    store.keep_run(kept, "box", 1)
    store.stage("never registered", {})
    store.close()
    store = Store(tmp_path)
    assert [path.stem for path in (tmp_path / "runs").iterdir()] == [kept.stem]
    assert store.run_path(store.run(kept.stem)) == kept.resolve()
    assert not list((tmp_path / "tmp").iterdir())
    store.close()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


WRITER = """
import sys
import numpy as np
from pathlib import Path
from gemel.engine.store import Store
store = Store(Path(sys.argv[1]))
facts = {"description": "", "sensors": [], "inputs": [], "parameters": [], "has_data": False}
for i in range(10**6):
    staged = store.stage(f"name = 'box' # {i}", {"mesh": bytes(str(i), "ascii") * 1000})
    revision = store.register("box", staged, facts, np.zeros(1), np.eye(1)).revision
    job = store.submit("calibration", "box", revision, b"").id
    print(revision, job, flush=True)
"""


def test_sigkill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        told = [process.stdout.readline().split() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        told += [words for line in process.stdout if len(words := line.split()) == 2 and len(words[1]) == 32]
        process.wait()
    store = Store(tmp_path)
    for revision, job in told:
        twin = store.twin("box", int(revision))
        text = twin.document.rpartition(" ")[2]
        assert (store.document_folder(twin) / "mesh").read_bytes() == text.encode() * 1000
        assert store.job(job).state is JobState.QUEUED
    store.close()


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    state = {"u": jnp.asarray([1.0, 1 / 3]), "history": (jnp.zeros((2, 3)), None)}
    save_state(tmp_path / "state.npz", state)
    back = load_state(tmp_path / "state.npz", like=jax.tree.map(jnp.zeros_like, state))
    assert jax.tree.structure(back) == jax.tree.structure(state)
    np.testing.assert_array_equal(back["u"], state["u"])


@pytest.mark.parametrize(
    ("like", "said"),
    [
        ({"u": np.zeros(3)}, r"'\['u'\]' has the shape \(2,\), not \(3,\)"),
        ({"u": np.zeros(2), "v": np.zeros(2)}, r"it has no '\['v'\]'"),
        (np.zeros(2), r"an array too many, '\['u'\]'"),
    ],
)
def test_a_state_of_another_model_is_refused(tmp_path: Path, like: object, said: str) -> None:
    save_state(tmp_path / "state.npz", {"u": np.zeros(2)})
    with pytest.raises(StoreError, match=said):
        load_state(tmp_path / "state.npz", like)


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    with pytest.raises(StoreError, match="There is no state at"):
        load_state(path, np.zeros(2))
    save_state(path, np.zeros(2000))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match="is damaged"):
        load_state(path, np.zeros(2000))
    path.write_text("not a state", encoding="utf-8")
    with pytest.raises(StoreError, match="is damaged"):
        load_state(path, np.zeros(2000))
