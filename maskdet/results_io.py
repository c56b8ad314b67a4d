"""Results of images as JSON and CSV, for `maskdet detect` and the Image page.

JSON, version 1:

    {"version": 1, "images": [{"path": "a.jpg", "width": 640, "height": 480,
      "error": null, "faces": [{"box": [10.0, 20.0, 50.0, 70.0], "score": 0.98,
        "label": "mask", "probs": {"mask": 0.97, "no_mask": 0.02, "incorrect": 0.01}
    }]}], "left_out": ["notes.txt"]}

Boxes are `x1, y1, x2, y2` in pixels of the image in its full size, with its EXIF
orientation applied. An image that could not be read has an `error`, no faces, and null
as width and height. A label is `unknown` below the confidence threshold. `left_out`,
which only `detect` writes, lists files in folders that are not images.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from maskdet.types import CLASSES, Scene

RESULTS_VERSION = 1
"""Increased when a field is removed or changes its meaning, not when one is added."""

CSV_COLUMNS = (
    "path",
    "width",
    "height",
    "error",
    "face",
    "x1",
    "y1",
    "x2",
    "y2",
    "score",
    "label",
    *(label.key for label in CLASSES),
)
"""One row per face, numbered from 1; an image without faces has one row."""


class ImageRecord(TypedDict):
    """One image with its faces, or with the error if it could not be read."""

    path: str
    width: int | None
    height: int | None
    error: str | None
    faces: list[dict[str, Any]]


def image_record(
    path: str | Path, size_wh: tuple[int, int], scene: Scene
) -> ImageRecord:
    """Return the record of an image that was read.

    Args:
        path: the path as the user gave it.
        size_wh: width and height of the upright image, in pixels.
        scene: the detected faces.
    """
    width, height = size_wh
    return {
        "path": to_utf8(path),
        "width": width,
        "height": height,
        "error": None,
        "faces": [face.to_dict() for face in scene],
    }


def error_record(path: str | Path, message: str) -> ImageRecord:
    """Return the record of an image that could not be read, with a one-line error."""
    return {
        "path": to_utf8(path),
        "width": None,
        "height": None,
        "error": to_utf8(message),
        "faces": [],
    }


def format_results_json(
    records: Iterable[ImageRecord], skipped_paths: Iterable[Path] | None = None
) -> str:
    """Return the records as JSON text, one image per line, with a final newline.

    Args:
        records: one for each image.
        skipped_paths: files in folders that are not images; without it, the text has
            no `left_out`.
    """
    return "".join(iterate_results_json(records, skipped_paths))


def iterate_results_json(
    records: Iterable[Mapping[str, Any]], skipped_paths: Iterable[Path] | None = None
) -> Iterator[str]:
    """Yield the text of `format_results_json` in pieces, one for each image."""
    yield f'{{"version": {RESULTS_VERSION}, "images": '
    yield from iterate_json_list(records)
    if skipped_paths is not None:
        paths = [to_utf8(path) for path in skipped_paths]
        yield f', "left_out": {json.dumps(paths, ensure_ascii=False)}'
    yield "}\n"


def iterate_json_list(records: Iterable[Any]) -> Iterator[str]:
    """Yield a JSON list with one record per line, in pieces."""
    separator = "[\n  "
    for record in records:
        yield separator + json.dumps(record, ensure_ascii=False)
        separator = ",\n  "
    yield "[]" if separator.startswith("[") else "\n]"


def format_results_csv(records: Iterable[ImageRecord]) -> str:
    """Return the records as CSV text with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for record in records:
        image_cells = [
            escape_formula(record["path"]),
            record["width"],
            record["height"],
            escape_formula(record["error"] or ""),
        ]
        empty_cells = [""] * (len(CSV_COLUMNS) - len(image_cells))
        for number, face in enumerate(record["faces"], start=1):
            face_cells = [number, *face["box"], face["score"], face["label"]]
            writer.writerow([*image_cells, *face_cells, *face["probs"].values()])
        if not record["faces"]:
            writer.writerow([*image_cells, *empty_cells])
    return text.getvalue()


def escape_unprintable(text: str) -> str:
    """Escape control characters, so that text stays on one line of a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def escape_formula(cell: str) -> str:
    """Escape a cell, so that a spreadsheet does not run it as a formula.

    The leading quote is the defence that OWASP recommends against CSV injection; the
    other characters on their list are not printable and are already escaped.
    """
    line = escape_unprintable(cell)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def to_utf8(value: str | Path) -> str:
    """Return text that can be encoded as UTF-8; other bytes are escaped."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
