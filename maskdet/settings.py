"""The settings: every threshold a person can tune, checked, saved and loaded."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

VOTES = ("sure", "none", "cumulative", "window", "exponential")
"""How what was seen of a person becomes one label; `maskdet.voting` has them."""

DISTANCES = ("off", "relative", "pinhole", "floor")
"""How far apart people stand is told by: nothing, heights of heads, the camera's
field of view, or four points on the floor; `maskdet.proximity` has them."""


@dataclass(frozen=True)
class Settings:
    """Every threshold a person can tune; passed explicitly, never global.

    Attributes:
        min_score: faces with a lower finder score are dropped, in [0, 1].
        min_certainty: below this probability a face is `UNKNOWN`, in [0, 1].
        min_face_px: faces whose shorter side is smaller are dropped, in pixels.
        nms_iou: of two boxes overlapping more than this the weaker goes, in [0, 1].
        memory_s: whoever was not seen for so long is forgotten, in seconds.
        vote: one of `VOTES`: how views of a person become one label.
        vote_window_s: how far back they count, in seconds.
        distance: one of `DISTANCES`: how far apart people stand.
        near_m: who stands closer is near, in metres.
        near_for_s: who is near for longer is too close, in seconds.
        field_of_view_deg: the camera's, from left to right, for `pinhole`.
        floor: x and y of four points on the floor in shares of width and height of
            the picture, clockwise from the far left one, for `floor`; or nothing.
        floor_width_m: from the first point to the second, in metres.
        floor_depth_m: from the second to the third.

    Raises:
        ValueError: a value is out of its range; the message names field and value.
    """

    min_score: float = 0.5
    min_certainty: float = 0.6
    min_face_px: float = 12.0
    nms_iou: float = 0.4
    memory_s: float = 3.0
    vote: str = "sure"
    vote_window_s: float = 2.0
    distance: str = "off"
    near_m: float = 1.8
    near_for_s: float = 3.0
    field_of_view_deg: float = 65.0
    floor: tuple[float, ...] = ()
    floor_width_m: float = 3.0
    floor_depth_m: float = 3.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name, known in (("vote", VOTES), ("distance", DISTANCES)):
            if getattr(self, name) not in known:
                words, given = ", ".join(known), getattr(self, name)
                raise ValueError(f"{name} must be one of {words}, not {given!r}")
        object.__setattr__(self, "floor", _floor(self.floor))
        for name, low, high in _RANGES:
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not low <= value <= high:
                raise ValueError(
                    f"{name} must be a number from {low:g} to {high:g}, not {value!r}"
                )
            object.__setattr__(self, name, float(value))

    def to_json(self) -> str:
        """Return the settings as a JSON object, one key a field."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Settings:
        """Return the settings that `to_json` wrote; missing fields get defaults.

        Raises:
            ValueError: not a JSON object, an unknown field, or a bad value.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("settings are not valid JSON") from None
        if not isinstance(values, dict):
            raise ValueError(
                f"settings must be a JSON object, not {type(values).__name__}"
            )
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(
                f"unknown setting {unknown[0]!r}; known are {', '.join(known)}"
            )
        return cls(**values)


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("min_score", 0, 1),
    ("min_certainty", 0, 1),
    ("min_face_px", 1, 2000),
    ("nms_iou", 0, 1),
    ("memory_s", 0.1, 60),
    ("vote_window_s", 0.1, 60),
    ("near_m", 0.3, 20),
    ("near_for_s", 0, 3600),
    ("field_of_view_deg", 10, 170),
    ("floor_width_m", 0.1, 1000),
    ("floor_depth_m", 0.1, 1000),
)


def _floor(value: object) -> tuple[float, ...]:
    """Return eight numbers or none; a link and JSON bring them as a list."""
    numbers = tuple(value) if isinstance(value, tuple | list) else None
    if numbers is None or len(numbers) not in (0, 8):
        raise ValueError(f"floor must be eight numbers or none, not {value!r}")
    for number in numbers:
        fits = isinstance(number, int | float) and not isinstance(number, bool)
        if not fits or not math.isfinite(number) or not -2 <= number <= 3:
            raise ValueError(f"floor must hold numbers from -2 to 3, not {number!r}")
    return tuple(float(number) for number in numbers)
