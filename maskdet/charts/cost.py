"""What something does well against what it costs: up is better, left is cheaper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import altair as alt

from maskdet.charts.look import PERCENT_FORMAT, ChartRow, encode_run_colour, inline_data

# Beside its colour each has a shape: more than five do not differ by colour alone.
_SHAPES: Final = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
)


def cost_chart(
    rows: Iterable[ChartRow],
    names: Iterable[str],
    *,
    kind: str,
    cost: str,
    value: str,
    as_percent: bool = True,
) -> alt.LayerChart:
    """Return a point with its 95 % interval for each row.

    Args:
        rows: `run` (its name), `cost`, `share`, `low`, `high` and `n` of each point.
        names: all that could be shown, in the order of the page: the same names, the
            same colours and shapes.
        kind: what a name is the name of, as in "Model".
        cost: what it costs and in which unit, as in "One face (ms)".
        value: what was measured.
        as_percent: show values in percent; else as decimals, as is usual for average
            precision.
    """
    rows, names = list(rows), list(names)
    shapes = [_SHAPES[index % len(_SHAPES)] for index in range(len(names))]
    base = alt.Chart(inline_data(rows)).encode(
        x=_cost_axis(rows, cost),
        color=encode_run_colour(names),
        tooltip=_cost_tooltips(
            kind, cost, value, PERCENT_FORMAT if as_percent else ".3f"
        ),
    )
    height = alt.Y(
        "share:Q",
        title=value,
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="%" if as_percent else ".2f"),
    )
    shape = alt.Shape("run:N", title=None, scale=alt.Scale(domain=names, range=shapes))
    rules = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q"), y2="high:Q")
    points = base.mark_point(filled=True, size=110, opacity=1)
    return alt.LayerChart(layer=[rules, points.encode(y=height, shape=shape)])


def _cost_axis(rows: list[ChartRow], title: str) -> alt.X:
    return alt.X(
        "cost:Q",
        title=title,
        scale=alt.Scale(type=_cost_scale(rows), zero=False, padding=20),
        axis=alt.Axis(format="~g", tickCount=5, grid=False),
    )


def _cost_tooltips(
    kind: str, cost: str, value: str, number_format: str
) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("run:N", title=kind),
        alt.Tooltip("cost:Q", title=cost, format=",.3~f"),
        alt.Tooltip("share:Q", title=value, format=number_format),
        alt.Tooltip("low:Q", title="From", format=number_format),
        alt.Tooltip("high:Q", title="To", format=number_format),
        alt.Tooltip("n:Q", title="Faces", format=","),
    ]


def _cost_scale(rows: list[ChartRow]) -> Literal["log", "linear"]:
    """Return how costs are laid out: one of hundreds would push all others together."""
    costs = [float(row["cost"] or 0) for row in rows] or [1.0]
    return "log" if max(costs) > 10 * min(costs) else "linear"
