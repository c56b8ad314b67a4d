"""What all routes use: workers, videos and metrics of one server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from maskdet.analyzers.pipelines import Analyzer, analyze_decoded, load_analyzer
from maskdet.analyzers.tiles import Tiling, apply_tiling
from maskdet.drawing import draw
from maskdet.http_api.bodies import ReceivedBytes, ReceivedFile
from maskdet.http_api.config import ApiConfig
from maskdet.http_api.metrics import ApiMetrics
from maskdet.http_api.queries import ImageQuery, VideoQuery
from maskdet.http_api.videos import SubmittedVideo, VideoRegistry
from maskdet.http_api.workers import AnalyzerWorkers, hide_load_error
from maskdet.media import decode_image, encode_jpeg, encode_png
from maskdet.results_io import ImageRecord, error_record, image_record
from maskdet.serving.preferences import Preferences
from maskdet.serving.video_job import VideoOptions
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Image

ENCODERS: Final[Mapping[str, Callable[[Image], bytes]]] = {
    "image/jpeg": partial(encode_jpeg, quality=95),
    "image/png": encode_png,
}
"""Encoders of annotated images by media type."""

_IMAGE_NAME: Final = "image"
"""Path in the result of an image that was sent without a file name."""


class ImageResponse(NamedTuple):
    """What the server returns for an image.

    Attributes:
        record: its faces, or the error if it could not be read.
        annotated: the image with its faces drawn; empty if not asked for.
    """

    record: ImageRecord
    annotated: bytes


@dataclass(frozen=True)
class _ImageOptions:
    """How the images of one request are analyzed and drawn."""

    settings: Settings
    tiling: Tiling | None
    rotate: int
    style: Style
    media_type: str | None


class ApiServer:
    """Workers, videos and metrics of one server.

    Attributes:
        config: what it runs.
        workers: the threads that analyze images.
        videos: the analyses of videos.
        received: size of the requests in memory.
        metrics: counters and times.
    """

    def __init__(self, config: ApiConfig) -> None:
        """Prepare the server; no model is loaded yet."""
        self.config = config
        self.workers = AnalyzerWorkers(
            self._load_analyzer, config.n_workers, config.max_waiting
        )
        self.videos = VideoRegistry(self._load_for_video, config)
        self.received = ReceivedBytes()
        self.metrics = ApiMetrics(
            lambda: self.workers.n_waiting, lambda: self.videos.n_active
        )

    async def analyze_images(
        self, files: list[ReceivedFile], query: ImageQuery, media_type: str | None
    ) -> list[ImageResponse]:
        """Analyze images; the record of one that cannot be read has an error.

        Args:
            files: the images.
            query: parameters of the request.
            media_type: in `ENCODERS`, to draw the faces; None: only records.

        Raises:
            ServerBusyError: too many images wait.
            AnalyzerUnavailableError: a model or a library is missing or broken.
            HTTPException: 422, a parameter is invalid.
        """
        name = query.resolve_analyzer(self.config.analyzer)
        options = _ImageOptions(
            query.override_settings(self.config.settings),
            query.override_tiling(self.config.tiling),
            query.rotate,
            query.override_style(self.config.style),
            media_type,
        )
        self.workers.reserve(len(files))
        works = [partial(_analyze_image, file=file, options=options) for file in files]
        images = await asyncio.gather(*(self.workers.run(name, work) for work in works))
        for record, _ in images:
            self.metrics.images.labels("error" if record["error"] else "ok").inc()
            for face in record["faces"]:
                self.metrics.faces.labels(face["label"]).inc()
        return images

    def submit_video(
        self, file: ReceivedFile, query: VideoQuery, owner: str
    ) -> SubmittedVideo:
        """Start the analysis of a video; `videos.reserve` comes first.

        Raises:
            OSError: there is no room for the video.
            HTTPException: 422, a parameter is invalid.
        """
        preferences = Preferences(
            analyzer=query.resolve_analyzer(self.config.video_analyzer),
            settings=query.override_settings(self.config.settings),
            style=query.override_style(self.config.style),
        )
        options = VideoOptions(preferences, every=query.every, rotate=query.rotate)
        return self.videos.submit(file.name or query.name, file.content, options, owner)

    def close(self) -> None:
        """Stop all work and delete all videos."""
        self.videos.close()
        self.workers.close()

    def _load_for_video(self, options: VideoOptions) -> Analyzer:
        name = options.preferences.analyzer
        with hide_load_error(name):
            return self._load_analyzer(name)

    def _load_analyzer(self, name: str) -> Analyzer:
        return load_analyzer(name, self.config.classifier, refine=self.config.refine)


def _analyze_image(
    analyzer: Analyzer, *, file: ReceivedFile, options: _ImageOptions
) -> ImageResponse:
    path = file.name or _IMAGE_NAME
    try:
        image = decode_image(file.content).rotate(options.rotate)
    except (ValueError, OSError) as error:
        return ImageResponse(error_record(path, str(error)), b"")
    analyzer = apply_tiling(analyzer, options.tiling)
    scene = analyze_decoded(analyzer, image, options.settings)
    annotated = b""
    if options.media_type is not None:
        drawn = draw(image.pixels, image.scale_scene(scene), options.style)
        annotated = ENCODERS[options.media_type](drawn)
    return ImageResponse(
        image_record(path, (image.width, image.height), scene), annotated
    )
