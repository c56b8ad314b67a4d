"""Fixtures: a dashboard, a camera that plays a video, and a real Chromium."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.dashboard import FLAGS, Dashboard, find_chromium, run_dashboard
from tests.helpers.waiting import WAIT_MS

BROWSER_FOLDER = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if BROWSER_FOLDER in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; without one, tests are skipped, or fail if required."""
    try:
        return find_chromium()
    except FileNotFoundError as error:
        if os.environ.get("MASKDET_REQUIRE_BROWSER"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def dashboard(
    chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A dashboard with the default analyzer."""
    with run_dashboard(tmp_path_factory.mktemp("real")) as running:
        yield running


@pytest.fixture(scope="session")
def fake_dashboard(
    chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """The dashboard with an analyzer that knows the video `fake_video` plays."""
    folder = tmp_path_factory.mktemp("fake")
    with run_dashboard(folder, "--fake") as running:
        yield running


# Not session-scoped: while it runs, no other test can run an event loop.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def launch_browser(
    playwright: Any, chromium: str
) -> Iterator[Callable[[Path | None], Any]]:
    """Return a function that launches a browser whose camera plays a video."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def launch(video: Path | None) -> Any:
            camera = [f"--use-file-for-fake-video-capture={video}"] if video else []
            browser = playwright.chromium.launch(
                executable_path=chromium, args=[*FLAGS, *camera], timeout=WAIT_MS
            )
            stack.callback(browser.close)
            return browser

        yield launch


@pytest.fixture
def open_page(
    launch_browser: Callable[[Path | None], Any],
) -> Iterator[Callable[[str, Path | None], Any]]:
    """Return a function that opens a page as a new visitor with a video as camera."""
    with contextlib.ExitStack() as stack:

        def open_(url: str, video: Path | None = None) -> Any:
            context = launch_browser(video).new_context()
            stack.callback(context.close)
            context.set_default_timeout(WAIT_MS)
            page = context.new_page()
            page.set_viewport_size({"width": 1400, "height": 1000})
            page.goto(url)
            return page

        yield open_
