"""`--tiles`: tiled analysis of large images, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.cli import detect, main
from maskdet.media import encode_jpeg, encode_png, read_image
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    path = tmp_path / "far.png"
    path.write_bytes(encode_png(make_grey_image(100, 90)))
    return path


# 100 x 90 pixels: one tile of 640, or the whole image and two rows of two tiles of 64.
@pytest.mark.parametrize(
    ("words", "n_calls"), [([], 1), (["--tiles"], 1), (["--tiles", "64"], 5)]
)
def test_a_large_image_is_analyzed_in_tiles(image_file, monkeypatch, words, n_calls):
    detector = FakeDetector([[5, 5, 45, 55]], [0.9])
    analyzer = TwoStage(detector, FakeClassifier())
    monkeypatch.setattr(detect, "load_analyzer", lambda *args, **how: analyzer)
    assert main(["detect", str(image_file), *words]) == 0
    assert detector.calls == n_calls


@pytest.mark.parametrize("side", ["63", "many"])
def test_tiles_too_small_are_a_usage_error(image_file, side, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["detect", str(image_file), "--tiles", side])
    assert stopped.value.code == 2
    assert "at least 64" in capsys.readouterr().err


def test_the_sample_faces_stay_the_same_when_they_are_enlarged(tmp_path, capsys):
    """Regression test: at 3,000 pixels, parts of faces were detected as faces."""
    sample = read_image(ROOT / "samples" / "portrait-bare.jpg")
    path = tmp_path / "large.jpg"
    path.write_bytes(encode_jpeg(cv2.resize(sample, (3000, 3000))))
    assert main(["detect", str(path), "--tiles", "--json", "-"]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert [face["label"] for face in image["faces"]] == ["no_mask"]
