"""Analysis of whole videos: annotated video, report, timeline, contacts and events."""

from __future__ import annotations

from maskdet.video.analysis import (
    OutputError,
    VideoOutputs,
    VideoProgress,
    run_video_analysis,
)
from maskdet.video.report import VideoReport, reports_to_json, timeline_bin_to_dict
from maskdet.video.rows import (
    VIDEO_COLUMNS,
    VideoCsvFile,
    VideoCsvWriter,
)
from maskdet.video.scene_store import SceneStore

__all__ = [
    "VIDEO_COLUMNS",
    "OutputError",
    "SceneStore",
    "VideoCsvFile",
    "VideoCsvWriter",
    "VideoOutputs",
    "VideoProgress",
    "VideoReport",
    "reports_to_json",
    "run_video_analysis",
    "timeline_bin_to_dict",
]
