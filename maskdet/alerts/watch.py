"""What becomes of scenes: written down, rung for, sent, and never in the way.

watch = Watch(Plan(rules=(AlertRule("no_mask"),)))
witness = watch.witness(Origin.now("Door"))
witness.on_scene(stream.step(image, time_s))
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from maskdet.alerts.bell import AlertInbox
from maskdet.alerts.mqtt import MqttPublisher
from maskdet.alerts.outbox import DeliveryQueue, DeliveryStatus, RetryPolicy, SendAlert
from maskdet.alerts.rules import AlertDetector, AlertRule
from maskdet.alerts.webhook import Webhook
from maskdet.events.event import Event
from maskdet.events.happenings import EventDetector
from maskdet.events.origin import StreamInfo
from maskdet.types import Scene

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
