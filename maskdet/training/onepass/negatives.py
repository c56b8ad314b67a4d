"""Pictures that show no face: read, held out in part, and how often one is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.datasets.examples import empty_boxes
from maskdet.media import find_images, read_image
from maskdet.training.onepass.scenes import TrainingImage, shrink_image
from maskdet.types import CLASSES, Faces

HELD_OUT_FILE = "negatives.npz"
"""Of a run: the pictures without a face that it is judged by."""

FALSE_POSITIVE_SCORES: Final = (0.5, 0.6, 0.7)
"""Detection scores at which false positives are counted; the first is the default."""

FALSE_POSITIVE_COST: Final = 0.25
"""What a false positive in all images without a face would take from the score of an
epoch: four of a hundred are worth a hundredth of average precision."""

_HELD_OUT_EVERY: Final = 4
"""One picture in so many of each kind is held out, chosen by its name."""

_MIN_SAMPLING_WEIGHT: Final = 0.03
"""Added to the squared score: a picture that was learnt must not be forgotten."""


class NegativeImage(NamedTuple):
    """An image file that shows no face.

    Attributes:
        path: the file.
        kind: what it shows, such as `house`.
        held_out: whether it is only measured on, never trained on.
    """

    path: Path
    kind: str
    held_out: bool


@dataclass(frozen=True, eq=False)
class NegativeImages:
    """Pictures without a face; `source` is their kind.

    Attributes:
        train: to learn from.
        held_out: to judge by: of each kind a part, and some kinds as a whole.
    """

    train: Sequence[TrainingImage] = ()
    held_out: Sequence[TrainingImage] = ()


@dataclass(frozen=True, eq=False)
class MinedNegatives:
    """Where the network sees faces in pictures that have none.

    Attributes:
        scores: `(n,)` highest face score in each picture; 0 where it sees nothing.
        boxes: `(n, 4)` where.
    """

    scores: NDArray[np.float32]
    boxes: Boxes

    def compute_probabilities(self) -> NDArray[np.float64]:
        """Return the `(n,)` chance of each picture to be shown."""
        sampling_weights = _MIN_SAMPLING_WEIGHT + np.square(
            self.scores.astype(np.float64)
        )
        result: NDArray[np.float64] = sampling_weights / sampling_weights.sum()
        return result


def read_negatives(
    paths: Iterable[str | Path],
    kinds: Sequence[str] = (),
    progress: Callable[[Iterable[NegativeImage]], Iterable[NegativeImage]] = iter,
) -> NegativeImages:
    """Read the images of `list_negatives`; arguments and errors as there.

    Args:
        paths: see there.
        kinds: see there.
        progress: something like `tqdm`.
    """
    train: list[TrainingImage] = []
    held_out: list[TrainingImage] = []
    for image in progress(list_negatives(paths, kinds)):
        target_list = held_out if image.held_out else train
        target_list.append(_read_negative(image.path, image.kind))
    return NegativeImages(train, held_out)


def list_negatives(
    paths: Iterable[str | Path], kinds: Sequence[str] = ()
) -> list[NegativeImage]:
    """Return images without a face, and hold out a part of them.

    Args:
        paths: COCO files without annotations, whose rows may say a `kind`, or folders
            of images; a folder's name is its kind.
        kinds: held out as a whole; of the others, one image in four is.

    Raises:
        FileNotFoundError: a path or an image is missing.
        ValueError: a file is not COCO, lists a face, or has none of `kinds`.
    """
    listed = [row for path in paths for row in _list_path(Path(path))]
    all_kinds = {kind for _, kind in listed}
    for kind in kinds:
        if kind not in all_kinds:
            raise ValueError(
                f"no negative is of the kind {kind!r}; there are "
                f"{', '.join(sorted(all_kinds)) or 'none'}"
            )
    return [
        NegativeImage(file, kind, kind in kinds or is_held_out(file.name))
        for file, kind in listed
    ]


def is_held_out(name: str) -> bool:
    """Return whether a picture of this file name is judged by, not learnt."""
    digest = hashlib.sha256(name.encode()).digest()
    return digest[0] % _HELD_OUT_EVERY == 0


def _list_path(path: Path) -> list[tuple[Path, str]]:
    """Return the pictures of a file or folder, and the kind of each."""
    if path.is_dir():
        files = [(file, path.resolve().name) for file in find_images(path).images]
        if not files:
            raise ValueError(f"{path}: holds no picture")
        return files
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images, faces = content["images"], content["annotations"]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file or folder") from None
    except (KeyError, RecursionError, TypeError, ValueError):
        raise ValueError(
            f"{path}: not a COCO file, wanted images and annotations"
        ) from None
    if faces:
        raise ValueError(
            f"{path}: lists {len(faces)} boxes; negatives must show no face. Give it "
            "as --data instead"
        )
    return [_parse_coco_row(path, row) for row in images]


def _parse_coco_row(path: Path, row: Mapping[str, Any]) -> tuple[Path, str]:
    try:
        name = str(row["file_name"])
    except (KeyError, TypeError):
        raise ValueError(f"{path}: not a COCO file, file_name is missing") from None
    for file in (path.parent / "images" / name, path.parent / name):
        if file.is_file():
            return file, str(row.get("kind", path.stem))
    raise FileNotFoundError(f"{path}: the image {name} is missing")


def _read_negative(file: Path, kind: str) -> TrainingImage:
    image, _ = shrink_image(read_image(file))
    return TrainingImage(
        image,
        empty_boxes(),
        np.zeros(0, np.int64),
        np.zeros((0, len(CLASSES)), np.float32),
        kind,
    )


def highest_scores(detections: Iterable[Faces]) -> NDArray[np.float32]:
    """Return the best face score of each picture, 0 where nothing was found."""
    scores = [faces.scores.max(initial=0) for faces in detections]
    return np.array(scores, np.float32)


def compute_false_positive_rates(scores: NDArray[np.float32]) -> dict[str, float]:
    """Return the share of pictures in which a face is seen, by threshold."""
    return {
        f"{threshold:g}": round(float((scores >= threshold).mean()), 4)
        for threshold in FALSE_POSITIVE_SCORES
        if len(scores)
    }
