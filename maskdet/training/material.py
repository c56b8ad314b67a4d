"""What a run learns from: its crops, cut as its recipe wants them, on disk and in use.

The run's folder keeps what the export needs later: the validation and test crops, and
a few hundred of the training crops to calibrate 8-bit weights with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from maskdet.assets import model_path
from maskdet.datasets import SPLITS, Example, split_by_group
from maskdet.detectors import Detector, LandmarkDetector
from maskdet.training.crops import Crops, cut_crops, save_crops
from maskdet.training.drawn import draw_synthetic_crops
from maskdet.training.false_detections import FalsePositiveMiner
from maskdet.training.onepass.negatives import NegativeImages
from maskdet.training.recipes import ClassifierRecipe
from maskdet.training.samples import (
    MIN_TRAIN_PX,
    MIN_VALIDATION_PX,
    PackedCrops,
    ProgressWrapper,
    pack_crops,
    read_fingerprint,
    read_packed_crops,
    save_packed_crops,
)
from maskdet.training.sampling import ClassifierSampler
from maskdet.training.views import AUGMENTATIONS, BatchSource, EpochIterator
from maskdet.types import CLASSES

PACKED_FILE = "crops.npz"
CALIBRATION_FILE = "calibration.npz"
VALIDATION_FILE = "validation.npz"
TEST_FILE = "test.npz"
FALSE_POSITIVES_FILE = "false_detections.npz"

_N_CALIBRATION = 300

ProgressFactory = Callable[[str], Callable[[Iterable[Any]], Iterable[Any]]]
"""Gives something like `tqdm` for a piece of work by its title."""


@dataclass(frozen=True, eq=False)
class ClassifierData:
    """Everything a training reads.

    Attributes:
        batch_source: the training crops, batch by batch.
        steps: batches an epoch.
        n_crops: number of training crops.
        validation: crops to validate on, as at run time.
        class_weights: `(3,)` float32, how much the loss of a class counts; `(4,)`
            where a fourth output is trained.
        class_counts: number of training crops of each class, as in `CLASSES`.
        n_drawn: how many of the training crops our own code drew.
        false_positives: `(m, s, s, 3)` crops without a face that it is judged by.
    """

    batch_source: BatchSource
    steps: int
    n_crops: int
    validation: Crops
    class_weights: NDArray[np.float32]
    class_counts: tuple[int, ...] = ()
    n_drawn: int = 0
    false_positives: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class DataSplits:
    """Labelled pictures, of which none stands in two parts.

    Attributes:
        train: to learn from.
        validation: to choose by.
        test: held back; may be none.
    """

    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example] = ()


def resplit(splits: DataSplits, recipe: ClassifierRecipe) -> DataSplits:
    """Cut train and validation anew where the recipe asks for other shares.

    The test part stays what it is, so that every recipe is measured on the same
    pictures; so do scenes, whose validation files are measured on, too. Pictures of
    one group stay together.
    """
    if recipe.shares is None:
        return splits
    train, validation, _ = recipe.shares
    fractions = (train / (train + validation), validation / (train + validation), 0.0)
    combined = [*splits.train, *splits.validation]
    crops = split_by_group(
        [example for example in combined if example.is_crop],
        fractions,
        seed=recipe.seed,
    )
    by_split = {
        split: [example for example in crops if example.split == split]
        for split in SPLITS
    }
    return DataSplits(
        [example for example in splits.train if not example.is_crop]
        + by_split["train"],
        [example for example in splits.validation if not example.is_crop]
        + by_split["val"],
        splits.test,
    )


def prepare_classifier_data(
    splits: DataSplits,
    recipe: ClassifierRecipe,
    out: Path,
    make_detector: Callable[[], Detector | None],
    progress: ProgressFactory,
    negatives: NegativeImages | None = None,
    workers: int = 0,
) -> ClassifierData:
    """Cut the crops of a run and keep in `out` what its export needs.

    Args:
        splits: the pictures.
        recipe: says how to cut, and how the batches are made.
        out: folder of the run.
        make_detector: gives the finder for pictures of one face, if it is needed.
        progress: shows how far the cutting is.
        negatives: pictures without a face; needed where the recipe `verifies`.
        workers: processes that make the batches; 0 for a thread.
    """
    out.mkdir(parents=True, exist_ok=True)
    validation = _cut_recipe_crops(splits.validation, recipe, progress("validation"))
    save_crops(validation, out / VALIDATION_FILE)
    (out / TEST_FILE).unlink(missing_ok=True)
    if splits.test:
        save_crops(
            _cut_recipe_crops(splits.test, recipe, progress("test")), out / TEST_FILE
        )
    calibration = _sample_calibration(splits.train, recipe.seed)
    save_crops(
        _cut_recipe_crops(calibration, recipe, progress("calibration")),
        out / CALIBRATION_FILE,
    )
    if recipe.views == "camera":
        packed = _load_or_pack_crops(
            splits.train, recipe, out / PACKED_FILE, make_detector, progress
        )
        equal_weights = np.ones(len(CLASSES) + recipe.verifies, np.float32)
        false_positives = None
        if recipe.verifies and negatives is not None:
            miner = FalsePositiveMiner(model_path("onepass"))
            false_positive_crops = miner.make_packed_crops(
                negatives.train, progress("false detections")
            )
            packed = packed.concat(false_positive_crops)
            false_positives = miner.make_evaluation_crops(
                negatives.held_out, recipe.size_px, recipe.context, progress("held out")
            )
            np.savez(
                out / FALSE_POSITIVES_FILE, images=false_positives, allow_pickle=False
            )
        sampler = ClassifierSampler(
            packed, recipe.size_px, recipe.batch_size, recipe.seed, workers
        )
        steps = recipe.steps or max(1, len(packed) // recipe.batch_size)
        # The sampler balances by drawing, so every class weighs the same.
        return ClassifierData(
            sampler,
            steps,
            len(packed),
            validation,
            equal_weights,
            _count_classes(packed.labels),
            int(packed.drawn.sum()),
            false_positives,
        )
    crops = _cut_recipe_crops(splits.train, recipe, progress("crops"), MIN_TRAIN_PX)
    epoch_iterator = EpochIterator(
        crops, AUGMENTATIONS[recipe.views], recipe.batch_size, recipe.seed, workers
    )
    loss_weights = compute_class_weights(crops.labels)
    return ClassifierData(
        epoch_iterator,
        recipe.steps or epoch_iterator.steps,
        len(crops),
        validation,
        loss_weights,
        _count_classes(crops.labels),
    )


def _count_classes(labels: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=len(CLASSES)).tolist())


def compute_class_weights(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return `(3,)` weights under which all classes present count the same.

    n / (classes present * n of the class), scikit-learn's "balanced"; 1 where a class
    has no crop.
    """
    counts = np.bincount(labels, minlength=len(CLASSES))
    present = int((counts > 0).sum())
    weights = len(labels) / (present * np.maximum(counts, 1))
    result: NDArray[np.float32] = np.where(counts > 0, weights, 1).astype(np.float32)
    return result


def _cut_recipe_crops(
    examples: Sequence[Example],
    recipe: ClassifierRecipe,
    progress: ProgressWrapper,
    min_px: float = MIN_VALIDATION_PX,
) -> Crops:
    return cut_crops(
        examples, progress, recipe.size_px, context=recipe.context, min_px=min_px
    )


def _sample_calibration(train: Sequence[Example], seed: int) -> list[Example]:
    """Return a few hundred pictures by chance, those of faces that can be judged."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(train))[:_N_CALIBRATION])
    return [train[row] for row in rows]


def _load_or_pack_crops(
    train: Sequence[Example],
    recipe: ClassifierRecipe,
    path: Path,
    make_detector: Callable[[], Detector | None],
    progress: ProgressFactory,
) -> PackedCrops:
    """Cut the training crops, or take them from the run's folder if nothing changed."""
    detector = make_detector()
    example_lines = [
        f"{example.path} {example.boxes.tolist()} {example.label_values}"
        for example in train
    ]
    lines = [type(detector).__name__, f"{recipe.drawn} {recipe.seed}", *example_lines]
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    if read_fingerprint(path) != fingerprint:
        packed = pack_crops(train, detector, progress("crops"))
        if recipe.drawn:
            landmark_detector = require_landmark_detector(detector)
            drawing_progress = progress("drawing")
            drawn = draw_synthetic_crops(
                packed, landmark_detector, recipe.drawn, recipe.seed, drawing_progress
            )
            packed = packed.concat(drawn)
        save_packed_crops(packed, path, fingerprint)
    return read_packed_crops(path)


def require_landmark_detector(detector: Detector | None) -> LandmarkDetector:
    """Return a finder that can be drawn with.

    Raises:
        ValueError: it does not know where mouth and nose are.
    """
    if detector is None or not hasattr(detector, "landmarks"):
        raise ValueError(
            "this recipe draws on faces, which needs a finder that knows where mouth "
            "and nose are: --finder yunet or mtcnn, or --drawn 0"
        )
    return cast("LandmarkDetector", detector)
