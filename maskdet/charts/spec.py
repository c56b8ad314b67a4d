"""Vega-Lite specifications: their parts in common, and rendering as SVG and PNG.

Charts are plain dictionaries, because a library that builds and validates them takes
longer than everything else that follows a slider. Their data are named datasets, so
that a slider change replaces only these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, Final, TypeAlias

from maskdet.extras import require_libraries
from maskdet.style import Style, line_style
from maskdet.types import CLASSES, Label

VegaSpec: TypeAlias = dict[str, Any]
"""A Vega-Lite specification, or a part of one."""

ChartRow: TypeAlias = Mapping[str, float | int | str | bool | None]

GREY: Final = "#808495"
"""Readable on white and on black; for secondary text and lines."""

THRESHOLD_COLOUR: Final = "#7d74d6"
"""Colour of thresholds and selections; no class has it."""

CLICK_SELECTION: Final = "click"
"""Name of the selection of a click, in every chart that can be clicked."""

CHART_HEIGHT_PX: Final = 360

_FILE_WIDTH_PX: Final = 360
"""Width in files; a page stretches a chart to the width of its column."""

_PNG_SCALE: Final = 2.0
"""Scale of a PNG, sharp on screens and in print."""

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

UNIT_SCALE: Final = {"domain": [0, 1]}
"""A scale for rates."""

DIAGONAL_MARK: Final = {
    "type": "line",
    "color": GREY,
    "strokeDash": [3, 3],
    "strokeWidth": 1,
}
"""The line of a guess in a ROC, and of a calibrated model in a reliability chart."""

# A legend beside the chart is too wide for a phone.
_CONFIG: Final = {"legend": {"orient": "bottom", "columns": 4, "title": None}}

# Text and lines in the colour of the page around the SVG, in light and dark themes.
_INLINE_CONFIG: Final[VegaSpec] = {
    "background": "transparent",
    "style": {
        name: {"fill": "currentColor"}
        for name in ("guide-label", "guide-title", "group-title")
    },
    "axis": {
        "domainColor": "currentColor",
        "tickColor": "currentColor",
        "gridColor": "currentColor",
        "gridOpacity": 0.15,
    },
    "view": {"stroke": None},
}


def layer_charts(
    layers: Sequence[VegaSpec],
    datasets: Mapping[str, Iterable[ChartRow]],
    *,
    title: VegaSpec | str | None = None,
    height: int | VegaSpec = CHART_HEIGHT_PX,
    grid: bool = True,
) -> VegaSpec:
    """Return a chart of layers.

    Args:
        layers: the layers, lowest first; each names its dataset.
        datasets: rows by name of the dataset.
        title: a text, or a title of `chart_title`.
        height: in pixels, or `{"step": pixels}` for each row of a discrete axis.
        grid: whether to draw grid lines and a frame.
    """
    plain = {"axis": {"grid": False}, "view": {"stroke": None}}
    return {
        **({} if title is None else {"title": title}),
        "datasets": {name: list(rows) for name, rows in datasets.items()},
        "layer": list(layers),
        "height": height,
        "config": _CONFIG if grid else {**_CONFIG, **plain},
    }


def chart_title(text: str, subtitle: str) -> VegaSpec:
    """Return a title whose subtitle is readable on light and dark pages."""
    return {
        "text": text,
        "subtitle": subtitle,
        "subtitleColor": GREY,
        "anchor": "start",
    }


def quantitative_field(field: str, title: str | None = None, **more: Any) -> VegaSpec:
    """Return the encoding or tooltip of a field of numbers."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def nominal_field(field: str, title: str | None = None, **more: Any) -> VegaSpec:
    """Return the encoding or tooltip of a field of names."""
    return {"field": field, "type": "nominal", "title": title, **more}


def percent_field(field: str, title: str) -> VegaSpec:
    """Return the tooltip of a field of rates."""
    return quantitative_field(field, title, format=PERCENT_FORMAT)


def click_selection(name: str, fields: Sequence[str], **more: Any) -> VegaSpec:
    """Return the selection of a clicked row by some of its fields."""
    select = {"type": "point", "fields": list(fields), "toggle": False, **more}
    return {"name": name, "select": select}


def assign_run_colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour, `#rrggbb`, for each run, determined by the order."""
    return {
        name: _RUN_COLOURS[index % len(_RUN_COLOURS)]
        for index, name in enumerate(names)
    }


def encode_colour(field: str, colours: Mapping[str, str], **more: Any) -> VegaSpec:
    """Return the colour encoding of a field with a colour for each name."""
    scale = {"domain": list(colours), "range": list(colours.values())}
    return nominal_field(field, scale=scale, **more)


def encode_run_colour(names: Iterable[str]) -> VegaSpec:
    """Return the colour encoding of the field `run`."""
    return encode_colour("run", assign_run_colours(names))


def label_colours(style: Style, labels: Iterable[Label] = CLASSES) -> dict[str, str]:
    """Return the colours of classes by their titles."""
    return {style.title(label): style.colour_css(label) for label in labels}


def label_dash(label: Label) -> list[int]:
    """Return the dashes of a line of a class, which tell it apart without colours."""
    return _DASHES[line_style(label)]


def face_count_title(text: str, sets: Iterable[Sized]) -> VegaSpec:
    """Return a title with numbers of faces, as in "n = 512" or "n = 512 to 520"."""
    counts = sorted({len(faces) for faces in sets}) or [0]
    count = f"n = {counts[0]:,}"
    return chart_title(text, count + f" to {counts[-1]:,}" * (len(counts) > 1))


def render_svg(spec: VegaSpec, *, inline: bool = False) -> str:
    """Render a chart as SVG.

    Args:
        spec: the chart.
        inline: for an HTML page: without background, in the text colour of the page.

    Raises:
        MissingExtraError: the library that renders charts is not installed.
    """
    require_libraries("a report with charts", "vl_convert")
    import vl_convert

    config = spec["config"]
    if inline:
        axis = {**_INLINE_CONFIG["axis"], **config.get("axis", {})}
        config = {**config, **_INLINE_CONFIG, "axis": axis}
    svg: str = vl_convert.vegalite_to_svg({**_prepare_spec(spec), "config": config})
    return svg


def render_png(spec: VegaSpec) -> bytes:
    """Render a chart as PNG on white.

    Raises:
        MissingExtraError: the library that renders charts is not installed.
    """
    require_libraries("a report with charts", "vl_convert")
    import vl_convert

    png: bytes = vl_convert.vegalite_to_png(_prepare_spec(spec), scale=_PNG_SCALE)
    return png


def _prepare_spec(spec: VegaSpec) -> VegaSpec:
    """Return a chart for a file: with a width, without layers that only have tooltips.

    Such layers are invisible, but have thousands of points.
    """
    layers = [layer for layer in spec["layer"] if layer["mark"].get("opacity") != 0]
    return {"width": _FILE_WIDTH_PX, **spec, "layer": layers}
