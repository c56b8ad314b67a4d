"""The data types of maskdet: images, labels, faces, pairs, contacts and scenes."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, nms, sizes_px
from maskdet.settings import Settings
from maskdet.wording import format_count

Image = NDArray[np.uint8]
"""`(h, w, 3)` uint8, **BGR**, never modified in place."""

Rng: TypeAlias = "np.random.Generator"  # a name only: loading it takes 8 ms
"""The source of the random choices of a function."""

UNTRACKED = -1
"""Track ID of a face that is not tracked, for example in a still image."""

RowSelection: TypeAlias = (
    NDArray[np.bool_] | NDArray[np.int64] | list[int] | list[bool] | slice
)
"""Rows of a scene or of faces: a mask, indices, or a slice."""

BLUR_MIN_SCORE = 0.2
"""Candidates with at least this detection score are blurred when faces are blurred."""


def check_image(image: object) -> Image:
    """Check that `image` is a BGR or grey image and return it as BGR.

    Args:
        image: `(h, w, 3)` uint8 in BGR order; or `(h, w)` or `(h, w, 1)` uint8, which
            is grey and gets three equal channels.

    Returns:
        `(h, w, 3)` uint8 BGR; the input itself if it has this shape.

    Raises:
        TypeError: it is not a NumPy array, or not of type uint8.
        ValueError: it is empty, or has another shape.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(
            "image must be a NumPy array of shape (h, w, 3), uint8, BGR, not "
            f"{type(image).__name__}; read a file with maskdet.read_image(path)"
        )
    if image.dtype != np.uint8:
        raise TypeError(
            f"image must have dtype uint8, not {image.dtype}; convert values from 0 "
            "to 1 with (image * 255).astype(numpy.uint8)"
        )
    if image.ndim == 3 and image.shape[2] == 3 and image.size:
        return image
    if not image.size:
        raise ValueError(f"image is empty: its shape is {image.shape}")
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    hint = ""
    if image.ndim == 3 and image.shape[2] == 4:
        hint = "; drop alpha with cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), or RGBA2BGR"
    raise ValueError(
        f"image must have shape (h, w, 3) or (h, w), not {image.shape}{hint}"
    )


class Label(IntEnum):
    """The class of a face; the value is its column in `Scene.probs`.

    `UNKNOWN` has no column: it is the class of a face below the confidence threshold.

    Examples:
        >>> [(label.key, label.title) for label in maskdet.CLASSES]
        [('mask', 'Mask'), ('no_mask', 'No mask'), ('incorrect', 'Incorrect')]
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
        """The name shown to people: `Mask`, `No mask`, `Incorrect`, `Unsure`."""
        return _TITLES[self]


_TITLES = {
    Label.MASK: "Mask",
    Label.NO_MASK: "No mask",
    Label.INCORRECT: "Incorrect",
    Label.UNKNOWN: "Unsure",
}


CLASSES: tuple[Label, ...] = (Label.MASK, Label.NO_MASK, Label.INCORRECT)
"""The labels that have a column in `Scene.probs`, in column order."""


def _check_shape(
    name: str, array: NDArray[np.generic], shape: tuple[int | None, ...]
) -> None:
    expected_shape = tuple("n" if size is None else str(size) for size in shape)
    is_valid = array.ndim == len(shape) and all(
        expected_size is None or expected_size == actual_size
        for expected_size, actual_size in zip(shape, array.shape, strict=False)
    )
    if not is_valid:
        raise ValueError(
            f"{name} must have shape ({', '.join(expected_shape)}), got {array.shape}"
        )


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces detected in one image, sorted by falling score.

    Examples:
        >>> faces = maskdet.Faces([[0, 0, 9, 9], [5, 5, 40, 40]], [0.5, 0.9])
        >>> faces.scores.tolist() == sorted(faces.scores.tolist(), reverse=True)
        True
        >>> len(faces[faces.scores > 0.6])
        1

    Attributes:
        boxes: `(n, 4)` float32, `x1, y1, x2, y2` in pixels of the original image.
        scores: `(n,)` float32 detection scores in [0, 1].
    """

    boxes: Boxes
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check shapes and values, convert to float32 and sort."""
        boxes = np.asarray(self.boxes, dtype=np.float32)
        scores = np.asarray(self.scores, dtype=np.float32)
        _check_shape("boxes", boxes, (None, 4))
        _check_shape("scores", scores, (len(boxes),))
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
    def empty(cls) -> Faces:
        """Return zero faces."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    def __getitem__(self, rows: RowSelection) -> Faces:
        """Return the faces that a mask, an index array or a slice selects."""
        return Faces(self.boxes[rows], self.scores[rows])


class PersonPair(NamedTuple):
    """Two people in a scene and the distance between them.

    Examples:
        >>> settings = maskdet.Settings(distance="pinhole")
        >>> for image, scene in maskdet.stream("lobby.mp4", settings, every=25):
        ...     if scene.pairs:
        ...         break
        >>> scene.pairs[0].unit
        'm'

    It is a tuple for speed: a crowd of 30 people has 400 pairs in each frame.

    Attributes:
        first: row of one person in the scene.
        second: row of the other person; larger than `first`.
        distance: distance between them, in `unit`.
        unit: `m` (metres), or `heads` (face heights) without a calibrated scale.
        in_contact: whether they are closer than the contact distance, with
            hysteresis.
        contact_s: duration of the current contact, in seconds.
        exceeds_limit: whether the contact lasts longer than
            `Settings.contact_duration_s`.
    """

    first: int
    second: int
    distance: float
    unit: str
    in_contact: bool
    contact_s: float
    exceeds_limit: bool


@dataclass(frozen=True)
class Contact:
    """Two people of a stream or video who were in contact.

    Examples:
        >>> settings = maskdet.Settings(distance="pinhole", contact_distance_m=3)
        >>> report = maskdet.analyze_video("lobby.mp4", None, settings, every=5)
        >>> all(contact.min_distance < 3 for contact in report.contacts)
        True

    Attributes:
        first_id: track ID of one person.
        second_id: track ID of the other person; larger than `first_id`.
        start_s: start of their first contact, in seconds.
        total_s: total contact time, in seconds.
        longest_s: the longest contact without a break, in seconds.
        unmasked_s: the part of `total_s` in which at least one of them had the class
            no mask or incorrect.
        min_distance: the smallest distance while in contact, in `unit`.
        unit: `m` (metres) or `heads` (face heights).
        exceeds_limit: whether one contact lasted longer than
            `Settings.contact_duration_s`.
    """

    first_id: int
    second_id: int
    start_s: float
    total_s: float
    longest_s: float
    unmasked_s: float
    min_distance: float
    unit: str
    exceeds_limit: bool


@dataclass(frozen=True)
class Face:
    """One face of a scene.

    Examples:
        >>> face = maskdet.analyze("group.jpg")[0]
        >>> face.label.title, face.confidence > 0.9, [round(x) for x in face.box]
        ('No mask', True, [691, 274, 781, 368])

    Attributes:
        label: its class; `UNKNOWN` if `confidence` is below the threshold.
        confidence: probability of the likeliest class, in [0, 1].
        box: `x1, y1, x2, y2` in pixels of the image.
        score: detection score in [0, 1]; 0 for a coasting track.
        probs: probability of each class, in the order of `CLASSES`.
        track_id: track ID in a stream; `UNTRACKED` in a still image.
        unseen_s: seconds since the face was last detected; 0 if it is now.
    """

    label: Label
    confidence: float
    box: tuple[float, float, float, float]
    score: float
    probs: tuple[float, float, float]
    track_id: int = UNTRACKED
    unseen_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the face as a JSON object, with rounded numbers."""
        tracked = {} if self.track_id == UNTRACKED else {"track_id": self.track_id}
        return {
            # Digits beyond 0.1 pixel and 0.01 percent are noise.
            "box": [round(corner, 1) for corner in self.box],
            "score": round(self.score, 4),
            "label": self.label.key,
            "probs": {
                label.key: round(prob, 4)
                for label, prob in zip(CLASSES, self.probs, strict=True)
            },
            **tracked,
        }


@dataclass(frozen=True, eq=False)
class Scene:
    """The faces of one image with their classes; row i of every array is one face.

    Iterate it for `Face` objects. Index it with a number for one `Face`, or with a
    mask, indices or a slice for a `Scene` with those rows.

    Examples:
        >>> scene = maskdet.Scene(
        ...     maskdet.Faces([[0, 0, 40, 40], [50, 0, 90, 40]], [0.9, 0.8]),
        ...     [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]],
        ... )
        >>> [face.label.key for face in scene]
        ['mask', 'no_mask']
        >>> scene[scene.confidences > 0.85]
        <Scene: 1 face (1 mask)>

    In a stream, a coasting track (a head that is tracked without a face detection)
    keeps its row: its box is the predicted one, its score is 0, `unseen_s` is above 0,
    and its class comes from earlier frames.

    Attributes:
        faces: boxes and scores, sorted by falling score.
        probs: `(n, 3)` float32, rows sum to 1, columns as in `CLASSES`; in a stream,
            smoothed over the observations of each person.
        track_ids: `(n,)` int64; `UNTRACKED` in a still image.
        time_s: time of the image, in seconds; 0 for a still image.
        min_confidence: below this probability a face's label is `UNKNOWN`.
        stage_ms: duration of each stage, in milliseconds (`detect`, `classify`,
            `track` and others).
        unseen_s: `(n,)` float32, seconds since the face was last detected; 0 if it is
            now.
        n_effective_views: `(n,)` float32, sum of the weights of the observations that
            the class is based on; 1 in a still image.
        pairs: pairs of people whose distance is known, nearest first.
        blur_boxes: `(k, 4)` float32 boxes that have no row but may be faces: dropped
            candidates and lost tracks. Only blurring uses them.
        removed_ids: track IDs that the tracker removed in this step.
        positions: `(n, 2)` float64 x (to the right) and z (away from the camera) of
            each person, smoothed, in metres or face heights; `(0, 2)` if distances are
            not measured.
        contacts: the contacts of the stream so far, longest first; updated once a
            second.
    """

    faces: Faces
    probs: NDArray[np.float32]
    track_ids: NDArray[np.int64] | None = None
    time_s: float = 0.0
    min_confidence: float = 0.0
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    unseen_s: NDArray[np.float32] | None = None
    n_effective_views: NDArray[np.float32] | None = None
    pairs: tuple[PersonPair, ...] = ()
    blur_boxes: Boxes = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    removed_ids: tuple[int, ...] = ()
    positions: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    contacts: tuple[Contact, ...] = ()

    def __post_init__(self) -> None:
        """Check that every array has one row per face."""
        n = len(self.faces)
        probs = np.asarray(self.probs, dtype=np.float32)
        _check_shape("probs", probs, (n, len(CLASSES)))
        # `allclose` is ten times slower, and this runs three times per image.
        if n and not np.abs(probs.sum(axis=1) - 1).max() <= 1e-3:
            raise ValueError("each row of probs must sum to 1")
        ids = self.track_ids
        ids = np.full(n, UNTRACKED, np.int64) if ids is None else np.asarray(ids)
        _check_shape("track_ids", ids, (n,))
        object.__setattr__(self, "probs", probs)
        object.__setattr__(self, "track_ids", ids.astype(np.int64))
        blur_boxes = np.asarray(self.blur_boxes, dtype=np.float32)
        _check_shape("blur_boxes", blur_boxes, (None, 4))
        object.__setattr__(self, "blur_boxes", blur_boxes)
        if len(self.positions):
            _check_shape("positions", self.positions, (n, 2))
        for name, default in (("unseen_s", 0.0), ("n_effective_views", 1.0)):
            given = getattr(self, name)
            values = np.full(n, default) if given is None else np.asarray(given)
            _check_shape(name, values, (n,))
            object.__setattr__(self, name, values.astype(np.float32))
        for pair in self.pairs:
            if not 0 <= pair.first < pair.second < n:
                raise ValueError(
                    f"pairs must have first < second < {n}, the number of faces, "
                    f"not {pair}"
                )

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        """Yield the faces in the order of the rows."""
        columns = (
            self.labels,
            self.confidences.tolist(),
            self.boxes.tolist(),
            self.scores.tolist(),
            self.probs.tolist(),
            np.asarray(self.track_ids).tolist(),
            np.asarray(self.unseen_s).tolist(),
        )
        for label, confidence, box, score, probs, track_id, unseen_s in zip(
            *columns, strict=True
        ):
            yield Face(
                label, confidence, tuple(box), score, tuple(probs), track_id, unseen_s
            )

    @overload
    def __getitem__(self, rows: int) -> Face: ...

    @overload
    def __getitem__(self, rows: RowSelection) -> Scene: ...

    def __getitem__(self, rows: int | RowSelection) -> Face | Scene:
        """Return one face, or a scene with the selected rows, best score first.

        Args:
            rows: a row number for one `Face`; a mask `(n,)`, indices or a slice for a
                `Scene`. All arrays, `pairs` and `positions` are selected too.

        Raises:
            IndexError: the row does not exist.
        """
        if isinstance(rows, int | np.integer):
            return next(iter(self._take_rows(np.array([range(len(self))[rows]]))))
        return self._take_rows(np.arange(len(self))[rows])

    @classmethod
    def empty(cls) -> Scene:
        """Return a scene without faces."""
        return cls(Faces.empty(), np.zeros((0, len(CLASSES)), np.float32))

    def __repr__(self) -> str:
        """Return one line with the number of faces by class."""
        counts = Counter(label.key for label in self.labels)
        words = ", ".join(f"{n} {key}" for key, n in counts.items())
        faces = format_count(len(self), "face")
        time_text = f" at {self.time_s:.3f} s" if self.time_s else ""
        return f"<Scene{time_text}: {faces}{f' ({words})' if words else ''}>"

    @property
    def boxes(self) -> Boxes:
        """`(n, 4)` float32 `x1, y1, x2, y2` in pixels of the image."""
        return self.faces.boxes

    @property
    def scores(self) -> NDArray[np.float32]:
        """`(n,)` float32 detection scores in [0, 1]; 0 for coasting tracks."""
        return self.faces.scores

    @property
    def confidences(self) -> NDArray[np.float32]:
        """`(n,)` probability of each face's most likely label."""
        best: NDArray[np.float32] = self.probs.max(axis=1)
        return best

    @property
    def labels(self) -> tuple[Label, ...]:
        """One label for each face; `UNKNOWN` below `min_confidence`."""
        return tuple(
            winner if is_known else Label.UNKNOWN
            for winner, is_known in zip(
                self.likeliest,
                (self.confidences >= self.min_confidence).tolist(),
                strict=True,
            )
        )

    @property
    def likeliest(self) -> tuple[Label, ...]:
        """The likeliest class of each face, even if its label is `UNKNOWN`."""
        return tuple(map(Label, self.probs.argmax(axis=1).tolist()))

    def _take_rows(self, rows: NDArray[np.int64]) -> Scene:
        # `Faces` sorts by score, so the other arrays need the same order.
        rows = rows[np.argsort(-self.faces.scores[rows], kind="stable")]
        new_row = {int(row): number for number, row in enumerate(rows)}
        pairs = [
            (sorted((new_row[pair.first], new_row[pair.second])), pair)
            for pair in self.pairs
            if pair.first in new_row and pair.second in new_row
        ]
        arrays = {
            name: getattr(self, name)[rows]
            for name in ("probs", "track_ids", "unseen_s", "n_effective_views")
        }
        return dataclasses.replace(
            self,
            faces=self.faces[rows],
            pairs=tuple(
                pair._replace(first=first, second=second)
                for (first, second), pair in pairs
            ),
            positions=self.positions[rows] if len(self.positions) else self.positions,
            **arrays,
        )

    def scale(self, factor_x: float, factor_y: float) -> Scene:
        """Return the scene with all boxes scaled, for a resized image.

        Args:
            factor_x: factor of x, above 0.
            factor_y: factor of y, above 0.
        """
        factors = np.array([factor_x, factor_y, factor_x, factor_y], np.float32)
        return dataclasses.replace(
            self,
            faces=Faces(self.faces.boxes * factors, self.faces.scores),
            blur_boxes=self.blur_boxes * factors,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return time and faces as a JSON object; see `Face.to_dict`."""
        return {
            "time_s": round(self.time_s, 3),
            "faces": [face.to_dict() for face in self],
        }

    def to_json(self) -> str:
        """Return the scene as JSON text.

        The text is `{"time_s": 0.0, "faces": [{"box": [x1, y1, x2, y2], "score": 0.98,
        "label": "mask", "probs": {"mask": 0.97, "no_mask": 0.02, "incorrect": 0.01}},
        ...]}` with boxes in pixels; in a stream each face also has a `track_id`.
        """
        return json.dumps(self.to_dict())

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame with one row per face.

        Its columns are `label`, `confidence`, `x1`, `y1`, `x2`, `y2` in pixels,
        `score`, the probability of each class, `track_id` and `unseen_s`.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = _import_optional("pandas")
        columns: dict[str, Any] = {
            "label": [label.key for label in self.labels],
            "confidence": self.confidences,
            **dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True)),
            "score": self.scores,
            **{label.key: self.probs[:, label] for label in CLASSES},
            "track_id": self.track_ids,
            "unseen_s": self.unseen_s,
        }
        return pandas.DataFrame(columns)

    def to_supervision(self) -> Any:
        """Return the faces as `supervision.Detections`.

        `class_id` is the column of the label in `CLASSES`, or -1 for `UNKNOWN`;
        `confidence` is that of the class; `data` holds `class_name` and `score`.

        Raises:
            ImportError: supervision is not installed.
        """
        supervision = _import_optional("supervision")
        ids = np.asarray(self.track_ids)
        labels = self.labels
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.confidences,
            class_id=np.array([int(label) for label in labels], int),
            tracker_id=ids if len(ids) and (ids != UNTRACKED).all() else None,
            data={
                "class_name": np.array([label.key for label in labels], dtype=str),
                "score": self.scores,
            },
        )

    def to_coco(self, image_id: int = 0) -> list[dict[str, Any]]:
        """Return the faces as a list of COCO results.

        Each is `{"image_id", "category_id", "bbox": [x, y, width, height], "score"}`:
        the box in pixels, the detection score, and category 1 for mask, 2 for no mask
        or 3 for incorrect. An `UNKNOWN` face has the category of its likeliest class.

        Args:
            image_id: ID of the image in the COCO data set.
        """
        corners = self.boxes.astype(float)
        sizes = corners[:, 2:] - corners[:, :2]
        return [
            {
                "image_id": image_id,
                "category_id": int(label) + 1,
                "bbox": [round(number, 2) for number in (*corner[:2], *size)],
                "score": round(score, 4),
            }
            for label, corner, size, score in zip(
                self.likeliest,
                corners.tolist(),
                sizes.tolist(),
                self.scores.tolist(),
                strict=True,
            )
        ]

    def filter(self, settings: Settings) -> Scene:
        """Return the scene with only the faces that pass the thresholds.

        The image is not analyzed again, so this takes microseconds. Dropped candidates
        that may be faces are added to `blur_boxes`.

        Args:
            settings: thresholds of score, size, NMS IoU and confidence.
        """
        rows = select_rows(self.faces, settings)
        blur_boxes = np.concatenate(
            [self.blur_boxes, rejected_boxes(self.faces, rows, settings)]
        )
        return dataclasses.replace(
            self._take_rows(rows),
            min_confidence=settings.min_confidence,
            blur_boxes=blur_boxes,
        )


def _import_optional(name: str) -> Any:
    """Import a library that maskdet does not depend on."""
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(f"this needs {name}: pip install {name}") from None


def select_rows(faces: Faces, settings: Settings) -> NDArray[np.int64]:
    """Return the rows of `faces` that pass score, size and NMS, best score first."""
    passes = (faces.scores >= settings.min_score) & (
        sizes_px(faces.boxes) >= settings.min_face_px
    )
    rows = np.flatnonzero(passes).astype(np.int64)
    kept = nms(faces.boxes[rows], faces.scores[rows], settings.nms_iou)
    selected: NDArray[np.int64] = rows[kept]
    return selected


def rejected_boxes(faces: Faces, rows: NDArray[np.int64], settings: Settings) -> Boxes:
    """Return the `(k, 4)` boxes that may be faces but are not in `rows`."""
    is_rejected = faces.scores >= min(BLUR_MIN_SCORE, settings.min_score)
    is_rejected[rows] = False
    return faces.boxes[is_rejected]
