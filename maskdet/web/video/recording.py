"""Write the events of a video to the event database, on a background thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from maskdet.events import Event
from maskdet.events.database import StoreError
from maskdet.events.store import EventStore

logger = logging.getLogger(__name__)

WRITE_BATCH_SIZE: Final = 200
"""Number of events per transaction."""

_UNEXPECTED_WRITE_MESSAGE: Final = "unexpected error; see the server log"


class EventRecording:
    """Writes each event once, and can resume after an interruption.

    Attributes:
        n_all: number of events.
        n_written: number of written events.
        busy: whether it is writing.
        problem: one line on why it stopped early, or empty.
    """

    def __init__(self, store: EventStore, events: Sequence[Event]) -> None:
        """Prepare to write events; `start` begins."""
        self.n_all, self.n_written = len(events), 0
        self.busy, self.problem = False, ""
        self._store, self._pending = store, list(events)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def n_left(self) -> int:
        """Number of events that are not written yet."""
        return self.n_all - self.n_written

    def start(self) -> None:
        """Write the remaining events in the background; do nothing while busy."""
        with self._lock:
            if self.busy or not self.n_left:
                return
            self.busy, self.problem = True, ""
        name = "maskdet-video-events"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for at most `timeout_s`; return whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.busy

    def _run(self) -> None:
        try:
            while self._pending:
                batch = self._pending[:WRITE_BATCH_SIZE]
                self._store.add(batch)
                del self._pending[:WRITE_BATCH_SIZE]
                self.n_written += len(batch)
        except StoreError as error:
            self.problem = str(error)
        except Exception:  # otherwise the thread would end without a message
            logger.exception("events of a video could not be written")
            self.problem = _UNEXPECTED_WRITE_MESSAGE
        finally:
            self.busy = False
