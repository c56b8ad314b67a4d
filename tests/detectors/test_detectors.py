"""Tests of loading detectors by name, and of options of single detectors."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import skimage.data

from maskdet.detectors import load_detector
from maskdet.detectors.haar import CASCADES, HAAR_PRESETS, Haar
from maskdet.detectors.yunet import YuNet
from tests.helpers.fake_networks.weights import (
    PUBLISHED,
    parametrize_kinds,
    use_weights,
)


@pytest.fixture(scope="module")
def astronaut():
    return np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ValueError,
        match="centerface, haar, haar-live, mtcnn, ssd, yunet, not 'frontal'",
    ):
        load_detector("frontal")


def test_the_presets_have_the_published_values():
    image, live = HAAR_PRESETS["image"], HAAR_PRESETS["live"]
    assert (image.width_px, image.scale_factor, image.min_neighbours) == (600, 1.05, 4)
    assert (live.width_px, live.scale_factor, live.min_neighbours) == (500, 1.1, 5)
    assert (image.cascades, live.cascades) == (("alt2", "default"), ("alt2",))
    assert image.min_face_px == live.min_face_px == 40


@pytest.mark.parametrize("preset", HAAR_PRESETS)
@pytest.mark.parametrize("cascade", CASCADES)
def test_each_cascade_detects_the_face(preset, cascade, astronaut):
    alone = dataclasses.replace(HAAR_PRESETS[preset], cascades=(cascade,))
    faces = Haar(alone).detect(astronaut)
    left, top, right, bottom = faces.boxes[0]
    assert left < 225 < right
    assert top < 110 < bottom
    assert faces.scores[0] > 0.5


def test_detections_of_two_cascades_are_merged(astronaut):
    both = dataclasses.replace(HAAR_PRESETS["live"], cascades=tuple(CASCADES))
    faces = Haar(both).detect(astronaut)
    assert (faces.scores > 0.5).sum() == 1


def test_opencv_without_cascades_gives_a_hint(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2.data, "haarcascades", f"{tmp_path}/")
    with pytest.raises(FileNotFoundError, match="opencv-python-headless"):
        Haar()


@parametrize_kinds("yunet")
def test_yunet_detects_smaller_faces_at_a_larger_input_size(kind, astronaut):
    small = cv2.resize(astronaut, (64, 64), interpolation=cv2.INTER_AREA)
    frame = np.full((480, 640, 3), 127, np.uint8)
    if kind == PUBLISHED:
        frame[100:164, 300:364] = small
    else:
        frame[96:104, 304:312] = (0, 255, 0)
    with use_weights(kind):
        large_input, small_input = YuNet(1280).detect(frame), YuNet(160).detect(frame)
    assert large_input.scores[0] > 0.5
    assert len(small_input) == 0 or small_input.scores[0] < 0.5
