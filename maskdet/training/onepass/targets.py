"""Target assignment: which cells of the maps predict which face.

The assignment is SimOTA (Ge et al., "YOLOX: Exceeding YOLO Series in 2021", section
2.1), as in the training of YuNet: a face is assigned to the few cells that predict it
best. All operations are `keras.ops` on whole batches and run inside the training step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from maskdet.analyzers.onepass import N_CHANNELS, STRIDES_PX

_MAX_CELLS_PER_FACE = 10
_CENTRE_RADIUS = 2.5
"""In strides, as in YOLOX."""

_IOU_COST = 3.0
_OUTSIDE_COST = 1e5
_FORBIDDEN_COST = 1e9

_LOG_LIMIT = 8.0
"""Largest log of a side in strides: e^8 exceeds any image and is finite."""

Tensor = Any
"""A tensor of the Keras backend."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of the three maps, concatenated, with their predictions.

    Attributes:
        logits: `(n, cells, 9)` as in the maps.
        boxes: `(n, cells, 4)` x1, y1, x2, y2 in pixels.
        centres: `(n, cells, 2)` x, y of the cells in pixels.
        strides: `(n, cells)` pixels.
    """

    logits: Tensor
    boxes: Tensor
    centres: Tensor
    strides: Tensor


@dataclass(frozen=True, eq=False)
class CellTargets:
    """The target of each cell.

    Attributes:
        positive: `(n, cells)` 1 where a cell is assigned to a face.
        ignored: `(n, cells)` 1 where a cell does not contribute to the loss.
        targets: `(n, cells, 10)` target row of positive cells, arbitrary for others.
        iou: `(n, cells)` IoU of positive cells with their target, else 0.
    """

    positive: Tensor
    ignored: Tensor
    targets: Tensor
    iou: Tensor


def flatten_maps(maps: Sequence[Tensor]) -> Cells:
    """Concatenate the cells of the maps `(n, h, w, 9)`, fine to coarse."""
    logits, corners, strides = [], [], []
    for stride, feature_map in zip(STRIDES_PX, maps, strict=True):
        ones = ops.ones_like(feature_map[..., 0])
        columns, rows = ops.cumsum(ones, axis=2) - 1, ops.cumsum(ones, axis=1) - 1
        n = ops.shape(feature_map)[0]
        logits.append(ops.reshape(feature_map, (n, -1, N_CHANNELS)))
        cell_corners = ops.stack([columns, rows], axis=-1) * stride
        corners.append(ops.reshape(cell_corners, (n, -1, 2)))
        strides.append(ops.reshape(ones, (n, -1)) * stride)
    all_logits, corner = (
        ops.concatenate(logits, axis=1),
        ops.concatenate(corners, axis=1),
    )
    stride = ops.concatenate(strides, axis=1)
    stride_column = stride[..., None]
    middles = corner + all_logits[..., 2:4] * stride_column
    halves = (
        ops.exp(ops.clip(all_logits[..., 4:6], -_LOG_LIMIT, _LOG_LIMIT))
        * stride_column
        / 2
    )
    boxes = ops.concatenate([middles - halves, middles + halves], axis=-1)
    return Cells(all_logits, boxes, corner + stride_column / 2, stride)


def assign_cells(cells: Cells, targets: Tensor) -> CellTargets:
    """Assign faces to cells, without gradient.

    Args:
        cells: predictions of the network.
        targets: `(n, faces, 10)`, see `batches.TARGET_COLUMNS`.
    """
    targets = ops.convert_to_tensor(targets)
    boxes, state = targets[..., :4], targets[..., 4]
    inside = _is_inside_box(cells.centres, boxes)  # (n, faces, cells)
    near_centre = _is_near_centre(cells, boxes)
    faces = ops.cast(state > 0, "float32")[..., None]
    eligible = faces * ops.maximum(inside, near_centre)
    ious = ops.stop_gradient(compute_pair_iou(boxes, cells.boxes)) * eligible
    cost = ops.stop_gradient(_compute_cost(cells, ious, inside * near_centre))
    cost = ops.where(eligible > 0, cost, _FORBIDDEN_COST)
    selected = _select_cheapest(cost, ious) * eligible
    # A cell selected for several faces is assigned to the face with the lowest cost.
    owner = ops.argmin(ops.where(selected > 0, cost, 2 * _FORBIDDEN_COST), axis=1)
    positive = ops.max(selected, axis=1)
    rows = ops.cast(owner, "int32")[..., None]
    iou = ops.take_along_axis(ops.swapaxes(ious, 1, 2), rows, axis=2)[..., 0]
    ignored_cells = ops.cast(state < 0, "float32")[..., None] * ops.maximum(
        inside, near_centre
    )
    return CellTargets(
        positive=positive,
        ignored=ops.max(ignored_cells, axis=1) * (1 - positive),
        targets=ops.take_along_axis(targets, rows, axis=1),
        iou=iou * positive,
    )


def _is_inside_box(centres: Tensor, boxes: Tensor) -> Tensor:
    """Return `(n, faces, cells)` 1 where the centre of a cell is in a box."""
    x, y = centres[:, None, :, 0], centres[:, None, :, 1]
    box = boxes[:, :, None, :]
    across = (x > box[..., 0]) & (x < box[..., 2])
    return ops.cast(across & (y > box[..., 1]) & (y < box[..., 3]), "float32")


def _is_near_centre(cells: Cells, boxes: Tensor) -> Tensor:
    """Return `(n, faces, cells)` 1 where a cell is near the centre of a box."""
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    distance = ops.abs(cells.centres[:, None] - middles[:, :, None])
    reach = _CENTRE_RADIUS * cells.strides[:, None]
    return ops.cast(ops.max(distance, axis=-1) < reach, "float32")


def compute_pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the `(n, k, m)` IoU of boxes `(n, k, 4)` with boxes `(n, m, 4)`."""
    a, b = a[:, :, None], b[:, None]
    low = ops.maximum(a[..., :2], b[..., :2])
    sides = ops.relu(ops.minimum(a[..., 2:], b[..., 2:]) - low)
    intersection = sides[..., 0] * sides[..., 1]
    return intersection / ops.maximum(_area(a) + _area(b) - intersection, 1e-6)


def _area(boxes: Tensor) -> Tensor:
    sides = ops.relu(boxes[..., 2:] - boxes[..., :2])
    return sides[..., 0] * sides[..., 1]


def _compute_cost(cells: Cells, ious: Tensor, fits: Tensor) -> Tensor:
    # -log of the detection score sqrt(cls * obj)
    score_cost = ops.softplus(-cells.logits[..., 0]) + ops.softplus(
        -cells.logits[..., 1]
    )
    cost = score_cost[:, None] / 2 - _IOU_COST * ops.log(ious + 1e-7)
    return cost + _OUTSIDE_COST * (1 - fits)


def _select_cheapest(cost: Tensor, ious: Tensor) -> Tensor:
    """Return 1 at the cheapest cells of a face; their number is the sum of its IoUs."""
    best = ops.sum(ops.top_k(ious, _MAX_CELLS_PER_FACE)[0], axis=-1)
    count = ops.cast(ops.clip(ops.floor(best), 1, _MAX_CELLS_PER_FACE), "int32")
    lowest = -ops.top_k(-cost, _MAX_CELLS_PER_FACE)[0]
    limit = ops.take_along_axis(lowest, count[..., None] - 1, axis=-1)
    return ops.cast(cost <= limit, "float32")
