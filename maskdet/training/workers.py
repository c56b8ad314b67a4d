"""Parallel and prefetched work for training: reading, drawing and making batches."""

from __future__ import annotations

import itertools
import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.threads import count_cores

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_WAITING_PER_WORKER = 4
"""Queued results per worker, so that a slow item does not stall the training."""

_function: Callable[[Any], Any] | None = None
"""Function that a worker process calls; inherited by fork, so nothing is copied."""


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Input of one training step.

    Attributes:
        images: `(n, side, side, 3)` uint8.
        targets: `(n, ...)` float32; the networks define the columns.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]


def map_parallel(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    progress: Callable[[Sequence[_Item]], Iterable[_Item]] = iter,
) -> Iterator[_Result]:
    """Yield `function` of each item in order, computed by one thread per core.

    Args:
        function: may be called from several threads.
        items: the arguments.
        progress: wraps the items, such as `tqdm`.
    """
    cores = count_cores()
    pool = ThreadPoolExecutor(cores)
    yield from _run_in_order(
        pool, function, progress(items), _WAITING_PER_WORKER * cores
    )


def prefetch(
    function: Callable[[int], _Result], count: int, workers: int = 0
) -> Iterator[_Result]:
    """Yield `function` of 0, 1, ..., `count` - 1, computed ahead of time.

    Args:
        function: with `workers`, it is called in forked processes (Linux), so its side
            effects are lost.
        count: number of calls.
        workers: number of processes; 0 for one thread, which leaves the other cores
            to the training.
    """
    # OpenCV's threads would compete with the training for the cores, and do not exist
    # in forked processes.
    cv2.setNumThreads(1)
    max_waiting = _WAITING_PER_WORKER * max(workers, 1)
    if workers and sys.platform == "linux":  # fork is not safe on other systems
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
    """Yield the results of a pool in order, and shut it down at the end.

    At most `max_waiting` results are queued.
    """
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
