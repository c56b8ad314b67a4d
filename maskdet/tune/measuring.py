"""Labels and pictures become a labelled set: every picture is opened and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.datasets.archives import DatasetError, Files
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.issues import Issues
from maskdet.datasets.listing import Listed, Listing
from maskdet.datasets.placing import Placed, place
from maskdet.datasets.reading import ClassesError, labels_of
from maskdet.evaluation.judged import looks
from maskdet.media import MAX_BYTES, read_image
from maskdet.tune.scored import FaceRows, LabelledSet, Numbers
from maskdet.types import CLASSES, Label

Progress = Callable[[int, int], None]
"""Told how many pictures are done, and of how many."""

Cancelled = Callable[[], bool]
"""Asked before each picture whether to stop."""

_Item = TypeVar("_Item")


class Stopped(Exception):  # noqa: N818 - says what, not that it is an error
    """Somebody stopped what was running."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """One picture that could be opened, and its true faces."""

    place: str
    size_wh: tuple[int, int]
    boxes: Boxes
    labels: NDArray[np.int64]
    lights: Numbers
    sharpness: Numbers


def watched(
    items: Sequence[_Item], progress: Progress | None, cancelled: Cancelled | None
) -> Iterator[_Item]:
    """Yield one picture after the other, and tell when its turn is over.

    Raises:
        Stopped: `cancelled` said so.
    """
    for number, item in enumerate(items, start=1):
        if cancelled is not None and cancelled():
            raise Stopped
        yield item
        if progress is not None:
            progress(number, len(items))


def measured(
    listing: Listing,
    files: Files,
    name: str,
    issues: Issues,
    classes: ClassNames | None = None,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> tuple[LabelledSet, tuple[str, ...]]:
    """Open every listed picture and return the set, and where each picture is.

    Args:
        listing: what the labels say.
        files: where the pictures are.
        name: of the set.
        issues: get what is left out: pictures that cannot be read, boxes outside of
            theirs, classes that nobody here knows.
        classes: what the names of classes mean.
        progress: told how far it is.
        cancelled: asked before each picture.

    Raises:
        ClassesError: no class is known; one line.
        ValueError: no picture or no face is left; one line.
        Stopped: `cancelled` said so.
    """
    labels = labels_of(listing.rows, classes or ClassNames(), issues)
    rows = _once(listing.rows, issues)
    places: Iterable[Placed | None] = (
        place(rows, files, issues) if listing.boxed else [None] * len(rows)
    )
    seen: list[_Seen] = []
    for row, placed in zip(watched(rows, progress, cancelled), places, strict=True):
        one = _look(row, placed, files, labels, issues)
        seen += [] if one is None else [one]
    if not seen:
        raise DatasetError("; ".join(["no image can be read", *issues.lines()]))
    truth = _joined(seen, name, boxed=listing.boxed)
    if not (truth.labels != Label.UNKNOWN).any():
        known = ", ".join(label.key for label in CLASSES)
        none = () if listing.words else ("the labels hold no face",)
        reasons = "; ".join([*none, *issues.lines()])
        raise ClassesError(f"no face of {known} is labelled: {reasons}", listing.words)
    return truth, tuple(one.place for one in seen)


def _once(rows: Sequence[Listed], issues: Issues) -> list[Listed]:
    """Return the rows without images that were listed before."""
    known: dict[str, Listed] = {}
    for row in rows:
        if row.image in known:
            note = "listed twice, only the first time counts"
            issues.add(row.image, note, stops=False)
        known.setdefault(row.image, row)
    return list(known.values())


def _look(
    row: Listed,
    placed: Placed | None,
    files: Files,
    labels: Mapping[str, Label | None],
    issues: Issues,
) -> _Seen | None:
    """Return a picture with its faces, or None where it cannot be opened."""
    try:
        image = read_image(files.read(row.image, MAX_BYTES))
    except ValueError as error:
        issues.add(_shown(row.image), str(error))
        return None
    height, width = image.shape[:2]
    if placed is None:
        placed = Placed(np.array([[0, 0, width, height]], np.float32), np.ones(1, bool))
    kept = [w for w, keep in zip(row.words, placed.kept, strict=True) if keep]
    faces = [label for label in map(labels.__getitem__, kept) if label is not None]
    there = np.array([labels[word] is not None for word in kept], bool)
    boxes = placed.boxes[there]
    if not row.boxes.size and row.words and not faces:
        return None  # a whole picture that is not of a face
    return _Seen(
        row.image,
        (width, height),
        boxes,
        np.array(faces, np.int64),
        *looks(image, boxes),
    )


def _joined(seen: Sequence[_Seen], name: str, *, boxed: bool) -> LabelledSet:
    counts = [len(one.boxes) for one in seen]
    faces = FaceRows(
        np.repeat(np.arange(len(seen)), counts),
        np.concatenate([one.boxes for one in seen]),
        np.concatenate([one.lights for one in seen]),
        np.concatenate([one.sharpness for one in seen]),
    )
    return LabelledSet(
        name,
        tuple(_shown(one.place) for one in seen),
        np.array([one.size_wh for one in seen], np.int64),
        faces,
        np.concatenate([one.labels for one in seen]),
        boxed,
    )


def _shown(place: str) -> str:
    """Return a picture's name as people may see it: no path outside of the set."""
    path = PurePosixPath(place)
    return path.name if path.is_absolute() or ".." in path.parts else place
