"""Face detectors: the protocol, the registry and lazy loading."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from maskdet.extras import MissingExtraError, describe_missing_library
from maskdet.types import Faces, Image

Landmarks = NDArray[np.float32]
"""`(n, 5, 2)` float32 x, y in pixels: left eye, right eye, nose, left and right corner
of the mouth, as seen in the image."""

DETECTORS: dict[str, str] = {
    "centerface": "maskdet.detectors.centerface:CenterFace",
    "haar": "maskdet.detectors.haar:Haar",
    "haar-live": "maskdet.detectors.haar:haar_live",
    "mtcnn": "maskdet.detectors.mtcnn:MTCNN",
    "ssd": "maskdet.detectors.ssd:SSD",
    "yunet": "maskdet.detectors.yunet:YuNet",
}
"""Detector names and their `module:factory`, which is imported when it is loaded."""

_DETECTOR_LIBRARIES: dict[str, tuple[str, ...]] = {
    "mtcnn": ("mtcnn", "joblib", "lz4", "onnx"),
    "yunet": ("onnxruntime",),
}
"""Optional libraries that detectors need."""


class Detector(Protocol):
    """Protocol of a face detector.

    Examples:
        >>> class Center:
        ...     def detect(self, image):
        ...         height, width = image.shape[:2]
        ...         box = [width * 0.4, height * 0.4, width * 0.6, height * 0.6]
        ...         return maskdet.Faces([box], [0.5])
        >>> len(maskdet.analyze("group.jpg", analyzer=maskdet.TwoStage(Center())))
        1
    """

    def detect(self, image: Image) -> Faces:
        """Return the faces in `image`; boxes are in pixels and inside the image.

        All candidates down to a low score are returned; `Settings` filter them later.

        Args:
            image: `(h, w, 3)` uint8 BGR; not changed.
        """
        ...


@runtime_checkable
class LandmarkDetector(Detector, Protocol):
    """A face detector that also returns facial landmarks."""

    def detect_landmarks(self, image: Image) -> tuple[Faces, Landmarks]:
        """Return the faces in `image` and the five landmarks of each."""
        ...


def describe_missing_detector_library(name: str) -> str:
    """Return how to install a detector's missing library, or an empty string."""
    return describe_missing_library(
        f"the detector {name}", *_DETECTOR_LIBRARIES.get(name, ())
    )


def load_detector(name: str) -> Detector:
    """Load a face detector and run it once to warm up.

    Examples:
        >>> detector = maskdet.load_detector("haar")
        >>> len(detector.detect(maskdet.read_image("group.jpg"))) > 3
        True

    Args:
        name: a name in `DETECTORS`.

    Raises:
        ValueError: the name is not in `DETECTORS`.
        FileNotFoundError: its model file is missing; the message says how to get it.
        MissingExtraError: its library is not installed; the message names the extra.
    """
    if name not in DETECTORS:
        raise ValueError(
            f"detector must be one of {', '.join(DETECTORS)}, not {name!r}"
        )
    message = describe_missing_detector_library(name)
    if message:
        raise MissingExtraError(message)
    module, _, attribute = DETECTORS[name].partition(":")
    return cast(Detector, getattr(import_module(module), attribute)())
