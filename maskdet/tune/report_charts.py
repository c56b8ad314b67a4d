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
from maskdet.tune.curves import Curve
from maskdet.tune.histograms import Histogram
from maskdet.tune.judging import ACTUAL
from maskdet.types import CLASSES, Label

_W, _H = 340, 260
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 10, 10, 40
_WIDE: Final = 700

_DASHES: Final = {"solid": "", "double": "9 2", "dashed": "5 3", "dotted": "2 2"}

FACES: Final = "Faces"
NO_FACE: Final = "No face"


def titles(style: Style) -> dict[str, str]:
    """Return what the rows of a confusion matrix are called, by key as in `ACTUAL`."""
    return {**{label.key: style.title(label) for label in CLASSES}, "no_face": NO_FACE}


@dataclass(frozen=True, eq=False)
class Panel:
    """One chart of curves.

    Attributes:
        title: what it shows.
        tells: how to read it, in a sentence.
        x_title: below it.
        y_title: beside it.
        curves: drawn over each other.
        x_max: right end; the left one is 0.
    """

    title: str
    tells: str
    x_title: str
    y_title: str
    curves: tuple[Curve, ...]
    x_max: float = 1.0


def key_of(label: Label | None) -> str:
    """Return the name of a label in the page's style sheet."""
    return "faces" if label is None else label.key


def curves_svg(panel: Panel) -> str:
    """Return the curves of a panel, each with a dot for the present settings."""
    frame = _Frame(_W, panel.x_max, 1.0)
    parts = [frame.axes(panel.x_title, panel.y_title)]
    for curve in panel.curves:
        key = key_of(curve.label)
        line = "solid" if curve.label is None else line_style(curve.label)
        points = frame.points(curve.x, curve.y)
        dash = f' stroke-dasharray="{_DASHES[line]}"' if _DASHES[line] else ""
        parts.append(f'<polyline class="line {key}"{dash} points="{points}"/>')
        if all(map(math.isfinite, curve.point)):
            x, y = frame.at(*curve.point)
            parts.append(f'<circle class="dot {key}" cx="{x}" cy="{y}" r="5"/>')
    return _svg(_W, panel.title, parts)


def histogram_svg(histogram: Histogram, title: str, x_title: str, style: Style) -> str:
    """Return how many faces have which score, by truth; false boxes hang below."""
    counts, names = histogram.counts, titles(style)
    # Roots, so that a few faces show beside hundreds.
    roots = np.sqrt(counts)
    up, down = roots[:-1].sum(axis=0), roots[-1]
    frame = _Frame(
        _WIDE, 1.0, float(max(up.max(initial=1), 1)), -float(down.max(initial=0))
    )
    parts = [frame.axes(x_title, "faces", numbers=False)]
    for column, (low, high) in enumerate(
        zip(histogram.edges[:-1], histogram.edges[1:], strict=True)
    ):
        base = 0.0
        for key, row in zip(ACTUAL, range(len(counts)), strict=True):
            n, height = int(counts[row, column]), float(roots[row, column])
            if not n:
                continue
            start, end = (0.0, -height) if key == "no_face" else (base, base + height)
            base = base if key == "no_face" else end
            note = f"{n} {names[key]}, {low:.2f} to {high:.2f}"
            parts.append(frame.bar(float(low), float(high), start, end, key, note))
    x, _ = frame.at(histogram.threshold, 0)
    bottom = _H - _BOTTOM
    parts.append(f'<path class="cut" d="M{x} {_TOP}V{bottom}"/>')
    return _svg(_WIDE, title, parts)


def legend(keys: Iterable[str], style: Style) -> str:
    """Return names with their colours, for below a chart."""
    names = {"faces": FACES, **titles(style)}
    items = (f'<li><i class="{key}"></i>{escape(names[key])}</li>' for key in keys)
    return f'<ul class="legend">{"".join(items)}</ul>'


@dataclass(frozen=True)
class _Frame:
    """Where numbers lie on the paper."""

    width: int
    x_max: float
    y_max: float
    y_min: float = 0.0

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (self.width - _LEFT - _RIGHT) * min(x / self.x_max, 1.0)
        share = (y - self.y_min) / (self.y_max - self.y_min)
        return (
            round(_LEFT + across, 1),
            round(_H - _BOTTOM - (_H - _TOP - _BOTTOM) * share, 1),
        )

    def points(self, xs: Floats, ys: Floats) -> str:
        """Return a line; points that would fall on the last one drawn are left out."""
        drawn: list[tuple[float, float]] = []
        for x, y in zip(xs, ys, strict=True):
            if not (math.isfinite(x) and math.isfinite(y)):
                continue
            place = self.at(float(x), float(y))
            last = drawn[-1] if drawn else (-math.inf, -math.inf)
            if max(abs(place[0] - last[0]), abs(place[1] - last[1])) >= 0.7:
                drawn.append(place)
            if x > self.x_max:
                break
        return " ".join(f"{x},{y}" for x, y in drawn)

    def bar(
        self, low: float, high: float, start: float, end: float, key: str, note: str
    ) -> str:
        left, y0 = self.at(low, max(start, end))
        right, y1 = self.at(high, min(start, end))
        return (
            f'<rect class="{key}" x="{left}" y="{y0}" width="{right - left - 0.6:.1f}" '
            f'height="{y1 - y0:.1f}"><title>{escape(note)}</title></rect>'
        )

    def axes(self, x_title: str, y_title: str, *, numbers: bool = True) -> str:
        left, base = self.at(0, 0)
        right, top = self.at(self.x_max, self.y_max)
        parts = [
            f'<path class="axis" '
            f'd="M{left} {top}V{_H - _BOTTOM}M{left} {base}H{right}"/>'
        ]
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            x, _ = self.at(share * self.x_max, 0)
            parts.append(_words(x, _H - _BOTTOM + 14, f"{share * self.x_max:g}"))
            if numbers:
                _, y = self.at(0, share)
                parts.append(_words(left - 6, y + 4, f"{share:g}", "end"))
        parts.append(_words((left + right) / 2, _H - 6, x_title))
        middle = (_TOP + _H - _BOTTOM) / 2
        parts.append(
            f'<text class="axis" text-anchor="middle" '
            f'transform="translate(11 {middle:.0f}) rotate(-90)">'
            f"{escape(y_title)}</text>"
        )
        return "".join(parts)


def _words(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return (
        f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _svg(width: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {_H}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
