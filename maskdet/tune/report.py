"""A report to hand on: one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final

from maskdet.style import DEFAULT_STYLE, Style
from maskdet.tune.comparing import Comparison
from maskdet.tune.curves import TuningCurve, compute_precision_recall, compute_roc
from maskdet.tune.goals import PER_IMAGE_NOTE, Proposal
from maskdet.tune.histograms import compute_histogram
from maskdet.tune.judging import ACTUAL_KEYS, EvaluationResult
from maskdet.tune.report_charts import (
    CurvePanel,
    css_class,
    render_curves_svg,
    render_histogram_svg,
    render_legend,
)
from maskdet.tune.report_parts import (
    format_estimate,
    render_classes_table,
    render_comparison,
    render_confusion_table,
    render_proposal,
    render_settings_table,
    render_slices_table,
)
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

_STYLESHEET: Final = """
:root { color-scheme: light dark; --ink: #1b1e28; --soft: #5c6070; --line: #d5d8e0;
  --paper: #fff; --mask: #0f8a3c; --no_mask: #c62828; --incorrect: #b26a00;
  --faces: #1b1e28; --no_face: #808495; --cut: #6a5fd0; --kept: #0f8a3c;
  --open: #b26a00; --broken: #c62828; --right: 11, 85, 159;
  --wrong: 168, 74, 18; --unsure: 92, 96, 112 }
@media (prefers-color-scheme: dark) { :root { --ink: #f0f2f6; --soft: #a9adbb;
  --line: #3a3f4d; --paper: #12151d; --mask: #3ecf6e; --no_mask: #ff7a7a;
  --incorrect: #ffb74d; --faces: #f0f2f6; --cut: #a49cf0; --kept: #3ecf6e;
  --open: #ffb74d; --broken: #ff7a7a; --right: 90, 160, 235;
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
.matrix .right { background: rgba(var(--right), calc(.06 + .5 * var(--share))) }
.matrix .wrong { background: rgba(var(--wrong), calc(.06 + .5 * var(--share))) }
.matrix .soft { background: rgba(var(--unsure), calc(.06 + .5 * var(--share))) }
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
ul.kept, ul.open, ul.broken { border-left: 4px solid var(--kept);
  padding: .2rem 1.6rem }
ul.open { border-color: var(--open) } ul.broken { border-color: var(--broken) }
@media print { body { margin: 0; max-width: none; font-size: 11px }
  h2 { break-after: avoid } tr { break-inside: avoid }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""

# Nothing may be loaded or run, whatever names a set may have.
_CONTENT_SECURITY_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def default_panels(result: EvaluationResult) -> tuple[CurvePanel, ...]:
    """Return the curves of every class and of faces at the settings of an outcome."""
    labels = (*CLASSES, None)
    precision_recall_curves = tuple(
        _compute_curve(compute_precision_recall, result, label) for label in labels
    )
    roc_curves = tuple(_compute_curve(compute_roc, result, label) for label in CLASSES)
    froc_curve = _compute_curve(compute_roc, result, None)
    return (
        CurvePanel(
            "Precision and recall",
            "How many of those called so are, against how many of the true ones are "
            "called so, for every face score. The dot is these settings.",
            "recall",
            "precision",
            precision_recall_curves,
        ),
        CurvePanel(
            "ROC of the faces found",
            "True ones against others called so, for every probability. The nearer to "
            "the upper left, the better told apart.",
            "share of the others",
            "share of the true ones",
            roc_curves,
        ),
        CurvePanel(
            "Faces found",
            "Faces found against boxes that show no face, for every face score.",
            "false alarms a picture",
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
    """Return one page with numbers, charts, settings and goal; no script, no address.

    Args:
        result: what the settings do on the set.
        proposal: settings for a goal, to tell beside it.
        comparison: this outcome (A) beside another one on the same set (B).
        panels: the curves; those of `default_panels` unless given.
        style: names and colours of the classes.
    """
    ground_truth, name = result.predictions.ground_truth, result.predictions.analyzer
    title = f"{name} on {ground_truth.name}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{format_count(len(ground_truth.names), 'picture')}, "
        f"{format_count(len(ground_truth.faces), 'true face')}. Small "
        "numbers are 95 % intervals.</p>",
        "" if proposal is None else render_proposal(proposal, style),
        "<h2>Settings of the numbers below</h2>",
        render_settings_table([("Value", result.settings)]),
        f"<p>{escape(' '.join(_describe_method(result)))}</p>",
        f"<p>{escape(PER_IMAGE_NOTE)}</p>" if proposal is None else "",
        "<h2>Each class</h2>",
        render_classes_table(result, style),
        "<h2>What is true, and what was said</h2>",
        render_confusion_table(result, style),
        "<p>“No face” said to be something is a false alarm.</p>",
        *_render_charts(
            result, default_panels(result) if panels is None else panels, style
        ),
        "<h2>Parts of the set</h2>",
        render_slices_table(result),
        "" if comparison is None else render_comparison(comparison),
    ]
    return _render_page(title, "".join(body), style)


def _describe_method(result: EvaluationResult) -> Iterable[str]:
    yield f"A face counts as found from an overlap of {result.min_iou:g} on."
    if result.temperature != 1:
        yield (
            f"Confidences are calibrated with a temperature of "
            f"{result.temperature:.2f}, which Live does not have."
        )


def _render_page(title: str, body: str, style: Style) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT_SECURITY_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLESHEET}{_custom_colours(style)}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _custom_colours(style: Style) -> str:
    """Return the colours that differ from the usual ones; those suit paper and dark."""
    colours = {label.key: style.colour_css(label) for label in CLASSES}
    default_colours = {label.key: DEFAULT_STYLE.colour_css(label) for label in CLASSES}
    declarations = [
        f"--{key}: {colour}"
        for key, colour in colours.items()
        if colour != default_colours[key]
    ]
    # Twice the class weighs more than what the dark theme says.
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
    yield f'<h2>Every threshold</h2><div class="charts">{"".join(figures)}</div>'
    scores = compute_histogram(result, "score")
    yield (
        "<figure><h3>Face scores</h3><p>What is left of the line is not shown. Boxes "
        "that show no face hang below. Heights are roots of the numbers, so that a few "
        "faces show beside hundreds.</p>"
        f"{render_histogram_svg(scores, 'Face scores', 'face score', style)}"
        f"{render_legend(ACTUAL_KEYS, style)}</figure>"
    )


def _format_area(curve: TuningCurve, style: Style) -> str:
    name = "faces" if curve.label is None else style.title(curve.label)
    return f"{name} {format_estimate(curve.area, ', ')}"
