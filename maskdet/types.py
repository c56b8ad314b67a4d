"""The types that every part of maskdet speaks: images, faces, scenes, settings."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, nms, sizes_px

Image = NDArray[np.uint8]
"""`(h, w, 3)` uint8, **BGR**, never modified in place."""

UNTRACKED = -1
"""Track id of a face that nobody follows, as in every still image."""


class Label(IntEnum):
    """What is known about a face; the value is its column in `Scene.probs`.

    `UNKNOWN` has no column: it is what a face below the certainty threshold gets.
    """

    MASK = 0
    NO_MASK = 1
    INCORRECT = 2
    UNKNOWN = -1

    @property
    def key(self) -> str:
        """The name used in files: `mask`, `no_mask`, `incorrect`, `unknown`."""
        return self.name.lower()

    @property
    def title(self) -> str:
        """The name shown to people: `Mask`, `No mask`, `Worn wrongly`, `Unsure`."""
        return _TITLES[self]


_TITLES = {
    Label.MASK: "Mask",
    Label.NO_MASK: "No mask",
    Label.INCORRECT: "Worn wrongly",
    Label.UNKNOWN: "Unsure",
}

CLASSES: tuple[Label, ...] = (Label.MASK, Label.NO_MASK, Label.INCORRECT)
"""The labels that have a column in `Scene.probs`, in column order."""


def _checked(
    name: str, array: NDArray[np.generic], shape: tuple[int | None, ...]
) -> None:
    wanted = tuple("n" if size is None else str(size) for size in shape)
    fits = array.ndim == len(shape) and all(
        want is None or want == got
        for want, got in zip(shape, array.shape, strict=False)
    )
    if not fits:
        raise ValueError(
            f"{name} must have shape ({', '.join(wanted)}), got {array.shape}"
        )


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces found in one image, sorted by falling score.

    Attributes:
        boxes: `(n, 4)` float32, `x1, y1, x2, y2` in pixels of the original image.
        scores: `(n,)` float32 in [0, 1]: how sure the finder is that it is a face.
    """

    boxes: Boxes
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check shapes and values, convert to float32 and sort."""
        boxes = np.asarray(self.boxes, dtype=np.float32)
        scores = np.asarray(self.scores, dtype=np.float32)
        _checked("boxes", boxes, (None, 4))
        _checked("scores", scores, (len(boxes),))
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError("boxes and scores must be finite numbers")
        if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
            raise ValueError(
                f"scores must lie in [0, 1], got {scores.min()} to {scores.max()}"
            )
        order = np.argsort(-scores, kind="stable")
        object.__setattr__(self, "boxes", boxes[order])
        object.__setattr__(self, "scores", scores[order])

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.scores)

    @classmethod
    def none(cls) -> Faces:
        """Return the faces of an image without a face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    def keep(self, wanted: NDArray[np.bool_] | NDArray[np.int64]) -> Faces:
        """Return the faces that a mask or an index array of rows selects."""
        return Faces(self.boxes[wanted], self.scores[wanted])


@dataclass(frozen=True)
class Settings:
    """Every threshold a person can tune; passed explicitly, never global.

    Attributes:
        min_score: faces with a lower finder score are dropped, in [0, 1].
        min_certainty: below this probability a face is `UNKNOWN`, in [0, 1].
        min_face_px: faces whose shorter side is smaller are dropped, in pixels.
        nms_iou: of two boxes overlapping more than this the weaker goes, in [0, 1].

    Raises:
        ValueError: a value is out of its range; the message names field and value.
    """

    min_score: float = 0.5
    min_certainty: float = 0.6
    min_face_px: float = 12.0
    nms_iou: float = 0.4

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name, low, high in _RANGES:
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not low <= value <= high:
                raise ValueError(
                    f"{name} must be a number from {low:g} to {high:g}, not {value!r}"
                )
            object.__setattr__(self, name, float(value))

    def to_json(self) -> str:
        """Return the settings as a JSON object, one key a field."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Settings:
        """Return the settings that `to_json` wrote; missing fields get defaults.

        Raises:
            ValueError: not a JSON object, an unknown field, or a bad value.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("settings are not valid JSON") from None
        if not isinstance(values, dict):
            raise ValueError(
                f"settings must be a JSON object, not {type(values).__name__}"
            )
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(
                f"unknown setting {unknown[0]!r}; known are {', '.join(known)}"
            )
        return cls(**values)


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("min_score", 0, 1),
    ("min_certainty", 0, 1),
    ("min_face_px", 1, 2000),
    ("nms_iou", 0, 1),
)


def _no_times() -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, eq=False)
class Scene:
    """One image, understood: row i is the same face in every array.

    Attributes:
        faces: the faces, sorted by falling score.
        probs: `(n, 3)` float32, rows sum to 1, columns as in `CLASSES`.
        track_ids: `(n,)` int64; `UNTRACKED` in a still image.
        time_s: when the image was taken, in seconds; 0 for a still image.
        min_certainty: below this probability a face's label is `UNKNOWN`.
        stage_ms: how long each stage took, in milliseconds (`find`, `label`).
    """

    faces: Faces
    probs: NDArray[np.float32]
    track_ids: NDArray[np.int64] | None = None
    time_s: float = 0.0
    min_certainty: float = 0.0
    stage_ms: Mapping[str, float] = field(default_factory=_no_times)

    def __post_init__(self) -> None:
        """Check that every array has one row a face."""
        n = len(self.faces)
        probs = np.asarray(self.probs, dtype=np.float32)
        _checked("probs", probs, (n, len(CLASSES)))
        if n and not np.allclose(probs.sum(axis=1), 1, atol=1e-3):
            raise ValueError("each row of probs must sum to 1")
        ids = self.track_ids
        ids = np.full(n, UNTRACKED, np.int64) if ids is None else np.asarray(ids)
        _checked("track_ids", ids, (n,))
        object.__setattr__(self, "probs", probs)
        object.__setattr__(self, "track_ids", ids.astype(np.int64))

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.faces)

    @classmethod
    def none(cls) -> Scene:
        """Return the scene of an image without a face."""
        return cls(Faces.none(), np.zeros((0, len(CLASSES)), np.float32))

    @property
    def certainties(self) -> NDArray[np.float32]:
        """`(n,)` probability of each face's most likely label."""
        if not len(self):
            return np.zeros(0, np.float32)
        best: NDArray[np.float32] = self.probs.max(axis=1)
        return best

    @property
    def labels(self) -> tuple[Label, ...]:
        """One label a face, `UNKNOWN` where its certainty is below `min_certainty`."""
        winners = self.probs.argmax(axis=1) if len(self) else ()
        return tuple(
            Label(int(winner)) if certainty >= self.min_certainty else Label.UNKNOWN
            for winner, certainty in zip(winners, self.certainties, strict=True)
        )

    def keep(self, wanted: NDArray[np.bool_] | NDArray[np.int64]) -> Scene:
        """Return the scene with only the rows that `wanted` selects."""
        ids = self.track_ids
        return dataclasses.replace(
            self,
            faces=self.faces.keep(wanted),
            probs=self.probs[wanted],
            track_ids=None if ids is None else ids[wanted],
        )

    def select(self, settings: Settings) -> Scene:
        """Return only the faces that `settings` accept, judged by its certainty.

        Nothing is computed anew, so a moved slider costs microseconds.
        """
        kept = self.keep(accepted(self.faces, settings))
        return dataclasses.replace(kept, min_certainty=settings.min_certainty)


def accepted(faces: Faces, settings: Settings) -> NDArray[np.int64]:
    """Return the rows of `faces` that pass score, size and overlap, best first."""
    passes = (faces.scores >= settings.min_score) & (
        sizes_px(faces.boxes) >= settings.min_face_px
    )
    rows = np.flatnonzero(passes).astype(np.int64)
    kept = nms(faces.boxes[rows], faces.scores[rows], settings.nms_iou)
    wanted: NDArray[np.int64] = rows[kept]
    return wanted
