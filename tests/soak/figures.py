"""Numbers over time: a table of start, maximum and end, and charts as one HTML file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from markupsafe import Markup

from maskdet.charts.spec import (
    VegaSpec,
    chart_title,
    layer_charts,
    quantitative_field,
    render_svg,
)
from maskdet.html_templates import render_html

_TEMPLATE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
</style>
<h1>{{ title }}</h1>
{% for chart in charts %}
<figure>{{ chart }}</figure>
{% endfor %}
</html>
"""

_WIDTH_PX: Final = 640
_HEIGHT_PX: Final = 140
_COLOUR: Final = "#1f83d6"


@dataclass
class Series:
    """Numbers over time.

    Attributes:
        rows: minutes since the first row, and the numbers by name.
    """

    rows: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)
    _begin_s: float = field(default_factory=time.monotonic)

    def add(self, numbers: Mapping[str, float]) -> None:
        """Add the numbers of this moment."""
        self.rows.append(((time.monotonic() - self._begin_s) / 60, numbers))

    def list_names(self) -> list[str]:
        """Return the names of all numbers, in order."""
        return list(dict.fromkeys(name for _, row in self.rows for name in row))

    def get(self, name: str) -> list[tuple[float, float]]:
        """Return the times in minutes and the values of a number, where it is known."""
        return [(minute, row[name]) for minute, row in self.rows if name in row]


def format_table(
    series: Series, start: Mapping[str, float], end: Mapping[str, float]
) -> str:
    """Return a table in Markdown.

    Args:
        series: the numbers over time.
        start: the numbers at rest before; those that are missing only exist while
            somebody watches, and the first and last ones are shown instead.
        end: the numbers at rest afterwards.
    """
    lines = ["| Number | Start | Maximum | End |", "| --- | ---: | ---: | ---: |"]
    for name in series.list_names():
        values = [value for _, value in series.get(name)]
        cells = (
            start.get(name, values[0]),
            max(values),
            end.get(name, values[-1]),
        )
        lines.append(
            f"| {name} | {' | '.join(format_number(cell) for cell in cells)} |"
        )
    return "\n".join(lines)


def format_number(value: float) -> str:
    """Return a number with three significant digits, or more before the point."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"


def write_charts(path: Path, series: Series) -> None:
    """Write a chart of each number over time to an HTML file."""
    charts = [
        # Safe: made by the renderer from our numbers.
        Markup(render_svg(line_chart(series, name), inline=True))
        for name in series.list_names()
    ]
    page = render_html(_TEMPLATE, title="Soak test of the Live page", charts=charts)
    path.write_text(page, encoding="utf-8")


def line_chart(series: Series, name: str) -> VegaSpec:
    """Return the chart of a number over time."""
    rows = [{"minute": minute, "value": value} for minute, value in series.get(name)]
    layer = {
        "data": {"name": "rows"},
        "mark": {"type": "line", "color": _COLOUR},
        "encoding": {
            "x": quantitative_field("minute", "Minutes"),
            "y": quantitative_field("value", None),
        },
    }
    spec = layer_charts(
        [layer], {"rows": rows}, title=chart_title(name, ""), height=_HEIGHT_PX
    )
    return {"width": _WIDTH_PX, **spec}
