"""Multi-object tracking: each person keeps one track ID, also without a detection."""

from __future__ import annotations

from maskdet.tracking.tracker import Tracker, Tracks

__all__ = ["Tracker", "Tracks"]
