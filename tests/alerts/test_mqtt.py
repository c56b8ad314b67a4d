"""Alerts to an MQTT broker: with a fake client, and with paho and a local socket."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import pytest

from maskdet.alerts import mqtt
from maskdet.alerts.delivery import DeliveryError
from maskdet.alerts.mqtt import Broker, MqttPublisher
from maskdet.events import Event
from maskdet.extras import MissingExtraError
from maskdet.types import Label
from tests.alerts.receivers import run_mqtt_broker
from tests.helpers.waiting import WAIT_S

NOON = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
ALERT = Event("alert", NOON, "Tür", "run", 3, Label.NO_MASK, 0.93, rule="no_mask")


class FakeClient:
    """Fake of paho's client that records the calls."""

    def __init__(self, *, arrives: bool = True) -> None:
        self.calls: list[tuple] = []
        self._arrives = arrives

    def __getattr__(self, name: str):
        def called(*args, **more):
            self.calls.append((name, *args, *more.values()))
            return self

        return called

    def is_published(self) -> bool:
        return self._arrives


@pytest.fixture(autouse=True)
def waits_as_long_as_needed(monkeypatch) -> None:
    monkeypatch.setattr(mqtt, "TIMEOUT_S", WAIT_S)


def use_client(monkeypatch, client: FakeClient) -> None:
    monkeypatch.setattr(mqtt, "_create_client", lambda: client)
    monkeypatch.setattr(mqtt, "require_libraries", lambda *_: None)


def test_mqtt_with_tls_and_password(monkeypatch) -> None:
    client = FakeClient()
    use_client(monkeypatch, client)
    MqttPublisher("mqtts://who:ge%40heim@broker/a/b")(ALERT)
    assert ("username_pw_set", "who", "ge@heim") in client.calls
    assert ("tls_set",) in client.calls
    assert ("connect", "broker", 8883, 30) in client.calls
    assert ("publish", "a/b", ALERT.to_json(), 1) in client.calls
    assert client.calls[-2:] == [("disconnect",), ("loop_stop",)]


def test_an_unacknowledged_publish_is_an_error_and_disconnects(monkeypatch) -> None:
    client = FakeClient(arrives=False)
    use_client(monkeypatch, client)
    monkeypatch.setattr(mqtt, "TIMEOUT_S", 0.01)
    with pytest.raises(DeliveryError, match="did not acknowledge"):
        MqttPublisher("mqtt://broker")(ALERT)
    assert ("loop_stop",) in client.calls


def test_a_broker_gets_the_alert_through_paho() -> None:
    pytest.importorskip("paho.mqtt.client", reason="the optional extra mqtt")
    with run_mqtt_broker() as (port, packets):
        MqttPublisher(f"mqtt://127.0.0.1:{port}/door/alerts")(ALERT)
    assert len(packets) == 1
    assert packets[0][2:13] == b"door/alerts"
    assert packets[0][15:] == ALERT.to_json().encode()


def test_a_broker_that_refuses_or_is_not_there_is_one_line() -> None:
    pytest.importorskip("paho.mqtt.client", reason="the optional extra mqtt")
    with (
        run_mqtt_broker(accept=False) as (port, _),
        pytest.raises(DeliveryError) as raised,
    ):
        MqttPublisher(f"mqtt://who:geheim@127.0.0.1:{port}")(ALERT)
    assert str(raised.value).startswith(
        "the MQTT broker refused the connection: Not auth"
    )
    assert not raised.value.retryable
    with pytest.raises(
        DeliveryError, match="reach the MQTT broker: Connection refused"
    ):
        MqttPublisher("mqtt://127.0.0.1:1")(ALERT)


def test_without_paho_one_line_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maskdet\[mqtt\]'"):
        MqttPublisher("mqtt://broker")


def test_an_mqtt_url_is_parsed() -> None:
    assert Broker.from_url("mqtt://h") == Broker("h", 1883, "maskdet/alerts")
    assert Broker.from_url("mqtts://u:p@h:99/a/b/") == Broker(
        "h", 99, "a/b", True, "u", "p"
    )
    assert "p4ss" not in repr(Broker.from_url("mqtt://u:p4ss@h"))
    for url in ("", "http://h", "mqtt://", "mqtt://h:x", "mqtt://h/a/#", "mqtt://h/+"):
        with pytest.raises(ValueError, match="MQTT"):
            Broker.from_url(url)
