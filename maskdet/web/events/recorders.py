"""Recorders: what is recorded and alerted of a visitor's streams, on the server.

A reload of the page starts a new session. So the recorder of a visitor is kept by the
tab ID, a secret of the browser's tab that survives the reload.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from types import MappingProxyType
from typing import Final

from maskdet.alerts.monitor import AlertConfig, AlertMonitor

DEFAULT_CAMERA: Final = "Camera"

KEEP_TAB_S: Final = 3600.0
"""How long a recorder is kept after its tab was closed, in seconds: a computer that
wakes up from sleep finds it again."""

MAX_TABS: Final = 1000


@dataclass(frozen=True)
class EventPreferences:
    """Choices on the Events page; by default nothing is recorded or sent.

    Attributes:
        record: write events to the database.
        camera: name of this visitor's camera in the events.
        alert_config: alert rules and receivers.
        toast: show new alerts on the page.
        sound: play a sound for them.
    """

    record: bool = False
    camera: str = DEFAULT_CAMERA
    alert_config: AlertConfig = field(default_factory=AlertConfig)
    toast: bool = True
    sound: bool = False


@dataclass(eq=False)
class Recorder:
    """Event preferences, and the monitor of the streams that follow them.

    Attributes:
        preferences: the current preferences.
        form: the value of each setting on the Events page, by its name.
        monitor: records events and raises alerts.
    """

    preferences: EventPreferences = field(default_factory=EventPreferences)
    form: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    monitor: AlertMonitor = field(default_factory=AlertMonitor)

    def close(self) -> None:
        """Record, raise and send nothing more."""
        self.monitor.configure(AlertConfig(), None)


@dataclass(eq=False)
class _Tab:
    """A recorder, the sessions of its tab, and since when none of them is active."""

    recorder: Recorder
    session_ids: set[str] = field(default_factory=set)
    inactive_since_s: float | None = None


class RecorderRegistry:
    """The recorders of all tabs; thread-safe."""

    def __init__(
        self,
        is_active: Callable[[str], bool],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Create an empty registry.

        Args:
            is_active: whether the browser of a session is still connected.
            clock: monotonic time in seconds.
        """
        self._is_active, self._clock = is_active, clock
        self._lock = threading.Lock()
        self._tabs: dict[str, _Tab] = {}  # the last attached one last

    def __len__(self) -> int:
        """Return the number of tabs."""
        return len(self._tabs)

    def attach(self, tab_id: str, session_id: str, new: Recorder) -> Recorder:
        """Return the recorder of a tab, which a session uses from now on.

        Args:
            tab_id: secret ID of the tab.
            session_id: the session.
            new: recorder to use if the tab has none.
        """
        with self._lock:
            tab = self._tabs.pop(tab_id, None) or _Tab(new)
            self._tabs[tab_id] = tab
            tab.session_ids.add(session_id)
            tab.inactive_since_s = None
            closed = self._remove_closed_tabs()
        for recorder in closed:
            recorder.close()
        return tab.recorder

    def _remove_closed_tabs(self) -> list[Recorder]:
        """Remove tabs without a session, and return their recorders."""
        now_s = self._clock()
        for tab in self._tabs.values():
            tab.session_ids = {*filter(self._is_active, tab.session_ids)}
            if tab.session_ids:
                tab.inactive_since_s = None
            elif tab.inactive_since_s is None:
                tab.inactive_since_s = now_s
        inactive = {
            tab_id: tab.inactive_since_s
            for tab_id, tab in self._tabs.items()
            if tab.inactive_since_s is not None
        }
        n_over = len(self._tabs) - MAX_TABS
        longest_first = sorted(inactive, key=inactive.__getitem__)
        removed = [
            tab_id
            for number, tab_id in enumerate(longest_first)
            if number < n_over or now_s - inactive[tab_id] > KEEP_TAB_S
        ]
        return [self._tabs.pop(tab_id).recorder for tab_id in removed]
