"""What a command tells while it works: in place on a terminal, elsewhere a line now and then."""

import contextlib
from collections.abc import Iterator
from threading import Timer
from time import monotonic
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from gemel.bindings.commands import common

INTERVAL = 10.0
"""Seconds between two lines where there is no terminal."""


@contextlib.contextmanager
def working(words: str) -> Iterator[None]:
    """Tell what is being done while it lasts; elsewhere than on a terminal only where it lasts long."""
    if common.console.is_terminal:
        with common.console.status(words):
            yield
        return
    told = Timer(INTERVAL, common.say, ([words],))
    told.daemon = True
    told.start()
    try:
        yield
    finally:
        told.cancel()


def progress() -> Progress:
    """A bar with words beside it; its tasks have a field ``words``."""
    return _Told(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        console=common.console,
    )


class _Told(Progress):
    """A bar, and where it cannot be drawn a line of its words now and then."""

    def __init__(self, *columns: Any, **options: Any) -> None:
        super().__init__(*columns, **options)
        self._told = monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        if not self.console.is_terminal and "words" in changes and monotonic() - self._told > INTERVAL:
            self._told = monotonic()
            common.say([f"{self.tasks[task_id].description}: {changes['words']}"])
