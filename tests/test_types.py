from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from maskdet.settings import Settings
from maskdet.types import UNTRACKED, Faces, Label, Scene, select_rows

BOXES = np.array([[0, 0, 10, 10], [20, 20, 50, 60], [21, 20, 51, 60]], np.float32)
SCORES = np.array([0.3, 0.8, 0.9], np.float32)
PROBS = np.array([[0.1, 0.8, 0.1], [0.55, 0.4, 0.05], [0.2, 0.1, 0.7]], np.float32)


def scene() -> Scene:
    # `Faces` sorts by score, so the rows are given best first.
    order = [2, 1, 0]
    return Scene(Faces(BOXES[order], SCORES[order]), PROBS[order], np.arange(3))


def test_faces_come_sorted_by_falling_score() -> None:
    faces = Faces(BOXES, SCORES)
    assert faces.scores.tolist() == pytest.approx([0.9, 0.8, 0.3])
    assert faces.boxes[0].tolist() == [21, 20, 51, 60]
    assert faces.boxes.dtype == faces.scores.dtype == np.float32


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        (
            np.zeros((2, 5)),
            np.zeros(2),
            r"boxes must have shape \(n, 4\), got \(2, 5\)",
        ),
        (np.zeros((2, 4)), np.zeros(3), r"scores must have shape \(2\), got \(3,\)"),
        (np.zeros((1, 4)), np.array([1.5]), r"scores must lie in \[0, 1\], got 1.5"),
        (np.full((1, 4), np.nan), np.zeros(1), "finite"),
    ],
)
def test_faces_reject_invalid_arrays(boxes, scores, message) -> None:
    with pytest.raises(ValueError, match=message):
        Faces(boxes, scores)


def test_probs_must_match_the_faces_and_sum_to_one() -> None:
    faces = Faces(BOXES, SCORES)
    with pytest.raises(
        ValueError, match=r"probs must have shape \(3, 3\), got \(2, 3\)"
    ):
        Scene(faces, PROBS[:2])
    with pytest.raises(ValueError, match="sum to 1"):
        Scene(faces, PROBS * 2)


def test_selection_keeps_rows_aligned() -> None:
    selected = scene()[np.array([True, False, True])]
    assert selected.faces.boxes.tolist() == [[21, 20, 51, 60], [0, 0, 10, 10]]
    assert selected.probs[:, 1].tolist() == pytest.approx([0.1, 0.8])
    assert selected.track_ids.tolist() == [0, 2]


def test_a_still_image_is_untracked() -> None:
    assert Scene(Faces(BOXES, SCORES), PROBS).track_ids.tolist() == [UNTRACKED] * 3


def test_an_empty_scene_has_empty_arrays() -> None:
    empty = Scene.empty().filter(Settings())
    assert len(empty) == 0
    assert empty.labels == ()
    assert empty.confidences.shape == (0,)
    assert empty.probs.shape == (0, 3)


def test_labels_below_the_confidence_are_unknown() -> None:
    with_threshold = dataclasses.replace(scene(), min_confidence=0.6)
    assert with_threshold.labels == (Label.INCORRECT, Label.UNKNOWN, Label.NO_MASK)
    assert scene().labels == (Label.INCORRECT, Label.MASK, Label.NO_MASK)


def test_filter_applies_score_size_iou_and_confidence() -> None:
    filtered = scene().filter(
        Settings(min_score=0.2, min_face_px=5, nms_iou=0.5, min_confidence=0.75)
    )
    # The IoU of the boxes with scores 0.8 and 0.9 is above 0.5.
    assert filtered.faces.scores.tolist() == pytest.approx([0.9, 0.3])
    assert filtered.labels == (Label.UNKNOWN, Label.NO_MASK)
    assert len(scene().filter(Settings(min_score=0.2, min_face_px=11, nms_iou=1))) == 2
    assert len(scene().filter(Settings(min_score=0.95))) == 0


def test_dropped_faces_stay_blurred_down_to_a_low_score() -> None:
    faces = Faces(
        np.array([[0, 0, 40, 40], [50, 0, 90, 40], [0, 50, 5, 55], [50, 50, 90, 90]]),
        np.array([0.9, 0.3, 0.8, 0.1]),
    )
    probs = np.tile(np.float32([1, 0, 0]), (4, 1))
    filtered = Scene(faces, probs).filter(Settings(min_score=0.5, min_face_px=10))
    assert len(filtered) == 1
    assert filtered.blur_boxes.tolist() == [[0, 50, 5, 55], [50, 0, 90, 40]]
    again = filtered[np.array([False])].filter(Settings())
    assert again.blur_boxes.tolist() == filtered.blur_boxes.tolist()
    lower = Scene(faces, probs).filter(Settings(min_score=0.05, min_face_px=60))
    assert len(lower.blur_boxes) == 4


def test_blur_boxes_must_be_boxes() -> None:
    assert scene().blur_boxes.shape == (0, 4)
    with pytest.raises(ValueError, match="blur_boxes must have shape"):
        dataclasses.replace(scene(), blur_boxes=np.zeros(4))


def test_selecting_twice_changes_nothing() -> None:
    faces = Faces(BOXES, SCORES)
    settings = Settings(min_score=0.1, min_face_px=1)
    once = faces[select_rows(faces, settings)]
    assert once[select_rows(once, settings)].boxes.tolist() == once.boxes.tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_score", 1.2),
        ("min_confidence", -0.1),
        ("min_face_px", 0),
        ("nms_iou", float("nan")),
        ("min_score", "0.5"),
        ("min_score", True),
    ],
)
def test_invalid_settings_are_rejected_with_field_and_value(name, value) -> None:
    with pytest.raises(ValueError, match=name) as error:
        Settings(**{name: value})
    assert repr(value) in str(error.value)


def test_settings_survive_a_json_round_trip() -> None:
    settings = Settings(min_score=0.25, min_confidence=0.9, min_face_px=33, nms_iou=0.1)
    assert Settings.from_json(settings.to_json()) == settings
    assert Settings.from_json("{}") == Settings()
    assert set(json.loads(settings.to_json())) == {
        field.name for field in dataclasses.fields(Settings)
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "JSON object, not list"),
        ('{"colour": 1}', "unknown setting 'colour'"),
        ('{"min_score": 7}', "min_score must be a number from 0 to 1, not 7"),
        ('{"min_score": null}', "min_score"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_invalid_settings_files_are_rejected_with_one_line(text, message) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Settings.from_json(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "weights",
    [
        (1, 1),
        (1, 1, 1, 1),
        (0, 0, 0),
        (1, 1, 1.5),
        (1, 1, -0.1),
        (1, 1, True),
        "111",
        (1, 1, float("nan")),
        (1, 1, "1"),
        1.0,
        None,
    ],
)
def test_invalid_class_weights_are_rejected(weights: object) -> None:
    with pytest.raises(ValueError, match="class_weights must be three numbers"):
        Settings(class_weights=weights)  # type: ignore[arg-type]


def test_class_weights_survive_a_json_round_trip() -> None:
    settings = Settings(class_weights=(1, 0.5, 0))
    assert settings.class_weights == (1.0, 0.5, 0.0)
    assert Settings.from_json(settings.to_json()) == settings


def test_the_likeliest_class_is_known_for_unknown_faces() -> None:
    faces = Faces([[0, 0, 40, 40], [50, 0, 90, 40]], [0.9, 0.8])
    scene = Scene(faces, [[0.999, 0.001, 0], [0.2, 0.3, 0.5]], min_confidence=1.0)
    assert scene.labels == (Label.UNKNOWN, Label.UNKNOWN)
    assert scene.likeliest == (Label.MASK, Label.INCORRECT)
    assert Scene.empty().likeliest == ()
