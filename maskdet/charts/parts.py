"""Confusion matrix, reliability, and accuracy by parts of a set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import altair as alt

from maskdet.charts.look import (
    GREY,
    PERCENT,
    Row,
    data,
    faces,
    heading,
    layered,
    run_colour,
)
from maskdet.metrics.answers import Answers
from maskdet.metrics.calibration import Reliability, reliability, top_label
from maskdet.metrics.estimate import share
from maskdet.metrics.labelling import Labelling
from maskdet.metrics.questions import ask
from maskdet.metrics.slices import Slice, slices
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

Believed: TypeAlias = Literal["top", "wearing"]
"""Which probability: that of the label given, or that a mask is worn at all."""

_BELIEVED = {"top": "the label given", "wearing": "mask against no mask"}

_FEW, _MANY = "#eaf2fa", "#0b559f"
"""Ends of the colours of a matrix; its numbers are black or white upon them."""


def confusion_matrix(
    answers: Answers | Labelling, *, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return truth by label given, coloured by the share of the truth."""
    labels = answers.labelling if isinstance(answers, Answers) else answers
    counts = labels.states.counts[:, : len(CLASSES)]
    rows: list[Row] = [
        {
            "truth": style.title(truth),
            "said": style.title(said),
            "count": int(counts[truth, said]),
            "share": float(counts[truth, said] / max(1, counts[truth].sum())),
        }
        for truth in CLASSES
        for said in CLASSES
    ]
    order = [style.title(label) for label in CLASSES]
    base = alt.Chart(data(rows)).encode(
        x=alt.X("said:N", title="Said", sort=order, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("truth:N", title="Truth", sort=order),
        tooltip=[
            alt.Tooltip("truth:N", title="Truth"),
            alt.Tooltip("said:N", title="Said"),
            alt.Tooltip("count:Q", title="Faces", format=","),
            alt.Tooltip("share:Q", title="Of this truth", format=PERCENT),
        ],
    )
    scale = alt.Scale(domain=[0, 1], range=[_FEW, _MANY])
    ink = alt.condition(
        "datum.share > 0.5", alt.ColorValue("white"), alt.ColorValue("black")
    )
    return layered(
        heading("Truth and label", faces([labels.states.n])),
        base.mark_rect().encode(color=alt.Color("share:Q", scale=scale, legend=None)),
        base.mark_text(fontSize=16, dy=-7).encode(
            text=alt.Text("count:Q", format=","), color=ink
        ),
        base.mark_text(fontSize=11, dy=11).encode(
            text=alt.Text("share:Q", format=PERCENT), color=ink
        ),
    ).properties(width=300, height=220)


def reliability_chart(
    answers: Mapping[str, Answers], *, believed: Believed = "top"
) -> alt.LayerChart:
    """Return how often was right what was said so surely; on the diagonal at best.

    Args:
        answers: name of a run to its answers, all on the same set.
        believed: the probability of the label given, or that a mask is worn.
    """
    curves = {
        run: _reliability(one.labelling, believed) for run, one in answers.items()
    }
    rows = [row for run, curve in curves.items() for row in _bins(run, curve)]
    # A little more than 0 to 1: a dot at 100 % would be cut in half.
    both = alt.Scale(domain=[-0.04, 1.04], nice=False)
    percent = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    base = alt.Chart(data(rows)).encode(
        x=alt.X("score:Q", title="Said", scale=both, axis=percent),
        color=run_colour(answers),
    )
    right = alt.Y("share:Q", title="True", scale=both, axis=percent)
    tips = _reliability_tips(several=len(answers) > 1)
    n = alt.Size("n:Q", legend=None, scale=alt.Scale(type="sqrt", range=[25, 250]))
    return layered(
        heading(
            f"Reliability, {_BELIEVED[believed]}", faces(map(len, answers.values()))
        ),
        alt.Chart(data([{"score": 0, "share": 0}, {"score": 1, "share": 1}]))
        .mark_line(color=GREY, strokeDash=[3, 3], strokeWidth=1)
        .encode(x="score:Q", y="share:Q"),
        base.mark_rule(opacity=0.5).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.5).encode(y=right),
        base.mark_point(filled=True, opacity=0.9).encode(y=right, size=n, tooltip=tips),
    )


def _reliability_tips(*, several: bool) -> list[alt.Tooltip]:
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        alt.Tooltip("score:Q", title="Said", format=PERCENT),
        alt.Tooltip("share:Q", title="True", format=PERCENT),
        alt.Tooltip("low:Q", title="From", format=PERCENT),
        alt.Tooltip("high:Q", title="To", format=PERCENT),
        alt.Tooltip("n:Q", title="Faces", format=","),
        alt.Tooltip("ece:Q", title="ECE", format=".4f"),
    ]


def slices_chart(answers: Mapping[str, Answers]) -> alt.LayerChart:
    """Return mask against no mask, right, by parts of a set, with intervals.

    A part that does worse than the rest by more than the interval allows is a
    triangle that points down.

    Args:
        answers: name of a run to its answers, all on the same set.
    """
    rows = [
        _slice_row(run, part) for run, one in answers.items() for part in slices(one)
    ]
    order = list(dict.fromkeys(str(row["place"]) for row in rows))
    base = alt.Chart(data(rows)).encode(
        y=alt.Y("place:N", title=None, sort=order, axis=alt.Axis(labelLimit=240)),
        yOffset=alt.YOffset("run:N", sort=list(answers)),
        color=run_colour(answers),
        tooltip=_slice_tips(several=len(answers) > 1),
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
    return layered(
        heading("By parts of the set", faces(map(len, answers.values()))),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(x=right, shape=shape),
    )


def _reliability(labels: Labelling, believed: Believed) -> Reliability:
    if believed == "top":
        return reliability(*top_label(labels))
    asked = ask(labels, "wearing")
    return reliability(asked.truths, asked.scores)


def _bins(run: str, curve: Reliability) -> list[Row]:
    rows: list[Row] = []
    for score, hits, n in zip(curve.scores, curve.hits, curve.counts, strict=True):
        part = share(int(hits), int(n))
        rows.append(
            {
                "run": run,
                "score": round(float(score), 4),
                "share": round(part.value, 4),
                "low": round(part.low, 4),
                "high": round(part.high, 4),
                "n": part.n,
                "ece": round(curve.ece, 4),
            }
        )
    return rows


def _slice_tips(*, several: bool) -> list[alt.Tooltip]:
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        alt.Tooltip("place:N", title="Part"),
        alt.Tooltip("share:Q", title="Right", format=PERCENT),
        alt.Tooltip("low:Q", title="From", format=PERCENT),
        alt.Tooltip("high:Q", title="To", format=PERCENT),
        alt.Tooltip("n:Q", title="Faces", format=","),
        alt.Tooltip("verdict:N", title="Against the rest"),
    ]


def _slice_row(run: str, part: Slice) -> Row:
    accuracy = part.accuracy
    return {
        "run": run,
        "place": f"{part.name}: {part.part}",
        "share": round(accuracy.value, 4),
        "low": round(accuracy.low, 4),
        "high": round(accuracy.high, 4),
        "n": accuracy.n,
        "worse": part.worse,
        "verdict": "worse" if part.worse else "no worse than chance allows",
    }
