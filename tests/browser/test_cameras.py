"""The sample video and network cameras on the Live and the Cameras page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from maskdet.web.cameras.config import CAMERAS_VARIABLE
from tests.browser.dashboard import (
    Dashboard,
    LivePage,
    run_dashboard,
    select_option,
    wait_until_idle,
)
from tests.browser.serve import FACE_BGR, MASK_BGR
from tests.browser.test_accessibility import check_page
from tests.helpers.mjpeg_camera import MjpegCamera, run_mjpeg_camera
from tests.helpers.waiting import wait_until

SECRET = "s3cret-word"


def make_image(*, masked: bool) -> np.ndarray:
    """Return an image of one face, as `ColourAnalyzer` knows them."""
    image = np.full((360, 640, 3), 90, np.uint8)
    image[80:280, 220:420] = FACE_BGR
    if masked:
        image[180:280, 220:420] = MASK_BGR
    return image


@pytest.fixture(scope="module")
def camera() -> Iterator[MjpegCamera]:
    """A camera that shows one masked person."""
    with run_mjpeg_camera([make_image(masked=True)]) as running:
        yield running


@pytest.fixture(scope="module")
def cameras_dashboard(
    chromium: str, camera: MjpegCamera, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A dashboard with a camera, and one that does not answer."""
    urls = {"Door": camera.url, "Attic": f"rtsp://me:{SECRET}@127.0.0.1:9/none"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CAMERAS_VARIABLE, json.dumps(urls))
        with run_dashboard(tmp_path_factory.mktemp("cameras"), "--fake") as running:
            yield running


def choose_source(live: LivePage, title: str) -> None:
    live.page.get_by_role("radio", name=title).click()
    wait_until_idle(live.page)


def wait_for_video(live: LivePage) -> None:
    """Wait for a frame of the camera; a dark one is sent before it."""
    live.wait_for_image(lambda image: image.mean() > 60, "an image of the camera")


def test_the_sample_video_plays_without_a_camera(
    open_page: Callable[..., Any], dashboard: Dashboard
) -> None:
    live = LivePage(open_page(dashboard.url))
    live.button("Start").wait_for()
    live.page.get_by_role("button", name="Play the sample video").click()
    live.page.get_by_role("radio", name="Sample video", checked=True).wait_for()
    wait_until_idle(live.page)
    first = live.wait_for_image(lambda image: image.mean() > 60, "the sample")
    live.wait_for_image(
        lambda image: bool((np.abs(image.astype(int) - first) > 80).any()),
        "another image",
    )
    wait_until(lambda: live.read_stat("Mask") == "1", "somebody with a mask")
    live.press_slider_key("Minimum confidence", "End")
    wait_until(lambda: int(live.read_stat("Unsure")) > 0, "somebody who is unsure")
    assert "source=sample" in live.page.url
    live.page.reload()
    live.page.get_by_role("radio", name="Sample video", checked=True).wait_for()
    live.button("Start").wait_for()
    live.start()
    live.stop()
    live.page.get_by_role("heading", name="Last run").wait_for()


def test_a_sample_image_opens_on_the_image_page(
    open_page: Callable[..., Any], fake_dashboard: Dashboard
) -> None:
    page = open_page(fake_dashboard.url)
    page.get_by_role("button", name="Mask below the nose").click()
    page.get_by_role("heading", name="Image", level=1).wait_for()
    chosen = page.get_by_role("radio", name="Mask below the nose", checked=True)
    chosen.wait_for()


def test_two_visitors_of_a_camera_share_one_reading(
    open_page: Callable[..., Any],
    cameras_dashboard: Dashboard,
    camera: MjpegCamera,
) -> None:
    url = f"{cameras_dashboard.url}?source=network&camera=Door"
    n_before = camera.n_opened
    visitors = [LivePage(open_page(url)) for _ in range(2)]
    for live in visitors:
        live.start()
        wait_for_video(live)
        wait_until(lambda live=live: live.read_stat("Mask") == "1", "one mask")
    assert camera.n_opened == n_before + 1
    watching = visitors[0].page.get_by_text("2 watching")
    watching.wait_for()
    visitors[0].press_slider_key("Minimum confidence", "End")
    wait_until(lambda: visitors[1].read_stat("Unsure") == "1", "the same settings")
    visitors[0].press_slider_key("Minimum confidence", "Home")
    camera.disconnect()
    visitors[0].page.get_by_text("Door is not available").wait_for()
    visitors[0].page.get_by_text("Door: last frame").wait_for()
    visitors[0].wait_for_image(lambda image: image.mean() < 60, "a darker image")
    assert SECRET not in visitors[0].page.content()
    camera.reconnect()
    wait_until(lambda: visitors[0].read_stat("Mask") == "1", "the camera to be back")
    for live in visitors:
        live.page.close()
    assert SECRET not in cameras_dashboard.log.read_text()


def test_the_cameras_page_shows_all_and_opens_one(
    open_page: Callable[..., Any], cameras_dashboard: Dashboard
) -> None:
    page = open_page(f"{cameras_dashboard.url}cameras")
    door = page.get_by_role("button", name="Door")
    wait_until(lambda: "1 Mask" in door.get_attribute("aria-label"), "a person")
    assert "Live" in door.get_attribute("aria-label")
    door.locator("img").wait_for()
    attic = page.get_by_role("button", name="Attic, Not available")
    attic.get_by_text("No image", exact=True).wait_for()
    assert attic.get_attribute("aria-label").endswith("No image")
    assert not door.get_by_text("No image").count()
    assert SECRET not in page.content()
    wait_until_idle(page)  # elements of a run that is not over are pale
    check_page(page, "Cameras")
    door.click()
    page.get_by_role("heading", name="Live", level=1).wait_for()
    live = LivePage(page)
    wait_for_video(live)
    assert "camera=Door" in page.url


def test_a_url_is_entered_once_and_never_shown(
    open_page: Callable[..., Any], cameras_dashboard: Dashboard, camera: MjpegCamera
) -> None:
    live = LivePage(open_page(cameras_dashboard.url))
    choose_source(live, "Network camera")
    select_option(live.page, "Network camera", "Other camera …")
    box = live.page.get_by_role("textbox", name="Camera URL")
    box.fill("/etc/passwd")
    connect = live.page.get_by_role("button", name="Connect")
    connect.click()
    live.page.get_by_text("Not connected: the camera URL must begin with").wait_for()
    with run_mjpeg_camera([make_image(masked=False)]) as other:
        box.fill(other.url)
        connect.click()
        wait_for_video(live)
        wait_until(lambda: live.read_stat("No mask") == "1", "one person")
        shown = f"http://127.0.0.1:{other.port}/stream"
        live.page.get_by_text(f"{shown}: live").wait_for()
        assert SECRET not in live.page.content()
        assert SECRET not in live.page.url
