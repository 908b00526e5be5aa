"""What the store holds, as plain frozen data."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


class JobState(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
"""The states that a job never leaves."""


@dataclass(frozen=True)
class TwinRevision:
    """One revision of a twin: its document and the belief about its parameters.

    ``attachments`` maps names to (size, SHA-256); ``facts`` is what the engine said about the twin when it
    was built, as JSON; ``mean`` (p,) and ``covariance`` (p, p) are of the standardised parameters; ``job_id``
    names the job whose fit the belief is, empty for a prior; ``created`` in s since 1970; ``source`` is what errors
    call the file of the document.
    """

    name: str
    revision: int
    digest: str
    document: str
    attachments: Mapping[str, tuple[int, str]]
    facts: Mapping[str, Any]
    mean: np.ndarray
    covariance: np.ndarray
    job_id: str
    created: float
    source: str


@dataclass(frozen=True)
class Job:
    """A piece of work that outlives the process that does it.

    ``request`` and ``result`` belong to who submits and who does the work; ``attempts`` counts the starts
    since the last step forward.
    """

    id: str
    kind: str
    twin: str
    revision: int
    request: bytes
    state: JobState
    step: int
    cost: float
    gradient_norm: float
    attempts: int
    error: str
    result: bytes
    created: float
    updated: float


@dataclass(frozen=True)
class StoredRun:
    """A run that the store keeps; its arrays are in the zarr group that `Store.run_path` names."""

    id: str
    twin: str
    revision: int
    created: float
