"""A live session: invalid distance settings, and the event monitor."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.alerts.monitor import AlertConfig, AlertMonitor
from maskdet.events import StreamInfo
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.web import distance
from maskdet.web.distance import DistanceGuard, distance_error, mirror_points
from maskdet.web.live.state import LiveSession
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.streams import LEFT, MASK, NO_MASK, NOISE

SIZE_WH = (320, 240)
FLOOR = (0.35, 0.55, 0.65, 0.55, 0.9, 0.95, 0.1, 0.95)
BESIDE = (110.0, 60.0, 170.0, 130.0)
ROUND_THE_OTHER_WAY = (0.65, 0.55, 0.35, 0.55, 0.1, 0.95, 0.9, 0.95)


class FakeWriter:
    def __init__(self) -> None:
        self.events = []

    def put(self, events) -> None:
        self.events += events


def run_of(script=None, **options) -> tuple[LiveSession, ScriptedAnalyzer]:
    faces = [ScriptedFace(LEFT, NO_MASK), ScriptedFace(BESIDE, MASK)]
    analyzer = ScriptedAnalyzer(script or (lambda time_s: faces))
    return LiveSession(Stream(analyzer), **options), analyzer


def play(run: LiveSession, analyzer, settings: Settings, times_s=(0, 3)):
    for time_s in np.arange(*times_s, 0.1):
        analyzer.time_s = float(time_s)
        view = run.step(NOISE, float(time_s), settings)
    return view


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (Settings(), ""),
        (Settings(distance="relative"), ""),
        (Settings(distance="pinhole"), ""),
        (Settings(distance="ground_plane", ground_points=FLOOR), ""),
        (Settings(distance="ground_plane"), "Mark the four corners of a rectangle"),
        (
            Settings(distance="ground_plane", ground_points=ROUND_THE_OTHER_WAY),
            "The four points must be the corners of a rectangle on the floor",
        ),
        (
            Settings(distance="ground_plane", ground_points=FLOOR, ground_width_m=900),
            "A rectangle of 900 x 3 m cannot appear at these four points",
        ),
    ],
)
def test_invalid_distance_settings_are_reported_in_one_line(settings, line) -> None:
    error = distance_error(settings, SIZE_WH)
    assert error.startswith(line)
    assert bool(error) == bool(line)
    assert "\n" not in error


def test_an_invalid_floor_does_not_stop_the_stream_and_is_checked_once(
    monkeypatch,
) -> None:
    calls = []
    monkeypatch.setattr(
        distance, "distance_error", lambda *args: calls.append(args) or "no floor."
    )
    run, analyzer = run_of()
    view = play(
        run,
        analyzer,
        Settings(distance="ground_plane", ground_points=ROUND_THE_OTHER_WAY),
    )
    assert len(view.scene) == 2
    assert view.scene.pairs == ()
    assert view.settings.distance == "off"
    assert len(calls) == 1


def test_changed_settings_apply_to_the_next_frame() -> None:
    guard = DistanceGuard()
    bad, good = (
        Settings(distance="ground_plane"),
        Settings(distance="ground_plane", ground_points=FLOOR),
    )
    assert guard.effective_settings(bad, SIZE_WH).distance == "off"
    assert guard.effective_settings(good, SIZE_WH) == good


def test_the_snapshot_has_pairs_positions_and_contacts() -> None:
    run, analyzer = run_of()
    view = play(run, analyzer, Settings(distance="pinhole"))
    (pair,) = view.scene.pairs
    assert pair.in_contact
    assert view.scene.positions.shape == (2, 2)
    assert view.size_wh == SIZE_WH
    (contact,) = view.scene.contacts
    assert contact.total_s == pytest.approx(2.4, abs=0.6)
    assert sum(view.people.current.values()) == 2


def test_the_monitor_records_people_who_enter_and_leave() -> None:
    writer = FakeWriter()
    monitor = AlertMonitor(AlertConfig(), writer)
    run, analyzer = run_of(observer=monitor.monitor_stream(StreamInfo.now("Door", 0.0)))
    play(run, analyzer, Settings(distance="pinhole", contact_duration_s=1))
    kinds = [event.kind for event in writer.events]
    assert sorted(kinds) == ["classified", "classified", "close", "entered", "entered"]
    run.end()
    run.end()
    assert [event.kind for event in writer.events[5:]] == ["left", "left"]
    assert {event.camera for event in writer.events} == {"Door"}


def test_a_frame_after_the_end_creates_no_events() -> None:
    writer = FakeWriter()
    run, analyzer = run_of(
        observer=AlertMonitor(AlertConfig(), writer).monitor_stream(
            StreamInfo.now("", 0.0)
        )
    )
    run.end()
    play(run, analyzer, Settings())
    assert writer.events == []


def test_the_monitor_can_only_be_replaced_before_the_first_frame() -> None:
    first, second, third = FakeWriter(), FakeWriter(), FakeWriter()
    run, analyzer = run_of(
        observer=AlertMonitor(AlertConfig(), first).monitor_stream(
            StreamInfo.now("", 0.0)
        )
    )
    run.set_observer(
        AlertMonitor(AlertConfig(), second).monitor_stream(StreamInfo.now("", 0.0))
    )
    play(run, analyzer, Settings())
    run.set_observer(
        AlertMonitor(AlertConfig(), third).monitor_stream(StreamInfo.now("", 0.0))
    )
    play(run, analyzer, Settings(), (3, 4))
    run.end()
    assert not first.events
    assert len(second.events) == 6
    assert not third.events


def test_mirrored_floor_points_keep_their_order() -> None:
    floor = (0.2, 0.5, 0.7, 0.55, 0.9, 0.9, 0.1, 0.95)
    mirrored = mirror_points(floor)
    assert mirrored == pytest.approx((0.3, 0.55, 0.8, 0.5, 0.9, 0.95, 0.1, 0.9))
    assert mirror_points(mirrored) == pytest.approx(floor)
    settings = Settings(distance="ground_plane", ground_points=mirror_points(FLOOR))
    assert distance_error(settings, SIZE_WH) == ""
    assert mirror_points(()) == ()
