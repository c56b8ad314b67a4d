"""The number of CPU threads of the networks of this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import cv2

N_THREADS: Final = 2
"""CPU threads of one call of a network, by default."""

_n_threads = N_THREADS


def get_thread_count() -> int:
    """Return the CPU threads of one call of a network that is loaded now."""
    return _n_threads


@contextlib.contextmanager
def use_one_thread() -> Iterator[None]:
    """Give one thread to each network that is loaded meanwhile, and to OpenCV.

    For processes of which there is one per core: with more threads they would wait for
    each other.
    """
    global _n_threads
    previous = _n_threads, cv2.getNumThreads()
    _n_threads = 1
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        _n_threads = previous[0]
        cv2.setNumThreads(previous[1])
