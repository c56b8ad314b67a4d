"""Charts of a report as SVG text: no script, no font, no file but the page itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from maskdet.metrics.resampled import Floats
from maskdet.style import Style, line_style
from maskdet.tune.curves import TuningCurve
from maskdet.tune.histograms import ScoreHistogram
from maskdet.tune.judging import ACTUAL_KEYS
from maskdet.types import CLASSES, Label

_WIDTH, _HEIGHT = 340, 260
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 10, 10, 40
_HISTOGRAM_WIDTH: Final = 700

_DASHES: Final = {"solid": "", "double": "9 2", "dashed": "5 3", "dotted": "2 2"}

FACES_TITLE: Final = "Faces"
NO_FACE_TITLE: Final = "No face"


def class_titles(style: Style) -> dict[str, str]:
    """Return what the rows of a confusion matrix are called, by key as in `ACTUAL_KEYS`."""
    return {
        **{label.key: style.title(label) for label in CLASSES},
        "no_face": NO_FACE_TITLE,
    }


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """One chart of curves.

    Attributes:
        title: what it shows.
        description: how to read it, in a sentence.
        x_title: below it.
        y_title: beside it.
        curves: drawn over each other.
        x_max: right end; the left one is 0.
    """

    title: str
    description: str
    x_title: str
    y_title: str
    curves: tuple[TuningCurve, ...]
    x_max: float = 1.0


def css_class(label: Label | None) -> str:
    """Return the name of a label in the page's style sheet."""
    return "faces" if label is None else label.key


def render_curves_svg(panel: CurvePanel) -> str:
    """Return the curves of a panel, each with a dot for the present settings."""
    frame = _SvgAxes(_WIDTH, panel.x_max, 1.0)
    parts = [frame.render_axes(panel.x_title, panel.y_title)]
    for curve in panel.curves:
        key = css_class(curve.label)
        line = "solid" if curve.label is None else line_style(curve.label)
        points = frame.polyline_points(curve.x, curve.y)
        dash = f' stroke-dasharray="{_DASHES[line]}"' if _DASHES[line] else ""
        parts.append(f'<polyline class="line {key}"{dash} points="{points}"/>')
        if all(map(math.isfinite, curve.point)):
            x, y = frame.to_px(*curve.point)
            parts.append(f'<circle class="dot {key}" cx="{x}" cy="{y}" r="5"/>')
    return _render_svg(_WIDTH, panel.title, parts)


def render_histogram_svg(
    histogram: ScoreHistogram, title: str, x_title: str, style: Style
) -> str:
    """Return how many faces have which score, by truth; false boxes hang below."""
    counts, names = histogram.counts, class_titles(style)
    # Roots, so that a few faces show beside hundreds.
    roots = np.sqrt(counts)
    up, down = roots[:-1].sum(axis=0), roots[-1]
    frame = _SvgAxes(
        _HISTOGRAM_WIDTH,
        1.0,
        float(max(up.max(initial=1), 1)),
        -float(down.max(initial=0)),
    )
    parts = [frame.render_axes(x_title, "faces", numbers=False)]
    for column, (low, high) in enumerate(
        zip(histogram.edges[:-1], histogram.edges[1:], strict=True)
    ):
        base = 0.0
        for key, row in zip(ACTUAL_KEYS, range(len(counts)), strict=True):
            n, height = int(counts[row, column]), float(roots[row, column])
            if not n:
                continue
            start, end = (0.0, -height) if key == "no_face" else (base, base + height)
            base = base if key == "no_face" else end
            note = f"{n} {names[key]}, {low:.2f} to {high:.2f}"
            parts.append(
                frame.render_bar(float(low), float(high), start, end, key, note)
            )
    x, _ = frame.to_px(histogram.threshold, 0)
    bottom = _HEIGHT - _BOTTOM
    parts.append(f'<path class="cut" d="M{x} {_TOP}V{bottom}"/>')
    return _render_svg(_HISTOGRAM_WIDTH, title, parts)


def render_legend(keys: Iterable[str], style: Style) -> str:
    """Return names with their colours, for below a chart."""
    names = {"faces": FACES_TITLE, **class_titles(style)}
    items = (f'<li><i class="{key}"></i>{escape(names[key])}</li>' for key in keys)
    return f'<ul class="legend">{"".join(items)}</ul>'


@dataclass(frozen=True)
class _SvgAxes:
    """Where numbers lie on the paper."""

    width: int
    x_max: float
    y_max: float
    y_min: float = 0.0

    def to_px(self, x: float, y: float) -> tuple[float, float]:
        across = (self.width - _LEFT - _RIGHT) * min(x / self.x_max, 1.0)
        fraction = (y - self.y_min) / (self.y_max - self.y_min)
        return (
            round(_LEFT + across, 1),
            round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * fraction, 1),
        )

    def polyline_points(self, xs: Floats, ys: Floats) -> str:
        """Return a line; points that would fall on the last one drawn are left out."""
        drawn_points: list[tuple[float, float]] = []
        for x, y in zip(xs, ys, strict=True):
            if not (math.isfinite(x) and math.isfinite(y)):
                continue
            point = self.to_px(float(x), float(y))
            last = drawn_points[-1] if drawn_points else (-math.inf, -math.inf)
            if max(abs(point[0] - last[0]), abs(point[1] - last[1])) >= 0.7:
                drawn_points.append(point)
            if x > self.x_max:
                break
        return " ".join(f"{x},{y}" for x, y in drawn_points)

    def render_bar(
        self, low: float, high: float, start: float, end: float, key: str, note: str
    ) -> str:
        left, y0 = self.to_px(low, max(start, end))
        right, y1 = self.to_px(high, min(start, end))
        return (
            f'<rect class="{key}" x="{left}" y="{y0}" width="{right - left - 0.6:.1f}" '
            f'height="{y1 - y0:.1f}"><title>{escape(note)}</title></rect>'
        )

    def render_axes(self, x_title: str, y_title: str, *, numbers: bool = True) -> str:
        left, base = self.to_px(0, 0)
        right, top = self.to_px(self.x_max, self.y_max)
        parts = [
            f'<path class="axis" '
            f'd="M{left} {top}V{_HEIGHT - _BOTTOM}M{left} {base}H{right}"/>'
        ]
        for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
            x, _ = self.to_px(fraction * self.x_max, 0)
            parts.append(
                _render_text(x, _HEIGHT - _BOTTOM + 14, f"{fraction * self.x_max:g}")
            )
            if numbers:
                _, y = self.to_px(0, fraction)
                parts.append(_render_text(left - 6, y + 4, f"{fraction:g}", "end"))
        parts.append(_render_text((left + right) / 2, _HEIGHT - 6, x_title))
        middle = (_TOP + _HEIGHT - _BOTTOM) / 2
        parts.append(
            f'<text class="axis" text-anchor="middle" '
            f'transform="translate(11 {middle:.0f}) rotate(-90)">'
            f"{escape(y_title)}</text>"
        )
        return "".join(parts)


def _render_text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return (
        f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _render_svg(width: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
