"""Results of the classifier are reused for the same face within a stream."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.analyzers.onepass import Refiner, SingleStage
from maskdet.analyzers.pipelines import load_analyzer
from maskdet.analyzers.recent_checks import (
    MAX_AGE_S,
    MIN_AGE_S,
    RecentChecks,
    analyze_frame,
)
from maskdet.classifier import load_classifier
from maskdet.media import read_image
from maskdet.resources import resource_path
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.types import Scene
from tests.helpers.fakes import make_grey_image

BOXES = np.array([[0, 0, 40, 40], [100, 0, 140, 40], [200, 0, 240, 40]], np.float32)
MASK, NO_MASK = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05)


class CountingVerifier:
    """Returns the same probabilities for all boxes, and records these."""

    def __init__(self) -> None:
        self.probs = MASK
        self.checked: list[np.ndarray] = []

    def __call__(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.checked.append(boxes)
        probs = np.tile(np.float32(self.probs), (len(boxes), 1))
        return probs, np.linspace(0.5, 1, len(boxes), dtype=np.float32)


@pytest.fixture
def checks() -> RecentChecks:
    return RecentChecks()


@pytest.fixture
def verify() -> CountingVerifier:
    return CountingVerifier()


def first_probs(n: int, mask_prob: float = 0.6) -> np.ndarray:
    """Class probabilities of the network that detects the faces."""
    return np.tile(np.float32([mask_prob, 1 - mask_prob, 0]), (n, 1))


def test_a_result_is_reused_until_it_is_too_old(checks, verify) -> None:
    probs, face_probs = checks.check(BOXES, first_probs(3), verify)
    np.testing.assert_array_equal(face_probs, np.float32([0.5, 0.75, 1]))
    verify.probs = NO_MASK
    # The age counts from the check, not from the last use.
    for time_s in (MAX_AGE_S / 3, 0.9 * MAX_AGE_S):
        checks.time_s = time_s
        again = checks.check(BOXES[::-1] + 2, first_probs(3), verify)
        np.testing.assert_array_equal(again[0], probs)
        np.testing.assert_array_equal(again[1], np.float32([1, 0.75, 0.5]))
        checks.check(BOXES, first_probs(3), verify)
    assert len(verify.checked) == 1
    checks.time_s = MAX_AGE_S
    later, _ = checks.check(BOXES, first_probs(3), verify)
    np.testing.assert_array_equal(later, np.tile(np.float32(NO_MASK), (3, 1)))


def test_only_faces_that_are_new_or_have_moved_are_checked(checks, verify) -> None:
    checks.check(BOXES[:2], first_probs(2), verify)
    moved = BOXES + np.float32([[0], [12], [0]])
    verify.probs = NO_MASK
    probs, _ = checks.check(moved, first_probs(3), verify)
    np.testing.assert_array_equal(verify.checked[1], moved[1:])
    np.testing.assert_array_equal(probs, np.float32([MASK, NO_MASK, NO_MASK]))


def test_a_face_is_checked_when_the_network_sees_a_change(checks, verify) -> None:
    checks.check(BOXES, first_probs(3), verify)
    # Small changes in one direction add up: they count from the check.
    for mask_prob in (0.5, 0.42):
        checks.check(BOXES, first_probs(3, mask_prob), verify)
    assert len(verify.checked) == 1
    changed = first_probs(3, 0.42)
    changed[1] = first_probs(1, 0.38)
    verify.probs = NO_MASK
    checks.time_s = 0.9 * MIN_AGE_S
    checks.check(BOXES, changed, verify)
    assert len(verify.checked) == 1
    checks.time_s = MIN_AGE_S
    probs, _ = checks.check(BOXES, changed, verify)
    np.testing.assert_array_equal(verify.checked[1], BOXES[1:2])
    np.testing.assert_array_equal(probs, np.float32([MASK, NO_MASK, MASK]))


def test_a_frame_without_faces_ends_all_reuse(checks, verify) -> None:
    for n in (3, 0, 3):
        checks.check(BOXES[:n], first_probs(n), verify)
    assert [len(boxes) for boxes in verify.checked] == [3, 3]


class CountingClassifier:
    """The default classifier; counts the faces that it verifies."""

    def __init__(self) -> None:
        self._classifier = load_classifier()
        self.verifies = self._classifier.verifies
        self.n_faces = 0

    def predict(self, image, boxes):
        return self.verify(image, boxes)[0]

    def verify(self, image, boxes):
        self.n_faces += len(boxes)
        return self._classifier.verify(image, boxes)


@pytest.fixture(scope="module")
def group_image() -> np.ndarray:
    return read_image(resource_path("samples/group.jpg"))


@pytest.fixture
def counting() -> tuple[SingleStage, CountingClassifier]:
    analyzer = load_analyzer("onepass-fast")
    assert isinstance(analyzer, SingleStage)
    classifier = CountingClassifier()
    # All faces are checked.
    analyzer.refiner = Refiner(classifier, min_px=1, skip_above=1.0)
    return analyzer, classifier


def test_a_stream_checks_a_still_face_every_23rd_frame(counting, group_image) -> None:
    analyzer, classifier = counting
    n_faces = len(analyzer.analyze(group_image).faces)
    assert n_faces == 7
    classifier.n_faces = 0
    stream = Stream(analyzer)
    scenes = [stream.step(group_image, number / 15) for number in range(24)]
    assert classifier.n_faces == 2 * n_faces
    alone = Stream(analyzer)
    for number, scene in enumerate(scenes[:3]):
        # Frames that are further apart are checked each.
        other = alone.step(group_image, number * MAX_AGE_S)
        np.testing.assert_array_equal(scene.faces.scores, other.faces.scores)
    assert classifier.n_faces == 5 * n_faces


def test_an_image_is_never_analyzed_with_results_of_another(
    counting, group_image
) -> None:
    analyzer, classifier = counting
    for _ in range(2):
        analyzer.analyze(group_image)
    assert classifier.n_faces == 14


def test_other_analyzers_analyze_every_frame_alone(group_image) -> None:
    class Plain:
        def analyze(self, image, settings=None):
            return Scene.empty()

    checks = RecentChecks()
    assert len(analyze_frame(Plain(), group_image, Settings(), checks)) == 0


def test_a_blank_frame_needs_no_check(counting) -> None:
    analyzer, classifier = counting
    scene = analyzer.analyze_frame(make_grey_image(), Settings(), RecentChecks())
    assert len(scene.faces) == 0
    assert classifier.n_faces == 0
