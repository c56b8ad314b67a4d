"""A video over time: people by what they wore, share masked, pairs that were near.

Each chart can be clicked: the selection `TIME_SELECTION` then holds the field `start`,
the second at which the clicked part of the video begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import altair as alt

from maskdet.charts.theme import ChartRow, chart_title, inline_data, layer_charts
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES, Label

TIME_SELECTION: Final = "moment"
"""What the selection is called."""

_LABELS: Final = (*CLASSES, Label.UNKNOWN)

_CLOCK_EXPRESSION: Final = (
    "floor(datum.value / 60) + ':' + (datum.value % 60 < 10 ? '0' : '') "
    "+ floor(datum.value % 60) + (datum.value % 1 ? '.' + "
    "round(10 * (datum.value % 1)) : '')"
)
"""Seconds as people write them, "1:05"."""

_CONTACT_TITLES: Final = {"near": "near", "too long": "for too long"}
_CONTACT_COLOURS: Final = ("#c77700", "#c4314b")

_AXIS_PX: Final = 44
"""So wide on every chart that the same moments stand above each other."""


class ChartTimeBin(Protocol):
    """A part of a video, as `maskdet.video.TimelineBin` is one."""

    @property
    def start_s(self) -> float:
        """When it begins, in seconds."""
        ...

    @property
    def length_s(self) -> float:
        """How long it is."""
        ...

    @property
    def counts(self) -> Mapping[Label, float]:
        """How many people there were on average, by label."""
        ...

    @property
    def n_contacts(self) -> int:
        """Most pairs that were near each other at once."""
        ...

    @property
    def n_over_limit(self) -> int:
        """Most pairs at once that were near for too long."""
        ...

    @property
    def mask_rate(self) -> float | None:
        """Share of people with a mask; None where nothing is known."""
        ...


def people_chart(
    bins: Sequence[ChartTimeBin], *, marked_s: float, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return how many people there were at each moment, by what they wore.

    Args:
        bins: the parts of the video.
        marked_s: which moment is marked, in seconds.
        style: names and colours of the classes.
    """
    rows = inline_data(
        row for time_bin in bins for row in _stack_labels(time_bin, style)
    )
    bars = _bars(rows, bins, _label_colour(style))
    top = max((sum(time_bin.counts.values()) for time_bin in bins), default=0.0)
    return layer_charts(
        chart_title("People by verdict", "On average in each part; click to go there"),
        bars,
        *_time_marker(marked_s),
        _click_layer(bins, top or 1.0, style),
    ).properties(height=270)


def mask_rate_chart(
    bins: Sequence[ChartTimeBin], *, marked_s: float, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return the share with a mask over time, with gaps where nothing is known."""
    rows: list[ChartRow] = [
        {
            "middle": time_bin.start_s + time_bin.length_s / 2,
            "share": time_bin.mask_rate,
        }
        for time_bin in bins
    ]
    line = (
        alt.Chart(inline_data(rows))
        .mark_line(color="#1f83d6", strokeWidth=2, point={"size": 18})
        .encode(
            x=alt.X("middle:Q"),
            y=alt.Y(
                "share:Q",
                title=None,
                scale=alt.Scale(domain=[0, 1]),
                axis=_count_axis(percent=True),
            ),
        )
    )
    return layer_charts(
        chart_title("Share masked", "Of the people of whom it is known"),
        _time_frame(bins),
        line,
        *_time_marker(marked_s),
        _click_layer(bins, 1.0, style),
    ).properties(height=190)


def contacts_chart(
    bins: Sequence[ChartTimeBin], *, marked_s: float, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return how many pairs were near each other, and how many for too long."""
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(
            domain=list(_CONTACT_TITLES.values()), range=list(_CONTACT_COLOURS)
        ),
        legend=alt.Legend(orient="bottom"),
    )
    rows = inline_data(row for time_bin in bins for row in _contact_rows(time_bin))
    bars = _bars(rows, bins, colour)
    top = max((time_bin.n_contacts for time_bin in bins), default=0)
    return layer_charts(
        chart_title("Pairs who were near each other", "Most at once in each part"),
        bars,
        *_time_marker(marked_s),
        _click_layer(bins, float(top or 1), style),
    ).properties(height=190)


def _bars(rows: alt.Data, bins: Sequence[ChartTimeBin], colour: alt.Color) -> alt.Chart:
    """Return bars from `low` to `high`, each as wide as its part of the video."""
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
    # At the bottom, so that the chart is as wide as those below it.
    return alt.Color(
        "class:N", title=None, scale=scale, legend=alt.Legend(orient="bottom")
    )


def _stack_labels(time_bin: ChartTimeBin, style: Style) -> list[ChartRow]:
    """Return the parts of a moment's bar, masked people at the bottom."""
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
                "kind": _CONTACT_TITLES["too long"],
                **_bar_range(0, time_bin.n_over_limit),
            }
        )
    if time_bin.n_contacts > time_bin.n_over_limit:
        rest = _bar_range(
            time_bin.n_over_limit, time_bin.n_contacts - time_bin.n_over_limit
        )
        rows.append({**_time_span(time_bin), "kind": _CONTACT_TITLES["near"], **rest})
    return rows


def _time_span(time_bin: ChartTimeBin) -> dict[str, float]:
    return {"start": time_bin.start_s, "end": time_bin.start_s + time_bin.length_s}


def _bar_range(low: float, height: float) -> dict[str, float]:
    return {"low": round(low, 4), "high": round(low + height, 4)}


def _time_frame(bins: Sequence[ChartTimeBin]) -> alt.Chart:
    """Return nothing to see: the time axis of a chart whose marks have no ends."""
    invisible = alt.Chart(
        inline_data(_time_span(time_bin) for time_bin in bins)
    ).mark_rect(opacity=0)
    framed: alt.Chart = invisible.encode(x=_time_axis(bins), x2="end:Q")
    return framed


def _time_marker(marked_s: float) -> tuple[alt.Chart, ...]:
    """Return the line at the moment that is shown: dark with a light rim.

    So it is seen upon every colour of both themes.
    """
    base = alt.Chart(inline_data([{"at": marked_s}]))
    return tuple(
        base.mark_rule(color=colour, strokeWidth=width).encode(x="at:Q")
        for colour, width in (("white", 5), ("#1a2133", 2))
    )


def _click_layer(bins: Sequence[ChartTimeBin], top: float, style: Style) -> alt.Chart:
    """Return what is pointed at and clicked: all of a moment, also where it is empty.

    Args:
        bins: the parts of the video.
        top: the highest value of the chart.
        style: names of the classes.
    """
    rows: list[ChartRow] = [
        {
            **_time_span(time_bin),
            "top": top,
            "bottom": 0,
            "time": _format_clock(time_bin.start_s),
            "share": time_bin.mask_rate,
            "near": time_bin.n_contacts,
            **{label.key: round(time_bin.counts[label], 2) for label in _LABELS},
        }
        for time_bin in bins
    ]
    tooltips = [
        alt.Tooltip("time:N", title="Time"),
        *(alt.Tooltip(f"{label.key}:Q", title=style.title(label)) for label in _LABELS),
        alt.Tooltip("share:Q", title="Masked", format=".0%"),
        alt.Tooltip("near:Q", title="Pairs near"),
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
