"""Labels and pictures become a labelled set: every picture is opened and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip, sizes_px
from maskdet.datasets import label_from_name
from maskdet.evaluation.judged import looks
from maskdet.media import MAX_BYTES, read_image
from maskdet.tune.archives import Files
from maskdet.tune.listing import IGNORED, Listed, Listing
from maskdet.tune.notes import Notes
from maskdet.tune.scored import FaceRows, LabelledSet, Numbers
from maskdet.types import CLASSES, Label

Progress = Callable[[int, int], None]
"""Told how many pictures are done, and of how many."""

Cancelled = Callable[[], bool]
"""Asked before each picture whether to stop."""

_Item = TypeVar("_Item")

MAX_FACES: Final = 100_000
"""More would take minutes to count at each move of a slider."""

_STRANGE: Final = (
    "a class that is not known here, so neither right nor wrong; known are "
    + ", ".join(label.key for label in CLASSES)
)

_CUT_PX: Final = 1.0
"""People draw boxes this far beyond a picture's border without meaning anything."""


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
    found: Listing,
    files: Files,
    name: str,
    notes: Notes,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> tuple[LabelledSet, tuple[str, ...]]:
    """Open every listed picture and return the set, and where each picture is.

    Args:
        found: what the labels say.
        files: where the pictures are.
        name: of the set.
        notes: get what is left out: pictures that cannot be read, boxes outside of
            theirs, classes that nobody here knows.
        progress: told how far it is.
        cancelled: asked before each picture.

    Raises:
        ValueError: no picture or no face that is known is left; one line.
        Stopped: `cancelled` said so.
    """
    if sum(len(row.words) for row in found.rows) > MAX_FACES:
        raise ValueError(f"more than {MAX_FACES:,} faces; please send fewer")
    labels = _labels(found.rows, notes)
    seen: list[_Seen] = []
    for row in watched(found.rows, progress, cancelled):
        one = _look(row, found, files, labels, notes)
        seen += [] if one is None else [one]
    if not seen:
        raise ValueError("; ".join(["no picture can be read", *notes.lines()]))
    truth = _joined(seen, name, boxed=found.boxed)
    if not (truth.labels != Label.UNKNOWN).any():
        known = ", ".join(label.key for label in CLASSES)
        reasons = "; ".join(notes.lines()) or "the labels hold no face"
        raise ValueError(f"no face of {known} is labelled: {reasons}")
    return truth, tuple(one.place for one in seen)


def _labels(rows: Sequence[Listed], notes: Notes) -> dict[str, Label]:
    """Return what each word of a set means; says which are not known."""
    labels = {IGNORED: Label.UNKNOWN}
    for word in (word for row in rows for word in row.words):
        try:
            label = labels[word] if word in labels else label_from_name(word)
        except ValueError:
            label = Label.UNKNOWN
        labels[word] = label
        if label == Label.UNKNOWN and word != IGNORED:
            notes.add(word, _STRANGE, "face")
    return labels


def _look(
    row: Listed,
    found: Listing,
    files: Files,
    labels: dict[str, Label],
    notes: Notes,
) -> _Seen | None:
    """Return a picture with its faces, or None where it cannot be opened."""
    shown = _shown(row.picture)
    try:
        image = read_image(files.read(row.picture, MAX_BYTES))
    except ValueError as error:
        notes.add(shown, f"left out, {error}")
        return None
    height, width = image.shape[:2]
    if row.size_wh not in ((0, 0), (width, height)):
        notes.add(shown, "another size than its labels say, so boxes may lie wrong")
    boxes, kept = (
        _inside(row, (width, height), notes)
        if found.boxed
        else (np.array([[0, 0, width, height]], np.float32), np.array([True]))
    )
    values = np.array([labels[word] for word in row.words], np.int64)
    return _Seen(
        row.picture, (width, height), boxes, values[kept], *looks(image, boxes)
    )


def _inside(
    row: Listed, size_wh: tuple[int, int], notes: Notes
) -> tuple[Boxes, NDArray[np.bool_]]:
    """Return the boxes cut at the borders, and which are left then."""
    scale = np.array([*size_wh] * 2 if row.shares else [1] * 4, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = row.boxes * scale
        inside = clip(boxes, *size_wh)
        # Written so that a box which is not a number fails too.
        kept = sizes_px(inside) > 0
        cut = kept & ~(np.abs(boxes - inside) <= _CUT_PX).all(axis=1)
    shown = _shown(row.picture)
    for _ in range(int((~kept).sum())):
        notes.add(shown, "empty or outside the picture; left out", "box")
    for _ in range(int(cut.sum())):
        notes.add(shown, "partly outside the picture; cut at its border", "box")
    return inside[kept], kept


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
