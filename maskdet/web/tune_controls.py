"""The Tune page's sliders, and what is done with what they say."""

from __future__ import annotations

import dataclasses
from functools import partial

import streamlit as st

from maskdet.analyzer import (
    ANALYZERS,
    AUTO,
    classifies_every_face,
    reads_twice,
    resolved,
)
from maskdet.tune.comparing import compare
from maskdet.tune.goals import SINGLE_PICTURES
from maskdet.tune.report import report_html
from maskdet.tune.scored import FLOOR_SCORE
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.markdown import plain
from maskdet.web.preferences import Preferences
from maskdet.web.tune import MOST_FACE_PX, Choice, Desk, Material, moved

_JUST_USED = "maskdet.tune.just_used"
_TOLD, _SHOW = "told", "show"
_CALIBRATED = (
    "Live has no calibration, so the same threshold would mean something else there. "
    "Turn off “Calibrate confidences” to use or share these settings."
)


def sliders(desk: Desk) -> None:
    """Show the sliders; they only try out, nothing of it is in use yet."""
    unsure = plain(session.preferences().style.title(Label.UNKNOWN))
    st.caption(
        "**Try out here.** Live keeps what the sidebar says until you press “Use on "
        "Live”."
    )
    st.slider(
        "Face score from",
        *(FLOOR_SCORE, 1.0),
        key="tune.min_score",
        step=0.01,
        on_change=moved,
        help="How sure the finder must be that something is a face. Lower finds more "
        "faces, and more things that are none.",
    )
    st.slider(
        "Confidence from",
        *(0.0, 1.0),
        key="tune.min_confidence",
        step=0.01,
        on_change=moved,
        help=f"A face whose label is less certain is called “{unsure}”.",
    )
    st.slider(
        "Smallest face (pixels)",
        *(1, max(MOST_FACE_PX, int(desk.choice.settings.min_face_px))),
        key="tune.min_face_px",
        step=1,
        on_change=moved,
        help="Faces whose shorter side is smaller are left out. True faces that are "
        "smaller count as missed.",
    )
    with st.expander("Overlaps and calibration"):
        _rarer()


def _rarer() -> None:
    st.slider(
        "Overlap of two boxes up to",
        *(0.0, 1.0),
        key="tune.nms_iou",
        step=0.01,
        on_change=moved,
        help="Of two boxes that overlap by more than this share, the weaker goes "
        "(non-maximum suppression).",
    )
    st.slider(
        "Counts as found from overlap",
        *(0.05, 0.95),
        key="tune.min_iou",
        step=0.05,
        on_change=moved,
        help="How well a box must fit the true face to count as found (IoU); 0.5 is "
        "usual. It changes the counting only, not what is shown on Live.",
    )
    st.toggle(
        "Calibrate confidences",
        key="tune.calibrated",
        on_change=moved,
        help="Divides by one temperature, fitted on this set, so that 80 % is right 8 "
        "times in 10. Live has none: this is to see what a confidence is worth; goals "
        "go by confidences as they are.",
    )


def back_and_keep(desk: Desk) -> None:
    """Offer the way back, and to put the sliders aside for a comparison."""
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Undo",
            icon=":material/undo:",
            disabled=desk.before is None,
            on_click=_undo,
            args=(desk,),
            help="Back to before the last move.",
        )
        st.button(
            "Keep as B",
            icon=":material/bookmark:",
            on_click=_keep,
            args=(desk,),
            disabled=desk.kept == desk.choice,
            help="Put these sliders aside, and compare with them below, under "
            "“Compare”.",
        )


def _undo(desk: Desk) -> None:
    if desk.before is not None:
        desk.move(desk.before)


def _keep(desk: Desk) -> None:
    desk.kept = desk.choice


def use(desk: Desk, material: Material) -> None:
    """Offer to use the sliders on Live, and to keep them in a file or a link."""
    wanted = _preferences(desk.choice, material)
    in_use = wanted == session.preferences()
    # The sidebar is drawn before this: it shows what is in force from the next run on.
    if st.session_state.get(_JUST_USED) == _TOLD:
        st.session_state[_JUST_USED] = _SHOW
        st.rerun()
    st.button(
        "Use on Live",
        type="primary",
        icon=":material/videocam:",
        disabled=in_use or desk.choice.calibrated,
        width="stretch",
        key="tune.use",
        on_click=_use,
        args=(wanted,),
    )
    if desk.choice.calibrated:
        st.caption(_CALIBRATED)
    else:
        st.caption(_what_is_used(material, wanted, in_use=in_use))
        st.caption(SINGLE_PICTURES)
    if st.session_state.pop(_JUST_USED, "") == _SHOW:
        who = "Live now uses" if _on_image(wanted) else "Live and Image now use"
        st.toast(f"{who} these settings.", icon=":material/check:")
    with st.popover("Save or share", icon=":material/save:", width="stretch"):
        _save(desk, material, wanted)


def _use(wanted: Preferences) -> None:
    session.set_preferences(wanted)
    st.session_state[_JUST_USED] = _TOLD


def _preferences(choice: Choice, material: Material) -> Preferences:
    """Return the visitor's choices with what was tuned, and who it was tuned for."""
    before, name = session.preferences(), material.scored.analyzer
    settings = dataclasses.replace(
        before.settings,
        min_score=choice.settings.min_score,
        min_confidence=choice.settings.min_confidence,
        min_face_px=choice.settings.min_face_px,
        nms_iou=choice.settings.nms_iou,
    )
    analyzer = before.analyzer
    known = name in ANALYZERS and name not in session.unavailable()
    if known and not (analyzer == AUTO and resolved(AUTO, live=True) == name):
        analyzer = name
    wanted = dataclasses.replace(before, settings=settings, analyzer=analyzer)
    return _as_labelled(wanted, material) if known else wanted


def _as_labelled(wanted: Preferences, material: Material) -> Preferences:
    """Return the same with the mask model of the scores, where one had a say."""
    name = material.scored.analyzer
    if material.labelled_by is None:
        return wanted
    classifier, second_look = material.labelled_by
    if reads_twice(name):
        wanted = dataclasses.replace(wanted, second_look=second_look)
    again = second_look and reads_twice(name)
    if again or classifies_every_face(name, classifier):
        wanted = dataclasses.replace(wanted, classifier=classifier)
    return wanted


def _has_mask_model(name: str) -> bool:
    return classifies_every_face(name) or reads_twice(name)


def _what_is_used(material: Material, wanted: Preferences, *, in_use: bool) -> str:
    name = plain(material.scored.analyzer)
    if resolved(wanted.analyzer, live=True) != material.scored.analyzer:
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
    if material.labelled_by is None and _has_mask_model(material.scored.analyzer):
        line += " This file does not say which mask model labelled: yours may differ."
    other = _on_image(wanted)
    if other:
        line += f" Image goes on with **{other}**, whose scores mean something else."
    return line


def _on_image(wanted: Preferences) -> str:
    """Return who is at work on Image, if that is somebody else than on Live."""
    live, still = (resolved(wanted.analyzer, live=live) for live in (True, False))
    return "" if live == still else still


def _save(desk: Desk, material: Material, wanted: Preferences) -> None:
    st.download_button(
        "Settings (JSON)",
        wanted.to_json(),
        file_name="maskdet-settings.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
        disabled=desk.choice.calibrated,
        width="stretch",
        help="“Load settings” in the sidebar reads it.",
    )
    st.download_button(
        "Report (HTML)",
        partial(_report, desk, material),
        file_name="maskdet-tuning.html",
        mime="text/html",
        icon=":material/description:",
        on_click="ignore",
        width="stretch",
        help="One page with charts, numbers, settings and the goal; it needs no "
        "network and prints well.",
    )
    if desk.choice.calibrated:
        st.caption(_CALIBRATED)
        return
    st.caption("This link opens the page with these settings:")
    st.code(wanted.link(st.context.url or ""), language=None, wrap_lines=True)


def _report(desk: Desk, material: Material) -> str:
    outcome = material.outcome(desk.choice)
    kept = material.outcome(desk.kept) if desk.kept else None
    compared = compare(outcome, kept) if kept else None
    return report_html(
        outcome,
        proposal=desk.proposal,
        compared=compared,
        style=session.preferences().style,
    )
