"""Who is who from image to image: people keep their number, seen or turned away."""

from __future__ import annotations

from maskdet.tracking.config import TrackerConfig
from maskdet.tracking.tracker import Tracker, Tracks

__all__ = ["Tracker", "TrackerConfig", "Tracks"]
