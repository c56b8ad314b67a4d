"""What happened to whom and when: pure logic here, the database in `store`.

`maskdet.events.store` and `maskdet.events.writer` load SQLAlchemy; nothing else does.
"""

from __future__ import annotations

from maskdet.events.event import COLUMNS, KINDS, Event, sentence
from maskdet.events.happenings import Happenings
from maskdet.events.origin import Origin

__all__ = ["COLUMNS", "KINDS", "Event", "Happenings", "Origin", "sentence"]
