"""Events of tracked people: detection, storage and writing.

Only `maskdet.events.database`, `.store` and `.writer` import SQLAlchemy.
"""

from __future__ import annotations

from maskdet.events.detection import EventDetector, SceneObserver, observe_safely
from maskdet.events.event import (
    EVENT_COLUMNS,
    EVENT_KINDS,
    Event,
    EventCsvFile,
    EventCsvWriter,
    StreamInfo,
    describe_event,
)

__all__ = [
    "EVENT_COLUMNS",
    "EVENT_KINDS",
    "Event",
    "EventCsvFile",
    "EventCsvWriter",
    "EventDetector",
    "SceneObserver",
    "StreamInfo",
    "describe_event",
    "observe_safely",
]
