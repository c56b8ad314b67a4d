from __future__ import annotations

import io
import json
import re
import zipfile

import numpy as np
import pytest

from maskdet.drawing import blur_faces
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Label
from maskdet.web.image import results
from maskdet.web.image.cache import AnalyzedImage
from maskdet.web.widgets import legend_html, scene_cards_html
from maskdet.wording import PERCENT
from tests.helpers.analyzed_images import (
    decode_image,
    make_broken_result,
    make_result,
    make_view,
    pixel_changes,
)


def test_totals_count_faces_by_label_and_images_without_a_face() -> None:
    sure, unsure = Settings(min_score=0.3), Settings(min_score=0.3, min_confidence=0.9)
    image_results = [
        make_result(sure),
        make_result(unsure),
        make_result(Settings(min_score=1)),
        make_broken_result(),
    ]
    total = results.compute_totals(image_results)
    assert (total.n_images, total.n_without_face) == (3, 1)
    assert total.label_counts[Label.MASK] == 0  # 55 % lies below the usual 60 %
    image_results = [
        make_result(Settings(min_score=0.3, min_confidence=0.5)),
        *image_results,
    ]
    total = results.compute_totals(image_results)
    assert total.label_counts[Label.MASK] == 2
    assert total.label_counts[Label.UNKNOWN] == 4
    assert total.mask_rate_text == "100 %"
    assert results.compute_totals([]).mask_rate_text == "-"


def test_the_summary_counts_faces_by_label() -> None:
    shown = make_result(Settings(min_score=0.3, min_confidence=0.5))
    assert results.summarize_scene(shown.scene) == "2 faces: 2 Mask"
    assert (
        results.summarize_scene(make_result(Settings(min_score=1)).scene)
        == "no face detected"
    )


THRESHOLD, MIN_SIZE = (
    re.escape(f"**{title}** to ")
    for title in ("Face detection threshold", "Minimum face size")
)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            Settings(min_score=0.95),
            rf"Lower {THRESHOLD}0\.89: .*has 0\.90, the threshold is 0\.95",
        ),
        (
            Settings(min_face_px=55),
            rf"Lower {MIN_SIZE}50 px: .*has 50 px and a score of 0\.90",
        ),
        (
            Settings(min_score=0.95, min_face_px=55),
            rf"Lower {MIN_SIZE}50 px and {THRESHOLD}0\.89",
        ),
    ],
)
def test_tips_suggest_thresholds_that_accept_a_face(
    settings: Settings, line: str
) -> None:
    shown = make_result(settings)
    assert len(shown.scene) == 0
    tips = results.suggest_changes(shown.analyzed, settings)
    assert re.search(line, tips[0])
    assert "200 x 100" in tips[-1]
    score = re.search(rf"{THRESHOLD}(\d\.\d+)", tips[0])
    size = re.search(rf"{MIN_SIZE}(\d+)", tips[0])
    followed = Settings(
        min_score=float(score[1]) if score else settings.min_score,
        min_face_px=float(size[1]) if size else settings.min_face_px,
    )
    assert len(shown.analyzed.raw_scene.filter(followed)) >= 1


def test_tips_without_any_candidate() -> None:
    analyzed = AnalyzedImage(width=20, height=10)
    assert "0.10" in results.suggest_changes(analyzed, Settings())[0]
    assert "12 pixels" in results.suggest_changes(analyzed, Settings())[-1]


def test_json_and_csv_match_the_page() -> None:
    shown = make_result(Settings(min_score=0.3, min_confidence=0.5))
    document = json.loads(results.results_json([shown, make_broken_result()]))
    assert document["version"] == 1
    first, second = document["images"]
    assert (first["path"], first["width"], first["height"]) == ("a.png", 200, 100)
    assert first["error"] is None
    assert [face["label"] for face in first["faces"]] == ["mask", "mask"]
    assert first["faces"][0]["box"] == [10, 10, 60, 70]
    assert first["faces"][0]["probs"] == pytest.approx(
        {"mask": 0.55, "no_mask": 0.35, "incorrect": 0.1}
    )
    assert "not an image" in second["error"]
    assert second["faces"] == []
    assert len(results.results_csv([shown]).splitlines()) == 3


def test_the_zip_has_every_annotated_image_and_the_results() -> None:
    same, evil = make_result(), make_result(name="../../etc/<b>evil</b>.png")
    content = results.build_results_zip(
        [same, same, evil, make_broken_result()], Style()
    )
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        assert files.testzip() is None
        assert files.namelist() == [
            "results.json",
            "results.csv",
            "001-a-annotated.png",
            "002-a-annotated.png",
            "003-b-annotated.png",
        ]
        assert len(json.loads(files.read("results.json"))["images"]) == 4
        png = decode_image(files.read("001-a-annotated.png"))
    assert png.shape == (100, 200, 3)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("me.jpg", "`me.jpg`"),
        ("<img src=x onerror=alert(1)>.png", "`<img src=x onerror=alert(1)>.png`"),
        ("a`b[c](http://d).png", "`a'b[c](http://d).png`"),
        ("two\nlines.png", "`two\\nlines.png`"),
        ("\u202egnp.exe", "`\\u202egnp.exe`"),
    ],
)
def test_names_are_shown_literally(name: str, shown: str) -> None:
    assert results.to_code_markdown(name) == shown


def test_long_names_are_shortened_and_keep_their_end() -> None:
    short = results.shorten_name("x" * 200 + "-holiday.png")
    assert len(short) == 60
    assert short.endswith("-holiday.png")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("me.jpg", "me"),
        ("my photo (1).png", "my-photo-1"),
        ("../../x/y.png", "y"),
        ("\u65e5\u672c.png", "image"),
        ("", "image"),
    ],
)
def test_downloads_get_safe_file_names(name: str, stem: str) -> None:
    assert results.to_file_stem(name) == stem


def test_cards_show_a_bar_for_each_probability() -> None:
    shown = make_result(Settings(min_score=0.3))
    html = scene_cards_html(shown.scene, shown.select_crops(make_view(shown)), Style())
    assert html.count("<figure>") == 2
    assert html.count(f"<span>55{PERCENT}</span>") == 2
    assert html.count('style="width:35%;background:#e60000"') == 2
    assert f"1 · Unsure (55{PERCENT} " in html
    fewer = scene_cards_html(
        shown.scene, shown.select_crops(make_view(shown))[:1], Style()
    )
    assert fewer.count("<figure>") == 1


def test_face_crops_are_blurred_completely_if_blur_is_on() -> None:
    shown = make_result(Settings(min_score=0.3))
    sharp = shown.select_crops(make_view(shown))
    coarse = shown.select_crops(make_view(shown, blur=True))
    assert len(sharp) == len(coarse) == 2
    for clear, blurry in zip(sharp, coarse, strict=True):
        whole = np.array([[0, 0, *decode_image(clear).shape[1::-1]]], np.float32)
        squares = blur_faces(decode_image(clear), whole)
        assert np.median(pixel_changes(squares, decode_image(blurry))) < 4
        assert np.median(pixel_changes(squares, decode_image(clear))) > 5


def test_the_legend_names_every_label() -> None:
    html = legend_html(Style(palette="colour-blind"))
    for label in Label:
        assert label.title in html


def test_a_zip_that_would_be_too_large_says_what_is_missing(monkeypatch) -> None:
    shown = [make_result(name=f"{n}.png") for n in range(4)]
    size = len(results.annotated_png(shown[0], Style()))
    monkeypatch.setattr(results, "_MAX_ARCHIVE_BYTES", int(2.9 * size))
    archive = io.BytesIO(results.build_results_zip(shown, Style()))
    with zipfile.ZipFile(archive) as files:
        images = [name for name in files.namelist() if name.endswith(".png")]
        assert 1 <= len(images) <= 2
        line = files.read("README.txt").decode()
        assert f"from number {len(images) + 1} on are left out" in line
        assert len(json.loads(files.read("results.json"))["images"]) == 4
