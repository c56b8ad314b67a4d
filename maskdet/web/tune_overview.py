"""What the Tune page always shows: the price of the sliders, and where they cut."""

from __future__ import annotations

import dataclasses
import math
from html import escape

import streamlit as st

from maskdet.charts.tune import CLICK_SELECTION
from maskdet.metrics.estimate import Estimate
from maskdet.style import Style, line_style
from maskdet.tune.histograms import HistogramQuantity
from maskdet.tune.judging import MISSED, UNSURE
from maskdet.tune.scored import MIN_STORED_SCORE
from maskdet.tune.table import ClassMetrics, compute_class_metrics
from maskdet.types import Label
from maskdet.web.cards import metric_html, metrics_html
from maskdet.web.markdown import escape_markdown
from maskdet.web.tune import SliderValues, TuneState, TuningSet
from maskdet.web.tune_charts import SCORE_TITLES, score_histogram_chart

_HISTOGRAM_NOTES: dict[HistogramQuantity, str] = {
    "score": "Faces stand on the axis, what is no face hangs from it. All left of the "
    "line is not shown: faces there are missed, grey right of it is a false alarm. "
    "Low counts are drawn taller, so that they show. **Click or drag to move the "
    "line.**",
    "confidence": "How sure the label of each face is that is shown. All left of the "
    "line is called “{unsure}”. **Click or drag to move the line.**",
}


def render_kpis(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the numbers that matter first, and how the last move changed them."""
    st.html(_kpi_tiles_html(state, tuning_set, style))


def render_histogram(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the histogram with its line."""
    score_kind: HistogramQuantity = st.segmented_control(
        "What the line cuts",
        list(SCORE_TITLES),
        default="score",
        required=True,
        format_func=SCORE_TITLES.__getitem__,
        label_visibility="collapsed",
        key="tune.what",
        persist_state="session",
    )
    st.caption(
        _HISTOGRAM_NOTES[score_kind].format(
            unsure=escape_markdown(style.title(Label.UNKNOWN))
        )
    )
    key = f"tune.histogram.{score_kind}"
    st.vega_lite_chart(
        score_histogram_chart(tuning_set.evaluate(state.sliders), score_kind, style),
        key=key,
        on_select=lambda: _on_histogram_click(state, score_kind, key),
        selection_mode=CLICK_SELECTION,
        alt=f"{SCORE_TITLES[score_kind]} of the faces by what is true, with the threshold",
    )


def _on_histogram_click(
    state: TuneState, score_kind: HistogramQuantity, key: str
) -> None:
    selection = st.session_state[key]["selection"].get(CLICK_SELECTION) or []
    if not selection:
        return
    threshold = round(float(selection[0]["at"]), 2)
    settings = state.sliders.settings
    if score_kind == "score":
        threshold = max(MIN_STORED_SCORE, threshold)
        state.set_settings(dataclasses.replace(settings, min_score=threshold))
    else:
        state.set_settings(dataclasses.replace(settings, min_confidence=threshold))


def _kpi_tiles_html(state: TuneState, tuning_set: TuningSet, style: Style) -> str:
    current = _compute_kpis(tuning_set, state.sliders, style)
    previous = (
        _compute_kpis(tuning_set, state.previous, style) if state.previous else {}
    )
    no_mask_edge = f"{line_style(Label.NO_MASK)} {style.colour_css(Label.NO_MASK)}"
    edges = dict.fromkeys(_no_mask_kpi_names(style), no_mask_edge)
    return metrics_html(
        [
            metric_html(
                escape(name),
                _format_kpi(value, previous.get(name)),
                edge=edges.get(name, ""),
            )
            for name, value in current.items()
        ]
    )


def _no_mask_kpi_names(style: Style) -> tuple[str, str]:
    """Return the names of the two numbers about faces without a mask."""
    name = f"“{style.title(Label.NO_MASK)}”"
    return f"{name} found", f"right when it says {name}"


def _compute_kpis(
    tuning_set: TuningSet, sliders: SliderValues, style: Style
) -> dict[str, tuple[float, str]]:
    """Return the numbers by name, each with its unit."""
    outcome = tuning_set.evaluate(sliders)
    rows = tuning_set.get_cached(
        ("rows", sliders), lambda: compute_class_metrics(outcome)
    )
    by_label: dict[Label | None, ClassMetrics] = {row.label: row for row in rows}
    faces, no_mask_row = by_label[None], by_label[Label.NO_MASK]
    shown = int(outcome.confusion[:, :MISSED].sum())
    recall_name, precision_name = _no_mask_kpi_names(style)
    unsure_name = f"called “{style.title(Label.UNKNOWN)}”"
    unsure = int(outcome.confusion[:, UNSURE].sum())
    return {
        "faces found": _percent_value(faces.recall),
        "false alarms a picture": (faces.false_positives_per_image.value, ""),
        recall_name: _percent_value(no_mask_row.recall),
        precision_name: _percent_value(no_mask_row.precision),
        unsure_name: (100 * unsure / shown if shown else math.nan, " %"),
    }


def _percent_value(estimate: Estimate) -> tuple[float, str]:
    return (100 * estimate.value if estimate.n else math.nan), " %"


def _format_kpi(current: tuple[float, str], previous: tuple[float, str] | None) -> str:
    """Return a number, and small beside it how it changed with the last move."""
    value, unit = current
    if math.isnan(value):
        return "\N{EN DASH}"
    digits = 1 if unit else 2
    text = f"{value:.{digits}f}{unit}"
    if previous is None or math.isnan(previous[0]):
        return text
    change = round(value - previous[0], digits)
    change_text = f"{change:+.{digits}f}" if change else "±0"
    return (
        f'{text} <small style="font-size:.8rem;font-weight:400">{change_text}</small>'
    )
