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

from maskdet.assets import asset_path
from maskdet.datasets import SPLITS, Example, split_by_group
from maskdet.detectors import Detector, LandmarkFinder
from maskdet.training.crops import Crops, cut_crops, save_crops
from maskdet.training.drawn import draw_samples
from maskdet.training.false_detections import FalseDetections
from maskdet.training.onepass.negatives import Negatives
from maskdet.training.recipes import Recipe
from maskdet.training.samples import (
    MIN_TRAIN_PX,
    MIN_VAL_PX,
    Progress,
    Samples,
    pack_training,
    read_samples,
    save_samples,
    stored_made_of,
)
from maskdet.training.sampling import Sampler
from maskdet.training.views import VIEWS, Batches, Passes
from maskdet.types import CLASSES

PACKED_FILE = "crops.npz"
CALIBRATION_FILE = "calibration.npz"
VALIDATION_FILE = "validation.npz"
TEST_FILE = "test.npz"
FALSE_DETECTIONS_FILE = "false_detections.npz"

_CALIBRATION = 300

Titled = Callable[[str], Callable[[Iterable[Any]], Iterable[Any]]]
"""Gives something like `tqdm` for a piece of work by its title."""


@dataclass(frozen=True, eq=False)
class Material:
    """Everything a training reads.

    Attributes:
        batches: the training crops, batch by batch.
        steps: batches an epoch.
        n: number of training crops.
        validation: crops to validate on, as at run time.
        class_weights: `(3,)` float32, how much the loss of a class counts; `(4,)`
            where a fourth output is trained.
        class_counts: number of training crops of each class, as in `CLASSES`.
        drawn: how many of the training crops our own code drew.
        false_detections: `(m, s, s, 3)` crops without a face that it is judged by.
    """

    batches: Batches
    steps: int
    n: int
    validation: Crops
    class_weights: NDArray[np.float32]
    class_counts: tuple[int, ...] = ()
    drawn: int = 0
    false_detections: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Parts:
    """Labelled pictures, of which none stands in two parts.

    Attributes:
        train: to learn from.
        validation: to choose by.
        test: held back; may be none.
    """

    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example] = ()


def recut(parts: Parts, recipe: Recipe) -> Parts:
    """Cut train and validation anew where the recipe asks for other shares.

    The test part stays what it is, so that every recipe is measured on the same
    pictures; so do scenes, whose validation files are measured on, too. Pictures of
    one group stay together.
    """
    if recipe.shares is None:
        return parts
    train, validation, _ = recipe.shares
    shares = (train / (train + validation), validation / (train + validation), 0.0)
    both = [*parts.train, *parts.validation]
    whole = split_by_group([one for one in both if one.whole], shares, seed=recipe.seed)
    now = {split: [one for one in whole if one.split == split] for split in SPLITS}
    return Parts(
        [one for one in parts.train if not one.whole] + now["train"],
        [one for one in parts.validation if not one.whole] + now["val"],
        parts.test,
    )


def prepare(
    parts: Parts,
    recipe: Recipe,
    out: Path,
    finder: Callable[[], Detector | None],
    progress: Titled,
    negatives: Negatives | None = None,
    workers: int = 0,
) -> Material:
    """Cut the crops of a run and keep in `out` what its export needs.

    Args:
        parts: the pictures.
        recipe: says how to cut, and how the batches are made.
        out: folder of the run.
        finder: gives the finder for pictures of one face, if it is needed.
        progress: shows how far the cutting is.
        negatives: pictures without a face; needed where the recipe `verifies`.
        workers: processes that make the batches; 0 for a thread.
    """
    out.mkdir(parents=True, exist_ok=True)
    held_out = _cut(parts.validation, recipe, progress("validation"))
    save_crops(held_out, out / VALIDATION_FILE)
    (out / TEST_FILE).unlink(missing_ok=True)
    if parts.test:
        save_crops(_cut(parts.test, recipe, progress("test")), out / TEST_FILE)
    chosen = _spread(parts.train, recipe.seed)
    save_crops(_cut(chosen, recipe, progress("calibration")), out / CALIBRATION_FILE)
    if recipe.views == "camera":
        packed = _packed(parts.train, recipe, out / PACKED_FILE, finder, progress)
        even = np.ones(len(CLASSES) + recipe.verifies, np.float32)
        empty = None
        if recipe.verifies and negatives is not None:
            wrong = FalseDetections(asset_path("onepass"))
            more = wrong.samples(negatives.train, progress("false detections"))
            packed = packed.joined(more)
            empty = wrong.crops(
                negatives.held_out, recipe.size_px, recipe.context, progress("held out")
            )
            np.savez(out / FALSE_DETECTIONS_FILE, images=empty, allow_pickle=False)
        sampler = Sampler(
            packed, recipe.size_px, recipe.batch_size, recipe.seed, workers
        )
        steps = recipe.steps or max(1, len(packed) // recipe.batch_size)
        # The sampler balances by drawing, so every class weighs the same.
        return Material(
            sampler,
            steps,
            len(packed),
            held_out,
            even,
            _class_counts(packed.labels),
            int(packed.drawn.sum()),
            empty,
        )
    crops = _cut(parts.train, recipe, progress("crops"), MIN_TRAIN_PX)
    passes = Passes(crops, VIEWS[recipe.views], recipe.batch_size, recipe.seed, workers)
    weights = class_weights(crops.labels)
    return Material(
        passes,
        recipe.steps or passes.steps,
        len(crops),
        held_out,
        weights,
        _class_counts(crops.labels),
    )


def _class_counts(labels: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=len(CLASSES)).tolist())


def class_weights(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return `(3,)` weights under which all classes present count the same.

    n / (classes present * n of the class), scikit-learn's "balanced"; 1 where a class
    has no crop.
    """
    counts = np.bincount(labels, minlength=len(CLASSES))
    present = int((counts > 0).sum())
    weights = len(labels) / (present * np.maximum(counts, 1))
    result: NDArray[np.float32] = np.where(counts > 0, weights, 1).astype(np.float32)
    return result


def _cut(
    examples: Sequence[Example],
    recipe: Recipe,
    progress: Progress,
    min_px: float = MIN_VAL_PX,
) -> Crops:
    return cut_crops(
        examples, progress, recipe.size_px, context=recipe.context, min_px=min_px
    )


def _spread(train: Sequence[Example], seed: int) -> list[Example]:
    """Return a few hundred pictures by chance, those of faces that can be judged."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(train))[:_CALIBRATION])
    return [train[row] for row in rows]


def _packed(
    train: Sequence[Example],
    recipe: Recipe,
    path: Path,
    finder: Callable[[], Detector | None],
    progress: Titled,
) -> Samples:
    """Cut the training crops, or take them from the run's folder if nothing changed."""
    used = finder()
    parts = [f"{one.path} {one.boxes.tolist()} {one.label_values}" for one in train]
    lines = [type(used).__name__, f"{recipe.drawn} {recipe.seed}", *parts]
    made_of = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    if stored_made_of(path) != made_of:
        packed = pack_training(train, used, progress("crops"))
        if recipe.drawn:
            finds = landmark_finder(used)
            watched = progress("drawing")
            drawn = draw_samples(packed, finds, recipe.drawn, recipe.seed, watched)
            packed = packed.joined(drawn)
        save_samples(packed, path, made_of)
    return read_samples(path)


def landmark_finder(finder: Detector | None) -> LandmarkFinder:
    """Return a finder that can be drawn with.

    Raises:
        ValueError: it does not know where mouth and nose are.
    """
    if finder is None or not hasattr(finder, "landmarks"):
        raise ValueError(
            "this recipe draws on faces, which needs a finder that knows where mouth "
            "and nose are: --finder yunet or mtcnn, or --drawn 0"
        )
    return cast("LandmarkFinder", finder)
