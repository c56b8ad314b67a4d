"""What `maskdet evaluate` prints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from maskdet.comparison import PRECISIONS, SHARES, Measured
from maskdet.evaluation import LARGE_PX, MIN_IOU, DetectionReport, LabelsReport
from maskdet.metrics.estimate import Estimate
from maskdet.metrics.labelling import Labelling
from maskdet.metrics.numbers import Numbers
from maskdet.types import CLASSES, Settings
from maskdet.wording import counted

_WIDTH = 34
"""Of the first column of the tables, in characters."""

_CELL = 22
"""Of a column that holds a number with its interval."""


_LARGE = f"at least {LARGE_PX:g} px"
_AP_TITLES = ("faces", *(label.title for label in CLASSES), "mean of the three")
_SHARE_TITLES = (f"{_LARGE} found", "boxes that are faces", "three classes", "ms")


def scene_lines(report: DetectionReport, settings: Settings) -> list[str]:
    """Return how well the faces of scenes were found and labelled."""
    titles = {
        "faces": "  faces",
        **{label.key: f"  {label.title}" for label in CLASSES},
        "mean": "  mean of the three",
    }
    lines = ["", f"{f'AP at IoU {MIN_IOU}':{_WIDTH}}{'all sizes':32}{_LARGE}"]
    for key, title in titles.items():
        both = (str(table[key]) for table in (report.ap, report.ap_large))
        lines.append((f"{title:{_WIDTH}}" + "".join(f"{x:32}" for x in both)).rstrip())
    return [
        *lines,
        "",
        f"as shown, from face score {settings.min_score:g} on",
        _line(f"  faces of {_LARGE} found", report.recall),
        _line("  boxes that are faces", report.precision),
        "",
        f"labels of the faces found, {_LARGE}",
        *label_lines(report.labels, report.numbers),
        "",
        f"median time {report.median_ms:.1f} ms a picture",
    ]


def comparison_lines(rows: Sequence[Measured]) -> list[str]:
    """Return a table a set, with a line an analyzer, for three kinds of numbers."""
    lines: list[str] = []
    for set_name in dict.fromkeys(row.set_name for row in rows):
        of_set = [row for row in rows if row.set_name == set_name]
        n = of_set[0].ap["faces"].n
        size = f"{counted(of_set[0].images, 'picture')}, {counted(n, 'face')}"
        lines += ["", f"{set_name}: {size}"]
        for title, sizes in (("all sizes", False), (_LARGE, True)):
            lines.append(_row(f"  AP at IoU {MIN_IOU}, {title}", _AP_TITLES))
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


def face_lines(report: LabelsReport, view: str) -> list[str]:
    """Return how well pictures of one face were labelled."""
    lines = ["", *label_lines(report.labels, report.numbers)]
    if len(report.by_source) > 1:
        lines += ["", "mask against no mask, by source"]
        for source, labels in report.by_source.items():
            lines.append(_line(f"  {source or '(none)'}", labels.wearing.accuracy))
    lines.append("")
    if view == "found":
        n = len(report.labels.truths)
        lines.append(f"a face was found in {report.found} of {n}")
    return [*lines, f"median time {report.median_ms:.1f} ms a picture"]


def label_lines(labels: Labelling, numbers: Numbers) -> list[str]:
    """Return every number about the labels of a set."""
    states, wearing = labels.states, labels.wearing
    lines = [
        _line("mask against no mask", wearing.accuracy),
        _line("  wearing one, right", wearing.recalls[0]),
        _line("  bare, right", wearing.recalls[1]),
        _line("three states", states.accuracy),
        _line("  mean of their rows", states.balanced_accuracy()),
        *(
            _line(f"  {label.title}, right", recall)
            for label, recall in zip(CLASSES, states.recalls, strict=True)
        ),
        f"{'truth / said':{_WIDTH}}" + "".join(f"{x.title:>14}" for x in CLASSES),
    ]
    for label, row in zip(CLASSES, states.counts, strict=True):
        cells = "".join(f"{count:14}" for count in row[:-1])
        lines.append(f"{f'  {label.title}':{_WIDTH}}{cells}")
    return [*lines, "", *_against_rest_lines(labels, numbers)]


def _against_rest_lines(labels: Labelling, numbers: Numbers) -> list[str]:
    states, wearing = labels.states, labels.wearing
    rows = [(label.title, numbers.classes[label.key]) for label in CLASSES]
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
    return (f"{title:{_WIDTH}}" + "".join(f"{x:{_CELL}}" for x in cells)).rstrip()


def _cell(estimate: Estimate) -> str:
    # The ends of an interval are unknown where hardly anything was measured.
    if not estimate.n or math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _line(title: str, estimate: Estimate) -> str:
    return f"{title:{_WIDTH}}{estimate}"
