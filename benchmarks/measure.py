"""Clocks and meters for one row."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Timing(NamedTuple):
    """Seconds of one call: the first, then the least and the median of the repeats."""

    first: float
    best: float
    median: float

    @property
    def compile(self) -> float:
        """The first call minus the best later one."""
        return max(0.0, self.first - self.best)


def timed(call: Callable[[], Any], repeat: int, wait: Callable[[Any], Any] = lambda x: x) -> tuple[Any, Timing]:
    """Call once, then ``repeat`` times; ``wait`` blocks until a result is there. No call finds the result of the one
    before it in memory.
    """
    seconds, result = [], None
    for _ in range(repeat + 1):
        result = None
        start = time.perf_counter()
        result = wait(call())
        seconds.append(time.perf_counter() - start)
    return result, Timing(seconds[0], min(seconds[1:]), statistics.median(seconds[1:]))


class Stages:
    """Seconds by stage of what runs once: ``with stages("mesh"): ...``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time inside the block to the stage ``name``."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def peak_mib() -> float | None:
    """The largest resident memory of this process so far in MiB; None where the system does not say.

    Linux only: ``ru_maxrss`` of getrusage would include the parent's memory from before exec.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) / 1024 if lines else None
