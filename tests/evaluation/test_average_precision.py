"""Average precision with both class rules on worked examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskdet.datasets import Example
from maskdet.evaluation import scoring
from maskdet.evaluation.detection import (
    class_average_precisions,
    face_average_precision,
)
from maskdet.evaluation.operating_point import Evaluator
from maskdet.evaluation.scoring import PERMISSIVE_SETTINGS, predict_examples
from maskdet.types import Faces, Label, Scene
from tests.helpers.fakes import make_grey_image

HERE, THERE, TINY = (0, 0, 30, 30), (40, 0, 70, 30), (0, 40, 8, 48)
MASK, NO_MASK, INCORRECT = Label.MASK, Label.NO_MASK, Label.INCORRECT


def example(*rows):
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Example(Path("a.png"), boxes, tuple(label for _, label in rows))


def scene(*rows):
    """Return a scene of rows of box, score, probs, by falling score."""
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[1] for row in rows], np.float32)
    return Scene(Faces(boxes, scores), np.array([row[2] for row in rows], np.float32))


def evaluate(examples, scenes):
    """Return the result of scenes without thresholds."""
    remaining = iter(scenes)

    class Analyzer:
        def analyze(self, image, settings=None):
            return next(remaining)

    scored = predict_examples(Analyzer(), examples, PERMISSIVE_SETTINGS)
    return Evaluator(*scored.by_settings)(PERMISSIVE_SETTINGS)


@pytest.fixture(autouse=True)
def image(monkeypatch):
    """Examples have no files here."""
    monkeypatch.setattr(
        scoring, "read_example", lambda _example: make_grey_image(100, 60)
    )


TRUTH = [example((HERE, MASK), (THERE, NO_MASK))]
# The detection with the higher score has uncertain and wrong classes.
FOUND = [scene((THERE, 0.9, (0.5, 0.4, 0.1)), (HERE, 0.6, (0.8, 0.1, 0.1)))]


def test_the_likeliest_class_gets_the_detection_score():
    found = class_average_precisions(evaluate(TRUTH, FOUND), 0.0)
    # mask: .9 wrong, .6 right: half. By score x probability (.45, .48) it were whole.
    assert found["mask"].value == pytest.approx(1 / 2)
    assert found["no_mask"].value == 0
    assert np.isnan(found["incorrect"].value)
    assert found["mean"].value == pytest.approx(1 / 4)
    assert found["mean"].n == 2


def test_every_class_gets_score_times_probability():
    found = class_average_precisions(evaluate(TRUTH, FOUND), 0.0, "every")
    assert found["mask"].value == 1
    # no mask: .36 right, .06 wrong
    assert found["no_mask"].value == 1
    assert found["mean"].value == 1


def test_small_true_boxes_are_ignored_and_faces_have_no_class():
    truth = [example((HERE, MASK), (TINY, MASK))]
    result = evaluate(truth, [scene((HERE, 0.9, (0, 0, 1)))])
    assert face_average_precision(result, 0.0).value == pytest.approx(1 / 2)
    assert face_average_precision(result, 20.0).value == 1
    assert class_average_precisions(result, 20.0)["mask"].value == 0
    assert class_average_precisions(result, 20.0)["mask"].n == 1


def test_images_without_detections_count():
    found = class_average_precisions(
        evaluate([*TRUTH, *TRUTH], [*FOUND, Scene.empty()]), 0.0
    )
    assert found["mask"].value == pytest.approx(1 / 2 * 1 / 2)
