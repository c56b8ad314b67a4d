"""Images without a face: held-out images, mining, pasted faces, sampling."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from maskdet.training.onepass.augment import cut_patch_around, paste_face
from maskdet.training.onepass.batches import (
    OnePassSampler,
    SampleConfig,
    make_negative_sample,
)
from maskdet.training.onepass.data import (
    MinedNegatives,
    PackedImages,
    compute_false_positive_rates,
    highest_scores,
    is_held_out,
    read_negatives,
)
from maskdet.types import Faces
from tests.helpers.datasets import write_image
from tests.training.onepass.fakes import make_packed_image


def rng(seed=0):
    return np.random.default_rng(seed)


def write_negatives(folder, kinds, faces=()):
    rows = []
    for number, kind in enumerate(kinds):
        file = f"{kind}-{number}.png"
        write_image(folder / file, number, 160, 120)
        size = {"file_name": file, "width": 160, "height": 120}
        rows.append({"id": number, "kind": kind, **size})
    path = folder / "things-train.json"
    coco = {"images": rows, "annotations": list(faces), "categories": []}
    path.write_text(json.dumps(coco))
    return path


def test_a_part_of_each_kind_and_some_complete_kinds_are_held_out(tmp_path):
    path = write_negatives(tmp_path, ["room"] * 24 + ["cat"] * 4)
    negatives = read_negatives([path], ["cat"])
    kinds = [image.source for image in negatives.held_out]
    assert kinds.count("cat") == 4
    assert {image.source for image in negatives.train} == {"room"}
    assert 1 <= kinds.count("room") <= 12
    assert len(negatives.train) + len(negatives.held_out) == 28
    again = read_negatives([path], ["cat"])
    assert len(again.held_out) == len(negatives.held_out)
    flags = [is_held_out(f"image-{number}.jpg") for number in range(2000)]
    assert np.mean(flags) == pytest.approx(0.25, abs=0.03)
    assert all(image.boxes.shape == (0, 4) for image in negatives.train)


def test_folders_are_read_and_invalid_negatives_are_rejected(tmp_path):
    folder = tmp_path / "walls"
    folder.mkdir()
    with pytest.raises(ValueError, match="folder contains no images"):
        read_negatives([folder])
    for number in range(8):
        write_image(folder / f"{number}.png", number, 160, 120)
    negatives = read_negatives([folder])
    assert {image.source for image in (*negatives.train, *negatives.held_out)} == {
        "walls"
    }
    with pytest.raises(ValueError, match="no negative image has the kind 'sea'"):
        read_negatives([folder], ["sea"])
    path = write_negatives(tmp_path, ["room"], [{"id": 0}])
    with pytest.raises(
        ValueError, match="file has 1 boxes, but negatives must not show"
    ):
        read_negatives([path])


def test_images_with_false_positives_are_sampled_more_often():
    mined = MinedNegatives(np.float32([0.9, 0.1, 0.0]), np.zeros((3, 4), np.float32))
    probabilities = mined.compute_probabilities()
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[0] > 10 * probabilities[1] > 10 * probabilities[2] > 0


def test_false_positive_rates_are_fractions_of_images():
    scores = np.float32([0.9, 0.55])
    detections = [Faces(np.zeros((2, 4), np.float32), scores), Faces.empty()]
    best = highest_scores(detections)
    assert best.tolist() == pytest.approx([0.9, 0])
    assert compute_false_positive_rates(best) == {"0.5": 0.5, "0.6": 0.5, "0.7": 0.5}
    assert compute_false_positive_rates(np.float32([0.5, 0.65])) == {
        "0.5": 1.0,
        "0.6": 0.5,
        "0.7": 0.0,
    }
    assert compute_false_positive_rates(np.zeros(0, np.float32)) == {}


def test_a_face_is_pasted_with_its_target():
    donor = make_packed_image([[60, 40, 100, 90]], [2])
    negative = make_packed_image([])
    before = negative.image.copy()
    pasted = paste_face(negative, donor, 0, rng(1))
    np.testing.assert_array_equal(negative.image, before)
    assert pasted.labels.tolist() == [2]
    x1, y1, x2, y2 = np.rint(pasted.boxes[0]).astype(int)
    assert (x2 - x1) / (y2 - y1) == pytest.approx(40 / 50, abs=0.1)
    inside = pasted.image[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].mean()
    assert inside > before.mean() + 60
    changed = (pasted.image != before).any(axis=2)
    assert changed.mean() < 0.5
    twice = paste_face(pasted, donor, 0, rng(2))
    assert len(twice.boxes) in {1, 2}  # there may be no free space
    np.testing.assert_array_equal(twice.boxes[0], pasted.boxes[0])


def test_a_face_that_is_cut_off_or_not_alone_is_not_pasted():
    for boxes in ([[0, 40, 40, 90]], [[40, 40, 80, 90], [85, 40, 120, 90]]):
        negative = make_packed_image([])
        assert paste_face(negative, make_packed_image(boxes), 0, rng(1)) is negative
    unknown = make_packed_image([[60, 40, 100, 90]], [-1])
    negative = make_packed_image([])
    assert paste_face(negative, unknown, 0, rng(1)) is negative


def test_patches_are_cut_around_a_false_positive():
    scene = make_packed_image([[60, 40, 100, 90]])
    patch = cut_patch_around(scene, scene.boxes[0], rng(1))
    assert patch is not None
    assert patch.mean() > scene.image.mean() + 40
    assert cut_patch_around(scene, np.zeros(4, np.float32), rng(1)) is None


def test_a_negative_sample_is_the_whole_image_or_a_part_without_targets():
    config = dataclasses.replace(SampleConfig(), distracted=0.0)
    samples = [
        make_negative_sample(make_packed_image([]), 64, rng(seed), config)
        for seed in range(40)
    ]
    assert {sample.image.shape for sample in samples} == {(64, 64, 3)}
    assert all(len(sample.targets) == 0 for sample in samples)
    borders = [(sample.image == 0).all(axis=2).mean() > 0.1 for sample in samples]
    assert 8 < sum(borders) < 40  # the whole image is wider than high, so it is padded


def test_the_sampler_uses_the_fraction_of_negatives(monkeypatch):
    monkeypatch.setattr("maskdet.training.onepass.batches.MOSAIC_GRIDS", {1: 1.0})
    monkeypatch.setattr("maskdet.training.onepass.batches.SAMPLE_SIDES_PX", {64: 1.0})
    monkeypatch.setattr("maskdet.training.onepass.batches.EMPTY_FRACTION", 0.0)
    scenes = PackedImages.pack([make_packed_image([[60, 40, 100, 90]])])
    black = make_packed_image([])
    black.image[:] = 0
    white = dataclasses.replace(black, image=black.image + 255)
    mined = MinedNegatives(
        np.float32([0.0, 1.0]), np.float32([[0, 0, 0, 0], [9, 9, 60, 60]])
    )
    sampler = OnePassSampler(
        scenes, 200, 1, negatives=(black, white), negative_fraction=0.25
    )
    sampler = dataclasses.replace(sampler, mined=mined)
    targets = sampler.make_batch(0, 0).targets
    without = (targets[..., 4] == 0).all(axis=1).mean()
    assert without == pytest.approx(0.25 * 0.75, abs=0.09)  # some have pasted faces
    only_negatives = (
        dataclasses.replace(sampler, negative_fraction=1.0).make_batch(0, 1).images
    )
    means = only_negatives.mean(axis=(1, 2, 3))
    assert (means > 40).mean() > 0.7  # the white image has the false positive
    again = sampler.make_batch(0, 0).targets
    np.testing.assert_array_equal(targets, again)
