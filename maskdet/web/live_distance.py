"""What keeps a live picture from telling how far apart people stand."""

from __future__ import annotations

from dataclasses import replace

from maskdet.proximity import geometry
from maskdet.types import Settings


def obstacle(settings: Settings, size_wh: tuple[int, int]) -> str:
    """Return one line on why distances cannot be told, or an empty text.

    Args:
        settings: `distance` and what it needs.
        size_wh: width and height of the pictures in pixels.
    """
    if settings.distance == "off":
        return ""
    if settings.distance == "ground_plane" and not settings.ground_points:
        return "Mark the four corners of a rectangle on the floor first."
    try:
        geometry(settings, size_wh)
    except ValueError as error:
        line = str(error).removeprefix("ground_points: ")
        return f"{line[:1].upper()}{line[1:]}."
    return ""


class Measurable:
    """Keeps a stream from settings that it cannot measure with, and so would fail."""

    def __init__(self) -> None:
        """Start without having been asked."""
        self._asked: tuple[Settings, tuple[int, int]] | None = None
        self._answer = Settings()

    def settings(self, wanted: Settings, size_wh: tuple[int, int]) -> Settings:
        """Return the settings, without distances if they cannot be told.

        It is looked at only once, as refusing a floor takes longer than a frame.
        """
        asked = (wanted, size_wh)
        if asked != self._asked:
            fine = not obstacle(wanted, size_wh)
            self._answer = wanted if fine else replace(wanted, distance="off")
            self._asked = asked
        return self._answer


def mirrored(floor: tuple[float, ...]) -> tuple[float, ...]:
    """Return the points on the floor as they lie in the mirrored picture.

    They stay in order, clockwise from the far left one.

    Args:
        floor: as in `Settings`: eight numbers or none.
    """
    if not floor:
        return ()
    far_left, far_right, near_right, near_left = (
        (1 - x, y) for x, y in zip(floor[::2], floor[1::2], strict=True)
    )
    return (*far_right, *far_left, *near_left, *near_right)
