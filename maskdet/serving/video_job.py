"""Background analysis of an uploaded video: scratch folder, options, job, progress."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias
from weakref import WeakValueDictionary

from maskdet.analyzers.pipelines import Analyzer
from maskdet.media import (
    VideoInfo,
    VideoLimits,
    VideoReader,
    encode_jpeg,
    open_video_file,
    resize_image,
)
from maskdet.serving.preferences import Preferences
from maskdet.threads import count_cores
from maskdet.types import Image
from maskdet.video import (
    SceneStore,
    VideoCsvFile,
    VideoOutputs,
    VideoProgress,
    VideoReport,
    run_video_analysis,
)

logger = logging.getLogger(__name__)

SHARED_MEMORY: Final = Path("/dev/shm")
"""Memory file system of Linux: its files are not written to a disk."""

_SPACE_FACTOR: Final = 6
"""Room for the video and the annotated video without and with sound, with a margin."""

_SPACE_MARGIN_BYTES: Final = 16_000_000

# It waits until the parent process closes the pipe, which the system also does for a
# killed process. Processes that still write to the folder get some time to end.
_CLEANUP_SCRIPT: Final = """
import os, shutil, sys, time
sys.stdin.buffer.read()
for _ in range(40):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.25)
"""

VideoJobState: TypeAlias = Literal[
    "ready", "waiting", "working", "done", "failed", "closed"
]

MAX_VIDEO_MINUTES: Final = 30
"""Maximum length of a video."""

VIDEO_LIMITS: Final = VideoLimits(max_duration_s=60.0 * MAX_VIDEO_MINUTES)

ABANDONED_AFTER_S: Final = 120.0
"""A job is closed if its visitor is absent for this time, like Streamlit's session."""

_PRESENCE_INTERVAL_S: Final = 5.0

_SLOT_INTERVAL_S: Final = 0.1

_PREVIEW_SIDE_PX: Final = 640

_FIRST_FRAME_SIDE_PX: Final = 1280

_job_slots = threading.BoundedSemaphore(max(2, count_cores()))
"""Slots for concurrent analyses on this server; further jobs wait."""

_waiting_jobs: Final[set[VideoAnalysisJob]] = set()
"""The jobs that wait for a slot."""

_jobs_by_tab: Final[WeakValueDictionary[str, VideoAnalysisJob]] = WeakValueDictionary()
"""The jobs by tab ID, to find a job after a reload, which starts a new session."""

_job_numbers = itertools.count(1)

_TOO_LONG_MESSAGE: Final = (
    f"the video is longer than {MAX_VIDEO_MINUTES} minutes; upload a shorter part of it"
)

_UNEXPECTED_MESSAGE: Final = (
    "unexpected error during the analysis of this video; see the server log"
)


class ScratchFolder:
    """A private temporary folder that is deleted reliably.

    It is deleted by `close`, with this object, at the end of the program, and also if
    the program is killed: a small cleanup process waits for that.

    Attributes:
        path: the folder.
        in_memory: whether it is in memory, not on a disk.
    """

    def __init__(self, video_bytes: int) -> None:
        """Create the folder: in memory if there is room, else in the temporary folder.

        Args:
            video_bytes: size of the video.

        Raises:
            OSError: the folder cannot be created.
        """
        parent = _find_memory_folder(_SPACE_FACTOR * video_bytes + _SPACE_MARGIN_BYTES)
        self.in_memory = parent is not None
        self.path = Path(tempfile.mkdtemp(prefix="maskdet-video-", dir=parent))
        try:
            cleanup_process = _start_cleanup_process(self.path)
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        self._finalizer = weakref.finalize(
            self, _delete_folder, self.path, cleanup_process
        )

    def close(self) -> None:
        """Delete the folder with its content; may be called twice."""
        self._finalizer()


def _find_memory_folder(required_bytes: int) -> Path | None:
    """Return the memory file system, if it has enough room, else `None`."""
    if sys.platform != "linux" or not os.access(SHARED_MEMORY, os.W_OK | os.X_OK):
        return None
    with contextlib.suppress(OSError):
        if shutil.disk_usage(SHARED_MEMORY).free >= required_bytes:
            return SHARED_MEMORY
    return None


def _start_cleanup_process(path: Path) -> subprocess.Popen[bytes]:
    """Start the process that deletes the folder after this process has ended."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CLEANUP_SCRIPT, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _delete_folder(path: Path, cleanup_process: subprocess.Popen[bytes]) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if cleanup_process.stdin is not None:
        cleanup_process.stdin.close()
    # On Windows, it deletes files that are still open a little later.
    with contextlib.suppress(subprocess.TimeoutExpired):
        cleanup_process.wait(timeout=2)


@dataclass(frozen=True)
class VideoOptions:
    """Options of a video analysis; the same video and options give the same result.

    Attributes:
        preferences: thresholds, models and overlay at the start of the analysis.
        every: process every n-th frame.
        keep_crops: whether a thumbnail of each person is kept.
        rotate: degrees clockwise by which every frame is rotated first.
    """

    preferences: Preferences
    every: int = 1
    keep_crops: bool = False
    rotate: int = 0


@dataclass(frozen=True, eq=False)
class FirstFrame:
    """What is known of a video before its analysis.

    Attributes:
        info: the video's metadata.
        image: `(h, w, 3)` the first frame, at most `_FIRST_FRAME_SIDE_PX` a side.
    """

    info: VideoInfo
    image: Image


_NO_PROGRESS: Final = VideoProgress(0.0, None, 0.0, 0)


def format_video_time(time_s: float) -> str:
    """Format a time in a video, as in "1:05.2" or "1:02:05"."""
    seconds, tenth = divmod(round(10 * time_s), 10)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{text}:{seconds:02d}" + (f".{tenth}" if tenth else "")


class VideoAnalysisJob:
    """The analysis of one uploaded video, on a background thread.

    Attributes:
        number: unique number of the result; each analysis gets a new one.
        name: the video's file name; untrusted, so only shown as plain text.
        options: options of the analysis.
        size_bytes: size of the file.
        state: `ready` to be started, `waiting` for a slot, `working`, `done`, `failed`,
            or `closed`.
        progress: progress of the analysis.
        preview: the last annotated frame as JPEG; empty before the first.
        report: the result; `None` until `done`.
        scenes: the scenes of the video; `None` until `done`.
        problem: one line on why it `failed`, else empty.
    """

    def __init__(
        self,
        name: str,
        video: bytes | Path,
        options: VideoOptions,
        load_for: Callable[[VideoOptions], Analyzer],
        *,
        is_present: Callable[[], bool] = lambda: True,
        keep_s: float | None = None,
    ) -> None:
        """Store a video; `start` begins the analysis.

        Args:
            name: its file name.
            video: the content of the file, or its path.
            options: options of the analysis.
            load_for: loads a private analyzer for the options; called in the thread.
            is_present: whether the visitor is still connected; called regularly.
            keep_s: time in seconds for which the result is kept, for a job that is not
                repeated: the video itself is deleted at the end. None: while the
                visitor is connected.

        Raises:
            OSError: there is no room for the video.
        """
        self.number = next(_job_numbers)
        self.name, self.options = name, options
        self.state: VideoJobState = "ready"
        self.progress, self.preview = _NO_PROGRESS, b""
        self.report: VideoReport | None = None
        self.scenes: SceneStore | None = None
        self.problem = ""
        self._load, self._is_present = load_for, is_present
        self._keep_s, self._ended_s = keep_s, math.inf
        self._closed, self._stopped = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._active = self._has_slot = False
        self._reader: VideoReader | None = None
        self._first_frame: FirstFrame | None = None
        self._contents: dict[Path, bytes] = {}
        self.size_bytes = (
            len(video) if isinstance(video, bytes) else video.stat().st_size
        )
        self._scratch = ScratchFolder(self.size_bytes)
        try:
            if isinstance(video, bytes):
                self.video_path.write_bytes(video)
            else:
                shutil.copyfile(video, self.video_path)
        except OSError:
            self._scratch.close()
            raise
        threading.Thread(target=self._close_when_abandoned, daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether the analysis waits or works."""
        return self.state in ("waiting", "working")

    @property
    def in_memory(self) -> bool:
        """Whether its files are in memory, not on a disk."""
        return self._scratch.in_memory

    @property
    def annotated_path(self) -> Path | None:
        """Path of the annotated video, or `None`."""
        return None if self.report is None else self.report.out

    @property
    def rows_path(self) -> Path:
        """Path of the CSV file with a row for each person in each frame."""
        return self._scratch.path / "rows.csv"

    @property
    def video_path(self) -> Path:
        """Path of the video as it was uploaded."""
        return self._scratch.path / "video"

    def read_annotated(self) -> bytes:
        """Return the annotated video, or nothing without one; keep it in memory."""
        return b"" if self.annotated_path is None else self._read(self.annotated_path)

    def read_original(self) -> bytes:
        """Return the video as it was uploaded; keep it in memory."""
        return self._read(self.video_path)

    def _read(self, path: Path) -> bytes:
        """Return a file, which is read once; nothing if it is deleted."""
        if path not in self._contents:
            try:
                self._contents[path] = path.read_bytes()
            except FileNotFoundError:  # the visitor removed the video in another run
                return b""
        return self._contents[path]

    def read_first_frame(self) -> FirstFrame | None:
        """Return metadata and first frame; read them at the first call.

        Returns:
            None if the video cannot be read; a job that was `ready` has `failed` then.
        """
        if self._first_frame is None:
            try:
                self._first_frame = self._open_first_frame()
            except (ValueError, OSError) as error:
                if self.state == "ready":
                    self._fail(_format_failure(error))
        return self._first_frame

    def _open_first_frame(self) -> FirstFrame:
        with open_video_file(self.video_path, VIDEO_LIMITS) as reader:
            _check_duration(reader.info)
            for image, _ in reader:
                scale = min(1.0, _FIRST_FRAME_SIDE_PX / max(image.shape[:2]))
                return FirstFrame(reader.info, resize_image(image, scale))
        raise ValueError("the video has no frames; use another file")

    def start(self, options: VideoOptions | None = None) -> None:
        """Start the analysis, or repeat it, in the background; do nothing while busy.

        Args:
            options: new options; the previous ones if not given.
        """
        with self._lock:
            if self._closed.is_set() or self._active:
                return
            self._active = True
            self.options = options or self.options
            self.number = next(_job_numbers)
            self.state, self.progress, self.preview = "waiting", _NO_PROGRESS, b""
            self.report, self.scenes, self.problem = None, None, ""
            self._contents = {}
            self._stopped.clear()
            self._thread = threading.Thread(
                target=self._run, name=f"video {self.number}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop early and keep the results up to this point."""
        self._stopped.set()
        reader = self._reader
        if reader is not None:
            reader.stop()

    def close(self) -> None:
        """Stop the analysis and delete all files; may be called twice."""
        with self._lock:
            self._closed.set()
            active = self._active
        self.stop()
        # A running thread deletes its files itself when it ends.
        if not active:
            self._delete_files()

    def register_tab(self, tab_id: str) -> None:
        """Register the job for `find_job_by_tab`, until it is closed.

        Args:
            tab_id: secret ID of the visitor's tab; an empty one is ignored.
        """
        if tab_id:
            _jobs_by_tab[tab_id] = self

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread; return whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self._active

    def _run(self) -> None:
        try:
            if not self._wait_for_slot():
                self._fail("the analysis was stopped before it started")
                return
            try:
                self.report = self._analyze()
                self.state = "done"
            finally:
                self._release_slot()
        except (ValueError, OSError) as error:
            self._fail(_format_failure(error))
        except Exception:
            logger.exception("a video could not be analyzed")
            self._fail(_UNEXPECTED_MESSAGE)
        finally:
            self._reader = None
            self._ended_s = time.monotonic()
            if self._keep_s is not None:
                with contextlib.suppress(OSError):
                    self.video_path.unlink()
            with self._lock:
                self._active = False
                closed = self._closed.is_set()
            if closed:
                self._delete_files()

    def _wait_for_slot(self) -> bool:
        """Wait for a slot; return whether it got one before `stop` was called."""
        self.state = "waiting"
        _waiting_jobs.add(self)
        try:
            while self._should_yield() or not _job_slots.acquire(
                timeout=_SLOT_INTERVAL_S
            ):
                if self._stopped.wait(_SLOT_INTERVAL_S):
                    return False
        finally:
            _waiting_jobs.discard(self)
        self.state, self._has_slot = "working", True
        return True

    def _release_slot(self) -> None:
        if self._has_slot:
            self._has_slot = False
            _job_slots.release()

    def _should_yield(self) -> bool:
        """Return whether its visitor is absent while another, present one waits."""
        others = [other for other in list(_waiting_jobs) if other is not self]
        return (
            bool(others)
            and not self._is_present()
            and any(other._is_present() for other in others)
        )

    def _should_stop(self) -> bool:
        """Return whether to stop; before that, yield the slot to present visitors."""
        if self._should_yield():
            self._release_slot()
            self._wait_for_slot()
        return self._stopped.is_set()

    def _analyze(self) -> VideoReport:
        """Run the analysis."""
        analyzer = self._load(self.options)
        preferences, folder = self.options.preferences, self._scratch.path
        with (
            open_video_file(
                self.video_path,
                VIDEO_LIMITS,
                every=self.options.every,
                rotate=self.options.rotate,
            ) as self._reader,
            VideoCsvFile(self.rows_path) as rows,
            SceneStore(folder / "scenes") as scene_store,
        ):
            # Check it first: otherwise the error would come after half an hour.
            _check_duration(self._reader.info)
            outputs = VideoOutputs(
                style=preferences.style,
                out=folder / "annotated.mp4",
                csv_writer=rows,
                scene_store=scene_store,
                every=self.options.every,
                keep_crops=self.options.keep_crops,
                keep_partial=True,
            )
            report = run_video_analysis(
                self._reader,
                analyzer,
                preferences.settings,
                outputs,
                name=self.name,
                on_progress=self._update_progress,
                is_cancelled=self._should_stop,
            )
            if not report.n_frames:
                raise ValueError("the analysis was stopped before the first frame")
            rows.commit()
        self.scenes = scene_store
        return report

    def _update_progress(self, video_progress: VideoProgress) -> None:
        image = video_progress.preview
        if image is not None:
            scale = min(1.0, _PREVIEW_SIDE_PX / max(image.shape[:2]))
            self.preview = encode_jpeg(resize_image(image, scale))
        self.progress = replace(video_progress, preview=None)

    def _fail(self, message: str) -> None:
        self.problem, self.state = message, "failed"

    def _delete_files(self) -> None:
        self.report, self.progress, self.preview = None, _NO_PROGRESS, b""
        self._first_frame = None
        self.state = "closed"
        self._scratch.close()
        self._contents = {}

    def _close_when_abandoned(self) -> None:
        """Close the job when its visitor has left, or `keep_s` after its end."""
        absent_s = 0.0
        while not self._closed.wait(_PRESENCE_INTERVAL_S):
            absent_s = 0.0 if self._is_present() else absent_s + _PRESENCE_INTERVAL_S
            is_expired = (
                self._keep_s is not None
                and time.monotonic() - self._ended_s >= self._keep_s
            )
            if is_expired or absent_s >= ABANDONED_AFTER_S:
                self.close()


def find_job_by_tab(
    tab_id: str, is_present: Callable[[], bool]
) -> VideoAnalysisJob | None:
    """Return the job that was started in a tab before its page was reloaded.

    A job whose session is still connected is not returned, as the tab was duplicated.

    Args:
        tab_id: as in `VideoAnalysisJob.register_tab`.
        is_present: whether the visitor is connected, in the new session.
    """
    job = _jobs_by_tab.get(tab_id)
    if job is None or job.state == "closed" or job._is_present():
        return None
    job._is_present = is_present
    return job


def _check_duration(info: VideoInfo) -> None:
    """Raise a `ValueError` if a video is too long."""
    if info.duration_is_estimate or info.duration_s <= VIDEO_LIMITS.max_duration_s:
        return
    raise ValueError(_TOO_LONG_MESSAGE)


def _format_failure(error: Exception) -> str:
    """Format an error in one line, without paths of this server."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "this server has no room for this video; use a smaller one"
    if isinstance(error, OSError) and error.errno is not None:
        return f"this server cannot process the video: {error.strerror}"
    return str(error)
