"""The Tune page's sliders, and what is done with what they say."""

from __future__ import annotations

import dataclasses
from functools import partial

import streamlit as st

from maskdet.analyzer import (
    ANALYZERS,
    AUTO,
    classifies_every_face,
    has_refinement,
    resolve_analyzer,
)
from maskdet.tune.comparing import compare_results
from maskdet.tune.goals import PER_IMAGE_NOTE
from maskdet.tune.report import render_html_report
from maskdet.tune.scored import MIN_STORED_SCORE
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.markdown import escape_markdown
from maskdet.web.preferences import Preferences
from maskdet.web.tune import (
    MIN_FACE_SLIDER_END_PX,
    SliderValues,
    TuneState,
    TuningSet,
    on_slider_change,
)

_APPLIED_KEY = "maskdet.tune.just_used"
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
        help="How sure the finder must be that something is a face. Lower finds more "
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
