"""The recorders of tabs on the server: kept over a reload, and dropped later."""

from __future__ import annotations

import pytest

from maskdet.alerts.monitor import AlertConfig
from maskdet.alerts.rules import AlertRule
from maskdet.web.events import recorders
from maskdet.web.events.recorders import KEEP_TAB_S, Recorder, RecorderRegistry

TAB, OTHER_TAB = "a" * 32, "b" * 32
RULES = AlertConfig((AlertRule("no_mask"),))


class Visitors:
    """Sessions that a test connects and disconnects, and the time."""

    def __init__(self) -> None:
        self.active: set[str] = set()
        self.now_s = 0.0
        self.registry = RecorderRegistry(
            lambda session_id: session_id in self.active, lambda: self.now_s
        )

    def open(self, tab_id: str, session_id: str) -> Recorder:
        self.active.add(session_id)
        return self.registry.attach(tab_id, session_id, Recorder())

    def reload(self, tab_id: str, old: str, new: str) -> Recorder:
        self.active.discard(old)
        return self.open(tab_id, new)


@pytest.fixture
def visitors() -> Visitors:
    return Visitors()


def test_a_reload_finds_the_recorder_and_another_tab_has_its_own(visitors) -> None:
    first = visitors.open(TAB, "one")
    assert visitors.open(OTHER_TAB, "two") is not first
    assert visitors.reload(TAB, "one", "three") is first
    assert len(visitors.registry) == 2


def test_the_first_recorder_of_a_tab_is_the_one_of_its_session(visitors) -> None:
    """Whatever was set before the browser reported the tab is kept."""
    recorder = Recorder()
    visitors.active.add("one")
    assert visitors.registry.attach(TAB, "one", recorder) is recorder


def test_a_recorder_is_dropped_long_after_its_tab_was_closed(visitors) -> None:
    recorder = visitors.open(TAB, "one")
    recorder.monitor.configure(RULES, None)
    visitors.active.clear()
    visitors.now_s = 10 * KEEP_TAB_S  # nobody noticed when the tab was closed
    visitors.open(OTHER_TAB, "two")
    assert len(visitors.registry) == 2
    visitors.now_s += KEEP_TAB_S - 1
    visitors.reload(OTHER_TAB, "two", "three")
    assert len(visitors.registry) == 2
    visitors.now_s += 2
    visitors.reload(OTHER_TAB, "three", "four")
    assert len(visitors.registry) == 1
    assert recorder.monitor.config == AlertConfig(), "it sends nothing more"
    assert visitors.open(TAB, "five") is not recorder


def test_a_tab_that_comes_back_in_time_is_kept(visitors) -> None:
    recorder = visitors.open(TAB, "one")
    visitors.active.clear()
    visitors.open(OTHER_TAB, "two")
    visitors.now_s = KEEP_TAB_S - 1
    assert visitors.open(TAB, "three") is recorder
    visitors.now_s *= 3
    visitors.reload(OTHER_TAB, "two", "four")
    assert visitors.reload(TAB, "three", "five") is recorder


def test_the_number_of_tabs_is_bounded_and_open_ones_stay(
    visitors, monkeypatch
) -> None:
    monkeypatch.setattr(recorders, "MAX_TABS", 3)
    kept = visitors.open(TAB, "one")
    for number in range(10):
        visitors.now_s += 1
        visitors.open(f"{number:032x}", f"closed {number}")
        visitors.active.discard(f"closed {number}")
    assert len(visitors.registry) <= 3
    assert visitors.reload(TAB, "one", "two") is kept
