"""Metrics of the dashboard in the text format of Prometheus, by camera."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from maskdet.events import Event
from maskdet.serving import access
from maskdet.validation import check_secret

TOKEN_VARIABLE: Final = "MASKDET_METRICS_TOKEN"
"""With it, other machines may read the metrics."""

PATH: Final = "/metrics"

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

REFUSAL: Final = (
    "Metrics are for the server's own machine, or for requests with the header "
    f"`Authorization: Bearer TOKEN`, where {TOKEN_VARIABLE} has the token.\n"
)

BROWSER: Final = "browser"
SAMPLE: Final = "sample"
ENTERED: Final = "entered"
"""Labels of the cameras that visitors bring; the others have their names. Names from
visitors would make endless series, and show who is there."""

_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)

_registry: Final = CollectorRegistry()

SESSIONS: Final = Gauge(
    "maskdet_sessions", "Connected browser tabs.", registry=_registry
)
_FRAMES_RECEIVED: Final = Counter(
    "maskdet_frames_received", "Received frames.", ["camera"], registry=_registry
)
_FRAMES_ANALYZED: Final = Counter(
    "maskdet_frames_analyzed", "Analyzed frames.", ["camera"], registry=_registry
)
_FRAMES_DROPPED: Final = Counter(
    "maskdet_frames_dropped",
    "Frames that were dropped before the analysis, as newer ones had arrived.",
    ["camera"],
    registry=_registry,
)
_FRAMES_FAILED: Final = Counter(
    "maskdet_frames_failed",
    "Frames whose analysis failed.",
    ["camera"],
    registry=_registry,
)
_FRAME_SECONDS: Final = Histogram(
    "maskdet_frame_seconds",
    "Time to decode, analyze and draw a frame.",
    ["camera"],
    buckets=_BUCKETS_S,
    registry=_registry,
)
_EVENTS: Final = Counter(
    "maskdet_events",
    "Events without alerts, whether or not they are recorded.",
    ["camera", "kind"],
    registry=_registry,
)
_ALERTS: Final = Counter("maskdet_alerts", "Alerts.", ["camera"], registry=_registry)


class CameraMetrics:
    """Counts the frames and events of one camera; thread-safe."""

    def __init__(self, camera: str = BROWSER) -> None:
        """Begin the series of a camera, with zeros.

        Args:
            camera: its label.
        """
        self._camera = camera
        self._received = _FRAMES_RECEIVED.labels(camera)
        self._analyzed = _FRAMES_ANALYZED.labels(camera)
        self._dropped = _FRAMES_DROPPED.labels(camera)
        self._failed = _FRAMES_FAILED.labels(camera)
        self._seconds = _FRAME_SECONDS.labels(camera)
        self._alerts = _ALERTS.labels(camera)

    def add_frame(self, n_arrived: int, stage_ms: Mapping[str, float]) -> None:
        """Count a frame.

        Args:
            n_arrived: frames that have arrived since the last one, this one included.
            stage_ms: milliseconds of each stage; empty if the analysis failed.
        """
        self._received.inc(n_arrived)
        self._dropped.inc(n_arrived - 1)
        if stage_ms:
            self._analyzed.inc()
            self._seconds.observe(sum(stage_ms.values()) / 1e3)
        else:
            self._failed.inc()

    def add_events(self, events: Iterable[Event]) -> None:
        """Count events and alerts."""
        for event in events:
            if event.kind == "alert":
                self._alerts.inc()
            else:
                _EVENTS.labels(self._camera, event.kind).inc()


def format_text() -> bytes:
    """Return all metrics as text."""
    return generate_latest(_registry)


def read_token(environment: Mapping[str, str]) -> str:
    """Return the token that other machines must send; empty if none may read.

    Raises:
        ValueError: it is too short or not ASCII; the message does not repeat it.
    """
    token = environment.get(TOKEN_VARIABLE, "").strip()
    if token:
        check_secret(token, TOKEN_VARIABLE)
    return token


def may_read(
    headers: Iterable[tuple[str, str]],
    peer: str | None,
    environment: Mapping[str, str] = os.environ,
) -> bool:
    """Return whether a request may read the metrics.

    Args:
        headers: name and value of each header.
        peer: address of the client.
        environment: may set the token.
    """
    headers = [*headers]
    if access.is_loopback(peer) and not access.has_proxy_header(headers):
        # No page of another site, whose browser is on this machine, gets through.
        return not any(name.lower() == "origin" for name, _ in headers)
    try:
        token = read_token(environment)
    except ValueError:
        return False
    sent = next((v for name, v in headers if name.lower() == "authorization"), "")
    return bool(token) and hmac.compare_digest(
        f"Bearer {token}".encode(), sent.encode()
    )
