"""What a classifier answered on a labelled set: numbers that may be kept and shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.labelling import Labelling
from maskdet.types import CLASSES

_FIELDS = ("truths", "probs", "sizes_px", "lights", "sharpness", "sources")


@dataclass(frozen=True, eq=False)
class Answers:
    """One answer a face, with what is needed to look at parts of the set.

    Attributes:
        truths: `(n,)` int64 true classes, columns of `probs`.
        probs: `(n, 3)` float32, columns as in `CLASSES`.
        sizes_px: `(n,)` float32 shorter side of the face in its picture.
        lights: `(n,)` float32 mean luminance of the face, 0 to 255.
        sharpness: `(n,)` float32, larger is sharper; see `crop_sharpness`.
        sources: `(n,)` text: who labelled it, such as `real`, `drawn` or `kaggle`.
    """

    truths: NDArray[np.int64]
    probs: NDArray[np.float32]
    sizes_px: NDArray[np.float32]
    lights: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    sources: NDArray[np.str_]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other."""
        n = len(self.truths)
        for name in _FIELDS:
            wanted = (n, len(CLASSES)) if name == "probs" else (n,)
            if getattr(self, name).shape != wanted:
                got = getattr(self, name).shape
                raise ValueError(f"{name} must have the shape {wanted}, not {got}")

    @classmethod
    def joined(cls, parts: Iterable[Answers]) -> Answers:
        """Join the answers on several pictures or sets, at least one."""
        known = list(parts)
        columns = ([getattr(one, name) for one in known] for name in _FIELDS)
        return cls(*map(np.concatenate, columns))

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.truths)

    @property
    def labelling(self) -> Labelling:
        """The answers alone, to count them."""
        return Labelling(self.truths, self.probs)

    def keep(self, chosen: NDArray[np.bool_]) -> Answers:
        """Return the answers for the chosen faces, `(n,)` boolean."""
        return Answers(*(getattr(self, name)[chosen] for name in _FIELDS))


def save_answers(path: Path, answers: Mapping[str, Answers]) -> None:
    """Write the answers on several sets, by the name of the set, into one `.npz`."""
    arrays = {
        f"{name}/{field}": getattr(one, field)
        for name, one in answers.items()
        for field in _FIELDS
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def read_answers(path: Path) -> dict[str, Answers]:
    """Return what `save_answers` wrote.

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
                name: Answers(*(stored[f"{name}/{field}"] for field in _FIELDS))
                for name in names
            }
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: no answers that can be read ({error})") from None
