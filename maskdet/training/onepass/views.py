"""One training view: a part of a scene around a face, at a size drawn by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, areas, clip, shared_areas
from maskdet.training.onepass.distractors import with_distractors
from maskdet.training.onepass.scenes import NO_LABEL, Place
from maskdet.training.onepass.truth import FACE, IGNORED, TRUTH_COLUMNS
from maskdet.training.onepass.weather import weathered
from maskdet.types import CLASSES, Image, Label

Rng = np.random.Generator


@dataclass(frozen=True)
class ViewRules:
    """How scenes become views.

    Attributes:
        face_px: the chosen face comes out so wide, log-uniformly between the two,
            as far as the view has room for it.
        most_zoom: pictures are enlarged by at most this: beyond it they show no more.
        stretch: sides are changed by at most this share, each by itself.
        least_px: smaller faces are ignored: a cell of 8 px does not see them.
        kept_share: of a face cut by the border at least this must be in the view for
            it to count; with less it is ignored.
        smoothing: share of the label given to all classes.
        taught_share: share of the label that a classifier's answer replaces.
        sure_px: from this width on the label of a face counts fully; small ones count
            less, as nobody can see their label.
        class_weights: how much a label counts, by class: views hold more masks than
            the faces they are drawn for.
        blurred_share: how much of the labels `mask` and `incorrect` the other gets,
            at most: in a tiny face nobody can tell them apart.
        blurred_px: faces between the two have a part of it; larger ones nothing.
        borders: how much the box of a face counts, by source; 1 for others. A
            finder's boxes teach what a face is and how its mask is worn, but not where
            people would draw its border.
        distracted: how many views get things that are no face, see `distractors`.
    """

    face_px: tuple[float, float] = (8.0, 560.0)
    most_zoom: float = 2.5
    stretch: float = 0.1
    least_px: float = 7.0
    kept_share: float = 0.5
    smoothing: float = 0.02
    taught_share: float = 0.3
    sure_px: float = 20.0
    class_weights: tuple[float, float, float] = (0.8, 1.2, 1.5)
    blurred_share: float = 0.1
    blurred_px: tuple[float, float] = (12.0, 32.0)
    borders: tuple[tuple[str, float], ...] = (("drawn", 0.0),)
    distracted: float = 0.4

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if not 0 <= self.distracted <= 1:
            raise ValueError(f"distracted must be from 0 to 1, not {self.distracted!r}")
        for source, weight in self.borders:
            if not 0 <= weight <= 1:
                raise ValueError(
                    f"the border weight of {source} must be from 0 to 1, not {weight!r}"
                )


@dataclass(frozen=True, eq=False)
class View:
    """What the network learns from in one picture.

    Attributes:
        image: `(h, w, 3)` BGR.
        truth: `(n, 10)` rows, see `targets.TRUTH_COLUMNS`.
    """

    image: Image
    truth: NDArray[np.float32]


def face_view(
    place: Place,
    face: int,
    size_px: int,
    rng: Rng,
    rules: ViewRules,
    scrap: Image | None = None,
) -> View:
    """Return a square view in which one face comes out at a size drawn by chance.

    Args:
        place: the scene.
        face: row of the face.
        size_px: side of the view.
        rng: the only source of chance.
        rules: how.
        scrap: a piece without a face, for `distractors`; one of the scene unless given.
    """
    x1, y1, x2, y2 = place.boxes[face]
    scale = _scale(place, x2 - x1, size_px, rng, rules)
    seen = size_px / scale
    # The middle of the face stays inside, so at least about half of the face does.
    corner = np.array([_start(x1, x2, seen, rng), _start(y1, y2, seen, rng)])
    height, width = place.image.shape[:2]
    if rng.random() < 0.88:  # show as much of the picture as fits
        most = np.array([width, height]) - seen
        corner = np.clip(corner, np.minimum(most, 0), np.maximum(most, 0))
    return _cut(place, corner, scale, size_px, rng, rules, scrap)


def negative_view(place: Place, size_px: int, rng: Rng, rules: ViewRules) -> View:
    """Return a view of a picture without faces, or with few that were laid into it.

    Mostly the whole picture, as at run time, else a part of it.
    """
    height, width = place.image.shape[:2]
    low, high = (0.85, 1.25) if rng.random() < 0.65 else (0.3, 0.85)
    seen = max(height, width) * math.exp(rng.uniform(math.log(low), math.log(high)))
    room = np.array([width - seen, height - seen])
    corner = rng.uniform(np.minimum(room, 0), np.maximum(room, 0) + 1e-6)
    return _cut(place, corner, size_px / seen, size_px, rng, rules)


def empty_view(
    place: Place, size_px: int, rng: Rng, rules: ViewRules, tries: int = 12
) -> View | None:
    """Return a view of a part of the scene without any face; None if none was found."""
    height, width = place.image.shape[:2]
    for _ in range(tries):
        seen = math.exp(
            rng.uniform(math.log(48), math.log(max(64, min(height, width))))
        )
        corner = rng.uniform(0, np.maximum([width - seen, height - seen], 1))
        if _is_empty(place, corner, seen):
            return _cut(place, corner, size_px / seen, size_px, rng, rules)
    return None


def _is_empty(place: Place, corner: NDArray[np.float64], seen: float) -> bool:
    """Return whether a square window of the picture touches no face."""
    window = np.array([[*corner, *(corner + seen)]], np.float32)
    return not shared_areas(window, place.boxes).any()


def _scrap(place: Place, rng: Rng, tries: int = 4) -> Image | None:
    """Return a piece of the picture without any face, as it is; None without one."""
    height, width = place.image.shape[:2]
    for _ in range(tries):
        seen = int(rng.integers(12, max(13, min(160, height, width))))
        corner = rng.uniform(0, np.maximum([width - seen, height - seen], 1))
        if _is_empty(place, corner, seen):
            x, y = corner.astype(int)
            return place.image[y : y + seen, x : x + seen]
    return None


def _scale(
    place: Place, face_px: float, size_px: int, rng: Rng, rules: ViewRules
) -> float:
    """Return the zoom: for the wanted face, but never so that little is left to see."""
    low, high = np.log(rules.face_px)
    high = min(high, math.log(max(rules.most_zoom * face_px, rules.face_px[0] + 1)))
    high = min(high, math.log(0.9 * size_px))
    scale = math.exp(rng.uniform(min(low, high), high)) / max(face_px, 1.0)
    least = rng.uniform(0.75, 1.1) * size_px / max(place.image.shape[:2])
    return float(min(max(scale, least), rules.most_zoom * 1.5))


def _start(low: float, high: float, seen: float, rng: Rng) -> float:
    """Return where a window of the length `seen` may begin around a face."""
    middle, reach = (low + high) / 2, (high - low) / 2
    first, last = middle + reach - seen, middle - reach
    if first > last:  # the face is larger than the window
        first, last = last, first
    return float(rng.uniform(first, last))


def _cut(
    place: Place,
    corner: NDArray[np.float64],
    scale: float,
    size_px: int,
    rng: Rng,
    rules: ViewRules,
    scrap: Image | None = None,
) -> View:
    zoom = scale * (1 + rng.uniform(-rules.stretch, rules.stretch, 2))
    image = _window(place.image, corner, zoom, size_px, rng)
    moved = (place.boxes.reshape(-1, 2, 2) - corner) * zoom
    boxes = moved.reshape(-1, 4).astype(np.float32)
    truth = truths(place, boxes, size_px, rules)
    if rules.distracted and rng.random() < rules.distracted:
        piece = _scrap(place, rng) if scrap is None else scrap
        image = with_distractors(image, boxes, piece, rng)
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
        truth[:, [0, 2]] = size_px - truth[:, [2, 0]]
    return View(weathered(image, rng), truth)


def _window(
    image: Image,
    corner: NDArray[np.float64],
    zoom: NDArray[np.float64],
    size_px: int,
    rng: Rng,
) -> Image:
    """Return a part of the picture, black where the picture ends."""
    limits = np.array([image.shape[1], image.shape[0]])
    first = np.clip(np.floor(corner), 0, limits - 1).astype(int)
    last = np.clip(np.ceil(corner + size_px / zoom), first + 1, limits).astype(int)
    part = image[first[1] : last[1], first[0] : last[0]]
    left = zoom
    if float(zoom.min()) < 1 and rng.random() < 0.8:  # as run time does; the rest skip
        size_wh = np.maximum(np.rint((last - first) * zoom), 1).astype(int)
        part = np.asarray(cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA))
        left = np.ones(2)
    # Pixel i covers i to i + 1, and its middle is what moves.
    shift = (first - corner) * zoom + (left - 1) / 2
    matrix = np.array([[left[0], 0, shift[0]], [0, left[1], shift[1]]])
    how = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
    view = cv2.warpAffine(part, matrix, (size_px, size_px), flags=how)
    return np.asarray(view, np.uint8)


def truths(
    place: Place, boxes: Boxes, size_px: int, rules: ViewRules
) -> NDArray[np.float32]:
    """Return `(k, 10)` what is to be found in a view, see `targets.TRUTH_COLUMNS`.

    Args:
        place: the scene.
        boxes: `(n, 4)` its faces in pixels of the view, uncut.
        size_px: side of the view.
        rules: what counts.
    """
    inside = clip(boxes, size_px, size_px)
    shown = areas(inside) / np.maximum(areas(boxes), 1e-6)
    sides = inside[:, 2:] - inside[:, :2]
    counts = (
        (shown >= rules.kept_share)
        & (np.sqrt(areas(inside)) >= rules.least_px)
        & (place.labels != NO_LABEL)
    )
    truth = np.zeros((len(boxes), TRUTH_COLUMNS), np.float32)
    truth[:, :4] = inside
    truth[:, 4] = np.where(counts, FACE, IGNORED)
    known = np.maximum(place.labels, 0)
    shares = np.eye(len(CLASSES), dtype=np.float32)[known]
    shares += rules.smoothing * (1 / len(CLASSES) - shares)
    shares = _blurred(shares, sides.min(axis=1, initial=np.inf), rules)
    mixed = shares + rules.taught_share * (place.taught - shares)
    truth[:, 5:8] = np.where(np.isnan(mixed), shares, mixed)
    seen = np.clip(
        (sides.min(axis=1, initial=np.inf) - 5) / (rules.sure_px - 5), 0.1, 1
    )
    truth[:, 8] = np.array(rules.class_weights)[known] * seen
    truth[:, 9] = dict(rules.borders).get(place.source, 1.0)
    return truth[areas(inside) > 0]


def _blurred(
    shares: NDArray[np.float32], sides_px: NDArray[np.float32], rules: ViewRules
) -> NDArray[np.float32]:
    """Return the shares, those of `mask` and `incorrect` mixed in small faces."""
    low, high = rules.blurred_px
    part = rules.blurred_share * np.clip((high - sides_px) / (high - low), 0, 1)
    pair = [Label.MASK, Label.INCORRECT]
    result = shares.copy()
    result[:, pair] += part[:, None] * (shares[:, pair[::-1]] - shares[:, pair])
    return result
