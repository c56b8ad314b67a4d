"""Losses of the single-stage network, and the trainable model that computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
from keras import ops

from maskdet.training.onepass.targets import (
    Cells,
    CellTargets,
    Tensor,
    assign_cells,
    flatten_maps,
)

LOSS_NAMES = ("obj", "cls", "box", "mask")

_MIN_POSITIVE_CELLS = 4.0
"""Typical number of cells of a single face."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses.

    Attributes:
        obj: objectness: binary cross-entropy over all cells (YOLOX).
        cls: box quality: cross-entropy with the IoU of the box as target, over cells
            with a face (YOLOX, section 2.1).
        box: EIoU of the same cells (Zhang et al., "Focal and Efficient IOU Loss for
            Accurate Bounding Box Regression", 2021); 5 as in YuNet.
        mask: cross-entropy of the class in the same cells; 2, because it is harder to
            learn than objectness.
    """

    obj: float = 1.0
    cls: float = 1.0
    box: float = 5.0
    mask: float = 2.0


def compute_onepass_losses(
    maps: Sequence[Tensor], targets: Tensor
) -> dict[str, Tensor]:
    """Return the unweighted losses by name; they are finite without a face.

    The `obj` loss is the sum over all cells, divided by the number of cells with a
    face. For batches with few faces, the divisor is `_MIN_POSITIVE_CELLS` per image;
    otherwise one sample without a face would weigh as much as hundreds of faces.

    Args:
        maps: `(n, h, w, 9)` at each stride.
        targets: `(n, faces, 10)`, see `batches.TARGET_COLUMNS`.
    """
    cells = flatten_maps(maps)
    cell_targets = assign_cells(cells, targets)
    positive = ops.sum(cell_targets.positive)
    count = ops.maximum(positive, 1.0)
    min_positive = _MIN_POSITIVE_CELLS * ops.cast(ops.shape(cells.logits)[0], "float32")
    logits = cells.logits
    objectness_loss = _cross_entropy(logits[..., 1], cell_targets.positive) * (
        1 - cell_targets.ignored
    )
    iou_loss = _cross_entropy(logits[..., 0], cell_targets.iou) * cell_targets.positive
    box_weights = cell_targets.positive * cell_targets.targets[..., 9]
    box_loss = (
        compute_eiou_loss(cells.boxes, cell_targets.targets[..., :4]) * box_weights
    )
    return {
        "obj": ops.sum(objectness_loss) / ops.maximum(positive, min_positive),
        "cls": ops.sum(iou_loss) / count,
        "box": ops.sum(box_loss) / ops.maximum(ops.sum(box_weights), 1.0),
        "mask": _mask_loss(cells, cell_targets),
    }


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return ops.softplus(logits) - logits * target


def _mask_loss(cells: Cells, cell_targets: CellTargets) -> Tensor:
    """Return the mean over cells, weighted by their faces."""
    logs = ops.log_softmax(cells.logits[..., 6:], axis=-1)
    cross_entropy = -ops.sum(logs * cell_targets.targets[..., 5:8], axis=-1)
    weights = cell_targets.positive * cell_targets.targets[..., 8]
    return ops.sum(cross_entropy * weights) / ops.maximum(ops.sum(weights), 1.0)


def compute_eiou_loss(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - EIoU of boxes `(..., 4)` with the targets of the same rows."""
    low = ops.maximum(predicted[..., :2], targets[..., :2])
    common_sides = ops.relu(ops.minimum(predicted[..., 2:], targets[..., 2:]) - low)
    intersection = _multiply_sides(common_sides)
    sides, target_sides = (
        predicted[..., 2:] - predicted[..., :2],
        targets[..., 2:] - targets[..., :2],
    )
    union = _multiply_sides(sides) + _multiply_sides(target_sides) - intersection
    iou = intersection / ops.maximum(union, 1e-6)
    enclosing_sides = ops.maximum(predicted[..., 2:], targets[..., 2:]) - ops.minimum(
        predicted[..., :2], targets[..., :2]
    )
    squares = ops.maximum(ops.square(enclosing_sides), 1e-6)
    centre_offset = (
        predicted[..., :2] + predicted[..., 2:] - targets[..., :2] - targets[..., 2:]
    ) / 2
    centre_loss = ops.sum(ops.square(centre_offset), axis=-1) / ops.sum(
        squares, axis=-1
    )
    side_loss = ops.sum(ops.square(sides - target_sides) / squares, axis=-1)
    return 1 - iou + centre_loss + side_loss


def _multiply_sides(sides: Tensor) -> Tensor:
    return sides[..., 0] * sides[..., 1]


class OnePassLearner(keras.Model):  # type: ignore[misc] # Keras has no types
    """Network with its losses: `OnePassLearner(network.inputs, network.outputs)`."""

    component_weights: LossWeights = LossWeights()

    def attach_losses(self, weights: LossWeights) -> None:
        """Set the loss weights, and create a running mean for each loss."""
        self.component_weights = weights
        self.loss_means = {name: keras.metrics.Mean(name=name) for name in LOSS_NAMES}

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Return the loss of a batch; Keras calls this in each step."""
        parts: Mapping[str, Tensor] = compute_onepass_losses(y_pred, y)
        for name, mean in self.loss_means.items():
            mean.update_state(parts[name])
        return sum(
            getattr(self.component_weights, name) * part for name, part in parts.items()
        )
