"""Augmentation of training scenes.

Photometric changes (light, blur, noise, compression) use one lookup table per channel,
which is fast for large images. Distractors are random objects with the outline and size
of a face; they reduce false positives on round, patterned objects. Faces are pasted
into images without a face, so that the background does not predict their presence.
Masks and other occluders are rendered on unmasked faces.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import (
    box_areas,
    clip_boxes,
    intersection_areas,
    iou_matrix,
    scale_boxes,
    sizes_px,
)
from maskdet.detectors import LandmarkDetector
from maskdet.training.classifier.augment import (
    as_image,
    blur_randomly,
    compress_randomly,
)
from maskdet.training.classifier.crops import (
    ProgressWrapper,
    draw_on_face,
    shuffle_passes,
)
from maskdet.training.onepass.data import NO_LABEL, TrainingImage
from maskdet.training.workers import map_parallel
from maskdet.types import Image, Label, Rng

AlphaMask: TypeAlias = NDArray[np.uint8]
"""`(s, s)` uint8, 255 inside the object."""

_MAX_DISTRACTORS: Final = 4

_DISTRACTOR_SIDES_PX: Final = (9.0, 160.0)
"""Range of the longer side (log-uniform), as of the faces to detect."""

_PLACEMENT_TRIES: Final = 6

_MAX_OVERLAP_FRACTION: Final = 0.02
"""Largest intersection of a distractor and a face, as a fraction of the smaller."""

_LETTERS: Final = "ABCEHKMNOPRSTUX0123456789&+"

_FACE_CONTEXT: Final = 1.7
"""Size of the pasted region in face boxes; it includes hair, ears and collar."""

_PASTED_FACE_PX: Final = (14.0, 160.0)
"""Range of the width of a pasted face (log-uniform)."""

_MAX_FACE_FRACTION: Final = 0.45
"""Largest width of a pasted face, as a fraction of the image's shorter side."""

_MAX_UPSCALE: Final = 1.3

_BORDER_FRACTIONS: Final = (0.02, 0.1)
"""Range of the width of the soft border, as a fraction of the pasted region."""

_MIN_DRAWABLE_PX: Final = 32
"""Shortest side of a face to render on; landmarks of smaller faces are unreliable."""

_SAME_FACE_IOU: Final = 0.5

_DRAWN_FRACTION: Final = 0.7
"""Fraction of the unmasked faces of an image to render on."""

DrawableFace = tuple[int, NDArray[np.float32]]
"""Row of a face in its image, and its `(5, 2)` landmarks."""


def augment_photometric(image: Image, rng: Rng) -> Image:
    """Simulate a worse camera or worse light.

    Args:
        image: `(h, w, 3)` BGR; not changed.
        rng: source of all random choices.
    """
    if rng.random() < 0.25:  # many cameras and lights are good
        return image
    is_night = rng.random() < 0.12
    table = _sample_night_table(image, rng) if is_night else _sample_light_table(rng)
    levels = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    image = as_image(cv2.LUT(image, levels[None]))
    if rng.random() < 0.08:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        image = as_image(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    if rng.random() < 0.15:
        image = blur_randomly(image, rng, (0.4, 1.6), (3, 8))
    is_downscaled = rng.random() < 0.2
    size = (image.shape[1], image.shape[0])
    if is_downscaled:
        zoom = rng.uniform(0.4, 0.9)
        area = cv2.INTER_AREA
        image = as_image(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=area))
    if is_night or rng.random() < 0.25:
        image = _add_noise(image, rng.uniform(2, 12), rng)
    if rng.random() < 0.35:
        image = compress_randomly(image, rng)
    return as_image(cv2.resize(image, size)) if is_downscaled else image


def _sample_light_table(rng: Rng) -> NDArray[np.float64]:
    """Return a `(256, 3)` table of gamma, gain, colour cast and contrast."""
    values = np.repeat(np.arange(256)[:, None] / 255, 3, axis=1)
    if rng.random() < 0.5:
        values = values ** math.exp(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.1:  # low light
        values = values * rng.uniform(0.2, 0.6)
    if rng.random() < 0.35:  # colour cast of a lamp
        values = values * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.4:
        middle = rng.uniform(0.3, 0.6)
        values = (values - middle) * rng.uniform(0.65, 1.35) + middle
        values = values + rng.uniform(-0.1, 0.1)
    return values * 255


def _sample_night_table(image: Image, rng: Rng) -> NDArray[np.float64]:
    """Return a `(256, 3)` table that darkens to a mean of 8 to 50 (of 255)."""
    target_mean = math.exp(rng.uniform(math.log(8), math.log(50)))
    gain = min(1.0, target_mean / max(float(image.mean()), 1.0))
    return np.arange(256)[:, None] * gain * rng.uniform(0.75, 1.15, 3)


def _add_noise(image: Image, deviation: float, rng: Rng) -> Image:
    # OpenCV is many times faster, but has its own generator per thread.
    cv2.setRNGSeed(int(rng.integers(2**31)))
    noise = np.empty(image.shape, np.int16)
    cv2.randn(noise, np.zeros(1), np.full(1, deviation))
    return as_image(cv2.add(image, noise, dtype=cv2.CV_8U))


def paste_distractors(
    image: Image, faces: NDArray[np.float32], background_patch: Image | None, rng: Rng
) -> Image:
    """Return the image with up to 4 random objects that are not faces.

    Args:
        image: `(h, w, 3)` BGR; not changed.
        faces: `(n, 4)` boxes to keep free.
        background_patch: a patch of an image without a face, used as texture.
        rng: source of all random choices.
    """
    canvas = image.copy()
    for _ in range(int(rng.integers(1, _MAX_DISTRACTORS + 1))):
        side = round(math.exp(rng.uniform(*np.log(_DISTRACTOR_SIDES_PX))))
        size_wh = (side, side)
        corner = _find_corner(image, faces, size_wh, rng, _MAX_OVERLAP_FRACTION)
        if corner is not None:
            _blend_distractor(
                canvas, corner, *_make_distractor(side, background_patch, rng), rng
            )
    return canvas


def _find_corner(
    image: Image,
    faces: NDArray[np.float32],
    size_wh: tuple[int, int],
    rng: Rng,
    max_overlap_fraction: float = 0.0,
) -> tuple[int, int] | None:
    """Return a corner where an object does not cover a face, or None."""
    height, width = image.shape[:2]
    if size_wh[0] >= width or size_wh[1] >= height:
        return None
    for _ in range(_PLACEMENT_TRIES):
        x = int(rng.integers(width - size_wh[0]))
        y = int(rng.integers(height - size_wh[1]))
        box = np.array([[x, y, x + size_wh[0], y + size_wh[1]]], np.float32)
        intersections = intersection_areas(box, faces)[0]
        smaller_area = np.minimum(box_areas(faces), np.float32(size_wh[0] * size_wh[1]))
        if (intersections <= max_overlap_fraction * smaller_area).all():
            return x, y
    return None


def _blend_distractor(
    canvas: Image, corner: tuple[int, int], distractor: Image, mask: AlphaMask, rng: Rng
) -> None:
    """Blend a distractor into the image, with a sharp or soft edge."""
    side = len(mask)
    blur_px = rng.uniform(0, 0.04) * side
    if blur_px > 0.3:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), blur_px), np.uint8)
        if rng.random() < 0.5:
            distractor = np.asarray(
                cv2.GaussianBlur(distractor, (0, 0), blur_px), np.uint8
            )
    _blend(canvas, corner, distractor, mask.astype(np.float32) / np.float32(255))


def _blend(
    canvas: Image,
    corner: tuple[int, int],
    patch: Image,
    opacity: NDArray[np.float32],
) -> None:
    """Blend a patch into the image."""
    x, y = corner
    height, width = opacity.shape
    background = canvas[y : y + height, x : x + width]
    mixed = background + opacity[..., None] * (patch.astype(np.float32) - background)
    canvas[y : y + height, x : x + width] = np.rint(mixed).astype(np.uint8)


def _make_distractor(
    side: int, background_patch: Image | None, rng: Rng
) -> tuple[Image, AlphaMask]:
    """Return a distractor and its alpha mask."""
    mask = _draw_outline(side, rng)
    distractor: Image = np.full(
        (side, side, 3), _sample_distractor_colour(rng), np.uint8
    )
    if background_patch is not None and rng.random() < 0.35:
        rotated = np.rot90(background_patch, int(rng.choice([0, 0, 0, 1, 2, 3])))
        cv2.resize(rotated, (side, side), distractor, interpolation=cv2.INTER_AREA)
    for _ in range(int(rng.integers(0, 4))):
        _PATTERNS[int(rng.integers(len(_PATTERNS)))](distractor, rng)
    if rng.random() < 0.4:
        _shade_distractor(distractor, rng)
    return distractor, mask


def _draw_outline(side: int, rng: Rng) -> AlphaMask:
    """Return the mask of an ellipse (mostly), a rotated box or a polygon."""
    mask = np.zeros((side, side), np.uint8)
    middle, half = (side / 2, side / 2), side / 2 - 0.5
    flat = rng.uniform(0.55, 1.0)
    axes = (half * flat, half) if rng.random() < 0.7 else (half, half * flat)
    angle = rng.uniform(-30, 30)
    kind = rng.random()
    if kind < 0.65:
        cv2.ellipse(mask, (middle, (2 * axes[0], 2 * axes[1]), angle), 255, cv2.FILLED)
        return mask
    if kind < 0.85:
        corners = cv2.boxPoints((middle, (1.7 * axes[0], 1.7 * axes[1]), angle))
    else:
        turns = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 8))))
        ring = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        corners = np.array(middle) + ring * half * rng.uniform(0.6, 1, (len(turns), 1))
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255, cv2.LINE_AA)
    return mask


def _sample_distractor_colour(rng: Rng) -> tuple[int, int, int]:
    """Return a random colour; one in four is a skin tone of any lightness."""
    if rng.random() < 0.25:
        light = rng.uniform(0.25, 1.0)
        skin = np.array([150, 180, 225]) + rng.uniform(-20, 20, 3)
        colour = skin * light
    else:
        colour = rng.uniform(0, 255, 3)
        if rng.random() < 0.3:
            colour = np.full(3, colour.mean())
    blue, green, red = (int(value) for value in np.clip(colour, 0, 255))
    return blue, green, red


def _draw_spots(distractor: Image, rng: Rng) -> None:
    """Draw two to five dots, often in a row like eyes."""
    side = len(distractor)
    radius = max(1, round(side * rng.uniform(0.04, 0.13)))
    colour, level = _sample_distractor_colour(rng), rng.uniform(0.25, 0.6)
    row = rng.random() < 0.6
    for x in np.linspace(0.3, 0.7, int(rng.integers(2, 6))):
        y = level if row else rng.uniform(0.2, 0.8)
        spot = (round(float(x) * side), round(float(y) * side))
        cv2.circle(distractor, spot, radius, colour, cv2.FILLED, cv2.LINE_AA)


def _draw_rings(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    thick = max(1, round(side * rng.uniform(0.02, 0.1)))
    middle = (side // 2, side // 2)
    for fraction in rng.uniform(0.1, 0.5, int(rng.integers(1, 4))):
        radius = max(1, round(float(fraction) * side))
        colour = _sample_distractor_colour(rng)
        cv2.circle(distractor, middle, radius, colour, thick, cv2.LINE_AA)


def _draw_strokes(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    for _ in range(int(rng.integers(1, 7))):
        ends = rng.integers(0, side, (2, 2)).tolist()
        thick = max(1, round(side * rng.uniform(0.02, 0.12)))
        colour = _sample_distractor_colour(rng)
        cv2.line(distractor, ends[0], ends[1], colour, thick, cv2.LINE_AA)


def _paint_band(distractor: Image, rng: Rng) -> None:
    """Paint the part above or below a line, like a cap, a shadow or cloth."""
    side = len(distractor)
    edge = round(side * rng.uniform(0.25, 0.75))
    part = distractor[:edge] if rng.random() < 0.5 else distractor[edge:]
    part[:] = _sample_distractor_colour(rng)


def _draw_text(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    text = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 5))))
    scale, thick = side / 22 / max(1, len(text)), max(1, side // 30)
    start = (round(side * 0.15), round(side * rng.uniform(0.4, 0.8)))
    font, colour = cv2.FONT_HERSHEY_SIMPLEX, _sample_distractor_colour(rng)
    cv2.putText(distractor, text, start, font, scale, colour, thick, cv2.LINE_AA)


def _draw_checks(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    cells = rng.integers(0, 2, (int(rng.integers(2, 7)),) * 2).astype(np.uint8)
    large = cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST)
    distractor[large > 0] = _sample_distractor_colour(rng)


def _shade_distractor(distractor: Image, rng: Rng) -> None:
    """Shade the distractor from one side, like a ball."""
    side = len(distractor)
    y, x = np.mgrid[:side, :side] / max(side - 1, 1)
    angle = rng.uniform(0, 2 * math.pi)
    light = 1 + rng.uniform(0.2, 0.8) * (
        math.cos(angle) * (x - 0.5) + math.sin(angle) * (y - 0.5)
    )
    distractor[:] = np.clip(distractor * light[..., None], 0, 255).astype(np.uint8)


_PATTERNS: Final[tuple[Callable[[Image, Rng], None], ...]] = (
    _draw_spots,
    _draw_rings,
    _draw_strokes,
    _paint_band,
    _draw_text,
    _draw_checks,
)


def paste_face(
    target: TrainingImage, donor: TrainingImage, face: int, rng: Rng
) -> TrainingImage:
    """Return the image with a face of another, or `target` if it does not fit.

    Args:
        target: the image; not changed.
        donor: the image with the face.
        face: row of the face in `donor`.
        rng: source of all random choices.
    """
    cutout = _cut_face(donor, face)
    if cutout is None or donor.labels[face] == NO_LABEL:
        return target
    patch, box_in_patch = cutout
    height, width = target.image.shape[:2]
    face_px = float(box_in_patch[2] - box_in_patch[0])
    max_px = min(
        _PASTED_FACE_PX[1],
        _MAX_UPSCALE * face_px,
        _MAX_FACE_FRACTION * min(height, width),
    )
    if max_px <= _PASTED_FACE_PX[0]:
        return target
    scale = (
        math.exp(rng.uniform(math.log(_PASTED_FACE_PX[0]), math.log(max_px))) / face_px
    )
    size_wh = (
        max(4, round(patch.shape[1] * scale)),
        max(4, round(patch.shape[0] * scale)),
    )
    corner = _find_corner(target.image, target.boxes, size_wh, rng)
    if corner is None:
        return target
    factors = np.tile(np.array(size_wh) / (patch.shape[1], patch.shape[0]), 2)
    box = (box_in_patch * factors + np.tile(corner, 2)).astype(np.float32)
    return dataclasses.replace(
        target,
        image=_blend_oval(target.image, patch, corner, size_wh, rng),
        boxes=np.concatenate([target.boxes, box[None]]),
        labels=np.append(target.labels, donor.labels[face]),
        teacher_probs=np.concatenate(
            [target.teacher_probs, donor.teacher_probs[face][None]]
        ),
    )


def cut_patch_around(
    negative: TrainingImage, box: NDArray[np.float32], rng: Rng
) -> Image | None:
    """Return a patch of the image around a box, with a random margin."""
    height, width = negative.image.shape[:2]
    expanded = scale_boxes(box[None], float(rng.uniform(0.9, 1.8)))
    x1, y1, x2, y2 = clip_boxes(expanded, width, height)[0].astype(int).tolist()
    if min(x2 - x1, y2 - y1) < 8:
        return None
    return negative.image[y1:y2, x1:x2]


def _cut_face(
    donor: TrainingImage, face: int
) -> tuple[Image, NDArray[np.float64]] | None:
    """Return a patch around a face, and the face's box in it.

    None if another face intersects the patch, or too much is outside the image.
    """
    height, width = donor.image.shape[:2]
    expanded = scale_boxes(donor.boxes[face : face + 1], _FACE_CONTEXT)
    others = np.delete(donor.boxes, face, axis=0)
    if intersection_areas(expanded, others).any():
        return None
    cut = clip_boxes(expanded, width, height)[0]
    x1, y1, x2, y2 = np.rint(cut).astype(int).tolist()
    expanded_wh = expanded[0, 2:] - expanded[0, :2]
    if ((cut[2:] - cut[:2]) < 0.85 * expanded_wh).any() or min(x2 - x1, y2 - y1) < 8:
        return None
    box = clip_boxes(donor.boxes[face : face + 1], width, height)[0]
    return donor.image[y1:y2, x1:x2], box.astype(np.float64) - (x1, y1, x1, y1)


def _blend_oval(
    image: Image,
    patch: Image,
    corner: tuple[int, int],
    size_wh: tuple[int, int],
    rng: Rng,
) -> Image:
    """Return the image with an oval of the patch, blended with a soft border."""
    width, height = size_wh
    resampling = cv2.INTER_AREA if width < patch.shape[1] else cv2.INTER_LINEAR
    small = cv2.resize(patch, size_wh, interpolation=resampling)
    mask = np.zeros((height, width), np.float32)
    border_px = rng.uniform(*_BORDER_FRACTIONS) * min(size_wh)
    axes = (width - 2 * border_px, height - 2 * border_px)
    cv2.ellipse(mask, ((width / 2, height / 2), axes, 0), 1.0, cv2.FILLED)
    opacity = cv2.GaussianBlur(mask, (0, 0), max(border_px / 2, 0.3))
    canvas = image.copy()
    _blend(canvas, corner, as_image(small), np.asarray(opacity, np.float32))
    return canvas


def draw_training_images(
    images: Sequence[TrainingImage],
    detector: LandmarkDetector,
    count: int,
    seed: int,
    progress: ProgressWrapper = iter,
) -> list[TrainingImage]:
    """Return up to `count` images with objects rendered on their unmasked faces.

    Args:
        images: training images.
        detector: detects the landmarks.
        count: number of images; fewer if landmarks are detected on few faces.
        seed: determines all random choices.
        progress: wraps the items, such as `tqdm`.
    """
    candidates = [
        index
        for index, training_image in enumerate(images)
        if _is_drawable(training_image).any()
    ]
    order = shuffle_passes(candidates, count, np.random.default_rng(seed))[:count]

    def draw(number: int) -> TrainingImage | None:
        training_image = images[order[number]]
        faces = _find_drawable_faces(training_image, detector)
        image_rng = np.random.default_rng([seed, number])
        return _draw_on_faces(training_image, faces, image_rng) if faces else None

    return [
        drawn_image
        for drawn_image in map_parallel(draw, range(len(order)), progress)
        if drawn_image is not None
    ]


def _is_drawable(image: TrainingImage) -> NDArray[np.bool_]:
    """Return which faces are unmasked and large enough."""
    is_large = sizes_px(image.boxes) >= _MIN_DRAWABLE_PX
    result: NDArray[np.bool_] = is_large & (image.labels == Label.NO_MASK)
    return result


def _find_drawable_faces(
    image: TrainingImage, detector: LandmarkDetector
) -> list[DrawableFace]:
    """Return the unmasked faces that the detector detects, with their landmarks."""
    faces, landmarks = detector.detect_landmarks(image.image)
    candidates = np.flatnonzero(_is_drawable(image))
    if not len(faces):
        return []
    pair_ious = iou_matrix(image.boxes[candidates], faces.boxes)
    return [
        (int(row), landmarks[ious.argmax()])
        for row, ious in zip(candidates, pair_ious, strict=True)
        if ious.max() >= _SAME_FACE_IOU
    ]


def _draw_on_faces(
    training_image: TrainingImage,
    faces: Sequence[DrawableFace],
    rng: Rng,
) -> TrainingImage:
    image, labels = training_image.image, training_image.labels.copy()
    teacher_probs = training_image.teacher_probs.copy()
    selected = [face for face in faces if rng.random() < _DRAWN_FRACTION] or [faces[0]]
    for row, landmarks in selected:
        image, label, _ = draw_on_face(image, training_image.boxes[row], landmarks, rng)
        labels[row] = label
        teacher_probs[row] = np.nan  # the teacher did not classify the new face
    return dataclasses.replace(
        training_image,
        image=image,
        labels=labels,
        teacher_probs=teacher_probs,
        source="drawn",
    )
