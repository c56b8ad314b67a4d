"""Tests of the crop rule, of class probabilities and of loading classifiers."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from maskdet.classifier import (
    CLASSIFIERS,
    DEFAULT_CLASSIFIER,
    DEFAULT_CONTEXT,
    MaskClassifier,
    crop_face,
    load_classifier,
)
from maskdet.evaluation.training_runs import RUNS_FOLDER, list_training_runs
from maskdet.model_files.model_zoo import MODEL_FILES, model_path
from maskdet.types import Label

ODD_BOXES = [
    [5, 5, 5, 5],
    [9, 9, 3, 3],
    [-50, -50, -10, -10],
    [1000, 1000, 1200, 1100],
    [-1e9, -1e9, 1e9, 1e9],
    [np.nan, 0, 10, 10],
    [np.inf, 0, np.inf, 10],
    [2.4, 2.4, 2.6, 2.6],
]


def noise(width: int = 90, height: int = 70) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def box(*corners: float) -> np.ndarray:
    return np.array(corners, np.float32)


@pytest.fixture(scope="module")
def classifier() -> MaskClassifier:
    return load_classifier()


def test_crop_is_the_square_around_the_box_with_its_context():
    image = noise(200, 160)
    # 40 wide, 20 high, centre (100, 80): the side is 1.3 * 40 = 52.
    crop = crop_face(image, box(80, 70, 120, 90), 52)
    np.testing.assert_array_equal(crop, image[54:106, 74:126])


def test_crop_repeats_the_border_outside_the_image():
    image = noise(60, 50)
    crop = crop_face(image, box(0, 0, 20, 20), 26)
    np.testing.assert_array_equal(crop[3:, 3:], image[:23, :23])
    np.testing.assert_array_equal(crop[0, 3:], image[0, :23])
    np.testing.assert_array_equal(crop[3:, 0], image[:23, 0])


def test_crop_uses_the_given_context():
    image = noise(200, 160)
    crop = crop_face(image, box(80, 60, 120, 100), 80, context=2.0)
    np.testing.assert_array_equal(crop, image[40:120, 60:140])
    assert DEFAULT_CONTEXT == 1.3


@pytest.mark.parametrize("corners", ODD_BOXES)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (90, 70)])
def test_crop_accepts_any_box(corners, size):
    image = noise(*size)
    before = image.copy()
    crop = crop_face(image, box(*corners), 32)
    assert crop.shape == (32, 32, 3)
    assert crop.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


def test_no_boxes_give_no_rows(classifier):
    probs = classifier.predict(noise(), np.zeros((0, 4), np.float32))
    assert probs.shape == (0, 3)
    assert probs.dtype == np.float32


def test_rows_sum_to_one_for_any_box(classifier):
    probs = classifier.predict(noise(), np.array(ODD_BOXES, np.float32))
    assert probs.shape == (len(ODD_BOXES), 3)
    assert probs.min() >= 0
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)


def test_predictions_do_not_depend_on_the_batch(classifier):
    image = noise(300, 200)
    boxes = np.array([[i * 7, i * 3, i * 7 + 60, i * 3 + 70] for i in range(37)], "f4")
    together = classifier.predict(image, boxes)
    alone = np.concatenate([classifier.predict(image, row[None]) for row in boxes])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(
        classifier.predict(image, boxes[:5]), alone[:5], atol=1e-5
    )


def test_predict_is_thread_safe(classifier):
    image = noise(300, 200)
    boxes = np.array([[i, i, i + 60, i + 70] for i in range(6)], np.float32)
    expected = {n: classifier.predict(image, boxes[:n]) for n in (1, 6)}
    wrong_counts: list[int] = []

    def predict_repeatedly(n: int) -> None:
        for _ in range(20):
            if not np.allclose(
                classifier.predict(image, boxes[:n]), expected[n], atol=1e-5
            ):
                wrong_counts.append(n)

    threads = [
        threading.Thread(target=predict_repeatedly, args=(n,)) for n in (1, 6, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong_counts == []


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.tflite"):
        MaskClassifier(tmp_path / "none.tflite")


def test_a_file_that_is_not_a_model_is_rejected(tmp_path):
    path = tmp_path / "text.tflite"
    path.write_bytes(b"not a network" * 100)
    with pytest.raises(RuntimeError, match=r"text\.tflite"):
        MaskClassifier(path)


def test_an_unknown_name_is_rejected():
    with pytest.raises(ValueError, match="maskdet"):
        load_classifier("best")


def test_every_registered_classifier_is_bundled():
    assert next(iter(CLASSIFIERS)) == DEFAULT_CLASSIFIER
    for file in CLASSIFIERS.values():
        assert MODEL_FILES[file.model_name].is_bundled
        assert file.title


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_facts_of_a_bundled_classifier_match_its_file(name):
    if name not in list_training_runs():
        pytest.skip(f"{name} was not exported yet with its facts")
    facts = json.loads((RUNS_FOLDER / name / "facts.json").read_text())
    row = MODEL_FILES[CLASSIFIERS[name].model_name]
    assert facts["input"]["context"] == CLASSIFIERS[name].context
    assert facts["input"]["size_px"] == load_classifier(name).size_px
    assert (facts["file"], facts["sha256"]) == (row.file_name, row.sha256)


def test_the_crop_size_is_that_of_the_classifier(classifier, tmp_path):
    path = model_path("classifier")
    tight_classifier = MaskClassifier(path, context=1.0)
    image = noise(200, 160)
    face_box = box(60, 40, 120, 100)
    inner = crop_face(image, face_box, tight_classifier.size_px, context=1.0)
    tight_probs = tight_classifier.predict(image, face_box[None])
    np.testing.assert_allclose(
        tight_probs, tight_classifier.predict_crops(inner[None]), atol=1e-6
    )
    assert not np.allclose(tight_probs, classifier.predict(image, face_box[None]))


@pytest.mark.parametrize("facts_path", ["facts.json", "runs/mine/facts.json"])
def test_a_user_file_needs_its_context(tmp_path, facts_path):
    mine = tmp_path / "mine.tflite"
    mine.write_bytes(model_path("classifier").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"facts\.json is missing"):
        load_classifier(str(mine))
    facts = tmp_path / facts_path
    facts.parent.mkdir(parents=True, exist_ok=True)
    facts.write_text(json.dumps({"input": {"context": 1.15}}))
    assert load_classifier(str(mine)).context == 1.15
    for broken in ("no JSON", "{}", '{"input": {"context": "wide"}}'):
        facts.write_text(broken)
        with pytest.raises(ValueError, match=r"input\.context|JSON object"):
            load_classifier(str(mine))
    facts.write_text('{"input": {"context": 9}}')
    with pytest.raises(ValueError, match=r"from 0\.5 to 4, not 9"):
        load_classifier(str(mine))
    with pytest.raises(FileNotFoundError, match=r"other\.tflite does not exist"):
        load_classifier(str(tmp_path / "other.tflite"))


def write_colour_classifier(path: Path) -> Path:
    """Write a network for which red is mask, green no mask, and blue incorrect."""
    import keras

    from maskdet.training.classifier.export import convert_classifier

    images = keras.Input((32, 32, 3))
    means = keras.layers.GlobalAveragePooling2D()(images)
    probs = keras.layers.Dense(3, activation="softmax", name="probs")(means)
    model = keras.Model(images, probs)
    model.get_layer("probs").set_weights([np.eye(3) * 0.1, np.zeros(3)])
    path.write_bytes(convert_classifier(model, "float32"))
    return path


@pytest.mark.slow
def test_colours_are_not_swapped(tmp_path):
    classifier = MaskClassifier(write_colour_classifier(tmp_path / "colour.tflite"))
    image = np.zeros((40, 120, 3), np.uint8)
    image[:, :40] = (0, 0, 255)  # red, since images are BGR
    image[:, 40:80] = (0, 255, 0)
    image[:, 80:] = (255, 0, 0)
    boxes = np.array([[10 + x, 10, 30 + x, 30] for x in (0, 40, 80)], np.float32)
    probs = classifier.predict(image, boxes)
    assert classifier.size_px == 32
    assert [Label(int(k)) for k in probs.argmax(axis=1)] == list(Label)[:3]
    assert probs.max(axis=1).min() > 0.99


@pytest.mark.slow
def test_a_file_with_other_columns_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "maskdet.training.classifier.export.CLASSIFIER_OUTPUT", "no_mask__mask"
    )
    path = write_colour_classifier(tmp_path / "swapped.tflite")
    with pytest.raises(RuntimeError, match="no_mask__mask"):
        MaskClassifier(path)
