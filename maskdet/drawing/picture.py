"""A picture with all that is known of its scene drawn into it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maskdet.boxes import box_areas, clip_boxes
from maskdet.drawing.blurring import anonymize_scene
from maskdet.drawing.captions import build_captions, draw_caption
from maskdet.drawing.outlines import (
    compute_line_px,
    compute_outline_boxes,
    draw_outline,
)
from maskdet.drawing.pairs import draw_pair_lines, place_distance_labels
from maskdet.media import decode_image
from maskdet.placement import place_captions
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Image, Scene

_MIN_UNSEEN_S = 0.25
"""A face missed for less is drawn as if it were seen, lest its outline flicker."""


def draw(
    image: Image | str | Path | bytes, scene: Scene, style: Style = DEFAULT_STYLE
) -> Image:
    """Return a copy of an image with a box and a caption for every face.

    Examples:
        >>> scene = maskdet.analyze("group.jpg")
        >>> maskdet.write_image("out.png", maskdet.draw("group.jpg", scene))

    Captions stay inside the image and off other faces; where a crowd leaves no room
    they get shorter, then are left out: the line style still tells the class. People
    who turned away get thin corners, and how long ago their face was detected. Lines
    between people are dotted, dashed in contact, and solid where the contact exceeds
    the limit.

    Args:
        image: path, file content, or `(h, w, 3)` uint8 BGR array; not changed.
        scene: what `analyze` or `Stream.step` returned for it; boxes may reach out of
            the image.
        style: what to draw; by default everything, in the classic colours.

    Returns:
        `(h, w, 3)` uint8 BGR, a new array. A JPEG file of more than 51 megapixels is
        drawn at half its width and height.

    Raises:
        TypeError: `image` is none of these.
        ValueError: the array is empty or of another shape, or the file is not an
            image.
        FileNotFoundError: there is no such file.
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
    line_px = compute_line_px(shown.faces.boxes, style, size_wh)
    outline_boxes = compute_outline_boxes(shown.faces.boxes, line_px, size_wh)
    draw_pair_lines(canvas, shown.pairs, outline_boxes, style)
    if style.boxes:
        # The surest face comes last, so that its outline lies on top.
        for row in reversed(range(len(shown))):
            outline_args = labels[row], colours[row], int(line_px[row])
            draw_outline(
                canvas,
                outline_boxes[row],
                *outline_args,
                corners_only=bool(is_unseen[row]),
            )
    placed_captions = place_captions(
        outline_boxes,
        build_captions(shown, is_unseen, outline_boxes, style, size_wh),
        image_wh=size_wh,
    )
    for placed_caption in placed_captions:
        draw_caption(
            canvas,
            placed_caption.caption,
            placed_caption.box,
            colours[placed_caption.face],
        )
    plates = [placed_caption.box for placed_caption in placed_captions]
    for caption, box, colour in place_distance_labels(
        shown.pairs, outline_boxes, plates, style, size_wh
    ):
        draw_caption(canvas, caption, box, colour)
    return canvas
