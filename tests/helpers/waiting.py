"""The time limit of tests that wait for other threads, processes and browsers.

The limit only ends a test that would hang, so it is generous. Tests wait for a
condition, not for a fixed time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

WAIT_S: Final = 120.0
WAIT_MS: Final = 1000 * WAIT_S
"""The same limit in milliseconds, for Playwright."""


class _Pending(Protocol):
    """An `EventWriter` or a `DeliveryQueue`."""

    def status(self) -> Any:
        """Return the status, with `n_waiting`."""


def wait_until_empty(pending: _Pending) -> None:
    """Return as soon as no event waits to be written or sent."""
    wait_until(lambda: not pending.status().n_waiting, "an empty queue")


def wait_until(
    condition: Callable[[], object], description: str = "a condition"
) -> None:
    """Return as soon as the condition is true."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {WAIT_S:g} s for {description}"
        time.sleep(0.02)
