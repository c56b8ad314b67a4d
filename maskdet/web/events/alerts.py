"""Alert settings, test alert and delivery status, and the toasts of new alerts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from maskdet.alerts import delivery
from maskdet.alerts.delivery import DeliveryStatus
from maskdet.alerts.monitor import AlertConfig, make_beep_wav
from maskdet.alerts.mqtt import Broker, MqttPublisher
from maskdet.alerts.rules import RULE_KINDS, AlertRule
from maskdet.alerts.webhook import validate_webhook_url
from maskdet.events.event import Event, describe_event
from maskdet.extras import MissingExtraError
from maskdet.types import Label
from maskdet.web.events import service
from maskdet.web.widgets import escape_markdown

_SESSION: Final = "session"
_BEEP_KEY: Final = "maskdet.beep"
_MAX_TOASTS: Final = 3
_MAX_TOAST_AGE_S: Final = 10.0  # older alerts would look like current ones
_BEEP_DURATION_S: Final = 3.0  # older beeps are not replayed in a new run

_RULE_HELP: Final = {
    "no_mask": "A person without a mask is detected.",
    "incorrect": "A person wears a mask, but nose, mouth or chin is uncovered.",
    "close": "Two people are closer than the minimum distance, and one of them wears "
    "no mask. Requires distance measurement.",
    "crowd": "More people than the limit are without a mask at the same time.",
}

_RULE_INPUTS: Final[
    Mapping[str, tuple[str, tuple[float, float, float, float], str]]
] = {
    "for_s": (
        "For at least (s)",
        (0.0, 60.0, 3.0, 0.5),
        "How long the label must last without interruption before an alert.",
    ),
    "min_confidence": (
        "Confidence at least (%)",
        (50, 100, 80, 5),
        "Frames with a lower confidence do not count.",
    ),
    "cooldown": (
        "Cool-down (minutes)",
        (0, 240, 5, 1),
        "A person triggers another alert only after a mask was seen in between and "
        "this time has passed.",
    ),
    "crowd": (
        "Crowd: more than (people)",
        (0, 100, 3, 1),
        "An alert needs more people without a mask than this.",
    ),
}
"""Title, then minimum, maximum, default and step, then help."""


def render_alert_settings() -> tuple[AlertConfig, bool, bool]:
    """Render the alert settings; return them, and whether to toast and to beep."""
    rules = _render_rules()
    st.markdown("**Notify**")
    with st.container(horizontal=True):
        toast = st.toggle(
            "On screen",
            value=True,
            key="events.toast",
            persist_state=_SESSION,
            help="Shows a message on the Live and Events pages.",
        )
        sound = st.toggle("Sound", key="events.sound", persist_state=_SESSION)
    webhook, secret = _render_webhook()
    alert_config = AlertConfig(rules, webhook, secret, _render_mqtt())
    return alert_config, toast, sound


def _render_rules() -> tuple[AlertRule, ...]:
    with st.container(horizontal=True):
        kinds = [
            kind
            for kind, title in RULE_KINDS.items()
            if st.toggle(
                title,
                key=f"events.rule.{kind}",
                persist_state=_SESSION,
                help=_RULE_HELP[kind],
            )
        ]
    for_s, min_confidence_percent, cooldown_min, crowd_limit = (
        _render_rule_input(column, name)
        for column, name in zip(
            st.columns(len(_RULE_INPUTS)), _RULE_INPUTS, strict=True
        )
    )
    min_confidence, cooldown_s = min_confidence_percent / 100, 60 * cooldown_min
    return tuple(
        AlertRule(kind, for_s, min_confidence, cooldown_s, int(crowd_limit))
        for kind in kinds
    )


def _render_rule_input(column: DeltaGenerator, name: str) -> float:
    """Render a number input of `_RULE_INPUTS`."""
    title, (low, high, default, step), help_ = _RULE_INPUTS[name]
    return column.number_input(
        title,
        low,
        high,
        default,
        step,
        key=f"events.{name}",
        persist_state=_SESSION,
        help=help_,
    )


def _render_webhook() -> tuple[str, str]:
    """Render webhook URL and secret; return empty strings if the URL is invalid."""
    url_column, secret_column = st.columns(2)
    url = url_column.text_input(
        "Send to a webhook",
        key="events.webhook",
        persist_state=_SESSION,
        placeholder="https://example.org/alerts",
        help="Receives each alert as JSON in a POST request. Failed deliveries are "
        "retried with exponential backoff for some minutes.",
    )
    secret = secret_column.text_input(
        "Signing secret",
        key="events.secret",
        persist_state=_SESSION,
        type="password",
        help="Known to you and the receiver. `X-Maskdet-Signature` is `sha256=` and "
        "the HMAC-SHA256 of `X-Maskdet-Timestamp`, a dot and the body.",
    )
    url = _accept_url(url, lambda url: urlsplit(validate_webhook_url(url)).hostname)
    return url, secret if url else ""


def _render_mqtt() -> str:
    """Render the broker URL; return an empty string if it is invalid."""
    url = st.text_input(
        "Send to an MQTT broker",
        key="events.mqtt",
        persist_state=_SESSION,
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
            parse_host(url) or "", is_local=service.is_local_admin()
        )
    except (ValueError, MissingExtraError) as error:
        reason = str(error)
    if reason:
        st.warning(escape_markdown(f"Not used: {reason}."), icon=":material/link_off:")
    return "" if reason else url.strip()


def render_test_alert() -> None:
    """Render the button of a test alert, and the delivery status of all alerts."""
    st.button(
        "Send a test alert",
        icon=":material/notifications_active:",
        on_click=_send_test_alert,
        key="events.test_alert",
    )
    _render_delivery_status()


def _send_test_alert() -> None:
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
    service.get_alert_monitor().send_test(alert)


@st.fragment(run_every=2.0)
def _render_delivery_status() -> None:
    for name, status in service.get_alert_monitor().delivery_statuses().items():
        title = {"webhook": "Webhook", "mqtt": "MQTT"}[name]
        st.caption(f"{title}: {_format_delivery_status(status)}")


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


def render_new_alerts() -> None:
    """Show alerts since the last call as toasts, and play a sound.

    Alerts older than `_MAX_TOAST_AGE_S` are ignored, as no page was open.

    Call it about once a second, in a fragment. It always takes one place on the page,
    so that the elements below are not rebuilt.
    """
    preferences = service.get_event_preferences()
    inbox = service.get_alert_monitor().inbox
    sound_area = st.container(key="alert-sound")
    alerts = inbox.pop_all(_MAX_TOAST_AGE_S)
    try:
        for alert in alerts[-_MAX_TOASTS:] if preferences.toast else ():
            st.toast(
                escape_markdown(describe_event(alert)), icon=":material/notifications:"
            )
    except BaseException:  # a newer run stopped this one
        inbox.put(alerts)
        raise
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
