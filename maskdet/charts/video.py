"""Charts of people over time: by class, mask rate and contacts.

Time bins are rows as in the `timeline` of the JSON of a video report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from maskdet.charts.spec import (
    UNIT_SCALE,
    ChartRow,
    VegaSpec,
    chart_title,
    encode_colour,
    label_colours,
    layer_charts,
    nominal_field,
    quantitative_field,
)
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES, Label

TimelineRow: TypeAlias = Mapping[str, Any]
"""`start_s`, `length_s`, mean number of people by key of the label, `mask_rate`,
`n_contacts` and `n_over_limit`."""

_LABELS: Final = (*CLASSES, Label.UNKNOWN)

_CLOCK_EXPRESSION: Final = (
    "floor(datum.value / 60) + ':' + (datum.value % 60 < 10 ? '0' : '') "
    "+ floor(datum.value % 60) + (datum.value % 1 ? '.' + "
    "round(10 * (datum.value % 1)) : '')"
)
"""Vega expression that formats seconds, as in "1:05"."""

_WITHIN_LIMIT, _OVER_LIMIT = "within the time limit", "over the time limit"
_CONTACT_COLOURS: Final = {_WITHIN_LIMIT: "#c77700", _OVER_LIMIT: "#c4314b"}

# The y axes of all charts have the same width, so that the time axes are aligned.
_Y_AXIS: Final = {"minExtent": 44, "maxExtent": 44}


def video_charts(
    bins: Sequence[TimelineRow], *, style: Style = DEFAULT_STYLE
) -> dict[str, VegaSpec]:
    """Return the charts of a video over time, by name.

    Args:
        bins: time bins of the video.
        style: names and colours of the classes.

    Returns:
        `people` by class; `mask_rate`, with gaps where no class is known; and
        `contacts` within and over the time limit, if there are any.
    """
    draw_chart = partial(_time_chart, bins, style=style)
    people = [row for time_bin in bins for row in _stack_labels(time_bin, style)]
    charts = {
        "people": draw_chart(
            _bar_layer(bins, encode_colour("kind", label_colours(style, _LABELS))),
            people,
            top=max((row["high"] for row in people), default=0.0),
            title=chart_title("People by class", "Mean of each time bin"),
            height=270,
        ),
        "mask_rate": draw_chart(
            _mask_rate_line(bins),
            [
                {
                    "middle": time_bin["start_s"] + time_bin["length_s"] / 2,
                    "rate": time_bin["mask_rate"],
                }
                for time_bin in bins
            ],
            top=1.0,
            title=chart_title("Mask rate", "Unsure excluded"),
        ),
    }
    n_contacts = max((time_bin["n_contacts"] for time_bin in bins), default=0)
    if n_contacts:
        charts["contacts"] = draw_chart(
            _bar_layer(bins, encode_colour("kind", _CONTACT_COLOURS)),
            [row for time_bin in bins for row in _contact_rows(time_bin)],
            top=float(n_contacts),
            title=chart_title("Contacts", "Maximum of each time bin"),
        )
    return charts


def _time_chart(
    bins: Sequence[TimelineRow],
    main_layer: VegaSpec,
    rows: Sequence[ChartRow],
    *,
    top: float,
    style: Style,
    title: VegaSpec,
    height: int = 190,
) -> VegaSpec:
    """Return a chart over time with tooltips on every bin.

    Args:
        bins: time bins of the video.
        main_layer: the layer of `rows`.
        rows: what is drawn.
        top: highest value of the chart.
        style: names of the classes.
        title: see `chart_title`.
        height: in pixels.
    """
    layers = [{"data": {"name": "rows"}, **main_layer}, _tooltip_layer(bins, style)]
    datasets: dict[str, Sequence[ChartRow]] = {
        "rows": rows,
        "bins": [_bin_row(time_bin, top or 1.0) for time_bin in bins],
    }
    return layer_charts(layers, datasets, title=title, height=height)


def _mask_rate_line(bins: Sequence[TimelineRow]) -> VegaSpec:
    axis = {**_Y_AXIS, "format": "%", "tickCount": 3}
    return {
        "mark": {
            "type": "line",
            "color": "#1f83d6",
            "strokeWidth": 2,
            "point": {"size": 18},
        },
        "encoding": {
            "x": {**_time_axis(bins), "field": "middle"},
            "y": quantitative_field("rate", scale=UNIT_SCALE, axis=axis),
        },
    }


def _bar_layer(bins: Sequence[TimelineRow], colour: VegaSpec) -> VegaSpec:
    """Return bars from `low` to `high`, each as wide as its time bin."""
    return {
        "mark": {"type": "rect"},
        "encoding": {
            "x": _time_axis(bins),
            "x2": {"field": "end"},
            "y": quantitative_field("low", axis={**_Y_AXIS, "tickMinStep": 1}),
            "y2": {"field": "high"},
            "color": colour,
        },
    }


def _time_axis(bins: Sequence[TimelineRow]) -> VegaSpec:
    end_s = max((_time_span(time_bin)["end"] for time_bin in bins), default=1.0)
    return quantitative_field(
        "start",
        axis={"labelExpr": _CLOCK_EXPRESSION, "grid": False, "tickMinStep": 1},
        scale={"domain": [0, end_s], "nice": False},
    )


def _stack_labels(time_bin: TimelineRow, style: Style) -> list[dict[str, Any]]:
    """Return the stacked bars of a time bin, masked people at the bottom."""
    rows: list[dict[str, Any]] = []
    below = 0.0
    for label in _LABELS:
        n = time_bin[label.key]
        if n > 0:
            bar = _bar_range(below, n)
            rows.append({**_time_span(time_bin), "kind": style.title(label), **bar})
        below += n
    return rows


def _contact_rows(time_bin: TimelineRow) -> list[ChartRow]:
    span, n_over = _time_span(time_bin), time_bin["n_over_limit"]
    n_within = time_bin["n_contacts"] - n_over
    rows: list[ChartRow] = []
    if n_over:
        rows.append({**span, "kind": _OVER_LIMIT, **_bar_range(0, n_over)})
    if n_within > 0:
        rows.append({**span, "kind": _WITHIN_LIMIT, **_bar_range(n_over, n_within)})
    return rows


def _time_span(time_bin: TimelineRow) -> dict[str, float]:
    start_s = time_bin["start_s"]
    return {"start": start_s, "end": start_s + time_bin["length_s"]}


def _bar_range(low: float, height: float) -> dict[str, float]:
    return {"low": round(low, 4), "high": round(low + height, 4)}


def _bin_row(time_bin: TimelineRow, top: float) -> ChartRow:
    return {
        **_time_span(time_bin),
        "top": top,
        "bottom": 0,
        "clock": _format_clock(time_bin["start_s"]),
        "rate": time_bin["mask_rate"],
        "contacts": time_bin["n_contacts"],
        **{label.key: round(time_bin[label.key], 2) for label in _LABELS},
    }


def _tooltip_layer(bins: Sequence[TimelineRow], style: Style) -> VegaSpec:
    """Return an invisible layer with tooltips over each full time bin."""
    return {
        "data": {"name": "bins"},
        "mark": {"type": "rect", "opacity": 0},
        "encoding": {
            "x": _time_axis(bins),
            "x2": {"field": "end"},
            "y": quantitative_field("bottom"),
            "y2": {"field": "top"},
            "tooltip": [
                nominal_field("clock", "Time"),
                *(
                    quantitative_field(label.key, style.title(label))
                    for label in _LABELS
                ),
                quantitative_field("rate", "Mask rate", format=".0%"),
                quantitative_field("contacts", "Contacts"),
            ],
        },
    }


def _format_clock(time_s: float) -> str:
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes}:{seconds:02d}"
