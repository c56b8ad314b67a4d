from __future__ import annotations

import numpy as np
import pytest

from maskdet.analyzer import ANALYZERS, TwoStage, load_analyzer
from maskdet.classifier import DEFAULT_CLASSIFIER
from maskdet.detectors import DETECTORS, load_detector
from maskdet.types import Label, Settings
from tests.fakes import FakeClassifier, FakeDetector, grey

BOXES = [[5, 5, 25, 30], [6, 5, 26, 30], [40, 10, 50, 20], [0, 0, 3, 3]]
SCORES = [0.9, 0.8, 0.4, 0.7]


def two_stage() -> tuple[TwoStage, FakeClassifier]:
    classifier = FakeClassifier()
    return TwoStage(FakeDetector(BOXES, SCORES), classifier), classifier


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(min_score=0.1, min_face_px=1, nms_iou=1),
        Settings(min_score=1),
        Settings(min_score=0.3, min_face_px=5, min_certainty=0.95),
    ],
)
def test_choosing_before_labelling_equals_choosing_after(settings) -> None:
    analyzer, _ = two_stage()
    before = analyzer.analyze(grey(), settings)
    after = analyzer.analyze(grey()).select(settings)
    assert before.faces.boxes.tolist() == after.faces.boxes.tolist()
    assert before.probs.tolist() == after.probs.tolist()
    assert before.labels == after.labels


def test_refused_faces_never_reach_the_classifier() -> None:
    analyzer, classifier = two_stage()
    scene = analyzer.analyze(grey(), Settings(min_score=0.5))
    assert classifier.boxes[-1].tolist() == [BOXES[0]]
    assert scene.labels == (Label.MASK,)


def test_without_settings_every_face_is_labelled() -> None:
    analyzer, _ = two_stage()
    assert len(analyzer.analyze(grey())) == 4


def test_every_stage_is_timed() -> None:
    analyzer, _ = two_stage()
    stage_ms = analyzer.analyze(grey()).stage_ms
    assert set(stage_ms) == {"find", "label"}
    assert min(stage_ms.values()) >= 0


def test_an_image_without_faces_is_an_empty_scene() -> None:
    image = grey()
    scene = TwoStage(FakeDetector(), FakeClassifier()).analyze(image, Settings())
    assert len(scene) == 0
    np.testing.assert_array_equal(image, grey())


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"mtcnn.*not 'best'"):
        load_analyzer("best")
    with pytest.raises(ValueError, match=r"haar.*not 'best'"):
        load_detector("best")


def test_the_classifier_that_is_asked_for_labels_the_faces(monkeypatch) -> None:
    asked: list[str] = []

    def load(name: str) -> FakeClassifier:
        asked.append(name)
        return FakeClassifier()

    monkeypatch.setattr("maskdet.analyzer.load_classifier", load)
    monkeypatch.setattr("maskdet.analyzer.load_detector", lambda name: FakeDetector())
    load_analyzer()
    load_analyzer("haar", "tutorial")
    assert asked == [DEFAULT_CLASSIFIER, "tutorial"]


def test_an_unknown_classifier_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"classifier must be one of maskdet.*'best'"):
        load_analyzer("haar", "best")


def test_every_analyzer_has_a_finder() -> None:
    assert set(ANALYZERS) == set(DETECTORS)
