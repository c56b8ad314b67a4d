"""Make the images of README and docs: `python scripts/make_screenshots.py [NAME ...]`.

Starts the dashboard as the browser tests do, opens its pages in a real Chromium whose
camera plays `samples/film.mp4`, and writes `docs/images/NAME.webp`. No network is
needed; `requirements-dev.txt` and a Chromium are.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maskdet.events.place import URL_VARIABLE, sqlite_url
from tests.browser.conftest import FLAGS
from tests.browser.driving import Dashboard, LivePage, settle, write_film
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
FILM = ROOT / "samples" / "film.mp4"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
SIZE_WH = (1360, 940)
QUALITY = 82

LIVE_S = 6.0
"""Length of the animation of the Live page."""

LIVE_WH = (1120, 780)
LIVE_QUALITY = 60

Shot = Callable[[Any], None]
"""Brings a page, which is open already, into the state that is shown."""


def main() -> int:
    """Write the images that were asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHOTS))
    wanted = parser.parse_args().names or list(SHOTS)
    unknown = sorted(set(wanted) - set(SHOTS))
    if unknown:
        parser.error(f"no such image: {unknown[0]}; known are {', '.join(SHOTS)}")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _browser(Path(folder)) as open_page:
        for name in wanted:
            path, prepare = SHOTS[name]
            page = open_page(path, LIVE_WH if name == "live" else SIZE_WH)
            prepare(page)
            target = IMAGES / f"{name}.webp"
            if name == "live":
                _save_animation(page, target)
            else:
                _save(page, target)
            page.context.close()
            print(f"wrote {target.relative_to(ROOT)}: {target.stat().st_size:,} bytes")
    return 0


@contextlib.contextmanager
def _browser(folder: Path) -> Iterator[Callable[[str, tuple[int, int]], Any]]:
    """Start the dashboard and a browser; yield what opens one of its pages."""
    from playwright.sync_api import sync_playwright

    database = folder / "events.sqlite3"
    _record_events(database)
    os.environ[URL_VARIABLE] = sqlite_url(database)
    running = Dashboard(folder / "log.txt")
    camera = write_film(folder / "camera.mjpeg", list(_camera_images()))
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
    try:
        running.wait()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=_chromium(), args=flags
            )

            def open_page(path: str, size_wh: tuple[int, int]) -> Any:
                width, height = size_wh
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="light",
                    timezone_id="UTC",
                )
                page = context.new_page()
                page.set_default_timeout(120_000)
                page.goto(f"{running.url}{path}")
                return page

            yield open_page
            browser.close()
    finally:
        running.stop()


def _chromium() -> str:
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None:
        raise SystemExit("no Chromium found; on Debian: apt-get install chromium")
    return path


def _record_events(database: Path) -> None:
    """Fill a database with the events of the sample video, for the Events page."""
    command = (sys.executable, "-m", "maskdet", "video", str(FILM))
    options = ("--record", str(database), "--camera", "Door", "--alert", "no_mask")
    subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True)


def _camera_images() -> Iterator[np.ndarray]:
    """Yield the frames of the sample video for Chromium's camera, 30 a second."""
    with av.open(str(FILM)) as film:
        rate = float(film.streams.video[0].average_rate or 25)
        shown_s = 0.0
        for number, frame in enumerate(film.decode(video=0)):
            image = frame.to_ndarray(format="bgr24")
            while shown_s <= number / rate:
                yield image
                shown_s += 1 / 30


def _save(page: Any, target: Path) -> None:
    """Write a screenshot of what the browser shows."""
    settle(page)
    # Charts and images are painted after the script has run.
    page.wait_for_timeout(2500)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").save(target, quality=QUALITY, method=6)


def _save_animation(page: Any, target: Path) -> None:
    """Write some seconds of what the browser shows as an animated image."""
    shots: list[tuple[float, bytes]] = []
    began_s = time.monotonic()
    while time.monotonic() - began_s < LIVE_S:
        shots.append((time.monotonic(), page.screenshot()))
    shots.append((time.monotonic(), b""))
    frames = []
    for _, content in shots[:-1]:
        with Image.open(io.BytesIO(content)) as image:
            frames.append(image.convert("RGB"))
    times_s = [taken_s for taken_s, _ in shots]
    durations_ms = [round(1e3 * step) for step in np.diff(times_s)]
    frames[0].save(
        target,
        save_all=True,
        append_images=frames[1:],
        duration=durations_ms,
        loop=0,
        quality=LIVE_QUALITY,
        method=6,
    )


def _live(page: Any) -> None:
    live = LivePage(page)
    live.start()
    # Until the numbers beside the video are filled.
    page.wait_for_timeout(6000)

    def everybody_faces_the_camera() -> bool:
        numbers = live.numbers()
        return "3" in numbers.splitlines()[0] and "turned" not in numbers

    wait_until(everybody_faces_the_camera, "three faces")


def _image(page: Any) -> None:
    page.get_by_text("Samples", exact=True).click()
    page.get_by_text("Group", exact=True).click()
    page.locator(".maskdet-cards img").first.wait_for()


def _video(page: Any) -> None:
    settle(page)
    page.locator('[data-testid="stMain"] button[kind="primary"]').first.click()
    page.get_by_role("heading", name="People", exact=True).wait_for()


def _models(page: Any) -> None:
    page.get_by_test_id("stDataFrame").first.wait_for()


def _tune(page: Any) -> None:
    page.get_by_test_id("stVegaLiteChart").first.wait_for()


def _events(page: Any) -> None:
    page.get_by_test_id("stDataFrame").first.wait_for()


def _about(page: Any) -> None:
    page.get_by_role("heading", level=1).wait_for()


SHOTS: dict[str, tuple[str, Shot]] = {
    "live": ("live", _live),
    "image": ("image", _image),
    "video": ("video", _video),
    "tune": ("tune", _tune),
    "models": ("models", _models),
    "events": ("events", _events),
    "about": ("about", _about),
}
"""Name of an image to the page's address and what is done there first."""


if __name__ == "__main__":
    sys.exit(main())
