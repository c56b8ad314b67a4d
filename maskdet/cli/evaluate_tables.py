"""What `maskdet evaluate` prints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from maskdet.cli.console import columns, padded
from maskdet.comparison import PRECISIONS, SHARES, Measured
from maskdet.evaluation import LARGE_PX, MIN_IOU, DetectionReport, LabelsReport
from maskdet.metrics.estimate import Estimate
from maskdet.metrics.labelling import Labelling
from maskdet.metrics.numbers import Numbers
from maskdet.style import Style
from maskdet.types import CLASSES, Settings
from maskdet.wording import counted

_WIDTH = 34
"""Of the first column of the tables, in characters."""

_CELL = 22
"""Of a column that holds a number with its interval."""


_LARGE = f"at least {LARGE_PX:g} px"
_SHARE_TITLES = (f"{_LARGE} found", "boxes that are faces", "three classes", "ms")


def scene_lines(report: DetectionReport, settings: Settings, style: Style) -> list[str]:
    """Return how well the faces of scenes were found and labelled."""
    titles = {
        "faces": "  faces",
        **{label.key: f"  {style.title(label)}" for label in CLASSES},
        "mean": "  mean of the three",
    }
    lines = ["", f"{f'AP at IoU {MIN_IOU}':{_WIDTH}}{'all sizes':32}{_LARGE}"]
    for key, title in titles.items():
        both = "".join(f"{table[key]!s:32}" for table in (report.ap, report.ap_large))
        lines.append((padded(title, _WIDTH) + both).rstrip())
    return [
        *lines,
        "",
        f"as shown, from face score {settings.min_score:g} on",
        _line(f"  faces of {_LARGE} found", report.recall),
        _line("  boxes that are faces", report.precision),
        "",
        f"labels of the faces found, {_LARGE}",
        *label_lines(report.labels, report.numbers, style),
        "",
        f"median time {report.median_ms:.1f} ms a picture",
    ]


def comparison_lines(rows: Sequence[Measured], style: Style) -> list[str]:
    """Return a table a set, with a line an analyzer, for three kinds of numbers."""
    lines: list[str] = []
    names = ("faces", *map(style.title, CLASSES), "mean of the three")
    for set_name in dict.fromkeys(row.set_name for row in rows):
        of_set = [row for row in rows if row.set_name == set_name]
        n = of_set[0].ap["faces"].n
        size = f"{counted(of_set[0].images, 'picture')}, {counted(n, 'face')}"
        lines += ["", f"{set_name}: {size}"]
        for title, sizes in (("all sizes", False), (_LARGE, True)):
            lines.append(_row(f"  AP at IoU {MIN_IOU}, {title}", names))
            for row in of_set:
                table = row.ap_large if sizes else row.ap
                cells = (_cell(table[name]) for name in PRECISIONS)
                lines.append(_row(f"    {row.analyzer}", cells))
        lines.append(_row("  as shown", _SHARE_TITLES))
        for row in of_set:
            shares = (_cell(row.shares[name]) for name in SHARES)
            time_ms = f"{row.median_ms:.1f}"
            lines.append(_row(f"    {row.analyzer}", (*shares, time_ms)))
    return lines[1:]


def face_lines(report: LabelsReport, view: str, style: Style) -> list[str]:
    """Return how well pictures of one face were labelled."""
    lines = ["", *label_lines(report.labels, report.numbers, style)]
    if len(report.by_source) > 1:
        lines += ["", "mask against no mask, by source"]
        for source, labels in report.by_source.items():
            lines.append(_line(f"  {source or '(none)'}", labels.wearing.accuracy))
    lines.append("")
    if view == "found":
        n = len(report.labels.truths)
        lines.append(f"a face was found in {report.found} of {n}")
    return [*lines, f"median time {report.median_ms:.1f} ms a picture"]


def label_lines(labels: Labelling, numbers: Numbers, style: Style) -> list[str]:
    """Return every number about the labels of a set."""
    states, wearing = labels.states, labels.wearing
    titles = [style.title(label) for label in CLASSES]
    widths = [max(14, 2 + columns(title)) for title in titles]
    lines = [
        _line("mask against no mask", wearing.accuracy),
        _line("  wearing one, right", wearing.recalls[0]),
        _line("  bare, right", wearing.recalls[1]),
        _line("three states", states.accuracy),
        _line("  mean of their rows", states.balanced_accuracy()),
        *(
            _line(f"  {title}, right", recall)
            for title, recall in zip(titles, states.recalls, strict=True)
        ),
        padded("truth / said", _WIDTH) + _right(titles, widths),
    ]
    for title, row in zip(titles, states.counts, strict=True):
        counts = _right(map(str, row[:-1]), widths)
        lines.append(padded(f"  {title}", _WIDTH) + counts)
    return [*lines, "", *_against_rest_lines(labels, numbers, titles)]


def _right(cells: Iterable[str], widths: Sequence[int]) -> str:
    return "".join(
        padded(cell, width, right=True)
        for cell, width in zip(cells, widths, strict=True)
    )


def _against_rest_lines(
    labels: Labelling, numbers: Numbers, titles: Sequence[str]
) -> list[str]:
    states, wearing = labels.states, labels.wearing
    of_classes = (numbers.classes[label.key] for label in CLASSES)
    rows = list(zip(titles, of_classes, strict=True))
    precisions = [wearing.precisions[0], *states.precisions]
    recalls = [wearing.recalls[0], *states.recalls]
    both = [("a mask, worn well or not", numbers.wearing), *rows]
    return [
        _row("each against the rest", ("precision", "recall", "F1")),
        *(
            _row(f"  {title}", map(_cell, (precision, recall, one.f1)))
            for (title, one), precision, recall in zip(
                both, precisions, recalls, strict=True
            )
        ),
        _row("from scores", ("ROC area", "average precision")),
        *(
            _row(f"  {title}", map(_cell, (one.roc_area, one.average_precision)))
            for title, one in both
        ),
        _line("calibration error of the label", numbers.ece),
        _line("  of mask against no mask", numbers.wearing_ece),
    ]


def _row(title: str, cells: Iterable[str]) -> str:
    return (
        padded(title, _WIDTH) + "".join(padded(cell, _CELL) for cell in cells)
    ).rstrip()


def _cell(estimate: Estimate) -> str:
    # The ends of an interval are unknown where hardly anything was measured.
    if not estimate.n or math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _line(title: str, estimate: Estimate) -> str:
    return f"{padded(title, _WIDTH)}{estimate}"
