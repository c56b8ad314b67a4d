"""Metrics, chart and table of events, and the rights of local visitors."""

from __future__ import annotations

import re
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from streamlit import config, runtime

from maskdet.events import Event
from maskdet.events.config import sqlite_url
from maskdet.events.database import DAY_MS, HOUR_MS, EventFilter
from maskdet.events.store import EventStore
from maskdet.serving.access import ADMIN_VARIABLE
from maskdet.style import Style
from maskdet.types import UNTRACKED, Label
from maskdet.web.events import service
from maskdet.web.events.page import (
    MAX_TABLE_EVENTS,
    EventQueryResult,
    event_table,
    event_totals_html,
    label_chart,
    query_events,
)
from maskdet.wording import PERCENT
from tests.events.scenes import ObservedStream, make_tracked_scene

NOON = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
MASK, NO_MASK, INCORRECT = Label.MASK, Label.NO_MASK, Label.INCORRECT


def result(
    intervals=None, people=None, interval_ms: int = HOUR_MS, **counts: int
) -> EventQueryResult:
    people = Counter(people or {})
    return EventQueryResult(
        [], Counter(counts), people, people.total() + 1, interval_ms, intervals or {}
    )


def _rows(chart: dict, *, empty: bool = False) -> list[dict]:
    return [bar for bar in chart["datasets"]["bars"] if bar["people"] or empty]


def bars(chart: dict) -> list[tuple]:
    names = ("start", "label", "low", "high", "people", "total")
    return [tuple(bar[name] for name in names) for bar in _rows(chart)]


def test_each_hour_is_a_bar_with_masked_people_at_the_bottom() -> None:
    hours = {
        0: Counter({NO_MASK: 1, MASK: 2, INCORRECT: 1}),
        HOUR_MS: Counter({INCORRECT: 3}),
    }
    chart = label_chart(result(hours), Style())
    assert bars(chart) == [
        (0, "Mask", 0.0, 0.5, 2, 4),
        (0, "No mask", 0.5, 0.75, 1, 4),
        (0, "Incorrect", 0.75, 1.0, 1, 4),
        (HOUR_MS, "Incorrect", 0.0, 1.0, 3, 3),
    ]
    assert {bar["end"] - bar["start"] for bar in _rows(chart)} == {HOUR_MS}


@pytest.mark.parametrize(
    ("duration", "name"),
    [
        (timedelta(seconds=30), "minute"),
        (timedelta(minutes=119), "minute"),
        (timedelta(hours=2), "hour"),
        (timedelta(days=3), "hour"),
        (timedelta(days=7), "day"),
    ],
)
def test_the_intervals_of_the_chart_suit_the_time_of_the_events(
    tmp_path, duration, name
) -> None:
    store = EventStore(sqlite_url(tmp_path / "events.sqlite3"))
    store.add(
        [
            Event("classified", NOON + moment, "Door", "run", number, MASK, 0.9)
            for number, moment in enumerate((timedelta(), duration))
        ]
    )
    queried = query_events(store, EventFilter(), UTC)
    assert queried.interval == name
    spans = {bar["end"] - bar["start"] for bar in _rows(label_chart(queried, Style()))}
    assert spans == {{"minute": 60_000, "hour": HOUR_MS, "day": DAY_MS}[name]}


def test_the_bar_of_a_short_run_does_not_fill_the_chart() -> None:
    minute_ms = 60_000
    chart = label_chart(
        result({5 * minute_ms: Counter({MASK: 1})}, interval_ms=minute_ms), Style()
    )
    assert bars(chart) == [(5 * minute_ms, "Mask", 0.0, 1.0, 1, 1)]
    assert min(bar["start"] for bar in _rows(chart, empty=True)) == -6 * minute_ms


def test_tiles_show_counts_and_the_mask_rate() -> None:
    tiles = event_totals_html(
        result(people={MASK: 3, NO_MASK: 1}, close=2, alert=5), Style()
    )
    numbers = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", tiles))
    titles = [label.title for label in Label]
    assert sum(int(numbers[title]) for title in titles) == int(numbers["People"])
    for name, value in {
        "People": 5,
        "Mask": 3,
        "Incorrect": 0,
        "Unsure": 1,
        "Mask rate": f"75{PERCENT}",
        "Too close": 2,
        "Alerts": 5,
    }.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in tiles
    assert "<dd>\N{EN DASH}</dd>" in event_totals_html(result(), Style())


def test_the_table_uses_the_time_zone_of_the_visitor() -> None:
    table = event_table(
        [
            Event("classified", NOON, "Door", "abcdef", 3, NO_MASK, 0.9),
            Event("alert", NOON, "Door", "abcdef", UNTRACKED, count=4),
        ],
        ZoneInfo("Asia/Kolkata"),
    )
    rows = pd.DataFrame(table)
    assert rows["Time"].tolist() == [datetime(2025, 3, 1, 17, 30)] * 2
    assert rows["Description"].tolist()[0] == "Person 3: No mask"
    assert rows["Confidence"].tolist()[0] == pytest.approx(90)
    assert rows["Person"].isna().tolist() == [False, True]
    assert set(rows["Stream"]) == {"abcd"}


def test_the_table_has_the_newest_events_and_the_counts_have_all(tmp_path) -> None:
    store = EventStore(sqlite_url(tmp_path / "events.sqlite3"))
    many = [
        Event("classified", NOON + timedelta(seconds=n), "Door", "run", n, MASK, 0.9)
        for n in range(MAX_TABLE_EVENTS + 100)
    ]
    store.add(many)
    queried = query_events(store, EventFilter(), UTC)
    assert list(queried.events) == many[:99:-1]
    assert (queried.n_events, queried.n_people) == (len(many), len(many))
    assert sum(hour[MASK] for hour in queried.interval_label_counts.values()) == len(
        many
    )


@pytest.fixture
def visitor(monkeypatch):
    """A browser on the server's own machine, which a test can modify."""
    client = SimpleNamespace(
        remote_ip="127.0.0.1",
        headers=[("host", "localhost:8501"), ("origin", "http://localhost:8501")],
    )
    server = SimpleNamespace(
        get_client=lambda session: SimpleNamespace(client_context=client)
    )
    context = SimpleNamespace(session_id="a")
    monkeypatch.setattr(service, "get_script_run_ctx", lambda: context)
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: server)
    monkeypatch.delenv(ADMIN_VARIABLE, raising=False)
    client.server = server
    return client


@pytest.mark.parametrize(
    "names", [[], ["localhost", "127.0.0.1", "::1"], [" LocalHost", "[::1]"]]
)
def test_a_visitor_on_this_machine_is_admin(visitor, names) -> None:
    before = config.get_option("server.allowedHosts")
    config.set_option("server.allowedHosts", names)
    try:
        assert service.is_admin()
    finally:
        config.set_option("server.allowedHosts", before, "<default>")


def test_a_remote_visitor_is_not_admin(visitor) -> None:
    visitor.headers = [*visitor.headers, ("x-forwarded-for", "127.0.0.1")]
    assert not service.is_admin()
    visitor.headers, visitor.remote_ip = visitor.headers[:2], "192.168.0.7"
    assert not service.is_admin()


def test_a_disconnected_visitor_is_not_admin(visitor) -> None:
    visitor.server.get_client = lambda session: None
    assert not service.is_admin()


@pytest.mark.parametrize("value", ["off", "0", "neither"])
def test_no_visitor_is_admin_if_it_is_switched_off(visitor, monkeypatch, value) -> None:
    monkeypatch.setenv(ADMIN_VARIABLE, value)
    assert not service.is_admin()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("server.allowedHosts", ["localhost", "masks.example.org"]),
        ("server.allowedHosts", ["*"]),
        ("server.corsAllowedOrigins", ["https://masks.example.org"]),
        ("browser.serverAddress", "masks.example.org"),
    ],
)
def test_no_visitor_is_admin_behind_a_proxy_unless_switched_on(
    visitor, monkeypatch, option, value
) -> None:
    """A proxy that rewrites `Host` and adds no header looks like a local browser."""
    before = config.get_option(option)
    config.set_option(option, value)
    try:
        assert not service.is_admin()
        monkeypatch.setenv(ADMIN_VARIABLE, "on")
        assert service.is_admin()
    finally:
        config.set_option(option, before, "<default>")


def test_an_unknown_time_zone_becomes_utc(monkeypatch) -> None:
    for name, zone in (("Europe/Rome", ZoneInfo("Europe/Rome")), ("No/Where", UTC)):
        context = SimpleNamespace(timezone=name)
        monkeypatch.setattr("maskdet.web.events.service.st.context", context)
        assert service.get_time_zone() == zone


def test_a_camera_of_the_server_records_and_sends_nothing_by_default() -> None:
    """In a thread, as there is no script run that reads the frames."""
    events: list[Event] = []

    def watch() -> None:
        stream = ObservedStream(service.create_camera_monitor("Back\ndoor", 0.0))
        for number in range(60):
            scene = make_tracked_scene(number / 10, [(1, NO_MASK, 0.95)])
            events.extend(stream.update(scene))

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert {event.camera for event in events} == {"Back door"}
    assert [event.kind for event in events] == ["entered", "classified"]
    assert service.get_last_camera_alert("Back\ndoor") is None
