"""Tuning report: one self-contained HTML page with tables and SVG charts.

The page has no scripts, fonts or external files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from maskdet.charts.tuning import NO_FACE_TITLE
from maskdet.charts.tuning_curves import FACES_TITLE
from maskdet.evaluation.operating_point import (
    ACTUAL_KEYS,
    PREDICTED_KEYS,
    EvaluationResult,
)
from maskdet.metrics.intervals import Estimate
from maskdet.metrics.summary import Floats
from maskdet.settings import Settings
from maskdet.style import DEFAULT_STYLE, Style, format_percent, line_style
from maskdet.tuning.class_metrics import (
    ClassPerformance,
    compute_class_metrics,
    compute_slice_metrics,
)
from maskdet.tuning.comparison import Comparison
from maskdet.tuning.curves import (
    ScoreHistogram,
    TuningCurve,
    compute_histogram,
    compute_precision_recall,
    compute_roc,
)
from maskdet.tuning.goal_search import PER_IMAGE_NOTE, Proposal
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

_WIDTH, _HEIGHT = 340, 260
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 10, 10, 40
_HISTOGRAM_WIDTH: Final = 700

_DASHES: Final = {"solid": "", "double": "9 2", "dashed": "5 3", "dotted": "2 2"}


_SETTING_ROWS = (
    ("Detection threshold", "min_score", ""),
    ("Confidence threshold", "min_confidence", ""),
    ("Minimum face size", "min_face_px", " px"),
    ("NMS IoU", "nms_iou", ""),
)

_STYLESHEET: Final = """
:root { color-scheme: light dark; --ink: #1b1e28; --soft: #5c6070; --line: #d5d8e0;
  --paper: #fff; --mask: #0f8a3c; --no_mask: #c62828; --incorrect: #b26a00;
  --faces: #1b1e28; --no_face: #808495; --cut: #6a5fd0; --met: #0f8a3c;
  --inconclusive: #b26a00; --failed: #c62828; --correct: 11, 85, 159;
  --wrong: 168, 74, 18; --unsure: 92, 96, 112 }
@media (prefers-color-scheme: dark) { :root { --ink: #f0f2f6; --soft: #a9adbb;
  --line: #3a3f4d; --paper: #12151d; --mask: #3ecf6e; --no_mask: #ff7a7a;
  --incorrect: #ffb74d; --faces: #f0f2f6; --cut: #a49cf0; --met: #3ecf6e;
  --inconclusive: #ffb74d; --failed: #ff7a7a; --correct: 90, 160, 235;
  --wrong: 235, 140, 80; --unsure: 150, 155, 170 } }
* { box-sizing: border-box }
body { margin: 2rem auto; max-width: 46rem; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
h3 { font-size: 1rem; margin: 0 } p { margin: .4rem 0 }
p, .legend { color: var(--soft) }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: 13px;
  font-variant-numeric: tabular-nums }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); text-align: left }
td { white-space: nowrap } .wide th { font-weight: 600 }
.matrix td { text-align: right } small { display: block }
.matrix .correct { background: rgba(var(--correct), calc(.06 + .5 * var(--rate))) }
.matrix .wrong { background: rgba(var(--wrong), calc(.06 + .5 * var(--rate))) }
.matrix .unsure { background: rgba(var(--unsure), calc(.06 + .5 * var(--rate))) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr));
  gap: 1rem }
figure { margin: 0; break-inside: avoid } svg { width: 100%; height: auto }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft) }
path.axis { stroke: var(--soft); fill: none } path.cut { stroke: var(--cut);
  stroke-width: 2; fill: none }
.line { fill: none; stroke-width: 2; stroke: currentColor }
.dot { stroke: var(--paper); stroke-width: 1.5 }
.mask { color: var(--mask); fill: var(--mask) }
.no_mask { color: var(--no_mask); fill: var(--no_mask) }
.incorrect { color: var(--incorrect); fill: var(--incorrect) }
.faces { color: var(--faces); fill: var(--faces) }
.no_face { color: var(--no_face); fill: var(--no_face) } polyline.line { fill: none }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; padding: 0;
  margin: .2rem 0; font-size: 13px }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 2px;
  margin-right: .4em; background: currentColor }
ul.met, ul.inconclusive, ul.missed { border-left: 4px solid var(--met);
  padding: .2rem 1.6rem }
ul.inconclusive { border-color: var(--inconclusive) }
ul.missed { border-color: var(--failed) }
@media print { body { margin: 0; max-width: none; font-size: 11px }
  h2 { break-after: avoid } tr { break-inside: avoid }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""

# Blocks scripts and external files, even if a name in the set contains HTML.
_CONTENT_SECURITY_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def class_titles(style: Style) -> dict[str, str]:
    """Return the titles of the rows of a confusion matrix, by key of `ACTUAL_KEYS`."""
    return {
        **{label.key: style.title(label) for label in CLASSES},
        "no_face": NO_FACE_TITLE,
    }


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """One chart of curves.

    Attributes:
        title: title above the chart.
        description: how to read it, in a sentence.
        x_title: title of the x axis.
        y_title: title of the y axis.
        curves: curves in the same axes.
        x_max: right end of the x axis, which starts at 0.
    """

    title: str
    description: str
    x_title: str
    y_title: str
    curves: tuple[TuningCurve, ...]
    x_max: float = 1.0


def css_class(label: Label | None) -> str:
    """Return the CSS class of a label; None is for faces of any class."""
    return "faces" if label is None else label.key


def render_curves_svg(panel: CurvePanel) -> str:
    """Render the curves of a panel, each with a dot at the current settings."""
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
    """Render a histogram by actual class; boxes without a face are below the axis."""
    counts, names = histogram.counts, class_titles(style)
    # Square roots keep small counts visible beside large ones.
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
    """Render a legend with the colours of the keys."""
    names = {"faces": FACES_TITLE, **class_titles(style)}
    items = (f'<li><i class="{key}"></i>{escape(names[key])}</li>' for key in keys)
    return f'<ul class="legend">{"".join(items)}</ul>'


@dataclass(frozen=True)
class _SvgAxes:
    """Axes of an SVG chart, which map values to pixels."""

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
        """Return the points of a line, without those within 0.7 px of the last one."""
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


def render_settings_table(columns: Sequence[tuple[str, Settings]]) -> str:
    """Render settings side by side, one column for each title."""
    rows = [
        (name, *(f"{getattr(settings, field):g}{unit}" for _, settings in columns))
        for name, field, unit in _SETTING_ROWS
    ]
    return render_table(("", *(title for title, _ in columns)), rows)


def render_classes_table(result: EvaluationResult, style: Style) -> str:
    """Render precision, recall, F1 and false positives, one row for each class."""
    rows = [
        (
            FACES_TITLE if row.label is None else style.title(row.label),
            *map(
                format_estimate,
                (row.precision, row.recall, row.f1, row.false_positives_per_image),
            ),
            f"{row.recall.n:,}",
        )
        for row in compute_class_metrics(result)
    ]
    head = ("", "Precision", "Recall", "F1", "False positives per image", "True faces")
    return render_table(head, rows)


def render_slices_table(result: EvaluationResult) -> str:
    """Render the metrics of the slices, and which are worse than the rest."""
    rows = [
        (
            f"{part.name}: {part.part}",
            format_estimate(part.detection_recall),
            format_estimate(part.correct_rate),
            f"{part.correct_rate.n:,}",
            "significantly worse" if part.worse else "",
        )
        for part in compute_slice_metrics(result)
    ]
    return render_table(
        ("Slice", "Recall", "Detected and correct", "True faces", ""), rows
    )


def render_confusion_table(result: EvaluationResult, style: Style) -> str:
    """Render the confusion matrix with counts and row fractions."""
    row_titles = class_titles(style)
    column_titles = {
        **row_titles,
        "unsure": style.title(Label.UNKNOWN),
        "missed": "Missed",
    }
    head = "".join(f"<th>{escape(column_titles[key])}</th>" for key in PREDICTED_KEYS)
    lines = [f"<tr><th>Actual / predicted</th>{head}</tr>"]
    for key, row in zip(ACTUAL_KEYS, result.confusion, strict=True):
        cells, total = [], int(row.sum())
        for name, count in zip(PREDICTED_KEYS, row.tolist(), strict=True):
            if key == "no_face" and name == "missed":
                cells.append("<td></td>")
                continue
            rate = count / total if total else 0.0
            kind = "correct" if key == name else "wrong"
            kind = "unsure" if name == "unsure" else kind
            cells.append(
                f'<td class="{kind}" style="--rate:{rate:.2f}">{count:,}'
                f"<small>{escape(format_percent(rate))}</small></td>"
            )
        lines.append(f"<tr><th>{escape(row_titles[key])}</th>{''.join(cells)}</tr>")
    return f'<table class="matrix">{"".join(lines)}</table>'


def render_proposal(proposal: Proposal, style: Style) -> str:
    """Render the goal, the proposed settings, and whether the goal is guaranteed."""
    rows = [
        ("Current settings", *_performance_cells(proposal.performance_before)),
        ("Proposed", *_performance_cells(proposal.performance_after)),
        (
            "Proposed, on the selection half",
            *_performance_cells(proposal.selection_performance),
        ),
    ]
    head = (
        style.title(proposal.goal.label),
        "Precision",
        "Recall",
        "F1",
        "False positives per image",
        "True faces",
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in proposal.messages)
    both = (
        ("Current", proposal.settings_before),
        ("Proposed", proposal.settings_after),
    )
    return (
        f"<h2>Goal: {escape(proposal.goal.title(style))}</h2>"
        f'<ul class="{proposal.guarantee.state}">{lines}</ul>'
        f"{render_settings_table(both)}{render_table(head, rows)}"
        "<p>Selected on "
        f"{format_count(proposal.selection_performance.n_images, 'image')}; the "
        "first two rows are on the other "
        f"{proposal.performance_after.n_images:,} (holdout).</p>"
    )


def render_comparison(comparison: Comparison) -> str:
    """Render the comparison of two results with McNemar's test."""
    rows = [
        (
            name,
            format_estimate(correct_rate),
            f"{len(only_rows):,}",
            format_estimate(false_positives),
        )
        for name, correct_rate, only_rows, false_positives in (
            (
                "A",
                comparison.correct_rate_a,
                comparison.only_a,
                comparison.false_positives_per_image_a,
            ),
            (
                "B",
                comparison.correct_rate_b,
                comparison.only_b,
                comparison.false_positives_per_image_b,
            ),
        )
    ]
    head = ("", "Detected and correct", "Only this one", "False positives per image")
    verb = "is not" if comparison.p_value >= 0.05 else "is"
    return (
        f"<h2>Comparison</h2>{render_table(head, rows)}"
        f"<p>{format_count(comparison.both, 'face')} correct in both, "
        f"{comparison.neither:,} in neither. The difference {verb} significant at 5 % "
        f"(McNemar, p = {comparison.p_value:.3g}).</p>"
    )


def render_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Render a table; the first cell of each row is its heading."""
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    for first, *others in rows:
        cells = "".join(f"<td>{_render_cell(cell)}</td>" for cell in others)
        lines.append(f"<tr><th>{escape(first)}</th>{cells}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _render_cell(text: str) -> str:
    above, _, below = map(escape, text.partition("\n"))
    return f"{above}<small>{below}</small>" if below else above


def format_estimate(estimate: Estimate, separator: str = "\n") -> str:
    """Format a value with its interval, which tables show below the value."""
    if math.isnan(estimate.value):
        return "none"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f}{separator}{estimate.low:.3f} to {estimate.high:.3f}"


def _performance_cells(performance: ClassPerformance) -> tuple[str, ...]:
    numbers = (
        performance.precision,
        performance.recall,
        performance.f1,
        performance.false_positives_per_image,
    )
    return (
        *map(format_estimate, numbers),
        f"{performance.true_positives + performance.false_negatives:,}",
    )


def default_panels(result: EvaluationResult) -> tuple[CurvePanel, ...]:
    """Return the curves of every class and of faces at the settings of a result."""
    labels = (*CLASSES, None)
    precision_recall_curves = tuple(
        _compute_curve(compute_precision_recall, result, label) for label in labels
    )
    roc_curves = tuple(_compute_curve(compute_roc, result, label) for label in CLASSES)
    froc_curve = _compute_curve(compute_roc, result, None)
    return (
        CurvePanel(
            "Precision and recall",
            "Precision against recall for every detection threshold. The dot marks the "
            "current settings.",
            "recall",
            "precision",
            precision_recall_curves,
        ),
        CurvePanel(
            "ROC of detected faces",
            "True-positive rate against false-positive rate for every threshold on the "
            "probability of the class. Curves nearer to the upper left are better.",
            "false-positive rate",
            "true-positive rate",
            roc_curves,
        ),
        CurvePanel(
            "Face detection (FROC)",
            "Recall of faces against boxes that are not a face, for every detection "
            "threshold.",
            "false positives per image",
            "recall",
            (froc_curve,),
            x_max=2.0,
        ),
    )


def render_html_report(
    result: EvaluationResult,
    *,
    proposal: Proposal | None = None,
    comparison: Comparison | None = None,
    panels: Sequence[CurvePanel] | None = None,
    style: Style = DEFAULT_STYLE,
) -> str:
    """Render metrics, charts, settings and goal as one self-contained HTML page.

    Args:
        result: result of the settings on the set.
        proposal: settings for a goal.
        comparison: comparison of this result (A) with another on the same set (B).
        panels: the curves; those of `default_panels` by default.
        style: names and colours of the classes.
    """
    ground_truth, name = result.predictions.ground_truth, result.predictions.analyzer
    title = f"{name} on {ground_truth.name}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{format_count(len(ground_truth.names), 'image')}, "
        f"{format_count(len(ground_truth.faces), 'true face')}. Numbers in small type "
        "are 95 % intervals.</p>",
        "" if proposal is None else render_proposal(proposal, style),
        "<h2>Settings</h2>",
        render_settings_table([("Value", result.settings)]),
        f"<p>{escape(' '.join(_describe_method(result)))}</p>",
        f"<p>{escape(PER_IMAGE_NOTE)}</p>" if proposal is None else "",
        "<h2>Metrics by class</h2>",
        render_classes_table(result, style),
        "<h2>Confusion matrix</h2>",
        render_confusion_table(result, style),
        f"<p>The row “{NO_FACE_TITLE}” counts false positives of the detector.</p>",
        *_render_charts(
            result, default_panels(result) if panels is None else panels, style
        ),
        "<h2>Metrics by slice</h2>",
        render_slices_table(result),
        "" if comparison is None else render_comparison(comparison),
    ]
    return _render_page(title, "".join(body), style)


def _describe_method(result: EvaluationResult) -> Iterable[str]:
    yield f"A detection matches a true face at an IoU of at least {result.min_iou:g}."
    if result.temperature != 1:
        yield (
            "Confidences are calibrated with a temperature of "
            f"{result.temperature:.2f}, which Live does not apply."
        )


def _render_page(title: str, body: str, style: Style) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        f'content="{_CONTENT_SECURITY_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>"
        f"<style>{_STYLESHEET}{_custom_colours(style)}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _custom_colours(style: Style) -> str:
    """Return CSS for the colours that differ from the default ones."""
    colours = {label.key: style.colour_css(label) for label in CLASSES}
    default_colours = {label.key: DEFAULT_STYLE.colour_css(label) for label in CLASSES}
    declarations = [
        f"--{key}: {colour}"
        for key, colour in colours.items()
        if colour != default_colours[key]
    ]
    # The doubled selector overrides the dark theme.
    return f":root:root {{ {'; '.join(declarations)} }}" if declarations else ""


def _compute_curve(
    kind: Callable[..., TuningCurve], result: EvaluationResult, label: Label | None
) -> TuningCurve:
    return kind(
        result.evaluator,
        result.settings,
        label,
        min_iou=result.min_iou,
        temperature=result.temperature,
    )


def _render_charts(
    result: EvaluationResult, panels: Sequence[CurvePanel], style: Style
) -> Iterable[str]:
    figures = []
    for panel in panels:
        areas = "; ".join(_format_area(curve, style) for curve in panel.curves)
        keys = [css_class(curve.label) for curve in panel.curves]
        figures.append(
            f"<figure><h3>{escape(panel.title)}</h3><p>{escape(panel.description)}</p>"
            f"{render_curves_svg(panel)}{render_legend(keys, style)}"
            f"<p>Area: {escape(areas)}</p></figure>"
        )
    yield f'<h2>Threshold curves</h2><div class="charts">{"".join(figures)}</div>'
    scores = compute_histogram(result, "score")
    title = "Detection scores"
    yield (
        f"<figure><h3>{title}</h3><p>Faces left of the line are hidden. Boxes without "
        "a face are below the axis. The height is the square root of the count.</p>"
        f"{render_histogram_svg(scores, title, 'detection score', style)}"
        f"{render_legend(ACTUAL_KEYS, style)}</figure>"
    )


def _format_area(curve: TuningCurve, style: Style) -> str:
    name = "faces" if curve.label is None else style.title(curve.label)
    return f"{name} {format_estimate(curve.area, ', ')}"
