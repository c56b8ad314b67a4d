"""Worker threads with models of their own, and a limited number of waiting images."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

from maskdet.analyzers.pipelines import Analyzer
from maskdet.http_api.config import ServerBusyError

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

MAX_ANALYZERS_PER_WORKER: Final = 3
"""A worker keeps the models of this many analyzers, those it used last."""

_MEAN_WEIGHT: Final = 0.1
"""Weight of the newest time in the exponential mean of the times of an image."""


class AnalyzerUnavailableError(ValueError):
    """An analyzer cannot be loaded; the log says why, as paths are in the reason."""


@contextmanager
def hide_load_error(name: str) -> Iterator[None]:
    """Log why an analyzer cannot be loaded, and raise `AnalyzerUnavailableError`."""
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        logger.error("the analyzer %s cannot be loaded: %s", name, error)
        raise AnalyzerUnavailableError(
            f"this server cannot load the analyzer {name}; choose another one"
        ) from None


class AnalyzerWorkers:
    """Threads that analyze images; each has its own models, as these are not shared.

    The runtimes of the models release the GIL, so the threads use all cores.
    """

    def __init__(
        self, load: Callable[[str], Analyzer], n_workers: int, max_waiting: int
    ) -> None:
        """Start no thread yet.

        Args:
            load: loads the analyzer of a name; called in the threads.
            n_workers: number of threads.
            max_waiting: maximum number of images that wait or are analyzed.
        """
        self._load = load
        self._n_workers, self._max_waiting = n_workers, max_waiting
        self._executor = ThreadPoolExecutor(n_workers, "maskdet-worker")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._n_waiting = 0
        self._mean_s = 0.1

    @property
    def n_waiting(self) -> int:
        """Number of images that wait or are analyzed."""
        return self._n_waiting

    def warm_up(self, name: str) -> None:
        """Load an analyzer in every thread; raise what loading raises."""
        barrier = threading.Barrier(self._n_workers)

        def load() -> None:
            try:
                self._get_analyzer(name)
            finally:
                barrier.wait()  # otherwise a fast thread would take two turns

        for future in [self._executor.submit(load) for _ in range(self._n_workers)]:
            future.result()

    def check_room(self, n_images: int) -> None:
        """Raise an error if there is no room for images.

        Raises:
            ServerBusyError: too many wait. A request that is larger than the queue is
                accepted if nothing waits.
        """
        if self._n_waiting and self._n_waiting + n_images > self._max_waiting:
            # After about half of them.
            wait_s = self._n_waiting * self._mean_s / self._n_workers / 2
            retry_after_s = max(1, math.ceil(wait_s))
            raise ServerBusyError(
                f"too many images wait; try again in {retry_after_s} s", retry_after_s
            )

    def reserve(self, n_images: int) -> None:
        """Reserve places for images; each `run` gives one back.

        Raises:
            ServerBusyError: as `check_room` does.
        """
        with self._lock:
            self.check_room(n_images)
            self._n_waiting += n_images

    async def run(self, name: str, work: Callable[[Analyzer], _Result]) -> _Result:
        """Call `work` with an analyzer in one of the threads; `reserve` comes first.

        Raises:
            AnalyzerUnavailableError: a model or a library is missing or broken.
        """
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, self._run_timed, name, work)
        try:
            return await asyncio.shield(future)
        finally:
            # If the caller has gone, the place is free when the thread is.
            future.add_done_callback(self._release)

    def close(self) -> None:
        """End the threads after the current images."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run_timed(self, name: str, work: Callable[[Analyzer], _Result]) -> _Result:
        with hide_load_error(name):
            analyzer = self._get_analyzer(name)
        started_s = time.perf_counter()
        try:
            return work(analyzer)
        finally:
            elapsed_s = time.perf_counter() - started_s
            self._mean_s += _MEAN_WEIGHT * (elapsed_s - self._mean_s)

    def _get_analyzer(self, name: str) -> Analyzer:
        loaded: OrderedDict[str, Analyzer] = self._local.__dict__.setdefault(
            "analyzers", OrderedDict()
        )
        if name not in loaded:
            loaded[name] = self._load(name)
            if len(loaded) > MAX_ANALYZERS_PER_WORKER:
                loaded.popitem(last=False)
        loaded.move_to_end(name)
        return loaded[name]

    def _release(self, future: object) -> None:
        with self._lock:
            self._n_waiting -= 1
