"""Configuration of the HTTP server: models, limits and API keys."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from maskdet.analyzers.pipelines import DEFAULT_ANALYZER
from maskdet.analyzers.tiles import Tiling
from maskdet.classifier import DEFAULT_CLASSIFIER
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.threads import N_THREADS, count_cores
from maskdet.validation import check_secret

KEYS_VARIABLE: Final = "MASKDET_API_KEYS"
"""Accepted API keys, separated by commas or spaces."""

MAX_IMAGES: Final = 100
"""Maximum number of images of one request."""

MAX_REQUEST_MB: Final = 100
"""Maximum size of a request with images."""

MAX_VIDEO_MB: Final = 400
"""Maximum size of a video, as in the dashboard."""

MAX_RECEIVED_MB: Final = 1000
"""Maximum size of the bodies of all requests that are in memory."""


class ServerBusyError(Exception):
    """The server has too much to do.

    Attributes:
        retry_after_s: whole seconds after which to try again.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        """Store the message and the time to wait."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


def count_workers() -> int:
    """Return the default number of workers for the cores that this process may use.

    It is one more than the threads of the networks need, as one decodes an image
    meanwhile. More would only need memory, and wait for each other.
    """
    return 1 + count_cores() // N_THREADS


@dataclass(frozen=True)
class ApiConfig:
    """What the server runs, and for whom.

    Attributes:
        analyzer: name in `ANALYZERS` for images, unless a request names another one.
        video_analyzer: likewise for videos.
        classifier: name or path of the classifier.
        refine: whether the default classifier re-checks low-confidence faces.
        settings: thresholds, unless a request sets them.
        style: how annotated images and videos look.
        tiling: tiles for small faces in images, or None.
        n_workers: images that are analyzed at the same time, each with its own models.
        max_waiting: images that may wait for a worker; more are refused.
        max_video_jobs: videos that may wait or be analyzed; more are refused.
        max_videos: likewise, with those whose results are kept.
        keep_results_s: time in seconds after which the result of a video is deleted.
        keys: accepted API keys; none means that no key is asked for.
    """

    analyzer: str = DEFAULT_ANALYZER
    video_analyzer: str = DEFAULT_ANALYZER
    classifier: str = DEFAULT_CLASSIFIER
    refine: bool = True
    settings: Settings = field(default_factory=Settings)
    style: Style = field(default_factory=Style)
    tiling: Tiling | None = None
    n_workers: int = field(default_factory=count_workers)
    max_waiting: int = 200
    max_video_jobs: int = 8
    max_videos: int = 40
    keep_results_s: float = 3600.0
    keys: tuple[str, ...] = field(default=(), repr=False)

    def identify_caller(self, key: str) -> str | None:
        """Return an ID of the caller who sent a key, or None if it is not accepted.

        The ID is empty if no key is asked for. All keys are compared in constant time.
        """
        if not self.keys:
            return ""
        sent = key.encode()
        accepted = [
            known for known in self.keys if hmac.compare_digest(known.encode(), sent)
        ]
        return hashlib.sha256(accepted[0].encode()).hexdigest() if accepted else None


def read_api_keys(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the API keys of the environment; none if the variable is not set.

    Raises:
        ValueError: a key is too short or not ASCII; the message does not repeat it.
    """
    keys = environment.get(KEYS_VARIABLE, "").replace(",", " ").split()
    for number, key in enumerate(keys, start=1):
        check_secret(key, f"{KEYS_VARIABLE}: key {number}")
    return tuple(keys)
