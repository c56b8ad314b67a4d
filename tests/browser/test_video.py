"""The Video page in a real Chromium: upload, play, seek, download, leave, cancel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskdet.events.database import EventFilter
from maskdet.events.store import EventStore
from maskdet.media import VideoWriter
from tests.browser.dashboard import (
    Dashboard,
    open_page_from_sidebar,
    select_option,
    upload_files,
    wait_until_idle,
)
from tests.browser.serve import FACE_BGR, MASK_BGR
from tests.browser.test_accessibility import AXE, FIND_CUT_OFF, RUN_AXE
from tests.helpers.waiting import wait_until

UPLOADER = '[data-testid="stMain"] input[type="file"]'
RATE = 5
LENGTH_S = 4

# State of the video element in the browser.
STATE = """video => video.readyState > 0 && !video.error
  ? [video.videoWidth, video.videoHeight, video.duration, video.currentTime] : null"""

# Plays the video for a number of seconds.
PLAY = """async (video, seconds) => {
  video.muted = true; const until = video.currentTime + seconds;
  await video.play();
  while (video.currentTime < until) await new Promise(done => setTimeout(done, 50));
  video.pause();
}"""

SCROLL_TOP = "document.querySelector('[data-testid=stMain]').scrollTop"


def write_sample(
    path: Path, seconds: float = LENGTH_S, size_wh: tuple[int, int] = (320, 240)
) -> Path:
    """Write a video of a face for the fake analyzer, masked in the second half."""
    n, (width, height) = round(seconds * RATE), size_wh
    with VideoWriter(path, size_wh, frame_rate=Fraction(RATE)) as writer:
        for number in range(n):
            image = np.full((height, width, 3), 90, np.uint8)
            image[60:160, 110:210] = FACE_BGR
            if number >= n // 2:
                image[110:160, 110:210] = MASK_BGR
            writer.write(image, number / RATE)
        writer.finish()
    return path


class VideoPage:
    """The Video page in a browser."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.video = page.locator(".player video")
        self.lanes = page.get_by_role("slider", name="Time line of the people")
        self.rows = page.get_by_role("grid", name="Events").locator("tbody tr")
        self.original = page.get_by_role("button", name="Original", exact=True)

    def choose(self, path: Path) -> None:
        """Upload a video without starting it, or show why it cannot be started."""
        arrival = self.page.get_by_text(path.name, exact=True)
        upload_files(self.page, self.page.locator(UPLOADER), str(path), arrival)

    def upload(self, path: Path) -> None:
        self.choose(path)
        self.press("Analyze video")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def see_result(self) -> None:
        people = self.page.get_by_role("heading", name="People", exact=True)
        people.wait_for()
        wait_until(lambda: self.state() is not None, "the video in the browser")

    def state(self) -> list[float] | None:
        """Return width, height, duration and position of the video."""
        state: list[float] | None = self.video.evaluate(STATE)
        return state

    def is_at(self, time_s: float, tolerance_s: float = 0.1) -> bool:
        state = self.state()
        return state is not None and abs(state[3] - time_s) < tolerance_s

    def click_lane(self, number: int, fraction: float) -> None:
        """Click the lane of a person, at a fraction of the video."""
        track = self.page.locator(".player .lane:not(.axis) .track").nth(number)
        track.scroll_into_view_if_needed()
        size = track.bounding_box()
        track.click(position={"x": fraction * size["width"], "y": size["height"] / 2})

    def download(self, button: str, folder: Path) -> Path:
        with self.page.expect_download() as started:
            self.press(button)
        path = folder / started.value.suggested_filename
        started.value.save_as(path)
        return path


@pytest.fixture
def video_page(
    open_page: Callable[..., Any], fake_dashboard: Dashboard
) -> Iterator[VideoPage]:
    page = open_page(fake_dashboard.url)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    shown = VideoPage(page)
    open_page_from_sidebar(shown.page, "Video")
    yield shown
    assert errors == []


def test_upload_play_seek_and_download(video_page, tmp_path) -> None:
    parts: list[int] = []
    video_page.page.on(
        "response",
        lambda response: "/media/" in response.url and parts.append(response.status),
    )
    video_page.upload(write_sample(tmp_path / "mine.mp4"))
    video_page.see_result()
    width, height, length_s, _ = video_page.state()
    assert (width, height) == (320, 240)
    assert length_s == pytest.approx(LENGTH_S, abs=0.05)
    assert 206 in parts, "the browser gets parts of the video"
    video_page.video.evaluate(PLAY, 0.5)

    video_page.click_lane(0, 0.75)
    wait_until(lambda: video_page.is_at(3), "the video at the click")
    assert video_page.lanes.get_attribute("aria-valuetext") == "0:03, Person 1: Mask"
    left = video_page.page.locator(".player .now i").evaluate("line => line.style.left")
    assert float(left.removesuffix("%")) == pytest.approx(75, abs=1)

    document = json.loads(video_page.download("Summary (JSON)", tmp_path).read_bytes())
    (video,) = document["videos"]
    assert {event["kind"] for event in video["events"]} >= {"entered", "left"}
    assert (video["video"], video["n_frames"]) == ("mine.mp4", LENGTH_S * RATE)
    assert [person["first_s"] < 1 for person in video["people"]] == [True]
    lines = video_page.download("Per-frame data (CSV)", tmp_path).read_text()
    assert len(lines.splitlines()) == 1 + LENGTH_S * RATE
    marked = video_page.download("Annotated video (MP4)", tmp_path)
    assert marked.name == "mine-annotated.mp4"
    assert marked.read_bytes()[4:8] == b"ftyp"


def test_lanes_show_the_labels_and_can_be_used_with_keys(video_page, tmp_path) -> None:
    video_page.upload(write_sample(tmp_path / "mine.mp4"))
    video_page.see_result()
    spans = video_page.page.locator(".player .lane .span")
    lines = spans.evaluate_all("spans => spans.map(span => span.className)")
    # Colour is not the only difference between labels.
    assert lines == ["span double", "span dotted", "span solid"]
    spans.first.hover()
    tip = video_page.page.locator(".player .tip")
    assert tip.inner_text().startswith("Person 1 No mask, 0:00")

    video_page.lanes.focus()
    for key, time_s in (("End", LENGTH_S), ("Home", 0), ("ArrowRight", 1)):
        video_page.page.keyboard.press(key)
        wait_until(lambda time_s=time_s: video_page.is_at(time_s), f"the time of {key}")
    video_page.page.keyboard.press("ArrowDown")
    text = video_page.lanes.get_attribute("aria-valuetext")
    assert text == "0:01, Person 1: No mask"
    for label in ("Unsure", "Mask"):
        video_page.page.keyboard.press("Enter")
        end = f", Person 1: {label}"
        wait_until(
            lambda end=end: video_page.lanes.get_attribute("aria-valuetext").endswith(
                end
            ),
            f"the change to {label}",
        )
    assert video_page.is_at(LENGTH_S / 2, 0.8)


def test_a_row_of_the_events_seeks_and_does_not_scroll_the_page(
    video_page, tmp_path
) -> None:
    video_page.upload(write_sample(tmp_path / "mine.mp4"))
    video_page.see_result()
    video_page.rows.last.scroll_into_view_if_needed()
    before = video_page.page.evaluate(SCROLL_TOP)
    video_page.rows.last.click()
    wait_until(lambda: video_page.is_at(LENGTH_S, 0.5), "the video at the event")
    assert video_page.rows.last.get_attribute("aria-selected") == "true"
    assert video_page.page.evaluate(SCROLL_TOP) == before
    video_page.page.keyboard.press("ArrowUp")
    text = "Person 1: No mask, now Mask"
    selected = video_page.page.locator('.player tr[aria-selected="true"]')
    selected.filter(has_text=text).wait_for()
    # A label counts after a second.
    wait_until(lambda: video_page.is_at(LENGTH_S - 0.7, 0.5), "the event before")
    # The other way round: the table follows the video.
    video_page.click_lane(0, 0.1)
    selected.filter(has_text="Person 1 entered").wait_for()


def test_the_original_keeps_time_and_playing_state(video_page, tmp_path) -> None:
    video_page.upload(write_sample(tmp_path / "mine.mp4", 60))
    video_page.see_result()
    annotated = video_page.video.evaluate("video => video.src")
    video_page.click_lane(0, 0.5)
    wait_until(lambda: video_page.is_at(30, 0.3), "the video at the click")
    at_s = video_page.state()[3]
    video_page.video.evaluate("video => { video.playbackRate = 1.5; }")
    video_page.original.click()
    is_original = "(video, url) => video.src !== url && video.readyState > 1"
    wait_until(
        lambda: video_page.video.evaluate(is_original, annotated), "the original"
    )
    assert video_page.original.get_attribute("aria-pressed") == "true"
    assert video_page.is_at(at_s, 0.05)
    assert video_page.video.evaluate("video => video.paused")
    assert video_page.video.evaluate("video => video.playbackRate") == 1.5
    video_page.video.evaluate("video => { video.muted = true; return video.play(); }")
    video_page.original.click()
    wait_until(
        lambda: video_page.video.evaluate(
            "(video, url) => video.src === url && !video.paused", annotated
        ),
        "the annotated video to play on",
    )
    assert video_page.state()[3] >= at_s - 0.05
    assert video_page.video.evaluate("video => video.playbackRate") == 1.5
    # Blur hides the original, and says so only as long as it is on.
    blur = video_page.page.get_by_text("Blur faces (live, results and downloads)")
    note = video_page.page.locator(".player .note")
    blur.click()
    note.filter(has_text="no original").wait_for()
    blur.click()
    video_page.original.wait_for()
    assert note.inner_text() == ""


def test_a_portrait_video_fits_every_window(video_page, tmp_path) -> None:
    page = video_page.page
    video_page.upload(write_sample(tmp_path / "tall.mp4", size_wh=(360, 640)))
    video_page.see_result()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        wait_until_idle(page)
        page.evaluate(AXE.read_text("utf-8"))
        assert page.evaluate(RUN_AXE) == []
    for width in (1400, 1024, 820, 390):
        page.set_viewport_size({"width": width, "height": 900})
        wait_until(lambda: page.evaluate(FIND_CUT_OFF) == [], f"a page {width} px wide")
        size = video_page.video.bounding_box()
        assert size["height"] <= 0.6 * 900 + 1
        events = video_page.page.locator(".player .events").bounding_box()
        is_beside = events["x"] >= size["x"] + size["width"]
        assert is_beside == (width == 1400)


def test_an_upload_survives_other_pages_and_a_reload(video_page, tmp_path) -> None:
    video_page.choose(write_sample(tmp_path / "mine.mp4"))
    facts = video_page.page.get_by_text("mine.mp4: 320 x 240, 0:04")
    facts.wait_for()
    video_page.page.get_by_alt_text("First frame of the video").wait_for()
    select_option(video_page.page, "Process", "Every 2nd (twice as fast)")
    wait_until_idle(video_page.page)
    open_page_from_sidebar(video_page.page, "Events")
    open_page_from_sidebar(video_page.page, "Video")
    facts.wait_for()
    video_page.page.reload()
    facts.wait_for()
    video_page.press("Analyze video")
    video_page.see_result()
    video_page.page.get_by_text(f"0:04, {LENGTH_S * RATE // 2} frames").wait_for()
    video_page.press("Choose another video")
    video_page.page.locator(UPLOADER).wait_for(state="attached")


def test_the_analysis_continues_on_another_page_and_can_be_discarded(
    video_page, tmp_path
) -> None:
    video_page.upload(write_sample(tmp_path / "mine.mp4"))
    open_page_from_sidebar(video_page.page, "Events")
    open_page_from_sidebar(video_page.page, "Video")
    video_page.see_result()
    video_page.press("Choose another video")
    video_page.page.locator(UPLOADER).wait_for(state="attached")
    assert video_page.page.get_by_text("mine.mp4").count() == 0


def test_the_job_survives_a_reload_of_the_page(
    video_page, open_page, fake_dashboard, tmp_path
) -> None:
    video_page.upload(write_sample(tmp_path / "long.mp4", 600))
    video_page.page.locator(".maskdet-video img").wait_for()
    video_page.page.reload()
    video_page.page.get_by_text("Analyzing long.mp4").wait_for()
    video_page.press("Stop and show results")
    video_page.see_result()
    video_page.page.reload()
    video_page.see_result()
    other = VideoPage(open_page(f"{fake_dashboard.url}video"))
    other.page.locator(UPLOADER).wait_for(state="attached")
    assert other.page.get_by_text("long.mp4").count() == 0
    video_page.press("Choose another video")
    video_page.page.locator(UPLOADER).wait_for(state="attached")


def test_cancel_does_not_affect_a_second_visitor(
    video_page, open_page, fake_dashboard, tmp_path
) -> None:
    video_page.upload(write_sample(tmp_path / "long.mp4", 600))
    video_page.page.locator(".maskdet-video img").wait_for()
    other = VideoPage(open_page(f"{fake_dashboard.url}video"))
    other.upload(write_sample(tmp_path / "short.mp4", 1))
    other.see_result()
    video_page.press("Cancel")
    video_page.page.locator(UPLOADER).wait_for(state="attached")
    assert video_page.page.locator(".maskdet-video").count() == 0


def test_an_unreadable_video_is_reported_in_one_line(video_page, tmp_path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"this was a video")
    video_page.choose(path)
    alert = video_page.page.get_by_role("alert").filter(has_text="broken.mp4")
    alert.wait_for()
    assert "not a video, or it is damaged" in alert.inner_text()


def test_events_can_be_visited_and_recorded(
    open_page, fake_dashboard, tmp_path
) -> None:
    shown = VideoPage(open_page(f"{fake_dashboard.url}events"))
    shown.page.get_by_text("Record events", exact=True).click()
    shown.page.get_by_text("Images are never stored").wait_for()
    open_page_from_sidebar(shown.page, "Video")
    shown.upload(write_sample(tmp_path / "mine.mp4"))
    shown.see_result()
    shown.page.get_by_text("Record these events").click()
    shown.page.get_by_label("Camera name").fill("Garden")
    # A value typed just before the click is used.
    shown.page.get_by_test_id("stMain").get_by_text("Record 4 events").click()
    shown.page.get_by_text("4 events were recorded").wait_for()
    garden = EventFilter(cameras=("Garden",))
    stored = EventStore(fake_dashboard.events).read(garden)[::-1]
    kinds = [event.kind for event in stored]
    assert kinds == ["entered", "classified", "changed", "left"]
