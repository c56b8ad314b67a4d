"""Limit on the number of visitors with live video at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Final

from maskdet.threads import count_cores
from maskdet.validation import parse_whole_number

MAX_VIEWERS_VARIABLE: Final = "MASKDET_MAX_VIEWERS"
"""Environment variable with the maximum number of concurrent live viewers."""

_VIEWERS_PER_CORE: Final = 4
_MAX_DEFAULT_VIEWERS: Final = 16


def get_max_viewers(
    environment: Mapping[str, str] = os.environ, *, n_cores: int | None = None
) -> int:
    """Return the maximum number of visitors with live video at a time.

    The default is 4 per core: 8 viewers on two cores had 3 analyzed frames per second
    each, 4 had 10 (`python benchmarks/viewers.py --viewers 4,8`). It is at most 16: the
    Python code of all streams runs on one core at a time.

    Args:
        environment: may set another number in `MASKDET_MAX_VIEWERS`.
        n_cores: cores; by default those that this process may use.

    Raises:
        ValueError: the variable is not a whole number from 1 to 99999.
    """
    text = environment.get(MAX_VIEWERS_VARIABLE, "").strip()
    if not text:
        return min(_MAX_DEFAULT_VIEWERS, _VIEWERS_PER_CORE * (n_cores or count_cores()))
    return parse_whole_number(text, 1, 99_999, name=MAX_VIEWERS_VARIABLE)


class ViewerSlots:
    """Slots of sessions with live video; a disconnected session loses its slot."""

    def __init__(self, is_active: Callable[[str], bool]) -> None:
        """Start with all slots free.

        Args:
            is_active: whether the browser of a session is still connected.
        """
        self._is_active = is_active
        self._lock = threading.Lock()
        self._sessions: set[str] = set()

    def acquire(self, session_id: str, limit: int) -> bool:
        """Give a session a slot if one is free; return whether it has one.

        Args:
            session_id: ID of the session.
            limit: number of slots.
        """
        with self._lock:
            if session_id in self._sessions:
                return True
            if not self._has_free_slot(limit):
                return False
            self._sessions.add(session_id)
            return True

    def has_free_slot(self, limit: int) -> bool:
        """Return whether another session would get a slot."""
        with self._lock:
            return self._has_free_slot(limit)

    def count(self) -> int:
        """Return the number of sessions with live video."""
        with self._lock:
            self._remove_disconnected()
            return len(self._sessions)

    def release(self, session_id: str) -> None:
        """Free the slot of a session, if it has one."""
        with self._lock:
            self._sessions.discard(session_id)

    def _has_free_slot(self, limit: int) -> bool:
        self._remove_disconnected()
        return len(self._sessions) < limit

    def _remove_disconnected(self) -> None:
        self._sessions = set(filter(self._is_active, self._sessions))
