from __future__ import annotations

import json

import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.datasets import Example
from maskdet.evaluation import (
    FacePredictions,
    collect_predictions,
    evaluate_boxes,
    evaluate_detection,
    evaluate_faces,
)
from maskdet.media import encode_png
from maskdet.metrics.classification import ClassificationResult
from maskdet.settings import Settings
from maskdet.types import Faces, Label, Scene
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image

LARGE, ALSO_LARGE, SMALL = (0, 0, 30, 30), (40, 0, 70, 30), (0, 35, 8, 43)
MASK, BARE, WRONG = Label.MASK, Label.NO_MASK, Label.INCORRECT


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encode_png(make_grey_image(100, 60)))
    return path


def example(path, *rows, source=""):
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Example(path, boxes, tuple(label for _, label in rows), source)


class Answering:
    """Gives each scene it was made with `times` times, chosen by settings."""

    def __init__(self, *scenes, times=2):
        self.scenes = [scene for scene in scenes for _ in range(times)]
        self.asked = []

    def analyze(self, image, settings=None):
        self.asked.append(settings)
        return self.scenes.pop(0).filter(settings)


def scene(*rows):
    """Rows of box, score, probs."""
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[1] for row in rows], np.float32)
    probs = np.array([row[2] for row in rows], np.float32).reshape(-1, 3)
    order = np.argsort(-scores)
    return Scene(Faces(boxes, scores), probs[order])


SURE_MASK, SURE_BARE = (0.8, 0.2, 0.0), (0.1, 0.9, 0.0)


def test_scenes_report_of_a_hand_worked_case(picture):
    examples = [
        example(picture, (LARGE, MASK), (SMALL, BARE)),
        example(picture, (LARGE, BARE), (ALSO_LARGE, WRONG)),
        example(picture),
    ]
    analyzer = Answering(
        scene((LARGE, 0.9, SURE_MASK)),
        # The second is found below the score that a user sees.
        scene((LARGE, 0.8, SURE_MASK), (ALSO_LARGE, 0.1, SURE_BARE)),
        scene((LARGE, 0.6, SURE_MASK)),
    )
    report = evaluate_detection(analyzer, examples, Settings())
    assert report.images == 3
    # faces: right, right, wrong (no face there), right; the small one is missed
    assert report.ap["faces"].value == pytest.approx((1 + 1 + 3 / 4) / 4)
    assert report.ap["faces"].n == 4
    assert report.ap_large["faces"].value == pytest.approx((1 + 1 + 3 / 4) / 3)
    # mask, by score: .9 right, .8 wrong (bare), .6 wrong
    assert report.ap["mask"].value == pytest.approx(1.0)
    # no mask: .1 wrong (incorrectly worn); neither of the two is called bare
    assert report.ap["no_mask"].value == report.ap_large["no_mask"].value == 0
    assert report.ap["incorrect"].value == 0
    assert report.ap["mean"].value == pytest.approx(1 / 3)
    # for every class, by score x probability; mask: .72 right, .64 wrong (bare), ...
    every = report.ap_every_class
    assert every["mask"].value == pytest.approx(1.0)
    # no mask: .18 wrong (it is a mask), .16 right, .12 wrong, .09 wrong; 1 of 2 large
    assert every["no_mask"].value == pytest.approx(1 / 2 * 1 / 2)
    assert report.ap_every_class_large["no_mask"].value == pytest.approx(1 / 2)
    # incorrectly worn: scored 0 like the others, so 1 right of 4
    assert every["incorrect"].value == pytest.approx(1 / 4)
    mean = np.mean([every[key].value for key in ("mask", "no_mask", "incorrect")])
    assert every["mean"].value == pytest.approx(mean)
    # as shown: 2 of 3 large faces found, 2 of 3 boxes are faces
    assert (report.recall.value, report.recall.n) == (pytest.approx(2 / 3), 3)
    assert (report.precision.value, report.precision.n) == (pytest.approx(2 / 3), 3)
    assert report.classification.ground_truth.tolist() == [MASK, BARE]
    assert report.classification.binary_confusion.accuracy.value == 0.5
    assert report.median_ms >= 0


def test_the_curves_see_faces_that_a_user_does_not(picture):
    analyzer = Answering(scene((SMALL, 0.03, SURE_MASK)))
    settings = Settings(min_score=0.9, min_face_px=50, nms_iou=0.3)
    report = evaluate_detection(analyzer, [example(picture, (SMALL, MASK))], settings)
    assert report.ap["faces"].value == 1.0
    assert report.recall.n == 0
    assert report.precision.n == 0
    assert len(report.classification.ground_truth) == 0
    floor, shown = analyzer.asked
    assert floor == Settings(0.02, 0, 1, 0.3)
    assert shown == settings


def test_no_scene_gives_a_report_without_numbers():
    report = evaluate_detection(Answering(), [], Settings())
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["images"] == 0
    assert content["ap"]["faces"]["value"] is None
    assert content["labels"]["balanced"]["value"] is None


def test_true_boxes_measure_the_classifier_alone(picture):
    classifier = FakeClassifier((0.7, 0.2, 0.1))
    examples = [
        example(picture, (LARGE, MASK), (SMALL, MASK), source="a"),
        example(picture, (LARGE, BARE), (ALSO_LARGE, WRONG), source="b"),
        example(picture, source="b"),
    ]
    report = evaluate_boxes(classifier, examples)
    assert [len(boxes) for boxes in classifier.boxes] == [1, 2, 0]
    assert report.classification.ground_truth.tolist() == [MASK, BARE, WRONG]
    assert report.classification.binary_confusion.accuracy.value == pytest.approx(2 / 3)
    assert report.classification.class_confusion.accuracy.value == pytest.approx(1 / 3)
    assert (
        report.classification.class_confusion.balanced_accuracy().value
        == pytest.approx(1 / 3)
    )
    assert report.by_source["a"].ground_truth.tolist() == [MASK]
    assert report.by_source["b"].ground_truth.tolist() == [BARE, WRONG]


@pytest.mark.parametrize(
    ("truth", "probs", "right"),
    [
        (MASK, (0.4, 0.45, 0.15), True),  # wearing .55, though bare is likeliest
        (WRONG, (0.9, 0.1, 0.0), True),
        (WRONG, (0.2, 0.6, 0.2), False),
        (BARE, (0.2, 0.6, 0.2), True),
        (BARE, (0.2, 0.4, 0.4), False),
    ],
)
def test_worn_wrongly_counts_as_a_mask(truth, probs, right):
    labels = ClassificationResult(np.array([truth]), np.array([probs], np.float32))
    assert labels.binary_confusion.accuracy.value == right


def whole(path, label, source=""):
    return Example(path, np.zeros((0, 4), np.float32), (label,), source)


def test_the_largest_face_found_is_taken(picture):
    found = scene((SMALL, 0.9, SURE_MASK), (LARGE, 0.6, SURE_BARE))
    report = evaluate_faces(
        Answering(found, times=1), FakeClassifier(), [whole(picture, BARE)], Settings()
    )
    assert report.classification.probs.tolist() == [pytest.approx(SURE_BARE)]
    assert report.n_detected == 1


def test_without_a_face_the_whole_picture_is_taken(picture):
    classifier = FakeClassifier((0.3, 0.6, 0.1))
    analyzer = TwoStage(FakeDetector([LARGE], [0.3]), FakeClassifier())
    report = evaluate_faces(
        analyzer, classifier, [whole(picture, BARE, "real")], Settings()
    )
    assert report.n_detected == 0
    assert classifier.boxes[0].tolist() == [[0, 0, 100, 60]]
    assert report.classification.binary_confusion.accuracy.value == 1.0
    assert report.by_source["real"].ground_truth.tolist() == [BARE]


def test_the_whole_picture_can_be_asked_for(picture):
    classifier = FakeClassifier()
    examples = [whole(picture, MASK), whole(picture, BARE)]
    report = evaluate_faces(None, classifier, examples, Settings())
    assert len(classifier.boxes) == 2
    assert report.n_detected == 0
    assert report.classification.binary_confusion.counts[:, :2].tolist() == [
        [1, 0],
        [1, 0],
    ]


def test_an_unreadable_picture_stops_with_its_name(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.jpg: .*not an image"):
        evaluate_boxes(FakeClassifier(), [example(broken, (LARGE, MASK))])


def test_answers_know_size_light_and_source_of_each_face(tmp_path):
    image = make_grey_image(100, 60)
    image[:, 50:] = 0
    path = tmp_path / "half.png"
    path.write_bytes(encode_png(image))
    rows = [((5, 10, 35, 50), MASK), ((60, 10, 95, 40), BARE)]
    judged = evaluate_boxes(
        FakeClassifier(), [example(path, *rows, source="town")]
    ).face_predictions
    assert judged.predictions.sizes_px.tolist() == [30, 30]
    assert judged.predictions.lights.tolist() == [128, 0]
    assert judged.predictions.sharpness.tolist() == [0, 0]
    assert judged.predictions.sources.tolist() == ["town", "town"]
    assert judged.paths == (path, path)
    assert judged.boxes.tolist() == [list(box) for box, _ in rows]


def test_joining_keeps_rows_together_and_long_names_whole(picture):
    parts = [
        evaluate_boxes(
            FakeClassifier(), [example(picture, row, source=source)]
        ).face_predictions
        for row, source in [((LARGE, MASK), "a"), ((ALSO_LARGE, BARE), "a longer one")]
    ]
    joined = FacePredictions.concat(parts)
    assert joined.predictions.ground_truth.tolist() == [MASK, BARE]
    assert joined.predictions.sources.tolist() == ["a", "a longer one"]
    assert joined.boxes.tolist() == [list(LARGE), list(ALSO_LARGE)]
    assert len(FacePredictions.concat([]).predictions) == 0


def test_reports_hold_every_number_and_what_was_said_of_whom(picture):
    seen = scene((SMALL, 0.95, SURE_BARE), (LARGE, 0.9, SURE_MASK))
    rows = [(SMALL, BARE), (LARGE, MASK), (ALSO_LARGE, BARE)]
    report = evaluate_detection(Answering(seen), [example(picture, *rows)], Settings())
    # the small one is found but not judged, the other large one is not found
    assert report.face_predictions.boxes.tolist() == [list(LARGE)]
    assert report.face_predictions.predictions.probs.tolist() == [
        pytest.approx(SURE_MASK)
    ]
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["numbers"]["n"] == content["labels"]["n"] == 1
    assert content["numbers"]["three_states"]["accuracy"]["value"] == 1


@pytest.fixture
def sets(tmp_path):
    """An index with one test image, and a scene with a large and a small face."""
    for name in ("face", "train", "images/scene"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_png(make_grey_image(100, 60)))
    index = tmp_path / "index.csv"
    index.write_text(
        "path,label,split,source,group\n"
        "face.png,without_mask,test,real,1\n"
        "train.png,with_mask,train,real,2\n"
    )
    boxes = [(0, 0, 30, 30), (40, 0, 30, 30), (0, 35, 8, 8)]
    content = {
        "images": [{"id": 0, "file_name": "scene.png", "width": 100, "height": 60}],
        "categories": [{"id": 0, "name": "mask"}],
        "annotations": [
            {"id": i, "image_id": 0, "category_id": 0, "bbox": box}
            for i, box in enumerate(boxes)
        ],
    }
    scenes = tmp_path / "town-val.json"
    scenes.write_text(json.dumps(content))
    return index, {"town-val": scenes}


def test_a_run_keeps_the_answers_on_each_set(sets):
    index, scenes = sets
    detector = FakeDetector([LARGE, SMALL, ALSO_LARGE], [0.9, 0.9, 0.3])
    watched = []

    def watch(examples):
        watched.append(len(examples))
        return examples

    collected = collect_predictions(
        FakeClassifier((0.2, 0.7, 0.1)), detector, index, scenes, progress=watch
    )
    assert list(collected) == ["faces-test", "town-val/true", "town-val/found"]
    faces, true, found = collected.values()
    assert (faces.ground_truth.tolist(), faces.sources.tolist()) == ([BARE], ["real"])
    assert faces.sizes_px.tolist() == [30]
    assert true.ground_truth.tolist() == [MASK, MASK]
    assert true.sources.tolist() == ["town", "town"]
    # default settings refuse the third face, whose score is low
    assert found.ground_truth.tolist() == [MASK]
    assert found.probs.tolist() == [pytest.approx([0.2, 0.7, 0.1])]
    assert watched == [1, 1, 1]
    # the train image is never looked at
    assert detector.calls == 2
