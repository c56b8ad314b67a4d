"""Tests of the single-stage analyzer with a fake network."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskdet.analyzers.onepass import (
    N_CHANNELS,
    STRIDES_PX,
    FeatureMap,
    Refiner,
    Resize,
    SingleStage,
)
from maskdet.settings import Settings
from maskdet.types import Image, Label
from tests.helpers.fakes import FakeClassifier, make_grey_image


class FakeNetwork:
    """Detects fixed faces, whose positions are fractions of the image size."""

    def __init__(self, *faces: tuple[float, float, float, float, float]) -> None:
        self.sizes_wh: list[tuple[int, int]] = []
        self._faces = faces

    def forward(self, image: Image) -> list[FeatureMap]:
        height, width = image.shape[:2]
        self.sizes_wh.append((width, height))
        maps = [
            np.full(
                (-(-height // 32) * 32 // s, -(-width // 32) * 32 // s, N_CHANNELS), -20
            )
            for s in STRIDES_PX
        ]
        maps = [feature_map.astype(np.float32) for feature_map in maps]
        for x, y, w, h, logit in self._faces:
            column, row = int(x * width / 8), int(y * height / 8)
            maps[0][row, column] = [
                logit,
                logit,
                x * width / 8 - column,
                y * height / 8 - row,
                math.log(w * width / 8),
                math.log(h * height / 8),
                2.0,
                0.0,
                0.0,
            ]
        return maps


ALL = Settings.permissive()
CONFIDENT, TWIN, WEAK, SMALL = (
    (0.5, 0.5, 0.4, 0.5, 3.0),
    (0.53, 0.5, 0.3, 0.45, 2.0),
    (0.15, 0.2, 0.2, 0.3, -1.0),
    (0.9, 0.9, 0.03, 0.04, 2.5),
)


def make_analyzer(*faces, resize=None, refine=None) -> tuple[SingleStage, FakeNetwork]:
    network = FakeNetwork(*faces)
    return SingleStage(network, resize, refiner=refine), network


@pytest.mark.parametrize("size_wh", [(640, 480), (1280, 960), (200, 150), (333, 77)])
def test_boxes_are_in_pixels_of_the_image(size_wh):
    width, height = size_wh
    scene = make_analyzer(CONFIDENT)[0].analyze(make_grey_image(width, height), ALL)
    expected = [0.3 * width, 0.25 * height, 0.7 * width, 0.75 * height]
    assert scene.faces.boxes[0] == pytest.approx(expected, abs=1e-3 * width)
    assert scene.labels == (Label.MASK,)


@pytest.mark.parametrize(
    ("resize", "size_wh", "network_wh"),
    [
        (Resize(320, 1), (640, 480), (320, 240)),
        (Resize(320, 1), (100, 50), (100, 50)),
        (Resize(640, 2), (480, 640), (480, 640)),
        (Resize(640, 2), (400, 300), (640, 480)),
        (Resize(640, 2), (100, 50), (200, 100)),
        (Resize(640, 2), (4000, 3), (640, 1)),
    ],
)
def test_the_network_gets_the_resized_image(resize, size_wh, network_wh):
    analyzer, network = make_analyzer(resize=resize)
    analyzer.analyze(make_grey_image(*size_wh), ALL)
    assert network.sizes_wh == [network_wh]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((16, 1), "long_side_px"),
        ((640, 0.5), "max_upscale"),
        ((640, math.nan), "max_upscale"),
    ],
)
def test_invalid_resize_values_are_rejected(values, message):
    with pytest.raises(ValueError, match=message):
        Resize(*values)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(min_score=0.1, min_face_px=1, nms_iou=1),
        Settings(min_score=0, min_face_px=1, nms_iou=0),
        Settings(min_score=1),
        Settings(min_score=0.2, min_face_px=30, min_confidence=0.95),
    ],
)
def test_filtering_in_analyze_equals_filtering_later(settings):
    refiner = Refiner(FakeClassifier((0.1, 0.2, 0.7)), min_px=60, weight=0.5)
    analyzer, _ = make_analyzer(CONFIDENT, TWIN, WEAK, SMALL, refine=refiner)
    image = make_grey_image(320, 240)
    filtered_early, filtered_late = (
        analyzer.analyze(image, settings),
        analyzer.analyze(image, ALL).filter(settings),
    )
    assert filtered_early.faces.boxes.tolist() == filtered_late.faces.boxes.tolist()
    assert filtered_early.faces.scores.tolist() == filtered_late.faces.scores.tolist()
    np.testing.assert_allclose(filtered_early.probs, filtered_late.probs)
    assert filtered_early.labels == filtered_late.labels
    np.testing.assert_allclose(filtered_early.blur_boxes, filtered_late.blur_boxes)


def test_candidates_of_one_face_are_merged_and_boxes_clipped():
    scene = make_analyzer(CONFIDENT, TWIN, (0.98, 0.5, 0.2, 0.2, 2.0))[0].analyze(
        make_grey_image(320, 240), ALL
    )
    assert len(scene) == 2
    assert scene.faces.boxes[:, 2].max() == 320


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_box_voting_weights_neighbours_by_score_squared():
    sure, other = (0.5, 0.5, 0.4, 0.5, 3.0), (0.54, 0.5, 0.4, 0.5, 2.0)
    box = (
        make_analyzer(sure, other)[0]
        .analyze(make_grey_image(640, 480), ALL)
        .faces.boxes[0]
    )
    weight = sigmoid(2.0) ** 2 / (sigmoid(3.0) ** 2 + sigmoid(2.0) ** 2)
    shift_px = 0.04 * 640 * weight
    assert box == pytest.approx([192 + shift_px, 120, 448 + shift_px, 360], abs=0.1)


def test_low_score_candidates_take_no_part_in_box_voting():
    sure, doubtful = (0.5, 0.5, 0.4, 0.5, 3.0), (0.54, 0.5, 0.4, 0.5, -1.0)
    box = (
        make_analyzer(sure, doubtful)[0]
        .analyze(make_grey_image(640, 480), ALL)
        .faces.boxes[0]
    )
    assert sigmoid(-1.0) < 0.3 * sigmoid(3.0)
    assert box == pytest.approx([192, 120, 448, 360], abs=0.1)


def test_only_large_faces_are_refined():
    classifier = FakeClassifier((0.0, 0.0, 1.0))
    refiner = Refiner(classifier, min_px=60, weight=0.25)
    analyzer, _ = make_analyzer(CONFIDENT, SMALL, refine=refiner)
    plain, _ = make_analyzer(CONFIDENT, SMALL)
    before, after = (
        plain.analyze(make_grey_image(320, 240), ALL),
        analyzer.analyze(make_grey_image(320, 240), ALL),
    )
    assert classifier.boxes[-1].tolist() == before.faces.boxes[:1].tolist()
    blended = 0.75 * before.probs[0] + 0.25 * np.array([0, 0, 1])
    np.testing.assert_allclose(after.probs[0], blended, rtol=1e-6)
    np.testing.assert_array_equal(after.probs[1], before.probs[1])


def test_the_classifier_is_not_called_without_large_faces():
    classifier = FakeClassifier()
    analyzer, _ = make_analyzer(SMALL, refine=Refiner(classifier, min_px=60))
    assert len(analyzer.analyze(make_grey_image(320, 240), ALL)) == 1
    assert classifier.boxes == []


def test_confident_faces_are_not_refined():
    classifier = FakeClassifier((0.0, 0.0, 1.0))
    other = (0.8, 0.3, 0.3, 0.4, 2.0)
    first = (
        make_analyzer(CONFIDENT, other)[0]
        .analyze(make_grey_image(320, 240), ALL)
        .probs.max(axis=1)
    )
    assert first == pytest.approx([0.787, 0.787], abs=1e-3)
    for sure, count in ((0.78, 0), (0.79, 2)):
        refiner = Refiner(classifier, min_px=10, weight=1.0, skip_above=sure)
        scene = make_analyzer(CONFIDENT, other, refine=refiner)[0].analyze(
            make_grey_image(320, 240), ALL
        )
        assert scene.labels.count(Label.INCORRECT) == count


def test_max_faces_limits_refinement_to_the_best_scores():
    other, third = (0.8, 0.3, 0.3, 0.4, 2.0), (0.2, 0.7, 0.3, 0.4, 1.0)
    refiner = Refiner(
        FakeClassifier((0.0, 0.0, 1.0)), min_px=10, weight=1.0, max_faces=2
    )
    scene = make_analyzer(third, other, CONFIDENT, refine=refiner)[0].analyze(
        make_grey_image(320, 240), ALL
    )
    expected = (Label.INCORRECT, Label.INCORRECT, Label.MASK)
    assert scene.labels == expected


class FakeVerifier(FakeClassifier):
    """Gives small boxes a low face probability."""

    verifies = True
    small_is_face = 0.25

    def verify(self, image, boxes):
        small = boxes[:, 2] - boxes[:, 0] < 60
        face_probs = np.where(small, self.small_is_face, 1.0).astype(np.float32)
        return self.predict(image, boxes), face_probs


def test_verification_lowers_the_score_of_false_positives_only():
    plain = make_analyzer(CONFIDENT, SMALL)[0].analyze(make_grey_image(320, 240), ALL)
    refiner = Refiner(FakeVerifier(), min_px=1000, verify_below=1.0, verify_power=0.5)
    analyzer, _ = make_analyzer(CONFIDENT, SMALL, refine=refiner)
    scene = analyzer.analyze(make_grey_image(320, 240), ALL)
    assert scene.faces.scores[0] == plain.faces.scores[0]
    assert scene.faces.scores[1] == pytest.approx(plain.faces.scores[1] * 0.5)
    np.testing.assert_array_equal(scene.probs, plain.probs)
    # Detections above `verify_below` are not verified.
    sure = Refiner(FakeVerifier(), min_px=1000, verify_below=0.1)
    kept = make_analyzer(CONFIDENT, SMALL, refine=sure)[0].analyze(
        make_grey_image(320, 240), ALL
    )
    assert kept.faces.scores.tolist() == plain.faces.scores.tolist()


def test_detections_below_min_score_are_not_verified():
    plain = make_analyzer(CONFIDENT, SMALL)[0].analyze(make_grey_image(320, 240), ALL)
    weak = float(plain.faces.scores[1])
    for min_score, lowered in ((weak - 0.01, True), (weak + 0.01, False)):
        refiner = Refiner(
            FakeVerifier(), min_px=1, verify_below=1.0, min_score=min_score
        )
        scene = make_analyzer(CONFIDENT, SMALL, refine=refiner)[0].analyze(
            make_grey_image(320, 240), ALL
        )
        assert (float(scene.faces.scores[1]) < weak) == lowered
        assert (scene.probs[1] != plain.probs[1]).any() == lowered


@pytest.mark.parametrize("min_score", [0.0, 0.2, 0.4, 0.5, 0.6, 0.9])
@pytest.mark.parametrize("max_faces", [None, 1, 2])
def test_filtering_before_verification_equals_filtering_after(min_score, max_faces):
    refiner = Refiner(
        FakeVerifier((0.1, 0.2, 0.7)), min_px=10, verify_below=1, max_faces=max_faces
    )
    analyzer, _ = make_analyzer(CONFIDENT, TWIN, WEAK, SMALL, refine=refiner)
    settings = Settings(min_score=min_score, min_face_px=1)
    filtered_early = analyzer.analyze(make_grey_image(320, 240), settings)
    filtered_late = analyzer.analyze(make_grey_image(320, 240), ALL).filter(settings)
    assert filtered_early.faces.scores.tolist() == filtered_late.faces.scores.tolist()
    np.testing.assert_allclose(filtered_early.probs, filtered_late.probs)


def test_detections_rejected_by_the_verifier_are_still_blurred():
    verifier = FakeVerifier()
    verifier.small_is_face = 0.0
    refiner = Refiner(verifier, min_px=1000, verify_below=1.0)
    analyzer, _ = make_analyzer(CONFIDENT, SMALL, refine=refiner)
    small = analyzer.analyze(make_grey_image(320, 240), ALL).faces.boxes[1]
    settings = Settings(min_face_px=1)
    for scene in (
        analyzer.analyze(make_grey_image(320, 240), settings),
        analyzer.analyze(make_grey_image(320, 240), ALL).filter(settings),
    ):
        assert len(scene) == 1
        assert scene.blur_boxes.tolist() == [small.tolist()]


def test_a_classifier_without_verification_does_not_change_scores():
    refiner = Refiner(FakeClassifier(), min_px=1000, verify_below=1.0)
    scene = make_analyzer(CONFIDENT, SMALL, refine=refiner)[0].analyze(
        make_grey_image(320, 240), ALL
    )
    plain = make_analyzer(CONFIDENT, SMALL)[0].analyze(make_grey_image(320, 240), ALL)
    assert scene.faces.scores.tolist() == plain.faces.scores.tolist()


@pytest.mark.parametrize("name", ["weight", "skip_above", "min_score", "verify_below"])
def test_refiner_values_out_of_range_are_rejected(name):
    with pytest.raises(ValueError, match=name):
        Refiner(FakeClassifier(), **{name: 1.5})


def test_every_stage_is_timed_and_the_image_is_not_changed():
    image = make_grey_image(1000, 700)
    scene = make_analyzer(CONFIDENT)[0].analyze(image, Settings())
    assert list(scene.stage_ms) == ["resize", "detect", "decode", "classify"]
    assert min(scene.stage_ms.values()) >= 0
    np.testing.assert_array_equal(image, make_grey_image(1000, 700))


def test_an_image_without_faces_is_an_empty_scene():
    assert len(make_analyzer()[0].analyze(make_grey_image(1, 1), Settings())) == 0
