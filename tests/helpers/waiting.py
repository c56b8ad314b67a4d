"""How long tests wait for other threads, processes and browsers: one limit for all.

The limit only ends a test that would hang, so it leaves room for a busy machine. A test
that passes never waits for it: it waits for a condition.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

WAIT_S: Final = 120.0
WAIT_MS: Final = 1000 * WAIT_S
"""The same in the unit of Playwright."""


def wait_until(
    condition: Callable[[], object], description: str = "a condition"
) -> None:
    """Return as soon as the condition is true."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {WAIT_S:g} s for {description}"
        time.sleep(0.02)
