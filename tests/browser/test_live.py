"""The Live page in a real Chromium whose camera plays a video."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskdet.style import colour_bgr
from maskdet.synthetic import render_mask
from maskdet.types import CLASSES, Label
from maskdet.web.live.viewers import MAX_VIEWERS_VARIABLE
from maskdet.wording import PERCENT
from tests.browser.dashboard import (
    STREAMER,
    Dashboard,
    LivePage,
    open_advanced,
    run_dashboard,
    select_option,
    turn_toggle_on,
    upload_files,
    wait_until_idle,
    write_camera_video,
)
from tests.browser.serve import FACE_BGR, MASK_BGR
from tests.helpers.waiting import WAIT_MS, wait_until

VIDEO_FPS = 30
NONE = "\N{EN DASH}"
# In the middle, so that it is at the same place in the mirror.
FACE_BOX = (220, 140, 420, 340)
# On a busy machine images may stop for longer than people are remembered by default.
REMEMBER = "memory_s=60"


@pytest.fixture(scope="module")
def fake_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of an unmasked face, three of a masked one, and a moving ball."""
    images = []
    x1, y1, x2, y2 = FACE_BOX
    for number in range(6 * VIDEO_FPS):
        image = np.full((480, 640, 3), 90, np.uint8)
        image[y1:y2, x1:x2] = FACE_BGR
        if number >= 3 * VIDEO_FPS:
            image[(y1 + y2) // 2 : y2, x1:x2] = MASK_BGR
        cv2.circle(image, (20 + 3 * number, 440), 14, (255, 255, 255), -1)
        images.append(image)
    return write_camera_video(tmp_path_factory.mktemp("video") / "fake.mjpeg", images)


@pytest.fixture
def live(
    open_page: Callable[..., Any], fake_dashboard: Dashboard, fake_video: Path
) -> LivePage:
    return LivePage(open_page(fake_dashboard.url, fake_video))


def outlined(label: Label) -> Callable[[np.ndarray], bool]:
    """Return whether an image has an outline in the label's colour."""
    return lambda image: _outline_px(image, label) > 300


def _outline_px(image: np.ndarray, label: Label) -> int:
    """Count the pixels of the label's colour close to the edge of the face."""
    x1, y1, x2, y2 = FACE_BOX
    ring = np.zeros(image.shape[:2], bool)
    ring[y1 - 10 : y2 + 10, x1 - 10 : x2 + 10] = True
    ring[y1 + 10 : y2 - 10, x1 + 10 : x2 - 10] = False
    # Video has half the resolution in colour, so a thin line is paler than drawn.
    off = np.abs(image.astype(np.int16) - colour_bgr(label)).max(axis=2)
    return int((ring & (off < 50)).sum())


def no_outline(image: np.ndarray) -> bool:
    return all(_outline_px(image, label) < 30 for label in Label)


def moving(live: LivePage) -> bool:
    """Return whether the ball moves, so that the video is not frozen."""
    first = live.wait_for_image(lambda image: True, "an image")
    live.wait_for_image(
        lambda image: bool((np.abs(image.astype(int) - first) > 80).any()),
        "another image",
    )
    return True


@pytest.fixture(scope="module")
def portrait_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of a real face and four of the same with a mask drawn on.

    The portrait is NASA's, in the public domain; scikit-image carries it.
    """
    data = pytest.importorskip("skimage.data")
    unmasked = np.ascontiguousarray(data.astronaut()[:384, :, ::-1])
    landmarks = [[205, 97], [248, 103], [223, 126], [201, 141], [239, 146]]
    box = np.array([181, 54, 274, 178])
    masked = render_mask(unmasked, np.array(landmarks, float), box=box)
    images = [cv2.resize(image, (640, 480)) for image in (unmasked, masked)]
    frames = [images[number // (4 * VIDEO_FPS)] for number in range(8 * VIDEO_FPS)]
    return write_camera_video(
        tmp_path_factory.mktemp("video") / "portrait.mjpeg", frames
    )


def around_the_head(label: Label) -> Callable[[np.ndarray], bool]:
    """Return whether the label's colour is seen where the portrait has its face."""

    def seen(image: np.ndarray) -> bool:
        part = image[20:300, 180:390].astype(np.int16)
        return int((np.abs(part - colour_bgr(label)).max(axis=2) < 50).sum()) > 300

    return seen


def test_the_default_analyzer_labels_a_real_face(
    open_page: Callable[..., Any], dashboard: Dashboard, portrait_video: Path
) -> None:
    url = f"{dashboard.url}?mirror=false&{REMEMBER}"
    live = LivePage(open_page(url, portrait_video))
    live.start()
    for label in (Label.NO_MASK, Label.MASK, Label.NO_MASK):
        live.wait_for_image(around_the_head(label), f"the colour of {label.title}")
    live.press_slider_key("Minimum confidence", "End")
    wait_until(lambda: live.read_stat("Unsure") == "1", "one face that is unsure")
    coloured = [around_the_head(label) for label in CLASSES]
    live.wait_for_image(
        lambda image: not any(seen(image) for seen in coloured),
        "a face in none of the colours",
    )
    live.stop()


def test_each_class_gets_its_colour_and_updates_the_metrics(live: LivePage) -> None:
    live.page.goto(f"{live.page.url}?{REMEMBER}")
    assert live.read_stat("Processed") == NONE
    live.start()
    live.wait_for_image(outlined(Label.NO_MASK), "a red outline")
    wait_until(lambda: live.read_stat("No mask") == "1", "one person without a mask")
    wait_until(lambda: live.read_status() == "1 without a mask", "the status")
    wait_until(lambda: "people in view: 1" in live.read_stats().lower(), "the sum")
    live.wait_for_image(outlined(Label.MASK), "a green outline")
    wait_until(lambda: live.read_stat("Mask") == "1", "everybody masked")
    wait_until(lambda: live.read_status() == "Everyone wears a mask", "the status")
    assert "1 in total" in live.read_stats()
    # A chart has the mean of each second, and is replaced once a second.
    charts = live.page.get_by_alt_text("Last minute: 0 to 1")
    wait_until(lambda: charts.count() >= 2, "charts of both classes")
    is_drawn = (
        "(charts) => charts.some((chart) => chart.complete && chart.naturalWidth)"
    )
    wait_until(lambda: charts.evaluate_all(is_drawn), "a chart that is drawn")
    live.page.get_by_alt_text(f"Since Start: 0{PERCENT} to 100{PERCENT}").wait_for()
    changed = live.page.get_by_role("listitem").filter(has_text="Person 1: No mask")
    changed.first.wait_for()

    def add_up() -> bool:  # unless the page changes while they are read
        received, processed, dropped = (
            float(live.read_stat(name).split()[0])
            for name in ("Camera", "Processed", "Dropped")
        )
        in_range = 0 < processed <= received <= 40
        return in_range and abs(received - processed - dropped) <= 0.2

    wait_until(add_up, "frame rates that add up")
    line = live.page.get_by_text(re.compile(r"^\d+ fps, [\d.]+ ms, [\d,]+ dropped$"))
    line.wait_for()
    assert not live.page.get_by_role("heading", name="Latency").is_visible()
    live.page.get_by_text("Performance details").click()
    live.page.get_by_role("heading", name="Latency").wait_for()
    shown = line.inner_text()
    wait_until(lambda: line.inner_text() != shown, "another line")
    live.page.get_by_role("heading", name="Latency").wait_for()


def test_distances_are_shown_below_the_running_video(live: LivePage) -> None:
    live.start()
    live.wait_for_image(outlined(Label.MASK), "a green outline")
    live.page.get_by_role("radio", name="From camera angle").click()
    live.page.get_by_alt_text("Bird's-eye view of where people stand").wait_for()
    live.page.locator(".maskdet-distances").get_by_text("Close pairs").wait_for()
    live.page.get_by_role("radio", name="From floor marks").click()
    alert = live.page.get_by_test_id("stAlert")
    alert.filter(has_text="Mark the four corners").wait_for()
    assert moving(live)
    live.page.get_by_role("button", name="Point 1, far left").press("ArrowLeft")
    alert.filter(has_text="Mark the four corners").wait_for(state="detached")
    live.page.get_by_text("Save, load, link").click()
    link = live.page.get_by_test_id("stCode")
    link.filter(has_text="ground_points=%5B0.298%2C").wait_for()
    assert moving(live)


def test_blur_hides_the_face_in_the_video(live: LivePage) -> None:
    live.start()
    live.wait_for_image(outlined(Label.MASK), "a green outline")

    def smeared(image: np.ndarray) -> bool:
        # The squares reach out of the face: grey beside it takes on its red.
        return float(image[165:225, 186:204, 2].mean()) > 100

    assert not smeared(live.wait_for_image(lambda image: True, "an image"))
    live.page.get_by_text("Blur faces (live, results and downloads)").click()
    live.wait_for_image(smeared, "a blurred face")
    assert moving(live)


def test_a_moved_slider_changes_the_running_video(live: LivePage) -> None:
    live.start()
    live.wait_for_image(outlined(Label.MASK), "a green outline")
    live.press_slider_key("Minimum confidence", "End")
    live.wait_for_image(outlined(Label.UNKNOWN), "a grey outline")
    live.press_slider_key("Face detection threshold", "End")
    live.wait_for_image(no_outline, "an image without an outline")
    assert moving(live)


def test_messages_above_the_video_do_not_stop_it(
    live: LivePage, tmp_path: Path
) -> None:
    live.start()
    live.wait_for_image(outlined(Label.MASK), "a green outline")
    live.page.get_by_text("Save, load, link").click()
    torn = tmp_path / "torn.json"
    torn.write_text("{")
    alert = live.page.get_by_test_id("stAlert")
    warning = alert.filter(has_text="this file is not valid JSON")
    upload_files(live.page, live.page.locator("input[type=file]").first, torn, warning)
    assert moving(live)
    select_option(live.page, "Analyzer", "Haar (classic)")
    live.page.get_by_text("Haar cascades detect").wait_for()
    live.wait_for_image(outlined(Label.NO_MASK), "a red outline")
    assert moving(live)
    live.button("Stop").wait_for()


def test_settings_survive_a_visit_to_another_page(live: LivePage) -> None:
    live.press_slider_key("Minimum confidence", "End")
    live.start()
    live.wait_for_image(outlined(Label.UNKNOWN), "a grey outline")
    live.open_page("About")
    live.open_page("Live")
    live.button("Start").wait_for()
    wait_until_idle(live.page)
    assert not live.page.get_by_test_id("stAlert").count()
    live.start()
    live.wait_for_image(outlined(Label.UNKNOWN), "a grey outline again")
    assert moving(live)


def test_a_stopped_stream_leaves_a_summary_until_the_next_start(
    live: LivePage, tmp_path: Path
) -> None:
    live.start()
    live.wait_for_image(outlined(Label.MASK), "a green outline")
    live.stop()
    summary = live.page.get_by_role("heading", name="Last run")
    summary.wait_for()
    with live.page.expect_download() as started:
        live.page.get_by_role("button", name="Report (JSON)").click()
    path = tmp_path / "live.json"
    started.value.save_as(path)
    (report,) = json.loads(path.read_text("utf-8"))["videos"]
    assert len(report["people"]) >= 1
    assert 0 < report["analyzed_s"] < 300
    live.start()
    live.wait_for_image(outlined(Label.MASK), "a green outline")
    summary.wait_for(state="detached")


def test_the_page_does_not_jump_at_start_and_the_video_can_be_wide(
    live: LivePage,
) -> None:
    # A 4:3 camera, as most browsers offer; it shows the same as the example before.
    frame = live.page.locator(STREAMER)
    live.button("Start").wait_for()
    wait_until_idle(live.page)
    before = frame.bounding_box()
    live.start()
    live.wait_for_image(outlined(Label.MASK), "a green outline")
    # The frame follows the height of the video a moment later.
    wait_until(lambda: frame.bounding_box() == before, "the same place and size")
    turn_toggle_on(live.page, "Full-width video")
    wait_until(lambda: frame.bounding_box()["width"] > 1.2 * before["width"], "width")
    box = frame.bounding_box()
    assert (box["x"], box["y"]) == (before["x"], before["y"])
    assert moving(live)
    assert live.page.locator(".maskdet-status").bounding_box()["y"] > box["y"]
    live.page.set_viewport_size({"width": 820, "height": 1000})
    toggle = live.page.get_by_text("Full-width video", exact=True)
    toggle.wait_for(state="hidden")


@contextlib.contextmanager
def streamer_held_back(page: Any) -> Iterator[list[Any]]:
    """Hold back the streamer's own code until the end; yield the requests."""
    held: list[Any] = []
    is_over = False

    def hold(route: Any) -> None:
        if is_over:
            route.continue_()
        else:
            held.append(route)

    page.route("**/component/**", hold)
    yield held
    is_over = True
    for route in held:
        route.continue_()


def test_an_example_with_start_stands_in_the_place_of_the_streamer(
    live: LivePage,
) -> None:
    page = live.page
    start = page.get_by_role("button", name="Start", exact=True)
    place, below = page.locator(".st-key-streamer"), page.get_by_text("No camera?")
    with streamer_held_back(page) as held:
        page.reload()
        start.wait_for()
        wait_until_idle(page)
        assert held
        skeleton, example = place.get_by_test_id("stSkeleton"), place.locator("img")
        assert (skeleton.count(), skeleton.is_visible()) == (1, False)
        assert example.evaluate("image => image.complete && image.naturalWidth > 0")
        before = example.bounding_box(), below.bounding_box()
    live.button("Start").wait_for()
    start.wait_for(state="hidden")
    inside = live.frame.get_by_test_id("VideoLabelIcon").locator("..")

    def stays() -> bool:
        after = inside.bounding_box(), below.bounding_box()
        boxes = zip(before, after, strict=True)
        return all(abs(old[x] - new[x]) < 2 for old, new in boxes for x in old)

    wait_until(stays, "the same place and size")


def test_start_can_be_pressed_before_the_streamer_has_loaded(live: LivePage) -> None:
    start = live.page.get_by_role("button", name="Start", exact=True)
    with streamer_held_back(live.page):
        live.page.reload()
        start.click()
        wait_until(start.is_disabled, "the press to arrive")
    wait_until(lambda: live.image() is not None, "the first image")


def test_faces_of_events_are_shown_only_if_allowed(live: LivePage) -> None:
    live.page.goto(f"{live.page.url}?{REMEMBER}")
    live.start()
    faces = live.page.locator(".maskdet-events img")
    changed = live.page.get_by_role("listitem").filter(has_text="Person 1: No mask")
    changed.first.wait_for()
    assert not faces.count()
    turn_toggle_on(live.page, "Show faces beside events")
    faces.first.wait_for()
    live.page.get_by_text("Blur faces (live, results and downloads)").click()
    wait_until(lambda: not faces.count(), "no faces")
    toggle = live.page.get_by_role("switch", name="Show faces beside events")
    wait_until(toggle.is_disabled, "a toggle that is disabled")


def test_a_stopped_stream_starts_again(live: LivePage) -> None:
    for _ in range(3):  # each time at once, as soon as the page shows Start
        live.start()
        live.wait_for_image(outlined(Label.MASK), "a green outline")
        live.stop()
    wait_until(lambda: live.read_stat("Processed") == NONE, "the numbers to be cleared")


def test_failing_frames_are_reported_and_the_stream_continues(live: LivePage) -> None:
    live.start()
    live.wait_for_image(outlined(Label.MASK), "a green outline")
    open_advanced(live.page, "Detection")
    live.press_slider_key("NMS IoU threshold", "Home")
    alert = live.page.get_by_role("alert")
    alert.filter(has_text="the test asked for a failure").wait_for()
    live.wait_for_image(
        lambda image: float(image[:8, -40:, 1].mean()) < 60,
        "a bar with the error over the image",
    )
    assert moving(live)
    live.press_slider_key("NMS IoU threshold", "End")
    live.wait_for_image(outlined(Label.MASK), "a green outline again")


def test_without_a_connection_the_page_gives_reasons_and_offers_a_photo(
    live: LivePage,
) -> None:
    # As behind a firewall: the browser cannot connect to the server.
    live.frame.evaluate(
        "() => { RTCPeerConnection.prototype.setRemoteDescription ="
        " () => new Promise(() => {}); }"
    )
    live.button("Start").click()
    alert = live.page.get_by_test_id("stAlert")
    alert.filter(has_text="No connection after 10 seconds").wait_for()
    assert "HTTPS" in alert.inner_text()
    assert "TURN" in alert.inner_text()
    live.page.get_by_role("button", name="Take Photo").click()
    live.page.get_by_alt_text("Face 1").wait_for()


# The connection state of a browser whose server no longer responds.
_BREAK_OFF = """() => {
  Object.defineProperty(window.peer, 'connectionState', {get: () => 'disconnected'});
  window.peer.dispatchEvent(new Event('connectionstatechange'));
}"""
_KEEP_PEER = """() => {
  const Peer = RTCPeerConnection;
  window.RTCPeerConnection = function (...how) {
    return (window.peer = new Peer(...how));
  };
}"""


def test_an_interrupted_stream_is_reported_and_reconnects(live: LivePage) -> None:
    live.button("Start").wait_for()
    live.frame.evaluate(_KEEP_PEER)
    live.start()
    for _ in range(2):
        live.wait_for_image(outlined(Label.MASK), "a green outline")
        live.frame.evaluate(_BREAK_OFF)
        alert = live.page.get_by_test_id("stAlert")
        alert.filter(has_text="Live video interrupted").wait_for()
        wait_until(lambda: live.image() is not None, "an image again")
        alert.wait_for(state="detached")
        assert moving(live)


def test_the_camera_does_not_restart_after_stop(live: LivePage) -> None:
    live.start()
    live.wait_for_image(outlined(Label.MASK), "a green outline")
    live.stop()
    live.page.get_by_role("heading", name="Last run").wait_for()
    # A later run of the page would begin to reconnect, and say so.
    live.press_slider_key("Minimum confidence", "End")
    live.page.wait_for_function("location.search.includes('min_confidence=')")
    wait_until_idle(live.page)
    assert live.button("Start").is_visible()
    assert live.image() is None
    assert not live.page.get_by_test_id("stAlert").count()


def test_a_viewer_above_the_limit_gets_the_slot_that_becomes_free(
    open_page: Callable[..., Any],
    chromium: str,
    fake_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(MAX_VIEWERS_VARIABLE, "1")
    with run_dashboard(tmp_path, "--fake") as dashboard:
        first, second = (
            LivePage(open_page(dashboard.url, fake_video)) for _ in range(2)
        )
        second.button("Start").wait_for()
        first.start()
        second.button("Start").click()
        alert = second.page.get_by_test_id("stAlert")
        alert.filter(has_text="All slots for live video are taken").wait_for()
        assert moving(first)
        assert alert.count() == 1, "nothing was interrupted"
        first.page.close()
        second.start()
        alert.wait_for(state="detached")
        assert moving(second)


def test_settings_can_be_exported_to_a_file_and_a_link(
    live: LivePage, tmp_path: Path
) -> None:
    page = live.page
    live.press_slider_key("Face detection threshold", "End")
    page.get_by_text("Save, load, link").click()
    link = page.get_by_test_id("stCode")
    link.filter(has_text="min_score=1.0").wait_for()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save settings").click()
    saved = tmp_path / saving.value.suggested_filename
    saving.value.save_as(saved)
    link_url = link.inner_text().strip()

    slider = page.get_by_role("slider", name="Face detection threshold")
    page.get_by_role("button", name="Reset to defaults").click()
    wait_until(lambda: slider.input_value() == "0.5", "the default")
    wait_until_idle(page)
    page.locator("input[type=file]").first.set_input_files(saved)
    wait_until(lambda: slider.input_value() == "1", "the loaded value")

    page.goto(link_url)
    slider.wait_for()
    wait_until(lambda: slider.input_value() == "1", "the value of the link")
    page.goto(link_url.replace("1.0", "many"))
    alert = page.get_by_test_id("stAlert")
    line = "min_score must be a number from 0 to 1, not 'many'"
    alert.filter(has_text=line).wait_for()
    assert slider.input_value() == "0.5"


def test_without_a_camera_the_page_says_what_to_do(
    playwright: Any, chromium: str, fake_dashboard: Dashboard
) -> None:
    # No fake device, and no question for permission that nobody answers.
    browser = playwright.chromium.launch(
        executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
    )
    try:
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(fake_dashboard.url)
        LivePage(page).button("Start").click()
        page.get_by_test_id("stAlert").filter(has_text="No camera was found").wait_for()
        assert not LivePage(page).frame.get_by_text("NotFoundError").is_visible()
        page.get_by_role("button", name="Play the sample video").click()
        page.get_by_role("radio", name="Sample video", checked=True).wait_for()
        page.get_by_test_id("stAlert").wait_for(state="detached")
    finally:
        browser.close()
