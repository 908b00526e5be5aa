"""The tables of the store and how rows become entries."""

import json
import sqlite3

import numpy as np

from gemel.engine.store.entries import Job, JobState, TwinRevision

VERSION = 2

TABLES = """
CREATE TABLE twins (
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    digest TEXT NOT NULL,
    document TEXT NOT NULL,
    attachments TEXT NOT NULL,
    facts TEXT NOT NULL,
    mean BLOB NOT NULL,
    covariance BLOB NOT NULL,
    job_id TEXT NOT NULL,
    created REAL NOT NULL,
    source TEXT NOT NULL DEFAULT 'twin.toml',
    PRIMARY KEY (name, revision)
) STRICT;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    twin TEXT NOT NULL,
    revision INTEGER NOT NULL,
    request BLOB NOT NULL,
    state TEXT NOT NULL,
    step INTEGER NOT NULL DEFAULT 0,
    cost REAL,
    gradient_norm REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    result BLOB NOT NULL DEFAULT x'',
    created REAL NOT NULL,
    updated REAL NOT NULL
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    twin TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created REAL NOT NULL
) STRICT;
"""

UPDATES = {1: "ALTER TABLE twins ADD COLUMN source TEXT NOT NULL DEFAULT 'twin.toml';"}
"""What makes a store of a version one of the next."""


def twin_of(row: sqlite3.Row) -> TwinRevision:
    """A row of ``twins``."""
    mean = np.frombuffer(row["mean"], dtype="<f8").copy()
    covariance = np.frombuffer(row["covariance"], dtype="<f8").reshape(len(mean), len(mean)).copy()
    attachments = {name: (int(size), sha) for name, (size, sha) in json.loads(row["attachments"]).items()}
    return TwinRevision(
        row["name"],
        row["revision"],
        row["digest"],
        row["document"],
        attachments,
        json.loads(row["facts"]),
        mean,
        covariance,
        row["job_id"],
        row["created"],
        row["source"],
    )


def job_of(row: sqlite3.Row) -> Job:
    """A row of ``jobs``; a NaN, which SQLite keeps as NULL, is NaN again."""
    return Job(
        row["id"],
        row["kind"],
        row["twin"],
        row["revision"],
        row["request"],
        JobState(row["state"]),
        row["step"],
        float("nan") if row["cost"] is None else row["cost"],
        float("nan") if row["gradient_norm"] is None else row["gradient_norm"],
        row["attempts"],
        row["error"],
        row["result"],
        row["created"],
        row["updated"],
    )


def blob(values: np.ndarray) -> bytes:
    """An array as little-endian doubles."""
    return np.ascontiguousarray(values, dtype="<f8").tobytes()
