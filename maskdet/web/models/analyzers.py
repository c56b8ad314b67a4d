"""The section of the Models page that compares analyzers and lets one be chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import pandas as pd
import streamlit as st

from maskdet import charts
from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    analyzer_model_name,
    get_analyzer_title,
    list_own_model_problems,
    resolve_analyzer,
)
from maskdet.charts import VegaSpec
from maskdet.charts.classification import interval_fields
from maskdet.charts.spec import ChartRow
from maskdet.evaluation import comparison
from maskdet.evaluation.comparison import AnalyzerMetrics, read_comparison
from maskdet.evaluation.predictions import dataset_title
from maskdet.metrics.intervals import Estimate
from maskdet.style import Style, uncapitalize
from maskdet.types import CLASSES
from maskdet.web import session
from maskdet.web.models.choice import render_use_button
from maskdet.web.models.downloads import render_download
from maskdet.web.models.ranking import RankedModel, rank_cells, ranking_html
from maskdet.web.models.tables import Column, Heading
from maskdet.web.widgets import escape_markdown, select_segment
from maskdet.wording import PERCENT

if TYPE_CHECKING:
    from markupsafe import Markup

MetricView: TypeAlias = Literal["ap", "ap_large", "default_thresholds"]

METRIC_VIEWS: Final[Mapping[MetricView, str]] = {
    "ap": "All faces",
    "ap_large": "Faces from 20 px",
    "default_thresholds": "At default thresholds",
}
"""Title of each view."""

METRIC_VIEW_HELP: Final[Mapping[MetricView, str]] = {
    "ap": "Average precision at IoU 0.5, from 0 to 1, over all thresholds. A face "
    "counts for its most likely class.",
    "ap_large": "Average precision at IoU 0.5, from 0 to 1. Faces smaller than 20 px "
    "are ignored, as annotators disagree on them.",
    "default_thresholds": "At the default thresholds, for faces from 20 px: the "
    "fraction of faces that are detected, of boxes that are faces, and of detected "
    "faces whose class, one of three, is correct.",
}
"""Explanation of each view."""

_RATE_TITLES: Final[Mapping[str, str]] = {
    "recall": "Recall",
    "precision": "Precision",
    "three_states": "Class accuracy",
}

VALUE_HEADING, INTERVAL_HEADING = "Value", "95 % interval"
"""Headings of the two columns of each metric."""

TIME_HEADING: Final = "Time per image (ms)"
"""Heading of the columns of times."""

_EVALUATE_COMMAND = "maskdet evaluate analyzers FILE.json ... --out "

_COMPARISON_PATH = "models/analyzers.json"


@dataclass(frozen=True, eq=False)
class AnalyzerComparison:
    """The comparison of analyzers that is part of the package.

    Attributes:
        rows: the metrics; empty if the file is missing or invalid.
        problem: why the file is invalid, in one line; may be empty.
        stamp: modification time and size of the file.
    """

    rows: tuple[AnalyzerMetrics, ...]
    problem: str
    stamp: tuple[int, int]

    @property
    def set_names(self) -> tuple[str, ...]:
        """The datasets, in the order of the file."""
        return tuple(dict.fromkeys(row.set_name for row in self.rows))

    @property
    def analyzer_names(self) -> tuple[str, ...]:
        """The analyzers, in the order of the file."""
        return tuple(dict.fromkeys(row.analyzer for row in self.rows))


def load_analyzer_comparison() -> AnalyzerComparison:
    """Return the comparison of the package; the file is read once per change."""
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
        # Do not show a path of the server to visitors.
        reason = str(error).removeprefix(f"{path}: ")
    return AnalyzerComparison(
        (), f"The comparison is not available: {name} {reason}.", stamp
    )


def metric_titles(view: MetricView, style: Style) -> Mapping[str, str]:
    """Return the metrics of a view with their titles."""
    if view == "default_thresholds":
        return _RATE_TITLES
    return {
        "faces": "Faces",
        **{label.key: style.title(label) for label in CLASSES},
        "mean": "Mean of the classes",
    }


def get_metric(row: AnalyzerMetrics, view: MetricView, measure: str) -> Estimate:
    """Return one metric of a row."""
    tables = {
        "ap": row.ap,
        "ap_large": row.ap_large,
        "default_thresholds": row.rates,
    }
    return tables[view][measure]


def describe_use(analyzer: str) -> dict[str, str]:
    """Return where each analyzer in use is active, if `analyzer` is chosen.

    Args:
        analyzer: a name in `ANALYZERS`, or `AUTO`.
    """
    live_analyzer, image_analyzer = (
        resolve_analyzer(analyzer, live=is_live) for is_live in (True, False)
    )
    if live_analyzer == image_analyzer:
        return {live_analyzer: "active"}
    return {live_analyzer: "active (Live)", image_analyzer: "active (images)"}


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
        results: the metrics.
        view: the metrics to show.
        in_use: the chosen analyzer, or `AUTO`.
        usable: names of the installed analyzers.
        style: names of the classes.
    """
    usable_names, use_by_name = set(usable), describe_use(in_use)
    by_key = {(row.analyzer, row.set_name): row for row in results.rows}
    columns: dict[Heading, Column] = {
        ("", "Analyzer"): list(results.analyzer_names),
        ("", "Status"): [
            use_by_name.get(
                name, "available" if name in usable_names else "not installed"
            )
            for name in results.analyzer_names
        ],
    }
    for set_name in results.set_names:
        rows = [by_key.get((name, set_name)) for name in results.analyzer_names]
        set_title = dataset_title(set_name)
        for measure, title in metric_titles(view, style).items():
            estimates = [
                get_metric(row, view, measure) if row else None for row in rows
            ]
            heading = f"{set_title}: {uncapitalize(title)}"
            columns[heading, VALUE_HEADING] = [
                estimate.value if estimate and estimate.n else None
                for estimate in estimates
            ]
            columns[heading, INTERVAL_HEADING] = [
                _format_interval(estimate) for estimate in estimates
            ]
    for set_name in results.set_names:
        columns[TIME_HEADING, dataset_title(set_name)] = [
            by_key[name, set_name].median_ms if (name, set_name) in by_key else None
            for name in results.analyzer_names
        ]
    columns["", "Description"] = [
        ANALYZERS.get(name, "") for name in results.analyzer_names
    ]
    return columns


def _format_interval(estimate: Estimate | None) -> str | None:
    if estimate is None or not estimate.n:
        return None
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


@st.cache_data(
    max_entries=64,
    show_spinner=False,
    hash_funcs={AnalyzerComparison: lambda results: results.stamp},
)
def analyzer_chart(
    results: AnalyzerComparison,
    set_name: str,
    view: MetricView,
    measure: str,
    style: Style,
) -> VegaSpec:
    """Return a chart of one metric of all analyzers on a set against time."""
    rows: list[ChartRow] = []
    for row in results.rows:
        estimate = get_metric(row, view, measure)
        if row.set_name == set_name and estimate.n:
            cost = round(row.median_ms, 2)
            fields = interval_fields(estimate)
            title = get_analyzer_title(row.analyzer)
            rows.append({"run": title, "cost": cost, **fields})
    return charts.cost_chart(
        rows,
        [get_analyzer_title(name) for name in results.analyzer_names],
        kind="Analyzer",
        cost=TIME_HEADING,
        value=metric_titles(view, style)[measure],
        title=dataset_title(set_name),
        as_percent=view == "default_thresholds",
    )


def render_analyzers() -> None:
    """Show the table and charts of the analyzers, and let the visitor choose one."""
    st.header("Analyzers: detection and classification", divider="gray")
    in_use = session.get_preferences().analyzer
    in_use_names = " and ".join(
        f"**{escape_markdown(get_analyzer_title(name))}**"
        for name in describe_use(in_use)
    )
    auto = " (Auto)" if in_use == AUTO else ""
    st.markdown(
        "An analyzer detects and classifies the faces of an image: with one network "
        "(single-stage), or with a face detector and a classifier (two-stage). "
        f"Active: {in_use_names}{auto}."
    )
    for line in list_own_model_problems():
        st.warning(
            escape_markdown(f"Own model not available: {line}."),
            icon=":material/folder_off:",
        )
    missing = session.list_unavailable_analyzers()
    results = load_analyzer_comparison()
    if results.rows:
        usable = [name for name in ANALYZERS if name not in missing]
        _render_analyzer_table(results, in_use, usable)
    elif results.problem:
        st.warning(escape_markdown(results.problem), icon=":material/folder_off:")
    else:
        st.info(
            f"No comparison found. `{_EVALUATE_COMMAND}{_COMPARISON_PATH}` measures "
            "the installed analyzers.",
            icon=":material/folder_open:",
        )
    _render_analyzer_choice(in_use, missing)


def _render_analyzer_table(
    results: AnalyzerComparison, in_use: str, usable: list[str]
) -> None:
    view = select_segment("Evaluate", METRIC_VIEWS, key="models.view")
    st.caption(
        f"{METRIC_VIEW_HELP[view]} Where two intervals overlap a lot, the difference "
        "may be chance."
    )
    style = session.get_preferences().style
    columns = analyzer_table(results, view, in_use=in_use, usable=usable, style=style)
    measure = _select_metric(view)
    st.html(analyzer_ranking(results, view, measure, columns, style))
    st.caption(
        "All measured with one command on one machine, on images that our models were "
        f"selected on but not trained on: `{_EVALUATE_COMMAND}{_COMPARISON_PATH}`. "
        "Median time per image; other machines differ, but the order should hold."
    )
    with st.expander("All metrics", icon=":material/table:"):
        st.dataframe(
            pd.DataFrame(columns),
            hide_index=True,
            column_config=_column_config(results),
            placeholder="\N{EN DASH}",
            alt=f"Table of the analyzers: {METRIC_VIEWS[view].lower()}, and time "
            "per image",
        )
    _render_analyzer_charts(results, view, measure)


def analyzer_ranking(
    results: AnalyzerComparison,
    view: MetricView,
    measure: str,
    columns: Mapping[Heading, Column],
    style: Style,
) -> Markup:
    """Return one metric of all analyzers on all datasets, with their time, as HTML.

    Args:
        results: the metrics.
        view: the view that the metric belongs to.
        measure: the metric.
        columns: those of `analyzer_table`.
        style: names of the classes.
    """
    title = metric_titles(view, style)[measure]
    titles = [dataset_title(name) for name in results.set_names]
    cells = []
    for set_title in titles:
        group = f"{set_title}: {uncapitalize(title)}"
        values = cast(list[float | None], columns[group, VALUE_HEADING])
        notes = cast(list[str | None], columns[group, INTERVAL_HEADING])
        cells.append(rank_cells(values, notes, digits=3))
    times_ms = cast(list[float | None], columns[TIME_HEADING, titles[0]])
    notes = [None] * len(times_ms)
    cells.append(rank_cells(times_ms, notes, digits=1, is_lower_better=True))
    names = results.analyzer_names
    statuses = cast(list[str], columns["", "Status"])
    rows = [
        RankedModel(get_analyzer_title(name), name, status, row)
        for name, status, *row in zip(names, statuses, *cells, strict=True)
    ]
    headings = [(set_title, "95 % interval") for set_title in titles]
    return ranking_html(
        f"{title}, {uncapitalize(METRIC_VIEWS[view])}",
        "Analyzer",
        [*headings, ("Time (ms)", titles[0])],
        rows,
    )


def _select_metric(view: MetricView) -> str:
    titles = metric_titles(view, session.get_preferences().style)
    return select_segment(
        "Metric",
        {name: escape_markdown(title) for name, title in titles.items()},
        key=f"models.metric.{'ap' if view == 'ap_large' else view}",
    )


def _column_config(results: AnalyzerComparison) -> dict[str, Any]:
    """Return the format of the columns by heading."""
    number_column, text_column = (
        st.column_config.NumberColumn,
        st.column_config.TextColumn,
    )
    return {
        "Analyzer": text_column(pinned=True, width=105),
        "Status": text_column(width=125),
        VALUE_HEADING: number_column(format="%.3f", width=60),
        INTERVAL_HEADING: text_column(alignment="right", width=115),
        **{
            dataset_title(name): number_column(format="%.1f", width=85)
            for name in results.set_names
        },
        "Description": text_column(width="large"),
    }


def _render_analyzer_charts(
    results: AnalyzerComparison, view: MetricView, measure: str
) -> None:
    style = session.get_preferences().style
    titles = metric_titles(view, style)
    st.caption(f"With 95{PERCENT} intervals. Up: more accurate, left: faster.")
    for start in range(0, len(results.set_names), 2):
        row = results.set_names[start : start + 2]
        for column, set_name in zip(st.columns(2), row, strict=False):
            column.vega_lite_chart(
                analyzer_chart(results, set_name, view, measure, style),
                alt=f"{titles[measure]} on {dataset_title(set_name)} "
                f"against {TIME_HEADING.lower()}",
            )


def _render_analyzer_choice(in_use: str, missing: dict[str, str]) -> None:
    """Describe an analyzer, and let the visitor use it."""
    st.subheader("Choose an analyzer", divider="gray")
    names = (AUTO, *ANALYZERS)
    name = select_segment(
        "Analyzer",
        {name: get_analyzer_title(name) for name in names},
        key="models.analyzer",
        default=in_use,
    )
    title = escape_markdown(get_analyzer_title(name))
    st.markdown(f"**{title}** (`{name}`): {_describe_analyzer(name)}.")
    render_use_button(
        "Use this analyzer",
        name,
        dataclasses.replace(session.get_preferences(), analyzer=name),
        missing,
        key=f"models.use_analyzer.{name}",
    )
    if name in missing:
        render_download(analyzer_model_name(name))


def _describe_analyzer(name: str) -> str:
    if name != AUTO:
        return ANALYZERS[name]
    live_analyzer, *others = describe_use(AUTO)
    if not others:
        return f"the best installed analyzer, currently {live_analyzer}"
    live_title, other_title = map(get_analyzer_title, (live_analyzer, others[0]))
    return f"{live_title} for video, {other_title} for images"
