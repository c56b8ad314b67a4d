"""What `maskdet evaluate` prints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from maskdet.cli.console import display_width, pad_text
from maskdet.evaluation import LARGE_PX, MIN_IOU, ClassificationReport, DetectionReport
from maskdet.evaluation.comparison import AP_NAMES, RATE_NAMES, AnalyzerMetrics
from maskdet.metrics.classification import ClassificationResult
from maskdet.metrics.intervals import Estimate
from maskdet.metrics.summary import ClassificationSummary
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import CLASSES
from maskdet.wording import format_count

_WIDTH = 34
"""Of the first column of the tables, in characters."""

_CELL_WIDTH = 22
"""Of a column that holds a number with its interval."""


_LARGE = f"at least {LARGE_PX:g} px"
_RATE_TITLES = (f"{_LARGE} found", "boxes that are faces", "three classes", "ms")


def format_detection_table(
    report: DetectionReport, settings: Settings, style: Style
) -> list[str]:
    """Return how well the faces of scenes were found and labelled."""
    titles = {
        "faces": "  faces",
        **{label.key: f"  {style.title(label)}" for label in CLASSES},
        "mean": "  mean of the three",
    }
    lines = ["", f"{f'AP at IoU {MIN_IOU}':{_WIDTH}}{'all sizes':32}{_LARGE}"]
    for key, title in titles.items():
        cells = "".join(f"{table[key]!s:32}" for table in (report.ap, report.ap_large))
        lines.append((pad_text(title, _WIDTH) + cells).rstrip())
    return [
        *lines,
        "",
        f"as shown, from face score {settings.min_score:g} on",
        _format_line(f"  faces of {_LARGE} found", report.recall),
        _format_line("  boxes that are faces", report.precision),
        "",
        f"labels of the faces found, {_LARGE}",
        *format_label_metrics(report.classification, report.summary, style),
        "",
        f"median time {report.median_ms:.1f} ms an image",
    ]


def format_comparison_table(rows: Sequence[AnalyzerMetrics], style: Style) -> list[str]:
    """Return a table a set, with a line an analyzer, for three kinds of numbers."""
    lines: list[str] = []
    names = ("faces", *map(style.title, CLASSES), "mean of the three")
    for set_name in dict.fromkeys(row.set_name for row in rows):
        set_rows = [row for row in rows if row.set_name == set_name]
        n = set_rows[0].ap["faces"].n
        size = (
            f"{format_count(set_rows[0].n_images, 'image')}, {format_count(n, 'face')}"
        )
        lines += ["", f"{set_name}: {size}"]
        for title, large_only in (("all sizes", False), (_LARGE, True)):
            lines.append(_format_row(f"  AP at IoU {MIN_IOU}, {title}", names))
            for row in set_rows:
                table = row.ap_large if large_only else row.ap
                cells = (_format_cell(table[name]) for name in AP_NAMES)
                lines.append(_format_row(f"    {row.analyzer}", cells))
        lines.append(_format_row("  as shown", _RATE_TITLES))
        for row in set_rows:
            rates = (_format_cell(row.rates[name]) for name in RATE_NAMES)
            time_ms = f"{row.median_ms:.1f}"
            lines.append(_format_row(f"    {row.analyzer}", (*rates, time_ms)))
    return lines[1:]


def format_classification_table(
    report: ClassificationReport, view: str, style: Style
) -> list[str]:
    """Return how well images of one face were labelled."""
    lines = ["", *format_label_metrics(report.classification, report.summary, style)]
    if len(report.by_source) > 1:
        lines += ["", "mask against no mask, by source"]
        for source, labels in report.by_source.items():
            lines.append(
                _format_line(
                    f"  {source or '(none)'}", labels.binary_confusion.accuracy
                )
            )
    lines.append("")
    if view == "found":
        n = len(report.classification.ground_truth)
        lines.append(f"a face was found in {report.n_detected} of {n}")
    return [*lines, f"median time {report.median_ms:.1f} ms an image"]


def format_label_metrics(
    labels: ClassificationResult, summary: ClassificationSummary, style: Style
) -> list[str]:
    """Return every number about the labels of a set."""
    three_class, mask_or_not = labels.class_confusion, labels.binary_confusion
    titles = [style.title(label) for label in CLASSES]
    widths = [max(14, 2 + display_width(title)) for title in titles]
    lines = [
        _format_line("mask against no mask", mask_or_not.accuracy),
        _format_line("  wearing one, right", mask_or_not.recalls[0]),
        _format_line("  bare, right", mask_or_not.recalls[1]),
        _format_line("three states", three_class.accuracy),
        _format_line("  mean of their rows", three_class.balanced_accuracy()),
        *(
            _format_line(f"  {title}, right", recall)
            for title, recall in zip(titles, three_class.recalls, strict=True)
        ),
        pad_text("truth / said", _WIDTH) + _format_right_aligned(titles, widths),
    ]
    for title, row in zip(titles, three_class.counts, strict=True):
        counts = _format_right_aligned(map(str, row[:-1]), widths)
        lines.append(pad_text(f"  {title}", _WIDTH) + counts)
    return [*lines, "", *_format_one_vs_rest(labels, summary, titles)]


def _format_right_aligned(cells: Iterable[str], widths: Sequence[int]) -> str:
    return "".join(
        pad_text(cell, width, align_right=True)
        for cell, width in zip(cells, widths, strict=True)
    )


def _format_one_vs_rest(
    labels: ClassificationResult, summary: ClassificationSummary, titles: Sequence[str]
) -> list[str]:
    three_class, mask_or_not = labels.class_confusion, labels.binary_confusion
    of_classes = (summary.classes[label.key] for label in CLASSES)
    rows = list(zip(titles, of_classes, strict=True))
    precisions = [mask_or_not.precisions[0], *three_class.precisions]
    recalls = [mask_or_not.recalls[0], *three_class.recalls]
    class_rows = [("a mask, worn well or not", summary.masked), *rows]
    return [
        _format_row("each against the rest", ("precision", "recall", "F1")),
        *(
            _format_row(
                f"  {title}", map(_format_cell, (precision, recall, class_summary.f1))
            )
            for (title, class_summary), precision, recall in zip(
                class_rows, precisions, recalls, strict=True
            )
        ),
        _format_row("from scores", ("ROC area", "average precision")),
        *(
            _format_row(
                f"  {title}",
                map(
                    _format_cell,
                    (class_summary.roc_area, class_summary.average_precision),
                ),
            )
            for title, class_summary in class_rows
        ),
        _format_line("calibration error of the label", summary.ece),
        _format_line("  of mask against no mask", summary.binary_ece),
    ]


def _format_row(title: str, cells: Iterable[str]) -> str:
    return (
        pad_text(title, _WIDTH) + "".join(pad_text(cell, _CELL_WIDTH) for cell in cells)
    ).rstrip()


def _format_cell(estimate: Estimate) -> str:
    # The ends of an interval are unknown where hardly anything was measured.
    if not estimate.n or math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _format_line(title: str, estimate: Estimate) -> str:
    return f"{pad_text(title, _WIDTH)}{estimate}"
