"""What happened to whom and when: pure logic here, the database in `store`.

`maskdet.events.store` and `maskdet.events.writer` load SQLAlchemy; nothing else does.
"""

from __future__ import annotations

from maskdet.events.detection import EventDetector
from maskdet.events.event import (
    EVENT_COLUMNS,
    EVENT_KINDS,
    Event,
    StreamInfo,
    describe_event,
)

__all__ = [
    "EVENT_COLUMNS",
    "EVENT_KINDS",
    "Event",
    "EventDetector",
    "StreamInfo",
    "describe_event",
]
