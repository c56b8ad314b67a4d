"""Draw a scene into an image: outlines, captions, and lines between people.

The line style of an outline shows the class without colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, box_areas, clip_boxes, intersection_areas, sizes_px
from maskdet.distance import find_highest_risk_pair
from maskdet.drawing.anonymize import anonymize_scene
from maskdet.drawing.label_layout import Caption, place_captions
from maskdet.drawing.text import blend, measure_text, render_text
from maskdet.media import decode_image
from maskdet.style import (
    BGR,
    BLACK,
    DEFAULT_STYLE,
    LineStyle,
    Style,
    format_face_caption,
    format_pair_caption,
    format_track_id,
    line_style,
    text_colour_bgr,
)
from maskdet.types import Image, Label, PersonPair, Scene

# Dash and gap, in line widths.
_OUTLINE_DASHES: Final[dict[LineStyle, tuple[float, float]]] = {
    "dashed": (6, 3),
    "dotted": (1.5, 2),
}

_LINE_PX_AT_640: Final = 3.0
_LINE_POWER: Final = 0.75
_FACE_WIDTHS_PER_LINE: Final = 16
"""Line widths grow slower than the image and are thin on small faces (by eye)."""

_CORNER_ARM_RATIO: Final = 0.28
"""Length of a corner's two arms, as a fraction of the side."""

_PADDING_RATIO: Final = 0.5
"""Padding of captions, in heights of a capital letter."""

_CORNER_RATIO: Final = 0.25
"""Radius of a plate's corners, in heights of the plate."""

_PREFIX_RATIO: Final = 0.8
"""Size of the track ID before a caption, in sizes of the caption."""

_TEXT_HEIGHT_RATIOS: Final = (0.020, 0.014, 0.010)

_MIN_TEXT_PX: Final = (12, 10, 8)
"""Height of capitals in large, medium and small captions, as a fraction of the image's
longer side, and its minimum in pixels; below 8 px letters run together (by eye)."""

_MAX_CAPTION_FACE_WIDTHS: Final = 1.3
"""Captions wider than this, in face widths, use the small size."""

Point = tuple[float, float]
"""x and y in pixels, as a tuple: faster than NumPy for two numbers."""

_MAX_PEOPLE_FOR_ALL_PAIRS: Final = 5
"""With more people, only pairs in contact get a line."""

_MAX_LINES: Final = 4
"""Maximum number of lines, pairs in contact first; the bird's-eye view shows all."""

_LABEL_FRACTIONS: Final = (0.5, 0.35, 0.65, 0.2, 0.8)
"""Possible positions of a distance along its line, best first."""

_LABEL_SHIFTS: Final = np.array([[[0.0, down]] for down in (0.0, 1.2, -1.2, 2.4, -2.4)])
"""Possible offsets from the line, in sizes of the label."""

_PAIR_DASHES: Final[dict[LineStyle, tuple[float, float]]] = {
    "dashed": (6, 5),
    "dotted": (1.5, 6),
}
"""Dash and gap in line widths; round ends make dashes longer than on outlines."""

_MIN_UNSEEN_S = 0.25
"""A face that is not detected for less time is drawn normally, to avoid flicker."""


def draw(
    image: Image | str | Path | bytes, scene: Scene, style: Style = DEFAULT_STYLE
) -> Image:
    """Return a copy of an image with a box and a caption for every face.

    Examples:
        >>> scene = maskdet.analyze("group.jpg")
        >>> maskdet.write_image("out.png", maskdet.draw("group.jpg", scene))

    Captions stay inside the image and do not cover other faces; in a crowd they are
    shortened or omitted, but the line style still shows the class. Coasting tracks get
    thin corners, and the time since their last detection. Lines between people are
    dotted, dashed in contact, and solid if the contact exceeds the limit.

    Args:
        image: path, file content, or `(h, w, 3)` uint8 BGR array; not changed.
        scene: result of `analyze` or `Stream.step` for it; boxes may extend beyond
            the image.
        style: what to draw; by default everything, in the classic colours.

    Returns:
        `(h, w, 3)` uint8 BGR, a new array. A JPEG file of more than 51 megapixels is
        drawn at half its width and height.

    Raises:
        TypeError: `image` has another type.
        ValueError: the array is empty or of another shape, or the file is not an
            image.
        FileNotFoundError: the file does not exist.
    """
    decoded = decode_image(image)
    image, scene = decoded.pixels, decoded.scale_scene(scene)
    size_wh = image.shape[1], image.shape[0]
    canvas = anonymize_scene(image, scene) if style.blur else image.copy()
    is_inside = box_areas(clip_boxes(scene.faces.boxes, *size_wh)) > 0
    shown = scene if is_inside.all() else scene[is_inside]
    if not len(shown):
        return canvas
    labels, unseen_s = shown.labels, np.asarray(shown.unseen_s)
    colours = [style.colour_bgr(label) for label in labels]
    is_unseen = unseen_s >= _MIN_UNSEEN_S
    line_px = _compute_line_px(shown.faces.boxes, style, size_wh)
    outline_boxes = _compute_outline_boxes(shown.faces.boxes, line_px, size_wh)
    pairs = _select_drawn_pairs(shown)
    _draw_pair_lines(canvas, pairs, outline_boxes, style)
    if style.boxes:
        # The face with the best score is drawn last, so that its outline is on top.
        for row in reversed(range(len(shown))):
            outline_args = labels[row], colours[row], int(line_px[row])
            _draw_outline(
                canvas,
                outline_boxes[row],
                *outline_args,
                corners_only=bool(is_unseen[row]),
            )
    placed_captions = place_captions(
        outline_boxes,
        _build_captions(shown, is_unseen, outline_boxes, style, size_wh),
        image_wh=size_wh,
    )
    for placed_caption in placed_captions:
        _draw_caption(
            canvas,
            placed_caption.caption,
            placed_caption.box,
            colours[placed_caption.face],
        )
    plates = [placed_caption.box for placed_caption in placed_captions]
    if pairs:
        distance_label = _place_distance_label(
            pairs[0], outline_boxes, plates, style, size_wh
        )
        if distance_label is not None:
            _draw_caption(canvas, *distance_label)
    return canvas


class _LinePattern(NamedTuple):
    """How one line of an outline is drawn.

    Attributes:
        line_px: width of the line.
        colour: colour of the line.
        dash: dash and gap in line widths, or None for a solid line.
        arm_px: if above 0, only this length is drawn at each corner.
    """

    line_px: int
    colour: BGR
    dash: tuple[float, float] | None = None
    arm_px: int = 0


def _compute_default_line_px(style: Style, image_wh: tuple[int, int]) -> float:
    """Return the line width for an image of this size, in pixels."""
    factor: float = (max(image_wh) / 640) ** _LINE_POWER
    return style.scale * _LINE_PX_AT_640 * factor


def _compute_line_px(
    boxes: Boxes, style: Style, image_wh: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the `(n,)` line widths, limited by image size and face size."""
    by_image = _compute_default_line_px(style, image_wh)
    by_face = sizes_px(boxes) / _FACE_WIDTHS_PER_LINE
    lines: NDArray[np.int64] = np.maximum(
        1, np.rint(np.minimum(by_image, by_face))
    ).astype(np.int64)
    return lines


def _compute_outline_boxes(
    boxes: Boxes, line_px: NDArray[np.int64], image_wh: tuple[int, int]
) -> Boxes:
    """Return the `(n, 4)` outer edges of outlines, in whole pixels inside the image."""
    inside = clip_boxes(boxes, *image_wh)
    out = line_px[:, None]
    integer_boxes = np.concatenate(
        [np.floor(inside[:, :2]) - out, np.ceil(inside[:, 2:]) + out], axis=1
    )
    return clip_boxes(integer_boxes.astype(np.float32), *image_wh)


def _draw_outline(
    canvas: Image,
    outline_box: NDArray[np.float32],
    label: Label,
    colour: BGR,
    line_px: int,
    *,
    corners_only: bool = False,
) -> None:
    """Draw one outline inwards from `outline_box`, with dark edges for contrast.

    Edges lie on whole pixels, so anti-aliasing is not needed.

    Args:
        canvas: image to draw on.
        outline_box: `(4,)` the outer edge.
        label: gives the line style.
        colour: colour of the line.
        line_px: width of the line.
        corners_only: draw thin corners only, for a track without a detection.
    """
    style = line_style(label)
    lines = 2 if style == "double" else 1
    if corners_only:
        line_px = max(1, line_px // 2)
    if lines == 2:  # both lines together are not much wider than a single one
        line_px = max(min(line_px, 2), round(0.6 * line_px))
    border_px = max(1, line_px // 3)
    x1, y1, x2, y2 = (int(value) for value in outline_box)
    arm_px = (
        max(4, round(_CORNER_ARM_RATIO * min(x2 - x1, y2 - y1))) if corners_only else 0
    )
    dark_px = lines * (line_px + border_px) + border_px
    _draw_ring(canvas, (x1, y1, x2, y2), _LinePattern(dark_px, BLACK, arm_px=arm_px))
    for line in range(lines):
        inset = border_px + line * (line_px + border_px)
        ring = (x1 + inset, y1 + inset, x2 - inset, y2 - inset)
        # Leave the dark edge visible at the ends of the arms.
        arm = max(1, arm_px - inset - border_px) if corners_only else 0
        _draw_ring(
            canvas, ring, _LinePattern(line_px, colour, _OUTLINE_DASHES.get(style), arm)
        )


def _draw_ring(
    canvas: Image, box: tuple[int, int, int, int], pattern: _LinePattern
) -> None:
    """Draw a line along the inner edge of `box`: solid, dashed, or at corners."""
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return
    t = pattern.line_px
    for start, stop in _split_side(x1, x2, pattern):
        canvas[y1 : min(y1 + t, y2), start:stop] = pattern.colour
        canvas[max(y2 - t, y1) : y2, start:stop] = pattern.colour
    for start, stop in _split_side(y1, y2, pattern):
        canvas[start:stop, x1 : min(x1 + t, x2)] = pattern.colour
        canvas[start:stop, max(x2 - t, x1) : x2] = pattern.colour


def _split_side(start: int, stop: int, pattern: _LinePattern) -> list[tuple[int, int]]:
    """Return the segments of a side that are drawn."""
    dashes = _split_into_dashes(start, stop, pattern.line_px, pattern.dash)
    if not pattern.arm_px or 2 * pattern.arm_px >= stop - start:
        return dashes
    arms = [(start, start + pattern.arm_px), (stop - pattern.arm_px, stop)]
    return [
        (max(a, first), min(b, last))
        for a, b in dashes
        for first, last in arms
        if max(a, first) < min(b, last)
    ]


def _split_into_dashes(
    start: int, stop: int, line_px: float, dash: tuple[float, float] | None
) -> list[tuple[int, int]]:
    """Split a line into dashes, with a dash at each end so that corners are visible."""
    if dash is None:
        return [(start, stop)]
    mark, gap = dash[0] * line_px, dash[1] * line_px
    gaps = max(1, round((stop - start - mark) / (mark + gap)))
    # Scale dash and gap so that they fill the side exactly.
    scale = (stop - start) / (gaps * (mark + gap) + mark)
    starts = [start + step * (mark + gap) * scale for step in range(gaps + 1)]
    return [
        (round(position), max(round(position + mark * scale), round(position) + 1))
        for position in starts
    ]


def _build_captions(
    scene: Scene,
    is_unseen: NDArray[np.bool_],
    outline_boxes: Boxes,
    style: Style,
    image_wh: tuple[int, int],
) -> list[list[Caption]]:
    """Return the possible captions of each face: large to small, then shorter.

    Args:
        scene: the faces.
        is_unseen: `(n,)` whether the face is not detected now.
        outline_boxes: `(n, 4)` their outlines.
        style: which parts to write.
        image_wh: width and height of the image.
    """
    sizes_px = _compute_text_sizes_px(style, image_wh)
    style, short_style, unsure_style = _list_caption_styles(style)
    options = []
    for row, (label, likeliest, confidence) in enumerate(
        zip(scene.labels, scene.likeliest, scene.confidences, strict=True)
    ):
        unseen_s = float(np.asarray(scene.unseen_s)[row]) if is_unseen[row] else 0.0
        full, short = (
            format_face_caption(
                label,
                float(confidence),
                caption_style,
                likeliest=likeliest,
                unseen_s=unseen_s,
            )
            for caption_style in (
                style,
                unsure_style if label is Label.UNKNOWN else short_style,
            )
        )
        track_id = format_track_id(int(np.asarray(scene.track_ids)[row]), style)
        face_px = float(outline_boxes[row, 2] - outline_boxes[row, 0])
        options.append(_list_options(full, short, track_id, sizes_px, face_px))
    return options


@lru_cache(maxsize=16)
def _list_caption_styles(style: Style) -> tuple[Style, Style, Style]:
    """Return the styles of a full caption, of a short one, and of a short `UNKNOWN`.

    The confidence of an `UNKNOWN` face has no meaning without its class name.
    """
    style = style.to_drawable()
    return style, replace(style, labels=False), replace(style, percentages=False)


def _compute_text_sizes_px(
    style: Style, image_wh: tuple[int, int]
) -> tuple[int, int, int]:
    """Return the height of capitals in large, medium and small captions."""
    large, medium, small = (
        round(style.scale * max(min_px, ratio * max(image_wh)))
        for min_px, ratio in zip(_MIN_TEXT_PX, _TEXT_HEIGHT_RATIOS, strict=True)
    )
    return large, medium, small


def _draw_caption(
    canvas: Image, caption: Caption, box: tuple[int, int, int, int], colour: BGR
) -> None:
    """Draw a caption on its plate; `box` has the size of the plate."""
    x1, y1, x2, y2 = box
    blend(canvas[y1:y2, x1:x2], *_render_plate(caption, colour))


def _list_options(
    full: str, short: str, prefix: str, sizes_px: tuple[int, int, int], face_px: float
) -> list[Caption]:
    large, medium, small = sizes_px
    text_options = dict.fromkeys(
        [(full, large), (full, medium), (full, small), (short, small)]
    )
    candidates = [
        Caption(text, text_px, compute_plate_wh(text, text_px, prefix), prefix)
        for text, text_px in text_options
        if text or prefix
    ]
    return [
        candidate
        for candidate in candidates
        if candidate.text_px == small
        or candidate.size_wh[0] <= _MAX_CAPTION_FACE_WIDTHS * face_px
    ]


@lru_cache(maxsize=2048)
def compute_plate_wh(text: str, text_px: int, prefix: str = "") -> tuple[int, int]:
    """Return the width and height of a caption's plate, in pixels."""
    runs = _list_runs(text, text_px, prefix)
    width_px = sum(measure_text(*run) for run in runs)
    margins_px = 2 * _PADDING_RATIO * text_px
    return math.ceil(width_px + margins_px), math.ceil(text_px + margins_px)


def _list_runs(text: str, text_px: int, prefix: str) -> list[tuple[str, float]]:
    """Return the parts of a caption with the height of their capital letters."""
    if not prefix:
        return [(text, text_px)]
    if not text:
        return [(prefix, text_px)]
    return [(f"{prefix} ", _PREFIX_RATIO * text_px), (text, text_px)]


# The cache is small: long-lived arrays between video frames fragment the memory.
@lru_cache(maxsize=64)
def _render_plate(
    caption: Caption, colour: BGR
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a caption on its plate, and the `(h, w, 1)` opacity of the plate.

    Cached because captions repeat between frames.
    """
    width, height = caption.size_wh
    runs = _list_runs(caption.text, caption.text_px, caption.prefix)
    origin = _PADDING_RATIO * caption.text_px, (height + caption.text_px) / 2
    plate = np.full((height, width, 3), colour, np.float32)
    ink = np.array(text_colour_bgr(colour), np.float32)
    blend(plate, ink, render_text(runs, origin, caption.size_wh)[..., None])
    return plate, _render_rounded_box(caption.size_wh)[..., None]


def _render_rounded_box(size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Return the `(h, w)` opacity of a box with round corners."""
    width, height = size_wh
    radius = _CORNER_RATIO * height
    # Distance of each pixel's centre from the centre of its corner's circle.
    across, down = (
        np.maximum(np.abs(np.arange(n) + 0.5 - n / 2) - (n / 2 - radius), 0)
        for n in (width, height)
    )
    distance = np.hypot(across[None, :], down[:, None])
    opacity: NDArray[np.float32] = np.clip(radius + 0.5 - distance, 0, 1)
    return opacity.astype(np.float32)


def _draw_pair_lines(
    canvas: Image, pairs: Sequence[PersonPair], outline_boxes: Boxes, style: Style
) -> None:
    """Draw a line between the faces of each pair, with dark edges for contrast.

    Args:
        canvas: image to draw on.
        pairs: the pairs to draw, by rows of `outline_boxes`.
        outline_boxes: `(n, 4)` the outlines of the faces.
        style: colours and widths.
    """
    size_wh = canvas.shape[1], canvas.shape[0]
    usual_px = _compute_default_line_px(style, size_wh)
    # Reversed, so that the first pair is drawn on top.
    for pair in reversed(pairs):
        ends = _clip_line_to_boxes(
            outline_boxes[pair.first], outline_boxes[pair.second]
        )
        if ends is None:
            continue
        dash_style, colour = _get_pair_style(pair, style)
        line_px = max(2, round(usual_px * (0.5 if pair.in_contact else 0.35)))
        dark_px = line_px + 2 * max(1, line_px // 2)
        dashes = list(_compute_dashes(*ends, line_px, dash_style))
        for width_px, line_colour in ((dark_px, BLACK), (line_px, colour)):
            cv2.polylines(canvas, dashes, False, line_colour, width_px, cv2.LINE_AA)


def _place_distance_label(
    pair: PersonPair,
    outline_boxes: Boxes,
    plates: Sequence[tuple[int, int, int, int]],
    style: Style,
    image_wh: tuple[int, int],
) -> tuple[Caption, tuple[int, int, int, int], BGR] | None:
    """Return caption, position and colour of a pair's distance.

    The position is the first one on its line that does not cover a face or a plate,
    else the one that covers least. It is `None` if the caption is larger than the
    image.

    Args:
        pair: the pair, by rows of `outline_boxes`.
        outline_boxes: `(n, 4)` the outlines of the faces.
        plates: boxes of the placed captions.
        style: colours and sizes.
        image_wh: width and height of the image.
    """
    text, text_px = (
        format_pair_caption(pair),
        _compute_text_sizes_px(style, image_wh)[1],
    )
    caption = Caption(text, text_px, compute_plate_wh(text, text_px))
    candidates = _list_label_boxes(
        outline_boxes[pair.first], outline_boxes[pair.second], caption, image_wh
    )
    if not len(candidates):
        return None
    occupied = np.array(plates, np.float32).reshape(-1, 4)
    overlaps = intersection_areas(
        candidates.astype(np.float32), np.concatenate([outline_boxes, occupied])
    ).sum(axis=1)
    x1, y1, x2, y2 = candidates[int(overlaps.argmin())].tolist()
    return caption, (x1, y1, x2, y2), _get_pair_style(pair, style)[1]


def _select_drawn_pairs(scene: Scene) -> list[PersonPair]:
    """Return the pairs that get a line; the first also gets its distance as text.

    More numbers would cover faces in a group.
    """
    highest = find_highest_risk_pair(scene)
    selected = [
        pair
        for pair in scene.pairs
        if pair.in_contact or len(scene) <= _MAX_PEOPLE_FOR_ALL_PAIRS
    ]
    return sorted(
        selected,
        key=lambda pair: (pair != highest, not pair.exceeds_limit, not pair.in_contact),
    )[:_MAX_LINES]


def _get_pair_style(pair: PersonPair, style: Style) -> tuple[LineStyle, BGR]:
    """Return line and colour: grey dots, orange dashes, or a red line."""
    # Custom class colours do not apply to pairs, where red is a warning.
    palette = Style(palette=style.palette)
    if pair.exceeds_limit:
        return "solid", palette.colour_bgr(Label.NO_MASK)
    if pair.in_contact:
        return "dashed", palette.colour_bgr(Label.INCORRECT)
    return "dotted", palette.colour_bgr(Label.UNKNOWN)


def _clip_line_to_boxes(
    a: NDArray[np.float32], b: NDArray[np.float32]
) -> tuple[Point, Point] | None:
    """Return the line between two boxes, or None if they overlap."""
    (x, y), (x_end, y_end) = _box_centre(a), _box_centre(b)
    direction = (x_end - x, y_end - y)
    first, last = _exit_fraction(a, direction), 1 - _exit_fraction(b, direction)
    if first >= last:
        return None
    return _interpolate((x, y), direction, first), _interpolate((x, y), direction, last)


def _box_centre(box: NDArray[np.float32]) -> Point:
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2


def _interpolate(start: Point, direction: Point, fraction: float) -> Point:
    return start[0] + fraction * direction[0], start[1] + fraction * direction[1]


def _exit_fraction(box: NDArray[np.float32], direction: Point) -> float:
    """Return the fraction of `direction` from the centre at which the box ends."""
    x1, y1, x2, y2 = box.tolist()
    across = (x2 - x1) / 2 / abs(direction[0]) if direction[0] else math.inf
    down = (y2 - y1) / 2 / abs(direction[1]) if direction[1] else math.inf
    return min(across, down)


def _compute_dashes(
    start: Point, stop: Point, line_px: int, dash_style: LineStyle
) -> NDArray[np.int32]:
    """Return the `(n, 2, 2)` end points of a line's dashes, in whole pixels."""
    direction = (stop[0] - start[0], stop[1] - start[1])
    length_px = max(1, round(math.hypot(*direction)))
    dashes = _split_into_dashes(0, length_px, line_px, _PAIR_DASHES.get(dash_style))
    ends = [
        [_interpolate(start, direction, position / length_px) for position in dash]
        for dash in dashes
    ]
    return np.rint(ends).astype(np.int32)


def _list_label_boxes(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    caption: Caption,
    image_wh: tuple[int, int],
) -> NDArray[np.int64]:
    """Return `(n, 4)` possible plates inside the image: on the line, then beside it."""
    size, image = np.array(caption.size_wh), np.array(image_wh)
    if (size > image).any():
        return np.zeros((0, 4), np.int64)
    ends = _clip_line_to_boxes(a, b) or (_box_centre(a), _box_centre(b))
    start, stop = np.array(ends)
    middles = start + np.array(_LABEL_FRACTIONS)[:, None] * (stop - start)
    corners = np.clip(middles - size / 2 + _LABEL_SHIFTS * size, 0, image - size)
    low = np.rint(corners.reshape(-1, 2)).astype(np.int64)
    return np.concatenate([low, low + size], axis=1)
