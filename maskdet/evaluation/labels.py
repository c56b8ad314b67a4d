"""Is the label right, for faces that need not be found among others?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter

import numpy as np

from maskdet.analyzer import Analyzer
from maskdet.boxes import Boxes, areas, sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.evaluation.judged import LARGE_PX, Judged, median, read_example
from maskdet.metrics.labelling import Json, Labelling
from maskdet.metrics.numbers import Numbers, numbers
from maskdet.types import Image, Scene, Settings


@dataclass(frozen=True, eq=False)
class LabelsReport:
    """The answers for faces that did not have to be found among others.

    Attributes:
        judged: all answers, and where the faces are.
        found: of how many pictures the finder saw the face; 0 where none was asked.
        median_ms: time for one picture.
    """

    judged: Judged
    found: int
    median_ms: float

    @property
    def labels(self) -> Labelling:
        """All answers."""
        return self.judged.answers.labelling

    @property
    def by_source(self) -> dict[str, Labelling]:
        """The answers for each collection the pictures are from."""
        answers = self.judged.answers
        return {
            str(source): answers.keep(answers.sources == source).labelling
            for source in np.unique(answers.sources)
        }

    @cached_property
    def numbers(self) -> Numbers:
        """Every number about these answers."""
        return numbers(self.labels)

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "labels": self.labels.to_json(),
            "numbers": self.numbers.to_json(),
            "by_source": {
                source: labels.to_json() for source, labels in self.by_source.items()
            },
            "found": self.found,
            "median_ms": round(self.median_ms, 2),
        }


def evaluate_boxes(classifier: Classifier, examples: Iterable[Example]) -> LabelsReport:
    """Measure a classifier on the true boxes of at least `LARGE_PX`."""
    judged, times_ms = [], []
    for example in examples:
        image = read_example(example)
        large = sizes_px(example.boxes) >= LARGE_PX
        boxes = example.boxes[large]
        started = perf_counter()
        probs = classifier.predict(image, boxes)
        times_ms.append((perf_counter() - started) * 1e3)
        truths = example.label_values[large]
        judged.append(Judged.of(example, image, boxes, truths, probs))
    return LabelsReport(Judged.joined(judged), 0, median(times_ms))


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
    judged, times_ms, found = [], [], 0
    for example in examples:
        image = read_example(example)
        started = perf_counter()
        scene = Scene.empty() if analyzer is None else analyzer.analyze(image, settings)
        if len(scene):
            found += 1
            largest = [int(areas(scene.faces.boxes).argmax())]
            boxes, probs = scene.faces.boxes[largest], scene.probs[largest]
        else:
            boxes = _whole(image)
            probs = classifier.predict(image, boxes)
        times_ms.append((perf_counter() - started) * 1e3)
        judged.append(Judged.of(example, image, boxes, example.label_values, probs))
    return LabelsReport(Judged.joined(judged), found, median(times_ms))


def _whole(image: Image) -> Boxes:
    height, width = image.shape[:2]
    return np.array([[0, 0, width, height]], np.float32)
