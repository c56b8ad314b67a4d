"""Named cameras of a server, and which other addresses its visitors may enter."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from maskdet.media import redact_url
from maskdet.validation import parse_json_object
from maskdet.web.server.access import parse_switch

CAMERAS_VARIABLE: Final = "MASKDET_CAMERAS"
"""Named cameras, a JSON object: `{"Door": "rtsp://user:password@host/stream"}`."""

ANY_CAMERA_VARIABLE: Final = "MASKDET_ANY_CAMERA"
"""`on`: every visitor may enter an address; `off`: nobody may."""

ALWAYS_ANALYZE_VARIABLE: Final = "MASKDET_ALWAYS_ANALYZE"
"""`on`: named cameras are analyzed even if nobody watches them."""

_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")
_EXAMPLE: Final = "Door=rtsp://camera.local/stream"
OTHER_ADDRESS: Final = "other address"
"""Not a name of a camera: the choice of an address that the visitor enters."""

_MAX_NAME_LENGTH: Final = 40
_MAX_ADDRESS_LENGTH: Final = 2000


@dataclass(frozen=True)
class Camera:
    """A network camera.

    Attributes:
        name: shown to visitors. Of a camera that a visitor entered, its address
            without user and password.
        address: URL, which may contain a password; never show or log it.
        is_named: whether the administrator named it.
    """

    name: str
    address: str = field(repr=False)
    is_named: bool = True


def parse_address(text: str) -> str:
    """Return the address of a camera.

    Raises:
        ValueError: it is not an RTSP or HTTP URL. The message does not contain it, as
            it may have a password.
    """
    address = text.strip()
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname)
        _ = parts.port
    except ValueError:
        raise ValueError("the address is not a valid URL") from None
    if parts.scheme.lower() not in _SCHEMES:
        raise ValueError(f"the address must begin with {'://, '.join(_SCHEMES)}://")
    if not has_host:
        raise ValueError("the address has no host, as in rtsp://camera.local/stream")
    if len(address) > _MAX_ADDRESS_LENGTH or not address.isprintable():
        raise ValueError("the address is too long or has characters that are invisible")
    if " " in address:
        raise ValueError("the address must not contain spaces; write %20 instead")
    return address


def make_entered_camera(text: str, cameras: Sequence[Camera]) -> Camera:
    """Return the camera at an address that a visitor entered.

    Args:
        text: what they entered.
        cameras: the named cameras, one of which may have this address.

    Raises:
        ValueError: see `parse_address`.
    """
    address = parse_address(text)
    entered = Camera(redact_url(address), address, is_named=False)
    return next((named for named in cameras if named.address == address), entered)


def parse_camera(text: str) -> Camera:
    """Parse `NAME=ADDRESS`.

    Raises:
        ValueError: it is not valid; the message does not contain the address.
    """
    name, separator, address = text.partition("=")
    if not separator or "://" in name:
        raise ValueError(f"a camera must be NAME=ADDRESS, such as {_EXAMPLE}")
    return _make_camera(name, address)


def read_cameras(environment: Mapping[str, str] = os.environ) -> tuple[Camera, ...]:
    """Return the named cameras of this server, in the order of the variable.

    Raises:
        ValueError: the variable is not a JSON object of names and addresses.
    """
    text = environment.get(CAMERAS_VARIABLE, "").strip()
    if not text:
        return ()
    values = parse_json_object(text, f"{CAMERAS_VARIABLE} is")
    try:
        cameras = tuple(_make_camera(name, address) for name, address in values.items())
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
        ValueError: two cameras have the same name or address, or the variable is not
            valid.
    """
    _check_unique(cameras)
    merged = {camera.name: camera.address for camera in read_cameras(environment)}
    merged |= {camera.name: camera.address for camera in cameras}
    environment[CAMERAS_VARIABLE] = json.dumps(merged)


def may_enter_address(
    *, is_local_admin: bool, environment: Mapping[str, str] = os.environ
) -> bool:
    """Return whether a visitor may have the server connect to any address.

    Args:
        is_local_admin: whether they have the rights of the server's own machine, who
            may by default.
        environment: may set `ANY_CAMERA_VARIABLE`; an invalid value counts as `off`.
    """
    try:
        switch = parse_switch(environment, ANY_CAMERA_VARIABLE)
    except ValueError:
        return False
    return is_local_admin if switch is None else switch


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
            if other.address == camera.address:
                raise ValueError(
                    f"cameras {other.name!r} and {camera.name!r} have the same address"
                )


def _make_camera(name: str, address: object) -> Camera:
    name = name.strip()
    if not 1 <= len(name) <= _MAX_NAME_LENGTH or not name.isprintable():
        raise ValueError(
            f"a camera needs a name of 1 to {_MAX_NAME_LENGTH} characters, as in "
            f"{_EXAMPLE}"
        )
    if name.lower() == OTHER_ADDRESS:
        raise ValueError(f"a camera cannot be named {name!r}")
    if not isinstance(address, str):
        raise ValueError(f"camera {name!r}: the address must be a text")
    try:
        return Camera(name, parse_address(address))
    except ValueError as error:
        raise ValueError(f"camera {name!r}: {error}") from None
