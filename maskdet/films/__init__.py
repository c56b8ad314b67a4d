"""Whole films: looked at from the first picture to the last, drawn on and counted."""

from __future__ import annotations

from maskdet.films.happened import MAX_EVENTS, SceneObserver
from maskdet.films.looking_back import read_scene_at
from maskdet.films.people import Person
from maskdet.films.report import VideoReport, reports_to_json
from maskdet.films.rows import (
    VIDEO_COLUMNS,
    EventCsvFile,
    EventCsvWriter,
    VideoCsvFile,
    VideoCsvWriter,
)
from maskdet.films.running import VideoOutputs, VideoProgress, run_video_analysis
from maskdet.films.timeline import TimelineBin
from maskdet.films.unwritten import OutputError

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
]
