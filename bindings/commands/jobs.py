"""``gemel jobs``."""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Literal

from rich.markup import escape

from gemel.bindings.addresses import default_address
from gemel.bindings.application import configure_jax
from gemel.bindings.client import Client, UnknownNameError
from gemel.bindings.commands import common
from gemel.bindings.commands.telling import INTERVAL


def show_all(server: str | None) -> None:
    """Print a line for each job: its id, its twin, when it was submitted, how far it is."""
    with _client(server) as client:
        found = [(job.id, job.progress()) for job in client.jobs()]
    width = max((len(progress.twin) for _, progress in found), default=0)
    for job, progress in found:
        when = f"{datetime.fromtimestamp(progress.created):%Y-%m-%d %H:%M}"
        common.console.print(
            f"{job}  {progress.twin:{width}}  {when}  {progress.words()}", soft_wrap=True, markup=False
        )
    if not found:
        common.console.print("There are no jobs.")


def start(twin: Path, max_steps: int | None, revision: int, server: str | None) -> None:
    """Register a twin file and begin a calibration of it, at the belief of an earlier ``revision`` unless that is 0."""
    with _client(server) as client:
        job = client.calibrate(client.register(twin), max_steps=max_steps, start=revision)
        common.console.print(job.id)


def watch(job_id: str, server: str | None) -> None:
    """Print a line where the state of a job changes, and now and then between, until it has ended; on a terminal its
    steps are shown in place. Of a fit that ended well print the verdict, too.
    """
    state, told = "", monotonic()
    with _client(server) as client, common.console.status("") as status:
        job = client.job(job_id)
        for progress in job.watch():
            status.update(escape(progress.words()))
            if progress.state != state or (not common.console.is_terminal and monotonic() - told > INTERVAL):
                common.console.print(progress.words(), soft_wrap=True, markup=False)
                state, told = progress.state, monotonic()
        if state == "succeeded" and (judgement := job.judgement()) is not None:
            common.show_judgement(judgement)


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
