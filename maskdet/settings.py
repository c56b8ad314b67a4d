"""All user settings: thresholds, label smoothing and distances; JSON and validation."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

SmoothingMethod: TypeAlias = Literal["log_pool", "latest", "mean", "window", "ema"]
"""How several observations of a person are combined; see `maskdet.smoothing`."""

DistanceMethod: TypeAlias = Literal["off", "relative", "pinhole", "ground_plane"]
"""How distances are measured: not at all, by face heights, by the camera's field of
view, or by four points on the ground; see `maskdet.distance`."""

SMOOTHING_METHODS: tuple[SmoothingMethod, ...] = get_args(SmoothingMethod)
DISTANCE_METHODS: tuple[DistanceMethod, ...] = get_args(DistanceMethod)

OLD_NAMES: dict[str, str] = {
    "min_certainty": "min_confidence",
    "vote": "smoothing",
    "vote_window_s": "smoothing_window_s",
    "near_m": "contact_distance_m",
    "near_for_s": "contact_duration_s",
    "floor": "ground_points",
    "floor_width_m": "ground_width_m",
    "floor_depth_m": "ground_depth_m",
    "second_look": "refine",
}
"""Field names in files and links of earlier versions, and their current names."""

OLD_VALUES: dict[str, dict[object, str]] = {
    "smoothing": {
        "sure": "log_pool",
        "none": "latest",
        "cumulative": "mean",
        "exponential": "ema",
    },
    "distance": {"floor": "ground_plane"},
}
"""Field values in files and links of version 0.1, by current field name."""

_RANGES: tuple[tuple[str, float, float], ...] = (
    ("min_score", 0, 1),
    ("min_confidence", 0, 1),
    ("min_face_px", 1, 2000),
    ("nms_iou", 0, 1),
    ("memory_s", 0.1, 60),
    ("smoothing_window_s", 0.1, 60),
    ("contact_distance_m", 0.3, 20),
    ("contact_duration_s", 0, 3600),
    ("field_of_view_deg", 10, 170),
    ("ground_width_m", 0.1, 1000),
    ("ground_depth_m", 0.1, 1000),
)


def upgrade_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the fields and values of settings from earlier versions.

    Args:
        values: field names to values, from a file or link of any version.
    """
    renamed = {OLD_NAMES.get(name, name): value for name, value in values.items()}
    for name, words in OLD_VALUES.items():
        value = renamed.get(name)
        if isinstance(value, str):
            renamed[name] = words.get(value, value)
    return renamed


def parse_json_object(text: str | bytes, subject: str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        text: JSON.
        subject: start of the error messages, for example `settings are`.

    Raises:
        ValueError: it is not valid JSON, or not an object.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{subject} not valid JSON") from None
    if not isinstance(values, dict):
        noun, _ = subject.rsplit(" ", 1)
        raise ValueError(f"{noun} must be a JSON object, not {type(values).__name__}")
    return values


@dataclass(frozen=True)
class Settings:
    """All thresholds and options of the analysis.

    Examples:
        >>> strict = maskdet.Settings(min_score=0.7, min_confidence=0.9)
        >>> maskdet.Settings.from_json(strict.to_json()) == strict
        True
        >>> maskdet.Settings(min_score=2)
        Traceback (most recent call last):
        ...
        ValueError: min_score must be a number from 0 to 1, not 2

    Attributes:
        min_score: faces with a lower detection score are dropped, in [0, 1].
        min_confidence: a face whose likeliest class is less probable is `UNKNOWN`,
            in [0, 1].
        min_face_px: faces whose shorter side is smaller are dropped, in pixels.
        nms_iou: non-maximum suppression: of two boxes with a higher IoU, the one with
            the lower score is dropped, in [0, 1].
        memory_s: how long a track without a detection is kept, in seconds.
        smoothing: how several observations of a person are combined.
        smoothing_window_s: how far back observations count, in seconds.
        class_weights: weights of observations with mask, no mask and incorrectly worn
            mask; three numbers in [0, 1], at least one above 0. An observation with
            the probabilities p is weighted by `sum(p[c] * class_weights[c])`.
        distance: how distances between people are measured.
        contact_distance_m: people who are closer are in contact, in metres.
        contact_duration_s: a contact that lasts longer exceeds the limit, in seconds.
        field_of_view_deg: horizontal field of view of the camera, for `pinhole`.
        ground_points: x and y of four points on the ground, as fractions of the
            image's width and height, clockwise from the far left one, for
            `ground_plane`; or empty.
        ground_width_m: from the first point to the second, in metres.
        ground_depth_m: from the second point to the third, in metres.

    Raises:
        ValueError: a value is out of range; the message names field and value.
    """

    min_score: float = 0.5
    min_confidence: float = 0.6
    min_face_px: float = 12.0
    nms_iou: float = 0.4
    memory_s: float = 3.0
    smoothing: SmoothingMethod = "log_pool"
    smoothing_window_s: float = 2.0
    class_weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    distance: DistanceMethod = "off"
    contact_distance_m: float = 1.8
    contact_duration_s: float = 3.0
    field_of_view_deg: float = 65.0
    ground_points: tuple[float, ...] = ()
    ground_width_m: float = 3.0
    ground_depth_m: float = 3.0

    def __post_init__(self) -> None:
        """Check every value."""
        for name, allowed in (
            ("smoothing", SMOOTHING_METHODS),
            ("distance", DISTANCE_METHODS),
        ):
            if getattr(self, name) not in allowed:
                words, given = ", ".join(allowed), getattr(self, name)
                raise ValueError(f"{name} must be one of {words}, not {given!r}")
        object.__setattr__(
            self, "ground_points", _check_ground_points(self.ground_points)
        )
        object.__setattr__(
            self, "class_weights", _check_class_weights(self.class_weights)
        )
        for name, low, high in _RANGES:
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value) or not low <= value <= high:
                raise ValueError(
                    f"{name} must be a number from {low:g} to {high:g}, not {value!r}"
                )
            object.__setattr__(self, name, float(value))

    def to_json(self) -> str:
        """Return the settings as a JSON object with one key per field."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Settings:
        """Parse the output of `to_json`; missing fields get their defaults.

        Raises:
            ValueError: not a JSON object, an unknown field, or a bad value.
        """
        values = upgrade_settings(parse_json_object(text, "settings are"))
        field_names = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(field_names))
        if unknown:
            raise ValueError(
                f"unknown setting {unknown[0]!r}; known are {', '.join(field_names)}"
            )
        return cls(**values)

    @classmethod
    def permissive(cls) -> Settings:
        """Return settings that keep every candidate of the analyzer.

        No face is dropped for its score, size or IoU, and no face is `UNKNOWN`. Apply
        thresholds later with `scene.filter(settings)`.

        Examples:
            >>> scene = maskdet.analyze("group.jpg", maskdet.Settings.permissive())
            >>> len(scene) > len(scene.filter(maskdet.Settings()))
            True
        """
        return cls(min_score=0, min_confidence=0, min_face_px=1, nms_iou=1)


def _check_class_weights(value: object) -> tuple[float, ...]:
    """Check the class weights and return a tuple; JSON and links give a list."""
    numbers = tuple(value) if isinstance(value, tuple | list) else ()
    are_valid = [
        isinstance(number, int | float)
        and not isinstance(number, bool)
        and 0 <= number <= 1
        for number in numbers
    ]
    if len(are_valid) != 3 or not all(are_valid) or not any(numbers):
        raise ValueError(
            "class_weights must be three numbers from 0 to 1 (mask, no mask, "
            f"incorrect), at least one above 0, not {value!r}"
        )
    return tuple(float(number) for number in numbers)


def _check_ground_points(value: object) -> tuple[float, ...]:
    """Check the ground points and return a tuple; JSON and links give a list."""
    numbers = tuple(value) if isinstance(value, tuple | list) else None
    if numbers is None or len(numbers) not in (0, 8):
        raise ValueError(f"ground_points must be eight numbers or none, not {value!r}")
    for number in numbers:
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not math.isfinite(number) or not -2 <= number <= 3:
            raise ValueError(
                f"ground_points must hold numbers from -2 to 3, not {number!r}"
            )
    return tuple(float(number) for number in numbers)
