"""CenterFace: an anchor-free face detector, run with OpenCV.

Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019;
network and constants from https://github.com/Star-Clouds/CenterFace.
"""

from __future__ import annotations

import math
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import clip_boxes, sizes_px
from maskdet.media import resize_image
from maskdet.model_files.model_zoo import model_path
from maskdet.types import Faces, Image, check_image

_Floats = NDArray[np.float32]

_LONG_SIDE_PX = 640  # as YuNet
_CELL_PX = 32  # both sides of the network's input are multiples of it
_MIN_CELLS = 2  # OpenCV 4 computes maps of one row or column incorrectly
_STRIDE_PX = 4  # of the output
_OUTPUTS = ("537", "538", "539")  # scores, sizes, shifts; "540" has landmarks
_MIN_SCORE = 0.05  # as in the publisher's evaluation
_NMS_IOU = 0.3  # as in the publisher's demo

# As for MTCNN: the boxes of the mask data sets start lower and end lower. Median shift
# of 1,796 matched boxes of the training scenes, as fractions of width and height.
_BOX_SHIFT = np.array([-0.023, 0.095, 0.006, 0.055], np.float32)


class CenterFace:
    """A face detector on OpenCV's DNN module; thread-safe."""

    def __init__(self) -> None:
        """Load the network and run it once.

        Raises:
            FileNotFoundError: the file is missing; the message says how to get it.
            RuntimeError: the file does not have the published checksum.
        """
        self._net = cv2.dnn.readNet(str(model_path("centerface")))
        # OpenCV 4 fuses layers again for each new input size, which changes the result.
        self._net.enableFusion(False)
        self._lock = Lock()
        self.detect(np.zeros((480, 640, 3), np.uint8))

    def detect(self, image: Image) -> Faces:
        """Return the faces in `image`; see `Detector.detect`."""
        image = check_image(image)
        height, width = image.shape[:2]
        resized = resize_image(image, _LONG_SIDE_PX / max(width, height))
        # Stretched a little instead of padded, as by the publisher.
        input_wh = [
            max(math.ceil(side / _CELL_PX), _MIN_CELLS) * _CELL_PX
            for side in resized.shape[1::-1]
        ]
        blob = cv2.dnn.blobFromImage(resized, 1.0, input_wh, swapRB=True)
        with self._lock:
            self._net.setInput(blob)
            maps = [output[0] for output in self._net.forward(_OUTPUTS)]
        rectangles, scores = _decode_maps(*maps)
        # A face has many cells, so a crowd has more candidates than `boxes.nms` is for.
        kept = cv2.dnn.NMSBoxes(
            rectangles.tolist(), scores.tolist(), _MIN_SCORE, _NMS_IOU
        )
        order = np.array(kept, np.int64)  # empty without candidates
        corners, sizes = np.split(rectangles[order], 2, axis=1)
        boxes = np.concatenate([corners, corners + sizes], axis=1)
        boxes += np.tile(sizes, 2) * _BOX_SHIFT
        boxes *= np.tile(np.divide((width, height), input_wh), 2).astype(np.float32)
        boxes = clip_boxes(boxes, width, height)
        is_kept = sizes_px(boxes) > 0
        return Faces(boxes[is_kept], scores[order][is_kept])


def _decode_maps(
    scores: _Floats, log_sizes: _Floats, shifts: _Floats
) -> tuple[_Floats, _Floats]:
    """Return rectangles `x, y, width, height` in pixels of the input, and scores.

    Args:
        scores: `(1, h, w)` score of a face with its centre in the cell.
        log_sizes: `(2, h, w)` logarithm of its height and width, in cells.
        shifts: `(2, h, w)` y and x of its centre from that of the cell, in cells.
    """
    cells_yx = np.nonzero(scores[0] > _MIN_SCORE)
    planes_yx = np.exp(log_sizes), shifts + np.indices(scores.shape[1:]) + 0.5
    sizes, centres = (
        np.stack([plane[cells_yx] for plane in planes[::-1]], axis=1) * _STRIDE_PX
        for planes in planes_yx
    )
    rectangles = np.concatenate([centres - sizes / 2, sizes], axis=1)
    return rectangles.astype(np.float32), scores[0][cells_yx]
