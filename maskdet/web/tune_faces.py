"""The Tune page's matrix and gallery: what is right, what is wrong, which faces."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from maskdet.charts.tune import PICK
from maskdet.style import Style
from maskdet.tune.flips import Flip, Near, flips, nearest
from maskdet.tune.judging import ACTUAL, MISSED, NO_FACE, SAID, Outcome
from maskdet.web import session
from maskdet.web.tune import Desk, Material
from maskdet.web.tune_cards import Card, cards_html
from maskdet.web.tune_charts import actual_titles, matrix, said_titles

_MORE = 12
"""Cards that are shown at first, and by each further click."""

_LAST, _NEAREST, _CELL = "The last move", "Nearest to changing", "A cell"
_SHOWN = "tune.shown"

_SETTING_TITLES = {
    "min_score": "face score",
    "min_confidence": "confidence",
    "min_face_px": "size",
    "nms_iou": "overlap",
}


def faces(desk: Desk, material: Material, style: Style) -> None:
    """Show the matrix, and the faces of a cell or of the last move."""
    outcome = material.outcome(desk.choice)
    st.caption(
        "Each row is what is true, each column what was said. Blue is right, orange "
        "wrong. **Click a cell** to see its faces."
    )
    st.vega_lite_chart(
        matrix(outcome, desk.cell, style),
        key="tune.matrix",
        on_select=lambda: _clicked(desk),
        selection_mode=PICK,
        alt="Confusion matrix: what is true by what was said",
    )
    _gallery(desk, material, outcome, style)


def _clicked(desk: Desk) -> None:
    picked = st.session_state["tune.matrix"]["selection"].get(PICK) or []
    if picked:
        desk.cell = int(picked[0]["row"]), int(picked[0]["column"])
        st.session_state["tune.cell"] = desk.cell
        st.session_state[_SHOWN] = _CELL
        desk.first = _MORE


def _gallery(desk: Desk, material: Material, outcome: Outcome, style: Style) -> None:
    st.subheader("Faces", divider="gray")
    # A click on the matrix sets it too, so it has no other source of its value.
    st.session_state.setdefault(_SHOWN, _LAST)
    shown = st.segmented_control(
        "Which faces",
        (_LAST, _NEAREST, _CELL),
        required=True,
        label_visibility="collapsed",
        key=_SHOWN,
        on_change=_from_the_start,
        args=(desk,),
        persist_state="session",
    )
    if shown == _LAST:
        cards = _last_move(desk, material, outcome, style)
    elif shown == _NEAREST:
        cards = _nearest(material, outcome)
    else:
        cards = _of_cell(desk, outcome, style)
    if not cards:
        return
    blur = session.preferences().style.blur
    st.html(cards_html(material, outcome, cards[: desk.first], style, blur=blur))
    if len(cards) > desk.first:
        st.button(
            f"Show more (of {len(cards):,})",
            icon=":material/expand_more:",
            on_click=_show_more,
            args=(desk,),
            key="tune.more",
        )


def _from_the_start(desk: Desk) -> None:
    desk.first = _MORE


def _show_more(desk: Desk) -> None:
    desk.first += _MORE


def _last_move(
    desk: Desk, material: Material, outcome: Outcome, style: Style
) -> list[Card]:
    """Return the faces that changed, and say how many for the better."""
    if desk.before is None:
        st.info(
            "Move a slider: the faces that it flips appear here, the nearest first.",
            icon=":material/swipe:",
        )
        return _nearest(material, outcome)
    before = desk.before
    changed: tuple[Flip, ...] = material.once(
        ("flips", before, desk.choice),
        lambda: flips(material.outcome(before), outcome),
    )
    better = sum(flip.better is True for flip in changed)
    worse = sum(flip.better is False for flip in changed)
    if not changed:
        st.caption("The last move changed no face.")
    else:
        st.caption(
            f"The last move flipped **{len(changed):,}** faces: {better:,} for the "
            f"better, {worse:,} for the worse. Those nearest to the threshold first."
        )
    return [Card(flip.hit, _flip_note(flip, style)) for flip in changed]


def _flip_note(flip: Flip, style: Style) -> str:
    verdict = {True: "Better", False: "Worse", None: "Neither better nor worse"}
    was, now = _words(flip.before, style), _words(flip.after, style)
    return f"{verdict[flip.better]}: was {was}, now {now}"


def _words(column: int, style: Style) -> str:
    if column == MISSED:
        return "not shown"
    return f"“{said_titles(style)[column]}”"


def _nearest(material: Material, outcome: Outcome) -> list[Card]:
    st.caption("Mistakes that the smallest move of one slider would mend.")
    near: Sequence[Near] = material.once(
        ("nearest", outcome.settings, outcome.min_iou, outcome.temperature),
        lambda: nearest(outcome),
    )
    if not near:
        st.caption("There is none.")
    return [Card(one.hit, _near_note(one)) for one in near]


def _near_note(near: Near) -> str:
    name = _SETTING_TITLES.get(near.setting, near.setting)
    if near.setting == "min_face_px":
        return f"Its {name} is {near.value:.0f} px, the slider at {near.threshold:.0f}"
    return f"Its {name} is {near.value:.2f}, the slider at {near.threshold:.2f}"


def _of_cell(desk: Desk, outcome: Outcome, style: Style) -> list[Card]:
    """Return the faces of a cell; it can be chosen without a mouse too."""
    cells = [
        (row, column)
        for row in range(len(ACTUAL))
        for column in range(len(SAID))
        if (row, column) != (NO_FACE, MISSED)
    ]
    if desk.cell is None:
        desk.cell = 1, MISSED
    if st.session_state.get("tune.cell") != desk.cell:
        st.session_state["tune.cell"] = desk.cell
    st.selectbox(
        "Cell",
        cells,
        format_func=lambda cell: _cell_title(outcome, cell, style),
        key="tune.cell",
        on_change=lambda: _choose_cell(desk),
        label_visibility="collapsed",
    )
    hits = outcome.cell(*desk.cell)
    if not hits:
        st.caption("There is no face in this cell.")
    return [Card(hit) for hit in hits]


def _choose_cell(desk: Desk) -> None:
    desk.cell = st.session_state["tune.cell"]
    desk.first = _MORE


def _cell_title(outcome: Outcome, cell: tuple[int, int], style: Style) -> str:
    row, column = cell
    count = int(outcome.confusion[row, column])
    truth = actual_titles(style)[row]
    if column == MISSED:
        return f"{truth}: missed ({count:,})"
    return f"{truth}: said “{said_titles(style)[column]}” ({count:,})"
