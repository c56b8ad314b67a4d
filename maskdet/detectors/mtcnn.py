"""MTCNN: three small networks in a row, each looking closer at fewer places.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded
Convolutional Networks", 2016; weights of the `mtcnn` package.
"""

from __future__ import annotations

from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, sizes_px
from maskdet.detectors import Landmarks
from maskdet.detectors.mtcnn_networks import (
    build_onet,
    build_pnet,
    build_rnet,
)
from maskdet.detectors.overlap import nms_opencv
from maskdet.types import Faces, Image, check_image

_CELL_PX = 12  # side of what P-Net looks at
_STRIDE_PX = 2  # distance between two looks of P-Net
_PYRAMID_FACTOR = (
    0.709  # from one level of the pyramid to the next: half the area (paper)
)

# Chosen on the validation scenes by average precision and time. Lower floors gain
# less than 0.005 and cost half as much again; fewer than 300 patches lose 0.01.
_MIN_SCORES = (0.6, 0.1, 0.03)
_LEVEL_IOU, _PYRAMID_IOU, _REFINED_IOU, _FINAL_IOU = 0.4, 0.6, 0.7, 0.5
_LEVEL_LIMIT, _PATCH_LIMIT, _FACE_LIMIT = 1000, 300, 100

# Log odds of R-Net and O-Net together at which as many boxes are faces as are not, as
# counted over 17,000 boxes in 700 pictures of the training scenes; their score is 0.5.
_EVEN_LOG_ODDS = 1.7

# MTCNN was trained on whole heads; the boxes of the mask data sets start lower, above
# the eyebrows, and end lower. Median shift of 1,570 matched boxes of the training
# scenes, in shares of the box's width and height.
_BOX_SHIFT = np.array([0.02, 0.11, 0.02, 0.06], np.float32)


class MTCNN:
    """Finds faces and five points in each; may be called from several threads."""

    def __init__(
        self,
        *,
        min_face_px: float = 16,
        long_side_px: tuple[int, int] = (640, 1280),
    ) -> None:
        """Load the networks and run them once.

        Args:
            min_face_px: the smallest face looked for, at least 12, in pixels of the
                image after scaling; half of it takes four times as long.
            long_side_px: a smaller image is enlarged until its long side has the
                first of these, a larger one is reduced to the second.

        Raises:
            ValueError: a size is out of its range.
            FileNotFoundError: the mtcnn package is missing.
            RuntimeError: its weights are not those of the pinned version.
        """
        min_side, max_side = long_side_px
        if not min_face_px >= _CELL_PX:
            raise ValueError(f"min_face_px must be at least 12, not {min_face_px!r}")
        if not _CELL_PX <= min_side <= max_side:
            raise ValueError(
                "long_side_px must be two rising sizes of at least 12, "
                f"not {long_side_px!r}"
            )
        self._min_face_px = min_face_px
        self._long_side_px = (min_side, max_side)
        self._proposals = build_pnet()
        self._refinement = build_rnet()
        self._output = build_onet()
        self._lock = Lock()
        self.detect(np.zeros((480, 640, 3), np.uint8))

    def detect(self, image: Image) -> Faces:
        """Return the faces in `image`; see `Detector.detect`."""
        return self.detect_landmarks(check_image(image))[0]

    def detect_landmarks(self, image: Image) -> tuple[Faces, Landmarks]:
        """Return the faces in `image` and five points in each, row by row."""
        height, width = image.shape[:2]
        long_side = max(width, height)
        scale = float(np.clip(long_side, *self._long_side_px)) / long_side
        with self._lock:
            levels = _build_half_pyramid(_resize(image, scale))
            boxes = self._propose(levels)
            boxes, scores = self._refine(levels, boxes)
            boxes, scores, points = self._output_boxes(levels, boxes, scores)
        boxes = clip_boxes(boxes / scale, width, height)
        rows = np.flatnonzero(sizes_px(boxes) > 0)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        return Faces(boxes[rows], scores[rows]), points[rows] / np.float32(scale)

    def _propose(self, levels: list[Image]) -> Boxes:
        """Return `(n, 4)` square boxes where P-Net suspects a face."""
        proposals: list[tuple[Boxes, NDArray[np.float32]]] = []
        scale = _CELL_PX / self._min_face_px
        while min(levels[0].shape[:2]) * scale >= _CELL_PX:
            proposals.append(self._propose_at_scale(levels, scale))
            scale *= _PYRAMID_FACTOR
        if not proposals:
            return np.zeros((0, 4), np.float32)
        boxes = np.concatenate([boxes for boxes, _ in proposals])
        scores = np.concatenate([scores for _, scores in proposals])
        rows = nms_opencv(boxes, scores, _PYRAMID_IOU, limit=len(boxes))
        return _square_boxes(boxes[rows[:_PATCH_LIMIT]])

    def _propose_at_scale(
        self, levels: list[Image], scale: float
    ) -> tuple[Boxes, NDArray[np.float32]]:
        height, width = levels[0].shape[:2]
        size_wh = (round(width * scale), round(height * scale))
        depth = min(int(np.log2(1 / scale)), len(levels) - 1)
        blob = cv2.dnn.blobFromImage(
            cv2.resize(levels[depth], size_wh),
            1 / 128,
            mean=(127.5, 127.5, 127.5),
            swapRB=True,
        )
        shifts, logits = self._proposals.forward(blob.astype(np.float32, copy=False))
        faceness = _face_probs(logits[0].reshape(2, -1).T).reshape(logits.shape[2:])
        y, x = np.nonzero(faceness > _MIN_SCORES[0])
        corners = np.stack([x, y], axis=1).astype(np.float32) * _STRIDE_PX
        boxes = np.concatenate([corners, corners + _CELL_PX], axis=1)
        boxes += shifts[0][:, y, x].T * _CELL_PX
        scores = faceness[y, x]
        rows = nms_opencv(boxes, scores, _LEVEL_IOU, limit=_LEVEL_LIMIT)
        factors_xy = np.array([width / size_wh[0], height / size_wh[1]], np.float32)
        return boxes[rows] * np.tile(factors_xy, 2), scores[rows]

    def _refine(
        self, levels: list[Image], boxes: Boxes
    ) -> tuple[Boxes, NDArray[np.float32]]:
        """Return the boxes R-Net still believes in, square again, and its scores."""
        if not len(boxes):
            return boxes, np.zeros(0, np.float32)
        shifts, logits = self._refinement.forward(_crop_patches(levels, boxes, 24))
        scores = _face_probs(logits)
        rows = np.flatnonzero(scores > _MIN_SCORES[1])
        boxes, scores = _shift_boxes(boxes[rows], shifts[rows]), scores[rows]
        rows = nms_opencv(boxes, scores, _REFINED_IOU, limit=len(boxes))[:_FACE_LIMIT]
        return _square_boxes(boxes[rows]), scores[rows]

    def _output_boxes(
        self, levels: list[Image], boxes: Boxes, refine_scores: NDArray[np.float32]
    ) -> tuple[Boxes, NDArray[np.float32], Landmarks]:
        """Return O-Net's boxes and points, and what both networks think of them.

        O-Net alone is sure of things that R-Net doubts: their mean (of log odds) has
        0.03 more average precision than O-Net's score, which the package returns.
        """
        if not len(boxes):
            return boxes, refine_scores, np.zeros((0, 5, 2), np.float32)
        shifts, raw_points, logits = self._output.forward(
            _crop_patches(levels, boxes, 48)
        )
        log_odds = (_log_odds(_face_probs(logits)) + _log_odds(refine_scores)) / 2
        scores = (1 / (1 + np.exp(_EVEN_LOG_ODDS - log_odds))).astype(np.float32)
        relative_points = raw_points.reshape(-1, 2, 5).transpose(0, 2, 1)
        sides = boxes[:, None, 2:] - boxes[:, None, :2]
        points = boxes[:, None, :2] + relative_points * sides
        boxes = _shift_boxes(_shift_boxes(boxes, shifts), _BOX_SHIFT)
        rows = np.flatnonzero(scores > _MIN_SCORES[2])
        best = nms_opencv(boxes[rows], scores[rows], _FINAL_IOU, limit=_FACE_LIMIT)
        return boxes[rows[best]], scores[rows[best]], points[rows[best]]


def _face_probs(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the `(n,)` softmax of the second of `(n, 2)` answers."""
    result: NDArray[np.float32] = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    return result


def _log_odds(probs: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(probs, 1e-5, 1 - 1e-5)  # beyond this float32 says 0 or 1
    result: NDArray[np.float32] = np.log(clipped / (1 - clipped))
    return result


def _shift_boxes(boxes: Boxes, shifts: NDArray[np.float32]) -> Boxes:
    """Return the boxes with each edge shifted by a share of the box's side."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    result: Boxes = (boxes + sides * shifts).astype(np.float32)
    return result


def _square_boxes(boxes: Boxes) -> Boxes:
    """Return squares on the same centres as long as the longer side, 1 px or more."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    halves = np.maximum(sides, 1) / 2
    corners = np.concatenate([centres - halves, centres + halves], axis=1)
    return corners.astype(np.float32, copy=False)


def _resize(image: Image, scale: float) -> Image:
    if scale == 1:
        return image
    size_wh = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    resampling = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_wh, interpolation=resampling), np.uint8)


def _build_half_pyramid(image: Image) -> list[Image]:
    """Return the image, its half, its quarter, ... down to what P-Net can look at."""
    levels = [image]
    while max(levels[-1].shape[:2]) >= 2 * _CELL_PX:
        levels.append(_resize(levels[-1], 0.5))
    return levels


def _crop_patches(levels: list[Image], boxes: Boxes, side: int) -> NDArray[np.float32]:
    """Return the `(n, 3, side, side)` network input of square boxes in `levels[0]`.

    Each is cut from the level nearest to its size, so that no pixel is skipped; grey
    stands for what lies outside the image.
    """
    steps = (boxes[:, 2] - boxes[:, 0]) / side
    depths = np.log2(np.maximum(steps, 1)).astype(int).clip(0, len(levels) - 1)
    patches: list[Image] = []
    for (x, y), step, depth in zip(boxes[:, :2], steps, depths, strict=True):
        level_step = step / 2**depth
        offset = level_step / 2 - 0.5
        transform = np.array(
            [
                [level_step, 0, x / 2**depth + offset],
                [0, level_step, y / 2**depth + offset],
            ],
            np.float64,
        )
        patch = cv2.warpAffine(
            levels[depth],
            transform,
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderValue=(127, 127, 127),
        )
        patches.append(np.asarray(patch, np.uint8))
    blob = cv2.dnn.blobFromImages(
        patches, 1 / 128, mean=(127.5, 127.5, 127.5), swapRB=True
    )
    return np.asarray(blob, np.float32)
