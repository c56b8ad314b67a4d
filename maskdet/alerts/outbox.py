"""Sending alerts on a thread: tried again, later and later, then given up."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from maskdet.events.event import Event

logger = logging.getLogger(__name__)

Send = Callable[[Event], None]
"""Delivers one alert, or raises `DeliveryError`."""


class DeliveryError(RuntimeError):
    """An alert could not be delivered; the message is one line on why.

    Attributes:
        again: whether it makes sense to try again.
        wait_s: how long the other side asked to be left alone, in seconds.
    """

    def __init__(self, line: str, *, again: bool = True, wait_s: float = 0.0) -> None:
        """Say why, and whether it makes sense to try again."""
        super().__init__(line)
        self.again = again
        self.wait_s = wait_s


@dataclass(frozen=True)
class Patience:
    """How often and how late an alert is tried again; as it is, for 3 to 6 minutes.

    Attributes:
        tries: in all.
        first_s: the pause after the first try; each later one is twice as long.
        longest_s: no pause is longer.
    """

    tries: int = 12
    first_s: float = 1.0
    longest_s: float = 60.0

    def pause_s(self, n_tried: int, asked_s: float = 0.0) -> float:
        """Return the pause after so many tries, between half of it and all of it.

        Chance keeps many senders from coming back at the same moment.
        """
        whole_s = min(self.longest_s, self.first_s * 2.0 ** (n_tried - 1))
        return max(min(asked_s, self.longest_s), whole_s * random.uniform(0.5, 1.0))


@dataclass(frozen=True)
class OutboxStatus:
    """What became of the alerts so far.

    Attributes:
        n_sent: delivered.
        n_waiting: not yet.
        n_failed: given up after the last try.
        n_dropped: lost because too many waited.
        problem: one line on the last failure; empty after a success.
    """

    n_sent: int = 0
    n_waiting: int = 0
    n_failed: int = 0
    n_dropped: int = 0
    problem: str = ""


class Outbox:
    """Delivers alerts to one receiver, one after the other, from a thread of its own.

    Each receiver has one: who is slow, or away, holds up nobody else.
    """

    def __init__(
        self, send: Send, *, patience: Patience | None = None, capacity: int = 100
    ) -> None:
        """Start with nothing to send.

        Args:
            send: delivers one alert.
            patience: how often and how late it is tried again.
            capacity: alerts that wait at most; more are dropped and counted.
        """
        self._send = send
        self._patience = patience or Patience()
        self._queue: queue.Queue[Event] = queue.Queue(capacity)
        self._lock = threading.Lock()
        self._status = OutboxStatus()
        self._ending = threading.Event()
        self._running = False

    def put(self, alerts: Iterable[Event]) -> None:
        """Take alerts to be sent; returns at once, whatever the network does."""
        for alert in alerts:
            try:
                self._queue.put_nowait(alert)
                self._count(n_waiting=1)
            except queue.Full:
                self._count(n_dropped=1)
        self._wake()

    def status(self) -> OutboxStatus:
        """Return what became of the alerts so far."""
        with self._lock:
            return self._status

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing waits; return whether nothing does."""
        until_s = time.monotonic() + timeout_s
        while self.status().n_waiting and time.monotonic() < until_s:
            time.sleep(0.01)
        return not self.status().n_waiting

    def close(self) -> None:
        """End the thread; what still waits is not sent. Returns at once."""
        self._ending.set()

    def _wake(self) -> None:
        """Start the thread unless it runs.

        It ends when nothing waits: nobody says when a visitor is gone.
        """
        with self._lock:
            if self._running or self._queue.empty():
                return
            self._running = True
        threading.Thread(target=self._run, name="maskdet-outbox", daemon=True).start()

    def _run(self) -> None:
        while not self._ending.is_set():
            with self._lock:
                if self._queue.empty():
                    self._running = False
                    return
            self._deliver(self._queue.get())

    def _deliver(self, alert: Event) -> None:
        for n_tried in range(1, self._patience.tries + 1):
            error = self._try(alert)
            if error is None:
                self._count(n_sent=1, n_waiting=-1, problem="")
                return
            if not error.again:
                break
            self._count(problem=str(error))
            pause_s = self._patience.pause_s(n_tried, error.wait_s)
            if n_tried < self._patience.tries and self._ending.wait(pause_s):
                return
        self._count(n_failed=1, n_waiting=-1, problem=str(error))
        logger.error("an alert was not delivered: %s", error)

    def _try(self, alert: Event) -> DeliveryError | None:
        try:
            self._send(alert)
        except DeliveryError as error:
            return error
        except Exception as error:  # a fault of ours must not end the thread
            logger.exception("an alert was not delivered")
            return DeliveryError(f"not delivered: {type(error).__name__}", again=False)
        return None

    def _count(
        self,
        *,
        n_sent: int = 0,
        n_waiting: int = 0,
        n_failed: int = 0,
        n_dropped: int = 0,
        problem: str | None = None,
    ) -> None:
        with self._lock:
            now = self._status
            self._status = OutboxStatus(
                now.n_sent + n_sent,
                now.n_waiting + n_waiting,
                now.n_failed + n_failed,
                now.n_dropped + n_dropped,
                now.problem if problem is None else problem,
            )
