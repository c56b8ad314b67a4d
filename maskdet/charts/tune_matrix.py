"""Truth by answer, with what was missed and what is no face, to be clicked on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from maskdet.charts.look import PERCENT_FORMAT, ChartRow
from maskdet.charts.tune import (
    CLICK_SELECTION,
    HISTOGRAM_CONFIG,
    THRESHOLD_COLOUR,
    VegaSpec,
)

# Few and many of what is right, wrong and unsure; black or white is read upon them,
# on light and dark pages alike.
_CELL_FILLS: Final = {
    "right": ("#eaf2fa", "#0b559f"),
    "wrong": ("#fbeee4", "#a84a12"),
    "unsure": ("#eeeff3", "#5c6070"),
}

_CELL_TOOLTIPS: Final = [
    {"field": "truth", "type": "nominal", "title": "Truth"},
    {"field": "said", "type": "nominal", "title": "Said"},
    {"field": "count", "type": "quantitative", "title": "Faces", "format": ","},
    {
        "field": "share",
        "type": "quantitative",
        "title": "Of this truth",
        "format": PERCENT_FORMAT,
    },
]


def confusion_heatmap(
    counts: Sequence[Sequence[int]],
    actual: Sequence[str],
    predicted: Sequence[str],
    *,
    selected: tuple[int, int] | None = None,
) -> VegaSpec:
    """Return truth by answer, with what was missed and what was no face.

    A click selects a cell: the selection `CLICK_SELECTION` has its `row` and `column`.

    Args:
        counts: a row for each truth, the last one being no face, and a column for each
            answer, the last two being unsure and missed.
        actual: titles of the rows.
        predicted: titles of the columns.
        selected: row and column of the cell that is outlined.
    """
    return {
        "datasets": {"cells": _confusion_cells(counts, actual, predicted, selected)},
        "data": {"name": "cells"},
        "layer": _confusion_layers(_confusion_axes(actual, predicted)),
        "height": 250,
        "config": HISTOGRAM_CONFIG,
    }


def _confusion_axes(actual: Sequence[str], predicted: Sequence[str]) -> VegaSpec:
    split = {"labelAngle": 0, "labelExpr": "split(datum.label, ' ')"}
    return {
        "x": {
            "field": "said",
            "type": "nominal",
            "title": "What was said",
            "sort": list(predicted),
            "axis": {**split, "orient": "top", "domain": False, "ticks": False},
        },
        "y": {
            "field": "truth",
            "type": "nominal",
            "title": None,
            "sort": list(actual),
            "axis": {**split, "domain": False, "ticks": False},
        },
    }


def _confusion_cells(
    counts: Sequence[Sequence[int]],
    actual: Sequence[str],
    predicted: Sequence[str],
    selected: tuple[int, int] | None,
) -> list[ChartRow]:
    rows: list[ChartRow] = []
    for i, actual_title in enumerate(actual):
        total = sum(int(count) for count in counts[i])
        for j, predicted_title in enumerate(predicted):
            if i == len(actual) - 1 and j == len(predicted) - 1:
                continue  # what is no face cannot be missed
            count = int(counts[i][j])
            rows.append(
                {
                    "truth": actual_title,
                    "said": predicted_title,
                    "row": i,
                    "column": j,
                    "count": count,
                    "share": round(count / total, 5) if total else 0.0,
                    **_cell_colours(
                        _cell_kind(i, j, len(predicted)), count / max(1, total)
                    ),
                    "chosen": selected == (i, j),
                }
            )
    return rows


def _cell_kind(row: int, column: int, columns: int) -> str:
    if column == columns - 2:
        return "unsure"
    return "right" if row == column else "wrong"


def _cell_colours(kind: str, rate: float) -> ChartRow:
    """Return the colour of a cell and of what is written in it."""
    few, many = (
        [int(colour[offset : offset + 2], 16) for offset in (1, 3, 5)]
        for colour in _CELL_FILLS[kind]
    )
    mixed = (round(a + (b - a) * rate) for a, b in zip(few, many, strict=True))
    fill = "#" + "".join(f"{part:02x}" for part in mixed)
    return {"fill": fill, "ink": "white" if rate > 0.5 else "black"}


def _confusion_layers(base: Mapping[str, Any]) -> list[VegaSpec]:
    rim = {
        "condition": {"test": "datum.chosen", "value": 4},
        "value": 0,
    }
    cells = {
        "params": [
            {
                "name": CLICK_SELECTION,
                "select": {
                    "type": "point",
                    "fields": ["row", "column"],
                    "toggle": False,
                    "clear": False,
                },
            }
        ],
        "mark": {"type": "rect", "cursor": "pointer", "cornerRadius": 3, "inner": 2},
        "encoding": {
            **base,
            "fill": {"field": "fill", "type": "nominal", "scale": None},
            "stroke": {"value": THRESHOLD_COLOUR},
            "strokeWidth": rim,
            "tooltip": _CELL_TOOLTIPS,
        },
    }
    return [
        cells,
        _cell_text(base, "count", ",", 17, -8),
        _cell_text(base, "share", ".0%", 11, 10),
    ]


def _cell_text(
    base: Mapping[str, Any], field: str, number_format: str, size: int, dy: int
) -> VegaSpec:
    """Return numbers in the cells; clicks go through them to the cell."""
    return {
        "mark": {"type": "text", "fontSize": size, "dy": dy, "tooltip": None}
        | {"aria": False, "cursor": "pointer"},
        "encoding": {
            **base,
            "text": {"field": field, "type": "quantitative", "format": number_format},
            "color": {"field": "ink", "type": "nominal", "scale": None},
        },
    }
