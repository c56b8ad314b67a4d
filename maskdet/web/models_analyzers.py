"""What analyzers were measured to do, as the Models page reads, lists and draws it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import streamlit as st

from maskdet import charts, comparison
from maskdet.analyzer import ANALYZERS, AUTO, resolved
from maskdet.comparison import Measured, read_comparison
from maskdet.metrics.estimate import Estimate
from maskdet.style import Style, mid_sentence
from maskdet.types import CLASSES
from maskdet.web.models_charts import Spec, as_spec
from maskdet.web.models_numbers import Column, Heading

View: TypeAlias = Literal["ap", "ap_large", "shown"]

VIEWS: Final[Mapping[View, str]] = {
    "ap": "Faces of all sizes",
    "ap_large": "From 20 px on",
    "shown": "As you see them",
}
"""Which faces count, in the words of the page."""

VIEW_HELP: Final[Mapping[View, str]] = {
    "ap": "Average precision at IoU 0.5, from 0 to 1: how well faces are found and "
    "told apart, whatever the threshold. For a class, a face counts if that is its "
    "most likely one.",
    "ap_large": "Average precision at IoU 0.5, from 0 to 1, where faces smaller than "
    "20 px count neither way: people who drew the boxes disagree on those.",
    "shown": "With the thresholds that a visitor starts with: the share of the faces "
    "from 20 px on that are found, of the boxes that are faces, and of the faces found "
    "whose class, one of three, is right.",
}
"""One line for each."""

_SHARES: Final[Mapping[str, str]] = {
    "recall": "Faces found",
    "precision": "Boxes that are faces",
    "three_states": "Label right",
}

VALUE, INTERVAL = "Value", "95 % interval"
"""Headings of the two columns of each number."""

TIME: Final = "Time a picture (ms)"
"""Heading above the columns of times."""


@dataclass(frozen=True, eq=False)
class Known:
    """The comparison that ships.

    Attributes:
        rows: what was measured; empty if it could not be read.
        problem: one line on why; empty if there is no file at all.
        stamp: changes with the file.
    """

    rows: tuple[Measured, ...]
    problem: str
    stamp: tuple[int, int]

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets of scenes, in the order of the file."""
        return tuple(dict.fromkeys(row.set_name for row in self.rows))

    @property
    def names(self) -> tuple[str, ...]:
        """The analyzers, in the order of the file."""
        return tuple(dict.fromkeys(row.analyzer for row in self.rows))


def known() -> Known:
    """Return the comparison that ships, read once as long as it does not change."""
    path = comparison.COMPARISON_FILE
    if not path.is_file():
        return Known((), "", (0, 0))
    stat = path.stat()
    return _read(str(path), (stat.st_mtime_ns, stat.st_size))


@st.cache_data(max_entries=2, show_spinner=False)
def _read(path: str, stamp: tuple[int, int]) -> Known:
    name = comparison.COMPARISON_FILE.name
    try:
        return Known(read_comparison(path), "", stamp)
    except OSError:
        reason = "cannot be read"
    except ValueError as error:
        # No folder of this machine is told to visitors.
        reason = str(error).removeprefix(f"{path}: ")
    return Known((), f"The analyzers cannot be compared: {name} {reason}.", stamp)


def measures(view: View, style: Style) -> Mapping[str, str]:
    """Return what a view tells, and how the page calls it."""
    if view == "shown":
        return _SHARES
    return {
        "faces": "Faces",
        **{label.key: style.title(label) for label in CLASSES},
        "mean": "Mean of the classes",
    }


def measured(row: Measured, view: View, measure: str) -> Estimate:
    """Return one number of a row."""
    tables = {"ap": row.ap, "ap_large": row.ap_large, "shown": row.shares}
    return tables[view][measure]


def uses(analyzer: str) -> dict[str, str]:
    """Return where each analyzer at work is in use, if that is the one chosen.

    Args:
        analyzer: a name in `ANALYZERS`, or `AUTO`.
    """
    live, still = (resolved(analyzer, live=one) for one in (True, False))
    if live == still:
        return {live: "in use"}
    return {live: "in use on Live", still: "in use on pictures"}


def table(
    shown: Known, view: View, *, in_use: str, usable: Iterable[str], style: Style
) -> dict[Heading, Column]:
    """Return the columns of the table of analyzers.

    Args:
        shown: what was measured.
        view: which numbers are shown.
        in_use: the analyzer that was chosen, or `AUTO`.
        usable: names of those that are here.
        style: names of the classes.
    """
    able, used = set(usable), uses(in_use)
    by_key = {(row.analyzer, row.set_name): row for row in shown.rows}
    columns: dict[Heading, Column] = {
        ("", "Analyzer"): list(shown.names),
        ("", "Use"): [
            used.get(name, "can be used" if name in able else "not here")
            for name in shown.names
        ],
    }
    for set_name in shown.sets:
        rows = [by_key.get((name, set_name)) for name in shown.names]
        for measure, title in measures(view, style).items():
            numbers = [measured(row, view, measure) if row else None for row in rows]
            heading = f"{set_name}: {mid_sentence(title)}"
            columns[heading, VALUE] = [
                one.value if one and one.n else None for one in numbers
            ]
            columns[heading, INTERVAL] = [_interval(one) for one in numbers]
    for set_name in shown.sets:
        columns[TIME, set_name] = [
            by_key[name, set_name].median_ms if (name, set_name) in by_key else None
            for name in shown.names
        ]
    columns["", "What it is"] = [ANALYZERS.get(name, "") for name in shown.names]
    return columns


def _interval(estimate: Estimate | None) -> str | None:
    if estimate is None or not estimate.n:
        return None
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def chart(shown: Known, set_name: str, view: View, measure: str, style: Style) -> Spec:
    """Return one number of every analyzer on a set against the time it takes."""
    title = measures(view, style)[measure]
    return _chart(shown.stamp, set_name, view, measure, title, shown)


@st.cache_data(max_entries=64, show_spinner=False)
def _chart(
    stamp: tuple[int, int],
    set_name: str,
    view: View,
    measure: str,
    title: str,
    _shown: Known,
) -> Spec:
    rows: list[dict[str, Any]] = []
    for row in _shown.rows:
        number = measured(row, view, measure)
        if row.set_name != set_name or not number.n:
            continue
        ends = {"share": number.value, "low": number.low, "high": number.high}
        rows.append(
            {
                "run": row.analyzer,
                "cost": round(row.median_ms, 2),
                **{name: round(value, 4) for name, value in ends.items()},
                "n": number.n,
            }
        )
    drawn = charts.cost_chart(
        rows,
        _shown.names,
        kind="Analyzer",
        cost=TIME,
        value=title,
        shares=view == "shown",
    )
    return as_spec(drawn, title=set_name)


def choices() -> tuple[str, ...]:
    """Return every analyzer that can be chosen, `AUTO` first."""
    return (AUTO, *ANALYZERS)
