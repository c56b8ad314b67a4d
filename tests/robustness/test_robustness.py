"""Robustness benchmarks: occlusion, low light, subgroups and look-alikes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from maskdet.cli import main
from maskdet.datasets import Example
from maskdet.robustness.lookalikes import (
    evaluate_lookalikes,
    label_by_analyzer,
    label_by_classifier,
)
from maskdet.robustness.low_light import DARK_LUMINANCE, darken, evaluate_low_light
from maskdet.robustness.occlusion import evaluate_occlusion
from maskdet.robustness.subgroups import compare_subgroups, read_subgroups
from maskdet.settings import Settings
from maskdet.synthetic import LOOKALIKES, OCCLUDERS, render_lookalike
from maskdet.types import Faces, Label, Scene

BOX = np.array([60, 50, 140, 150], np.float32)
POINTS = np.array([[82, 85], [118, 85], [100, 106], [85, 125], [115, 125]], np.float32)
FACE = (150, 170, 210)


class OneFace:
    """A detector that detects the drawn face, or nothing."""

    def __init__(self, seen: bool = True):
        self.seen = seen

    def detect_landmarks(self, image):
        if not self.seen:
            return Faces.empty(), np.zeros((0, 5, 2), np.float32)
        return Faces(BOX[None], np.ones(1, np.float32)), POINTS[None]

    def detect(self, image):
        return self.detect_landmarks(image)[0]


class MouthColourClassifier:
    """Predicts no mask if the mouth has the colour of the face."""

    def predict(self, image, boxes):
        probs = np.zeros((len(boxes), 3), np.float32)
        for row, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
            mouth = image[(y1 + 3 * y2) // 4, (x1 + x2) // 2].astype(int)
            unmasked = np.abs(mouth - FACE).max() < 12
            probs[row, Label.NO_MASK if unmasked else Label.MASK] = 1
        return probs


class AlwaysNoMask:
    def predict(self, image, boxes):
        return np.tile(np.array([[0, 1, 0]], np.float32), (len(boxes), 1))


class NoMaskByDay:
    """Predicts a mask in the dark."""

    def predict(self, image, boxes):
        bright = image[50:150, 60:140].mean() >= DARK_LUMINANCE
        row = [0, 1, 0] if bright else [1, 0, 0]
        return np.tile(np.array([row], np.float32), (len(boxes), 1))


@pytest.fixture
def scene(tmp_path: Path) -> Example:
    image = np.full((200, 200, 3), 90, np.uint8)
    cv2.ellipse(image, (100, 100), (40, 50), 0, 0, 360, FACE, -1)
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), image)
    return Example(path, BOX[None], (Label.NO_MASK,), "made")


def test_all_occluders_fool_a_classifier_of_the_mouth_colour(scene):
    report = evaluate_occlusion(MouthColourClassifier(), OneFace(), [scene] * 6)
    assert report.baseline.value == 0
    assert set(report.occluders) == set(OCCLUDERS)
    assert report.overall.n == 6 * len(OCCLUDERS)
    assert report.overall.value > 0.7


def test_a_constant_classifier_has_no_false_masks(scene):
    report = evaluate_occlusion(AlwaysNoMask(), OneFace(), [scene])
    assert report.overall.value == 0
    assert report.to_json()["overall"]["n"] == len(OCCLUDERS)


def test_masked_small_and_undetected_faces_are_skipped(scene):
    masked = Example(scene.path, scene.boxes, (Label.MASK,))
    small = Example(scene.path, scene.boxes * 0.1, (Label.NO_MASK,))
    assert (
        evaluate_occlusion(AlwaysNoMask(), OneFace(), [masked, small]).baseline.n == 0
    )
    assert evaluate_occlusion(AlwaysNoMask(), OneFace(False), [scene]).baseline.n == 0


def test_the_same_seed_gives_the_same_report(scene):
    both = [
        evaluate_occlusion(MouthColourClassifier(), OneFace(), [scene] * 4, seed=3)
        for _ in range(2)
    ]
    assert both[0] == both[1]


def test_a_darkened_face_is_below_40_and_not_black():
    image = np.full((200, 200, 3), FACE, np.uint8)
    for seed in range(8):
        night = darken(image, BOX, np.random.default_rng(seed))
        mean = cv2.cvtColor(night, cv2.COLOR_BGR2GRAY)[50:150, 60:140].mean()
        assert 8 < mean < DARK_LUMINANCE
        assert night.std() > 1  # the sensor's noise
    assert (image == FACE).all()


def test_low_light_is_evaluated_on_the_same_faces(scene):
    report = evaluate_low_light(NoMaskByDay(), OneFace(), [scene] * 5)
    assert (
        report.baseline.value,
        report.darkened.value,
        report.accuracy_loss.value,
    ) == (1, 0, 1)
    assert (
        evaluate_low_light(AlwaysNoMask(), OneFace(), [scene] * 5).accuracy_loss.value
        == 0
    )


def test_images_of_one_face_count_too(scene):
    whole = Example(scene.path, np.zeros((0, 4), np.float32), (Label.NO_MASK,))
    assert evaluate_occlusion(AlwaysNoMask(), OneFace(), [whole]).baseline.n == 1
    assert evaluate_low_light(AlwaysNoMask(), OneFace(False), [whole]).baseline.n == 1


def test_a_significantly_worse_group_is_marked(scene):
    boxes = np.repeat(BOX[None], 60, axis=0)
    labels = tuple([Label.NO_MASK] * 30 + [Label.MASK] * 30)
    crowd = Example(scene.path, boxes, labels)
    groups = {
        ("face.png", row): frozenset({"masked"} if row >= 30 else {"unmasked", "both"})
        for row in range(60)
    }
    reports = {
        one.subgroup: one for one in compare_subgroups(AlwaysNoMask(), [crowd], groups)
    }
    assert reports["all"].accuracy.value == 0.5
    assert reports["masked"].is_worse
    assert not reports["unmasked"].is_worse
    assert reports["masked"].accuracy_difference.value == -1
    assert reports["unmasked"].unmasked_accuracy.n == 30
    assert reports["masked"].unmasked_accuracy.n == 0


def test_a_group_of_few_faces_is_not_marked(scene):
    boxes = np.repeat(BOX[None], 60, axis=0)
    crowd = Example(scene.path, boxes, (Label.MASK, *[Label.NO_MASK] * 59))
    groups = {
        ("face.png", row): frozenset({"few"} if row == 0 else {"many"})
        for row in range(60)
    }
    _, few, many = compare_subgroups(AlwaysNoMask(), [crowd], groups)
    assert (few.accuracy.value, many.accuracy.value) == (0, 1)
    assert few.accuracy_difference.high < 0
    assert not few.is_worse


def test_groups_without_faces_are_rejected(scene):
    with pytest.raises(ValueError, match="none of the faces"):
        compare_subgroups(AlwaysNoMask(), [scene], {("other.png", 0): frozenset()})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file,face\na.png,0\n", "the column 'groups' is missing"),
        ("file,face,groups\na.png,first,child\n", "must be an integer"),
    ],
)
def test_a_broken_group_table_is_reported_in_one_line(tmp_path, text, complaint):
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_subgroups(path)
    with pytest.raises(FileNotFoundError):
        read_subgroups(tmp_path / "none.csv")


def test_group_names_are_separated_by_spaces(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("file,face,groups\na.png,0,child glasses\na.png,1,\n")
    assert read_subgroups(path) == {
        ("a.png", 0): {"child", "glasses"},
        ("a.png", 1): frozenset(),
    }


def test_the_command_prints_every_benchmark(scene, tmp_path, capsys):
    coco = {
        "images": [{"id": 1, "file_name": "face.png", "width": 200, "height": 200}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [60, 50, 80, 100]}
        ],
        "categories": [{"id": 1, "name": "no_mask"}],
    }
    (tmp_path / "images").mkdir()
    scene.path.rename(tmp_path / "images" / "face.png")
    file = tmp_path / "own-val.json"
    file.write_text(json.dumps(coco))
    groups = tmp_path / "groups.csv"
    groups.write_text("file,face,groups\nface.png,0,child\n")
    assert main(["robustness", str(file), "--groups", str(groups)]) == 0
    out = capsys.readouterr().out
    assert "in low light" in out
    assert "all" in out
    assert main(["robustness", str(file), "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["low_light"]["baseline"]["n"] == 1
    assert main(["robustness", str(tmp_path / "none.json")]) == 1


class UnsureClassifier:
    """Predicts with low confidence."""

    def predict(self, image, boxes):
        return np.tile(np.array([[0.3, 0.5, 0.2]], np.float32), (len(boxes), 1))


def test_confident_labels_of_look_alikes_are_counted(scene):
    def evaluate(classifier):
        label_face = partial(label_by_classifier, classifier, 0.6)
        return evaluate_lookalikes(label_face, OneFace(), [scene])

    sure = evaluate(AlwaysNoMask())
    assert sure.baseline.value == 1
    assert {one.value for one in sure.predicted_no_mask.values()} == {1.0}
    assert {one.value for one in sure.unknown.values()} == {0.0}
    unsure = evaluate(UnsureClassifier())
    assert {one.value for one in unsure.predicted_no_mask.values()} == {0.0}
    assert {one.value for one in unsure.unknown.values()} == {1.0}
    assert set(unsure.to_json()["unknown"]) == set(LOOKALIKES)


def test_the_label_of_an_analyzer_is_that_of_the_detection_at_the_face():
    other = Faces(np.float32([BOX, BOX + 300]), np.float32([0.9, 0.8]))
    probs = np.float32([[0, 0.9, 0.1], [1, 0, 0]])
    analyzer = SimpleNamespace(
        analyze=lambda image, settings: Scene(other, probs).filter(settings)
    )
    image = np.zeros((600, 600, 3), np.uint8)
    label = partial(label_by_analyzer, analyzer, Settings(min_confidence=0.6), image)
    assert label(BOX + 5) is Label.NO_MASK
    assert label(BOX + 300) is Label.MASK
    assert label(BOX + 150) is Label.UNKNOWN
    unsure = Settings(min_confidence=0.95)
    assert label_by_analyzer(analyzer, unsure, image, BOX) is Label.UNKNOWN


@pytest.mark.parametrize("kind", LOOKALIKES)
def test_a_look_alike_is_drawn_on_a_copy_and_reproducible(scene, kind):
    image = cv2.imread(str(scene.path))
    kept = image.copy()
    first, again = (
        render_lookalike(image, POINTS, kind, box=BOX, rng=np.random.default_rng(3))
        for _ in range(2)
    )
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(first, again)
    changed = np.abs(first.astype(int) - image).max(axis=2) > 8
    assert changed.sum() > 100
    hidden = np.abs(first.astype(int) - image).max(axis=2) > 90
    assert hidden[80:90, 70:130].mean() < 0.5, "the eyes can be seen"


def test_an_unknown_look_alike_is_rejected(scene):
    image = cv2.imread(str(scene.path))
    with pytest.raises(ValueError, match="kind must be one of clear shield"):
        render_lookalike(image, POINTS, "veil", rng=np.random.default_rng(0))


@pytest.mark.parametrize("kind", LOOKALIKES)
def test_a_face_outside_the_image_is_not_an_error(scene, kind):
    image = cv2.imread(str(scene.path))
    rng = np.random.default_rng(0)
    assert render_lookalike(image, POINTS - 500, kind, rng=rng).shape == image.shape
