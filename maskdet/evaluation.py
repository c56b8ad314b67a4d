"""Run an analyzer over labelled pictures and measure what it found and said.

Three questions, each with its own report:

- `evaluate_scenes`: are the faces of a scene found, and labelled right?
- `evaluate_boxes`: given the true boxes, is the label right? (the classifier alone)
- `evaluate_faces`: in pictures of one face, is the label right?

"Mask against no mask" counts a mask worn wrongly as a mask; see `metrics.labelling`.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzer import Analyzer
from maskdet.boxes import Boxes, areas, sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.media import read_image
from maskdet.metrics.detection import match, match_faces, mean_average_precision
from maskdet.metrics.estimate import Estimate, share
from maskdet.metrics.labelling import Json, Labelling
from maskdet.types import CLASSES, Faces, Image, Scene, Settings

FLOOR_SCORE = 0.02
"""Faces from this score on enter the curve; below, they would change its tail only."""

LARGE_PX = 20.0
"""Shorter side from which a face counts as large enough to judge its label; people
who labelled the public sets disagree on smaller ones."""

MIN_IOU = 0.5
"""A face is found when its box overlaps the true one so much, as is usual."""


@dataclass(frozen=True, eq=False)
class ScenesReport:
    """What was found in scenes, over all images.

    Attributes:
        images: how many images were looked at.
        ap: average precision of `faces`, of each class and their `mean`.
        ap_large: the same with truths below `LARGE_PX` ignored.
        recall: share of the large faces found, with the settings of a user.
        precision: share of the faces shown then that are faces, of any size.
        labels: the answers for the large faces found then.
        median_ms: time for one image, with the settings of a user.
    """

    images: int
    ap: dict[str, Estimate]
    ap_large: dict[str, Estimate]
    recall: Estimate
    precision: Estimate
    labels: Labelling
    median_ms: float

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "images": self.images,
            "ap": {name: value.rounded() for name, value in self.ap.items()},
            "ap_large": {
                name: value.rounded() for name, value in self.ap_large.items()
            },
            "large_px": LARGE_PX,
            "recall": self.recall.rounded(),
            "precision": self.precision.rounded(),
            "labels": self.labels.to_json(),
            "median_ms": round(self.median_ms, 2),
        }


@dataclass(frozen=True, eq=False)
class LabelsReport:
    """The answers for faces that did not have to be found among others.

    Attributes:
        labels: all answers.
        by_source: the answers for each collection the pictures are from.
        found: of how many pictures the finder saw the face; 0 where none was asked.
        median_ms: time for one picture.
    """

    labels: Labelling
    by_source: dict[str, Labelling]
    found: int
    median_ms: float

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "labels": self.labels.to_json(),
            "by_source": {
                source: labels.to_json() for source, labels in self.by_source.items()
            },
            "found": self.found,
            "median_ms": round(self.median_ms, 2),
        }


def evaluate_scenes(
    analyzer: Analyzer, examples: Iterable[Example], settings: Settings
) -> ScenesReport:
    """Measure an analyzer on scenes with true boxes and labels.

    Each picture is analysed twice: for the curves with every face from `FLOOR_SCORE`
    on, of any size, and, timed, as a user would see it. For a class, a face's score
    is the finder's times the probability of that class, for each class.

    Args:
        analyzer: finds and labels.
        examples: the scenes.
        settings: what a user would see: for recall, precision and labels. The
            curves take only `nms_iou` from it.
    """
    floor = dataclasses.replace(
        settings, min_score=FLOOR_SCORE, min_face_px=1, min_certainty=0
    )
    known, scenes, shown, times_ms = [], [], [], []
    for example in examples:
        image = _read(example)
        # The timed call comes second, when everything of this size is warm.
        scenes.append(analyzer.analyze(image, floor))
        started = perf_counter()
        shown.append(analyzer.analyze(image, settings))
        times_ms.append((perf_counter() - started) * 1e3)
        known.append(example)
    recall, precision, labels = _as_shown(known, shown)
    return ScenesReport(
        images=len(known),
        ap=_average_precisions(known, scenes, 0.0),
        ap_large=_average_precisions(known, scenes, LARGE_PX),
        recall=recall,
        precision=precision,
        labels=labels,
        median_ms=_median(times_ms),
    )


def _average_precisions(
    examples: list[Example], scenes: list[Scene], min_px: float
) -> dict[str, Estimate]:
    rules = {"min_iou": MIN_IOU, "min_px": min_px}
    found = [scene.faces for scene in scenes]
    everyone = match(found, [example.boxes for example in examples], **rules)
    classes = []
    for label in CLASSES:
        scored = [
            Faces(scene.faces.boxes, scene.faces.scores * scene.probs[:, label])
            for scene in scenes
        ]
        truths = [example.boxes[example.label_values == label] for example in examples]
        classes.append(match(scored, truths, **rules))
    result = {"faces": mean_average_precision([everyone])}
    for label, matches in zip(CLASSES, classes, strict=True):
        result[label.key] = mean_average_precision([matches])
    result["mean"] = mean_average_precision(classes)
    return result


def _as_shown(
    examples: list[Example], scenes: list[Scene]
) -> tuple[Estimate, Estimate, Labelling]:
    """Return recall, precision and labels of the faces that a user sees."""
    large = found_large = shown = right = 0
    answers = []
    for example, seen in zip(examples, scenes, strict=True):
        matched = match_faces(seen.faces, example.boxes, min_iou=MIN_IOU)
        is_large = sizes_px(example.boxes) >= LARGE_PX
        rows = np.flatnonzero(matched >= 0)
        rows_large = rows[is_large[matched[rows]]]
        large += int(is_large.sum())
        found_large += len(rows_large)
        shown += len(seen)
        right += len(rows)
        truths = example.label_values[matched[rows_large]]
        answers.append((truths, seen.probs[rows_large]))
    recall, precision = share(found_large, large), share(right, shown)
    return recall, precision, Labelling.joined(answers)


def evaluate_boxes(classifier: Classifier, examples: Iterable[Example]) -> LabelsReport:
    """Measure a classifier on the true boxes of at least `LARGE_PX`."""
    answers = []
    for example in examples:
        image = _read(example)
        large = sizes_px(example.boxes) >= LARGE_PX
        started = perf_counter()
        probs = classifier.predict(image, example.boxes[large])
        time_ms = (perf_counter() - started) * 1e3
        answers.append((example, example.label_values[large], probs, time_ms))
    return _labels_report(answers, found=0)


def evaluate_faces(
    analyzer: Analyzer | None,
    classifier: Classifier,
    examples: Iterable[Example],
    settings: Settings,
) -> LabelsReport:
    """Measure the label of pictures that show one face.

    Args:
        analyzer: finds the face, the largest one if several; None to take the whole
            picture as the face.
        classifier: labels the whole picture where no face was found.
        examples: whole pictures with a label.
        settings: what counts as found.
    """
    answers, found = [], 0
    for example in examples:
        image = _read(example)
        started = perf_counter()
        scene = Scene.none() if analyzer is None else analyzer.analyze(image, settings)
        if len(scene):
            found += 1
            probs = scene.probs[[int(areas(scene.faces.boxes).argmax())]]
        else:
            probs = classifier.predict(image, _whole(image))
        time_ms = (perf_counter() - started) * 1e3
        answers.append((example, example.label_values, probs, time_ms))
    return _labels_report(answers, found)


_Answer = tuple[Example, NDArray[np.int64], NDArray[np.float32], float]


def _labels_report(answers: list[_Answer], found: int) -> LabelsReport:
    sources = sorted({example.source for example, *_ in answers})
    return LabelsReport(
        labels=_joined(answers),
        by_source={
            source: _joined([item for item in answers if item[0].source == source])
            for source in sources
        },
        found=found,
        median_ms=_median([time_ms for *_, time_ms in answers]),
    )


def _joined(answers: list[_Answer]) -> Labelling:
    return Labelling.joined((truths, probs) for _, truths, probs, _ in answers)


def _read(example: Example) -> Image:
    try:
        return read_image(example.path)
    except (ValueError, OSError) as error:
        # Numbers without this picture would look like those of the whole set.
        raise ValueError(f"{example.path}: {error}") from None


def _whole(image: Image) -> Boxes:
    height, width = image.shape[:2]
    return np.array([[0, 0, width, height]], np.float32)


def _median(times_ms: list[float]) -> float:
    return statistics.median(times_ms) if times_ms else 0.0
