"""Ranking of models as an HTML table, with the best value of each column marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from maskdet.html_templates import render_html_file

if TYPE_CHECKING:
    from markupsafe import Markup

NO_VALUE = "\N{EN DASH}"
"""Shown where nothing was measured."""


class RankedCell(NamedTuple):
    """A value of a model.

    Attributes:
        text: the value.
        note: below it in small type, such as its interval.
        is_best: whether no other model has a better value.
    """

    text: str
    note: str
    is_best: bool


class RankedModel(NamedTuple):
    """A row of the ranking.

    Attributes:
        title: of the model.
        name: its name in files and commands.
        status: where it is active, or whether it is available.
        cells: its values.
    """

    title: str
    name: str
    status: str
    cells: Sequence[RankedCell]

    @property
    def is_active(self) -> bool:
        """Whether the model is in use."""
        return self.status.startswith("active")


def rank_cells(
    values: Sequence[float | None],
    notes: Iterable[str | None],
    *,
    digits: int,
    is_lower_better: bool = False,
) -> list[RankedCell]:
    """Return a column of the ranking.

    Args:
        values: of each model; `None` if nothing was measured.
        notes: shown below them.
        digits: after the point; of values that look equal, each is the best.
        is_lower_better: whether the lowest value is the best, as for times.
    """
    known = [round(value, digits) for value in values if value is not None]
    best = (min if is_lower_better else max)(known, default=None)
    return [
        RankedCell(NO_VALUE, "", False)
        if value is None
        else RankedCell(f"{value:.{digits}f}", note or "", round(value, digits) == best)
        for value, note in zip(values, notes, strict=True)
    ]


def ranking_html(
    caption: str,
    kind: str,
    headings: Sequence[tuple[str, str]],
    rows: Sequence[RankedModel],
) -> Markup:
    """Return the ranking as an HTML table that fits a phone.

    Args:
        caption: what the values are.
        kind: heading of the first column.
        headings: heading of each other column, and a note below it.
        rows: the models.
    """
    return render_html_file(
        "web/models/ranking.html",
        caption=caption,
        kind=kind,
        headings=headings,
        rows=rows,
    )
