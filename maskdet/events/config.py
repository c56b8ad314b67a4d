"""Where events are kept: the address of the database, and how it is shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import platformdirs

EVENTS_URL_VARIABLE: Final = "MASKDET_EVENTS_URL"
"""An SQLAlchemy URL such as `postgresql://user:password@host/name`; or `off`."""

RETENTION_DAYS_VARIABLE: Final = "MASKDET_EVENTS_DAYS"
"""How many days events are kept."""

DEFAULT_RETENTION_DAYS: Final = 30
MAX_RETENTION_DAYS: Final = 3650


def read_events_url(environment: Mapping[str, str] = os.environ) -> str:
    """Return the address of the database; empty where events are switched off.

    Streamlit puts the top level of its secrets into the environment, so a secret of
    the same name does as well as a variable. Without either, it is a file of its own
    in the user's folder for data.
    """
    text = environment.get(EVENTS_URL_VARIABLE, "").strip()
    if text.lower() == "off":
        return ""
    return text or sqlite_url(default_events_file())


def read_retention_days(environment: Mapping[str, str] = os.environ) -> int:
    """Return for how many days events are kept.

    Raises:
        ValueError: the variable is not a whole number of days from 1 to 3650.
    """
    text = environment.get(RETENTION_DAYS_VARIABLE, "").strip() or str(
        DEFAULT_RETENTION_DAYS
    )
    if (
        not text.isascii()
        or not text.isdigit()
        or not 1 <= int(text) <= MAX_RETENTION_DAYS
    ):
        raise ValueError(
            f"{RETENTION_DAYS_VARIABLE} must be a whole number from 1 to "
            f"{MAX_RETENTION_DAYS}, "
            f"not {text!r}"
        )
    return int(text)


def default_events_file() -> Path:
    """Return the file that events go to unless somebody wants another place."""
    folder = platformdirs.user_data_path("maskdet", appauthor=False)
    return folder / "events.sqlite3"


def to_store_url(location: str) -> str:
    """Return the address of a database that a person named: as a file, or an address.

    Args:
        location: the path of an SQLite file, or an SQLAlchemy URL.
    """
    return location if "://" in location else sqlite_url(Path(location).expanduser())


def sqlite_url(file: Path) -> str:
    """Return the SQLAlchemy URL of an SQLite file."""
    # A question mark in a folder's name would begin the options.
    path = quote(str(file.absolute()), safe="/:\\")
    return f"sqlite:///{path}"
