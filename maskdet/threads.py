"""The number of CPU cores, and of threads of the networks that are loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

N_THREADS: Final = 2
"""CPU threads of one call of a network, by default."""

_n_threads: Final = ContextVar("maskdet_n_threads", default=N_THREADS)


def get_thread_count() -> int:
    """Return the CPU threads of one call of a network that is loaded now."""
    return _n_threads.get()


@contextlib.contextmanager
def use_threads(n_threads: int) -> Iterator[None]:
    """Load networks with this number of threads inside of the context.

    The threads of a call wait for each other actively. So for many streams at a time,
    one thread a stream is faster.
    """
    token = _n_threads.set(n_threads)
    try:
        yield
    finally:
        _n_threads.reset(token)


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
