"""Assignment of faces to cells, and encoding as the inverse of decoding."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.analyzers.onepass import decode_maps
from tests.training.onepass.fakes import (
    BOXES,
    LABELS,
    encode_maps,
    make_blank_maps,
    make_target_rows,
)

pytestmark = pytest.mark.slow


def assign(maps, targets):
    from maskdet.training.onepass.targets import assign_cells, flatten_maps

    return assign_cells(flatten_maps(maps), targets)


def test_decoding_is_the_inverse_of_encoding():

    boxes, scores, probs = decode_maps(encode_maps(BOXES, LABELS, (256, 256)), 0.5)
    order = np.argsort(boxes[:, 0])
    expected = np.argsort(BOXES[:, 0])
    np.testing.assert_allclose(boxes[order], BOXES[expected], atol=1e-3)
    assert probs[order].argmax(axis=1).tolist() == LABELS[expected].tolist()
    assert scores.min() > 0.99


def test_training_and_analyzer_decode_alike():
    from maskdet.training.onepass.targets import flatten_maps

    rng = np.random.default_rng(3)
    maps = [
        rng.normal(0, 1, blank.shape).astype(np.float32)
        for blank in make_blank_maps(64)
    ]
    expected, _, _ = decode_maps([feature_map[0] for feature_map in maps], 0.0)
    boxes = np.asarray(flatten_maps(maps).boxes)[0]
    np.testing.assert_allclose(boxes, expected, rtol=1e-5, atol=1e-3)


def test_a_face_is_assigned_to_its_cells_at_the_best_stride():
    maps = make_blank_maps(128)
    maps[1][0, 2, 3, 2:6] = [0.5, 0.5, np.log(2), np.log(2)]  # 40..72, 24..56
    cell_targets = assign(maps, make_target_rows([[40, 24, 72, 56]]))
    positive = np.asarray(cell_targets.positive)[0]
    coarse = positive[256 : 256 + 64].reshape(8, 8)
    assert coarse[2, 3] == 1
    assert 1 <= positive.sum() <= 10
    np.testing.assert_allclose(np.asarray(cell_targets.iou)[0].max(), 1.0, atol=1e-5)


def test_each_face_has_its_own_cells():
    boxes = [[16, 16, 48, 48], [20, 18, 52, 50], [90, 90, 100, 102]]
    cell_targets = assign(make_blank_maps(128), make_target_rows(boxes))
    positive = np.asarray(cell_targets.positive)[0] > 0
    owners = np.asarray(cell_targets.targets)[0][positive][:, :4]
    assigned_boxes = {tuple(owner) for owner in owners.tolist()}
    assert assigned_boxes == {tuple(map(float, box)) for box in boxes}


def test_padding_has_no_cell_and_an_ignored_face_no_loss():
    targets = np.concatenate(
        [make_target_rows([[30, 30, 36, 36]], -1.0), np.zeros((1, 3, 10))], axis=1
    )
    cell_targets = assign(make_blank_maps(64), targets.astype(np.float32))
    assert np.asarray(cell_targets.positive).sum() == 0
    ignored = np.asarray(cell_targets.ignored)[0]
    assert ignored[4 * 8 + 4] == 1
    assert ignored[0] == 0


def test_targets_are_padded_to_a_multiple_of_eight():
    from maskdet.training.onepass.batches import stack_targets

    nine_faces, no_faces = np.ones((9, 10), np.float32), np.zeros((0, 10), np.float32)
    targets = stack_targets([nine_faces, no_faces])
    assert targets.shape == (2, 16, 10)
    assert targets[0].sum() == 90
    assert targets[1].sum() == 0
