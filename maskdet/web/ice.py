"""Which STUN and TURN servers help the browser and the server find each other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

ICE_SERVERS_VARIABLE = "MASKDET_ICE_SERVERS"
"""A JSON list as in `RTCPeerConnection`: `[{"urls": "turn:...", "username": ...}]`."""

TURN_PROVIDER_VARIABLES: tuple[tuple[str, ...], ...] = (
    ("CLOUDFLARE_TURN_KEY_ID", "CLOUDFLARE_TURN_KEY_API_TOKEN"),
    ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"),
    ("HF_TOKEN",),
)
"""With all variables of a row set, streamlit-webrtc asks that provider by itself."""

_URL_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")
_SERVER_KEYS = {"urls", "username", "credential", "credentialType"}


def get_rtc_configuration(
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """Return what `webrtc_streamer` is told, from the environment.

    Streamlit puts the top level of its secrets into the environment, so a secret of
    the same name does as well. Without any, no server is asked: on localhost and in
    one network none is needed, and a STUN server behind a firewall costs 5 seconds.

    Raises:
        ValueError: the variable is not a list of servers; the message says why.
    """
    text = environment.get(ICE_SERVERS_VARIABLE, "").strip()
    if text:
        return {"iceServers": _parse_ice_servers(text)}
    if any(
        all(environment.get(name) for name in row) for row in TURN_PROVIDER_VARIABLES
    ):
        return {}
    return {"iceServers": []}


def _parse_ice_servers(text: str) -> list[dict[str, Any]]:
    example = '[{"urls": "stun:stun.example.org:3478"}]'
    try:
        servers = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(
            f"{ICE_SERVERS_VARIABLE} is not valid JSON; try {example}"
        ) from None
    if not isinstance(servers, list):
        raise ValueError(
            f"{ICE_SERVERS_VARIABLE} must be a JSON list such as {example}"
        )
    for server in servers:
        # The server itself may hold a password, so it is not repeated.
        if not isinstance(server, dict) or not set(server) <= _SERVER_KEYS:
            allowed_keys = ", ".join(sorted(_SERVER_KEYS))
            raise ValueError(
                f"{ICE_SERVERS_VARIABLE}: each server is an object of {allowed_keys}"
            )
        urls = server.get("urls")
        for url in urls if isinstance(urls, list) and urls else [urls]:
            if not isinstance(url, str) or not url.startswith(_URL_SCHEMES):
                raise ValueError(
                    f"{ICE_SERVERS_VARIABLE}: urls must begin with "
                    f"{', '.join(_URL_SCHEMES)}"
                )
    return servers
