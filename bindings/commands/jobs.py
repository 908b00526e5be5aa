"""``gemel jobs``."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from gemel.bindings.addresses import default_address
from gemel.bindings.application import configure_jax
from gemel.bindings.client import Client, UnknownNameError
from gemel.bindings.commands import common


def show_all(server: str | None) -> None:
    """Print a line for each job."""
    with _client(server) as client:
        for job in client.jobs():
            common.console.print(f"{job.id}  {job.progress().words()}", soft_wrap=True, markup=False)


def start(twin: Path, max_steps: int | None, revision: int, server: str | None) -> None:
    """Register a twin file and begin a calibration of it, at the belief of an earlier ``revision`` unless that is 0."""
    with _client(server) as client:
        job = client.calibrate(client.register(twin), max_steps=max_steps, start=revision)
        common.console.print(job.id)


def watch(job_id: str, server: str | None) -> None:
    """Print a line at every change of a job until it has ended."""
    with _client(server) as client:
        for progress in client.job(job_id).watch():
            common.console.print(progress.words(), soft_wrap=True, markup=False)


def change(how: Literal["pause", "resume", "cancel"], job_id: str, server: str | None) -> None:
    """Pause, resume or cancel a job, and print how far it is."""
    with _client(server) as client:
        job = client.job(job_id)
        progress = {"pause": job.pause, "resume": job.resume, "cancel": job.cancel}[how]()
        common.console.print(progress.words(), soft_wrap=True, markup=False)


@contextlib.contextmanager
def _client(server: str | None) -> Iterator[Client]:
    """A client of the server at an address; raises `ValueError` where it does not know a job."""
    configure_jax()
    try:
        with Client(server or default_address(Path("store"))) as client:
            yield client
    except UnknownNameError as error:
        raise ValueError(str(error)) from error
