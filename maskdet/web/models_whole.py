"""The Models page's part about whole analyzers: who finds and labels the faces."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import streamlit as st

from maskdet.analyzer import ANALYZERS, AUTO, resolve_analyzer
from maskdet.web import session
from maskdet.web.markdown import escape_markdown
from maskdet.web.models_analyzers import (
    INTERVAL_HEADING,
    METRIC_VIEW_HELP,
    METRIC_VIEWS,
    TIME_HEADING,
    VALUE_HEADING,
    AnalyzerComparison,
    MetricView,
    analyzer_chart,
    analyzer_choices,
    analyzer_table,
    describe_use,
    load_analyzer_comparison,
    metric_titles,
)

_APPLIED_ANALYZER_KEY = "maskdet.just_chosen_analyzer"

_EVALUATE_COMMAND = "maskdet evaluate analyzers FILE.json ... --out "
_COMPARISON_PATH = "models/analyzers.json"


def render_analyzers() -> None:
    """Show all analyzers side by side, and let one be put in use."""
    st.header("Analyzers: who finds and labels", divider="gray")
    in_use = session.get_preferences().analyzer
    in_use_names = " and ".join(
        f"**{escape_markdown(name)}**" for name in describe_use(in_use)
    )
    auto = " (auto)" if in_use == AUTO else ""
    st.markdown(
        "An analyzer finds the faces of a picture and says how each mask is worn: one "
        "network for both, or a finder and then the mask model. "
        f"In use: {in_use_names}{auto}."
    )
    missing = session.list_unavailable_analyzers()
    results = load_analyzer_comparison()
    if results.rows:
        usable = [name for name in ANALYZERS if name not in missing]
        _render_analyzer_table(results, in_use, usable)
    elif results.problem:
        st.warning(escape_markdown(results.problem), icon=":material/folder_off:")
    else:
        st.info(
            f"There is no comparison to show. `{_EVALUATE_COMMAND}{_COMPARISON_PATH}` "
            "measures the "
            "analyzers that are here.",
            icon=":material/folder_open:",
        )
    _render_analyzer_choice(in_use, missing)


def _render_analyzer_table(
    results: AnalyzerComparison, in_use: str, usable: list[str]
) -> None:
    view: MetricView = st.segmented_control(
        "What counts",
        list(METRIC_VIEWS),
        default="ap",
        required=True,
        format_func=METRIC_VIEWS.__getitem__,
        key="models.view",
        persist_state="session",
    )
    st.caption(
        f"{METRIC_VIEW_HELP[view]} Where two intervals overlap much, the difference "
        "may be "
        "chance."
    )
    style = session.get_preferences().style
    columns = analyzer_table(results, view, in_use=in_use, usable=usable, style=style)
    st.dataframe(
        pd.DataFrame(columns),
        hide_index=True,
        column_config=_column_config(results),
        placeholder="\N{EN DASH}",
        alt=f"Table of the analyzers: {METRIC_VIEWS[view].lower()}, and time a picture",
    )
    st.caption(
        "All were measured by one command on one machine, on scenes that ours were "
        f"tuned on but not trained on: `{_EVALUATE_COMMAND}{_COMPARISON_PATH}`. Times "
        "are medians of a "
        "whole picture; yours will differ, their order hardly."
    )
    _render_analyzer_charts(results, view)


def _column_config(results: AnalyzerComparison) -> dict[str, Any]:
    """Return how columns look, by their own heading."""
    number_column, text_column = (
        st.column_config.NumberColumn,
        st.column_config.TextColumn,
    )
    return {
        "Analyzer": text_column(pinned=True, width=105),
        "Use": text_column(width=125),
        VALUE_HEADING: number_column(format="%.3f", width=60),
        INTERVAL_HEADING: text_column(alignment="right", width=115),
        **{name: number_column(format="%.1f", width=85) for name in results.set_names},
        "What it is": text_column(width="large"),
    }


def _render_analyzer_charts(results: AnalyzerComparison, view: MetricView) -> None:
    style = session.get_preferences().style
    titles = metric_titles(view, style)
    measure = st.segmented_control(
        "Against time",
        list(titles),
        default=next(iter(titles)),
        required=True,
        format_func=lambda key: escape_markdown(titles[key]),
        key=f"models.against.{'shown' if view == 'shown' else 'ap'}",
        persist_state="session",
    )
    st.caption("With 95 % intervals: higher is better, further left is faster.")
    for start in range(0, len(results.set_names), 2):
        row = results.set_names[start : start + 2]
        for column, set_name in zip(st.columns(2), row, strict=False):
            column.vega_lite_chart(
                analyzer_chart(results, set_name, view, measure, style),
                alt=f"{titles[measure]} on {set_name} against {TIME_HEADING.lower()}",
            )


def _render_analyzer_choice(in_use: str, missing: dict[str, str]) -> None:
    """Say what each analyzer is, and let it be put in use."""
    st.subheader("Choose one", divider="gray")
    name = st.segmented_control(
        "Analyzer",
        analyzer_choices(),
        default=in_use,
        required=True,
        key="models.analyzer",
        persist_state="session",
    )
    st.markdown(f"**{escape_markdown(name)}**: {_describe_analyzer(name)}.")
    reason = _unusable_reason(name, in_use, missing)
    st.button(
        "Use this analyzer",
        type="primary",
        icon=":material/check:",
        disabled=bool(reason),
        on_click=_use_analyzer,
        args=(name,),
        key=f"models.use_analyzer.{name}",
    )
    # A toast of the callback itself would be lost: the page is drawn after it.
    if st.session_state.pop(_APPLIED_ANALYZER_KEY, "") == name:
        text = f"From now on **{escape_markdown(name)}** finds and labels the faces."
        st.toast(text, icon=":material/check:")
    if reason:
        st.caption(reason)


def _describe_analyzer(name: str) -> str:
    if name != AUTO:
        return ANALYZERS[name]
    live_analyzer, image_analyzer = (
        resolve_analyzer(AUTO, live=is_live) for is_live in (True, False)
    )
    if live_analyzer == image_analyzer:
        return f"the best that is here, now {live_analyzer}"
    return f"the best that is here, {live_analyzer} on Live and {image_analyzer} for pictures"


def _unusable_reason(name: str, in_use: str, missing: dict[str, str]) -> str:
    """Return why an analyzer cannot be put in use, or an empty text."""
    if name == in_use:
        return "It is in use: the sidebar and every page go by it."
    if name in missing:
        return f"It cannot be used here: {escape_markdown(missing[name])}."
    return ""


def _use_analyzer(name: str) -> None:
    preferences = session.get_preferences()
    session.set_preferences(dataclasses.replace(preferences, analyzer=name))
    st.session_state[_APPLIED_ANALYZER_KEY] = name
