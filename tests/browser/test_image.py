"""The Image page in a real Chromium: upload, result, sliders, downloads."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskdet.style import Style, colour_bgr
from maskdet.types import Image, Label
from maskdet.wording import PERCENT
from tests.browser.dashboard import (
    Dashboard,
    open_advanced,
    open_page_from_sidebar,
    run_dashboard,
    upload_files,
)
from tests.browser.serve import FACE_BGR, MASK_BGR
from tests.helpers.waiting import wait_until

FACE_BOX = (220, 140, 420, 340)
SLIDERS = "Face detection threshold", "Minimum confidence", "NMS IoU threshold"
UPLOADER = '[data-testid="stMain"] input[type="file"]'


def portrait(*, masked: bool) -> Image:
    """Return an image of a face for the fake analyzer."""
    image = np.full((480, 640, 3), 90, np.uint8)
    x1, y1, x2, y2 = FACE_BOX
    image[y1:y2, x1:x2] = FACE_BGR
    if masked:
        image[(y1 + y2) // 2 : y2, x1:x2] = MASK_BGR
    return image


def outlined(image: Image, label: Label) -> bool:
    """Return whether the face has an outline in the label's colour."""
    x1, y1, x2, y2 = FACE_BOX
    ring = np.zeros(image.shape[:2], bool)
    ring[y1 - 10 : y2 + 10, x1 - 10 : x2 + 10] = True
    ring[y1 + 10 : y2 - 10, x1 + 10 : x2 - 10] = False
    off = np.abs(image.astype(np.int16) - colour_bgr(label)).max(axis=2)
    return int((ring & (off < 40)).sum()) > 300


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """An unmasked and a masked face, an image without a face, and a broken file."""
    images = {
        "bare.png": portrait(masked=False),
        "masked.png": portrait(masked=True),
        "empty.png": np.full((480, 640, 3), 90, np.uint8),
    }
    paths = {name: tmp_path / name for name in (*images, "broken.jpg")}
    for name, image in images.items():
        cv2.imwrite(str(paths[name]), image)
    paths["broken.jpg"].write_bytes(b"\xff\xd8\xff\xe0 this was an image")
    return paths


class ImagePage:
    """The Image page in a browser."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url

    def upload(self, *paths: Path) -> None:
        files = [str(path) for path in paths]
        thumbnails = self.page.locator(".gallery .open")
        n_before = thumbnails.count()
        added = thumbnails.nth(n_before + len(files) - 1)
        upload_files(self.page, self.page.locator(UPLOADER), files, added)

    def see(self, summary: str) -> None:
        """Wait until the shown image has these faces, as in "1 face: 1 Mask"."""
        self.page.get_by_alt_text(f"Faces of the image: {summary}").wait_for()
        self.settle()

    def settle(self) -> None:
        """Wait until the page is rendered, as old elements may be below the new."""
        self.page.locator(
            '[data-testid="stApp"][data-test-script-state="notRunning"]'
        ).wait_for()

    def outline_colours(self) -> list[str]:
        """Return the colours of the outlines as CSS values."""
        outlines = self.page.locator(".overlay .face rect:nth-child(2)")
        return [str(outline.get_attribute("stroke")) for outline in outlines.all()]

    def press(self, slider: str, key: str) -> None:
        self.page.get_by_role("slider", name=slider).press(key)

    def download(self, button: str, folder: Path) -> Path:
        self.settle()
        with self.page.expect_download() as started:
            self.page.get_by_role("button", name=button, exact=True).click()
        path = folder / started.value.suggested_filename
        started.value.save_as(path)
        return path


@pytest.fixture
def image_page(
    open_page: Callable[..., Any], fake_dashboard: Dashboard
) -> Iterator[ImagePage]:
    page = open_page(fake_dashboard.url)
    errors: list[tuple[str, str]] = []

    def note(message: Any) -> None:
        if message.type == "error":
            errors.append((message.text, message.location.get("url", "")))

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append((str(error), "")))
    open_page_from_sidebar(page, "Image")
    page.locator(UPLOADER).wait_for(state="attached")
    yield ImagePage(page, fake_dashboard.url)
    assert [error for error in errors if not replaced(page, *error)] == []
    assert page.evaluate(BROKEN_IMAGES) == []


BROKEN_IMAGES = """() => [...document.querySelectorAll('[data-testid="stMain"] img')]
    .filter(img => img.complete && !img.naturalWidth).map(img => img.src)"""


def replaced(page: Any, text: str, url: str) -> bool:
    """Return whether an error is only about an image that a newer one replaced.

    On a slow machine the browser may request a result after the next run has replaced
    it; the response is a 404 without a visible effect. Streamlit's own script also
    looks for its server below the URL of a page first, and gets a 404 there.
    """
    path = url.partition("/media/")[2]
    gone = bool(path) and path not in page.content()
    return "404" in text and (gone or "/image/_stcore/" in url)


def test_upload_slide_and_download(image_page, files, tmp_path) -> None:
    image_page.upload(files["bare.png"])
    image_page.see("1 face: 1 No mask")
    assert image_page.outline_colours() == [Style().colour_css(Label.NO_MASK)]

    image_page.press("Minimum confidence", "End")
    image_page.see("1 face: 1 Unsure")
    assert image_page.outline_colours() == [Style().colour_css(Label.UNKNOWN)]

    path = image_page.download("Annotated image (PNG)", tmp_path)
    assert path.name == "bare-annotated.png"
    saved = cv2.imread(str(path))
    assert saved.shape == (480, 640, 3)
    assert outlined(saved, Label.UNKNOWN)

    document = json.loads(image_page.download("JSON", tmp_path).read_bytes())
    assert document["version"] == 1
    (record,) = document["images"]
    assert set(record) == {"path", "width", "height", "error", "faces"}
    assert (record["width"], record["height"]) == (640, 480)
    (face,) = record["faces"]
    assert face["box"] == pytest.approx(FACE_BOX)
    assert face["label"] == "unknown"
    assert face["probs"] == {"mask": 0.02, "no_mask": 0.96, "incorrect": 0.02}

    lines = image_page.download("CSV", tmp_path).read_text().splitlines()
    assert lines[0].startswith("path,width,height")
    assert lines[1].startswith("bare.png,640,480,,1,220")


def test_an_early_page_change_keeps_the_settings(image_page, files) -> None:
    image_page.upload(files["bare.png"])
    image_page.see("1 face: 1 No mask")
    open_advanced(image_page.page, "Detection")
    shown = {
        name: image_page.page.get_by_role("slider", name=name).get_attribute(
            "aria-valuetext"
        )
        for name in SLIDERS
    }
    assert shown == dict(zip(SLIDERS, ("0.50", "0.60", "0.40"), strict=True))


def test_several_images_one_of_them_broken(image_page, files, tmp_path) -> None:
    image_page.upload(*files.values())
    image_page.page.get_by_text("the image is damaged").wait_for()
    image_page.page.locator(".maskdet-metrics").wait_for()
    names, values = (
        image_page.page.locator(f".maskdet-metrics {tag}").all_inner_texts()
        for tag in ("dt", "dd")
    )
    shown = dict(zip(names, values, strict=True))
    assert shown["Images"] == "3"
    assert shown["Mask"] == shown["No mask"] == shown["No face detected"] == "1"
    assert shown["Mask rate (unsure excluded)"] == f"50{PERCENT}"

    path = image_page.download("Download all (ZIP)", tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        marked = cv2.imdecode(
            np.frombuffer(archive.read("002-masked-annotated.png"), np.uint8), 1
        )
        records = json.loads(archive.read("results.json"))["images"]
    assert outlined(marked, Label.MASK)
    assert [record["error"] is None for record in records] == [True, True, True, False]


def open_sample(image_page: ImagePage) -> Any:
    """Return the list of faces of the sample image with four faces."""
    rows = image_page.page.locator(".overlay tbody tr")
    rows.nth(1).wait_for()
    image_page.settle()
    return rows


def test_boxes_and_list_are_linked(image_page) -> None:
    rows = open_sample(image_page)
    faces = image_page.page.locator(".overlay .face")
    n_faces = rows.count()
    assert faces.count() == n_faces

    rows.nth(1).click()
    assert rows.nth(1).get_attribute("aria-selected") == "true"
    assert image_page.page.locator(".overlay .face.on").count() == 1
    assert rows.nth(1).locator(".meter").count() == 4, "three classes, one confidence"
    rows.nth(1).press("ArrowUp")
    assert rows.nth(0).get_attribute("aria-selected") == "true"
    rows.nth(0).press("Escape")
    assert image_page.page.locator('.overlay tr[aria-selected="true"]').count() == 0

    # The face that is drawn last lies on top, so that a click cannot hit another.
    faces.nth(n_faces - 1).locator("rect").nth(1).click()
    selected = image_page.page.locator('.overlay tr[aria-selected="true"]')
    assert selected.count() == 1
    tip = image_page.page.locator(".overlay .tip")
    tip.wait_for()
    assert tip.locator(".meter").count() == 3


def test_a_class_and_all_boxes_can_be_hidden(image_page) -> None:
    rows = open_sample(image_page)
    faces = image_page.page.locator(".overlay .face")
    n_faces = rows.count()
    chip = image_page.page.locator(".overlay .chip:not([disabled])").first
    n_hidden = int(chip.locator("b").inner_text())
    assert n_hidden > 0
    chip.press("Enter")
    assert chip.get_attribute("aria-pressed") == "false"
    assert faces.count() == n_faces - n_hidden
    assert rows.locator("visible=true").count() == n_faces - n_hidden
    chip.press("Enter")
    assert faces.count() == n_faces
    image_page.page.get_by_role("button", name="Boxes", exact=True).click()
    assert faces.count() == 0


def test_the_wheel_zooms_and_a_drag_moves(image_page) -> None:
    open_sample(image_page)
    stage, view = (
        image_page.page.locator(f".overlay .{name}") for name in ("stage", "view")
    )
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4

    def transform() -> str:
        return str(view.evaluate("view => view.style.transform"))

    assert transform().endswith("scale(1)")
    image_page.page.mouse.move(x, y)
    image_page.page.mouse.wheel(0, -400)
    wait_until(lambda: not transform().endswith("scale(1)"), "the zoom")
    zoomed = transform()
    image_page.page.mouse.down()
    image_page.page.mouse.move(x - 40, y - 30, steps=4)
    image_page.page.mouse.up()
    assert transform() != zoomed
    assert transform().split("scale")[1] == zoomed.split("scale")[1]
    stage.press("0")
    assert transform().endswith("scale(1)")


def test_images_stay_on_other_pages_and_can_be_removed(image_page, files) -> None:
    image_page.upload(*files.values())
    thumbnails = image_page.page.locator(".gallery .open")
    assert thumbnails.count() == 4
    open_page_from_sidebar(image_page.page, "About")
    open_page_from_sidebar(image_page.page, "Image")
    thumbnails.nth(3).wait_for()

    thumbnails.nth(0).press("ArrowRight")
    image_page.see("1 face: 1 Mask")
    image_page.page.get_by_role("button", name="No face 1", exact=True).click()
    assert thumbnails.locator("visible=true").count() == 1
    image_page.page.get_by_role("button", name="All 4", exact=True).click()
    image_page.page.get_by_role("button", name="Remove broken.jpg").click()
    image_page.page.get_by_role("button", name="All 3", exact=True).wait_for()
    image_page.settle()
    assert image_page.page.get_by_text("the image is damaged").count() == 0
    image_page.page.get_by_role("button", name="Remove all", exact=True).click()
    image_page.page.get_by_text("Sample image").wait_for()


def test_the_browser_accepts_any_file_name(image_page, tmp_path) -> None:
    """Regression test: "image/jpeg files are not allowed"."""
    content = cv2.imencode(".jpg", portrait(masked=True))[1].tobytes()
    names = ("saved-by-edge.jfif", "none", "wrong.txt", "clip.xyz")
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.write_bytes(content)
    # Upload all at once, as people drop them: files that follow each other within a
    # rerun of the page may replace each other.
    image_page.upload(*paths)
    image_page.page.locator(".maskdet-metrics").get_by_text(
        "4", exact=True
    ).first.wait_for()
    image_page.settle()
    shown = image_page.page.locator('[data-testid="stMain"]').inner_text()
    assert "not allowed" not in shown


def test_an_image_without_a_face_gets_tips(image_page, files) -> None:
    image_page.upload(files["empty.png"])
    image_page.see("no face detected")
    assert "640 x 480 pixels" in image_page.page.get_by_role("alert").inner_text()


def test_the_first_visitor_of_a_server_may_open_the_url_of_a_page(
    open_page: Callable[..., Any], chromium: str, tmp_path: Path
) -> None:
    with run_dashboard(tmp_path, "--fake") as running:
        page = open_page(f"{running.url}image?min_confidence=0.75")
        slider = page.get_by_role("slider", name="Minimum confidence")
        slider.wait_for()
        assert slider.get_attribute("aria-valuetext") == "0.75"
        page.get_by_role("heading", name="Image", exact=True).wait_for()
