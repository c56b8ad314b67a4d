"""What is written beside faces, and how letters get onto a picture."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.placement import Caption
from maskdet.style import (
    BGR,
    Style,
    format_face_caption,
    strip_accents,
    text_colour_bgr,
)
from maskdet.types import Image, Label, Scene

_FONT: Final = cv2.FONT_HERSHEY_DUPLEX
_FONT_CAP_PX: Final = 22
"""Height of a capital letter at scale 1, measured with `cv2.getTextSize`."""

_TEXT_OVERSAMPLING: Final = 4
"""Letters are drawn so much larger and averaged down: Hershey fonts are thin and
uneven when drawn at 10 px directly."""

_STROKE_RATIO: Final = 0.14
_PADDING_RATIO: Final = 0.45
"""Stroke of the letters and the plate's margin, in heights of a capital."""

_TEXT_HEIGHT_RATIOS: Final = (0.020, 0.014, 0.010)
_MIN_TEXT_PX: Final = (12, 10, 8)
"""Capitals of large, usual and small captions, as a share of the picture's longer
side and at least in pixels; under 8 px Hershey letters run together (by eye)."""

_MAX_CAPTION_FACE_WIDTHS: Final = 1.3
"""Captions wider than this many faces are written small, so that faces prevail."""


def build_captions(
    scene: Scene,
    is_unseen: NDArray[np.bool_],
    outline_boxes: Boxes,
    style: Style,
    image_wh: tuple[int, int],
) -> list[list[Caption]]:
    """Return the ways to write about each face: large to small, then shorter.

    Args:
        scene: the faces.
        is_unseen: `(n,)` whose face is not seen now.
        outline_boxes: `(n, 4)` their outlines.
        style: what is written.
        image_wh: width and height of the picture.
    """
    sizes_px = compute_text_sizes_px(style, image_wh)
    style = style.to_drawable()
    # How sure a class is tells nothing without its name where it is not sure enough.
    short_style = replace(style, labels=False)
    unsure_style = replace(style, percentages=False)
    options = []
    for row, (label, likeliest, confidence) in enumerate(
        zip(scene.labels, scene.likeliest, scene.confidences, strict=True)
    ):
        full, short = (
            format_face_caption(
                label,
                float(confidence),
                caption_style,
                likeliest=likeliest,
                track_id=int(np.asarray(scene.track_ids)[row]),
                unseen_s=float(np.asarray(scene.unseen_s)[row])
                if is_unseen[row]
                else 0.0,
            )
            for caption_style in (
                style,
                unsure_style if label is Label.UNKNOWN else short_style,
            )
        )
        face_px = float(outline_boxes[row, 2] - outline_boxes[row, 0])
        ascii_texts = strip_accents(full), strip_accents(short)
        options.append(_list_options(*ascii_texts, sizes_px, face_px))
    return options


def compute_text_sizes_px(
    style: Style, image_wh: tuple[int, int]
) -> tuple[int, int, int]:
    """Return the height of capitals in large, usual and small captions."""
    large, medium, small = (
        round(style.scale * max(min_px, ratio * max(image_wh)))
        for min_px, ratio in zip(_MIN_TEXT_PX, _TEXT_HEIGHT_RATIOS, strict=True)
    )
    return large, medium, small


def draw_caption(
    canvas: Image, caption: Caption, box: tuple[int, int, int, int], colour: BGR
) -> None:
    """Draw a caption on its plate; `box` is as large as the plate, in the picture."""
    x1, y1, x2, y2 = box
    canvas[y1:y2, x1:x2] = _render_plate(caption.text, caption.text_px, colour)


def _list_options(
    full: str, short: str, sizes_px: tuple[int, int, int], face_px: float
) -> list[Caption]:
    large, medium, small = sizes_px
    text_options = dict.fromkeys(
        [(full, large), (full, medium), (full, small), (short, small)]
    )
    candidates = [
        Caption(*option, compute_plate_wh(*option))
        for option in text_options
        if option[0]
    ]
    return [
        candidate
        for candidate in candidates
        if candidate.text_px == small
        or candidate.size_wh[0] <= _MAX_CAPTION_FACE_WIDTHS * face_px
    ]


@lru_cache(maxsize=2048)
def compute_plate_wh(text: str, text_px: int) -> tuple[int, int]:
    """Return width and height of a caption's plate, in pixels."""
    (width, _), _ = cv2.getTextSize(text, _FONT, *_compute_font_scale(text_px))
    margins_px = 2 * _PADDING_RATIO * text_px
    return round(width / _TEXT_OVERSAMPLING + margins_px), round(text_px + margins_px)


def _compute_font_scale(text_px: int) -> tuple[float, int]:
    """Return scale and stroke of the oversampled letters."""
    cap_px = text_px * _TEXT_OVERSAMPLING
    return cap_px / _FONT_CAP_PX, max(1, round(cap_px * _STROKE_RATIO))


# Few: long-lived plates among the pictures of a film keep memory from being given back.
@lru_cache(maxsize=64)
def _render_plate(text: str, text_px: int, colour: BGR) -> Image:
    """Return a caption on its plate; people say the same from picture to picture."""
    ink = _render_letters(text, text_px)[..., None]
    background = np.array(colour, np.float32)
    blended = background + ink * (
        np.array(text_colour_bgr(colour), np.float32) - background
    )
    plate: Image = np.rint(blended).astype(np.uint8)
    plate.flags.writeable = False  # one array serves every later picture
    return plate


def _render_letters(text: str, text_px: int) -> NDArray[np.float32]:
    """Return how much ink, 0 to 1, each pixel of a caption's plate gets."""
    width, height = compute_plate_wh(text, text_px)
    scale, stroke_px = _compute_font_scale(text_px)
    plate = np.zeros(
        (height * _TEXT_OVERSAMPLING, width * _TEXT_OVERSAMPLING), np.uint8
    )
    left = round(_PADDING_RATIO * text_px * _TEXT_OVERSAMPLING)
    base = (plate.shape[0] + text_px * _TEXT_OVERSAMPLING) // 2
    cv2.putText(plate, text, (left, base), _FONT, scale, 255, stroke_px, cv2.LINE_AA)
    averaged = cv2.resize(plate, (width, height), interpolation=cv2.INTER_AREA)
    ink: NDArray[np.float32] = np.divide(averaged, 255, dtype=np.float32)
    return ink
