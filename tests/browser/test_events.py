"""From the camera to the Events page, in a real Chromium whose camera plays a video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskdet.events.database import EventFilter
from maskdet.events.store import EventStore
from tests.browser.dashboard import (
    Dashboard,
    LivePage,
    turn_toggle_on,
    write_camera_video,
)
from tests.browser.serve import FACE_BGR, MASK_BGR
from tests.helpers.waiting import wait_until

LEFT, RIGHT = (150, 140, 250, 267), (330, 140, 430, 267)


@pytest.fixture(scope="module")
def pair_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people a step apart: a bare face, and one with a mask."""
    image = np.full((480, 640, 3), 90, np.uint8)
    for (x1, y1, x2, y2), masked in ((LEFT, False), (RIGHT, True)):
        image[y1:y2, x1:x2] = FACE_BGR
        if masked:
            image[(y1 + y2) // 2 : y2, x1:x2] = MASK_BGR
    return write_camera_video(
        tmp_path_factory.mktemp("video") / "pair.mjpeg", [image] * 30
    )


@pytest.fixture
def place(fake_dashboard: Dashboard) -> str:
    """The address of the dashboard's database, which is empty."""
    EventStore(fake_dashboard.events).delete()
    return fake_dashboard.events


@pytest.fixture
def live(
    open_page: Callable[..., Any], pair_film: Path, fake_dashboard: Dashboard
) -> LivePage:
    """The Live page, measuring distances, where nobody is forgotten in a pause."""
    chosen = "distance=pinhole&contact_duration_s=1&memory_s=60&mirror=false"
    return LivePage(open_page(f"{fake_dashboard.url}?{chosen}", pair_film))


def recorded(place: str) -> list[str]:
    """Return the kinds of all events so far, sorted."""
    counts = EventStore(place).count_by_kind(EventFilter())
    return sorted(counts.elements())


def watched(live: LivePage) -> None:
    """Let the camera see both people until they are too close for too long."""
    live.start()
    wait_until(lambda: live.read_stat("No mask") == "1", "a person without a mask")
    near = live.page.locator(".maskdet-distances")
    near.get_by_text("No mask and").or_(near.get_by_text("and #")).first.wait_for()
    too_long = near.locator("dl div").filter(has_text="For too long").locator("dd")
    wait_until(lambda: too_long.inner_text() == "1", "a pair near for too long")


def test_what_the_camera_sees_is_listed_once_somebody_records(live, place) -> None:
    live.open_page("Events")
    live.page.get_by_text("Nothing is recorded yet.").wait_for()
    live.page.get_by_text("Record events", exact=True).click()
    live.page.get_by_text("No image is ever stored").wait_for()
    live.open_page("Live")
    watched(live)
    live.stop()
    wait_until(lambda: recorded(place).count("left") == 2, "both people to leave")
    kinds = recorded(place)
    assert kinds.count("entered") == kinds.count("verdict") == 2
    assert kinds.count("close") == 1

    live.open_page("Events")
    tiles = live.page.locator(".maskdet-metrics")
    tiles.wait_for()
    shown = dict(
        zip(
            tiles.locator("dt").all_inner_texts(),
            tiles.locator("dd").all_inner_texts(),
            strict=True,
        )
    )
    assert shown["People"] == "2"
    assert shown["Mask"] == shown["No mask"] == shown["Too close"] == "1"


def test_nothing_is_written_unless_somebody_records(live, place) -> None:
    watched(live)
    live.stop()
    live.open_page("Events")
    live.page.get_by_text("Nothing is recorded yet.").wait_for()
    assert recorded(place) == []


# Every note that appears is kept, as each is seen for a few seconds only.
KEEP_NOTES = """() => {
  window.notes = [];
  new MutationObserver(() => {
    for (const note of document.querySelectorAll('[data-testid="stToast"]'))
      window.notes.push(note.innerText);
  }).observe(document.body, {childList: true, subtree: true});
}"""


def test_an_alert_is_told_beside_the_live_picture(live) -> None:
    live.open_page("Events")
    live.page.get_by_text("Alerts", exact=True).click()
    turn_toggle_on(live.page, "No mask")
    live.open_page("Live")
    live.page.evaluate(KEEP_NOTES)
    live.start()
    live.page.wait_for_function("() => window.notes.some(it => it.includes('No mask'))")
