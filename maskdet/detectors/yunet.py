"""YuNet: a face detector with 76 thousand parameters and five landmarks.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
Research, 2023. It runs on ONNX Runtime, which is several times faster than
`cv2.FaceDetectorYN`.
"""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from maskdet.boxes import clip_boxes, nms, select_candidates
from maskdet.detectors import Landmarks
from maskdet.media import resize_image
from maskdet.model_files.model_zoo import model_path
from maskdet.threads import get_thread_count
from maskdet.types import Faces, Image, check_image

_STRIDES_PX = (8, 16, 32)
_MIN_SCORE = 0.05
_NMS_IOU = 0.45  # as in the publisher's demo


class YuNet:
    """A detector of faces and five landmarks in each; thread-safe."""

    def __init__(self, long_side_px: int = 640) -> None:
        """Load the network and run it once.

        Args:
            long_side_px: long side of the resized image; a larger value detects
                smaller faces and takes longer.

        Raises:
            FileNotFoundError: the file is missing; the message says how to get it.
            RuntimeError: the file does not have the published checksum.
        """
        self._long_side_px = long_side_px
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = get_thread_count()
        # Spinning threads would take a core from the video decoder.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            model_path("yunet"), options, providers=["CPUExecutionProvider"]
        )
        self.detect(np.zeros((480, 640, 3), np.uint8))

    def detect(self, image: Image) -> Faces:
        """Return the faces in `image`; see `Detector.detect`."""
        return self.detect_landmarks(check_image(image))[0]

    def detect_landmarks(self, image: Image) -> tuple[Faces, Landmarks]:
        """Return the faces in `image` and the five landmarks of each."""
        height, width = image.shape[:2]
        scale = self._long_side_px / max(width, height)
        blob = _pad_to_stride(resize_image(image, scale))
        names = [
            f"{kind}_{stride}"
            for kind in ("cls", "obj", "bbox", "kps")
            for stride in _STRIDES_PX
        ]
        outputs = self._session.run(names, {"input": blob})
        rows = _decode_outputs(outputs, blob.shape[2:])
        rows[:, :14] /= scale
        boxes, scores = clip_boxes(rows[:, :4], width, height), rows[:, 14]
        order = select_candidates(boxes, scores, _MIN_SCORE)
        order = order[nms(boxes[order], scores[order], _NMS_IOU)]
        points = rows[order, 4:14].reshape(-1, 5, 2)
        return Faces(boxes[order], scores[order]), points


def _pad_to_stride(image: Image) -> NDArray[np.float32]:
    """Return `(1, 3, h, w)` float32, padded with black to a multiple of the stride."""
    height, width = image.shape[:2]
    cell = _STRIDES_PX[-1]
    bottom, right = -height % cell, -width % cell
    padded = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.dnn.blobFromImage(padded), np.float32)


def _decode_outputs(
    outputs: list[NDArray[np.float32]], size_hw: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return `(n, 15)`: box, five points, score, in pixels of the network's input."""
    levels = len(_STRIDES_PX)
    parts: list[NDArray[np.float32]] = []
    for level, stride in enumerate(_STRIDES_PX):
        faceness, objectness, shifts, points = (
            outputs[kind * levels + level][0] for kind in range(4)
        )
        y, x = np.mgrid[: size_hw[0] // stride, : size_hw[1] // stride]
        cells = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)
        centres = (cells + shifts[:, :2]) * stride
        halves = np.exp(shifts[:, 2:]) * (stride / 2)
        landmarks = (np.tile(cells, 5) + points) * stride
        scores = np.sqrt(np.clip(faceness, 0, 1) * np.clip(objectness, 0, 1))
        parts.append(
            np.concatenate(
                [centres - halves, centres + halves, landmarks, scores], axis=1
            )
        )
    return np.concatenate(parts)
