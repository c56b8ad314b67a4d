"""Charts as files that any program opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.extras import require

if TYPE_CHECKING:
    import altair as alt

_SCALE = 2.0
"""Pixels of a PNG for each of the chart's own: sharp on screens and on paper."""


def save_chart(chart: alt.LayerChart, folder: Path, name: str) -> list[Path]:
    """Write a chart as `NAME.svg` and `NAME.png`, on white, and return the two files.

    Raises:
        MissingExtraError: what draws without a browser is not installed.
    """
    require("a report with charts", "vl_convert")
    import vl_convert

    content = chart.to_dict()
    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    svg.write_text(vl_convert.vegalite_to_svg(content), encoding="utf-8")
    png.write_bytes(vl_convert.vegalite_to_png(content, scale=_SCALE))
    return [svg, png]
