"""`EventWriter`: writes events in a thread, so that frames never wait for a disk."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

from maskdet.events.database import StoreError
from maskdet.events.event import Event
from maskdet.events.store import EventStore

logger = logging.getLogger(__name__)

CAPACITY = 2000
"""Maximum number of queued events; further ones are dropped and counted."""

RETRY_S = 5.0
"""Pause before a retry after a database error, in seconds."""

_MAX_BATCH_REJECTIONS = 3
"""After so many rejections, a batch is written event by event."""

_BATCH_SIZE = 200
_DAY_S = 86_400.0


@dataclass(frozen=True)
class WriterStatus:
    """Status of a writer.

    Attributes:
        n_written: events written to the database.
        n_waiting: events in the queue.
        n_dropped: events lost because the queue was full or the database rejected them.
        problem: why the database cannot be used now, in one line; empty if it can.
    """

    n_written: int = 0
    n_waiting: int = 0
    n_dropped: int = 0
    problem: str = ""


class EventWriter:
    """Thread that writes events and deletes those that are too old.

    While the database cannot be used, events are queued. Events are dropped and counted
    if the queue is full or if the database rejects them.
    """

    def __init__(self, store: EventStore, *, retention_days: int) -> None:
        """Start the thread.

        Args:
            store: database to write to.
            retention_days: older events are deleted at the start and once a day.
        """
        self.retention_days = retention_days
        self._store = store
        self._queue: queue.Queue[Event] = queue.Queue(CAPACITY)
        self._lock = threading.Lock()
        self._n_written = self._n_dropped = self._n_pending = 0
        self._n_rejections = 0  # consecutive rejections of the current batch
        self._problem = ""
        self._stop_requested = threading.Event()
        self._last_cleanup_s: float | None = None
        self._thread = threading.Thread(
            target=self._run, name="maskdet-events", daemon=True
        )
        self._thread.start()

    @property
    def location(self) -> str:
        """Location of the database, without a password."""
        return self._store.location

    def put(self, events: Iterable[Event]) -> None:
        """Queue events for writing; does not block."""
        for event in events:
            with self._lock:
                try:
                    self._queue.put_nowait(event)
                    self._n_pending += 1
                except queue.Full:
                    self._n_dropped += 1

    def status(self) -> WriterStatus:
        """Return the current status."""
        with self._lock:
            return WriterStatus(
                self._n_written, self._n_pending, self._n_dropped, self._problem
            )

    def close(self, timeout_s: float = 2.0) -> None:
        """Try to write the queued events, and end the thread."""
        self._stop_requested.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        batch: list[Event] = []
        while not (self._stop_requested.is_set() and not batch and self._queue.empty()):
            batch = batch or self._next_batch()
            if self._try_write(batch):
                batch = []
            elif self._n_rejections >= _MAX_BATCH_REJECTIONS:
                batch = self._write_individually(batch)
            elif self._stop_requested.wait(RETRY_S):
                return

    def _next_batch(self) -> list[Event]:
        try:
            batch = [self._queue.get(timeout=0.2)]
        except queue.Empty:
            return []
        while len(batch) < _BATCH_SIZE and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    def _try_write(self, batch: list[Event]) -> bool:
        """Write a batch and delete expired events; return whether it succeeded."""
        try:
            self._delete_expired()
            self._store.add(batch)
        except StoreError as error:
            self._n_rejections = self._n_rejections + 1 if error.rejected else 0
            self._set_problem(str(error))
            return False
        except Exception as error:  # a bug must not end the thread
            self._n_rejections += 1
            logger.exception("events were not written")
            self._set_problem(f"events were not written: {type(error).__name__}")
            return False
        self._n_rejections = 0
        with self._lock:
            self._problem = ""
            self._n_written += len(batch)
            self._n_pending -= len(batch)
        return True

    def _write_individually(self, batch: list[Event]) -> list[Event]:
        """Write events one by one, drop rejected ones, and return the remaining ones.

        Events remain only if the database can no longer be used.
        """
        self._n_rejections = 0
        for index, event in enumerate(batch):
            if self._try_write([event]):
                continue
            if not self._n_rejections:
                return batch[index:]
            self._n_rejections = 0
            logger.error("an event (%s) was dropped", event.kind)
            with self._lock:
                self._n_dropped += 1
                self._n_pending -= 1
        return []

    def _delete_expired(self) -> None:
        """Delete events past the retention period, at the start and once a day."""
        now_s = monotonic()
        if self._last_cleanup_s is not None and now_s - self._last_cleanup_s < _DAY_S:
            return
        self._store.delete(datetime.now(UTC) - timedelta(days=self.retention_days))
        self._last_cleanup_s = now_s

    def _set_problem(self, problem: str) -> None:
        with self._lock:
            is_new = problem != self._problem
            self._problem = problem
        if is_new:
            logger.error("%s", problem)
