"""The store: twins, jobs and runs in a folder; every write is atomic."""

from gemel.engine.store.entries import FINAL_STATES, Job, JobState, StoredRun, TwinRevision
from gemel.engine.store.files import NotFoundError, StoreError, check_attachment_name, document_name, write_atomically
from gemel.engine.store.runs import RunData, open_run, write_run
from gemel.engine.store.states import load_state, save_state
from gemel.engine.store.store import Store

__all__ = [
    "FINAL_STATES",
    "Job",
    "JobState",
    "NotFoundError",
    "RunData",
    "Store",
    "StoreError",
    "StoredRun",
    "TwinRevision",
    "check_attachment_name",
    "document_name",
    "load_state",
    "open_run",
    "save_state",
    "write_atomically",
    "write_run",
]
