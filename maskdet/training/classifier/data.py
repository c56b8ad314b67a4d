"""Training data of a classifier run: splits, crops, false positives, contact sheets.

The run's folder keeps the files that the export needs: the validation and test crops,
and a few hundred training crops to calibrate 8-bit weights with.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.onepass import SingleStageNetwork
from maskdet.boxes import Boxes, sizes_px
from maskdet.classifier import crop_face
from maskdet.datasets import SPLITS, DataSplits, Example, split_by_group
from maskdet.detectors import Detector, LandmarkDetector
from maskdet.evaluation.report import image_grid
from maskdet.media import encode_png
from maskdet.model_files.model_zoo import model_path
from maskdet.settings import Settings
from maskdet.training.classifier.augment import PACKED_CONTEXT
from maskdet.training.classifier.batches import (
    AUGMENTATIONS,
    ClassifierSampler,
    EpochIterator,
)
from maskdet.training.classifier.crops import (
    MIN_TRAIN_PX,
    MIN_VALIDATION_PX,
    NO_FACE,
    PACKED_PX,
    Crops,
    LabelledCrop,
    PackedCrops,
    ProgressWrapper,
    cut_crops,
    draw_synthetic_crops,
    pack_crops,
    read_packed_crops,
    save_crops,
    stack_packed_crops,
)
from maskdet.training.classifier.recipes import ClassifierRecipe
from maskdet.training.onepass.data import (
    NegativeImages,
    TrainingImage,
    open_at_scalings,
)
from maskdet.training.workers import map_parallel
from maskdet.types import CLASSES, Image

_MIN_SCORE: Final = 0.08
"""Lower scores are below any useful detection threshold."""

_MAX_DETECTIONS: Final = 12
"""Maximum number of detections per image and scaling."""

_MIN_SIDE_PX: Final = 10.0

PACKED_FILE = "crops.npz"

CALIBRATION_FILE = "calibration.npz"

VALIDATION_FILE = "validation.npz"

TEST_FILE = "test.npz"

_N_CALIBRATION = 300

ProgressFactory = Callable[[str], Callable[[Iterable[Any]], Iterable[Any]]]
"""Returns a progress wrapper, such as `tqdm`, for a task by its title."""

VALIDATION_SHEET_FILE = "samples.png"

AUGMENTED_SHEET_FILE = "views.png"

_COLUMNS = 8

_ROWS_PER_CLASS = 2


class FalsePositiveMiner:
    """Mines false positives of the single-stage network in images without a face."""

    def __init__(self, network: str | Path) -> None:
        """Load the file of the network; see `SingleStageNetwork`."""
        self._analyzers = open_at_scalings(SingleStageNetwork(network))

    def detect_boxes(self, image: Image) -> Boxes:
        """Return the `(n, 4)` boxes at both scalings, each by falling score."""
        parts = [np.zeros((0, 4), np.float32)]
        for analyzer in self._analyzers.values():
            faces = analyzer.analyze(image, Settings.permissive()).faces
            is_large = sizes_px(faces.boxes) >= _MIN_SIDE_PX
            rows = (faces.scores >= _MIN_SCORE) & is_large
            parts.append(faces.boxes[rows][:_MAX_DETECTIONS])
        return np.concatenate(parts)

    def cut_crops(
        self,
        negatives: Sequence[TrainingImage],
        size_px: int,
        context: float,
        progress: ProgressWrapper,
    ) -> list[LabelledCrop]:
        """Return the crops of all detections, labelled `NO_FACE`."""

        def cut(negative: TrainingImage) -> list[LabelledCrop]:
            return [
                (
                    crop_face(negative.image, box, size_px, context=context),
                    NO_FACE,
                    f"no-face-{negative.source}",
                )
                for box in self.detect_boxes(negative.image)
            ]

        return [*itertools.chain(*map_parallel(cut, negatives, progress))]


@dataclass(frozen=True, eq=False)
class ClassifierData:
    """Training and validation data of a run.

    Attributes:
        batch_source: the batches of training crops.
        steps: batches per epoch.
        n_crops: number of training crops.
        validation: validation crops, cut as at run time.
        class_weights: `(3,)` float32 weights of the classes in the loss; `(4,)` with a
            `no_face` output.
        class_counts: number of training crops of each class, as in `CLASSES`.
        n_drawn: number of synthetic training crops.
        false_positives: `(m, s, s, 3)` validation crops without a face.
    """

    batch_source: ClassifierSampler | EpochIterator
    steps: int
    n_crops: int
    validation: Crops
    class_weights: NDArray[np.float32]
    class_counts: tuple[int, ...] = ()
    n_drawn: int = 0
    false_positives: NDArray[np.uint8] | None = None


def resplit(splits: DataSplits, recipe: ClassifierRecipe) -> DataSplits:
    """Split train and validation again if the recipe has its own fractions.

    The test split does not change, so that all recipes are tested on the same images.
    Scenes do not change either, because their validation files are also used for
    evaluation. Images of one group stay together.
    """
    if recipe.split_fractions is None:
        return splits
    train, validation, _ = recipe.split_fractions
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
    detector: Detector | None,
    progress: ProgressFactory,
    negatives: NegativeImages | None = None,
    workers: int = 0,
) -> ClassifierData:
    """Cut the crops of a run and save in `out` those that the export needs.

    Args:
        splits: the images.
        recipe: defines the crops and the batches.
        out: folder of the run.
        detector: for images of one face, if the recipe uses one.
        progress: shows the progress.
        negatives: images without a face; needed if `recipe.verifies`.
        workers: processes that make the batches; 0 for a thread.
    """

    def cut(
        examples: Sequence[Example], title: str, min_px: float = MIN_VALIDATION_PX
    ) -> Crops:
        return cut_crops(
            examples,
            progress(title),
            recipe.size_px,
            context=recipe.context,
            min_px=min_px,
        )

    out.mkdir(parents=True, exist_ok=True)
    validation = cut(splits.validation, "validation")
    save_crops(validation, out / VALIDATION_FILE)
    (out / TEST_FILE).unlink(missing_ok=True)
    if splits.test:
        save_crops(cut(splits.test, "test"), out / TEST_FILE)
    calibration = _sample_calibration(splits.train, recipe.seed)
    save_crops(cut(calibration, "calibration"), out / CALIBRATION_FILE)
    if recipe.views == "camera":
        packed = _load_or_pack_crops(
            splits.train, recipe, out / PACKED_FILE, detector, progress
        )
        return _make_sampled_data(
            packed, validation, recipe, out, progress, negatives, workers
        )
    crops = cut(splits.train, "crops", MIN_TRAIN_PX)
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


def _make_sampled_data(
    packed: PackedCrops,
    validation: Crops,
    recipe: ClassifierRecipe,
    out: Path,
    progress: ProgressFactory,
    negatives: NegativeImages | None,
    workers: int,
) -> ClassifierData:
    """Add false positives if `recipe.verifies`, and sample balanced batches."""
    false_positives = None
    if recipe.verifies and negatives is not None:
        miner = FalsePositiveMiner(model_path("onepass"))
        mined = miner.cut_crops(
            negatives.train, PACKED_PX, PACKED_CONTEXT, progress("false positives")
        )
        packed = packed.concat(stack_packed_crops(mined))
        held_out = miner.cut_crops(
            negatives.held_out, recipe.size_px, recipe.context, progress("held out")
        )
        shape = (len(held_out), recipe.size_px, recipe.size_px, 3)
        false_positives = np.array([crop for crop, _, _ in held_out], np.uint8)
        false_positives = false_positives.reshape(shape)
    sampler = ClassifierSampler(
        packed, recipe.size_px, recipe.batch_size, recipe.seed, workers
    )
    # The sampler balances the classes, so their weights are equal.
    return ClassifierData(
        sampler,
        steps=recipe.steps or max(1, len(packed) // recipe.batch_size),
        n_crops=len(packed),
        validation=validation,
        class_weights=np.ones(len(CLASSES) + recipe.verifies, np.float32),
        class_counts=_count_classes(packed.labels),
        n_drawn=int(packed.drawn.sum()),
        false_positives=false_positives,
    )


def _count_classes(labels: NDArray[np.int64]) -> tuple[int, ...]:
    counts = np.bincount(labels, minlength=len(CLASSES))
    return tuple(counts[: len(CLASSES)].tolist())


def compute_class_weights(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return `(3,)` weights that balance the classes present.

    n / (classes present * n of the class), as "balanced" in scikit-learn; 1 for a class
    without crops.
    """
    counts = np.bincount(labels, minlength=len(CLASSES))
    present = int((counts > 0).sum())
    weights = len(labels) / (present * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 1).astype(np.float32)


def _sample_calibration(train: Sequence[Example], seed: int) -> list[Example]:
    """Return a random sample of a few hundred training images."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(train))[:_N_CALIBRATION])
    return [train[row] for row in rows]


def _load_or_pack_crops(
    train: Sequence[Example],
    recipe: ClassifierRecipe,
    path: Path,
    detector: Detector | None,
    progress: ProgressFactory,
) -> PackedCrops:
    """Cut the training crops, or load them from `path` if the inputs are unchanged."""
    example_lines = [
        f"{example.path} {example.boxes.tolist()} {example.label_values}"
        for example in train
    ]
    lines = [type(detector).__name__, f"{recipe.drawn} {recipe.seed}", *example_lines]
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    packed = read_packed_crops(path, fingerprint)
    if packed is None:
        packed = pack_crops(train, detector, progress("crops"))
        if recipe.drawn:
            landmark_detector = require_landmark_detector(detector)
            drawing_progress = progress("drawing")
            drawn = draw_synthetic_crops(
                packed, landmark_detector, recipe.drawn, recipe.seed, drawing_progress
            )
            packed = packed.concat(drawn)
        save_crops(packed, path, fingerprint)
    return packed


def require_landmark_detector(detector: Detector | None) -> LandmarkDetector:
    """Return the detector if it detects landmarks.

    Raises:
        ValueError: the detector does not detect landmarks.
    """
    if detector is None or not hasattr(detector, "detect_landmarks"):
        raise ValueError(
            "synthetic crops need a detector with facial landmarks: use --detector "
            "yunet or mtcnn, or disable them with --drawn 0"
        )
    return cast("LandmarkDetector", detector)


def write_contact_sheets(training_data: ClassifierData, out: Path) -> list[Path]:
    """Write grids of validation crops and of a training batch; return their paths.

    Args:
        training_data: the data of the run.
        out: folder of the run.
    """
    validation = training_data.validation
    rows = _select_rows_per_class(validation)
    names = [CLASSES[label].key for label in validation.labels[rows]]
    validation_sheet = image_grid(
        list(validation.images[rows]), names, columns=_COLUMNS
    )
    batch = next(iter(training_data.batch_source.iter_batches(0, 1)))
    views = batch.images[..., ::-1]
    class_names = [*(label.key for label in CLASSES), "no_face"]
    names = [class_names[column] for column in batch.targets.argmax(axis=1)]
    paths = [out / VALIDATION_SHEET_FILE, out / AUGMENTED_SHEET_FILE]
    augmented_sheet = image_grid(list(views), names, columns=_COLUMNS)
    for path, sheet in zip(paths, (validation_sheet, augmented_sheet), strict=True):
        path.write_bytes(encode_png(sheet))
    return paths


def _select_rows_per_class(crops: Crops) -> NDArray[np.int64]:
    """Return the indices of up to two grid rows per class, spread over the set."""
    parts = []
    for label in CLASSES:
        rows = np.flatnonzero(crops.labels == label)
        count = min(len(rows), _ROWS_PER_CLASS * _COLUMNS)
        if count:
            parts.append(rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)])
    return np.concatenate(parts)
