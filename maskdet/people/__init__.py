"""The people of a stream since its start: `PersonLog`, and `Timeline` over time."""

from __future__ import annotations

from maskdet.people.log import (
    ContactPair,
    EvictedContacts,
    EvictedPeople,
    Person,
    PersonLog,
    PersonState,
)
from maskdet.people.timeline import LabelSpan, Timeline, TimelineBin

__all__ = [
    "ContactPair",
    "EvictedContacts",
    "EvictedPeople",
    "LabelSpan",
    "Person",
    "PersonLog",
    "PersonState",
    "Timeline",
    "TimelineBin",
]
