"""The visitor's choices in the sidebar, and their JSON and URL formats."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from maskdet.analyzers.pipelines import ANALYZERS, AUTO
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.media import validate_rotation
from maskdet.settings import Settings, parse_json_object, upgrade_settings
from maskdet.style import Style

CAMERA_LIMITS: dict[str, tuple[int, int]] = {
    "camera_width": (160, 1920),
    "camera_height": (120, 1080),
    "camera_fps": (1, 60),
}
"""Smallest and largest requested value, in pixels and frames/s."""

_SettingValue = bool | int | float | str | tuple[float, ...] | Mapping[str, str]
_Part = TypeVar("_Part", bound="Preferences | Settings | Style")


@dataclass(frozen=True)
class Preferences:
    """All choices of a visitor; the defaults apply to a first visit.

    Attributes:
        analyzer: a name in `ANALYZERS`, or `AUTO`.
        settings: thresholds, label smoothing and distances.
        style: what is drawn, in which colours.
        mirror: flip the live video left to right.
        rotate: degrees clockwise by which the live video is rotated before that.
        camera_width: requested width in pixels; the camera may deliver another.
        camera_height: requested height in pixels.
        camera_fps: requested frames per second.
        classifier: a name in `CLASSIFIERS`. Any other than the default classifies
            every face.
        refine: whether the default classifier re-checks low-confidence faces after
            a single-stage analyzer.

    Raises:
        ValueError: a value is out of its range; the message names field and value.
    """

    analyzer: str = AUTO
    settings: Settings = field(default_factory=Settings)
    style: Style = field(default_factory=Style)
    mirror: bool = True
    rotate: int = 0
    camera_width: int = 640
    camera_height: int = 480
    camera_fps: int = 15
    classifier: str = DEFAULT_CLASSIFIER
    refine: bool = True

    def __post_init__(self) -> None:
        """Validate the model names and the camera values."""
        _check_name("analyzer", self.analyzer, (AUTO, *ANALYZERS))
        _check_name("classifier", self.classifier, CLASSIFIERS)
        validate_rotation(self.rotate)
        for name, (low, high) in CAMERA_LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, not {value}")

    def to_json(self) -> str:
        """Return all fields as JSON; `settings` is the object of `Settings.to_json`."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Preferences:
        """Parse the output of `to_json`; missing fields get defaults.

        The object that `Settings.to_json` writes is accepted too.

        Raises:
            ValueError: not a JSON object, an unknown field, or an invalid value.
        """
        values = parse_json_object(text, "this file is")
        if values and set(upgrade_settings(values)) <= _get_field_names(Settings()):
            values = {"settings": values}
        return _replace_fields(cls(), values)

    def to_query(self) -> dict[str, str]:
        """Return the non-default choices as flat URL parameters."""
        values, defaults = _flatten(self), _flatten(Preferences())
        return {
            name: json.dumps(value).strip('"')
            for name, value in values.items()
            if value != defaults[name]
        }

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Preferences:
        """Parse the output of `to_query`; missing parameters get defaults.

        Raises:
            ValueError: an unknown parameter or an invalid value.
        """
        defaults, query = _flatten(cls()), upgrade_settings(query)
        unknown = sorted(set(query) - set(defaults))
        if unknown:
            raise ValueError(_format_unknown_setting(unknown[0], defaults))
        values = {
            name: _parse_value(name, text, defaults[name])
            for name, text in query.items()
        }
        parts: dict[str, object] = {}
        for part in ("settings", "style"):
            names = _get_field_names(getattr(cls(), part))
            parts[part] = {name: values.pop(name) for name in names & set(values)}
        return _replace_fields(cls(), {**values, **parts})

    def to_link(self, page_url: str) -> str:
        """Return a link that opens the page at `page_url` with these choices."""
        base_url = page_url.partition("?")[0]
        query = urlencode(self.to_query())
        return f"{base_url}?{query}" if query else base_url


def format_rotation(rotate: int) -> str:
    """Return the title of a rotation in `maskdet.media.ROTATIONS`."""
    return f"{rotate}° clockwise" if rotate else "None"


def _check_name(field_name: str, name: str, allowed: Collection[str]) -> None:
    if name not in allowed:
        raise ValueError(
            f"{field_name} must be one of {', '.join(allowed)}, not {name!r}"
        )


def _get_field_names(part: Preferences | Settings | Style) -> set[str]:
    return {field.name for field in dataclasses.fields(part)}


def _flatten(preferences: Preferences) -> dict[str, _SettingValue]:
    """Return every choice by its field name; the names are unique across parts."""
    flat: dict[str, _SettingValue] = {}
    for name, value in dataclasses.asdict(preferences).items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def _format_unknown_setting(name: str, allowed: Mapping[str, object]) -> str:
    return f"unknown setting {name!r}; accepted are {', '.join(allowed)}"


def _parse_value(name: str, text: str, default: _SettingValue) -> _SettingValue:
    """Parse a URL parameter to a value of the type of `default`."""
    if isinstance(default, str):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    return _check_value(name, value, default)


def _check_value(name: str, value: object, default: _SettingValue) -> _SettingValue:
    """Return `value` if it has the type of `default`; an int is valid for a float."""
    if isinstance(default, bool):
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        fits = isinstance(value, int) and not isinstance(value, bool)
        kind = "a whole number"
    elif isinstance(default, float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        kind = "a number"
    elif isinstance(default, Mapping):
        fits, kind = isinstance(value, Mapping), "an object"
    elif isinstance(default, tuple):
        fits, kind = isinstance(value, list | tuple), "a list of numbers"
    else:
        fits, kind = isinstance(value, str), "a text"
    if not fits:
        raise ValueError(f"{name} must be {kind}, not {value!r}")
    return value  # type: ignore[return-value]


def _replace_fields(part: _Part, values: Mapping[str, object]) -> _Part:
    """Return a copy of the dataclass `part` with validated `values`."""
    checked: dict[str, Any] = {}
    if isinstance(part, Settings):
        values = upgrade_settings(values)
    for name, value in values.items():
        if name not in _get_field_names(part):
            raise ValueError(
                _format_unknown_setting(
                    name, dict.fromkeys(sorted(_get_field_names(part)))
                )
            )
        default = getattr(part, name)
        if not isinstance(default, Settings | Style):
            checked[name] = _check_value(name, value, default)
        elif isinstance(value, Mapping):
            checked[name] = _replace_fields(default, value)
        else:
            raise ValueError(f"{name} must be a JSON object, not {value!r}")
    return dataclasses.replace(part, **checked)
