from __future__ import annotations

import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.media import encode_jpeg
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.web.image import cache, results
from maskdet.web.image.cache import ImageCache, ImageView
from maskdet.web.image.results import ImageResult
from tests.helpers.analyzed_images import (
    NAME,
    count_detector_calls,
    decode_image,
    make_ramp_image,
    make_result,
    make_source,
    make_two_stage,
    make_view,
    pixel_changes,
)
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image

SLIDERS = [
    Settings(),
    Settings(min_score=0.1, min_face_px=4, nms_iou=1),
    Settings(min_score=0.3, min_confidence=0.9),
    Settings(min_score=0.85, nms_iou=0),
    Settings(min_face_px=45),
    Settings(min_score=0.0),
    Settings(min_score=0.6, min_face_px=1),
]


@pytest.mark.parametrize("settings", SLIDERS)
def test_cached_results_equal_a_fresh_run(settings: Settings) -> None:
    image_cache, analyzer = ImageCache(), make_two_stage()
    given = make_source(image_cache)
    image_cache.get_or_analyze(given, analyzer, analyzer_name=NAME, settings=Settings())
    cached = image_cache.get_or_analyze(
        given, analyzer, analyzer_name=NAME, settings=settings
    )
    fresh = make_two_stage().analyze(make_ramp_image(), settings)
    shown = cached.raw_scene.filter(settings)
    assert shown.faces.boxes.tolist() == fresh.faces.boxes.tolist()
    assert shown.probs.tolist() == fresh.probs.tolist()
    assert shown.labels == fresh.labels


def test_stricter_thresholds_need_no_inference() -> None:
    image_cache, analyzer = ImageCache(), make_two_stage()
    given = make_source(image_cache)
    for settings in (
        *(Settings(min_score=score / 10) for score in range(1, 11)),
        Settings(nms_iou=1, min_face_px=4, min_confidence=1),
    ):
        image_cache.get_or_analyze(
            given, analyzer, analyzer_name=NAME, settings=settings
        )
    assert count_detector_calls(analyzer) == 1


def test_a_threshold_below_the_cached_one_needs_one_more_inference() -> None:
    image_cache, analyzer = ImageCache(), make_two_stage()
    given = make_source(image_cache)
    low = Settings(min_score=0.01)
    for settings in (Settings(), low, Settings(), low):
        analyzed = image_cache.get_or_analyze(
            given, analyzer, analyzer_name=NAME, settings=settings
        )
    assert count_detector_calls(analyzer) == 2
    assert len(analyzed.raw_scene) == 5
    assert len(analyzed.raw_scene.filter(Settings(min_score=0.01, nms_iou=1))) == 4


def test_the_same_image_under_another_name_is_cached() -> None:
    image_cache, analyzer = ImageCache(), make_two_stage()
    for name in ("a.png", "copy.png"):
        given = make_source(image_cache, name=name)
        image_cache.get_or_analyze(
            given, analyzer, analyzer_name=NAME, settings=Settings()
        )
    assert count_detector_calls(analyzer) == 1


def test_each_analyzer_has_its_own_results() -> None:
    image_cache, analyzer = ImageCache(), make_two_stage()
    given = make_source(image_cache)
    for name in ("one", "two", "one"):
        image_cache.get_or_analyze(
            given, analyzer, analyzer_name=name, settings=Settings()
        )
    assert count_detector_calls(analyzer) == 2


def test_the_cache_evicts_the_least_recently_used_image() -> None:
    image_cache, analyzer = ImageCache(capacity=2), make_two_stage()
    a, b, c = (
        make_source(image_cache, make_grey_image(60 + side, 50), f"{side}.png")
        for side in range(3)
    )
    for given in (a, b, a, c):
        image_cache.get_or_analyze(
            given, analyzer, analyzer_name=NAME, settings=Settings()
        )
    assert len(image_cache) == 2
    assert image_cache.has_analysis(a, NAME, Settings())
    assert not image_cache.has_analysis(b, NAME, Settings())


def test_a_broken_file_is_reported_and_not_retried() -> None:
    image_cache, analyzer = ImageCache(), make_two_stage()
    given = image_cache.add_file(
        "x.jpg", encode_jpeg(make_ramp_image())[:400], file_id="x"
    )
    for _ in range(2):
        analyzed = image_cache.get_or_analyze(
            given, analyzer, analyzer_name=NAME, settings=Settings()
        )
    assert "damaged" in analyzed.error
    assert count_detector_calls(analyzer) == 0
    assert len(analyzed.raw_scene) == 0


@pytest.mark.parametrize(
    ("width", "height", "shown_wh"),
    [
        (100, 50, (640, 320)),
        (800, 600, (800, 600)),
        (3000, 1500, (1920, 960)),
        (1600, 2000, (1152, 1440)),
        (1, 3000, (1, 1440)),
        (1, 1, (640, 640)),
    ],
)
def test_the_preview_fits_the_page(width, height, shown_wh) -> None:
    image_cache = ImageCache()
    image_source = make_source(image_cache, make_grey_image(width, height))
    analyzed = image_cache.get_or_analyze(
        image_source,
        TwoStage(FakeDetector(), FakeClassifier()),
        analyzer_name=NAME,
        settings=Settings(),
    )
    view = image_cache.get_view(image_source, analyzed, blur=False)
    assert decode_image(view.preview).shape[1::-1] == shown_wh
    assert (analyzed.width, analyzed.height) == (width, height)
    thumbnail = decode_image(analyzed.thumbnail)
    assert thumbnail.shape[1] <= 280
    assert thumbnail.shape[0] <= 210


def test_only_some_views_are_kept_and_others_decoded_again() -> None:
    image_cache, shown = ImageCache(), [make_result(name=f"{n}") for n in range(12)]

    def get_view(result: ImageResult) -> ImageView:
        return image_cache.get_view(result.source, result.analyzed, blur=False)

    first = get_view(shown[0])
    assert get_view(shown[0]) is first
    for result in shown:
        get_view(result)
    assert len(image_cache._views) < len(shown)
    again = get_view(shown[0])
    assert again is not first
    assert again.preview == first.preview


def test_boxes_are_drawn_at_the_right_place_of_preview_and_png() -> None:
    shown = make_result()
    view = make_view(shown)
    preview = decode_image(view.preview)
    drawn = decode_image(
        cache.render_result_preview(view, shown.analyzed, Settings(), Style())
    )
    changed = pixel_changes(preview, drawn)
    scale = 640 / 200
    left, middle = round(10 * scale), round(40 * scale)
    assert changed[middle, left - 4 : left + 5].max() > 60
    assert changed[:, round(100 * scale) :].max() < 40

    changed = pixel_changes(
        make_ramp_image(), decode_image(results.annotated_png(shown, Style()))
    )
    assert changed[40, 8:13].max() > 60
    # The caption "Unsure (55 % mask)" is wider than the face.
    assert changed[:, 145:].max() == 0


def test_crops_belong_to_the_faces_that_are_shown() -> None:
    shown = make_result(Settings(min_score=0.3, nms_iou=0.3, min_face_px=12))
    assert len(shown.scene) == len(shown.select_crops(make_view(shown))) == 2
    second = decode_image(shown.select_crops(make_view(shown))[1])
    # Row 1 of the raw faces, the overlapping twin, was dropped: this is the third box.
    expected = make_ramp_image()[45, 100].astype(int)
    middle = second[second.shape[0] // 2, second.shape[1] // 2].astype(int)
    assert np.abs(middle - expected).max() < 25


def test_blur_also_hides_faces_in_the_original() -> None:
    shown = make_result()
    style, settings = Style(blur=True), Settings()
    analyzed, blurred = shown.analyzed, make_view(shown, blur=True)
    clear, original = (
        decode_image(make_view(shown).preview),
        decode_image(blurred.preview),
    )
    drawn = decode_image(
        cache.render_result_preview(blurred, analyzed, settings, style)
    )
    thumbnails = (
        decode_image(analyzed.thumbnail),
        decode_image(analyzed.blurred_thumbnail),
    )
    assert pixel_changes(*thumbnails)[10:70, 10:60].mean() > 6
    # The preview is scaled by 3.2; the most confident face is at 10 to 60, 10 to 70.
    for image in (original, drawn):
        assert pixel_changes(clear, image)[60:200, 60:170].mean() > 6
    assert pixel_changes(clear, original)[:, 500:].mean() < 3
