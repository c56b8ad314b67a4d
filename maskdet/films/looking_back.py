"""One moment of a film that was looked at, read back from its rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from maskdet.films.rows import COLUMNS
from maskdet.types import CLASSES, UNTRACKED, Faces, PersonPair, Scene

_MILLISECOND: Final = 0.0005
_LONGEST_LINE: Final = 4096

_Row = dict[str, str]


def scene_at(rows: Path, time_s: float, min_confidence: float) -> Scene | None:
    """Return the moment of the picture that is shown at a time; None before the first.

    Pictures come in the order of time, so a few lines tell where it is in the file.

    Args:
        rows: what `RowFile` wrote of one film.
        time_s: in seconds from the first picture.
        min_confidence: as the film was looked at.

    Returns:
        The scene; of pairs it holds each person's nearest only, without times.
    """
    with rows.open("rb") as file:
        file.readline()
        first = file.tell()
        stop = _first_line(file, first, time_s + _MILLISECOND)
        if stop == first:
            return None
        shown_s = _time_before(file, first, stop)
        begin = _first_line(file, first, shown_s - _MILLISECOND)
        file.seek(begin)
        text = file.read(stop - begin).decode("utf-8")
    found = list(csv.DictReader(io.StringIO(text), COLUMNS))
    return _scene([row for row in found if row["person"]], shown_s, min_confidence)


def _first_line(file: BinaryIO, low: int, bound_s: float) -> int:
    """Return where the first line with a later time begins, or the file ends."""
    high = file.seek(0, 2)
    while low < high:
        middle = (low + high) // 2
        file.seek(middle - 1)
        file.readline()  # to the beginning of a line; at `low`, of that one
        begin, line = file.tell(), file.readline()
        if begin >= high or _time(line) > bound_s:
            high = middle
        else:
            low = begin + len(line)
    return low


def _time_before(file: BinaryIO, first: int, stop: int) -> float:
    """Return the time of the line that ends at `stop`."""
    begin = max(first, stop - _LONGEST_LINE)
    file.seek(begin)
    return _time(file.read(stop - begin).rstrip(b"\n").rpartition(b"\n")[2])


def _time(line: bytes) -> float:
    return float(next(csv.reader([line.decode("utf-8")]))[1])


def _scene(rows: Sequence[_Row], shown_s: float, min_confidence: float) -> Scene:
    def numbers(*names: str) -> NDArray[np.float32]:
        values = [[float(row[name]) for name in names] for row in rows]
        return np.array(values, np.float32).reshape(len(rows), len(names))

    probs = numbers(*(label.key for label in CLASSES))
    ids = [int(row["person"]) for row in rows]
    known = bool(rows) and all(row["x"] for row in rows)
    places = numbers("x", "z") if known else np.zeros((0, 2))
    return Scene(
        Faces(numbers("x1", "y1", "x2", "y2"), numbers("score")[:, 0]),
        probs,
        track_ids=np.array(ids, np.int64),
        time_s=shown_s,
        min_confidence=min_confidence,
        unseen_s=numbers("seen_s")[:, 0],
        n_effective_views=numbers("evidence")[:, 0],
        pairs=_pairs(rows, ids),
        positions=places.astype(np.float64),
    )


def _pairs(rows: Sequence[_Row], ids: Sequence[int]) -> tuple[PersonPair, ...]:
    """Return each person's nearest, the nearest pair first."""
    pairs: dict[tuple[int, int], PersonPair] = {}
    for row, one in enumerate(rows):
        there = int(one["nearest"] or UNTRACKED)
        if there == UNTRACKED or there not in ids:
            continue
        first, second = sorted((row, ids.index(there)))
        nearness = int(one["near"])
        pairs[first, second] = PersonPair(
            *(first, second, float(one["distance"]), one["unit"]),
            in_contact=nearness > 0,
            contact_s=0.0,
            exceeds_limit=nearness > 1,
        )
    return tuple(sorted(pairs.values(), key=lambda pair: pair.distance))
