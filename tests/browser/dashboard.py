"""Helpers of the browser tests: the dashboard process and its pages."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskdet.events.config import EVENTS_URL_VARIABLE, sqlite_url
from tests.helpers.servers import find_free_port, is_healthy
from tests.helpers.waiting import wait_until

BROWSER_FOLDER = Path(__file__).resolve().parent
STREAMER = 'iframe[title="streamlit_webrtc.component.webrtc_streamer"]'
_STATS_SELECTOR = ".maskdet-readouts"

# The camera plays a file, permission is granted, and media are sent over 127.0.0.1,
# so that no network is needed.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
)

# The stream's <video> as PNG; null while it has no image.
VIDEO_AS_PNG_SCRIPT = """() => {
  const video = document.querySelector('video');
  if (!video || !video.videoWidth) return null;
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext('2d').drawImage(video, 0, 0);
  return canvas.toDataURL('image/png');
}"""

# Widgets send a change at most 200 ms after it was made, by a timer. A browser runs
# timers in the order in which they end, so a longer one that starts now ends after
# theirs, however busy the machine is.
_WAIT_UNTIL_IDLE_SCRIPT = """async () => {
  const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const find = () => document.querySelector('[data-testid=stApp]');
  const isIdle = () => find()?.dataset.testScriptState === 'notRunning';
  for (let n_runs = 0; n_runs < 20; n_runs++) {
    while (!isIdle()) await after(20);
    let hasRun = false;
    const observer = new MutationObserver(() => { hasRun = true; });
    observer.observe(find(), {attributeFilter: ['data-test-script-state']});
    await after(250);
    observer.disconnect();
    if (!hasRun) return;
  }
}"""


def find_chromium() -> str:
    """Return the path of the browser.

    Raises:
        FileNotFoundError: it is not installed.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise FileNotFoundError(
            "Chromium is not installed; on Debian: apt-get install chromium"
        )
    return path


class Dashboard:
    """A running dashboard.

    Attributes:
        port: its port on this machine.
        url: its URL.
        events: URL of its event database.
        log: file of its output.
    """

    def __init__(self, folder: Path, *arguments: str, script: str = "serve.py") -> None:
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.events = sqlite_url(folder / "events.sqlite3")
        self.log = folder / "log.txt"
        command = [
            sys.executable,
            str(BROWSER_FOLDER / script),
            str(self.port),
            *arguments,
        ]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                # No page shows a path of this machine.
                cwd=folder,
                env={**os.environ, EVENTS_URL_VARIABLE: "sqlite:///events.sqlite3"},
            )

    def wait(self) -> None:
        def healthy() -> bool:
            assert self._process.poll() is None, self.log.read_text()
            return is_healthy(self.port)

        wait_until(healthy, "the dashboard to respond")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def run_dashboard(
    folder: Path, *arguments: str, script: str = "serve.py"
) -> Iterator[Dashboard]:
    """Run a dashboard that writes into a folder, and end it.

    Args:
        folder: where its output and its events go.
        arguments: arguments of the script after its port.
        script: script beside this file that starts the dashboard.
    """
    dashboard = Dashboard(folder, *arguments, script=script)
    try:
        dashboard.wait()
        yield dashboard
    finally:
        dashboard.stop()


class LivePage:
    """The Live page in a browser."""

    def __init__(self, page: Any) -> None:
        self.page = page

    @property
    def frame(self) -> Any:
        """The frame of the streamer; a page change creates a new one."""
        return self.page.wait_for_selector(STREAMER).content_frame()

    def button(self, name: str) -> Any:
        return self.frame.get_by_role("button", name=name, exact=True)

    def start(self) -> None:
        self.button("Start").click()
        wait_until(lambda: self.image() is not None, "the first image")

    def stop(self) -> None:
        self.button("Stop").click()
        self.button("Start").wait_for()

    def image(self) -> np.ndarray | None:
        """The current frame of the video from the server, BGR."""
        frame = self.frame  # None for one that another source has replaced
        url = None if frame is None else frame.evaluate(VIDEO_AS_PNG_SCRIPT)
        if url is None:
            return None
        content = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
        return cv2.imdecode(content, cv2.IMREAD_COLOR)

    def wait_for_image(
        self, condition: Callable[[np.ndarray], bool], description: str
    ) -> np.ndarray:
        """Return the first image that meets the condition."""
        images: list[np.ndarray] = []

        def is_met() -> bool:
            image = self.image()
            if image is not None:
                images.append(image)
            return image is not None and condition(image)

        wait_until(is_met, description)
        return images[-1]

    def press_slider_key(self, slider: str, key: str) -> None:
        """Press a key on a slider of the sidebar."""
        self.page.get_by_role("slider", name=slider).press(key)

    def open_page(self, page_name: str) -> None:
        open_page_from_sidebar(self.page, page_name)

    def read_stats(self) -> str:
        """Return the text of people and mask rate beside the video."""
        return self.page.locator(_STATS_SELECTOR).inner_text()

    def read_stat(self, name: str) -> str:
        """Return a value beside the video, or of the performance below it."""
        cells = self.page.locator(".maskdet-live:not(.maskdet-distances) dl div")
        value = cells.filter(has_text=name).locator("dd").first.text_content()
        return str(value).strip()

    def read_status(self) -> str:
        """Return who is in view, in a few words."""
        text = self.page.locator("[role=status] .maskdet-status span").inner_text()
        return str(text)


def open_advanced(page: Any, section: str) -> None:
    """Open a section of the Advanced settings in the sidebar."""
    sidebar = page.get_by_test_id("stSidebar")
    for title in ("Advanced", section):
        summary = sidebar.locator("summary").filter(has_text=title).first
        summary.wait_for()
        if not summary.evaluate("summary => summary.parentElement.open"):
            summary.click()


def open_page_from_sidebar(page: Any, page_name: str) -> None:
    """Open another page by its name in the sidebar, and wait for it.

    Like a person who waits for a page before opening another.
    """
    link = page.get_by_test_id("stSidebarNav").get_by_text(page_name, exact=True)
    link.wait_for()
    wait_until_idle(page)
    link.click()
    title = page.get_by_role("heading", name=page_name, level=1)
    title.wait_for()


def select_option(page: Any, box: str, option: str) -> None:
    """Choose from a select box.

    A running script may close the list again, so it may take more than one attempt.
    """

    from playwright.sync_api import TimeoutError as PlaywrightTimeout

    def try_select() -> bool:
        wait_until_idle(page)
        page.get_by_role("combobox", name=box).click()
        option_item = page.get_by_role("option", name=option, exact=True)
        with contextlib.suppress(PlaywrightTimeout):
            option_item.click(timeout=5_000)
            return True
        page.keyboard.press("Escape")
        return False

    wait_until(try_select, f"{option} in the list of {box}")


def turn_toggle_on(page: Any, toggle: str) -> None:
    """Turn a visible toggle on; retry if a running script discards a click."""
    box = page.get_by_test_id("stCheckbox").filter(has_text=toggle, visible=True).first

    def is_on() -> bool:
        box.wait_for()
        wait_until_idle(page)
        if not box.locator("input").is_checked():
            box.get_by_text(toggle, exact=True).click()
            wait_until_idle(page)
        return bool(box.locator("input").is_checked())

    wait_until(is_on, f"the toggle {toggle} to be on")


def upload_files(page: Any, uploader: Any, files: Any, arrival: Any) -> None:
    """Upload files until an element shows that they have arrived.

    An uploader that is re-rendered during the upload, on a busy machine, loses them.
    """

    from playwright.sync_api import TimeoutError as PlaywrightTimeout

    def try_upload() -> bool:
        uploader.wait_for(state="attached")
        wait_until_idle(page)
        uploader.set_input_files(files)
        with contextlib.suppress(PlaywrightTimeout):
            arrival.wait_for(timeout=40_000)
            return True
        return False

    wait_until(try_upload, "the files to arrive")


def wait_until_idle(page: Any) -> None:
    """Wait until the browser has sent all changes and no script runs.

    A page that updates itself has times without a script; if there are none, the wait
    ends after some runs.
    """
    page.evaluate(_WAIT_UNTIL_IDLE_SCRIPT)


def write_camera_video(path: Path, images: Sequence[np.ndarray]) -> Path:
    """Write a video for Chromium's fake camera, which loops it at 30 fps."""
    jpegs = (cv2.imencode(".jpg", image)[1].tobytes() for image in images)
    path.write_bytes(b"".join(jpegs))
    return path
