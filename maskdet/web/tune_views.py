"""The Tune page's further views: curves, numbers, confidence, two side by side."""

from __future__ import annotations

import dataclasses
import math
from html import escape
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import streamlit as st

from maskdet.metrics.estimate import Estimate
from maskdet.style import Style
from maskdet.tune import curves
from maskdet.tune.band import AbstentionBand, evaluate_band
from maskdet.tune.curves import TuningCurve
from maskdet.tune.table import compute_class_metrics, compute_slice_metrics
from maskdet.types import CLASSES, Label
from maskdet.web import tune_charts as charts
from maskdet.web.cards import metric_html, metrics_html
from maskdet.web.markdown import escape_markdown
from maskdet.web.tune import TuneState, TuningSet
from maskdet.wording import format_count

CurveKind: TypeAlias = Literal["precision_recall", "roc"]

_DASH = "\N{EN DASH}"


def render_curves(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show precision and recall, ROC, and alarms, with the point in use on them."""
    labels: tuple[Label | None, ...] = (None, *CLASSES)
    pr_curves = {
        label: _get_curve(state, tuning_set, "precision_recall", label)
        for label in labels
    }
    st.markdown("**Precision and recall**")
    st.caption(
        "How often it is right when it says so, for each share that it finds. The dots "
        "are your sliders: further up fewer false alarms, further right fewer misses."
    )
    st.vega_lite_chart(
        charts.tuning_precision_recall_chart(list(pr_curves.values()), style),
        alt="Precision against recall, for faces and each class",
    )
    roc_curves = {
        label: _get_curve(state, tuning_set, "roc", label) for label in labels
    }
    st.markdown("**ROC**")
    st.caption(
        "Among the faces found: how many of a class are called so, against how many "
        "others are too. The nearer the upper left corner, the better."
    )
    st.vega_lite_chart(
        charts.tuning_roc_chart([roc_curves[label] for label in CLASSES], style),
        alt="ROC of each class",
    )
    st.markdown("**Faces found against false alarms**")
    st.caption(
        "What one more face costs: how many false alarms a picture has at each share "
        "of faces found."
    )
    st.vega_lite_chart(
        charts.false_positive_chart(roc_curves[None], style),
        alt="Faces found against false alarms a picture",
    )
    _render_areas(pr_curves, roc_curves, style)


def _get_curve(
    state: TuneState, tuning_set: TuningSet, kind: CurveKind, label: Label | None
) -> TuningCurve:
    """Return a curve, made once for each choice that changes more than its point.

    Args:
        state: what the sliders say.
        tuning_set: what they are tried on.
        kind: which curve.
        label: of which class, None for faces whatever their class.
    """
    sliders = state.sliders
    settings = sliders.settings
    is_swept = kind == "precision_recall" or label is None
    if is_swept:
        settings = dataclasses.replace(settings, min_score=0)
    if label is None:
        settings = dataclasses.replace(settings, min_confidence=0)
    temperature = tuning_set.calibration_fit.temperature if sliders.calibrated else 1.0
    compute = (
        curves.compute_precision_recall
        if kind == "precision_recall"
        else curves.compute_roc
    )
    curve = tuning_set.get_cached(
        (kind, label, settings, sliders.min_iou, sliders.calibrated),
        lambda: compute(
            tuning_set.evaluator,
            settings,
            label,
            min_iou=sliders.min_iou,
            temperature=temperature,
        ),
    )
    return _set_curve_point(curve, sliders.settings.min_score) if is_swept else curve


def _set_curve_point(curve: TuningCurve, min_score: float) -> TuningCurve:
    """Return a curve over the face score with the point of another threshold."""
    # Scores are float32: the threshold must be compared as they are.
    threshold = np.float32(min_score)
    n_above = int(np.count_nonzero(curve.thresholds.astype(np.float32) >= threshold))
    index = n_above - 1
    no_point = (math.nan, math.nan)
    point = (float(curve.x[index]), float(curve.y[index])) if n_above else no_point
    return dataclasses.replace(curve, point=point)


def _render_areas(
    pr_curves: dict[Label | None, TuningCurve],
    roc_curves: dict[Label | None, TuningCurve],
    style: Style,
) -> None:
    st.caption("Areas under the curves with 95 % intervals: 1 is perfect.")
    rows = [
        {
            "": "Faces" if label is None else style.title(label),
            "Average precision": _format_decimals(pr_curves[label].area),
            "ROC area": _DASH
            if label is None
            else _format_decimals(roc_curves[label].area),
            "n": pr_curves[label].area.n,
        }
        for label in pr_curves
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Areas under the curves")


def render_class_metrics(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the numbers of each class, and of parts of the set."""
    outcome = tuning_set.evaluate(state.sliders)
    st.caption(
        "Precision (right when said), recall (found), their mean F1, and false alarms, "
        "with 95 % intervals: where two overlap much, the difference may be chance."
    )
    rows = [
        {
            "": "Faces" if row.label is None else style.title(row.label),
            "Right when said": _format_percent(row.precision),
            "Found": _format_percent(row.recall),
            "F1": _format_percent(row.f1),
            "Alarms a picture": _format_rate(row.false_positives_per_image),
            "n": row.recall.n,
        }
        for row in tuning_set.get_cached(
            ("rows", state.sliders), lambda: compute_class_metrics(outcome)
        )
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Numbers of each class")
    slice_rows = tuning_set.get_cached(
        ("parts", state.sliders), lambda: compute_slice_metrics(outcome)
    )
    st.markdown("**Which faces are harder**")
    st.caption(
        "The share of the true faces that is found and called right, by size, light "
        "and sharpness."
    )
    st.vega_lite_chart(
        charts.slice_accuracy_chart(slice_rows), alt="Faces right, by part of the set"
    )
    worse = [
        f"{slice_row.name}: {slice_row.part}"
        for slice_row in slice_rows
        if slice_row.worse
    ]
    if worse:
        st.caption(f"Worse than the rest by more than chance: {'; '.join(worse)}.")


def render_calibration(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the unsure band, and whether confidences can be believed."""
    _render_abstention(state, tuning_set, style)
    st.subheader("Can a confidence be believed?", divider="gray")
    calibration_fit = tuning_set.calibration_fit
    st.caption(
        "Where the points lie on the dashed line, 80 % is right 8 times in 10; below "
        "it, the analyzer is too sure of itself."
    )
    st.vega_lite_chart(
        charts.calibration_comparison_chart(calibration_fit),
        alt="Confidence against being right",
    )
    if calibration_fit.is_degenerate:
        st.caption("No temperature can be fitted: too few of these faces are wrong.")
        return
    st.caption(
        f"Expected calibration error {_format_decimals(calibration_fit.ece_before)} as "
        "it is, "
        f"{_format_decimals(calibration_fit.ece_after)} with a temperature of "
        f"**{calibration_fit.temperature:.2f}**, fitted on "
        f"{format_count(calibration_fit.n, 'face')} (each half of the pictures with "
        "the other "
        "half's). “Calibrate confidences” under “Overlaps and calibration” puts it "
        "into everything here."
    )


def _render_abstention(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    st.subheader("The unsure band", divider="gray")
    no_mask = style.title(Label.NO_MASK)
    st.caption(
        f"Two thresholds on the probability of “{escape_markdown(no_mask)}”: below the "
        "first a "
        "mask is said, above the second none, and nothing between. Wider is right "
        "more often, and silent more often."
    )
    low, high = st.slider(
        "Say nothing between",
        *(0.0, 1.0),
        value=(0.3, 0.7),
        step=0.01,
        key="tune.band",
        persist_state="session",
    )
    outcome = tuning_set.evaluate(state.sliders)
    band_result = tuning_set.get_cached(
        ("band", state.sliders, low, high),
        lambda: evaluate_band(
            tuning_set.evaluator,
            state.sliders.settings,
            low,
            high,
            min_iou=state.sliders.min_iou,
            temperature=outcome.temperature,
        ),
    )
    st.html(_abstention_html(band_result, no_mask))
    st.caption(
        "Bare faces hang from the axis: they belong right of the band, all others left."
    )
    st.vega_lite_chart(
        charts.no_mask_histogram_chart(outcome, low, high, style),
        alt=f"Probability of “{no_mask}” by what is true, with the two thresholds",
    )


def _abstention_html(band_result: AbstentionBand, no_mask: str) -> str:
    rates = {
        f"of {format_count(band_result.abstention_rate.n, 'face')} say nothing": band_result.abstention_rate,
        "wrong, of those that say something": band_result.error_rate,
        "wrong, had all to say something": band_result.error_rate_without_band,
        "of bare faces called masked": band_result.missed_no_mask_rate,
        f"of “{escape(no_mask)}” said wrongly": band_result.false_no_mask_rate,
    }
    return metrics_html(
        [metric_html(text, _format_short(estimate)) for text, estimate in rates.items()]
    )


def _format_short(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} %" if estimate.n else _DASH


def _format_percent(estimate: Estimate) -> str:
    return _format_interval(estimate, 100, ".0f", " %")


def _format_decimals(estimate: Estimate) -> str:
    return _format_interval(estimate, 1, ".3f", "")


def _format_rate(estimate: Estimate) -> str:
    return _format_interval(estimate, 1, ".2f", "")


def _format_interval(
    estimate: Estimate, factor: float, number_format: str, unit: str
) -> str:
    """Return a number with the ends of its interval."""
    if not estimate.n or math.isnan(estimate.value):
        return _DASH
    value, low, high = (
        format(factor * bound, number_format)
        for bound in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value}{unit} ({low} to {high})"
