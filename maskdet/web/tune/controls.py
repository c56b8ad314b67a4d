"""The sliders of the Tune page, applying and saving them, and goals."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    classifies_every_face,
    get_analyzer_title,
    has_refinement,
    resolve_analyzer,
)
from maskdet.evaluation.comparison import COMPARISON_FILE, read_comparison
from maskdet.evaluation.predictions import MIN_STORED_SCORE
from maskdet.metrics.intervals import Estimate
from maskdet.serving.preferences import Preferences
from maskdet.tuning.comparison import compare_results
from maskdet.tuning.goal_search import PER_IMAGE_NOTE, Proposal, propose_settings
from maskdet.tuning.goals import Goal, GoalKind, format_rate
from maskdet.tuning.html_report import render_html_report
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.sidebar import render_settings_download, render_settings_link
from maskdet.web.tune.tune_state import (
    COMPARE_KEY,
    MIN_FACE_SLIDER_END_PX,
    PINNED_TITLE,
    SLIDER_FIELDS,
    SliderValues,
    TuneState,
    TuningSet,
    clamp_settings,
    on_slider_change,
)
from maskdet.web.widgets import escape_markdown
from maskdet.wording import PERCENT, format_count, join_percent

_ASK_KEY = "maskdet.tuning.ask"

_APPLIED_KEY = "maskdet.tuning.applied"
_APPLIED, _SHOW_TOAST = "applied", "show_toast"
_CALIBRATED_NOTE = (
    "Live does not calibrate confidences, so these thresholds would mean something "
    "else there. Turn off “Calibrate confidences” to apply or save the settings."
)

_GOAL_TITLES: dict[GoalKind, str] = {
    "f1": "Best balance (F1)",
    "recall": "Minimum recall",
    "cost": "Cost of a miss",
    "equal": "Equal misses and false positives",
}
"""Titles of the goals, in the order of the page."""

_GOAL_NUMBERS: dict[GoalKind, tuple[str, tuple[float, float], float]] = {
    "recall": ("Target recall (%)", (50.0, 99.9), 85.0),
    "cost": ("Cost of a miss (in false positives)", (0.1, 1000.0), 5.0),
}
"""Title, range and default of the number that a goal needs."""

_GOAL_ERROR_KEY = "maskdet.tuning.goal_error"

_PROPOSE_KEY = "maskdet.tuning.propose"


def render_sliders(state: TuneState) -> None:
    """Show the sliders; moving them does not change the settings in use."""
    unsure = escape_markdown(session.get_preferences().style.title(Label.UNKNOWN))
    st.caption("**Preview only.** Press “Use on Live and Image” to apply.")
    st.slider(
        "Face detection threshold",
        *(MIN_STORED_SCORE, 1.0),
        key="tune.min_score",
        step=0.01,
        on_change=on_slider_change,
        help="Minimum detection score of a face. A lower threshold detects more faces "
        "and gives more false positives.",
    )
    st.slider(
        "Minimum confidence",
        *(0.0, 1.0),
        key="tune.min_confidence",
        step=0.01,
        on_change=on_slider_change,
        help=f"Below this confidence a face is labelled “{unsure}”.",
    )
    st.slider(
        "Minimum face size (px)",
        *(1, max(MIN_FACE_SLIDER_END_PX, int(state.sliders.settings.min_face_px))),
        key="tune.min_face_px",
        step=1,
        on_change=on_slider_change,
        help="Detections with a smaller shorter side are ignored. Ground-truth faces "
        "below this size count as missed.",
    )
    with st.expander("IoU and calibration"):
        _render_advanced_sliders()


def _render_advanced_sliders() -> None:
    st.slider(
        "NMS IoU threshold",
        *(0.0, 1.0),
        key="tune.nms_iou",
        step=0.01,
        on_change=on_slider_change,
        help="If two boxes have a higher IoU, the one with the lower score is removed "
        "(non-maximum suppression).",
    )
    st.slider(
        "Matching IoU",
        *(0.05, 0.95),
        key="tune.min_iou",
        step=0.05,
        on_change=on_slider_change,
        help="Minimum IoU of a box with a ground-truth face to count as a match; 0.5 "
        "is usual. Affects only the evaluation, not Live.",
    )
    st.toggle(
        "Calibrate confidences",
        key="tune.calibrated",
        on_change=on_slider_change,
        help="Temperature scaling, fitted on this set: of the faces with a confidence "
        f"of 80{PERCENT}, 80{PERCENT} are then correct. For inspection only: "
        "Live and the goals use uncalibrated confidences.",
    )


def render_undo_and_pin(state: TuneState) -> None:
    """Show the buttons that undo a change and save the sliders as B."""
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Undo",
            icon=":material/undo:",
            disabled=state.previous is None,
            on_click=state.undo,
            help="Undo the last change.",
        )
        st.button(
            "Save as B",
            icon=":material/bookmark:",
            on_click=_pin,
            args=(state,),
            disabled=state.pinned == state.sliders,
            help="Save the sliders; “Compare” then compares with them.",
        )


def _pin(state: TuneState) -> None:
    state.pin()
    st.session_state[COMPARE_KEY] = PINNED_TITLE


def render_apply(state: TuneState, tuning_set: TuningSet) -> None:
    """Show the buttons that apply the settings to Live and Image, or save them."""
    preferences = _build_preferences(state.sliders, tuning_set)
    in_use = preferences == session.get_preferences()
    is_proposing = state.proposal is not None and state.proposal.improves
    # The sidebar was drawn before this; it shows the new settings in the next run.
    if st.session_state.get(_APPLIED_KEY) == _APPLIED:
        st.session_state[_APPLIED_KEY] = _SHOW_TOAST
        st.rerun()
    st.button(
        "Use on Live and Image",
        # Only one button of the page is to stand out.
        type="secondary" if is_proposing else "primary",
        icon=":material/videocam:",
        disabled=in_use or state.sliders.calibrated,
        width="stretch",
        key="tune.use",
        on_click=_ask_or_apply,
        args=(preferences,),
    )
    if st.session_state.pop(_ASK_KEY, False):
        _confirm_models(preferences)
    if state.sliders.calibrated:
        st.caption(_CALIBRATED_NOTE)
    else:
        st.caption(_describe_apply(tuning_set, preferences, in_use=in_use))
        st.caption(PER_IMAGE_NOTE)
    if st.session_state.pop(_APPLIED_KEY, "") == _SHOW_TOAST:
        subject = (
            "Live now uses"
            if _find_other_image_analyzer(preferences)
            else "Live and Image now use"
        )
        st.toast(f"{subject} these settings.", icon=":material/check:")
    with st.popover("Export", icon=":material/save:", width="stretch"):
        _render_save(state, tuning_set, preferences)


def _ask_or_apply(preferences: Preferences) -> None:
    if _list_model_changes(preferences):
        st.session_state[_ASK_KEY] = True
    else:
        _apply(preferences)


def _apply(preferences: Preferences) -> None:
    session.set_preferences(preferences)
    st.session_state[_APPLIED_KEY] = _APPLIED


@st.dialog("Change the models too?")
def _confirm_models(preferences: Preferences) -> None:
    """Ask before more than thresholds changes."""
    if st.session_state.get(_APPLIED_KEY) == _APPLIED:
        st.rerun()  # which closes the dialog
    st.markdown(
        "These thresholds only fit the models that they were tuned for. Applying them "
        "changes:"
    )
    st.markdown("\n".join(f"- {line}" for line in _list_model_changes(preferences)))
    with st.container(horizontal=True):
        st.button(
            "Change and apply",
            type="primary",
            key="tune.confirm",
            on_click=_apply,
            args=(preferences,),
        )
        if st.button("Cancel", key="tune.cancel"):
            st.rerun()


def _list_model_changes(preferences: Preferences) -> list[str]:
    """Return in one line each which models would change, as Markdown."""
    current = session.get_preferences()
    lines = []
    if preferences.analyzer != current.analyzer:
        before, after = (
            resolve_analyzer(name, live=True)
            for name in (current.analyzer, preferences.analyzer)
        )
        after_name = _format_analyzer(after)
        lines.append(
            f"the analyzer of Live, from **{_format_analyzer(before)}** to "
            f"**{after_name}**{_compare_times(before, after)}"
        )
        image_analyzer = resolve_analyzer(current.analyzer, live=False)
        if image_analyzer != resolve_analyzer(preferences.analyzer, live=False):
            lines.append(
                "the analyzer of Image, from "
                f"**{_format_analyzer(image_analyzer)}** to **{after_name}**"
            )
    if preferences.classifier != current.classifier:
        lines.append(
            f"the classifier, from **{escape_markdown(current.classifier)}** to "
            f"**{escape_markdown(preferences.classifier)}**"
        )
    if preferences.refine != current.refine:
        switched = "on" if preferences.refine else "off"
        lines.append(f"refinement is switched {switched}")
    return lines


def _format_analyzer(name: str) -> str:
    """Return the title of an analyzer as Markdown."""
    return escape_markdown(get_analyzer_title(name))


def _compare_times(before: str, after: str) -> str:
    """Return how the time of an image changes; empty if it was not measured."""
    try:
        rows = read_comparison(COMPARISON_FILE)
    except (OSError, ValueError):
        return ""
    times = {row.analyzer: row.median_ms for row in rows}
    if not (times.get(before) and times.get(after)):
        return ""
    ratio = times[after] / times[before]
    if ratio >= 1:
        return f": **slower**, about {ratio:.1f} times the time per frame"
    return f": **faster**, about {1 / ratio:.1f} times as many frames per second"


def _build_preferences(sliders: SliderValues, tuning_set: TuningSet) -> Preferences:
    """Return the visitor's preferences with the tuned thresholds and their analyzer."""
    current, name = session.get_preferences(), tuning_set.predictions.analyzer
    tuned: dict[str, Any] = {
        name: getattr(sliders.settings, name) for name in SLIDER_FIELDS
    }
    settings = dataclasses.replace(current.settings, **tuned)
    analyzer = current.analyzer
    is_available = (
        name in ANALYZERS and name not in session.list_unavailable_analyzers()
    )
    if is_available and not (
        analyzer == AUTO and resolve_analyzer(AUTO, live=True) == name
    ):
        analyzer = name
    preferences = dataclasses.replace(current, settings=settings, analyzer=analyzer)
    return (
        _set_classifier_used(preferences, tuning_set) if is_available else preferences
    )


def _set_classifier_used(
    preferences: Preferences, tuning_set: TuningSet
) -> Preferences:
    """Return the preferences with the classifier that the scores came from, if any."""
    name = tuning_set.predictions.analyzer
    if tuning_set.classified_by is None:
        return preferences
    classifier, refine = tuning_set.classified_by
    if has_refinement(name):
        preferences = dataclasses.replace(preferences, refine=refine)
    refines = refine and has_refinement(name)
    if refines or classifies_every_face(name, classifier):
        preferences = dataclasses.replace(preferences, classifier=classifier)
    return preferences


def _describe_apply(
    tuning_set: TuningSet, preferences: Preferences, *, in_use: bool
) -> str:
    analyzer = tuning_set.predictions.analyzer
    name = _format_analyzer(analyzer)
    if resolve_analyzer(preferences.analyzer, live=True) != analyzer:
        return (
            f"Sets the thresholds only: **{name}** is not installed. Scores of other "
            "analyzers are not comparable."
        )
    if in_use:
        line = f"In use: these thresholds, with **{name}**."
    else:
        line = (
            "Changes the thresholds only."
            if not _list_model_changes(preferences)
            else f"Also changes the models to those of **{name}**, after asking: "
            "scores of others are not comparable."
        )
    has_classifier = classifies_every_face(analyzer) or has_refinement(analyzer)
    if tuning_set.classified_by is None and has_classifier:
        line += " This file does not name its classifier: yours may differ."
    image_analyzer = _find_other_image_analyzer(preferences)
    if image_analyzer:
        image_name = _format_analyzer(image_analyzer)
        line += f" Image keeps **{image_name}**, whose scores are not comparable."
    return line


def _find_other_image_analyzer(preferences: Preferences) -> str:
    """Return the analyzer of the Image page if Live uses another one, else ""."""
    live_analyzer, image_analyzer = (
        resolve_analyzer(preferences.analyzer, live=is_live)
        for is_live in (True, False)
    )
    return "" if live_analyzer == image_analyzer else image_analyzer


def _render_save(
    state: TuneState, tuning_set: TuningSet, preferences: Preferences
) -> None:
    render_settings_download(
        "Settings (JSON)",
        preferences,
        help_="Load it with “Load settings” in the sidebar.",
        disabled=state.sliders.calibrated,
    )
    st.download_button(
        "Report (HTML)",
        partial(_build_report, state, tuning_set),
        file_name="maskdet-tuning.html",
        mime="text/html",
        icon=":material/description:",
        on_click="ignore",
        width="stretch",
        help="One page with charts, metrics, settings and the goal. Works offline and "
        "can be printed.",
    )
    if state.sliders.calibrated:
        st.caption(_CALIBRATED_NOTE)
        return
    render_settings_link(preferences)


def _build_report(state: TuneState, tuning_set: TuningSet) -> str:
    outcome = tuning_set.evaluate(state.sliders)
    pinned_outcome = tuning_set.evaluate(state.pinned) if state.pinned else None
    comparison = compare_results(outcome, pinned_outcome) if pinned_outcome else None
    return render_html_report(
        outcome,
        proposal=state.proposal,
        comparison=comparison,
        style=session.get_preferences().style,
    )


def render_goal_form(state: TuneState, tuning_set: TuningSet) -> None:
    """Show the form for a goal, and compute a proposal when it is submitted."""
    with st.container(border=True):
        st.markdown("**Optimize for a goal**")
        goal = _select_goal()
        st.button(
            "Suggest settings",
            icon=":material/target:",
            width="stretch",
            key="tune.propose",
            on_click=_request_proposal,
        )
        if st.session_state.pop(_PROPOSE_KEY, False):
            _compute_proposal(state, tuning_set, goal)
        if state.proposal is not None:
            st.caption("See the suggestion above the charts.")


def _request_proposal() -> None:
    st.session_state[_PROPOSE_KEY] = True


def _select_goal() -> Goal:
    style = session.get_preferences().style
    kind: GoalKind = st.selectbox(
        "Goal",
        list(_GOAL_TITLES),
        format_func=_GOAL_TITLES.__getitem__,
        key="tune.goal",
        persist_state="session",
    )
    label: Label = st.selectbox(
        "Class",
        (Label.NO_MASK, Label.MASK, Label.INCORRECT),
        format_func=lambda label: f"“{style.title(label)}”",
        key="tune.goal_label",
        persist_state="session",
    )
    if kind not in _GOAL_NUMBERS:
        return Goal(kind, label=label)
    title, range_, default = _GOAL_NUMBERS[kind]
    number = st.number_input(
        title,
        *range_,
        value=default,
        step=1.0,
        format="%g",
        key=f"tune.goal_{kind}",
        persist_state="session",
    )
    if kind == "recall":
        return Goal(kind, recall=number / 100, label=label)
    return Goal(kind, cost=number, label=label)


def _compute_proposal(state: TuneState, tuning_set: TuningSet, goal: Goal) -> None:
    sliders = state.sliders
    try:
        with st.spinner("Trying settings …"):
            state.proposal = propose_settings(
                tuning_set.evaluator,
                sliders.settings,
                goal,
                min_iou=sliders.min_iou,
            )
        st.session_state.pop(_GOAL_ERROR_KEY, None)
    except ValueError as error:
        state.proposal = None
        st.session_state[_GOAL_ERROR_KEY] = str(error)


def render_goal_proposal(state: TuneState) -> None:
    """Show the proposed settings, their metrics and the button that applies them."""
    if _GOAL_ERROR_KEY in st.session_state:
        st.warning(
            escape_markdown(st.session_state[_GOAL_ERROR_KEY]), icon=":material/groups:"
        )
    proposal = state.proposal
    if proposal is None:
        return
    with st.container(border=True, key="tune_proposal"):
        title = escape_markdown(proposal.goal.title(session.get_preferences().style))
        st.markdown(f"**Goal: {title}**")
        if not proposal.reached:
            best = format_rate(proposal.selection_performance.recall.value)
            st.markdown(
                join_percent(
                    f"**Best reachable: {best}** instead of "
                    f"{format_rate(proposal.goal.recall)}, on the half of the images "
                    "that settings are chosen on."
                )
            )
        if proposal.improves:
            _render_proposal(proposal)
        else:
            st.markdown("**Nothing better found; the current settings stay.**")
            with st.expander("What was tried"):
                _render_proposal(proposal)
        suggested = clamp_settings(proposal.settings_after)
        with st.container(horizontal=True):
            if proposal.improves:
                st.button(
                    "Apply suggestion",
                    type="primary",
                    icon=":material/check:",
                    on_click=state.set_settings,
                    args=(suggested,),
                    disabled=suggested == state.sliders.settings,
                    key="tune.set",
                )
            st.button(
                "Close",
                icon=":material/close:",
                on_click=state.drop_proposal,
            )


def _render_proposal(proposal: Proposal) -> None:
    st.markdown(_format_settings(proposal))
    st.markdown("\n".join(f"- {escape_markdown(line)}" for line in proposal.messages))
    _render_proposal_table(proposal)


def _format_settings(proposal: Proposal) -> str:
    before, after = (
        {
            "face detection threshold": f"{settings.min_score:.2f}",
            "minimum confidence": f"{settings.min_confidence:.2f}",
            "minimum face size": f"{settings.min_face_px:g} px",
        }
        for settings in (proposal.settings_before, proposal.settings_after)
    )
    parts = [
        f"{name} **{new}** "
        + ("(unchanged)" if new == before[name] else f"(was {before[name]})")
        for name, new in after.items()
    ]
    return f"Suggested: {', '.join(parts)}."


def _render_proposal_table(proposal: Proposal) -> None:
    style = session.get_preferences().style
    columns = {
        title: {
            "Recall": _format_rate_interval(performance.recall),
            "Precision": _format_rate_interval(performance.precision),
            "Missed": f"{performance.false_negatives:,}",
            "False positives": f"{performance.false_positives:,}",
            "False positives per image": (
                f"{performance.false_positives_per_image.value:.2f}"
            ),
            style.title(Label.UNKNOWN): _format_rate_interval(performance.unsure_rate),
        }
        for title, performance in (
            ("Current", proposal.performance_before),
            ("Suggested", proposal.performance_after),
        )
    }
    # A row for each metric, so that all of them are visible in a narrow column.
    table = pd.DataFrame(columns).rename_axis("Metric").reset_index()
    st.dataframe(table, hide_index=True, alt="Current and suggested settings")
    name = escape_markdown(style.title(proposal.goal.label))
    st.caption(
        "Chosen on one half of the images, measured on the other half "
        f"({format_count(proposal.performance_after.n_images, 'image')}, "
        f"{format_count(proposal.performance_after.recall.n, 'face')} with "
        f"“{name}”), with 95{PERCENT} intervals. Confidences are not calibrated, as "
        "on Live."
    )


def _format_rate_interval(estimate: Estimate) -> str:
    if not estimate.n:
        return "\N{EN DASH}"
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.1f} % ({low:.0f} to {high:.0f})"
