"""How many visitors have live video at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Final

MAX_VIEWERS_VARIABLE: Final = "MASKDET_MAX_VIEWERS"
"""Environment variable with the number of visitors who have live video at a time."""

_MAX_DEFAULT_VIEWERS: Final = 6


def get_max_viewers(
    environment: Mapping[str, str] = os.environ, *, n_cores: int | None = None
) -> int:
    """Return how many visitors may have live video at a time.

    By default 2 for each core, and 6 at most: all streams share one Python process,
    which hardly uses more than one core, so that more cores do not serve more viewers.

    Args:
        environment: may name another number in `MASKDET_MAX_VIEWERS`.
        n_cores: cores of this machine; asked of the system if not given.

    Raises:
        ValueError: the variable is not a whole number from 1 on.
    """
    text = environment.get(MAX_VIEWERS_VARIABLE, "").strip()
    if not text:
        return min(_MAX_DEFAULT_VIEWERS, 2 * (n_cores or os.cpu_count() or 1))
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) > 0):
        raise ValueError(
            f"{MAX_VIEWERS_VARIABLE} is {text[:40]!r}; it must be a whole number from "
            "1 to 99999"
        )
    return int(text)


class ViewerSlots:
    """The sessions that have live video; one whose browser is gone has it no more."""

    def __init__(self, is_active: Callable[[str], bool]) -> None:
        """Start with nobody.

        Args:
            is_active: whether the browser of a session is still connected.
        """
        self._is_active = is_active
        self._lock = threading.Lock()
        self._sessions: set[str] = set()

    def acquire(self, session_id: str, limit: int) -> bool:
        """Return whether a session has a place; one that has none takes one if it can.

        Args:
            session_id: what the session is called.
            limit: how many places there are.
        """
        with self._lock:
            if session_id in self._sessions:
                return True
            if not self._has_free_slot(limit):
                return False
            self._sessions.add(session_id)
            return True

    def has_free_slot(self, limit: int) -> bool:
        """Return whether one more session would get a place."""
        with self._lock:
            return self._has_free_slot(limit)

    def release(self, session_id: str) -> None:
        """Free the place of a session, if it has one."""
        with self._lock:
            self._sessions.discard(session_id)

    def _has_free_slot(self, limit: int) -> bool:
        self._sessions = set(filter(self._is_active, self._sessions))
        return len(self._sessions) < limit
