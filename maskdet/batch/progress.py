"""Progress of a batch: how much is done, how fast, and how long the rest takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from maskdet.batch.analysis import FileResult
from maskdet.batch.inputs import BatchFile, FileKind
from maskdet.wording import format_count, format_elapsed


class BatchProgress:
    """Counts finished files and estimates the time of the others.

    Attributes:
        n_files: number of files.
        n_done: number of finished files.
        n_failed: number of finished files with an error.
        video_s: analyzed time of videos, in seconds.
    """

    def __init__(
        self,
        files: Sequence[BatchFile],
        n_workers: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock.

        Args:
            files: the files to analyze.
            n_workers: number of workers.
            clock: monotonic time in seconds.
        """
        self.n_files, self.n_done, self.n_failed = len(files), 0, 0
        self.video_s = 0.0
        self._n_workers, self._clock = n_workers, clock
        self._started_s = clock()
        self._waiting_work = _sum_work(files)
        self._done_work: Counter[FileKind] = Counter()
        self._work_s: dict[FileKind, float] = {"image": 0.0, "video": 0.0}

    @property
    def elapsed_s(self) -> float:
        """Time since the start, in seconds."""
        return self._clock() - self._started_s

    @property
    def remaining_s(self) -> float | None:
        """Estimated time of the other files, in seconds; None if it is not known."""
        work_s = 0.0
        for kind, waiting in self._waiting_work.items():
            if not self._done_work[kind]:
                return None
            work_s += self._work_s[kind] * waiting / self._done_work[kind]
        return work_s / self._n_workers

    def add(self, results: Iterable[FileResult]) -> None:
        """Count the results of a task."""
        for result in results:
            work = _sum_work([result.file])
            self._waiting_work -= work
            self._done_work += work
            self._work_s[result.file.kind] += result.elapsed_s
            self.n_done += 1
            self.n_failed += result.record["error"] is not None
            if result.file.kind == "video":
                self.video_s += result.record["analyzed_s"]

    def describe(self) -> str:
        """Return what is done, the rate, and the time left, in one line."""
        parts = [f"{self.n_done:,} of {format_count(self.n_files, 'file')}"]
        if self.n_failed:
            parts.append(f"{self.n_failed:,} failed")
        parts.append(self.describe_rate())
        remaining_s = self.remaining_s
        if remaining_s is not None:
            parts.append(f"{format_elapsed(remaining_s)} left")
        return ", ".join(filter(None, parts))

    def describe_rate(self) -> str:
        """Return images per second, and how much faster than real time videos are."""
        elapsed_s = max(self.elapsed_s, 1e-9)
        parts = []
        n_images = self._done_work["image"]
        if n_images:
            parts.append(f"{n_images / elapsed_s:.1f} images/s")
        if self.video_s:
            parts.append(f"{self.video_s / elapsed_s:.1f} s of video/s")
        return ", ".join(parts)


def _sum_work(files: Iterable[BatchFile]) -> Counter[FileKind]:
    """Return the work by kind: number of images, bytes of videos.

    The length of a video is known only when it is opened. A file of a zip has the size
    of the zip, so those videos count as equal.
    """
    work: Counter[FileKind] = Counter()
    for file in files:
        is_sized = file.kind == "video" and not file.member
        work[file.kind] += max(1, file.size_bytes) if is_sized else 1
    return work
