"""Use every page with marked images, and search what the server keeps of them.

Run `python tests/soak/kept_frames.py` on Linux, with Chromium and strace. The camera of
the browser, an image and a video show a pattern of grey bars. The program prints which
files the server wrote meanwhile, and where in its memory the pattern is: during live
video, before and after the visitor leaves, and after the session has ended. The exit
status is 1 if the pattern is in a file that remains, or in memory at the end.

Of the memory it searches what a process can write, as grey bytes or floats in rows; not
compressed images, and not the memory of other processes or of the system.
"""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from maskdet.media import VideoWriter, write_image
from tests.browser.dashboard import (
    FLAGS,
    LivePage,
    find_chromium,
    open_page_from_sidebar,
    upload_files,
    write_camera_video,
)
from tests.helpers.waiting import WAIT_MS, wait_until
from tests.soak.marker import count_marked_places, make_marked_image, read_memory
from tests.soak.processes import FORGET_S, ROOT, SoakedServer
from tests.soak.written_files import (
    find_tracer,
    make_trace_command,
    read_written_files,
)

UPLOADER: Final = '[data-testid="stMain"] input[type="file"]'
MAX_FILE_BYTES: Final = 100_000_000


def use_pages(page: Any, folder: Path, pid: int) -> Counter[str]:
    """Use Live, a photo, Image and Video with the pattern.

    Returns:
        where the pattern is in the memory of the server during live video.
    """
    live = LivePage(page)
    live.start()
    time.sleep(5)
    places = count_places(pid)
    live.stop()
    page.get_by_text("Camera not working? Take a photo instead").click()
    page.get_by_role("button", name="Take Photo").click()
    page.get_by_text("No face detected").wait_for()
    open_page_from_sidebar(page, "Image")
    image = folder / "bars.png"
    write_image(image, make_marked_image(1280, 960))
    thumbnail = page.locator(".gallery .open").first
    upload_files(page, page.locator(UPLOADER), str(image), thumbnail)
    open_page_from_sidebar(page, "Video")
    video = folder / "bars.mp4"
    with VideoWriter(video, (640, 480), frame_rate=Fraction(5)) as writer:
        for number in range(20):
            writer.write(make_marked_image(), number / 5)
        writer.finish()
    name = page.get_by_text(video.name, exact=True)
    upload_files(page, page.locator(UPLOADER), str(video), name)
    page.get_by_role("button", name="Analyze video", exact=True).click()
    page.get_by_role("heading", name="People", exact=True).wait_for()
    return places


@contextlib.contextmanager
def open_browser(folder: Path, url: str) -> Iterator[Any]:
    """Open the dashboard in a browser whose camera shows the pattern."""
    from playwright.sync_api import sync_playwright

    camera = write_camera_video(folder / "bars.mjpeg", [make_marked_image()] * 30)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"],
            timeout=WAIT_MS,
        )
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(url)
        yield page
        browser.close()


def count_places(pid: int) -> Counter[str]:
    """Return how often the pattern is in memory, by kind of region."""
    places: Counter[str] = Counter()
    for name, content in read_memory(pid):
        if n_places := count_marked_places(content):
            places[name] += n_places
    return places


def shorten_path(path: str, folder: Path) -> str:
    """Return a path without the parts that differ in each run."""
    path = path.replace(str(folder), "FOLDER")
    path = re.sub(r"maskdet-video-\w+", "maskdet-video-*", path)
    return re.sub(r"/tmp/(\w{3})[\w-]{5,}$", r"/tmp/\1*", path)


def print_files(written: set[str], folder: Path) -> int:
    """Print the files that were written; return how many have the pattern."""
    n_marked = 0
    lines: Counter[str] = Counter()
    for path in written:
        state = "gone"
        file = Path(path)
        if file.is_dir():
            state = "folder"
        elif file.is_file() and file.stat().st_size <= MAX_FILE_BYTES:
            is_marked = count_marked_places(file.read_bytes()) > 0
            n_marked += is_marked
            state = "HAS THE PATTERN" if is_marked else "remains, without the pattern"
        elif file.exists():
            state = "device"
        lines[f"{shorten_path(path, folder)}: {state}"] += 1
    for line, count in sorted(lines.items()):
        print(f"  {line}" + f" ({count} times)" * (count > 1))
    return n_marked


def main() -> int:
    """Use the pages, and search; 1 if the pattern is kept."""
    if find_tracer() is None:
        sys.exit("strace is not installed; on Debian: apt-get install strace")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        prefix = folder / "trace"
        own = folder / "server"
        own.mkdir()
        server = SoakedServer(own, 2, make_trace_command(prefix))
        try:
            with open_browser(folder, f"http://127.0.0.1:{server.port}/") as page:
                live = use_pages(page, folder, server.pid)
                used = count_places(server.pid)
            wait_until(lambda: not server.count_visitors(), "the visitor to be gone")
            left = count_places(server.pid)
            time.sleep(FORGET_S)
            ended = count_places(server.pid)
        finally:
            server.stop()
        print("files that the server wrote:")
        n_marked = print_files(read_written_files(prefix, ROOT), folder)
    for state, places in (
        ("during live video", live),
        ("before the visitor leaves", used),
        ("after the visitor has left", left),
        ("after the end of the session", ended),
    ):
        print(f"pattern in memory {state}: {sum(places.values())} {dict(places)}")
    if not live:
        print("the search does not find the pattern even while it is shown")
    return int(n_marked > 0 or sum(ended.values()) > 0 or not live)


if __name__ == "__main__":
    sys.exit(main())
