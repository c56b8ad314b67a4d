"""Analyses of videos: submitted, asked for, stopped and deleted by ID."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from maskdet.analyzers.pipelines import Analyzer
from maskdet.web.video.job import VideoAnalysisJob, VideoOptions

RETRY_AFTER_S: Final = 30
"""After this time another video may be sent if too many wait."""


class TooManyVideosError(Exception):
    """Too many videos wait or are analyzed."""


@dataclass(frozen=True, eq=False)
class SubmittedVideo:
    """A video and its analysis.

    Attributes:
        video_id: secret ID in the URL.
        owner: ID of the caller; others do not learn that the video exists.
        job: the analysis.
    """

    video_id: str
    owner: str
    job: VideoAnalysisJob

    def describe(self) -> dict[str, Any]:
        """Return state and progress, and the report at the end, as a JSON object."""
        job, progress = self.job, self.job.progress
        state = job.state  # before the report, which is set first
        report = job.report
        return {
            "id": self.video_id,
            "state": state,
            "name": job.name,
            "progress": {
                "fraction": round(progress.fraction_done, 4),
                "remaining_s": progress.remaining_s,
                "time_s": round(progress.time_s, 2),
                "frames": progress.n_frames,
            },
            "error": job.problem or None,
            "report": None if report is None else report.to_dict(),
        }


class VideoRegistry:
    """The videos of all callers; results are deleted some time after the end."""

    def __init__(
        self,
        load: Callable[[VideoOptions], Analyzer],
        max_active: int,
        keep_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without videos.

        Args:
            load: loads an analyzer for the options; called in the thread of a job.
            max_active: maximum number of videos that wait or are analyzed.
            keep_s: time in seconds for which results are kept.
            clock: monotonic time in seconds.
        """
        self._load, self._max_active, self._keep_s = load, max_active, keep_s
        self._clock = clock
        self._lock = threading.Lock()
        self._videos: dict[str, SubmittedVideo] = {}

    @property
    def n_active(self) -> int:
        """Number of videos that wait or are analyzed."""
        with self._lock:
            return sum(video.job.busy for video in self._videos.values())

    def submit(
        self, name: str, content: bytes, options: VideoOptions, owner: str
    ) -> SubmittedVideo:
        """Start the analysis of a video.

        Raises:
            TooManyVideosError: too many wait.
            OSError: there is no room for the video.
        """
        with self._lock:
            self._remove_closed()
            if sum(video.job.busy for video in self._videos.values()) >= (
                self._max_active
            ):
                raise TooManyVideosError
            retention = _Retention(self._keep_s, self._clock)
            job = VideoAnalysisJob(
                name, content, options, self._load, is_present=retention.is_wanted
            )
            retention.job = job
            video = SubmittedVideo(secrets.token_urlsafe(18), owner, job)
            self._videos[video.video_id] = video
        job.start()
        return video

    def find(self, video_id: str, owner: str) -> SubmittedVideo | None:
        """Return a video of this caller; None if there is none or it was deleted."""
        with self._lock:
            self._remove_closed()
            video = self._videos.get(video_id)
        return video if video is not None and video.owner == owner else None

    def delete(self, video: SubmittedVideo) -> None:
        """Stop the analysis and delete all files."""
        with self._lock:
            self._videos.pop(video.video_id, None)
        video.job.close()

    def close(self) -> None:
        """Delete all videos."""
        with self._lock:
            videos = [*self._videos.values()]
            self._videos.clear()
        for video in videos:
            video.job.close()

    def _remove_closed(self) -> None:
        """Forget the videos whose jobs have deleted themselves."""
        for video_id, video in [*self._videos.items()]:
            if video.job.state == "closed":
                del self._videos[video_id]


class _Retention:
    """Tells a job whether its result is still wanted; the job asks every few seconds.

    Attributes:
        job: the job; set after it is made.
    """

    def __init__(self, keep_s: float, clock: Callable[[], float]) -> None:
        self.job: VideoAnalysisJob | None = None
        self._keep_s, self._clock = keep_s, clock
        self._last_busy_s = clock()

    def is_wanted(self) -> bool:
        """Return whether the analysis goes on or has ended recently."""
        if self.job is None or self.job.busy:
            self._last_busy_s = self._clock()
        return self._clock() - self._last_busy_s < self._keep_s
