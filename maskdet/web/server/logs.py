"""Log of the dashboard, as text or with one JSON object in each line."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

LOG_FORMAT_VARIABLE: Final = "MASKDET_LOG_FORMAT"
"""`text` or `json`."""

_FORMATS: Final = ("text", "json")

_STANDARD_FIELDS: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, with the fields of its `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {
            name: value
            for name, value in vars(record).items()
            # Ray adds a field to the records of the whole process.
            if name not in _STANDARD_FIELDS
            and not name.startswith("_")
            and isinstance(value, str | int | float | bool)
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def read_log_format(environment: Mapping[str, str]) -> str:
    """Return the format of the log.

    Raises:
        ValueError: it is unknown; the message is one line.
    """
    name = environment.get(LOG_FORMAT_VARIABLE, "").strip().lower() or "text"
    if name not in _FORMATS:
        raise ValueError(
            f"{LOG_FORMAT_VARIABLE} is {name!r}; accepted are {' and '.join(_FORMATS)}"
        )
    return name


def configure_logging(environment: Mapping[str, str]) -> None:
    """Log warnings to standard error, and logins; may be called more than once.

    Without a handler at the root, errors of streamlit-webrtc are not printed anywhere.
    Streamlit and its HTTP server have handlers of their own, whose lines become JSON
    too.
    """
    logging.basicConfig(level=logging.WARNING)
    try:
        if read_log_format(environment) == "text":
            return
    except ValueError:  # the launcher reports it
        return
    logging.getLogger("maskdet").setLevel(logging.INFO)
    formatter = JsonFormatter()
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in logger.handlers if isinstance(logger, logging.Logger) else ():
            handler.setFormatter(formatter)
