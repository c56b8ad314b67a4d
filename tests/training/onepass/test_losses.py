"""Losses of the single-stage network on constructed maps."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.onepass.fakes import (
    BOXES,
    LABELS,
    encode_maps,
    make_blank_maps,
    make_target_rows,
)

pytestmark = pytest.mark.slow


def compute_losses(maps, targets):
    from maskdet.training.onepass.losses import compute_onepass_losses

    return {
        name: float(loss)
        for name, loss in compute_onepass_losses(maps, targets).items()
    }


def test_an_image_without_faces_has_a_finite_loss():
    for targets in (
        np.zeros((1, 8, 10), np.float32),
        make_target_rows([[3, 3, 8, 8]], -1.0),
    ):
        losses = compute_losses(make_blank_maps(64), targets)
        assert np.isfinite(list(losses.values())).all()
        assert losses["box"] == losses["cls"] == losses["mask"] == 0
        assert losses["obj"] > 0


def test_a_batch_with_few_faces_does_not_have_more_weight():
    from maskdet.training.onepass.losses import _MIN_POSITIVE_CELLS

    maps = make_blank_maps(64, n=4)
    none = compute_losses(maps, np.zeros((4, 8, 10), np.float32))["obj"]
    cells = 4 * (8 * 8 + 4 * 4 + 2 * 2)
    expected = cells * np.log1p(np.exp(-4.0)) / (_MIN_POSITIVE_CELLS * 4)
    assert none == pytest.approx(expected, rel=1e-3)


def test_wrong_labels_increase_only_the_class_loss():

    boxes, labels = BOXES[1:3], LABELS[1:3]
    maps = [feature_map[None] for feature_map in encode_maps(boxes, labels, (256, 256))]
    targets = np.concatenate(
        [make_target_rows(boxes[:1], label=1), make_target_rows(boxes[1:], label=2)],
        axis=1,
    )
    # The other cells of a face have no box, so only differences are compared.
    good = compute_losses(maps, targets)
    swapped = targets.copy()
    swapped[..., 5:8] = targets[..., [6, 7, 5]]
    bad = compute_losses(maps, swapped)
    assert bad["mask"] > good["mask"] + 5
    assert bad["obj"] == pytest.approx(good["obj"])
    assert bad["box"] == pytest.approx(good["box"])


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([0, 0, 10, 10], 0.0),
        # IoU 1/3; centre offset 5, enclosing box 15 x 10, equal sides
        ([5, 0, 15, 10], 1 - 1 / 3 + 25 / 325),
        # IoU 1/4; half the sides, enclosing box 10 x 10, centre offset 2.5 each way
        ([0, 0, 5, 5], 1 - 1 / 4 + 12.5 / 200 + 25 / 100 + 25 / 100),
    ],
)
def test_eiou_agrees_with_the_paper(predicted, expected):
    from maskdet.training.onepass.losses import compute_eiou_loss

    targets = np.array([[0, 0, 10, 10]], np.float32)
    loss = compute_eiou_loss(np.array([predicted], np.float32), targets)
    assert float(loss[0]) == pytest.approx(expected, abs=1e-5)


def test_an_ignored_face_does_not_add_loss():
    maps = make_blank_maps(64)
    maps[0][0, 4, 4, :2] = 6.0  # a confident detection at 32..40
    background = compute_losses(maps, np.zeros((1, 8, 10), np.float32))
    ignored = compute_losses(maps, make_target_rows([[28, 28, 44, 44]], -1.0))
    assert background["obj"] > ignored["obj"] + 1


def test_a_label_with_zero_weight_has_no_loss():
    maps, targets = make_blank_maps(64), make_target_rows([[16, 16, 48, 48]])
    targets[..., 8] = 0
    assert compute_losses(maps, targets)["mask"] == 0
