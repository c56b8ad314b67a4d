"""Delivery of alerts: retries, and webhooks to a local server."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from maskdet.alerts.delivery import (
    MAX_ATTEMPTS,
    DeliveryError,
    DeliveryQueue,
    compute_delay_s,
    describe_host_rejection,
)
from maskdet.alerts.webhook import (
    SIGNATURE_HEADER,
    TIME_HEADER,
    Webhook,
    compute_signature,
    validate_webhook_url,
)
from maskdet.events import Event
from maskdet.types import Label
from tests.alerts.receivers import run_silent_receiver, run_web_receiver
from tests.helpers.waiting import WAIT_S, wait_until, wait_until_empty

NOON = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
ALERT = Event("alert", NOON, "Tür", "run", 3, Label.NO_MASK, 0.93, rule="no_mask")


def test_a_webhook_gets_signed_json(monkeypatch) -> None:
    monkeypatch.setattr("maskdet.alerts.webhook.time", lambda: 1234.9)
    with run_web_receiver() as receiver:
        Webhook(f"{receiver.url}/hook?a=1", "geheim")(ALERT)
    (path, headers, body) = receiver.requests[0]
    assert path == "/hook?a=1"
    assert headers[TIME_HEADER] == "1234"
    assert headers[SIGNATURE_HEADER] == compute_signature("geheim", "1234", body)
    assert headers["Content-Type"].startswith("application/json")
    wanted = {"version": 2, "kind": "alert", "camera": "Tür", "label": "no_mask"}
    assert wanted.items() <= json.loads(body).items()
    assert json.loads(body)["at"] == "2025-03-01T12:00:00.000Z"


def test_a_signature_is_hmac_sha256_of_time_point_body() -> None:
    # Computed with: printf '1234.{}' | openssl dgst -sha256 -hmac key
    assert compute_signature("key", "1234", b"{}") == "sha256=" + OPENSSL


OPENSSL = "1aec968b9f0e9a246b35506d8aaeb8347e8d3a3dd6bf37271adab4d862fbb4fb"


def test_without_a_secret_nothing_is_signed() -> None:
    with run_web_receiver() as receiver:
        Webhook(receiver.url)(ALERT)
    assert SIGNATURE_HEADER not in receiver.requests[0][1]


@pytest.mark.parametrize(
    ("code", "again"),
    [(500, True), (503, True), (429, True), (404, False), (401, False)],
)
def test_a_status_code_defines_whether_to_retry(code, again) -> None:
    headers = {"Retry-After": "7"}
    with (
        run_web_receiver((code, headers)) as receiver,
        pytest.raises(DeliveryError) as raised,
    ):
        Webhook(receiver.url)(ALERT)
    assert str(raised.value).startswith(f"the webhook returned status {code}")
    assert (raised.value.retryable, raised.value.retry_after_s) == (again, 7.0)


def test_a_redirect_is_followed_on_the_same_host_only() -> None:
    with run_web_receiver((308, {"Location": "/there"})) as receiver:
        Webhook(receiver.url + "/here")(ALERT)
        assert [path for path, _, _ in receiver.requests] == ["/here", "/there"]
        assert receiver.requests[0][2] == receiver.requests[1][2]
    with run_web_receiver() as other:
        moved = (307, {"Location": other.url})
        with (
            run_web_receiver(moved) as receiver,
            pytest.raises(DeliveryError, match="host"),
        ):
            Webhook(receiver.url)(ALERT)
        assert other.requests == []


@pytest.mark.parametrize("code", [301, 302, 303])
def test_a_redirect_without_the_body_is_an_error(code) -> None:
    with run_web_receiver((code, {"Location": "/x"})) as receiver:
        with pytest.raises(DeliveryError, match=str(code)) as raised:
            Webhook(receiver.url)(ALERT)
        assert len(receiver.requests) == 1
    assert not raised.value.retryable


def test_a_redirect_loop_is_an_error() -> None:
    circle = [(307, {"Location": "/again"})] * 9
    with (
        run_web_receiver(*circle) as receiver,
        pytest.raises(DeliveryError, match="redirects more than 3 times"),
    ):
        Webhook(receiver.url)(ALERT)
    assert len(receiver.requests) == 4


def test_an_unresponsive_receiver_times_out(monkeypatch) -> None:
    monkeypatch.setattr("maskdet.alerts.webhook.TIMEOUT_S", 0.1)
    with run_silent_receiver() as url, pytest.raises(DeliveryError, match="in time"):
        Webhook(url)(ALERT)
    with pytest.raises(
        DeliveryError, match="reach the webhook: Connection refused"
    ) as raised:
        Webhook("http://127.0.0.1:1/geheim")(ALERT)
    assert "geheim" not in str(raised.value)


def test_the_proxy_of_the_environment_is_used_but_no_stored_password(
    monkeypatch, tmp_path
) -> None:
    (tmp_path / "netrc").write_text("default login who password geheim\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with run_web_receiver() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        Webhook("http://alerts.invalid/hook")(ALERT)
    ((path, headers, _),) = proxy.requests
    assert path == "http://alerts.invalid/hook"
    assert not {"Authorization", "Proxy-Authorization", "Cookie"} & set(headers)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "http://",
        "http://a b",
        "https://who:geheim@example.org",
        "http://x:99999999",
        "http://[",
        "http://a\nb",
    ],
)
def test_an_invalid_url_is_rejected_without_repeating_it(url) -> None:
    with pytest.raises(ValueError, match="webhook") as raised:
        validate_webhook_url(url)
    assert "geheim" not in str(raised.value)


def test_a_delivery_is_retried_until_it_succeeds(fast_retries) -> None:
    with run_web_receiver((500, {}), (503, {})) as receiver:
        delivery_queue = DeliveryQueue(Webhook(receiver.url))
        delivery_queue.put([ALERT])
        wait_until_empty(delivery_queue)
    assert len(receiver.requests) == 3
    status = delivery_queue.status()
    assert (status.n_sent, status.n_failed, status.problem) == (1, 0, "")


def test_a_delivery_fails_after_the_last_retry_with_a_reason(fast_retries) -> None:
    with run_web_receiver(*[(500, {})] * 9) as receiver:
        delivery_queue = DeliveryQueue(Webhook(receiver.url))
        delivery_queue.put([ALERT, ALERT])
        wait_until_empty(delivery_queue)
    assert len(receiver.requests) == 6
    status = delivery_queue.status()
    assert (status.n_sent, status.n_failed) == (0, 2)
    assert status.problem.startswith("the webhook returned status 500")


def test_a_permanent_failure_is_not_retried(fast_retries) -> None:
    with run_web_receiver((404, {})) as receiver:
        delivery_queue = DeliveryQueue(Webhook(receiver.url))
        delivery_queue.put([ALERT])
        wait_until_empty(delivery_queue)
    assert len(receiver.requests) == 1
    assert delivery_queue.status().n_failed == 1


def test_a_slow_receiver_does_not_block_and_drops_are_counted(monkeypatch) -> None:
    monkeypatch.setattr("maskdet.alerts.delivery.CAPACITY", 5)
    go_on, sent = threading.Event(), []

    def slow(alert: Event) -> None:
        go_on.wait(WAIT_S)
        sent.append(alert)

    delivery_queue = DeliveryQueue(slow)
    delivery_queue.put([ALERT] * 20)
    status = delivery_queue.status()
    assert status.n_dropped >= 14
    assert status.n_dropped + status.n_waiting == 20
    go_on.set()
    wait_until_empty(delivery_queue)
    assert len(sent) == status.n_waiting


def test_alerts_of_a_closed_queue_are_dropped() -> None:
    go_on, states = threading.Event(), []

    def fail(alert: Event) -> None:
        go_on.wait(WAIT_S)
        raise DeliveryError("not now")

    alerts = [replace(ALERT, person=number) for number in range(4)]
    delivery_queue = DeliveryQueue(
        fail, lambda alert, state: states.append((alert.person, state))
    )
    delivery_queue.put(alerts[:3])
    delivery_queue.close()
    delivery_queue.put(alerts[3:])
    go_on.set()
    expected = {(number, "dropped") for number in range(4)}
    wait_until(lambda: expected <= set(states), "all alerts to be dropped")
    assert {state for _, state in states} == {"waiting", "dropped"}


def test_an_idle_delivery_queue_has_no_thread() -> None:
    def n_threads() -> int:
        return sum(thread.name == "maskdet-outbox" for thread in threading.enumerate())

    before = n_threads()
    delivery_queue = DeliveryQueue(lambda alert: None)
    assert n_threads() == before
    for _ in range(3):
        delivery_queue.put([ALERT])
        wait_until_empty(delivery_queue)
    wait_until(lambda: n_threads() <= before, "the thread to end")
    assert delivery_queue.status().n_sent == 3


def test_a_bug_loses_only_one_alert() -> None:
    bugs = [KeyError("geheim")]

    def sometimes(alert: Event) -> None:
        if bugs:
            raise bugs.pop()

    delivery_queue = DeliveryQueue(sometimes)
    delivery_queue.put([ALERT])
    wait_until_empty(delivery_queue)
    assert delivery_queue.status().problem == "not delivered: KeyError"
    delivery_queue.put([ALERT])
    wait_until_empty(delivery_queue)
    assert (delivery_queue.status().n_sent, delivery_queue.status().n_failed) == (1, 1)


def test_retry_pauses_grow_with_jitter_up_to_a_limit() -> None:
    for n_tried, whole_s in ((1, 1), (2, 2), (3, 4), (7, 60), (50, 60)):
        pauses = [compute_delay_s(n_tried) for _ in range(50)]
        assert whole_s / 2 <= min(pauses) < max(pauses) <= whole_s
    assert compute_delay_s(1, retry_after_s=20) == 20
    assert compute_delay_s(1, retry_after_s=9999) == 60


def test_only_visitors_of_this_machine_may_name_any_host() -> None:
    listed = {"MASKDET_ALERT_HOSTS": "a.example, B.example"}
    assert describe_host_rejection("x.example", is_local=True, environment={}) == ""
    assert "MASKDET_ALERT_HOSTS" in describe_host_rejection(
        "x.example", is_local=False, environment={}
    )
    assert (
        describe_host_rejection("A.example", is_local=False, environment=listed) == ""
    )
    assert (
        describe_host_rejection("b.example", is_local=False, environment=listed) == ""
    )
    assert describe_host_rejection("", is_local=False, environment=listed) != ""
    assert (
        describe_host_rejection(
            "x", is_local=False, environment={"MASKDET_ALERT_HOSTS": "*"}
        )
        == ""
    )


def test_an_alert_is_retried_for_3_to_6_minutes(monkeypatch) -> None:
    for chance, longest_s in ((0.5, 180), (1.0, 360)):
        monkeypatch.setattr("random.uniform", lambda *_, chance=chance: chance)
        pauses_s = [compute_delay_s(n) for n in range(1, MAX_ATTEMPTS)]
        assert sum(pauses_s) == pytest.approx(longest_s, rel=0.05)
        assert max(pauses_s) <= 60
