"""What a wrong answer costs, and the network that learns from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
from keras import ops

from maskdet.training.onepass.targets import (
    Assigned,
    Cells,
    Tensor,
    assign,
    cells_of,
)

LOSSES = ("obj", "cls", "box", "mask")

_LEAST_CELLS = 4.0
"""A single face has about so many cells."""


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts.

    Attributes:
        obj: is there a face? Binary cross-entropy over all cells (YOLOX).
        cls: how well does the box fit? Cross-entropy with the IoU of the box as its
            target, over the cells that have a face (YOLOX, section 2.1).
        box: EIoU of the same cells (Zhang et al., "Focal and Efficient IOU Loss for
            Accurate Bounding Box Regression", 2021); 5 as in YuNet.
        mask: cross-entropy of the mask state in the same cells. Twice the others: the
            label is harder than the face.
    """

    obj: float = 1.0
    cls: float = 1.0
    box: float = 5.0
    mask: float = 2.0


def onepass_losses(maps: Sequence[Tensor], truth: Tensor) -> dict[str, Tensor]:
    """Return the loss of each kind, unweighted; finite without any face.

    The loss of `obj` is a sum over all cells for each cell that has a face. Batches
    with few faces are divided by `_LEAST_CELLS` a picture instead, else one view
    without a face would weigh as much as hundreds of faces.

    Args:
        maps: `(n, h, w, 9)` at each stride.
        truth: `(n, faces, 10)`, see `truth.TRUTH_COLUMNS`.
    """
    cells = cells_of(maps)
    task = assign(cells, truth)
    positive = ops.sum(task.positive)
    count = ops.maximum(positive, 1.0)
    least = _LEAST_CELLS * ops.cast(ops.shape(cells.logits)[0], "float32")
    found = cells.logits
    there = _cross_entropy(found[..., 1], task.positive) * (1 - task.ignored)
    fits = _cross_entropy(found[..., 0], task.overlap) * task.positive
    bordered = task.positive * task.truth[..., 9]
    apart = eiou_loss(cells.boxes, task.truth[..., :4]) * bordered
    return {
        "obj": ops.sum(there) / ops.maximum(positive, least),
        "cls": ops.sum(fits) / count,
        "box": ops.sum(apart) / ops.maximum(ops.sum(bordered), 1.0),
        "mask": _mask_loss(cells, task),
    }


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    return ops.softplus(logits) - logits * wanted


def _mask_loss(cells: Cells, task: Assigned) -> Tensor:
    """Return the mean over cells, each with the weight of its face."""
    logs = ops.log_softmax(cells.logits[..., 6:], axis=-1)
    wrong = -ops.sum(logs * task.truth[..., 5:8], axis=-1)
    weights = task.positive * task.truth[..., 8]
    return ops.sum(wrong * weights) / ops.maximum(ops.sum(weights), 1.0)


def eiou_loss(found: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - EIoU of boxes `(..., 4)` with the truths of the same rows."""
    low = ops.maximum(found[..., :2], truth[..., :2])
    shared = ops.relu(ops.minimum(found[..., 2:], truth[..., 2:]) - low)
    sides, true_sides = found[..., 2:] - found[..., :2], truth[..., 2:] - truth[..., :2]
    both = _product(sides) + _product(true_sides) - _product(shared)
    overlap = _product(shared) / ops.maximum(both, 1e-6)
    around = ops.maximum(found[..., 2:], truth[..., 2:]) - ops.minimum(
        found[..., :2], truth[..., :2]
    )
    squares = ops.maximum(ops.square(around), 1e-6)
    moved = (found[..., :2] + found[..., 2:] - truth[..., :2] - truth[..., 2:]) / 2
    off = ops.sum(ops.square(moved), axis=-1) / ops.sum(squares, axis=-1)
    resized = ops.sum(ops.square(sides - true_sides) / squares, axis=-1)
    return 1 - overlap + off + resized


def _product(sides: Tensor) -> Tensor:
    return sides[..., 0] * sides[..., 1]


class Learner(keras.Model):  # type: ignore[misc] # Keras has no types
    """The network with its loss: `Learner(network.inputs, network.outputs)`."""

    weights_of_losses: LossWeights = LossWeights()

    def watch(self, weights: LossWeights) -> None:
        """Weigh the losses, and keep their means, under their names."""
        self.weights_of_losses = weights
        self.means = {name: keras.metrics.Mean(name=name) for name in LOSSES}

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Return the loss of a batch; called by Keras in each step."""
        parts: Mapping[str, Tensor] = onepass_losses(y_pred, y)
        for name, mean in self.means.items():
            mean.update_state(parts[name])
        return sum(
            getattr(self.weights_of_losses, name) * part for name, part in parts.items()
        )
