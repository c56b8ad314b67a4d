"""The readouts beside live video: texts, charts and events."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from maskdet.events import Event
from maskdet.people import TimelineBin
from maskdet.style import Style
from maskdet.types import Label
from maskdet.web.live.history import LiveHistory, RecentEvent, RunHistory
from maskdet.web.live.readouts import (
    describe_status,
    events_html,
    live_stats_html,
    performance_text,
    status_html,
)
from maskdet.web.live.state import LiveStats, PeopleCount
from maskdet.wording import PERCENT

MASK, NO_MASK, INCORRECT, UNKNOWN = (
    Label.MASK,
    Label.NO_MASK,
    Label.INCORRECT,
    Label.UNKNOWN,
)
AT = datetime(2026, 3, 1, 12, 5, 9, tzinfo=UTC)


def make_stats(counts: Mapping[Label, int] | None = None, **more: Any) -> LiveStats:
    """Return statistics of a running stream with people by label."""
    current = {**dict.fromkeys(Label, 0), **(counts or {})}
    values = {"fps_analyzed": 12.4, "has_started": True, **more}
    return LiveStats(people=PeopleCount(current, current), **values)


def make_bin(second: int, n_masked: float, n_unmasked: float) -> TimelineBin:
    counts = {MASK: n_masked, NO_MASK: n_unmasked, INCORRECT: 0.0, UNKNOWN: 1.0}
    return TimelineBin(float(second), 1.0, counts, 0, 0)


def list_paths(html: str) -> list[str]:
    """Return the path of each chart."""
    urls = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', html)
    svgs = [base64.b64decode(url).decode() for url in urls]
    return [re.findall(r' d="([^"]*)"', svg)[0] for svg in svgs]


@pytest.mark.parametrize(
    ("counts", "text", "label"),
    [
        ((2, 2, 0, 0), "2 without a mask", NO_MASK),
        ((0, 1, 1, 3), "1 without a mask, 1 wears it incorrectly", NO_MASK),
        ((3, 0, 2, 0), "2 wear it incorrectly", INCORRECT),
        ((3, 0, 1, 0), "1 wears it incorrectly", INCORRECT),
        ((3, 0, 0, 0), "Everyone wears a mask", MASK),
        ((2, 0, 0, 1), "2 with a mask, 1 unsure", UNKNOWN),
        ((0, 0, 0, 2), "2 unsure", UNKNOWN),
        ((0, 0, 0, 0), "Nobody in view", None),
    ],
)
def test_the_status_names_what_matters_most(counts, text, label) -> None:
    stats = make_stats(dict(zip(Label, counts, strict=True)))
    assert describe_status(stats, Style()) == (text, label)
    assert text in status_html(stats, Style())


def test_the_status_is_not_about_an_old_image() -> None:
    assert describe_status(LiveStats(), Style()) == ("Not started", None)
    late = make_stats(dict.fromkeys(Label, 1), fps_analyzed=0.0)
    assert describe_status(late, Style()) == ("No current image", None)


def test_the_status_uses_the_names_of_the_visitor() -> None:
    style = Style(class_names={"no_mask": "Sans 'm'", "mask": "Covered"})
    stats = make_stats({NO_MASK: 2})
    assert describe_status(stats, style) == ("2 sans 'm'", NO_MASK)
    assert "2 sans &#39;m&#39;" in status_html(stats, style)
    assert describe_status(make_stats({MASK: 2}), style) == ("Everyone: Covered", MASK)


def test_each_tile_has_a_chart_of_the_last_minute_on_the_same_scale() -> None:
    history = RunHistory()
    for second, n_masked, n_unmasked in ((0, 4, 2), (1, 2, 0), (3, 0, 2)):
        counts = {**dict.fromkeys(Label, 0), MASK: n_masked, NO_MASK: n_unmasked}
        history.add_counts(float(second), counts)
    html = live_stats_html(make_stats(history=history.get(3.5)), Style())
    paths = dict(zip([*Label, "rate"], list_paths(html), strict=True))
    # From the height of 4 down to 2, a gap of a second, then nobody.
    assert paths[MASK] == "M93.33 0H95V50H96.67M98.33 100H100"
    assert paths[NO_MASK] == "M93.33 50H95V100H96.67M98.33 50H100"
    assert paths[UNKNOWN] == "M93.33 100H96.67M98.33 100H100"
    assert 'alt="Last minute: 0 to 4"' in html


def test_a_mask_rate_of_0_differs_from_an_unknown_one() -> None:
    bins = (make_bin(0, 0, 0), make_bin(1, 0, 2), make_bin(2, 1, 1), make_bin(3, 0, 0))
    html = live_stats_html(make_stats(history=LiveHistory(timeline=bins)), Style())
    assert list_paths(html)[-1] == "M25 100H50V50H75"
    assert f'alt="Since Start: 0{PERCENT} to 50{PERCENT}"' in html
    assert "<small>0:04</small>" in html
    no_faces = live_stats_html(
        make_stats(history=LiveHistory(timeline=bins[:1])), Style()
    )
    assert list_paths(no_faces)[-1] == ""
    assert 'alt="Since Start: not known"' in no_faces


def test_unknown_values_are_dashes() -> None:
    html = live_stats_html(LiveStats(), Style())
    assert html.count("<dd>\N{EN DASH}</dd>") == 4
    assert "People in view: \N{EN DASH}" in html
    assert "<b>\N{EN DASH}</b>" in html
    assert set(list_paths(html)) == {""}


def test_events_have_the_time_of_the_visitor_and_alerts_stand_out() -> None:
    entered = Event("classified", AT, "<Door>", "run", 3, NO_MASK)
    alert = Event("alert", AT, "<Door>", "run", 3, NO_MASK, rule="no_mask")
    history = LiveHistory(
        events=(RecentEvent(alert, b"\xff\xd8"), RecentEvent(entered)), n_alerts=12
    )
    zone = ZoneInfo("Europe/Berlin")
    html = events_html(history, Style(), zone, show_crops=True)
    assert "12 alerts" in html
    assert html.count("13:05:09") == 2
    assert "Person 3: No mask (&lt;Door&gt;)" in html
    assert html.count('<li class="alert">') == html.count("<b>Alert</b>") == 1
    assert html.count("<img") == 1
    assert "<img" not in events_html(history, Style(), zone)
    assert "No events yet." in events_html(LiveHistory(), Style(), zone)


def test_the_performance_is_one_line() -> None:
    stats = make_stats(stage_ms={"detect": 20.0, "draw": 6.2}, n_skipped=1003)
    assert performance_text(stats) == "12 fps, 26 ms, 1,003 dropped"
    assert performance_text(LiveStats()) == "\N{EN DASH} fps"


def test_a_slow_server_says_how_many_use_it() -> None:
    stats = LiveStats(fps_in=15, fps_analyzed=8, has_started=True)
    assert performance_text(stats, 4) == "8 fps, 0 dropped; 4 viewers use this server"
    assert performance_text(stats, 1) == "8 fps, 0 dropped"
    fast = dataclasses.replace(stats, fps_analyzed=14)
    assert performance_text(fast, 4) == "14 fps, 0 dropped"
