"""Which cell has which task, and that encoding is the opposite of decoding."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.analyzers.onepass import decode_maps
from tests.training.onepass.fakes import (
    BOXES,
    LABELS,
    make_blank_maps,
    make_target_rows,
)

pytestmark = pytest.mark.slow


def assigned(maps, truth):
    from maskdet.training.onepass.targets import assign_cells, flatten_maps

    return assign_cells(flatten_maps(maps), truth)


def test_decoding_gives_back_what_was_encoded_to_a_thousandth():
    from maskdet.training.onepass.targets import encode_maps

    boxes, scores, probs = decode_maps(encode_maps(BOXES, LABELS, (256, 256)), 0.5)
    order = np.argsort(boxes[:, 0])
    wanted = np.argsort(BOXES[:, 0])
    np.testing.assert_allclose(boxes[order], BOXES[wanted], atol=1e-3)
    assert probs[order].argmax(axis=1).tolist() == LABELS[wanted].tolist()
    assert scores.min() > 0.99


def test_the_training_side_decodes_as_the_product_does():
    from maskdet.training.onepass.targets import flatten_maps

    rng = np.random.default_rng(3)
    maps = [
        rng.normal(0, 1, one.shape).astype(np.float32) for one in make_blank_maps(64)
    ]
    wanted, _, _ = decode_maps([one[0] for one in maps], 0.0)
    found = np.asarray(flatten_maps(maps).boxes)[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-3)


def test_a_face_goes_to_cells_in_it_and_to_the_stride_that_already_sees_it():
    maps = make_blank_maps(128)
    maps[1][0, 2, 3, 2:6] = [0.5, 0.5, np.log(2), np.log(2)]  # 40..72, 24..56
    task = assigned(maps, make_target_rows([[40, 24, 72, 56]]))
    positive = np.asarray(task.positive)[0]
    coarse = positive[256 : 256 + 64].reshape(8, 8)
    assert coarse[2, 3] == 1
    assert 1 <= positive.sum() <= 10
    np.testing.assert_allclose(np.asarray(task.overlap)[0].max(), 1.0, atol=1e-5)


def test_two_faces_never_share_a_cell_and_each_has_one():
    boxes = [[16, 16, 48, 48], [20, 18, 52, 50], [90, 90, 100, 102]]
    task = assigned(make_blank_maps(128), make_target_rows(boxes))
    positive = np.asarray(task.positive)[0] > 0
    owners = np.asarray(task.truth)[0][positive][:, :4]
    found = {tuple(owner) for owner in owners.tolist()}
    assert found == {tuple(map(float, box)) for box in boxes}


def test_padding_has_no_cell_and_an_ignored_face_is_left_alone():
    truth = np.concatenate(
        [make_target_rows([[30, 30, 36, 36]], -1.0), np.zeros((1, 3, 10))], axis=1
    )
    task = assigned(make_blank_maps(64), truth.astype(np.float32))
    assert np.asarray(task.positive).sum() == 0
    ignored = np.asarray(task.ignored)[0]
    assert ignored[4 * 8 + 4] == 1
    assert ignored[0] == 0


def test_truths_are_filled_up_to_a_round_number():
    from maskdet.training.onepass.batches import stack_targets

    one, none = np.ones((9, 10), np.float32), np.zeros((0, 10), np.float32)
    truth = stack_targets([one, none])
    assert truth.shape == (2, 16, 10)
    assert truth[0].sum() == 90
    assert truth[1].sum() == 0
