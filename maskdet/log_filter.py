"""`RepeatedFailureFilter`: keeps a failure in every frame from filling the log."""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary


class RepeatedFailureFilter(logging.Filter):
    """Passes failures 1, 10, 100 and so on of each source, with their number.

    A stream can fail 30 times a second. A record names its source, a hashable object
    that can be weakly referenced, in `extra`:

        logger.addFilter(RepeatedFailureFilter())
        logger.exception("the frame failed", extra={"source": stream})

    Records without a source pass unchanged.
    """

    def __init__(self) -> None:
        """Start without failures."""
        super().__init__()
        self._counts: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    def filter(self, record: logging.LogRecord) -> bool:
        """Count the failure; return whether its number is a power of ten."""
        source = getattr(record, "source", None)
        if source is None:
            return True
        n_failed = self._counts[source] = self._counts.get(source, 0) + 1
        record.msg = f"{record.msg} ({n_failed} so far)"
        return str(n_failed).strip("0") == "1"
