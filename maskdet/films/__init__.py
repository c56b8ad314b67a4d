"""Whole films: looked at from the first picture to the last, drawn on and counted."""

from __future__ import annotations

from maskdet.films.happened import MOST_EVENTS, Witness
from maskdet.films.looking_back import scene_at
from maskdet.films.people import Person
from maskdet.films.report import VideoReport, to_json
from maskdet.films.rows import COLUMNS, EventFile, EventRows, RowFile, Rows
from maskdet.films.running import Progress, Wanted, analyze_film
from maskdet.films.timeline import TimelineBin
from maskdet.films.unwritten import Unwritten

__all__ = [
    "COLUMNS",
    "MOST_EVENTS",
    "EventFile",
    "EventRows",
    "Person",
    "Progress",
    "RowFile",
    "Rows",
    "TimelineBin",
    "Unwritten",
    "VideoReport",
    "Wanted",
    "Witness",
    "analyze_film",
    "scene_at",
    "to_json",
]
