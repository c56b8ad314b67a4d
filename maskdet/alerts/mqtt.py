"""Publish alerts to an MQTT broker as JSON; needs paho-mqtt (extra `mqtt`)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from maskdet.alerts.delivery import DeliveryError
from maskdet.events.event import Event
from maskdet.extras import require_libraries

DEFAULT_TOPIC: Final = "maskdet/alerts"
TIMEOUT_S: Final = 5.0
"""Timeout of each step, in seconds."""

_POLL_INTERVAL_S: Final = 0.1
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_QOS_AT_LEAST_ONCE: Final = 1


@dataclass(frozen=True)
class Broker:
    """Parts of a broker URL such as `mqtts://user:password@host:8883/topic`.

    Attributes:
        host: host name or IP address.
        port: port; by default 1883, or 8883 with TLS.
        topic: topic to publish to.
        tls: whether the connection is encrypted and the certificate checked.
        user: user name; empty for none.
        password: password; empty for none.
    """

    host: str
    port: int
    topic: str = DEFAULT_TOPIC
    tls: bool = False
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def from_url(cls, url: str) -> Broker:
        """Parse a broker URL.

        Raises:
            ValueError: the URL is invalid; the message omits it, as it may contain a
                password.
        """
        try:
            parts = urlsplit(url.strip(), allow_fragments=False)
            host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            host, port = "", 0
        if not host:
            raise ValueError(
                "invalid MQTT URL; use mqtt://host/topic, or mqtts:// for TLS"
            )
        topic = unquote(parts.path.strip("/")) or DEFAULT_TOPIC
        if any(sign in topic for sign in "+#\0"):
            raise ValueError("the MQTT topic must not contain + or #")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(host, port, topic, parts.scheme == "mqtts", user, password)


class MqttPublisher:
    """Publishes alerts, each over a new connection, as alerts are rare."""

    def __init__(self, url: str) -> None:
        """Set the broker; nothing is sent yet.

        Args:
            url: URL as described in `Broker`.

        Raises:
            ValueError: the URL is invalid.
            MissingExtraError: paho-mqtt is not installed.
        """
        self._broker = Broker.from_url(url)
        require_libraries("sending alerts by MQTT", "paho.mqtt.client")

    def __call__(self, alert: Event) -> None:
        """Publish one alert and wait for the broker to acknowledge it.

        Raises:
            DeliveryError: it was not acknowledged; the message has no password.
        """
        client, broker = _create_client(), self._broker
        refusals: list[str] = []

        def note_refusal(
            _client: Any, _data: Any, _flags: Any, reason: Any, *_: Any
        ) -> None:
            if getattr(reason, "is_failure", False):
                refusals.append(str(reason))

        client.on_connect = note_refusal
        client.connect_timeout = TIMEOUT_S
        if broker.user:
            client.username_pw_set(broker.user, broker.password or None)
        if broker.tls:
            client.tls_set()
        try:
            client.connect(broker.host, broker.port, keepalive=30)
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or type(error).__name__
            raise DeliveryError(f"cannot reach the MQTT broker: {cause}") from None
        client.loop_start()
        try:
            self._publish(client, alert, refusals)
        finally:
            client.disconnect()
            client.loop_stop()

    def _publish(self, client: Any, alert: Event, refusals: list[str]) -> None:
        try:
            sent = client.publish(
                self._broker.topic, alert.to_json(), qos=_QOS_AT_LEAST_ONCE
            )
            deadline_s = monotonic() + TIMEOUT_S
            # Stop waiting if the broker refuses the connection.
            while not refusals and monotonic() < deadline_s and not sent.is_published():
                sent.wait_for_publish(_POLL_INTERVAL_S)
            is_delivered = sent.is_published()
        except (RuntimeError, ValueError):
            is_delivered = False
        if refusals:
            raise DeliveryError(
                f"the MQTT broker refused the connection: {refusals[0]}",
                retryable=False,
            )
        if not is_delivered:
            raise DeliveryError("the MQTT broker did not acknowledge the alert in time")


def _create_client() -> Any:
    paho = importlib.import_module("paho.mqtt.client")
    return paho.Client(paho.CallbackAPIVersion.VERSION2)
