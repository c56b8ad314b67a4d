"""What `maskdet tune` prints."""

from __future__ import annotations

import math
from collections.abc import Iterable

from maskdet.cli.console import padded
from maskdet.metrics.estimate import Estimate
from maskdet.style import Style
from maskdet.tune.goals import Proposal
from maskdet.tune.judging import Outcome
from maskdet.tune.performance import Performance
from maskdet.tune.table import class_rows
from maskdet.types import Settings
from maskdet.wording import counted

_WIDTH = 24
"""Of the first column, in characters."""

_CELL = 22
"""Of a column that holds a number with its interval."""

_TITLES = ("precision", "recall", "F1", "false alarms a picture")


def outcome_lines(outcome: Outcome, style: Style) -> list[str]:
    """Return what settings do on a whole set, a line a class."""
    lines = [_settings_line("with", outcome.settings), _row("", _TITLES)]
    for row in class_rows(outcome):
        title = "faces" if row.label is None else style.title(row.label)
        numbers = (row.precision, row.recall, row.f1, row.false_alarms)
        lines.append(_row(f"  {title}", map(_cell, numbers)))
    return lines


def proposal_lines(proposal: Proposal, style: Style) -> list[str]:
    """Return settings for a goal, what they do, and whether it can be promised."""
    chosen, other = proposal.choosing.pictures, proposal.then.pictures
    rows = (
        ("now", proposal.now),
        ("proposed", proposal.then),
        ("where it was chosen", proposal.choosing),
    )
    return [
        f"goal: {proposal.goal.title(style)}",
        _settings_line("proposed:", proposal.after),
        f"chosen on {counted(chosen, 'picture')}, reported on the other {other}",
        _row(style.title(proposal.goal.label), _TITLES),
        *(_row(f"  {title}", map(_cell, _numbers(one))) for title, one in rows),
        "",
        *proposal.lines,
    ]


def _numbers(one: Performance) -> tuple[Estimate, ...]:
    return one.precision, one.recall, one.f1, one.alarms_per_picture


def _settings_line(word: str, settings: Settings) -> str:
    return (
        f"{word} face score {settings.min_score:g}, confidence "
        f"{settings.min_confidence:g}, smallest face {settings.min_face_px:g} px, "
        f"overlap {settings.nms_iou:g}"
    )


def _row(title: str, cells: Iterable[str]) -> str:
    cells = (padded(cell, _CELL) for cell in cells)
    return f"{padded(title, _WIDTH)}{''.join(cells)}".rstrip()


def _cell(number: Estimate) -> str:
    if math.isnan(number.value):
        return "-"
    if math.isnan(number.low):
        return f"{number.value:.3f}"
    return f"{number.value:.3f} [{number.low:.3f}, {number.high:.3f}]"
