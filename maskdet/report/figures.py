"""Charts as files that any program opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.extras import require_libraries

if TYPE_CHECKING:
    import altair as alt

_SCALE = 2.0
"""Pixels of a PNG for each of the chart's own: sharp on screens and on paper."""


def save_chart(
    chart: alt.LayerChart,
    folder: Path,
    name: str,
    *,
    png_chart: alt.LayerChart | None = None,
) -> list[Path]:
    """Write a chart as `NAME.svg` and `NAME.png`, on white, and return the two files.

    Args:
        chart: the chart.
        folder: where.
        name: of the files.
        png_chart: the chart for the PNG, if its words must be others: letters that the
            fonts of this machine lack would be missing.

    Raises:
        MissingExtraError: what draws without a browser is not installed.
    """
    require_libraries("a report with charts", "vl_convert")
    import vl_convert

    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    svg.write_text(vl_convert.vegalite_to_svg(chart.to_dict()), encoding="utf-8")
    content = (png_chart or chart).to_dict()
    png.write_bytes(vl_convert.vegalite_to_png(content, scale=_SCALE))
    return [svg, png]
