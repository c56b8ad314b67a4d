"""The analyzer around a network with known answers."""

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
    """Sees the same faces, at places that are shares of the image it is given."""

    def __init__(self, *seen: tuple[float, float, float, float, float]) -> None:
        self.sizes_wh: list[tuple[int, int]] = []
        self._seen = seen

    def forward(self, image: Image) -> list[FeatureMap]:
        height, width = image.shape[:2]
        self.sizes_wh.append((width, height))
        maps = [
            np.full(
                (-(-height // 32) * 32 // s, -(-width // 32) * 32 // s, N_CHANNELS), -20
            )
            for s in STRIDES_PX
        ]
        maps = [one.astype(np.float32) for one in maps]
        for x, y, w, h, logit in self._seen:
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
SURE, TWIN, WEAK, SMALL = (
    (0.5, 0.5, 0.4, 0.5, 3.0),
    (0.53, 0.5, 0.3, 0.45, 2.0),
    (0.15, 0.2, 0.2, 0.3, -1.0),
    (0.9, 0.9, 0.03, 0.04, 2.5),
)


def analyzer(*seen, scaling=None, refine=None) -> tuple[SingleStage, FakeNetwork]:
    network = FakeNetwork(*seen)
    return SingleStage(network, scaling, refiner=refine), network


@pytest.mark.parametrize("size_wh", [(640, 480), (1280, 960), (200, 150), (333, 77)])
def test_boxes_come_back_in_pixels_of_the_picture(size_wh):
    width, height = size_wh
    scene = analyzer(SURE)[0].analyze(make_grey_image(width, height), ALL)
    wanted = [0.3 * width, 0.25 * height, 0.7 * width, 0.75 * height]
    assert scene.faces.boxes[0] == pytest.approx(wanted, abs=1e-3 * width)
    assert scene.labels == (Label.MASK,)


@pytest.mark.parametrize(
    ("scaling", "size_wh", "seen_wh"),
    [
        (Resize(320, 1), (640, 480), (320, 240)),
        (Resize(320, 1), (100, 50), (100, 50)),
        (Resize(640, 2), (480, 640), (480, 640)),
        (Resize(640, 2), (400, 300), (640, 480)),
        (Resize(640, 2), (100, 50), (200, 100)),
        (Resize(640, 2), (4000, 3), (640, 1)),
    ],
)
def test_the_network_sees_the_size_that_was_asked_for(scaling, size_wh, seen_wh):
    looks, network = analyzer(scaling=scaling)
    looks.analyze(make_grey_image(*size_wh), ALL)
    assert network.sizes_wh == [seen_wh]


@pytest.mark.parametrize(
    ("values", "says"),
    [((16, 1), "long_side_px"), ((640, 0.5), "enlarge"), ((640, math.nan), "enlarge")],
)
def test_scalings_that_make_no_sense_are_refused(values, says):
    with pytest.raises(ValueError, match=says):
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
def test_choosing_early_equals_choosing_late(settings):
    look = Refiner(FakeClassifier((0.1, 0.2, 0.7)), min_px=60, weight=0.5)
    looks, _ = analyzer(SURE, TWIN, WEAK, SMALL, refine=look)
    image = make_grey_image(320, 240)
    early, late = (
        looks.analyze(image, settings),
        looks.analyze(image, ALL).filter(settings),
    )
    assert early.faces.boxes.tolist() == late.faces.boxes.tolist()
    assert early.faces.scores.tolist() == late.faces.scores.tolist()
    np.testing.assert_allclose(early.probs, late.probs)
    assert early.labels == late.labels
    np.testing.assert_allclose(early.blur_boxes, late.blur_boxes)


def test_candidates_of_one_face_are_joined_and_parts_outside_cut():
    scene = analyzer(SURE, TWIN, (0.98, 0.5, 0.2, 0.2, 2.0))[0].analyze(
        make_grey_image(320, 240), ALL
    )
    assert len(scene) == 2
    assert scene.faces.boxes[:, 2].max() == 320


def score_of(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_neighbours_move_a_box_by_their_score_squared():
    sure, other = (0.5, 0.5, 0.4, 0.5, 3.0), (0.54, 0.5, 0.4, 0.5, 2.0)
    box = (
        analyzer(sure, other)[0].analyze(make_grey_image(640, 480), ALL).faces.boxes[0]
    )
    share = score_of(2.0) ** 2 / (score_of(3.0) ** 2 + score_of(2.0) ** 2)
    moved = 0.04 * 640 * share
    assert box == pytest.approx([192 + moved, 120, 448 + moved, 360], abs=0.1)


def test_whoever_is_much_less_sure_has_no_vote():
    sure, doubtful = (0.5, 0.5, 0.4, 0.5, 3.0), (0.54, 0.5, 0.4, 0.5, -1.0)
    box = (
        analyzer(sure, doubtful)[0]
        .analyze(make_grey_image(640, 480), ALL)
        .faces.boxes[0]
    )
    assert score_of(-1.0) < 0.3 * score_of(3.0)
    assert box == pytest.approx([192, 120, 448, 360], abs=0.1)


def test_large_faces_are_read_again_and_small_ones_are_not():
    classifier = FakeClassifier((0.0, 0.0, 1.0))
    look = Refiner(classifier, min_px=60, weight=0.25)
    looks, _ = analyzer(SURE, SMALL, refine=look)
    plain, _ = analyzer(SURE, SMALL)
    before, after = (
        plain.analyze(make_grey_image(320, 240), ALL),
        looks.analyze(make_grey_image(320, 240), ALL),
    )
    assert classifier.boxes[-1].tolist() == before.faces.boxes[:1].tolist()
    mixed = 0.75 * before.probs[0] + 0.25 * np.array([0, 0, 1])
    np.testing.assert_allclose(after.probs[0], mixed, rtol=1e-6)
    np.testing.assert_array_equal(after.probs[1], before.probs[1])


def test_nobody_is_asked_again_where_no_face_is_large():
    classifier = FakeClassifier()
    looks, _ = analyzer(SMALL, refine=Refiner(classifier, min_px=60))
    assert len(looks.analyze(make_grey_image(320, 240), ALL)) == 1
    assert classifier.boxes == []


def test_whoever_is_told_surely_is_not_read_again():
    classifier = FakeClassifier((0.0, 0.0, 1.0))
    other = (0.8, 0.3, 0.3, 0.4, 2.0)
    first = (
        analyzer(SURE, other)[0]
        .analyze(make_grey_image(320, 240), ALL)
        .probs.max(axis=1)
    )
    assert first == pytest.approx([0.787, 0.787], abs=1e-3)
    for sure, count in ((0.78, 0), (0.79, 2)):
        look = Refiner(classifier, min_px=10, weight=1.0, skip_above=sure)
        scene = analyzer(SURE, other, refine=look)[0].analyze(
            make_grey_image(320, 240), ALL
        )
        assert scene.labels.count(Label.INCORRECT) == count


def test_in_a_crowd_only_the_surest_faces_are_read_again():
    other, third = (0.8, 0.3, 0.3, 0.4, 2.0), (0.2, 0.7, 0.3, 0.4, 1.0)
    look = Refiner(FakeClassifier((0.0, 0.0, 1.0)), min_px=10, weight=1.0, max_faces=2)
    scene = analyzer(third, other, SURE, refine=look)[0].analyze(
        make_grey_image(320, 240), ALL
    )
    wanted = (Label.INCORRECT, Label.INCORRECT, Label.MASK)
    assert scene.labels == wanted


class FakeVerifier(FakeClassifier):
    """Knows that small boxes hold no face."""

    verifies = True
    small_is_face = 0.25

    def verify(self, image, boxes):
        small = boxes[:, 2] - boxes[:, 0] < 60
        there = np.where(small, self.small_is_face, 1.0).astype(np.float32)
        return self.predict(image, boxes), there


def test_detections_without_a_face_lose_score_and_others_keep_theirs():
    plain = analyzer(SURE, SMALL)[0].analyze(make_grey_image(320, 240), ALL)
    look = Refiner(FakeVerifier(), min_px=1000, verify_below=1.0, verify_power=0.5)
    looks, _ = analyzer(SURE, SMALL, refine=look)
    scene = looks.analyze(make_grey_image(320, 240), ALL)
    assert scene.faces.scores[0] == plain.faces.scores[0]
    assert scene.faces.scores[1] == pytest.approx(plain.faces.scores[1] * 0.5)
    np.testing.assert_array_equal(scene.probs, plain.probs)
    # Those that the network is sure of are not asked about.
    sure = Refiner(FakeVerifier(), min_px=1000, verify_below=0.1)
    kept = analyzer(SURE, SMALL, refine=sure)[0].analyze(make_grey_image(320, 240), ALL)
    assert kept.faces.scores.tolist() == plain.faces.scores.tolist()


def test_weak_detections_are_checked_from_a_score_on():
    plain = analyzer(SURE, SMALL)[0].analyze(make_grey_image(320, 240), ALL)
    weak = float(plain.faces.scores[1])
    for min_score, lowered in ((weak - 0.01, True), (weak + 0.01, False)):
        look = Refiner(FakeVerifier(), min_px=1, verify_below=1.0, min_score=min_score)
        scene = analyzer(SURE, SMALL, refine=look)[0].analyze(
            make_grey_image(320, 240), ALL
        )
        assert (float(scene.faces.scores[1]) < weak) == lowered
        assert (scene.probs[1] != plain.probs[1]).any() == lowered


@pytest.mark.parametrize("min_score", [0.0, 0.2, 0.4, 0.5, 0.6, 0.9])
@pytest.mark.parametrize("most", [None, 1, 2])
def test_verifying_early_equals_verifying_late(min_score, most):
    look = Refiner(
        FakeVerifier((0.1, 0.2, 0.7)), min_px=10, verify_below=1, max_faces=most
    )
    looks, _ = analyzer(SURE, TWIN, WEAK, SMALL, refine=look)
    settings = Settings(min_score=min_score, min_face_px=1)
    early = looks.analyze(make_grey_image(320, 240), settings)
    late = looks.analyze(make_grey_image(320, 240), ALL).filter(settings)
    assert early.faces.scores.tolist() == late.faces.scores.tolist()
    np.testing.assert_allclose(early.probs, late.probs)


def test_what_the_classifier_rejects_is_still_blurred():
    verifier = FakeVerifier()
    verifier.small_is_face = 0.0
    look = Refiner(verifier, min_px=1000, verify_below=1.0)
    looks, _ = analyzer(SURE, SMALL, refine=look)
    small = looks.analyze(make_grey_image(320, 240), ALL).faces.boxes[1]
    settings = Settings(min_face_px=1)
    for scene in (
        looks.analyze(make_grey_image(320, 240), settings),
        looks.analyze(make_grey_image(320, 240), ALL).filter(settings),
    ):
        assert len(scene) == 1
        assert scene.blur_boxes.tolist() == [small.tolist()]


def test_a_classifier_that_knows_no_faces_lowers_no_score():
    look = Refiner(FakeClassifier(), min_px=1000, verify_below=1.0)
    scene = analyzer(SURE, SMALL, refine=look)[0].analyze(
        make_grey_image(320, 240), ALL
    )
    plain = analyzer(SURE, SMALL)[0].analyze(make_grey_image(320, 240), ALL)
    assert scene.faces.scores.tolist() == plain.faces.scores.tolist()


@pytest.mark.parametrize("name", ["weight", "skip_above", "min_score", "verify_below"])
def test_a_share_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=name):
        Refiner(FakeClassifier(), **{name: 1.5})


def test_every_stage_is_timed_and_the_picture_is_not_changed():
    image = make_grey_image(1000, 700)
    scene = analyzer(SURE)[0].analyze(image, Settings())
    assert list(scene.stage_ms) == ["resize", "find", "decode", "label"]
    assert min(scene.stage_ms.values()) >= 0
    np.testing.assert_array_equal(image, make_grey_image(1000, 700))


def test_an_image_without_faces_is_an_empty_scene():
    assert len(analyzer()[0].analyze(make_grey_image(1, 1), Settings())) == 0
