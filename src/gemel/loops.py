"""Loops over tables on the host: compiled, and spread over the cores."""

import contextlib
import functools
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from threadpoolctl import ThreadpoolController

_MOST = 8
"""Threads at the most: the memory has no more to give."""

_LEAST = 2**12
"""Rows that are not worth another thread."""


index = np.uint32
"""A number that is used as an index. numba leaves out the test for negative indices where numbers have no sign, which
makes inner loops two to three times as fast."""


def compiled(function: Callable[..., Any]) -> Any:
    """A loop over arrays of numpy, compiled by numba on its first call.

    Planning and the set-up of multigrid walk through sparse tables: a plain loop reads each number once, where numpy
    and scipy pass over the memory many times. What was compiled is kept on disk, beside the source or in the user's
    cache folder; where neither can be written it is compiled in each process. The loop runs outside Python's lock, so
    that `in_parts` can run it on several cores. Arrays should come in one precision and layout, and either writable or
    not, since another kind is compiled again. A loop calls others of its own file alone: the cache would not see that
    they changed.
    """
    plain = inspect.unwrap(function)
    try:
        return numba.njit(cache=True, nogil=True)(plain)
    except RuntimeError:  # no place for the cache
        return numba.njit(nogil=True)(plain)


def require_32_bits(count: int | np.integer, what: str = "entries") -> None:
    """Raise `ValueError` for more of something than the tables of loops can number."""
    if count >= 2**31:
        raise ValueError(f"{count} {what} are too many to number with 32 bits: split the mesh.")


def cores() -> int:
    """How many threads are used."""
    return min(_MOST, os.cpu_count() or 1)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="gemel", initializer=_mark_worker)


_here = threading.local()


def _mark_worker() -> None:
    _here.is_worker = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """The results of tasks that do not depend on one another, run in threads; the first error is raised.

    A task that itself calls this runs its own tasks one after the other.
    """
    if len(tasks) < 2 or cores() < 2 or getattr(_here, "is_worker", False):
        return [task() for task in tasks]
    return [running.result() for running in [_pool().submit(task) for task in tasks]]


def in_parts(count: int, work: Callable[[int, int], Any], least: int = _LEAST) -> list[Any]:
    """The results of ``work(first, last)`` for stretches that make up ``range(count)``, in threads; of at least
    ``least`` each, where there are so many.
    """
    parts = max(1, min(cores(), count // least))
    edges = [count * k // parts for k in range(parts + 1)]
    return at_once(*(lambda k=k: work(edges[k], edges[k + 1]) for k in range(parts)))


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


_limiting = threading.Lock()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """BLAS on one core, for small matrices: when it has finished, its threads wait busily for more on the cores that
    other loops need, which costs ten times what a second thread gains.
    """
    with _limiting, _blas().limit(limits=1):
        yield


@compiled
def positions(targets, size):
    """Where each number below ``size`` stands among the ``targets``: the runs' pointers, and the places in order."""
    starts = np.zeros(size + 2, np.int32)
    for target in targets:
        starts[index(target + 2)] += 1
    for i in range(size):
        starts[i + 2] += starts[i + 1]
    places = np.empty(len(targets), np.int32)
    for place in range(len(targets)):
        target = index(targets[place] + 1)
        places[index(starts[target])] = place
        starts[target] += 1
    return starts[:-1], places
