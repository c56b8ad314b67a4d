"""Sending alerts on a thread: tried again, later and later, then given up.

Which machines a dashboard may send alerts to.

A visitor gives the address, but the server sends to it: a visitor from elsewhere could
make it knock at doors of its own network. So only visitors on the server's own machine
may name any host; for all others, whoever runs the server lists what is allowed.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from maskdet.events.event import Event

logger = logging.getLogger(__name__)

SendAlert = Callable[[Event], None]
"""Delivers one alert, or raises `DeliveryError`."""


class DeliveryError(RuntimeError):
    """An alert could not be delivered; the message is one line on why.

    Attributes:
        retryable: whether it makes sense to try again.
        retry_after_s: how long the other side asked to be left alone, in seconds.
    """

    def __init__(
        self, message: str, *, retryable: bool = True, retry_after_s: float = 0.0
    ) -> None:
        """Say why, and whether it makes sense to try again."""
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how late an alert is tried again; as it is, for 3 to 6 minutes.

    Attributes:
        max_attempts: in all.
        initial_delay_s: the pause after the first try; each later one is twice as long.
        max_delay_s: no pause is longer.
    """

    max_attempts: int = 12
    initial_delay_s: float = 1.0
    max_delay_s: float = 60.0

    def compute_delay_s(self, n_attempts: int, retry_after_s: float = 0.0) -> float:
        """Return the pause after so many tries, between half of it and all of it.

        Chance keeps many senders from coming back at the same moment.
        """
        delay_s = min(self.max_delay_s, self.initial_delay_s * 2.0 ** (n_attempts - 1))
        return max(
            min(retry_after_s, self.max_delay_s), delay_s * random.uniform(0.5, 1.0)
        )


@dataclass(frozen=True)
class DeliveryStatus:
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


class DeliveryQueue:
    """Delivers alerts to one receiver, one after the other, from a thread of its own.

    Each receiver has one: who is slow, or away, holds up nobody else.
    """

    def __init__(
        self,
        send: SendAlert,
        *,
        retry_policy: RetryPolicy | None = None,
        capacity: int = 100,
    ) -> None:
        """Start with nothing to send.

        Args:
            send: delivers one alert.
            retry_policy: how often and how late it is tried again.
            capacity: alerts that wait at most; more are dropped and counted.
        """
        self._send = send
        self._retry_policy = retry_policy or RetryPolicy()
        self._queue: queue.Queue[Event] = queue.Queue(capacity)
        self._lock = threading.Lock()
        self._status = DeliveryStatus()
        self._stop_requested = threading.Event()
        self._running = False

    def put(self, alerts: Iterable[Event]) -> None:
        """Take alerts to be sent; returns at once, whatever the network does."""
        for alert in alerts:
            try:
                self._queue.put_nowait(alert)
                self._update_status(n_waiting=1)
            except queue.Full:
                self._update_status(n_dropped=1)
        self._start_thread()

    def status(self) -> DeliveryStatus:
        """Return what became of the alerts so far."""
        with self._lock:
            return self._status

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing waits; return whether nothing does."""
        deadline_s = time.monotonic() + timeout_s
        while self.status().n_waiting and time.monotonic() < deadline_s:
            time.sleep(0.01)
        return not self.status().n_waiting

    def close(self) -> None:
        """End the thread; what still waits is not sent. Returns at once."""
        self._stop_requested.set()

    def _start_thread(self) -> None:
        """Start the thread unless it runs.

        It ends when nothing waits: nobody says when a visitor is gone.
        """
        with self._lock:
            if self._running or self._queue.empty():
                return
            self._running = True
        threading.Thread(target=self._run, name="maskdet-outbox", daemon=True).start()

    def _run(self) -> None:
        while not self._stop_requested.is_set():
            with self._lock:
                if self._queue.empty():
                    self._running = False
                    return
            self._deliver(self._queue.get())

    def _deliver(self, alert: Event) -> None:
        for n_attempts in range(1, self._retry_policy.max_attempts + 1):
            error = self._try_send(alert)
            if error is None:
                self._update_status(n_sent=1, n_waiting=-1, problem="")
                return
            if not error.retryable:
                break
            self._update_status(problem=str(error))
            delay_s = self._retry_policy.compute_delay_s(
                n_attempts, error.retry_after_s
            )
            if (
                n_attempts < self._retry_policy.max_attempts
                and self._stop_requested.wait(delay_s)
            ):
                return
        self._update_status(n_failed=1, n_waiting=-1, problem=str(error))
        logger.error("an alert was not delivered: %s", error)

    def _try_send(self, alert: Event) -> DeliveryError | None:
        try:
            self._send(alert)
        except DeliveryError as error:
            return error
        except Exception as error:  # a fault of ours must not end the thread
            logger.exception("an alert was not delivered")
            return DeliveryError(
                f"not delivered: {type(error).__name__}", retryable=False
            )
        return None

    def _update_status(
        self,
        *,
        n_sent: int = 0,
        n_waiting: int = 0,
        n_failed: int = 0,
        n_dropped: int = 0,
        problem: str | None = None,
    ) -> None:
        with self._lock:
            status = self._status
            self._status = DeliveryStatus(
                status.n_sent + n_sent,
                status.n_waiting + n_waiting,
                status.n_failed + n_failed,
                status.n_dropped + n_dropped,
                status.problem if problem is None else problem,
            )


ALERT_HOSTS_VARIABLE: Final = "MASKDET_ALERT_HOSTS"
"""Host names, separated by commas, that every visitor may have alerts sent to; `*`
allows all."""


def describe_host_rejection(
    host: str, *, is_local: bool, environment: Mapping[str, str] = os.environ
) -> str:
    """Return why alerts may not be sent to a host, in one line; empty if they may.

    Args:
        host: a name or number, as an address has it.
        is_local: whether the visitor may do what only the server's own machine may.
        environment: may list hosts under `ALERT_HOSTS_VARIABLE`.
    """
    names = environment.get(ALERT_HOSTS_VARIABLE, "").split(",")
    allowed_hosts = {name.strip().lower().removesuffix(".") for name in names} - {""}
    if (
        is_local
        or "*" in allowed_hosts
        or host.lower().removesuffix(".") in allowed_hosts
    ):
        return ""
    return (
        "this server sends to no such host for visitors from elsewhere; whoever runs "
        f"it can allow hosts in {ALERT_HOSTS_VARIABLE}"
    )
