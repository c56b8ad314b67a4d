"""What a classifier answered on a labelled set: numbers that may be kept and shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.labelling import ClassificationResult
from maskdet.types import CLASSES

_FIELDS = ("ground_truth", "probs", "sizes_px", "lights", "sharpness", "sources")

# Names in a file that differ from those of the fields.
_STORED_NAMES = {"ground_truth": "truths"}


@dataclass(frozen=True, eq=False)
class Predictions:
    """One answer a face, with what is needed to look at parts of the set.

    Attributes:
        ground_truth: `(n,)` int64 true classes, columns of `probs`.
        probs: `(n, 3)` float32, columns as in `CLASSES`.
        sizes_px: `(n,)` float32 shorter side of the face in its picture.
        lights: `(n,)` float32 mean luminance of the face, 0 to 255.
        sharpness: `(n,)` float32, larger is sharper; see `crop_sharpness`.
        sources: `(n,)` text: who labelled it, such as `real`, `drawn` or `kaggle`.
    """

    ground_truth: NDArray[np.int64]
    probs: NDArray[np.float32]
    sizes_px: NDArray[np.float32]
    lights: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    sources: NDArray[np.str_]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other."""
        n = len(self.ground_truth)
        for name in _FIELDS:
            expected = (n, len(CLASSES)) if name == "probs" else (n,)
            if getattr(self, name).shape != expected:
                actual = getattr(self, name).shape
                raise ValueError(f"{name} must have the shape {expected}, not {actual}")

    @classmethod
    def concat(cls, parts: Iterable[Predictions]) -> Predictions:
        """Join the answers on several pictures or sets, at least one."""
        items = list(parts)
        columns = ([getattr(item, name) for item in items] for name in _FIELDS)
        return cls(*map(np.concatenate, columns))

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.ground_truth)

    @property
    def classification(self) -> ClassificationResult:
        """The answers alone, to count them."""
        return ClassificationResult(self.ground_truth, self.probs)

    def select(self, selected: NDArray[np.bool_]) -> Predictions:
        """Return the answers for the chosen faces, `(n,)` boolean."""
        return Predictions(*(getattr(self, name)[selected] for name in _FIELDS))


def save_class_predictions(path: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write the answers on several sets, by the name of the set, into one `.npz`."""
    arrays = {
        f"{name}/{_STORED_NAMES.get(field, field)}": getattr(item, field)
        for name, item in predictions.items()
        for field in _FIELDS
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def read_class_predictions(path: Path) -> dict[str, Predictions]:
    """Return what `save_class_predictions` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there are no answers; `maskdet export` does")
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = dict.fromkeys(key.rpartition("/")[0] for key in stored.files)
            return {
                name: Predictions(
                    *(
                        stored[f"{name}/{_STORED_NAMES.get(field, field)}"]
                        for field in _FIELDS
                    )
                )
                for name in names
            }
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: no answers that can be read ({error})") from None
