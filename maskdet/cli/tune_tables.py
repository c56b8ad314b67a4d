"""What `maskdet tune` prints."""

from __future__ import annotations

import math
from collections.abc import Iterable

from maskdet.cli.console import pad_text
from maskdet.metrics.estimate import Estimate
from maskdet.style import Style
from maskdet.tune.goals import Proposal
from maskdet.tune.judging import EvaluationResult
from maskdet.tune.performance import ClassPerformance
from maskdet.tune.table import compute_class_metrics
from maskdet.types import Settings
from maskdet.wording import format_count

_WIDTH = 24
"""Of the first column, in characters."""

_CELL_WIDTH = 22
"""Of a column that holds a number with its interval."""

_METRIC_TITLES = ("precision", "recall", "F1", "false alarms a picture")


def format_operating_point(
    operating_point: EvaluationResult, style: Style
) -> list[str]:
    """Return what settings do on a whole set, a line a class."""
    lines = [
        _format_settings_line("with", operating_point.settings),
        _format_row("", _METRIC_TITLES),
    ]
    for row in compute_class_metrics(operating_point):
        title = "faces" if row.label is None else style.title(row.label)
        metrics = (row.precision, row.recall, row.f1, row.false_positives_per_image)
        lines.append(_format_row(f"  {title}", map(_format_cell, metrics)))
    return lines


def format_proposal(proposal: Proposal, style: Style) -> list[str]:
    """Return settings for a goal, what they do, and whether it can be promised."""
    n_selection, n_holdout = (
        proposal.selection_performance.n_images,
        proposal.performance_after.n_images,
    )
    rows = (
        ("now", proposal.performance_before),
        ("proposed", proposal.performance_after),
        ("where it was chosen", proposal.selection_performance),
    )
    return [
        f"goal: {proposal.goal.title(style)}",
        _format_settings_line("proposed:", proposal.settings_after),
        f"chosen on {format_count(n_selection, 'picture')}, reported on the other "
        f"{n_holdout}",
        _format_row(style.title(proposal.goal.label), _METRIC_TITLES),
        *(
            _format_row(f"  {title}", map(_format_cell, _list_metrics(performance)))
            for title, performance in rows
        ),
        "",
        *proposal.messages,
    ]


def _list_metrics(performance: ClassPerformance) -> tuple[Estimate, ...]:
    return (
        performance.precision,
        performance.recall,
        performance.f1,
        performance.false_positives_per_image,
    )


def _format_settings_line(prefix: str, settings: Settings) -> str:
    return (
        f"{prefix} face score {settings.min_score:g}, confidence "
        f"{settings.min_confidence:g}, smallest face {settings.min_face_px:g} px, "
        f"overlap {settings.nms_iou:g}"
    )


def _format_row(title: str, cells: Iterable[str]) -> str:
    cells = (pad_text(cell, _CELL_WIDTH) for cell in cells)
    return f"{pad_text(title, _WIDTH)}{''.join(cells)}".rstrip()


def _format_cell(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "-"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
