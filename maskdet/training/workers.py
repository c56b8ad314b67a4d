"""Work of a training that other processor cores do: reading, drawing, batches."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeVar

import cv2

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AHEAD = 4
"""Results that wait for each worker: a slow one must not stop the training."""

_FEW = 32
"""So few items are done before the processes have started."""

_function: Callable[[Any], Any] | None = None
"""What a process does; it has it from its parent, so nothing is copied."""


def mapped(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    progress: Callable[[Sequence[_Item]], Iterable[_Item]] = iter,
) -> Iterator[_Result]:
    """Yield `function` of each item, in order, worked out on all cores.

    Args:
        function: is called in copies of this process: what it changes is lost there.
            A network in it must use one thread.
        items: a few are done in this process, without copies.
        progress: something like `tqdm`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if cores == 1 or len(items) <= _FEW or not _can_fork():
        yield from map(function, progress(items))
        return
    pool = _processes(function, cores)
    yield from _in_order(pool, _call, progress(items), _AHEAD * cores)


def ahead(
    function: Callable[[int], _Result], count: int, workers: int = 0
) -> Iterator[_Result]:
    """Yield `function` of 0 to `count`, in order, worked out before it is asked for.

    Args:
        function: as in `mapped`.
        count: how often.
        workers: processes that do it; 0 for a thread, which leaves the other cores to
            the training.
    """
    # OpenCV's own threads would fight with those of the training for the cores.
    cv2.setNumThreads(1)
    if workers and _can_fork():
        pool: Executor = _processes(function, workers)
        yield from _in_order(pool, _call, range(count), _AHEAD * workers)
    else:
        pool = ThreadPoolExecutor(max(workers, 1))
        yield from _in_order(pool, function, range(count), _AHEAD * max(workers, 1))


def _can_fork() -> bool:
    return "fork" in multiprocessing.get_all_start_methods()


def _processes(function: Callable[[Any], Any], count: int) -> Executor:
    cv2.setNumThreads(1)  # threads of the parent do not exist in its copies
    fork = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(count, fork, initializer=_keep, initargs=(function,))


def _keep(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function


def _call(item: Any) -> Any:
    assert _function is not None
    return _function(item)


def _in_order(
    pool: Executor, function: Callable[[Any], Any], items: Iterable[Any], most: int
) -> Iterator[Any]:
    """Yield the results of a pool, which then ends; at most so many wait."""
    rest = iter(items)
    try:
        waiting = deque(
            pool.submit(function, item) for item in itertools.islice(rest, most)
        )
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(rest, 1):
                waiting.append(pool.submit(function, item))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
