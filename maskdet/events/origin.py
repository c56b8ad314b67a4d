"""Where and when a stream was made: what every event of it has in common."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

MAX_CAMERA_NAME_LENGTH = 60
"""Characters of a camera's name that are kept."""


def clean_camera_name(text: str) -> str:
    """Return a camera's name as it is kept: one line, printable and not too long."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(line.split())[:MAX_CAMERA_NAME_LENGTH].strip()


def _create_session_id() -> str:
    return uuid.uuid4().hex[:16]


@dataclass(frozen=True)
class StreamInfo:
    """One run of a stream.

    Attributes:
        camera: what the user calls the camera or film.
        start_utc: the wall-clock time at which `Scene.time_s` is 0, with its zone.
        session: tells this run from all others; made up unless it is given.
    """

    camera: str
    start_utc: datetime
    session: str = field(default_factory=_create_session_id)

    def __post_init__(self) -> None:
        """Keep the name to one line and the time in UTC."""
        if self.start_utc.tzinfo is None:
            raise ValueError(
                "start_utc must say its time zone, as in datetime.now(UTC)"
            )
        object.__setattr__(self, "camera", clean_camera_name(self.camera))
        object.__setattr__(self, "start_utc", self.start_utc.astimezone(UTC))

    @classmethod
    def now(cls, camera: str, clock_s: float = 0.0) -> StreamInfo:
        """Return the origin of a stream that starts now.

        Args:
            camera: what the user calls the camera.
            clock_s: what the clock that gives `Scene.time_s` says at this moment.
        """
        return cls(camera, datetime.now(UTC) - timedelta(seconds=clock_s))

    def to_utc(self, time_s: float) -> datetime:
        """Return the wall-clock time of a moment in the stream, in UTC."""
        return self.start_utc + timedelta(seconds=time_s)
