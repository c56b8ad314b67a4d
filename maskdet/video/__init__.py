"""Analysis of whole videos: annotated video, report, timeline, contacts and events."""

from __future__ import annotations

from maskdet.video.analysis import (
    MAX_EVENTS,
    OutputError,
    SceneObserver,
    VideoOutputs,
    VideoProgress,
    run_video_analysis,
)
from maskdet.video.report import VideoReport, reports_to_json, timeline_bin_to_dict
from maskdet.video.rows import (
    VIDEO_COLUMNS,
    EventCsvFile,
    EventCsvWriter,
    VideoCsvFile,
    VideoCsvWriter,
    read_scene_at,
)
from maskdet.video.summary import Person, TimelineBin

__all__ = [
    "MAX_EVENTS",
    "VIDEO_COLUMNS",
    "EventCsvFile",
    "EventCsvWriter",
    "OutputError",
    "Person",
    "SceneObserver",
    "TimelineBin",
    "VideoCsvFile",
    "VideoCsvWriter",
    "VideoOutputs",
    "VideoProgress",
    "VideoReport",
    "read_scene_at",
    "reports_to_json",
    "run_video_analysis",
    "timeline_bin_to_dict",
]
