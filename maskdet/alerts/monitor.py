"""`AlertMonitor`: record the events of streams, raise alerts and deliver them.

    monitor = AlertMonitor(AlertConfig(rules=(AlertRule("no_mask"),)))
    stream_monitor = monitor.monitor_stream(StreamInfo.now("Door"))
    stream.step(image, time_s)
    observe_safely(stream_monitor, stream.people)

`AlertInbox` keeps new alerts for a page, and `make_beep_wav` makes the alert sound.
"""

from __future__ import annotations

import io
import math
import threading
import wave
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from maskdet.alerts.delivery import (
    DeliveryQueue,
    DeliveryState,
    DeliveryStatus,
    SendAlert,
)
from maskdet.alerts.mqtt import MqttPublisher
from maskdet.alerts.rules import AlertDetector, AlertRule
from maskdet.alerts.webhook import Webhook
from maskdet.events.detection import EventDetector
from maskdet.events.event import Event, StreamInfo
from maskdet.people import PersonLog

if TYPE_CHECKING:  # it needs SQLAlchemy
    from maskdet.events.writer import EventWriter

_SAMPLE_RATE_HZ: Final = 16_000
_TONES_HZ: Final = (880.0, 660.0)
_TONE_S: Final = 0.16
_FADE_S: Final = 0.01  # an abrupt start would click
_AMPLITUDE: Final = 0.4

MAX_ALERTS: Final = 500
"""Maximum number of alerts that an `AlertMonitor` keeps in memory."""

_MAX_INBOX: Final = 50


class AlertInbox:
    """Alerts that the page has not shown yet; thread-safe."""

    def __init__(self) -> None:
        """Create an empty inbox."""
        self._lock = threading.Lock()
        self._alerts: deque[tuple[float, Event]] = deque(maxlen=_MAX_INBOX)

    def __len__(self) -> int:
        """Return the number of alerts since the last `pop_all`."""
        return len(self._alerts)

    def put(self, alerts: Iterable[Event]) -> None:
        """Add alerts; the oldest are dropped if there are too many."""
        with self._lock:
            now_s = monotonic()
            self._alerts.extend((now_s, alert) for alert in alerts)

    def pop_all(self, max_age_s: float = math.inf) -> tuple[Event, ...]:
        """Return the alerts since the last call, oldest first.

        Args:
            max_age_s: older alerts are discarded, in seconds.
        """
        with self._lock:
            oldest_s = monotonic() - max_age_s
            alerts = tuple(
                alert for arrived_s, alert in self._alerts if arrived_s >= oldest_s
            )
            self._alerts.clear()
        return alerts


def make_beep_wav(number: int = 0) -> bytes:
    """Return two short tones as a WAV file.

    Args:
        number: encoded inaudibly, to make the file unique: a browser autoplays the same
            file only once.
    """
    times_s = np.arange(int(_TONE_S * _SAMPLE_RATE_HZ)) / _SAMPLE_RATE_HZ
    # Each tone fades in and out.
    fades = np.minimum(times_s, _TONE_S - times_s) / _FADE_S
    volumes = 32767 * _AMPLITUDE * np.minimum(1, fades)
    samples = [volumes * np.sin(2 * math.pi * hz * times_s) for hz in _TONES_HZ]
    # Values this small are inaudible.
    samples.append(np.array([(number >> shift) & 7 for shift in range(0, 30, 3)]))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_SAMPLE_RATE_HZ)
        sound.writeframes(np.concatenate(samples).astype("<i2").tobytes())
    return file.getvalue()


@dataclass(frozen=True)
class AlertConfig:
    """Alert rules and receivers of a monitor.

    Attributes:
        rules: rules that raise alerts.
        webhook_url: URL to which alerts are sent as JSON; empty for none.
        webhook_secret: secret of the signature; empty for no signature.
        mqtt_url: URL of the broker to publish alerts to; empty for none.
    """

    rules: tuple[AlertRule, ...] = ()
    webhook_url: str = ""
    webhook_secret: str = ""
    mqtt_url: str = ""


@dataclass(frozen=True)
class AlertRecord:
    """An alert, and how far its delivery is.

    Attributes:
        alert: the alert.
        deliveries: the state by receiver, `webhook` or `mqtt`; empty without one.
    """

    alert: Event
    deliveries: Mapping[str, DeliveryState]


class AlertMonitor:
    """Events and alerts of all streams of one user.

    Attributes:
        config: current rules and receivers; see `configure`.
        writer: the current writer of events.
        inbox: new alerts for the page.
    """

    def __init__(
        self, config: AlertConfig | None = None, writer: EventWriter | None = None
    ) -> None:
        """Create a monitor without streams.

        Args:
            config: rules and receivers.
            writer: records the events; None to record none.

        Raises:
            ValueError: a URL of the configuration is invalid.
        """
        self.inbox = AlertInbox()
        self._lock = threading.Lock()
        self._alerts: deque[tuple[Event, dict[str, DeliveryState]]] = deque(
            maxlen=MAX_ALERTS
        )
        self.config = AlertConfig()
        self.writer: EventWriter | None = None
        self._delivery_queues: dict[str, DeliveryQueue] = {}
        self.configure(config or AlertConfig(), writer)

    def configure(self, config: AlertConfig, writer: EventWriter | None) -> None:
        """Change the configuration, from the next scene on.

        Raises:
            ValueError: a URL is invalid; the old configuration stays.
            MissingExtraError: a library is not installed; the old configuration stays.
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
            self.config, self.writer = config, writer
            for name, send in new_senders.items():
                old_queue = self._delivery_queues.pop(name, None)
                if old_queue is not None:
                    old_queue.close()
                if send is not None:
                    self._delivery_queues[name] = DeliveryQueue(
                        send, partial(self._set_delivery_state, name)
                    )

    def monitor_stream(self, stream_info: StreamInfo) -> StreamMonitor:
        """Return the observer of one run of a stream."""
        return StreamMonitor(self, stream_info)

    def send_test(self, alert: Event) -> None:
        """Deliver a test alert without recording it."""
        with self._lock:
            delivery_queues = tuple(self._delivery_queues.values())
            self._alerts.append((alert, {}))
        self.inbox.put((alert,))
        for delivery_queue in delivery_queues:
            delivery_queue.put((alert,))

    def delivery_statuses(self) -> dict[str, DeliveryStatus]:
        """Return the delivery status by receiver: `webhook`, `mqtt`."""
        with self._lock:
            return {
                name: delivery_queue.status()
                for name, delivery_queue in self._delivery_queues.items()
            }

    def list_alerts(self) -> list[AlertRecord]:
        """Return the last alerts, also test alerts, newest first."""
        with self._lock:
            return [
                AlertRecord(alert, MappingProxyType(dict(states)))
                for alert, states in reversed(self._alerts)
            ]

    def publish(self, events: tuple[Event, ...], alerts: tuple[Event, ...]) -> None:
        """Record events and alerts, and queue the alerts; does not block."""
        with self._lock:
            self._alerts.extend((alert, {}) for alert in alerts)
            writer, queues = self.writer, tuple(self._delivery_queues.values())
        if writer is not None and (events or alerts):
            writer.put((*events, *alerts))
        if alerts:
            self.inbox.put(alerts)
            for delivery_queue in queues:
                delivery_queue.put(alerts)

    def _set_delivery_state(
        self, receiver: str, alert: Event, state: DeliveryState
    ) -> None:
        with self._lock:
            for listed_alert, states in reversed(self._alerts):
                if listed_alert is alert:
                    states[receiver] = state
                    return


class StreamMonitor:
    """Records the events of one run of a stream, raises alerts and delivers them.

    It is a `maskdet.events.SceneObserver`; it does not block.

    Attributes:
        stream_info: name and start of the stream.
    """

    def __init__(self, monitor: AlertMonitor, stream_info: StreamInfo) -> None:
        """Start at the beginning of a stream; see `AlertMonitor.monitor_stream`."""
        self.stream_info = stream_info
        self._monitor = monitor
        self._event_detector = EventDetector(stream_info)
        self._alert_detector = AlertDetector(stream_info)
        self._rules: tuple[AlertRule, ...] = ()

    def observe(self, people: PersonLog) -> tuple[Event, ...]:
        """Return events, then alerts; all of them are already recorded and queued."""
        rules = self._monitor.config.rules
        if rules != self._rules:
            self._alert_detector.set_rules(rules)
            self._rules = rules
        events = self._event_detector.observe(people)
        alerts = self._alert_detector.observe(people)
        self._monitor.publish(events, alerts)
        return (*events, *alerts)
