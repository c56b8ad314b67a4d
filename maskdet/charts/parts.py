"""Confusion matrix, reliability, and accuracy by parts of a set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import altair as alt

from maskdet.charts.look import (
    GREY,
    PERCENT_FORMAT,
    ChartRow,
    chart_title,
    encode_run_colour,
    format_face_count,
    inline_data,
    layer_charts,
)
from maskdet.metrics.answers import Predictions
from maskdet.metrics.calibration import (
    ReliabilityCurve,
    correct_and_confidence,
    reliability_curve,
)
from maskdet.metrics.estimate import proportion
from maskdet.metrics.labelling import ClassificationResult
from maskdet.metrics.questions import binarize
from maskdet.metrics.slices import Slice, evaluate_slices
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

ReliabilityTarget: TypeAlias = Literal["top", "wearing"]
"""Which probability: that of the label given, or that a mask is worn at all."""

_RELIABILITY_TITLES = {"top": "the label given", "wearing": "mask against no mask"}

_LOW_FILL, _HIGH_FILL = "#eaf2fa", "#0b559f"
"""Ends of the colours of a matrix; its numbers are black or white upon them."""


def confusion_matrix_chart(
    labels_or_predictions: Predictions | ClassificationResult,
    *,
    style: Style = DEFAULT_STYLE,
) -> alt.LayerChart:
    """Return truth by label given, coloured by the share of the truth."""
    labels = (
        labels_or_predictions.classification
        if isinstance(labels_or_predictions, Predictions)
        else labels_or_predictions
    )
    counts = labels.class_confusion.counts[:, : len(CLASSES)]
    rows: list[ChartRow] = [
        {
            "truth": style.title(actual),
            "said": style.title(predicted),
            "count": int(counts[actual, predicted]),
            "share": float(counts[actual, predicted] / max(1, counts[actual].sum())),
        }
        for actual in CLASSES
        for predicted in CLASSES
    ]
    order = [style.title(label) for label in CLASSES]
    base = alt.Chart(inline_data(rows)).encode(
        x=alt.X("said:N", title="Said", sort=order, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("truth:N", title="Truth", sort=order),
        tooltip=[
            alt.Tooltip("truth:N", title="Truth"),
            alt.Tooltip("said:N", title="Said"),
            alt.Tooltip("count:Q", title="Faces", format=","),
            alt.Tooltip("share:Q", title="Of this truth", format=PERCENT_FORMAT),
        ],
    )
    scale = alt.Scale(domain=[0, 1], range=[_LOW_FILL, _HIGH_FILL])
    text_colour = alt.condition(
        "datum.share > 0.5", alt.ColorValue("white"), alt.ColorValue("black")
    )
    return layer_charts(
        chart_title("Truth and label", format_face_count([labels.class_confusion.n])),
        base.mark_rect().encode(color=alt.Color("share:Q", scale=scale, legend=None)),
        base.mark_text(fontSize=16, dy=-7).encode(
            text=alt.Text("count:Q", format=","), color=text_colour
        ),
        base.mark_text(fontSize=11, dy=11).encode(
            text=alt.Text("share:Q", format=PERCENT_FORMAT), color=text_colour
        ),
    ).properties(width=300, height=220)


def reliability_chart(
    predictions: Mapping[str, Predictions], *, target: ReliabilityTarget = "top"
) -> alt.LayerChart:
    """Return how often was right what was said so surely; on the diagonal at best.

    Args:
        predictions: name of a run to its answers, all on the same set.
        target: the probability of the label given, or that a mask is worn.
    """
    curves = {
        run: _measure_reliability(run_predictions.classification, target)
        for run, run_predictions in predictions.items()
    }
    rows = [
        row for run, curve in curves.items() for row in _reliability_rows(run, curve)
    ]
    # A little more than 0 to 1: a dot at 100 % would be cut in half.
    unit_scale = alt.Scale(domain=[-0.04, 1.04], nice=False)
    percent = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    base = alt.Chart(inline_data(rows)).encode(
        x=alt.X("score:Q", title="Said", scale=unit_scale, axis=percent),
        color=encode_run_colour(predictions),
    )
    right = alt.Y("share:Q", title="True", scale=unit_scale, axis=percent)
    tooltips = _reliability_tooltips(several=len(predictions) > 1)
    n = alt.Size("n:Q", legend=None, scale=alt.Scale(type="sqrt", range=[25, 250]))
    return layer_charts(
        chart_title(
            f"Reliability, {_RELIABILITY_TITLES[target]}",
            format_face_count(map(len, predictions.values())),
        ),
        alt.Chart(inline_data([{"score": 0, "share": 0}, {"score": 1, "share": 1}]))
        .mark_line(color=GREY, strokeDash=[3, 3], strokeWidth=1)
        .encode(x="score:Q", y="share:Q"),
        base.mark_rule(opacity=0.5).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.5).encode(y=right),
        base.mark_point(filled=True, opacity=0.9).encode(
            y=right, size=n, tooltip=tooltips
        ),
    )


def _reliability_tooltips(*, several: bool) -> list[alt.Tooltip]:
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        alt.Tooltip("score:Q", title="Said", format=PERCENT_FORMAT),
        alt.Tooltip("share:Q", title="True", format=PERCENT_FORMAT),
        alt.Tooltip("low:Q", title="From", format=PERCENT_FORMAT),
        alt.Tooltip("high:Q", title="To", format=PERCENT_FORMAT),
        alt.Tooltip("n:Q", title="Faces", format=","),
        alt.Tooltip("ece:Q", title="ECE", format=".4f"),
    ]


def slices_chart(predictions: Mapping[str, Predictions]) -> alt.LayerChart:
    """Return mask against no mask, right, by parts of a set, with intervals.

    A part that does worse than the rest by more than the interval allows is a
    triangle that points down.

    Args:
        predictions: name of a run to its answers, all on the same set.
    """
    rows = [
        _slice_row(run, part)
        for run, run_predictions in predictions.items()
        for part in evaluate_slices(run_predictions)
    ]
    order = list(dict.fromkeys(str(row["place"]) for row in rows))
    base = alt.Chart(inline_data(rows)).encode(
        y=alt.Y("place:N", title=None, sort=order, axis=alt.Axis(labelLimit=240)),
        yOffset=alt.YOffset("run:N", sort=list(predictions)),
        color=encode_run_colour(predictions),
        tooltip=_slice_tooltips(several=len(predictions) > 1),
    )
    shape = alt.condition(
        "datum.worse", alt.ShapeValue("triangle-down"), alt.ShapeValue("circle")
    )
    right = alt.X(
        "share:Q",
        title="Mask against no mask, right",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="%"),
    )
    return layer_charts(
        chart_title(
            "By parts of the set", format_face_count(map(len, predictions.values()))
        ),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(x=right, shape=shape),
    )


def _measure_reliability(
    labels: ClassificationResult, target: ReliabilityTarget
) -> ReliabilityCurve:
    if target == "top":
        return reliability_curve(*correct_and_confidence(labels))
    task = binarize(labels, "wearing")
    return reliability_curve(task.ground_truth, task.scores)


def _reliability_rows(run: str, curve: ReliabilityCurve) -> list[ChartRow]:
    rows: list[ChartRow] = []
    for score, n_correct, n in zip(
        curve.scores, curve.positives, curve.counts, strict=True
    ):
        interval = proportion(int(n_correct), int(n))
        rows.append(
            {
                "run": run,
                "score": round(float(score), 4),
                "share": round(interval.value, 4),
                "low": round(interval.low, 4),
                "high": round(interval.high, 4),
                "n": interval.n,
                "ece": round(curve.ece, 4),
            }
        )
    return rows


def _slice_tooltips(*, several: bool) -> list[alt.Tooltip]:
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        alt.Tooltip("place:N", title="Part"),
        alt.Tooltip("share:Q", title="Right", format=PERCENT_FORMAT),
        alt.Tooltip("low:Q", title="From", format=PERCENT_FORMAT),
        alt.Tooltip("high:Q", title="To", format=PERCENT_FORMAT),
        alt.Tooltip("n:Q", title="Faces", format=","),
        alt.Tooltip("verdict:N", title="Against the rest"),
    ]


def _slice_row(run: str, part: Slice) -> ChartRow:
    accuracy = part.accuracy
    return {
        "run": run,
        "place": f"{part.name}: {part.part}",
        "share": round(accuracy.value, 4),
        "low": round(accuracy.low, 4),
        "high": round(accuracy.high, 4),
        "n": accuracy.n,
        "worse": part.is_worse,
        "verdict": "worse" if part.is_worse else "no worse than chance allows",
    }
