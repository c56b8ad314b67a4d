"""The Models page in a real Chromium, and a model change during a live video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskdet.evaluation.comparison import format_comparison
from maskdet.style import colour_bgr
from maskdet.types import Label
from tests.browser.dashboard import (
    Dashboard,
    LivePage,
    open_page_from_sidebar,
    run_dashboard,
    select_option,
    write_camera_video,
)
from tests.browser.serve import FACE_BGR
from tests.helpers.analyzer_results import make_analyzer_results
from tests.helpers.training_runs import FACTS, LARGE_FACTS, write_training_run
from tests.helpers.waiting import wait_until

FACE_BOX = (220, 140, 420, 340)
CHARTS = 9


@pytest.fixture(scope="module")
def models_dashboard(
    chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A dashboard with made-up runs and a second classifier, `twin`."""
    folder = tmp_path_factory.mktemp("models")
    path = folder / "analyzers.json"
    path.write_text(format_comparison(make_analyzer_results("mtcnn", "haar", "yunet")))
    write_training_run(folder / "runs", n=300)
    write_training_run(
        folder / "runs", "twin", {**FACTS, "title": "Twin"}, n_wrong=30, n=300
    )
    write_training_run(folder / "runs", "custom-cnn", LARGE_FACTS, n_wrong=20, n=300)
    with run_dashboard(
        folder, str(folder / "runs"), script="serve_models.py"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def camera_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face without a mask, and a rolling ball."""
    images = []
    x1, y1, x2, y2 = FACE_BOX
    for number in range(90):
        image = np.full((480, 640, 3), 90, np.uint8)
        image[y1:y2, x1:x2] = FACE_BGR
        cv2.circle(image, (20 + 6 * number, 440), 14, (255, 255, 255), -1)
        images.append(image)
    return write_camera_video(
        tmp_path_factory.mktemp("video") / "no_mask.mjpeg", images
    )


@pytest.fixture
def live(
    open_page: Callable[..., Any], models_dashboard: Dashboard, camera_video: Path
) -> LivePage:
    return LivePage(open_page(models_dashboard.url, camera_video))


def has_outline(label: Label) -> Callable[[np.ndarray], bool]:
    """Return a check whether the face has an outline in the colour of the label."""

    def is_outlined(image: np.ndarray) -> bool:
        x1, y1, x2, y2 = FACE_BOX
        part = image[y1 - 10 : y2 + 10, x1 - 10 : x2 + 10].astype(np.int16)
        difference = np.abs(part - colour_bgr(label)).max(axis=2)
        return int((difference < 50).sum()) > 300

    return is_outlined


def charts(page: Any) -> Any:
    """Return the charts that have been drawn."""
    return page.get_by_test_id("stVegaLiteChart").locator("canvas, svg.marks")


def open_section(page: Any, name: str) -> None:
    page.get_by_test_id("stButtonGroup").get_by_text(name, exact=True).click()


def open_advanced(page: Any) -> None:
    sidebar = page.get_by_test_id("stSidebar")
    for title in ("Advanced", "Model"):
        sidebar.get_by_text(title, exact=True).click()


def assert_ranking_fits(page: Any) -> None:
    """Check that the table has its last column within the window."""
    table = page.locator(".maskdet-ranking")
    table.wait_for()
    box = table.locator("td").last.bounding_box()
    assert box["x"] + box["width"] <= page.viewport_size["width"]
    assert table.evaluate("e => e.scrollWidth <= e.parentElement.clientWidth + 1")


def horizontal_overflow_px(page: Any) -> int:
    """Return how far the page can be scrolled sideways."""
    return page.evaluate(
        "() => document.querySelector('section.stMain, [data-testid=stMain]')"
        ".scrollWidth - window.innerWidth"
    )


def test_the_runs_are_shown_and_one_is_applied(live: LivePage) -> None:
    page = live.page
    open_page_from_sidebar(page, "Models")
    open_section(page, "Classifiers")
    page.locator(".maskdet-ranking .best").first.wait_for()
    wait_until(lambda: charts(page).count() >= CHARTS, "every chart")
    for chart in charts(page).all():
        box = chart.bounding_box()
        assert box["width"] > 250, "a chart is as wide as its column"
        assert box["height"] > 150

    page.get_by_test_id("stButtonGroup").get_by_text("custom-cnn").click()
    page.get_by_text("are not included, only its metrics").wait_for()
    use = page.get_by_role("button", name="Use this model")
    assert use.is_disabled()

    page.get_by_test_id("stButtonGroup").get_by_text("twin").click()
    wait_until(use.is_enabled, "the button to be enabled")
    use.click()
    page.get_by_test_id("stToast").get_by_text("Now using twin").wait_for()
    page.get_by_text("Active on all pages").wait_for()

    live.open_page("Live")
    open_advanced(page)
    chosen = page.get_by_role("combobox", name="Mask classifier")
    wait_until(lambda: chosen.input_value() == "twin", "the sidebar to follow")
    live.start()
    live.wait_for_image(has_outline(Label.MASK), "the prediction of the other model")


def test_another_model_takes_over_while_the_video_runs(live: LivePage) -> None:
    live.start()
    live.wait_for_image(has_outline(Label.NO_MASK), "a red outline")
    live.frame.evaluate("() => { window.sameFrame = true; }")
    open_advanced(live.page)
    select_option(live.page, "Mask classifier", "twin")
    live.wait_for_image(has_outline(Label.MASK), "a green outline")
    select_option(live.page, "Mask classifier", "maskdet (default)")
    live.wait_for_image(has_outline(Label.NO_MASK), "a red outline again")
    assert live.frame.evaluate("() => window.sameFrame"), "the stream was restarted"
    assert live.button("Stop").is_visible()


def test_an_analyzer_is_applied(live: LivePage) -> None:
    page = live.page
    open_page_from_sidebar(page, "Models")
    page.locator(".maskdet-ranking .best").first.wait_for()
    wait_until(lambda: charts(page).count() == 2, "a chart per dataset")
    page.get_by_test_id("stButtonGroup").get_by_text(
        "Haar (classic)", exact=True
    ).click()
    use = page.get_by_role("button", name="Use this analyzer")
    wait_until(use.is_enabled, "the button to be enabled")
    use.click()
    page.get_by_test_id("stToast").get_by_text("Now using Haar (classic)").wait_for()
    page.get_by_text("Active on all pages").wait_for()
    open_page_from_sidebar(page, "Image")
    chosen = page.get_by_role("combobox", name="Analyzer")
    wait_until(
        lambda: chosen.input_value() == "Haar (classic)", "the sidebar to follow"
    )


def test_a_phone_shows_the_page_without_scrolling_sideways(
    open_page: Callable[..., Any], models_dashboard: Dashboard
) -> None:
    page = open_page(f"{models_dashboard.url}models")
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until(lambda: charts(page).count() == 2, "a chart per dataset")
    assert horizontal_overflow_px(page) <= 0
    assert_ranking_fits(page)
    open_section(page, "Classifiers")
    wait_until(lambda: charts(page).count() >= CHARTS, "every chart")
    assert_ranking_fits(page)
    page.get_by_role("tab", name="Model card").click()
    page.get_by_role("heading", name="Limits").wait_for()
    assert horizontal_overflow_px(page) <= 0
