"""The answers that every run which ships keeps; see `runs.SETS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from maskdet.analyzer import TwoStage
from maskdet.classifier import Classifier
from maskdet.datasets import Example, read_dataset, select_split
from maskdet.detectors import Detector
from maskdet.evaluation.judged import LARGE_PX, FacePredictions, read_example
from maskdet.evaluation.labels import evaluate_boxes, evaluate_faces
from maskdet.evaluation.scenes import match_predictions
from maskdet.metrics.answers import Predictions
from maskdet.types import Settings

FACES_TEST = "faces-test"
"""The name of the answers on pictures of one face; scenes bring their own names."""

ExampleProgress = Callable[[Sequence[Example]], Iterable[Example]]
"""Goes through examples, and may show how far it is."""


def collect_predictions(
    classifier: Classifier,
    detector: Detector,
    faces_index: Path,
    scenes: Mapping[str, Path],
    *,
    progress: ExampleProgress = iter,
) -> dict[str, Predictions]:
    """Return what a classifier answers on the sets of `runs.SETS`.

    Args:
        classifier: the one to ask.
        detector: finds the faces, with the settings that a user starts with.
        faces_index: `index.csv` of pictures of one face; its split `test` is asked,
            of each picture the largest face found, else the whole picture.
        scenes: name, as in `kaggle-val`, to COCO file. Each gives two sets, the true
            boxes of at least `LARGE_PX` (`NAME/true`) and the faces found that match
            such a box (`NAME/found`).
        progress: for a progress bar: called once for each of these passes.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file or picture cannot be read; the message names it.
    """
    analyzer, settings = TwoStage(detector, classifier), Settings()
    faces = progress(select_split(read_dataset(faces_index), "test", faces_index))
    face_report = evaluate_faces(analyzer, classifier, faces, settings)
    predictions = {FACES_TEST: face_report.face_predictions.predictions}
    for name, path in scenes.items():
        examples = read_dataset(path)
        box_report = evaluate_boxes(classifier, progress(examples))
        predictions[f"{name}/true"] = box_report.face_predictions.predictions
        parts = []
        for example in progress(examples):
            image = read_example(example)
            scene = analyzer.analyze(image, settings)
            parts.append(match_predictions(example, image, scene, min_px=LARGE_PX))
        predictions[f"{name}/found"] = FacePredictions.concat(parts).predictions
    return predictions
