"""Videos as CSV: one row for each person of each image, written as they come.

Version 1 of the columns; distances and times are in metres (or heads) and seconds:

    video       name or address of the video
    time_s     when the image is shown, from the first one
    person     the person's number; -1 while a face is too new to have one
    x1 y1 x2 y2   the face, in pixels of the image, upright
    score      how sure the detector is that it is a face; 0 while it is turned away
    label      mask, no_mask, incorrect or unknown
    mask no_mask incorrect   how likely each is
    seen_s     for how long the face was not seen; 0 if it is
    evidence   how many whole readable views the label rests on
    nearest    number of the person who stands nearest, if that is known
    distance   how far away
    unit       m or heads
    near       1 if that is closer than allowed, 2 if it was for too long, else 0
    x z        where the person is: to the right of the camera and away from it, in unit
    error      why the video ends here before its end, or cannot be read; else empty

An image without people has one row that holds only its video and time. A video that
breaks off has one more, with the time of its last image and the error; one that
cannot be read at all has only that row, without a time.

One moment of a video that was looked at, read back from its rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from maskdet.atomic_file import AtomicFile
from maskdet.events import EVENT_COLUMNS, Event
from maskdet.results_io import escape_formula
from maskdet.types import CLASSES, UNTRACKED, Faces, PersonPair, Scene

VIDEO_CSV_VERSION: Final = 1
"""Goes up when a column changes its meaning or goes away, not when one is added."""

VIDEO_COLUMNS: Final = (
    *("video", "time_s", "person", "x1", "y1", "x2", "y2", "score", "label"),
    *(label.key for label in CLASSES),
    *("seen_s", "evidence", "nearest", "distance", "unit", "near", "x", "z"),
    "error",
)


class VideoCsvWriter:
    """Writes rows to a text stream."""

    def __init__(self, stream: TextIO) -> None:
        """Write the header."""
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(VIDEO_COLUMNS)

    def add(self, video_name: str, scene: Scene) -> None:
        """Write the people of one image.

        Args:
            video_name: its name.
            scene: who they are, and where if that is known.
        """
        head = [escape_formula(video_name), f"{scene.time_s:.3f}"]
        if not len(scene):
            self._writer.writerow(_pad_row(head))
        ids, unseen_s = np.asarray(scene.track_ids), np.asarray(scene.unseen_s)
        n_views = np.asarray(scene.n_effective_views)
        for row, label in enumerate(scene.labels):
            values = [
                int(ids[row]),
                *(round(float(corner), 1) for corner in scene.faces.boxes[row]),
                round(float(scene.faces.scores[row]), 4),
                label.key,
                *(round(float(prob), 4) for prob in scene.probs[row]),
                round(float(unseen_s[row]), 2),
                round(float(n_views[row]), 2),
            ]
            position: list[object] = ["", ""]
            if len(scene.positions):
                position = [
                    round(float(coordinate), 2) for coordinate in scene.positions[row]
                ]
            values = [*values, *_format_nearest(scene, row), *position]
            self._writer.writerow(_pad_row([*head, *values]))

    def add_error(self, video_name: str, time_s: float | None, error: str) -> None:
        """Write that a video breaks off, or cannot be read at all.

        Args:
            video_name: its name.
            time_s: of its last image, if there was one.
            error: one line.
        """
        time_text = "" if time_s is None else f"{time_s:.3f}"
        self._writer.writerow(
            _pad_row([escape_formula(video_name), time_text], escape_formula(error))
        )


class EventCsvWriter:
    """Writes events to a text stream, with the columns of the Events page's file."""

    def __init__(self, stream: TextIO) -> None:
        """Write the header."""
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(EVENT_COLUMNS)

    def add(self, events: Iterable[Event]) -> None:
        """Write events."""
        for event in events:
            values = event.to_record().values()
            self._writer.writerow(
                escape_formula(value) if isinstance(value, str) else value
                for value in values
            )


class VideoCsvFile(AtomicFile, VideoCsvWriter):
    """Everybody in every image, as a whole file or none."""

    def __init__(self, target: str | Path) -> None:
        """Begin the file.

        Raises:
            OSError: it cannot be written there.
        """
        AtomicFile.__init__(self, target, "rows")
        VideoCsvWriter.__init__(self, self.stream)

    def add(self, video_name: str, scene: Scene) -> None:
        """Write the people of one image, as `VideoCsvWriter` does.

        Raises:
            OSError: there is no room; it names the file.
        """
        with self.report_target_errors():
            VideoCsvWriter.add(self, video_name, scene)

    def add_error(self, video_name: str, time_s: float | None, error: str) -> None:
        """Write why a video ends too early, as `VideoCsvWriter` does.

        Raises:
            OSError: there is no room; it names the file.
        """
        with self.report_target_errors():
            VideoCsvWriter.add_error(self, video_name, time_s, error)


class EventCsvFile(AtomicFile, EventCsvWriter):
    """Events, as a whole file or none."""

    def __init__(self, target: str | Path) -> None:
        """Begin the file.

        Raises:
            OSError: it cannot be written there.
        """
        AtomicFile.__init__(self, target, "events")
        EventCsvWriter.__init__(self, self.stream)

    def add(self, events: Iterable[Event]) -> None:
        """Write events.

        Raises:
            OSError: there is no room; it names the file.
        """
        with self.report_target_errors():
            EventCsvWriter.add(self, events)


def _pad_row(values: Sequence[object], error: str = "") -> list[object]:
    """Return a row whose last column is the error, with blanks before it."""
    blanks = [""] * (len(VIDEO_COLUMNS) - 1 - len(values))
    return [*values, *blanks, error]


def _format_nearest(scene: Scene, row: int) -> list[object]:
    """Return who stands nearest to a row; pairs come nearest first."""
    pair = next(
        (
            candidate
            for candidate in scene.pairs
            if row in (candidate.first, candidate.second)
        ),
        None,
    )
    if pair is None:
        return ["", "", "", ""]
    other = pair.second if pair.first == row else pair.first
    other_id = int(np.asarray(scene.track_ids)[other])
    return [other_id, round(pair.distance, 2), pair.unit, _get_contact_level(pair)]


def _get_contact_level(pair: PersonPair) -> int:
    return (1 + pair.exceeds_limit) if pair.in_contact else 0


_HALF_MILLISECOND_S: Final = 0.0005
_MAX_LINE_BYTES: Final = 4096

_CsvRow = dict[str, str]


def read_scene_at(csv_path: Path, time_s: float, min_confidence: float) -> Scene | None:
    """Return the moment of the image that is shown at a time; None before the first.

    Images come in the order of time, so a few lines tell where it is in the file.

    Args:
        csv_path: what `RowFile` wrote of one video.
        time_s: in seconds from the first image.
        min_confidence: as the video was looked at.

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
