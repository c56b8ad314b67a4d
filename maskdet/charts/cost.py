"""What something does well against what it costs: up is better, left is cheaper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import altair as alt

from maskdet.charts.look import PERCENT, Row, data, run_colour

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
    rows: Iterable[Row],
    names: Iterable[str],
    *,
    kind: str,
    cost: str,
    value: str,
    shares: bool = True,
) -> alt.LayerChart:
    """Return a point with its 95 % interval for each row.

    Args:
        rows: `run` (its name), `cost`, `share`, `low`, `high` and `n` of each point.
        names: all that could be shown, in the order of the page: the same names, the
            same colours and shapes.
        kind: what a name is the name of, as in "Model".
        cost: what it costs and in which unit, as in "One face (ms)".
        value: what was measured.
        shares: show values in percent; else as decimals, as is usual for average
            precision.
    """
    rows, names = list(rows), list(names)
    shapes = [_SHAPES[place % len(_SHAPES)] for place in range(len(names))]
    base = alt.Chart(data(rows)).encode(
        x=_across(rows, cost),
        color=run_colour(names),
        tooltip=_tips(kind, cost, value, PERCENT if shares else ".3f"),
    )
    height = alt.Y(
        "share:Q",
        title=value,
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="%" if shares else ".2f"),
    )
    shape = alt.Shape("run:N", title=None, scale=alt.Scale(domain=names, range=shapes))
    rules = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q"), y2="high:Q")
    points = base.mark_point(filled=True, size=110, opacity=1)
    return alt.LayerChart(layer=[rules, points.encode(y=height, shape=shape)])


def _across(rows: list[Row], title: str) -> alt.X:
    return alt.X(
        "cost:Q",
        title=title,
        scale=alt.Scale(type=_scale(rows), zero=False, padding=20),
        axis=alt.Axis(format="~g", tickCount=5, grid=False),
    )


def _tips(kind: str, cost: str, value: str, number: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("run:N", title=kind),
        alt.Tooltip("cost:Q", title=cost, format=",.3~f"),
        alt.Tooltip("share:Q", title=value, format=number),
        alt.Tooltip("low:Q", title="From", format=number),
        alt.Tooltip("high:Q", title="To", format=number),
        alt.Tooltip("n:Q", title="Faces", format=","),
    ]


def _scale(rows: list[Row]) -> Literal["log", "linear"]:
    """Return how costs are laid out: one of hundreds would push all others together."""
    costs = [float(row["cost"] or 0) for row in rows] or [1.0]
    return "log" if max(costs) > 10 * min(costs) else "linear"
