"""Light, lens, sensor and compression: what a camera does to a whole training view.

The scene's counterpart of `training.augment`, cheap enough for large views: all changes
of single pixels become one table of 256 values a channel.

Things that are no face, laid into training views: badges, balls, buttons, scraps.

A network that saw faces and the walls behind them takes whatever is round and has a
pattern for a face. So each view may get a few things with a face's outline and size, in
colours, patterns and pieces of other images drawn by chance, beside its faces.

Faces laid into images without any, and pieces of such images laid beside faces.

A network that never sees a lamp and a face in one image may learn to tell the
images apart instead of the things.

More training scenes: masks, worn well or wrongly, and other things on bare faces.
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
from maskdet.synthetic import Mask, render_mask, render_occluder
from maskdet.training.classifier.augment import blur_randomly
from maskdet.training.classifier.crops import (
    DRAWN_MASKS,
    HARD_NEGATIVES,
    ProgressWrapper,
)
from maskdet.training.onepass.data import NO_LABEL, TrainingImage
from maskdet.training.workers import map_parallel
from maskdet.types import Image, Label

Rng = np.random.Generator


def augment_photometric(image: Image, rng: Rng) -> Image:
    """Return the view as a worse camera, or worse light, would show it.

    Args:
        image: `(h, w, 3)` BGR; not changed.
        rng: the only source of chance.
    """
    if rng.random() < 0.25:  # many cameras and lamps are good
        return image
    is_night = rng.random() < 0.12
    image = _apply_table(
        image, _sample_night_table(image, rng) if is_night else _sample_light_table(rng)
    )
    if rng.random() < 0.08:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        image = _as_image(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    if rng.random() < 0.15:
        image = blur_randomly(image, rng, (0.4, 1.6), (3, 8))
    is_downscaled = rng.random() < 0.2
    size = (image.shape[1], image.shape[0])
    if is_downscaled:
        zoom = rng.uniform(0.4, 0.9)
        area = cv2.INTER_AREA
        image = _as_image(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=area))
    if is_night or rng.random() < 0.25:
        image = _add_noise(image, rng.uniform(2, 12), rng)
    if rng.random() < 0.35:
        quality = int(rng.integers(20, 91))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = _as_image(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return _as_image(cv2.resize(image, size)) if is_downscaled else image


def _sample_light_table(rng: Rng) -> NDArray[np.float64]:
    """Return a `(256, 3)` table of gamma, gain, colour cast and contrast."""
    values = np.repeat(np.arange(256)[:, None] / 255, 3, axis=1)
    if rng.random() < 0.5:
        values = values ** math.exp(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.1:  # little light
        values = values * rng.uniform(0.2, 0.6)
    if rng.random() < 0.35:  # colour cast of a lamp
        values = values * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.4:
        middle = rng.uniform(0.3, 0.6)
        values = (values - middle) * rng.uniform(0.65, 1.35) + middle
        values = values + rng.uniform(-0.1, 0.1)
    return values * 255


def _sample_night_table(image: Image, rng: Rng) -> NDArray[np.float64]:
    """Return a `(256, 3)` table that leaves a mean of 8 to 50 of 255."""
    target_mean = math.exp(rng.uniform(math.log(8), math.log(50)))
    gain = min(1.0, target_mean / max(float(image.mean()), 1.0))
    return np.arange(256)[:, None] * gain * rng.uniform(0.75, 1.15, 3)


def _apply_table(image: Image, table: NDArray[np.float64]) -> Image:
    rounded = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    return _as_image(cv2.LUT(image, rounded[None]))


def _add_noise(image: Image, deviation: float, rng: Rng) -> Image:
    # OpenCV is many times faster at this, but has a chance of its own, one a thread.
    cv2.setRNGSeed(int(rng.integers(2**31)))
    noise = np.empty(image.shape, np.int16)
    cv2.randn(noise, np.zeros(1), np.full(1, deviation))
    return _as_image(cv2.add(image, noise, dtype=cv2.CV_8U))


def _as_image(pixels: object) -> Image:
    """Tell the type checker what OpenCV gave back; nothing is copied."""
    return np.asarray(pixels, np.uint8)


AlphaMask: TypeAlias = NDArray[np.uint8]
"""`(s, s)` uint8, 255 where a thing is."""

_MAX_DISTRACTORS: Final = 4
_DISTRACTOR_SIDES_PX: Final = (9.0, 160.0)
"""A thing's longer side, log-uniformly: those of the faces to be found."""

_PLACEMENT_TRIES: Final = 6
_MAX_OVERLAP_FRACTION: Final = 0.02
"""Share of a thing, and of a face, that they may have in common."""

_LETTERS: Final = "ABCEHKMNOPRSTUX0123456789&+"


def paste_distractors(
    image: Image, faces: NDArray[np.float32], background_patch: Image | None, rng: Rng
) -> Image:
    """Return the view with 1 to 4 things in it that are no face.

    Args:
        image: `(h, w, 3)` BGR; not changed.
        faces: `(n, 4)` boxes that must stay as they are.
        background_patch: a piece of an image without a face, of which some things are
            made.
        rng: the only source of chance.
    """
    canvas = image.copy()
    for _ in range(int(rng.integers(1, _MAX_DISTRACTORS + 1))):
        side = round(math.exp(rng.uniform(*np.log(_DISTRACTOR_SIDES_PX))))
        corner = _find_distractor_corner(image, faces, side, rng)
        if corner is not None:
            _blend_distractor(
                canvas, corner, *_make_distractor(side, background_patch, rng), rng
            )
    return canvas


def _find_distractor_corner(
    image: Image, faces: NDArray[np.float32], side: int, rng: Rng
) -> tuple[int, int] | None:
    """Return where a thing covers no face, or None."""
    height, width = image.shape[:2]
    if side >= min(height, width):
        return None
    for _ in range(_PLACEMENT_TRIES):
        x, y = int(rng.integers(width - side)), int(rng.integers(height - side))
        box = np.array([[x, y, x + side, y + side]], np.float32)
        shared = intersection_areas(box, faces)[0]
        smaller_area = np.minimum(box_areas(faces), np.float32(side * side))
        if (shared <= _MAX_OVERLAP_FRACTION * smaller_area).all():
            return x, y
    return None


def _blend_distractor(
    canvas: Image, corner: tuple[int, int], distractor: Image, mask: AlphaMask, rng: Rng
) -> None:
    """Lay a thing into the image, with an edge that is sharp or soft."""
    side = len(mask)
    blur_px = rng.uniform(0, 0.04) * side
    if blur_px > 0.3:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), blur_px), np.uint8)
        if rng.random() < 0.5:
            distractor = np.asarray(
                cv2.GaussianBlur(distractor, (0, 0), blur_px), np.uint8
            )
    x, y = corner
    background = canvas[y : y + side, x : x + side]
    opacity = (mask.astype(np.float32) / 255)[..., None]
    mixed = background + opacity * (distractor.astype(np.float32) - background)
    canvas[y : y + side, x : x + side] = np.rint(mixed).astype(np.uint8)


def _make_distractor(
    side: int, background_patch: Image | None, rng: Rng
) -> tuple[Image, AlphaMask]:
    """Return a thing and where it is in its square."""
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
    """Return an ellipse, mostly, a rounded box, or a polygon."""
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
    """Return any colour; one in four is a skin's, of any lightness."""
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
    """Draw two to five dots, often in a row as eyes are."""
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
        cv2.circle(
            distractor,
            middle,
            radius,
            _sample_distractor_colour(rng),
            thick,
            cv2.LINE_AA,
        )


def _draw_strokes(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    for _ in range(int(rng.integers(1, 7))):
        ends = rng.integers(0, side, (2, 2)).tolist()
        thick = max(1, round(side * rng.uniform(0.02, 0.12)))
        cv2.line(
            distractor,
            ends[0],
            ends[1],
            _sample_distractor_colour(rng),
            thick,
            cv2.LINE_AA,
        )


def _paint_band(distractor: Image, rng: Rng) -> None:
    """Paint a part above or below a line, as a cap, a shadow or cloth would be."""
    side = len(distractor)
    edge = round(side * rng.uniform(0.25, 0.75))
    part = distractor[:edge] if rng.random() < 0.5 else distractor[edge:]
    part[:] = _sample_distractor_colour(rng)


def _draw_text(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    text = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 5))))
    scale, thick = side / 22 / max(1, len(text)), max(1, side // 30)
    start = (round(side * 0.15), round(side * rng.uniform(0.4, 0.8)))
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(
        distractor,
        text,
        start,
        font,
        scale,
        _sample_distractor_colour(rng),
        thick,
        cv2.LINE_AA,
    )


def _draw_checks(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    cells = rng.integers(0, 2, (int(rng.integers(2, 7)),) * 2).astype(np.uint8)
    large = cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST)
    distractor[large > 0] = _sample_distractor_colour(rng)


def _shade_distractor(distractor: Image, rng: Rng) -> None:
    """Light the thing from one side, as a ball is."""
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


_FACE_CONTEXT: Final = 1.7
"""What is laid is so many times the box of a face: its hair, ears and collar too."""

_PASTED_FACE_PX: Final = (14.0, 160.0)
"""Width of a face that is laid into an image, log-uniformly."""

_MAX_FACE_FRACTION: Final = 0.45
"""Most that a face takes of the image's shorter side."""

_MAX_UPSCALE: Final = 1.3
_BORDER_FRACTIONS: Final = (0.02, 0.1)
"""Width of the soft border, as a share of what is laid."""

_PASTE_TRIES: Final = 6


def paste_face(
    target: TrainingImage, donor: TrainingImage, face: int, rng: Rng
) -> TrainingImage:
    """Return the image with a face of another, or as it was if that does not fit.

    Args:
        target: the image; not changed.
        donor: has the face.
        face: its row there.
        rng: the only source of chance.
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
    corner = _find_free_corner(target, size_wh, rng)
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
    """Return a piece of the image around a box, wider or closer by chance."""
    height, width = negative.image.shape[:2]
    expanded = scale_boxes(box[None], float(rng.uniform(0.9, 1.8)))
    x1, y1, x2, y2 = clip_boxes(expanded, width, height)[0].astype(int).tolist()
    if min(x2 - x1, y2 - y1) < 8:
        return None
    return negative.image[y1:y2, x1:x2]


def _cut_face(
    donor: TrainingImage, face: int
) -> tuple[Image, NDArray[np.float64]] | None:
    """Return a face with what is around it, and its box in that piece.

    None where another face is near, or where too much lies outside the image.
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


def _find_free_corner(
    target: TrainingImage, size_wh: tuple[int, int], rng: Rng
) -> tuple[int, int] | None:
    """Return a corner where a piece covers no face, or None."""
    height, width = target.image.shape[:2]
    if size_wh[0] >= width or size_wh[1] >= height:
        return None
    for _ in range(_PASTE_TRIES):
        x = int(rng.integers(width - size_wh[0]))
        y = int(rng.integers(height - size_wh[1]))
        covered = np.array([[x, y, x + size_wh[0], y + size_wh[1]]], np.float32)
        if not intersection_areas(covered, target.boxes).any():
            return x, y
    return None


def _blend_oval(
    image: Image,
    patch: Image,
    corner: tuple[int, int],
    size_wh: tuple[int, int],
    rng: Rng,
) -> Image:
    """Return the image with an oval of the piece in it, its border soft."""
    width, height = size_wh
    resampling = cv2.INTER_AREA if width < patch.shape[1] else cv2.INTER_LINEAR
    small = cv2.resize(patch, size_wh, interpolation=resampling)
    mask = np.zeros((height, width), np.float32)
    border_px = rng.uniform(*_BORDER_FRACTIONS) * min(size_wh)
    axes = (width - 2 * border_px, height - 2 * border_px)
    cv2.ellipse(mask, ((width / 2, height / 2), axes, 0), 1.0, cv2.FILLED)
    opacity = cv2.GaussianBlur(mask, (0, 0), max(border_px / 2, 0.3))[..., None]
    x, y = corner
    canvas = image.copy()
    background = canvas[y : y + height, x : x + width]
    mixed = background + opacity * (small.astype(np.float32) - background)
    canvas[y : y + height, x : x + width] = np.rint(mixed).astype(np.uint8)
    return canvas


_MIN_DRAWABLE_PX: Final = 32
"""Shortest side of a face to draw on: below, its points are guesses."""

_SAME_FACE_IOU: Final = 0.5
_DRAWN_FRACTION: Final = 0.7
"""How many of the bare faces of an image are drawn on; the rest stay for contrast."""

DrawableFace = tuple[int, NDArray[np.float32]]
"""Row of a face in its image, and its `(5, 2)` points."""


def draw_training_images(
    images: Sequence[TrainingImage],
    detector: LandmarkDetector,
    count: int,
    seed: int,
    progress: ProgressWrapper = iter,
) -> list[TrainingImage]:
    """Return about `count` images with something drawn on their bare faces.

    Args:
        images: training images.
        detector: finds the points of faces.
        count: how many to make; fewer if few bare faces show their points.
        seed: fixes every choice.
        progress: something like `tqdm`.
    """
    rng = np.random.default_rng(seed)
    candidates = [
        index
        for index, training_image in enumerate(images)
        if (
            _is_drawable_size(training_image) & (training_image.labels == Label.NO_MASK)
        ).any()
    ]
    passes = -(-count // max(len(candidates), 1))
    order = [index for _ in range(passes) for index in rng.permutation(candidates)][
        :count
    ]

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


def _is_drawable_size(image: TrainingImage) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = sizes_px(image.boxes) >= _MIN_DRAWABLE_PX
    return result


def _find_drawable_faces(
    image: TrainingImage, detector: LandmarkDetector
) -> list[DrawableFace]:
    """Return the bare faces that the detector sees too, with their points."""
    faces, landmarks = detector.detect_landmarks(image.image)
    candidates = np.flatnonzero(
        _is_drawable_size(image) & (image.labels == Label.NO_MASK)
    )
    if not len(faces):
        return []
    overlaps = iou_matrix(image.boxes[candidates], faces.boxes)
    return [
        (int(row), landmarks[ious.argmax()])
        for row, ious in zip(candidates, overlaps, strict=True)
        if ious.max() >= _SAME_FACE_IOU
    ]


def _draw_on_faces(
    training_image: TrainingImage,
    faces: Sequence[DrawableFace],
    rng: np.random.Generator,
) -> TrainingImage:
    image, labels = training_image.image, training_image.labels.copy()
    teacher_probs = training_image.teacher_probs.copy()
    selected = [face for face in faces if rng.random() < _DRAWN_FRACTION] or [faces[0]]
    for row, landmarks in selected:
        image, label = _draw_on_face(image, training_image.boxes[row], landmarks, rng)
        labels[row] = label
        teacher_probs[row] = np.nan  # nobody asked about the new face
    return dataclasses.replace(
        training_image,
        image=image,
        labels=labels,
        teacher_probs=teacher_probs,
        source="drawn",
    )


def _draw_on_face(
    image: Image,
    box: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[Image, Label]:
    fractions = [fraction for _, fraction in DRAWN_MASKS.values()] + list(
        HARD_NEGATIVES.values()
    )
    choice = int(rng.choice(len(fractions), p=np.array(fractions) / sum(fractions)))
    if choice < len(DRAWN_MASKS):
        position, (label, _) = list(DRAWN_MASKS.items())[choice]
        mask = Mask.random(rng, position)
        return render_mask(image, landmarks, mask, box=box, rng=rng), label
    occluder = list(HARD_NEGATIVES)[choice - len(DRAWN_MASKS)]
    return render_occluder(image, landmarks, occluder, box=box, rng=rng), Label.NO_MASK
