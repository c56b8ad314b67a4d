"""The analyzer around the one-pass network: scale, run, decode, look again.

The one-pass network in a LiteRT file: an image in, three raw maps out.

What the one-pass network's maps mean: boxes, face scores, mask probabilities.

Cells, shifts and the face score are YuNet's (Wu et al., "YuNet: A Tiny
Millisecond-level Face Detector", Machine Intelligence Research, 2023).

One network, one pass: it finds the faces and says who wears a mask.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, iou_matrix, nms, sizes_px
from maskdet.classifier import Classifier, Verifier
from maskdet.settings import Settings
from maskdet.types import (
    BLUR_MIN_SCORE,
    CLASSES,
    Faces,
    Image,
    Scene,
    check_image,
    rejected_boxes,
    select_rows,
)

STRIDES_PX = (8, 16, 32)
"""Pixels from one cell of a map to the next, map by map."""

N_CHANNELS = 6 + len(CLASSES)
"""Of each map: class logit, object logit, `dx, dy, log w, log h` in strides, and the
logits of `CLASSES`."""

OUTPUT_NAMES = tuple(
    "__".join((f"stride{stride}", *(label.key for label in CLASSES)))
    for stride in STRIDES_PX
)
"""Names of a file's outputs, in the order of `STRIDES_PX`: they carry the labels."""

MIN_CANDIDATE_SCORE = 0.02
"""Face scores below this are never looked at."""

# Far above any image; keeps `exp` of a wild answer finite.
_MAX_LOG = 10.0

FeatureMap = NDArray[np.float32]
"""`(h, w, CHANNELS)` float32: what the network says at one stride."""


def decode_maps(
    maps: Sequence[FeatureMap], min_score: float = MIN_CANDIDATE_SCORE
) -> tuple[Boxes, NDArray[np.float32], NDArray[np.float32]]:
    """Return every candidate with at least the face score `min_score`, overlaps included.

    Args:
        maps: one `(h, w, 9)` a stride in `STRIDES_PX`, raw.
        min_score: lowest face score, in [0, 1].

    Returns:
        Boxes `(n, 4)` `x1, y1, x2, y2` in pixels of the network's input, unclipped;
        scores `(n,)` in [0, 1]; probabilities `(n, 3)` whose rows sum to 1.

    Raises:
        ValueError: a map has another shape, or there are not as many as strides.
    """
    rows, cells, strides = [], [], []
    for stride, feature_map in zip(STRIDES_PX, _check_maps(maps), strict=True):
        indices = _candidate_cells(feature_map, min_score)
        rows.append(feature_map.reshape(-1, N_CHANNELS)[indices])
        cells.append(
            np.stack([indices % feature_map.shape[1], indices // feature_map.shape[1]])
        )
        strides.append(np.full(len(indices), stride, np.float32))
    candidates = np.concatenate(rows)
    scores = np.sqrt(_sigmoid(candidates[:, 0]) * _sigmoid(candidates[:, 1]))
    kept = scores >= min_score
    candidates, sides_px = candidates[kept], np.concatenate(strides)[kept, None]
    cells_xy = np.concatenate(cells, axis=1).T[kept].astype(np.float32)
    centres = (cells_xy + candidates[:, 2:4]) * sides_px
    halves = np.exp(np.minimum(candidates[:, 4:6], _MAX_LOG)) * (sides_px / 2)
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    return boxes.astype(np.float32), scores[kept], _softmax(candidates[:, 6:])


def _check_maps(maps: Sequence[FeatureMap]) -> Sequence[FeatureMap]:
    if len(maps) != len(STRIDES_PX):
        raise ValueError(f"wanted {len(STRIDES_PX)} maps, got {len(maps)}")
    for feature_map in maps:
        if feature_map.ndim != 3 or feature_map.shape[2] != N_CHANNELS:
            raise ValueError(
                f"a map must be (h, w, {N_CHANNELS}), got {feature_map.shape}"
            )
    return maps


def _candidate_cells(feature_map: FeatureMap, min_score: float) -> NDArray[np.int64]:
    """Return the cells that can reach the floor, without computing their score.

    The score is the root of a product of two numbers below 1, so each of them must
    reach the square of the floor.
    """
    min_factor = min_score * min_score
    if min_factor <= 0:
        logit = -math.inf
    else:
        logit = math.log(min_factor / (1 - min_factor)) if min_factor < 1 else math.inf
    # Rounding must not lose a cell that lies exactly on the floor.
    passes = feature_map[..., :2].min(axis=2) >= logit - 1e-3
    result: NDArray[np.int64] = np.flatnonzero(passes)
    return result


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # Within these limits exp stays finite, and beyond them nothing changes.
    powers = np.exp(-np.clip(logits, -80, 80))
    result: NDArray[np.float32] = (1 / (1 + powers)).astype(np.float32)
    return result


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return result


MAX_STRIDE_PX = STRIDES_PX[-1]
"""Sides of the network's input are multiples of this."""


class SingleStageNetwork:
    """Runs the file at any size; the size of the last call costs nothing to keep.

    It may be shared by threads: they take turns.
    """

    def __init__(self, path: str | Path, *, threads: int = 2) -> None:
        """Load the file and check that it is what this class can read.

        Args:
            path: the `.tflite` file.
            threads: processor threads of one call.

        Raises:
            FileNotFoundError: there is no such file.
            RuntimeError: the file is broken or is another kind of network.
        """
        # Who only draws, or only reads videos, need not load LiteRT.
        from maskdet.litert import open_interpreter

        self._interpreter = open_interpreter(Path(path), "network", threads=threads)
        self._input = _get_input_index(self._interpreter, Path(path))
        self._outputs = _get_output_indices(self._interpreter, Path(path))
        self._size_hw = (0, 0)
        self._lock = threading.Lock()

    def forward(self, image: Image) -> list[FeatureMap]:
        """Return the maps of an image, fine to coarse.

        The image gets a black border on the right and below, up to whole cells.

        Args:
            image: `(h, w, 3)` BGR, already as large as the network shall see it.
        """
        height, width = image.shape[:2]
        size_hw = (height + -height % MAX_STRIDE_PX, width + -width % MAX_STRIDE_PX)
        with self._lock:
            self._allocate(size_hw)
            self._write_input(image)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index)[0] for index in self._outputs]

    def _allocate(self, size_hw: tuple[int, int]) -> None:
        if size_hw == self._size_hw:
            return
        # Should this fail halfway, the next call must try again.
        self._size_hw = (0, 0)
        self._interpreter.resize_tensor_input(self._input, [1, *size_hw, 3])
        self._interpreter.allocate_tensors()
        self._size_hw = size_hw

    def _write_input(self, image: Image) -> None:
        """Write the image straight into the network's memory: no copy between.

        The view must be gone before the network runs, hence a method of its own.
        """
        height, width = image.shape[:2]
        view = self._interpreter.tensor(self._input)()[0]
        view[:height, :width] = image
        view[height:] = 0
        view[:height, width:] = 0


# LiteRT has no types that mypy can read.
def _get_input_index(interpreter: Any, path: Path) -> int:
    """Return where the image goes, once it is clear that any size fits there."""
    inputs = interpreter.get_input_details()
    shapes = [[int(side) for side in details["shape_signature"]] for details in inputs]
    dtypes = [details["dtype"] for details in inputs]
    fits = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1:] == [-1, -1, 3]
    if not fits or dtypes != [np.float32]:
        raise RuntimeError(
            f"network {path}: wanted one float32 input (1, any height, any width, 3), "
            f"got {[dtype.__name__ for dtype in dtypes]} {shapes}"
        )
    return int(inputs[0]["index"])


def _get_output_indices(interpreter: Any, path: Path) -> list[int]:
    """Return where the maps come out, fine to coarse: files keep no order, but names.

    The names say which mask column is which class.
    """
    signatures = interpreter.get_signature_list()
    details: dict[str, Any] = {}
    for key in signatures:
        details |= interpreter.get_signature_runner(key).get_output_details()
    if sorted(details) != sorted(OUTPUT_NAMES):
        raise RuntimeError(
            f"network {path}: wanted the outputs {', '.join(OUTPUT_NAMES)}, "
            f"got {', '.join(sorted(details)) or 'none with a name'}"
        )
    for name in OUTPUT_NAMES:
        channels = int(details[name]["shape_signature"][-1])
        if channels != N_CHANNELS:
            raise RuntimeError(
                f"network {path}: wanted {N_CHANNELS} channels in {name}, got "
                f"{channels}"
            )
    return [int(details[name]["index"]) for name in OUTPUT_NAMES]


_NMS_IOU = 0.5
"""Candidates that overlap more are one face; `Settings.nms_iou` may join more."""

_MAX_CANDIDATES = 500
"""Candidates looked at, the best first; no image shows so many faces."""

_MIN_VOTER_RATIO = 0.3
"""A candidate votes for a box when its score has at least this share of the box's.
Weaker ones weigh little, and whoever wants sure faces only need not decode them."""

Probs = NDArray[np.float32]


@dataclass(frozen=True)
class Resize:
    """How large the network sees an image.

    Attributes:
        long_side_px: the longer side of what it sees, at most.
        max_upscale: a small image grows by this factor at most; 1 for never.

    Raises:
        ValueError: a number is too small.
    """

    long_side_px: int = 640
    max_upscale: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what no image could be scaled to."""
        if self.long_side_px < MAX_STRIDE_PX:
            raise ValueError(
                f"long_side_px must be at least {MAX_STRIDE_PX}, not "
                f"{self.long_side_px!r}"
            )
        if not (math.isfinite(self.max_upscale) and self.max_upscale >= 1):
            raise ValueError(f"enlarge must be at least 1, not {self.max_upscale!r}")

    def apply(self, image: Image) -> Image:
        """Return the image as the network shall see it; never a changed one."""
        height, width = image.shape[:2]
        factor = min(self.long_side_px / max(height, width), self.max_upscale)
        size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
        if size_wh == (width, height):
            return image
        resampling = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        return np.asarray(
            cv2.resize(image, size_wh, interpolation=resampling), np.uint8
        )


@dataclass(frozen=True, eq=False)
class Refiner:
    """A classifier that reads again what is large and in doubt, at its full size.

    One that `verifies` also lowers the score of detections that hold no face.

    Attributes:
        classifier: gives its own probabilities.
        min_px: it reads faces whose shorter side has at least so many pixels.
        weight: how much its word counts, in [0, 1]; with 1 it replaces the first.
        skip_above: whom the first reading gives a label at least so likely is not read
            again, in [0, 1]; with 1 nearly everybody is.
        max_faces: so many faces are read again at most, those with the best face
            scores, so that a crowd does not take longer and longer; without it, all
            are. As many detections are verified at most.
        min_score: weaker detections are not checked at all, in [0, 1].
        verify_below: detections with a lower score are verified, in [0, 1]; 0 for none.
        verify_power: the score of those is multiplied by the probability that there is
            a face, to this power, but not lowered below `BLUR_MIN_SCORE`.

    Raises:
        ValueError: `weight`, `skip_above`, `min_score` or `verify_below` is out of its
            range.
    """

    classifier: Classifier
    min_px: float = 48.0
    weight: float = 0.5
    skip_above: float = 1.0
    max_faces: int | None = None
    min_score: float = 0.0
    verify_below: float = 0.0
    verify_power: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("weight", "skip_above", "min_score", "verify_below"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {value!r}")

    def refine(
        self, image: Image, faces: Faces, probs: Probs, min_score: float
    ) -> tuple[Faces, Probs]:
        """Return the detections with what the classifier knows better.

        What it does to one of them does not depend on `min_score`, as only scores
        fall, and the best are read first.

        Args:
            image: `(h, w, 3)` BGR.
            faces: all detections.
            probs: `(n, 3)` their probabilities.
            min_score: detections below are not wanted, so nothing is done to them.
        """
        is_eligible = faces.scores >= max(min_score, self.min_score)
        is_uncertain = self._limit_rows(
            is_eligible
            & (sizes_px(faces.boxes) >= self.min_px)
            & (probs.max(axis=1, initial=0) < self.skip_above)
        )
        is_doubtful = np.zeros_like(is_uncertain)
        classifier = self.classifier
        if isinstance(classifier, Verifier) and classifier.verifies:
            is_doubtful = self._limit_rows(
                is_eligible & (faces.scores < self.verify_below)
            )
        rows = np.flatnonzero(is_uncertain | is_doubtful)
        if not len(rows):
            return faces, probs
        scores = faces.scores.copy()
        if isinstance(classifier, Verifier):
            refined_probs, face_probs = classifier.verify(image, faces.boxes[rows])
            lowered_scores = scores[rows] * face_probs**self.verify_power
            # Who is blurred for privacy stays so, whatever the classifier thinks.
            lowered_scores = np.maximum(
                lowered_scores, np.minimum(scores[rows], BLUR_MIN_SCORE)
            )
            scores[rows] = np.where(is_doubtful[rows], lowered_scores, scores[rows])
        else:
            refined_probs = classifier.predict(image, faces.boxes[rows])
        probs = probs.copy()
        blended = (1 - self.weight) * probs[rows] + self.weight * refined_probs
        probs[rows] = np.where(is_uncertain[rows, None], blended, probs[rows])
        order = np.argsort(-scores, kind="stable")
        return Faces(faces.boxes[order], scores[order]), probs[order]

    def _limit_rows(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the rows that are looked at: the first, which have the best scores."""
        return (
            rows
            if self.max_faces is None
            else rows & (np.cumsum(rows) <= self.max_faces)
        )


class SingleStage:
    """Finds and labels in one pass of one network; threads may share it."""

    def __init__(
        self,
        network: SingleStageNetwork,
        resize: Resize | None = None,
        *,
        refiner: Refiner | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            network: gives the raw maps.
            resize: how large it sees an image; `Resize()` unless given.
            refiner: reads large faces again; nobody does unless given.
        """
        self.resize = Resize() if resize is None else resize
        self.refiner = refiner
        self.pipeline = "OnePass detects and classifies"
        self._network = network

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Find and label, then read again what was chosen; see `Analyzer.analyze`."""
        image = check_image(image)
        settings = Settings() if settings is None else settings
        times = [perf_counter()]
        resized = self.resize.apply(image)
        times.append(perf_counter())
        maps = self._network.forward(resized)
        times.append(perf_counter())
        min_wanted_score = min(BLUR_MIN_SCORE, settings.min_score)
        faces, probs = _decode_faces(
            maps,
            resized,
            image,
            max(MIN_CANDIDATE_SCORE, _MIN_VOTER_RATIO * min_wanted_score),
        )
        times.append(perf_counter())
        if self.refiner is not None:
            min_score = settings.min_score
            faces, probs = self.refiner.refine(image, faces, probs, min_score)
        rows = select_rows(faces, settings)
        blur_boxes = rejected_boxes(faces, rows, settings)
        faces, probs = faces[rows], probs[rows]
        times.append(perf_counter())
        names = ("resize", "find", "decode", "label")
        return Scene(
            faces,
            probs,
            min_confidence=settings.min_confidence,
            stage_ms=dict(zip(names, np.diff(times) * 1e3, strict=True)),
            blur_boxes=blur_boxes,
        )


def _decode_faces(
    maps: Sequence[FeatureMap], resized: Image, image: Image, min_score: float
) -> tuple[Faces, Probs]:
    """Return the faces in pixels of `image`, each once, and their probabilities.

    A floor of `_MIN_VOTER_RATIO` times the lowest score that is wanted changes nothing
    for the wanted faces: all who vote for them, or could displace them, are above it.
    """
    boxes, scores, probs = decode_maps(maps, min_score)
    height, width = image.shape[:2]
    factor_x, factor_y = width / resized.shape[1], height / resized.shape[0]
    factors = np.array([factor_x, factor_y, factor_x, factor_y], np.float32)
    boxes = clip_boxes(boxes * factors, width, height)
    order = np.argsort(-scores, kind="stable")
    order = order[sizes_px(boxes[order]) > 0][:_MAX_CANDIDATES]
    boxes, scores, probs = boxes[order], scores[order], probs[order]
    kept = nms(boxes, scores, _NMS_IOU)
    return Faces(_vote_boxes(boxes, scores, kept), scores[kept]), probs[kept]


def _vote_boxes(
    boxes: Boxes, scores: NDArray[np.float32], kept: NDArray[np.int64]
) -> Boxes:
    """Return the kept boxes, each the mean of all that overlap it, by score squared.

    Neighbouring cells guess the borders of a face independently (box voting: Gidaris
    and Komodakis, "Object Detection via a Multi-region & Semantic Segmentation-aware
    CNN Model", 2015). On val it gave up to 0.013 AP at no cost.
    """
    overlaps = iou_matrix(boxes[kept], boxes)
    is_voter = (overlaps >= _NMS_IOU) & (
        scores >= _MIN_VOTER_RATIO * scores[kept, None]
    )
    weights = is_voter * np.square(scores)
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(weights @ boxes / total, np.float32)


__all__ = ["Refiner", "Resize", "SingleStage", "SingleStageNetwork"]
