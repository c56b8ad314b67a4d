"""The Models page's part about whole analyzers: who finds and labels the faces."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import streamlit as st

from maskdet.analyzer import ANALYZERS, AUTO, resolved
from maskdet.web import session
from maskdet.web.markdown import plain
from maskdet.web.models_analyzers import (
    INTERVAL,
    TIME,
    VALUE,
    VIEW_HELP,
    VIEWS,
    Known,
    View,
    chart,
    choices,
    known,
    measures,
    table,
    uses,
)

_JUST_CHOSEN = "maskdet.just_chosen_analyzer"

_COMMAND = "maskdet evaluate analyzers FILE.json ... --out "
_FILE = "models/analyzers.json"


def whole_analyzers() -> None:
    """Show all analyzers side by side, and let one be put in use."""
    st.header("Analyzers: who finds and labels", divider="gray")
    in_use = session.preferences().analyzer
    at_work = " and ".join(f"**{plain(name)}**" for name in uses(in_use))
    auto = " (auto)" if in_use == AUTO else ""
    st.markdown(
        "An analyzer finds the faces of a picture and says how each mask is worn: one "
        "network for both, or a finder and then the mask model. "
        f"In use: {at_work}{auto}."
    )
    missing = session.unavailable()
    shown = known()
    if shown.rows:
        usable = [name for name in ANALYZERS if name not in missing]
        _side_by_side(shown, in_use, usable)
    elif shown.problem:
        st.warning(plain(shown.problem), icon=":material/folder_off:")
    else:
        st.info(
            f"There is no comparison to show. `{_COMMAND}{_FILE}` measures the "
            "analyzers that are here.",
            icon=":material/folder_open:",
        )
    _choice(in_use, missing)


def _side_by_side(shown: Known, in_use: str, usable: list[str]) -> None:
    view: View = st.segmented_control(
        "What counts",
        list(VIEWS),
        default="ap",
        required=True,
        format_func=VIEWS.__getitem__,
        key="models.view",
        persist_state="session",
    )
    st.caption(
        f"{VIEW_HELP[view]} Where two intervals overlap much, the difference may be "
        "chance."
    )
    style = session.preferences().style
    columns = table(shown, view, in_use=in_use, usable=usable, style=style)
    st.dataframe(
        pd.DataFrame(columns),
        hide_index=True,
        column_config=_columns(shown),
        placeholder="\N{EN DASH}",
        alt=f"Table of the analyzers: {VIEWS[view].lower()}, and time a picture",
    )
    st.caption(
        "All were measured by one command on one machine, on scenes that ours were "
        f"tuned on but not trained on: `{_COMMAND}{_FILE}`. Times are medians of a "
        "whole picture; yours will differ, their order hardly."
    )
    _charts(shown, view)


def _columns(shown: Known) -> dict[str, Any]:
    """Return how columns look, by their own heading."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "Analyzer": text(pinned=True, width=105),
        "Use": text(width=125),
        VALUE: number(format="%.3f", width=60),
        INTERVAL: text(alignment="right", width=115),
        **{name: number(format="%.1f", width=85) for name in shown.sets},
        "What it is": text(width="large"),
    }


def _charts(shown: Known, view: View) -> None:
    style = session.preferences().style
    titles = measures(view, style)
    measure = st.segmented_control(
        "Against time",
        list(titles),
        default=next(iter(titles)),
        required=True,
        format_func=lambda key: plain(titles[key]),
        key=f"models.against.{'shown' if view == 'shown' else 'ap'}",
        persist_state="session",
    )
    st.caption("With 95 % intervals: higher is better, further left is faster.")
    for start in range(0, len(shown.sets), 2):
        row = shown.sets[start : start + 2]
        for place, set_name in zip(st.columns(2), row, strict=False):
            place.vega_lite_chart(
                chart(shown, set_name, view, measure, style),
                alt=f"{titles[measure]} on {set_name} against {TIME.lower()}",
            )


def _choice(in_use: str, missing: dict[str, str]) -> None:
    """Say what each analyzer is, and let it be put in use."""
    st.subheader("Choose one", divider="gray")
    name = st.segmented_control(
        "Analyzer",
        choices(),
        default=in_use,
        required=True,
        key="models.analyzer",
        persist_state="session",
    )
    st.markdown(f"**{plain(name)}**: {_what(name)}.")
    reason = _why_not(name, in_use, missing)
    st.button(
        "Use this analyzer",
        type="primary",
        icon=":material/check:",
        disabled=bool(reason),
        on_click=_use,
        args=(name,),
        key=f"models.use_analyzer.{name}",
    )
    # A toast of the callback itself would be lost: the page is drawn after it.
    if st.session_state.pop(_JUST_CHOSEN, "") == name:
        text = f"From now on **{plain(name)}** finds and labels the faces."
        st.toast(text, icon=":material/check:")
    if reason:
        st.caption(reason)


def _what(name: str) -> str:
    if name != AUTO:
        return ANALYZERS[name]
    live, still = (resolved(AUTO, live=one) for one in (True, False))
    if live == still:
        return f"the best that is here, now {live}"
    return f"the best that is here, {live} on Live and {still} for pictures"


def _why_not(name: str, in_use: str, missing: dict[str, str]) -> str:
    """Return why an analyzer cannot be put in use, or an empty text."""
    if name == in_use:
        return "It is in use: the sidebar and every page go by it."
    if name in missing:
        return f"It cannot be used here: {plain(missing[name])}."
    return ""


def _use(name: str) -> None:
    before = session.preferences()
    session.set_preferences(dataclasses.replace(before, analyzer=name))
    st.session_state[_JUST_CHOSEN] = name
