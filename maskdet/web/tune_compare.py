"""The Tune page's comparison: two settings, or two analyzers, face by face."""

from __future__ import annotations

import dataclasses

import pandas as pd
import streamlit as st

from maskdet.metrics.estimate import Estimate
from maskdet.style import Style
from maskdet.tune.comparing import Comparison, compare
from maskdet.tune.judging import Hit, Outcome
from maskdet.web import session
from maskdet.web.cards import tile_html, tiles_html
from maskdet.web.tune import Choice, Desk, Material, offered
from maskdet.web.tune_cards import Card, cards_html
from maskdet.web.tune_data import same_set

_KEPT, _BEFORE, _LIVE = "B: what I kept", "B: before the last move", "B: what Live uses"
_CHANCE = 0.05
_FIRST = 12


def compare_view(desk: Desk, material: Material, style: Style) -> None:
    """Show what the sliders get right that another choice does not, and the reverse."""
    others = _others(desk, material)
    st.caption(
        "**A** is what the sliders say now. What does each get right that the other "
        "does not? Right is: found, and called what it is."
    )
    if not others:
        st.info(
            "Press “Keep as B”, then move a slider: the two are compared here.",
            icon=":material/compare_arrows:",
        )
        return
    name = st.selectbox("Compare with", list(others), key="tune.against")
    other, choice = others[name]
    a, b = material.outcome(desk.choice), other.outcome(choice)
    got: Comparison = material.once(
        ("compare", desk.choice, name, choice), lambda: compare(a, b)
    )
    st.html(
        tiles_html(
            [
                tile_html("only A gets right", len(got.only_a)),
                tile_html("only B gets right", len(got.only_b)),
                tile_html("both", got.both),
                tile_html("neither", got.neither),
            ]
        )
    )
    st.markdown(_verdict(got))
    _table(got, a, b)
    _faces(got, (material, a), (other, b), style)


def _others(desk: Desk, material: Material) -> dict[str, tuple[Material, Choice]]:
    """Return what differs from the sliders and can be compared, by its title."""
    live = dataclasses.replace(desk.choice, settings=offered(desk.based_on))
    mine = {_KEPT: desk.kept, _LIVE: live, _BEFORE: desk.before}
    found = {
        title: (material, choice)
        for title, choice in mine.items()
        if choice is not None and choice != desk.choice
    }
    for other in same_set(desk, material).values():
        found[f"B: {other.scored.analyzer}, same sliders"] = other, desk.choice
    return found


def _verdict(got: Comparison) -> str:
    if not len(got.only_a) + len(got.only_b):
        return "Both get the same faces right."
    ends = (
        f"95 % interval {_points(got.difference.low)} to {_points(got.difference.high)}"
    )
    size = f"A minus B is {_points(got.difference.value)} points ({ends})."
    p = f"p = {got.p:.3f}" if got.p >= 0.001 else "p is less than 0.001"
    said = f"McNemar's test: {p}"
    if got.p >= _CHANCE:
        return f"The difference **may be chance**. {size} {said}."
    better = "A" if len(got.only_a) > len(got.only_b) else "B"
    return f"**{better} gets more right**, by more than chance. {size} {said}."


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _table(got: Comparison, a: Outcome, b: Outcome) -> None:
    rights = got.right_a, got.right_b
    alarms = got.false_alarms_a, got.false_alarms_b
    rows: dict[str, list[str]] = {
        "Analyzer": [one.scored.analyzer for one in (a, b)],
        "Found and right": [_percent(one) for one in rights],
        "False alarms a picture": [f"{one.value:.2f}" for one in alarms],
        "Face score": [f"{one.settings.min_score:.2f}" for one in (a, b)],
        "Confidence": [f"{one.settings.min_confidence:.2f}" for one in (a, b)],
        "Smallest face (px)": [f"{one.settings.min_face_px:g}" for one in (a, b)],
        "Overlap of boxes": [f"{one.settings.nms_iou:.2f}" for one in (a, b)],
    }
    table = {"": list(rows)}
    table |= {name: [row[at] for row in rows.values()] for at, name in enumerate("AB")}
    st.dataframe(pd.DataFrame(table), hide_index=True, alt="A and B in numbers")


def _percent(estimate: Estimate) -> str:
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.1f} % ({low:.1f} to {high:.1f})"


def _faces(
    got: Comparison,
    a: tuple[Material, Outcome],
    b: tuple[Material, Outcome],
    style: Style,
) -> None:
    title = st.segmented_control(
        "Faces",
        ("Only A is right", "Only B is right"),
        default="Only A is right",
        required=True,
        key="tune.only",
        persist_state="session",
        label_visibility="collapsed",
    )
    rows = got.only_a if title == "Only A is right" else got.only_b
    # What the one that errs says of it is the news.
    material, outcome = b if title == "Only A is right" else a
    letter = "B" if title == "Only A is right" else "A"
    if not len(rows):
        st.caption("There is none.")
        return
    st.caption(f"What {letter} says of them; the first {min(_FIRST, len(rows))}.")
    cards = [Card(_hit(outcome, int(row))) for row in rows[:_FIRST]]
    blur = session.preferences().style.blur
    st.html(cards_html(material, outcome, cards, style, blur=blur))


def _hit(outcome: Outcome, truth_row: int) -> Hit:
    place = int(outcome.found[truth_row])
    return outcome.missed(truth_row) if place < 0 else outcome.hit(place)
