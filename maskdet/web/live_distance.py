"""What keeps a live picture from telling how far apart people stand."""

from __future__ import annotations

from dataclasses import replace

from maskdet.proximity import get_geometry
from maskdet.types import Settings


def distance_error(settings: Settings, size_wh: tuple[int, int]) -> str:
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
        get_geometry(settings, size_wh)
    except ValueError as error:
        message = str(error).removeprefix("ground_points: ")
        return f"{message[:1].upper()}{message[1:]}."
    return ""


class DistanceGuard:
    """Keeps a stream from settings that it cannot measure with, and so would fail."""

    def __init__(self) -> None:
        """Start without having been asked."""
        self._cache_key: tuple[Settings, tuple[int, int]] | None = None
        self._cached_settings = Settings()

    def effective_settings(
        self, requested: Settings, size_wh: tuple[int, int]
    ) -> Settings:
        """Return the settings, without distances if they cannot be told.

        It is looked at only once, as refusing a floor takes longer than a frame.
        """
        cache_key = (requested, size_wh)
        if cache_key != self._cache_key:
            is_measurable = not distance_error(requested, size_wh)
            self._cached_settings = (
                requested if is_measurable else replace(requested, distance="off")
            )
            self._cache_key = cache_key
        return self._cached_settings


def mirror_points(points: tuple[float, ...]) -> tuple[float, ...]:
    """Return the points on the floor as they lie in the mirrored picture.

    They stay in order, clockwise from the far left one.

    Args:
        points: as in `Settings`: eight numbers or none.
    """
    if not points:
        return ()
    far_left, far_right, near_right, near_left = (
        (1 - x, y) for x, y in zip(points[::2], points[1::2], strict=True)
    )
    return (*far_right, *far_left, *near_left, *near_right)
