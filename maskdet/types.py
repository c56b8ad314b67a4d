"""The types that every part of maskdet speaks: images, faces, scenes, settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, nms, sizes_px
from maskdet.settings import Settings as Settings

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


HIDE_SCORE = 0.2
"""What may be a face by so much is hidden wherever faces are blurred."""


def _no_times() -> Mapping[str, float]:
    return {}


def _no_boxes() -> Boxes:
    return np.zeros((0, 4), np.float32)


class Near(NamedTuple):
    """Two people of a scene and how far they stand apart.

    A tuple, since a crowd of 30 has 400 pairs in every picture.

    Attributes:
        first: row of one of them in the scene.
        second: row of the other; larger than `first`.
        distance: between them, in `unit`.
        unit: `m`, or `heads` where only heights of heads are known.
        near: closer than the limit, after hysteresis.
        for_s: how long they have been near without a break, in seconds.
        too_long: near for longer than is allowed.
    """

    first: int
    second: int
    distance: float
    unit: str
    near: bool
    for_s: float
    too_long: bool


@dataclass(frozen=True, eq=False)
class Scene:
    """One image, understood: row i is the same face in every array.

    In a stream, people who turned away keep a row: their head is where it was last
    followed to, with the face score 0 and `seen_s` above 0, and their label is what
    was known of them.

    Attributes:
        faces: the faces, sorted by falling score.
        probs: `(n, 3)` float32, rows sum to 1, columns as in `CLASSES`; in a stream,
            what all that was seen of a person says together.
        track_ids: `(n,)` int64; `UNTRACKED` in a still image.
        time_s: when the image was taken, in seconds; 0 for a still image.
        min_certainty: below this probability a face's label is `UNKNOWN`.
        stage_ms: how long each stage took, in milliseconds (`find`, `label`).
        seen_s: `(n,)` float32, seconds since the face was last seen; 0 if it is.
        evidence: `(n,)` float32, how many whole readable views the label rests on; 1
            in a still image.
        near: pairs whose distance is known, nearest first.
        hide: `(k, 4)` float32 boxes of what is no row but may be a face: refused
            ones, doubtful ones, and people out of sight. Only blurring looks at them.
    """

    faces: Faces
    probs: NDArray[np.float32]
    track_ids: NDArray[np.int64] | None = None
    time_s: float = 0.0
    min_certainty: float = 0.0
    stage_ms: Mapping[str, float] = field(default_factory=_no_times)
    seen_s: NDArray[np.float32] | None = None
    evidence: NDArray[np.float32] | None = None
    near: tuple[Near, ...] = ()
    hide: Boxes = field(default_factory=_no_boxes)

    def __post_init__(self) -> None:
        """Check that every array has one row a face."""
        n = len(self.faces)
        probs = np.asarray(self.probs, dtype=np.float32)
        _checked("probs", probs, (n, len(CLASSES)))
        # `allclose` says the same ten times as slowly, three times a picture.
        if n and not np.abs(probs.sum(axis=1) - 1).max() <= 1e-3:
            raise ValueError("each row of probs must sum to 1")
        ids = self.track_ids
        ids = np.full(n, UNTRACKED, np.int64) if ids is None else np.asarray(ids)
        _checked("track_ids", ids, (n,))
        object.__setattr__(self, "probs", probs)
        object.__setattr__(self, "track_ids", ids.astype(np.int64))
        hide = np.asarray(self.hide, dtype=np.float32)
        _checked("hide", hide, (None, 4))
        object.__setattr__(self, "hide", hide)
        for name, usual in (("seen_s", 0.0), ("evidence", 1.0)):
            given = getattr(self, name)
            values = np.full(n, usual) if given is None else np.asarray(given)
            _checked(name, values, (n,))
            object.__setattr__(self, name, values.astype(np.float32))
        for pair in self.near:
            if not 0 <= pair.first < pair.second < n:
                raise ValueError(f"near must name two of {n} rows in order: {pair}")

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
        """Return the scene with only the rows that `wanted` selects, best first."""
        rows = np.arange(len(self))[wanted]
        # Faces sort themselves, so the other arrays must follow.
        rows = rows[np.argsort(-self.faces.scores[rows], kind="stable")]
        place = {int(row): number for number, row in enumerate(rows)}
        pairs = [
            (sorted((place[pair.first], place[pair.second])), pair)
            for pair in self.near
            if pair.first in place and pair.second in place
        ]
        parts = {
            name: getattr(self, name)[rows]
            for name in ("probs", "track_ids", "seen_s", "evidence")
        }
        return dataclasses.replace(
            self,
            faces=self.faces.keep(rows),
            near=tuple(
                pair._replace(first=first, second=second)
                for (first, second), pair in pairs
            ),
            **parts,
        )

    def select(self, settings: Settings) -> Scene:
        """Return only the faces that `settings` accept, judged by its certainty.

        What else may be a face stays in `hide`. Nothing is computed anew, so a moved
        slider costs microseconds.
        """
        rows = accepted(self.faces, settings)
        hide = np.concatenate([self.hide, refused(self.faces, rows, settings)])
        return dataclasses.replace(
            self.keep(rows), min_certainty=settings.min_certainty, hide=hide
        )


def accepted(faces: Faces, settings: Settings) -> NDArray[np.int64]:
    """Return the rows of `faces` that pass score, size and overlap, best first."""
    passes = (faces.scores >= settings.min_score) & (
        sizes_px(faces.boxes) >= settings.min_face_px
    )
    rows = np.flatnonzero(passes).astype(np.int64)
    kept = nms(faces.boxes[rows], faces.scores[rows], settings.nms_iou)
    wanted: NDArray[np.int64] = rows[kept]
    return wanted


def refused(faces: Faces, rows: NDArray[np.int64], settings: Settings) -> Boxes:
    """Return the boxes, `(k, 4)`, that may be faces but are not the `accepted` rows."""
    may_be = faces.scores >= min(HIDE_SCORE, settings.min_score)
    may_be[rows] = False
    return faces.boxes[may_be]
