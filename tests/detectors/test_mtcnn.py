"""Tests of MTCNN: its networks, sizes and weights."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.data

from maskdet.boxes import iou_matrix
from maskdet.detectors import mtcnn
from maskdet.detectors.mtcnn import MTCNN


@pytest.fixture(scope="module")
def astronaut():
    return np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "size_hw", "build"),
    [
        ("StagePNet", (61, 87), mtcnn.build_pnet),
        ("StageRNet", (24, 24), mtcnn.build_rnet),
        ("StageONet", (48, 48), mtcnn.build_onet),
    ],
)
def test_the_networks_agree_with_the_package(stage, size_hw, build):
    stages = pytest.importorskip("mtcnn.stages")
    rng = np.random.default_rng(0)
    patches = rng.uniform(-1, 1, (3, *size_hw, 3)).astype(np.float32)
    package_outputs = [
        np.asarray(output) for output in getattr(stages, stage)().model(patches)
    ]
    outputs = build().forward(np.ascontiguousarray(patches.transpose(0, 3, 1, 2)))
    assert len(outputs) == len(package_outputs)
    for output, other in zip(outputs[:-1], package_outputs[:-1], strict=True):
        transposed = other.transpose(0, 3, 1, 2) if other.ndim == 4 else other
        assert output == pytest.approx(transposed, abs=1e-4)
    logits = outputs[-1]
    probs = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    assert probs == pytest.approx(package_outputs[-1][..., 1], abs=1e-4)


def shrink_into_frame(image, face_px):
    """Put the image into a 640x480 frame so that its face is `face_px` wide."""
    scale = face_px / 86
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full((480, 640, 3), 127, np.uint8)
    frame[100 : 100 + small.shape[0], 300 : 300 + small.shape[1]] = small
    face = np.array([[182, 75, 268, 179]], np.float32) * scale
    return frame, face + np.array([300, 100, 300, 100], np.float32)


def best_iou(detector, frame, face):
    faces = detector.detect(frame)
    faces = faces[faces.scores > 0.5]
    return float(iou_matrix(faces.boxes, face).max()) if len(faces) else 0.0


def test_faces_are_detected_down_to_min_face_px(astronaut, monkeypatch):
    frame, face = shrink_into_frame(astronaut, 22)
    assert best_iou(MTCNN(), frame, face) > 0.5
    monkeypatch.setattr("maskdet.detectors.mtcnn._MIN_FACE_PX", 60)
    assert best_iou(MTCNN(), frame, face) == 0


def test_boxes_of_a_large_image_are_in_its_pixels(astronaut):
    frame, face = shrink_into_frame(astronaut, 50)
    large = cv2.resize(frame, (3200, 2400), interpolation=cv2.INTER_LINEAR)
    assert best_iou(MTCNN(), large, face * 5) > 0.7


def test_boxes_at_the_border_are_clipped(astronaut):
    cut = np.ascontiguousarray(astronaut[90:, 200:])
    faces = MTCNN().detect(cut)
    assert faces.scores[0] > 0.5
    assert faces.boxes[0, :2] == pytest.approx((0, 0), abs=6)


def install_fake_package(tmp_path, monkeypatch, content: bytes | None):
    """Install a fake package mtcnn with this P-Net file, or without one."""
    folder = tmp_path / "mtcnn" / "assets" / "weights"
    folder.mkdir(parents=True)
    (tmp_path / "mtcnn" / "__init__.py").touch()
    if content is not None:
        (folder / "pnet.lz4").write_bytes(content)
    monkeypatch.delitem(sys.modules, "mtcnn", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_package_without_weights_gives_a_hint(tmp_path, monkeypatch):
    install_fake_package(tmp_path, monkeypatch, None)
    with pytest.raises(FileNotFoundError, match=r"pip install .mtcnn==1\.0\.0"):
        MTCNN()


def test_altered_weights_are_never_loaded(tmp_path, monkeypatch):
    install_fake_package(tmp_path, monkeypatch, b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(RuntimeError, match=r"is not the file of mtcnn 1\.0\.0: sha256"):
        MTCNN()


def test_neither_the_package_nor_tensorflow_is_imported():
    code = (
        "import sys; from maskdet.detectors import load_detector; "
        "load_detector('mtcnn'); "
        "print(*[name for name in ('tensorflow', 'mtcnn') if name in sys.modules])"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.split() == []
