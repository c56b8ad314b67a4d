"""Work done ahead of a training, beside it: reading, drawing, batches."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeVar

import cv2

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_WAITING_PER_WORKER = 4
"""Results that may wait for each worker: a slow one must not stop the training."""

_function: Callable[[Any], Any] | None = None
"""What a process does; it is inherited from its parent, so that nothing is copied."""


def map_parallel(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    progress: Callable[[Sequence[_Item]], Iterable[_Item]] = iter,
) -> Iterator[_Result]:
    """Yield `function` of each item, in order, computed in a thread for each core.

    Args:
        function: may be called from several threads.
        items: its arguments.
        progress: something like `tqdm`.
    """
    cores = os.cpu_count() or 1
    pool = ThreadPoolExecutor(cores)
    yield from _run_in_order(
        pool, function, progress(items), _WAITING_PER_WORKER * cores
    )


def prefetch(
    function: Callable[[int], _Result], count: int, workers: int = 0
) -> Iterator[_Result]:
    """Yield `function` of 0, 1, ... below `count`, computed before it is asked for.

    Args:
        function: with `workers`, is called in copies of this process (Linux): what it
            changes is lost there.
        count: number of calls.
        workers: processes that call it; 0 for one thread, which leaves the other cores
            to the training.
    """
    # OpenCV's own threads would fight with those of the training for the cores, and
    # do not exist in copies of the process.
    cv2.setNumThreads(1)
    max_waiting = _WAITING_PER_WORKER * max(workers, 1)
    if workers and sys.platform == "linux":  # elsewhere a fork is not safe
        fork = multiprocessing.get_context("fork")
        pool: Executor = ProcessPoolExecutor(
            workers, fork, initializer=_set_function, initargs=(function,)
        )
        yield from _run_in_order(pool, _call_function, range(count), max_waiting)
    else:
        pool = ThreadPoolExecutor(max(workers, 1))
        yield from _run_in_order(pool, function, range(count), max_waiting)


def _set_function(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function


def _call_function(item: Any) -> Any:
    assert _function is not None
    return _function(item)


def _run_in_order(
    pool: Executor,
    function: Callable[[Any], Any],
    items: Iterable[Any],
    max_waiting: int,
) -> Iterator[Any]:
    """Yield the results of a pool, which then ends; at most `max_waiting` of them wait."""
    remaining = iter(items)
    try:
        waiting = deque(
            pool.submit(function, item)
            for item in itertools.islice(remaining, max_waiting)
        )
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(remaining, 1):
                waiting.append(pool.submit(function, item))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
