"""Named cameras of a server, and which other camera URLs its visitors may enter."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from maskdet.media import redact_url, validate_camera_url
from maskdet.serving.access import parse_switch
from maskdet.validation import parse_json_object

CAMERAS_VARIABLE: Final = "MASKDET_CAMERAS"
"""Named cameras, a JSON object: `{"Door": "rtsp://user:password@host/stream"}`."""

ANY_CAMERA_VARIABLE: Final = "MASKDET_ANY_CAMERA"
"""`on`: every visitor may enter a camera URL; `off`: nobody may."""

ALWAYS_ANALYZE_VARIABLE: Final = "MASKDET_ALWAYS_ANALYZE"
"""`on`: named cameras are analyzed even if nobody watches them."""

_EXAMPLE: Final = "Door=rtsp://camera.local/stream"
OTHER_CAMERA: Final = "other camera"
"""Not a name of a camera: the choice of a camera URL that the visitor enters."""

_MAX_NAME_LENGTH: Final = 40
_MAX_URL_LENGTH: Final = 2000


@dataclass(frozen=True)
class Camera:
    """A network camera.

    Attributes:
        name: shown to visitors. Of a camera that a visitor entered, its URL
            without user and password.
        url: may contain a password; never show or log it.
        is_named: whether the administrator named it.
    """

    name: str
    url: str = field(repr=False)
    is_named: bool = True


def parse_camera_url(text: str) -> str:
    """Return the URL of a camera.

    Raises:
        ValueError: it is not an RTSP or HTTP URL. The message does not contain it, as
            it may have a password.
    """
    url = text.strip()
    validate_camera_url(url)
    if len(url) > _MAX_URL_LENGTH:
        raise ValueError(f"the camera URL has more than {_MAX_URL_LENGTH} characters")
    if not url.isprintable():
        raise ValueError("the camera URL must not contain control characters")
    if " " in url:
        raise ValueError("the camera URL must not contain spaces; write %20 instead")
    return url


def make_entered_camera(text: str, cameras: Sequence[Camera]) -> Camera:
    """Return the camera at a URL that a visitor entered.

    Args:
        text: what they entered.
        cameras: the named cameras, one of which may have this URL.

    Raises:
        ValueError: see `parse_camera_url`.
    """
    url = parse_camera_url(text)
    entered = Camera(redact_url(url), url, is_named=False)
    return next((named for named in cameras if named.url == url), entered)


def parse_camera(text: str) -> Camera:
    """Parse `NAME=URL`.

    Raises:
        ValueError: it is not valid; the message does not contain the URL.
    """
    name, separator, url = text.partition("=")
    if not separator or "://" in name:
        raise ValueError(f"a camera must be NAME=URL, such as {_EXAMPLE}")
    return _make_camera(name, url)


def read_cameras(environment: Mapping[str, str] = os.environ) -> tuple[Camera, ...]:
    """Return the named cameras of this server, in the order of the variable.

    Raises:
        ValueError: the variable is not a JSON object of names and camera URLs.
    """
    text = environment.get(CAMERAS_VARIABLE, "").strip()
    if not text:
        return ()
    values = parse_json_object(text, f"{CAMERAS_VARIABLE} is")
    try:
        cameras = tuple(_make_camera(name, url) for name, url in values.items())
        _check_unique(cameras)
    except ValueError as error:
        raise ValueError(f"{CAMERAS_VARIABLE}: {error}") from None
    return cameras


def list_cameras() -> tuple[Camera, ...]:
    """Return the named cameras of this server; none if the variable is not valid."""
    try:
        return read_cameras()
    except ValueError:  # the Live page shows the reason
        return ()


def add_cameras(
    cameras: Sequence[Camera], environment: MutableMapping[str, str]
) -> None:
    """Add cameras to the variable; they replace others of the same name.

    Raises:
        ValueError: two cameras have the same name or URL, or the variable is not
            valid.
    """
    _check_unique(cameras)
    merged = {camera.name: camera.url for camera in read_cameras(environment)}
    merged |= {camera.name: camera.url for camera in cameras}
    environment[CAMERAS_VARIABLE] = json.dumps(merged)


def may_enter_url(
    *, is_admin: bool, environment: Mapping[str, str] = os.environ
) -> bool:
    """Return whether a visitor may have the server connect to any camera.

    Args:
        is_admin: whether they have the rights of the server's own machine, who
            may by default.
        environment: may set `ANY_CAMERA_VARIABLE`; an invalid value counts as `off`.
    """
    try:
        switch = parse_switch(environment, ANY_CAMERA_VARIABLE)
    except ValueError:
        return False
    return is_admin if switch is None else switch


def are_always_analyzed(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the administrator chose to analyze all named cameras always.

    Args:
        environment: may set `ALWAYS_ANALYZE_VARIABLE`; an invalid value counts as
            `off`.
    """
    try:
        return bool(parse_switch(environment, ALWAYS_ANALYZE_VARIABLE))
    except ValueError:
        return False


def check_camera_variables(environment: Mapping[str, str]) -> None:
    """Check the variables of this module.

    Raises:
        ValueError: one of them has an invalid value.
    """
    read_cameras(environment)
    for name in (ANY_CAMERA_VARIABLE, ALWAYS_ANALYZE_VARIABLE):
        parse_switch(environment, name)


def _check_unique(cameras: Sequence[Camera]) -> None:
    for index, camera in enumerate(cameras):
        for other in cameras[:index]:
            if other.name == camera.name:
                raise ValueError(f"two cameras have the name {camera.name!r}")
            if other.url == camera.url:
                raise ValueError(
                    f"cameras {other.name!r} and {camera.name!r} have the same URL"
                )


def _make_camera(name: str, url: object) -> Camera:
    name = name.strip()
    if not 1 <= len(name) <= _MAX_NAME_LENGTH or not name.isprintable():
        raise ValueError(
            f"a camera needs a name of 1 to {_MAX_NAME_LENGTH} characters, as in "
            f"{_EXAMPLE}"
        )
    if name.lower() == OTHER_CAMERA:
        raise ValueError(f"a camera cannot be named {name!r}")
    if not isinstance(url, str):
        raise ValueError(f"camera {name!r}: the URL must be a string")
    try:
        return Camera(name, parse_camera_url(url))
    except ValueError as error:
        raise ValueError(f"camera {name!r}: {error}") from None
