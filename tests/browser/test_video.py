"""The Video page in a real Chromium: upload, play, scrub, download, leave, cancel."""

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
from tests.browser.dashboard import Dashboard, open_page_from_sidebar, upload_files
from tests.browser.serve import FACE_BGR, MASK_BGR
from tests.helpers.waiting import wait_until

UPLOADER = '[data-testid="stMain"] input[type="file"]'
RATE = 5
LENGTH_S = 4

# State of the video element in the browser.
STATE = """() => {
  const video = document.querySelector('[data-testid="stMain"] video');
  return video && video.readyState > 0 && !video.error
    ? [video.videoWidth, video.videoHeight, video.duration, video.currentTime] : null;
}"""

# Plays the video for a number of seconds.
PLAY = """async seconds => {
  const video = document.querySelector('[data-testid="stMain"] video');
  video.muted = true; const until = video.currentTime + seconds;
  await video.play();
  while (video.currentTime < until) await new Promise(done => setTimeout(done, 50));
  video.pause();
}"""


def write_sample(path: Path, seconds: float = LENGTH_S) -> Path:
    """Write a video of a face for the fake analyzer, masked in the second half."""
    n = round(seconds * RATE)
    with VideoWriter(path, (320, 240), frame_rate=Fraction(RATE)) as writer:
        for number in range(n):
            image = np.full((240, 320, 3), 90, np.uint8)
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

    def upload(self, path: Path) -> None:
        analyze = self.page.get_by_role("button", name="Analyze video", exact=True)
        upload_files(self.page, self.page.locator(UPLOADER), str(path), analyze)
        analyze.click()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def see_result(self) -> None:
        people = self.page.get_by_role("heading", name="People", exact=True)
        people.wait_for()
        wait_until(lambda: self.state() is not None, "the video in the browser")

    def state(self) -> list[float] | None:
        """Return width, height, duration and position of the video."""
        state: list[float] | None = self.page.evaluate(STATE)
        return state

    def starts_at(self, time_s: float) -> bool:
        state = self.state()
        return state is not None and abs(state[3] - time_s) < 0.3

    def moment(self) -> float:
        slider = self.page.get_by_role("slider", name="Moment of the video, in seconds")
        return float(slider.get_attribute("aria-valuetext"))

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


def test_upload_play_scrub_and_download(video_page, tmp_path) -> None:
    video_page.upload(write_sample(tmp_path / "mine.mp4"))
    video_page.see_result()
    width, height, length_s, _ = video_page.state()
    assert (width, height) == (320, 240)
    assert length_s == pytest.approx(LENGTH_S, abs=0.05)
    video_page.page.evaluate(PLAY, 0.5)

    chart = video_page.page.get_by_test_id("stVegaLiteChart").first
    canvas = chart.locator("canvas, svg").first
    canvas.wait_for()
    size = canvas.bounding_box()
    # The last quarter of the video; above the legend, below the title.
    canvas.click(position={"x": 0.9 * size["width"], "y": 0.5 * size["height"]})
    wait_until(lambda: video_page.moment() == LENGTH_S - 1, "the chart's moment")
    wait_until(lambda: video_page.starts_at(LENGTH_S - 1), "the video to start there")
    video_page.page.get_by_text("At 0:03: 1 Mask").wait_for()

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
    video_page.upload(path)
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
    visit_last_row(shown)
    shown.page.get_by_text("Record these events").click()
    shown.page.get_by_label("Camera name").fill("Garden")
    # A value typed just before the click is used.
    shown.page.get_by_test_id("stMain").get_by_text("Record 4 events").click()
    shown.page.get_by_text("4 events were recorded").wait_for()
    garden = EventFilter(cameras=("Garden",))
    stored = EventStore(fake_dashboard.events).read(garden)[::-1]
    kinds = [event.kind for event in stored]
    assert kinds == ["entered", "classified", "changed", "left"]


def visit_last_row(shown: VideoPage) -> None:
    """Select the last row of the table, a person who left, and check the moment."""
    table = shown.page.get_by_test_id("stDataFrame").last
    table.scroll_into_view_if_needed()
    size = table.bounding_box()
    shown.page.mouse.click(size["x"] + 16, size["y"] + size["height"] - 18)
    wait_until(lambda: shown.moment() > LENGTH_S - 0.5, "the row's moment")
    wait_until(lambda: shown.starts_at(int(shown.moment())), "the video to start there")
