"""Colours, titles and helpers of charts for light and dark pages."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import altair as alt
import numpy as np
from numpy.typing import NDArray

from maskdet.style import Style, line_style
from maskdet.types import CLASSES

ChartRow: TypeAlias = Mapping[str, float | int | str | bool | None]

GREY: Final = "#808495"
"""Readable on white and on black; for secondary text and lines."""

# Five colours that colour-blind people can distinguish, each with a contrast of at
# least 3 : 1 on white and on Streamlit's dark background (WCAG 2.2, graphical objects).
_RUN_COLOURS: Final = ("#1f83d6", "#c77700", "#0f9d75", "#c65aa0", "#7d74d6")

_DASHES: Final = {
    "solid": [1, 0],
    "double": [8, 2],
    "dashed": [5, 4],
    "dotted": [2, 2],
}

PERCENT_FORMAT: Final = ".1%"

MAX_CURVE_POINTS = 400
"""Maximum number of points in a curve; more points would not be visible."""

_Floats: TypeAlias = NDArray[np.float64]


def assign_run_colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour, `#rrggbb`, for each run, determined by the order."""
    return {
        name: _RUN_COLOURS[index % len(_RUN_COLOURS)]
        for index, name in enumerate(names)
    }


def encode_run_colour(names: Iterable[str]) -> alt.Color:
    """Return the colour encoding of the field `run`."""
    colours = assign_run_colours(names)
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color("run:N", title=None, scale=scale)


def encode_label_colour(style: Style) -> alt.Color:
    """Return the colour encoding of the field `class`, with titles of the style."""
    scale = alt.Scale(
        domain=[style.title(label) for label in CLASSES],
        range=[style.colour_css(label) for label in CLASSES],
    )
    return alt.Color("class:N", title=None, scale=scale, legend=_line_legend())


def encode_label_dash(style: Style) -> alt.StrokeDash:
    """Return the dash encoding of the field `class`."""
    scale = alt.Scale(
        domain=[style.title(label) for label in CLASSES],
        range=[_DASHES[line_style(label)] for label in CLASSES],
    )
    return alt.StrokeDash("class:N", title=None, scale=scale, legend=_line_legend())


def _line_legend() -> alt.Legend:
    """Return a legend of short lines instead of dots, which suit dashes better."""
    return alt.Legend(symbolType="stroke", symbolStrokeWidth=2, symbolSize=400)


def inline_data(rows: Iterable[ChartRow]) -> alt.InlineData:
    """Return rows as data of a chart, without pandas, which is slow to import."""
    return alt.InlineData(values=[dict(row) for row in rows])


def chart_title(text: str, subtitle: str) -> alt.Title:
    """Return a title whose subtitle is readable on light and dark pages."""
    return alt.Title(text, subtitle=subtitle, subtitleColor=GREY, anchor="start")


def layer_charts(title: alt.Title, *layers: alt.Chart) -> alt.LayerChart:
    """Return a layered chart with one title."""
    return alt.LayerChart(layer=list(layers), title=title)


def format_face_count(counts: Iterable[int]) -> str:
    """Format numbers of faces, as in "n = 512" or "n = 512 to 520"."""
    distinct_counts = sorted(set(counts)) or [0]
    if len(distinct_counts) == 1:
        return f"n = {distinct_counts[0]:,}"
    return f"n = {distinct_counts[0]:,} to {distinct_counts[-1]:,}"


def simplify_line(
    x: _Floats, y: _Floats, max_points: int = MAX_CURVE_POINTS
) -> NDArray[np.int64]:
    """Return the ascending indices of the points that preserve the shape of a line.

    The end points are kept. Then, as in the Douglas-Peucker algorithm (1973), the point
    farthest from the simplified line is added until `max_points` are kept or all
    distances are at most 1e-6.
    """
    last = len(x) - 1
    kept_points = {0, last} if last > 0 else set(range(len(x)))
    segments: list[tuple[float, int, int, int]] = []
    _push_segment(segments, x, y, 0, last)
    while segments and len(kept_points) < max_points:
        _, start, farthest, end = heapq.heappop(segments)
        kept_points.add(farthest)
        _push_segment(segments, x, y, start, farthest)
        _push_segment(segments, x, y, farthest, end)
    return np.array(sorted(kept_points), np.int64)


def _push_segment(
    segments: list[tuple[float, int, int, int]],
    x: _Floats,
    y: _Floats,
    start: int,
    end: int,
) -> None:
    """Push the segment between two kept points if a point of it is off the line."""
    if end - start < 2:
        return
    along_x, along_y = x[end] - x[start], y[end] - y[start]
    length = float(np.hypot(along_x, along_y))
    off_x, off_y = x[start + 1 : end] - x[start], y[start + 1 : end] - y[start]
    if length:
        distances = np.abs(along_x * off_y - along_y * off_x) / length
    else:
        distances = np.hypot(off_x, off_y)
    farthest = int(distances.argmax())
    if distances[farthest] > 1e-6:
        heapq.heappush(
            segments, (-float(distances[farthest]), start, start + 1 + farthest, end)
        )
