"""The Tune page's matrix and gallery: what is right, what is wrong, which faces."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from maskdet.charts.tune import CLICK_SELECTION
from maskdet.style import Style
from maskdet.tune.flips import (
    DecisionChange,
    NearMiss,
    find_decision_changes,
    find_near_misses,
)
from maskdet.tune.judging import (
    ACTUAL_KEYS,
    MISSED,
    NO_FACE,
    PREDICTED_KEYS,
    EvaluationResult,
)
from maskdet.web import session
from maskdet.web.tune import TuneState, TuningSet
from maskdet.web.tune_cards import FaceCard, face_cards_html
from maskdet.web.tune_charts import (
    actual_titles,
    predicted_titles,
    tuning_confusion_chart,
)

_CARDS_STEP = 12
"""Cards that are shown at first, and by each further click."""

_LAST, _NEAREST, _CELL = "The last move", "Nearest to changing", "A cell"
_SHOWN_KEY = "tune.shown"

_SETTING_TITLES = {
    "min_score": "face score",
    "min_confidence": "confidence",
    "min_face_px": "size",
    "nms_iou": "overlap",
}


def render_confusion(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the matrix, and the faces of a cell or of the last move."""
    outcome = tuning_set.evaluate(state.sliders)
    st.caption(
        "Each row is what is true, each column what was said. Blue is right, orange "
        "wrong. **Click a cell** to see its faces."
    )
    st.vega_lite_chart(
        tuning_confusion_chart(outcome, state.cell, style),
        key="tune.matrix",
        on_select=lambda: _on_matrix_click(state),
        selection_mode=CLICK_SELECTION,
        alt="Confusion matrix: what is true by what was said",
    )
    _render_gallery(state, tuning_set, outcome, style)


def _on_matrix_click(state: TuneState) -> None:
    selection = st.session_state["tune.matrix"]["selection"].get(CLICK_SELECTION) or []
    if selection:
        state.cell = int(selection[0]["row"]), int(selection[0]["column"])
        st.session_state["tune.cell"] = state.cell
        st.session_state[_SHOWN_KEY] = _CELL
        state.n_cards = _CARDS_STEP


def _render_gallery(
    state: TuneState, tuning_set: TuningSet, outcome: EvaluationResult, style: Style
) -> None:
    st.subheader("Faces", divider="gray")
    # A click on the matrix sets it too, so it has no other source of its value.
    st.session_state.setdefault(_SHOWN_KEY, _LAST)
    shown = st.segmented_control(
        "Which faces",
        (_LAST, _NEAREST, _CELL),
        required=True,
        label_visibility="collapsed",
        key=_SHOWN_KEY,
        on_change=_reset_card_count,
        args=(state,),
        persist_state="session",
    )
    if shown == _LAST:
        cards = _list_last_changes(state, tuning_set, outcome, style)
    elif shown == _NEAREST:
        cards = _list_near_misses(tuning_set, outcome)
    else:
        cards = _list_cell_faces(state, outcome, style)
    if not cards:
        return
    blur = session.get_preferences().style.blur
    st.html(
        face_cards_html(tuning_set, outcome, cards[: state.n_cards], style, blur=blur)
    )
    if len(cards) > state.n_cards:
        st.button(
            f"Show more (of {len(cards):,})",
            icon=":material/expand_more:",
            on_click=_show_more,
            args=(state,),
            key="tune.more",
        )


def _reset_card_count(state: TuneState) -> None:
    state.n_cards = _CARDS_STEP


def _show_more(state: TuneState) -> None:
    state.n_cards += _CARDS_STEP


def _list_last_changes(
    state: TuneState, tuning_set: TuningSet, outcome: EvaluationResult, style: Style
) -> list[FaceCard]:
    """Return the faces that changed, and say how many for the better."""
    if state.previous is None:
        st.info(
            "Move a slider: the faces that it flips appear here, the nearest first.",
            icon=":material/swipe:",
        )
        return _list_near_misses(tuning_set, outcome)
    before = state.previous
    changes: tuple[DecisionChange, ...] = tuning_set.get_cached(
        ("flips", before, state.sliders),
        lambda: find_decision_changes(tuning_set.evaluate(before), outcome),
    )
    better = sum(change.better is True for change in changes)
    worse = sum(change.better is False for change in changes)
    if not changes:
        st.caption("The last move changed no face.")
    else:
        st.caption(
            f"The last move flipped **{len(changes):,}** faces: {better:,} for the "
            f"better, {worse:,} for the worse. Those nearest to the threshold first."
        )
    return [FaceCard(change.face, _change_note(change, style)) for change in changes]


def _change_note(change: DecisionChange, style: Style) -> str:
    change_titles = {True: "Better", False: "Worse", None: "Neither better nor worse"}
    before, after = (
        _format_column(change.before, style),
        _format_column(change.after, style),
    )
    return f"{change_titles[change.better]}: was {before}, now {after}"


def _format_column(column: int, style: Style) -> str:
    if column == MISSED:
        return "not shown"
    return f"“{predicted_titles(style)[column]}”"


def _list_near_misses(
    tuning_set: TuningSet, outcome: EvaluationResult
) -> list[FaceCard]:
    st.caption("Mistakes that the smallest move of one slider would mend.")
    near_misses: Sequence[NearMiss] = tuning_set.get_cached(
        ("nearest", outcome.settings, outcome.min_iou, outcome.temperature),
        lambda: find_near_misses(outcome),
    )
    if not near_misses:
        st.caption("There is none.")
    return [
        FaceCard(near_miss.face, _near_miss_note(near_miss))
        for near_miss in near_misses
    ]


def _near_miss_note(near_miss: NearMiss) -> str:
    name = _SETTING_TITLES.get(near_miss.setting, near_miss.setting)
    if near_miss.setting == "min_face_px":
        return f"Its {name} is {near_miss.value:.0f} px, the slider at {near_miss.threshold:.0f}"
    return (
        f"Its {name} is {near_miss.value:.2f}, the slider at {near_miss.threshold:.2f}"
    )


def _list_cell_faces(
    state: TuneState, outcome: EvaluationResult, style: Style
) -> list[FaceCard]:
    """Return the faces of a cell; it can be chosen without a mouse too."""
    cells = [
        (row, column)
        for row in range(len(ACTUAL_KEYS))
        for column in range(len(PREDICTED_KEYS))
        if (row, column) != (NO_FACE, MISSED)
    ]
    if state.cell is None:
        state.cell = 1, MISSED
    if st.session_state.get("tune.cell") != state.cell:
        st.session_state["tune.cell"] = state.cell
    st.selectbox(
        "Cell",
        cells,
        format_func=lambda cell: _format_cell(outcome, cell, style),
        key="tune.cell",
        on_change=lambda: _on_cell_select(state),
        label_visibility="collapsed",
    )
    face_refs = outcome.faces_in_cell(*state.cell)
    if not face_refs:
        st.caption("There is no face in this cell.")
    return [FaceCard(face_ref) for face_ref in face_refs]


def _on_cell_select(state: TuneState) -> None:
    state.cell = st.session_state["tune.cell"]
    state.n_cards = _CARDS_STEP


def _format_cell(outcome: EvaluationResult, cell: tuple[int, int], style: Style) -> str:
    row, column = cell
    count = int(outcome.confusion[row, column])
    actual = actual_titles(style)[row]
    if column == MISSED:
        return f"{actual}: missed ({count:,})"
    return f"{actual}: said “{predicted_titles(style)[column]}” ({count:,})"
