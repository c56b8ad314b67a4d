"""Charts that move with a slider: where a threshold cuts, and what came of it.

They are plain Vega-Lite specifications: checking one takes Altair longer than a slider
may. Their numbers are named datasets, so that a move of a slider changes only those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from maskdet.charts.look import GREY, ChartRow
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

VegaSpec: TypeAlias = dict[str, Any]
"""A Vega-Lite chart with its datasets."""

CLICK_SELECTION: Final = "pick"
"""Name of the selection that a click makes, in every chart that can be clicked."""

NO_FACE_TITLE: Final = "No face"
"""What a false alarm is in truth."""

THRESHOLD_COLOUR: Final = "#7d74d6"
"""Thresholds, and what is chosen; none of the labels has it."""

# Dragging counts as clicking along the way.
_CLICK_OR_DRAG: Final = "click, [pointerdown, window:pointerup] > pointermove"

_MAX_BELOW_RATIO: Final = 3
"""So many times may what hangs from the axis be taller than what stands on it."""

HISTOGRAM_CONFIG: Final = {
    "legend": {"orient": "bottom", "columns": 3, "title": None},
    "axis": {"grid": False},
    "view": {"stroke": None},
}


def threshold_histogram(
    edges: Sequence[float],
    parts: Mapping[str, Sequence[int]],
    lines: Sequence[float],
    *,
    below: Sequence[str] = (NO_FACE_TITLE,),
    x_title: str,
    y_title: str = "Faces",
    style: Style = DEFAULT_STYLE,
    colours: Mapping[str, str] | None = None,
) -> VegaSpec:
    """Return how many faces have which score, by truth, and where thresholds cut.

    A click or a drag selects a bin: the selection `CLICK_SELECTION` has its lower edge
    as `at`. Heights grow as square roots, so that a few faces show beside hundreds;
    what hangs from the axis is cut where it is far taller than what stands on it.

    Args:
        edges: `(n + 1,)` of the bins, rising.
        parts: title of each truth to its `(n,)` counts.
        lines: the thresholds.
        below: titles of the parts that hang from the axis instead of standing on it.
        x_title: what the score is, for who points at it.
        y_title: what is counted.
        style: names and colours of the classes.
        colours: of other titles.
    """
    tops, bins = _stack_bars(edges, parts, set(below))
    cuts = [{"at": float(line)} for line in lines]
    x, y = _score_axis(edges), _count_axis(tops, y_title)
    colour = _class_colour(parts, style, colours or {})
    return {
        "datasets": {"bars": tops, "bins": bins, "lines": cuts},
        "layer": [
            _histogram_bars(x, y, colour),
            _threshold_lines(x),
            _click_targets(x, parts, x_title),
        ],
        "height": 280,
        "config": HISTOGRAM_CONFIG,
    }


def _score_axis(edges: Sequence[float]) -> VegaSpec:
    return {
        "field": "low",
        "type": "quantitative",
        "title": None,
        "scale": {"domain": [edges[0], edges[-1]], "nice": False},
        "axis": {"format": ".1f", "tickCount": 10},
    }


def _count_axis(bars: Sequence[Mapping[str, Any]], title: str) -> VegaSpec:
    return {
        "field": "y",
        "type": "quantitative",
        "title": title,
        "scale": {"type": "sqrt", "domain": _y_domain(bars), "nice": False},
        "axis": {"labelExpr": "format(abs(datum.value), ',')", "tickCount": 6},
    }


def _class_colour(
    titles: Iterable[str], style: Style, others: Mapping[str, str]
) -> VegaSpec:
    colours = {style.title(label): style.colour_css(label) for label in CLASSES}
    colours |= {NO_FACE_TITLE: GREY, **others}
    titles = list(titles)
    scale = {"domain": titles, "range": [colours[title] for title in titles]}
    return {"field": "truth", "type": "nominal", "scale": scale}


def _threshold_lines(x: VegaSpec) -> VegaSpec:
    """Return the lines at the thresholds."""
    return {
        "data": {"name": "lines"},
        "mark": {"type": "rule", "strokeWidth": 3, "color": THRESHOLD_COLOUR},
        "encoding": {"x": {**x, "field": "at"}},
    }


def _histogram_bars(x: VegaSpec, y: VegaSpec, colour: VegaSpec) -> VegaSpec:
    return {
        "data": {"name": "bars"},
        "mark": {"type": "bar", "binSpacing": 0.5, "opacity": 0.9, "clip": True},
        "encoding": {
            "x": {**x, "bin": "binned"},
            "x2": {"field": "high"},
            "y": y,
            "y2": {"field": "y2"},
            "color": colour,
        },
    }


def _y_domain(bars: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return where the axis ends below and above."""
    up = max([bar["y"] for bar in bars] + [1])
    down = max([-bar["y"] for bar in bars] + [0])
    return [-float(min(down, max(10, _MAX_BELOW_RATIO * up))), float(up)]


def _click_targets(
    x: Mapping[str, Any], parts: Mapping[str, Sequence[int]], title: str
) -> VegaSpec:
    """Return what is hit by a click anywhere over a bin, and tells what is in it."""
    tooltips = [{"field": "span", "type": "nominal", "title": title}]
    tooltips += [
        {"field": _count_field(index), "type": "quantitative", "title": part_title}
        for index, part_title in enumerate(parts)
    ]
    over = {"fillOpacity": {"value": 0}}
    return {
        "data": {"name": "bins"},
        "params": [
            {
                "name": CLICK_SELECTION,
                "select": {
                    "type": "point",
                    "on": _CLICK_OR_DRAG,
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
            "tooltip": tooltips,
        },
    }


def _stack_bars(
    edges: Sequence[float], parts: Mapping[str, Sequence[int]], below: set[str]
) -> tuple[list[ChartRow], list[ChartRow]]:
    """Return the bars, and one row a bin with all its counts."""
    bars: list[ChartRow] = []
    bins: list[ChartRow] = []
    for index in range(len(edges) - 1):
        low, high = float(edges[index]), float(edges[index + 1])
        counts = {title: int(counts[index]) for title, counts in parts.items()}
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
        fields = {_count_field(row): count for row, count in enumerate(counts.values())}
        bins.append({"low": low, "high": high, "at": low, "span": span, **fields})
    return bars, bins


def _count_field(index: int) -> str:
    """Return where a bin has the count of a part: Vega reads a title as a path."""
    return f"part_{index}"
