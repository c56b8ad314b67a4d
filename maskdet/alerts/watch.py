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

from maskdet.alerts.bell import Bell
from maskdet.alerts.mqtt import Mqtt
from maskdet.alerts.outbox import Outbox, OutboxStatus, Patience, Send
from maskdet.alerts.rules import AlertRule, Alerts
from maskdet.alerts.webhook import Webhook
from maskdet.events.event import Event
from maskdet.events.happenings import Happenings
from maskdet.events.origin import Origin
from maskdet.types import Scene

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """What takes events without letting anybody wait, as `EventWriter` does."""

    def put(self, events: Iterable[Event]) -> None:
        """Take events."""


@dataclass(frozen=True)
class Plan:
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


class Watch:
    """One user's events and alerts, from all the streams that user watches."""

    def __init__(
        self,
        plan: Plan | None = None,
        sink: Sink | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        """Start without a stream.

        Args:
            plan: what to look for and whom to tell.
            sink: where events are recorded; without one, none is.
            patience: how often and how late a delivery is tried again.

        Raises:
            ValueError: an address in the plan cannot be used.
        """
        self.bell = Bell()
        self._lock = threading.Lock()
        self._patience = patience
        self._plan = Plan()
        self._sink: Sink | None = None
        self._outboxes: dict[str, Outbox] = {}
        self.use(plan or Plan(), sink)

    @property
    def plan(self) -> Plan:
        """What is looked for, and who is told."""
        with self._lock:
            return self._plan

    @property
    def sink(self) -> Sink | None:
        """Where events are recorded now."""
        with self._lock:
            return self._sink

    def use(self, plan: Plan, sink: Sink | None) -> None:
        """Go by another plan from the next scene on.

        Raises:
            ValueError: an address cannot be used; the old plan stays.
            MissingExtraError: a library is not installed; the old plan stays.
        """
        before = self.plan
        fresh: dict[str, Send | None] = {}
        if (plan.webhook_url, plan.webhook_secret) != (
            before.webhook_url,
            before.webhook_secret,
        ):
            address, secret = plan.webhook_url, plan.webhook_secret
            fresh["webhook"] = Webhook(address, secret) if address else None
        if plan.mqtt_url != before.mqtt_url:
            fresh["mqtt"] = Mqtt(plan.mqtt_url) if plan.mqtt_url else None
        with self._lock:
            self._plan, self._sink = plan, sink
            for name, send in fresh.items():
                old = self._outboxes.pop(name, None)
                if old is not None:
                    old.close()
                if send is not None:
                    self._outboxes[name] = Outbox(send, patience=self._patience)

    def witness(self, origin: Origin) -> Witness:
        """Return what looks at the scenes of one run of a stream."""
        return Witness(self, origin)

    def rehearse(self, alert: Event) -> None:
        """Pass an alert on as if it were one, without recording it."""
        with self._lock:
            outboxes = tuple(self._outboxes.values())
        self.bell.ring((alert,))
        for outbox in outboxes:
            outbox.put((alert,))

    def deliveries(self) -> dict[str, OutboxStatus]:
        """Return what became of the alerts that were sent: `webhook`, `mqtt`."""
        with self._lock:
            return {name: box.status() for name, box in self._outboxes.items()}

    def tell(self, happened: tuple[Event, ...], alerts: tuple[Event, ...]) -> None:
        """Record events and alerts, and pass the alerts on; returns at once."""
        with self._lock:
            sink, outboxes = self._sink, tuple(self._outboxes.values())
        if sink is not None and (happened or alerts):
            sink.put((*happened, *alerts))
        if alerts:
            self.bell.ring(alerts)
            for outbox in outboxes:
                outbox.put(alerts)


class Witness:
    """Looks at every scene of one run of a stream; nothing it does can stop it."""

    def __init__(self, watch: Watch, origin: Origin) -> None:
        """Start at the beginning of a stream; see `Watch.witness`."""
        self.origin = origin
        self._watch = watch
        self._lock = threading.Lock()
        self._happenings = Happenings(origin)
        self._alerts = Alerts(origin)
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
                return self._look(scene)
        except Exception:
            self._fail()
            return ()

    def end(self) -> tuple[Event, ...]:
        """Note and return that everybody left, because the stream ended.

        May be called twice.
        """
        try:
            with self._lock:
                left = self._happenings.end()
                self._watch.tell(left, ())
                return left
        except Exception:
            self._fail()
            return ()

    def _look(self, scene: Scene) -> tuple[Event, ...]:
        rules = self._watch.plan.rules
        if rules != self._rules:
            self._alerts.use(rules)
            self._rules = rules
        happened = self._happenings.update(scene)
        alerts = self._alerts.update(scene)
        self._watch.tell(happened, alerts)
        return (*happened, *alerts)

    def _fail(self) -> None:
        """Write down the failures 1, 10, 100 …: a stream can fail 30 times a second."""
        self._n_failed += 1
        if self._n_failed == 10 ** (len(str(self._n_failed)) - 1):
            logger.exception("events of a scene were lost (%d so far)", self._n_failed)
