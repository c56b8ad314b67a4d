"""Crops, augmentation and epochs of the published recipes, and data preparation."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from maskdet.classifier import crop_face
from maskdet.datasets import DataSplits, Example
from maskdet.training.classifier.batches import (
    AUGMENTATIONS,
    EpochIterator,
    augment_flip_rotate,
    augment_tutorial,
)
from maskdet.training.classifier.crops import cut_crops, read_crops, save_crops
from maskdet.training.classifier.data import (
    CALIBRATION_FILE,
    TEST_FILE,
    VALIDATION_FILE,
    compute_class_weights,
    prepare_classifier_data,
    resplit,
    write_contact_sheets,
)
from maskdet.training.classifier.recipes import RECIPES
from maskdet.types import Label
from tests.training.classifier.fakes import (
    TINY_RECIPE,
    keep_unchanged,
    make_crops,
    make_training_data,
)


def portrait(path, label=Label.MASK, split="train", group="") -> Example:
    if not path.is_file():
        rng = np.random.default_rng(abs(hash(path.name)) % 1000)
        cv2.imwrite(str(path), rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    return Example(path, np.zeros((0, 4)), (label,), "real", split, group)


def scene(folder) -> Example:
    image = np.random.default_rng(5).integers(0, 256, (100, 160, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "scene.png"), image)
    boxes = np.array([[10, 10, 40, 50], [90, 5, 95, 10]], np.float32)
    return Example(folder / "scene.png", boxes, (Label.NO_MASK, Label.MASK), "town")


@pytest.mark.parametrize("context", [1.0, 1.3])
def test_crops_are_cut_as_at_run_time(tmp_path, context):
    examples = [scene(tmp_path), portrait(tmp_path / "a.png")]
    crops = cut_crops(examples, iter, 32, context=context, min_px=20)
    image = cv2.imread(str(tmp_path / "scene.png"))
    expected = crop_face(image, examples[0].boxes[0], 32, context=context)
    np.testing.assert_array_equal(crops.images[0], expected)
    assert crops.labels.tolist() == [Label.NO_MASK, Label.MASK]
    assert crops.sources.tolist() == ["town", "real"]
    save_crops(crops, tmp_path / "cut.npz")
    np.testing.assert_array_equal(read_crops(tmp_path / "cut.npz").images, crops.images)


def test_missing_crops_and_files_are_reported(tmp_path, caplog):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    broken = portrait(tmp_path / "broken.jpg")
    with pytest.raises(ValueError, match="none of 1 images"):
        cut_crops([broken], iter, 32, context=1, min_px=1)
    assert "skipped" in caplog.text
    with pytest.raises(FileNotFoundError, match="maskdet train"):
        read_crops(tmp_path / "none.npz")


@pytest.mark.parametrize("view", AUGMENTATIONS.values())
def test_augmentation_is_random_and_reproducible(view):
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    before = image.copy()
    views = [view(image, np.random.default_rng(seed)) for seed in range(20)]
    again = [view(image, np.random.default_rng(seed)) for seed in range(20)]
    np.testing.assert_array_equal(np.stack(views), np.stack(again))
    np.testing.assert_array_equal(image, before)
    assert len({image.tobytes() for image in views}) == 20


def test_augmentation_without_random_changes_returns_the_image(monkeypatch):
    class NoChange:
        def __init__(self, flip: float):
            self.flip = flip

        def uniform(self, low, high, size=None):
            middle = (low + high) / 2
            return middle if size is None else np.full(size, middle)

        def random(self):
            return self.flip

    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for view in (augment_tutorial, augment_flip_rotate):
        np.testing.assert_array_equal(view(image, NoChange(0.9)), image)
        np.testing.assert_array_equal(view(image, NoChange(0.1)), image[:, ::-1])


def test_the_largest_shift_of_the_tutorial_is_a_fifth():
    class LargestShift:
        def uniform(self, low, high, size=None):
            if low == -0.2:
                return np.array([0.0, high])
            return (low + high) / 2 if size is None else np.ones(size)

        def random(self):
            return 0.9

    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20] = 255
    view = augment_tutorial(image, LargestShift())
    assert view[:, :, 0].mean(axis=0).argmax() == 12  # 20 less a fifth of 40


def test_an_epoch_uses_every_crop_once_in_random_order():
    crops = make_crops()
    passes = EpochIterator(crops, keep_unchanged, 4, seed=3)
    assert passes.steps == 2
    shown = [list(passes.iter_batches(epoch, 2)) for epoch in (0, 1)]
    for batches in shown:
        targets = np.concatenate([batch.targets for batch in batches])
        assert targets.sum(axis=0).tolist() == [3, 3, 2]
    first, second = (np.concatenate([b.images for b in batches]) for batches in shown)
    assert not np.array_equal(first, second)
    again = np.concatenate([batch.images for batch in passes.iter_batches(0, 2)])
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.uint8
    assert len(list(passes.iter_batches(0, 5))) == 5


def test_class_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 7 + [1] * 2 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(compute_class_weights(labels), expected, rtol=1e-6)
    np.testing.assert_allclose(compute_class_weights(np.array([0, 0, 1, 1])), [1, 1, 1])


def test_early_stop_splits_again_and_keeps_the_test_split(tmp_path):
    faces = [
        portrait(tmp_path / f"{n}.png", Label(n % 2), "train", f"g{n // 2}")
        for n in range(80)
    ]
    test_images = [portrait(tmp_path / f"t{n}.png", split="test") for n in range(10)]
    crowd = scene(tmp_path)
    splits = DataSplits([*faces[:70], crowd], faces[70:], test_images)
    resplit_data = resplit(splits, RECIPES["early-stop"])
    assert resplit_data.test == test_images
    assert crowd in list(resplit_data.train)
    assert len(resplit_data.train) + len(resplit_data.validation) == 81
    assert len(resplit_data.validation) == pytest.approx(80 * 2 / 9, abs=2)
    groups = [
        {example.group for example in split if example.is_crop}
        for split in (resplit_data.train, resplit_data.validation)
    ]
    assert not groups[0] & groups[1]
    assert resplit(splits, RECIPES["tutorial"]) is splits


def test_a_run_saves_the_crops_for_its_export(tmp_path):
    train = [portrait(tmp_path / f"{n}.png", Label(n % 2)) for n in range(9)]
    splits = DataSplits(train, train[:3], train[3:5])
    prepared = prepare_classifier_data(
        splits, TINY_RECIPE, tmp_path / "run", None, lambda _: iter
    )
    assert (prepared.n_crops, prepared.steps, len(prepared.validation)) == (9, 1, 3)
    np.testing.assert_allclose(prepared.class_weights, [0.9, 9 / 8, 1])
    names = (VALIDATION_FILE, TEST_FILE, CALIBRATION_FILE)
    assert [len(read_crops(tmp_path / "run" / name)) for name in names] == [3, 2, 9]
    prepare_classifier_data(
        DataSplits(train, train),
        TINY_RECIPE,
        tmp_path / "run",
        None,
        lambda _: iter,
    )
    assert not (tmp_path / "run" / TEST_FILE).is_file()


def test_synthetic_crops_need_a_landmark_detector(tmp_path):
    train = [portrait(tmp_path / "a.png"), portrait(tmp_path / "b.png", Label.NO_MASK)]
    recipe = replace(RECIPES["maskdet"], size_px=32)
    with pytest.raises(ValueError, match="--drawn 0"):
        prepare_classifier_data(
            DataSplits(train, train), recipe, tmp_path, None, lambda _: iter
        )
    without_synthetic = replace(recipe, drawn=0, steps=None, batch_size=1)
    prepared = prepare_classifier_data(
        DataSplits(train, train),
        without_synthetic,
        tmp_path,
        None,
        lambda _: iter,
    )
    assert (prepared.n_crops, prepared.steps) == (2, 2)
    assert prepared.class_weights.tolist() == [1, 1, 1]


def test_contact_sheets_show_crops_of_all_classes(tmp_path):
    paths = write_contact_sheets(make_training_data(), tmp_path)
    assert [path.name for path in paths] == ["samples.png", "views.png"]
    for path in paths:
        sheet = cv2.imread(str(path))
        colours = sheet.reshape(-1, 3).astype(int)
        for label in Label:  # each class has a colour of its own
            others = np.delete(colours, int(label), axis=1)
            assert (colours[:, int(label)] > others.max(axis=1) + 100).mean() > 0.05
