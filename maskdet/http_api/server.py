"""What all routes use: workers, videos and metrics of one server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from maskdet.analyzers.pipelines import Analyzer, analyze_decoded, load_analyzer
from maskdet.analyzers.tiles import TiledAnalyzer, Tiling
from maskdet.drawing import draw
from maskdet.http_api.bodies import ReceivedFile
from maskdet.http_api.config import ApiConfig
from maskdet.http_api.metrics import ApiMetrics
from maskdet.http_api.queries import ImageQuery, VideoQuery
from maskdet.http_api.videos import SubmittedVideo, VideoRegistry
from maskdet.http_api.workers import AnalyzerWorkers
from maskdet.media import decode_image, encode_jpeg, encode_png
from maskdet.results_io import ImageRecord, error_record, image_record
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Image
from maskdet.web.preferences import Preferences
from maskdet.web.video.job import VideoOptions

ENCODERS: Final[Mapping[str, Callable[[Image], bytes]]] = {
    "image/jpeg": partial(encode_jpeg, quality=95),
    "image/png": encode_png,
}
"""Encoders of annotated images by media type."""

_IMAGE_NAME: Final = "image"
"""Path in the result of an image that was sent without a file name."""


class ApiServer:
    """Workers, videos and metrics of one server.

    Attributes:
        config: what it runs.
        workers: the threads that analyze images.
        videos: the analyses of videos.
        metrics: counters and times.
    """

    def __init__(self, config: ApiConfig) -> None:
        """Prepare the server; no model is loaded yet."""
        self.config = config
        self.workers = AnalyzerWorkers(
            self._load_analyzer, config.n_workers, config.max_waiting
        )
        self.videos = VideoRegistry(
            lambda options: self._load_analyzer(options.preferences.analyzer),
            config.max_video_jobs,
            config.keep_results_s,
        )
        self.metrics = ApiMetrics(
            lambda: self.workers.n_waiting, lambda: self.videos.n_active
        )

    async def analyze_images(
        self, files: list[ReceivedFile], query: ImageQuery
    ) -> list[ImageRecord]:
        """Return the record of each image; one that cannot be read has an error.

        Raises:
            QueueFullError: too many images wait.
            HTTPException: 422, a parameter is invalid.
        """
        name = query.resolve_analyzer(self.config.analyzer)
        settings = query.override_settings(self.config.settings)
        tiling = query.override_tiling(self.config.tiling)
        self.workers.reserve(len(files))
        works = [
            partial(
                _analyze_image,
                file=file,
                settings=settings,
                tiling=tiling,
                rotate=query.rotate,
            )
            for file in files
        ]
        records = await asyncio.gather(
            *(self.workers.run(name, work) for work in works)
        )
        for record in records:
            self.metrics.images.labels("error" if record["error"] else "ok").inc()
            for face in record["faces"]:
                self.metrics.faces.labels(face["label"]).inc()
        return records

    async def annotate_image(
        self, file: ReceivedFile, query: ImageQuery, media_type: str
    ) -> bytes:
        """Return the image with its faces drawn, in a format of `ENCODERS`.

        Raises:
            QueueFullError: too many images wait.
            ValueError: the image cannot be read; the message says why.
            HTTPException: 422, a parameter is invalid.
        """
        work = partial(
            _annotate_image,
            file=file,
            settings=query.override_settings(self.config.settings),
            tiling=query.override_tiling(self.config.tiling),
            rotate=query.rotate,
            style=query.override_style(self.config.style),
            media_type=media_type,
        )
        name = query.resolve_analyzer(self.config.analyzer)
        self.workers.reserve(1)
        try:
            content = await self.workers.run(name, work)
        except ValueError:
            self.metrics.images.labels("error").inc()
            raise
        self.metrics.images.labels("ok").inc()
        return content

    def submit_video(
        self, file: ReceivedFile, query: VideoQuery, owner: str
    ) -> SubmittedVideo:
        """Start the analysis of a video.

        Raises:
            TooManyVideosError: too many wait.
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

    def _load_analyzer(self, name: str) -> Analyzer:
        return load_analyzer(name, self.config.classifier, refine=self.config.refine)


def _analyze_image(
    analyzer: Analyzer,
    *,
    file: ReceivedFile,
    settings: Settings,
    tiling: Tiling | None,
    rotate: int,
) -> ImageRecord:
    path = file.name or _IMAGE_NAME
    try:
        image = decode_image(file.content).rotate(rotate)
    except (ValueError, OSError) as error:
        return error_record(path, str(error))
    scene = analyze_decoded(_apply_tiling(analyzer, tiling), image, settings)
    return image_record(path, (image.width, image.height), scene)


def _annotate_image(
    analyzer: Analyzer,
    *,
    file: ReceivedFile,
    settings: Settings,
    tiling: Tiling | None,
    rotate: int,
    style: Style,
    media_type: str,
) -> bytes:
    image = decode_image(file.content).rotate(rotate)
    scene = analyze_decoded(_apply_tiling(analyzer, tiling), image, settings)
    drawn = draw(image.pixels, image.scale_scene(scene), style)
    return ENCODERS[media_type](drawn)


def _apply_tiling(analyzer: Analyzer, tiling: Tiling | None) -> Analyzer:
    return analyzer if tiling is None else TiledAnalyzer(analyzer, tiling)
