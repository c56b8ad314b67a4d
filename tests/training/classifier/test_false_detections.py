"""A classifier with a no_face output: its crops, its fourth column, its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs TensorFlow")

from maskdet.classifier import MaskClassifier, split_face_probability
from maskdet.media import read_image
from maskdet.model_files.model_zoo import model_path
from maskdet.model_files.own_models import VERIFIER_OUTPUT
from maskdet.resources import resource_path
from maskdet.training.classifier.augment import PACKED_CONTEXT
from maskdet.training.classifier.batches import (
    NO_FACE_FRACTION,
    ClassifierSampler,
    compute_crop_probabilities,
)
from maskdet.training.classifier.crops import (
    NO_FACE,
    PACKED_PX,
    stack_packed_crops,
)
from maskdet.training.classifier.data import FalsePositiveMiner
from maskdet.training.classifier.recipes import RECIPES
from maskdet.training.classifier.validation import compute_rejection_rate
from maskdet.training.onepass.data import TrainingImage
from maskdet.types import Label
from tests.training.classifier.fakes import make_samples


def make_negative(image: np.ndarray) -> TrainingImage:
    return TrainingImage(
        image,
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int64),
        np.zeros((0, 3), np.float32),
        "walls",
    )


def test_false_positives_are_cut_and_labelled_no_face() -> None:
    miner = FalsePositiveMiner(model_path("onepass"))
    # The faces of the sample replace false positives of the network.
    sample = next(iter(sorted(resource_path("samples").glob("*.jpg"))))
    faces, grey = read_image(sample), np.full((90, 120, 3), 128, np.uint8)
    packed = stack_packed_crops(
        miner.cut_crops(
            [make_negative(faces), make_negative(grey)], PACKED_PX, PACKED_CONTEXT, iter
        )
    )
    assert len(packed) == len(miner.detect_boxes(faces)) > 0
    assert len(miner.detect_boxes(grey)) == 0
    assert set(packed.labels) == {NO_FACE}
    assert set(packed.sources) == {"no-face-walls"}
    crops = miner.cut_crops([make_negative(faces)], 48, 1.3, iter)
    assert [crop.shape for crop, _, _ in crops] == [(48, 48, 3)] * len(packed)
    assert miner.cut_crops([make_negative(grey)], 48, 1.3, iter) == []
    assert len(stack_packed_crops([])) == 0


def test_a_quarter_of_a_batch_has_no_face() -> None:
    faces = make_samples({(Label.MASK, False): 4, (Label.NO_MASK, True): 4})
    negatives = make_samples({(Label.MASK, False): 3})
    negatives.labels[:] = NO_FACE
    combined = faces.concat(negatives)
    probabilities = compute_crop_probabilities(combined)
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[combined.labels == NO_FACE].sum() == pytest.approx(
        NO_FACE_FRACTION
    )
    batch = ClassifierSampler(combined, 32, 400, seed=1).make_batch(0, 0)
    assert batch.targets.shape == (400, 4)
    assert batch.targets[:, NO_FACE].mean() == pytest.approx(NO_FACE_FRACTION, abs=0.07)
    assert ClassifierSampler(faces, 32, 6, seed=1).make_batch(0, 0).targets.shape == (
        6,
        3,
    )


def test_columns_are_split_into_classes_and_face_probability() -> None:
    outputs = np.array([[0.3, 0.1, 0.1, 0.5], [0, 0, 0, 1]], np.float32)
    probs, face_probs = split_face_probability(outputs)
    np.testing.assert_allclose(probs[0], [0.6, 0.2, 0.2], rtol=1e-6)
    np.testing.assert_allclose(face_probs, [0.5, 0])
    assert np.isfinite(probs).all()
    probs, face_probs = split_face_probability(
        np.array([[0.5, 0.25, 0.25]], np.float32)
    )
    assert face_probs.tolist() == [1]


def test_the_rejection_rate_depends_on_the_fraction_of_lost_faces() -> None:
    faces = np.linspace(0.5, 1, 101).astype(np.float32)
    negatives = np.array([0.1, 0.4, 0.6, 0.9], np.float32)
    assert compute_rejection_rate(faces, negatives, max_lost_fraction=0.01) == 0.5
    assert compute_rejection_rate(faces, negatives, max_lost_fraction=0.5) == 0.75


def test_only_our_own_recipe_trains_the_no_face_output() -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="only recipe maskdet"):
        replace(RECIPES["tutorial"], verifies=True)


def add_offsets(model) -> None:
    """Change the offsets of every layer, as training does."""
    from maskdet.training.classifier.network import find_body

    rng = np.random.default_rng(0)
    last = model.get_layer("probs")
    kernel, bias = last.get_weights()
    last.set_weights([kernel, bias + np.arange(len(bias)) / 10])
    for layer in find_body(model).layers:
        if type(layer).__name__ == "BatchNormalization":
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [gamma, rng.normal(0, 0.1, beta.shape), mean + 0.05, variance]
            )


def test_a_file_with_four_columns_is_read_and_loads_into_keras(
    tmp_path: Path,
) -> None:
    from dataclasses import replace

    from maskdet.training.classifier.export import convert_classifier
    from maskdet.training.classifier.fit import predict_columns
    from maskdet.training.classifier.network import build_classifier

    recipe = replace(RECIPES["maskdet"], size_px=32, verifies=True)
    model = build_classifier(recipe, None)
    add_offsets(model)
    file = tmp_path / "four.tflite"
    file.write_bytes(convert_classifier(model, "float32"))
    classifier = MaskClassifier(file)
    assert classifier.verifies
    crops = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    outputs = predict_columns(model, crops)
    assert outputs.shape == (5, 4)
    np.testing.assert_allclose(
        classifier.predict_crops(crops), split_face_probability(outputs)[0], atol=1e-4
    )
    boxes = np.array([[0, 0, 32, 32]], np.float32)
    probs, face_probs = classifier.verify(crops[0], boxes)
    assert probs.shape == (1, 3)
    assert 0 < face_probs[0] < 1
    assert classifier.verify(crops[0], boxes[:0])[1].shape == (0,)
    loaded = build_classifier(recipe, str(file))
    np.testing.assert_allclose(predict_columns(loaded, crops), outputs, atol=1e-4)
    details = classifier._interpreter.get_signature_list()
    (signature,) = details.values()
    assert signature["outputs"] == [VERIFIER_OUTPUT]


def test_a_file_with_three_columns_initializes_four(tmp_path: Path) -> None:
    from dataclasses import replace

    from maskdet.training.classifier.export import convert_classifier
    from maskdet.training.classifier.fit import predict_columns
    from maskdet.training.classifier.network import build_classifier

    recipe = replace(RECIPES["maskdet"], size_px=32)
    three = build_classifier(recipe, None)
    add_offsets(three)
    file = tmp_path / "three.tflite"
    file.write_bytes(convert_classifier(three, "float16"))
    four = build_classifier(replace(recipe, verifies=True), str(file))
    crops = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    probs = split_face_probability(predict_columns(four, crops))[0]
    np.testing.assert_allclose(probs, predict_columns(three, crops), atol=0.02)


def test_a_file_with_four_columns_is_an_own_classifier(
    tmp_path: Path, monkeypatch
) -> None:
    import json
    from dataclasses import replace

    from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE
    from maskdet.model_files.own_models import get_own_models, read_own_models
    from maskdet.training.classifier.export import convert_classifier
    from maskdet.training.classifier.network import build_classifier

    recipe = replace(RECIPES["maskdet"], size_px=32, verifies=True)
    (tmp_path / "four.tflite").write_bytes(
        convert_classifier(build_classifier(recipe, None), "float32")
    )
    facts = tmp_path / "runs" / "four" / "facts.json"
    facts.parent.mkdir(parents=True)
    facts.write_text(json.dumps({"input": {"context": 1.3}}))
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(tmp_path))
    assert read_own_models().problems == ()
    assert list(get_own_models("classifier")) == ["four"]
