"""See who wears a mask, who does not and who wears it wrongly.

from maskdet import Settings, Stream, draw, load_analyzer, read_video

stream = Stream(load_analyzer(), Settings())
for image, time_s in read_video("lobby.mp4"):
scene = stream.step(image, time_s)
show(draw(image, scene))
"""

from maskdet.analyzer import ANALYZERS, DEFAULT_ANALYZER, Analyzer, load_analyzer
from maskdet.classifier import Classifier, load_classifier
from maskdet.detectors import DETECTORS, Detector, load_detector
from maskdet.drawing import Style, draw
from maskdet.media import read_image, read_video
from maskdet.stream import Stream
from maskdet.types import CLASSES, Faces, Image, Label, Scene, Settings

__all__ = [
    "ANALYZERS",
    "CLASSES",
    "DEFAULT_ANALYZER",
    "DETECTORS",
    "Analyzer",
    "Classifier",
    "Detector",
    "Faces",
    "Image",
    "Label",
    "Scene",
    "Settings",
    "Stream",
    "Style",
    "__version__",
    "draw",
    "load_analyzer",
    "load_classifier",
    "load_detector",
    "read_image",
    "read_video",
]

__version__ = "0.2.0"
