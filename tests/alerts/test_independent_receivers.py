"""Several receivers: a slow one does not delay the others, and order is kept."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

from maskdet.alerts.delivery import DeliveryQueue
from maskdet.alerts.monitor import AlertConfig, AlertMonitor
from maskdet.alerts.webhook import Webhook
from maskdet.events import Event
from tests.alerts.receivers import (
    run_mqtt_broker,
    run_silent_receiver,
    run_web_receiver,
)
from tests.helpers.waiting import WAIT_S, wait_until_empty

NOON = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


def alert(person: int) -> Event:
    return Event("alert", NOON, "Door", "run", person, rule="no_mask")


def test_an_unresponsive_webhook_does_not_delay_the_broker() -> None:
    with run_silent_receiver() as silent, run_mqtt_broker() as (port, packets):
        address = f"mqtt://127.0.0.1:{port}/doors"
        monitor = AlertMonitor(AlertConfig(webhook_url=silent, mqtt_url=address))
        monitor.send_test(alert(1))
        wait_until_empty(monitor._delivery_queues["mqtt"])
        now = monitor.delivery_statuses()
        assert (now["mqtt"].n_sent, now["webhook"].n_waiting) == (1, 1)
        assert len(packets) == 1
        monitor.configure(AlertConfig(), None)


def test_a_slow_receiver_of_one_user_does_not_delay_others() -> None:
    with run_silent_receiver() as silent, run_web_receiver() as quick:
        monitors = [
            AlertMonitor(AlertConfig(webhook_url=url)) for url in (silent, quick.url)
        ]
        for monitor in monitors:
            for person in range(3):
                monitor.send_test(alert(person))
        wait_until_empty(monitors[1]._delivery_queues["webhook"])
        assert [
            monitor.delivery_statuses()["webhook"].n_sent for monitor in monitors
        ] == [
            0,
            3,
        ]
        assert [json.loads(body)["person"] for _, _, body in quick.requests] == [
            0,
            1,
            2,
        ]
        for monitor in monitors:
            monitor.configure(AlertConfig(), None)


def test_a_retried_alert_keeps_its_order(fast_retries) -> None:
    with run_web_receiver((500, {}), (503, {})) as receiver:
        delivery_queue = DeliveryQueue(Webhook(receiver.url))
        delivery_queue.put([alert(1), alert(2), alert(3)])
        wait_until_empty(delivery_queue)
    people = [json.loads(body)["person"] for _, _, body in receiver.requests]
    assert people == [1, 1, 1, 2, 3]


def test_a_closed_delivery_queue_sends_no_more() -> None:
    sent: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(one: Event) -> None:
        begun.set()
        go_on.wait(WAIT_S)
        sent.append(one.person)

    before = set(threading.enumerate())
    delivery_queue = DeliveryQueue(slow)
    delivery_queue.put([alert(1), alert(2), alert(3)])
    assert begun.wait(WAIT_S)
    delivery_queue.close()
    go_on.set()
    delivery_queue.put([alert(4)])
    for thread in set(threading.enumerate()) - before:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert sent == [1], "what was on its way is sent to its end"
    assert delivery_queue.status().n_sent == 1
