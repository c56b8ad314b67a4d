from __future__ import annotations

import json

import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.datasets import Example
from maskdet.evaluation import (
    collect_predictions,
    evaluate_boxes,
    evaluate_detection,
    evaluate_faces,
)
from maskdet.evaluation.operating_point import Evaluator
from maskdet.evaluation.scoring import FacePredictions, predict_examples
from maskdet.media import encode_png
from maskdet.metrics.classification import ClassificationResult
from maskdet.metrics.intervals import proportion
from maskdet.settings import Settings
from maskdet.tuning.class_metrics import compute_class_metrics
from maskdet.types import Faces, Label, Scene
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image

LARGE, ALSO_LARGE, SMALL = (0, 0, 30, 30), (40, 0, 70, 30), (0, 35, 8, 43)
MASK, NO_MASK, INCORRECT = Label.MASK, Label.NO_MASK, Label.INCORRECT


@pytest.fixture
def image_path(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encode_png(make_grey_image(100, 60)))
    return path


def example(path, *rows, source=""):
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Example(path, boxes, tuple(label for _, label in rows), source)


class FixedAnalyzer:
    """Returns each of its scenes `times` times, filtered by the settings."""

    def __init__(self, *scenes, times=2):
        self.scenes = [scene for scene in scenes for _ in range(times)]
        self.asked = []

    def analyze(self, image, settings=None):
        self.asked.append(settings)
        return self.scenes.pop(0).filter(settings)


def scene(*rows):
    """Return a scene of rows of box, score, probs."""
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[1] for row in rows], np.float32)
    probs = np.array([row[2] for row in rows], np.float32).reshape(-1, 3)
    order = np.argsort(-scores)
    return Scene(Faces(boxes, scores), probs[order])


CLEAR_MASK, CLEAR_NO_MASK = (0.8, 0.2, 0.0), (0.1, 0.9, 0.0)


def test_detection_report_of_a_worked_example(image_path):
    examples = [
        example(image_path, (LARGE, MASK), (SMALL, NO_MASK)),
        example(image_path, (LARGE, NO_MASK), (ALSO_LARGE, INCORRECT)),
        example(image_path),
    ]
    analyzer = FixedAnalyzer(
        scene((LARGE, 0.9, CLEAR_MASK)),
        # The second has a score below the threshold.
        scene((LARGE, 0.8, CLEAR_MASK), (ALSO_LARGE, 0.1, CLEAR_NO_MASK)),
        scene((LARGE, 0.6, CLEAR_MASK)),
    )
    report = evaluate_detection(analyzer, examples, Settings())
    assert report.images == 3
    # faces: right, right, wrong (no face there), right; the small one is missed
    assert report.ap["faces"].value == pytest.approx((1 + 1 + 3 / 4) / 4)
    assert report.ap["faces"].n == 4
    assert report.ap_large["faces"].value == pytest.approx((1 + 1 + 3 / 4) / 3)
    # mask, by score: .9 right, .8 wrong (no mask), .6 wrong
    assert report.ap["mask"].value == pytest.approx(1.0)
    # no mask: .1 wrong (incorrectly worn); neither of the two is predicted no mask
    assert report.ap["no_mask"].value == report.ap_large["no_mask"].value == 0
    assert report.ap["incorrect"].value == 0
    assert report.ap["mean"].value == pytest.approx(1 / 3)
    # for every class, by score x probability; mask: .72 right, .64 wrong (no mask), ...
    every = report.ap_every_class
    assert every["mask"].value == pytest.approx(1.0)
    # no mask: .18 wrong (it is a mask), .16 right, .12 wrong, .09 wrong; 1 of 2 large
    assert every["no_mask"].value == pytest.approx(1 / 2 * 1 / 2)
    assert report.ap_every_class_large["no_mask"].value == pytest.approx(1 / 2)
    # incorrectly worn: scored 0 like the others, so 1 right of 4
    assert every["incorrect"].value == pytest.approx(1 / 4)
    mean = np.mean([every[key].value for key in ("mask", "no_mask", "incorrect")])
    assert every["mean"].value == pytest.approx(mean)
    # as shown: 2 of 3 large faces detected, 2 of 3 boxes are faces
    assert (report.recall.value, report.recall.n) == (pytest.approx(2 / 3), 3)
    assert (report.precision.value, report.precision.n) == (pytest.approx(2 / 3), 3)
    assert report.classification.ground_truth.tolist() == [MASK, NO_MASK]
    assert report.classification.binary_confusion.accuracy.value == 0.5
    assert report.median_ms >= 0


def test_the_curves_include_detections_below_the_threshold(image_path):
    analyzer = FixedAnalyzer(scene((SMALL, 0.03, CLEAR_MASK)))
    settings = Settings(min_score=0.9, min_face_px=50, nms_iou=0.3)
    report = evaluate_detection(
        analyzer, [example(image_path, (SMALL, MASK))], settings
    )
    assert report.ap["faces"].value == 1.0
    assert report.recall.n == 0
    assert report.precision.n == 0
    assert len(report.classification.ground_truth) == 0
    floor, shown = analyzer.asked
    assert floor == Settings(0.02, 0, 1, 0.3)
    assert shown == settings


def test_no_scenes_give_a_report_without_metrics():
    report = evaluate_detection(FixedAnalyzer(), [], Settings())
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["images"] == 0
    assert content["ap"]["faces"]["value"] is None
    assert content["labels"]["balanced_accuracy"]["value"] is None


def test_true_boxes_evaluate_the_classifier_alone(image_path):
    classifier = FakeClassifier((0.7, 0.2, 0.1))
    examples = [
        example(image_path, (LARGE, MASK), (SMALL, MASK), source="a"),
        example(image_path, (LARGE, NO_MASK), (ALSO_LARGE, INCORRECT), source="b"),
        example(image_path, source="b"),
    ]
    report = evaluate_boxes(classifier, examples)
    assert [len(boxes) for boxes in classifier.boxes] == [1, 2, 0]
    assert report.classification.ground_truth.tolist() == [MASK, NO_MASK, INCORRECT]
    assert report.classification.binary_confusion.accuracy.value == pytest.approx(2 / 3)
    assert report.classification.class_confusion.accuracy.value == pytest.approx(1 / 3)
    assert (
        report.classification.class_confusion.balanced_accuracy().value
        == pytest.approx(1 / 3)
    )
    assert report.by_source["a"].ground_truth.tolist() == [MASK]
    assert report.by_source["b"].ground_truth.tolist() == [NO_MASK, INCORRECT]


@pytest.mark.parametrize(
    ("truth", "probs", "right"),
    [
        (
            MASK,
            (0.4, 0.45, 0.15),
            True,
        ),  # wearing .55, although no mask is the most likely
        (INCORRECT, (0.9, 0.1, 0.0), True),
        (INCORRECT, (0.2, 0.6, 0.2), False),
        (NO_MASK, (0.2, 0.6, 0.2), True),
        (NO_MASK, (0.2, 0.4, 0.4), False),
    ],
)
def test_incorrect_counts_as_a_mask(truth, probs, right):
    labels = ClassificationResult(np.array([truth]), np.array([probs], np.float32))
    assert labels.binary_confusion.accuracy.value == right


def whole(path, label, source=""):
    return Example(path, np.zeros((0, 4), np.float32), (label,), source)


def test_the_largest_detected_face_is_used(image_path):
    detected = scene((SMALL, 0.9, CLEAR_MASK), (LARGE, 0.6, CLEAR_NO_MASK))
    report = evaluate_faces(
        FixedAnalyzer(detected, times=1),
        FakeClassifier(),
        [whole(image_path, NO_MASK)],
        Settings(),
    )
    assert report.classification.probs.tolist() == [pytest.approx(CLEAR_NO_MASK)]
    assert report.n_detected == 1


def test_without_a_detection_the_whole_image_is_used(image_path):
    classifier = FakeClassifier((0.3, 0.6, 0.1))
    analyzer = TwoStage(FakeDetector([LARGE], [0.3]), FakeClassifier())
    report = evaluate_faces(
        analyzer, classifier, [whole(image_path, NO_MASK, "real")], Settings()
    )
    assert report.n_detected == 0
    assert classifier.boxes[0].tolist() == [[0, 0, 100, 60]]
    assert report.classification.binary_confusion.accuracy.value == 1.0
    assert report.by_source["real"].ground_truth.tolist() == [NO_MASK]


def test_the_whole_image_can_be_used_as_the_face(image_path):
    classifier = FakeClassifier()
    examples = [whole(image_path, MASK), whole(image_path, NO_MASK)]
    report = evaluate_faces(None, classifier, examples, Settings())
    assert len(classifier.boxes) == 2
    assert report.n_detected == 0
    assert report.classification.binary_confusion.counts[:, :2].tolist() == [
        [1, 0],
        [1, 0],
    ]


def test_an_unreadable_image_stops_with_its_name(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.jpg: .*not an image"):
        evaluate_boxes(FakeClassifier(), [example(broken, (LARGE, MASK))])


def test_predictions_have_size_light_and_source_of_each_face(tmp_path):
    image = make_grey_image(100, 60)
    image[:, 50:] = 0
    path = tmp_path / "half.png"
    path.write_bytes(encode_png(image))
    rows = [((5, 10, 35, 50), MASK), ((60, 10, 95, 40), NO_MASK)]
    judged = evaluate_boxes(
        FakeClassifier(), [example(path, *rows, source="town")]
    ).face_predictions
    assert judged.predictions.sizes_px.tolist() == [30, 30]
    assert judged.predictions.lights.tolist() == [128, 0]
    assert judged.predictions.sharpness.tolist() == [0, 0]
    assert judged.predictions.sources.tolist() == ["town", "town"]
    assert judged.paths == (path, path)
    assert judged.boxes.tolist() == [list(box) for box, _ in rows]


def test_joining_keeps_rows_together_and_long_names_whole(image_path):
    examples = [
        example(image_path, row, source=source)
        for row, source in [
            ((LARGE, MASK), "a"),
            ((ALSO_LARGE, NO_MASK), "a longer one"),
        ]
    ]
    joined = evaluate_boxes(FakeClassifier(), examples).face_predictions
    assert joined.predictions.ground_truth.tolist() == [MASK, NO_MASK]
    assert joined.predictions.sources.tolist() == ["a", "a longer one"]
    assert joined.boxes.tolist() == [list(LARGE), list(ALSO_LARGE)]
    assert len(FacePredictions.from_images([]).predictions) == 0


def test_reports_contain_all_metrics_and_predictions(image_path):
    seen = scene((SMALL, 0.95, CLEAR_NO_MASK), (LARGE, 0.9, CLEAR_MASK))
    rows = [(SMALL, NO_MASK), (LARGE, MASK), (ALSO_LARGE, NO_MASK)]
    report = evaluate_detection(
        FixedAnalyzer(seen), [example(image_path, *rows)], Settings()
    )
    # the small one is detected but ignored, the other large one is not detected
    assert report.face_predictions.boxes.tolist() == [list(LARGE)]
    assert report.face_predictions.predictions.probs.tolist() == [
        pytest.approx(CLEAR_MASK)
    ]
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["summary"]["n"] == content["labels"]["n"] == 1
    assert content["summary"]["three_class"]["accuracy"]["value"] == 1


@pytest.fixture
def sets(tmp_path):
    """Return an index with one test image, and a scene with two faces."""
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


def test_predictions_are_collected_for_each_set(sets):
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
    faces, true, detected = collected.values()
    assert (faces.ground_truth.tolist(), faces.sources.tolist()) == (
        [NO_MASK],
        ["real"],
    )
    assert faces.sizes_px.tolist() == [30]
    assert true.ground_truth.tolist() == [MASK, MASK]
    assert true.sources.tolist() == ["town", "town"]
    # the score of the third face is below the default threshold
    assert detected.ground_truth.tolist() == [MASK]
    assert detected.probs.tolist() == [pytest.approx([0.2, 0.7, 0.1])]
    assert watched == [1, 1, 1]
    # the train image is never read
    assert detector.calls == 2


def test_rates_of_a_report_are_those_of_the_tune_page(image_path):
    examples, scenes = [], []
    for image in range(20):
        rows = [(LARGE, MASK), (ALSO_LARGE, NO_MASK)]
        examples.append(example(image_path, *rows))
        # Both faces of an image are detected, or none: they are correlated.
        found = [(box, 0.9, CLEAR_MASK) for box, _ in rows] if image % 3 else []
        scenes.append(scene(*found, ((70, 30, 100, 60), 0.7, CLEAR_MASK)))
    settings = Settings()
    report = evaluate_detection(FixedAnalyzer(*scenes), examples, settings)
    scored = predict_examples(FixedAnalyzer(*scenes, times=1), examples, settings)
    faces, *_ = compute_class_metrics(Evaluator(*scored.by_settings)(settings))
    assert report.precision == faces.precision
    assert report.recall == faces.recall
    independent = proportion(26, 40)
    assert report.recall.value == pytest.approx(independent.value)
    assert report.recall.low < independent.low - 0.02
