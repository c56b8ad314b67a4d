"""Text tables of `maskdet evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from maskdet.cli.console import (
    TITLE_WIDTH,
    display_width,
    format_cell,
    format_line,
    format_row,
    pad_text,
)
from maskdet.evaluation import LARGE_PX, ClassificationReport, DetectionReport
from maskdet.evaluation.comparison import AP_NAMES, RATE_NAMES, AnalyzerMetrics
from maskdet.metrics.classification import ClassificationResult
from maskdet.metrics.matching import MIN_IOU
from maskdet.metrics.summary import ClassificationSummary
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

_LARGE = f"at least {LARGE_PX:g} px"
_RATE_TITLES = (f"recall, {_LARGE}", "precision", "accuracy", "ms")


def format_detection_table(
    report: DetectionReport, settings: Settings, style: Style
) -> list[str]:
    """Return the detection and classification metrics of scenes."""
    titles = {
        "faces": "  faces",
        **{label.key: f"  {style.title(label)}" for label in CLASSES},
        "mean": "  mean of the classes",
    }
    lines = ["", f"{f'AP at IoU {MIN_IOU}':{TITLE_WIDTH}}{'all sizes':32}{_LARGE}"]
    for key, title in titles.items():
        cells = "".join(f"{table[key]!s:32}" for table in (report.ap, report.ap_large))
        lines.append((pad_text(title, TITLE_WIDTH) + cells).rstrip())
    means = (report.ap_every_class["mean"], report.ap_every_class_large["mean"])
    cells = "".join(f"{mean!s:32}" for mean in means)
    lines.append((pad_text("  mean, YOLO's rule", TITLE_WIDTH) + cells).rstrip())
    by_threshold = [
        format_row(
            f"  {threshold:g}",
            map(format_cell, (confusion.abstention_rate, confusion.predicted_accuracy)),
        )
        for threshold, confusion in report.confusions_by_threshold.items()
    ]
    return [
        *lines,
        "",
        f"at detection score {settings.min_score:g}",
        format_line(f"  recall, {_LARGE}", report.recall),
        format_line("  precision", report.precision),
        "",
        f"classes of the detected faces, {_LARGE}",
        *format_label_metrics(report.classification, report.summary, style),
        "",
        format_row(
            "by confidence threshold",
            (style.title(Label.UNKNOWN), "accuracy of others"),
        ),
        *by_threshold,
        "",
        f"median time {report.median_ms:.1f} ms per image",
    ]


def format_comparison_table(rows: Sequence[AnalyzerMetrics], style: Style) -> list[str]:
    """Return three tables per set, with a line per analyzer."""
    lines: list[str] = []
    names = ("faces", *map(style.title, CLASSES), "mean of the classes")
    for set_name in dict.fromkeys(row.set_name for row in rows):
        set_rows = [row for row in rows if row.set_name == set_name]
        n = set_rows[0].ap["faces"].n
        size = (
            f"{format_count(set_rows[0].n_images, 'image')}, {format_count(n, 'face')}"
        )
        lines += ["", f"{set_name}: {size}"]
        for title, large_only in (("all sizes", False), (_LARGE, True)):
            lines.append(format_row(f"  AP at IoU {MIN_IOU}, {title}", names))
            for row in set_rows:
                table = row.ap_large if large_only else row.ap
                cells = (format_cell(table[name]) for name in AP_NAMES)
                lines.append(format_row(f"    {row.analyzer}", cells))
        lines.append(format_row("  at the thresholds", _RATE_TITLES))
        for row in set_rows:
            rates = (format_cell(row.rates[name]) for name in RATE_NAMES)
            time_ms = f"{row.median_ms:.1f}"
            lines.append(format_row(f"    {row.analyzer}", (*rates, time_ms)))
    return lines[1:]


def format_classification_table(
    report: ClassificationReport, view: str, style: Style
) -> list[str]:
    """Return the classification metrics of images of one face."""
    lines = ["", *format_label_metrics(report.classification, report.summary, style)]
    if len(report.by_source) > 1:
        lines += ["", "accuracy, mask vs no mask, by source"]
        for source, labels in report.by_source.items():
            lines.append(
                format_line(f"  {source or '(none)'}", labels.binary_confusion.accuracy)
            )
    lines.append("")
    if view == "detected":
        n = len(report.classification.ground_truth)
        lines.append(f"images with a detected face: {report.n_detected} of {n}")
    return [*lines, f"median time {report.median_ms:.1f} ms per image"]


def format_label_metrics(
    labels: ClassificationResult, summary: ClassificationSummary, style: Style
) -> list[str]:
    """Return all classification metrics of a set."""
    three_class, mask_or_not = labels.class_confusion, labels.binary_confusion
    titles = [style.title(label) for label in CLASSES]
    widths = [max(14, 2 + display_width(title)) for title in titles]
    lines = [
        format_line("accuracy, mask vs no mask", mask_or_not.accuracy),
        format_line("  recall, with mask", mask_or_not.recalls[0]),
        format_line("  recall, without mask", mask_or_not.recalls[1]),
        format_line("accuracy, three classes", three_class.accuracy),
        format_line("  balanced accuracy", three_class.balanced_accuracy()),
        *(
            format_line(f"  recall, {title}", recall)
            for title, recall in zip(titles, three_class.recalls, strict=True)
        ),
        pad_text("ground truth / predicted", TITLE_WIDTH)
        + _format_right_aligned(titles, widths),
    ]
    for title, row in zip(titles, three_class.counts, strict=True):
        counts = _format_right_aligned(map(str, row[:-1]), widths)
        lines.append(pad_text(f"  {title}", TITLE_WIDTH) + counts)
    return [*lines, "", *_format_one_vs_rest(summary, titles)]


def _format_right_aligned(cells: Iterable[str], widths: Sequence[int]) -> str:
    return "".join(
        pad_text(cell, width, align_right=True)
        for cell, width in zip(cells, widths, strict=True)
    )


def _format_one_vs_rest(
    summary: ClassificationSummary, titles: Sequence[str]
) -> list[str]:
    of_classes = (summary.classes[label.key] for label in CLASSES)
    rows = [
        ("  Mask, correct or incorrect", summary.masked),
        *((f"  {title}", row) for title, row in zip(titles, of_classes, strict=True)),
    ]
    lines = [format_row("one vs rest", ("precision", "recall", "F1"))]
    for title, row in rows:
        cells = (row.precision, row.recall, row.f1)
        lines.append(format_row(title, map(format_cell, cells)))
    lines.append(format_row("over all thresholds", ("ROC AUC", "average precision")))
    for title, row in rows:
        areas = (row.roc_area, row.average_precision)
        lines.append(format_row(title, map(format_cell, areas)))
    return [
        *lines,
        format_line("calibration error (ECE)", summary.ece),
        format_line("  mask vs no mask", summary.binary_ece),
    ]
