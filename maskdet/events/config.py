"""Configuration of the events database: its URL and the retention period."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import platformdirs

from maskdet.validation import parse_whole_number

EVENTS_URL_VARIABLE: Final = "MASKDET_EVENTS_URL"
"""Variable with an SQLAlchemy URL such as `postgresql://user:password@host/name`, or
`off`."""

RETENTION_DAYS_VARIABLE: Final = "MASKDET_EVENTS_DAYS"
"""Variable with the number of days for which events are kept."""

DEFAULT_RETENTION_DAYS: Final = 30
MAX_RETENTION_DAYS: Final = 3650


def read_events_url(environment: Mapping[str, str] = os.environ) -> str:
    """Return the URL of the database; empty if recording is switched off.

    Streamlit puts the top level of its secrets into the environment, so a secret of
    the same name works as well as a variable. The default is an SQLite file in the
    user's data folder.
    """
    text = environment.get(EVENTS_URL_VARIABLE, "").strip()
    if text.lower() == "off":
        return ""
    folder = platformdirs.user_data_path("maskdet", appauthor=False)
    return text or sqlite_url(folder / "events.sqlite3")


def read_retention_days(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of days for which events are kept.

    Raises:
        ValueError: the variable is not a whole number of days from 1 to 3650.
    """
    text = environment.get(RETENTION_DAYS_VARIABLE, "").strip() or str(
        DEFAULT_RETENTION_DAYS
    )
    return parse_whole_number(text, 1, MAX_RETENTION_DAYS, name=RETENTION_DAYS_VARIABLE)


def to_store_url(location: str) -> str:
    """Return the URL of a database given as a path or as a URL.

    Args:
        location: path of an SQLite file, or an SQLAlchemy URL.
    """
    return location if "://" in location else sqlite_url(Path(location).expanduser())


def sqlite_url(file: Path) -> str:
    """Return the SQLAlchemy URL of an SQLite file."""
    # A question mark in a folder name would start the query part of the URL.
    path = quote(str(file.absolute()), safe="/:\\")
    return f"sqlite:///{path}"
