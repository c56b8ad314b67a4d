"""Delivery of alerts in a thread, with retries, and the hosts alerts may be sent to.

Visitors of a dashboard enter the URL, and the server sends to it, so remote visitors
could use the server for server-side request forgery (SSRF). Only visitors on the
server's own machine may name any host; for others, `MASKDET_ALERT_HOSTS` lists the
allowed ones.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from maskdet.events.event import Event

logger = logging.getLogger(__name__)

SendAlert = Callable[[Event], None]
"""Function that delivers one alert or raises `DeliveryError`."""

DeliveryState: TypeAlias = Literal["waiting", "sent", "failed", "dropped"]
"""State of one alert on the way to one receiver."""

ALERT_HOSTS_VARIABLE: Final = "MASKDET_ALERT_HOSTS"
"""Variable with the hosts, separated by commas, to which alerts of every visitor may be
sent; `*` allows all."""


MAX_ATTEMPTS: Final = 12
INITIAL_DELAY_S: Final = 1.0
MAX_DELAY_S: Final = 60.0
"""Retries: the pause doubles after each attempt, up to the longest one; all take 3 to 6
minutes."""

CAPACITY: Final = 100
"""Maximum number of queued alerts; further ones are dropped and counted."""


class DeliveryError(RuntimeError):
    """An alert could not be delivered; the message is one line with the reason.

    Attributes:
        retryable: whether a retry can succeed.
        retry_after_s: pause that the receiver asked for, in seconds.
    """

    def __init__(
        self, message: str, *, retryable: bool = True, retry_after_s: float = 0.0
    ) -> None:
        """Store the message, and whether and when to retry."""
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


def compute_delay_s(n_attempts: int, retry_after_s: float = 0.0) -> float:
    """Return the pause after `n_attempts`, with jitter: 50 to 100 % of it.

    The jitter keeps many senders from retrying at the same time.
    """
    delay_s = min(MAX_DELAY_S, INITIAL_DELAY_S * 2.0 ** (n_attempts - 1))
    return max(min(retry_after_s, MAX_DELAY_S), delay_s * random.uniform(0.5, 1.0))


@dataclass(frozen=True)
class DeliveryStatus:
    """Delivery status of the alerts so far.

    Attributes:
        n_sent: delivered alerts.
        n_waiting: queued alerts.
        n_failed: alerts that failed after all retries.
        n_dropped: alerts lost because the queue was full.
        problem: last failure, in one line; empty after a success.
    """

    n_sent: int = 0
    n_waiting: int = 0
    n_failed: int = 0
    n_dropped: int = 0
    problem: str = ""


class DeliveryQueue:
    """Queue that delivers alerts to one receiver, in order, from a separate thread.

    Each receiver has its own queue, so that a slow one does not delay the others.
    """

    def __init__(
        self,
        send: SendAlert,
        report: Callable[[Event, DeliveryState], None] = lambda alert, state: None,
    ) -> None:
        """Create an empty queue.

        Args:
            send: delivers one alert.
            report: called with each new state of an alert, from any thread.
        """
        self._send, self._report = send, report
        self._queue: queue.Queue[Event] = queue.Queue(CAPACITY)
        self._lock = threading.Lock()
        self._status = DeliveryStatus()
        self._stop_requested = threading.Event()
        self._running = False

    def put(self, alerts: Iterable[Event]) -> None:
        """Queue alerts for delivery; does not block."""
        for alert in alerts:
            if self._stop_requested.is_set():
                self._report(alert, "dropped")
                continue
            self._report(alert, "waiting")
            try:
                self._queue.put_nowait(alert)
                self._update_status(n_waiting=1)
            except queue.Full:
                self._update_status(n_dropped=1)
                self._report(alert, "dropped")
        self._start_thread()

    def status(self) -> DeliveryStatus:
        """Return the current delivery status."""
        with self._lock:
            return self._status

    def close(self) -> None:
        """Stop the thread without sending the queued alerts; does not block."""
        self._stop_requested.set()

    def _start_thread(self) -> None:
        """Start the thread unless it runs.

        It ends when the queue is empty, as nothing reports that a visitor left.
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
        while not self._queue.empty():
            self._report(self._queue.get(), "dropped")

    def _deliver(self, alert: Event) -> None:
        for n_attempts in range(1, MAX_ATTEMPTS + 1):
            error = self._try_send(alert)
            if error is None:
                self._update_status(n_sent=1, n_waiting=-1, problem="")
                self._report(alert, "sent")
                return
            if not error.retryable:
                break
            self._update_status(problem=str(error))
            delay_s = compute_delay_s(n_attempts, error.retry_after_s)
            if n_attempts < MAX_ATTEMPTS and self._stop_requested.wait(delay_s):
                self._report(alert, "dropped")
                return
        self._update_status(n_failed=1, n_waiting=-1, problem=str(error))
        self._report(alert, "failed")
        logger.error("an alert was not delivered: %s", error)

    def _try_send(self, alert: Event) -> DeliveryError | None:
        try:
            self._send(alert)
        except DeliveryError as error:
            return error
        except Exception as error:  # a bug must not end the thread
            logger.exception("an alert was not delivered")
            return DeliveryError(
                f"not delivered: {type(error).__name__}", retryable=False
            )
        return None

    def _update_status(self, problem: str | None = None, **increments: int) -> None:
        """Change the problem of the status, and add to its numbers."""
        with self._lock:
            status = self._status
            numbers = {
                name: getattr(status, name) + increment
                for name, increment in increments.items()
            }
            if problem is None:
                problem = status.problem
            self._status = replace(status, problem=problem, **numbers)


def describe_host_rejection(
    host: str, *, is_local: bool, environment: Mapping[str, str] = os.environ
) -> str:
    """Return why alerts must not be sent to a host, in one line; empty if they may.

    Args:
        host: host name or IP address of a URL.
        is_local: whether the visitor has the rights of the server's own machine.
        environment: environment variables, with `ALERT_HOSTS_VARIABLE`.
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
        "this server does not send alerts of remote visitors to this host; its "
        f"operator can allow hosts in {ALERT_HOSTS_VARIABLE}"
    )
