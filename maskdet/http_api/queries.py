"""Query parameters of requests, checked like the options of the command line."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Final

from fastapi import HTTPException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from maskdet.analyzers.pipelines import ANALYZERS
from maskdet.analyzers.tiles import Tiling
from maskdet.media import validate_rotation
from maskdet.settings import Settings
from maskdet.style import Style

MIN_TILE_PX: Final = 320
"""With smaller tiles, one large image would keep a worker busy for minutes."""

_THRESHOLDS = ("min_score", "min_confidence", "min_face_px", "nms_iou")


class AnalysisQuery(BaseModel):
    """Parameters of images and videos; what is not given is that of the server."""

    model_config = ConfigDict(extra="forbid")

    analyzer: str | None = Field(None, description="name of an analyzer")
    min_score: float | None = Field(None, description="detection threshold, 0 to 1")
    min_confidence: float | None = Field(
        None, description="confidence threshold: below it the label is unknown, 0 to 1"
    )
    min_face_px: float | None = Field(
        None, description="drop faces whose shorter side is smaller, in pixels"
    )
    nms_iou: float | None = Field(
        None, description="of two boxes with a higher IoU, drop one, 0 to 1"
    )
    rotate: Annotated[int, AfterValidator(validate_rotation)] = Field(
        0, description="rotate clockwise by this angle in degrees first"
    )
    blur: bool = Field(False, description="blur all faces in annotated output")

    def resolve_analyzer(self, default: str) -> str:
        """Return the name of the analyzer.

        Raises:
            HTTPException: 422, there is no such analyzer.
        """
        name = self.analyzer or default
        if name not in ANALYZERS:
            raise HTTPException(
                422, f"analyzer must be one of {', '.join(ANALYZERS)}, not {name!r}"
            )
        return name

    def override_settings(self, settings: Settings) -> Settings:
        """Return the settings with the thresholds of the request.

        Raises:
            HTTPException: 422, a value is out of range.
        """
        values = {
            name: value
            for name in _THRESHOLDS
            if (value := getattr(self, name)) is not None
        }
        try:
            return dataclasses.replace(settings, **values)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    def override_style(self, style: Style) -> Style:
        """Return the style with the choice of the request."""
        return dataclasses.replace(style, blur=style.blur or self.blur)


class ImageQuery(AnalysisQuery):
    """Parameters of images."""

    tiles: int | None = Field(
        None,
        ge=MIN_TILE_PX,
        description="also analyze overlapping tiles of this size in pixels",
    )

    def override_tiling(self, tiling: Tiling | None) -> Tiling | None:
        """Return the tiles of the request, or those of the server."""
        return tiling if self.tiles is None else Tiling(self.tiles)


class VideoQuery(AnalysisQuery):
    """Parameters of videos."""

    every: int = Field(1, ge=1, le=1000, description="analyze every n-th frame")
    name: str = Field("video", max_length=200, description="name in the report")
