"""Alerts in the page: the settings of the rules, and how a new one is shown."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from maskdet.alerts import hosts
from maskdet.alerts.bell import beep_wav
from maskdet.alerts.mqtt import Broker, Mqtt
from maskdet.alerts.outbox import OutboxStatus
from maskdet.alerts.rules import RULES, AlertRule
from maskdet.alerts.watch import Plan
from maskdet.alerts.webhook import checked_url
from maskdet.events.event import Event, sentence
from maskdet.extras import MissingExtraError
from maskdet.types import Label
from maskdet.web import events
from maskdet.web.markdown import plain

_SESSION: Final = "session"
_BEEP: Final = "maskdet.beep"
_MOST_TOASTS: Final = 3
_FRESH_S: Final = 10.0  # older ones would be told as if they were now
_BEEP_S: Final = 3.0  # older ones are not played again when the page is built anew

_RULE_HELP: Final = {
    "no_mask": "Somebody is seen without a mask.",
    "incorrect": "Somebody has a mask, but nose, mouth or chin is free.",
    "close": "Two people stand closer than the limit, and one of them wears no mask. "
    "It needs distance to be measured.",
    "crowd": "At one time, more people than you say wear no mask.",
}


_NUMBERS: Final[Mapping[str, tuple[str, tuple[float, float, float, float], str]]] = {
    "for_s": (
        "For at least (s)",
        (0.0, 60.0, 3.0, 0.5),
        "A face is seen for so long without a doubt before anybody is told.",
    ),
    "sure": (
        "Confidence at least (%)",
        (50, 100, 80, 5),
        "Less sure views do not count.",
    ),
    "cooldown": (
        "Cool-down (minutes)",
        (0, 240, 5, 1),
        "Each person raises an alert once, and the next one only after a mask was seen "
        "in between and so much time has passed.",
    ),
    "crowd": (
        "Several are more than",
        (0, 100, 3, 1),
        "So many people without a mask are no alert yet.",
    ),
}
"""Title, then lowest, highest, usual value and step, then help."""


def settings() -> tuple[Plan, bool, bool]:
    """Show the settings of alerts; return the plan, and whether to toast and beep."""
    rules = _rules()
    st.markdown("**Tell me**")
    with st.container(horizontal=True):
        toast = st.toggle(
            "In the page",
            value=True,
            key="events.toast",
            persist_state=_SESSION,
            help="A note appears on the Live page.",
        )
        sound = st.toggle("With a sound", key="events.sound", persist_state=_SESSION)
    webhook, secret = _webhook()
    plan = Plan(rules, webhook, secret, _mqtt())
    return plan, toast, sound


def _rules() -> tuple[AlertRule, ...]:
    with st.container(horizontal=True):
        wanted = [
            kind
            for kind, title in RULES.items()
            if st.toggle(
                title,
                key=f"events.rule.{kind}",
                persist_state=_SESSION,
                help=_RULE_HELP[kind],
            )
        ]
    for_s, sure_percent, cool_min, more_than = (
        _number(place, name)
        for place, name in zip(st.columns(len(_NUMBERS)), _NUMBERS, strict=True)
    )
    sure, cool_s = sure_percent / 100, 60 * cool_min
    return tuple(
        AlertRule(kind, for_s, sure, cool_s, int(more_than)) for kind in wanted
    )


def _number(place: DeltaGenerator, name: str) -> float:
    """Ask for a number of `_NUMBERS`."""
    title, (low, high, usual, step), help_ = _NUMBERS[name]
    return place.number_input(
        title,
        low,
        high,
        usual,
        step,
        key=f"events.{name}",
        persist_state=_SESSION,
        help=help_,
    )


def _webhook() -> tuple[str, str]:
    """Ask for a web address and its secret; return only what can be used."""
    left, right = st.columns(2)
    url = left.text_input(
        "Send to a webhook",
        key="events.webhook",
        persist_state=_SESSION,
        placeholder="https://example.org/alerts",
        help="Gets each alert as JSON, by POST. If it does not answer, it is tried "
        "again for some minutes, then it is given up.",
    )
    secret = right.text_input(
        "Secret to sign with",
        key="events.secret",
        persist_state=_SESSION,
        type="password",
        help="Known to you and the receiver. `X-Maskdet-Signature` holds `sha256=` and "
        "the HMAC-SHA256 of `X-Maskdet-Timestamp`, a point and the body.",
    )
    if not url:
        return "", ""
    try:
        _check_host(urlsplit(checked_url(url)).hostname or "")
    except ValueError as error:
        st.warning(plain(f"Not used: {error}."), icon=":material/link_off:")
        return "", ""
    return url.strip(), secret


def _mqtt() -> str:
    """Ask for a broker; return its address only if it can be used."""
    url = st.text_input(
        "Send to an MQTT broker",
        key="events.mqtt",
        persist_state=_SESSION,
        type="password",
        placeholder="mqtts://user:password@host/topic",
        help="The same JSON, at least once. `mqtts` is encrypted.",
    )
    if not url:
        return ""
    try:
        _check_host(Broker.from_url(url).host)
        Mqtt(url)
    except (ValueError, MissingExtraError) as error:
        st.warning(plain(f"Not used: {error}."), icon=":material/link_off:")
        return ""
    return url.strip()


def _check_host(host: str) -> None:
    line = hosts.refusal(host, local=events.is_local())
    if line:
        raise ValueError(line)


def rehearsal() -> None:
    """Offer an alert to try the ways with, and say what became of all alerts."""
    st.button(
        "Send a test alert",
        icon=":material/notifications_active:",
        on_click=_rehearse,
        key="events.rehearse",
    )
    _deliveries()


def _rehearse() -> None:
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
    events.watch().rehearse(alert)


@st.fragment(run_every=2.0)
def _deliveries() -> None:
    for name, status in events.watch().deliveries().items():
        title = {"webhook": "Webhook", "mqtt": "MQTT"}[name]
        st.caption(f"{title}: {_told(status)}")


def _told(status: OutboxStatus) -> str:
    parts = [f"{status.n_sent} sent", f"{status.n_waiting} waiting"]
    if status.n_failed:
        parts.append(f"{status.n_failed} given up")
    if status.n_dropped:
        parts.append(f"{status.n_dropped} lost, as too many waited")
    line = ", ".join(parts)
    return f"{line}. Last trouble: {plain(status.problem)}" if status.problem else line


def announce() -> None:
    """Show alerts that came since the last call, as notes and with a sound.

    Those that nobody fetched for `_FRESH_S` seconds are passed over: no page was open.

    Call it about once a second, in a fragment. It takes one place on the page in any
    case, so that nothing below is built anew.
    """
    chosen, bell = events.choices(), events.watch().bell
    place = st.container(key="alert-sound")
    alerts = bell.drain(_FRESH_S)
    try:
        for alert in alerts[-_MOST_TOASTS:] if chosen.toast else ():
            st.toast(plain(sentence(alert)), icon=":material/notifications:")
    except BaseException:  # a newer run takes the place of this one
        bell.ring(alerts)
        raise
    if alerts and chosen.sound:
        st.session_state[_BEEP] = time.time()
    # It stays for the next runs, or its end would be cut off.
    rung_s = st.session_state.get(_BEEP, 0.0)
    with place:
        sound = st.empty()
        if chosen.sound and time.time() - rung_s < _BEEP_S:
            sound.audio(beep_wav(int(rung_s * 10)), autoplay=True)
        # The sound needs no controls, and an empty place no room.
        st.html("<style>.st-key-alert-sound {height: 0; overflow: hidden;}</style>")
