"""Charts that move with a slider: where a threshold cuts, and what came of it.

They are plain Vega-Lite specifications: checking one takes Altair longer than a slider
may. Their numbers are named datasets, so that a move of a slider changes only those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from maskdet.charts.look import GREY, PERCENT, Row
from maskdet.style import Palette, colour_css
from maskdet.types import CLASSES

Spec: TypeAlias = dict[str, Any]
"""A Vega-Lite chart with its datasets."""

PICK: Final = "pick"
"""Name of the selection that a click makes, in every chart that can be clicked."""

NO_FACE: Final = "No face"
"""What a false alarm is in truth."""

CUT_INK: Final = "#7d74d6"
"""Thresholds, and what is chosen; none of the labels has it."""

# Few and many of what is right, wrong and unsure; black or white is read upon them,
# on light and dark pages alike.
_FILLS: Final = {
    "right": ("#eaf2fa", "#0b559f"),
    "wrong": ("#fbeee4", "#a84a12"),
    "unsure": ("#eeeff3", "#5c6070"),
}

# Dragging counts as clicking along the way.
_DRAG: Final = "click, [pointerdown, window:pointerup] > pointermove"

_CONFIG: Final = {
    "legend": {"orient": "bottom", "columns": 4, "title": None},
    "axis": {"grid": False},
    "view": {"stroke": None},
}


def cut_histogram(
    edges: Sequence[float],
    parts: Mapping[str, Sequence[int]],
    lines: Sequence[float],
    *,
    below: Sequence[str] = (NO_FACE,),
    x_title: str,
    y_title: str = "Faces",
    palette: Palette = "classic",
    colours: Mapping[str, str] | None = None,
) -> Spec:
    """Return how many faces have which score, by truth, and where thresholds cut.

    A click or a drag selects a bin: the selection `PICK` has its lower edge as `at`.
    Heights grow as square roots, so that a few faces show beside hundreds.

    Args:
        edges: `(n + 1,)` of the bins, rising.
        parts: title of each truth to its `(n,)` counts.
        lines: the thresholds.
        below: titles of the parts that hang from the axis instead of standing on it.
        x_title: what the score is.
        y_title: what is counted.
        palette: for the colours of the classes.
        colours: of other titles.
    """
    known = {label.title: colour_css(label, palette) for label in CLASSES}
    known |= {NO_FACE: GREY, **(colours or {})}
    x = {
        "field": "low",
        "type": "quantitative",
        "title": x_title,
        "scale": {"domain": [edges[0], edges[-1]], "nice": False},
        "axis": {"format": ".1f", "tickCount": 10},
    }
    y = {"field": "y", "type": "quantitative", "title": y_title}
    y |= {"scale": {"type": "sqrt"}, "axis": {"labelExpr": "abs(datum.value)"}}
    y["axis"] |= {"tickCount": 5, "labelFlush": True}
    colour = {
        "field": "truth",
        "type": "nominal",
        "scale": {"domain": list(parts), "range": [known[one] for one in parts]},
    }
    bars = {
        "data": {"name": "bars"},
        "mark": {"type": "bar", "binSpacing": 0.5, "opacity": 0.9},
        "encoding": {
            "x": {**x, "bin": "binned"},
            "x2": {"field": "high"},
            "y": y,
            "y2": {"field": "y2"},
            "color": colour,
        },
    }
    rule = {
        "data": {"name": "lines"},
        "mark": {"type": "rule", "strokeWidth": 3, "color": CUT_INK},
        "encoding": {"x": {**x, "field": "at"}},
    }
    tops, bins = _stacked(edges, parts, set(below))
    return {
        "datasets": {
            "bars": tops,
            "bins": bins,
            "lines": [{"at": float(line)} for line in lines],
        },
        "layer": [bars, rule, _targets(x, parts)],
        "height": 220,
        "config": _CONFIG,
    }


def _targets(x: Mapping[str, Any], parts: Mapping[str, Sequence[int]]) -> Spec:
    """Return what is hit by a click anywhere over a bin, and tells what is in it."""
    tips = [{"field": "span", "type": "nominal", "title": str(x["title"])}]
    tips += [{"field": one, "type": "quantitative", "title": one} for one in parts]
    over = {"fillOpacity": {"value": 0}}
    return {
        "data": {"name": "bins"},
        "params": [
            {
                "name": PICK,
                "select": {
                    "type": "point",
                    "on": _DRAG,
                    "fields": ["at"],
                    "toggle": False,
                    "clear": False,
                },
            }
        ],
        "mark": {"type": "rect", "cursor": "ew-resize", "color": GREY},
        "encoding": {
            "x": {**x, "bin": "binned"},
            "x2": {"field": "high"},
            **over,
            "tooltip": tips,
        },
    }


def _stacked(
    edges: Sequence[float], parts: Mapping[str, Sequence[int]], below: set[str]
) -> tuple[list[Row], list[Row]]:
    """Return the bars, and one row a bin with all its counts."""
    bars: list[Row] = []
    bins: list[Row] = []
    for place in range(len(edges) - 1):
        low, high = float(edges[place]), float(edges[place + 1])
        counts = {title: int(counts[place]) for title, counts in parts.items()}
        up = down = 0
        for title, count in counts.items():
            if not count:
                continue
            start = down if title in below else up
            end = start - count if title in below else start + count
            if title in below:
                down = end
            else:
                up = end
            ends = {"low": low, "high": high, "y": end, "y2": start}
            bars.append({**ends, "truth": title, "count": count})
        span = f"{low:.2f} to {high:.2f}"
        bins.append({"low": low, "high": high, "at": low, "span": span, **counts})
    return bars, bins


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
    split = {"labelAngle": 0, "labelExpr": "split(datum.label, ' ')"}
    base = {
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
    return {
        "datasets": {"cells": rows},
        "data": {"name": "cells"},
        "layer": _matrix_layers(base),
        "height": 250,
        "config": _CONFIG,
    }


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
    tips = [
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
            "tooltip": tips,
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
