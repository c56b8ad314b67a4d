"""The settings on the Events page as widgets, whose values the recorder keeps."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import streamlit as st

from maskdet.alerts.rules import RULE_KINDS, AlertRule
from maskdet.web import session
from maskdet.web.events.recorders import DEFAULT_CAMERA, Recorder

_RULE: Final = AlertRule("no_mask")

_DEFAULTS: Final[dict[str, object]] = {
    "record": False,
    "camera": DEFAULT_CAMERA,
    **{f"rule.{kind}": False for kind in RULE_KINDS},
    "for_s": _RULE.for_s,
    "min_confidence": round(100 * _RULE.min_confidence),
    "cooldown": round(_RULE.cooldown_s / 60),
    "crowd": _RULE.more_than,
    "toast": True,
    "sound": False,
    "webhook": "",
    "secret": "",
    "mqtt": "",
}
"""Name and first value of each setting."""


class EventForm:
    """The widgets of one recorder; they show what its form has, also after a reload.

    Call `load` before the widgets are rendered and `store` after it.

    Attributes:
        recorder: the recorder.
    """

    def __init__(self, name: str, recorder: Recorder) -> None:
        """Create the form.

        Args:
            name: begins the keys of its widgets.
            recorder: the recorder.
        """
        self.recorder = recorder
        self._name = name
        self._loaded_key = f"maskdet.form.{name}"

    def key(self, setting: str) -> str:
        """Return the key of the widget of a setting."""
        return f"{self._name}.{setting}"

    def load(self) -> None:
        """Set the values of the widgets where the recorder has others."""
        loaded: dict[str, Any] = st.session_state.get(self._loaded_key, {})
        stored = {**_DEFAULTS, **self.recorder.form}
        must_set = not session.is_previous_run_complete()
        for setting, value in stored.items():
            key = self.key(setting)
            if key not in st.session_state or setting not in loaded:
                st.session_state[key] = value
            elif loaded[setting] == st.session_state[key] != value:
                # Another page of this tab, or another admin, has changed it.
                st.session_state[key] = value
            elif must_set:
                st.session_state[key] = st.session_state[key]

    def store(self) -> None:
        """Keep the values of the widgets in the recorder."""
        values = {
            setting: st.session_state.get(self.key(setting), default)
            for setting, default in {**_DEFAULTS, **self.recorder.form}.items()
        }
        st.session_state[self._loaded_key] = values
        self.recorder.form = MappingProxyType(values)
