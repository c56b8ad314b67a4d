"""The answers that every run which ships keeps; see `runs.SETS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from maskdet.analyzer import TwoStage
from maskdet.classifier import Classifier
from maskdet.datasets import Example, of_split, read_any
from maskdet.detectors import Detector
from maskdet.evaluation.judged import LARGE_PX, Judged, read_example
from maskdet.evaluation.labels import evaluate_boxes, evaluate_faces
from maskdet.evaluation.scenes import judge_found
from maskdet.metrics.answers import Answers
from maskdet.types import Settings

FACES_TEST = "faces-test"
"""The name of the answers on pictures of one face; scenes bring their own names."""

Watched = Callable[[Sequence[Example]], Iterable[Example]]
"""Goes through examples, and may show how far it is."""


def collect_answers(
    classifier: Classifier,
    detector: Detector,
    faces_index: Path,
    scenes: Mapping[str, Path],
    *,
    watched: Watched = iter,
) -> dict[str, Answers]:
    """Return what a classifier answers on the sets of `runs.SETS`.

    Args:
        classifier: the one to ask.
        detector: finds the faces, with the settings that a user starts with.
        faces_index: `index.csv` of pictures of one face; its split `test` is asked,
            of each picture the largest face found, else the whole picture.
        scenes: name, as in `kaggle-val`, to COCO file. Each gives two sets, the true
            boxes of at least `LARGE_PX` (`NAME/true`) and the faces found that match
            such a box (`NAME/found`).
        watched: for a progress bar: called once for each of these passes.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file or picture cannot be read; the message names it.
    """
    analyzer, settings = TwoStage(detector, classifier), Settings()
    faces = watched(of_split(read_any(faces_index), "test", faces_index))
    one_each = evaluate_faces(analyzer, classifier, faces, settings)
    collected = {FACES_TEST: one_each.judged.answers}
    for name, path in scenes.items():
        examples = read_any(path)
        given = evaluate_boxes(classifier, watched(examples))
        collected[f"{name}/true"] = given.judged.answers
        parts = []
        for example in watched(examples):
            image = read_example(example)
            seen = analyzer.analyze(image, settings)
            parts.append(judge_found(example, image, seen, min_px=LARGE_PX))
        collected[f"{name}/found"] = Judged.joined(parts).answers
    return collected
