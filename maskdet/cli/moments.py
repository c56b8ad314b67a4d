"""Moments as people type them: a date, a time of day, or so long ago."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

_AGO: Final = re.compile(r"(\d{1,6})\s*([hd])")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def _now() -> datetime:
    return datetime.now().astimezone()


def parse_time(
    text: str, *, whole_day: bool = False, clock: Callable[[], datetime] = _now
) -> datetime:
    """Return the moment that a text names, with its time zone.

    Args:
        text: `2026-11-21`, `2026-11-21T10:30`, the same with a zone such as `Z` or
            `+01:00` (else it is local time), or how long ago: `36h`, `7d`.
        whole_day: a date alone is the end of that day, not its beginning.
        clock: tells the time; tests bring their own.

    Raises:
        ValueError: it names none.
    """
    stripped = text.strip()
    ago_match = _AGO.fullmatch(stripped)
    try:
        if ago_match is not None:
            n_hours = int(ago_match[1]) * (24 if ago_match[2] == "d" else 1)
            return clock() - timedelta(hours=n_hours)
        parsed = datetime.fromisoformat(stripped)
        if whole_day and _DATE.fullmatch(stripped):
            parsed += timedelta(days=1)
        return parsed if parsed.tzinfo is not None else parsed.astimezone()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"a time looks like 2026-11-21, 2026-11-21T10:30, 36h or 7d, not {text!r}"
        ) from None
