"""Metrics of the HTTP server in the text format of Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_METHODS: Final = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")


class ApiMetrics:
    """Counters and times of one server.

    Attributes:
        images: analyzed images by `result`: `ok` or `error`.
        faces: detected faces by `label`.
        refused: images and videos that were refused because too many waited.
        requests: time of requests in seconds, by `path`, `method` and `status`.
    """

    def __init__(
        self, count_waiting: Callable[[], float], count_jobs: Callable[[], float]
    ) -> None:
        """Register the metrics.

        Args:
            count_waiting: returns the number of images that wait or are analyzed.
            count_jobs: likewise for videos.
        """
        self._registry = registry = CollectorRegistry()
        self.images = Counter(
            "maskdet_images", "Analyzed images.", ["result"], registry=registry
        )
        self.faces = Counter(
            "maskdet_faces", "Detected faces.", ["label"], registry=registry
        )
        self.refused = Counter(
            "maskdet_refused", "Refused images and videos.", registry=registry
        )
        self.requests = Histogram(
            "maskdet_request_seconds",
            "Time of requests.",
            ["method", "path", "status"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        for name, title, count in (
            (
                "maskdet_images_waiting",
                "Images that wait or are analyzed.",
                count_waiting,
            ),
            ("maskdet_videos_active", "Videos that wait or are analyzed.", count_jobs),
        ):
            Gauge(name, title, registry=registry).set_function(count)

    def format_text(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self._registry)


class RequestTimer:
    """ASGI middleware that measures requests."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        """Wrap an application."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, and add its time to the metrics."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started_s = time.perf_counter()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            # IDs of videos and invented methods would make endless series.
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, path, str(status)).observe(
                time.perf_counter() - started_s
            )
