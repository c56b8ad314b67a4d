"""Detect faces and classify them: mask, no mask, or incorrectly worn mask.

One image:

    import maskdet

    scene = maskdet.analyze("group.jpg")
    for face in scene:
        print(face.label.title, face.confidence, face.box)
    maskdet.write_image("out.png", maskdet.draw("group.jpg", scene))

A camera or a video, with tracking:

    for image, scene in maskdet.stream("lobby.mp4"):
        print(scene.time_s, scene.track_ids, scene.labels)

Images are arrays `(h, w, 3)` of uint8 in BGR order, boxes are `x1, y1, x2, y2` in
pixels, times are in seconds.
"""

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    DEFAULT_ANALYZER,
    Analyzer,
    TwoStage,
    load_analyzer,
    register_analyzer,
)
from maskdet.api import analyze, analyze_video, evaluate, stream
from maskdet.classifier import CLASSIFIERS, Classifier, load_classifier
from maskdet.detectors import DETECTORS, Detector, load_detector
from maskdet.drawing import Style, draw
from maskdet.evaluation import DetectionReport
from maskdet.events import Event
from maskdet.media import (
    ImageReadError,
    VideoReadError,
    VideoSource,
    open_video,
    read_image,
    write_image,
)
from maskdet.people import LabelSpan, Person, TimelineBin
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.types import (
    CLASSES,
    UNTRACKED,
    Contact,
    Face,
    Faces,
    Image,
    Label,
    PersonPair,
    Scene,
)
from maskdet.video import VideoReport

__all__ = [
    "ANALYZERS",
    "CLASSES",
    "CLASSIFIERS",
    "DEFAULT_ANALYZER",
    "DETECTORS",
    "UNTRACKED",
    "Analyzer",
    "Classifier",
    "Contact",
    "DetectionReport",
    "Detector",
    "Event",
    "Face",
    "Faces",
    "Image",
    "ImageReadError",
    "Label",
    "LabelSpan",
    "Person",
    "PersonPair",
    "Scene",
    "Settings",
    "Stream",
    "Style",
    "TimelineBin",
    "TwoStage",
    "VideoReadError",
    "VideoReport",
    "VideoSource",
    "__version__",
    "analyze",
    "analyze_video",
    "draw",
    "evaluate",
    "load_analyzer",
    "load_classifier",
    "load_detector",
    "open_video",
    "read_image",
    "register_analyzer",
    "stream",
    "write_image",
]

__version__ = "0.2.0"
