"""Tasks of a batch: groups of files, retried when their worker dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from maskdet.batch.analysis import BatchOptions, FileAnalyzer, FileResult
from maskdet.batch.inputs import BatchFile, FileKind

MAX_DEATHS: Final = 2
"""A file whose worker dies this many times is given up, with an error."""

_MAX_FILES: Final = 128
"""Files in a task; a run that breaks off repeats the tasks that were not finished."""

_MAX_VIDEO_BYTES: Final = 50_000_000
"""Videos in a task are smaller together, or there is only one."""

_TASKS_PER_WORKER: Final = 8
"""A small batch has about this many tasks for each worker, so that all end together."""


@dataclass(frozen=True)
class BatchTask:
    """Files that a worker analyzes in one go.

    Attributes:
        files: the files, of one kind and day.
        n_deaths: how many workers have died with these files.
    """

    files: tuple[BatchFile, ...]
    n_deaths: int = 0

    def retry(self) -> list[BatchTask]:
        """Return the tasks that replace this one after its worker has died.

        After the second time the files are analyzed one by one, which shows the one
        that is to blame; the list is empty if that is known.
        """
        n_deaths = self.n_deaths + 1
        if n_deaths < MAX_DEATHS:
            return [BatchTask(self.files, n_deaths)]
        if len(self.files) == 1:
            return []
        return [BatchTask((file,), MAX_DEATHS - 1) for file in self.files]


class BatchEngine(Protocol):
    """Protocol of what runs tasks."""

    @property
    def n_workers(self) -> int:
        """Number of workers."""

    def run(self, tasks: Sequence[BatchTask]) -> Iterator[list[FileResult]]:
        """Yield the results of each task, in any order."""


class InProcessEngine:
    """Runs tasks one after the other in this process, with one thread."""

    n_workers = 1

    def __init__(self, options: BatchOptions, kinds: Sequence[FileKind]) -> None:
        """Load the analyzers.

        Raises:
            ValueError, OSError, RuntimeError: a model or library is missing or broken.
        """
        self._analyzer = FileAnalyzer(options)
        self._analyzer.load(kinds)

    def run(self, tasks: Sequence[BatchTask]) -> Iterator[list[FileResult]]:
        """Yield the results of each task, in order."""
        for task in tasks:
            yield self._analyzer.analyze(task.files)


def make_tasks(files: Sequence[BatchFile], n_workers: int) -> list[BatchTask]:
    """Group files by kind and day, long videos first.

    A task of one day becomes one part of the results. Long videos at the end would keep
    one worker busy while the others have nothing to do.
    """
    max_files = max(
        1, min(_MAX_FILES, -(-len(files) // (n_workers * _TASKS_PER_WORKER)))
    )
    videos = [file for file in files if file.kind == "video"]
    images = [file for file in files if file.kind == "image"]
    tasks: list[BatchTask] = []
    for kind_files in (videos, images):
        kind_files.sort(key=lambda file: file.day)  # stable: keeps the given order
        for _, day_files in groupby(kind_files, key=lambda file: file.day):
            tasks += _split(deque(day_files), max_files)
    return sorted(tasks, key=_count_video_bytes, reverse=True)


def _split(files: deque[BatchFile], max_files: int) -> Iterator[BatchTask]:
    while files:
        group = [files.popleft()]
        while files and len(group) < max_files:
            candidate = BatchTask((*group, files[0]))
            if _count_video_bytes(candidate) > _MAX_VIDEO_BYTES:
                break
            group.append(files.popleft())
        yield BatchTask(tuple(group))


def _count_video_bytes(task: BatchTask) -> int:
    return sum(
        file.size_bytes
        for file in task.files
        if file.kind == "video" and not file.member
    )
