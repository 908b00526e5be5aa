"""A worker process seen from the server: started when it is first needed, and again after it has died."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from gemel.bindings.framing import Message, encode, receive_async

GRACE = 2.0
"""Seconds that a worker has to leave a task that nobody wants any more; then it is killed."""


OnProgress = Callable[[Message], Awaitable[None]]


class WorkerDiedError(RuntimeError):
    """The worker process ended in the middle of a task."""


class InvalidRequestError(ValueError):
    """The library refused a request; the message is its sentence."""


class WorkFailedError(RuntimeError):
    """A task failed; the message says how."""


class WorkCancelledError(RuntimeError):
    """A task was left because nobody wanted it any more."""


class WorkerProcess:
    """One process that does one task at a time; further calls wait for their turn."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._calls: set[asyncio.Task[Any]] = set()
        self._active: asyncio.Task[Any] | None = None
        self._number = 0

    @property
    def pid(self) -> int | None:
        """The process' id while it lives."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def start(self) -> None:
        """Start the process unless it lives."""
        if self.pid is not None:
            return
        await self._close()
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "gemel.bindings.worker", str(theirs.fileno())]
        self._process = await asyncio.create_subprocess_exec(
            *command, pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours)

    async def call(self, task: Message, on_progress: OnProgress | None = None) -> Any:
        """Have a task done.

        When the caller is cancelled (its client has gone, its deadline has passed) the worker leaves the task
        within `GRACE` seconds.

        Raises:
            InvalidRequestError, WorkFailedError, WorkCancelledError, WorkerDiedError.
        """
        call = asyncio.create_task(self._call(task, on_progress))
        self._calls.add(call)
        call.add_done_callback(self._forget)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if call.cancelled() and not (caller and caller.cancelling()):  # left before the worker had begun it
                raise WorkCancelledError("The work was cancelled.") from None
            if not call.done():
                self._abandon(call)
            raise

    def abort(self) -> None:
        """Make the worker leave its task within `GRACE` seconds; the call raises."""
        for call in self._calls:
            self._abandon(call)

    def leave(self) -> None:
        """Make the worker leave its task at the end of the step in hand, however long that takes; the call raises."""
        for call in self._calls:
            self._abandon(call, kill=False)

    async def stop(self) -> None:
        """End the process."""
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._close()

    def _abandon(self, call: "asyncio.Task[Any]", kill: bool = True) -> None:
        if call is not self._active or self._writer is None:
            call.cancel()
            return
        self._writer.write(encode({"kind": "cancel", "number": self._number}))
        if kill:
            asyncio.get_running_loop().call_later(GRACE, lambda: None if call.done() else self._kill())

    async def _call(self, task: Message, on_progress: OnProgress | None) -> Any:
        async with self._turn:
            await self.start()
            assert self._reader is not None
            assert self._writer is not None
            self._number += 1
            self._active = asyncio.current_task()
            try:
                self._writer.write(encode({**task, "number": self._number}))
                await self._writer.drain()
                while True:
                    message = await receive_async(self._reader)
                    if message["outcome"] != "progress":
                        return _outcome(message)
                    if on_progress is not None:
                        await on_progress(message)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise WorkerDiedError(await self._epitaph()) from error
            finally:
                self._active = None

    async def _epitaph(self) -> str:
        assert self._process is not None
        code = await self._process.wait()
        await self._close()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"The worker process died ({how})."

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
        self._kill()
        if self._process is not None:
            await self._process.wait()
        self._process = self._reader = self._writer = None

    def _forget(self, call: "asyncio.Task[Any]") -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()


def _outcome(message: Message) -> Any:
    match message["outcome"]:
        case "done":
            return message["value"]
        case "invalid":
            raise InvalidRequestError(message["sentence"])
        case "cancelled":
            raise WorkCancelledError("The work was cancelled.")
        case _:
            raise WorkFailedError(message["sentence"])
