"""Learning curves of training runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal, TypeAlias

import altair as alt

from maskdet.charts.theme import (
    GREY,
    ChartRow,
    chart_title,
    encode_run_colour,
    inline_data,
    layer_charts,
)

LoggedQuantity: TypeAlias = Literal["accuracy", "loss", "faces", "mean"]

QUANTITIES: Final[Mapping[LoggedQuantity, str]] = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "faces": "Average precision of faces",
    "mean": "Mean average precision of the classes",
}
"""Titles by column of a log. Classifiers have the first two, single-stage networks all
but the first."""

_SPLIT_TITLES = {"": "training", "val_": "validation"}

TrainingLog: TypeAlias = Sequence[Mapping[str, float]]
"""One row for each epoch, see `TrainingRun.log`."""


def learning_curves(
    logs: Mapping[str, TrainingLog], *, quantity: LoggedQuantity = "accuracy"
) -> alt.LayerChart:
    """Return a quantity by epoch, on training (dashed) and validation data.

    A thin line marks the start of each further training stage.

    Args:
        logs: log by name of the run; epochs are numbered through all stages.
        quantity: the column to draw.
    """
    rows = [row for run, log in logs.items() for row in _log_rows(run, log, quantity)]
    starts = [{"epoch": x} for log in logs.values() for x in _stage_starts(log)]
    axis = alt.Axis() if quantity == "loss" else alt.Axis(format="%")
    common = {
        "x": alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d")),
        "y": alt.Y(
            "value:Q",
            title=QUANTITIES[quantity],
            scale=alt.Scale(zero=False),
            axis=axis,
        ),
        "color": encode_run_colour(logs),
        "detail": ["set:N"],
    }
    base = alt.Chart(inline_data(rows))
    return layer_charts(
        chart_title(
            f"Learning: {_lower_first(QUANTITIES[quantity])}", _format_epochs(logs)
        ),
        alt.Chart(inline_data(starts))
        .mark_rule(color=GREY, strokeDash=[2, 2])
        .encode(x="epoch:Q"),
        base.mark_line(strokeWidth=2).encode(**common, strokeDash=_split_dash()),
        base.mark_point(size=40, filled=True, opacity=0.8).encode(
            **common, tooltip=_log_tooltips(quantity, several=len(logs) > 1)
        ),
    )


def _split_dash() -> alt.StrokeDash:
    """Return dashed lines for training, solid lines for validation."""
    scale = alt.Scale(domain=list(_SPLIT_TITLES.values()), range=[[4, 3], [1, 0]])
    return alt.StrokeDash("set:N", title=None, scale=scale)


def _log_tooltips(quantity: LoggedQuantity, *, several: bool) -> list[alt.Tooltip]:
    form = ".4f" if quantity == "loss" else ".2%"
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        alt.Tooltip("set:N", title="On"),
        alt.Tooltip("epoch:Q", title="Epoch"),
        alt.Tooltip("value:Q", title=QUANTITIES[quantity], format=form),
        alt.Tooltip("rate:Q", title="Learning rate", format=".2g"),
    ]


def _log_rows(run: str, log: TrainingLog, quantity: LoggedQuantity) -> list[ChartRow]:
    return [
        {
            "run": run,
            "set": title,
            "epoch": row.get("epoch", index),
            "value": row[prefix + quantity],
            "rate": row.get("learning_rate"),
        }
        for index, row in enumerate(log, start=1)
        for prefix, title in _SPLIT_TITLES.items()
        if math.isfinite(row.get(prefix + quantity, math.nan))
    ]


def is_logged(log: TrainingLog, quantity: LoggedQuantity) -> bool:
    """Return whether a log has a quantity, on training or validation data."""
    return bool(_log_rows("", log, quantity))


def _lower_first(title: str) -> str:
    return title[:1].lower() + title[1:]


def _stage_starts(log: TrainingLog) -> list[float]:
    """Return the positions between epochs at which a further stage starts."""
    return [
        row.get("epoch", index) - 0.5
        for index, (before, row) in enumerate(pairwise(log), start=2)
        if row.get("stage") != before.get("stage")
    ]


def _format_epochs(logs: Mapping[str, TrainingLog]) -> str:
    if len(logs) == 1:
        count = len(next(iter(logs.values())))
        return f"{count} epoch{'' if count == 1 else 's'}"
    return f"{len(logs)} runs"
