"""Charts of a video over time: people by class, mask rate and contacts.

A click sets the selection `TIME_SELECTION`, whose field `start` is the start of the
clicked time bin in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import altair as alt

from maskdet.charts.theme import ChartRow, chart_title, inline_data, layer_charts
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES, Label

TIME_SELECTION: Final = "time_bin"
"""Name of the selection."""

_LABELS: Final = (*CLASSES, Label.UNKNOWN)

_CLOCK_EXPRESSION: Final = (
    "floor(datum.value / 60) + ':' + (datum.value % 60 < 10 ? '0' : '') "
    "+ floor(datum.value % 60) + (datum.value % 1 ? '.' + "
    "round(10 * (datum.value % 1)) : '')"
)
"""Vega expression that formats seconds, as in "1:05"."""

_WITHIN_LIMIT, _OVER_LIMIT = "within the time limit", "over the time limit"
_CONTACT_COLOURS: Final = ("#c77700", "#c4314b")

_AXIS_PX: Final = 44
"""Width of the y axis of every chart, so that the time axes are aligned."""


class ChartTimeBin(Protocol):
    """A time bin of a video, such as `maskdet.video.TimelineBin`."""

    @property
    def start_s(self) -> float:
        """Start in seconds."""
        ...

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        ...

    @property
    def counts(self) -> Mapping[Label, float]:
        """Mean number of people by label."""
        ...

    @property
    def n_contacts(self) -> int:
        """Maximum number of simultaneous contacts."""
        ...

    @property
    def n_over_limit(self) -> int:
        """Maximum number of simultaneous contacts over the time limit."""
        ...

    @property
    def mask_rate(self) -> float | None:
        """Fraction of people with a mask; None if no class is known."""
        ...


def people_chart(
    bins: Sequence[ChartTimeBin], *, marked_s: float, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return the number of people over time by class.

    Args:
        bins: time bins of the video.
        marked_s: time of the marker in seconds.
        style: names and colours of the classes.
    """
    rows = inline_data(
        row for time_bin in bins for row in _stack_labels(time_bin, style)
    )
    bars = _bars(rows, bins, _label_colour(style))
    top = max((sum(time_bin.counts.values()) for time_bin in bins), default=0.0)
    return layer_charts(
        chart_title("People by class", "Mean of each time bin; click to jump"),
        bars,
        *_time_marker(marked_s),
        _click_layer(bins, top or 1.0, style),
    ).properties(height=270)


def mask_rate_chart(
    bins: Sequence[ChartTimeBin], *, marked_s: float, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return the mask rate over time, with gaps where no class is known."""
    rows: list[ChartRow] = [
        {
            "middle": time_bin.start_s + time_bin.length_s / 2,
            "rate": time_bin.mask_rate,
        }
        for time_bin in bins
    ]
    line = (
        alt.Chart(inline_data(rows))
        .mark_line(color="#1f83d6", strokeWidth=2, point={"size": 18})
        .encode(
            x=alt.X("middle:Q"),
            y=alt.Y(
                "rate:Q",
                title=None,
                scale=alt.Scale(domain=[0, 1]),
                axis=_count_axis(percent=True),
            ),
        )
    )
    return layer_charts(
        chart_title("Mask rate", "Unsure excluded"),
        _time_frame(bins),
        line,
        *_time_marker(marked_s),
        _click_layer(bins, 1.0, style),
    ).properties(height=190)


def contacts_chart(
    bins: Sequence[ChartTimeBin], *, marked_s: float, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return the number of contacts over time, within and over the time limit."""
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(
            domain=[_WITHIN_LIMIT, _OVER_LIMIT], range=list(_CONTACT_COLOURS)
        ),
        legend=alt.Legend(orient="bottom"),
    )
    rows = inline_data(row for time_bin in bins for row in _contact_rows(time_bin))
    bars = _bars(rows, bins, colour)
    top = max((time_bin.n_contacts for time_bin in bins), default=0)
    return layer_charts(
        chart_title("Contacts", "Maximum of each time bin"),
        bars,
        *_time_marker(marked_s),
        _click_layer(bins, float(top or 1), style),
    ).properties(height=190)


def _bars(rows: alt.Data, bins: Sequence[ChartTimeBin], colour: alt.Color) -> alt.Chart:
    """Return bars from `low` to `high`, each as wide as its time bin."""
    bars: alt.Chart = (
        alt.Chart(rows)
        .mark_rect()
        .encode(
            x=_time_axis(bins),
            x2="end:Q",
            y=alt.Y("low:Q", title=None, axis=_count_axis()),
            y2="high:Q",
            color=colour,
        )
    )
    return bars


def _count_axis(*, percent: bool = False) -> alt.Axis:
    if percent:
        return alt.Axis(minExtent=_AXIS_PX, maxExtent=_AXIS_PX, format="%", tickCount=3)
    return alt.Axis(minExtent=_AXIS_PX, maxExtent=_AXIS_PX, tickMinStep=1)


def _time_axis(bins: Sequence[ChartTimeBin]) -> alt.X:
    end_s = max(
        (time_bin.start_s + time_bin.length_s for time_bin in bins), default=1.0
    )
    axis = alt.Axis(labelExpr=_CLOCK_EXPRESSION, grid=False, tickMinStep=1)
    scale = alt.Scale(domain=[0, end_s], nice=False)
    return alt.X("start:Q", title=None, scale=scale, axis=axis)


def _label_colour(style: Style) -> alt.Color:
    scale = alt.Scale(
        domain=[style.title(label) for label in _LABELS],
        range=[style.colour_css(label) for label in _LABELS],
    )
    # At the bottom, so that all charts have the same width.
    return alt.Color(
        "class:N", title=None, scale=scale, legend=alt.Legend(orient="bottom")
    )


def _stack_labels(time_bin: ChartTimeBin, style: Style) -> list[ChartRow]:
    """Return the stacked bars of a time bin, masked people at the bottom."""
    rows: list[ChartRow] = []
    below = 0.0
    for label in _LABELS:
        n = time_bin.counts[label]
        if n > 0:
            rows.append(
                {
                    **_time_span(time_bin),
                    "class": style.title(label),
                    **_bar_range(below, n),
                }
            )
        below += n
    return rows


def _contact_rows(time_bin: ChartTimeBin) -> list[ChartRow]:
    rows: list[ChartRow] = []
    if time_bin.n_over_limit:
        rows.append(
            {
                **_time_span(time_bin),
                "kind": _OVER_LIMIT,
                **_bar_range(0, time_bin.n_over_limit),
            }
        )
    if time_bin.n_contacts > time_bin.n_over_limit:
        rest = _bar_range(
            time_bin.n_over_limit, time_bin.n_contacts - time_bin.n_over_limit
        )
        rows.append({**_time_span(time_bin), "kind": _WITHIN_LIMIT, **rest})
    return rows


def _time_span(time_bin: ChartTimeBin) -> dict[str, float]:
    return {"start": time_bin.start_s, "end": time_bin.start_s + time_bin.length_s}


def _bar_range(low: float, height: float) -> dict[str, float]:
    return {"low": round(low, 4), "high": round(low + height, 4)}


def _time_frame(bins: Sequence[ChartTimeBin]) -> alt.Chart:
    """Return an invisible layer that gives a line chart the same time axis."""
    invisible = alt.Chart(
        inline_data(_time_span(time_bin) for time_bin in bins)
    ).mark_rect(opacity=0)
    framed: alt.Chart = invisible.encode(x=_time_axis(bins), x2="end:Q")
    return framed


def _time_marker(marked_s: float) -> tuple[alt.Chart, ...]:
    """Return a dark line with a light outline, visible on any colour."""
    base = alt.Chart(inline_data([{"time": marked_s}]))
    return tuple(
        base.mark_rule(color=colour, strokeWidth=width).encode(x="time:Q")
        for colour, width in (("white", 5), ("#1a2133", 2))
    )


def _click_layer(bins: Sequence[ChartTimeBin], top: float, style: Style) -> alt.Chart:
    """Return an invisible layer with tooltips and clicks over each full time bin.

    Args:
        bins: time bins of the video.
        top: highest value of the chart.
        style: names of the classes.
    """
    rows: list[ChartRow] = [
        {
            **_time_span(time_bin),
            "top": top,
            "bottom": 0,
            "clock": _format_clock(time_bin.start_s),
            "rate": time_bin.mask_rate,
            "contacts": time_bin.n_contacts,
            **{label.key: round(time_bin.counts[label], 2) for label in _LABELS},
        }
        for time_bin in bins
    ]
    tooltips = [
        alt.Tooltip("clock:N", title="Time"),
        *(alt.Tooltip(f"{label.key}:Q", title=style.title(label)) for label in _LABELS),
        alt.Tooltip("rate:Q", title="Mask rate", format=".0%"),
        alt.Tooltip("contacts:Q", title="Contacts"),
    ]
    selection = alt.selection_point(name=TIME_SELECTION, fields=["start"], toggle=False)
    base = alt.Chart(inline_data(rows)).mark_rect(opacity=0, cursor="pointer")
    layer: alt.Chart = base.encode(
        x="start:Q", x2="end:Q", y="bottom:Q", y2="top:Q", tooltip=tooltips
    ).add_params(selection)
    return layer


def _format_clock(time_s: float) -> str:
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes}:{seconds:02d}"
