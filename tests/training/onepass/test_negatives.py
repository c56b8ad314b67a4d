"""Images without a face: which are held out, which are shown, what stands in them."""

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
    whole = {"images": rows, "annotations": list(faces), "categories": []}
    path.write_text(json.dumps(whole))
    return path


def test_a_part_of_each_kind_and_some_kinds_as_a_whole_are_held_out(tmp_path):
    path = write_negatives(tmp_path, ["room"] * 24 + ["cat"] * 4)
    found = read_negatives([path], ["cat"])
    kinds = [one.source for one in found.held_out]
    assert kinds.count("cat") == 4
    assert {one.source for one in found.train} == {"room"}
    assert 1 <= kinds.count("room") <= 12
    assert len(found.train) + len(found.held_out) == 28
    again = read_negatives([path], ["cat"])
    assert len(again.held_out) == len(found.held_out)
    shares = [is_held_out(f"image-{number}.jpg") for number in range(2000)]
    assert np.mean(shares) == pytest.approx(0.25, abs=0.03)
    assert all(one.boxes.shape == (0, 4) for one in found.train)


def test_a_folder_will_do_and_what_is_wrong_is_said(tmp_path):
    folder = tmp_path / "walls"
    folder.mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        read_negatives([folder])
    for number in range(8):
        write_image(folder / f"{number}.png", number, 160, 120)
    found = read_negatives([folder])
    assert {one.source for one in (*found.train, *found.held_out)} == {"walls"}
    with pytest.raises(ValueError, match="no negative is of the kind 'sea'"):
        read_negatives([folder], ["sea"])
    path = write_negatives(tmp_path, ["room"], [{"id": 0}])
    with pytest.raises(ValueError, match="lists 1 boxes; negatives must show no face"):
        read_negatives([path])


def test_what_the_network_is_wrong_about_is_shown_more_often_but_nothing_never():
    mined = MinedNegatives(np.float32([0.9, 0.1, 0.0]), np.zeros((3, 4), np.float32))
    chances = mined.compute_probabilities()
    assert chances.sum() == pytest.approx(1)
    assert chances[0] > 10 * chances[1] > 10 * chances[2] > 0


def test_false_positives_are_shares_of_pictures():
    scores = np.float32([0.9, 0.55])
    found = [Faces(np.zeros((2, 4), np.float32), scores), Faces.empty()]
    best = highest_scores(found)
    assert best.tolist() == pytest.approx([0.9, 0])
    assert compute_false_positive_rates(best) == {"0.5": 0.5, "0.6": 0.5, "0.7": 0.5}
    assert compute_false_positive_rates(np.float32([0.5, 0.65])) == {
        "0.5": 1.0,
        "0.6": 0.5,
        "0.7": 0.0,
    }
    assert compute_false_positive_rates(np.zeros(0, np.float32)) == {}


def test_a_face_is_laid_into_a_picture_and_the_truth_says_where():
    giver = make_packed_image([[60, 40, 100, 90]], [2])
    wall = make_packed_image([])
    before = wall.image.copy()
    both = paste_face(wall, giver, 0, rng(1))
    np.testing.assert_array_equal(wall.image, before)
    assert both.labels.tolist() == [2]
    x1, y1, x2, y2 = np.rint(both.boxes[0]).astype(int)
    assert (x2 - x1) / (y2 - y1) == pytest.approx(40 / 50, abs=0.1)
    inside = both.image[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].mean()
    assert inside > before.mean() + 60
    changed = (both.image != before).any(axis=2)
    assert changed.mean() < 0.5
    twice = paste_face(both, giver, 0, rng(2))
    assert len(twice.boxes) in {1, 2}  # there may be no room left
    np.testing.assert_array_equal(twice.boxes[0], both.boxes[0])


def test_a_face_that_is_cut_off_or_not_alone_is_not_laid():
    for boxes in ([[0, 40, 40, 90]], [[40, 40, 80, 90], [85, 40, 120, 90]]):
        wall = make_packed_image([])
        assert paste_face(wall, make_packed_image(boxes), 0, rng(1)) is wall
    unknown = make_packed_image([[60, 40, 100, 90]], [-1])
    wall = make_packed_image([])
    assert paste_face(wall, unknown, 0, rng(1)) is wall


def test_scraps_are_cut_where_the_network_saw_a_face():
    scene = make_packed_image([[60, 40, 100, 90]])
    scrap = cut_patch_around(scene, scene.boxes[0], rng(1))
    assert scrap is not None
    assert scrap.mean() > scene.image.mean() + 40
    assert cut_patch_around(scene, np.zeros(4, np.float32), rng(1)) is None


def test_a_view_of_a_negative_is_whole_or_a_part_and_has_no_truth():
    rules = dataclasses.replace(SampleConfig(), distracted=0.0)
    views = [
        make_negative_sample(make_packed_image([]), 64, rng(seed), rules)
        for seed in range(40)
    ]
    assert {view.image.shape for view in views} == {(64, 64, 3)}
    assert all(len(view.targets) == 0 for view in views)
    borders = [(view.image == 0).all(axis=2).mean() > 0.1 for view in views]
    assert 8 < sum(borders) < 40  # the image is wider than high: whole, it has some


def test_the_sampler_shows_negatives_as_often_as_it_is_told(monkeypatch):
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
    truth = sampler.make_batch(0, 0).targets
    without = (truth[..., 4] == 0).all(axis=1).mean()
    assert without == pytest.approx(0.25 * 0.75, abs=0.09)  # some have faces laid in
    everywhere = (
        dataclasses.replace(sampler, negative_fraction=1.0).make_batch(0, 1).images
    )
    means = everywhere.mean(axis=(1, 2, 3))
    assert (means > 40).mean() > 0.7  # the white one: the network is wrong about it
    again = sampler.make_batch(0, 0).targets
    np.testing.assert_array_equal(truth, again)
