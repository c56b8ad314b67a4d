"""What becomes of scenes: written down, rung for, sent, and never in the way.

watch = Watch(Plan(rules=(AlertRule("no_mask"),)))
witness = watch.witness(Origin.now("Door"))
witness.on_scene(stream.step(image, time_s))

New alerts for a page: taken once by the page, and a sound made here.
"""

from __future__ import annotations

import io
import logging
import math
import struct
import threading
import time
import wave
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from maskdet.alerts.delivery import (
    DeliveryQueue,
    DeliveryStatus,
    RetryPolicy,
    SendAlert,
)
from maskdet.alerts.mqtt import MqttPublisher
from maskdet.alerts.rules import AlertDetector, AlertRule
from maskdet.alerts.webhook import Webhook
from maskdet.events.detection import EventDetector
from maskdet.events.event import Event, StreamInfo
from maskdet.types import Scene

_SAMPLE_RATE_HZ: Final = 16_000
_TONES_HZ: Final = (880.0, 660.0)
_TONE_S: Final = 0.16
_FADE_S: Final = 0.01  # a tone that begins at once clicks
_AMPLITUDE: Final = 0.4

_MAX_ALERTS = 50


class AlertInbox:
    """Alerts that the page has not shown yet; safe to use from threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with none.

        Args:
            clock: seconds that never go back; tests bring their own.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._alerts: deque[tuple[float, Event]] = deque(maxlen=_MAX_ALERTS)

    def put(self, alerts: Iterable[Event]) -> None:
        """Keep alerts for the page; of very many, the newest."""
        with self._lock:
            now_s = self._clock()
            self._alerts.extend((now_s, alert) for alert in alerts)

    def pop_all(self, max_age_s: float = math.inf) -> tuple[Event, ...]:
        """Return the alerts that came since the last call, oldest first.

        Args:
            max_age_s: those that rang longer ago are forgotten, in seconds.
        """
        with self._lock:
            oldest_s = self._clock() - max_age_s
            alerts = tuple(
                alert for arrived_s, alert in self._alerts if arrived_s >= oldest_s
            )
            self._alerts.clear()
        return alerts


def make_beep_wav(number: int = 0) -> bytes:
    """Return two short tones as a WAV file.

    Args:
        number: written into the file where nobody hears it. A browser plays the same
            file only once by itself, so each alert needs another one.
    """
    samples = [
        int(
            32767
            * _AMPLITUDE
            * _tone_envelope(time_s)
            * math.sin(2 * math.pi * hz * time_s)
        )
        for hz in _TONES_HZ
        for time_s in (
            step / _SAMPLE_RATE_HZ for step in range(int(_TONE_S * _SAMPLE_RATE_HZ))
        )
    ]
    # Values this small are silence.
    samples += [(number >> shift) & 7 for shift in range(0, 30, 3)]
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_SAMPLE_RATE_HZ)
        sound.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return file.getvalue()


def _tone_envelope(time_s: float) -> float:
    """Return how loud a tone is at a moment, in [0, 1]: it rises and falls."""
    return min(1.0, time_s / _FADE_S, (_TONE_S - time_s) / _FADE_S)


logger = logging.getLogger(__name__)


class EventSink(Protocol):
    """What takes events without letting anybody wait, as `EventWriter` does."""

    def put(self, events: Iterable[Event]) -> None:
        """Take events."""


@dataclass(frozen=True)
class AlertConfig:
    """What a watch looks for, and whom it tells.

    Attributes:
        rules: when an alert is raised.
        webhook_url: where alerts are sent as JSON; empty for nowhere.
        webhook_secret: signs them; empty for no signature.
        mqtt_url: the broker that gets them; empty for none.
    """

    rules: tuple[AlertRule, ...] = ()
    webhook_url: str = ""
    webhook_secret: str = ""
    mqtt_url: str = ""


class AlertMonitor:
    """One user's events and alerts, from all the streams that user watches."""

    def __init__(
        self,
        config: AlertConfig | None = None,
        sink: EventSink | None = None,
        *,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        """Start without a stream.

        Args:
            config: what to look for and whom to tell.
            sink: where events are recorded; without one, none is.
            retry_policy: how often and how late a delivery is tried again.

        Raises:
            ValueError: an address in the plan cannot be used.
        """
        self.inbox = AlertInbox()
        self._lock = threading.Lock()
        self._retry_policy = retry_policy
        self._config = AlertConfig()
        self._sink: EventSink | None = None
        self._delivery_queues: dict[str, DeliveryQueue] = {}
        self.configure(config or AlertConfig(), sink)

    @property
    def config(self) -> AlertConfig:
        """What is looked for, and who is told."""
        with self._lock:
            return self._config

    @property
    def sink(self) -> EventSink | None:
        """Where events are recorded now."""
        with self._lock:
            return self._sink

    def configure(self, config: AlertConfig, sink: EventSink | None) -> None:
        """Go by another plan from the next scene on.

        Raises:
            ValueError: an address cannot be used; the old plan stays.
            MissingExtraError: a library is not installed; the old plan stays.
        """
        previous = self.config
        new_senders: dict[str, SendAlert | None] = {}
        if (config.webhook_url, config.webhook_secret) != (
            previous.webhook_url,
            previous.webhook_secret,
        ):
            url, secret = config.webhook_url, config.webhook_secret
            new_senders["webhook"] = Webhook(url, secret) if url else None
        if config.mqtt_url != previous.mqtt_url:
            new_senders["mqtt"] = (
                MqttPublisher(config.mqtt_url) if config.mqtt_url else None
            )
        with self._lock:
            self._config, self._sink = config, sink
            for name, send in new_senders.items():
                old_queue = self._delivery_queues.pop(name, None)
                if old_queue is not None:
                    old_queue.close()
                if send is not None:
                    self._delivery_queues[name] = DeliveryQueue(
                        send, retry_policy=self._retry_policy
                    )

    def monitor_stream(self, stream_info: StreamInfo) -> StreamMonitor:
        """Return what looks at the scenes of one run of a stream."""
        return StreamMonitor(self, stream_info)

    def send_test(self, alert: Event) -> None:
        """Pass an alert on as if it were one, without recording it."""
        with self._lock:
            delivery_queues = tuple(self._delivery_queues.values())
        self.inbox.put((alert,))
        for delivery_queue in delivery_queues:
            delivery_queue.put((alert,))

    def delivery_statuses(self) -> dict[str, DeliveryStatus]:
        """Return what became of the alerts that were sent: `webhook`, `mqtt`."""
        with self._lock:
            return {
                name: delivery_queue.status()
                for name, delivery_queue in self._delivery_queues.items()
            }

    def publish(self, events: tuple[Event, ...], alerts: tuple[Event, ...]) -> None:
        """Record events and alerts, and pass the alerts on; returns at once."""
        with self._lock:
            sink, delivery_queues = self._sink, tuple(self._delivery_queues.values())
        if sink is not None and (events or alerts):
            sink.put((*events, *alerts))
        if alerts:
            self.inbox.put(alerts)
            for delivery_queue in delivery_queues:
                delivery_queue.put(alerts)


class StreamMonitor:
    """Looks at every scene of one run of a stream; nothing it does can stop it."""

    def __init__(self, monitor: AlertMonitor, stream_info: StreamInfo) -> None:
        """Start at the beginning of a stream; see `AlertMonitor.witness`."""
        self.stream_info = stream_info
        self._monitor = monitor
        self._lock = threading.Lock()
        self._event_detector = EventDetector(stream_info)
        self._alert_detector = AlertDetector(stream_info)
        self._rules: tuple[AlertRule, ...] = ()
        self._n_failed = 0

    def on_scene(self, scene: Scene) -> tuple[Event, ...]:
        """Look at the next scene; made for a frame callback: never raises or waits.

        Args:
            scene: the next one, with track ids.

        Returns:
            What happened, then the alerts; all of it is told already.
        """
        try:
            with self._lock:
                return self._process_scene(scene)
        except Exception:
            self._log_failure()
            return ()

    def end(self) -> tuple[Event, ...]:
        """Note and return that everybody left, because the stream ended.

        May be called twice.
        """
        try:
            with self._lock:
                events = self._event_detector.end()
                self._monitor.publish(events, ())
                return events
        except Exception:
            self._log_failure()
            return ()

    def _process_scene(self, scene: Scene) -> tuple[Event, ...]:
        rules = self._monitor.config.rules
        if rules != self._rules:
            self._alert_detector.set_rules(rules)
            self._rules = rules
        events = self._event_detector.update(scene)
        alerts = self._alert_detector.update(scene)
        self._monitor.publish(events, alerts)
        return (*events, *alerts)

    def _log_failure(self) -> None:
        """Write down the failures 1, 10, 100 …: a stream can fail 30 times a second."""
        self._n_failed += 1
        if self._n_failed == 10 ** (len(str(self._n_failed)) - 1):
            logger.exception("events of a scene were lost (%d so far)", self._n_failed)
