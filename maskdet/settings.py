"""All user settings: thresholds, label smoothing and distances; JSON and validation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from annotated_types import Interval

from maskdet.validation import check_fields, parse_fields, parse_json_object

SmoothingMethod: TypeAlias = Literal["log_pool", "latest", "mean", "window", "ema"]
"""How several observations of a person are combined; see `maskdet.smoothing`."""

DistanceMethod: TypeAlias = Literal["off", "relative", "pinhole", "ground_plane"]
"""How distances are measured: not at all, by face heights, by the camera's field of
view, or by four points on the ground; see `maskdet.distance`."""

Fraction: TypeAlias = Annotated[float, Interval(ge=0, le=1)]
"""A number from 0 to 1."""

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

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    min_score: Fraction = 0.5
    min_confidence: Fraction = 0.6
    min_face_px: Annotated[float, Interval(ge=1, le=2000)] = 12.0
    nms_iou: Fraction = 0.4
    memory_s: Annotated[float, Interval(ge=0.1, le=60)] = 3.0
    smoothing: SmoothingMethod = "log_pool"
    smoothing_window_s: Annotated[float, Interval(ge=0.1, le=60)] = 2.0
    class_weights: tuple[Fraction, ...] = (1.0, 1.0, 1.0)
    distance: DistanceMethod = "off"
    contact_distance_m: Annotated[float, Interval(ge=0.3, le=20)] = 1.8
    contact_duration_s: Annotated[float, Interval(ge=0, le=3600)] = 3.0
    field_of_view_deg: Annotated[float, Interval(ge=10, le=170)] = 65.0
    ground_points: tuple[Annotated[float, Interval(ge=-2, le=3)], ...] = ()
    ground_width_m: Annotated[float, Interval(ge=0.1, le=1000)] = 3.0
    ground_depth_m: Annotated[float, Interval(ge=0.1, le=1000)] = 3.0

    def __post_init__(self) -> None:
        """Check every value."""
        check_fields(self)
        object.__setattr__(
            self, "ground_points", _check_ground_points(self.ground_points)
        )
        object.__setattr__(
            self, "class_weights", _check_class_weights(self.class_weights)
        )

    def to_json(self) -> str:
        """Return the settings as a JSON object with one key per field."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Settings:
        """Parse the output of `to_json`; missing fields get their defaults.

        Raises:
            ValueError: not a JSON object, an unknown field, or a bad value.
        """
        values = parse_json_object(text, "settings are")
        return parse_fields(cls, upgrade_settings(values))

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
    """Check the class weights and return a tuple."""
    numbers = _parse_numbers(value, 0, 1)
    if len(numbers) != 3 or not any(numbers):
        raise ValueError(
            "class_weights must be three numbers from 0 to 1 (mask, no mask, "
            f"incorrect), at least one above 0, not {value!r}"
        )
    return numbers


def _check_ground_points(value: object) -> tuple[float, ...]:
    """Check the ground points and return a tuple."""
    numbers = _parse_numbers(value, -2, 3)
    if len(numbers) != 8 and value not in ((), []):
        raise ValueError(
            f"ground_points must be eight numbers from -2 to 3 or none, not {value!r}"
        )
    return numbers


def _parse_numbers(value: object, low: float, high: float) -> tuple[float, ...]:
    """Return the numbers of a tuple or list; none if one of them is out of range."""
    numbers = tuple(value) if isinstance(value, tuple | list) else ()
    are_valid = [
        isinstance(number, int | float)
        and not isinstance(number, bool)
        and low <= number <= high
        for number in numbers
    ]
    return tuple(map(float, numbers)) if all(are_valid) else ()
