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
    open_page_from_sidebar,
    turn_toggle_on,
    wait_until_idle,
    write_camera_video,
)
from tests.browser.serve import FACE_BGR, MASK_BGR
from tests.helpers.waiting import wait_until

LEFT, RIGHT = (150, 140, 250, 267), (330, 140, 430, 267)


@pytest.fixture(scope="module")
def pair_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people a step apart, one without and one with a mask."""
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
    """The URL of the dashboard's empty event database."""
    EventStore(fake_dashboard.events).delete()
    return fake_dashboard.events


@pytest.fixture
def live(
    open_page: Callable[..., Any], pair_video: Path, fake_dashboard: Dashboard
) -> LivePage:
    """The Live page with distances, and with a memory longer than any pause."""
    chosen = "distance=pinhole&contact_duration_s=1&memory_s=60&mirror=false"
    return LivePage(open_page(f"{fake_dashboard.url}?{chosen}", pair_video))


def recorded(place: str) -> list[str]:
    """Return the kinds of all events so far, sorted."""
    counts = EventStore(place).count_by_kind(EventFilter())
    return sorted(counts.elements())


def watched(live: LivePage) -> None:
    """Let the camera see both people until they are too close for too long."""
    live.start()
    wait_until(lambda: live.read_stat("No mask") == "1", "a person without a mask")
    distances = live.page.locator(".maskdet-distances")
    pair = distances.get_by_text("No mask and").or_(distances.get_by_text("and #"))
    pair.first.wait_for()
    cells = distances.locator("dl div").filter(has_text="Over the limit")
    wait_until(lambda: cells.locator("dd").inner_text() == "1", "a pair over the limit")


def test_events_of_the_camera_are_listed_while_recording_is_on(live, place) -> None:
    live.open_page("Events")
    live.page.get_by_text("No events yet.").wait_for()
    live.page.get_by_text("Record events", exact=True).click()
    stored = live.page.get_by_text("Images are never stored")
    # Screenshots of the documentation show it without a path of a machine.
    assert stored.locator("code").inner_text() == "events.sqlite3"
    live.open_page("Live")
    watched(live)
    live.stop()
    wait_until(lambda: recorded(place).count("left") == 2, "both people to leave")
    kinds = recorded(place)
    assert kinds.count("entered") == kinds.count("classified") == 2
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


def read_badge(page: Any) -> str:
    """Wait for the badge of the recording, and return its text."""
    badge = page.get_by_role("link", name="REC ")
    badge.wait_for()
    return str(badge.inner_text())


def test_recording_and_rules_survive_a_reload_and_every_page_shows_it(
    open_page, place, fake_dashboard
) -> None:
    page = open_page(f"{fake_dashboard.url}events")
    name = page.get_by_role("textbox", name="Camera name")
    name.fill("Front door")
    name.press("Enter")
    turn_toggle_on(page, "Record events")
    page.get_by_text("Alert rules", exact=True).click()
    turn_toggle_on(page, "No mask")
    assert "REC Front door" in read_badge(page)

    page.reload()
    page.get_by_text("Alert rules", exact=True).click()
    rule = page.get_by_test_id("stCheckbox").filter(has_text="No mask", visible=True)
    rule.wait_for()
    assert rule.locator("input").is_checked()
    switch = page.get_by_test_id("stCheckbox").filter(has_text="Record events")
    assert switch.locator("input").is_checked()
    assert name.input_value() == "Front door"
    for page_name in ("Image", "About"):
        open_page_from_sidebar(page, page_name)
        assert "REC Front door" in read_badge(page)
    page.goto(fake_dashboard.url)
    assert "REC Front door" in read_badge(page)

    other = open_page(f"{fake_dashboard.url}events")
    other.get_by_text("Record events", exact=True).wait_for()
    wait_until_idle(other)
    switch = other.get_by_test_id("stCheckbox").filter(has_text="Record events")
    assert not switch.locator("input").is_checked()
    assert other.get_by_role("link", name="REC ").count() == 0

    page.get_by_role("link", name="REC ").click()
    page.get_by_role("heading", name="Events", level=1).wait_for()
    page.get_by_text("Record events", exact=True).wait_for()
    wait_until_idle(page)
    page.get_by_text("Record events", exact=True).click()
    page.get_by_role("link", name="REC ").wait_for(state="detached")


def test_no_events_are_stored_while_recording_is_off(live, place) -> None:
    watched(live)
    live.stop()
    live.open_page("Events")
    live.page.get_by_text("No events yet.").wait_for()
    assert recorded(place) == []


# Collects every toast, as each is visible for a few seconds only.
COLLECT_TOASTS = """() => {
  window.toasts = [];
  new MutationObserver(() => {
    for (const toast of document.querySelectorAll('[data-testid="stToast"]'))
      window.toasts.push(toast.innerText);
  }).observe(document.body, {childList: true, subtree: true});
}"""


def test_an_alert_is_shown_on_the_live_page(live) -> None:
    live.open_page("Events")
    live.page.get_by_text("No alerts yet.").wait_for()
    live.page.get_by_text("Alert rules", exact=True).click()
    turn_toggle_on(live.page, "No mask")
    live.open_page("Live")
    live.page.evaluate(COLLECT_TOASTS)
    live.start()
    live.page.wait_for_function(
        "() => window.toasts.some(it => it.includes('No mask'))"
    )
    live.stop()
    live.open_page("Events")
    live.page.get_by_text("1 alert, kept in memory only").wait_for()
