"""Far cameras: an image looked at in overlapping windows, the faces put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.onepass import Resize
from maskdet.analyzers.pipelines import Analyzer, get_pipeline
from maskdet.boxes import Boxes, iou_matrix, nms, sizes_px
from maskdet.settings import Settings
from maskdet.types import BLUR_MIN_SCORE, Faces, Image, Scene, check_image

MIN_TILE_PX = 64
"""Smaller windows would be thousands, and hold no face with its surroundings."""

_NMS_IOU = 0.5
"""Boxes from two windows that overlap more are one face."""

_BORDER_PX = 2.0
"""A box so near to where its window ends, inside the image, may be half a face."""

_VISIBLE_PX = 9.0
"""A single-stage network that sees the whole image in its own size has at least a guess
at every face that is so large there. Without a guess, what a window detects is a part
of something larger."""

_VISIBLE_RATIO = 0.1
"""The same for any other analyzer, as a share of the longer side of the image."""

_MIN_GUESS_SCORE = 0.1
"""Detection score of such a guess."""

Tile = tuple[int, int, int, int]
"""`x1, y1, x2, y2` in whole pixels of the image."""


@dataclass(frozen=True)
class Tiling:
    """How an image is cut into windows.

    Attributes:
        side_px: of the windows, which are square where the image allows it.
        overlap: of neighbours, as a share of the side. A face that fits into it is
            whole in one of them.

    Raises:
        ValueError: a number makes no sense.
    """

    side_px: int = 640
    overlap: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what would give no windows, or too many."""
        if self.side_px < MIN_TILE_PX:
            raise ValueError(
                f"side_px must be at least {MIN_TILE_PX}, not {self.side_px!r}"
            )
        if not 0 <= self.overlap <= 0.75:
            raise ValueError(f"overlap must be from 0 to 0.75, not {self.overlap!r}")

    def split(self, width: int, height: int) -> list[Tile]:
        """Return windows that cover the image, row by row, all of one size."""
        tile_width = min(self.side_px, width)
        tile_height = min(self.side_px, height)
        return [
            (x, y, x + tile_width, y + tile_height)
            for y in self._starts(height)
            for x in self._starts(width)
        ]

    def _starts(self, length: int) -> list[int]:
        """Return where windows start along one side, evenly, the last at the border."""
        remaining_px = length - self.side_px
        if remaining_px <= 0:
            return [0]
        step = max(1, int(self.side_px * (1 - self.overlap)))
        steps = -(-remaining_px // step)
        return [round(remaining_px * number / steps) for number in range(steps + 1)]


class TiledAnalyzer:
    """An analyzer that also looks at every part of a large image on its own."""

    def __init__(self, analyzer: Analyzer, tiling: Tiling | None = None) -> None:
        """Wrap an analyzer.

        Args:
            analyzer: looks at the whole image, then at each window.
            tiling: how images are cut; `Tiling()` unless given.
        """
        self.analyzer = analyzer
        self.tiling = Tiling() if tiling is None else tiling
        self.pipeline = (
            f"{get_pipeline(analyzer)}, also in tiles of {self.tiling.side_px} px"
        )

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Look at the whole, then at the windows, and join; see `Analyzer.analyze`.

        Windows add faces that are too small in the whole image; of larger ones, the
        whole image decides whether they are faces.
        An image that fits into one window is looked at once.
        """
        image = check_image(image)
        settings = Settings() if settings is None else settings
        height, width = image.shape[:2]
        tiles = self.tiling.split(width, height)
        if len(tiles) == 1:
            return self.analyzer.analyze(image, settings)
        tile_settings = _settings_before_merging(settings)
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
        """Return how large a face is that shows in the whole image as well."""
        detector = getattr(self.analyzer, "detector", self.analyzer)
        resize = getattr(detector, "resize", None)
        if isinstance(resize, Resize):
            return _VISIBLE_PX * long_side_px / resize.long_side_px
        return _VISIBLE_RATIO * long_side_px


def _settings_before_merging(settings: Settings) -> Settings:
    """Return what may be refused before joining without changing the result.

    Score only: a box that is refused for its size may have won over a larger one.
    """
    return dataclasses.replace(Settings.permissive(), min_score=settings.min_score)


def _shift_to_image(scene: Scene, tile: Tile, size_wh: tuple[int, int]) -> Scene:
    """Return what a window shows in pixels of the image, without cut faces.

    Whoever does not fit into the overlap is large enough to be seen in the whole
    image; whoever does is whole in a neighbour.
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
    """Return what a window shows without what only looks like a face so near.

    A window shows parts of a large face, and cloth and blur in detail, and nothing
    around them. What is large enough to show in the whole image must be a guess there.
    """
    guesses = image_scene.faces.boxes[image_scene.faces.scores >= _MIN_GUESS_SCORE]
    overlaps = iou_matrix(scene.faces.boxes, guesses).max(axis=1, initial=0)
    is_small = sizes_px(scene.faces.boxes) < visible_px
    kept: NDArray[np.bool_] = is_small | (overlaps >= _NMS_IOU)
    dropped = scene.faces[~kept]
    return dataclasses.replace(
        scene[kept],
        blur_boxes=np.concatenate(
            [scene.blur_boxes, dropped.boxes[dropped.scores >= BLUR_MIN_SCORE]]
        ),
    )


def _is_cut(boxes: Boxes, tile: Tile, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which boxes touch a side of the window that lies inside the image."""
    x1, y1, x2, y2 = tile
    margins = [boxes[:, 0] - x1, boxes[:, 1] - y1, x2 - boxes[:, 2], y2 - boxes[:, 3]]
    is_inner = [x1 > 0, y1 > 0, x2 < size_wh[0], y2 < size_wh[1]]
    touches = np.stack(margins, axis=1) < _BORDER_PX
    result: NDArray[np.bool_] = (touches & np.array(is_inner)).any(axis=1)
    return result


def _merge_scenes(scenes: list[Scene]) -> Scene:
    """Return all faces, each once, and the time that all scenes took together."""
    boxes = np.concatenate([scene.faces.boxes for scene in scenes])
    scores = np.concatenate([scene.faces.scores for scene in scenes])
    probs = np.concatenate([scene.probs for scene in scenes])
    kept = nms(boxes, scores, _NMS_IOU)
    return Scene(
        Faces(boxes[kept], scores[kept]),
        probs[kept],
        stage_ms=_sum_stage_times(scenes),
        blur_boxes=np.concatenate([scene.blur_boxes for scene in scenes]),
    )


def _sum_stage_times(scenes: Iterable[Scene]) -> dict[str, float]:
    total: dict[str, float] = {}
    for scene in scenes:
        for stage, time_ms in scene.stage_ms.items():
            total[stage] = total.get(stage, 0.0) + time_ms
    return total
