"""The usual tutorial pipeline: ResNet-10 SSD, then `keras.Model.predict`.

https://github.com/ikigai-aa/Face-Mask-Detector-using-MobileNetV2 and
https://github.com/marinafdezban/final_project work like this.

`maskdet benchmark` compares its latency with the analyzers. It needs TensorFlow, which
is not a dependency of the package, so it is outside of it. The classifier has the
layers of the tutorial (MobileNetV2 at 224 px, 128 units, two classes) and random
weights, which take the same time as trained ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.detectors import Detector, load_detector
from maskdet.settings import Settings
from maskdet.types import CLASSES, Image, Scene, select_rows

_SIDE_PX = 224
_MASK_BGR, _NO_MASK_BGR = (0, 255, 0), (0, 0, 255)


def load_pipelines() -> dict[str, Callable[[Image], Scene]]:
    """Return both pipelines by name: one face per call, and all faces in one call.

    Raises:
        ImportError: TensorFlow is not installed.
        FileNotFoundError: the face detector's file is missing.
    """
    detector = load_detector("ssd")
    model = _build_model()
    return {
        "tutorial, each face": lambda image: _analyze(
            image, detector, model, batched=False
        ),
        "tutorial, batched": lambda image: _analyze(
            image, detector, model, batched=True
        ),
    }


def _build_model() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    body = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(_SIDE_PX, _SIDE_PX, 3)
    )
    x = keras.layers.AveragePooling2D((7, 7))(body.output)
    x = keras.layers.Dense(128, activation="relu")(keras.layers.Flatten()(x))
    x = keras.layers.Dense(2, activation="softmax")(keras.layers.Dropout(0.5)(x))
    return keras.Model(body.input, x)


def _analyze(image: Image, detector: Detector, model: Any, *, batched: bool) -> Scene:
    times = [perf_counter()]
    faces = detector.detect(image)
    faces = faces[select_rows(faces, Settings())]
    times.append(perf_counter())
    crops = [_crop_face(image, box) for box in faces.boxes]
    batches = [np.stack(crops)] if batched and crops else [crop[None] for crop in crops]
    outputs = [model.predict(batch, verbose=0) for batch in batches]
    times.append(perf_counter())
    probs = np.zeros((len(faces), len(CLASSES)), np.float32)
    if outputs:
        probs[:, :2] = np.concatenate(outputs)
    _draw_faces(image.copy(), faces.boxes, probs)
    times.append(perf_counter())
    stages = dict(
        zip(("detect", "classify", "draw"), np.diff(times) * 1e3, strict=True)
    )
    return Scene(faces, probs, stage_ms=stages)


def _crop_face(image: Image, box: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the face as input of MobileNetV2: RGB from -1 to 1."""
    x1, y1, x2, y2 = box.astype(int)
    face = cv2.cvtColor(image[y1 : y2 + 1, x1 : x2 + 1], cv2.COLOR_BGR2RGB)
    return cv2.resize(face, (_SIDE_PX, _SIDE_PX)).astype(np.float32) / 127.5 - 1


def _draw_faces(
    canvas: Image, boxes: NDArray[np.float32], probs: NDArray[np.float32]
) -> None:
    for (x1, y1, x2, y2), (mask, no_mask, _) in zip(
        boxes.astype(int).tolist(), probs.tolist(), strict=True
    ):
        title, colour = (
            ("Mask", _MASK_BGR) if mask > no_mask else ("No Mask", _NO_MASK_BGR)
        )
        text = f"{title}: {100 * max(mask, no_mask):.2f}%"
        origin = (x1, y1 - 10)
        cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 2)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, 2)
