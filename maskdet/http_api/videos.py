"""Analyses of videos: submitted, asked for, stopped and deleted by ID."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from maskdet.analyzers.pipelines import Analyzer
from maskdet.http_api.config import ApiConfig, ServerBusyError
from maskdet.serving.video_job import VideoAnalysisJob, VideoOptions

_RETRY_AFTER_S: Final = 30
"""After this time another video may be sent if too many wait."""


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
        self, load: Callable[[VideoOptions], Analyzer], config: ApiConfig
    ) -> None:
        """Start without videos.

        Args:
            load: loads an analyzer for the options; called in the thread of a job.
            config: how many videos there may be, and how long results are kept.
        """
        self._load, self._config = load, config
        self._lock = threading.Lock()
        self._videos: dict[str, SubmittedVideo] = {}
        self._n_reserved = 0

    @property
    def n_active(self) -> int:
        """Number of videos that are received, wait or are analyzed."""
        with self._lock:
            return self._count_active()

    @contextmanager
    def reserve(self, owner: str) -> Iterator[None]:
        """Reserve a place for a video that is received and submitted in the context.

        Raises:
            ServerBusyError: too many wait, or so many results are kept for others that
                there is no room even without those of this caller.
        """
        with self._lock:
            self._remove_closed()
            if self._count_active() >= self._config.max_video_jobs:
                raise _make_busy_error("wait")
            n_kept_for_others = len(self._videos) - len(self._list_ended(owner))
            if n_kept_for_others + self._n_reserved >= self._config.max_videos:
                raise _make_busy_error("are kept")
            self._n_reserved += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_reserved -= 1

    def submit(
        self, name: str, content: bytes, options: VideoOptions, owner: str
    ) -> SubmittedVideo:
        """Start the analysis of a video; `reserve` comes first.

        If as many are kept as may be, the oldest result of this caller is deleted.

        Raises:
            OSError: there is no room for the video.
        """
        job = VideoAnalysisJob(
            name, content, options, self._load, keep_s=self._config.keep_results_s
        )
        video = SubmittedVideo(secrets.token_urlsafe(18), owner, job)
        with self._lock:
            is_full = len(self._videos) >= self._config.max_videos
            ended = self._list_ended(owner)[: int(is_full)]
            self._videos[video.video_id] = video
            job.start()
        for oldest in ended:
            self.delete(oldest)
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

    def _list_ended(self, owner: str) -> list[SubmittedVideo]:
        """Return the videos of a caller whose analysis has ended, oldest first."""
        return [
            video
            for video in self._videos.values()
            if video.owner == owner and not video.job.busy
        ]

    def _count_active(self) -> int:
        n_busy = sum(video.job.busy for video in self._videos.values())
        return n_busy + self._n_reserved


def _make_busy_error(what_videos_do: str) -> ServerBusyError:
    return ServerBusyError(
        f"too many videos {what_videos_do}; try again in {_RETRY_AFTER_S} s",
        _RETRY_AFTER_S,
    )
