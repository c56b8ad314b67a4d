"""Times that a visitor waits for, in a real browser: pages, video, sliders, images.

Run `python benchmarks/pages.py` from the root of the project, on an idle machine with
Chromium. It starts the dashboard and prints the median and the range of:

- *title*, *ready*: from opening the Live page in a fresh browser to its title, and to
  an enabled **Start**;
- *first frame*: from **Start** to the first annotated frame; the camera is a file;
- *slider, live*: from a key on the first slider of the sidebar to the changed video;
- *30 images*: from adding 30 images to their result;
- *slider, Tune*: from a key on the first slider of the Tune page to changed charts.

`--against PATH` measures another checkout too, alternating with this one, so that both
see the same machine. Pages of an older version have other texts: elements are found by
their kind. What cannot be measured is `n/a`, with the reason below the table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser.conftest import FLAGS
from tests.browser.dashboard import write_camera_video
from tests.helpers.servers import find_free_port, is_healthy

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "samples"
CAMERA_WH = (640, 480)
N_IMAGES = 30
TIMEOUT_S = 120.0
POLL_S = 0.02

# Video over 127.0.0.1, which aioice leaves out, so that no network is needed.
LAUNCH = """
import os, sys
import aioice.ice
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
sys.path.insert(0, os.getcwd())
if os.path.exists("maskdet/cli/app.py"):
    from maskdet.cli import main
    sys.exit(main(["app", "--port", sys.argv[1], "--no-browser"]))
from streamlit.web import cli
options = ["--server.headless=true", "--server.fileWatcherType=none"]
port = f"--server.port={sys.argv[1]}"
sys.argv = ["streamlit", "run", "app.py", "--server.address=localhost", port, *options]
cli.main()
"""

# The number of pixels that differ clearly between now and the first call.
COUNT_CHANGED_PIXELS = """() => {
  const video = document.querySelector('video');
  if (!video || !video.videoWidth) return -1;
  const canvas = document.createElement('canvas');
  canvas.width = 320; canvas.height = 240;
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 320, 240);
  const pixels = context.getImageData(0, 0, 320, 240).data;
  const before = window.maskdetPixels;
  if (!before) { window.maskdetPixels = pixels; return 0; }
  let changed = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    const difference = [i, i + 1, i + 2].reduce(
      (sum, index) => sum + Math.abs(pixels[index] - before[index]), 0);
    if (difference > 150) changed += 1;
  }
  return changed;
}"""
MIN_CHANGED_PIXELS = 80
MAX_NOISE_PIXELS = 500
NOISE_FACTOR = 2.5
"""Boxes have gone if so many times more pixels changed than while nothing happened."""

READ_CHARTS = """() => [...document.querySelectorAll('[data-testid=stVegaLiteChart]')]
  .map((chart) => [...chart.querySelectorAll('canvas')].map((c) => c.toDataURL())
    .concat([...chart.querySelectorAll('svg')].map((s) => s.outerHTML)).join())
  .join('|')"""

# A tile with the number, on lines of its own: not "at most 30 images".
IMAGES_TILE = re.compile(
    rf"(^|\n)({N_IMAGES}\s+(Images|Pictures)|(Images|Pictures)\s+{N_IMAGES})(\n|$)"
)


class CannotMeasureError(Exception):
    """A page of this version has no such element, or it did not react in time.

    Attributes:
        times_s: seconds by name of what was measured before.
    """

    times_s: Mapping[str, float] = {}


@dataclass
class Checkout:
    """A checkout under test.

    Attributes:
        path: its folder.
        url: address of its running dashboard.
        times_s: seconds of each repetition by measure.
        reasons: why a measure failed, by measure.
    """

    path: Path
    url: str = ""
    times_s: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


OpenContext = Callable[[], Any]
"""Opens a fresh browser window, with an empty cache."""

Measure = Callable[[OpenContext, str], dict[str, float]]
"""Measures a page at an address; returns the seconds by name."""


def main() -> int:
    """Measure all checkouts in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", type=Path, action="append", default=[])
    parser.add_argument("--repeats", type=int, default=7, metavar="N")
    parser.add_argument("--only", choices=MEASURES, action="append", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    checkouts = [Checkout(path.resolve()) for path in (ROOT, *args.against)]
    names = args.only or list(MEASURES)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for checkout in checkouts:
            checkout.url = stack.enter_context(run_server(checkout.path))
        open_context = stack.enter_context(open_browser(Path(folder)))
        for repeat in range(args.repeats + 1):
            for name in names:
                # The order alternates, so that none is always the first.
                for checkout in checkouts[:: 1 if repeat % 2 else -1]:
                    measure_once(checkout, name, open_context, is_warm_up=repeat == 0)
            print(f"{repeat} of {args.repeats} done", file=sys.stderr, flush=True)
    print_table(checkouts, names)
    if args.json:
        times = {str(checkout.path): checkout.times_s for checkout in checkouts}
        args.json.write_text(json.dumps(times, indent=2) + "\n", encoding="utf-8")
    return 0


@contextlib.contextmanager
def run_server(checkout: Path) -> Iterator[str]:
    """Serve the dashboard of a checkout; yield its address."""
    port = find_free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(port)],
        cwd=checkout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: is_healthy(port), f"the server of {checkout}")
        yield f"http://localhost:{port}/"
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def open_browser(folder: Path) -> Iterator[OpenContext]:
    """Start Chromium with a camera that shows a still image."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium found; on Debian: apt-get install chromium")
    image = cv2.imread(str(SAMPLES / "group.jpg"))
    still = cv2.resize(image, CAMERA_WH, interpolation=cv2.INTER_AREA)
    camera = write_camera_video(folder / "still.mjpeg", [still] * 30)
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)

        def open_context() -> Any:
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            context.set_default_timeout(1e3 * TIMEOUT_S)
            return context

        yield open_context
        browser.close()


def measure_once(
    checkout: Checkout, name: str, open_context: OpenContext, *, is_warm_up: bool
) -> None:
    """Run one measure; keep the times, or why there are none."""
    from playwright.sync_api import Error

    try:
        times_s = MEASURES[name](open_context, checkout.url)
    except (CannotMeasureError, Error) as error:
        checkout.reasons[name] = str(error).partition("\n")[0]
        times_s = getattr(error, "times_s", {})
    if not is_warm_up:
        for title, seconds in times_s.items():
            checkout.times_s.setdefault(title, []).append(seconds)


def wait_for(condition: Callable[[], bool], description: str) -> float:
    """Poll until a condition holds; return the time of the monotonic clock."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline_s:
        if condition():
            return time.monotonic()
        time.sleep(POLL_S)
    raise CannotMeasureError(f"{description} did not come within {TIMEOUT_S:.0f} s")


def find_start(page: Any) -> Any | None:
    """Return the visible, enabled Start button, in the page or in a frame of it."""
    for frame in page.frames:
        for button in frame.get_by_role(
            "button", name=re.compile("^start", re.I)
        ).all():
            if button.is_visible() and button.is_enabled():
                return button
    return None


def press_start(page: Any) -> float:
    """Press Start; return the time before it, in seconds.

    The first Start button is hidden as soon as the streamer has its own.
    """
    from playwright.sync_api import TimeoutError

    began_s = 0.0

    def try_click() -> bool:
        nonlocal began_s
        button = find_start(page)
        if button is None:
            return False
        began_s = time.monotonic()
        with contextlib.suppress(TimeoutError):
            button.click(timeout=1000)
            return True
        return False

    wait_for(try_click, "an enabled Start")
    return began_s


def is_idle(page: Any) -> bool:
    """Return whether no script runs for this page."""
    app = page.get_by_test_id("stApp")
    return app.get_attribute("data-test-script-state") == "notRunning"


def get_video_frame(page: Any) -> Any | None:
    """Return the frame of the page whose video shows something."""
    script = "() => (document.querySelector('video')?.videoWidth ?? 0) > 0"
    return next((frame for frame in page.frames if frame.evaluate(script)), None)


def open_live(page: Any, url: str) -> dict[str, float]:
    """Open the Live page; return when its title and its Start button came."""
    began_s = time.monotonic()
    page.goto(url, wait_until="commit")
    title = page.get_by_role("heading", level=1)
    title_s = wait_for(title.is_visible, "the title")
    ready_s = wait_for(lambda: find_start(page) is not None, "an enabled Start")
    return {"title": title_s - began_s, "ready": ready_s - began_s}


def measure_ready(open_context: OpenContext, url: str) -> dict[str, float]:
    """Measure the first paint of the Live page with an empty cache."""
    context = open_context()
    try:
        return open_live(context.new_page(), url)
    finally:
        context.close()


def measure_live(open_context: OpenContext, url: str) -> dict[str, float]:
    """Measure Start to the first frame, and a slider of the sidebar."""
    context = open_context()
    try:
        page = context.new_page()
        open_live(page, url)
        began_s = press_start(page)
        shown_s = wait_for(lambda: get_video_frame(page) is not None, "the first frame")
        times_s = {"first frame": shown_s - began_s}
        try:
            return {**times_s, "slider, live": measure_live_slider(page)}
        except CannotMeasureError as error:
            error.times_s = times_s
            raise
    finally:
        context.close()


def measure_live_slider(page: Any) -> float:
    """Return the seconds from a raised detection threshold to a video without boxes."""
    frame = get_video_frame(page)
    slider = page.get_by_test_id("stSidebar").get_by_role("slider").first
    slider.wait_for()
    wait_for(lambda: is_idle(page), "an idle page")
    # The image is sharp and the labels have come after some seconds.
    noise = MAX_NOISE_PIXELS + 1
    deadline_s = time.monotonic() + TIMEOUT_S / 4
    while noise > MAX_NOISE_PIXELS:
        if time.monotonic() > deadline_s:
            raise CannotMeasureError("the video of a still image does not stand still")
        frame.evaluate("() => { window.maskdetPixels = undefined; }")
        noise = max(count_changed_pixels(frame) for _ in range(20))
    least = max(MIN_CHANGED_PIXELS, NOISE_FACTOR * noise)
    began_s = time.monotonic()
    slider.press("End")
    changed_s = wait_for(
        lambda: frame.evaluate(COUNT_CHANGED_PIXELS) > least, "a video without boxes"
    )
    return changed_s - began_s


def count_changed_pixels(frame: Any) -> int:
    """Wait a moment, and return how many pixels have changed since the first call."""
    time.sleep(0.1)
    return int(frame.evaluate(COUNT_CHANGED_PIXELS))


def measure_images(open_context: OpenContext, url: str) -> dict[str, float]:
    """Measure from adding 30 different images to their result."""
    context = open_context()
    try:
        page = context.new_page()
        page.goto(f"{url}image")
        uploader = page.get_by_test_id("stMain").locator("input[type=file]").first
        uploader.wait_for(state="attached")
        wait_for(lambda: is_idle(page), "an idle page")
        main = page.get_by_test_id("stMain")
        began_s = time.monotonic()
        uploader.set_input_files(list(make_images()))
        shown_s = wait_for(
            lambda: is_idle(page) and IMAGES_TILE.search(main.inner_text()) is not None,
            f"the result of {N_IMAGES} images",
        )
        return {f"{N_IMAGES} images": shown_s - began_s}
    finally:
        context.close()


def make_images() -> Iterator[dict[str, Any]]:
    """Yield 30 different images as uploads."""
    image = cv2.imread(str(SAMPLES / "group.jpg"))
    generator = np.random.default_rng(time.monotonic_ns())
    for number in range(N_IMAGES):
        # Other pixels each time, or a result would come from a cache.
        copy = image.copy()
        copy[:8, :8] = generator.integers(0, 256, (8, 8, 3))
        content = cv2.imencode(".jpg", copy)[1].tobytes()
        name = f"image-{number:02}.jpg"
        yield {"name": name, "mimeType": "image/jpeg", "buffer": content}


def measure_tune(open_context: OpenContext, url: str) -> dict[str, float]:
    """Measure from a key on the first slider of the Tune page to changed charts."""
    context = open_context()
    try:
        page = context.new_page()
        page.goto(f"{url}tune")
        page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first.wait_for()
        slider = page.get_by_test_id("stMain").get_by_role("slider").first
        slider.wait_for()
        wait_for(lambda: is_idle(page), "an idle page")
        time.sleep(1.5)
        before = page.evaluate(READ_CHARTS)
        began_s = time.monotonic()
        slider.press("ArrowRight")
        changed_s = wait_for(
            lambda: page.evaluate(READ_CHARTS) != before, "changed charts"
        )
        return {"slider, Tune": changed_s - began_s}
    finally:
        context.close()


MEASURES: dict[str, Measure] = {
    "ready": measure_ready,
    "live": measure_live,
    "images": measure_images,
    "tune": measure_tune,
}
"""The measures by name; each may give several times."""

TITLES = {
    "ready": ("title", "ready"),
    "live": ("first frame", "slider, live"),
    "images": (f"{N_IMAGES} images",),
    "tune": ("slider, Tune",),
}
"""The times of each measure."""


def print_table(checkouts: list[Checkout], names: list[str]) -> None:
    """Print a Markdown table of the medians, and why some are missing."""
    print("Seconds: median (lowest to highest, number)\n")
    print(f"| | {' | '.join(str(checkout.path) for checkout in checkouts)} |")
    print("| --- |" + " --- |" * len(checkouts))
    for title in (title for name in names for title in TITLES[name]):
        cells = (
            format_times(checkout.times_s.get(title, [])) for checkout in checkouts
        )
        print(f"| {title} | {' | '.join(cells)} |")
    for checkout in checkouts:
        for name, reason in checkout.reasons.items():
            print(f"\n{checkout.path}: {name}: {reason}")


def format_times(times_s: list[float]) -> str:
    """Return the median and the range, or "n/a"."""
    if not times_s:
        return "n/a"
    low, high = min(times_s), max(times_s)
    median = statistics.median(times_s)
    return f"{median:.2f} ({low:.2f} to {high:.2f}, {len(times_s)})"


if __name__ == "__main__":
    sys.exit(main())
