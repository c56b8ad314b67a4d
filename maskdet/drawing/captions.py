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
from maskdet.style import BGR, Style, describe, ink_bgr, written_plainly
from maskdet.types import Image, Label, Scene

_FONT: Final = cv2.FONT_HERSHEY_DUPLEX
_FONT_CAP_PX: Final = 22
"""Height of a capital letter at scale 1, measured with `cv2.getTextSize`."""

_OVERSAMPLING: Final = 4
"""Letters are drawn so much larger and averaged down: Hershey fonts are thin and
uneven when drawn at 10 px directly."""

_STROKE: Final = 0.14
_PADDING: Final = 0.45
"""Stroke of the letters and the plate's margin, in heights of a capital."""

_TEXT_SHARES: Final = (0.020, 0.014, 0.010)
_TEXT_MIN_PX: Final = (12, 10, 8)
"""Capitals of large, usual and small captions, as a share of the picture's longer
side and at least in pixels; under 8 px Hershey letters run together (by eye)."""

_MAX_LARGE_WIDTH: Final = 1.3
"""Captions wider than this many faces are written small, so that faces prevail."""


def captions(
    scene: Scene,
    turned: NDArray[np.bool_],
    frames: Boxes,
    style: Style,
    image_wh: tuple[int, int],
) -> list[list[Caption]]:
    """Return the ways to write about each face: large to small, then shorter.

    Args:
        scene: the faces.
        turned: `(n,)` whose face is not seen now.
        frames: `(n, 4)` their outlines.
        style: what is written.
        image_wh: width and height of the picture.
    """
    sizes_px = text_sizes_px(style, image_wh)
    style = style.drawable()
    # How sure a class is tells nothing without its name where it is not sure enough.
    short_style = replace(style, labels=False)
    unsure_style = replace(style, percentages=False)
    written = []
    for row, (label, likeliest, confidence) in enumerate(
        zip(scene.labels, scene.likeliest, scene.confidences, strict=True)
    ):
        full, short = (
            describe(
                label,
                float(confidence),
                one,
                likeliest=likeliest,
                track_id=int(np.asarray(scene.track_ids)[row]),
                unseen_s=float(np.asarray(scene.unseen_s)[row]) if turned[row] else 0.0,
            )
            for one in (
                style,
                unsure_style if label is Label.UNKNOWN else short_style,
            )
        )
        face_px = float(frames[row, 2] - frames[row, 0])
        plain = written_plainly(full), written_plainly(short)
        written.append(_ways(*plain, sizes_px, face_px))
    return written


def text_sizes_px(style: Style, image_wh: tuple[int, int]) -> tuple[int, int, int]:
    """Return the height of capitals in large, usual and small captions."""
    large, usual, small = (
        round(style.scale * max(least, share * max(image_wh)))
        for least, share in zip(_TEXT_MIN_PX, _TEXT_SHARES, strict=True)
    )
    return large, usual, small


def write(
    canvas: Image, caption: Caption, box: tuple[int, int, int, int], colour: BGR
) -> None:
    """Draw a caption on its plate; `box` is as large as the plate, in the picture."""
    x1, y1, x2, y2 = box
    canvas[y1:y2, x1:x2] = _plate(caption.text, caption.text_px, colour)


def _ways(
    full: str, short: str, sizes_px: tuple[int, int, int], face_px: float
) -> list[Caption]:
    large, usual, small = sizes_px
    ways = dict.fromkeys([(full, large), (full, usual), (full, small), (short, small)])
    found = [Caption(*way, plate_wh(*way)) for way in ways if way[0]]
    return [
        one
        for one in found
        if one.text_px == small or one.size_wh[0] <= _MAX_LARGE_WIDTH * face_px
    ]


@lru_cache(maxsize=2048)
def plate_wh(text: str, text_px: int) -> tuple[int, int]:
    """Return width and height of a caption's plate, in pixels."""
    (width, _), _ = cv2.getTextSize(text, _FONT, *_pen(text_px))
    margins_px = 2 * _PADDING * text_px
    return round(width / _OVERSAMPLING + margins_px), round(text_px + margins_px)


def _pen(text_px: int) -> tuple[float, int]:
    """Return scale and stroke of the oversampled letters."""
    cap_px = text_px * _OVERSAMPLING
    return cap_px / _FONT_CAP_PX, max(1, round(cap_px * _STROKE))


# Few: long-lived plates among the pictures of a film keep memory from being given back.
@lru_cache(maxsize=64)
def _plate(text: str, text_px: int, colour: BGR) -> Image:
    """Return a caption on its plate; people say the same from picture to picture."""
    ink = _letters(text, text_px)[..., None]
    paper = np.array(colour, np.float32)
    mixed = paper + ink * (np.array(ink_bgr(colour), np.float32) - paper)
    plate: Image = np.rint(mixed).astype(np.uint8)
    plate.flags.writeable = False  # one array serves every later picture
    return plate


def _letters(text: str, text_px: int) -> NDArray[np.float32]:
    """Return how much ink, 0 to 1, each pixel of a caption's plate gets."""
    width, height = plate_wh(text, text_px)
    scale, stroke_px = _pen(text_px)
    plate = np.zeros((height * _OVERSAMPLING, width * _OVERSAMPLING), np.uint8)
    left = round(_PADDING * text_px * _OVERSAMPLING)
    base = (plate.shape[0] + text_px * _OVERSAMPLING) // 2
    cv2.putText(plate, text, (left, base), _FONT, scale, 255, stroke_px, cv2.LINE_AA)
    averaged = cv2.resize(plate, (width, height), interpolation=cv2.INTER_AREA)
    ink: NDArray[np.float32] = np.divide(averaged, 255, dtype=np.float32)
    return ink
