"""A watch over streams: what is recorded, rung for and sent, and what never happens."""

from __future__ import annotations

import io
import wave
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from maskdet.alerts import AlertRule
from maskdet.alerts.delivery import RetryPolicy
from maskdet.alerts.monitor import AlertConfig, AlertInbox, AlertMonitor, make_beep_wav
from maskdet.analyzers.pipelines import TwoStage
from maskdet.events import Event, StreamInfo
from maskdet.streaming import Stream
from maskdet.types import Label
from tests.alerts.receivers import run_web_receiver
from tests.events.scenes import make_tracked_scene
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.helpers.waiting import WAIT_S

NO_MASK = Label.NO_MASK
NOON = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
RULE = AlertRule("no_mask", for_s=1.0)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def put(self, events) -> None:
        self.events += events


def play(witness, until_s: float, from_s: float = 0.0) -> None:
    for number in range(round((until_s - from_s) * 10)):
        time_s = from_s + number / 10
        witness.on_scene(make_tracked_scene(time_s, [(1, NO_MASK, 0.95)]))


def test_nothing_is_recorded_or_sent_by_default() -> None:
    watch = AlertMonitor()
    witness = watch.monitor_stream(StreamInfo("Door", NOON))
    play(witness, 3)
    witness.end()
    assert (watch.inbox.pop_all(), watch.delivery_statuses(), watch.sink) == (
        (),
        {},
        None,
    )


def test_events_and_alerts_are_recorded_in_order() -> None:
    kept = Kept()
    witness = AlertMonitor(AlertConfig((RULE,)), kept).monitor_stream(
        StreamInfo("Door", NOON, "run")
    )
    play(witness, 3)
    witness.end()
    witness.end()
    kinds = [event.kind for event in kept.events]
    assert kinds == ["entered", "classified", "alert", "left"]
    assert {event.session for event in kept.events} == {"run"}


def test_an_old_alert_is_not_shown() -> None:
    now_s = [100.0]
    bell = AlertInbox(clock=lambda: now_s[0])
    late, soon = (Event("alert", NOON, name, "run") for name in ("Late", "Soon"))
    bell.put([late])
    now_s[0] += 20
    bell.put([soon])
    now_s[0] += 5
    assert bell.pop_all(10.0) == (soon,)
    assert bell.pop_all() == (), "what was passed over does not come back"


def test_the_configuration_can_change_during_a_stream() -> None:
    watch, kept = AlertMonitor(), Kept()
    witness = watch.monitor_stream(StreamInfo("Door", NOON))
    play(witness, 3)
    watch.configure(AlertConfig((RULE,)), kept)
    play(witness, 6, from_s=3)
    assert [event.kind for event in kept.events] == ["alert"]
    assert len(watch.inbox.pop_all()) == 1
    assert watch.inbox.pop_all() == (), "taken once"
    watch.configure(AlertConfig(), None)
    witness.on_scene(make_tracked_scene(7.0, [(2, NO_MASK, 0.95)]))
    assert len(kept.events) == 1


def test_an_alert_reaches_the_webhook_and_a_changed_secret_counts() -> None:
    with run_web_receiver() as receiver:
        plan = AlertConfig((RULE,), webhook_url=receiver.url, webhook_secret="one")
        watch = AlertMonitor(plan, retry_policy=RetryPolicy(2, 0.01))
        play(watch.monitor_stream(StreamInfo("Door", NOON)), 3)
        before = watch._delivery_queues["webhook"]
        assert before.flush(WAIT_S)
        assert watch.delivery_statuses()["webhook"].n_sent == 1
        watch.configure(plan, None)
        assert watch._delivery_queues["webhook"] is before
        watch.configure(
            AlertConfig((RULE,), webhook_url=receiver.url, webhook_secret="two"), None
        )
        assert watch._delivery_queues["webhook"] is not before
        watch.configure(AlertConfig((RULE,)), None)
        assert watch.delivery_statuses() == {}
    assert len(receiver.requests) == 1


def test_an_invalid_url_keeps_the_old_configuration() -> None:
    watch = AlertMonitor(AlertConfig((RULE,)))
    for bad in (AlertConfig(webhook_url="nowhere"), AlertConfig(mqtt_url="nowhere")):
        with pytest.raises(ValueError, match=r"such as|looks like"):
            watch.configure(bad, None)
    assert watch.config == AlertConfig((RULE,))


def test_a_stream_monitor_never_raises(caplog) -> None:
    class Broken:
        def put(self, events) -> None:
            raise OSError("no more")

    watch = AlertMonitor(AlertConfig((RULE,)), Broken())
    witness = watch.monitor_stream(StreamInfo("Door", NOON))
    play(witness, 3)
    witness.on_scene(SimpleNamespace())  # type: ignore[arg-type]
    witness.end()
    assert "events of a scene were lost (1 so far)" in caplog.text
    assert len(caplog.records) <= 2, "a stream can fail 30 times a second"


def test_an_inbox_keeps_the_newest_alerts() -> None:
    bell = AlertInbox()
    bell.put([Event("alert", NOON, "", "", number) for number in range(80)])
    assert [alert.person for alert in bell.pop_all()] == list(range(30, 80))


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
    kept = Kept()
    witness = AlertMonitor(AlertConfig((RULE,)), kept).monitor_stream(
        StreamInfo("Door", NOON)
    )
    for number in range(40):
        witness.on_scene(stream.step(make_grey_image(160, 120), number / 10))
    stream._analyzer = empty
    for number in range(40, 120):
        witness.on_scene(stream.step(make_grey_image(160, 120), number / 10))
    kinds = [event.kind for event in kept.events]
    assert kinds == ["entered", "classified", "alert", "left"]
    assert len({event.person for event in kept.events}) == 1
    assert [event.label for event in kept.events[1:]] == [NO_MASK] * 3
    assert kept.events[3].for_s == pytest.approx(3.9, abs=0.5)
