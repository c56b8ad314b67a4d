"""Own names and colours of classes on the command line: lines, copies, videos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskdet.analyzer import TwoStage
from maskdet.cli import detect, main, video
from maskdet.media import encode_png, read_image
from maskdet.resources import resource_path
from tests.fakes import FakeClassifier, FakeDetector, grey

STYLE = {
    "class_names": {"no_mask": "Visage d\u00e9couvert", "unknown": "Collecting info"},
    "class_colours": {"no_mask": "#0000ff"},
}


@pytest.fixture
def style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake = TwoStage(
        FakeDetector([[100.0, 100.0, 180.0, 200.0]], [0.9]),
        FakeClassifier((0.03, 0.96, 0.01)),
    )
    for module in (detect, video):
        monkeypatch.setattr(module, "load_analyzer", lambda *names, **how: fake)
    file = tmp_path / "style.json"
    file.write_text(json.dumps(STYLE))
    return file


def test_detect_names_and_colours_classes_as_asked(style, tmp_path, capsys) -> None:
    picture, out = tmp_path / "a.png", tmp_path / "out"
    picture.write_bytes(encode_png(grey(320, 240)))
    words = ["detect", str(picture), "--style", str(style)]
    assert main([*words, "--out", str(out)]) == 0
    assert "Visage d\u00e9couvert 96 %" in capsys.readouterr().out
    blue = (read_image(out / "a.png") == (255, 0, 0)).all(axis=2)
    assert blue.sum() > 100
    assert main([*words, "--min-confidence", "1"]) == 0
    assert "Collecting info (96 % visage d\u00e9couvert)" in capsys.readouterr().out
    assert main([*words, "--json", "-"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["images"][0]["faces"]
    assert face["label"] == "no_mask"
    assert set(face["probs"]) == {"mask", "no_mask", "incorrect"}


def test_a_video_is_summed_up_and_marked_in_the_same_words(
    style, tmp_path, capsys
) -> None:
    film = resource_path("samples/film.mp4")
    out = tmp_path / "out.mp4"
    words = ["video", str(film), "--style", str(style), "--every", "40"]
    assert main([*words, "--out", str(out)]) == 0
    assert "Visage d\u00e9couvert" in capsys.readouterr().out
    from maskdet.media import open_video

    image = next(iter(open_video(out)))[0]
    blue = np.abs(image.astype(int) - (255, 0, 0)).max(axis=2) < 60
    assert blue.sum() > 50


def test_a_bad_style_is_one_line_and_nothing_is_written(
    style, tmp_path, capsys
) -> None:
    picture, out = tmp_path / "a.png", tmp_path / "out"
    picture.write_bytes(encode_png(grey(320, 240)))
    style.write_text('{"class_colours": {"mask": "green"}}')
    words = ["detect", str(picture), "--style", str(style), "--out", str(out)]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"maskdet: {style}: class_colours: mask must be a colour")
    assert not out.exists()
