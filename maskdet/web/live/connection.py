"""How a live stream does: connecting, playing, broken off, or connecting again.

Which STUN and TURN servers help the browser and the server find each other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S: Final = 10.0
"""A stream that will connect did so within 7 s in every case that was measured,
even with a STUN server that never answers."""

RECONNECT_DELAYS_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Before each attempt to connect again; after the last one the visitor decides."""

STABLE_AFTER_S: Final = 10.0
"""A stream that plays for so long has recovered, and the attempts count anew."""

STALLED_AFTER_S: Final = 10.0
"""A stream that plays without a frame for so long is dead: streamlit-webrtc leaves it
like that after an error, with the last image standing."""

_START_TIMEOUT_S: Final = 3.0
"""A browser that is asked to start and can does so in less."""

ConnectionPhase: TypeAlias = Literal[
    "idle", "connecting", "playing", "lost", "asking", "stopping", "ended", "given up"
]

_RECONNECTING_PHASES: Final = ("lost", "asking", "stopping")


class StreamConnection:
    """What became of a stream since Start, and what to do about it.

    Attributes:
        phase: `idle` before Start and after Stop; `connecting`; `playing`; `lost`, it
            broke off and waits for the next attempt; `asking`, the browser is asked to
            start; `stopping`, the browser is asked to stop; `ended`, perhaps by the
            visitor; `given up`, after the last attempt.
        attempt: which attempt to connect again this is, from 1 on; 0 without.
        timed_out: whether connecting took longer than `CONNECT_TIMEOUT_S`, until one
            connects.
        restarting: whether the streamer must not be shown, so that it begins anew.
        server_full: whether it is not shown because all places are taken.
    """

    def __init__(self) -> None:
        """Start before Start."""
        self.phase: ConnectionPhase = "idle"
        self.attempt = 0
        self.timed_out = self.restarting = self.server_full = False
        self._since_s = 0.0

    @property
    def streamer_visible(self) -> bool:
        """Whether the browser shows the streamer."""
        return not (self.restarting or self.server_full)

    @property
    def desired_playing(self) -> bool | None:
        """What the browser is told: to start, to stop, or to obey its buttons."""
        return {"asking": True, "stopping": False}.get(self.phase)

    @property
    def needs_updates(self) -> bool:
        """Whether time alone changes something, so that `update` must be called."""
        return self.restarting or self.phase in (
            "connecting",
            "playing",
            *_RECONNECTING_PHASES,
        )

    @property
    def reconnecting(self) -> bool:
        """Whether a stream that broke off is about to go on."""
        return self.phase in _RECONNECTING_PHASES or (
            self.phase == "connecting" and self.attempt > 0
        )

    def update(
        self,
        *,
        playing: bool,
        signalling: bool,
        last_button: str,
        last_frame_s: float,
        now_s: float,
    ) -> bool:
        """Take in the state of the stream; return whether something changed.

        Nothing starts a camera again after its visitor has pressed Stop, nor where it
        is not known what was pressed.

        Args:
            playing: the connection stands.
            signalling: the two sides look for each other.
            last_button: the streamer's button that the visitor pressed last, "Start" or
                "Stop"; empty if that is not known.
            last_frame_s: when the last frame came, on the clock of `now_s`.
            now_s: seconds that never go back.
        """
        state_before = self._get_visible_state()
        if playing:
            self._handle_playing(last_frame_s, now_s)
        elif signalling:
            self._handle_connecting(now_s)
        elif not (self.restarting and now_s < self._since_s):
            self._handle_stopped(last_button, now_s)
        return state_before != self._get_visible_state()

    def fail(self, now_s: float) -> None:
        """Note that the server could not take the stream; its streamer begins anew."""
        self._schedule_reconnect(now_s)
        self.restarting = True
        self._since_s = max(self._since_s, now_s + RECONNECT_DELAYS_S[0])

    def cancel(self) -> None:
        """Give up connecting again."""
        self.phase, self.attempt, self.restarting = "idle", 0, False

    def _get_visible_state(self) -> tuple[object, ...]:
        return self.phase, self.attempt, self.timed_out, self.restarting

    def _handle_playing(self, last_frame_s: float, now_s: float) -> None:
        self.timed_out = self.restarting = False
        if self.phase == "stopping":
            return
        if self.phase != "playing":
            self.phase, self._since_s = "playing", now_s
        if now_s - self._since_s >= STABLE_AFTER_S:
            self.attempt = 0
        if now_s - max(self._since_s, last_frame_s) >= STALLED_AFTER_S:
            self.phase = "stopping"

    def _handle_connecting(self, now_s: float) -> None:
        self.restarting = False
        if self.phase == "stopping":
            return
        if self.phase != "connecting":
            if self.phase not in ("lost", "asking"):
                self.attempt = 0
            self.phase, self._since_s = "connecting", now_s
        waited_s = now_s - self._since_s
        self.timed_out = self.timed_out or waited_s >= CONNECT_TIMEOUT_S
        if self.attempt and waited_s >= 2 * CONNECT_TIMEOUT_S:
            self.phase = "stopping"

    def _handle_stopped(self, last_button: str, now_s: float) -> None:
        self.restarting = self.restarting and self.phase == "lost"
        if last_button != "Start":
            if self.phase != "ended":
                broke_off = (
                    self.phase in ("playing", *_RECONNECTING_PHASES) and not last_button
                )
                self.cancel()
                self.phase = "ended" if broke_off else "idle"
        elif self.phase in ("connecting", "playing", "stopping"):
            self._schedule_reconnect(now_s)
        elif self.phase == "lost" and now_s >= self._since_s:
            self.phase, self.restarting, self._since_s = "asking", False, now_s
        elif self.phase == "asking" and now_s - self._since_s >= _START_TIMEOUT_S:
            self._schedule_reconnect(now_s)

    def _schedule_reconnect(self, now_s: float) -> None:
        self.attempt += 1
        if self.attempt > len(RECONNECT_DELAYS_S):
            self.phase, self.attempt = "given up", 0
        else:
            self.phase = "lost"
            self._since_s = now_s + RECONNECT_DELAYS_S[self.attempt - 1]


def can_use_camera(page_url: str) -> bool:
    """Return whether browsers give a page at this address a camera at all.

    They do over HTTPS and on the machine itself ("secure contexts", W3C). An address
    that is not known counts as allowed.
    """
    parts = urlsplit(page_url)
    host = parts.hostname or ""
    is_local_host = host in ("localhost", "127.0.0.1", "::1") or host.endswith(
        ".localhost"
    )
    return parts.scheme != "http" or is_local_host


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
