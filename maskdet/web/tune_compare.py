"""The Tune page's comparison: two settings, or two analyzers, face by face."""

from __future__ import annotations

import dataclasses

import pandas as pd
import streamlit as st

from maskdet.metrics.estimate import Estimate
from maskdet.style import Style
from maskdet.tune.comparing import Comparison, compare_results
from maskdet.tune.judging import EvaluationResult, FaceRef
from maskdet.web import session
from maskdet.web.cards import metric_html, metrics_html
from maskdet.web.tune import SliderValues, TuneState, TuningSet, clamp_settings
from maskdet.web.tune_cards import FaceCard, face_cards_html
from maskdet.web.tune_data import find_comparable_sets

_PINNED, _PREVIOUS, _LIVE = (
    "B: what I kept",
    "B: before the last move",
    "B: what Live uses",
)
_SIGNIFICANCE_LEVEL = 0.05
_MAX_COMPARED_FACES = 12


def render_settings_comparison(
    state: TuneState, tuning_set: TuningSet, style: Style
) -> None:
    """Show what the sliders get right that another choice does not, and the reverse."""
    alternatives = _list_alternatives(state, tuning_set)
    st.caption(
        "**A** is what the sliders say now. What does each get right that the other "
        "does not? Right is: found, and called what it is."
    )
    if not alternatives:
        st.info(
            "Press “Keep as B”, then move a slider: the two are compared here.",
            icon=":material/compare_arrows:",
        )
        return
    name = st.selectbox("Compare with", list(alternatives), key="tune.against")
    other_set, other_sliders = alternatives[name]
    a, b = tuning_set.evaluate(state.sliders), other_set.evaluate(other_sliders)
    comparison: Comparison = tuning_set.get_cached(
        ("compare", state.sliders, name, other_sliders), lambda: compare_results(a, b)
    )
    st.html(
        metrics_html(
            [
                metric_html("only A gets right", len(comparison.only_a)),
                metric_html("only B gets right", len(comparison.only_b)),
                metric_html("both", comparison.both),
                metric_html("neither", comparison.neither),
            ]
        )
    )
    st.markdown(_describe_difference(comparison))
    _render_comparison_table(comparison, a, b)
    _render_compared_faces(comparison, (tuning_set, a), (other_set, b), style)


def _list_alternatives(
    state: TuneState, tuning_set: TuningSet
) -> dict[str, tuple[TuningSet, SliderValues]]:
    """Return what differs from the sliders and can be compared, by its title."""
    live = dataclasses.replace(state.sliders, settings=clamp_settings(state.baseline))
    candidates = {_PINNED: state.pinned, _LIVE: live, _PREVIOUS: state.previous}
    alternatives = {
        title: (tuning_set, sliders)
        for title, sliders in candidates.items()
        if sliders is not None and sliders != state.sliders
    }
    for other_set in find_comparable_sets(state, tuning_set).values():
        alternatives[f"B: {other_set.predictions.analyzer}, same sliders"] = (
            other_set,
            state.sliders,
        )
    return alternatives


def _describe_difference(comparison: Comparison) -> str:
    if not len(comparison.only_a) + len(comparison.only_b):
        return "Both get the same faces right."
    interval = f"95 % interval {_format_points(comparison.difference.low)} to {_format_points(comparison.difference.high)}"
    difference = f"A minus B is {_format_points(comparison.difference.value)} points ({interval})."
    p = (
        f"p = {comparison.p_value:.3f}"
        if comparison.p_value >= 0.001
        else "p is less than 0.001"
    )
    test_result = f"McNemar's test: {p}"
    if comparison.p_value >= _SIGNIFICANCE_LEVEL:
        return f"The difference **may be chance**. {difference} {test_result}."
    better = "A" if len(comparison.only_a) > len(comparison.only_b) else "B"
    return f"**{better} gets more right**, by more than chance. {difference} {test_result}."


def _format_points(fraction: float) -> str:
    return f"{100 * fraction:+.1f}"


def _render_comparison_table(
    comparison: Comparison, a: EvaluationResult, b: EvaluationResult
) -> None:
    accuracies = comparison.correct_rate_a, comparison.correct_rate_b
    false_positive_rates = (
        comparison.false_positives_per_image_a,
        comparison.false_positives_per_image_b,
    )
    rows: dict[str, list[str]] = {
        "Analyzer": [item.predictions.analyzer for item in (a, b)],
        "Found and right": [_format_percent_interval(item) for item in accuracies],
        "False alarms a picture": [
            f"{item.value:.2f}" for item in false_positive_rates
        ],
        "Face score": [f"{item.settings.min_score:.2f}" for item in (a, b)],
        "Confidence": [f"{item.settings.min_confidence:.2f}" for item in (a, b)],
        "Smallest face (px)": [f"{item.settings.min_face_px:g}" for item in (a, b)],
        "Overlap of boxes": [f"{item.settings.nms_iou:.2f}" for item in (a, b)],
    }
    table = {"": list(rows)}
    table |= {
        name: [row[column] for row in rows.values()] for column, name in enumerate("AB")
    }
    st.dataframe(pd.DataFrame(table), hide_index=True, alt="A and B in numbers")


def _format_percent_interval(estimate: Estimate) -> str:
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.1f} % ({low:.1f} to {high:.1f})"


def _render_compared_faces(
    comparison: Comparison,
    a: tuple[TuningSet, EvaluationResult],
    b: tuple[TuningSet, EvaluationResult],
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
    rows = comparison.only_a if title == "Only A is right" else comparison.only_b
    # What the one that errs says of it is the news.
    tuning_set, outcome = b if title == "Only A is right" else a
    letter = "B" if title == "Only A is right" else "A"
    if not len(rows):
        st.caption("There is none.")
        return
    st.caption(
        f"What {letter} says of them; the first {min(_MAX_COMPARED_FACES, len(rows))}."
    )
    cards = [
        FaceCard(_face_ref(outcome, int(row))) for row in rows[:_MAX_COMPARED_FACES]
    ]
    blur = session.get_preferences().style.blur
    st.html(face_cards_html(tuning_set, outcome, cards, style, blur=blur))


def _face_ref(outcome: EvaluationResult, truth_row: int) -> FaceRef:
    position = int(outcome.matched_detections[truth_row])
    return (
        outcome.missed_face(truth_row) if position < 0 else outcome.shown_face(position)
    )
