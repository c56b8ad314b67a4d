"""What the Events page shows of events, and who counts as a local visitor."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from maskdet.events import Event
from maskdet.events.place import sqlite_url
from maskdet.events.statements import HOUR_MS, EventFilter
from maskdet.events.store import EventStore
from maskdet.style import Style
from maskdet.types import UNTRACKED, Label
from maskdet.web import events
from maskdet.web.events_charts import (
    MOST_ROWS,
    Found,
    found,
    hourly_chart,
    numbers_html,
    table,
)

NOON = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
MASK, NO_MASK, WRONG = Label.MASK, Label.NO_MASK, Label.INCORRECT


def result(hours=None, people=None, **counts: int) -> Found:
    people = Counter(people or {})
    return Found([], Counter(counts), people, people.total() + 1, hours or {})


def _rows(chart: dict) -> list[dict]:
    return next(iter(chart["datasets"].values()))


def bars(chart: dict) -> list[tuple]:
    names = ("start", "class", "low", "high", "people", "all")
    return [tuple(bar[name] for name in names) for bar in _rows(chart)]


def test_each_hour_is_a_bar_with_the_masked_at_the_bottom() -> None:
    hours = {0: Counter({NO_MASK: 1, MASK: 2, WRONG: 1}), HOUR_MS: Counter({WRONG: 3})}
    chart = hourly_chart(result(hours), Style())
    assert bars(chart) == [
        (0, "Mask", 0.0, 0.5, 2, 4),
        (0, "No mask", 0.5, 0.75, 1, 4),
        (0, "Incorrect", 0.75, 1.0, 1, 4),
        (HOUR_MS, "Incorrect", 0.0, 1.0, 3, 3),
    ]
    assert {bar["end"] - bar["start"] for bar in _rows(chart)} == {HOUR_MS}


def test_tiles_say_how_many_and_what_share() -> None:
    tiles = numbers_html(
        result(people={MASK: 3, NO_MASK: 1}, close=2, alert=5), Style()
    )
    for name, value in {
        "People": 5,
        "Mask": 3,
        "Incorrect": 0,
        "Masked, of those": "75 %",
        "Too close": 2,
        "Alerts": 5,
    }.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in tiles
    assert "<dd>&ndash;</dd>" in numbers_html(result(), Style())


def test_the_table_is_in_the_visitors_time() -> None:
    seen = table(
        [
            Event("verdict", NOON, "Door", "abcdef", 3, NO_MASK, 0.9),
            Event("alert", NOON, "Door", "abcdef", UNTRACKED, count=4),
        ],
        ZoneInfo("Asia/Kolkata"),
    )
    rows = pd.DataFrame(seen)
    assert rows["Time"].tolist() == [datetime(2025, 3, 1, 17, 30)] * 2
    assert rows["What happened"].tolist()[0] == "Person 3: No mask"
    assert rows["Confidence"].tolist()[0] == pytest.approx(90)
    assert rows["Person"].isna().tolist() == [False, True]
    assert set(rows["Stream"]) == {"abcd"}


def test_the_table_has_the_newest_and_the_numbers_have_all(tmp_path) -> None:
    store = EventStore(sqlite_url(tmp_path / "events.sqlite3"))
    many = [
        Event("verdict", NOON + timedelta(seconds=n), "Door", "run", n, MASK, 0.9)
        for n in range(MOST_ROWS + 100)
    ]
    store.add(many)
    seen = found(store, EventFilter(), UTC)
    assert list(seen.events) == many[:99:-1]
    assert (seen.n_events, seen.n_people) == (len(many), len(many))
    assert sum(hour[MASK] for hour in seen.hours.values()) == len(many)


@pytest.mark.parametrize(
    ("address", "headers", "local"),
    [
        (None, {}, True),
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("192.168.0.7", {}, False),
        ("nonsense", {}, False),
        (None, {"X-Forwarded-For": "8.8.8.8"}, False),
        ("127.0.0.1", {"Forwarded": "for=8.8.8.8"}, False),
        ("", {"X-Forwarded-Proto": "https"}, False),
        (None, {"Via": "1.1 proxy"}, False),
    ],
)
def test_who_comes_through_a_proxy_is_not_local(
    monkeypatch, address, headers, local
) -> None:
    context = SimpleNamespace(ip_address=address, headers=headers)
    monkeypatch.setattr("maskdet.web.events.st.context", context)
    assert events.is_local() is local


def test_a_browser_that_tells_no_time_zone_gets_utc(monkeypatch) -> None:
    for name, wanted in (("Europe/Rome", ZoneInfo("Europe/Rome")), ("No/Where", UTC)):
        context = SimpleNamespace(timezone=name)
        monkeypatch.setattr("maskdet.web.events.st.context", context)
        assert events.zone() == wanted
