"""How a visitor wants a film to be looked at, and how far that is."""

from __future__ import annotations

from dataclasses import dataclass, field

from maskdet.web.preferences import Preferences


@dataclass(frozen=True)
class VideoOptions:
    """How a film is looked at; the same film and plan give the same result.

    Attributes:
        preferences: thresholds, networks and what is drawn, as they were at the start.
        every: only every so many pictures are looked at.
        keep_crops: whether each person's best view is kept.
        rotate: degrees clockwise by which every frame is turned first.
    """

    preferences: Preferences
    every: int = 1
    keep_crops: bool = False
    rotate: int = 0


@dataclass(frozen=True)
class VideoJobProgress:
    """What the page shows of a film that is being looked at.

    Attributes:
        fraction_done: share of it, 0 to 1.
        remaining_s: how long the rest takes, in seconds; None where that is not known
            yet.
        time_s: where in the film it is, in seconds.
        n_frames: how many pictures were looked at.
        preview: the last annotated picture as JPEG; empty before the first.
    """

    fraction_done: float = 0.0
    remaining_s: float | None = None
    time_s: float = 0.0
    n_frames: int = 0
    preview: bytes = field(default=b"", repr=False)


def format_video_time(time_s: float) -> str:
    """Return a time in a film as people write it, "1:05.2"."""
    tenths = round(10 * time_s)
    minutes, rest = divmod(tenths, 600)
    seconds, tenth = divmod(rest, 10)
    return f"{minutes}:{seconds:02d}" + (f".{tenth}" if tenth else "")
