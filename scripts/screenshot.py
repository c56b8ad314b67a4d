"""Make docs/screenshot.png with `python scripts/screenshot.py`.

Starts the dashboard, opens the Image page on a bundled sample in a real Chromium and
takes its picture; no network is needed. Wants requirements-dev.txt and a Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZE_WH = (1360, 940)


def main() -> int:
    """Write the screenshot and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshot.png")
    parser.add_argument("--sample", default="Group", help="name of the sample")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium found; on Debian: apt-get install chromium")
        return 1
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with dashboard() as url:
        photograph(url, args.out, chromium, sample=args.sample, theme=args.theme)
    print(f"wrote {args.out}")
    return 0


@contextlib.contextmanager
def dashboard() -> Iterator[str]:
    """Run the dashboard and give its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = (
        "--server.headless=true",
        "--server.address=127.0.0.1",
        "--server.fileWatcherType=none",
    )
    command = ("streamlit", "run", "app.py", f"--server.port={port}", *options)
    server = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).close()
                break
            time.sleep(0.25)
        yield url
    finally:
        server.terminate()
        server.wait(15)


def photograph(url: str, out: Path, chromium: str, *, sample: str, theme: str) -> None:
    """Write a picture of the Image page that shows `sample`."""
    from playwright.sync_api import sync_playwright

    width, height = SIZE_WH
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=theme
        )
        page.goto(f"{url}/image")
        page.get_by_text("Samples", exact=True).click(timeout=120_000)
        page.get_by_text(sample, exact=True).click()
        page.get_by_text("Result: ").wait_for(timeout=120_000)
        page.locator(".maskdet-cards img").first.wait_for()
        # The pictures and the table are painted after they are there.
        page.wait_for_timeout(2500)
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
