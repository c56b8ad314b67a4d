"""Alerts: their settings, test alert, delivery status, list, and toasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from urllib.parse import urlsplit

import streamlit as st

from maskdet.alerts import delivery
from maskdet.alerts.delivery import DeliveryState, DeliveryStatus
from maskdet.alerts.monitor import (
    MAX_ALERTS,
    AlertConfig,
    AlertMonitor,
    AlertRecord,
    make_beep_wav,
)
from maskdet.alerts.mqtt import Broker, MqttPublisher
from maskdet.alerts.rules import RULE_KINDS, AlertRule
from maskdet.alerts.webhook import validate_webhook_url
from maskdet.events.event import Event, describe_event
from maskdet.extras import MissingExtraError
from maskdet.style import Style
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.events import service
from maskdet.web.events.form import EventForm
from maskdet.web.events.table import get_local_time, get_person, render_event_table
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count

_BEEP_KEY: Final = "maskdet.beep"
_TOAST_KEY: Final = "maskdet.toast"
_TOAST_DURATION_S: Final = 5.0  # Streamlit shows one for 4 s
_MAX_TOAST_AGE_S: Final = 10.0  # older alerts would look like current ones
_BEEP_DURATION_S: Final = 3.0  # older beeps are not replayed in a new run

_REFRESH_S: Final = 2.0
_MAX_VISIBLE_ALERTS: Final = 10

_RECEIVER_TITLES: Final = {"webhook": "Webhook", "mqtt": "MQTT"}

_STATE_TITLES: Final[Mapping[DeliveryState, str]] = {
    "waiting": "waiting",
    "sent": "delivered",
    "failed": "failed",
    "dropped": "dropped",
}

_RULE_HELP: Final = {
    "no_mask": "A person without a mask is detected.",
    "incorrect": "A person wears a mask, but nose, mouth or chin is uncovered.",
    "close": "Two people are closer than the minimum distance, and one of them wears "
    "no mask. Requires distance measurement.",
    "crowd": "More people than the limit are without a mask at the same time.",
}

_RULE_INPUTS: Final[Mapping[str, tuple[str, tuple[float, float, float], str]]] = {
    "for_s": (
        "For at least (s)",
        (0.0, 60.0, 0.5),
        "How long the label must last without interruption before an alert.",
    ),
    "min_confidence": (
        "Confidence at least (%)",
        (50, 100, 5),
        "Frames with a lower confidence do not count.",
    ),
    "cooldown": (
        "Cool-down (minutes)",
        (0, 240, 1),
        "A person triggers another alert only after a mask was seen in between and "
        "this time has passed.",
    ),
    "crowd": (
        "Crowd: more than (people)",
        (0, 100, 1),
        "An alert needs more people without a mask than this.",
    ),
}
"""Title, then minimum, maximum and step, then help."""


def render_alert_settings(form: EventForm, *, on_page: bool) -> AlertConfig:
    """Render the alert rules and receivers, and return them.

    Args:
        form: the settings.
        on_page: whether alerts can be shown on the page.
    """
    rules = _render_rules(form)
    st.markdown("**Notify**")
    if on_page:
        with st.container(horizontal=True):
            st.toggle(
                "On screen",
                key=form.key("toast"),
                help="Shows a message on the Live and Events pages.",
            )
            st.toggle("Sound", key=form.key("sound"))
    webhook, secret = _render_webhook(form)
    return AlertConfig(rules, webhook, secret, _render_mqtt(form))


def _render_rules(form: EventForm) -> tuple[AlertRule, ...]:
    with st.container(horizontal=True):
        kinds = [
            kind
            for kind, title in RULE_KINDS.items()
            if st.toggle(title, key=form.key(f"rule.{kind}"), help=_RULE_HELP[kind])
        ]
    with st.container(horizontal=True):
        for_s, min_confidence_percent, cooldown_min, crowd_limit = (
            _render_rule_input(form, name) for name in _RULE_INPUTS
        )
    min_confidence, cooldown_s = min_confidence_percent / 100, 60 * cooldown_min
    return tuple(
        AlertRule(kind, for_s, min_confidence, cooldown_s, int(crowd_limit))
        for kind in kinds
    )


def _render_rule_input(form: EventForm, name: str) -> float:
    """Render a number input of `_RULE_INPUTS`."""
    title, (low, high, step), help_ = _RULE_INPUTS[name]
    return st.number_input(
        title, low, high, step=step, key=form.key(name), width=210, help=help_
    )


def _render_webhook(form: EventForm) -> tuple[str, str]:
    """Render webhook URL and secret; return empty strings if the URL is invalid."""
    url_column, secret_column = st.columns(2)
    url = url_column.text_input(
        "Send to a webhook",
        key=form.key("webhook"),
        placeholder="https://example.org/alerts",
        help="Receives each alert as JSON in a POST request. Failed deliveries are "
        "retried with exponential backoff for some minutes.",
    )
    secret = secret_column.text_input(
        "Signing secret",
        key=form.key("secret"),
        type="password",
        help="Known to you and the receiver. `X-Maskdet-Signature` is `sha256=` and "
        "the HMAC-SHA256 of `X-Maskdet-Timestamp`, a dot and the body.",
    )
    url = _accept_url(url, lambda url: urlsplit(validate_webhook_url(url)).hostname)
    return url, secret if url else ""


def _render_mqtt(form: EventForm) -> str:
    """Render the broker URL; return an empty string if it is invalid."""
    url = st.text_input(
        "Send to an MQTT broker",
        key=form.key("mqtt"),
        type="password",
        placeholder="mqtts://user:password@host/topic",
        help="The same JSON, delivered at least once. `mqtts` is encrypted.",
    )
    return _accept_url(url, _parse_broker_host)


def _parse_broker_host(url: str) -> str:
    MqttPublisher(url)  # its library may be missing
    return Broker.from_url(url).host


def _accept_url(url: str, parse_host: Callable[[str], str | None]) -> str:
    """Return the URL of a receiver; if it is invalid, warn and return an empty text.

    Args:
        url: the URL; empty if there is no receiver.
        parse_host: returns the host of a valid URL.
    """
    if not url:
        return ""
    try:
        reason = delivery.describe_host_rejection(
            parse_host(url) or "", is_local=service.is_admin()
        )
    except (ValueError, MissingExtraError) as error:
        reason = str(error)
    if reason:
        st.warning(escape_markdown(f"Not used: {reason}."), icon=":material/link_off:")
    return "" if reason else url.strip()


def render_test_alert(form: EventForm) -> None:
    """Render the button of a test alert, and the delivery status of all alerts."""
    st.button(
        "Send a test alert",
        icon=":material/notifications_active:",
        on_click=_send_test_alert,
        args=(form.recorder.monitor,),
        key=form.key("test_alert"),
    )
    _render_delivery_status(form.recorder.monitor)


def _send_test_alert(monitor: AlertMonitor) -> None:
    alert = Event(
        "alert",
        datetime.now(UTC),
        "This is a test",
        "test",
        1,
        Label.NO_MASK,
        1.0,
        rule="no_mask",
    )
    monitor.send_test(alert)


@st.fragment(run_every=_REFRESH_S)
def _render_delivery_status(monitor: AlertMonitor) -> None:
    for name, status in monitor.delivery_statuses().items():
        st.caption(f"{_RECEIVER_TITLES[name]}: {_format_delivery_status(status)}")


def _format_delivery_status(status: DeliveryStatus) -> str:
    parts = [f"{status.n_sent} sent", f"{status.n_waiting} waiting"]
    if status.n_failed:
        parts.append(f"{status.n_failed} failed")
    if status.n_dropped:
        parts.append(f"{status.n_dropped} dropped (queue full)")
    line = ", ".join(parts)
    return (
        f"{line}. Last error: {escape_markdown(status.problem)}"
        if status.problem
        else line
    )


@st.fragment(run_every=_REFRESH_S)
def render_alert_list() -> None:
    """Render the last alerts as a table with filters, updated every 2 s."""
    records = service.list_alerts()
    if not records:
        st.info(
            "**No alerts yet.** Switch on a rule under “Alert rules” above, then open "
            "the Live page and press Start.",
            icon=":material/notifications:",
        )
        return
    with st.container(horizontal=True):
        rules = st.multiselect(
            "Rules",
            list(RULE_KINDS),
            format_func=RULE_KINDS.__getitem__,
            placeholder="All",
            key="events.alert_rules",
            persist_state="session",
            width=320,
        )
        cameras = st.multiselect(
            "Cameras of the alerts",
            sorted({record.alert.camera for record in records}),
            placeholder="All",
            key="events.alert_cameras",
            persist_state="session",
            width=320,
        )
    listed = [
        record
        for record in records
        if (not rules or record.alert.rule in rules)
        and (not cameras or record.alert.camera in cameras)
    ]
    if not listed:
        st.info("No matching alerts. Choose fewer filters.")
        return
    style = session.get_preferences().style
    render_event_table(
        alert_table(listed, service.get_time_zone(), style),
        title="Table of the last alerts, newest first",
        height="content" if len(listed) <= _MAX_VISIBLE_ALERTS else 400,
    )
    st.caption(
        f"{format_count(len(listed), 'alert')}, kept in memory only, at most "
        f"{MAX_ALERTS}. Alerts are also in the event log while recording is on."
    )


def alert_table(
    records: Iterable[AlertRecord], zone: tzinfo, style: Style
) -> list[dict[str, Any]]:
    """Return the rows of the list of alerts, with times in the visitor's time zone."""
    return [
        {
            "Time": get_local_time(record.alert, zone),
            "Rule": RULE_KINDS.get(record.alert.rule, record.alert.rule),
            "Camera": record.alert.camera,
            "Person": get_person(record.alert),
            "Description": describe_event(replace(record.alert, camera=""), style),
            "Delivery": format_deliveries(record.deliveries),
        }
        for record in records
    ]


def format_deliveries(deliveries: Mapping[str, DeliveryState]) -> str:
    """Format the state of each delivery; an empty text without a receiver."""
    return ", ".join(
        f"{_RECEIVER_TITLES[name]} {_STATE_TITLES[state]}"
        for name, state in deliveries.items()
    )


def render_new_alerts() -> None:
    """Show alerts since the last toast as one toast, and play a sound.

    Alerts older than `_MAX_TOAST_AGE_S` are ignored, as no page was open.

    It always takes one place on the page, so that the elements below are not rebuilt.
    """
    preferences = service.get_event_preferences()
    inbox = service.get_alert_monitor().inbox
    sound_area = st.container(key="alert-sound")
    shown_s = time.time() - st.session_state.get(_TOAST_KEY, 0.0)
    # A toast is never put on another one: the next shows all that came meanwhile.
    waits = preferences.toast and shown_s < _TOAST_DURATION_S
    alerts = () if waits else inbox.pop_all(_MAX_TOAST_AGE_S)
    if alerts and preferences.toast:
        try:
            st.toast(_format_toast(alerts), icon=":material/notifications:")
        except BaseException:  # a newer run stopped this one
            inbox.put(alerts)
            raise
        st.session_state[_TOAST_KEY] = time.time()
    if alerts and preferences.sound:
        st.session_state[_BEEP_KEY] = time.time()
    # Keep the player in the next runs, or the end of the sound would be cut off.
    beep_started_s = st.session_state.get(_BEEP_KEY, 0.0)
    with sound_area:
        sound = st.empty()
        if preferences.sound and time.time() - beep_started_s < _BEEP_DURATION_S:
            sound.audio(make_beep_wav(int(beep_started_s * 10)), autoplay=True)
        # Hide the controls of the player.
        st.html("<style>.st-key-alert-sound {height: 0; overflow: hidden;}</style>")


def watch_new_alerts() -> Callable[[], bool]:
    """Return a function that tells whether `render_new_alerts` has something to show.

    It may be called in any thread, until the next run of the page.
    """
    preferences = service.get_event_preferences()
    inbox = service.get_alert_monitor().inbox
    if not (preferences.toast or preferences.sound):
        return lambda: False
    free_s = _TOAST_DURATION_S + st.session_state.get(_TOAST_KEY, 0.0)
    first_s = free_s if preferences.toast else 0.0
    return lambda: len(inbox) > 0 and time.time() >= first_s


def _format_toast(alerts: Sequence[Event]) -> str:
    """Return the newest alert, and the number of the others."""
    text = escape_markdown(describe_event(alerts[-1]))
    n_more = len(alerts) - 1
    return f"{text} … and {n_more} more" if n_more else text
