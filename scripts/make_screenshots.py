"""Make the images of README and docs: `python scripts/make_screenshots.py [NAME ...]`.

Starts the dashboard like the browser tests, opens its pages in Chromium, whose camera
plays `samples/video.mp4`, and writes `docs/images/NAME.webp`; `demo` is the animation
of README. `--out FOLDER` writes them there instead.

With `--survey FOLDER`, each page is written to FOLDER at five widths and at 200 % zoom,
in both themes, with `index.html`; the exit status is 1 if an element is cut off. It
needs `requirements-dev.txt` and Chromium, but no network.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maskdet.web.cameras.config import CAMERAS_VARIABLE
from scripts.page_survey import State, survey
from tests.browser.dashboard import (
    FLAGS,
    Dashboard,
    LivePage,
    find_chromium,
    open_page_from_sidebar,
    upload_files,
    wait_until_idle,
    write_camera_video,
)
from tests.helpers.mjpeg_camera import run_mjpeg_camera
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
SAMPLE_VIDEO = ROOT / "samples" / "video.mp4"
QUALITY = 82

LIVE_S = 6.0
LIVE_STEP_S = 0.1  # fewer images a second, for a smaller file
"""Length of the animation of the Live page."""

LIVE_QUALITY = 60

DEMO_QUALITIES = (55, 40, 25)
DEMO_MAX_BYTES = 3_000_000
"""The first quality that gives a file of this size is used."""

DEMO_FRAME_MS = 140

_HAS_EXAMPLE_SCRIPT = """() => {
  const areas = [...document.querySelectorAll('.MuiPaper-root')];
  return areas.some((area) => getComputedStyle(area).backgroundImage.includes('url')
    && area.clientHeight > 100 && window.innerHeight >= area.clientHeight);
}"""
"""Whether the streamer, which sets its height late, shows the example."""

PreparePage = Callable[[Any], None]
"""Brings an open page into the state of the screenshot."""


def main() -> int:
    """Write the requested images, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="images, or states")
    parser.add_argument("--out", type=Path, default=IMAGES, metavar="FOLDER")
    parser.add_argument("--survey", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    available = list(SURVEY if args.survey else SCREENSHOTS)
    requested = args.names or available
    unknown = sorted(set(requested) - set(available))
    if unknown:
        parser.error(f"unknown name {unknown[0]}; available are {', '.join(available)}")
    if args.survey:
        states = {name: SURVEY[name] for name in requested}
        with (
            tempfile.TemporaryDirectory() as folder,
            _run_cameras(),
            _open_browser(Path(folder)) as open_page,
        ):
            return int(survey(open_page, states, args.survey) > 0)
    args.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        _open_browser(Path(folder)) as open_page,
    ):
        for name in requested:
            screenshot = SCREENSHOTS[name]
            page = open_page(screenshot.path, screenshot.size_wh)
            screenshot.prepare(page)
            target = args.out / f"{name}.webp"
            screenshot.save(page, target)
            page.context.close()
            print(f"wrote {target}: {target.stat().st_size:,} bytes")
    return 0


@contextlib.contextmanager
def _run_cameras() -> Iterator[None]:
    """Run a network camera, and name it and a missing one for the dashboard."""
    images = [image for image, _ in zip(_read_camera_images(), range(60), strict=False)]
    with run_mjpeg_camera(images) as camera:
        cameras = {"Door": camera.url, "Attic": "rtsp://127.0.0.1:9/none"}
        os.environ[CAMERAS_VARIABLE] = json.dumps(cameras)
        yield


@contextlib.contextmanager
def _open_browser(folder: Path) -> Iterator[Callable[..., Any]]:
    """Start the dashboard and a browser; yield a function that opens a page."""
    from playwright.sync_api import sync_playwright

    _record_events(folder / "events.sqlite3")
    dashboard = Dashboard(folder)
    camera = write_camera_video(folder / "camera.mjpeg", list(_read_camera_images()))
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
    try:
        dashboard.wait()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=flags
            )

            def open_page(
                path: str, size_wh: tuple[int, int], theme: str = "light"
            ) -> Any:
                width, height = size_wh
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=theme,
                    timezone_id="UTC",
                )
                page = context.new_page()
                page.set_default_timeout(120_000)
                page.goto(f"{dashboard.url}{path}")
                return page

            yield open_page
            browser.close()
    finally:
        dashboard.stop()


def _record_events(database: Path) -> None:
    """Fill a database with the events of the sample video, for the Events page."""
    command = (sys.executable, "-m", "maskdet", "video", str(SAMPLE_VIDEO))
    options = ("--record", str(database), "--camera", "Door", "--alert", "no_mask")
    subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True)


def _read_camera_images() -> Iterator[np.ndarray]:
    """Yield the frames of the sample video for Chromium's camera, 30 a second."""
    with av.open(str(SAMPLE_VIDEO)) as container:
        rate = float(container.streams.video[0].average_rate or 25)
        shown_s = 0.0
        for number, frame in enumerate(container.decode(video=0)):
            image = frame.to_ndarray(format="bgr24")
            while shown_s <= number / rate:
                yield image
                shown_s += 1 / 30


def _save_screenshot(page: Any, target: Path) -> None:
    """Write a screenshot of the page."""
    wait_until_idle(page)
    # Charts and images are rendered after the script has run.
    page.wait_for_timeout(2500)
    _take_image(page).save(target, quality=QUALITY, method=6)


def _save_live(page: Any, target: Path) -> None:
    """Write some seconds of the page as an animated image."""
    frames: list[Image.Image] = []
    times_s: list[float] = []
    began_s = time.monotonic()
    while time.monotonic() - began_s < LIVE_S:
        times_s.append(time.monotonic())
        frames.append(_take_image(page))
        page.wait_for_timeout(1e3 * LIVE_STEP_S)
    durations_s = np.diff([*times_s, time.monotonic()])
    durations_ms = [round(1e3 * float(duration_s)) for duration_s in durations_s]
    _write_animation(target, frames, durations_ms, LIVE_QUALITY)


def _take_image(page: Any) -> Image.Image:
    with Image.open(io.BytesIO(page.screenshot())) as image:
        return image.convert("RGB")


def _write_animation(
    target: Path, frames: list[Image.Image], durations_ms: list[int], quality: int
) -> None:
    """Write frames as an animated WebP image that repeats."""
    frames[0].save(
        target,
        save_all=True,
        append_images=frames[1:],
        duration=durations_ms,
        loop=0,
        quality=quality,
        method=6,
    )


class Recorder:
    """Takes the frames of an animation from a page.

    Each frame is shown equally long, so that a busy machine does not make it slower.
    """

    def __init__(self, page: Any) -> None:
        """Start without a frame."""
        self._page = page
        self._frames: list[Image.Image] = []
        self._durations_ms: list[int] = []

    def add_frame(self, *, hold_s: float = 0.0) -> None:
        """Take a frame, and show it longer than others by some seconds."""
        self._frames.append(_take_image(self._page))
        self._durations_ms.append(DEMO_FRAME_MS + round(1e3 * hold_s))

    def save(self, target: Path) -> None:
        """Write the animation with the best quality that is small enough."""
        for quality in DEMO_QUALITIES:
            _write_animation(target, self._frames, self._durations_ms, quality)
            if target.stat().st_size <= DEMO_MAX_BYTES:
                return
        raise SystemExit(f"{target} is larger than {DEMO_MAX_BYTES:,} bytes")


def _save_demo(page: Any, target: Path) -> None:
    """Record Live, then a selected face on Image, then a slider on Tune."""
    recorder = Recorder(page)
    recorder.add_frame(hold_s=1)
    _start_live(page)
    page.wait_for_timeout(2000)
    for _ in range(30):
        recorder.add_frame()
        page.wait_for_timeout(DEMO_FRAME_MS)
    open_page_from_sidebar(page, "Image")
    wait_until_idle(page)
    page.get_by_text("Samples", exact=True).click()
    page.get_by_text("Group", exact=True).click()
    rows = page.locator(".overlay tbody tr")
    rows.nth(6).wait_for()
    wait_until_idle(page)
    recorder.add_frame(hold_s=1)
    for number in range(7):
        rows.nth(number).click()
        wait_until_idle(page)
        recorder.add_frame(hold_s=0.4)
    open_page_from_sidebar(page, "Tune")
    _prepare_tune(page)
    wait_until_idle(page)
    recorder.add_frame(hold_s=1)
    slider = page.get_by_test_id("stMain").get_by_role("slider").first
    for _ in range(12):
        for _ in range(3):
            slider.press("ArrowRight")
        wait_until_idle(page)
        recorder.add_frame()
    recorder.add_frame(hold_s=1.5)
    recorder.save(target)


def _prepare_demo(page: Any) -> None:
    """Wait until the page is complete: no grey bars, an image in place of the video."""
    live = LivePage(page)
    live.button("Start").wait_for()
    page.get_by_role("button", name="Play the sample video").wait_for()
    wait_until(lambda: not page.get_by_test_id("stSkeleton").count(), "no grey bars")
    live.frame.wait_for_function(_HAS_EXAMPLE_SCRIPT)
    wait_until_idle(page)


def _prepare_live(page: Any) -> None:
    live = LivePage(page)
    live.start()
    # Wait for the counts next to the video.
    page.wait_for_timeout(6000)

    def all_faces_visible() -> bool:
        numbers = live.read_stats()
        return "3" in numbers.splitlines()[0] and "not facing" not in numbers

    wait_until(all_faces_visible, "three faces")


def _prepare_image(page: Any) -> None:
    page.get_by_text("Samples", exact=True).click()
    page.get_by_text("Group", exact=True).click()
    page.locator(".overlay tbody tr").nth(3).click()


def _prepare_cameras(page: Any) -> None:
    page.get_by_role("button", name="Door").locator("img").wait_for()
    page.get_by_role("button", name="Attic, Not available").wait_for()


def _prepare_video(page: Any) -> None:
    wait_until_idle(page)
    page.locator('[data-testid="stMain"] button[kind="primary"]').first.click()
    page.get_by_role("heading", name="People", exact=True).wait_for()


def _prepare_models(page: Any) -> None:
    page.locator(".maskdet-ranking").wait_for()
    page.get_by_test_id("stVegaLiteChart").first.wait_for()


def _prepare_tune(page: Any) -> None:
    page.get_by_test_id("stVegaLiteChart").first.wait_for()


def _prepare_events(page: Any) -> None:
    page.get_by_test_id("stDataFrame").first.wait_for()


def _prepare_about(page: Any) -> None:
    page.get_by_role("heading", level=1).wait_for()


def _open_models_classifiers(page: Any) -> None:
    page.get_by_test_id("stButtonGroup").get_by_text("Classifiers", exact=True).click()
    page.get_by_role("tab", name="Mistakes").wait_for()


def _upload_images(page: Any) -> None:
    uploader = page.get_by_test_id("stMain").locator("input[type=file]").first
    images = sorted((ROOT / "samples").glob("*.jpg"))
    last = page.get_by_text(images[-1].name).first
    upload_files(page, uploader, images, last)
    page.locator(".overlay tbody tr").first.wait_for()


def _start_live(page: Any) -> None:
    live = LivePage(page)
    live.start()
    wait_until(lambda: live.read_stats() != "", "the counts beside the video")


class Screenshot(NamedTuple):
    """An image of the documentation.

    Attributes:
        path: address of the page.
        prepare: brings the page into the state of the image.
        save: writes the page to a file.
        size_wh: of the window.
    """

    path: str
    prepare: PreparePage
    save: Callable[[Any, Path], None] = _save_screenshot
    size_wh: tuple[int, int] = (1360, 940)


SCREENSHOTS = {
    "live": Screenshot("", _prepare_live, _save_live, (1120, 780)),
    "image": Screenshot("image", _prepare_image),
    "video": Screenshot("video", _prepare_video),
    "tune": Screenshot("tune", _prepare_tune),
    "models": Screenshot("models", _prepare_models),
    "events": Screenshot("events", _prepare_events),
    "about": Screenshot("about", _prepare_about),
    "demo": Screenshot("", _prepare_demo, _save_demo, (1120, 720)),
}
"""By name of the image."""

SURVEY: dict[str, State] = {
    "live": ("", _prepare_about),
    "live-running": ("", _start_live),
    "cameras": ("cameras", _prepare_cameras),
    "image": ("image", _upload_images),
    "video": ("video", _prepare_video),
    "tune": ("tune", _prepare_tune),
    "models": ("models", _prepare_models),
    "models-classifiers": ("models", _open_models_classifiers),
    "events": ("events", _prepare_events),
    "about": ("about", _prepare_about),
}
"""Address and preparation by name of the state; see `scripts.page_survey`."""


if __name__ == "__main__":
    sys.exit(main())
