"""What analyzers were measured to do, as the Models page reads, lists and draws it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import streamlit as st

from maskdet import charts, comparison
from maskdet.analyzer import ANALYZERS, AUTO, resolve_analyzer
from maskdet.comparison import AnalyzerMetrics, read_comparison
from maskdet.metrics.estimate import Estimate
from maskdet.style import Style, uncapitalize
from maskdet.types import CLASSES
from maskdet.web.models_charts import VegaSpec, to_chart_spec
from maskdet.web.models_numbers import Column, Heading

MetricView: TypeAlias = Literal["ap", "ap_large", "shown"]

METRIC_VIEWS: Final[Mapping[MetricView, str]] = {
    "ap": "Faces of all sizes",
    "ap_large": "From 20 px on",
    "shown": "As you see them",
}
"""Which faces count, in the words of the page."""

METRIC_VIEW_HELP: Final[Mapping[MetricView, str]] = {
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

_RATE_TITLES: Final[Mapping[str, str]] = {
    "recall": "Faces found",
    "precision": "Boxes that are faces",
    "three_states": "Label right",
}

VALUE_HEADING, INTERVAL_HEADING = "Value", "95 % interval"
"""Headings of the two columns of each number."""

TIME_HEADING: Final = "Time a picture (ms)"
"""Heading above the columns of times."""


@dataclass(frozen=True, eq=False)
class AnalyzerComparison:
    """The comparison that ships.

    Attributes:
        rows: what was measured; empty if it could not be read.
        problem: one line on why; empty if there is no file at all.
        stamp: changes with the file.
    """

    rows: tuple[AnalyzerMetrics, ...]
    problem: str
    stamp: tuple[int, int]

    @property
    def set_names(self) -> tuple[str, ...]:
        """The sets of scenes, in the order of the file."""
        return tuple(dict.fromkeys(row.set_name for row in self.rows))

    @property
    def analyzer_names(self) -> tuple[str, ...]:
        """The analyzers, in the order of the file."""
        return tuple(dict.fromkeys(row.analyzer for row in self.rows))


def load_analyzer_comparison() -> AnalyzerComparison:
    """Return the comparison that ships, read once as long as it does not change."""
    path = comparison.COMPARISON_FILE
    if not path.is_file():
        return AnalyzerComparison((), "", (0, 0))
    stat = path.stat()
    return _read_comparison_file(str(path), (stat.st_mtime_ns, stat.st_size))


@st.cache_data(max_entries=2, show_spinner=False)
def _read_comparison_file(path: str, stamp: tuple[int, int]) -> AnalyzerComparison:
    name = comparison.COMPARISON_FILE.name
    try:
        return AnalyzerComparison(read_comparison(path), "", stamp)
    except OSError:
        reason = "cannot be read"
    except ValueError as error:
        # No folder of this machine is told to visitors.
        reason = str(error).removeprefix(f"{path}: ")
    return AnalyzerComparison(
        (), f"The analyzers cannot be compared: {name} {reason}.", stamp
    )


def metric_titles(view: MetricView, style: Style) -> Mapping[str, str]:
    """Return what a view tells, and how the page calls it."""
    if view == "shown":
        return _RATE_TITLES
    return {
        "faces": "Faces",
        **{label.key: style.title(label) for label in CLASSES},
        "mean": "Mean of the classes",
    }


def get_metric(row: AnalyzerMetrics, view: MetricView, measure: str) -> Estimate:
    """Return one number of a row."""
    tables = {"ap": row.ap, "ap_large": row.ap_large, "shown": row.rates}
    return tables[view][measure]


def describe_use(analyzer: str) -> dict[str, str]:
    """Return where each analyzer at work is in use, if that is the one chosen.

    Args:
        analyzer: a name in `ANALYZERS`, or `AUTO`.
    """
    live_analyzer, image_analyzer = (
        resolve_analyzer(analyzer, live=is_live) for is_live in (True, False)
    )
    if live_analyzer == image_analyzer:
        return {live_analyzer: "in use"}
    return {live_analyzer: "in use on Live", image_analyzer: "in use on pictures"}


def analyzer_table(
    results: AnalyzerComparison,
    view: MetricView,
    *,
    in_use: str,
    usable: Iterable[str],
    style: Style,
) -> dict[Heading, Column]:
    """Return the columns of the table of analyzers.

    Args:
        results: what was measured.
        view: which numbers are shown.
        in_use: the analyzer that was chosen, or `AUTO`.
        usable: names of those that are here.
        style: names of the classes.
    """
    usable_names, use_by_name = set(usable), describe_use(in_use)
    by_key = {(row.analyzer, row.set_name): row for row in results.rows}
    columns: dict[Heading, Column] = {
        ("", "Analyzer"): list(results.analyzer_names),
        ("", "Use"): [
            use_by_name.get(name, "can be used" if name in usable_names else "not here")
            for name in results.analyzer_names
        ],
    }
    for set_name in results.set_names:
        rows = [by_key.get((name, set_name)) for name in results.analyzer_names]
        for measure, title in metric_titles(view, style).items():
            estimates = [
                get_metric(row, view, measure) if row else None for row in rows
            ]
            heading = f"{set_name}: {uncapitalize(title)}"
            columns[heading, VALUE_HEADING] = [
                estimate.value if estimate and estimate.n else None
                for estimate in estimates
            ]
            columns[heading, INTERVAL_HEADING] = [
                _format_interval(estimate) for estimate in estimates
            ]
    for set_name in results.set_names:
        columns[TIME_HEADING, set_name] = [
            by_key[name, set_name].median_ms if (name, set_name) in by_key else None
            for name in results.analyzer_names
        ]
    columns["", "What it is"] = [
        ANALYZERS.get(name, "") for name in results.analyzer_names
    ]
    return columns


def _format_interval(estimate: Estimate | None) -> str | None:
    if estimate is None or not estimate.n:
        return None
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def analyzer_chart(
    results: AnalyzerComparison,
    set_name: str,
    view: MetricView,
    measure: str,
    style: Style,
) -> VegaSpec:
    """Return one number of every analyzer on a set against the time it takes."""
    title = metric_titles(view, style)[measure]
    return _build_analyzer_chart(results.stamp, set_name, view, measure, title, results)


@st.cache_data(max_entries=64, show_spinner=False)
def _build_analyzer_chart(
    stamp: tuple[int, int],
    set_name: str,
    view: MetricView,
    measure: str,
    title: str,
    _results: AnalyzerComparison,
) -> VegaSpec:
    rows: list[dict[str, Any]] = []
    for row in _results.rows:
        estimate = get_metric(row, view, measure)
        if row.set_name != set_name or not estimate.n:
            continue
        interval = {"share": estimate.value, "low": estimate.low, "high": estimate.high}
        rows.append(
            {
                "run": row.analyzer,
                "cost": round(row.median_ms, 2),
                **{name: round(value, 4) for name, value in interval.items()},
                "n": estimate.n,
            }
        )
    altair_chart = charts.cost_chart(
        rows,
        _results.analyzer_names,
        kind="Analyzer",
        cost=TIME_HEADING,
        value=title,
        as_percent=view == "shown",
    )
    return to_chart_spec(altair_chart, title=set_name)


def analyzer_choices() -> tuple[str, ...]:
    """Return every analyzer that can be chosen, `AUTO` first."""
    return (AUTO, *ANALYZERS)
