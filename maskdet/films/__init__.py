"""Whole films: looked at from the first picture to the last, drawn on and counted."""

from __future__ import annotations

from maskdet.films.contacts import Contact
from maskdet.films.happened import MOST_EVENTS, Witness
from maskdet.films.looking_back import Snapshot, snapshot_at
from maskdet.films.people import Person
from maskdet.films.report import FilmReport, to_json
from maskdet.films.rows import COLUMNS, EventFile, EventRows, RowFile, Rows
from maskdet.films.running import Progress, Wanted, analyze_film
from maskdet.films.timeline import Moment
from maskdet.films.unwritten import Unwritten

__all__ = [
    "COLUMNS",
    "MOST_EVENTS",
    "Contact",
    "EventFile",
    "EventRows",
    "FilmReport",
    "Moment",
    "Person",
    "Progress",
    "RowFile",
    "Rows",
    "Snapshot",
    "Unwritten",
    "Wanted",
    "Witness",
    "analyze_film",
    "snapshot_at",
    "to_json",
]
