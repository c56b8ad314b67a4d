"""Learning curves of training runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from maskdet.charts.spec import (
    GREY,
    ChartRow,
    VegaSpec,
    chart_title,
    encode_run_colour,
    layer_charts,
    nominal_field,
    quantitative_field,
)
from maskdet.style import uncapitalize
from maskdet.wording import format_count

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
) -> VegaSpec:
    """Return a quantity by epoch, on training (dashed) and validation data.

    A thin line marks the start of each further training stage.

    Args:
        logs: log by name of the run; epochs are numbered through all stages.
        quantity: the column to draw.
    """
    title = QUANTITIES[quantity]
    is_loss = quantity == "loss"
    epoch = quantitative_field("epoch", "Epoch", axis={"tickMinStep": 1, "format": "d"})
    common = {
        "x": epoch,
        "y": quantitative_field(
            "value",
            title,
            scale={"zero": False},
            axis={} if is_loss else {"format": "%"},
        ),
        "color": encode_run_colour(logs),
        "detail": {"field": "set", "type": "nominal"},
    }
    tooltips = [
        *[nominal_field("run", "Run")] * (len(logs) > 1),
        nominal_field("set", "On"),
        quantitative_field("epoch", "Epoch"),
        quantitative_field("value", title, format=".4f" if is_loss else ".2%"),
        quantitative_field("rate", "Learning rate", format=".2g"),
    ]
    dashes = {"domain": list(_SPLIT_TITLES.values()), "range": [[4, 3], [1, 0]]}
    layers: list[VegaSpec] = [
        {
            "data": {"name": "stages"},
            "mark": {"type": "rule", "color": GREY, "strokeDash": [2, 2]},
            "encoding": {"x": epoch},
        },
        {
            "data": {"name": "epochs"},
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {**common, "strokeDash": nominal_field("set", scale=dashes)},
        },
        {
            "data": {"name": "epochs"},
            "mark": {"type": "point", "size": 40, "filled": True, "opacity": 0.8},
            "encoding": {**common, "tooltip": tooltips},
        },
    ]
    datasets: dict[str, list[ChartRow]] = {
        "stages": [{"epoch": x} for log in logs.values() for x in _stage_starts(log)],
        "epochs": [
            row for run, log in logs.items() for row in _log_rows(run, log, quantity)
        ],
    }
    heading = chart_title(f"Learning: {uncapitalize(title)}", _format_epochs(logs))
    return layer_charts(layers, datasets, title=heading)


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


def _stage_starts(log: TrainingLog) -> list[float]:
    """Return the positions between epochs at which a further stage starts."""
    return [
        row.get("epoch", index) - 0.5
        for index, (before, row) in enumerate(pairwise(log), start=2)
        if row.get("stage") != before.get("stage")
    ]


def _format_epochs(logs: Mapping[str, TrainingLog]) -> str:
    if len(logs) == 1:
        return format_count(len(next(iter(logs.values()))), "epoch")
    return f"{len(logs)} runs"
