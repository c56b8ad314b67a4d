"""The Tune page's sliders, and what is done with what they say.

The Tune page's goals: ask for one, see what it costs, set it.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import pandas as pd
import streamlit as st

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    classifies_every_face,
    has_refinement,
    resolve_analyzer,
)
from maskdet.metrics.intervals import Estimate
from maskdet.settings import Settings
from maskdet.tuning.class_metrics import ClassPerformance
from maskdet.tuning.comparison import compare_results
from maskdet.tuning.goal_search import PER_IMAGE_NOTE, Proposal, propose_settings
from maskdet.tuning.goals import Goal, GoalKind
from maskdet.tuning.html_report import render_html_report
from maskdet.tuning.predictions import MIN_STORED_SCORE
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.preferences import Preferences
from maskdet.web.tune.tune_state import (
    MIN_FACE_SLIDER_END_PX,
    SliderValues,
    TuneState,
    TuningSet,
    clamp_settings,
    on_slider_change,
)
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count

_APPLIED_KEY = "maskdet.tuning.just_used"
_APPLIED, _SHOW_TOAST = "told", "show"
_CALIBRATED_NOTE = (
    "Live has no calibration, so the same threshold would mean something else there. "
    "Turn off “Calibrate confidences” to use or share these settings."
)


def render_sliders(state: TuneState) -> None:
    """Show the sliders; they only try out, nothing of it is in use yet."""
    unsure = escape_markdown(session.get_preferences().style.title(Label.UNKNOWN))
    st.caption(
        "**Try out here.** Live keeps what the sidebar says until you press “Use on "
        "Live”."
    )
    st.slider(
        "Face score from",
        *(MIN_STORED_SCORE, 1.0),
        key="tune.min_score",
        step=0.01,
        on_change=on_slider_change,
        help="How sure the detector must be that something is a face. Lower finds more "
        "faces, and more things that are none.",
    )
    st.slider(
        "Confidence from",
        *(0.0, 1.0),
        key="tune.min_confidence",
        step=0.01,
        on_change=on_slider_change,
        help=f"A face whose label is less certain is called “{unsure}”.",
    )
    st.slider(
        "Smallest face (pixels)",
        *(1, max(MIN_FACE_SLIDER_END_PX, int(state.sliders.settings.min_face_px))),
        key="tune.min_face_px",
        step=1,
        on_change=on_slider_change,
        help="Faces whose shorter side is smaller are left out. True faces that are "
        "smaller count as missed.",
    )
    with st.expander("Overlaps and calibration"):
        _render_advanced_sliders()


def _render_advanced_sliders() -> None:
    st.slider(
        "Overlap of two boxes up to",
        *(0.0, 1.0),
        key="tune.nms_iou",
        step=0.01,
        on_change=on_slider_change,
        help="Of two boxes that overlap by more than this share, the weaker goes "
        "(non-maximum suppression).",
    )
    st.slider(
        "Counts as found from overlap",
        *(0.05, 0.95),
        key="tune.min_iou",
        step=0.05,
        on_change=on_slider_change,
        help="How well a box must fit the true face to count as found (IoU); 0.5 is "
        "usual. It changes the counting only, not what is shown on Live.",
    )
    st.toggle(
        "Calibrate confidences",
        key="tune.calibrated",
        on_change=on_slider_change,
        help="Divides by one temperature, fitted on this set, so that 80 % is right 8 "
        "times in 10. Live has none: this is to see what a confidence is worth; goals "
        "go by confidences as they are.",
    )


def render_undo_and_pin(state: TuneState) -> None:
    """Offer the way back, and to put the sliders aside for a comparison."""
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Undo",
            icon=":material/undo:",
            disabled=state.previous is None,
            on_click=_undo,
            args=(state,),
            help="Back to before the last move.",
        )
        st.button(
            "Keep as B",
            icon=":material/bookmark:",
            on_click=_pin,
            args=(state,),
            disabled=state.pinned == state.sliders,
            help="Put these sliders aside, and compare with them below, under "
            "“Compare”.",
        )


def _undo(state: TuneState) -> None:
    if state.previous is not None:
        state.set_sliders(state.previous)


def _pin(state: TuneState) -> None:
    state.pinned = state.sliders


def render_apply(state: TuneState, tuning_set: TuningSet) -> None:
    """Offer to use the sliders on Live, and to keep them in a file or a link."""
    preferences = _build_preferences(state.sliders, tuning_set)
    in_use = preferences == session.get_preferences()
    # The sidebar is drawn before this: it shows what is in force from the next run on.
    if st.session_state.get(_APPLIED_KEY) == _APPLIED:
        st.session_state[_APPLIED_KEY] = _SHOW_TOAST
        st.rerun()
    st.button(
        "Use on Live",
        type="primary",
        icon=":material/videocam:",
        disabled=in_use or state.sliders.calibrated,
        width="stretch",
        key="tune.use",
        on_click=_apply,
        args=(preferences,),
    )
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
    with st.popover("Save or share", icon=":material/save:", width="stretch"):
        _render_save(state, tuning_set, preferences)


def _apply(preferences: Preferences) -> None:
    session.set_preferences(preferences)
    st.session_state[_APPLIED_KEY] = _APPLIED


def _build_preferences(sliders: SliderValues, tuning_set: TuningSet) -> Preferences:
    """Return the visitor's choices with what was tuned, and who it was tuned for."""
    current, name = session.get_preferences(), tuning_set.predictions.analyzer
    settings = dataclasses.replace(
        current.settings,
        min_score=sliders.settings.min_score,
        min_confidence=sliders.settings.min_confidence,
        min_face_px=sliders.settings.min_face_px,
        nms_iou=sliders.settings.nms_iou,
    )
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
    """Return the same with the mask model of the scores, where one had a say."""
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


def _has_classifier(name: str) -> bool:
    return classifies_every_face(name) or has_refinement(name)


def _describe_apply(
    tuning_set: TuningSet, preferences: Preferences, *, in_use: bool
) -> str:
    name = escape_markdown(tuning_set.predictions.analyzer)
    if (
        resolve_analyzer(preferences.analyzer, live=True)
        != tuning_set.predictions.analyzer
    ):
        return (
            f"Sets the thresholds only: **{name}** is not here, and scores of another "
            "analyzer mean something else."
        )
    if in_use:
        line = f"In use: these thresholds, with **{name}**."
    else:
        line = (
            f"Sets the thresholds, the analyzer **{name}** and its mask model: scores "
            "of others mean something else."
        )
    if tuning_set.classified_by is None and _has_classifier(
        tuning_set.predictions.analyzer
    ):
        line += " This file does not say which mask model labelled: yours may differ."
    image_analyzer = _find_other_image_analyzer(preferences)
    if image_analyzer:
        line += f" Image goes on with **{image_analyzer}**, whose scores mean something else."
    return line


def _find_other_image_analyzer(preferences: Preferences) -> str:
    """Return who is at work on Image, if that is somebody else than on Live."""
    live_analyzer, image_analyzer = (
        resolve_analyzer(preferences.analyzer, live=live_analyzer)
        for live_analyzer in (True, False)
    )
    return "" if live_analyzer == image_analyzer else image_analyzer


def _render_save(
    state: TuneState, tuning_set: TuningSet, preferences: Preferences
) -> None:
    st.download_button(
        "Settings (JSON)",
        preferences.to_json(),
        file_name="maskdet-settings.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
        disabled=state.sliders.calibrated,
        width="stretch",
        help="“Load settings” in the sidebar reads it.",
    )
    st.download_button(
        "Report (HTML)",
        partial(_build_report, state, tuning_set),
        file_name="maskdet-tuning.html",
        mime="text/html",
        icon=":material/description:",
        on_click="ignore",
        width="stretch",
        help="One page with charts, numbers, settings and the goal; it needs no "
        "network and prints well.",
    )
    if state.sliders.calibrated:
        st.caption(_CALIBRATED_NOTE)
        return
    st.caption("This link opens the page with these settings:")
    st.code(preferences.to_link(st.context.url or ""), language=None, wrap_lines=True)


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


_GOAL_TITLES: dict[GoalKind, str] = {
    "recall": "Find at least …",
    "f1": "Best balance (F1)",
    "cost": "A miss costs more",
    "equal": "Misses equal false positives",
}
"""In the order in which they are offered, as the page words them."""

_GOAL_ERROR_KEY = "maskdet.tuning.trouble"
_PROPOSE_KEY = "maskdet.tuning.goals"


def render_goal_form(state: TuneState, tuning_set: TuningSet) -> None:
    """Let the visitor say what is wanted."""
    with st.container(border=True):
        st.markdown("**Or ask for a goal**")
        goal = _select_goal()
        st.button(
            "Propose settings",
            icon=":material/target:",
            width="stretch",
            key="tune.propose",
            on_click=_request_proposal,
        )
        if st.session_state.pop(_PROPOSE_KEY, False):
            _compute_proposal(state, tuning_set, goal)
        if state.proposal is not None:
            st.caption("The answer stands above the numbers.")


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
        "Of",
        (Label.NO_MASK, Label.MASK, Label.INCORRECT),
        format_func=lambda label: f"“{style.title(label)}”",
        key="tune.goal_label",
        persist_state="session",
    )
    if kind == "recall":
        percent = st.number_input(
            "Find at least (%)",
            *(50.0, 99.9),
            value=95.0,
            step=1.0,
            format="%g",
            key="tune.goal_recall",
            persist_state="session",
        )
        return Goal(kind, recall=percent / 100, label=label)
    if kind == "cost":
        cost = st.number_input(
            "A miss costs so many false positives",
            *(0.1, 1000.0),
            value=5.0,
            step=1.0,
            format="%g",
            key="tune.goal_cost",
            persist_state="session",
        )
        return Goal(kind, cost=cost, label=label)
    return Goal(kind, label=label)


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
    """Show what was proposed, what it costs, and the button that sets it."""
    if _GOAL_ERROR_KEY in st.session_state:
        st.warning(
            escape_markdown(st.session_state[_GOAL_ERROR_KEY]), icon=":material/groups:"
        )
    proposal = state.proposal
    if proposal is None:
        return
    with st.container(border=True, key="tune_answer"):
        title = escape_markdown(proposal.goal.title(session.get_preferences().style))
        st.markdown(f"**Goal: {title}**")
        st.markdown(_format_settings(proposal))
        st.markdown(
            "\n".join(f"- {escape_markdown(line)}" for line in proposal.messages)
        )
        _render_proposal_table(proposal)
        with st.container(horizontal=True):
            st.button(
                "Set these",
                type="primary",
                icon=":material/check:",
                on_click=_apply_proposal,
                args=(state, proposal.settings_after),
                disabled=clamp_settings(proposal.settings_after)
                == state.sliders.settings,
                key="tune.set",
            )
            st.button(
                "Close",
                icon=":material/close:",
                on_click=_close_proposal,
                args=(state,),
            )


def _format_settings(proposal: Proposal) -> str:
    before, after = proposal.settings_before, proposal.settings_after
    rows = (
        ("face score", f"{before.min_score:.2f}", f"{after.min_score:.2f}"),
        ("confidence", f"{before.min_confidence:.2f}", f"{after.min_confidence:.2f}"),
        ("smallest face", f"{before.min_face_px:g} px", f"{after.min_face_px:g} px"),
    )
    parts = [
        f"{name} **{new}** (was {old})" if new != old else f"{name} **{new}** as now"
        for name, old, new in rows
    ]
    return f"Proposed: {', '.join(parts)}."


def _render_proposal_table(proposal: Proposal) -> None:
    style = session.get_preferences().style
    performances = {
        "Now": proposal.performance_before,
        "Proposed": proposal.performance_after,
    }
    table = {
        "": list(performances),
        "Found": [
            _format_rate_interval(performance.recall)
            for performance in performances.values()
        ],
        "Right when said": [
            _format_rate_interval(performance.precision)
            for performance in performances.values()
        ],
        "Missed": [
            performance.false_negatives for performance in performances.values()
        ],
        "False positives": [
            performance.false_positives for performance in performances.values()
        ],
        "An image": [
            _format_fp_per_image(performance) for performance in performances.values()
        ],
        style.title(Label.UNKNOWN): [
            _format_rate_interval(performance.unsure_rate)
            for performance in performances.values()
        ],
    }
    st.dataframe(pd.DataFrame(table), hide_index=True, alt="Now and as proposed")
    name = escape_markdown(style.title(proposal.goal.label))
    st.caption(
        f"Chosen on one half of the images, these numbers are of the other half "
        f"({format_count(proposal.performance_after.n_images, 'image')}, "
        f"{format_count(proposal.performance_after.recall.n, 'face')} with "
        f"“{name}”), with 95 % intervals. Confidences are as they are, not calibrated: "
        "Live uses them so."
    )


def _format_rate_interval(estimate: Estimate) -> str:
    if not estimate.n:
        return "\N{EN DASH}"
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.1f} % ({low:.0f} to {high:.0f})"


def _format_fp_per_image(performance: ClassPerformance) -> str:
    return f"{performance.false_positives_per_image.value:.2f}"


def _apply_proposal(state: TuneState, settings: Settings) -> None:
    state.set_settings(clamp_settings(settings))


def _close_proposal(state: TuneState) -> None:
    state.proposal = None
