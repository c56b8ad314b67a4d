"""What wrong answers cost, on answers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.onepass.fakes import (
    BOXES,
    LABELS,
    make_blank_maps,
    make_target_rows,
)

pytestmark = pytest.mark.slow


def losses(maps, truth):
    from maskdet.training.onepass.losses import compute_onepass_losses

    return {
        name: float(one) for name, one in compute_onepass_losses(maps, truth).items()
    }


def test_a_picture_without_faces_costs_a_finite_loss():
    for truth in (
        np.zeros((1, 8, 10), np.float32),
        make_target_rows([[3, 3, 8, 8]], -1.0),
    ):
        found = losses(make_blank_maps(64), truth)
        assert np.isfinite(list(found.values())).all()
        assert found["box"] == found["cls"] == found["mask"] == 0
        assert found["obj"] > 0


def test_a_batch_with_few_faces_does_not_weigh_more():
    from maskdet.training.onepass.losses import _MIN_POSITIVE_CELLS

    maps = make_blank_maps(64, n=4)
    none = losses(maps, np.zeros((4, 8, 10), np.float32))["obj"]
    cells = 4 * (8 * 8 + 4 * 4 + 2 * 2)
    wanted = cells * np.log1p(np.exp(-4.0)) / (_MIN_POSITIVE_CELLS * 4)
    assert none == pytest.approx(wanted, rel=1e-3)


def test_perfect_answers_cost_nearly_nothing_and_wrong_labels_only_the_label():
    from maskdet.training.onepass.targets import encode_maps

    boxes, labels = BOXES[1:3], LABELS[1:3]
    maps = [one[None] for one in encode_maps(boxes, labels, (256, 256))]
    truth = np.concatenate(
        [make_target_rows(boxes[:1], label=1), make_target_rows(boxes[1:], label=2)],
        axis=1,
    )
    # Other cells of a face have no box yet; only the one that finds it counts here.
    good = losses(maps, truth)
    swapped = truth.copy()
    swapped[..., 5:8] = truth[..., [6, 7, 5]]
    bad = losses(maps, swapped)
    assert bad["mask"] > good["mask"] + 5
    assert bad["obj"] == pytest.approx(good["obj"])
    assert bad["box"] == pytest.approx(good["box"])


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ([0, 0, 10, 10], 0.0),
        # IoU 1/3; the middle is 5 off in a frame of 15 x 10; same sides
        ([5, 0, 15, 10], 1 - 1 / 3 + 25 / 325),
        # IoU 1/4; half the sides in a frame of 10 x 10, middles 2.5 off each way
        ([0, 0, 5, 5], 1 - 1 / 4 + 12.5 / 200 + 25 / 100 + 25 / 100),
    ],
)
def test_eiou_is_what_the_paper_says(found, wanted):
    from maskdet.training.onepass.losses import compute_eiou_loss

    truth = np.array([[0, 0, 10, 10]], np.float32)
    loss = compute_eiou_loss(np.array([found], np.float32), truth)
    assert float(loss[0]) == pytest.approx(wanted, abs=1e-5)


def test_an_ignored_face_is_not_punished():
    maps = make_blank_maps(64)
    maps[0][0, 4, 4, :2] = 6.0  # sure of a face at 32..40
    free = losses(maps, np.zeros((1, 8, 10), np.float32))
    spared = losses(maps, make_target_rows([[28, 28, 44, 44]], -1.0))
    assert free["obj"] > spared["obj"] + 1


def test_a_label_of_no_weight_is_not_learnt():
    maps, truth = make_blank_maps(64), make_target_rows([[16, 16, 48, 48]])
    truth[..., 8] = 0
    assert losses(maps, truth)["mask"] == 0
