"""Tables of a report, as HTML text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from maskdet.metrics.estimate import Estimate
from maskdet.style import Style, format_percent
from maskdet.tune.comparing import Comparison
from maskdet.tune.goals import Proposal
from maskdet.tune.judging import ACTUAL_KEYS, PREDICTED_KEYS, EvaluationResult
from maskdet.tune.performance import ClassPerformance
from maskdet.tune.report_charts import FACES_TITLE, class_titles
from maskdet.tune.table import compute_class_metrics, compute_slice_metrics
from maskdet.types import Label, Settings
from maskdet.wording import format_count

_SETTING_ROWS = (
    ("Face score", "min_score", ""),
    ("Confidence", "min_confidence", ""),
    ("Smallest face", "min_face_px", " px"),
    ("Overlap of two boxes", "nms_iou", ""),
)


def render_settings_table(columns: Sequence[tuple[str, Settings]]) -> str:
    """Return the settings side by side, by title."""
    rows = [
        (name, *(f"{getattr(settings, field):g}{unit}" for _, settings in columns))
        for name, field, unit in _SETTING_ROWS
    ]
    return render_table(("", *(title for title, _ in columns)), rows)


def render_classes_table(result: EvaluationResult, style: Style) -> str:
    """Return precision, recall, F1 and false alarms, a row a class."""
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
    head = ("", "Precision", "Recall", "F1", "False alarms a picture", "True faces")
    return render_table(head, rows)


def render_slices_table(result: EvaluationResult) -> str:
    """Return how parts of the set do; what does worse than the rest is said so."""
    rows = [
        (
            f"{part.name}: {part.part}",
            format_estimate(part.detection_recall),
            format_estimate(part.correct_rate),
            f"{part.correct_rate.n:,}",
            "worse than the rest" if part.worse else "",
        )
        for part in compute_slice_metrics(result)
    ]
    return render_table(
        ("Part", "Found", "Found and called right", "True faces", ""), rows
    )


def render_confusion_table(result: EvaluationResult, style: Style) -> str:
    """Return what is true against what was said, counts and shares of the row."""
    row_titles = class_titles(style)
    column_titles = {
        **row_titles,
        "unsure": style.title(Label.UNKNOWN),
        "missed": "Not found",
    }
    head = "".join(f"<th>{escape(column_titles[key])}</th>" for key in PREDICTED_KEYS)
    lines = [f"<tr><th>True / said</th>{head}</tr>"]
    for key, row in zip(ACTUAL_KEYS, result.confusion, strict=True):
        cells, total = [], int(row.sum())
        for name, count in zip(PREDICTED_KEYS, row.tolist(), strict=True):
            if key == "no_face" and name == "missed":
                cells.append("<td></td>")
                continue
            rate = count / total if total else 0.0
            kind = "right" if key == name else "wrong"
            kind = "soft" if name == "unsure" else kind
            cells.append(
                f'<td class="{kind}" style="--share:{rate:.2f}">{count:,}'
                f"<small>{escape(format_percent(rate))}</small></td>"
            )
        lines.append(f"<tr><th>{escape(row_titles[key])}</th>{''.join(cells)}</tr>")
    return f'<table class="matrix">{"".join(lines)}</table>'


def render_proposal(proposal: Proposal, style: Style) -> str:
    """Return the goal, the settings for it, and whether it can be promised."""
    rows = [
        ("Settings of now", *_performance_cells(proposal.performance_before)),
        ("Proposed", *_performance_cells(proposal.performance_after)),
        (
            "Proposed, where they were chosen",
            *_performance_cells(proposal.selection_performance),
        ),
    ]
    head = (
        style.title(proposal.goal.label),
        "Precision",
        "Recall",
        "F1",
        "False alarms a picture",
        "True faces",
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in proposal.messages)
    both = (("Now", proposal.settings_before), ("Proposed", proposal.settings_after))
    return (
        f"<h2>Goal: {escape(proposal.goal.title(style))}</h2>"
        f'<ul class="{proposal.guarantee.state}">{lines}</ul>'
        f"{render_settings_table(both)}{render_table(head, rows)}"
        "<p>Chosen on "
        f"{format_count(proposal.selection_performance.n_images, 'picture')}; the "
        "first two "
        "rows are "
        f"of the other {proposal.performance_after.n_images:,}, which nothing was "
        "chosen on.</p>"
    )


def render_comparison(comparison: Comparison) -> str:
    """Return what two outcomes get right, and whether chance could part them so."""
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
    head = ("", "Found and called right", "Only this one", "False alarms a picture")
    chance = "could" if comparison.p_value >= 0.05 else "would hardly"
    return (
        f"<h2>Side by side</h2>{render_table(head, rows)}"
        f"<p>Both get {comparison.both:,} faces right, neither {comparison.neither:,}. "
        f"Chance alone {chance} part them so far (McNemar, p = "
        f"{comparison.p_value:.3g}).</p>"
    )


def render_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; the first cell of each row is its name."""
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    for first, *others in rows:
        cells = "".join(f"<td>{_render_cell(cell)}</td>" for cell in others)
        lines.append(f"<tr><th>{escape(first)}</th>{cells}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _render_cell(text: str) -> str:
    above, _, below = map(escape, text.partition("\n"))
    return f"{above}<small>{below}</small>" if below else above


def format_estimate(estimate: Estimate, separator: str = "\n") -> str:
    """Return a number with its interval, which a table writes below it."""
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
