"""The Tune page in a real Chromium: sliders, the line, cells, goals, sets of one's own.

The stored scores are made up; the analyzer finds what has the colour of a face.
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

ZIP = "[data-testid=stFileUploader]:has-text('A zip with') input[type=file]"
PICTURES = "[data-testid=stFileUploader]:has-text('Images to label') input[type=file]"
FACE_XYWH = (100, 60, 80, 80)


@pytest.fixture(scope="module")
def tune_dashboard(
    chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A dashboard whose stored scores are `tests.helpers.tune_predictions`'."""
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
    """Press one of the page's buttons that stand in a row."""
    groups = page.get_by_test_id("stMain").get_by_test_id("stButtonGroup")
    groups.get_by_text(name, exact=True).click()


def click_in(page: Any, chart: Any, x: float, y: float) -> None:
    """Click where x and y, in shares of width and height, are in a chart."""
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def picture(*, masked: bool) -> bytes:
    """A face, masked or not, as an image file."""
    image = np.full((240, 320, 3), 90, np.uint8)
    x, y, width, height = FACE_XYWH
    image[y : y + height, x : x + width] = FACE_BGR
    if masked:
        image[y + height // 2 : y + height, x : x + width] = MASK_BGR
    return cv2.imencode(".png", image)[1].tobytes()


def coco_zip(n: int = 4) -> bytes:
    """Images by turns masked and not, and one label of them that is wrong."""
    names = [f"{number}.png" for number in range(n)]
    truths = [1 + number % 2 for number in range(n - 1)] + [1]
    labels = {
        "images": [
            {"id": at, "file_name": name, "width": 320, "height": 240}
            for at, name in enumerate(names)
        ],
        "annotations": [
            {"id": at, "image_id": at, "category_id": truth, "bbox": FACE_XYWH}
            for at, truth in enumerate(truths)
        ],
        "categories": [{"id": 1, "name": "mask"}, {"id": 2, "name": "no_mask"}],
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("labels.json", json.dumps(labels))
        for at, name in enumerate(names):
            archive.writestr(name, picture(masked=at % 2 == 0))
    return content.getvalue()


def test_a_slider_and_the_line_show_which_faces_they_flip(page: Any) -> None:
    page.get_by_text("Move a slider: the faces that it flips appear here").wait_for()
    handle = slider(page, "Face score from")
    assert handle.input_value() == "0.5"
    handle.focus()
    page.keyboard.press("PageDown")
    page.get_by_text("The last move flipped").wait_for()
    assert float(handle.input_value()) < 0.5
    assert page.locator(".maskdet-hits figure").count() > 0

    click_in(page, charts(page).first, 0.85, 0.2)
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
    wait_until(lambda: float(handle.input_value()) > 0.45, "the way back")


def test_a_click_on_a_cell_shows_its_faces(page: Any) -> None:
    # The last column of the first row: masked faces that were missed.
    click_in(page, charts(page).nth(1), 0.93, 0.35)
    cell = page.get_by_role("combobox", name="Cell")
    cell.wait_for()
    wait_until(lambda: "Mask: missed" in cell.input_value(), "the cell's name")
    figures = page.locator(".maskdet-hits figure")
    wait_until(lambda: figures.count() > 0, "its faces")
    for words in figures.all_inner_texts():
        assert "Missed" in words
        assert "truth: Mask" in words
    drawing = figures.first.locator("img")
    assert drawing.evaluate("image => image.naturalWidth") == 400


def test_a_goal_is_proposed_set_and_used_on_live(page: Any) -> None:
    page.get_by_role("button", name="Propose settings").click()
    page.get_by_text("Goal: at least 95 % of").wait_for()
    page.get_by_text("numbers are of the other half").wait_for()
    page.get_by_role("button", name="Set these").click()
    handle = slider(page, "Confidence from")
    wait_until(lambda: handle.input_value() != "0.6", "the sliders to follow")
    wanted = handle.input_value()
    page.get_by_role("button", name="Use on Live").click()
    page.get_by_test_id("stToast").get_by_text("now use these settings").wait_for()
    beside = page.get_by_test_id("stSidebar").get_by_role("slider", name="Confidence")
    wait_until(lambda: beside.input_value() == wanted, "the sidebar to follow")
    LivePage(page).open_page("Live")
    page.get_by_role("heading", name="Live", exact=True).wait_for()
    assert beside.input_value() == wanted


def test_a_set_of_ones_own_is_looked_at_and_tuned_on(page: Any) -> None:
    choose(page, "My own set")
    found = page.get_by_text("4 images, 4 faces: 3 Mask, 1 No mask")
    yard = {"name": "yard.zip", "mimeType": "application/zip", "buffer": coco_zip()}
    upload_files(page, page.locator(ZIP), yard, found)
    page.get_by_role("button", name="Look at 4 images").click()
    page.get_by_text("truth: Mask").first.wait_for()
    faces = page.locator(".maskdet-hits figure").first.locator("img")
    assert faces.count() == 2, "the face itself, and where it lies"
    LivePage(page).open_page("Image")
    page.get_by_role("heading", name="Image", exact=True).wait_for()
    LivePage(page).open_page("Tune")
    page.get_by_text("4 images, 4 faces").wait_for()
    charts(page).first.locator("canvas, svg.marks").wait_for()


def test_what_is_no_set_is_told_in_a_line(page: Any) -> None:
    choose(page, "My own set")
    told = page.get_by_test_id("stAlert").get_by_text("not a zip file")
    none = {"name": "a.zip", "mimeType": "application/zip", "buffer": b"no zip at all"}
    upload_files(page, page.locator(ZIP), none, told)
    assert page.get_by_test_id("stException").count() == 0


def test_pictures_are_labelled_with_a_click_each_and_tuned_on(page: Any) -> None:
    choose(page, "Label here")
    pictures = [
        {
            "name": f"{at}.png",
            "mimeType": "image/png",
            "buffer": picture(masked=at == 0),
        }
        for at in range(2)
    ]
    find = page.get_by_role("button", name="Find the faces in 2 images")
    upload_files(page, page.locator(PICTURES), pictures, find)
    find.click()
    page.get_by_text("0 of 2 faces confirmed").wait_for()
    page.get_by_role("button", name="No mask (96 %)").click()
    page.get_by_text("1 of 2 faces confirmed").wait_for()
    page.get_by_role("button", name="Incorrect").first.click()
    page.get_by_text("2 of 2 faces confirmed").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Labels (COCO)").click()
    labels = json.loads(Path(download.value.path()).read_text())
    assert len(labels["annotations"]) == 2

    page.get_by_role("button", name="Tune on these labels").click()
    page.get_by_role("button", name="Look at 2 images").click()
    page.get_by_text("truth: Incorrect").first.wait_for()


def test_a_phone_shows_the_page_without_scrolling_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for view in ("Curves", "Numbers", "How sure", "Compare", "Right and wrong"):
        choose(page, view)
        charts(page).first.locator("canvas, svg.marks").wait_for()
        wide = page.evaluate(
            "() => document.querySelector('[data-testid=stMain]').scrollWidth"
        )
        assert wide <= 390, view
