"""The button of the Models page that puts an analyzer or a classifier to use."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from maskdet.analyzers.pipelines import (
    describe_pipeline,
    get_analyzer_title,
    resolve_analyzer,
)
from maskdet.serving.preferences import Preferences
from maskdet.web import session
from maskdet.web.widgets import escape_markdown

_APPLIED_KEY = "maskdet.models.applied"


def render_use_button(
    title: str,
    name: str,
    preferences: Preferences,
    missing: Mapping[str, str],
    *,
    key: str,
    problem: str = "",
) -> None:
    """Render the button, with the pipelines that then run, or why it is disabled.

    Args:
        title: title of the button.
        name: name of the model.
        preferences: the visitor's preferences with that model.
        missing: why models are not available, by name.
        key: key of the button.
        problem: another reason why the model cannot be used; may be empty.
    """
    reason = problem
    if not problem and preferences == session.get_preferences():
        reason = "Active on all pages."
    elif name in missing:
        reason = f"Not available: {escape_markdown(missing[name])}."
    st.button(
        title,
        type="primary",
        icon=":material/check:",
        disabled=bool(reason),
        on_click=_use_model,
        args=(name, preferences),
        key=key,
    )
    # A toast shown in the callback would be lost when the page is drawn.
    if st.session_state.pop(_APPLIED_KEY, "") == name:
        text = f"Now using **{escape_markdown(get_analyzer_title(name))}**."
        st.toast(f"{text} {describe_pipelines(preferences)}", icon=":material/check:")
    st.caption(reason or f"With it: {describe_pipelines(preferences)}")


def describe_pipelines(preferences: Preferences) -> str:
    """Describe the pipelines for video and for images, as Markdown."""
    lines = {
        medium: describe_pipeline(
            resolve_analyzer(preferences.analyzer, live=live),
            preferences.classifier,
            refine=preferences.refine,
            with_title=True,
        )
        for medium, live in (("video", True), ("images", False))
    }
    return " ".join(
        f"On {medium}: {escape_markdown(line)}." for medium, line in lines.items()
    )


def _use_model(name: str, preferences: Preferences) -> None:
    session.set_preferences(preferences)
    st.session_state[_APPLIED_KEY] = name
