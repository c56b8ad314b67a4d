"""`AlertMonitor`: recording, inbox and delivery; the alert sound."""

from __future__ import annotations

import io
import wave
from datetime import UTC, datetime

import numpy as np
import pytest

from maskdet.alerts import AlertRule
from maskdet.alerts.monitor import AlertConfig, AlertInbox, AlertMonitor, make_beep_wav
from maskdet.analyzers.pipelines import TwoStage
from maskdet.events import Event, StreamInfo, observe_safely
from maskdet.people import PersonLog
from maskdet.streaming import Stream
from maskdet.types import Label
from tests.alerts.receivers import run_web_receiver
from tests.events.scenes import ObservedStream, make_tracked_scene
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.helpers.waiting import wait_until, wait_until_empty

NO_MASK = Label.NO_MASK
NOON = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
RULE = AlertRule("no_mask", for_s=1.0)


class FakeWriter:
    """A writer that keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def put(self, events) -> None:
        self.events += events


def play(observed: ObservedStream, until_s: float, from_s: float = 0.0) -> None:
    for number in range(round((until_s - from_s) * 10)):
        time_s = from_s + number / 10
        observed.update(make_tracked_scene(time_s, [(1, NO_MASK, 0.95)]))


def observe(monitor: AlertMonitor) -> ObservedStream:
    return ObservedStream(monitor.monitor_stream(StreamInfo("Door", NOON, "run")))


def test_nothing_is_recorded_or_sent_by_default() -> None:
    monitor = AlertMonitor()
    observed = observe(monitor)
    play(observed, 3)
    observed.end()
    assert (monitor.inbox.pop_all(), monitor.delivery_statuses(), monitor.writer) == (
        (),
        {},
        None,
    )


def test_events_and_alerts_are_recorded_in_order() -> None:
    writer = FakeWriter()
    observed = observe(AlertMonitor(AlertConfig((RULE,)), writer))
    play(observed, 3)
    observed.end()
    observed.end()
    kinds = [event.kind for event in writer.events]
    assert kinds == ["entered", "classified", "alert", "left"]
    assert {event.session for event in writer.events} == {"run"}


def test_an_old_alert_is_not_shown(monkeypatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr("maskdet.alerts.monitor.monotonic", lambda: now_s[0])
    inbox = AlertInbox()
    late, soon = (Event("alert", NOON, name, "run") for name in ("Late", "Soon"))
    inbox.put([late])
    now_s[0] += 20
    inbox.put([soon])
    now_s[0] += 5
    assert inbox.pop_all(10.0) == (soon,)
    assert inbox.pop_all() == (), "discarded alerts do not come back"


def test_the_configuration_can_change_during_a_stream() -> None:
    monitor, writer = AlertMonitor(), FakeWriter()
    observed = observe(monitor)
    play(observed, 3)
    monitor.configure(AlertConfig((RULE,)), writer)
    play(observed, 6, from_s=3)
    assert [event.kind for event in writer.events] == ["alert"]
    assert len(monitor.inbox.pop_all()) == 1
    assert monitor.inbox.pop_all() == (), "taken once"
    monitor.configure(AlertConfig(), None)
    observed.update(make_tracked_scene(7.0, [(2, NO_MASK, 0.95)]))
    assert len(writer.events) == 1


def test_an_alert_reaches_the_webhook_and_a_changed_secret_counts() -> None:
    with run_web_receiver() as receiver:
        config = AlertConfig((RULE,), webhook_url=receiver.url, webhook_secret="one")
        monitor = AlertMonitor(config)
        play(observe(monitor), 3)
        before = monitor._delivery_queues["webhook"]
        wait_until_empty(before)
        assert monitor.delivery_statuses()["webhook"].n_sent == 1
        monitor.configure(config, None)
        assert monitor._delivery_queues["webhook"] is before
        monitor.configure(
            AlertConfig((RULE,), webhook_url=receiver.url, webhook_secret="two"), None
        )
        assert monitor._delivery_queues["webhook"] is not before
        monitor.configure(AlertConfig((RULE,)), None)
        assert monitor.delivery_statuses() == {}
    assert len(receiver.requests) == 1


def test_an_invalid_url_keeps_the_old_configuration() -> None:
    monitor = AlertMonitor(AlertConfig((RULE,)))
    for bad in (AlertConfig(webhook_url="nowhere"), AlertConfig(mqtt_url="nowhere")):
        with pytest.raises(ValueError, match=r"such as|invalid MQTT"):
            monitor.configure(bad, None)
    assert monitor.config == AlertConfig((RULE,))


def test_alerts_are_listed_with_the_state_of_each_delivery() -> None:
    with run_web_receiver() as receiver, run_web_receiver((404, {})) as broken:
        monitor = AlertMonitor(AlertConfig((RULE,)))
        play(observe(monitor), 3)
        monitor.configure(AlertConfig((RULE,), webhook_url=receiver.url), None)
        play(observe(monitor), 3)
        wait_until(lambda: list_states(monitor)[0] == {"webhook": "sent"}, "delivery")
        monitor.configure(AlertConfig((RULE,), webhook_url=broken.url), None)
        test = Event("alert", NOON, "Test", "test", 9, rule="no_mask")
        monitor.send_test(test)
        wait_until(lambda: list_states(monitor)[0] == {"webhook": "failed"}, "failure")
    assert list_states(monitor) == [{"webhook": "failed"}, {"webhook": "sent"}, {}]
    assert monitor.list_alerts()[0].alert is test


def list_states(monitor: AlertMonitor) -> list[dict[str, str]]:
    return [dict(record.deliveries) for record in monitor.list_alerts()]


def test_the_list_has_the_newest_alerts() -> None:
    monitor = AlertMonitor()
    for number in range(600):
        monitor.publish((), (Event("alert", NOON, "", "", number),))
    listed = [record.alert.person for record in monitor.list_alerts()]
    assert listed == list(range(599, 99, -1))


def test_an_error_of_the_database_does_not_stop_a_stream(caplog) -> None:
    class Broken:
        def put(self, events) -> None:
            raise OSError("no more")

    monitor = AlertMonitor(AlertConfig((RULE,)), Broken())
    stream_monitor = monitor.monitor_stream(StreamInfo("Door", NOON))
    people = PersonLog()
    for time_s in (0.0, 0.5):
        people.update(make_tracked_scene(time_s, [(1, NO_MASK, 0.95)]))
    assert observe_safely(stream_monitor, people) == ()
    assert "events of a scene were lost (1 so far)" in caplog.text


def test_an_inbox_keeps_the_newest_alerts() -> None:
    inbox = AlertInbox()
    inbox.put([Event("alert", NOON, "", "", number) for number in range(80)])
    assert [alert.person for alert in inbox.pop_all()] == list(range(30, 80))


def test_the_beep_is_a_short_sound_that_starts_and_ends_in_silence() -> None:
    with wave.open(io.BytesIO(make_beep_wav(12345))) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (1, 16_000)
        samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    assert 0.2 < len(samples) / 16_000 < 0.5
    assert 8_000 < np.abs(samples).max() < 20_000
    assert abs(int(samples[0])) < 10
    assert np.abs(samples[-10:]).max() < 10
    assert np.abs(np.diff(samples.astype(int))).max() < 6_000, "no click"


def test_each_beep_is_a_different_file() -> None:
    assert len({make_beep_wav(number) for number in (0, 1, 2, 70, 5_000_000)}) == 5


def test_a_whole_stream_raises_its_events_in_order() -> None:
    boxes, probs = [[20.0, 20.0, 60.0, 64.0]], (0.02, 0.96, 0.02)
    analyzer = TwoStage(FakeDetector(boxes, [0.95]), FakeClassifier(probs))
    stream, empty = Stream(analyzer), TwoStage(FakeDetector(), FakeClassifier())
    writer = FakeWriter()
    stream_monitor = AlertMonitor(AlertConfig((RULE,)), writer).monitor_stream(
        StreamInfo("Door", NOON)
    )
    for number in range(120):
        if number == 40:
            stream._analyzer = empty
        stream.step(make_grey_image(160, 120), number / 10)
        stream_monitor.observe(stream.people)
    kinds = [event.kind for event in writer.events]
    assert kinds == ["entered", "classified", "alert", "left"]
    assert len({event.person for event in writer.events}) == 1
    assert [event.label for event in writer.events[1:]] == [NO_MASK] * 3
    assert writer.events[3].for_s == pytest.approx(3.9, abs=0.5)
