"""Use a face detector of your own with the classifier of maskdet.

python custom_detector.py group.jpg
"""

import sys

import cv2
import numpy as np

import maskdet


class HaarDetector:
    """Any object with `detect(image) -> Faces` is a detector."""

    def __init__(self) -> None:
        """Load the cascade that comes with OpenCV."""
        folder = cv2.data.haarcascades
        self.cascade = cv2.CascadeClassifier(
            folder + "haarcascade_frontalface_default.xml"
        )

    def detect(self, image: maskdet.Image) -> maskdet.Faces:
        """Return boxes `x1, y1, x2, y2` in pixels, and scores in [0, 1]."""
        found = self.cascade.detectMultiScale(image, minNeighbors=8)
        if not len(found):
            return maskdet.Faces.empty()
        x, y, width, height = np.asarray(found, np.float32).T
        boxes = np.stack([x, y, x + width, y + height], axis=1)
        return maskdet.Faces(boxes, np.full(len(boxes), 0.9, np.float32))


# `register_analyzer` makes it known by a name, here, to the CLI and the dashboard.
maskdet.register_analyzer("my-haar", lambda: maskdet.TwoStage(HaarDetector()))

scene = maskdet.analyze(sys.argv[1], analyzer="my-haar")
for face in scene:
    print(face.label.title, f"{face.confidence:.0%}", face.box)
