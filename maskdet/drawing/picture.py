"""A picture with all that is known of its scene drawn into it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maskdet.boxes import areas, clip
from maskdet.drawing.blurring import hidden
from maskdet.drawing.captions import captions, write
from maskdet.drawing.outlines import frames_of, line_px_of, outline
from maskdet.drawing.pairs import draw_lines, place_distances
from maskdet.media import decode_image
from maskdet.placement import place
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Image, Scene

_BLINK_S = 0.25
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
    image, scene = decoded.pixels, decoded.on_pixels(scene)
    wh = image.shape[1], image.shape[0]
    canvas = hidden(image, scene) if style.blur else image.copy()
    inside = areas(clip(scene.faces.boxes, *wh)) > 0
    shown = scene if inside.all() else scene[inside]
    if not len(shown):
        return canvas
    labels, unseen_s = shown.labels, np.asarray(shown.unseen_s)
    colours = [style.colour_bgr(label) for label in labels]
    turned = unseen_s >= _BLINK_S
    line_px = line_px_of(shown.faces.boxes, style, wh)
    frames = frames_of(shown.faces.boxes, line_px, wh)
    draw_lines(canvas, shown.pairs, frames, style)
    if style.boxes:
        # The surest face comes last, so that its outline lies on top.
        for row in reversed(range(len(shown))):
            how = labels[row], colours[row], int(line_px[row])
            outline(canvas, frames[row], *how, corners_only=bool(turned[row]))
    placed = place(frames, captions(shown, turned, frames, style, wh), image_wh=wh)
    for one in placed:
        write(canvas, one.caption, one.box, colours[one.face])
    plates = [one.box for one in placed]
    for caption, box, colour in place_distances(shown.pairs, frames, plates, style, wh):
        write(canvas, caption, box, colour)
    return canvas
