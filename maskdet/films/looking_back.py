"""One moment of a film that was looked at, read back from its rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from maskdet.films.rows import VIDEO_COLUMNS
from maskdet.types import CLASSES, UNTRACKED, Faces, PersonPair, Scene

_HALF_MILLISECOND_S: Final = 0.0005
_MAX_LINE_BYTES: Final = 4096

_CsvRow = dict[str, str]


def read_scene_at(csv_path: Path, time_s: float, min_confidence: float) -> Scene | None:
    """Return the moment of the picture that is shown at a time; None before the first.

    Pictures come in the order of time, so a few lines tell where it is in the file.

    Args:
        csv_path: what `RowFile` wrote of one film.
        time_s: in seconds from the first picture.
        min_confidence: as the film was looked at.

    Returns:
        The scene; of pairs it holds each person's nearest only, without times.
    """
    with csv_path.open("rb") as file:
        file.readline()
        first = file.tell()
        stop = _find_first_line(file, first, time_s + _HALF_MILLISECOND_S)
        if stop == first:
            return None
        shown_s = _read_time_before(file, first, stop)
        begin = _find_first_line(file, first, shown_s - _HALF_MILLISECOND_S)
        file.seek(begin)
        text = file.read(stop - begin).decode("utf-8")
    csv_rows = list(csv.DictReader(io.StringIO(text), VIDEO_COLUMNS))
    return _build_scene(
        [row for row in csv_rows if row["person"]], shown_s, min_confidence
    )


def _find_first_line(file: BinaryIO, low: int, bound_s: float) -> int:
    """Return where the first line with a later time begins, or the file ends."""
    high = file.seek(0, 2)
    while low < high:
        middle = (low + high) // 2
        file.seek(middle - 1)
        file.readline()  # to the beginning of a line; at `low`, of that one
        begin, line = file.tell(), file.readline()
        if begin >= high or _parse_time(line) > bound_s:
            high = middle
        else:
            low = begin + len(line)
    return low


def _read_time_before(file: BinaryIO, first: int, stop: int) -> float:
    """Return the time of the line that ends at `stop`."""
    begin = max(first, stop - _MAX_LINE_BYTES)
    file.seek(begin)
    return _parse_time(file.read(stop - begin).rstrip(b"\n").rpartition(b"\n")[2])


def _parse_time(line: bytes) -> float:
    return float(next(csv.reader([line.decode("utf-8")]))[1])


def _build_scene(
    rows: Sequence[_CsvRow], shown_s: float, min_confidence: float
) -> Scene:
    def parse_columns(*names: str) -> NDArray[np.float32]:
        values = [[float(row[name]) for name in names] for row in rows]
        return np.array(values, np.float32).reshape(len(rows), len(names))

    probs = parse_columns(*(label.key for label in CLASSES))
    ids = [int(row["person"]) for row in rows]
    has_positions = bool(rows) and all(row["x"] for row in rows)
    ground_positions = parse_columns("x", "z") if has_positions else np.zeros((0, 2))
    return Scene(
        Faces(parse_columns("x1", "y1", "x2", "y2"), parse_columns("score")[:, 0]),
        probs,
        track_ids=np.array(ids, np.int64),
        time_s=shown_s,
        min_confidence=min_confidence,
        unseen_s=parse_columns("seen_s")[:, 0],
        n_effective_views=parse_columns("evidence")[:, 0],
        pairs=_build_pairs(rows, ids),
        positions=ground_positions.astype(np.float64),
    )


def _build_pairs(rows: Sequence[_CsvRow], ids: Sequence[int]) -> tuple[PersonPair, ...]:
    """Return each person's nearest, the nearest pair first."""
    pairs: dict[tuple[int, int], PersonPair] = {}
    for row, csv_row in enumerate(rows):
        nearest_id = int(csv_row["nearest"] or UNTRACKED)
        if nearest_id == UNTRACKED or nearest_id not in ids:
            continue
        first, second = sorted((row, ids.index(nearest_id)))
        contact_level = int(csv_row["near"])
        pairs[first, second] = PersonPair(
            *(first, second, float(csv_row["distance"]), csv_row["unit"]),
            in_contact=contact_level > 0,
            contact_s=0.0,
            exceeds_limit=contact_level > 1,
        )
    return tuple(sorted(pairs.values(), key=lambda pair: pair.distance))
