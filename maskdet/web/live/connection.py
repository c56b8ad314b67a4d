"""State machine of a WebRTC connection with reconnects, and its ICE configuration."""

from __future__ import annotations

import base64
import copy
import hmac
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S: Final = 10.0
"""In all measurements, successful connections took at most 7 s, even with a STUN server
that does not respond."""

RECONNECT_DELAYS_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Delay before each reconnect; after the last one the visitor must press Start."""

STABLE_AFTER_S: Final = 10.0
"""After playing for this time, a stream has recovered and the attempts are reset."""

STALLED_AFTER_S: Final = 10.0
"""A stream without a frame for this time is dead: streamlit-webrtc leaves it in this
state after an error, and the browser shows the last frame."""

_START_TIMEOUT_S: Final = 3.0
"""Time in which a browser starts after it was requested to."""

ConnectionPhase: TypeAlias = Literal[
    "idle",
    "connecting",
    "playing",
    "waiting",
    "starting",
    "stopping",
    "ended",
    "failed",
]

_RECONNECTING_PHASES: Final = ("waiting", "starting", "stopping")

ICE_SERVERS_VARIABLE = "MASKDET_ICE_SERVERS"
"""A JSON list as in `RTCPeerConnection`: `[{"urls": "turn:...", "username": ...}]`."""

TURN_URLS_VARIABLE: Final = "MASKDET_TURN_URLS"
"""URLs of an own TURN server, separated by spaces; this server uses the first one."""

TURN_SECRET_VARIABLE: Final = "MASKDET_TURN_SECRET"
"""The secret of that server, coturn's `static-auth-secret`. It stays on this server:
browsers get a password that is valid for 12 to 24 hours."""

_TURN_WINDOW_S: Final = 43_200

TURN_PROVIDER_VARIABLES: tuple[tuple[str, ...], ...] = (
    ("CLOUDFLARE_TURN_KEY_ID", "CLOUDFLARE_TURN_KEY_API_TOKEN"),
    ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"),
    ("HF_TOKEN",),
)
"""If all variables of a row are set, streamlit-webrtc uses that provider by itself."""

_URL_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")

_SERVER_KEYS = {"urls", "username", "credential", "credentialType"}

# Media Capture and Streams, W3C: what `getUserMedia` fails with.
_CAMERA_ADVICE: Final = {
    "NotFoundError": "**No camera was found.** Connect one and press **Start** again.",
    "NotAllowedError": "**The browser may not use the camera.** Allow it with the "
    "camera symbol in the address bar and press **Start** again.",
    "NotReadableError": "**The camera is in use by another program.** Close that "
    "program and press **Start** again.",
    "OverconstrainedError": "**The camera does not offer this size or frame rate.** "
    "Choose others under **Advanced** in the sidebar and press **Start** again.",
}


class StreamConnection:
    """Connection state of a stream, and the next action.

    Attributes:
        phase: `idle` before Start and after Stop; `connecting`; `playing`; `waiting`
            for the next reconnect after an interruption; `starting`, the browser is
            requested to start; `stopping`, the browser is requested to stop; `ended`,
            possibly by the visitor; `failed`, after the last attempt.
        attempt: number of the reconnect, from 1 on; 0 if there is none.
        timed_out: whether connecting took longer than `CONNECT_TIMEOUT_S`, until a
            connection succeeds.
        restarting: whether the streamer is hidden so that it is created anew.
        server_full: whether it is hidden because all viewer slots are taken.
    """

    def __init__(self) -> None:
        """Start in the phase `idle`."""
        self.phase: ConnectionPhase = "idle"
        self.attempt = 0
        self.timed_out = self.restarting = self.server_full = False
        self._since_s = 0.0
        self._is_requested = False

    @property
    def streamer_visible(self) -> bool:
        """Whether the browser shows the streamer."""
        return not (self.restarting or self.server_full)

    @property
    def desired_playing(self) -> bool | None:
        """Whether the browser must start or stop; `None` if its buttons decide."""
        return {"starting": True, "stopping": False}.get(self.phase)

    @property
    def needs_updates(self) -> bool:
        """Whether the state can change with time, so that `update` must be called."""
        return self.restarting or self.phase in (
            "connecting",
            "playing",
            *_RECONNECTING_PHASES,
        )

    @property
    def reconnecting(self) -> bool:
        """Whether an interrupted stream is being reconnected."""
        return self.phase in ("waiting", "stopping") or (
            self.phase in ("connecting", "starting") and self.attempt > 0
        )

    def start(self, now_s: float) -> None:
        """Have the browser start, as if the visitor had pressed Start.

        Args:
            now_s: monotonic time in seconds.
        """
        self.phase, self.attempt, self._since_s = "starting", 0, now_s
        self._is_requested = True

    def update(
        self,
        *,
        playing: bool,
        signalling: bool,
        last_button: str,
        last_frame_s: float,
        now_s: float,
    ) -> bool:
        """Update the phase from the state of the stream; return whether it changed.

        The camera is not started again after the visitor has pressed Stop, or if the
        last button is not known.

        Args:
            playing: whether the connection is established.
            signalling: whether it is being negotiated.
            last_button: the streamer's button that the visitor pressed last, "Start" or
                "Stop"; empty if not known.
            last_frame_s: time of the last frame, on the clock of `now_s`.
            now_s: monotonic time in seconds.
        """
        state_before = self._get_visible_state()
        if last_button:
            self._is_requested = False
        elif self._is_requested:
            last_button = "Start"
        if playing:
            self._handle_playing(last_frame_s, now_s)
        elif signalling:
            self._handle_connecting(now_s)
        elif not (self.restarting and now_s < self._since_s):
            self._handle_stopped(last_button, now_s)
        return state_before != self._get_visible_state()

    def is_due(self, **observed: Any) -> bool:
        """Return whether `update` would change the phase; safe in any thread."""
        return copy.copy(self).update(**observed)

    def fail(self, now_s: float) -> None:
        """Record that the server could not start the stream; recreate the streamer."""
        self._schedule_reconnect(now_s)
        self.restarting = True
        self._since_s = max(self._since_s, now_s + RECONNECT_DELAYS_S[0])

    def cancel(self) -> None:
        """Cancel all reconnects."""
        self.phase, self.attempt, self.restarting = "idle", 0, False
        self._is_requested = False

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
            if self.phase not in ("waiting", "starting"):
                self.attempt = 0
            self.phase, self._since_s = "connecting", now_s
        waited_s = now_s - self._since_s
        self.timed_out = self.timed_out or waited_s >= CONNECT_TIMEOUT_S
        if self.attempt and waited_s >= 2 * CONNECT_TIMEOUT_S:
            self.phase = "stopping"

    def _handle_stopped(self, last_button: str, now_s: float) -> None:
        self.restarting = self.restarting and self.phase == "waiting"
        if last_button != "Start":
            if self.phase != "ended":
                was_interrupted = (
                    self.phase in ("playing", *_RECONNECTING_PHASES) and not last_button
                )
                self.cancel()
                self.phase = "ended" if was_interrupted else "idle"
        elif self.phase in ("connecting", "playing", "stopping"):
            self._schedule_reconnect(now_s)
        elif self.phase == "waiting" and now_s >= self._since_s:
            self.phase, self.restarting, self._since_s = "starting", False, now_s
        elif self.phase == "starting":
            # The page that is started may still be loading.
            timeout_s = _START_TIMEOUT_S if self.attempt else CONNECT_TIMEOUT_S
            if now_s - self._since_s >= timeout_s:
                self._schedule_reconnect(now_s)

    def _schedule_reconnect(self, now_s: float) -> None:
        self.attempt += 1
        if self.attempt > len(RECONNECT_DELAYS_S):
            self.phase, self.attempt = "failed", 0
        else:
            self.phase = "waiting"
            self._since_s = now_s + RECONNECT_DELAYS_S[self.attempt - 1]


def describe_camera_error(name: str) -> str:
    """Return what to do when the browser cannot open the camera, as Markdown.

    Args:
        name: name of the `DOMException` of `getUserMedia`; empty for none.
    """
    if not name:
        return ""
    advice = _CAMERA_ADVICE.get(
        name, f"**The camera could not be started** ({name}). Try another browser."
    )
    return f"{advice} Or play the sample video, which needs no camera."


def can_use_camera(page_url: str) -> bool:
    """Return whether browsers allow camera access for a page at this URL.

    They allow it in secure contexts (W3C): over HTTPS and on localhost. An unknown URL
    counts as allowed.
    """
    parts = urlsplit(page_url)
    host = parts.hostname or ""
    is_local_host = host in ("localhost", "127.0.0.1", "::1") or host.endswith(
        ".localhost"
    )
    return parts.scheme != "http" or is_local_host


def get_rtc_configuration(
    environment: Mapping[str, str] = os.environ,
    *,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Return the RTC configuration of `webrtc_streamer` from the environment.

    Streamlit copies the top level of its secrets into the environment, so a secret of
    the same name works too. Without any, no server is used: on localhost and within
    one network none is needed, and a STUN server behind a firewall costs 5 seconds.

    Args:
        environment: names the servers.
        clock: seconds since 1970.

    Raises:
        ValueError: the variable is not a valid list of servers; the message says why.
    """
    text = environment.get(ICE_SERVERS_VARIABLE, "").strip()
    if text:
        return {"iceServers": _parse_ice_servers(text)}
    secret = environment.get(TURN_SECRET_VARIABLE, "").strip()
    if secret:
        urls = environment.get(TURN_URLS_VARIABLE, "").split()
        return {"iceServers": [_make_turn_server(urls, secret, clock())]}
    if any(
        all(environment.get(name) for name in row) for row in TURN_PROVIDER_VARIABLES
    ):
        return {}
    return {"iceServers": []}


def _make_turn_server(urls: list[str], secret: str, now_s: float) -> dict[str, Any]:
    """Return a TURN server with a password that expires ("TURN REST API" of coturn).

    It changes only twice a day, as each change is sent to the browser.
    """
    if not urls or not all(url.startswith(("turn:", "turns:")) for url in urls):
        raise ValueError(
            f"{TURN_SECRET_VARIABLE} needs {TURN_URLS_VARIABLE} with URLs such as "
            "turn:turn.example.org:3478"
        )
    username = str((int(now_s) // _TURN_WINDOW_S + 2) * _TURN_WINDOW_S)
    digest = hmac.digest(secret.encode(), username.encode(), "sha1")
    credential = base64.b64encode(digest).decode()
    return {"urls": urls, "username": username, "credential": credential}


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
        # The entry may contain a password, so the message does not repeat it.
        if not isinstance(server, dict) or not set(server) <= _SERVER_KEYS:
            allowed_keys = ", ".join(sorted(_SERVER_KEYS))
            raise ValueError(
                f"{ICE_SERVERS_VARIABLE}: each server must be an object with the keys "
                f"{allowed_keys}"
            )
        urls = server.get("urls")
        for url in urls if isinstance(urls, list) and urls else [urls]:
            if not isinstance(url, str) or not url.startswith(_URL_SCHEMES):
                raise ValueError(
                    f"{ICE_SERVERS_VARIABLE}: urls must begin with "
                    f"{', '.join(_URL_SCHEMES)}"
                )
    return servers
