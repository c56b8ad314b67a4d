"""Truth by answer, with what was missed and what is no face, to be clicked on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from maskdet.charts.look import PERCENT, Row
from maskdet.charts.tune import CONFIG, CUT_INK, PICK, Spec

# Few and many of what is right, wrong and unsure; black or white is read upon them,
# on light and dark pages alike.
_FILLS: Final = {
    "right": ("#eaf2fa", "#0b559f"),
    "wrong": ("#fbeee4", "#a84a12"),
    "unsure": ("#eeeff3", "#5c6070"),
}

_TIPS: Final = [
    {"field": "truth", "type": "nominal", "title": "Truth"},
    {"field": "said", "type": "nominal", "title": "Said"},
    {"field": "count", "type": "quantitative", "title": "Faces", "format": ","},
    {
        "field": "share",
        "type": "quantitative",
        "title": "Of this truth",
        "format": PERCENT,
    },
]


def outcome_matrix(
    counts: Sequence[Sequence[int]],
    actual: Sequence[str],
    said: Sequence[str],
    *,
    chosen: tuple[int, int] | None = None,
) -> Spec:
    """Return truth by answer, with what was missed and what was no face.

    A click selects a cell: the selection `PICK` has its `row` and `column`.

    Args:
        counts: a row for each truth, the last one being no face, and a column for each
            answer, the last two being unsure and missed.
        actual: titles of the rows.
        said: titles of the columns.
        chosen: row and column of the cell that is outlined.
    """
    return {
        "datasets": {"cells": _cells(counts, actual, said, chosen)},
        "data": {"name": "cells"},
        "layer": _matrix_layers(_axes(actual, said)),
        "height": 250,
        "config": CONFIG,
    }


def _axes(actual: Sequence[str], said: Sequence[str]) -> Spec:
    split = {"labelAngle": 0, "labelExpr": "split(datum.label, ' ')"}
    return {
        "x": {
            "field": "said",
            "type": "nominal",
            "title": "What was said",
            "sort": list(said),
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


def _cells(
    counts: Sequence[Sequence[int]],
    actual: Sequence[str],
    said: Sequence[str],
    chosen: tuple[int, int] | None,
) -> list[Row]:
    rows: list[Row] = []
    for i, truth in enumerate(actual):
        total = sum(int(count) for count in counts[i])
        for j, answer in enumerate(said):
            if i == len(actual) - 1 and j == len(said) - 1:
                continue  # what is no face cannot be missed
            count = int(counts[i][j])
            rows.append(
                {
                    "truth": truth,
                    "said": answer,
                    "row": i,
                    "column": j,
                    "count": count,
                    "share": round(count / total, 5) if total else 0.0,
                    **_inks(_kind(i, j, len(said)), count / max(1, total)),
                    "chosen": chosen == (i, j),
                }
            )
    return rows


def _kind(row: int, column: int, columns: int) -> str:
    if column == columns - 2:
        return "unsure"
    return "right" if row == column else "wrong"


def _inks(kind: str, share: float) -> Row:
    """Return the colour of a cell and of what is written in it."""
    few, many = (
        [int(ink[place : place + 2], 16) for place in (1, 3, 5)] for ink in _FILLS[kind]
    )
    mixed = (round(a + (b - a) * share) for a, b in zip(few, many, strict=True))
    fill = "#" + "".join(f"{part:02x}" for part in mixed)
    return {"fill": fill, "ink": "white" if share > 0.5 else "black"}


def _matrix_layers(base: Mapping[str, Any]) -> list[Spec]:
    rim = {
        "condition": {"test": "datum.chosen", "value": 4},
        "value": 0,
    }
    cells = {
        "params": [
            {
                "name": PICK,
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
            "stroke": {"value": CUT_INK},
            "strokeWidth": rim,
            "tooltip": _TIPS,
        },
    }
    return [
        cells,
        _text(base, "count", ",", 17, -8),
        _text(base, "share", ".0%", 11, 10),
    ]


def _text(base: Mapping[str, Any], field: str, number: str, size: int, dy: int) -> Spec:
    """Return numbers in the cells; clicks go through them to the cell."""
    return {
        "mark": {"type": "text", "fontSize": size, "dy": dy, "tooltip": None}
        | {"aria": False, "cursor": "pointer"},
        "encoding": {
            **base,
            "text": {"field": field, "type": "quantitative", "format": number},
            "color": {"field": "ink", "type": "nominal", "scale": None},
        },
    }
