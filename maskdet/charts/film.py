"""A film over time: people by what they wore, share masked, pairs that were near.

Each chart can be clicked: the selection `MOMENT` then holds the field `start`, the
second at which the clicked part of the film begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import altair as alt

from maskdet.charts.look import Row, data, heading, layered
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES, Label

MOMENT: Final = "moment"
"""What the selection is called."""

_LABELS: Final = (*CLASSES, Label.UNKNOWN)

_CLOCK: Final = (
    "floor(datum.value / 60) + ':' + (datum.value % 60 < 10 ? '0' : '') "
    "+ floor(datum.value % 60) + (datum.value % 1 ? '.' + "
    "round(10 * (datum.value % 1)) : '')"
)
"""Seconds as people write them, "1:05"."""

_PAIRS: Final = {"near": "near", "too long": "for too long"}
_PAIR_COLOURS: Final = ("#c77700", "#c4314b")

_AXIS_PX: Final = 44
"""So wide on every chart that the same moments stand above each other."""


class Moment(Protocol):
    """A part of a film, as `maskdet.films.TimelineBin` is one."""

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
    moments: Sequence[Moment], *, at_s: float, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return how many people there were at each moment, by what they wore.

    Args:
        moments: the parts of the film.
        at_s: which moment is marked, in seconds.
        style: names and colours of the classes.
    """
    rows = data(row for one in moments for row in _stack(one, style))
    bars = _bars(rows, moments, _label_colour(style))
    top = max((sum(one.counts.values()) for one in moments), default=0.0)
    return layered(
        heading("People by verdict", "On average in each part; click to go there"),
        bars,
        *_mark(at_s),
        _touch(moments, top or 1.0, style),
    ).properties(height=270)


def share_chart(
    moments: Sequence[Moment], *, at_s: float, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return the share with a mask over time, with gaps where nothing is known."""
    rows: list[Row] = [
        {"middle": one.start_s + one.length_s / 2, "share": one.mask_rate}
        for one in moments
    ]
    line = (
        alt.Chart(data(rows))
        .mark_line(color="#1f83d6", strokeWidth=2, point={"size": 18})
        .encode(
            x=alt.X("middle:Q"),
            y=alt.Y(
                "share:Q",
                title=None,
                scale=alt.Scale(domain=[0, 1]),
                axis=_axis(percent=True),
            ),
        )
    )
    return layered(
        heading("Share masked", "Of the people of whom it is known"),
        _frame(moments),
        line,
        *_mark(at_s),
        _touch(moments, 1.0, style),
    ).properties(height=190)


def near_chart(
    moments: Sequence[Moment], *, at_s: float, style: Style = DEFAULT_STYLE
) -> alt.LayerChart:
    """Return how many pairs were near each other, and how many for too long."""
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=list(_PAIRS.values()), range=list(_PAIR_COLOURS)),
        legend=alt.Legend(orient="bottom"),
    )
    rows = data(row for one in moments for row in _pairs(one))
    bars = _bars(rows, moments, colour)
    top = max((one.n_contacts for one in moments), default=0)
    return layered(
        heading("Pairs who were near each other", "Most at once in each part"),
        bars,
        *_mark(at_s),
        _touch(moments, float(top or 1), style),
    ).properties(height=190)


def _bars(rows: alt.Data, moments: Sequence[Moment], colour: alt.Color) -> alt.Chart:
    """Return bars from `low` to `high`, each as wide as its part of the film."""
    bars: alt.Chart = (
        alt.Chart(rows)
        .mark_rect()
        .encode(
            x=_time_axis(moments),
            x2="end:Q",
            y=alt.Y("low:Q", title=None, axis=_axis()),
            y2="high:Q",
            color=colour,
        )
    )
    return bars


def _axis(*, percent: bool = False) -> alt.Axis:
    if percent:
        return alt.Axis(minExtent=_AXIS_PX, maxExtent=_AXIS_PX, format="%", tickCount=3)
    return alt.Axis(minExtent=_AXIS_PX, maxExtent=_AXIS_PX, tickMinStep=1)


def _time_axis(moments: Sequence[Moment]) -> alt.X:
    end_s = max((one.start_s + one.length_s for one in moments), default=1.0)
    axis = alt.Axis(labelExpr=_CLOCK, grid=False, tickMinStep=1)
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


def _stack(one: Moment, style: Style) -> list[Row]:
    """Return the parts of a moment's bar, masked people at the bottom."""
    rows: list[Row] = []
    below = 0.0
    for label in _LABELS:
        n = one.counts[label]
        if n > 0:
            rows.append({**_span(one), "class": style.title(label), **_from(below, n)})
        below += n
    return rows


def _pairs(one: Moment) -> list[Row]:
    rows: list[Row] = []
    if one.n_over_limit:
        rows.append(
            {**_span(one), "kind": _PAIRS["too long"], **_from(0, one.n_over_limit)}
        )
    if one.n_contacts > one.n_over_limit:
        rest = _from(one.n_over_limit, one.n_contacts - one.n_over_limit)
        rows.append({**_span(one), "kind": _PAIRS["near"], **rest})
    return rows


def _span(one: Moment) -> dict[str, float]:
    return {"start": one.start_s, "end": one.start_s + one.length_s}


def _from(low: float, height: float) -> dict[str, float]:
    return {"low": round(low, 4), "high": round(low + height, 4)}


def _frame(moments: Sequence[Moment]) -> alt.Chart:
    """Return nothing to see: the time axis of a chart whose marks have no ends."""
    unseen = alt.Chart(data(_span(one) for one in moments)).mark_rect(opacity=0)
    framed: alt.Chart = unseen.encode(x=_time_axis(moments), x2="end:Q")
    return framed


def _mark(at_s: float) -> tuple[alt.Chart, ...]:
    """Return the line at the moment that is shown: dark with a light rim.

    So it is seen upon every colour of both themes.
    """
    at = alt.Chart(data([{"at": at_s}]))
    return tuple(
        at.mark_rule(color=colour, strokeWidth=width).encode(x="at:Q")
        for colour, width in (("white", 5), ("#1a2133", 2))
    )


def _touch(moments: Sequence[Moment], top: float, style: Style) -> alt.Chart:
    """Return what is pointed at and clicked: all of a moment, also where it is empty.

    Args:
        moments: the parts of the film.
        top: the highest value of the chart.
        style: names of the classes.
    """
    rows: list[Row] = [
        {
            **_span(one),
            "top": top,
            "bottom": 0,
            "time": _clock(one.start_s),
            "share": one.mask_rate,
            "near": one.n_contacts,
            **{label.key: round(one.counts[label], 2) for label in _LABELS},
        }
        for one in moments
    ]
    tips = [
        alt.Tooltip("time:N", title="Time"),
        *(alt.Tooltip(f"{label.key}:Q", title=style.title(label)) for label in _LABELS),
        alt.Tooltip("share:Q", title="Masked", format=".0%"),
        alt.Tooltip("near:Q", title="Pairs near"),
    ]
    chosen = alt.selection_point(name=MOMENT, fields=["start"], toggle=False)
    place = alt.Chart(data(rows)).mark_rect(opacity=0, cursor="pointer")
    touched: alt.Chart = place.encode(
        x="start:Q", x2="end:Q", y="bottom:Q", y2="top:Q", tooltip=tips
    ).add_params(chosen)
    return touched


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes}:{seconds:02d}"
