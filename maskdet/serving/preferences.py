"""The visitor's choices in the sidebar, and their JSON and URL formats."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

from annotated_types import Interval

from maskdet.analyzers.pipelines import ANALYZERS, AUTO
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.media import validate_rotation
from maskdet.settings import Settings, upgrade_settings
from maskdet.style import Style
from maskdet.validation import check_fields, parse_fields, parse_json_object

LiveSourceName = Literal["browser", "network", "sample"]


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
        source: where live video comes from: the camera of the browser, a network
            camera, or the sample video.
        camera: name of the network camera; the first one if empty.

    Raises:
        ValueError: a value is out of its range; the message names field and value.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    analyzer: str = AUTO
    settings: Settings = field(default_factory=Settings)
    style: Style = field(default_factory=Style)
    mirror: bool = True
    rotate: int = 0
    camera_width: Annotated[int, Interval(ge=160, le=1920)] = 640
    camera_height: Annotated[int, Interval(ge=120, le=1080)] = 480
    camera_fps: Annotated[int, Interval(ge=1, le=60)] = 15
    classifier: str = DEFAULT_CLASSIFIER
    refine: bool = True
    source: LiveSourceName = "browser"
    camera: str = ""

    def __post_init__(self) -> None:
        """Validate the model names and the camera values."""
        check_fields(self)
        _check_name("analyzer", self.analyzer, (AUTO, *ANALYZERS))
        _check_name("classifier", self.classifier, CLASSIFIERS)
        validate_rotation(self.rotate)

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
        values = upgrade_settings(parse_json_object(text, "this file is"))
        if values and set(values) <= _get_field_names(Settings()):
            values = {"settings": values}
        if isinstance(values.get("settings"), dict):
            values["settings"] = upgrade_settings(values["settings"])
        return parse_fields(cls, values)

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
            raise ValueError(
                f"unknown setting {unknown[0]!r}; accepted are {', '.join(defaults)}"
            )
        values = {
            name: _parse_text(text, defaults[name]) for name, text in query.items()
        }
        for part in ("settings", "style"):
            names = _get_field_names(getattr(cls(), part))
            values[part] = {name: values.pop(name) for name in names & set(values)}
        return parse_fields(cls, values)

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


def _flatten(preferences: Preferences) -> dict[str, object]:
    """Return every choice by its field name; the names are unique across parts."""
    flat: dict[str, object] = {}
    for name, value in dataclasses.asdict(preferences).items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def _parse_text(text: str, default: object) -> object:
    """Return the value of a URL parameter, a text only if `default` is one."""
    if isinstance(default, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
