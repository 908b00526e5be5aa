"""The worker process: it imports jax, does one task at a time, and ends when its server ends.

Started by `gemel.bindings.processes`; never by a person.
"""

import logging
import os
import queue
import socket
import sys
import threading
import time
from typing import Any

from gemel.bindings.application import configure_jax
from gemel.bindings.framing import Message, encode, receive

PROGRESS_INTERVAL = 0.05
"""Seconds between two words about progress: quick steps need not be told one by one."""

_log = logging.getLogger("gemel.worker")


class CancelledError(Exception):
    """The server no longer wants the task."""


class Worker:
    """The two sides of a worker: a thread that listens to the server, and the loop that works."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._tasks: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._number, self._cancelled = 0, 0
        self._told = 0.0

    def run(self) -> None:
        """Work until the server closes the connection."""
        threading.Thread(target=self._listen, daemon=True).start()
        configure_jax()
        from gemel.bindings.tasks import TwinCache

        twins = TwinCache(size=8)
        while True:
            task = self._tasks.get()
            self._number = task["number"]
            self._send(self._answer(twins, task))

    def _listen(self) -> None:
        """Take tasks in; leave at once when the server is gone, so that no orphan works on a job."""
        while True:
            message = receive(self._connection)
            if message is None:
                os._exit(0)
            if message["kind"] == "cancel":
                self._cancelled = message["number"]
            else:
                self._tasks.put(message)

    def _send(self, message: Message) -> None:
        try:
            self._connection.sendall(encode(message))
        except ConnectionError:
            os._exit(0)

    def _answer(self, twins: Any, task: Message) -> Message:
        from gemel.solvers import SolveError

        try:
            return {"outcome": "done", "value": self._do(twins, task)}
        except CancelledError:
            return {"outcome": "cancelled"}
        except ValueError as error:
            _log.info("refused: %s", error)
            return {"outcome": "invalid", "sentence": str(error)}
        except SolveError as error:
            return {"outcome": "failed", "sentence": str(error)}
        except Exception as error:
            _log.exception("a task of kind '%s' failed", task["kind"])
            return {"outcome": "failed", "sentence": f"The work failed: {type(error).__name__}: {error}"}

    def _do(self, twins: Any, task: Message) -> Any:
        from gemel.bindings import tasks

        loaded = twins.load(tasks.TwinPlace(*task["place"]))
        kind = task["kind"]
        if kind == "describe":
            return tasks.describe(loaded)
        if kind == "check":
            return tasks.check_calibration(loaded, task["request"])
        if kind == "simulate":
            return tasks.run_simulation(loaded, task["request"], task["fit"], task["out"])
        if kind == "forecast":
            return tasks.run_forecast(loaded, task["request"], task["fit"], task["out"])
        if kind == "calibrate":
            return tasks.run_calibration(loaded, task["request"], task["checkpoint"], task["start"], self._on_step)
        if kind == "inspect":
            return tasks.inspect_data(loaded, task["experiment"])
        raise RuntimeError(f"There is no task of kind '{kind}'.")

    def _on_step(self, state: Any, pace: Any) -> None:
        now, leaving = time.monotonic(), self._cancelled == self._number
        if now - self._told >= PROGRESS_INTERVAL or bool(state.finished) or leaving:
            self._told = now
            self._send(
                {
                    "outcome": "progress",
                    "step": int(state.step),
                    "cost": float(state.cost),
                    "gradient_norm": float(state.gradient_norm),
                    "pace": {
                        "max_steps": pace.max_steps or 0,
                        "seconds_per_step": pace.seconds_per_step,
                        "seconds_left": pace.seconds_left,
                    },
                }
            )
        if leaving:
            raise CancelledError


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    Worker(socket.socket(fileno=int(sys.argv[1]))).run()
