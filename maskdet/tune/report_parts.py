"""Tables of a report, as HTML text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from maskdet.metrics.estimate import Estimate
from maskdet.style import Style, percent
from maskdet.tune.comparing import Comparison
from maskdet.tune.goals import Proposal
from maskdet.tune.judging import ACTUAL, SAID, Outcome
from maskdet.tune.performance import Performance
from maskdet.tune.report_charts import FACES, titles
from maskdet.tune.table import class_rows, parts
from maskdet.types import Label, Settings
from maskdet.wording import counted

_SETTINGS = (
    ("Face score", "min_score", ""),
    ("Confidence", "min_confidence", ""),
    ("Smallest face", "min_face_px", " px"),
    ("Overlap of two boxes", "nms_iou", ""),
)


def settings_table(columns: Sequence[tuple[str, Settings]]) -> str:
    """Return the settings side by side, by title."""
    rows = [
        (name, *(f"{getattr(one, field):g}{unit}" for _, one in columns))
        for name, field, unit in _SETTINGS
    ]
    return table(("", *(title for title, _ in columns)), rows)


def classes_table(outcome: Outcome, style: Style) -> str:
    """Return precision, recall, F1 and false alarms, a row a class."""
    rows = [
        (
            FACES if row.label is None else style.title(row.label),
            *map(number, (row.precision, row.recall, row.f1, row.false_alarms)),
            f"{row.recall.n:,}",
        )
        for row in class_rows(outcome)
    ]
    head = ("", "Precision", "Recall", "F1", "False alarms a picture", "True faces")
    return table(head, rows)


def parts_table(outcome: Outcome) -> str:
    """Return how parts of the set do; what does worse than the rest is said so."""
    rows = [
        (
            f"{part.name}: {part.part}",
            number(part.found),
            number(part.right),
            f"{part.right.n:,}",
            "worse than the rest" if part.worse else "",
        )
        for part in parts(outcome)
    ]
    return table(("Part", "Found", "Found and called right", "True faces", ""), rows)


def confusion_table(outcome: Outcome, style: Style) -> str:
    """Return what is true against what was said, counts and shares of the row."""
    true = titles(style)
    said = {**true, "unsure": style.title(Label.UNKNOWN), "missed": "Not found"}
    head = "".join(f"<th>{escape(said[key])}</th>" for key in SAID)
    lines = [f"<tr><th>True / said</th>{head}</tr>"]
    for key, row in zip(ACTUAL, outcome.confusion, strict=True):
        cells, total = [], int(row.sum())
        for name, count in zip(SAID, row.tolist(), strict=True):
            if key == "no_face" and name == "missed":
                cells.append("<td></td>")
                continue
            share = count / total if total else 0.0
            kind = "right" if key == name else "wrong"
            kind = "soft" if name == "unsure" else kind
            cells.append(
                f'<td class="{kind}" style="--share:{share:.2f}">{count:,}'
                f"<small>{escape(percent(share))}</small></td>"
            )
        lines.append(f"<tr><th>{escape(true[key])}</th>{''.join(cells)}</tr>")
    return f'<table class="matrix">{"".join(lines)}</table>'


def proposal_part(proposal: Proposal, style: Style) -> str:
    """Return the goal, the settings for it, and whether it can be promised."""
    rows = [
        ("Settings of now", *_cells(proposal.now)),
        ("Proposed", *_cells(proposal.then)),
        ("Proposed, where they were chosen", *_cells(proposal.choosing)),
    ]
    head = (
        style.title(proposal.goal.label),
        "Precision",
        "Recall",
        "F1",
        "False alarms a picture",
        "True faces",
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in proposal.lines)
    both = (("Now", proposal.before), ("Proposed", proposal.after))
    return (
        f"<h2>Goal: {escape(proposal.goal.title(style))}</h2>"
        f'<ul class="{proposal.promise.state}">{lines}</ul>'
        f"{settings_table(both)}{table(head, rows)}"
        f"<p>Chosen on {counted(proposal.choosing.pictures, 'picture')}; the first two "
        "rows are "
        f"of the other {proposal.then.pictures:,}, which nothing was chosen on.</p>"
    )


def comparison_part(compared: Comparison) -> str:
    """Return what two outcomes get right, and whether chance could part them so."""
    rows = [
        (name, number(right), f"{len(only):,}", number(alarms))
        for name, right, only, alarms in (
            ("A", compared.right_a, compared.only_a, compared.false_alarms_a),
            ("B", compared.right_b, compared.only_b, compared.false_alarms_b),
        )
    ]
    head = ("", "Found and called right", "Only this one", "False alarms a picture")
    chance = "could" if compared.p >= 0.05 else "would hardly"
    return (
        f"<h2>Side by side</h2>{table(head, rows)}"
        f"<p>Both get {compared.both:,} faces right, neither {compared.neither:,}. "
        f"Chance alone {chance} part them so far (McNemar, p = {compared.p:.3g}).</p>"
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; the first cell of each row is its name."""
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    for first, *others in rows:
        cells = "".join(f"<td>{_cell(cell)}</td>" for cell in others)
        lines.append(f"<tr><th>{escape(first)}</th>{cells}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _cell(text: str) -> str:
    above, _, below = map(escape, text.partition("\n"))
    return f"{above}<small>{below}</small>" if below else above


def number(one: Estimate, between: str = "\n") -> str:
    """Return a number with its interval, which a table writes below it."""
    if math.isnan(one.value):
        return "none"
    if math.isnan(one.low):
        return f"{one.value:.3f}"
    return f"{one.value:.3f}{between}{one.low:.3f} to {one.high:.3f}"


def _cells(one: Performance) -> tuple[str, ...]:
    numbers = (one.precision, one.recall, one.f1, one.alarms_per_picture)
    return (*map(number, numbers), f"{one.hits + one.misses:,}")
