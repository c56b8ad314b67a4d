"""Tests that our own code makes from labelled faces: does the answer stay right?

Nobody has labelled enough pictures of hands before mouths, or of faces at night. So
`hard` and `dark` change faces whose label is known, in a way that must not change it.
`lookalikes` draws clear shields and printed mouths, after which it must not be sure.
`groups` asks whether some people are told wrong more often than others. `empty` shows
an analyzer pictures without a face and counts the faces that it sees. `pasted` makes
scenes of portraits: small faces of people whom no scene of the training showed.
"""

from __future__ import annotations

from maskdet.suites.dark import DarkReport, darken, low_light
from maskdet.suites.empty import (
    AlarmReport,
    EmptyReport,
    alarms_in,
    false_alarms,
)
from maskdet.suites.groups import GroupReport, compare_groups, read_groups
from maskdet.suites.hard import HardReport, hard_negatives
from maskdet.suites.lookalikes import LookalikeReport, lookalikes
from maskdet.suites.pasted import PastedReport, pasted_faces

__all__ = [
    "AlarmReport",
    "DarkReport",
    "EmptyReport",
    "GroupReport",
    "HardReport",
    "LookalikeReport",
    "PastedReport",
    "alarms_in",
    "compare_groups",
    "darken",
    "false_alarms",
    "hard_negatives",
    "lookalikes",
    "low_light",
    "pasted_faces",
    "read_groups",
]
