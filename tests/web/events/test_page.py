"""The Events page, run without a browser, with a database of its own."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import RerunData, RerunException

from maskdet.alerts import AlertRule
from maskdet.alerts.rules import RULE_KINDS
from maskdet.events import Event
from maskdet.events.config import sqlite_url
from maskdet.events.database import EventFilter
from maskdet.events.store import EventStore
from maskdet.types import Label
from maskdet.web.events import alerts, service
from maskdet.web.events.recorders import Recorder
from maskdet.wording import PERCENT
from tests.alerts.receivers import run_web_receiver
from tests.events.scenes import ObservedStream, make_tracked_scene
from tests.helpers.app import run_app
from tests.helpers.events_page import (
    enter_text,
    event_rows,
    get_recorder,
    open_events_page,
    page_texts,
    prepare_database,
    set_toggle,
    store_three_people,
)
from tests.helpers.waiting import wait_until, wait_until_empty

MASK, NO_MASK = Label.MASK, Label.NO_MASK


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The event database of the test."""
    return prepare_database(tmp_path / "data" / "events.sqlite3", monkeypatch)


@pytest.fixture
def store(file: Path) -> EventStore:
    """A database with three people, one of them two days ago."""
    return store_three_people(file)


def test_nothing_is_stored_by_default(file) -> None:
    app = open_events_page()
    assert app.title[0].value == "Events"
    assert not app.main.toggle(key="events.record").value
    assert "No events yet" in page_texts(app, "info")
    caption = page_texts(app, "caption")
    assert "Images are never stored" in caption
    assert str(file) in caption
    assert "after **30 days**" in caption
    assert not file.parent.exists()
    assert get_recorder(app).monitor.writer is None


def test_the_switch_records_the_events_of_a_stream(file) -> None:
    app = set_toggle(open_events_page(), "events.record")
    enter_text(app, "events.camera", "Front door")
    from maskdet.events import StreamInfo

    monitor = get_recorder(app).monitor
    observed = ObservedStream(
        monitor.monitor_stream(StreamInfo.now(get_recorder(app).preferences.camera))
    )
    for number in range(20):
        observed.update(make_tracked_scene(number / 10, [(4, NO_MASK, 0.95)]))
    observed.end()
    wait_until_empty(monitor.writer)
    run_app(app)
    assert event_rows(app)[-1] == "Person 4 entered"
    assert "Person 4: No mask" in event_rows(app)
    stored = EventStore(sqlite_url(file)).read(EventFilter())
    assert {event.camera for event in stored} == {"Front door"}
    set_toggle(app, "events.record", False)
    observed.update(make_tracked_scene(3.0, [(5, MASK, 0.95)]))
    assert monitor.writer is None


def test_events_of_the_last_day_are_shown(store) -> None:
    app = open_events_page()
    assert event_rows(app) == [
        "Person 3: No mask (Door)",
        "Person 3: No mask",
        "Person 2 left after 360 s, Mask",
        "Person 2: Mask",
    ]
    tiles = page_texts(app, "html")
    assert "<dt>People</dt><dd>2</dd>" in tiles
    assert f"<dt>Mask rate</dt><dd>50{PERCENT}</dd>" in tiles
    assert "<dt>Alerts</dt><dd>1</dd>" in tiles
    assert len(app.main.get("vega_lite_chart")) == 1


def test_the_filter_of_cameras_is_kept_while_the_camera_has_events(store) -> None:
    app = open_events_page()
    app.main.button_group(key="events.period").set_value("all")
    app.main.multiselect(key="events.cameras").set_value(["Hall"])
    assert event_rows(run_app(app)) == ["Person 1: No mask"]
    run_app(app.switch_page("pages/about.py"))
    run_app(app.switch_page("pages/events.py"))
    assert event_rows(app) == ["Person 1: No mask"]
    store.delete(datetime.now(UTC) - timedelta(days=1))
    assert app.main.multiselect(key="events.cameras").value == ["Hall"]
    assert len(event_rows(run_app(app))) == 4


def test_filters_select_time_kind_label_and_camera(store) -> None:
    app = open_events_page()
    app.main.button_group(key="events.period").set_value("all")
    run_app(app)
    assert len(event_rows(app)) == 5
    app.main.multiselect(key="events.cameras").set_value(["Hall"])
    run_app(app)
    assert event_rows(app) == ["Person 1: No mask"]
    app.main.multiselect(key="events.cameras").set_value([])
    app.main.multiselect(key="events.kinds").set_value(["left", "alert"])
    assert len(event_rows(run_app(app))) == 2
    app.main.multiselect(key="events.labels").set_value(["incorrect"])
    run_app(app)
    assert "No matching events" in page_texts(app, "info")
    assert not app.main.dataframe


def test_rules_become_the_alert_configuration_of_streams() -> None:
    app = open_events_page()
    assert get_recorder(app).preferences.alert_config.rules == ()
    set_toggle(app, "events.rule.no_mask")
    set_toggle(app, "events.rule.crowd")
    app.main.number_input(key="events.for_s").set_value(2.0)
    app.main.number_input(key="events.cooldown").set_value(10)
    app.main.number_input(key="events.crowd").set_value(7)
    run_app(app)
    values = {"for_s": 2.0, "min_confidence": 0.8, "cooldown_s": 600.0, "more_than": 7}
    rules = tuple(AlertRule(kind, **values) for kind in ("no_mask", "crowd"))
    assert get_recorder(app).monitor.config.rules == rules
    app.switch_page("pages/about.py")
    run_app(app)
    assert get_recorder(app).preferences.alert_config.rules == rules, (
        "other pages keep the rules"
    )
    app.switch_page("pages/events.py")
    assert run_app(app).main.toggle(key="events.rule.crowd").value
    assert get_recorder(app).preferences.alert_config.rules == rules


def test_a_test_alert_is_shown_played_and_sent(monkeypatch) -> None:
    monkeypatch.setenv("MASKDET_ALERT_HOSTS", "127.0.0.1")
    with run_web_receiver() as receiver:
        app = set_toggle(open_events_page(), "events.sound")
        enter_text(app, "events.webhook", receiver.url)
        enter_text(app, "events.secret", "geheim")
        app.main.button(key="events.test_alert").click()
        run_app(app)
        assert "Person 1: No mask" in app.toast[0].value.replace("\\", "")
        assert app.main.get("audio")
        wait_until(lambda: receiver.requests, "the alert")
        _path, headers, body = receiver.requests[0]
        assert headers["X-Maskdet-Signature"].startswith("sha256=")
        assert json.loads(body)["camera"] == "This is a test"
    assert not run_app(app).toast


def test_an_alert_of_an_aborted_run_is_shown_by_the_next(monkeypatch) -> None:
    monkeypatch.setattr(alerts, "_MAX_TOAST_AGE_S", math.inf)
    app, interruptions = open_events_page(), [RerunException(RerunData())]
    alert = Event("alert", datetime.now(UTC), "Door", "run", 1, NO_MASK)
    get_recorder(app).monitor.inbox.put([alert])
    shown = st.toast

    def toast(*words: str, **options: str) -> None:
        if interruptions:
            raise interruptions.pop()
        shown(*words, **options)

    monkeypatch.setattr(st, "toast", toast)
    assert run_app(app).toast
    assert interruptions == []


def test_toasts_are_never_on_top_of_each_other(monkeypatch) -> None:
    now_s = [1000.0]
    clock = SimpleNamespace(time=lambda: now_s[0])
    monkeypatch.setattr(alerts, "time", clock)
    monkeypatch.setattr(alerts, "_MAX_TOAST_AGE_S", math.inf)
    app = open_events_page()
    inbox = get_recorder(app).monitor.inbox

    def put(*people: int) -> None:
        now = datetime.now(UTC)
        inbox.put(Event("alert", now, "", "run", person, NO_MASK) for person in people)

    put(1, 2, 3)
    (toast,) = run_app(app).toast
    assert toast.value.replace("\\", "") == "Person 3: No mask … and 2 more"
    put(4)
    now_s[0] += 3
    assert not run_app(app).toast, "the first one is still visible"
    put(5)
    now_s[0] += 3
    (toast,) = run_app(app).toast
    assert toast.value.replace("\\", "") == "Person 5: No mask … and 1 more"


def test_the_alerts_are_listed_with_rule_camera_person_and_delivery(
    monkeypatch,
) -> None:
    monkeypatch.setenv("MASKDET_ALERT_HOSTS", "127.0.0.1")
    app = open_events_page()
    assert "No alerts yet" in page_texts(app, "info")
    with run_web_receiver() as receiver:
        enter_text(app, "events.webhook", receiver.url)
        monitor = get_recorder(app).monitor
        now = datetime.now(UTC)
        published = (
            Event("alert", now, "Door", "run", 4, NO_MASK, rule="no_mask"),
            Event("alert", now + timedelta(seconds=1), "Hall", "run", rule="crowd"),
        )
        for alert in published:
            monitor.publish((), (alert,))
        wait_until(lambda: monitor.delivery_statuses()["webhook"].n_sent == 2, "both")
    rows = run_app(app).main.dataframe[0].value
    assert rows["Rule"].tolist() == [RULE_KINDS["crowd"], RULE_KINDS["no_mask"]]
    assert rows["Camera"].tolist() == ["Hall", "Door"]
    assert rows["Person"].dropna().tolist() == [4]
    assert rows["Delivery"].tolist() == ["Webhook delivered"] * 2
    app.main.multiselect(key="events.alert_rules").set_value(["no_mask"])
    assert run_app(app).main.dataframe[0].value["Camera"].tolist() == ["Door"]
    app.main.multiselect(key="events.alert_cameras").set_value(["Hall"])
    assert "No matching alerts" in page_texts(run_app(app), "info")


def test_another_session_of_the_tab_shows_the_same_settings() -> None:
    first = set_toggle(open_events_page(), "events.record")
    enter_text(first, "events.camera", "Door")
    set_toggle(first, "events.rule.close")
    second = open_events_page()
    assert not second.main.toggle(key="events.record").value, "another visitor"
    second.session_state["maskdet.recorder"] = get_recorder(first)
    del second.session_state["maskdet.form.events"]
    run_app(second)
    assert second.main.toggle(key="events.record").value
    assert second.main.toggle(key="events.rule.close").value
    assert second.main.text_input(key="events.camera").value == "Door"
    set_toggle(second, "events.rule.close", False)
    assert not run_app(first).main.toggle(key="events.rule.close").value
    assert get_recorder(first).preferences.alert_config.rules == ()


def test_every_page_says_that_events_are_recorded() -> None:
    app = enter_text(open_events_page(), "events.camera", "Front *door*")
    assert not app.main.get("page_link")
    set_toggle(app, "events.record")
    for page in ("events", "about", "models"):
        app.switch_page(f"pages/{page}.py")
        (link,) = run_app(app).main.get("page_link")
        assert link.proto.label == "REC Front \\*door\\*"
    app.switch_page("pages/events.py")
    run_app(app)
    assert not set_toggle(app, "events.record", False).main.get("page_link")


def test_only_a_local_admin_sets_the_network_cameras(monkeypatch) -> None:
    monkeypatch.setattr(service, "_camera_recorder", Recorder())
    is_local = "maskdet.web.events.service.is_admin"
    monkeypatch.setattr(is_local, lambda: False)
    assert "events.recorder" not in [
        group.key for group in open_events_page().main.button_group
    ]
    monkeypatch.setattr(is_local, lambda: True)
    app = open_events_page()
    app.main.button_group(key="events.recorder").set_value("server")
    run_app(app)
    set_toggle(app, "cameras.record")
    set_toggle(app, "cameras.rule.no_mask")
    (link,) = app.main.get("page_link")
    assert link.proto.label == "REC network cameras"
    assert not get_recorder(app).preferences.record, "the visitor's own camera"
    stream = ObservedStream(service.create_camera_monitor("Gate", 0.0))
    for number in range(60):
        stream.update(make_tracked_scene(number / 10, [(1, NO_MASK, 0.95)]))
    alert = service.get_last_camera_alert("Gate")
    assert alert is not None
    assert (alert.camera, alert.rule) == ("Gate", "no_mask")
    (link,) = run_app(app).main.get("page_link")
    assert link.proto.label == "REC Gate"
    assert "Gate" in app.main.dataframe[0].value["Camera"].tolist()
    monkeypatch.setattr(is_local, lambda: False)
    assert not run_app(app).main.get("page_link")
    assert "Gate" not in page_texts(app)
    set_toggle(app, "events.record")
    assert service._camera_recorder.preferences.record, "not changed by a visitor"


def test_an_old_alert_is_not_shown(monkeypatch) -> None:
    app = open_events_page()
    inbox = get_recorder(app).monitor.inbox
    alert = Event("alert", datetime.now(UTC), "Door", "run", 1, NO_MASK)
    inbox.put([alert])
    now_s = monotonic() + 20
    monkeypatch.setattr("maskdet.alerts.monitor.monotonic", lambda: now_s)
    assert not run_app(app).toast
    inbox.put([alert])
    assert run_app(app).toast


@pytest.mark.parametrize(
    ("key", "address", "line"),
    [
        ("events.webhook", "ftp://who:geheim@x", "invalid webhook URL"),
        ("events.mqtt", "http://who:geheim@x", "invalid MQTT URL"),
    ],
)
def test_an_invalid_receiver_is_reported_in_one_line_and_not_used(
    key, address, line
) -> None:
    app = enter_text(open_events_page(), key, address)
    assert line in page_texts(app, "warning")
    assert "geheim" not in page_texts(app)
    config = get_recorder(app).preferences.alert_config
    assert (config.webhook_url, config.mqtt_url) == ("", "")


def test_remote_visitors_can_only_send_to_listed_hosts(
    monkeypatch,
) -> None:
    monkeypatch.setattr("maskdet.web.events.service.is_admin", lambda: False)
    app = enter_text(open_events_page(), "events.webhook", "https://inside.example/x")
    assert "MASKDET_ALERT_HOSTS" in page_texts(app, "warning")
    assert get_recorder(app).preferences.alert_config.webhook_url == ""
    monkeypatch.setenv("MASKDET_ALERT_HOSTS", "other.example, Inside.example")
    run_app(app)
    assert (
        get_recorder(app).preferences.alert_config.webhook_url
        == "https://inside.example/x"
    )


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("MASKDET_EVENTS_URL", "what:geheim", "is not an SQLAlchemy URL"),
        ("MASKDET_EVENTS_URL", "off", "Recording is disabled"),
        ("MASKDET_EVENTS_DAYS", "never", "must be a whole number from 1 to 3650"),
    ],
)
def test_without_a_database_the_page_gives_the_reason_and_alerts_work(
    monkeypatch, variable, value, line
) -> None:
    monkeypatch.setenv(variable, value)
    app = open_events_page()
    assert line in page_texts(app, "error", "info")
    assert "geheim" not in page_texts(app)
    assert app.main.toggle(key="events.record").disabled
    set_toggle(app, "events.rule.no_mask")
    assert get_recorder(app).preferences.alert_config.rules


def test_a_broken_database_is_reported_in_one_line(file) -> None:
    file.parent.mkdir()
    file.write_text("this is not a database, despite its name " * 30)
    app = open_events_page()
    assert "is not a database" in page_texts(app, "error")
    assert len(app.main.error) == 1
    assert app.main.toggle(key="events.rule.no_mask")
