"""Events of a video on their way to the store: on a thread, so that no page waits."""

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
"""So many events are written at a time, all or none of them."""

_UNEXPECTED_WRITE_MESSAGE: Final = "something went wrong; the log says what"


class EventRecording:
    """Writes events down, each once, and goes on where it was broken off.

    Attributes:
        n_all: how many events there are.
        n_written: how many of them are in the store.
        busy: whether it is writing.
        problem: one line on why it stopped early; empty while all is well.
    """

    def __init__(self, store: EventStore, events: Sequence[Event]) -> None:
        """Take events; `start` begins."""
        self.n_all, self.n_written = len(events), 0
        self.busy, self.problem = False, ""
        self._store, self._pending = store, list(events)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def n_left(self) -> int:
        """How many events are not in the store yet."""
        return self.n_all - self.n_written

    def start(self) -> None:
        """Write what is left; returns at once, and does nothing while it is busy."""
        with self._lock:
            if self.busy or not self.n_left:
                return
            self.busy, self.problem = True, ""
        name = "maskdet-video-events"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for a while; return whether it has ended."""
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
        except Exception:  # nobody else sees what ends a thread
            logger.exception("events of a video were not written")
            self.problem = _UNEXPECTED_WRITE_MESSAGE
        finally:
            self.busy = False
