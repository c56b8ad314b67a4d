"""Views of the Tune page: key figures, rates, curves, metrics, calibration.

The comparison view compares two settings or two analyzers face by face.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from maskdet.analyzers.pipelines import get_analyzer_title
from maskdet.charts.spec import CLICK_SELECTION, VegaSpec
from maskdet.evaluation.operating_point import MISSED, UNSURE, EvaluationResult, FaceRef
from maskdet.evaluation.predictions import MIN_STORED_SCORE
from maskdet.metrics.intervals import Estimate
from maskdet.style import Style, line_style
from maskdet.tuning import charts, curves
from maskdet.tuning.abstention import AbstentionBand, evaluate_band
from maskdet.tuning.class_metrics import (
    ClassMetrics,
    compute_class_metrics,
    compute_slice_metrics,
)
from maskdet.tuning.comparison import Comparison, compare_results
from maskdet.tuning.curves import CurveKind, TuningCurve
from maskdet.types import CLASSES, Label
from maskdet.web.tune.data import find_comparable_sets
from maskdet.web.tune.gallery import FaceCard, tune_cards_html
from maskdet.web.tune.tune_state import (
    COMPARE_KEY,
    PINNED_TITLE,
    SliderValues,
    TuneState,
    TuningSet,
    clamp_settings,
)
from maskdet.web.widgets import (
    MetricTile,
    escape_markdown,
    metrics_html,
    select_segment,
)
from maskdet.wording import PERCENT, format_count

_DASH = "\N{EN DASH}"

_RATES, _SCORES, _CONFIDENCES = "Precision and recall", "Scores", "Confidences"

_CHART_NOTES = {
    _SCORES: "Detection scores: detections left of the line are hidden. Faces left of "
    "it are missed. Detections right of it that are not a face are false positives.",
    _CONFIDENCES: "Confidences of the detected faces: left of the line they are "
    "labelled “{unsure}”.",
}
"""How to read each histogram."""

_MOVE_LINE_NOTE = " **Click or drag in the chart to move the line.**"

_SIGNIFICANCE_LEVEL = 0.05

_MAX_COMPARED_FACES = 12


def render_curves(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show PR, ROC and false-positive curves with the current operating point."""
    labels: tuple[Label | None, ...] = (None, *CLASSES)
    pr_curves = {
        label: _get_curve(state, tuning_set, "precision_recall", label)
        for label in labels
    }
    st.markdown("**Precision and recall**")
    st.caption("Dots: the current settings.")
    st.vega_lite_chart(
        charts.tuning_curves_chart(list(pr_curves.values()), "precision_recall", style),
        alt="Precision against recall, for faces and each class",
    )
    roc_curves = {
        label: _get_curve(state, tuning_set, "roc", label) for label in labels
    }
    st.markdown("**ROC**")
    st.caption(
        "Recall of each class against its false-positive rate, among detected faces. "
        "Closer to the upper left corner is better."
    )
    st.vega_lite_chart(
        charts.tuning_curves_chart(
            [roc_curves[label] for label in CLASSES], "roc", style
        ),
        alt="ROC of each class",
    )
    st.markdown("**Recall against false positives**")
    st.caption("Face recall against the number of false positives per image (FROC).")
    st.vega_lite_chart(
        charts.tuning_curves_chart([roc_curves[None]], "froc", style),
        alt="Face recall against false positives per image",
    )
    _render_areas(pr_curves, roc_curves, style)


def _get_curve(
    state: TuneState, tuning_set: TuningSet, kind: CurveKind, label: Label | None
) -> TuningCurve:
    """Return a curve, cached for all settings that change only its point."""
    outcome = tuning_set.evaluate(state.sliders)
    is_swept = kind == "precision_recall" or label is None
    curve = tuning_set.get_cached(
        _curve_key(kind, state.sliders, label, is_swept=is_swept),
        lambda: curves.compute_curve(outcome, kind, label),
    )
    return curve.move_point(state.sliders.settings.min_score) if is_swept else curve


def _curve_key(
    kind: str, sliders: SliderValues, label: Label | None, *, is_swept: bool
) -> tuple[object, ...]:
    """Return the settings that change the shape of a curve.

    Args:
        kind: which curve.
        sliders: the current settings.
        label: the class; None for faces of any class, which no confidence changes.
        is_swept: whether the curve is over the detection threshold.
    """
    settings = sliders.settings
    if is_swept:
        settings = dataclasses.replace(settings, min_score=0)
    if label is None:
        settings = dataclasses.replace(settings, min_confidence=0)
    return (kind, label, settings, sliders.min_iou, sliders.calibrated)


def _render_areas(
    pr_curves: dict[Label | None, TuningCurve],
    roc_curves: dict[Label | None, TuningCurve],
    style: Style,
) -> None:
    st.caption(f"Areas under the curves with 95{PERCENT} intervals; 1 is perfect.")
    rows = [
        {
            "": "Faces" if label is None else style.title(label),
            "Average precision": _format_interval(pr_curves[label].area),
            "ROC area": _DASH
            if label is None
            else _format_interval(roc_curves[label].area),
            "n": pr_curves[label].area.n,
        }
        for label in pr_curves
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Areas under the curves")


def render_class_metrics(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the metrics of each class and the accuracy by subset."""
    outcome = tuning_set.evaluate(state.sliders)
    st.caption(
        f"With 95{PERCENT} intervals. Where two intervals overlap a lot, the "
        "difference may be chance."
    )
    rows = [
        {
            "": "Faces" if row.label is None else style.title(row.label),
            "Precision": _format_percent(row.precision),
            "Recall": _format_percent(row.recall),
            "F1": _format_percent(row.f1),
            "False positives per image": _format_interval(
                row.false_positives_per_image, number_format=".2f"
            ),
            "n": row.recall.n,
        }
        for row in tuning_set.get_cached(
            ("rows", state.sliders), lambda: compute_class_metrics(outcome)
        )
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Metrics of each class")
    slice_rows = tuning_set.get_cached(
        ("slices", state.sliders), lambda: compute_slice_metrics(outcome)
    )
    st.markdown("**Performance by subset**")
    st.caption(
        "Fraction of the ground-truth faces that are detected and classified "
        "correctly, by face size, light (mean brightness, 0 to 255) and sharpness."
    )
    st.vega_lite_chart(
        charts.slice_accuracy_chart(slice_rows),
        alt="Fraction of correct faces by subset",
    )
    worse = [
        f"{slice_row.name}: {slice_row.part}"
        for slice_row in slice_rows
        if slice_row.worse
    ]
    if worse:
        st.caption(f"Significantly worse than the rest: {'; '.join(worse)}.")


def render_calibration(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the abstention band and the calibration of the confidences."""
    _render_abstention(state, tuning_set, style)
    st.header("Calibration of confidences", divider="gray")
    calibration_fit = tuning_set.calibration_fit
    st.caption(
        f"On the dashed line a confidence of 80{PERCENT} is correct 8 times in 10. "
        "Below it the analyzer is overconfident."
    )
    st.vega_lite_chart(
        charts.calibration_comparison_chart(calibration_fit),
        alt="Observed against predicted probability",
    )
    if calibration_fit.is_degenerate:
        st.caption("No temperature can be fitted: there are too few errors.")
        return
    st.caption(
        f"Expected calibration error {_format_interval(calibration_fit.ece_before)} "
        f"uncalibrated, {_format_interval(calibration_fit.ece_after)} with a "
        f"temperature of **{calibration_fit.temperature:.2f}**, fitted on "
        f"{format_count(calibration_fit.n, 'face')} (cross-fitted on two halves of the "
        "images). “Calibrate confidences” under “IoU and calibration” applies it to "
        "this page."
    )


def _render_abstention(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    st.header("Abstention band", divider="gray")
    no_mask = style.title(Label.NO_MASK)
    st.caption(
        f"Two thresholds on the probability of “{escape_markdown(no_mask)}”: below the "
        "lower one the prediction is a mask, above the upper one no mask, and between "
        "them there is none. A wider band makes fewer errors and leaves more faces "
        "undecided."
    )
    low, high = st.slider(
        "Abstain between",
        *(0.0, 1.0),
        value=(0.3, 0.7),
        step=0.01,
        key="tune.band",
        persist_state="session",
    )
    outcome = tuning_set.evaluate(state.sliders)
    band_result = tuning_set.get_cached(
        ("band", state.sliders, low, high),
        lambda: evaluate_band(outcome, low, high),
    )
    st.html(_abstention_html(band_result, no_mask))
    st.vega_lite_chart(
        charts.no_mask_histogram_chart(outcome, low, high, style),
        alt=f"Probability of “{no_mask}” by actual class, with the two thresholds",
    )


def _abstention_html(band_result: AbstentionBand, no_mask: str) -> str:
    n_faces = format_count(band_result.abstention_rate.n, "face")
    rates = {
        f"Abstention rate ({n_faces})": band_result.abstention_rate,
        "Error rate (decided faces)": band_result.error_rate,
        "Error rate (no abstention)": band_result.error_rate_without_band,
        f"Missed “{no_mask}” rate": band_result.missed_no_mask_rate,
        f"False “{no_mask}” rate": band_result.false_no_mask_rate,
    }
    return metrics_html(
        MetricTile(text, _format_kpi(_percent_value(estimate)))
        for text, estimate in rates.items()
    )


def _format_percent(estimate: Estimate, number_format: str = ".0f") -> str:
    return _format_interval(estimate, 100, number_format, " %")


def _format_interval(
    estimate: Estimate, factor: float = 1, number_format: str = ".3f", unit: str = ""
) -> str:
    """Format an estimate with its interval; a dash if there is no value."""
    if not estimate.n or math.isnan(estimate.value):
        return _DASH
    value, low, high = (
        format(factor * bound, number_format)
        for bound in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value}{unit} ({low} to {high})"


def render_kpis(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the key figures, and how the last change affected them."""
    current = _compute_kpis(tuning_set, state.sliders, style)
    previous = (
        _compute_kpis(tuning_set, state.previous, style) if state.previous else {}
    )
    no_mask = _format_no_mask(style)
    edge = f"{line_style(Label.NO_MASK)} {style.colour_css(Label.NO_MASK)}"
    st.html(
        metrics_html(
            MetricTile(
                name,
                _format_kpi(value),
                edge if name.startswith(no_mask) else "",
                _format_kpi_change(value, previous.get(name)),
            )
            for name, value in current.items()
        )
    )


def _format_no_mask(style: Style) -> str:
    return f"“{style.title(Label.NO_MASK)}”"


def render_threshold_chart(
    state: TuneState, tuning_set: TuningSet, style: Style
) -> None:
    """Show rates by threshold, or a histogram; a click or a drag moves the line."""
    with st.container(horizontal=True, vertical_alignment="center"):
        chart = select_segment(
            "Chart", (_RATES, _SCORES, _CONFIDENCES), key="tune.chart", show_label=False
        )
        label = _select_rates_label(style) if chart == _RATES else None
    if chart == _RATES:
        _render_rates(state, tuning_set, label)
        return
    unsure = escape_markdown(style.title(Label.UNKNOWN))
    st.caption(_CHART_NOTES[chart].format(unsure=unsure) + _MOVE_LINE_NOTE)
    outcome = tuning_set.evaluate(state.sliders)
    is_score = chart == _SCORES
    spec = (
        charts.score_histogram_chart(outcome)
        if is_score
        else charts.confidence_histogram_chart(outcome)
    )
    _render_clickable(
        state, spec, "min_score" if is_score else "min_confidence", f"{chart} by class"
    )


def _select_rates_label(style: Style) -> Label | None:
    """Let the visitor choose whose rates are drawn; None for all faces."""
    # Streamlit would offer to clear a choice of None, so keys are the options.
    labels: dict[str, Label | None] = {
        "all": None,
        **{label.key: label for label in CLASSES},
    }
    titles = {
        key: "All faces" if label is None else style.title(label)
        for key, label in labels.items()
    }
    key = st.selectbox(
        "Rates of",
        list(labels),
        format_func=titles.__getitem__,
        key="tune.rates_label",
        persist_state="session",
        label_visibility="collapsed",
        width=150,
    )
    return labels[key]


def _render_rates(state: TuneState, tuning_set: TuningSet, label: Label | None) -> None:
    """Show precision, recall and F1 by detection threshold, and the optimal one."""
    outcome = tuning_set.evaluate(state.sliders)
    rates = tuning_set.get_cached(
        _curve_key("rates", state.sliders, label, is_swept=True),
        lambda: curves.compute_threshold_rates(outcome, label),
    )
    best, now = rates.best_threshold, state.sliders.settings.min_score
    if best is None:
        st.caption("No threshold gives a true positive.")
    else:
        st.caption(
            f"Optimal: **{best:.2f}**, the highest F1 "
            f"({_format_rate(rates.f1_at(best))}); now {now:.2f} "
            f"({_format_rate(rates.f1_at(now))}).{_MOVE_LINE_NOTE}"
        )
    _render_clickable(
        state,
        charts.detection_rates_chart(rates, now),
        "min_score",
        "Precision, recall and F1 against the face detection threshold",
    )


def _format_rate(rate: float) -> str:
    return _DASH if math.isnan(rate) else f"{100 * rate:.1f}{PERCENT}"


def _render_clickable(
    state: TuneState, spec: VegaSpec, setting: str, description: str
) -> None:
    """Show a chart in which a click or a drag sets a threshold."""
    key = f"tune.chart.{description}"
    st.vega_lite_chart(
        spec,
        key=key,
        on_select=lambda: _on_threshold_click(state, setting, key),
        selection_mode=CLICK_SELECTION,
        alt=f"{description}, with the threshold",
    )


def _on_threshold_click(state: TuneState, setting: str, key: str) -> None:
    selection = st.session_state[key]["selection"].get(CLICK_SELECTION) or []
    if not selection:
        return
    threshold = round(float(selection[0]["threshold"]), 2)
    if setting == "min_score":
        threshold = max(MIN_STORED_SCORE, threshold)
    changed: dict[str, Any] = {setting: threshold}
    state.set_settings(dataclasses.replace(state.sliders.settings, **changed))


def _compute_kpis(
    tuning_set: TuningSet, sliders: SliderValues, style: Style
) -> dict[str, tuple[float, str]]:
    """Return the key figures by title, each with its unit."""
    outcome = tuning_set.evaluate(sliders)
    rows = tuning_set.get_cached(
        ("rows", sliders), lambda: compute_class_metrics(outcome)
    )
    by_label: dict[Label | None, ClassMetrics] = {row.label: row for row in rows}
    faces, no_mask_row = by_label[None], by_label[Label.NO_MASK]
    shown = int(outcome.confusion[:, :MISSED].sum())
    no_mask = _format_no_mask(style)
    unsure = int(outcome.confusion[:, UNSURE].sum())
    return {
        "Face recall": _percent_value(faces.recall),
        "False positives per image": (faces.false_positives_per_image.value, ""),
        f"{no_mask} recall": _percent_value(no_mask_row.recall),
        f"{no_mask} precision": _percent_value(no_mask_row.precision),
        f"“{style.title(Label.UNKNOWN)}” rate": (
            100 * unsure / shown if shown else math.nan,
            " %",
        ),
    }


def _percent_value(estimate: Estimate) -> tuple[float, str]:
    return (100 * estimate.value if estimate.n else math.nan), " %"


def _format_kpi(current: tuple[float, str]) -> str:
    value, unit = current
    return _DASH if math.isnan(value) else f"{value:.{_kpi_digits(unit)}f}{unit}"


def _format_kpi_change(
    current: tuple[float, str], previous: tuple[float, str] | None
) -> str:
    """Return the difference to the previous value; empty if a value is missing."""
    if previous is None or math.isnan(current[0]) or math.isnan(previous[0]):
        return ""
    digits = _kpi_digits(current[1])
    change = round(current[0] - previous[0], digits)
    return f"{change:+.{digits}f}" if change else "±0"


def _kpi_digits(unit: str) -> int:
    return 1 if unit else 2


_PREVIOUS, _LIVE = "B: before the last change", "B: settings of Live"


class _Alternative(NamedTuple):
    """What the sliders are compared with.

    Attributes:
        set_name: name of the other set; empty for this one.
        tuning_set: the set.
        sliders: its settings.
    """

    set_name: str
    tuning_set: TuningSet
    sliders: SliderValues


def render_settings_comparison(
    state: TuneState, tuning_set: TuningSet, style: Style
) -> None:
    """Compare the sliders (A) with other settings or another analyzer (B)."""
    alternatives = _list_alternatives(state, tuning_set)
    st.caption(
        "**A** is the current sliders. A face is correct if it is detected and "
        "classified correctly."
    )
    if not alternatives:
        st.info(
            "Press “Save as B”, then move a slider to compare the two.",
            icon=":material/compare_arrows:",
        )
        return
    title = st.selectbox(
        "Compare with", list(alternatives), key=COMPARE_KEY, persist_state="session"
    )
    name, other_set, other_sliders = alternatives[title]
    a, b = tuning_set.evaluate(state.sliders), other_set.evaluate(other_sliders)
    comparison: Comparison = tuning_set.get_cached(
        ("compare", state.sliders, name, other_sliders), lambda: compare_results(a, b)
    )
    st.html(
        metrics_html(
            [
                MetricTile("only A correct", len(comparison.only_a)),
                MetricTile("only B correct", len(comparison.only_b)),
                MetricTile("both correct", comparison.both),
                MetricTile("neither correct", comparison.neither),
            ]
        )
    )
    st.markdown(_describe_difference(comparison))
    _render_comparison_table(comparison, a, b)
    _render_compared_faces(comparison, (tuning_set, a), (other_set, b), style)


def _list_alternatives(
    state: TuneState, tuning_set: TuningSet
) -> dict[str, _Alternative]:
    """Return what the sliders can be compared with, by title."""
    live = dataclasses.replace(state.sliders, settings=clamp_settings(state.baseline))
    candidates = {PINNED_TITLE: state.pinned, _LIVE: live, _PREVIOUS: state.previous}
    alternatives = {
        title: _Alternative("", tuning_set, sliders)
        for title, sliders in candidates.items()
        if sliders is not None and (sliders != state.sliders or title == PINNED_TITLE)
    }
    counts: Counter[str] = Counter()
    for name, other_set in find_comparable_sets(state, tuning_set).items():
        analyzer = get_analyzer_title(other_set.predictions.analyzer)
        counts[analyzer] += 1
        # The same analyzer may have run with another classifier.
        number = f" ({counts[analyzer]})" if counts[analyzer] > 1 else ""
        title = f"B: {analyzer}{number}, same sliders"
        alternatives[title] = _Alternative(name, other_set, state.sliders)
    return alternatives


def _describe_difference(comparison: Comparison) -> str:
    if not len(comparison.only_a) + len(comparison.only_b):
        return "A and B are correct on the same faces."
    points = comparison.difference
    difference = (
        f"A minus B: {100 * points.value:+.1f} points (95{PERCENT} interval "
        f"{100 * points.low:+.1f} to {100 * points.high:+.1f})."
    )
    p = f"p = {comparison.p_value:.3f}" if comparison.p_value >= 0.001 else "p < 0.001"
    test_result = f"McNemar's test: {p}"
    if comparison.p_value >= _SIGNIFICANCE_LEVEL:
        return f"**No significant difference.** {difference} {test_result}."
    better = "A" if len(comparison.only_a) > len(comparison.only_b) else "B"
    return f"**{better} is significantly better.** {difference} {test_result}."


def _render_comparison_table(
    comparison: Comparison, a: EvaluationResult, b: EvaluationResult
) -> None:
    columns = {
        name: {
            "Analyzer": get_analyzer_title(outcome.predictions.analyzer),
            "Correct": _format_percent(correct_rate, ".1f"),
            "False positives per image": f"{false_positives.value:.2f}",
            "Face detection threshold": f"{outcome.settings.min_score:.2f}",
            "Minimum confidence": f"{outcome.settings.min_confidence:.2f}",
            "Minimum face size (px)": f"{outcome.settings.min_face_px:g}",
            "NMS IoU threshold": f"{outcome.settings.nms_iou:.2f}",
        }
        for name, outcome, correct_rate, false_positives in (
            ("A", a, comparison.correct_rate_a, comparison.false_positives_per_image_a),
            ("B", b, comparison.correct_rate_b, comparison.false_positives_per_image_b),
        )
    }
    table = pd.DataFrame(columns).rename_axis("").reset_index()
    st.dataframe(table, hide_index=True, alt="A and B compared")


def _render_compared_faces(
    comparison: Comparison,
    a: tuple[TuningSet, EvaluationResult],
    b: tuple[TuningSet, EvaluationResult],
    style: Style,
) -> None:
    titles = ("Only A correct", "Only B correct")
    title = select_segment("Faces", titles, key="tune.compared_faces", show_label=False)
    # The cards show the prediction of the one that is wrong.
    rows, letter, (tuning_set, outcome) = (
        (comparison.only_a, "B", b)
        if title == "Only A correct"
        else (comparison.only_b, "A", a)
    )
    if not len(rows):
        st.caption("No such faces.")
        return
    st.caption(
        f"Predictions of {letter} for the first "
        f"{min(_MAX_COMPARED_FACES, len(rows))} of these faces."
    )
    cards = [
        FaceCard(_face_ref(outcome, int(row))) for row in rows[:_MAX_COMPARED_FACES]
    ]
    st.html(tune_cards_html(tuning_set, outcome, cards, style))


def _face_ref(outcome: EvaluationResult, truth_row: int) -> FaceRef:
    position = int(outcome.matched_detections[truth_row])
    return (
        outcome.missed_face(truth_row) if position < 0 else outcome.shown_face(position)
    )
