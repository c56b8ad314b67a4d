"""Tiled analysis: analyze overlapping tiles of a large image and merge the faces."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

from maskdet.analyzers.onepass import Resize
from maskdet.analyzers.pipelines import Analyzer, get_pipeline
from maskdet.boxes import Boxes, iou_matrix, nms, sizes_px
from maskdet.settings import Settings
from maskdet.types import BLUR_MIN_SCORE, Faces, Image, Scene, check_image
from maskdet.validation import check_fields

MIN_TILE_PX = 64
"""Smaller tiles would be too many, and too small for a face with its surroundings."""

_NMS_IOU = 0.5
"""NMS threshold for boxes of different tiles."""

_BORDER_PX = 2.0
"""A box this close to an inner border of its tile may be a cut face."""

_VISIBLE_PX = 9.0
"""Size of a face in the network's input from which the whole image has at least a weak
detection of it. A tile's detection of this size without one is a part of a larger
object."""

_VISIBLE_RATIO = 0.1
"""The same for other analyzers, as a fraction of the longer side of the image."""

_MIN_GUESS_SCORE = 0.1
"""Lowest detection score of such a weak detection."""

Tile = tuple[int, int, int, int]
"""`x1, y1, x2, y2` in whole pixels of the image."""


@dataclass(frozen=True)
class Tiling:
    """How an image is split into tiles.

    Attributes:
        side_px: side of the tiles, which are square if the image is large enough.
        overlap: overlap of neighbouring tiles, as a fraction of the side. A face that
            is smaller than the overlap is complete in at least one tile.

    Raises:
        ValueError: a value is out of range.
    """

    side_px: Annotated[int, Interval(ge=MIN_TILE_PX)] = 640
    overlap: Annotated[float, Interval(ge=0, le=0.75)] = 0.25

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)

    def split(self, width: int, height: int) -> list[Tile]:
        """Return tiles of equal size that cover the image, row by row."""
        tile_width = min(self.side_px, width)
        tile_height = min(self.side_px, height)
        return [
            (x, y, x + tile_width, y + tile_height)
            for y in self._starts(height)
            for x in self._starts(width)
        ]

    def _starts(self, length: int) -> list[int]:
        """Return evenly spaced tile starts along one side, the last at the border."""
        remaining_px = length - self.side_px
        if remaining_px <= 0:
            return [0]
        step = max(1, int(self.side_px * (1 - self.overlap)))
        steps = -(-remaining_px // step)
        return [round(remaining_px * number / steps) for number in range(steps + 1)]


class TiledAnalyzer:
    """An analyzer that also analyzes each tile of a large image."""

    def __init__(self, analyzer: Analyzer, tiling: Tiling | None = None) -> None:
        """Wrap an analyzer.

        Args:
            analyzer: analyzes the whole image, then each tile.
            tiling: how images are split; by default `Tiling()`.
        """
        self.analyzer = analyzer
        self.tiling = Tiling() if tiling is None else tiling
        self.pipeline = (
            f"{get_pipeline(analyzer)}, also in tiles of {self.tiling.side_px} px"
        )

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Analyze the image and its tiles, and merge; see `Analyzer.analyze`.

        Tiles add faces that are too small in the whole image. A larger face is only
        kept if the whole image has at least a weak detection of it. An image that fits
        into one tile is analyzed once.
        """
        image = check_image(image)
        settings = Settings() if settings is None else settings
        height, width = image.shape[:2]
        tiles = self.tiling.split(width, height)
        if len(tiles) == 1:
            return self.analyzer.analyze(image, settings)
        # Other thresholds are applied after merging: a box that is dropped for its size
        # could have suppressed a larger one.
        tile_settings = dataclasses.replace(
            Settings.permissive(), min_score=settings.min_score
        )
        image_settings = dataclasses.replace(
            tile_settings, min_score=min(_MIN_GUESS_SCORE, tile_settings.min_score)
        )
        image_scene = self.analyzer.analyze(image, image_settings)
        visible_px = self._visible_px(max(width, height))
        scenes = [image_scene]
        for x1, y1, x2, y2 in tiles:
            part = np.ascontiguousarray(image[y1:y2, x1:x2])
            tile_scene = self.analyzer.analyze(part, tile_settings)
            shifted = _shift_to_image(tile_scene, (x1, y1, x2, y2), (width, height))
            scenes.append(_drop_fragments(shifted, image_scene, visible_px))
        merged = _merge_scenes(scenes)
        return merged.filter(settings)

    def _visible_px(self, long_side_px: int) -> float:
        """Return the size from which a face is also detected in the whole image."""
        detector = getattr(self.analyzer, "detector", self.analyzer)
        resize = getattr(detector, "resize", None)
        if isinstance(resize, Resize):
            return _VISIBLE_PX * long_side_px / resize.long_side_px
        return _VISIBLE_RATIO * long_side_px


def apply_tiling(analyzer: Analyzer, tiling: Tiling | None) -> Analyzer:
    """Return the analyzer, with tiling if `tiling` is given."""
    return analyzer if tiling is None else TiledAnalyzer(analyzer, tiling)


def _shift_to_image(scene: Scene, tile: Tile, size_wh: tuple[int, int]) -> Scene:
    """Return the scene of a tile in pixels of the image, without cut faces.

    A cut face that fits into the overlap is complete in a neighbouring tile; a larger
    one is detected in the whole image.
    """
    x, y = tile[:2]
    shifted = scene.faces.boxes + np.array([x, y, x, y], np.float32)
    is_uncut = ~_is_cut(shifted, tile, size_wh)
    return dataclasses.replace(
        scene[is_uncut],
        faces=Faces(shifted[is_uncut], scene.faces.scores[is_uncut]),
        blur_boxes=np.concatenate(
            [
                scene.blur_boxes + np.array([x, y, x, y], np.float32),
                shifted[~is_uncut & (scene.faces.scores >= BLUR_MIN_SCORE)],
            ]
        ),
    )


def _drop_fragments(scene: Scene, image_scene: Scene, visible_px: float) -> Scene:
    """Drop large detections of a tile that the whole image does not confirm.

    A tile shows parts of a large face, cloth or blur without context, which cause
    false positives. A detection of at least `visible_px` needs a weak detection in the
    whole image.
    """
    guesses = image_scene.faces.boxes[image_scene.faces.scores >= _MIN_GUESS_SCORE]
    max_ious = iou_matrix(scene.faces.boxes, guesses).max(axis=1, initial=0)
    is_small = sizes_px(scene.faces.boxes) < visible_px
    kept: NDArray[np.bool_] = is_small | (max_ious >= _NMS_IOU)
    dropped = scene.faces[~kept]
    return dataclasses.replace(
        scene[kept],
        blur_boxes=np.concatenate(
            [scene.blur_boxes, dropped.boxes[dropped.scores >= BLUR_MIN_SCORE]]
        ),
    )


def _is_cut(boxes: Boxes, tile: Tile, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which boxes touch a border of the tile that is inside the image."""
    x1, y1, x2, y2 = tile
    margins = [boxes[:, 0] - x1, boxes[:, 1] - y1, x2 - boxes[:, 2], y2 - boxes[:, 3]]
    is_inner = [x1 > 0, y1 > 0, x2 < size_wh[0], y2 < size_wh[1]]
    touches = np.stack(margins, axis=1) < _BORDER_PX
    result: NDArray[np.bool_] = (touches & np.array(is_inner)).any(axis=1)
    return result


def _merge_scenes(scenes: list[Scene]) -> Scene:
    """Merge scenes by NMS and sum their stage times."""
    boxes = np.concatenate([scene.faces.boxes for scene in scenes])
    scores = np.concatenate([scene.faces.scores for scene in scenes])
    probs = np.concatenate([scene.probs for scene in scenes])
    kept = nms(boxes, scores, _NMS_IOU)
    stage_ms: dict[str, float] = {}
    for scene in scenes:
        for stage, time_ms in scene.stage_ms.items():
            stage_ms[stage] = stage_ms.get(stage, 0.0) + time_ms
    return Scene(
        Faces(boxes[kept], scores[kept]),
        probs[kept],
        stage_ms=stage_ms,
        blur_boxes=np.concatenate([scene.blur_boxes for scene in scenes]),
    )
