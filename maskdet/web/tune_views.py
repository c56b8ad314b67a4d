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
from maskdet.tune.band import Band, band
from maskdet.tune.curves import Curve
from maskdet.tune.table import class_rows, parts
from maskdet.types import CLASSES, Label
from maskdet.web import tune_charts as charts
from maskdet.web.cards import tile_html, tiles_html
from maskdet.web.markdown import plain
from maskdet.web.tune import Desk, Material
from maskdet.wording import counted

Kind: TypeAlias = Literal["precision_recall", "roc"]

_DASH = "\N{EN DASH}"


def curve_view(desk: Desk, material: Material, style: Style) -> None:
    """Show precision and recall, ROC, and alarms, with the point in use on them."""
    labels: tuple[Label | None, ...] = (None, *CLASSES)
    found = {
        label: _curve(desk, material, "precision_recall", label) for label in labels
    }
    st.markdown("**Precision and recall**")
    st.caption(
        "How often it is right when it says so, for each share that it finds. The dots "
        "are your sliders: further up fewer false alarms, further right fewer misses."
    )
    st.vega_lite_chart(
        charts.precision_recall(list(found.values()), style),
        alt="Precision against recall, for faces and each class",
    )
    rocs = {label: _curve(desk, material, "roc", label) for label in labels}
    st.markdown("**ROC**")
    st.caption(
        "Among the faces found: how many of a class are called so, against how many "
        "others are too. The nearer the upper left corner, the better."
    )
    st.vega_lite_chart(
        charts.roc([rocs[label] for label in CLASSES], style),
        alt="ROC of each class",
    )
    st.markdown("**Faces found against false alarms**")
    st.caption(
        "What one more face costs: how many false alarms a picture has at each share "
        "of faces found."
    )
    st.vega_lite_chart(
        charts.alarms(rocs[None], style),
        alt="Faces found against false alarms a picture",
    )
    _areas(found, rocs, style)


def _curve(desk: Desk, material: Material, kind: Kind, label: Label | None) -> Curve:
    """Return a curve, made once for each choice that changes more than its point.

    Args:
        desk: what the sliders say.
        material: what they are tried on.
        kind: which curve.
        label: of which class, None for faces whatever their class.
    """
    choice = desk.choice
    settings = choice.settings
    swept = kind == "precision_recall" or label is None
    if swept:
        settings = dataclasses.replace(settings, min_score=0)
    if label is None:
        settings = dataclasses.replace(settings, min_confidence=0)
    temperature = material.fitted.temperature if choice.calibrated else 1.0
    make = curves.precision_recall if kind == "precision_recall" else curves.roc
    made = material.once(
        (kind, label, settings, choice.min_iou, choice.calibrated),
        lambda: make(
            material.judge,
            settings,
            label,
            min_iou=choice.min_iou,
            temperature=temperature,
        ),
    )
    return _with_point(made, choice.settings.min_score) if swept else made


def _with_point(curve: Curve, min_score: float) -> Curve:
    """Return a curve over the face score with the point of another threshold."""
    # Scores are float32: the threshold must be compared as they are.
    asked = np.float32(min_score)
    above = int(np.count_nonzero(curve.thresholds.astype(np.float32) >= asked))
    at = above - 1
    none = (math.nan, math.nan)
    point = (float(curve.x[at]), float(curve.y[at])) if above else none
    return dataclasses.replace(curve, point=point)


def _areas(
    found: dict[Label | None, Curve], rocs: dict[Label | None, Curve], style: Style
) -> None:
    st.caption("Areas under the curves with 95 % intervals: 1 is perfect.")
    rows = [
        {
            "": "Faces" if label is None else style.title(label),
            "Average precision": _decimals(found[label].area),
            "ROC area": _DASH if label is None else _decimals(rocs[label].area),
            "n": found[label].area.n,
        }
        for label in found
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Areas under the curves")


def number_view(desk: Desk, material: Material, style: Style) -> None:
    """Show the numbers of each class, and of parts of the set."""
    outcome = material.outcome(desk.choice)
    st.caption(
        "Precision (right when said), recall (found), their mean F1, and false alarms, "
        "with 95 % intervals: where two overlap much, the difference may be chance."
    )
    rows = [
        {
            "": "Faces" if row.label is None else style.title(row.label),
            "Right when said": _percent(row.precision),
            "Found": _percent(row.recall),
            "F1": _percent(row.f1),
            "Alarms a picture": _rate(row.false_alarms),
            "n": row.recall.n,
        }
        for row in material.once(("rows", desk.choice), lambda: class_rows(outcome))
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Numbers of each class")
    found = material.once(("parts", desk.choice), lambda: parts(outcome))
    st.markdown("**Which faces are harder**")
    st.caption(
        "The share of the true faces that is found and called right, by size, light "
        "and sharpness."
    )
    st.vega_lite_chart(charts.slices(found), alt="Faces right, by part of the set")
    worse = [f"{part.name}: {part.part}" for part in found if part.worse]
    if worse:
        st.caption(f"Worse than the rest by more than chance: {'; '.join(worse)}.")


def confidence_view(desk: Desk, material: Material, style: Style) -> None:
    """Show the unsure band, and whether confidences can be believed."""
    _band(desk, material, style)
    st.subheader("Can a confidence be believed?", divider="gray")
    fitted = material.fitted
    st.caption(
        "Where the points lie on the dashed line, 80 % is right 8 times in 10; below "
        "it, the analyzer is too sure of itself."
    )
    st.vega_lite_chart(charts.calibration(fitted), alt="Confidence against being right")
    if fitted.bounded:
        st.caption("No temperature can be fitted: too few of these faces are wrong.")
        return
    st.caption(
        f"Expected calibration error {_decimals(fitted.ece_before)} as it is, "
        f"{_decimals(fitted.ece_after)} with a temperature of "
        f"**{fitted.temperature:.2f}**, fitted on "
        f"{counted(fitted.n, 'face')} (each half of the pictures with the other "
        "half's). “Calibrate confidences” under “Overlaps and calibration” puts it "
        "into everything here."
    )


def _band(desk: Desk, material: Material, style: Style) -> None:
    st.subheader("The unsure band", divider="gray")
    bare = style.title(Label.NO_MASK)
    st.caption(
        f"Two thresholds on the probability of “{plain(bare)}”: below the first a "
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
    outcome = material.outcome(desk.choice)
    got = material.once(
        ("band", desk.choice, low, high),
        lambda: band(
            material.judge,
            desk.choice.settings,
            low,
            high,
            min_iou=desk.choice.min_iou,
            temperature=outcome.temperature,
        ),
    )
    st.html(_band_html(got, bare))
    st.caption(
        "Bare faces hang from the axis: they belong right of the band, all others left."
    )
    st.vega_lite_chart(
        charts.bare_histogram(outcome, low, high, style),
        alt=f"Probability of “{bare}” by what is true, with the two thresholds",
    )


def _band_html(got: Band, bare: str) -> str:
    shares = {
        f"of {counted(got.between.n, 'face')} say nothing": got.between,
        "wrong, of those that say something": got.errors,
        "wrong, had all to say something": got.errors_without,
        "of bare faces called masked": got.missed_bare,
        f"of “{escape(bare)}” said wrongly": got.false_bare,
    }
    return tiles_html([tile_html(text, _short(one)) for text, one in shares.items()])


def _short(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} %" if estimate.n else _DASH


def _percent(estimate: Estimate) -> str:
    return _between(estimate, 100, ".0f", " %")


def _decimals(estimate: Estimate) -> str:
    return _between(estimate, 1, ".3f", "")


def _rate(estimate: Estimate) -> str:
    return _between(estimate, 1, ".2f", "")


def _between(estimate: Estimate, by: float, number: str, unit: str) -> str:
    """Return a number with the ends of its interval."""
    if not estimate.n or math.isnan(estimate.value):
        return _DASH
    value, low, high = (
        format(by * one, number)
        for one in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value}{unit} ({low} to {high})"
