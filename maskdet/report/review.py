"""Boxes that somebody should look at: sheets of pictures, and a list to fill in."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from maskdet.datasets.listing import read_text
from maskdet.evaluation.judged import read_example
from maskdet.labeller import REASON_UNREADABLE, AutoLabel
from maskdet.report.grids import image_grid
from maskdet.types import Image

REVIEW_COLUMNS = (
    "number",
    "path",
    "label",
    "doubt",
    "score",
    "agreement",
    "box",
    "keep",
)
"""The columns of the list; `keep` is for the person who looks."""

_IMAGES_PER_SHEET = 96
_SHEET_COLUMNS = 12
_GREEN, _GREY = (0, 200, 0), (128, 128, 128)
_KEEP_WORDS = {"yes": True, "y": True, "1": True, "no": False, "n": False, "0": False}


def render_review_sheets(doubtful: Sequence[AutoLabel]) -> list[Image]:
    """Return sheets of the pictures with their boxes, numbered as in the list.

    The labelled face is green, faces of unknown class are grey.
    """
    sheets: list[Image] = []
    for start in range(0, len(doubtful), _IMAGES_PER_SHEET):
        page = doubtful[start : start + _IMAGES_PER_SHEET]
        captions = [
            f"{number} {item.example.labels[0].key} "
            f"{item.score:.2f}\n{item.review_reason}"
            for number, item in enumerate(page, start=start + 1)
        ]
        images = [_draw_outlines(item) for item in page]
        sheets.append(image_grid(images, captions, columns=_SHEET_COLUMNS))
    return sheets


def _draw_outlines(boxed: AutoLabel) -> Image:
    if boxed.review_reason == REASON_UNREADABLE:
        return np.full((1, 1, 3), 255, np.uint8)
    image = read_example(boxed.example).copy()
    line_px = max(1, max(boxed.image_wh) // 100)
    for boxes, colour in ((boxed.other_boxes, _GREY), (boxed.boxes, _GREEN)):
        for x1, y1, x2, y2 in boxes.astype(int).tolist():
            cv2.rectangle(image, (x1, y1), (x2, y2), colour, line_px)
    return np.asarray(image, np.uint8)


def format_review_csv(doubtful: Sequence[AutoLabel]) -> str:
    """Return the list as CSV, the column `keep` empty."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(REVIEW_COLUMNS)
    for number, item in enumerate(doubtful, start=1):
        box = " ".join(f"{corner:.1f}" for corner in item.boxes.reshape(-1))
        score, agreement = f"{item.score:.3f}", f"{item.agreement:.3f}"
        image_path, label = item.example.path.resolve(), item.example.labels[0].key
        rows.writerow(
            [number, image_path, label, item.review_reason, score, agreement, box, ""]
        )
    return text.getvalue()


def read_review(path: str | Path) -> Mapping[Path, bool]:
    """Return for each picture of a list whether the person who looked keeps its box.

    Pictures where `keep` is empty are not among them.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: a column is missing, or `keep` is neither yes nor no.
    """
    rows = csv.DictReader(io.StringIO(read_text(Path(path))))
    for column in ("path", "keep"):
        if column not in (rows.fieldnames or ()):
            raise ValueError(f"{path}: the column {column!r} is missing")
    decisions: dict[Path, bool] = {}
    for line, row in enumerate(rows, start=2):
        word = (row["keep"] or "").strip().lower()
        if word and word not in _KEEP_WORDS:
            raise ValueError(f"{path}:{line}: keep must be yes, no or empty: {word!r}")
        if word:
            decisions[Path(row["path"])] = _KEEP_WORDS[word]
    return decisions
