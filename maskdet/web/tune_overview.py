"""What the Tune page always shows: the price of the sliders, and where they cut."""

from __future__ import annotations

import dataclasses
import math
from html import escape

import streamlit as st

from maskdet.charts.tune import PICK
from maskdet.metrics.estimate import Estimate
from maskdet.style import Style, line_style
from maskdet.tune.histograms import What
from maskdet.tune.judging import MISSED, UNSURE
from maskdet.tune.scored import FLOOR_SCORE
from maskdet.tune.table import ClassRow, class_rows
from maskdet.types import Label
from maskdet.web.cards import tile_html, tiles_html
from maskdet.web.markdown import plain
from maskdet.web.tune import Choice, Desk, Material
from maskdet.web.tune_charts import SCORE_TITLES, histogram

_LINES: dict[What, str] = {
    "score": "Faces stand on the axis, what is no face hangs from it. All left of the "
    "line is not shown: faces there are missed, grey right of it is a false alarm. "
    "Low counts are drawn taller, so that they show. **Click or drag to move the "
    "line.**",
    "confidence": "How sure the label of each face is that is shown. All left of the "
    "line is called “{unsure}”. **Click or drag to move the line.**",
}


def price(desk: Desk, material: Material, style: Style) -> None:
    """Show the numbers that matter first, and how the last move changed them."""
    st.html(_tiles(desk, material, style))


def cut(desk: Desk, material: Material, style: Style) -> None:
    """Show the histogram with its line."""
    what: What = st.segmented_control(
        "What the line cuts",
        list(SCORE_TITLES),
        default="score",
        required=True,
        format_func=SCORE_TITLES.__getitem__,
        label_visibility="collapsed",
        key="tune.what",
        persist_state="session",
    )
    st.caption(_LINES[what].format(unsure=plain(style.title(Label.UNKNOWN))))
    key = f"tune.histogram.{what}"
    st.vega_lite_chart(
        histogram(material.outcome(desk.choice), what, style),
        key=key,
        on_select=lambda: _clicked(desk, what, key),
        selection_mode=PICK,
        alt=f"{SCORE_TITLES[what]} of the faces by what is true, with the threshold",
    )


def _clicked(desk: Desk, what: What, key: str) -> None:
    picked = st.session_state[key]["selection"].get(PICK) or []
    if not picked:
        return
    at = round(float(picked[0]["at"]), 2)
    settings = desk.choice.settings
    if what == "score":
        at = max(FLOOR_SCORE, at)
        desk.set_settings(dataclasses.replace(settings, min_score=at))
    else:
        desk.set_settings(dataclasses.replace(settings, min_confidence=at))


def _tiles(desk: Desk, material: Material, style: Style) -> str:
    now = _numbers(material, desk.choice, style)
    was = _numbers(material, desk.before, style) if desk.before else {}
    bare = f"{line_style(Label.NO_MASK)} {style.colour_css(Label.NO_MASK)}"
    edges = dict.fromkeys(_of_bare(style), bare)
    return tiles_html(
        [
            tile_html(
                escape(name), _told(value, was.get(name)), edge=edges.get(name, "")
            )
            for name, value in now.items()
        ]
    )


def _of_bare(style: Style) -> tuple[str, str]:
    """Return the names of the two numbers about faces without a mask."""
    name = f"“{style.title(Label.NO_MASK)}”"
    return f"{name} found", f"right when it says {name}"


def _numbers(
    material: Material, choice: Choice, style: Style
) -> dict[str, tuple[float, str]]:
    """Return the numbers by name, each with its unit."""
    outcome = material.outcome(choice)
    rows = material.once(("rows", choice), lambda: class_rows(outcome))
    by_label: dict[Label | None, ClassRow] = {row.label: row for row in rows}
    faces, bare = by_label[None], by_label[Label.NO_MASK]
    shown = int(outcome.confusion[:, :MISSED].sum())
    found, right = _of_bare(style)
    called = f"called “{style.title(Label.UNKNOWN)}”"
    unsure = int(outcome.confusion[:, UNSURE].sum())
    return {
        "faces found": _percent(faces.recall),
        "false alarms a picture": (faces.false_alarms.value, ""),
        found: _percent(bare.recall),
        right: _percent(bare.precision),
        called: (100 * unsure / shown if shown else math.nan, " %"),
    }


def _percent(one: Estimate) -> tuple[float, str]:
    return (100 * one.value if one.n else math.nan), " %"


def _told(now: tuple[float, str], was: tuple[float, str] | None) -> str:
    """Return a number, and small beside it how it changed with the last move."""
    value, unit = now
    if math.isnan(value):
        return "\N{EN DASH}"
    digits = 1 if unit else 2
    text = f"{value:.{digits}f}{unit}"
    if was is None or math.isnan(was[0]):
        return text
    change = round(value - was[0], digits)
    moved = f"{change:+.{digits}f}" if change else "±0"
    return f'{text} <small style="font-size:.8rem;font-weight:400">{moved}</small>'
