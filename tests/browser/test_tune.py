"""The Tune page in a real Chromium: sliders, charts, goals and uploaded datasets.

The stored predictions are made up; the analyzer detects faces by their colour.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.browser.dashboard import Dashboard, LivePage, run_dashboard, upload_files
from tests.browser.serve import FACE_BGR, MASK_BGR
from tests.helpers.waiting import wait_until

ZIP = "[data-testid=stFileUploader]:has-text('ZIP file with') input[type=file]"
IMAGES = "[data-testid=stFileUploader]:has-text('Images to label') input[type=file]"
FACE_XYWH = (100, 60, 80, 80)


@pytest.fixture(scope="module")
def tune_dashboard(
    chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A dashboard with the stored predictions of `tests.helpers.tune_predictions`."""
    folder = tmp_path_factory.mktemp("tune")
    with run_dashboard(folder, script="serve_tune.py") as running:
        yield running


@pytest.fixture
def page(open_page: Callable[..., Any], tune_dashboard: Dashboard) -> Any:
    page = open_page(f"{tune_dashboard.url}tune")
    charts(page).nth(1).locator("canvas, svg.marks").wait_for()
    return page


def charts(page: Any) -> Any:
    return page.get_by_test_id("stVegaLiteChart")


def slider(page: Any, name: str) -> Any:
    return page.get_by_test_id("stMain").get_by_role("slider", name=name)


def choose(page: Any, name: str) -> None:
    """Press a button of one of the segmented controls of the page."""
    groups = page.get_by_test_id("stMain").get_by_test_id("stButtonGroup")
    groups.get_by_text(name, exact=True).click()


def click_chart(page: Any, chart: Any, x: float, y: float) -> None:
    """Click a point of a chart, with x and y as fractions of its width and height."""
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def press_and_wait(page: Any, key: str, progress: str) -> None:
    """Press a key of the labelling, and wait for the progress and another face."""
    place = page.locator(".labeller").get_by_role("status")
    before = place.inner_text()
    page.keyboard.press(key)
    page.get_by_text(progress).wait_for()
    wait_until(lambda: place.inner_text() != before, "another face")


def encode_face_image(*, masked: bool) -> bytes:
    """Return a PNG with one face, masked or not."""
    image = np.full((240, 320, 3), 90, np.uint8)
    x, y, width, height = FACE_XYWH
    image[y : y + height, x : x + width] = FACE_BGR
    if masked:
        image[y + height // 2 : y + height, x : x + width] = MASK_BGR
    return cv2.imencode(".png", image)[1].tobytes()


def make_coco_zip(n: int = 4) -> bytes:
    """Return a zip with alternating classes and one wrong label."""
    names = [f"{number}.png" for number in range(n)]
    category_ids = [1 + number % 2 for number in range(n - 1)] + [1]
    labels = {
        "images": [
            {"id": index, "file_name": name, "width": 320, "height": 240}
            for index, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": index,
                "image_id": index,
                "category_id": category_id,
                "bbox": FACE_XYWH,
            }
            for index, category_id in enumerate(category_ids)
        ],
        "categories": [{"id": 1, "name": "mask"}, {"id": 2, "name": "no_mask"}],
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("labels.json", json.dumps(labels))
        for index, name in enumerate(names):
            archive.writestr(name, encode_face_image(masked=index % 2 == 0))
    return content.getvalue()


def test_a_slider_and_the_line_show_the_faces_they_affect(page: Any) -> None:
    page.get_by_text("Move a slider to see the faces that it affects").wait_for()
    handle = slider(page, "Face detection threshold")
    assert handle.input_value() == "0.5"
    handle.focus()
    page.keyboard.press("PageDown")
    page.get_by_text("The last change affected").wait_for()
    assert float(handle.input_value()) < 0.5
    assert page.locator(".maskdet-faces figure").count() > 0

    click_chart(page, charts(page).first, 0.85, 0.2)
    wait_until(
        lambda: float(handle.input_value()) > 0.75, "the line to move the slider"
    )
    start = float(handle.input_value())
    box = charts(page).first.bounding_box()
    height = box["y"] + 0.3 * box["height"]
    page.mouse.move(box["x"] + 0.85 * box["width"], height)
    page.mouse.down()
    for step in range(10):
        page.mouse.move(box["x"] + (0.85 - 0.05 * step) * box["width"], height)
    page.mouse.up()
    wait_until(lambda: float(handle.input_value()) < start - 0.3, "the drag to count")

    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: float(handle.input_value()) > 0.45, "the undo")


def test_a_click_on_a_cell_shows_its_faces(page: Any) -> None:
    # The last column of the first row: masked faces that were missed.
    click_chart(page, charts(page).nth(1), 0.93, 0.1)
    cell = page.get_by_role("combobox", name="Cell")
    cell.wait_for()
    wait_until(lambda: "Mask: missed" in cell.input_value(), "the cell's name")
    figures = page.locator(".maskdet-faces figure")
    wait_until(lambda: figures.count() > 0, "its faces")
    for text in figures.all_inner_texts():
        assert "Missed" in text
        assert "actual: Mask" in text
    location = figures.first.locator("img")
    assert location.evaluate("image => image.naturalWidth") == 400


def test_a_goal_gives_settings_that_are_applied_to_live(page: Any) -> None:
    handle = slider(page, "Face detection threshold")
    click_chart(page, charts(page).first, 0.95, 0.2)
    wait_until(lambda: float(handle.input_value()) > 0.85, "a threshold to improve")
    page.get_by_role("button", name="Suggest settings").click()
    page.get_by_text("measured on the other half").wait_for()
    page.get_by_role("button", name="Apply suggestion").click()
    wait_until(lambda: float(handle.input_value()) < 0.85, "the sliders to follow")
    suggested = handle.input_value()
    use = page.get_by_role("button", name="Use on Live and Image")
    use.click()
    # The scores are of another analyzer than the one of Live.
    question = page.get_by_role("dialog")
    question.get_by_text("slower").wait_for()
    question.get_by_role("button", name="Cancel").click()
    question.wait_for(state="detached")
    assert use.is_enabled()
    use.click()
    question.get_by_role("button", name="Change and apply").click()
    page.get_by_test_id("stToast").get_by_text("now use these settings").wait_for()
    question.wait_for(state="detached")
    LivePage(page).open_page("Live")
    page.get_by_role("heading", name="Live", exact=True).wait_for()
    sidebar_slider = page.get_by_test_id("stSidebar").get_by_role(
        "slider", name="threshold"
    )
    assert sidebar_slider.first.input_value() == suggested


def test_an_uploaded_dataset_is_analyzed_and_tuned_on(page: Any) -> None:
    choose(page, "My dataset")
    summary = page.get_by_text("4 images, 4 faces: 3 Mask, 1 No mask")
    yard = {
        "name": "yard.zip",
        "mimeType": "application/zip",
        "buffer": make_coco_zip(),
    }
    upload_files(page, page.locator(ZIP), yard, summary)
    page.get_by_role("button", name="Run on 4 images").click()
    page.get_by_text("actual: Mask").first.wait_for()
    card_images = page.locator(".maskdet-faces figure").first.locator("img")
    assert card_images.count() == 2, "the crop and the position"
    LivePage(page).open_page("Image")
    page.get_by_role("heading", name="Image", exact=True).wait_for()
    LivePage(page).open_page("Tune")
    page.get_by_text("4 images, 4 faces").wait_for()
    charts(page).first.locator("canvas, svg.marks").wait_for()


def test_an_invalid_zip_gives_one_error(page: Any) -> None:
    choose(page, "My dataset")
    error = page.get_by_test_id("stAlert").get_by_text("not a zip file")
    invalid = {
        "name": "a.zip",
        "mimeType": "application/zip",
        "buffer": b"not a zip",
    }
    upload_files(page, page.locator(ZIP), invalid, error)
    assert page.get_by_test_id("stException").count() == 0


def test_images_are_labelled_by_keyboard_and_tuned_on(page: Any) -> None:
    choose(page, "Label images")
    images = [
        {
            "name": f"{index}.png",
            "mimeType": "image/png",
            "buffer": encode_face_image(masked=index % 2 == 0),
        }
        for index in range(11)
    ]
    detect = page.get_by_role("button", name="Detect faces in 11 images")
    upload_files(page, page.locator(IMAGES), images, detect)
    detect.click()
    page.get_by_text("0 of 11 faces confirmed").wait_for()
    labeller = page.locator(".labeller")
    image = labeller.locator("img")
    wait_until(
        lambda: image.evaluate("image => image.naturalWidth") > 0, "the face to appear"
    )
    view, frame = image.bounding_box(), labeller.locator("i").bounding_box()
    assert frame["width"] == pytest.approx(view["width"] / 3, rel=0.1)
    use = page.get_by_role("button", name="Tune on these labels")
    assert use.is_disabled()
    page.get_by_text("Confirm 10 more faces").wait_for()

    labeller.focus()
    place = labeller.get_by_role("status")
    first = place.inner_text()
    page.keyboard.press("ArrowRight")
    wait_until(lambda: place.inner_text() != first, "the next face")
    page.keyboard.press("ArrowLeft")
    wait_until(lambda: place.inner_text() == first, "the first face again")
    press_and_wait(page, "x", "0 of 10 faces confirmed")
    press_and_wait(page, "u", "0 of 11 faces confirmed")
    assert place.inner_text() == first
    for n, key in enumerate("3212121212", start=1):
        press_and_wait(page, key, f"{n} of 11 faces confirmed")
    with page.expect_download() as download:
        page.get_by_role("button", name="Labels (COCO)").click()
    labels = json.loads(Path(download.value.path()).read_text())
    assert len(labels["annotations"]) == 10

    use.click()
    page.get_by_role("button", name="Run on 10 images").click()
    page.get_by_text("actual: Incorrect").first.wait_for()


def test_a_phone_shows_the_page_without_scrolling_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for view in ("Curves", "Metrics", "Calibration", "Compare", "Confusion matrix"):
        choose(page, view)
        charts(page).first.locator("canvas, svg.marks").wait_for()
        width = page.evaluate(
            "() => document.querySelector('[data-testid=stMain]').scrollWidth"
        )
        assert width <= 390, view
