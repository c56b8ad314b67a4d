"""Many small pictures in one: samples, augmentations, mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from maskdet.boxes import sizes_px
from maskdet.classifier import crop_face
from maskdet.datasets import Example
from maskdet.evaluation import LARGE_PX
from maskdet.evaluation.judged import read_example
from maskdet.style import DEFAULT_STYLE, Style, strip_accents
from maskdet.types import CLASSES, Image, Label

CELL_PX = 128
"""Side of the square that each picture is fitted into."""

_LINE_PX = 15
_GAP_PX = 6
_BACKGROUND = 255
_TEXT_COLOUR = (30, 30, 30)
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.38


def image_grid(
    images: Sequence[Image],
    captions: Sequence[str],
    *,
    columns: int = 6,
    cell_px: int = CELL_PX,
) -> Image:
    """Return pictures row by row on white, each with its text below it.

    Args:
        images: of any size, BGR; not changed. Each keeps its shape.
        captions: one a picture, of one or more lines; what does not fit is cut,
            letters lose their accents, and what is no Latin letter becomes "?".
        columns: pictures in a row.
        cell_px: side of the square that a picture is fitted into.

    Returns:
        The grid, BGR; one empty cell for no pictures.

    Raises:
        ValueError: captions and pictures differ in number, or a number is not above 0.
    """
    _check_grid(len(images), len(captions), columns, cell_px)
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    lines = [caption.split("\n") for caption in captions]
    text_px = _LINE_PX * max(map(len, lines), default=1)
    step_x, step_y = cell_px + _GAP_PX, cell_px + text_px + _GAP_PX
    shape = (rows * step_y + _GAP_PX, columns * step_x + _GAP_PX, 3)
    grid = np.full(shape, _BACKGROUND, np.uint8)
    for index, (image, caption_lines) in enumerate(zip(images, lines, strict=True)):
        top = _GAP_PX + index // columns * step_y
        left = _GAP_PX + index % columns * step_x
        _draw_cell(
            grid[top:, left : left + cell_px], _fit_image(image, cell_px), caption_lines
        )
    return grid


def _check_grid(n_images: int, n_captions: int, columns: int, cell_px: int) -> None:
    if n_images != n_captions:
        raise ValueError(f"{n_images} pictures need as many captions, got {n_captions}")
    if columns < 1 or cell_px < 1:
        raise ValueError(f"columns and cell_px must be above 0: {columns}, {cell_px}")


def _draw_cell(cell: Image, image: Image, lines: Sequence[str]) -> None:
    """Put a picture and its text into a cell, which is a view into the grid."""
    side_px = cell.shape[1]
    height, width = image.shape[:2]
    x, y = (side_px - width) // 2, (side_px - height) // 2
    cell[y : y + height, x : x + width] = image
    for index, line in enumerate(lines, start=1):
        # OpenCV writes into a copy where the memory has gaps, as in a view.
        strip = np.full((_LINE_PX, side_px, 3), _BACKGROUND, np.uint8)
        origin, text = (0, _LINE_PX - 4), _truncate_caption(line, side_px)
        cv2.putText(
            strip, text, origin, _FONT, _FONT_SCALE, _TEXT_COLOUR, 1, cv2.LINE_AA
        )
        bottom = side_px + index * _LINE_PX
        cell[bottom - _LINE_PX : bottom] = strip


def samples_grid(
    examples: Sequence[Example],
    *,
    n_per_class: int = 12,
    columns: int = 6,
    seed: int = 0,
    style: Style = DEFAULT_STYLE,
) -> Image:
    """Return up to `n_per_class` faces of every class, drawn by chance, with their labels.

    Args:
        examples: labelled pictures; of scenes, true boxes of at least `LARGE_PX`.
        n_per_class: how many of a class; a multiple of `columns` gives it rows of its
            own.
        columns: pictures in a row.
        seed: of the draw.
        style: names of the classes.
    """
    style = style.to_drawable()
    rng = np.random.default_rng(seed)
    images, captions = [], []
    for label in CLASSES:
        faces = [
            (example, row) for example in examples for row in _face_rows(example, label)
        ]
        for index in rng.permutation(len(faces))[:n_per_class]:
            example, row = faces[index]
            image = read_example(example)
            if not example.is_crop:
                image = crop_face(image, example.boxes[row], CELL_PX)
            images.append(image)
            name = style.title(label)
            captions.append("\n".join(filter(None, (name, example.source))))
    return image_grid(images, captions, columns=columns)


def _face_rows(example: Example, label: Label) -> list[int]:
    """Return which faces of a picture have this label and can be judged."""
    rows = [row for row, face_label in enumerate(example.labels) if face_label == label]
    if example.is_crop:
        return rows
    large = sizes_px(example.boxes) >= LARGE_PX
    return [row for row in rows if large[row]]


def _fit_image(image: Image, cell_px: int) -> Image:
    height, width = image.shape[:2]
    scale = cell_px / max(height, width)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    rule = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size_wh, interpolation=rule), np.uint8)


def _truncate_caption(caption: str, width_px: int) -> str:
    """Return as much of a caption as fits, as OpenCV's font can write it."""
    text = strip_accents(caption).encode("ascii", "replace").decode("ascii")
    while text and cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0] > width_px:
        text = text[:-1]
    return text
