"""Work on the host that numpy and scipy do outside Python's lock, on several cores."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_MOST = 8


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """The results of tasks that do not depend on one another, run in threads; the first error is raised."""
    workers = min(len(tasks), _MOST, os.cpu_count() or 1)
    if workers < 2:
        return [task() for task in tasks]
    with ThreadPoolExecutor(workers) as pool:
        return [running.result() for running in [pool.submit(task) for task in tasks]]
